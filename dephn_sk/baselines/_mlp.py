"""Feed-forward networks side by side: experts, bottoms and towers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..nn import Dropout, GroupedLinear
from ..nn._linear import shared_input


def layer_widths(hidden: Sequence[int], n_layers: int) -> list[int]:
    """At least `n_layers` widths: the last one is repeated.

    >>> layer_widths((128, 64), 3)
    [128, 64, 64]
    """
    return [*hidden, *[hidden[-1]] * (n_layers - len(hidden))]


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
            for a, b in zip([in_width, *widths], widths, strict=False)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.dropout(layer(x).relu())
        return x

    def beside(self, other: GroupedLinear, x: Tensor) -> tuple[Tensor, Tensor]:
        """This and another map of a shared input, ``(batch, in_width)``, in one go."""
        first, second = shared_input(x, [self.layers[0], other])
        first = self.dropout(first.relu())
        for layer in self.layers[1:]:
            first = self.dropout(layer(first).relu())
        return first, second


class Towers(nn.Module):
    """Each task's own feed-forward network, and its logits.

    Shape: ``(n_tasks, batch, in_width)``, or ``(batch, in_width)`` shared by all
    tasks, -> ``(batch, sum(n_outputs))``

    Parameters
    ----------
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    in_width : int
    hidden : sequence of int, default=(32,)
        Widths of the hidden layers.
    dropout : float, default=0.0
        After each hidden activation.
    generator : torch.Generator, default=None

    Examples
    --------
    >>> Towers([1, 3], 5)(torch.ones(2, 7, 5)).shape
    torch.Size([7, 4])
    """

    used: Tensor

    def __init__(
        self,
        n_outputs: Sequence[int],
        in_width: int,
        *,
        hidden: Sequence[int] = (32,),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        n_tasks, widest = len(n_outputs), max(n_outputs)
        self.hidden = MLP(
            n_tasks, in_width, hidden, dropout=dropout, generator=generator
        )
        last = [in_width, *hidden][-1]
        self.output = GroupedLinear(n_tasks, last, widest, generator=generator)
        # tasks with fewer outputs than the widest leave the rest of their row unread
        rows = [t * widest + c for t, k in enumerate(n_outputs) for c in range(k)]
        self.register_buffer("used", torch.tensor(rows), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.output(self.hidden(x)).transpose(0, 1).flatten(1)
        return logits if logits.shape[1] == len(self.used) else logits[:, self.used]

    @torch.no_grad()
    def set_base_rates(self, logits: Tensor) -> None:
        """Start near the given logits, of shape (sum(n_outputs),), for every row."""
        self.output.bias.view(-1)[self.used] = logits.to(self.output.bias)
