"""What all multi-task estimators share: from tables and labels to a trained net."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_consistent_length
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._compat import (
    InvalidParameterError,
    StrOptions,
    _fit_context,
    _num_samples,
    _safe_indexing,
)
from ._suggest import check_names, did_you_mean
from .nn import FieldEmbedding, MultiTaskLoss, NumericEmbedding, PlainNumbers
from .nn._numeric_embedding import NUMERIC_EMBEDDINGS, SCALAR
from .preprocessing import FieldEncoder, Fields
from .tasks._labels import Labels, read_columns
from .tasks._predictions import TaskPredictions
from .tasks._tasks import Tasks
from .tasks._weights import (
    check_observed,
    check_sample_weight,
    check_task_weights,
    combine,
    normalised,
)
from .training._callbacks import BestEpoch, CallbackParameters
from .training._net import MultiTaskNet
from .training._parameters import MONITORS, TrainingParameters
from .training._record import TrainingRecord
from .training._sklearn_callbacks import (
    CallbackSupportMixin,
    reported_epochs,
    with_callbacks,
)
from .training._source import ArraySource, generator_of, row_type
from .training._split import check_validation_set, split_rows
from .training._table_optimizer import TableAdamW

AUTO_EARLY_STOPPING = 2_000
AUTO_BATCH_SIZES, AUTO_STEPS = (256, 1024), 64
OPTIMIZER_PARAMETERS = ("learning_rate", "weight_decay", "batch_size")
# a linear function of every number, and bins of the discrete ones
AUTO, ALL_OF_AUTO = "auto", "linear+bins+piecewise-linear"
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def _has_decision_function(estimator: MultiTaskClassifier) -> bool:
    """scikit-learn gives decision_function a meaning for a 1-D y alone."""
    tasks = getattr(estimator, "tasks_", None)
    return tasks is None or tasks.single


class MultiTaskClassifier(
    TrainingRecord,
    CallbackParameters,
    CallbackSupportMixin,
    TaskPredictions,
    TrainingParameters,
    BaseEstimator,
):
    """Base of the library's classifiers; a subclass says which network to train.

    A subclass defines `__init__` with the parameters of `_parameter_constraints`, and
    :meth:`_build_network`.
    """

    # whether the network reads one vector for each field, and not only a flat row
    _reads_vectors = True

    _attributes = """\
classes_ : ndarray of shape (n_classes,) or (n_tasks, 2), or list of ndarray
    Classes of a 1-D y; of several binary tasks; of several tasks some of which are
    multi-class.
task_names_ : tuple of str
    Names of the columns of y, or ``"task0"``, ``"task1"``, ...
task_rates_ : tuple of float or None
    Rate of each binary task's second class among its observed labels, weighted as in
    training; None for a multi-class task.
encoder_ : FieldEncoder
    Encoder fitted on X.
net_ : skorch.NeuralNet
    The trained net; ``net_.module_`` is the network and ``net_.history`` the record of
    its training.
history_ : DataFrame or dict
    Losses and scores of each epoch.
n_iter_ : int
    Number of epochs that were run.
