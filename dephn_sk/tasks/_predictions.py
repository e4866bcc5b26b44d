"""What every classifier of several tasks predicts, in the shapes scikit-learn knows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from ..metrics import mean_task_score
from ._view import TaskView


class TaskPredictions(ClassifierMixin):
    """Mixin of fitted estimators that have `targets_` and `_task_probabilities`."""

    @abstractmethod
    def _task_probabilities(self, X: Any) -> list[NDArray]:
        """Class probabilities of each task, (n_samples, n_classes)."""

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
            array for each task, as in scikit-learn's other classifiers.
        """
        probabilities = self._task_probabilities(X)
        if self.targets_.single:
            return probabilities[0]
        if self.targets_.binary:
            return np.column_stack([p[:, 1] for p in probabilities])
        return probabilities

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
        probabilities = self._task_probabilities(X)
        indices = np.column_stack([p.argmax(axis=1) for p in probabilities])
        return self.targets_.decode(indices)

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
        if self.targets_.single:
            indices = self.targets_.indices(y, unseen=-1.0)[:, 0]
            predicted = self._task_probabilities(X)[0].argmax(axis=1)
            return accuracy_score(indices, predicted, sample_weight=sample_weight)
        return mean_task_score(
            self.targets_.indices(y),
            self.predict_proba(X),
            classes=[range(len(c)) for c in self.targets_.classes],
            sample_weight=sample_weight,
        )

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
        targets = self.targets_
        if targets.single:
            return targets.classes[0]
        if targets.binary and targets.alike:
            return np.stack(targets.classes)
        return list(targets.classes)

    @property
    def task_names_(self) -> tuple[str, ...]:
        """Names of the tasks."""
        check_is_fitted(self)
        return self.targets_.names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags
