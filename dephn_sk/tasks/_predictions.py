"""What every classifier of several tasks predicts, in the shapes scikit-learn knows."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from ._ranking import mean_over_tasks, warn_undefined
from ._tasks import Tasks
from ._view import TaskView
from ._weights import check_sample_weight, combine


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


class TaskPredictions(ClassifierMixin):
    """Mixin of fitted estimators that have `tasks_` and `_predicted`."""

    tasks_: Tasks

    @abstractmethod
    def _predicted(self, X: Any, given: bool = False) -> tuple[Tasks, list[NDArray]]:
        """The tasks, and the class probabilities of each, (n_samples, n_classes).

        Marginal ones, or those `given` the tasks' conditions.
        """

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
        tasks, probabilities = self._predicted(X)
        return tasks.decode(probabilities)

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
        check_is_fitted(self)
        tasks, predictions = self._predicted(X)
        # a label that fit has not seen is a wrong prediction of a 1-D y
        labels = tasks.read(y, unseen=-1.0 if tasks.single else None)
        check_consistent_length(X, labels)
        given = check_sample_weight(sample_weight, len(labels), tasks.names, zeros=True)
        weights = combine(labels, tasks, given, None)
        scores = tasks.score_predictions(predictions, labels.values, weights)
        for name, score in zip(tasks.names, scores, strict=True):
            if np.isnan(score):
                warn_undefined("Score", name, "it needs rows, and two classes in them")
        return mean_over_tasks(scores)

    def task(self, name: str) -> TaskView:
        """A view of one task, for what takes a classifier of a 1-D y.

        Parameters
        ----------
        name : str
            One of `task_names_`.

        Returns
        -------
        TaskView
            A fitted classifier that shares the network.

        Raises
        ------
        ValueError
            Where there is no such task.
        """
        view = TaskView(self, name)
        view._locate()  # an unknown name shall not wait for a prediction
        return view

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

    @property
    def task_names_(self) -> tuple[str, ...]:
        """Names of the tasks."""
        check_is_fitted(self)
        return self.tasks_.names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags
