"""How good the predictions of each task are: scores, calibration, lift, thresholds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.exceptions import UndefinedMetricWarning

from ..metrics._auc import mean_auc
from ..metrics._numbers import METRICS_OF_NUMBERS, ObservedNumbers
from ..metrics._per_task import METRICS_OF_CLASSES, reliability
from ..metrics._tasks import ObservedTask
from ..model_selection._thresholds import best_threshold
from ._rows import Rows

SHARES = (0.01, 0.05, 0.1)
N_BINS = 10
CONFIDENCE = 0.95
NORMAL = float(norm.isf((1 - CONFIDENCE) / 2))


def weights_of(task: ObservedTask | ObservedNumbers) -> NDArray:
    """Of the observed rows."""
    return np.ones(int(task.rows.sum())) if task.weight is None else task.weight


def scores(rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each task of classes; of several classes, means over them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for task in rows.of_classes:
            yield {"task": task.name, **_scores_of(task, rows.group, len(rows))}


def _scores_of(
    task: ObservedTask, group: NDArray | None, n_rows: int
) -> dict[str, Any]:
    n, weight = len(task.codes), weights_of(task)
    found: dict[str, Any] = {"rows": n, "missing_labels": 1 - n / n_rows}
    if not n:
        return found
    shares = np.bincount(task.codes, weight, len(task.classes)) / weight.sum()
    known = shares[shares > 0]
    if task.is_binary:
        found["positives"] = int((task.codes == 1).sum())
        found["rate"] = float(shares[1])
        found["mean_prediction"] = float(np.average(task.prob, weights=weight))
    else:
        found["classes"] = len(task.classes)
    values = {name: metric(task) for name, metric in METRICS_OF_CLASSES.items()}
    found["roc_auc"] = values["roc_auc"]
    if group is not None and task.is_binary:
        for name, weighted in (("gauc", True), ("uauc", False)):
            found[name] = mean_auc(name, task, group, weighted)
    found["log_loss"] = values["log_loss"]
    found["base_log_loss"] = base = float(-(known * np.log(known)).sum())
    found["gain_over_base"] = 1 - values["log_loss"] / base if base else np.nan
    return found | values


def numbers(rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each task whose labels are numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for task in rows.of_numbers:
            n = len(task.true)
            row = {"task": task.name, "rows": n, "missing_labels": 1 - n / len(rows)}
            if n:
                for name, values in (("mean", task.true), ("mean_prediction", None)):
                    values = task.predicted if values is None else values
                    row[name] = float(np.average(values, weights=task.weight))
                row |= {k: metric(task) for k, metric in METRICS_OF_NUMBERS.items()}
            yield row


def calibration(rows: Rows, n_bins: int = N_BINS) -> Iterator[dict[str, Any]]:
    """Predicted and observed rate in bins of equal mass, with Wilson's interval.

    Of a task of several classes, how often the most probable one is right. Weighted
    rows count for as many as their weights are worth (Kish).
    """
    for task in rows.of_classes:
        if not len(task.codes):
            continue
        weight = weights_of(task)
        worth = weight.sum() / (weight**2).sum()
        bins = zip(*reliability(task, n_bins), strict=True)
        for b, (true, predicted, mass) in enumerate(bins):
            low, high = wilson(true, mass * worth)
            yield {
                "task": task.name,
                "bin": b + 1,
                "weight": float(mass),
                "predicted": float(predicted),
                "observed": float(true),
                "low": low,
                "high": high,
            }


def wilson(rate: float, n: float) -> tuple[float, float]:
    """The interval of a rate of n rows."""
    z = NORMAL
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # exact ends, where differences leave rounding
    low = 0.0 if rate <= 0 else max(float(middle - half), 0.0)
    return low, 1.0 if rate >= 1 else min(float(middle + half), 1.0)


def lift(rows: Rows) -> Iterator[dict[str, Any]]:
    """What the most probable rows hold; ties at the end share what is left."""
    for task in rows.binary:
        weight, positive = weights_of(task), task.codes == 1
        if not positive.any():
            continue
        _, place = np.unique(-task.prob, return_inverse=True)
        mass = np.bincount(place, weight)
        hits = np.bincount(place, weight * positive)
        reached = np.append(0, np.cumsum(mass)), np.append(0, np.cumsum(hits))
        for share in SHARES:
            acted = share * mass.sum()
            found = float(np.interp(acted, *reached))
            precision, rate = found / acted, hits.sum() / mass.sum()
            yield {
                "task": task.name,
                "top_share": share,
                "weight": float(acted),
                "precision": precision,
                "gain": found / float(hits.sum()),
                "lift": float(precision / rate),
            }


def thresholds(
    rows: Rows, own: Mapping[str, float], costs: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Precision, recall and share acted on; `own` are those that predict uses."""
    for task in rows.binary:
        weight, positive = weights_of(task), task.codes == 1
        if not positive.any():
            continue
        for what, threshold in _limits(task, weight, own, costs):
            acted = task.prob >= threshold
            tp = float(weight[acted & positive].sum())
            mass, held = float(weight[acted].sum()), float(weight[positive].sum())
            row = {
                "task": task.name,
                "what": what,
                "threshold": threshold,
                "precision": tp / mass if mass else float("nan"),
                "recall": tp / held,
                "share_acted": mass / float(weight.sum()),
            }
            if costs:
                fp_cost, fn_cost = costs.get(task.name, (np.nan, np.nan))
                total = fp_cost * (mass - tp) + fn_cost * (held - tp)
                row["cost_per_row"] = float(total / weight.sum())
            yield row


def _limits(
    task: ObservedTask,
    weight: NDArray,
    own: Mapping[str, float],
    costs: Mapping[str, Any],
) -> Iterator[tuple[str, float]]:
    """Thresholds that are worth a look, and what they are."""
    given = task.name, task.codes == 1, task.prob, weight
    if task.name in own:
        yield "the model's own", float(own[task.name])
    yield "one half", 0.5
    yield "best F1 on these rows", best_threshold(*given, 1.0)
    if task.name in costs:
        fp, fn = costs[task.name]
        goal = np.array([[0.0, -fp], [-fn, 0.0]])
        yield "least cost on these rows", best_threshold(*given, goal)
    for share in (*SHARES, 0.2, 0.5):
        yield f"top {share:.0%}", _top(task.prob, weight, share)


def _top(prob: NDArray, weight: NDArray, share: float) -> float:
    """The highest probability from which on rows hold a share of all weight."""
    order = np.argsort(-prob, kind="stable")
    reached = np.cumsum(weight[order])
    first = np.searchsorted(reached, share * reached[-1] * (1 - 1e-12))
    return float(prob[order[first]])
