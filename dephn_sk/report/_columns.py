"""What each column says alone, and columns that are not what they seem."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics._numbers import METRICS_OF_NUMBERS, ObservedNumbers
from ..preprocessing._columns import Column
from ..tasks._ranking import roc_auc
from ._rows import Outcome, Rows, binned

N_BINS = 100
FEWEST = 20  # rows of a class, for a column to be judged
LEAKS = 0.99  # of what alone tells nearly all
SAMPLE = 300  # distinct texts that are looked at
ALIKE = 0.95  # share of them that shall be dates or numbers
NO_LABELS = {"", "nan", "none", "null", "na", "n/a", "<na>"}
_DATE = re.compile(
    r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([ T].*)?"
)
_NUMBER = re.compile(
    r"\s*[^\w\s.,+-]{0,2}\s*[-+]?\d[\d.,' \u00a0\u202f]*\s*(%|[^\W\d]{1,3}|[€$£¥])?\s*"
)


def alone(rows: Rows) -> Iterator[dict[str, Any]]:
    """How well each column alone tells each task, by the mean label of its values.

    Values of one half of the rows are judged by the labels of the other. ROC AUC of a
    class, R² of a number.
    """
    cut = {c.name: binned(c, N_BINS, N_BINS) for c in rows.columns}
    codes = {name: bins.code for name, bins in cut.items() if bins is not None}
    for one in rows.outcomes:
        if one.is_rate:
            hits = one.observed.sum()
            if min(hits, len(one.observed) - hits) < FEWEST:
                continue
        elif len(one.observed) < FEWEST or np.ptp(one.observed) == 0:
            continue
        for name, code in codes.items():
            yield {**one.of, "column": name, **_told(code[one.rows], one)}


def _told(code: NDArray, one: Outcome) -> dict[str, Any]:
    """Halves take turns: of each label every second row."""
    code, order = code + 1, np.argsort(one.observed, kind="stable")
    half = np.empty(len(code), dtype=int)
    half[order] = np.arange(len(code)) % 2
    predicted = np.empty(len(code))
    for side in (0, 1):
        own, n = half == side, int(code.max()) + 1
        weight, label = one.weight[own], one.observed[own]
        mass, sums = (np.bincount(code[own], x, n) for x in (weight, weight * label))
        mean, unit = np.average(label, weights=weight), weight.mean()
        predicted[~own] = ((sums + mean * unit) / (mass + unit))[code[~own]]
    if one.is_rate:
        found = roc_auc(one.observed == 1, predicted, sample_weight=one.weight)
        return {"metric": "roc_auc", "alone": float(found)}
    given = one.of["task"], one.rows, one.observed, predicted, one.weight
    return {"metric": "r2", "alone": METRICS_OF_NUMBERS["r2"](ObservedNumbers(*given))}


def odd(columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """A row for each column that is not read as what it seems to be."""
    for column in columns:
        if column.kind == "list" or not len(column):
            continue
        distinct = column.distinct
        texts = [str(one) for one in distinct.values.tolist()]
        first = next((one for one in texts if one.strip()), "")[:40]
        if len(texts) < 2 and len(column) > 1:
            share = np.mean(np.asarray(distinct.positions) < 0)
            what = "nothing" if not texts else None if share else "one value"
        elif column.kind in ("number", "date", "duration", "bool"):
            continue
        else:
            what = _seems(texts, len(column))
        if what:
            yield {"column": column.name, "holds": what, "such_as": first}


def odd_labels(rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each task one of whose classes looks like a missing label."""
    for one in rows.predicted:
        for label in one.classes:
            if isinstance(label, str) and label.strip().lower() in NO_LABELS:
                holds = "a class that looks like a missing label"
                yield {"column": one.name, "holds": holds, "such_as": repr(label)}


def _seems(texts: Sequence[str], n_rows: int) -> str | None:
    if len(texts) < 10:  # a few are categories, whatever they look like
        return None
    step = max(len(texts) // SAMPLE, 1)
    some = [one for one in texts[::step] if one.strip()]

    def share(pattern: re.Pattern) -> float:
        return sum(pattern.fullmatch(one) is not None for one in some) / len(some)

    if share(_DATE) >= ALIKE:
        return "dates as text"
    written = sum("." in one or "," in one for one in some) / len(some)
    if written > 0.3 and share(_NUMBER) >= ALIKE:  # without a point they may be codes
        return "numbers as text"
    return (
        "a value of its own in nearly each row" if len(texts) > 0.9 * n_rows else None
    )
