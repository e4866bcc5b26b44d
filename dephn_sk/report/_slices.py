"""For whom a model is wrong: slices in which predictions miss the observed rate.

Of each slice, the sum of label less prediction is compared with its spread where the
predictions are right, or, with groups, with that over the groups. Predictions are first
moved on the scale of log-odds until their mean is the rate, so that a model that is
wrong everywhere by as much is not wrong in every slice. The p-values of all slices of
all tasks are corrected for their number by Benjamini and Hochberg: of the slices that
are called wrong, 5 % are not, on average.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm

from ..metrics._tasks import ObservedTask
from ..tasks import log_odds
from ._quality import weights_of
from ._rows import Bins, Rows, binned

LEVEL = 0.05
FEWEST = 50  # rows of a slice
LEAST_SPREAD = 5.0  # expected p (1 - p) in a slice, for sums to be normal
N_BINS, N_VALUES = 4, 10
N_IN_PAIRS = 8  # columns of which pairs are looked at
MOST = 50  # slices in the table


def slices(rows: Rows, columns: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """The worst slices, and how many were looked at.

    `columns` are all of them, the strongest first.
    """
    by_name = {column.name: column for column in rows.columns}
    cut = {name: binned(by_name[name], N_BINS, N_VALUES) for name in columns}
    known = {name: bins for name, bins in cut.items() if bins is not None}
    found = [
        row
        for task in rows.binary
        if 0 < (task.codes == 1).sum() < len(task.codes)
        for row in _of_task(task, rows.group, known)
    ]
    adjusted = benjamini_hochberg([row["p_value"] for row in found])
    for row, p in zip(found, adjusted, strict=True):
        row["p_adjusted"] = float(p)
        row["wrong"] = bool(p <= LEVEL)  # keeps its place in the row
    found.sort(key=lambda row: row["p_value"])
    return found[:MOST], len(found)


def benjamini_hochberg(p_values: Sequence[float]) -> NDArray:
    """The smallest level of false discoveries at which each is discovered."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[::-1]
    ranked = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.minimum.accumulate(ranked), 1)
    return adjusted


def _of_task(
    task: ObservedTask, group: NDArray | None, known: dict[str, Bins]
) -> Iterator[dict[str, Any]]:
    weight, label = weights_of(task), (task.codes == 1) * 1.0
    right = _moved(task.prob, label, weight)
    missed, spread = weight * (label - right), weight**2 * right * (1 - right)
    own = None if group is None else group[task.rows]
    given = label, task.prob, weight, missed, spread, own
    codes = {name: bins.code[task.rows] for name, bins in known.items()}
    for name, bins in known.items():
        yield from _cells(task.name, codes[name], [(name, bins)], *given)
    for (a, one), (b, two) in combinations([*known.items()][:N_IN_PAIRS], 2):
        code = _crossed(codes[a], codes[b], len(two.labels))
        yield from _cells(task.name, code, [(a, one), (b, two)], *given)


def _crossed(first: NDArray, second: NDArray, n_second: int) -> NDArray:
    """The pair of each row; -1 where it has none, or one value says all of it."""
    code = np.where((first < 0) | (second < 0), -1, first * n_second + second)
    known, place, n = np.unique(code, return_inverse=True, return_counts=True)
    if not len(known):
        return code
    sizes = [np.bincount(one[one >= 0], minlength=1) for one in (first, second)]
    left = np.array(
        [
            k >= 0 and n[i] < min(sizes[0][k // n_second], sizes[1][k % n_second])
            for i, k in enumerate(known)
        ]
    )
    return np.where(left[place], code, -1)


def _moved(prob: NDArray, label: NDArray, weight: NDArray) -> NDArray:
    """Probabilities with the same order whose mean is the rate."""
    odds = log_odds(np.column_stack([1 - prob, prob]).astype(np.float64))
    rate = np.average(label, weights=weight)

    def excess(shift: float) -> float:
        return float(np.average(expit(odds + shift), weights=weight) - rate)

    return expit(odds + brentq(excess, -80, 80))


def _cells(
    name: str,
    code: NDArray,
    cut: Sequence[tuple[str, Bins]],
    label: NDArray,
    prob: NDArray,
    weight: NDArray,
    missed: NDArray,
    spread: NDArray,
    group: NDArray | None,
) -> Iterator[dict[str, Any]]:
    """A row for each value, or pair of values, with enough rows."""
    n_cells = int(np.prod([len(bins.labels) for _, bins in cut]))
    inside = code >= 0

    def total(of: NDArray) -> NDArray:
        return np.bincount(code[inside], of[inside], n_cells)

    n, mass, off, room = (total(one) for one in (weight > 0, weight, missed, spread))
    var = room if group is None else _over_groups(code, missed, group, n_cells)
    hits, predicted = total(weight * label), total(weight * prob)
    unit = (mass.sum() / max(n.sum(), 1)) ** 2  # of a row of mean weight
    enough = (n >= FEWEST) & (room >= LEAST_SPREAD * unit) & (var > 0)
    for cell in np.flatnonzero(enough):
        z = off[cell] / np.sqrt(var[cell])
        yield {
            "task": name,
            "slice": _named(cut, int(cell)),
            "wrong": False,
            "n_columns": len(cut),
            "rows": int(n[cell]),
            "observed_rate": float(hits[cell] / mass[cell]),
            "mean_prediction": float(predicted[cell] / mass[cell]),
            "z": float(z),
            "p_value": float(2 * norm.sf(abs(z))),
        }


def _over_groups(code: NDArray, missed: NDArray, group: NDArray, n: int) -> NDArray:
    """The variance of a sum whose rows go together within groups."""
    inside = code >= 0
    pairs = code[inside].astype(np.int64) * (int(group.max(initial=0)) + 1)
    pairs += group[inside]
    distinct, place = np.unique(pairs, return_inverse=True)
    sums = np.bincount(place, missed[inside], len(distinct))
    cell = distinct // (int(group.max(initial=0)) + 1)
    return np.bincount(cell, sums**2, n)


def _named(cut: Sequence[tuple[str, Bins]], cell: int) -> str:
    (a, one), *more = cut
    if not more:
        return f"{a}: {one.labels[cell]}"
    ((b, two),) = more
    first, second = divmod(cell, len(two.labels))
    return f"{a}: {one.labels[first]} and {b}: {two.labels[second]}"
