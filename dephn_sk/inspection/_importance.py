"""How much each column matters to each task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance as _permutation_importance
from sklearn.utils import Bunch

from .._compat import _check_feature_names_in
from ..logs import check_in_memory
from ..metrics import task_scorer
from ..metrics._scorer import METRICS, OF_NUMBERS
from ..preprocessing import Fields
from ..tasks import Tasks
from ._fitted import FieldsPrediction, encode, field_names, final_estimator


def permutation_importance(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    scoring: str | Callable = "roc_auc",
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: Any = None,
    sample_weight: Any = None,
    max_samples: float = 1.0,
) -> dict[str, Bunch]:
    """What each task's score loses when a column is shuffled.

    The same numbers as from :func:`sklearn.inspection.permutation_importance` with a
    :func:`~dephn_sk.metrics.task_scorer` for each task, but the table is encoded once
    rather than for every shuffle, and all tasks are scored on one prediction.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted. Of a Pipeline, the columns that its last step reads are shuffled.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
        NaN is a label that was not observed.
    scoring : str or callable, default="roc_auc"
        The metric, as for :func:`~dephn_sk.metrics.task_scorer`, that needs no groups;
        for numbers, such as ``"r2"``. Tasks that it is not for are left out.
    n_repeats : int, default=5
        Shuffles of each column.
    n_jobs : int, default=None
        Columns to shuffle at a time, see joblib.
    random_state : int, RandomState instance or None, default=None
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None
    max_samples : int or float, default=1.0
        Rows to draw, without replacement, for each column.

    Returns
    -------
    dict of str to Bunch
        For each task:

        importances_mean, importances_std : ndarray of shape (n_features,)
            Over the repeats.
        importances : ndarray of shape (n_features, n_repeats)
            Of each repeat.
        feature_names : tuple of str
            The columns that were shuffled.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import permutation_importance
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target)
    DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> result = permutation_importance(model, log.data, log.target, random_state=0)
    >>> result["click"].importances.shape
    (12, 5)
    """
    check_in_memory(X, "X of permutation_importance")
    final = final_estimator(estimator)
    if bag_weights := final.encoder_.bag_weights:
        raise ValueError(
            "A column of members' weights cannot be shuffled apart from the members: "
            f"bag_weights={bag_weights!r}. Leave the weights out."
        )
    fields = encode(estimator, X)
    columns = tuple(map(str, _check_feature_names_in(final)))
    names = _scored(final.tasks_, scoring)
    scorers = {name: task_scorer(scoring, task=name) for name in names}
    # what is shuffled holds, for each column, the number of the row to take it from
    rows = np.repeat(np.arange(len(fields))[:, None], len(columns), axis=1)
    result = _permutation_importance(
        estimator,
        rows,
        y,
        scoring=_RowScorer(fields, columns_of_fields(estimator, columns), scorers),
        n_repeats=n_repeats,
        n_jobs=n_jobs,
        random_state=random_state,
        sample_weight=sample_weight,
        max_samples=max_samples,
    )
    for scores in result.values():
        scores.feature_names = columns
    return result


def _scored(tasks: Tasks, scoring: Any) -> list[str]:
    """The tasks that a metric is for."""
    metric = METRICS.get(scoring, scoring) if isinstance(scoring, str) else scoring
    of_all = metric not in METRICS.values() or metric is METRICS["score"]
    numbers = metric in OF_NUMBERS
    names = [n for n in tasks.names if of_all or (n in tasks.numeric) is numbers]
    if not names:
        raise ValueError(
            f"scoring={scoring!r} is for none of the tasks {list(tasks.names)}, which "
            f"are {'classes' if numbers else 'numbers'}. Give "
            f"{'roc_auc' if numbers else 'r2'!r}, for instance."
        )
    return names


@dataclass
class _RowScorer:
    """Scores of all tasks on a table of which each column's rows are given.

    All are of one prediction.
    """

    fields: Fields
    columns: Sequence[int]  # of each field
    scorers: dict[str, Any]

    def __call__(
        self, estimator: Any, rows: NDArray, y: Any, sample_weight: Any = None
    ) -> dict[str, float]:
        predicted = FieldsPrediction(
            estimator, taken_each(self.fields, rows[:, self.columns])
        )
        return {
            name: scorer(predicted, rows, y, sample_weight=sample_weight)
            for name, scorer in self.scorers.items()
        }


def taken_each(fields: Fields, rows: NDArray) -> Fields:
    """Fields of which each takes its own rows, (n_samples, n_fields)."""
    codes, numbers, bags = fields.codes, fields.numbers, fields.bags
    ends = np.cumsum([codes.shape[1], numbers.shape[1]])
    of_codes, of_numbers, of_bags = np.split(rows, ends, axis=1)
    return Fields(
        np.take_along_axis(codes, of_codes, axis=0),
        np.take_along_axis(numbers, of_numbers, axis=0),
        tuple(bag.take(r) for bag, r in zip(bags, of_bags.T, strict=True)),
    )


def columns_of_fields(estimator: Any, columns: Sequence[str]) -> list[int]:
    """For each field, the column that it is made from.

    A column of dates makes several fields, whose names start with its own.
    """
    found = []
    for field in field_names(estimator):
        parents = [name for name in columns if f"{field}_".startswith(f"{name}_")]
        found.append(columns.index(max(parents, key=len)))
    return found
