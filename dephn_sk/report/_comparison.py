"""Differences of models on the same rows, and how far chance moves them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning

from ..metrics._auc import mean_auc
from ..metrics._per_task import METRICS_OF_CLASSES
from ..metrics._tasks import ObservedTask
from ._quality import weights_of
from ._rows import Rows
from ._writing import number

Table = list[dict[str, Any]]
METRICS = ("roc_auc", "average_precision", "log_loss", "brier")
LESS_IS_BETTER = ("log_loss", "brier")


def bootstrap(
    of_models: Mapping[str, Rows], n_bootstrap: int, rng: np.random.RandomState
) -> tuple[Table, Table, list[str]]:
    """Scores, differences from the first model with intervals, and words.

    A resample is how often each row, or each row of a group, counts; it is the same for
    all models, so that what rows have in common cancels out.
    """
    first, *others = of_models
    rows = of_models[first]
    counts = [_resampled(rows, rng) for _ in range(n_bootstrap)]
    scores, differences, words = Table(), Table(), list[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for t, task in enumerate(rows.of_classes):
            tasks = {name: of.of_classes[t] for name, of in of_models.items()}
            if not len(task.codes):
                continue
            for metric in _metrics_of(task, rows.group):
                value = {
                    name: _value(metric, one, rows.group) for name, one in tasks.items()
                }
                scores.append({"task": task.name, "metric": metric, **value})
                drawn = {
                    name: _drawn(metric, one, counts) for name, one in tasks.items()
                }
                for other in others if metric in METRICS else ():
                    row = _difference(metric, first, other, value, drawn)
                    differences.append({"task": task.name, **row})
                    words += _in_words(task.name, row)
    return scores, differences, words


def _metrics_of(task: ObservedTask, group: NDArray | None) -> list[str]:
    of_groups = ["gauc"] if group is not None and task.is_binary else []
    return [*METRICS, "calibration_error", *of_groups]


def _value(metric: str, task: ObservedTask, group: NDArray | None) -> float:
    if metric == "gauc":
        return mean_auc("gauc", task, group, True)  # type: ignore[arg-type]
    return float(METRICS_OF_CLASSES[metric](task))


def _resampled(rows: Rows, rng: np.random.RandomState) -> NDArray:
    """How often each row counts."""
    if rows.group is None:
        n = len(rows)
        return np.bincount(rng.randint(n, size=n), minlength=n)
    _, group = np.unique(rows.group, return_inverse=True)
    n = int(group.max()) + 1
    return np.bincount(rng.randint(n, size=n), minlength=n)[group]


def _drawn(metric: str, task: ObservedTask, counts: list[NDArray]) -> NDArray:
    """The metric on each resample; NaN where it is not defined."""
    if metric not in METRICS:
        return np.full(len(counts), np.nan)
    values, weight = [], weights_of(task)
    for count in counts:
        times = count[task.rows] * weight
        kept = times > 0
        part = replace(
            task,
            codes=task.codes[kept],
            prob=task.prob[kept],
            weight=times[kept],
        )
        values.append(METRICS_OF_CLASSES[metric](part) if kept.any() else np.nan)
    return np.array(values, dtype=float)


def _difference(
    metric: str,
    first: str,
    other: str,
    value: dict[str, float],
    drawn: dict[str, NDArray],
) -> dict[str, Any]:
    change = drawn[other] - drawn[first]
    change = change[~np.isnan(change)]
    low, high = np.quantile(change, (0.025, 0.975)) if len(change) else (np.nan,) * 2
    return {
        "metric": metric,
        "model": other,
        "compared_with": first,
        "difference": value[other] - value[first],
        "low": float(low),
        "high": float(high),
    }


def _in_words(task: str, row: dict[str, Any]) -> list[str]:
    """Only where the interval leaves out 0, of ranking and of probabilities."""
    if row["metric"] not in ("roc_auc", "log_loss") or not row["low"] * row["high"] > 0:
        return []
    less = row["metric"] in LESS_IS_BETTER
    better = (row["difference"] < 0) == less
    name = {"roc_auc": "ROC AUC", "log_loss": "log loss"}[row["metric"]]
    return [
        f"{task}: {row['model']} is {'better' if better else 'worse'} than "
        f"{row['compared_with']} in {name}, by {number(abs(row['difference']))} "
        f"({number(row['low'])} to {number(row['high'])})."
    ]
