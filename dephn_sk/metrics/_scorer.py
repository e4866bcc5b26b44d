"""Scorers of one task or of the mean over tasks, for scikit-learn's searches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED

from .._compat import StrOptions
from .._suggest import did_you_mean
from ..tasks import Columns, read_columns
from ..tasks._ranking import mean_over_tasks
from ..tasks._view import within
from . import _per_task
from ._auc import gauc, uauc
from ._tasks import ObservedTask, iter_tasks, split_weights

METRICS: dict[str, Callable[..., NDArray]] = {
    "roc_auc": _per_task.task_roc_auc,
    "average_precision": _per_task.task_average_precision,
    "log_loss": _per_task.task_log_loss,
    "brier": _per_task.task_brier,
    "calibration_error": _per_task.task_calibration_error,
    "accuracy": _per_task.task_accuracy,
    "gauc": gauc,
    "uauc": uauc,
    "score": _per_task.task_score,
}
LOSSES = {METRICS[name] for name in ("log_loss", "brier", "calibration_error")}


@dataclass(eq=False, repr=False)
class TaskScorer(BaseEstimator):
    """What :func:`task_scorer` returns; a BaseEstimator for clone and routing."""

    # gauc and uauc cannot do without groups; no other metric reads them
    __metadata_request__score: ClassVar = {"estimator": UNUSED, "groups": True}

    _parameter_constraints: ClassVar = {
        "metric": [StrOptions(set(METRICS)), callable],
        "task": [str, None],
        "greater_is_better": ["boolean"],
        "metric_params": [dict],
    }

    metric: Any
    task: str | None
    greater_is_better: bool
    metric_params: dict[str, Any]

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        given: dict[str, Any] = {} if self.task is None else {"task": self.task}
        given |= self.metric_params
        if not self.greater_is_better:
            given["greater_is_better"] = False
        name = _metric_name(self.metric)
        words = [name if callable(self.metric) else repr(name)]
        words += [f"{key}={value!r}" for key, value in given.items()]
        return f"task_scorer({', '.join(words)})"

    def score(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> float:
        """Score of a fitted estimator, greater is better."""
        self._validate_params()
        metric = METRICS[self.metric] if isinstance(self.metric, str) else self.metric
        labels = read_columns(y)
        for inner in within(estimator):
            if hasattr(inner, "task_names_"):
                labels = _renamed(labels, [str(name) for name in inner.task_names_])
                break
        y_prob = estimator.predict_proba(X)
        classes = getattr(estimator, "classes_", None)
        # MLPClassifier and OneVsRestClassifier number the tasks there
        if classes is not None and len(labels.names) > 1 and np.ndim(classes[0]) == 0:
            classes = None
        given = labels, y_prob, classes, sample_weight
        if self.task is not None:
            given = _select(self.task, *given)
        metadata = dict(self.metric_params)
        if "groups" in signature(metric).parameters:
            metadata["groups"] = groups
        if metric in METRICS.values():
            *data, classes, weight = given
            values = metric(*data, classes=classes, sample_weight=weight, **metadata)
            better = metric not in LOSSES
        else:
            values = _call_per_task(metric, iter_tasks(*given), metadata)
            better = self.greater_is_better
        return mean_over_tasks(values) * (1 if better else -1)

    __call__ = score

    def _accept_sample_weight(self) -> bool:
        # asked of every scorer of a dict while metadata routing is off
        return True


def _metric_name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    known = [name for name, function in METRICS.items() if function is metric]
    return known[0] if known else getattr(metric, "__name__", repr(metric))


def _call_per_task(
    metric: Callable[..., Any], tasks: Iterable[ObservedTask], metadata: dict[str, Any]
) -> NDArray:
    """A metric of one task, called with each task's observed rows."""
    values = []
    for task in tasks:
        task.check_classes()
        weighted = {} if task.weight is None else {"sample_weight": task.weight}
        kwargs = metadata | weighted
        if kwargs.get("groups") is not None:
            kwargs["groups"] = np.asarray(kwargs["groups"])[task.rows]
        values.append(float(metric(task.codes, task.prob, **kwargs)))
    return np.array(values)


def _renamed(labels: Columns, fitted: list[str]) -> Columns:
    """The labels under the names of the fit, whose tasks they must be."""
    given = list(labels.names)
    if len(given) != len(fitted):
        raise ValueError(
            f"y has {len(given)} tasks, the estimator was fitted on {fitted}."
        )
    if labels.named and labels.ndim == 2 and given != fitted:
        raise ValueError(
            f"The columns of y are {given}, the estimator was fitted on {fitted}, in "
            "this order."
        )
    pairs = zip(labels.columns, fitted, strict=True)
    return replace(labels, columns=tuple(replace(c, name=name) for c, name in pairs))


