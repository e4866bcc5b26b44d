"""For whom a model is wrong: slices in which predictions miss what was observed.

Of each slice, the sum of label less prediction is compared with its spread where the
predictions are right, or, with groups, with that over the groups; of numbers, with
that of the rows. Predictions are first moved on the scale of log-odds until their mean
is the rate (numbers: by a factor or a shift), so that a model that is wrong everywhere
by as much is not wrong in every slice. The p-values of all slices of
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

from ..tasks import log_odds
from ._rows import Bins, Outcome, Rows, binned

LEVEL = 0.05
FEWEST = 50  # rows of a slice
LEAST_SPREAD = 5.0  # expected p (1 - p) in a slice, for sums to be normal
N_ALIKE = 10  # groups of numbers that are predicted alike
FEWEST_SPREAD = 10  # rows of like errors that errors of numbers shall be worth
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
        for one in rows.outcomes
        if len(one.observed) and np.ptp(one.observed) > 0
        for row in _of_outcome(one, rows.group, known)
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


def _of_outcome(
    one: Outcome, group: NDArray | None, known: dict[str, Bins]
) -> Iterator[dict[str, Any]]:
    right = (_moved if one.is_rate else _rescaled)(
        one.predicted, one.observed, one.weight
    )
    missed = one.weight * (one.observed - right)
    if one.is_rate:  # the spread that it has where predictions are right
        spread = one.weight**2 * right * (1 - right)
    else:
        spread = _spread_of_alike(missed, right)
    own = None if group is None else group[one.rows]
    codes = {name: bins.code[one.rows] for name, bins in known.items()}
    for name, bins in known.items():
        yield from _cells(one, codes[name], [(name, bins)], missed, spread, own)
    for (a, first), (b, two) in combinations([*known.items()][:N_IN_PAIRS], 2):
        code = _crossed(codes[a], codes[b], len(two.labels))
        yield from _cells(one, code, [(a, first), (b, two)], missed, spread, own)


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


def _rescaled(number: NDArray, true: NDArray, weight: NDArray) -> NDArray:
    """Predictions whose mean is that of the labels: of amounts by a factor."""
    mean, goal = (float(np.average(one, weights=weight)) for one in (number, true))
    amounts = number.min() >= 0 and true.min() >= 0 and mean > 0
    return number * (goal / mean) if amounts else number + (goal - mean)


def _spread_of_alike(missed: NDArray, predicted: NDArray) -> NDArray:
    """Mean squared errors of rows that are predicted alike."""
    places = np.argsort(np.argsort(predicted, kind="stable"), kind="stable")
    bins = places * N_ALIKE // len(places)
    sizes = np.bincount(bins, minlength=N_ALIKE)
    sums = np.bincount(bins, missed**2, N_ALIKE)
    return (sums / np.maximum(sizes, 1))[bins]


def _cells(
    one: Outcome,
    code: NDArray,
    cut: Sequence[tuple[str, Bins]],
    missed: NDArray,
    spread: NDArray,
    group: NDArray | None,
) -> Iterator[dict[str, Any]]:
    """A row for each value, or pair of values, with enough rows."""
    n_cells = int(np.prod([len(bins.labels) for _, bins in cut]))
    inside, weight = code >= 0, one.weight

    def total(of: NDArray) -> NDArray:
        return np.bincount(code[inside], of[inside], n_cells)

    n, mass, off, room = (total(x) for x in (weight > 0, weight, missed, spread))
    var = room if group is None else _over_groups(code, missed, group, n_cells)
    hits, predicted = total(weight * one.observed), total(weight * one.predicted)
    if one.is_rate:
        unit = (mass.sum() / max(n.sum(), 1)) ** 2  # of a row of mean weight
        normal = room >= LEAST_SPREAD * unit
    else:  # the spread is that of many rows, not of the largest
        own = total(missed**2)
        normal = own**2 >= FEWEST_SPREAD * total(missed**4)
        # rows without a large error would look sure of their small sum
        var = np.maximum(var, np.maximum(own, room))
    for cell in np.flatnonzero((n >= FEWEST) & normal & (var > 0)):
        z = off[cell] / np.sqrt(var[cell])
        yield {
            **one.of,
            "slice": _named(cut, int(cell)),
            "wrong": False,
            "n_columns": len(cut),
            "rows": int(n[cell]),
            "observed": float(hits[cell] / mass[cell]),
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
