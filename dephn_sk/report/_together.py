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


def _of_two_classes(rows: Rows) -> Iterator[tuple[Predicted, NDArray, NDArray]]:
    """Predictions, labels (0 where missing) and where these are observed."""
    for column, one in zip(rows.y.columns, rows.predicted, strict=True):
        if one.is_binary:
            yield one, _positive(column, one), column.observed


def _positive(column: Column, one: Predicted) -> NDArray:
    positive = np.zeros(len(column), dtype=bool)
    positive[column.observed] = [label == one.classes[1] for label in column.known]
    return positive


def _correlation(a: NDArray, b: NDArray) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def together(rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each pair of tasks of two classes, where both are observed."""
    for (one, y1, seen1), (two, y2, seen2) in combinations(_of_two_classes(rows), 2):
        both = seen1 & seen2
        a, b = y1[both], y2[both]
        yield {
            "task": one.name,
            "other": two.name,
            "rows": int(both.sum()),
            "label_correlation": _correlation(a * 1.0, b * 1.0),
            "prediction_correlation": _correlation(one.prob[:, 1], two.prob[:, 1]),
            "other_rate": float(b.mean()) if len(b) else float("nan"),
            "other_rate_given_task": float(b[a].mean()) if a.any() else float("nan"),
            "mean_prediction_given_task": (
                float(two.prob[both, 1][a].mean()) if a.any() else float("nan")
            ),
        }


def missing(rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each task: how rows without a label are predicted."""
    for column, one in zip(rows.y.columns, rows.predicted, strict=True):
        seen = column.observed
        row = {"task": one.name, "rows": len(seen), "missing": int((~seen).sum())}
        if one.is_binary or not one.classes:
            for name, part in (("observed", seen), ("missing", ~seen)):
                mean = one.prob[part, -1].mean() if part.any() else np.nan
                row[f"mean_prediction_{name}"] = float(mean)
        yield row


def funnel(model: Any, rows: Rows) -> Iterator[dict[str, Any]]:
    """A row for each task that can only happen where another did.

    Where the model knows of none, that are pairs without a violation in so many rows
    that chance would have brought one.
    """
    known = dict(getattr(tasks_of(model), "condition_names", {}))
    for (one, y1, seen1), (two, y2, seen2) in permutations(_of_two_classes(rows), 2):
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
                "share_of_predictions": float(above.mean()),
            }
