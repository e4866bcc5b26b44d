"""How much each column matters to each task, and how sure that is.

What a task loses in ROC AUC, or of numbers in R², when a column is shuffled. Other rows
would give another loss, and other shuffles too: the interval is of both. The part of
rows comes from how each row moves the score (of AUC: DeLong et al., Biometrics 44,
1988), before and after the shuffle, so that what both have in common cancels out; with
groups, rows of one group move it together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._compat import _check_feature_names_in
from ..inspection._any_model import Predicted, network_within, predictions
from ..inspection._fitted import FieldsPrediction, encode, final_estimator
from ..inspection._importance import columns_of_fields, taken_each
from ..metrics._numbers import ObservedNumbers
from ..metrics._tasks import ObservedTask
from ._quality import NORMAL, weights_of
from ._rows import Rows, with_column_of

Shuffled = Callable[[int, NDArray], Sequence[Predicted]]


def importance(
    model: Any, rows: Rows, n_repeats: int, rng: np.random.RandomState
) -> Iterator[dict[str, Any]]:
    """A row for each task and column, with the 95 % interval of what is lost."""
    names, shuffled = _by_columns(model, rows)
    before = [Scored.of(task) for task in rows.tasks]
    # one seed for all columns, as scikit-learn has it
    seed = rng.randint(np.iinfo(np.int32).max + 1)
    for j, name in enumerate(names):
        draws = np.random.RandomState(seed)
        order, again = np.arange(len(rows)), np.arange(len(rows))
        after = []
        for _ in range(n_repeats):
            draws.shuffle(again)
            order = order[again]
            other = rows.with_predictions(shuffled(j, order))
            after.append([Scored.of(task) for task in other.tasks])
        for task, first, *moved in zip(rows.tasks, before, *after, strict=True):
            metric = "roc_auc" if isinstance(task, ObservedTask) else "r2"
            found = {"task": task.name, "column": name, "metric": metric}
            yield found | _lost(first, moved, task.rows, rows.group)


def _by_columns(model: Any, rows: Rows) -> tuple[Sequence[str], Shuffled]:
    """Columns, and what is predicted where the rows of one are in another order."""
    if not reads_raw_columns(model):  # the table is shuffled before it is read

        def predicted(j: int, order: NDArray) -> Sequence[Predicted]:
            return predictions(model, with_column_of(rows.X, j, order), rows.y.names)

        return [column.name for column in rows.columns], predicted
    fields, final = encode(model, rows.X), final_estimator(model)
    names = tuple(map(str, _check_feature_names_in(final)))
    columns = np.array(columns_of_fields(model, names), dtype=int)
    still = np.arange(len(rows))[:, None]

    def encoded(j: int, order: NDArray) -> Sequence[Predicted]:
        places = np.where(columns == j, order[:, None], still)
        _, found = FieldsPrediction(model, taken_each(fields, places))._predicted(None)
        pairs = zip(rows.predicted, found, strict=True)
        return [Predicted(p.name, p.classes, np.asarray(f, float)) for p, f in pairs]

    return names, encoded


def reads_raw_columns(model: Any) -> bool:
    """Whether a network reads the columns of X themselves, and no step's before it."""
    final, _ = network_within(model)
    if final is None or final.encoder_.bag_weights:
        return False
    return final is model or getattr(model, "best_estimator_", None) is final


@dataclass(frozen=True)
class Scored:
    """A score, and how much each row moves it.

    Attributes
    ----------
    value : float
    moves : ndarray of shape (n_rows,)
        To first order; their squares sum to the variance.
    """

    value: float
    moves: NDArray

    @classmethod
    def of(cls, task: ObservedTask | ObservedNumbers) -> Scored:
        """ROC AUC, of more than two classes its mean over them; R² of numbers."""
        if isinstance(task, ObservedNumbers):
            return r2(task.true, task.predicted, weights_of(task))
        scores = {1: task.prob} if task.is_binary else dict(enumerate(task.prob.T))
        found = [
            auc(task.codes == code, score, weights_of(task))
            for code, score in scores.items()
            if 0 < (task.codes == code).sum() < len(task.codes)
        ]
        if not found:
            return cls(np.nan, np.full(len(task.codes), np.nan))
        value = float(np.mean([one.value for one in found]))
        return cls(value, np.mean([one.moves for one in found], axis=0))


def auc(positive: NDArray, score: NDArray, weight: NDArray) -> Scored:
    """ROC AUC: the share of pairs of a positive and a negative that are in order."""
    _, place = np.unique(score, return_inverse=True)
    hits, misses = (np.bincount(place, weight * own) for own in (positive, ~positive))
    below = (np.cumsum(misses) - misses / 2) / misses.sum()
    above = 1 - (np.cumsum(hits) - hits / 2) / hits.sum()
    value = float(np.average(below[place[positive]], weights=weight[positive]))
    moves = np.empty(len(score))
    for own, won in ((positive, below), (~positive, above)):
        w = weight[own] / weight[own].sum()
        worth = 1 / (w**2).sum()  # rows of like weight (Kish)
        few = np.sqrt(worth / (worth - 1)) if worth > 1 + 1e-9 else np.nan
        moves[own] = few * w * (won[place[own]] - value)
    return Scored(value, moves)


def r2(true: NDArray, predicted: NDArray, weight: NDArray) -> Scored:
    """R²: one less the squared errors over those of the mean."""
    if len(true) < 2 or np.ptp(true) == 0:
        return Scored(np.nan, np.full(len(true), np.nan))
    error = weight * (true - predicted) ** 2
    spread = weight * (true - np.average(true, weights=weight)) ** 2
    left = error.sum() / spread.sum()
    return Scored(float(1 - left), (left * spread - error) / spread.sum())


def _lost(
    before: Scored, after: Sequence[Scored], rows: NDArray, group: NDArray | None
) -> dict[str, float]:
    losses = before.value - np.array([one.value for one in after])
    moves = np.mean([before.moves - one.moves for one in after], axis=0)
    if group is not None:
        moves = np.bincount(group[rows], moves)
    variance = (moves**2).sum()
    if len(after) > 1:
        variance += losses.var(ddof=1) / len(after)
    mean, half = float(losses.mean()), float(NORMAL * np.sqrt(variance))
    return {"importance": mean, "low": mean - half, "high": mean + half}
