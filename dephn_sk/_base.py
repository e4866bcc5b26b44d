"""What all multi-task estimators share: from tables and labels to a trained net."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping

from ._batches import ArraySource, generator_of
from ._bins import column_edges
from ._compat import (
    Interval,
    InvalidParameterError,
    StrOptions,
    _fit_context,
    _num_samples,
    _safe_indexing,
)
from ._net import MultiTaskNet
from ._suggest import did_you_mean
from ._targets import Targets
from ._weights import check_sample_weight, check_task_weights, combine
from .metrics import mean_task_score
from .nn import FieldEmbedding, MultiTaskLoss, NumericEmbedding
from .preprocessing import FieldEncoder, Fields

AUTO_EARLY_STOPPING = 10_000
RAREST = 1e-6  # rate that a class without a row starts from
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def _has_decision_function(estimator: MultiTaskClassifier) -> bool:
    """scikit-learn gives decision_function a meaning for a 1-D y alone."""
    targets = getattr(estimator, "targets_", None)
    return targets is None or targets.single


class MultiTaskClassifier(ClassifierMixin, BaseEstimator):
    """Base of the library's classifiers; a subclass says which network to train.

    A subclass defines `__init__` with the parameters of `_parameter_constraints`, and
    :meth:`_build_network`.
    """

    _parameter_constraints: dict = {
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "numeric_embedding": [str],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "embedding_dropout": [Interval(Real, 0, 1, closed="left")],
        "unseen_rate": [Interval(Real, 0, 1, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "task_weights": [StrOptions({"uncertainty"}), Mapping, "array-like", None],
        "class_weight": [StrOptions({"balanced"}), Mapping, "array-like", None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_epochs_no_change": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, tuple, None],
        "device": [str],
        "dtype": [StrOptions(set(DTYPES))],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
    }

    @abstractmethod
    def _build_network(
        self,
        embedding: FieldEmbedding,
        n_outputs: list[int],
        generator: torch.Generator,
    ) -> torch.nn.Module:
        """The network to train, on the given embedding."""

    def _net_options(self) -> dict[str, Any]:
        """Further arguments of the net, from a subclass's own parameters."""
        return {}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MultiTaskClassifier:
        """Fit the network to a table and the labels of one or more tasks.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A raw table, or the output of a
            :class:`~dephn_sk.preprocessing.FieldEncoder`.
        y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
            Labels. In a 2-D y, NaN (None, NA) is a label that was not observed. A
            DataFrame names the tasks.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None
            Weights of rows, or of each row for each task. Rows of weight zero do not
            count at all. Each task's weights are divided by their mean.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For bad input; the message names the column, task or parameter.
        """
        seed = self._draw_seed()
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but "
                "the target y is None."
            )
        check_consistent_length(X, y)
        given = check_sample_weight(sample_weight, _num_samples(y))
        if given is not None and not given.any(axis=1).all():
            rows = np.flatnonzero(given.any(axis=1))
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
            given = given[rows]
        targets = Targets.fit(y)
        indices = targets.indices(y)
        weights = combine(indices, targets, given, self.class_weight)
        task_weights = check_task_weights(self.task_weights, targets)

        train, valid = self._split(len(indices), seed)
        # rows that do not train do not enter the vocabularies either
        row_weight = np.zeros(len(indices))
        row_weight[train] = 1.0 if given is None else given[train].mean(axis=1)
        uniform = given is None and not len(valid)
        self.encoder_ = FieldEncoder(categorical_features=self.categorical_features)
        self.encoder_.fit(X, sample_weight=None if uniform else row_weight)
        self.n_features_in_ = self.encoder_.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(self.encoder_, "feature_names_in_"):
            self.feature_names_in_ = self.encoder_.feature_names_in_
        self.targets_ = targets
        fields = self.encoder_.encode(X, dtype=np.dtype(self.dtype))
        sources = [
            self._source(
                fields if len(rows) == len(fields) else fields.take(rows),
                np.nan_to_num(indices[rows]),
                _normalised(weights[rows]),
            )
            for rows in (train, valid)
            if len(rows)
        ]
        with self._threads():
            generator = generator_of(seed, 1)
            embedding = self._build_embedding(
                fields.numbers[train], row_weight[train], generator
            )
            network = self._build_network(embedding, targets.n_outputs, generator)
            rates = _base_logits(targets, indices[train], weights[train])
            network.towers.set_base_rates(torch.from_numpy(rates))
            self.net_ = MultiTaskNet(
                network.to(DTYPES[self.dtype]),
                criterion=MultiTaskLoss(targets.n_outputs, task_weights),
                optimizer=torch.optim.AdamW,
                optimizer__weight_decay=self.weight_decay,
                optimizer__fused=True,
                lr=self.learning_rate,
                max_epochs=self.max_epochs,
                batch_size=self.batch_size,
                callbacks=self._make_callbacks(stopping=len(sources) > 1),
                device=self._torch_device(),
                verbose=int(self.verbose),
                n_classes=[len(c) for c in targets.classes],
                seed=seed,
                **self._net_options(),
            )
            self.net_.fit(sources[0], validation=sources[1] if len(valid) else None)
        return self

    def _validate_params(self) -> None:
        """As scikit-learn's, with the nearest valid option in the message."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            for name, constraints in self._parameter_constraints.items():
                value = getattr(self, name)
                for c in constraints:
                    if isinstance(c, StrOptions) and isinstance(value, str):
                        hint = did_you_mean(value, c.options)
                        if hint and not c.is_satisfied_by(value):
                            raise InvalidParameterError(f"{error}{hint}") from None
            raise

    def _draw_seed(self) -> int:
        """A seed of our own: no global generator is read or moved."""
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**31))
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31 - 1))
        return int(self.random_state)

    def _split(self, n_rows: int, seed: int) -> tuple[NDArray, NDArray]:
        """Rows to train on, and rows that early stopping watches."""
        stopping = self.early_stopping
        if stopping == "auto":
            stopping = n_rows > AUTO_EARLY_STOPPING
        if not stopping:
            return np.arange(n_rows), np.arange(0)
        n_valid = int(np.ceil(self.validation_fraction * n_rows))
        if n_valid >= n_rows:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {n_rows} rows "
                "leaves none to train on. Set early_stopping=False or give more rows."
            )
        order = np.random.default_rng([seed, 2]).permutation(n_rows)
        return np.sort(order[n_valid:]), np.sort(order[:n_valid])

    def _build_embedding(
        self, numbers: NDArray, row_weight: NDArray, generator: torch.Generator
    ) -> FieldEmbedding:
        numeric = None
        if numbers.shape[1]:
            edges = column_edges(numbers, self.n_bins, row_weight)
            numeric = NumericEmbedding(
                [torch.from_numpy(e) for e in edges],
                self.embedding_dim,
                parts=self.numeric_embedding.split("+"),
                generator=generator,
            )
        return FieldEmbedding(
            self.encoder_.cardinalities_,
            self.embedding_dim,
            numeric=numeric,
            bag_cardinalities=self.encoder_.bag_cardinalities_,
            tables=self.encoder_.tables_,
            unseen_rate=self.unseen_rate,
            dropout=self.embedding_dropout,
            generator=generator,
        )

    def _make_callbacks(self, *, stopping: bool) -> list[tuple[str, Any]]:
        """The user's callbacks, copied, and early stopping last."""
        callbacks = []
        for i, item in enumerate(self.callbacks or ()):
            name, callback = item if isinstance(item, tuple) else (f"callback{i}", item)
            if isinstance(callback, type) or not hasattr(callback, "on_train_begin"):
                callback = callback()  # a class, or a factory of what cannot be copied
            else:
                callback = clone(callback, safe=False)
            callbacks.append((name, callback))
        if stopping:
            early_stopping = EarlyStopping(
                monitor="valid_loss",
                patience=self.n_epochs_no_change,
                threshold=0,
                load_best=True,
                sink=_silent,
            )
            callbacks.append(("early_stopping", early_stopping))
        return callbacks

    def _torch_device(self) -> str:
        if self.device != "auto":
            try:
                torch.device(self.device)
            except RuntimeError:
                raise ValueError(
                    f"device must be 'auto' or a torch device such as 'cpu' or 'cuda', "
                    f"got {self.device!r}." + did_you_mean(self.device, _DEVICES)
                ) from None
            if self.device.startswith("cuda") and not torch.cuda.is_available():
                raise ValueError(
                    f"device={self.device!r}, but torch finds no CUDA device. Use "
                    "'auto' or 'cpu'."
                )
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _source(self, fields: Fields, labels: Any = None, weights: Any = None) -> Any:
        device = self.net_.device if labels is None else self._torch_device()
        return ArraySource(
            fields, labels, weights, device=device, dtype=DTYPES[self.dtype]
        )

    @contextlib.contextmanager
    def _threads(self) -> Iterator[None]:
        """Run with `n_threads` of torch, and leave its setting as it was."""
        before = torch.get_num_threads()
        if self.n_threads is None or self.n_threads == before:
            yield
            return
        torch.set_num_threads(self.n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    # ------------------------------------------------------------ predicting

    def _task_logits(self, X: Any) -> list[NDArray]:
        """Logits of each task, (n_samples, n_outputs of the task)."""
        check_is_fitted(self)
        fields = self.encoder_.encode(X, dtype=np.dtype(self.dtype))
        with self._threads():
            logits = self.net_.logits(self._source(fields)).astype(np.float64)
        return np.split(logits, np.cumsum(self.targets_.n_outputs)[:-1], axis=1)

    def _task_probabilities(self, X: Any) -> list[NDArray]:
        """Class probabilities of each task, (n_samples, n_classes)."""
        probabilities = []
        for z, classes in zip(self._task_logits(X), self.targets_.classes, strict=True):
            if len(classes) == 1:
                probabilities.append(np.ones((len(z), 1)))
            elif len(classes) == 2:
                probabilities.append(np.hstack([expit(-z), expit(z)]))
            else:
                probabilities.append(softmax(z, axis=1))
        return probabilities

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

    @available_if(_has_decision_function)
    def decision_function(self, X: Any) -> NDArray:
        """Logits, for a 1-D y alone.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        logits = self._task_logits(X)[0]
        return logits[:, 0] if logits.shape[1] == 1 else logits

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
            return accuracy_score(y, self.predict(X), sample_weight=sample_weight)
        return mean_task_score(
            y,
            self.predict_proba(X),
            classes=self.targets_.classes,
            sample_weight=sample_weight,
        )

    # ------------------------------------------------------------ attributes

    @property
    def classes_(self) -> NDArray | list[NDArray]:
        """Classes of the task, or of each task: (n_classes,), (n_tasks, 2) or a list."""
        check_is_fitted(self)
        targets = self.targets_
        if targets.single:
            return targets.classes[0]
        if targets.binary and len({c.dtype.kind for c in targets.classes}) == 1:
            return np.stack(targets.classes)
        return list(targets.classes)

    @property
    def task_names_(self) -> tuple[str, ...]:
        """Names of the tasks."""
        check_is_fitted(self)
        return self.targets_.names

    @property
    def n_iter_(self) -> int:
        """Number of epochs that were run."""
        check_is_fitted(self)
        return len(self.net_.history)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


_DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")


def _silent(*args: Any) -> None:
    """Where messages go that nobody asked for."""


def _normalised(weights: NDArray) -> NDArray | None:
    """Each task's weights divided by their mean; None where all of them are one."""
    mean = weights.mean(axis=0)
    weights = weights / np.where(mean > 0, mean, 1.0)
    return None if (weights == 1).all() else weights


def _base_logits(targets: Targets, indices: NDArray, weights: NDArray) -> NDArray:
    """Logits of the classes' rates, (sum(n_outputs),)."""
    logits = []
    for t, n_outputs in enumerate(targets.n_outputs):
        known = weights[:, t] > 0
        codes = indices[known, t].astype(np.intp)
        n_classes = max(2, n_outputs)
        mass = np.bincount(codes, weights[known, t], minlength=n_classes)
        rate = (mass / mass.sum()).clip(RAREST, 1 - RAREST)
        logits.append(logit(rate[1:]) if n_outputs == 1 else np.log(rate))
    return np.concatenate(logits)
