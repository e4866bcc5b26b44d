"""How tasks go together: labels, predictions, what is missing, and funnels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inspection._any_model import Predicted, tasks_of
from ..tasks import Column
from ._rows import Rows

BY_CHANCE = 0.001


def _of_two_classes(rows: Rows) -> Iterator[tuple[Predicted, NDArray, NDArray, int]]:
    """Predictions, labels (0 where missing), where these are observed, and place."""
    for t, (column, one) in enumerate(zip(rows.y.columns, rows.predicted, strict=True)):
        if one.is_binary:
            yield one, _positive(column, one), column.observed, t


def _positive(column: Column, one: Predicted) -> NDArray:
    positive = np.zeros(len(column), dtype=bool)
    positive[column.observed] = [label == one.classes[1] for label in column.known]
    return positive


def _correlation(a: NDArray, b: NDArray, weight: NDArray) -> float:
    kept = weight > 0
    a, b, weight = a[kept], b[kept], weight[kept]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    cov = np.cov(a, b, aweights=weight, bias=True)
    return float(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))


def _mean(values: NDArray, weight: NDArray) -> float:
    return float(np.average(values, weights=weight)) if weight.any() else float("nan")


def _weight(rows: Rows, *tasks: int) -> NDArray:
    """Weights of all rows in some tasks; of two, their geometric mean."""
    given = [rows.weight_of(t) for t in tasks]
    known = [np.ones(len(rows)) if one is None else one for one in given]
    return np.prod(known, axis=0) ** (1 / len(known))


def together(rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each pair of tasks of two classes, where both are observed."""
    for first, second in combinations(_of_two_classes(rows), 2):
        (one, y1, seen1, t1), (two, y2, seen2, t2) = first, second
        both = seen1 & seen2
        a, b, weight = y1[both], y2[both], _weight(rows, t1, t2)[both]
        p, q = one.prob[both, 1], two.prob[both, 1]
        yield {
            "task": one.name,
            "other": two.name,
            "rows": int(both.sum()),
            "label_correlation": _correlation(a * 1.0, b * 1.0, weight),
            "prediction_correlation": _correlation(p, q, weight),
            "other_rate": _mean(b, weight),
            "other_rate_given_task": _mean(b[a], weight[a]),
            "mean_prediction_given_task": _mean(q[a], weight[a]),
        }


def missing(rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each task: how rows without a label are predicted.

    And the task, if any, without which no row has a label, by more than chance.
    """
    known = list(_of_two_classes(rows))
    for t, (column, one) in enumerate(zip(rows.y.columns, rows.predicted, strict=True)):
        seen, weight = column.observed, _weight(rows, t)
        row = {"task": one.name, "rows": len(seen), "missing": int((~seen).sum())}
        if one.is_binary or not one.classes:
            for name, part in (("observed", seen), ("missing", ~seen)):
                mean = _mean(one.prob[part, -1], weight[part])
                row[f"mean_prediction_{name}"] = mean
        if where := [o.name for o, y, at, _ in known if _only_where(seen, y, at)]:
            row["observed_only_where"] = where[0]
        yield row


def _only_where(seen: NDArray, happened: NDArray, known: NDArray) -> bool:
    """Whether labels are there only where another task happened."""
    both = seen & known
    if seen.all() or not both.any() or not happened[both].all():
        return False
    return bool(happened[known].mean() ** both.sum() < BY_CHANCE)


def funnel(model: Any, rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each task that can only happen where another did.

    Where the model knows of none, that are pairs without a violation in so many rows
    that chance would have brought one.
    """
    known = dict(getattr(tasks_of(model), "condition_names", {}))
    for first, second in permutations(_of_two_classes(rows), 2):
        (one, y1, seen1, t1), (two, y2, seen2, _) = first, second
        both = seen1 & seen2
        wrong = int((y1 & ~y2 & both).sum())
        rate = y1[both].mean() if both.any() else 0.0
        # the chance of no violation, if the two went their own ways
        by_chance = (1 - rate) ** (~y2 & both).sum()
        nested = wrong == 0 and by_chance < BY_CHANCE and (~y1 & y2 & both).any()
        if known.get(one.name) == two.name or (not known and nested):
            above = one.prob[:, 1] > two.prob[:, 1]
            yield {
                "task": one.name,
                "condition": two.name,
                "known_to_model": bool(known),
                "rows": int(both.sum()),
                "labels_against_it": wrong,
                "predictions_against_it": int(above.sum()),
                "share_of_predictions": _mean(above, _weight(rows, t1)),
            }
