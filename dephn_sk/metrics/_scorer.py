"""Scorers of one task or of the mean over tasks, for scikit-learn's searches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED

from .._compat import StrOptions
from .._suggest import did_you_mean
from ..logs import check_in_memory
from ..tasks import Columns, read_columns
from ..tasks._ranking import mean_over_tasks
from ..tasks._view import within
from . import _numbers, _per_task
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
    "r2": _numbers.task_r2,
    "mean_absolute_error": _numbers.task_mean_absolute_error,
    "gini": _numbers.task_gini,
}
LOSSES = {METRICS[name] for name in ("log_loss", "brier", "calibration_error")}
LOSSES.add(_numbers.task_mean_absolute_error)
# of what predict gives; the others are of probabilities
OF_NUMBERS = [METRICS[name] for name in ("r2", "mean_absolute_error", "gini")]


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
        check_in_memory(X, "X of a task_scorer")
        self._validate_params()
        metric = METRICS[self.metric] if isinstance(self.metric, str) else self.metric
        labels, tasks = read_columns(y), None
        for inner in within(estimator):
            if hasattr(inner, "task_names_"):
                labels = _renamed(labels, [str(name) for name in inner.task_names_])
                tasks = getattr(inner, "tasks_", None)
                break
        metadata = dict(self.metric_params)
        if "groups" in signature(metric).parameters:
            metadata["groups"] = groups
        given = estimator, X, labels, tasks, sample_weight, metadata
        numeric = labels.names if metric in OF_NUMBERS else ()
        numbers, rest = self._divided(
            metric, labels, tasks.numeric if tasks else numeric
        )
        values = list(self._of_numbers(metric, numbers, *given) if numbers else ())
        values += list(self._of_classes(metric, rest, *given) if rest else ())
        known = metric in METRICS.values()
        better = metric not in LOSSES if known else self.greater_is_better
        return mean_over_tasks(values) * (1 if better else -1)

    def _divided(
        self, metric: Any, labels: Columns, numeric: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """The tasks to score, those of numbers and the others."""
        if self.task is not None and self.task not in labels.names:
            raise ValueError(
                f"Unknown task {self.task!r}; the tasks are {list(labels.names)}."
                + did_you_mean(self.task, labels.names)
            )
        asked = labels.names if self.task is None else [self.task]
        numbers = [name for name in asked if name in numeric]
        rest = [name for name in asked if name not in numeric]
        if metric in OF_NUMBERS:
            rest = []
        elif metric in METRICS.values() and metric is not METRICS["score"]:
            numbers = []
        if not numbers and not rest:
            what = "numbers" if metric in OF_NUMBERS else "classes"
            raise ValueError(
                f"The metric {_metric_name(metric)!r} is of tasks that are {what}, and "
                f"{list(asked)} are not. Name one of its tasks, or another metric."
            )
        return numbers, rest

    def _of_numbers(
        self,
        metric: Any,
        names: list[str],
        estimator: Any,
        X: Any,
        labels: Columns,
        tasks: Any,
        sample_weight: Any,
        metadata: dict[str, Any],
    ) -> NDArray:
        """Of what is predicted of tasks that are numbers."""
        predicted = np.asarray(estimator.predict(X)).reshape(len(labels), -1)
        chosen, weights = _chosen(names, labels, sample_weight)
        places = [labels.names.index(name) for name in names]
        given = chosen, predicted[:, places].astype(np.float64)
        if metric is METRICS["score"]:
            metric = METRICS["r2"]
        if metric in OF_NUMBERS:
            return metric(*given, sample_weight=weights, **metadata)
        pairs = (
            (one.rows, one.weight, one.true, one.predicted)
            for one in _numbers.iter_numbers(*given, weights)
        )
        return _called(metric, pairs, metadata)

    def _of_classes(
        self,
        metric: Any,
        names: list[str],
        estimator: Any,
        X: Any,
        labels: Columns,
        tasks: Any,
        sample_weight: Any,
        metadata: dict[str, Any],
    ) -> NDArray:
        """Of the probabilities of tasks that have classes."""
        y_prob = estimator.predict_proba(X)
        classes = getattr(estimator, "classes_", None)
        if isinstance(y_prob, dict):  # of a mixture
            y_prob = [y_prob[name] for name in names]
            known = dict(zip(tasks.names, tasks.classes, strict=True))
            classes = [known[name] for name in names]
            labels, sample_weight = _chosen(names, labels, sample_weight)
        # MLPClassifier and OneVsRestClassifier number the tasks there
        if classes is not None and len(labels.names) > 1 and np.ndim(classes[0]) == 0:
            classes = None
        given = labels, y_prob, classes, sample_weight
        if self.task is not None and len(labels.names) > 1:
            given = _select(self.task, *given)
        if metric in METRICS.values():
            *data, classes, weight = given
            return metric(*data, classes=classes, sample_weight=weight, **metadata)
        return _call_per_task(metric, iter_tasks(*given), metadata)

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

    def each() -> Iterator[tuple[NDArray, NDArray | None, NDArray, NDArray]]:
        for task in tasks:
            task.check_classes()
            yield task.rows, task.weight, task.codes, task.prob

    return _called(metric, each(), metadata)


def _called(
    metric: Callable[..., Any],
    each: Iterable[tuple[NDArray, NDArray | None, NDArray, NDArray]],
    metadata: dict[str, Any],
) -> NDArray:
    """A metric of rows, called with weights where there are some."""
    values = []
    for rows, weight, true, predicted in each:
        kwargs = metadata | ({} if weight is None else {"sample_weight": weight})
        if kwargs.get("groups") is not None:
            kwargs["groups"] = np.asarray(kwargs["groups"])[rows]
        values.append(float(metric(true, predicted, **kwargs)))
    return np.array(values)


def _chosen(
    names: list[str], labels: Columns, sample_weight: Any
) -> tuple[Columns, NDArray | None]:
    """The columns of some tasks, and their weights."""
    places = [labels.names.index(name) for name in names]
    columns = tuple(labels.columns[t] for t in places)
    chosen = replace(labels, columns=columns)
    weights = split_weights(sample_weight, labels)
    known = [w for w in (weights[t] for t in places) if w is not None]
    return chosen, np.column_stack(known) if known else None


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
            "calibration_error", "accuracy", "gauc", "uauc", "score", "r2", \
            "mean_absolute_error", "gini"} or callable
        A metric of this module by name; ``"score"`` is :func:`mean_task_score`, with
        R² of numbers. Of a mixture, those tasks are scored that the metric is for: the
        last three are of numbers, as ``predict`` gives them, others of probabilities. A
        callable ``metric(y_true, y_prob, **kwargs) -> float`` is called for each task
        with its observed rows alone: the index of the observed class, and P(second
        class) of shape (n_rows,) or all probabilities of shape (n_rows, n_classes);
        or the numbers, and those predicted.
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
