"""A classifier whose tasks have thresholds of their own, given or found."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted

from .._compat import HasMethods, _fit_context
from ..logs import check_in_memory
from ..tasks import (
    ShowsEstimator,
    TaskPredictions,
    Tasks,
    check_sample_weight,
    combine,
    conditional_probabilities,
    fitted_tasks,
    of_each_task,
    task_probabilities,
)
from ._splitters import _tasks_of, cross_val_predict
from ._thresholds import Goal, best_threshold, check_names

DEFAULT = 0.5


class ThresholdedClassifier(TaskPredictions, ShowsEstimator):
    """Predict each task of two classes from a probability of its own on.

    What scikit-learn's `FixedThresholdClassifier` is for one task, for all of them.
    Around a fitted estimator it is fitted, and trains nothing: :meth:`predict` asks
    that estimator, and other thresholds need no new fit.

    Parameters
    ----------
    estimator : estimator
        A multi-task classifier of this library, a
        :class:`~dephn_sk.calibration.TaskCalibrator`, or a Pipeline or search around
        one of them.
    thresholds : float or dict of str to float, default=0.5
        `predict` gives the second class of a task where its probability is at least
        this; of all tasks of two classes, or by their names, 0.5 for those that are not
        named. 0 is always, ``float("inf")`` never. Tasks of more classes, and numbers,
        are predicted as the estimator does.

    Attributes
    ----------
    estimator_ : estimator
        After :meth:`fit` alone: the clone that it trained.
    thresholds_ : dict of str to float
        Of each task of two classes.
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
    tune_thresholds : Finds the thresholds.
    sklearn.model_selection.FixedThresholdClassifier : For one task.

    Notes
    -----
    Probabilities, and so ROC AUC and :meth:`score` of several tasks, are the
    estimator's.

    Under `conditions`, a task is predicted only where its condition is: no purchase
    without its click, whatever the thresholds are. Where a purchase alone decides, ask
    its probability: ``predict_proba(X)[:, 2] >= thresholds_["purchase"]``.

    A clone is unfitted together with its estimator. Where a search or cross-validation
    shall keep what was trained, give
    ``ThresholdedClassifier(sklearn.frozen.FrozenEstimator(estimator))``.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.model_selection import ThresholdedClassifier
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model = model.fit(log.data, log.target)
    >>> acting = ThresholdedClassifier(model, thresholds={"purchase": 0.05})
    >>> acting.thresholds_
    {'click': 0.5, 'like': 0.5, 'purchase': 0.05}
    >>> likely = model.predict_proba(log.data)[:, 2] >= 0.05
    >>> bool(((acting.predict(log.data)[:, 2] == 1) == likely).all())
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "thresholds": [Real, dict],
    }

    _kept = ("estimator_",)

    def __init__(
        self, estimator: Any, *, thresholds: float | dict[str, float] = DEFAULT
    ) -> None:
        self.estimator = estimator
        self.thresholds = thresholds

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **params: Any) -> Self:
        """Train a clone of the estimator; a fitted one needs no fit.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
            NaN is a label that was not observed.
        **params : dict
            For the estimator's `fit`.

        Returns
        -------
        self : ThresholdedClassifier

        Raises
        ------
        ValueError
            Where `thresholds` names what is no task of two classes.
        """
        if get_config()["enable_metadata_routing"]:
            params = process_routing(self, "fit", **params).estimator.fit
        trained = clone(self.estimator).fit(X, y, **params)
        _each_threshold(fitted_tasks(trained), self.thresholds)
        self.estimator_ = trained
        return self

    def predict(self, X: Any) -> NDArray:
        """The second class of each task from its threshold on.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_tasks)
            Labels as they were given to `fit`.
        """
        tasks, thresholds = self.tasks_, self.thresholds_
        found = task_probabilities(self._trained, tasks, X)
        yes: dict[int, NDArray] = {}
        for t, condition in tasks_in_order(tasks):
            if (name := tasks.names[t]) in thresholds:
                yes[t] = found[t][:, 1] >= thresholds[name]
                if condition is not None:
                    yes[t] &= yes[condition]
        for t, positive in yes.items():
            found[t] = np.column_stack([~positive, positive])
        if tasks.numeric:
            numbers = np.reshape(self._trained.predict(X), (-1, len(tasks.names)))
            for t, name in enumerate(tasks.names):
                if name in tasks.numeric:
                    found[t] = numbers[:, [t]].astype(np.float64)
        return tasks.decode(found)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes of each task, the estimator's.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray, list of ndarray or dict of str to ndarray
            In the estimator's form.
        """
        check_is_fitted(self)
        return self._trained.predict_proba(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The estimator's score; of a 1-D y, the accuracy under the threshold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
            NaN is a label that was not observed.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None

        Returns
        -------
        float
        """
        if self.tasks_.single:
            return accuracy_score(y, self.predict(X), sample_weight=sample_weight)
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self._trained.score(X, y, **given)

    def _predicted(self, X: Any, given: bool = False) -> tuple[Tasks, list[NDArray]]:
        tasks = self.tasks_
        if tasks.numeric:
            raise ValueError(
                f"The labels of task {tasks.numeric[0]!r} are numbers; predict_proba "
                "gives the probabilities of the other tasks, by name."
            )
        of = conditional_probabilities if given else task_probabilities
        return tasks, of(self._trained, tasks, X)

    @property
    def tasks_(self) -> Tasks:  # type: ignore[override]
        """The estimator's tasks."""
        check_is_fitted(self)
        return fitted_tasks(self._trained)

    @property
    def thresholds_(self) -> dict[str, float]:
        """The threshold of each task of two classes."""
        return _each_threshold(self.tasks_, self.thresholds)

    def _check_state(self) -> None:
        if self.__sklearn_is_fitted__():
            _each_threshold(self.tasks_, self.thresholds)

    def get_metadata_routing(self) -> MetadataRouter:
        """What `fit` hands on: all that the estimator requests.

        Returns
        -------
        MetadataRouter
        """
        fit = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=type(self).__name__).add(
            estimator=self.estimator, method_mapping=fit
        )


def tasks_in_order(tasks: Tasks) -> list[tuple[int, int | None]]:
    """Each task and its condition, if it has one; conditions first."""
    given = dict(tasks.pairs)
    roots = [(t, None) for t in range(len(tasks.names)) if t not in given]
    return [*roots, *tasks.pairs]


def _two_classes(tasks: Tasks) -> list[str]:
    return [task.name for task in tasks.tasks if len(task.classes) == 2]


def _each_threshold(tasks: Tasks, given: Any) -> dict[str, float]:
    """A threshold for each task of two classes, or an error."""
    names = _two_classes(tasks)
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(names, given)
    check_names(by_name, names, tasks.names, "thresholds")
    for name, value in by_name.items():
        if not (isinstance(value, Real) and float(value) >= 0):
            raise ValueError(
                f"thresholds of task {name!r} is {value!r}; a threshold is a number of "
                "at least 0: a probability, or infinity for never."
            )
    return {name: float(by_name.get(name, DEFAULT)) for name in names}


def tune_thresholds(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    beta: float | Mapping[str, float] = 1.0,
    costs: Mapping[str, Any] | None = None,
    gains: Mapping[str, Any] | None = None,
    sample_weight: Any = None,
    cv: Any = None,
    groups: Any = None,
    n_jobs: int | None = None,
    params: dict[str, Any] | None = None,
) -> ThresholdedClassifier:
    """Find the threshold of each task of two classes, for `predict` to use.

    Parameters
    ----------
    estimator : estimator
        A multi-task classifier of this library, or a Pipeline, search or
        :class:`~dephn_sk.calibration.TaskCalibrator` around one.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Without `cv`, rows that the estimator was not trained on.
    y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
        NaN is a label that was not observed; its row has no say in that task.
    beta : float or dict of str to float, default=1.0
        The F-score's, where a task has no costs or gains, see :func:`best_thresholds`.
    costs : dict of str to (float, float), default=None
        By task, what a false positive and a false negative cost.
    gains : dict of str to array-like of shape (2, 2), default=None
        By task, what each class (rows) brings that is predicted as each (columns).
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None
        How much rows count for the thresholds. Those of training are in `params`.
    cv : int, cross-validation splitter or iterable, default=None
        None: the estimator is fitted, and stays as it is. Otherwise thresholds are
        those of out-of-fold predictions, see :func:`cross_val_predict`, and a clone is
        then trained on all rows.
    groups : array-like of shape (n_samples,), default=None
        For `cv`.
    n_jobs : int, default=None
        Folds that run side by side.
    params : dict, default=None
        With `cv`, arguments of `fit`; what has as many rows as X is divided like it.

    Returns
    -------
    ThresholdedClassifier
        Fitted.

    Raises
    ------
    NotFittedError
        Where the estimator is not fitted, and there is no `cv`.
    ValueError
        As :func:`best_thresholds`; before anything is trained for names and values.

    Examples
    --------
    A purchase that is missed costs as much as twenty vain offers:

    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.model_selection import tune_thresholds
    >>> X, y = make_behavior_log(2_000, return_X_y=True, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=2, random_state=0)
    >>> model = model.fit(X[:1_000], y[:1_000])
    >>> costs = {"purchase": (1, 20)}
    >>> acting = tune_thresholds(model, X[1_000:], y[1_000:], costs=costs)
    >>> acting.thresholds_["purchase"] < 0.5
    True
    >>> acting.predict(X).shape
    (2000, 3)
    """
    check_in_memory(X, "X of tune_thresholds")
    goal, found = Goal(beta, costs, gains), None
    if cv is not None:
        learned = _tasks_of(estimator, y, "predict_proba")
        goal.check(_two_classes(learned), learned.names)
        given = {"groups": groups, "cv": cv, "n_jobs": n_jobs, "params": params}
        found = cross_val_predict(estimator, X, y, **given)
    elif params or groups is not None:
        raise ValueError("groups and params are for cv, which is None.")
    model = ThresholdedClassifier(estimator)
    if cv is not None:
        model.fit(X, y, **(params or {}))
    _check_fitted(estimator, model)
    tasks = model.tasks_
    goal.check(_two_classes(tasks), tasks.names)
    if found is None:
        found = estimator.predict_proba(X)
    best = _best(tasks, of_each_task(tasks, found), y, sample_weight, goal)
    return model.set_params(thresholds=best)


def _check_fitted(estimator: Any, model: ThresholdedClassifier) -> None:
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise NotFittedError(
            f"This {type(estimator).__name__} is not fitted. Fit it first, or give cv, "
            "such as cv=5, for thresholds of out-of-fold predictions."
        ) from None


def _best(
    tasks: Tasks, found: list[Any], y: Any, sample_weight: Any, goal: Goal
) -> dict[str, float]:
    """Of each task of two classes; where its condition is not predicted, it is not."""
    labels = tasks.entire_space(tasks.read(y))
    names = _two_classes(tasks)
    given = check_sample_weight(sample_weight, len(labels), tasks.names)
    weights = combine(labels, tasks, given, None)
    best: dict[str, float] = {}
    yes: dict[int, NDArray] = {}
    for t, condition in tasks_in_order(tasks):
        if (name := tasks.names[t]) in names:
            check_consistent_length(found[t], labels.values)
            prob, rows = found[t][:, 1], weights[:, t] > 0
            if condition is not None:
                prob = np.where(yes[condition], prob, -np.inf)
            positive, weight = labels.values[rows, t] == 1, weights[rows, t]
            best[name] = best_threshold(
                name, positive, prob[rows], weight, goal.of(name)
            )
            yes[t] = prob >= best[name]
    return {name: best[name] for name in names}
