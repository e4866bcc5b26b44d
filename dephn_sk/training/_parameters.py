"""The parameters that all estimators of networks have in common."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from types import NoneType
from typing import Any, Self

import joblib

from .._compat import HasMethods, Interval, InvalidParameterError, StrOptions
from .._parameters import ParameterTable, parameter
from .._suggest import check_names, did_you_mean
from ..nn._numeric_embedding import NUMERIC_EMBEDDINGS
from ..preprocessing import FieldEncoder
from ..tasks import Columns, TaskLoss, Tasks
from ._precision import PRECISIONS

MONITORS = ("loss", "score")
# a linear function of every number, and bins of the discrete ones
AUTO, ALL_OF_AUTO, SCALAR = "auto", "linear+bins+piecewise-linear", "scalar"
# what may be given anew where training goes on
FREE = frozenset(
    {
        *("learning_rate", "weight_decay", "batch_size", "max_epochs", "callbacks"),
        *("early_stopping", "n_epochs_no_change", "validation_fraction", "verbose"),
        *("validate_every", "memory"),
        *("class_weight", "warm_start", "random_state"),
        *("device", "precision", "n_threads", "compile"),
    }
)
# what a dict may give for each task by its name
BY_TASK = frozenset(
    {"tasks", "loss", "label_smoothing", "label_window", "class_weight"}
)
MOST_THREADS = 2**12  # torch aborts the process where it cannot have them
DTYPES = ("float32", "float64")
AT_LEAST_ONE = [Interval(Integral, 1, None, closed="left")]
WIDTHS = ["array-like"]
SHARE = [Interval(Real, 0, 1, closed="left")]
PART = [Interval(Real, 0, 1, closed="neither")]


def check_widths(estimator: TrainingParameters) -> None:
    """Raise for widths that no layer can have, by the parameter's name."""
    for name, declared in estimator._parameters.items():
        if declared.constraint is not WIDTHS:
            continue
        given = getattr(estimator, name)
        if not len(given) and name != "tower_hidden":
            raise ValueError(f"{name} is empty; give at least one width.")
        for width in given:
            if not isinstance(width, Integral) or width < 1:
                raise ValueError(f"{name} must hold integers >= 1, got {width!r}.")


