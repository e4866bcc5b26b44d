"""One task of several, as a classifier or a regressor of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from .._compat import BaseEstimator, HasMethods, _fit_context
from ..logs import is_log
from ._labels import read_columns
from ._tasks import Tasks


def within(estimator: Any) -> Iterator[Any]:
    """An estimator, and what it ends in: of a Pipeline, a search, a meta-estimator."""
    while estimator is not None:
        yield estimator
        if hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        else:
            searched = getattr(estimator, "best_estimator_", None)
            estimator = getattr(estimator, "estimator_", searched)


def fitted_tasks(estimator: Any) -> Tasks:
    """The tasks of a fitted estimator, also of one in a Pipeline or a search."""
    check_is_fitted(estimator)
    for inner in within(estimator):
        if hasattr(inner, "tasks_"):
            return inner.tasks_
    raise TypeError(
        "estimator must be a multi-task estimator of dephn_sk, or a Pipeline or "
        f"search around one; found {type(inner).__name__}."
    )


def task_probabilities(
    estimator: Any, tasks: Tasks, X: Any, method: str = "predict_proba"
) -> list[Any]:
    """Class probabilities of each task, (n_samples, n_classes); None of numbers."""
    return of_each_task(tasks, getattr(estimator, method)(X))


def of_each_task(tasks: Tasks, given: Any) -> list[Any]:
    """The same of what `predict_proba` has given."""
    if isinstance(given, dict):  # of those tasks that have classes
        return [given.get(name) for name in tasks.names]
    if tasks.single:
        return [given]
    if tasks.binary:
        return [np.column_stack([1 - p, p]) for p in given.T]
    return given


def conditional_probabilities(estimator: Any, tasks: Tasks, X: Any) -> list[NDArray]:
    """The same given the tasks' conditions."""
    method = "predict_proba_given"
    if hasattr(estimator, method):
        return task_probabilities(estimator, tasks, X, method)
    # of a Pipeline or a search, which has no such method; rounded once more
    return tasks.conditional(task_probabilities(estimator, tasks, X))


def log_odds(probabilities: NDArray) -> NDArray:
    """Finite logits: (n_samples,) for two classes, (n_samples, n_classes) for more."""
    eps = np.finfo(np.float64).eps
    probabilities = probabilities.clip(eps, 1 - eps)
    if probabilities.shape[1] > 2:
        return np.log(probabilities)
    return logit(probabilities[:, -1])


def _kinds_by_name(estimator: Any) -> bool:
    """Whether an estimator has to know a task by its name."""
    given = (getattr(estimator, name, None) for name in ("tasks", "loss"))
    return any(isinstance(one, Mapping) for one in given)


def named(y: Any, name: str) -> Any:
    """A y of one column under a name, if it has none."""
    read = read_columns(y)
    if read.named:
        return y
    return replace(read, columns=(replace(read.columns[0], name=name),), named=True)


def _of_task_alone(estimator: Any, name: str) -> Any:
    """A clone, whose parameters say of one task alone what they say of several."""
    copy = clone(estimator)
    for part in [copy, *copy.get_params(deep=True).values()]:
        keeps = hasattr(part, "_keep_task") and not isinstance(part, type)
        if keeps and not part.__sklearn_is_fitted__():  # else it is somebody's, frozen
            part._keep_task(name)
    return copy


class ShowsEstimator(MetaEstimatorMixin, BaseEstimator):
    """Base of what shows a fitted estimator, or a clone that its own `fit` trained."""

    @property
    def _trained(self) -> Any:
        return getattr(self, "estimator_", self.estimator)

    @property
    def n_features_in_(self) -> int:
        """Number of columns of X."""
        return self._trained.n_features_in_

    @property
    def feature_names_in_(self) -> NDArray:
        """Names of the columns of X, where it has names."""
        return self._trained.feature_names_in_

    def __sklearn_is_fitted__(self) -> bool:
        try:
            check_is_fitted(self._trained)
        except NotFittedError:
            return False
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


