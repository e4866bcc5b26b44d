"""What a model uses: columns by task, experts by task, and effects of values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.exceptions import UndefinedMetricWarning

from ..inspection import expert_utilization, permutation_importance
from ..inspection._any_model import network_within, predictions
from ..metrics._per_task import METRICS_OF_CLASSES
from ._quality import weights_of, wilson
from ._rows import Rows, binned, taken, with_column_of

N_EFFECTS = 10  # columns of which effects are shown
N_BINS, N_VALUES = 8, 8


def _aucs(rows: Rows) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        metric = METRICS_OF_CLASSES["roc_auc"]
        return [metric(t) if len(t.codes) else np.nan for t in rows.of_classes]


def reads_raw_columns(model: Any) -> bool:
    """Whether a network reads the columns of X themselves, and no step's before it."""
    final, _ = network_within(model)
    if final is None or final.encoder_.bag_weights:
        return False
    return final is model or getattr(model, "best_estimator_", None) is final


def importance(
    model: Any, rows: Rows, n_repeats: int, rng: np.random.RandomState
) -> Iterator[dict[str, Any]]:
    """ROC AUC that each task loses when a column of X is shuffled, with its interval.

    The interval is Student's over the shuffles: chance of the shuffles alone.
    """
    if not rows.of_classes:
        return
    if not reads_raw_columns(model):
        yield from _by_hand(model, rows, n_repeats, rng)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        found = permutation_importance(
            model,
            rows.X,
            rows.y,
            n_repeats=n_repeats,
            random_state=rng,
            sample_weight=rows.weight,
        )
    for name, of_task in found.items():
        pairs = zip(of_task.feature_names, of_task.importances, strict=True)
        yield from (_with_interval(name, column, own) for column, own in pairs)


def _by_hand(
    model: Any, rows: Rows, n_repeats: int, rng: np.random.RandomState
) -> Iterator[dict[str, Any]]:
    """Of any model: the table is shuffled before it is read."""
    before = np.array(_aucs(rows))
    names = [task.name for task in rows.of_classes]
    for j, column in enumerate(rows.columns):
        after = []
        for _ in range(n_repeats):
            shuffled = with_column_of(rows.X, j, rng.permutation(len(rows)))
            found = predictions(model, shuffled, rows.y.names)
            after.append(_aucs(rows.with_predictions(found)))
        for name, own in zip(names, (before - np.array(after)).T, strict=True):
            yield _with_interval(name, column.name, own)


def _with_interval(task: str, column: str, losses: NDArray) -> dict[str, Any]:
    n = len(losses)
    spread = losses.std(ddof=1) if n > 1 else np.nan
    half = float(student.isf(0.025, max(n - 1, 1)) * spread / np.sqrt(n))
    mean = float(losses.mean())
    own = {"importance": mean, "low": mean - half, "high": mean + half}
    return {"task": task, "column": column, **own}


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
    stands for a bin; the observed rate and mean prediction are those of the rows that
    are in the bin.
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
            means = {p.name: p.prob[:-1, -1].mean() for p in found if p.is_binary}
            shared = {"column": name, "value": label, "ordered": bins.ordered}
            yield from _observed(rows, shared, bins.code == b, means)


def _observed(
    rows: Rows, shared: dict[str, Any], inside: NDArray, means: dict[str, float]
) -> Iterator[dict[str, Any]]:
    """A row for each task, of the rows that are inside."""
    for task in rows.binary:
        own = inside[task.rows]
        weight, nan = weights_of(task)[own], float("nan")
        found = {"mean_prediction": nan, "observed_rate": nan, "low": nan, "high": nan}
        if weight.sum() > 0:
            rate = float(np.average(task.codes[own] == 1, weights=weight))
            low, high = wilson(rate, weight.sum() ** 2 / (weight**2).sum())
            predicted = float(np.average(task.prob[own], weights=weight))
            values = predicted, rate, low, high
            found = dict(zip(found, values, strict=True))
        yield {
            **shared,
            "task": task.name,
            "rows": int(own.sum()),
            "effect": float(means[task.name]),
            **found,
        }


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
    even = shares.max() < 1.5 / len(experts)
    if even:
        return f"{task} uses all {len(experts)} shared experts about equally."
    rest = ", nearly alone" if shares.max() > 0.9 else ""
    return (
        f"{task} uses {experts[first]} most ({shares[first]:.0%} of its gates){rest}."
    )
