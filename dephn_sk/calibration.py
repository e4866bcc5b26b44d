"""Calibrated probabilities of all tasks at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import ClassifierMixin, MetaEstimatorMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.validation import check_is_fitted

from ._compat import BaseEstimator, HasMethods, StrOptions, _fit_context
from .logs import check_in_memory
from .tasks import (
    TaskPredictions,
    Tasks,
    check_sample_weight,
    combine,
    conditional_probabilities,
    fitted_tasks,
    log_odds,
    read_columns,
)

__all__ = ["TaskCalibrator"]


class TaskCalibrator(TaskPredictions, MetaEstimatorMixin, BaseEstimator):
    """Calibrate the probabilities of all tasks of a fitted classifier.

    Each task has its own calibrator, scikit-learn's, fitted to the rows in which the
    task is observed; the network is asked once. The rows should be others than those
    that the network was trained on.

    Parameters
    ----------
    estimator : estimator
        A fitted multi-task classifier of this library, or a Pipeline or search around
        one. :meth:`fit` does not train it.
    method : {"sigmoid", "isotonic", "temperature"}, default="sigmoid"
        ``"sigmoid"`` is Platt's [1]_: a logistic regression on the log-odds.
        ``"isotonic"`` is any monotonic function of them, for some thousands of rows of
        each class. Both take a multi-class task one class against the rest, and then
        scale to a sum of one. ``"temperature"`` divides the logits by one number [2]_
        and changes no ranking of classes; it needs scikit-learn 1.8.

    Attributes
    ----------
    calibrators_ : list of CalibratedClassifierCV
        Of each task, on log-odds of shape (n_samples,) or (n_samples, n_classes).
    classes_ : ndarray of shape (n_classes,) or (n_tasks, 2), or list of ndarray
        Classes, as the estimator's.
    task_names_ : tuple of str
        Names of the tasks.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, where it has names.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : For one task, with cross-validation;
        takes ``estimator.task(name)``.

    Notes
    -----
    Of a task with a condition, the probability given the condition is calibrated, on
    the rows in which the condition happened, and multiplied by the condition's: no task
    becomes more probable than its condition.

    Cloning unfits the estimator with the calibrator. Where a search or cross-validation
    shall keep what was trained, give
    ``TaskCalibrator(sklearn.frozen.FrozenEstimator(estimator))``.

    A Pipeline that ends in a calibrator hands it transformed rows: its estimator must
    have been fitted to such rows. Simpler is the calibrator around the whole Pipeline.

    References
    ----------
    .. [1] Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to
       Regularized Likelihood Methods", 1999.
    .. [2] Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks",
       ICML 2017, section 4.2.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.calibration import TaskCalibrator
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(2000, random_state=0)
    >>> X, y = log.data, log.target
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model = model.fit(X[:1000], y[:1000])
    >>> calibrated = TaskCalibrator(model).fit(X[1000:], y[1000:])
    >>> calibrated.predict_proba(X).shape
    (2000, 3)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "method": [StrOptions({"sigmoid", "isotonic", "temperature"})],
    }

    _kept = ("calibrators_", "tasks_", "n_features_in_", "feature_names_in_")

    def __init__(self, estimator: Any, *, method: str = "sigmoid") -> None:
        self.estimator = estimator
        self.method = method

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TaskCalibrator:
        """Fit a calibrator for each task.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows that the estimator was not trained on.
        y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
            Labels of the estimator's tasks; NaN is a label that was not observed.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None

        Returns
        -------
        self : TaskCalibrator

        Raises
        ------
        NotFittedError
            Where the estimator is not fitted.
        ValueError
            Where a task has no observed row of one of its classes, or is of numbers.
        """
        check_in_memory(X, "X of TaskCalibrator.fit")
        tasks = _tasks_of(self.estimator)
        labels = tasks.given_conditions(tasks.entire_space(tasks.read(y)))
        check_consistent_length(X, labels)
        given = check_sample_weight(sample_weight, len(labels), tasks.names)
        weights = combine(labels, tasks, given, None)
        probabilities = conditional_probabilities(self.estimator, tasks, X)
        calibrators = []
        for t, task in enumerate(tasks.tasks):
            rows = np.flatnonzero(weights[:, t])
            codes = labels.values[rows, t].astype(np.intp)
            classes, present = task.classes, np.unique(codes)
            if len(present) < max(2, len(classes)):
                raise ValueError(
                    f"Task {task.name!r} cannot be calibrated: of its classes "
                    f"{classes.tolist()}, the rows {_where(tasks, t)}hold "
                    f"{classes[present].tolist()}. "
                    "Give rows of at least two classes, and of each one."
                )
            odds = log_odds(probabilities[t][rows])
            weight = None if given is None else weights[rows, t]
            calibrators.append(_calibrator(self.method, odds, codes, weight))
        self.calibrators_, self.tasks_ = calibrators, tasks
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator, name):
                setattr(self, name, getattr(self.estimator, name))
        return self

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        if "calibrators_" in (learned := state["attributes"]):
            learned["tasks_"] = self.tasks_.state()
            learned["calibrators_"] = list(map(_calibrator_state, self.calibrators_))
        return state

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> TaskCalibrator:
        new = super()._from_state(state)
        if "calibrators_" in vars(new):
            cls(new.estimator, method=new.method)._validate_params()
            new.tasks_ = tasks = Tasks.from_state(new.tasks_)  # type: ignore[arg-type]
            new.calibrators_ = [
                _calibrator_of(new.method, len(classes), own)
                for classes, own in zip(tasks.classes, new.calibrators_, strict=True)
            ]
        return new

    def _predicted(self, X: Any, given: bool = False) -> tuple[Tasks, list[NDArray]]:
        check_is_fitted(self)
        tasks = self.tasks_
        odds = map(log_odds, conditional_probabilities(self.estimator, tasks, X))
        pairs = zip(self.calibrators_, odds, strict=True)
        found = [calibrator.predict_proba(z) for calibrator, z in pairs]
        return tasks, found if given else tasks.marginal(found)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _where(tasks: Tasks, t: int) -> str:
    """In which rows a task is judged, for a message."""
    condition = tasks.conditions[t] if tasks.conditions else None
    return "" if condition is None else f"with {tasks.names[condition]!r} "


