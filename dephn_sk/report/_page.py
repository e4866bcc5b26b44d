"""The page of a report: one HTML file that needs no other, no script and no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from . import _pictures as pictures
from ._pictures import Numbering, Row
from ._writing import NOTHING, number, percent

Table = list[Row]
SHOWN = 15  # rows of long tables
PERCENT = {
    *("rate", "mean_prediction", "missing_labels", "gain_over_base", "predicted"),
    *("observed", "low", "high", "top_share", "precision", "recall", "gain", "share"),
    *("share_acted", "other_rate", "other_rate_given_task", "share_of_predictions"),
    *("mean_prediction_given_task", "mean_prediction_observed"),
    *("mean_prediction_missing", "effect", "missing_ref", "unseen", "beyond"),
    "unseen_expected",
}
# of tasks of numbers in the units of the labels
UNITS = {
    *("mean_prediction", "observed", "low", "high", "effect"),
    *("mean_prediction_observed", "mean_prediction_missing"),
}
# name: heading, and what the table says
SECTIONS: dict[str, tuple[str, str]] = {
    "scores": (
        "How good it is",
        "Each task on the rows in which it is observed. The base is the log loss of "
        "predicting the rate alone.",
    ),
    "scores_of_numbers": ("How good it is: numbers", "In the units of the labels."),
    "differences": (
        "Differences",
        "From the first model, with 95 % intervals of a paired bootstrap. An interval "
        "that leaves out 0 is more than chance.",
    ),
    "calibration": (
        "Are the probabilities right?",
        "In bins of equally many rows: what was predicted, and what was observed with "
        "its 95 % interval. On the dashed line, both are the same.",
    ),
    "lift": (
        "The top of the list",
        "Of the rows that are predicted most likely: how many of them are positive "
        "(precision), what share of all positives they hold (gain), and how many times "
        "the rate that is (lift).",
    ),
    "thresholds": (
        "From which probability to act",
        "What acting from a threshold on brings. Thresholds that were best on these "
        "rows flatter themselves; choose on others.",
    ),
    "tasks_together": (
        "How tasks go together",
        "Pairs of tasks, in rows where both labels are observed. Rows are counted, all "
        "else is weighted where rows are.",
    ),
    "missing_labels": (
        "Missing labels",
        "Where rows without a label are predicted otherwise than the rest, labels are "
        "not missing at random. Rows are counted, means weighted where rows are.",
    ),
    "funnel": (
        "Funnels",
        "Tasks that happen only where another did, and what goes against that. Rows "
        "are counted, without weights.",
    ),
    "importance": (
        "What the model uses",
        "ROC AUC (of numbers: R²) that is lost when a column is shuffled, with its "
        "95 % interval: other rows and other shuffles would give another. Columns that "
        "say the same share their importance.",
    ),
    "columns_alone": (
        "What each column says alone",
        "How well the mean label of a column's values (of one half of the rows) tells "
        "the labels (of the other): ROC AUC, of numbers R². A column that alone tells "
        "nearly all was often written after what it tells. The strongest of each task; "
        "a class of fewer than 20 rows is left out.",
    ),
    "odd_columns": (
        "Columns to look at",
        "What they hold is hardly what they were meant to tell.",
    ),
    "gates": (
        "Experts",
        "Share of each shared expert in the gates of each task. Weights of rows are "
        "not used.",
    ),
    "effects": (
        "Effects of values",
        "Dots: the mean prediction if all rows had the value. Rings: the observed "
        "rate, or mean, of the rows that have it, with its 95 % interval, which other "
        "columns move as well. Of a task of several classes, the five most frequent.",
    ),
    "slices": (
        "For whom it is wrong",
        "Rows of a value, or of two, whose observed rate, or mean, is not the "
        "predicted one. Of a task of several classes, the five most frequent. z "
        "is the distance in standard errors, after the overall error was taken out; "
        "the adjusted p-value (Benjamini and Hochberg) allows for the number of looks.",
    ),
    "drift": (
        "What has changed",
        "Columns of the test rows beside those of training. An index above its "
        "threshold is more than chance. Weights of rows are not used.",
    ),
    "drift_of_predictions": (
        "Predictions then and now",
        "By task, without weights, over all rows: with and without a label. A model is "
        "more certain of rows that it was trained on, which alone moves the index.",
    ),
    "training": (
        "Training",
        "Loss of each task by epoch. Dashed: while it was trained; solid: on rows that "
        "were set aside.",
    ),
    "parameters": ("How it was made", "Parameters that are not their defaults."),
    "versions": ("Versions", "What the report was made with."),
    "times": ("Times", "Of this machine."),
}

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1a1c1f;--soft:#50555c;--line:#c9ced6;
--panel:#f3f5f8;--one:#0b5cad;--two:#a8430b;--bar:#3f7fbf}
@media (prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e9ebee;--soft:#b4bac2;
--line:#454b54;--panel:#1f2329;--one:#7db7ff;--two:#ffac70;--bar:#5a93d1}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif;
overflow-wrap:anywhere}
header,main,nav,footer{max-width:72rem;margin:0 auto;padding:0 1rem}
h1{font-size:clamp(1.25rem,5.8vw,1.6rem);line-height:1.25;margin:1.2rem 0 .5rem}
h2{font-size:1.25rem;margin:2.2rem 0 .3rem}
p{margin:.3rem 0 .8rem}p,li{max-width:46rem}
.soft,figcaption{color:var(--soft)}
a{color:var(--one)}
a:focus-visible,.box:focus-visible{outline:3px solid var(--one);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--bg);
padding:.4rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;margin:0}
nav a{display:inline-block;padding:.25rem 0}
.box{overflow:auto;max-height:28rem;border:1px solid var(--line);border-radius:6px}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;
min-width:100%;overflow-wrap:normal}
caption{text-align:left;padding:.5rem .7rem;color:var(--soft)}
th,td{padding:.3rem .7rem;border-top:1px solid var(--line);text-align:left;
white-space:nowrap}
td.n{text-align:right}thead th{background:var(--panel);position:sticky;top:0}
th.n{text-align:right}tbody th{font-weight:600}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),
1fr));gap:1rem;margin:0 0 1rem}
figure{margin:0;min-width:0}svg{width:100%;height:auto;display:block}
figcaption{font-size:.9rem}
svg text{font:11px system-ui,sans-serif;fill:var(--fg)}
.end{text-anchor:end}.mid{text-anchor:middle}
.grid{stroke:var(--line);fill:none}.guide{stroke:var(--soft);fill:none;
stroke-dasharray:4 4}
.one{stroke:var(--one);fill:none;stroke-width:2}
.two{stroke:var(--two);fill:none;stroke-width:2;stroke-dasharray:6 3}
.dot{fill:var(--one)}.ring{fill:none;stroke:var(--two);stroke-width:2}
.bar{fill:var(--bar)}.whisker{stroke:var(--fg);fill:none;stroke-width:1.4}
.mark{stroke:var(--two);stroke-width:2.5;fill:none}
@media print{:root{--bg:#fff;--fg:#000;--soft:#333;--line:#999;--panel:#eee;
--one:#0b5cad;--two:#a8430b;--bar:#3f7fbf}nav,.skip{display:none}
.box{max-height:none;overflow:visible;border:0}table{font-size:7.5pt}
th,td{white-space:normal;padding:.15rem .3rem}thead th{position:static}
figure,tr{break-inside:avoid}h2{break-after:avoid}}
"""
# nothing may be asked for: not by the page, nor by whatever names hold
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(
    title: str,
    notes: Sequence[str],
    findings: Sequence[str],
    tables: dict[str, Table],
) -> str:
    """The whole page."""
    ids = Numbering()
    known = [name for name in SECTIONS if tables.get(name)]
    links = "".join(
        f'<li><a href="#{name}">{escape(SECTIONS[name][0])}</a></li>' for name in known
    )
    numbers = {row["task"] for row in tables.get("scores_of_numbers", [])}
    body = "".join(_section(ids, name, tables[name], numbers) for name in known)
    said = "".join(f"<li>{escape(one)}</li>" for one in findings)
    short = f'<section><h2 id="short">In short</h2><ul>{said}</ul></section>'
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body>"
        '<a class="skip" href="#main">To the report</a>'
        f"<header><h1>{escape(title)}</h1>"
        f'<p class="soft">{escape(" ".join(notes))}</p></header>'
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>'
        f'<main id="main" tabindex="-1">{short if findings else ""}{body}</main>'
        '<footer><p class="soft">Made by dephn_sk.</p></footer></body></html>\n'
    )


