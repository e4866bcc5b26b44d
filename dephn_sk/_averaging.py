"""Moving averages of the weights, which predict better than the last ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# a growing window holds about the last tenth of the steps
_RAMP = 9


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

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.n_steps += 1
        decay = min(self.decay, (self.n_steps - 1) / (self.n_steps - 1 + _RAMP))
        torch._foreach_lerp_(self.values, self.parameters, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their averages."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            weight = parameter.clone()
            parameter.copy_(value)
            value.copy_(weight)

    @torch.no_grad()
    def grow(self, old: nn.Parameter, new: nn.Parameter, positions: Tensor) -> None:
        """Take `new` for `old`, whose rows stand at the given positions of it."""
        i = next(i for i, p in enumerate(self.parameters) if p is old)
        self.values[i] = new.detach().clone().index_copy_(0, positions, self.values[i])
        self.parameters[i] = new
