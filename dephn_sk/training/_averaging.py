"""Moving averages of the weights, which predict better than the last ones."""

import copy
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# a growing window holds about the last tenth of the steps
_RAMP = 9
_HELD = (OrderedDict, dict, set)
_BLOCK = 2**14  # rows that are brought up to date at a time


def twin(network: Any, weights: Mapping[str, Tensor] | None = None) -> Any:
    """The same modules with other parameters and buffers, which learn nothing.

    Parameters
    ----------
    network : nn.Module
    weights : dict of str to Tensor, default=None
        Parameters and buffers by name, taken as they are; others are copied.

    Returns
    -------
    nn.Module
        In evaluation mode.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> other = twin(layer, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)})
    >>> other(torch.ones(1, 2)).item(), other.weight is layer.weight
    (2.0, False)
    """
    weights = weights or {}
    shared: dict[int, Any] = hollow(network)
    for name, p in network.named_parameters():
        value = weights[name] if name in weights else p.detach().clone()
        shared[id(p)] = nn.Parameter(value, requires_grad=False)
    for name, buffer in network.named_buffers():
        if name in weights:
            shared[id(buffer)] = weights[name]
    return copy.deepcopy(network, shared).eval()


def hollow(network: nn.Module) -> dict[int, Any]:
    """Empty dicts and sets for a deep copy of a network, by those that they stand for.

    A module has a dozen, mostly for hooks, and copying them one by one took longer than
    copying all tensors.
    """
    values = (one for module in network.modules() for one in vars(module).values())
    return {id(v): type(v)() for v in values if type(v) in _HELD and not v}


class WeightAverage:
    r"""Exponential moving average of parameters along the steps of training.

    After step :math:`n = 1, 2, \dots`: :math:`a \leftarrow d_n a + (1 - d_n) w` with
    :math:`d_n = \min(d, (n - 1) / (n - 1 + 9))`: the window grows with the steps at
    first, so that short training is not averaged with the initial values.

    Parameters
    ----------
    network : nn.Module
        Whose parameters are averaged; they are only read.
    decay : float in [0, 1)
        :math:`d`; a window of about :math:`1 / (1 - d)` steps.

    Attributes
    ----------
    network : nn.Module
        A twin with the averages for parameters, right after :meth:`settle`.

    References
    ----------
    Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
    Journal on Control and Optimization 30, 1992.

    Examples
    --------
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> average = WeightAverage(layer, decay=0.9)
    >>> for weight in (1.0, 11.0):
    ...     _ = nn.init.constant_(layer.weight, weight)
    ...     average.update()
    >>> average.network.weight.item()
    10.0
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.n_steps = 0
        # of tables with sparse gradients only rows that move are averaged: the log of
        # the product of all decays so far, and of those up to each row's last average
        self._log_decay = 0.0
        self._since: dict[int, Tensor] = {}
        self._moving: dict[int, tuple[Tensor, Tensor]] = {}
        self.follow(network)

    def follow(
        self, network: nn.Module, values: Mapping[str, Tensor] | None = None
    ) -> None:
        """Average the parameters of this network, from the given averages on."""
        self.parameters = list(network.parameters())
        shared = dict(network.named_buffers())
        self.network = twin(network, {**shared, **(values or {})})
        self.values = [p.detach() for p in self.network.parameters()]

    @torch.no_grad()
    def before_step(self) -> None:
        """Look at the rows that sparse gradients are about to move."""
        self._moving = {}
        for i, p in enumerate(self.parameters):
            if p.grad is not None and p.grad.is_sparse:
                p.grad = p.grad.coalesce()
                rows = p.grad.indices()[0]
                self._moving[i] = rows, self._up_to_date(i, rows)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.n_steps += 1
        decay = min(self.decay, (self.n_steps - 1) / (self.n_steps - 1 + _RAMP))
        if decay:  # before the first step, averages and weights are the same
            self._log_decay += math.log(decay)
        whole = [i for i in range(len(self.parameters)) if i not in self._moving]
        both = self.values, self.parameters
        values, weights = ([tensors[i] for i in whole] for tensors in both)
        torch._foreach_lerp_(values, weights, 1 - decay)
        for i, (rows, average) in self._moving.items():
            moved = average.lerp_(self.parameters[i].index_select(0, rows), 1 - decay)
            self.values[i].index_copy_(0, rows, moved)
            self._since[i].index_fill_(0, rows, self._log_decay)
        self._moving = {}

    @torch.no_grad()
    def settle(self, blocks: Callable[[int], Iterable[slice]] | None = None) -> None:
        """Bring rows that have not moved of late up to date.

        All of them, or those that `blocks` gives for a number of rows.
        """
        for i, since in self._since.items():
            table, value = self.parameters[i].detach(), self.values[i]
            for rows in (blocks or _in_blocks)(len(value)):
                own, left = value[rows], (self._log_decay - since[rows]).exp_()
                torch.lerp(table[rows], own, left, out=own)
            since.fill_(self._log_decay)

    @property
    def of_tables(self) -> list[Tensor]:
        """The averages whose rows :meth:`settle` brings up to date."""
        return [self.values[i] for i in self._since]

    def _up_to_date(self, i: int, rows: Tensor) -> Tensor:
        """Averages of some rows, which have not moved since they were last averaged."""
        table, values = self.parameters[i], self.values[i]
        if i not in self._since:
            self._since[i] = values.new_full((len(values), 1), self._log_decay)
        left = (self._log_decay - self._since[i].index_select(0, rows)).exp_()
        weights = table.index_select(0, rows)
        return weights.lerp_(values.index_select(0, rows), left)

    @torch.no_grad()
    def grow(self, network: nn.Module, positions: Mapping[int, Tensor]) -> None:
        """Follow tables that have grown: old rows stand at the given positions.

        New rows start from the weights that the network gives them.
        """
        names = [name for name, _ in network.named_parameters()]
        values = dict(zip(names, self.values, strict=True))
        for i, where in positions.items():
            new = dict(network.named_parameters())[names[i]].detach().clone()
            values[names[i]] = new.index_copy_(0, where, self.values[i])
            if i in self._since:
                since = new.new_full((len(new), 1), self._log_decay)
                self._since[i] = since.index_copy_(0, where, self._since[i])
        self.follow(network, values)

    def state(self) -> dict[str, Any]:
        """What :meth:`load` restores, as tensors and numbers."""
        state: dict[str, Any] = {"n_steps": self.n_steps, "log_decay": self._log_decay}
        state |= {f"since.{i}": since for i, since in self._since.items()}
        return state | {f"value.{i}": value for i, value in enumerate(self.values)}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from another average's state."""
        self.n_steps, self._log_decay = int(state["n_steps"]), state["log_decay"]
        for i, value in enumerate(self.values):
            value.copy_(state[f"value.{i}"])
            if f"since.{i}" in state:
                self._since[i] = state[f"since.{i}"].to(value.device, copy=True)


def _in_blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, _BLOCK):
        yield slice(start, start + _BLOCK)
