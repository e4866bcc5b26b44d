"""What a fit leaves behind, all at once, and what a fitted estimator tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._compat import warn
from ..logs import is_log
from ..nn import TaskNetwork
from ..preprocessing import FieldEncoder, Fields
from ..tasks import PREDICT_BLOCK, Tasks
from ._averaging import twin
from ._evaluation import predict_logits
from ._learned import Learned, check_weight, device_of
from ._parameters import AUTO, MOST_THREADS
from ._source import tensor_of
from ._state import TrainingState, under
from ._stopping import LEAST_PATIENCE
from ._threads import own_modes, threads, work_of

ENCODED_ROWS = 8 * PREDICT_BLOCK  # at a time, in predictions


@dataclass(frozen=True)
class FittedModel:
    """All that was learned; an estimator holds one, and replaces it as a whole.

    Attributes
    ----------
    learned : Learned
        What was learned before training.
    network : TaskNetwork
        That predicts.
    state : TrainingState
        From which training goes on.
    kept_epoch : int or None
        Epoch, counted from 1, whose weights early stopping kept.
    net, template, tasks
        Of the state, and of what was learned before.
    """

    learned: Learned
    network: TaskNetwork
    state: TrainingState
    kept_epoch: int | None = None
    net = property(attrgetter("state.net"))
    template = property(attrgetter("learned.template"))
    tasks = property(attrgetter("learned.tasks"))

    def kept_state(self, training: bool = True) -> dict[str, Any]:
        """All of it as tensors, JSON values, and `learned`.

        Without `training`, what predictions need: moments, averages and callbacks would
        begin anew, as after :meth:`trimmed`.
        """
        known = self.network is self.state.evaluated  # it is in the state already
        state = self.state
        return {
            "trimmed": not training,
            "learned": self.learned.kept_state(callbacks=training),
            "kept_epoch": self.kept_epoch,
            "stops": state.stopping is not None,
            "batch_size": self.net.batch_size,
            "training": state.state() if training else state.least_state(self.network),
            "weights": {} if known or not training else dict(self.network.state_dict()),
        }

    @classmethod
    def from_state(
        cls, kept: dict[str, Any], device: str | None = None, *, mapped: bool = False
    ) -> FittedModel:
        """The model of a :meth:`kept_state`, around its tensors; they are not copied.

        Weights that are `mapped` are on the disk, and are not read here.

        Raises
        ------
        ValueError
            Where parts do not fit together; the message names one.
        """
        learned = Learned.from_state(kept["learned"])
        network = learned.rebuilt(under("network", kept["training"]))
        for name, weight in [] if mapped else network.named_parameters():
            if (weight != weight).any():
                raise ValueError(f"The weights {name!r} hold NaN.")
        place = device_of(device) if device else _device(learned.template.device)
        return cls._of(kept, learned, network.to(place), place)

    @classmethod
    def _of(
        cls,
        kept: dict[str, Any],
        learned: Learned,
        network: TaskNetwork,
        device: torch.device,
        *,
        loaded: bool = True,
    ) -> FittedModel:
        """Around a network, which has its weights if it is `loaded`."""
        training, trimmed = kept["training"], kept["trimmed"]
        _check(kept)
        with threads(learned.template.n_threads):
            state = learned.state(
                network,
                {},
                seed=training["seed"],
                stops=LEAST_PATIENCE if kept["stops"] else None,  # a plan has its own
                epochs=training["epoch"],
                batch_size=kept["batch_size"],
                device=device,
                averages=not trimmed,
            )
            state.load(training, network=not loaded)
            state.load_callbacks(training)
        if trimmed:
            state.net.callbacks_ = []
        predicts = state.evaluated
        if weights := kept["weights"]:
            for name, own in predicts.state_dict().items():
                check_weight(name, weights[name], own.cpu())
            predicts = twin(
                state.network, {k: w.to(device) for k, w in weights.items()}
            )
        state.net.module_ = predicts.eval()
        return cls(learned, predicts, state, kept["kept_epoch"])

    def __getstate__(self) -> dict[str, Any]:
        """Plain arrays, and what rebuilds the network around them."""
        parts = self.kept_state()
        arrays = {key: _arrays(parts[key]) for key in ("training", "weights")}
        return {**parts, **arrays, "learned": self.learned}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        learned = kept["learned"]
        kept = {**kept, **{k: _tensors(kept[k]) for k in ("training", "weights")}}
        network = learned.network(kept["training"]["seed"])
        device = _device(learned.template.device)
        made = self._of(kept, learned, network, device, loaded=False)
        vars(self).update(vars(made))

    def encode(self, X: Any) -> Fields:
        """The fields of a table."""
        return self.learned.encoder.encode(X, dtype=np.dtype(self.template.dtype))

    def logits_of(
        self, X: Any, n_threads: int | str | None = None
    ) -> NDArray[np.float64]:
        """The same of a table, which a FieldEncoder encodes some rows at a time."""
        encoder = self.learned.encoder
        if type(encoder) is not FieldEncoder:
            return self.logits(self.encode(X), n_threads)
        dtype = np.dtype(self.template.dtype)
        blocks = encoder.encode_blocks(X, ENCODED_ROWS, dtype)
        return np.concatenate([self.logits(fields, n_threads) for fields in blocks])

    def logits(
        self, fields: Fields, n_threads: int | str | None = None
    ) -> NDArray[np.float64]:
        """Logits of all tasks, (n_rows, sum(n_outputs))."""
        source = self.learned.source(fields, self.net.device)
        work = None
        if n_threads == AUTO:
            n_rows = min(len(fields), PREDICT_BLOCK)
            work = work_of(self.network, n_rows, self.net.device)
        with threads(n_threads, work):
            logits = predict_logits(self.network, source, self.template.precision)
        return logits.astype(np.float64)

    def trimmed(self) -> FittedModel:
        """The same without moments, averages, and the weights of the last step."""
        return replace(self, state=self.state.trimmed(self.network))


def _check(kept: dict[str, Any]) -> None:
    """Raise where numbers of training are none."""
    training, best = kept["training"], kept["kept_epoch"]
    epoch, history = training["epoch"], training["history"]
    counts = [training["seed"], epoch, training["step"], kept["batch_size"] - 1]
    counts += [] if best is None else [best - 1, epoch - best]
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError(f"Training cannot have come to epoch {epoch}.")
    if type(kept["stops"]) is not bool or type(kept["trimmed"]) is not bool:
        raise ValueError("Training stops early, or does not.")
    rows = all(type(row) is dict and "epoch" in row for row in history)
    if type(history) is not list or len(history) != epoch or not rows:
        raise ValueError(f"The history is not that of {epoch} epochs.")


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors as arrays on the same memory, or copies where it is a device's."""
    return {
        key: value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        for key, value in values.items()
    }


