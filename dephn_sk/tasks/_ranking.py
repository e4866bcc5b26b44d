"""Area under the ROC curve, of all rows or of each group of rows."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning

from .._compat import warn


def auc_by_group(
    positive: NDArray, score: NDArray, weight: NDArray | None, group: NDArray
) -> tuple[NDArray, NDArray]:
    """AUC (NaN where a group has one class) and total weight of each group."""
    order = np.lexsort((score, group))
    positive, score, group = positive[order], score[order], group[order]
    weight = np.ones(len(order)) if weight is None else weight[order]
    opens_group = np.r_[True, group[1:] != group[:-1]]
    ties = np.flatnonzero(opens_group | np.r_[True, score[1:] != score[:-1]])
    # all sums are over blocks of equal scores within a group
    wins = np.add.reduceat(np.where(positive, weight, 0.0), ties)
    losses = np.add.reduceat(np.where(positive, 0.0, weight), ties)
    groups = np.flatnonzero(opens_group[ties])
    below = np.cumsum(losses) - losses
    below -= np.repeat(below[groups], np.diff(groups, append=len(ties)))
    n_positive = np.add.reduceat(wins, groups)
    n_negative = np.add.reduceat(losses, groups)
    ranked_right = np.add.reduceat(wins * (below + losses / 2), groups)
    with np.errstate(invalid="ignore"):  # 0 / 0 where one class is missing
        auc = ranked_right / (n_positive * n_negative)
    return auc, n_positive + n_negative


def roc_auc(
    positive: NDArray, score: NDArray, sample_weight: NDArray | None = None
) -> float:
    """AUC of all rows; NaN where one class is there, or a score is no number.

    >>> roc_auc(np.array([False, True, True]), np.array([0.2, 0.1, 0.3]))
    0.5
    """
    if not len(score) or np.isnan(score).any():
        return np.nan
    if sample_weight is None or (sample_weight == 1).all():
        return _unweighted_auc(positive, score)
    one_group = np.zeros(len(score), dtype=int)
    (auc,), _ = auc_by_group(positive, score, sample_weight, one_group)
    return float(auc)


def _unweighted_auc(positive: NDArray, score: NDArray) -> float:
    """The same where each row counts once: by whole numbers, in half of the memory."""
    order = np.argsort(score)
    score, right = score[order], np.cumsum(positive[order])
    del order
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))  # of equal scores
    del score
    right = right[last]
    wrong = last + 1 - right
    del last
    pairs = float(right[-1]) * float(wrong[-1])
    below = wrong.astype(np.float64)
    below[1:] += wrong[:-1]
    below *= np.diff(right, prepend=0)
    return float(below.sum() / 2 / pairs) if pairs else np.nan


def warn_undefined(metric: str, task: str, why: str) -> float:
    """NaN, and a warning that names the task."""
    warn(
        f"{metric} of task {task!r} is undefined: {why}. It is NaN, and left out of a "
        "mean over tasks.",
        UndefinedMetricWarning,
    )
    return np.nan


def mean_over_tasks(values: ArrayLike) -> float:
    """Mean of the tasks that have a value; NaN where none has."""
    values = np.asarray(values)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan
