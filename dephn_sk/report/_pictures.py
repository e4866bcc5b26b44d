"""Pictures of a report as SVG: few lines each, colours from the page, text for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import count
from typing import Any

import numpy as np

from ._writing import number

WIDTH, HEIGHT = 340, 210  # of the picture's own units, about CSS pixels on a phone
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 38
BAR = 20  # height of a bar
N_TICKS = 4

Row = dict[str, Any]


class Numbering:
    """Ids that are unique within one page."""

    def __init__(self) -> None:
        self._next = count(1)

    def __call__(self) -> str:
        return f"p{next(self._next)}"


def picture(ids: Numbering, title: str, said: str, body: str, height: float) -> str:
    """An SVG with a title and a description, which readers of screens are told."""
    one = ids()
    size = f'viewBox="0 0 {WIDTH} {height:.0f}"'
    return (
        f'<figure><svg {size} role="img" aria-labelledby="{one}t {one}d">'
        f'<title id="{one}t">{escape(title)}</title>'
        f'<desc id="{one}d">{escape(said)}</desc>{body}</svg>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two."""
    if not high > low:
        return [low]
    raw = (high - low) / N_TICKS
    size = 10.0 ** np.floor(np.log10(raw))
    step = size * next(m for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.999)
    first = np.ceil(low / step - 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, high / step + 1e-9)]


def short(value: float) -> str:
    return number(value, 3)