def _select(
    name: str, labels: Columns, y_prob: Any, classes: Any, sample_weight: Any
) -> tuple[Columns, Any, Any, NDArray | None]:
    """The one task of this name."""
    if name not in labels.names:
        raise ValueError(
            f"Unknown task {name!r}; the tasks are {list(labels.names)}."
            + did_you_mean(name, labels.names)
        )
    t, n_tasks = labels.names.index(name), len(labels.names)
    weight = split_weights(sample_weight, labels)[t]
    if n_tasks > 1:
        y_prob = y_prob[t] if isinstance(y_prob, list) else np.asarray(y_prob)[:, t]
        classes = None if classes is None else [classes[t]]
    return replace(labels, columns=(labels.columns[t],)), y_prob, classes, weight


def task_scorer(
    metric: str | Callable[..., float],
    task: str | None = None,
    *,
    greater_is_better: bool = True,
    **kwargs: Any,
) -> TaskScorer:
    """Scorer of one task, or of the mean over tasks, for scikit-learn's searches.

    It is what ``scoring`` takes in `GridSearchCV`, `cross_validate`,
    `permutation_importance` and the like, for every classifier of several tasks with
    ``predict_proba``: ours, scikit-learn's own, a Pipeline or a search over them.
    scikit-learn's built-in scorers refuse missing labels, and ``"neg_log_loss"`` is
    silently wrong for several tasks.

    Parameters
    ----------
    metric : {"roc_auc", "average_precision", "log_loss", "brier", \
            "calibration_error", "accuracy", "gauc", "uauc", "score"} or callable
        A metric of this module by name; ``"score"`` is :func:`mean_task_score`. A
        callable ``metric(y_true, y_prob, **kwargs) -> float`` is called for each task
        with its observed rows alone: the index of the observed class, and P(second
        class) of shape (n_rows,) or all probabilities of shape (n_rows, n_classes).
    task : str, default=None
        Name of the task to score; None for the mean over tasks. The names are the
        estimator's ``task_names_``, otherwise the columns of y, otherwise ``"task0"``,
        ``"task1"``, …
    greater_is_better : bool, default=True
        Whether a callable's value is better when greater; the sign is turned
        otherwise. Named losses are always turned.
    **kwargs
        Passed to the metric, such as ``n_bins``.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None, groups=None) -> float``, greater
        is better. A task whose metric is undefined is left out of the mean.

    See Also
    --------
    task_scorers : One entry for each task.

    Notes
    -----
    Where labels are missing, ``cv`` must be a splitter, such as
    `~dephn_sk.model_selection.MultiLabelStratifiedKFold` or `KFold`: given a number,
    scikit-learn looks at y itself and refuses NaN.

    With ``sklearn.set_config(enable_metadata_routing=True)``, ``groups`` (which only
    ``"gauc"``, ``"uauc"`` and callables with such a parameter read) is requested
    under its own name, and ``sample_weight`` once you say so:
    ``task_scorer("log_loss").set_score_request(sample_weight=True)``. To score by
    other groups than the splitter's, give an alias: ``set_score_request(
    groups="user")`` and ``params={"user": users}``.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> from dephn_sk.metrics import task_scorer
    >>> X, y = make_multilabel_classification(n_classes=2, random_state=0)
    >>> scorer = task_scorer("log_loss", task="task1")
    >>> scorer
    task_scorer('log_loss', task='task1')
    >>> scores = cross_val_score(RandomForestClassifier(), X, y, scoring=scorer, cv=3)
    >>> scores.shape, (scores < 0).all()
    ((3,), np.True_)
    """
    scorer = TaskScorer(metric, task, greater_is_better, kwargs)
    scorer._validate_params()
    return scorer


def task_scorers(
    metric: str | Callable[..., float],
    tasks: Iterable[str],
    *,
    greater_is_better: bool = True,
    **kwargs: Any,
) -> dict[str, TaskScorer]:
    """Scorers of several tasks, one entry each, for multi-metric evaluation.

    Parameters
    ----------
    metric : str or callable
        As in :func:`task_scorer`.
    tasks : iterable of str
        Names of the tasks, such as ``y.columns``.
    greater_is_better : bool, default=True
        As in :func:`task_scorer`.
    **kwargs
        Passed to the metric.

    Returns
    -------
    scorers : dict
        A scorer for each task, under the key ``f"{metric}_{task}"``. Dicts of several
        metrics, and the mean, join with ``|``. Each entry predicts anew.

    Examples
    --------
    >>> from dephn_sk.metrics import task_scorer, task_scorers
    >>> task_scorers("roc_auc", ["click", "like"]) | {"mean": task_scorer("roc_auc")}
    {'roc_auc_click': task_scorer('roc_auc', task='click'),
     'roc_auc_like': task_scorer('roc_auc', task='like'),
     'mean': task_scorer('roc_auc')}
    """
    if isinstance(tasks, str):
        raise TypeError(f"tasks is a sequence of names, got the string {tasks!r}.")
    return {
        f"{_metric_name(metric)}_{task}": task_scorer(
            metric, task, greater_is_better=greater_is_better, **kwargs
        )
        for task in map(str, tasks)
    }