class TrainingParameters(ParameterTable):
    """How fields are embedded, and how a network is trained on them.

    Parameters
    ----------
    embedding_dim : int
        Width of a field's vector.
    numeric_embedding : str
        How a number becomes a vector: ``"linear"``, ``"bins"`` (a row for each quantile
        bin), ``"piecewise-linear"``, ``"periodic"``, or some of them, joined by ``"+"``
        as one vector, their sum, or by ``"|"`` as a vector each. See
        :class:`~dephn_sk.nn.NumericEmbedding`. ``"auto"`` is the sum of the first three
        with `n_bins` bins for discrete columns, nine in ten of whose rows hold frequent
        values; other columns have one bin, which is linear, too. ``"scalar"`` leaves it
        a number, for networks that read a flat row: DNN, DCN, Shared-Bottom, MMoE,
        PLE, SNR, ESMM and AITM.
    n_bins : int
        Quantile bins of a numeric column.
    embedding_dropout : float in [0, 1)
        Dropout of the fields' entries.
    unseen_rate : float in [0, 1)
        Probability with which a categorical value is taken for an unseen one while
        training, so that the vector of unseen values is trained.
    dropout : float in [0, 1)
        Dropout after each hidden activation.
    n_networks : int or "auto"
        Networks that differ in initial values and dropout, and learn side by side from
        the same rows. The prediction is the mean of their probabilities, which early
        stopping watches; so one stop serves all. More of them predict better and cost
        more; see :ref:`networks`. ``"auto"``: five of few rows, where `max_epochs`
        comes from a cross-validation that costs more than they do, otherwise one.
    task_weights : "uncertainty", dict, array-like of shape (n_tasks,) or None
        Weights of the tasks' losses, by name or in order; ``"uncertainty"`` learns them
        (Kendall, Gal, Cipolla, CVPR 2018). None weighs all tasks alike.
    class_weight : dict, "balanced", list or None
        For a 1-D y as in scikit-learn. For several tasks, ``"balanced"``, a dict from
        task name, or a list, of such entries.
    max_epochs : int or "auto"
        Epochs, at most: passes over the training data, or what `validate_every` makes
        of them. ``"auto"``: 60 passes where training stops early, else 20. But 50 to
        4,000 rows, of which ``early_stopping="auto"`` sets none aside, are trained on
        for as many epochs as have the lowest loss in a cross-validation of five folds.
    batch_size : int or "auto"
        Rows in an optimization step. ``"auto"`` is the power of two below a 64th of
        the rows, from 64 to 1024.
    learning_rate : float
        Of AdamW.
    weight_decay : float
        Decoupled weight decay of AdamW.
    weight_averaging : float in [0, 1)
        Decay of the moving average of the weights over the steps, which validates and
        is what remains; 0 keeps the last weights.
    early_stopping : bool or "auto"
        Whether to stop when the loss on rows set aside no longer falls, and to keep the
        weights of the best epoch, of all tasks alike. ``"auto"``: with more than 2,000
        rows, or 4,000 where ``max_epochs="auto"``.
    monitor : {"loss", "score"} or (one of them, task name)
        What early stopping watches: the loss that is trained on or the mean over tasks
        of ROC AUC (accuracy of a multi-class task), or that of one task.
    validation_fraction : float in (0, 1)
        Share of rows set aside for early stopping.
    validate_every : int or None
        Steps of an epoch, after which the rows that are set aside are scored: fewer
        than a pass over many rows takes, so that early stopping need not wait for its
        end. The next epoch goes on where the last one has ended. A pass is the most,
        and what an epoch is for None, and where no rows validate.
    n_epochs_no_change : int or "auto"
        Epochs without improvement after which training stops. ``"auto"`` is three, or
        as many as have 300 steps: while single columns are learnt and interactions not
        yet, the loss stands still for some steps, however many epochs those are.
    warm_start : bool
        Whether `fit` goes on from an earlier fit, with its vocabularies, tasks and
        state of training, for `max_epochs` more. It goes on from the weights of the
        last step, so that training in two pieces is training in one; after an early
        stop, too, with the best weights so far still to be beaten.
    callbacks : list of skorch callbacks or of (name, callback)
        They are copied. A callback that cannot be copied is given as a class or a
        function that makes it. Those with a name have their parameters searched as
        ``callbacks__name__parameter``. Where training goes on, callbacks that are given
        as before go on, too, and others begin.
    device : str
        ``"auto"`` is CUDA where there is a device, otherwise the CPU; or a torch
        device.
    dtype : {"float32", "float64"}
        Of parameters and arithmetic.
    precision : {"full", "tf32", "bf16"}
        Of matrix products under ``dtype="float32"``, while fitting and predicting.
        ``"tf32"`` rounds what is multiplied to TensorFloat-32, on CUDA devices that
        have it; elsewhere it does nothing. ``"bf16"`` runs the network under torch's
        autocast to bfloat16, on any device; parameters, optimizer and loss remain
        float32.
    compile : bool
        Whether the network trains under ``torch.compile``, with CUDA graphs on CUDA;
        each fit compiles anew, for seconds to minutes. Results are the same but for
        rounding. Batches of `batch_size` rows run so; not the last of a pass, nor
        predictions, nor the folds of ``max_epochs="auto"``. Where it cannot be (no
        compiler, multi-valued fields, a network that is no graph), a warning says why,
        and the network trains as it is. It has not run on a GPU yet.
    n_threads : int, "auto" or None
        Threads of torch while fitting and predicting. ``"auto"`` takes as many of those
        of torch's setting as have enough to do: one for small batches of small
        networks, where threads do not pay; see :ref:`threads`. None leaves torch's
        setting, which is as many as there are cores, and one in joblib's loky workers.
        Give 1 where several processes or threads fit at once: more threads than cores
        are far slower than one. A forked process always has one. Threads change the
        last bits of a fit with large batches, which is why a rule that looks at sizes
        is not the default.
    random_state : int, RandomState instance or None
        Seed of initial values, shuffling, dropout, the validation split and the folds
        of target statistics. The same seed gives the same bytes; global generators are
        neither read nor moved.
    verbose : int
        0 prints nothing. 1 prints what ``"auto"`` decided, then one line that says how
        far training is, what the epochs have come to, and how long it may still take,
        and in the end why it ended: written over in a terminal or a notebook; a file
        has a line for each epoch, and for each half minute of longer ones. 2 and more
        print skorch's table of the epochs instead, and what skorch's callbacks say.
    categorical_features : "from_dtype", array-like or None
        Which columns are categorical. ``"from_dtype"``: strings, objects, categories
        and booleans of a data frame, and columns of an object array that are no
        numbers; or a boolean mask, indices or column names; None: none.
    target_statistics : "auto" or None
        How the estimator's own encoder takes columns of many values: ``"auto"`` adds
        statistics of the labels where these say something, and gives rows of their own
        to frequent values alone (see :ref:`many_values`); None adds none, and all
        values have rows. An `encoder` that is given decides for itself.
    encoder : FieldEncoder or None
        How columns become fields: an unfitted encoder with settings of its own, such as
        frequency limits or target statistics, which is copied and fitted within `fit`,
        cross-fitting included. None: a FieldEncoder with `categorical_features` and
        `target_statistics`.
    memory : str, PathLike, joblib.Memory or None
        A folder where a first fit keeps its encoder and its rows as that encodes them,
        for fits of the same rows, labels and weights with the same seed, in any
        process: those of a search over the network's parameters then encode each fold
        once. It needs a `random_state`. Rows with which `partial_fit` goes on are new,
        and are not kept. Within a path, the latest 4 GiB are kept; what
        a Memory holds is yours to bound, by its `reduce_size`. They are pickles: name
        no folder that others write to. None keeps nothing, since a folder that grows
        comes as a surprise, and encoding is a small part of most fits; see
        :ref:`searches`.
    """

    # whether the network reads one vector for each field, and not only a flat row
    reads_vectors = True

    embedding_dim: int = parameter(8, AT_LEAST_ONE)
    numeric_embedding: str = parameter("linear", [str])
    n_bins: int = parameter(256, [Interval(Integral, 2, None, closed="left")])
    embedding_dropout: float = parameter(0.3, SHARE)
    unseen_rate: float = parameter(0.02, SHARE)
    dropout: float = parameter(0.2, SHARE)
    n_networks: int | str = parameter("auto", [*AT_LEAST_ONE, StrOptions({"auto"})])
    task_weights: Mapping[str, float] | Sequence[float] | str | None = parameter(
        None, [StrOptions({"uncertainty"}), Mapping, "array-like", None]
    )
    class_weight: Any = parameter(
        None, [StrOptions({"balanced"}), Mapping, "array-like", None]
    )
    max_epochs: int | str = parameter("auto", [*AT_LEAST_ONE, StrOptions({"auto"})])
    batch_size: int | str = parameter("auto", [*AT_LEAST_ONE, StrOptions({"auto"})])
    learning_rate: float = parameter(2e-3, [Interval(Real, 0, None, closed="neither")])
    weight_decay: float = parameter(1e-5, [Interval(Real, 0, None, closed="left")])
    weight_averaging: float = parameter(0.999, SHARE)
    early_stopping: bool | str = parameter("auto", ["boolean", StrOptions({"auto"})])
    monitor: str | tuple[str, str] = parameter(
        "loss", [StrOptions(set(MONITORS)), tuple]
    )
    validation_fraction: float = parameter(0.1, PART)
    validate_every: int | None = parameter(None, [*AT_LEAST_ONE, None])
    n_epochs_no_change: int | str = parameter(
        "auto", [*AT_LEAST_ONE, StrOptions({"auto"})]
    )
    warm_start: bool = parameter(False, ["boolean"])
    callbacks: Sequence[Any] | None = parameter(None, [list, tuple, None])
    device: str = parameter("auto", [str])
    dtype: str = parameter("float32", [StrOptions(set(DTYPES))])
    precision: str = parameter("full", [StrOptions(set(PRECISIONS))])
    compile: bool = parameter(False, ["boolean"])
    n_threads: int | str | None = parameter(
        None,
        [Interval(Integral, 1, MOST_THREADS, closed="both"), StrOptions({AUTO}), None],
    )
    random_state: Any = parameter(None, ["random_state"])
    verbose: int = parameter(0, ["verbose"])
    categorical_features: Any = parameter(
        "from_dtype", [StrOptions({"from_dtype"}), "array-like", None]
    )
    target_statistics: str | None = parameter("auto", [StrOptions({"auto"}), None])
    encoder: Any = parameter(None, [HasMethods(["fit_encode", "encode"]), None])
    memory: Any = parameter(None, [str, os.PathLike, joblib.Memory, None])

    def check_parameters(self) -> None:
        """Raise for what the constraints of single parameters cannot say.

        Raises
        ------
        ValueError
            It names the parameter and the value.
        """
        if self.precision != "full" and self.dtype != "float32":
            raise ValueError(
                f"precision={self.precision!r} lowers that of float32, but "
                f"dtype={self.dtype!r}. Set precision='full' or dtype='float32'."
            )
        if self.encoder is not None and self.categorical_features != "from_dtype":
            raise ValueError(
                f"categorical_features={self.categorical_features!r} is given beside "
                "an encoder; give it to the encoder."
            )
        check_widths(self)
        self._check_numeric_embedding()
        if self.memory is not None:
            self._check_memory()

    def _check_memory(self) -> None:
        if self.random_state is None:
            raise ValueError(
                f"memory={self.memory!r} holds what fits of the same seed may use, but "
                "random_state=None draws another for each. Give random_state an "
                "integer."
            )
        if type(self.encoder) not in (FieldEncoder, NoneType):
            raise ValueError(
                f"memory={self.memory!r} keeps what a FieldEncoder learns, but encoder "
                f"is a {type(self.encoder).__name__}, whose code may be another the "
                "next time. Give a FieldEncoder, or set memory=None."
            )

    def _check_numeric_embedding(self) -> None:
        if self.numeric_embedding == SCALAR and self.reads_vectors:
            raise ValueError(
                f"numeric_embedding={SCALAR!r} gives numbers no vectors, which "
                f"{type(self).__name__} needs; choose of {NUMERIC_EMBEDDINGS}."
            )
        if self.numeric_embedding in (AUTO, SCALAR):
            return
        parts = self.numeric_embedding.replace("|", "+").split("+")
        options = NUMERIC_EMBEDDINGS if len(parts) > 1 else (*NUMERIC_EMBEDDINGS, AUTO)
        check_names("numeric_embedding", parts, options)

    def _learn_tasks(self, columns: Columns, classes: Any) -> Tasks:
        """The tasks of a y, each of classes here; see :meth:`Tasks.learn`."""
        return Tasks.learn(columns, classes)

    def _conditioned(self, tasks: Tasks) -> Tasks:
        """Tasks, of which some may only happen where another did."""
        return tasks

    def _losses(self, tasks: Tasks) -> tuple[TaskLoss, ...] | None:
        """The loss of each task; None where each has its own."""
        return None

    def _windows(self) -> tuple[Any, str]:
        """How long positives may come, and what becomes of labels until then."""
        return None, "mask"

    def _monitored(self, tasks: Tasks) -> tuple[str, int | None]:
        """`monitor` as a quantity, and the index of a task or None for all."""
        if isinstance(self.monitor, str):
            return self.monitor, None
        if len(self.monitor) != 2 or self.monitor[0] not in MONITORS:
            raise ValueError(
                f"monitor must be one of {MONITORS}, or a pair of it and a task's "
                f"name; got {self.monitor!r}."
            )
        quantity, name = self.monitor
        return quantity, tasks.position(name, "monitor")

    def _keep_task(self, name: str) -> None:
        """Leave of the parameters what they say of one task, to be trained alone."""
        for key in BY_TASK & self._parameters.keys():
            given = getattr(self, key)
            if not isinstance(given, Mapping):
                continue
            if key == "class_weight" and all(
                isinstance(w, Real) for w in given.values()
            ):
                continue  # of the classes of the only task
            setattr(self, key, given.get(name, self._parameters[key].default))
        conditions = getattr(self, "conditions", None)
        if isinstance(conditions, Mapping):
            # without its condition, a task is another: that is refused by name
            kept = {task: one for task, one in conditions.items() if task == name}
            setattr(self, "conditions", kept or None)  # noqa: B010
        if not isinstance(self.task_weights, str):
            self.task_weights = None
        if not isinstance(self.monitor, str):
            self.monitor = self.monitor[0]

    def _state(self) -> dict[str, Any]:
        """For a file, which names no folder whose pickles would be read."""
        return _without_memory(super()._state())  # type: ignore[misc]

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        made: Self = super()._from_state(_without_memory(state))  # type: ignore[misc]
        return made

    def _validate_params(self) -> None:
        """As scikit-learn's, with the nearest valid option in the message."""
        try:
            super()._validate_params()  # type: ignore[misc]
        except InvalidParameterError as error:
            for name, one in self._parameters.items():
                value = getattr(self, name)
                for c in one.constraint:
                    if isinstance(c, StrOptions) and isinstance(value, str):
                        hint = did_you_mean(value, c.options)
                        if hint and not c.is_satisfied_by(value):
                            raise InvalidParameterError(f"{error}{hint}") from None
            raise


