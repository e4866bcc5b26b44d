"""Every number that training needs, in one place that can be captured and restored."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from skorch.callbacks import LRScheduler
from skorch.history import History
from torch import Tensor
from torch.optim import Optimizer

from ..nn import TaskNetwork
from ._averaging import WeightAverage, twin
from ._callbacks import held, hold, is_plain
from ._net import EACH_BATCH, MultiTaskNet
from ._randomness import generator_of
from ._source import Source
from ._stopping import BestEpoch

_NUMBERS = ("seed", "epoch", "step", "passes", "total", "stopped")
# what the first files do not hold
_NOT_KEPT_BEFORE: dict[str, Any] = {
    **{"stopped": False, "frozen": [], "passes": [0, 0, 0]}
}
_OF_SKORCH = ("epoch_timer", "print_log")  # they only show, and begin with each call


@dataclass(eq=False)
class TrainingState:
    """A network in training, and all that decides its next step.

    Attributes
    ----------
    net : MultiTaskNet
        Initialized around the network that learns.
    network : TaskNetwork
        That learns; it holds the weights of the last step.
    seed : int
        Of shuffling, dropout and growth.
    average : WeightAverage or None
        Averages of its weights, in tensors of their own.
    stopping : BestEpoch or None
        None does not stop early.
    epoch, step : int
        Whole epochs that are done, and steps within the one that is not. A step is a
        batch of all ranks together.
    passes : list of int
        Since which epoch passes over the rows, and epochs, have as many steps as they
        have, and how many: of an epoch, and of a pass.
    total : Tensor of shape (n_tasks,) or None
        Losses of that epoch so far, summed over the rows that this process has seen.
    stopped : bool
        Whether a callback has ended the run.
    schedules : dict of str to dict
        Where schedules of callbacks go on once training begins, by callback.
    """

    net: MultiTaskNet
    network: TaskNetwork
    seed: int
    average: WeightAverage | None
    stopping: BestEpoch | None
    epoch: int = 0
    step: int = 0
    passes: list[int] = field(default_factory=lambda: [0, 0, 0])
    total: Any = None
    stopped: bool = False
    schedules: dict[str, Any] = field(default_factory=dict)
    _history: list[dict[str, Any]] | None = None
    _resumed: Mapping[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether early stopping, or a callback, has ended training."""
        return self.stopped or (self.stopping is not None and self.stopping.is_over)

    @property
    def history(self) -> list[dict[str, Any]]:
        """A record of each epoch."""
        return list(self.net.history) if self._history is None else self._history

    @property
    def evaluated(self) -> TaskNetwork:
        """The network that is validated: with the averages, if there are any."""
        return self.network if self.average is None else self.average.network

    def best(self) -> TaskNetwork:
        """The network that is to predict: that of the best epoch, if one was found."""
        if self.stopping is None or self.stopping.weights is None:
            return self.evaluated
        return twin(self.network, self.stopping.weights)

    # ------------------------------------------------------------ capture and restore

    def state(self) -> dict[str, Any]:
        """A flat dict of tensors, which are not copied, and JSON values."""
        state: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        state["history"] = self.history[: self.epoch]
        state["record"] = self._begun()
        state |= _prefixed("network", self.network.state_dict())
        named = self.network.named_parameters()
        state["frozen"] = [name for name, p in named if not p.requires_grad]
        state |= _prefixed("criterion", self.net.criterion_.state_dict())
        for rule, optimizer in self.net.rules_.items():
            state |= _prefixed(f"optimizer.{rule}", dict(_optimizer_state(optimizer)))
        if self.average is not None:
            state |= _prefixed("average", self.average.state())
        if self.stopping is not None:
            state |= _prefixed("stopping", self.stopping.state())
            state |= _prefixed("best", self.stopping.weights or {})
        schedules = dict(self.schedules)
        for name, callback in self.own_callbacks():
            if (schedule := _schedule_of(callback)) is not None:
                entries = schedule.state_dict().items()
                schedules[name] = {key: one for key, one in entries if is_plain(one)}
            state |= _prefixed(f"callback.{name}", dict(held(callback)))
        return state | _prefixed("schedule", schedules)

    def _begun(self) -> dict[str, Any] | None:
        """The record of the epoch that is not done, with its steps that were heard."""
        if not self.step:
            return None
        row, heard = self.history[self.epoch], self.net.hears(*EACH_BATCH)
        return {**row, "batches": row["batches"][: self.step if heard else 0]}

    def own_callbacks(self) -> Iterator[tuple[str, Any]]:
        """Those that are not skorch's own."""
        yield from (item for item in self.net.callbacks_ if item[0] not in _OF_SKORCH)

    def least_state(self, network: TaskNetwork) -> dict[str, Any]:
        """What :meth:`trimmed` would go on from, of which nothing is changed."""
        return {
            **{"seed": self.seed, "epoch": self.epoch, "step": 0, "total": None},
            "passes": self.passes,
            **{"stopped": False, "record": None, "frozen": []},
            "history": self.history[: self.epoch],
            **_prefixed("network", network.state_dict()),
            **_prefixed("criterion", self.net.criterion_.state_dict()),
        }

    def load(self, state: Mapping[str, Any], *, network: bool = True) -> None:
        """Take over all numbers, for training that goes on; tensors are copied.

        Without `network`, the one that is there has its weights already.
        """
        state = _NOT_KEPT_BEFORE | dict(state)
        device = next(self.network.parameters()).device
        for name in _NUMBERS:
            setattr(self, name, _copied(state[name], device))
        self.net.history = History(map(dict, state["history"]))
        if network:
            self.network.load_state_dict(under("network", state))
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name not in state["frozen"])
        self.net.criterion_.load_state_dict(under("criterion", state))
        for rule, optimizer in self.net.rules_.items():
            _load_optimizer(optimizer, under(f"optimizer.{rule}", state))
        if self.average is not None and "average.n_steps" in state:
            self.average.load(under("average", state))
        elif self.average is not None:  # from the weights that are there now
            self.average = WeightAverage(self.network, self.average.decay)
        if self.stopping is not None and "stopping.misses" in state:
            vars(self.stopping).update(under("stopping", state))
            best = under("best", state).items()
            self.stopping.weights = {k: v.to(device) for k, v in best} or None
        self.schedules = under("schedule", state)

    def load_callbacks(self, state: Mapping[str, Any]) -> None:
        """Let callbacks hold what those of the same names held."""
        for name, callback in self.own_callbacks():
            hold(callback, under(f"callback.{name}", state))

    def resume(self, state: Mapping[str, Any]) -> None:
        """Let the run that the state was taken of go on, bit for bit.

        That is done once training begins: callbacks hear of that, and of an epoch that
        is not done, as they have heard before, and what they do then is undone.
        """
        self._resumed = state

    @property
    def resumed(self) -> Mapping[str, Any] | None:
        """The state that the run is to go on from once it begins, if there is one."""
        return self._resumed

    def restore(self, *, within: bool = False) -> None:
        """Put back what a run that is resumed had come to; `within` an epoch or not."""
        if (state := self._resumed) is None:
            return
        self.load(state)
        self.load_callbacks(state)
        self._go_on_with_schedules()
        if within:
            self.net.history.append(dict(state["record"]))
        if within or not self.step:
            self._resumed = None

    def new_run(self) -> None:
        """Forget what ended the run before."""
        self.stopped = False
        if self.stopping is not None and self.stopping.is_over:
            self.stopping.misses = 0  # whoever goes on wants more epochs

    def begin_passes(self, steps: int, pass_steps: int) -> None:
        """Let epochs and passes have so many steps; of other ones, begin a new pass.

        An epoch is a pass at most, so that no pass has a number which one has had.
        """
        if self.passes[1:] != [steps, pass_steps]:
            self.passes = [self.epoch, steps, pass_steps]

    @property
    def steps_done(self) -> int:
        """Steps since then."""
        first, steps, _ = self.passes
        return (self.epoch - first) * steps + self.step

    def settings(self) -> list[dict[str, Any]]:
        """Learning rates and the like, of each optimizer's groups of parameters."""
        return [dict(group) for group in self._groups()]

    def _groups(self) -> Iterator[dict[str, Any]]:
        for optimizer in self.net.rules_.values():
            yield from optimizer.param_groups

    def restart_schedules(self, settings: list[dict[str, Any]]) -> None:
        """Begin schedules anew, from other learning rates and the like."""
        self.schedules = {}
        for group, anew in zip(self._groups(), settings, strict=True):
            group.clear()
            group.update(anew)

    def set_weight_decay(self, weight_decay: float) -> None:
        """Decay as strongly as that from now on."""
        for group in self.net.optimizer_.param_groups:
            group["weight_decay"] = weight_decay

    def begin(self, train: Source) -> None:
        """Tell callbacks that training begins.

        skorch's schedules ask the history where to begin, but not how they went there;
        here they see none, and go on where they were, if they were somewhere.
        """
        net, settings = self.net, self.settings()
        for name, callback in net.callbacks_:
            history = net.history
            if isinstance(callback, LRScheduler):
                net.history = History()
            callback.on_train_begin(net, X=train, y=None)
            if isinstance(callback, LRScheduler):
                net.history = history
            if self._goes_on_with_schedule(name, callback):
                for group, before in zip(self._groups(), settings, strict=True):
                    group.update(before)
        self.schedules = {}
        self.restore()

    def _goes_on_with_schedule(self, name: str, callback: Any) -> bool:
        """Let a callback's schedule be where it was, if it was somewhere."""
        saved, schedule = self.schedules.get(name), _schedule_of(callback)
        if saved is None or schedule is None:
            return False
        schedule.load_state_dict(copy.deepcopy(saved))
        return True

    def _go_on_with_schedules(self) -> None:
        for name, callback in self.net.callbacks_:
            self._goes_on_with_schedule(name, callback)
        self.schedules = {}

    def keep(self, state: Mapping[str, Any]) -> None:
        """Keep what a callback that loads a checkpoint has replaced in the net."""
        self._history = state["history"]
        for rule, optimizer in self.net.rules_.items():
            _load_optimizer(optimizer, under(f"optimizer.{rule}", state))

    def trimmed(self, network: TaskNetwork) -> TrainingState:
        """The least that training can go on from: weights, history, and seed.

        Callbacks begin anew.
        """
        network.requires_grad_(True)
        net, stopping = copy.copy(self.net), self.stopping
        net.callbacks_, net.module_ = [], network
        net.history = History(self.history[: self.epoch])
        net.initialize_optimizer()
        if stopping is not None:
            stopping = BestEpoch(stopping.patience, stopping.lower_is_better)
        return TrainingState(net, network, self.seed, None, stopping, self.epoch)

    def moments_of(self, tables: list[Tensor]) -> list[Tensor]:
        """What optimizers hold of each row of some tables."""
        states = (o.state for o in self.net.rules_.values())
        found = (of[table] for of in states for table in tables if table in of)
        return [v for values in found for v in values.values() if v.dim()]

    # ------------------------------------------------------------ growth

    @torch.no_grad()
    def grow(self, cardinalities: Any, bag_cardinalities: Any) -> None:
        """Room for further codes; rows and the optimizer's state of old ones stay."""
        generator = generator_of(self.seed, "growth", self.epoch)
        index = {id(p): i for i, p in enumerate(self.network.parameters())}
        grown = {}
        for part in self.network.tables():
            old = part.table
            where = part.grow(cardinalities, bag_cardinalities, generator=generator)
            grown[index[id(old)]] = where
            for optimizer in self.net.rules_.values():
                _replace(optimizer, old, part.table, where)
        if self.average is not None:
            self.average.grow(self.network, grown)


def _schedule_of(callback: Any) -> Any:
    """The learning rate's schedule of a callback, or None."""
    return getattr(callback, "lr_scheduler_", None)


def _copied(value: Any, device: torch.device) -> Any:
    return value.to(device, copy=True) if isinstance(value, Tensor) else value


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{key}": value for key, value in values.items()}


def under(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a prefix, without it."""
    start = f"{prefix}."
    keys = [key for key in state if key.startswith(start)]
    return {key.removeprefix(start): state[key] for key in keys}


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _optimizer_state(optimizer: Optimizer) -> Iterator[tuple[str, Any]]:
    """Moments by the parameter's number, settings by the group's."""
    for i, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"{i}.{key}", value
    for g, group in enumerate(optimizer.param_groups):
        for key, value in group.items():
            if key != "params" and not isinstance(value, Tensor):
                yield f"group{g}.{key}", value


def _load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    optimizer.state.clear()
    parameters = _parameters(optimizer)
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for key, value in state.items():
        place, name = key.split(".", 1)
        if place.startswith("group"):
            optimizer.param_groups[int(place.removeprefix("group"))][name] = value
            continue
        parameter = parameters[int(place)]
        # torch counts steps on the device for its fused kernels alone
        here = name == "step" and not fused
        device = torch.device("cpu") if here else parameter.device
        optimizer.state[parameter][name] = _copied(value, device)


def _replace(optimizer: Optimizer, old: Tensor, new: Tensor, where: Tensor) -> None:
    """Let an optimizer have a larger table, whose old rows stand at `where`."""
    for group in optimizer.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    state = optimizer.state.pop(old, None)
    if state is None:
        return
    for key, value in state.items():
        if value.dim():  # a line for each row
            larger = value.new_zeros(len(new), *value.shape[1:])
            state[key] = larger.index_copy_(0, where, value)
    optimizer.state[new] = state