n_features_in_ : int
    Number of columns of X.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the columns of X, where it has names."""

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
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        groups: Any = None,
    ) -> MultiTaskClassifier:
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
            count at all. Each task's weights are divided by their mean. In vocabularies
            and scales, a row counts by its mean weight over the tasks.
        X_val, y_val : like X and y, default=None
            What early stopping watches, instead of rows set aside from X. In a
            Pipeline, ``transform_input=["X_val"]`` transforms it.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are kept together when rows are set aside.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For bad input; the message names the column, task or parameter.
        """
        reset = not (self.warm_start and hasattr(self, "net_"))
        given = check_validation_set(X_val, y_val)
        return self._train(
            X,
            y,
            sample_weight,
            validation=(X_val, y_val) if given else None,
            groups=groups,
            reset=reset,
            epochs=self.max_epochs,
        )

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> MultiTaskClassifier:
        """Train for one epoch on the given rows, and go on from there the next time.

        The first call learns the columns, the tasks and the network's sizes. Categories
        that come later get rows of their own in the tables, which grow; what was
        learned stays. Early stopping has no part in it. Weights, "balanced" class
        weights included, are relative to the rows of each call.

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
            X,
            y,
            sample_weight,
            classes=classes,
            reset=not hasattr(self, "net_"),
            epochs=1,
            stopping=False,
            grow=True,
        )

    @with_callbacks
    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        reset: bool,
        epochs: int,
        classes: Any = None,
        validation: tuple[Any, Any] | None = None,
        groups: Any = None,
        stopping: bool = True,
        grow: bool = False,
    ) -> MultiTaskClassifier:
        """What `fit` and `partial_fit` share: labels, rows, fields, then epochs."""
        self._check_call(X, y)
        reported = reported_epochs(self, epochs, X, y, sample_weight)
        columns = read_columns(y)
        given = check_sample_weight(sample_weight, len(columns), columns.names)
        if given is not None and not given.any(axis=1).all():
            rows = np.flatnonzero(given.any(axis=1))
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
            columns = columns.take(rows)
            groups = None if groups is None else _safe_indexing(groups, rows)
            given = given[rows]
        seed = self._draw_seed() if reset else self.net_.seed
        tasks = Tasks.learn(columns, classes) if reset else self.tasks_
        read = tasks.read(columns)
        weights = combine(read, tasks, given, self.class_weight)
        if reset:
            check_observed(weights, tasks)
        # what the parameters say of tasks is checked before anything is learned
        criterion = MultiTaskLoss(
            tasks.n_outputs, check_task_weights(self.task_weights, tasks)
        )
        monitor = self._check_monitor(tasks)

        n_rows = len(read)
        train, valid = np.arange(n_rows, dtype=row_type(n_rows)), np.arange(0)
        if stopping and validation is None and self._stops_early(n_rows):
            train, valid = split_rows(n_rows, self.validation_fraction, seed, groups)
            if reset:
                check_observed(weights[train], tasks, "among the rows to train on")
        counted = None if given is None else given.mean(axis=1)
        if len(valid):  # vocabularies and scales know nothing of them
            counted = np.ones(n_rows, dtype=bool) if counted is None else counted
            counted[valid] = 0
        dtype = np.dtype(self.dtype)
        labelled = [
            (rows, self._labels(read.take(rows), tasks), self._weights(weights[rows]))
            for rows in (train, valid)
            if len(rows)
        ]
        rates = tasks.start(read.take(train), weights[train]) if reset else None
        del columns, read, weights  # encoding many rows wants the memory
        watched = validation is not None or len(valid) > 0
        batch_size = self._rows_in_batch(
            len(train), watched and bool(self.early_stopping)
        )
        if not reset:
            self._go_on(batch_size)
        if reset:
            self.tasks_ = tasks
            self._fitted_dtype = dtype
            self._started_with = self._fixed_parameters()
            fields = self._learn_fields(X, y, counted, valid)
        elif grow:
            fields = self._grow_fields(X, y, counted)
        else:
            fields = self._encode(X)
        table = self._source(fields, self._torch_device())
        sources: list[Any] = [
            table.part(None if len(rows) == n_rows else rows, labels, weight)
            for rows, labels, weight in labelled
        ]
        if validation is not None:
            sources.append(self._validation_source(*validation))
        with self._threads():
            if reset:
                network = self._make_network(
                    fields.numbers,
                    None,
                    rates,
                    seed,
                )
                self.net_ = self._make_net(
                    network, criterion, monitor, batch_size, seed
                )
            with reported:
                self.net_.partial_fit([*sources, None][:2], epochs=epochs)
        return self

    def _fixed_parameters(self) -> dict[str, str]:
        """Parameters that training cannot change when it goes on."""
        free = {*OPTIMIZER_PARAMETERS, "max_epochs", "warm_start", "verbose"}
        free |= {"n_threads", "validation_fraction", "random_state", "device"}
        free |= {"class_weight", "early_stopping", "precision"}
        params = self.get_params(deep=False)
        return {k: repr(v) for k, v in params.items() if k not in free}

    def _go_on(self, batch_size: int) -> None:
        """Give the net the parameters that may change, refuse those that may not."""
        for name, value in self._fixed_parameters().items():
            if value != self._started_with[name]:
                raise ValueError(
                    f"{name}={value} differs from {self._started_with[name]}, with "
                    "which training began. It cannot change when training goes on; "
                    "clone the estimator to begin anew."
                )
        self.net_.batch_size = batch_size
        self.net_.verbose = int(self.verbose)
        self.net_.precision = self.precision
        changed = self.learning_rate != self.net_.lr  # a schedule goes on otherwise
        for group in self.net_.optimizer_.param_groups:
            group["weight_decay"] = self.weight_decay
            if changed:
                group["lr"] = self.learning_rate
        self.net_.lr = self.learning_rate

    def _check_call(self, X: Any, y: Any) -> None:
        """Raise for what is wrong before a single label is read."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but "
                "the target y is None."
            )
        self._check_choices()
        check_consistent_length(X, y)
        if not _num_samples(X):
            raise ValueError(
                f"Found array with 0 sample(s) (shape={np.shape(X)}) while a minimum "
                "of 1 is required."
            )

    def _learn_fields(
        self, X: Any, y: Any, sample_weight: NDArray | None, valid: NDArray
    ) -> Fields:
        """Fit the encoder; rows of weight zero do not enter the vocabularies."""
        encoder = self._make_encoder()
        fields = encoder.fit_encode(X, y, sample_weight, dtype=self._fitted_dtype)
        self.encoder_ = encoder
        if len(valid) and encoder.target_statistics is not None:
            # cross-fitted statistics are for the rows that were learned from
            fields.numbers[valid] = self._encode(_safe_indexing(X, valid)).numbers
        self.n_features_in_ = encoder.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        return fields

    def _grow_fields(self, X: Any, y: Any, sample_weight: NDArray | None) -> Fields:
        """Fields of further rows, after the vocabularies and tables have grown."""
        encoder = self.encoder_
        before = encoder.cardinalities_, encoder.bag_cardinalities_
        fields = encoder.partial_fit_encode(
            X, y, sample_weight, dtype=self._fitted_dtype
        )
        after = encoder.cardinalities_, encoder.bag_cardinalities_
        if after != before:
            self.net_.grow_embeddings(*after)
        return fields

    def _make_network(
        self, numbers: NDArray, row_weight: NDArray | None, rates: NDArray, seed: int
    ) -> torch.nn.Module:
        """The network for the given numbers, starting from the tasks' rates."""
        n_outputs = self.tasks_.n_outputs
        generator = generator_of(seed, "initial values")
        embedding = self._build_embedding(numbers, row_weight, generator)
        network = self._build_network(embedding, n_outputs, generator)
        network.set_base_rates(torch.from_numpy(rates))
        self.task_rates_ = self.tasks_.rates(rates)
        return network.to(DTYPES[self.dtype])

    def _make_net(
        self,
        network: torch.nn.Module,
        criterion: MultiTaskLoss,
        monitor: tuple[str, int | None],
        batch_size: int,
        seed: int,
    ) -> MultiTaskNet:
        """An initialized net around the network."""
        tasks = self.tasks_
        return MultiTaskNet(
            network,
            criterion=criterion,
            optimizer=TableAdamW,
            optimizer__weight_decay=self.weight_decay,
            optimizer__fused=True,
            lr=self.learning_rate,
            batch_size=batch_size,
            callbacks=self._make_callbacks(monitor),
            device=self._torch_device(),
            verbose=int(self.verbose),
            n_classes=tasks.n_levels,
            score_tasks=tasks.score,
            monitor=monitor,
            weight_averaging=self.weight_averaging,
            precision=self.precision,
            seed=seed,
            **self._net_options(),
        ).initialize()

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

    def _check_choices(self) -> None:
        """What the table of constraints cannot say."""
        if self.precision != "full" and self.dtype != "float32":
            raise ValueError(
                f"precision={self.precision!r} lowers that of float32, but "
                f"dtype={self.dtype!r}. Set precision='full' or dtype='float32'."
            )
        if self.numeric_embedding == AUTO:
            return
        if self.numeric_embedding == SCALAR:
            if self._reads_vectors:
                raise ValueError(
                    f"numeric_embedding={SCALAR!r} gives numbers no vectors, which "
                    f"{type(self).__name__} needs; choose of {NUMERIC_EMBEDDINGS}."
                )
            return
        parts = self.numeric_embedding.replace("|", "+").split("+")
        options = NUMERIC_EMBEDDINGS if len(parts) > 1 else (*NUMERIC_EMBEDDINGS, AUTO)
        check_names("numeric_embedding", parts, options)

    def _draw_seed(self) -> int:
        """A seed of our own: no global generator is read or moved."""
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**31))
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31 - 1))
        return int(self.random_state)

    def _stops_early(self, n_rows: int) -> bool:
        if self.early_stopping == "auto":
            return n_rows > AUTO_EARLY_STOPPING
        return bool(self.early_stopping)

    def _rows_in_batch(self, n_rows: int, stops_early: bool) -> int:
        """`batch_size`, or what few rows need where validation ends training in time.

        Otherwise more steps would only fit the rows more closely.
        """
        if self.batch_size != "auto":
            return int(self.batch_size)
        least, most = AUTO_BATCH_SIZES
        if not stops_early:
            return most
        power = 2 ** int(np.log2(max(1, n_rows // AUTO_STEPS)))
        return min(most, max(least, power))

    def _check_monitor(self, tasks: Tasks) -> tuple[str, int | None]:
        """`monitor` as the net takes it: a quantity, and the index of a task."""
        if isinstance(self.monitor, str):
            return self.monitor, None
        if len(self.monitor) != 2 or self.monitor[0] not in MONITORS:
            raise ValueError(
                f"monitor must be one of {MONITORS}, or a pair of it and a task's "
                f"name; got {self.monitor!r}."
            )
        quantity, name = self.monitor
        return quantity, tasks.position(name, "monitor")

    def _make_encoder(self) -> FieldEncoder:
        """A fresh encoder: a copy of the given one, or one with defaults."""
        if self.encoder is None:
            return FieldEncoder(categorical_features=self.categorical_features)
        if self.categorical_features != "from_dtype":
            raise ValueError(
                f"categorical_features={self.categorical_features!r} is given beside "
                "an encoder; give it to the encoder."
            )
        return clone(self.encoder)

    def _encode(self, X: Any) -> Fields:
        return self.encoder_.encode(X, dtype=self._fitted_dtype)

    def _labels(self, labels: Labels, tasks: Tasks) -> NDArray:
        return labels.values.astype(tasks.label_dtype(self.dtype))

    def _weights(self, weights: NDArray) -> NDArray | None:
        weights = normalised(weights)
        return None if weights is None else weights.astype(self.dtype)

    def _validation_source(self, X_val: Any, y_val: Any) -> ArraySource:
        labels = self.tasks_.read(y_val)
        weights = combine(labels, self.tasks_, None, self.class_weight)
        return self._source(self._encode(X_val), self._torch_device()).part(
            None, self._labels(labels, self.tasks_), self._weights(weights)
        )

    def _build_embedding(
        self,
        numbers: NDArray,
        row_weight: NDArray | None,
        generator: torch.Generator,
    ) -> FieldEmbedding:
        numeric = None
        if self.numeric_embedding == SCALAR:
            numeric = PlainNumbers(numbers.shape[1])
        elif numbers.shape[1]:
            auto = self.numeric_embedding == AUTO
            edges = self.encoder_.edges(
                self.n_bins, discrete_only=auto, dtype=self._fitted_dtype
            )
            numeric = NumericEmbedding(
                [torch.from_numpy(e) for e in edges],
                self.embedding_dim,
                kind=ALL_OF_AUTO if auto else self.numeric_embedding,
                generator=generator,
            )
        return FieldEmbedding(
            self.encoder_.cardinalities_,
            self.embedding_dim,
            numeric=numeric,
            bag_cardinalities=self.encoder_.bag_cardinalities_,
            bag_mode=self.encoder_.bag_modes_,
            tables=self.encoder_.tables_,
            unseen_rate=self.unseen_rate,
            dropout=self.embedding_dropout,
            generator=generator,
        )

    def _make_callbacks(self, monitor: tuple) -> list[tuple[str, Any]]:
        """The user's callbacks, copied, and early stopping last."""
        callbacks = self._copied_callbacks()
        if self.early_stopping:
            best = BestEpoch(
                patience=self.n_epochs_no_change,
                lower_is_better=monitor[0] == "loss",
            )
            callbacks.append(("best_epoch", best))
        return callbacks

    def _torch_device(self) -> str:
        if self.device != "auto":
            try:
                torch.empty(0, device=self.device)
            except (RuntimeError, AssertionError, NotImplementedError) as error:
                reason = str(error).splitlines()[0]
                raise ValueError(
                    f"device={self.device!r} cannot be used here: {reason}. Give "
                    "'auto', 'cpu' or a device that torch finds."
                    + did_you_mean(self.device, _DEVICES)
                ) from None
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _source(self, fields: Fields, device: Any = None) -> ArraySource:
        """The fields on a device, or on that of the net."""
        return ArraySource(
            fields,
            device=self.net_.device if device is None else device,
            dtype=DTYPES[self._fitted_dtype.name],
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

    def trim(self) -> MultiTaskClassifier:
        """Forget what further training alone would need, so that a pickle is smaller.

        The optimizer's moments and the weights of the last step, beside their average,
        take up to three times the memory of the parameters. Predictions stay as they
        are; training that goes on starts from them, with moments and average anew.

        Returns
        -------
        self : object
        """
        check_is_fitted(self)
        self.net_.trim()
        return self

    # ------------------------------------------------------------ predicting

    def _logits(self, X: Any) -> NDArray:
        """Logits, (n_samples, sum(n_outputs))."""
        check_is_fitted(self)
        source = self._source(self._encode(X))
        with self._threads():
            return self.net_.logits(source).astype(np.float64)

    def _task_probabilities(self, X: Any) -> list[NDArray]:
        """Class probabilities of each task, (n_samples, n_classes)."""
        logits = self._logits(X)
        return self.tasks_.predict(logits)

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
        logits = self._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


_DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
