"""Feed-forward networks side by side: experts and bottoms."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ..nn import Dropout, GroupedLinear
from ..nn._linear import shared_input


class MLP(nn.Module):
    r"""Feed-forward networks of one shape, one for each group (expert, task).

    .. math:: x_{i+1} = \mathrm{ReLU}(W_i x_i + b_i)

    Shape: ``(n_groups, batch, in_width)``, or ``(batch, in_width)`` shared by all
    groups, -> ``(n_groups, batch, widths[-1])``

    Parameters
    ----------
    n_groups, in_width : int
    widths : sequence of int
        Of the layers; none of them gives the input.
    dropout : float, default=0.0
        After each activation.
    generator : torch.Generator, default=None

    Examples
    --------
    >>> MLP(3, 5, (8, 4))(torch.ones(7, 5)).shape
    torch.Size([3, 7, 4])
    """

    def __init__(
        self,
        n_groups: int,
        in_width: int,
        widths: Sequence[int],
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            GroupedLinear(n_groups, a, b, generator=generator)
            for a, b in pairwise([in_width, *widths])
        )
        self.dropout = Dropout(dropout, batch_axis=-2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.dropout(layer(x).relu())
        return x

    def beside(self, other: GroupedLinear, x: Tensor) -> tuple[Tensor, Tensor]:
        """This and another map of a shared input, ``(batch, in_width)``, in one go."""
        first, second = shared_input(x, [cast(GroupedLinear, self.layers[0]), other])
        first = self.dropout(first.relu())
        for layer in self.layers[1:]:
            first = self.dropout(layer(first).relu())
        return first, second
