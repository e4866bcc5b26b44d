"""Several affine maps side by side, as one batched matrix product."""

import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn


def uniform(
    *shape: int, fan_in: int, generator: torch.Generator | None = None
) -> nn.Parameter:
    """A parameter uniform in ±1/√fan_in, the initialisation of `torch.nn.Linear`."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


def normal(*shape: int, std: float, generator: torch.Generator | None) -> nn.Parameter:
    """A parameter of the normal distribution around 0."""
    return nn.Parameter(torch.empty(shape).normal_(0, std, generator=generator))


def layer_widths(hidden: Sequence[int], n_layers: int) -> list[int]:
    """At least `n_layers` widths: the last one is repeated.

    >>> layer_widths((128, 64), 3)
    [128, 64, 64]
    """
    return [*hidden, *[hidden[-1]] * (n_layers - len(hidden))]


class GroupedLinear(nn.Module):
    r"""One affine map for each group (expert, task), :math:`y_g = x_g W_g + b_g`.

    Shape: ``(n_groups, batch, in_features)``, or ``(batch, in_features)`` shared by
    all groups, -> ``(n_groups, batch, out_features)``

    Parameters
    ----------
    n_groups, in_features, out_features : int
    bias : bool, default=True
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> layer = GroupedLinear(3, 5, 2)
    >>> layer(torch.ones(4, 5)).shape, layer(torch.ones(3, 4, 5)).shape
    (torch.Size([3, 4, 2]), torch.Size([3, 4, 2]))
    """

    def __init__(
        self,
        n_groups: int,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        initial = partial(uniform, fan_in=in_features, generator=generator)
        # the input axis first: a shared input meets all groups in one product
        self.weight = initial(in_features, n_groups, out_features)
        self.bias = initial(n_groups, out_features) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        width, n_groups, out = self.weight.shape
        if x.dim() == 2:
            weight = self.weight.reshape(width, n_groups * out)
            bias = None if self.bias is None else self.bias.reshape(-1)
            y = x @ weight if bias is None else torch.addmm(bias, x, weight)
            return y.reshape(x.shape[0], n_groups, out).transpose(0, 1)
        weight = self.weight.transpose(0, 1)
        if self.bias is None:
            return torch.bmm(x, weight)
        return torch.baddbmm(self.bias.unsqueeze(1), x, weight)


def shared_input(x: Tensor, maps: Sequence[GroupedLinear]) -> list[Tensor]:
    """Outputs of several maps with biases that read the same ``(batch, in_features)``.

    One product instead of one for each, which also spares the sum of as many gradients
    of the input.
    """
    weight = torch.cat([one.weight.flatten(1) for one in maps], dim=1)
    bias = torch.cat([cast(Tensor, one.bias).flatten() for one in maps])
    sizes = [one.weight.shape[1:].numel() for one in maps]
    parts = torch.addmm(bias, x, weight).split(sizes, dim=1)
    pairs = zip(parts, maps, strict=True)
    return [y.unflatten(1, one.weight.shape[1:]).transpose(0, 1) for y, one in pairs]