class Axes:
    """Where numbers are in a picture, and the two axes."""

    def __init__(self, x: Sequence[float], y: Sequence[float]) -> None:
        self.x, self.y = x, y

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = (x - x0) / ((x1 - x0) or 1)
        up = (y - y0) / ((y1 - y0) or 1)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )

    def frame(self, xlabel: str, xticks: Sequence[tuple[float, str]]) -> str:
        """Lines of a grid, numbers, and the name of the x axis."""
        parts = []
        for value in ticks(*self.y):
            left, y = self.at(self.x[0], value)
            parts.append(
                f'<path class="grid" d="M{left:.1f} {y:.1f}H{WIDTH - RIGHT}"/>'
                f'<text x="{left - 5:.1f}" y="{y + 4:.1f}" class="end">'
                f"{short(value)}</text>"
            )
        for value, label in xticks:
            x, y = self.at(value, self.y[0])
            parts.append(
                f'<text x="{x:.1f}" y="{y + 15:.1f}" class="mid">{escape(label)}</text>'
            )
        middle, name = (LEFT + WIDTH - RIGHT) / 2, escape(xlabel)
        parts.append(
            f'<text x="{middle:.0f}" y="{HEIGHT - 5}" class="mid">{name}</text>'
        )
        return "".join(parts)

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> str:
        """A line through points; one that is no number breaks it."""
        path, pen = [], "M"
        for x, value in zip(xs, ys, strict=True):
            if np.isnan(value):
                pen = "M"
                continue
            a, b = self.at(x, value)
            path.append(f"{pen}{a:.1f} {b:.1f}")
            pen = "L"
        return f'<path class="{kind}" d="{"".join(path)}"/>'

    def dots(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> str:
        """Circles."""
        pairs = zip(xs, ys, strict=True)
        known = [(x, value) for x, value in pairs if not np.isnan(value)]
        places = [self.at(*one) for one in known]
        return "".join(
            f'<circle class="{kind}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>'
            for a, b in places
        )

    def whiskers(
        self, xs: Sequence[float], low: Sequence[float], high: Sequence[float]
    ) -> str:
        """A vertical interval at each place."""
        drawn = []
        for x, a, b in zip(xs, low, high, strict=True):
            if np.isnan(a):
                continue
            (place, bottom), (_, top) = self.at(x, a), self.at(x, b)
            drawn.append(
                f'<path class="whisker" d="M{place:.1f} {bottom:.1f}V{top:.1f}"/>'
            )
        return "".join(drawn)


def calibration(ids: Numbering, task: str, rows: Sequence[Row]) -> str:
    """Observed over predicted rate, with intervals, and the line of what is right."""
    columns = [
        [row[k] for row in rows] for k in ("predicted", "observed", "low", "high")
    ]
    predicted, observed, low, high = columns
    most = min(1.0, max(*predicted, *high) * 1.05)
    axes = Axes((0, most), (0, most))
    body = axes.frame("predicted", [(x, short(x)) for x in ticks(0, most)])
    body += axes.line([0, most], [0, most], "guide")
    body += axes.whiskers(predicted, low, high)
    body += axes.line(predicted, observed, "one") + axes.dots(
        predicted, observed, "dot"
    )
    inside = sum(a <= p <= b for p, a, b in zip(predicted, low, high, strict=True))
    said = (
        f"Observed rate over predicted probability in {len(rows)} bins. In {inside} of "
        "them the prediction lies within the 95 % interval of the observed rate."
    )
    return picture(ids, f"Calibration of {task}", said, body, HEIGHT)


def effect(ids: Numbering, column: str, task: str, rows: Sequence[Row]) -> str:
    """Mean prediction with a column set to each value, and what was observed."""
    effects = [row["effect"] for row in rows]
    observed = [row["observed"] for row in rows]
    ends = [[row[end] for row in rows] for end in ("low", "high")]
    known = [one for one in [*effects, *ends[0], *ends[1]] if not np.isnan(one)]
    low, high = min(0.0, *known) * 1.05, max(0.0, *known) * 1.05
    high = high if max(known) > 1 else min(high, 1.0)  # rates end at 1
    axes = Axes((-0.5, len(rows) - 0.5), (low, high if high > low else low + 0.01))
    places = list(range(len(rows)))
    labels = _shortened([str(row["value"]).split(" to ")[0] for row in rows])
    body = axes.frame(f"{column} (values, or where bins begin)"[:48], _named(labels))
    body += axes.whiskers([place + 0.12 for place in places], *ends)
    body += axes.dots([place + 0.12 for place in places], observed, "ring")
    if rows[0]["ordered"]:  # a line between categories would say nothing
        body += axes.line(places, effects, "one")
    body += axes.dots(places, effects, "dot")
    best, worst = int(np.argmax(effects)), int(np.argmin(effects))
    said = (
        f"The mean prediction of {task} is {short(effects[worst])} with {column} at "
        f"{rows[worst]['value']} and {short(effects[best])} at {rows[best]['value']}. "
        "Rings are what was observed of the rows that have the value, with 95 % "
        "intervals."
    )
    return picture(ids, f"{column} and {task}", said, body, HEIGHT)


def _shortened(labels: Sequence[str]) -> list[str]:
    """Labels of a few characters: their ends, where all begin alike."""
    most = 7
    alike = len({label[:most] for label in labels}) < len({*labels})
    cut = [label[-most:] if alike else label[:most] for label in labels]
    return [label.strip() for label in cut]


def _named(labels: Sequence[str]) -> list[tuple[float, str]]:
    every = 1 if len(labels) <= 6 else 2
    return [(float(i), label) for i, label in enumerate(labels) if i % every == 0]


def curves(
    ids: Numbering, title: str, lines: Sequence[tuple[str, str, Sequence[float]]]
) -> str:
    """Lines over epochs: name, kind, values."""
    values = np.array([y for *_, ys in lines for y in ys], dtype=float)
    values = values[~np.isnan(values)]
    n = len(lines[0][2])
    axes = Axes((1, max(n, 2)), (float(values.min()), float(values.max()) or 1.0))
    every = sorted({1, (n + 1) // 2, n})
    body = axes.frame("epoch", [(float(e), str(e)) for e in every])
    epochs, said = list(range(1, n + 1)), []
    for name, kind, ys in lines:
        body += axes.line(epochs, ys, kind) + (axes.dots(epochs, ys, "dot") * (n < 2))
        first, last = short(float(ys[0])), short(float(ys[-1]))
        said.append(f"{name} ({_looks(kind)}) goes from {first} to {last}.")
    return picture(ids, title, " ".join(said), body, HEIGHT)


def _looks(kind: str) -> str:
    return "dashed" if kind == "two" else "solid line"


def bars(
    ids: Numbering,
    title: str,
    rows: Sequence[Row],
    name: Callable[[Row], str],
    value: str,
    *,
    interval: tuple[str, str] | None = None,
    mark: str | None = None,
) -> str:
    """Horizontal bars, with an interval or a mark each."""
    ends = [value, *(interval or ()), *([mark] if mark else [])]
    numbers = [row[end] for row in rows for end in ends]
    high, low = max([0.0, *numbers]), min([0.0, *numbers])
    span, left, room = (high - low) or 1.0, 108, WIDTH - 108 - 56

    def at(x: float) -> float:
        return left + (x - low) / span * room

    parts = []
    for i, row in enumerate(rows):
        y = TOP + i * BAR
        a, b = sorted([at(0), at(row[value])])
        label = name(row)
        shown = label if len(label) <= 15 else f"{label[:14]}…"
        parts.append(
            f'<text x="{left - 6}" y="{y + 13}" class="end">{escape(shown)}</text>'
            f'<rect class="bar" x="{a:.1f}" y="{y + 3}" width="{max(b - a, 0.5):.1f}" '
            f'height="{BAR - 7}"/>'
            f'<text x="{WIDTH - 2}" y="{y + 13}" class="end">{short(row[value])}</text>'
        )
        if interval:
            low_end, high_end = (at(row[end]) for end in interval)
            parts.append(
                f'<path class="whisker" d="M{low_end:.1f} {y + 9.5}H{high_end:.1f}"/>'
            )
        if mark:
            parts.append(f'<path class="mark" d="M{at(row[mark]):.1f} {y + 1}v17"/>')
    said = ", ".join(f"{name(row)} {short(row[value])}" for row in rows)
    return picture(ids, title, f"{said}.", "".join(parts), TOP + len(rows) * BAR + 6)