def _tensors(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tensor_of(value) if isinstance(value, np.ndarray) else value
        for key, value in values.items()
    }


def _device(name: str) -> torch.device:
    """The device of the fit, or the CPU where it is not to be had."""
    try:
        return device_of(name)
    except ValueError as error:
        warn(f"{error} The CPU is used instead.")
        return torch.device("cpu")


def _shown(path: str, text: str) -> property:
    """A property that shows what a FittedModel holds."""
    return property(lambda self: attrgetter(path)(self._learned()), doc=text)


class FittedAttributes:
    """Mixin: what a fitted estimator shows of its FittedModel, `_fitted`."""

    _fitted: FittedModel
    n_threads: int | str | None
    _attributes: ClassVar[str] = """\
task_names_ : tuple of str
    Names of the columns of y, or ``"task0"``, ``"task1"``, ...
task_rates_ : tuple of float or None
    Rate of each binary task's second class among its observed labels, weighted as in
    training; None for another task.
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

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted" in vars(self)

    def _check_state(self) -> None:
        """Raise where a file has parts of another estimator."""
        fitted, n_threads = vars(self).get("_fitted"), vars(self)["n_threads"]
        if "_fitted" in vars(self) and (
            not isinstance(fitted, FittedModel)
            or type(fitted.template) is not type(self)
        ):
            raise ValueError(f"This {type(self).__name__} has learned {fitted!r}.")
        if n_threads not in (None, AUTO) and not 1 <= n_threads <= MOST_THREADS:
            raise ValueError(f"n_threads={n_threads!r} threads cannot be used.")

    def _learned(self) -> FittedModel:
        check_is_fitted(self)
        return self._fitted

    def trim(self) -> Any:
        """Forget what further training alone would need, so that a pickle is smaller.

        The optimizer's moments and the weights of the last step, beside their average,
        take up to three times the memory of the parameters. Predictions stay as they
        are; training that goes on starts from them; moments, the average and callbacks
        begin anew.

        Returns
        -------
        self : object
        """
        self._fitted = self._learned().trimmed()
        return self

    def logits_of(self, fields: Fields) -> NDArray[np.float64]:
        """Logits of all tasks, given their conditions, of rows that are encoded.

        Parameters
        ----------
        fields : Fields
            From ``encoder_.encode``.

        Returns
        -------
        ndarray of shape (n_samples, sum(n_outputs))
        """
        with threads(self.n_threads):
            return self._learned().logits(fields, self.n_threads)

    def _tasks_and_logits(self, X: Any) -> tuple[Tasks, NDArray]:
        fitted = self._learned()  # once: another thread may fit meanwhile
        with threads(self.n_threads), own_modes():
            if is_log(X):
                from ._log_predictions import logits_of_log

                return fitted.tasks, logits_of_log(fitted, X, self.n_threads)
            return fitted.tasks, fitted.logits_of(X, self.n_threads)

    def _predicted(self, X: Any, given: bool = False) -> tuple[Tasks, list[NDArray]]:
        tasks, logits = self._tasks_and_logits(X)
        return tasks, tasks.predict(logits, given)

    tasks_: Any = _shown("tasks", "Names, classes and kinds of the tasks.")
    encoder_: Any = _shown("learned.encoder", "Encoder fitted on X.")
    net_: Any = _shown("net", "The trained skorch net.")
    network_: Any = _shown("network", "The network that predicts.")
    kept_epoch_: Any = _shown(
        "kept_epoch", "Epoch, counted from 1, that early stopping kept, or None."
    )
    n_features_in_: Any = _shown("learned.encoder.n_features_in_", "Columns of X.")
    feature_names_in_: Any = _shown(
        "learned.encoder.feature_names_in_", "Names of the columns of X, if any."
    )

    @property
    def task_rates_(self) -> tuple[float | None, ...]:
        """Rate of each binary task's second class; None for other tasks."""
        fitted = self._learned()
        return fitted.tasks.rates(fitted.learned.start)

    @property
    def fitted_params_(self) -> dict[str, Any]:
        """The parameters with which it was fitted."""
        return self._learned().template.get_params(deep=False)

    @property
    def n_iter_(self) -> int:
        """Number of epochs that were run."""
        return len(self._learned().net.history)

    @property
    def history_(self) -> Any:
        """Losses and scores of each epoch, a data frame where pandas is installed.

        ``epoch``, ``dur`` (seconds), ``train_loss`` and ``valid_loss``, and for each
        task ``train_loss_<task>``, ``valid_loss_<task>`` and ``valid_score_<task>``
        (ROC AUC; accuracy of a multi-class task, R² of a number). NaN where an epoch
        had no validation rows. Without pandas, a dict of lists.
        """
        fitted = self._learned()
        rows = [_epoch(row, fitted.tasks.names) for row in fitted.net.history]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name, np.nan) for row in rows] for name in names}
        try:
            import pandas as pd
        except ImportError:
            return columns
        return pd.DataFrame(columns)


def _epoch(row: dict[str, Any], tasks: tuple[str, ...]) -> dict[str, float]:
    """One epoch's numbers, with a name for each task's."""
    flat = {"epoch": row["epoch"], "dur": row.get("dur", np.nan)}
    for what in ("train_loss", "valid_loss", "valid_score"):
        if what in row:  # a score is a task's alone
            flat[what] = row[what]
        values = row.get(what.replace("_", "_task_"), ())
        for name, value in zip(tasks, values, strict=False):
            flat[f"{what}_{name}"] = value
    return flat