class _View(ShowsEstimator):
    """What views of one task share, whatever its labels are."""

    _kept = ("estimator_",)
    _of_numbers = False

    def __init__(self, estimator: Any, task: str) -> None:
        self.estimator = estimator
        self.task = task

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a clone of the estimator on this task alone.

        The estimator that is viewed stays as it is; from now on the view shows its
        clone. Of parameters that name tasks the clone has what they say of this one.
        One that has a condition is refused, since it needs the labels of that, too.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of the task.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For a y of several tasks, and for all that the estimator refuses.
        """
        if is_log(X):
            raise TypeError(
                f"A {type(self).__name__} is fitted to a table in memory. Fit the "
                "estimator to the log, and view it then."
            )
        names = read_columns(y).names
        if len(names) > 1:
            raise ValueError(
                f"A {type(self).__name__} is fitted to a 1d y, the labels of task "
                f"{self.task!r}, got those of {list(names)}. Fit the estimator to "
                "several tasks, and view it then."
            )
        if any(map(_kinds_by_name, within(self.estimator))):
            y = named(y, self.task)
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.estimator_ = _of_task_alone(self.estimator, self.task).fit(X, y, **given)
        return self

    def _locate(self) -> tuple[Tasks, int]:
        """All tasks, and the position of this one."""
        check_is_fitted(self)
        tasks, alone = fitted_tasks(self._trained), hasattr(self, "estimator_")
        t = 0 if alone else tasks.position(self.task, "task")
        if self._of_numbers is not (tasks.tasks[t].n_levels == 0):
            other = TaskView if self._of_numbers else RegressionTaskView
            raise ValueError(
                f"The labels of task {self.task!r} are "
                f"{'classes' if self._of_numbers else 'numbers'}, which a "
                f"{other.__name__} shows; estimator.task({self.task!r}) makes one."
            )
        return tasks, t

    def _check_state(self) -> None:
        if self.__sklearn_is_fitted__():
            self._locate()


class TaskView(ClassifierMixin, _View):
    """One task of a fitted multi-task classifier, as a classifier of a 1-D y.

    Much of scikit-learn takes 1-D targets only: partial dependence, probability
    calibration, threshold tuning, ROC and calibration displays. A view is what they
    take. It holds the estimator itself, not a copy, and predicts with it; where the
    estimator is fitted again, the view follows.

    ``estimator.task(name)`` makes a view. Around a Pipeline or a search that ends in a
    multi-task classifier, make it here: ``TaskView(pipeline, name)``.

    Parameters
    ----------
    estimator : estimator
        A multi-task classifier of this library, a
        :class:`~dephn_sk.calibration.TaskCalibrator`, or a Pipeline or search around
        one of them. A view of a fitted estimator is fitted.
    task : str
        Name of the task, one of the estimator's ``task_names_``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes of the task.
    estimator_ : estimator
        After :meth:`fit` alone: the clone that it trained.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, where it has names.

    Notes
    -----
    A clone of a view is unfitted, as every clone is, and its :meth:`fit` trains the
    estimator anew on this task alone. So a meta-estimator that clones what it is given,
    such as `CalibratedClassifierCV`, has to be told to keep the trained network: wrap
    the view in `sklearn.frozen.FrozenEstimator`, or use the meta-estimator's own option
    (``TunedThresholdClassifierCV(view, cv="prefit", refit=False)``).

    scikit-learn knows no missing labels in a 1-D y: give it the rows in which the task
    is observed.

    Examples
    --------
    >>> from sklearn.calibration import CalibratedClassifierCV
    >>> from sklearn.frozen import FrozenEstimator
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(600, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> click = model.fit(log.data, log.target).task("click")
    >>> click.predict_proba(log.data).shape
    (600, 2)
    >>> calibrated = CalibratedClassifierCV(FrozenEstimator(click))
    >>> calibrated.fit(log.data, log.target["click"]).predict_proba(log.data).shape
    (600, 2)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "task": [str],
    }

    def predict_proba(self, X: Any) -> NDArray:
        """Probabilities of the classes of the task.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        tasks, t = self._locate()
        return task_probabilities(self._trained, tasks, X)[t]

    def predict_log_proba(self, X: Any) -> NDArray:
        """Logarithms of what :meth:`predict_proba` gives; minus infinity for 0.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def decision_function(self, X: Any) -> NDArray:
        """Log-odds of the second of two classes, or log-probabilities of each class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        return log_odds(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray:
        """The class that the estimator predicts: of most, the most probable one.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        tasks, t = self._locate()
        given = self._trained.predict(X)
        own = given if tasks.single else given[:, t]
        return own.astype(tasks.classes[t].dtype)

    @property
    def classes_(self) -> NDArray:
        """Classes of the task."""
        tasks, t = self._locate()
        return tasks.classes[t]


class RegressionTaskView(RegressorMixin, _View):
    """One task of a fitted multi-task estimator, as a regressor of a 1-D y.

    What a :class:`TaskView` is for classes, for a task whose labels are numbers.
    ``estimator.task(name)`` makes the one that fits. Around a Pipeline or a search,
    make it here: ``RegressionTaskView(pipeline, name)``.

    Parameters
    ----------
    estimator : estimator
        A multi-task regressor or estimator of this library, or a Pipeline or search
        around one. A view of a fitted estimator is fitted.
    task : str
        Name of the task, one of the estimator's ``task_names_``.

    Attributes
    ----------
    estimator_ : estimator
        After :meth:`fit` alone: the clone that it trained.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, where it has names.

    Examples
    --------
    >>> from sklearn.base import is_regressor
    >>> from dephn_sk import DEPHNMultiTaskRegressor
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(600, amounts=True, random_state=0)
    >>> y = log.target[["watch_seconds", "revenue"]]
    >>> model = DEPHNMultiTaskRegressor(max_epochs=1, random_state=0)
    >>> watch = model.fit(log.data, y).task("watch_seconds")
    >>> is_regressor(watch), watch.predict(log.data).shape
    (True, (600,))
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "task": [str],
    }

    _of_numbers = True

    def predict(self, X: Any) -> NDArray:
        """The number of the task, in the units of its labels.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        tasks, t = self._locate()
        given = self._trained.predict(X)
        return (given if tasks.single else given[:, t]).astype(np.float64)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of the task.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        return super().score(X, y, sample_weight)