def _section(ids: Numbering, name: str, rows: Table, numbers: set[str]) -> str:
    heading, about = SECTIONS[name]
    drawn = "".join(_pictures_of(ids, name, rows))
    if drawn:
        drawn = f'<div class="pictures">{drawn}</div>'
    return (
        f'<section><h2 id="{name}">{escape(heading)}</h2><p>{escape(about)}</p>'
        f"{drawn}{_table(name, heading, _shown(name, rows), numbers)}</section>"
    )


def _shown(name: str, rows: Table) -> Table:
    """The rows that the page shows; `tables` hold all."""
    if name == "slices":
        return rows[:SHOWN]
    if name == "importance":
        return sorted(rows, key=lambda row: (row["task"], -row["importance"]))
    if name == "columns_alone":
        return [row for _, own in _by(rows, "task", "class") for row in own[:5]]
    return rows


def _table(name: str, heading: str, rows: Table, numbers: set[str]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    right = {key: any(_is_number(row.get(key)) for row in rows) for key in columns}
    head = "".join(
        f'<th scope="col"{_right(right[key])}>{escape(key.replace("_", " "))}</th>'
        for key in columns
    )
    body = []
    for row in rows:
        first, *others = (
            (_cell(key, row.get(key), name, row.get("task") in numbers), right[key])
            for key in columns
        )
        cells = "".join(f"<td{_right(n)}>{escape(text)}</td>" for text, n in others)
        start = f'<th scope="row">{escape(first[0])}</th>'
        body.append(f"<tr>{start}{cells}</tr>")
    return (
        f'<div class="box" role="region" tabindex="0" aria-label="Table: '
        f'{escape(heading, quote=True)}"><table><caption>{escape(heading)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _right(number: bool) -> str:
    return ' class="n"' if number else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _cell(key: str, value: Any, table: str, of_numbers: bool) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not _is_number(value):
        return str(value)
    if np.isinf(value):
        return "never" if key == "threshold" else str(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    is_rate = key in PERCENT and table not in ("importance", "differences", "gates")
    is_rate &= not (of_numbers and key in UNITS)
    if is_rate or (key == "missing" and table == "drift"):
        return percent(value)
    if key == "share" and table == "gates":
        return percent(value, 0)
    return number(value)


def _pictures_of(ids: Numbering, name: str, rows: Table) -> Iterator[str]:
    """Those of a section."""
    if name == "calibration":
        for (task, *model), own in _by(rows, "task", "model"):
            label = " ".join(filter(None, [task, *(f"by {m}" for m in model if m)]))
            yield pictures.calibration(ids, label, own)
    elif name == "importance":
        for (task,), own in _by(rows, "task"):
            first = sorted(own, key=lambda row: -row["importance"])[:10]
            known = [row for row in first if not np.isnan(row["importance"])]
            ends = (
                None if any(np.isnan(row["low"]) for row in known) else ("low", "high")
            )
            if known:
                yield pictures.bars(
                    ids,
                    f"Importance for {task}",
                    known,
                    lambda row: row["column"],
                    "importance",
                    interval=ends,
                )
    elif name == "effects":
        for (column, task, one), own in _by(rows, "column", "task", "class"):
            what = task if one is None else f"{task}={one}"
            yield pictures.effect(ids, column, what, own)
    elif name == "gates":
        for (task,), own in _by(rows, "task"):
            yield pictures.bars(
                ids, f"Experts of {task}", own, lambda row: row["expert"], "share"
            )
    elif name == "drift":
        known = [row for row in rows if not np.isnan(row["psi"])]
        known = sorted(known, key=lambda row: -row["psi"])[:SHOWN]
        if known:
            title = "Stability index; the mark is what chance alone stays below"
            yield pictures.bars(
                ids,
                title,
                known,
                lambda row: row["column"],
                "psi",
                mark="psi_threshold",
            )
    elif name == "training":
        yield from _curves(ids, rows)


def _by(rows: Table, *keys: str) -> Iterator[tuple[tuple, Table]]:
    """Rows that have the same values of some keys."""
    found: dict[tuple, Table] = {}
    for row in rows:
        found.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    yield from found.items()


def _curves(ids: Numbering, rows: Table) -> Iterator[str]:
    """Loss of each task while it was trained, and on rows set aside."""
    prefix = "train_loss_"
    for key in (key for key in rows[0] if key.startswith(prefix)):
        task = key.removeprefix(prefix)
        lines = [("training loss", "two", [row[key] for row in rows])]
        valid = [row.get(f"valid_loss_{task}", np.nan) for row in rows]
        if not np.isnan(valid).all():
            lines.append(("validation loss", "one", valid))
        if not np.isnan(lines[0][2]).all():
            yield pictures.curves(ids, f"Loss of {task}", lines)
