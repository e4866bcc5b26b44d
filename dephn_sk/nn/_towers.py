"""Towers: from gated branches and private experts to one logit for each output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ._dropout import Dropout
from ._linear import GroupedLinear, uniform


class TaskTowers(nn.Module):
    r"""The towers of all tasks.

    .. math::
        \mathrm{logit}_t = \sum_{k,p} W^t_{kp} \left(G^t_{kp} f_p(e_k)\right)
        + \sum_{k'} W^t_{k'} e^t_{k'} + b_t

    [DEPHN] eq. 4 and 5. DECISION: a tower reads the concatenation of all gated branches
    and all private outputs of its task, never MMoE's weighted sum; ``hidden=()`` is
    the equation above, other sizes put an MLP on the same input.

    .. note::
       DEVIATION[DEPHN eq. 6]: the paper adds a sigmoid of the public and one of the
       private logit, which is no probability; its gradient (eq. 7) is that of one
       sigmoid of their sum, which is what this is the argument of.

    Shape: ``branches (batch, n_branches, width)``, ``gates (n_tasks, n_branches)`` or
    ``(batch, n_tasks, n_branches)``, each of ``private
    (n_tasks * n_experts, batch, private_width)`` -> ``(batch, sum(n_outputs))``

    Parameters
    ----------
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    n_branches, width : int
    private : sequence of (int, int), default=()
        Experts for each task, and their width, of each private structure.
    hidden : sequence of int, default=()
        Widths of hidden layers.
    dropout : float, default=0.0
        After each hidden activation.
    generator : torch.Generator, default=None

    Examples
    --------
    >>> towers = TaskTowers([1, 3], n_branches=2, width=4)
    >>> towers(torch.ones(5, 2, 4), torch.ones(2, 2), []).shape
    torch.Size([5, 4])
    """

    outputs: Tensor

    def __init__(
        self,
        n_outputs: Sequence[int],
        n_branches: int,
        width: int,
        *,
        private: Sequence[tuple[int, int]] = (),
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        n_tasks, widest = len(n_outputs), max(n_outputs)
        self.n_tasks = n_tasks
        first, *deeper = [*hidden, widest]
        fan_in = n_branches * width + sum(n * w for n, w in private)
        # branches, then width, then (task, output): one product for all tasks
        self.public = uniform(
            n_branches, width, n_tasks, first, fan_in=fan_in, generator=generator
        )
        self.private = nn.ParameterList(
            uniform(n_tasks * n, w, first, fan_in=fan_in, generator=generator)
            for n, w in private
        )
        self.bias = nn.Parameter(torch.zeros(n_tasks, 1, first))
        self.dropout = Dropout(dropout)
        self.deeper = nn.ModuleList(
            GroupedLinear(n_tasks, a, b, generator=generator)
            for a, b in zip([first, *deeper], deeper, strict=False)
        )
        # tasks with fewer classes than the widest leave the rest of their row unread
        self.register_buffer(
            "outputs",
            torch.tensor(
                [t * widest + c for t, k in enumerate(n_outputs) for c in range(k)]
            ),
            persistent=False,
        )

    def forward(
        self, branches: Tensor, gates: Tensor, private: Sequence[Tensor]
    ) -> Tensor:
        x = self._public_product(branches, gates) + self.bias
        for weight, experts in zip(self.private, private, strict=True):
            product = torch.bmm(experts, weight)
            x = x + product.unflatten(0, (self.n_tasks, -1)).sum(1)
        for layer in self.deeper:
            x = layer(self.dropout(nn.functional.leaky_relu(x)))
        logits = x.transpose(0, 1).flatten(1)
        if len(self.outputs) == logits.shape[1]:
            return logits
        return logits[:, self.outputs]

    def _public_product(self, branches: Tensor, gates: Tensor) -> Tensor:
        """The public share of the first layer, (n_tasks, batch, out)."""
        batch = len(branches)
        if gates.dim() == 2:
            # W (G x) = (W G) x: gates that no row changes scale the weights instead
            weight = self.public * gates.T[:, None, :, None]
            x = branches.flatten(1) @ weight.flatten(2).flatten(0, 1)
            return x.reshape(batch, self.n_tasks, -1).transpose(0, 1)
        gated = gates.transpose(0, 1).unsqueeze(-1) * branches
        weight = self.public.permute(2, 0, 1, 3).flatten(1, 2)
        return torch.bmm(gated.flatten(2), weight)

    @torch.no_grad()
    def set_base_rates(self, logits: Tensor) -> None:
        """Start from the given logits, of shape (sum(n_outputs),), for every row."""
        last = cast(Tensor, self.deeper[-1].bias if self.deeper else self.bias)
        flat = torch.zeros(last.numel(), dtype=last.dtype, device=last.device)
        flat[self.outputs] = logits.to(flat)
        last.copy_(flat.reshape(last.shape))