class _LogOdds(ClassifierMixin, BaseEstimator):
    """The log-odds of a task, in the place of a classifier."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> _LogOdds:
        self.classes_ = read_columns(y).columns[0].distinct
        return self

    def decision_function(self, X: Any) -> NDArray:
        return X


def _tasks_of(estimator: Any) -> Tasks:
    """The tasks of a fitted estimator, all of which have classes."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise NotFittedError(
            f"TaskCalibrator calibrates a fitted estimator, and this "
            f"{type(estimator).__name__} is not. Fit it first. If it was, and "
            "something cloned it, give FrozenEstimator(estimator)."
        ) from None
    tasks = fitted_tasks(estimator)
    if tasks.numeric:
        raise ValueError(
            f"Task {tasks.numeric[0]!r} cannot be calibrated: its labels are numbers. "
            "Calibrate a class task alone, with CalibratedClassifierCV("
            "FrozenEstimator(estimator.task(name)))."
        )
    return tasks


def _calibrator(
    method: str, odds: NDArray, codes: NDArray, weight: NDArray | None
) -> CalibratedClassifierCV:
    """scikit-learn's calibrator, fitted to one task."""
    rows = np.arange(len(odds))
    calibrator = CalibratedClassifierCV(_LogOdds(), method=method, cv=[(rows, rows)])
    # what the user routes has arrived, as numpy arrays
    with config_context(enable_metadata_routing=False, array_api_dispatch=False):
        calibrator.fit(odds, codes, sample_weight=weight)
    return calibrator.set_params(cv=None)  # else it would keep the row numbers


def _learned_by(calibrator: CalibratedClassifierCV) -> list[Any]:
    """The functions of log-odds, one for each class or for both."""
    return calibrator.calibrated_classifiers_[0].calibrators


def _calibrator_state(calibrator: CalibratedClassifierCV) -> list[dict[str, Any]]:
    """The numbers of each function."""
    states = [one.__getstate__() for one in _learned_by(calibrator)]
    return [{k: v for k, v in one.items() if k[0] != "_"} for one in states]


def _calibrator_of(
    method: str, n_classes: int, states: list[dict[str, Any]]
) -> CalibratedClassifierCV:
    """scikit-learn's calibrator with the numbers of a state."""
    codes = np.tile(np.arange(n_classes), 4)
    odds = np.eye(n_classes)[codes] + np.arange(len(codes))[:, None] % 3
    made = _calibrator(method, odds if n_classes > 2 else odds[:, 1], codes, None)
    for one, state in zip(_learned_by(made), states, strict=True):
        own = one.__getstate__()
        for name, value in state.items():
            numbers = np.asarray(value)
            if numbers.dtype != np.asarray(own[name]).dtype or (
                numbers.dtype.kind == "f" and not np.isfinite(numbers).all()
            ):
                raise ValueError(f"A calibrator's {name} cannot be {value!r}.")
        one.__setstate__({**own, **state})
    return made
