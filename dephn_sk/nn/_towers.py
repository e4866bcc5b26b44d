"""Towers: each task's last layers, from what it reads to its logits."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ._dropout import Dropout
from ._linear import GroupedLinear, uniform

Private = Tensor | Callable[[Tensor], Tensor]


class Towers(nn.Module):
    """Each task's own feed-forward network with ReLU, and its logits.

    Shape: ``(n_tasks, batch, in_width)``, or ``(batch, in_width)`` shared by all
    tasks, or whatever the first layer reads -> ``(batch, sum(n_outputs))``

    Parameters
    ----------
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    first : int or torch.nn.Module
        The width of the input; or the first layer itself, whose result is ``(n_tasks,
        batch, [*hidden, max(n_outputs)][0])`` and which has a `bias`.
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

    outputs: Tensor
    activation: Callable[[Tensor], Tensor] = staticmethod(torch.relu)

    def __init__(
        self,
        n_outputs: Sequence[int],
        first: int | nn.Module,
        *,
        hidden: Sequence[int] = (32,),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        n_tasks, widths = len(n_outputs), [*hidden, max(n_outputs)]
        if isinstance(first, int):
            first = GroupedLinear(n_tasks, first, widths[0], generator=generator)
        self.first = first
        self.deeper = nn.ModuleList(
            GroupedLinear(n_tasks, a, b, generator=generator)
            for a, b in pairwise(widths)
        )
        self.dropout = Dropout(dropout, batch_axis=-2)
        # tasks with fewer outputs than the widest leave the rest of their row unread
        rows = [t * widths[-1] + c for t, k in enumerate(n_outputs) for c in range(k)]
        self.register_buffer("outputs", torch.tensor(rows), persistent=False)

    def forward(self, *inputs: Tensor | Sequence[Private]) -> Tensor:
        x = self.first(*inputs)
        for layer in self.deeper:
            x = layer(self.dropout(self.activation(x)))
        logits = x.transpose(0, 1).flatten(1)
        all_read = len(self.outputs) == logits.shape[1]
        return logits if all_read else logits[:, self.outputs]

    @torch.no_grad()
    def start_from(self, logits: Tensor) -> None:
        """Start near the given logits, of shape (sum(n_outputs),), for every row."""
        bias = cast(Tensor, [self.first, *self.deeper][-1].bias)
        bias.view(-1)[self.outputs] = logits.to(bias)


class GatedLinear(nn.Module):
    r"""The first layer of :class:`TaskTowers`, of all tasks.

    .. math::
        \sum_{k,p} W^t_{kp} \left(G^t_{kp} f_p(e_k)\right)
        + \sum_{k'} W^t_{k'} e^t_{k'} + b_t

    A kind of private experts is a tensor of their outputs, or a function of their
    weights here, which gives its product with the outputs.

    Shape: as :class:`TaskTowers` -> ``(n_tasks, batch, out_width)``
    """

    def __init__(
        self,
        n_tasks: int,
        n_branches: int,
        width: int,
        out_width: int,
        *,
        private: Sequence[tuple[int, int]] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_tasks = n_tasks
        fan_in = n_branches * width + sum(n * w for n, w in private)
        initial = partial(uniform, fan_in=fan_in, generator=generator)
        # branches, then width, then (task, output): one product for all tasks
        self.public = initial(n_branches, width, n_tasks, out_width)
        self.private = nn.ParameterList(
            initial(n_tasks * n, w, out_width) for n, w in private
        )
        self.bias = nn.Parameter(torch.zeros(n_tasks, 1, out_width))

    def forward(
        self, branches: Tensor, gates: Tensor, private: Sequence[Private]
    ) -> Tensor:
        x: Tensor = self.bias
        if len(self.public):  # a product of no branches is none that a graph can take
            x = self._public_product(branches, gates) + x
        for own in self._private_terms(private):
            x = x + own.sum(1)
        return x

    def _public_product(self, branches: Tensor, gates: Tensor) -> Tensor:
        """The public share, (n_tasks, batch, out_width)."""
        if gates.dim() == 2:
            # W (G x) = (W G) x: gates that no row changes scale the weights instead
            weight = self.public * gates.T[:, None, :, None]
            x = branches.flatten(1) @ weight.flatten(2).flatten(0, 1)
            return x.reshape(x.shape[0], self.n_tasks, -1).transpose(0, 1)
        gated = gates.transpose(0, 1).unsqueeze(-1) * branches
        weight = self.public.permute(2, 0, 1, 3).flatten(1, 2)
        return torch.bmm(gated.flatten(2), weight)

    def _private_terms(self, private: Sequence[Private]) -> Iterator[Tensor]:
        """For each kind, (n_tasks, n_experts, batch, out_width)."""
        for weight, own in zip(self.private, private, strict=True):
            terms = torch.bmm(own, weight) if isinstance(own, Tensor) else own(weight)
            yield terms.unflatten(0, (self.n_tasks, -1))

    def terms(
        self, branches: Tensor, gates: Tensor, private: Sequence[Tensor]
    ) -> Tensor:
        """Each expert's term, (n_tasks, batch, n_experts, out_width)."""
        by_row = gates.expand(len(branches), *gates.shape[-2:])
        gated = by_row.transpose(0, 1).unsqueeze(-1) * branches
        terms = [torch.einsum("tbkw,kwto->tbko", gated, self.public)]
        terms += [own.transpose(1, 2) for own in self._private_terms(private)]
        return torch.cat(terms, dim=2)

    def reference(
        self, branches: Tensor, gates: Tensor, private: Sequence[Tensor]
    ) -> Tensor:
        """The equation as it is written, term by term."""
        return self.terms(branches, gates, private).sum(2) + self.bias


class TaskTowers(Towers):
    r"""The towers of DEPHN.

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
        Widths of hidden layers, with LeakyReLU.
    dropout : float, default=0.0
        After each hidden activation.
    generator : torch.Generator, default=None

    Examples
    --------
    >>> towers = TaskTowers([1, 3], n_branches=2, width=4)
    >>> towers(torch.ones(5, 2, 4), torch.ones(2, 2), []).shape
    torch.Size([5, 4])
    """

    first: GatedLinear
    activation = staticmethod(leaky_relu)

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
        out_width = [*hidden, max(n_outputs)][0]
        shape = len(n_outputs), n_branches, width, out_width
        first = GatedLinear(*shape, private=private, generator=generator)
        super().__init__(
            n_outputs, first, hidden=hidden, dropout=dropout, generator=generator
        )

    @torch.no_grad()
    def contributions(
        self, branches: Tensor, gates: Tensor, private: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What each expert adds to each logit, and the bias, in float64 on the CPU.

        The terms of the first layer, carried through the hidden ones by the rescale
        rule: a unit passes on, of each term of its argument, the fraction that it
        passes on of their sum.

        Shape: ``(batch, sum(n_outputs), n_experts)`` and ``(sum(n_outputs),)``
        """
        exact = copy.deepcopy(self).cpu().double()
        inputs = [x.cpu().double() for x in (branches, gates, *private)]
        branches, gates, *private = inputs
        return exact.carry(exact.first.terms(branches, gates, private))

    def carry(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """Terms of the first layer, carried to the logits, and the bias."""
        _, batch, n_experts, _ = parts.shape
        without = self.first.bias.detach()
        total = without + parts.sum(2)
        for layer in self.deeper:
            parts = parts * _chord(without, total).unsqueeze(2)
            flat = parts.flatten(1, 2)
            linear = layer(flat) - layer(torch.zeros_like(flat[:, :1]))
            parts = linear.unflatten(1, (batch, n_experts))
            without, total = layer(leaky_relu(without)), layer(leaky_relu(total))
        carried = parts.permute(1, 0, 3, 2).flatten(1, 2)
        return carried[:, self.outputs], without.flatten()[self.outputs]


def _chord(a: Tensor, b: Tensor) -> Tensor:
    """Slope of the activation's chord from a to b."""
    # on one side of the kink the chord is the line itself, and nothing cancels
    slope = torch.where(b > 0, 1.0, leaky_relu(torch.ones_like(b).neg()).neg())
    across = a * b < 0
    chord = (leaky_relu(b) - leaky_relu(a)) / torch.where(across, b - a, 1.0)
    return torch.where(across, chord, torch.where(b == 0, slope.new_ones(()), slope))
