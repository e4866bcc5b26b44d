"""What a model uses: effects of values, and experts by task."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inspection import expert_utilization
from ..inspection._any_model import network_within, predictions
from ._quality import NORMAL, wilson
from ._rows import Outcome, Rows, binned, taken, with_column_of
from ._writing import percent

N_EFFECTS = 10  # columns of which effects are shown
N_BINS, N_VALUES = 8, 8


def strongest(found: Sequence[dict[str, Any]]) -> list[str]:
    """Columns by the sum over tasks of what is lost without them, most first."""
    total: dict[str, float] = {}
    for row in found:
        own = np.nan_to_num(row["importance"])
        total[row["column"]] = total.get(row["column"], 0.0) + max(own, 0.0)
    return sorted(total, key=lambda name: -total[name])


def effects(
    model: Any, rows: Rows, some: NDArray, columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Mean prediction with a column set to a value, and what was observed there.

    Set in `some` rows (partial dependence), each time to the value of the row that
    stands for a bin; the observed rate, or mean, and the mean prediction are those of
    the rows that are in the bin.
    """
    by_name = {column.name: (j, column) for j, column in enumerate(rows.columns)}
    for name in columns[:N_EFFECTS]:
        j, column = by_name[name]
        bins = binned(column, N_BINS, N_VALUES)
        if bins is None or len(bins.labels) < 2:
            continue
        for b, (label, row) in enumerate(zip(bins.labels, bins.middle, strict=True)):
            # a table of both, so that the value keeps its type
            both = taken(rows.X, np.append(some, row))
            last = np.full(len(some) + 1, len(some))
            found = predictions(model, with_column_of(both, j, last), rows.y.names)
            for one in rows.outcomes:
                values = found[one.t].prob[:-1, one.column]
                yield {
                    "column": name,
                    "value": label,
                    "ordered": bins.ordered,
                    **one.of,
                    "rows": int((bins.code[one.rows] == b).sum()),
                    "effect": _mean_of(values, some, rows.weight_of(one.t)),
                    **_observed(one, bins.code[one.rows] == b),
                }


def _mean_of(values: NDArray, some: NDArray, weight: NDArray | None) -> float:
    if weight is None:
        return float(values.mean())
    weight = weight[some]
    return float(np.average(values, weights=weight)) if weight.any() else float("nan")


def _observed(one: Outcome, inside: NDArray) -> dict[str, float]:
    """What was observed and predicted of the rows that are inside."""
    weight, values = one.weight[inside], one.observed[inside]
    names = "mean_prediction", "observed", "low", "high"
    if not len(weight):
        return dict.fromkeys(names, float("nan"))
    mean = float(np.average(values, weights=weight))
    n = weight.sum() ** 2 / (weight**2).sum()  # rows of like weight (Kish)
    if one.is_rate:
        low, high = wilson(mean, n)
    else:
        spread = np.average((values - mean) ** 2, weights=weight)
        half = NORMAL * np.sqrt(spread / (n - 1)) if n > 1 else np.nan
        low, high = float(mean - half), float(mean + half)
    predicted = float(np.average(one.predicted[inside], weights=weight))
    return dict(zip(names, (predicted, mean, low, high), strict=True))


def gates(model: Any, X: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Share of each shared expert in the gates of each task, and the same in words."""
    final, X = network_within(model, X)
    if final is None or not final.network_.branch_names:
        return [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the words say it
        found = expert_utilization(final, X)
    table, words = [], []
    for task, shares in zip(found.task_names, found.utilization, strict=True):
        for expert, share in zip(found.expert_names, shares, strict=True):
            table.append({"task": task, "expert": expert, "share": float(share)})
        words.append(_in_words(task, found.expert_names, shares))
    return table, words


def _in_words(task: str, experts: Sequence[str], shares: NDArray) -> str:
    if len(experts) == 1:
        return f"{task} has one shared expert, {experts[0]}."
    first = int(shares.argmax())
    if shares.max() < 1.5 * shares.min():
        return f"{task} uses all {len(experts)} shared experts about equally."
    rest = ", nearly alone" if shares.max() > 0.9 else ""
    share = percent(shares[first], 0)
    return f"{task} uses {experts[first]} most ({share} of its gates){rest}."
