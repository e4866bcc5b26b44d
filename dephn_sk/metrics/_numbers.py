"""Metrics of each task whose labels are numbers, on the rows where it is observed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from ..tasks import Column, read_columns
from ..tasks._ranking import warn_undefined
from ._tasks import split_weights


@dataclass(frozen=True)
class ObservedNumbers:
    """What one task's metric reads: its observed rows of positive weight.

    Attributes
    ----------
    name : str
    rows : ndarray of shape (n_samples,), bool
        The rows that the other attributes hold.
    true, predicted : ndarray of shape (n_rows,)
    weight : ndarray of shape (n_rows,) or None
    """

    name: str
    rows: NDArray
    true: NDArray
    predicted: NDArray
    weight: NDArray | None


def iter_numbers(
    y_true: Any, y_pred: Any, sample_weight: Any = None
) -> Iterator[ObservedNumbers]:
    """The tasks of y_true, each with its own observed rows."""
    labels = read_columns(y_true, "y_true")
    given, shape = np.asarray(y_pred), (len(labels), len(labels.columns))
    if given.shape != shape and (shape[1] > 1 or given.shape != shape[:1]):
        raise ValueError(
            f"y_pred has shape {given.shape}, while y_true has {shape[1]} tasks: "
            f"expected {shape}."
        )
    columns = given.reshape(shape).T
    weights = split_weights(sample_weight, labels)
    for column, own, weight in zip(labels.columns, columns, weights, strict=True):
        rows = column.observed
        if weight is not None:
            rows = rows & (weight > 0)
            weight = weight[rows]
        true, predicted = _floats(column, rows), own[rows].astype(np.float64)
        if not np.isfinite(predicted).all():
            raise ValueError(f"y_pred of task {column.name!r} holds NaN or infinity.")
        yield ObservedNumbers(column.name, rows, true, predicted, weight)


def _floats(column: Column, rows: NDArray) -> NDArray[np.float64]:
    try:
        values = column.values[rows].astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"Task {column.name!r} holds {column.known[0]!r}, no number."
        ) from None
    if not np.isfinite(values).all():
        raise ValueError(f"Task {column.name!r} contains infinity.")
    return values


def _each(
    name: str, metric: Callable[[ObservedNumbers], float], *given: Any
) -> NDArray:
    """The metric of each task; NaN where nothing is observed."""
    return np.array(
        [
            metric(task)
            if len(task.true)
            else warn_undefined(name, task.name, "no row is observed")
            for task in iter_numbers(*given)
        ]
    )


def _r2(task: ObservedNumbers) -> float:
    if len(task.true) < 2:
        return warn_undefined("R²", task.name, "it needs two rows")
    return float(r2_score(task.true, task.predicted, sample_weight=task.weight))


def _absolute_error(task: ObservedNumbers) -> float:
    return float(np.average(np.abs(task.true - task.predicted), weights=task.weight))


def _concentration(amount: NDArray, by: NDArray, weight: NDArray) -> float:
    """How much more of the amount the rows of high rank hold than their share.

    The mean over pairs of rows of amount times the sign of the difference of ranks,
    over the mean amount; ties share their place.
    """
    _, place = np.unique(by, return_inverse=True)
    mass = np.bincount(place, weight)
    # how much weight lies below a row, less what lies above it
    lead = 2 * np.cumsum(mass) - mass - mass.sum()
    total = np.sum(weight * amount) * mass.sum()
    return float(np.sum(weight * amount * lead[place]) / total)


def _gini(task: ObservedNumbers) -> float:
    if (task.true < 0).any():
        raise ValueError(
            f"Task {task.name!r} holds {task.true.min()}; the Gini coefficient is of "
            "amounts of at least 0."
        )
    if (task.true == task.true[0]).all():
        return warn_undefined("Gini", task.name, "all amounts are alike")
    weight = np.ones(len(task.true)) if task.weight is None else task.weight
    best = _concentration(task.true, task.true, weight)
    return _concentration(task.true, task.predicted, weight) / best


# of one task, by the name of the column in tables
METRICS_OF_NUMBERS: dict[str, Callable[[ObservedNumbers], float]] = {
    "r2": _r2,
    "mean_absolute_error": _absolute_error,
}


def task_r2(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> NDArray:
    """R² of each task, on the rows where it is observed.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Numbers. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_pred : array-like of shape (n_samples,) or (n_samples, n_tasks)
        What ``predict`` gives.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
            default=None
        Weights, not negative. A row of weight 0 counts as not observed.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning` that names the task, for fewer than two
        observed rows.

    Examples
    --------
    >>> from dephn_sk.metrics import task_r2
    >>> task_r2([1.0, 2.0, 3.0, None], [1.0, 2.0, 2.0, 9.0])
    array([0.5])
    """
    return _each("R²", _r2, y_true, y_pred, sample_weight)


def task_mean_absolute_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None
) -> NDArray:
    """Mean absolute error of each task in its units, on the rows where it is observed.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Numbers. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_pred : array-like of shape (n_samples,) or (n_samples, n_tasks)
        What ``predict`` gives.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
            default=None
        Weights, not negative. A row of weight 0 counts as not observed.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning` that names the task, where no row is
        observed.

    Examples
    --------
    >>> from dephn_sk.metrics import task_mean_absolute_error
    >>> task_mean_absolute_error([1.0, 2.0, None], [2.0, 2.0, 9.0])
    array([0.5])
    """
    name = "Mean absolute error"
    return _each(name, _absolute_error, y_true, y_pred, sample_weight)


def task_gini(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> NDArray:
    r"""How well predictions rank rows by their amounts: the normalized Gini [1]_.

    .. math::
        G = \frac{C(\hat y)}{C(y)}, \quad C(r) =
        \frac{\sum_{ij} w_i w_j y_i \, \mathrm{sign}(r_i - r_j)}
        {\sum_i w_i \sum_i w_i y_i}

    1 is the order of the amounts themselves, 0 no order. Of a label of 0 and 1 it is
    2 AUC - 1. The scale of predictions has no part in it, as where the rows of the
    highest value are looked for.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Amounts of at least 0. NaN, None or pd.NA is *not observed*. Frames name the
        tasks.
    y_pred : array-like of shape (n_samples,) or (n_samples, n_tasks)
        What ``predict`` gives, or any score. Ties share their place.
    sample_weight : array-like, default=None
        Of shape (n_samples,) or (n_samples, n_tasks), not negative. A row of weight 0
        counts as not observed.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning` that names the task, where all amounts
        are alike.

    References
    ----------
    .. [1] Wang, Liu, Miao, "A Deep Probabilistic Model for Customer Lifetime Value
       Prediction", 2019, arXiv:1912.07753, section 4.

    Examples
    --------
    >>> from dephn_sk.metrics import task_gini
    >>> task_gini([0.0, 1.0, 5.0, None], [0.1, 0.3, 0.2, 0.9])
    array([0.2])
    """
    return _each("Gini", _gini, y_true, y_pred, sample_weight)
