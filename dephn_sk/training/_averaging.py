"""Moving averages of the weights, which predict better than the last ones."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# a growing window holds about the last tenth of the steps
_RAMP = 9
_BLOCK = 2**16  # numbers, or rows, that are exchanged at a time


class WeightAverage:
    r"""Exponential moving average of parameters along the steps of training.

    Between epochs the parameters hold the averages, and `values` the weights of the
    last step, from which training goes on.

    After step :math:`n = 1, 2, \dots`: :math:`a \leftarrow d_n a + (1 - d_n) w` with
    :math:`d_n = \min(d, (n - 1) / (n - 1 + 9))`: the window grows with the steps at
    first, so that short training is not averaged with the initial values.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
    decay : float in [0, 1)
        :math:`d`; a window of about :math:`1 / (1 - d)` steps.

    References
    ----------
    Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
    Journal on Control and Optimization 30, 1992.

    Examples
    --------
    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> average = WeightAverage([weight], decay=0.9)
    >>> average.update()
    >>> with torch.no_grad():
    ...     _ = weight.fill_(11.0)
    >>> average.update()
    >>> average.swap()
    >>> weight.item()
    10.0
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.values = [p.detach().clone() for p in self.parameters]
        self.decay = decay
        self.n_steps = 0
        # of tables with sparse gradients only rows that move are averaged: the log of
        # the product of all decays so far, and of those up to each row's last average
        self._log_decay = 0.0
        self._since: dict[int, Tensor] = {}
        self._moving: dict[int, tuple[Tensor, Tensor]] = {}

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
        torch._foreach_lerp_(
            [self.values[i] for i in whole],
            [self.parameters[i] for i in whole],
            1 - decay,
        )
        for i, (rows, values) in self._moving.items():
            moved = values.lerp_(self.parameters[i].index_select(0, rows), 1 - decay)
            self.values[i].index_copy_(0, rows, moved)
            self._since[i].index_fill_(0, rows, self._log_decay)
        self._moving = {}

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their averages."""
        for i, (parameter, value) in enumerate(
            zip(self.parameters, self.values, strict=True)
        ):
            if i in self._since:
                for rows in torch.arange(len(value), device=value.device).split(_BLOCK):
                    value[rows] = self._up_to_date(i, rows)
                self._since[i].fill_(self._log_decay)
            for ours, theirs in zip(
                value.view(-1).split(_BLOCK),
                parameter.detach().view(-1).split(_BLOCK),
                strict=True,
            ):
                average = ours.clone()
                ours.copy_(theirs)
                theirs.copy_(average)

    @torch.no_grad()
    def grow(self, old: nn.Parameter, new: nn.Parameter, positions: Tensor) -> None:
        """Take `new` for `old`, whose rows stand at the given positions of it."""
        i = next(i for i, p in enumerate(self.parameters) if p is old)
        self.values[i] = new.detach().clone().index_copy_(0, positions, self.values[i])
        self.parameters[i] = new
        if i in self._since:
            since = new.new_full((len(new), 1), self._log_decay)
            self._since[i] = since.index_copy_(0, positions, self._since[i])

    def _up_to_date(self, i: int, rows: Tensor) -> Tensor:
        """Averages of some rows, which have not moved since they were last averaged."""
        table, values = self.parameters[i], self.values[i]
        if i not in self._since:
            self._since[i] = values.new_full((len(values), 1), self._log_decay)
        left = (self._log_decay - self._since[i].index_select(0, rows)).exp_()
        weights = table.index_select(0, rows)
        return weights.lerp_(values.index_select(0, rows), left)