def _without_memory(state: dict[str, Any]) -> dict[str, Any]:
    params = {k: value for k, value in state["params"].items() if k != "memory"}
    return {**state, "params": params}


def check_goes_on(new: TrainingParameters, old: TrainingParameters) -> None:
    """Raise where a parameter differs that cannot change when training goes on."""
    for name in old._parameters:
        value, before = getattr(new, name), getattr(old, name)
        if name not in FREE and not unchanged(value, before):
            raise ValueError(
                f"{name}={value!r} differs from {before!r}, with which training began. "
                "It cannot change when training goes on; clone the estimator to begin "
                "anew."
            )


def unchanged(new: Any, old: Any) -> bool:
    """Whether two values of a parameter say the same.

    Objects with parameters of their own, such as callbacks and encoders, are compared
    by these.
    """
    if new is old:
        return True
    if type(new) is not type(old):
        return False
    if isinstance(new, Mapping):
        return new.keys() == old.keys() and all(unchanged(new[k], old[k]) for k in new)
    if isinstance(new, (list, tuple)):
        return len(new) == len(old) and all(map(unchanged, new, old))
    if hasattr(new, "get_params"):
        return unchanged(new.get_params(deep=False), old.get_params(deep=False))
    try:  # by what they hold; a copy is no other value
        return joblib.hash(new) == joblib.hash(old)
    except (pickle.PicklingError, TypeError, AttributeError):  # no copy can be made
        return False
