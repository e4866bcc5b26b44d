"""Area under the ROC curve, of all rows or of each group of rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tasks import read_columns
from ..tasks._ranking import auc_by_group, warn_undefined
from ._tasks import ObservedTask, iter_tasks


def group_codes(groups: Any, n_rows: int) -> NDArray:
    """Integer codes of the groups."""
    if groups is None:
        raise ValueError(
            "groups is missing: give each row its group, such as its user. Within "
            "cross_validate or GridSearchCV, call "
            "sklearn.set_config(enable_metadata_routing=True) and pass groups as "
            "metadata (params={'groups': groups}, or fit(X, y, groups=groups))."
        )
    read = read_columns(groups, "groups")
    if len(read.columns) != 1 or len(read) != n_rows:
        shape = (len(read), len(read.columns))[: read.ndim]
        raise ValueError(
            f"groups has shape {shape}, expected ({n_rows},), as many rows as y_true."
        )
    codes = read.columns[0].codes()
    missing = codes < 0
    if missing.any():
        raise ValueError(
            f"groups is missing in {missing.sum()} rows, first in row "
            f"{missing.argmax()}; each row needs its group."
        )
    return codes


def mean_auc(name: str, task: ObservedTask, group: NDArray, weighted: bool) -> float:
    """Mean over the groups with both classes."""
    if not task.is_binary:
        raise ValueError(
            f"{name} takes binary tasks; task {task.name!r} has "
            f"{len(task.classes)} classes."
        )
    task.check_classes()
    if len(task.codes):
        groups = group[task.rows]
        auc, size = auc_by_group(task.codes == 1, task.prob, task.weight, groups)
        defined = ~np.isnan(auc)
        if defined.any():
            weights = size[defined] if weighted else None
            return float(np.average(auc[defined], weights=weights))
    return warn_undefined(name, task.name, "no group has both classes observed")


def gauc(
    y_true: Any,
    y_prob: Any,
    groups: Any,
    *,
    classes: Any = None,
    sample_weight: Any = None,
) -> NDArray:
    r"""Group AUC of each task: the mean of the users' AUC, weighted by impressions.

    .. math:: \frac{\sum_u n_u \mathrm{AUC}_u}{\sum_u n_u}

    over the groups (users) in which both classes are observed; :math:`n_u` is the
    group's number of observed rows, or their weight. A group with one class has no
    AUC and is left out. It tells how well each user's own rows are ranked, where ROC
    AUC also rewards telling active users from others.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels of binary tasks; NaN, None or pd.NA is *not observed*.
    y_prob : array-like of shape (n_samples,) or (n_samples, n_tasks)
        P(second class), or any score. Every form that :func:`task_roc_auc` takes.
    groups : array-like of shape (n_samples,)
        The group of each row: integers, strings or any other values.
    classes : array-like, default=None
        The two classes, as in :func:`task_roc_auc`.
    sample_weight : array-like of shape (n_samples,) or that of y_true, default=None
        Weights of the rows, within the groups and in :math:`n_u`.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning`, where no group has both classes.

    Raises
    ------
    ValueError
        Where groups are missing or a task is not binary.

    See Also
    --------
    uauc : The same mean, each user counting once.

    References
    ----------
    .. [1] Zhou et al. (2018). "Deep Interest Network for Click-Through Rate
       Prediction". KDD. Section 6.3.

    Examples
    --------
    >>> from dephn_sk.metrics import gauc
    >>> users = ["ann", "ann", "ann", "bob", "bob", "eve"]
    >>> gauc([0, 1, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.5], users)
    array([0.6])
    """
    labels = read_columns(y_true, "y_true")
    group = group_codes(groups, len(labels))
    tasks = iter_tasks(labels, y_prob, classes, sample_weight)
    return np.array([mean_auc("gauc", task, group, True) for task in tasks])


def uauc(
    y_true: Any,
    y_prob: Any,
    groups: Any,
    *,
    classes: Any = None,
    sample_weight: Any = None,
) -> NDArray:
    r"""User AUC of each task: the plain mean of the users' AUC.

    .. math:: \frac{1}{|U|} \sum_{u \in U} \mathrm{AUC}_u

    over the groups (users) in which both classes are observed, each counting once.
    A group with one class has no AUC and is left out.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels of binary tasks; NaN, None or pd.NA is *not observed*.
    y_prob : array-like of shape (n_samples,) or (n_samples, n_tasks)
        P(second class), or any score. Every form that :func:`task_roc_auc` takes.
    groups : array-like of shape (n_samples,)
        The group of each row: integers, strings or any other values.
    classes : array-like, default=None
        The two classes, as in :func:`task_roc_auc`.
    sample_weight : array-like of shape (n_samples,) or that of y_true, default=None
        Weights of the rows within the groups.

    Returns
    -------
    values : ndarray of shape (n_tasks,)
        NaN, with an `UndefinedMetricWarning`, where no group has both classes.

    Raises
    ------
    ValueError
        Where groups are missing or a task is not binary.

    See Also
    --------
    gauc : The same mean, weighted by each user's number of rows.

    Examples
    --------
    >>> from dephn_sk.metrics import uauc
    >>> users = ["ann", "ann", "ann", "bob", "bob", "eve"]
    >>> uauc([0, 1, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.5], users)
    array([0.5])
    """
    labels = read_columns(y_true, "y_true")
    group = group_codes(groups, len(labels))
    tasks = iter_tasks(labels, y_prob, classes, sample_weight)
    return np.array([mean_auc("uauc", task, group, False) for task in tasks])
