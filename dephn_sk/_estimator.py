"""Fit and partial_fit of any network, and the bases of its estimators."""

from __future__ import annotations

import contextlib
from abc import ABCMeta, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if

from . import tasks, training
from ._compat import BaseEstimator, _fit_context, warn
from .nn import FieldEmbedding, TaskNetwork


class NetworkEstimator(
    training.LogPredictions,
    training.FittedAttributes,
    training.CallbackParameters,
    training.CallbackSupportMixin,
    training.TrainingParameters,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Whatever the labels are: a fit is planned, run, and committed."""

    _kept = ("_fitted",)

    @abstractmethod
    def build_network(
        self,
        embedding: FieldEmbedding,
        n_outputs: list[int],
        generator: torch.Generator,
    ) -> TaskNetwork:
        """Make the network to train, on the given embedding.

        Parameters
        ----------
        embedding : FieldEmbedding
            Turns fields into vectors.
        n_outputs : list of int
            Logits of each task.
        generator : torch.Generator
            For the initial values.

        Returns
        -------
        TaskNetwork
        """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        groups: Any = None,
        label_time: Any = None,
        label_delay: Any = None,
        observed_until: Any = None,
        checkpoint: Any = None,
        checkpoint_every: int | str = 1,
    ) -> Self:
        """Fit the network to a table and the labels of one or more tasks.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A raw table, or what a :class:`~dephn_sk.preprocessing.FieldEncoder` gives;
            or a log, of which all that follows are names: :ref:`more_than_memory`.
        y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
            Labels; NaN (None, NA) in a 2-D y is not observed. A frame names the tasks.
        sample_weight : array-like of shape (n_samples[, n_tasks]), default=None
            Weights of rows, or of each row for each task, divided by a task's mean. Of
            zero, a row does not count at all; in vocabularies, by its mean over tasks.
        X_val, y_val : like X and y, default=None
            What early stopping watches, instead of rows set aside from X. In a
            Pipeline, ``transform_input=["X_val"]`` transforms it.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are set aside together; ``loss="pairwise"`` ranks them.
        label_time, label_delay, observed_until : default=None
            When shown, how long positives took, when labels were read: :ref:`delays`.
        checkpoint, checkpoint_every : path and int or str, default=None, 1
            A file from which the same call goes on, written after so many epochs, or
            seconds as ``"30s"``. See :ref:`checkpoints`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError : for bad input; the message names the column, task or parameter.
        """
        times = tasks.Times(label_time, label_delay, observed_until)
        how = {"epochs": self.max_epochs, "groups": groups, "times": times}
        kept = self.warm_start, checkpoint, checkpoint_every
        return self._train(X, y, sample_weight, *kept, validation=(X_val, y_val), **how)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one epoch on the given rows, and go on from there the next time.

        The first call learns the columns, the tasks and the network's sizes. Categories
        that come later get rows of their own in the tables, which grow; of columns of
        many values, once they are frequent. What was learned stays. Early stopping has
        no part in it. Weights, "balanced" class weights included, are relative to the
        rows of each call.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
        classes : array-like of shape (n_classes,), or list of those, default=None
            All classes of a 1-D y, or of each task, for the first call; None takes
            those of its y. A label that was not announced is an error.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None

        Returns
        -------
        self : object
        """
        return self._train(
            *(X, y, sample_weight, True), epochs=1, classes=classes, grows=True
        )

    @training.with_callbacks
    def _train(
        self, X: Any, y: Any, sample_weight: Any, goes_on: bool, *kept: Any, **how: Any
    ) -> Self:
        """Plan, train, commit: only the last changes anything of the estimator."""
        from .storage import keeper_of

        before = self._fitted if goes_on and self.__sklearn_is_fitted__() else None
        with training.fitting(self.n_threads) as ranks:
            keeper = keeper_of(*kept, ranks=ranks)
            how |= {"before": before, "keeper": keeper}
            plan = training.FitPlan.of(self, X, y, sample_weight, **how)
            plan = training.cross_validated(plan)
            with contextlib.closing(plan), training.begun(plan, keeper) as trainer:
                try:
                    with training.reported_epochs(self, trainer, X, y, sample_weight):
                        for _ in trainer.run(keeper.after_step):
                            keeper.after_epoch(trainer)
                except KeyboardInterrupt:
                    self._keep_interrupted(trainer.interrupted())
                    raise
            self._commit(trainer.fitted())
        trainer.warn_of_limit()
        return self

    def _commit(self, fitted: training.FittedModel) -> None:
        if isinstance(self.random_state, np.random.RandomState):
            training.draw_seed(self.random_state)  # what the plan drew from a copy
        self._fitted = fitted

    def _keep_interrupted(self, fitted: training.FittedModel | None) -> None:
        """Commit the best epoch of a first fit that is interrupted, if there is one."""
        if fitted is None or self.__sklearn_is_fitted__():
            return
        self._commit(fitted)
        warn(
            f"fit was interrupted after {self.n_iter_} whole epochs; the best of them "
            "is kept, and predicts.",
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """What notebooks show: the diagram and, once fitted, a summary."""
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if self.__sklearn_is_fitted__():
            from .inspection import FitSummary

            summary = FitSummary.from_estimator(self)
            bundle["text/plain"] += f"\n{summary!r}"
            if "text/html" in bundle:
                bundle["text/html"] += summary._repr_html_()
        return bundle

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


class MultiTaskClassifier(
    tasks.TaskPredictions, training.LabelParameters, NetworkEstimator
):
    """Base of the library's classifiers; a subclass says which network to train.

    A subclass defines :meth:`build_network`, and declares further parameters as those
    of the base are declared; from that it gets its constructor and its docstring.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from dephn_sk import MultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.nn import TaskNetwork
    >>> import torch
    >>> class Linear(TaskNetwork):
    ...     def __init__(self, embedding, n_outputs):
    ...         super().__init__()
    ...         self.embedding = embedding
    ...         self.output = torch.nn.Linear(embedding.width, sum(n_outputs))
    ...
    ...     def forward(self, codes, numbers=None, bags=(), label_similarity=None):
    ...         return self.output(self.embedding(codes, numbers, bags).flatten(1))
    >>> class LinearClassifier(MultiTaskClassifier):
    ...     def build_network(self, embedding, n_outputs, generator):
    ...         return Linear(embedding, n_outputs)
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = LinearClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    _attributes = f"""\
classes_ : ndarray of shape (n_classes,) or (n_tasks, 2), or list of ndarray
    Classes of a 1-D y; of several binary tasks; of several tasks some of which are
    multi-class.
{NetworkEstimator._attributes}"""

    @available_if(tasks.has_decision_function)
    def decision_function(self, X: Any) -> NDArray:
        """Logits, for a 1-D y alone.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        logits = self._tasks_and_logits(X)[1]
        return logits[:, 0] if logits.shape[1] == 1 else logits


class MultiTaskRegressor(
    tasks.NumberPredictions, training.RegressionParameters, NetworkEstimator
):
    """Base of regressors, with a network of one's own as :class:`MultiTaskClassifier`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskRegressor as one
    >>> issubclass(one, MultiTaskRegressor)
    True
    """


class MultiTaskEstimator(
    tasks.MixedPredictions, training.MixtureParameters, NetworkEstimator
):
    """Base of estimators of numbers and classes beside each other.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskEstimator as one
    >>> issubclass(one, MultiTaskEstimator)
    True
    """
