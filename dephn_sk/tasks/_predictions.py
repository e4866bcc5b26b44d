"""What every estimator of several tasks predicts, in the shapes scikit-learn knows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..logs import Log, as_log, is_log
from ._log_columns import features_of, label_columns, names_of, weight_columns
from ._ranking import mean_over_tasks, warn_undefined
from ._regression import CLASS_KINDS
from ._scores import Scores
from ._tasks import Tasks
from ._view import RegressionTaskView, TaskView
from ._weights import check_sample_weight, combine

PREDICT_BLOCK = 4096  # rows that go through a network together


def in_scikit_shape(tasks: Tasks, of_tasks: list[NDArray]) -> NDArray | list[NDArray]:
    """Values of each task's classes, in the form that `predict_proba` documents."""
    if tasks.single:
        return of_tasks[0]
    if tasks.binary:
        return np.column_stack([values[:, 1] for values in of_tasks])
    return of_tasks


def logarithms(probabilities: list[NDArray]) -> list[NDArray]:
    """Of each, minus infinity for 0."""
    with np.errstate(divide="ignore"):
        return [np.log(p) for p in probabilities]


class Predictions:
    """Mixin of fitted estimators that have `tasks_` and `_predicted`."""

    tasks_: Tasks
    # the tasks, and the predictions of each: class probabilities, (n_samples,
    # n_classes), or numbers, (n_samples, 1); marginal ones, or, where there are
    # conditions, those `given` them
    _predicted: Callable[..., tuple[Tasks, list[NDArray]]]

    def predict(self, X: Any) -> NDArray:
        """The most probable class of each task, or its number in units of the labels.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_tasks)
            Labels as they were given to `fit`.
        """
        tasks, predictions = self._predicted(X)
        return tasks.decode(predictions)

    def _score(self, X: Any, y: Any, sample_weight: Any) -> float:
        """The mean of the tasks' scores, over the labels that are observed."""
        check_is_fitted(self)
        if is_log(X):
            scores = self._scores_of_log(as_log(X), y, sample_weight)
        else:
            tasks, *rows = self._judged(X, y, sample_weight)
            scores = Scores(tasks)
            scores.add(*rows)
        values = scores.values()
        for task, score in zip(scores.tasks.tasks, values, strict=True):
            if np.isnan(score):
                warn_undefined("Score", task.name, task.undefined)
        return mean_over_tasks(values)

    def _judged(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
        """Tasks, predictions of rows, their labels and their weights."""
        tasks, predictions = self._predicted(X)
        # a label that fit has not seen is a wrong prediction of a 1-D y
        labels = tasks.read(y, unseen=-1.0 if tasks.single else None)
        check_consistent_length(X, labels)
        given = check_sample_weight(sample_weight, len(labels), tasks.names, zeros=True)
        return tasks, predictions, labels.values, combine(labels, tasks, given, None)

    def _scores_of_log(self, log: Log, y: Any, sample_weight: Any) -> Scores:
        """Those of all rows of a log, some at a time."""
        features = features_of(self, log)
        names = names_of(y, "y", log)
        weights = names_of(sample_weight, "sample_weight", log)
        if not names:
            raise ValueError("y=None; give the names of the log's columns of labels.")
        ndim = 1 if isinstance(y, str) else 2
        self.tasks_.check_names(names, ndim == 2)

        def judged(table: Any) -> tuple[Any, ...]:
            weight = weight_columns(table, weights) if weights else None
            labels = label_columns(table, names, ndim)
            return self._judged(table.select(features), labels, weight)

        scores = None
        columns = [*dict.fromkeys([*features, *names, *weights])]
        for chunk in log.blocks(columns, PREDICT_BLOCK):
            tasks, *rows = log.located(chunk, partial(judged, chunk.table), judged)
            scores = scores or Scores(tasks)
            scores.add(*rows)
        log.check_unchanged()
        assert scores is not None  # a log has a row at least
        return scores

    def task(self, name: str) -> Any:
        """A view of one task, for what takes an estimator of a 1-D y.

        Parameters
        ----------
        name : str
            One of `task_names_`.

        Returns
        -------
        TaskView or RegressionTaskView
            A fitted classifier, or a regressor where the labels of the task are
            numbers, that shares the network.

        Raises
        ------
        ValueError
            Where there is no such task.
        """
        check_is_fitted(self)
        tasks = self.tasks_
        numeric = (
            name in tasks.names and not tasks.tasks[tasks.names.index(name)].n_levels
        )
        view = (RegressionTaskView if numeric else TaskView)(self, name)
        view._locate()  # an unknown name shall not wait for a prediction
        return view

    @property
    def task_names_(self) -> tuple[str, ...]:
        """Names of the tasks."""
        check_is_fitted(self)
        return self.tasks_.names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        return tags


class TaskPredictions(ClassifierMixin, Predictions):
    """Those of a classifier: probabilities of the classes of each task."""

    def predict_proba(self, X: Any) -> NDArray | list[NDArray]:
        """Probabilities of the classes of each task.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), (n_samples, n_tasks), or list of \
ndarray of shape (n_samples, n_classes)
            For a 1-D y, the probability of each class. For several binary tasks, that
            of each task's second class. Where some of several tasks is multi-class, one
            array for each task, as in scikit-learn's other classifiers. Under
            `conditions`, a task is never more probable than its condition.
        """
        return in_scikit_shape(*self._predicted(X))

    def predict_proba_given(self, X: Any) -> NDArray | list[NDArray]:
        """Probabilities of each task given that its condition happens.

        Of tasks without a condition, those of :meth:`predict_proba`; see
        :ref:`funnels`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray or list of ndarray
            In the form of :meth:`predict_proba`.
        """
        if not self.tasks_.conditions:
            return self.predict_proba(X)
        return in_scikit_shape(*self._predicted(X, given=True))

    def predict_log_proba(self, X: Any) -> NDArray | list[NDArray]:
        """Logarithms of what :meth:`predict_proba` gives, in the same form.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray or list of ndarray
            Minus infinity for a probability of 0.
        """
        tasks, probabilities = self._predicted(X)
        return in_scikit_shape(tasks, logarithms(probabilities))

    def predict(self, X: Any) -> NDArray:
        """The most probable class of each task.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_tasks)
            Labels as they were given to `fit`.
        """
        return super().predict(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean over tasks of ROC AUC, over the labels that are observed.

        A multi-class task is scored by its accuracy, and so is a 1-D y, as in all
        classifiers of scikit-learn.

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
        return self._score(X, y, sample_weight)

    @property
    def classes_(self) -> NDArray | list[NDArray]:
        """Classes of the one task, (n_classes,), or of each: (n_tasks, 2) or a list."""
        check_is_fitted(self)
        tasks = self.tasks_
        if tasks.single:
            return tasks.classes[0]
        if tasks.binary and tasks.alike:
            return np.stack(tasks.classes)
        return list(tasks.classes)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def has_decision_function(estimator: Any) -> bool:
    """scikit-learn gives decision_function a meaning for a 1-D y alone."""
    return not estimator.__sklearn_is_fitted__() or estimator.tasks_.single


class NumberPredictions(RegressorMixin, Predictions):
    """Those of a regressor: a number of each task."""

    def predict(self, X: Any) -> NDArray:
        """The number that each task is expected to be, in the units of its labels.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_tasks), float64
            A mean; under the losses ``"absolute"`` and ``"quantile(q)"`` a median and
            a quantile.
        """
        return super().predict(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean over tasks of R², over the labels that are observed.

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
        return self._score(X, y, sample_weight)


def _has_classes(estimator: Any) -> bool:
    """Whether there may be probabilities; an error that says why there are none."""
    kind = estimator.tasks
    of_classes = not isinstance(kind, str) or kind in CLASS_KINDS
    if estimator.__sklearn_is_fitted__():
        tasks = estimator.tasks_
        of_classes = len(tasks.numeric) < len(tasks.names)
    if of_classes:
        return True
    raise AttributeError(
        f"{type(estimator).__name__} has no predict_proba where the labels of all "
        "tasks are numbers, which predict gives."
    )


def _by_name(tasks: Tasks, predictions: list[NDArray]) -> dict[str, NDArray]:
    """Class probabilities of those tasks that have classes."""
    pairs = zip(tasks.tasks, predictions, strict=True)
    return {task.name: own for task, own in pairs if task.n_levels}


class MixedPredictions(Predictions):
    """Those of numbers and of classes beside each other."""

    def predict(self, X: Any) -> NDArray:
        """A number in its units, or the most probable class, of each task.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_tasks)
            Of floats where all classes are numbers, of objects otherwise.
        """
        return super().predict(X)

    @available_if(_has_classes)
    def predict_proba(self, X: Any) -> dict[str, NDArray]:
        """Probabilities of the classes of each task that has classes, by its name.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        dict of str to ndarray of shape (n_samples, n_classes)
            There is no such method where all tasks are numbers.
        """
        return _by_name(*self._predicted(X))

    @available_if(_has_classes)
    def predict_proba_given(self, X: Any) -> dict[str, NDArray]:
        """Probabilities of each task given that its condition happens, by its name.

        Of tasks without a condition, those of :meth:`predict_proba`; see
        :ref:`funnels`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        dict of str to ndarray of shape (n_samples, n_classes)
            There is no such method where all tasks are numbers.
        """
        if not self.tasks_.conditions:
            return self.predict_proba(X)
        return _by_name(*self._predicted(X, given=True))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean over tasks of R², ROC AUC or accuracy, over observed labels.

        R² of a number, ROC AUC of two classes, accuracy of more, and of a 1-D y of
        classes.

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
        return self._score(X, y, sample_weight)
