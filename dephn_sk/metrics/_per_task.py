"""Metrics of each task on the rows where it is observed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score

from .._compat import warn
from ..tasks._ranking import mean_over_tasks, roc_auc, warn_undefined
from ._tasks import ObservedTask, iter_tasks


def _ranking(name: str, task: ObservedTask, binary: Callable[..., float]) -> float:
    """A binary ranking metric; its mean over one class against the rest."""
    task.check_classes()
    scores = {1: task.prob} if task.is_binary else dict(enumerate(task.prob.T))
    values, absent = [], []
    for code, score in scores.items():
        positive = task.codes == code
        if not positive.any():
            absent.append(task.classes[code])
        elif not positive.all():
            values.append(binary(positive, score, sample_weight=task.weight))
    if not values:
        return warn_undefined(name, task.name, "fewer than two classes are observed")
    if absent:
        warn(
            f"{name} of task {task.name!r} leaves out the classes {absent}: no row of "
            "them is observed.",
            UndefinedMetricWarning,
        )
    return float(np.mean(values))


def _roc_auc(task: ObservedTask) -> float:
    return _ranking("ROC AUC", task, roc_auc)


def _average_precision(task: ObservedTask) -> float:
    return _ranking("Average precision", task, average_precision_score)


def _log_loss(task: ObservedTask) -> float:
    task.check_classes()
    task.check_probabilities()
    eps = np.finfo(task.prob.dtype).eps
    prob = task.prob.astype(float).clip(eps, 1 - eps)
    if task.is_binary:
        observed = np.where(task.codes == 1, prob, 1 - prob)
    else:
        observed = np.take_along_axis(prob, task.codes[:, None], axis=1)[:, 0]
    return float(np.average(-np.log(observed), weights=task.weight))


def _brier(task: ObservedTask) -> float:
    task.check_classes()
    task.check_probabilities()
    if task.is_binary:
        squared = (task.prob - task.codes) ** 2
    else:
        one_hot = np.eye(task.prob.shape[1])[task.codes]
        squared = ((task.prob - one_hot) ** 2).sum(axis=1)
    return float(np.average(squared, weights=task.weight))


def _accuracy(task: ObservedTask) -> float:
    task.check_probabilities()
    predicted = task.prob > 0.5 if task.is_binary else task.prob.argmax(axis=1)
    return float(np.average(predicted == task.codes, weights=task.weight))


def reliability(task: ObservedTask, n_bins: int) -> tuple[NDArray, NDArray, NDArray]:
    """Observed and predicted share, and mass, in bins of about equal mass.

    Of the second class of a binary task, or of the most probable class.
    """
    task.check_classes()
    task.check_probabilities()
    if task.is_binary:
        confidence, hit = task.prob, task.codes
    else:
        confidence = task.prob.max(axis=1)
        hit = task.prob.argmax(axis=1) == task.codes
    weight = np.ones(len(hit)) if task.weight is None else task.weight
    # equal confidences share a bin, so that neither the order of the rows nor
    # repeating a row instead of weighting it changes the bins
    _, value = np.unique(confidence, return_inverse=True)
    mass = np.bincount(value, weights=weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    bins = np.minimum(middle * n_bins, n_bins - 1).astype(int)[value]
    sums = np.stack([np.bincount(bins, weight * x) for x in (hit, confidence, 1)])
    hits, predicted, mass = sums[:, sums[2] > 0]
    return hits / mass, predicted / mass, mass


def _calibration_error(task: ObservedTask, n_bins: int) -> float:
    true, pred, mass = reliability(task, n_bins)
    return float(np.average(np.abs(true - pred), weights=mass))


def _task_score(task: ObservedTask) -> float:
    return _roc_auc(task) if task.is_binary else _accuracy(task)


# of one task, by the name of the column in tables
METRICS_OF_CLASSES: dict[str, Callable[[ObservedTask], float]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
    "accuracy": _accuracy,
    "calibration_error": partial(_calibration_error, n_bins=10),
}


def _per_task(
    name: str, metric: Callable[[ObservedTask], float], *given: Any
) -> NDArray:
    """The metric of each of :func:`iter_tasks`; NaN where nothing is observed."""
    values = []
    for task in iter_tasks(*given):
        if len(task.codes):
            values.append(metric(task))
        else:
            values.append(warn_undefined(name, task.name, "no row is observed"))
    return np.array(values)


def task_roc_auc(
    y_true: Any, y_prob: Any, *, classes: Any = None, sample_weight: Any = None
) -> NDArray:
    """Area under the ROC curve of each task, on the rows where it is observed.

    A multi-class task gives the mean over its classes, each against the rest; a class
    that is not observed is left out, with a warning.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_prob : array-like of shape (n_samples,), (n_samples, 2) or \
            (n_samples, n_tasks), or list of n_tasks arrays of shape \
            (n_samples, n_classes)
        What ``predict_proba`` gives: P(second class) of each binary task, or every
        class' probability. Any score of the second class does as well.
    classes : array-like of shape (n_classes,) or (n_tasks, 2), or list of n_tasks \
            such arrays, default=None
        An estimator's ``classes_``: the labels in the order of their probabilities;
        one flat list holds for every task. By default a task's sorted observed
        labels, which must then be as many as its classes; 0 and 1 need not both be
        observed.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
            default=None
        Weights, not negative. A row of weight 0 counts as not observed.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning` that names the task, where fewer than
        two classes are observed.

    See Also
    --------
    gauc, uauc : Ranking within each user.

    Examples
    --------
    >>> import numpy as np
    >>> from dephn_sk.metrics import task_roc_auc
    >>> y = np.array([[0, 1], [1, 0], [1, np.nan], [0, np.nan]])
    >>> prob = np.array([[0.1, 0.9], [0.8, 0.3], [0.6, 0.5], [0.7, 0.5]])
    >>> task_roc_auc(y, prob)
    array([0.75, 1.  ])
    """
    return _per_task("ROC AUC", _roc_auc, y_true, y_prob, classes, sample_weight)


def task_average_precision(
    y_true: Any, y_prob: Any, *, classes: Any = None, sample_weight: Any = None
) -> NDArray:
    """Average precision of each task, on the rows where it is observed.

    A multi-class task gives the mean over its classes, each against the rest; a class
    that is not observed is left out, with a warning.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_prob : array-like or list of arrays
        Probabilities, in every form that :func:`task_roc_auc` takes. Any score of the
        second class does as well.
    classes : array-like or list of arrays, default=None
        Labels in the order of their probabilities, as in :func:`task_roc_auc`.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
            default=None
        Weights, not negative. A row of weight 0 counts as not observed.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning` that names the task, where fewer than
        two classes are observed.

    Examples
    --------
    >>> from dephn_sk.metrics import task_average_precision
    >>> task_average_precision([0, 1, 1, None], [0.1, 0.8, 0.6, 0.7])
    array([1.])
    """
    return _per_task(
        "Average precision", _average_precision, y_true, y_prob, classes, sample_weight
    )


def task_log_loss(
    y_true: Any, y_prob: Any, *, classes: Any = None, sample_weight: Any = None
) -> NDArray:
    """Log loss of each task in nats, on the rows where it is observed.

    The mean of −log P(observed class), probabilities clipped to [ε, 1 − ε] with the
    machine epsilon of their dtype, as scikit-learn does.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_prob : array-like or list of arrays
        Probabilities, in every form that :func:`task_roc_auc` takes.
    classes : array-like or list of arrays, default=None
        Labels in the order of their probabilities, as in :func:`task_roc_auc`.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
            default=None
        Weights, not negative. A row of weight 0 counts as not observed.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning` that names the task, where no row is
        observed.

    Notes
    -----
    scikit-learn's own ``log_loss`` and its scorer ``"neg_log_loss"`` are silently
    wrong for several binary tasks: they read y of shape (n_samples, n_tasks) as one
    one-hot label, so that only the positives count. Use this function, or
    ``task_scorer("log_loss")``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import log_loss
    >>> from dephn_sk.metrics import task_log_loss
    >>> y = np.array([[0, 1], [1, 0]])
    >>> prob = np.array([[0.2, 0.8], [0.5, 0.5]])
    >>> task_log_loss(y, prob)
    array([0.458..., 0.458...])
    >>> log_loss(y[:, 0], prob[:, 0])
    0.458...
    """
    return _per_task("Log loss", _log_loss, y_true, y_prob, classes, sample_weight)


def task_brier(
    y_true: Any, y_prob: Any, *, classes: Any = None, sample_weight: Any = None
) -> NDArray:
    """Brier score loss of each task, on the rows where it is observed.

    The mean of (P(second class) − label)², in [0, 1]. For a multi-class task the
    squares are summed over the classes, in [0, 2]; scikit-learn scales the same way.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_prob : array-like or list of arrays
        Probabilities, in every form that :func:`task_roc_auc` takes.
    classes : array-like or list of arrays, default=None
        Labels in the order of their probabilities, as in :func:`task_roc_auc`.
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
    >>> from dephn_sk.metrics import task_brier
    >>> task_brier([0, 1, None], [0.0, 0.5, 0.9])
    array([0.125])
    """
    return _per_task("Brier score", _brier, y_true, y_prob, classes, sample_weight)


def task_calibration_error(
    y_true: Any,
    y_prob: Any,
    *,
    n_bins: int = 10,
    classes: Any = None,
    sample_weight: Any = None,
) -> NDArray:
    r"""Expected calibration error of each task, on the rows where it is observed.

    .. math:: \sum_b \frac{n_b}{n} \left| \bar y_b - \bar p_b \right|

    over bins of equal mass: each holds about the same number (weight) of rows, sorted
    by probability; equal probabilities stay in one bin. Bins of equal width would put
    nearly all rows of a rare behavior into one. A multi-class task is judged by its
    most probable class: is it right as often as its probability says?

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_prob : array-like or list of arrays
        Probabilities, in every form that :func:`task_roc_auc` takes.
    n_bins : int, default=10
        Number of bins. More bins see more, and add more noise.
    classes : array-like or list of arrays, default=None
        Labels in the order of their probabilities, as in :func:`task_roc_auc`.
    sample_weight : array-like of shape (n_samples,) or that of y_true, default=None
        Weights, not negative. A row of weight 0 counts as not observed.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        Between 0 and 1; NaN, with an `UndefinedMetricWarning` that names the task,
        where no row is observed.

    References
    ----------
    .. [1] Nixon et al. (2019). "Measuring Calibration in Deep Learning". CVPR
       Workshops. (Equal-mass bins.)

    Examples
    --------
    >>> from dephn_sk.metrics import task_calibration_error
    >>> task_calibration_error([0, 1, 0, 1], [0.5, 0.5, 0.9, 0.9], n_bins=2)
    array([0.2])
    """
    if not (isinstance(n_bins, (int, np.integer)) and n_bins >= 1):
        raise ValueError(f"n_bins must be a positive integer, got {n_bins!r}.")
    error = partial(_calibration_error, n_bins=n_bins)
    return _per_task("Calibration error", error, y_true, y_prob, classes, sample_weight)


def task_accuracy(
    y_true: Any, y_prob: Any, *, classes: Any = None, sample_weight: Any = None
) -> NDArray:
    """Share of rows whose most probable class is the observed one, for each task.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks. A label
        that is none of the classes counts as wrong.
    y_prob : array-like or list of arrays
        Probabilities, in every form that :func:`task_roc_auc` takes.
    classes : array-like or list of arrays, default=None
        Labels in the order of their probabilities, as in :func:`task_roc_auc`.
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
    >>> from dephn_sk.metrics import task_accuracy
    >>> task_accuracy(["no", "yes", None], [0.2, 0.4, 0.9])
    array([0.5])
    """
    return _per_task("Accuracy", _accuracy, y_true, y_prob, classes, sample_weight)


def task_score(
    y_true: Any, y_prob: Any, *, classes: Any = None, sample_weight: Any = None
) -> NDArray:
    """ROC AUC of each binary task, accuracy of each multi-class task."""
    return _per_task("Score", _task_score, y_true, y_prob, classes, sample_weight)


def mean_task_score(
    y_true: Any, y_prob: Any, *, classes: Any = None, sample_weight: Any = None
) -> float:
    """Mean over tasks of ROC AUC (binary task) or accuracy (multi-class task).

    The default score of the multi-task estimators.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_prob : array-like or list of arrays
        Probabilities, in every form that :func:`task_roc_auc` takes.
    classes : array-like or list of arrays, default=None
        Labels in the order of their probabilities, as in :func:`task_roc_auc`.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
            default=None
        Weights, not negative. A row of weight 0 counts as not observed.

    Returns
    -------
    score : float
        A task without a value, such as a binary task with one observed class, is left
        out of the mean, with an `UndefinedMetricWarning` that names it. NaN where no
        task has a value.

    Examples
    --------
    >>> import numpy as np
    >>> from dephn_sk.metrics import mean_task_score
    >>> y = np.array([[0, 1], [1, 0], [1, np.nan], [0, np.nan]])
    >>> prob = np.array([[0.1, 0.9], [0.8, 0.3], [0.6, 0.5], [0.7, 0.5]])
    >>> mean_task_score(y, prob)
    0.875
    """
    values = task_score(y_true, y_prob, classes=classes, sample_weight=sample_weight)
    return mean_over_tasks(values)
