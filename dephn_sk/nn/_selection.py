"""Soft selection gating: each structure chooses between raw and attended fields."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from ._attention import BlockAttention
from ._choice import check_choice
from ._linear import uniform
from ._mixture import Mixtures

SELECTIONS = ("soft", "soft-private-attention", "attention", None)


class FieldAttention(nn.Module):
    r"""Multi-head self-attention over the fields of a row, :math:`E_{SA}`.

    .. math:: E_{SA} = \mathrm{softmax}(Q K^\top / \sqrt{d_k}) V \, W_o

    [PHN] eq. 4 and 5. DECISION: heads concatenated, an output projection, no residual
    link inside.

    Shape: ``(batch, n_fields, dim)`` -> the same

    Parameters
    ----------
    dim : int
        Width of a field.
    n_heads : int, default=2
        Must divide `dim`.
    generator : torch.Generator, default=None

    Examples
    --------
    >>> FieldAttention(8, n_heads=2)(torch.ones(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self, dim: int, n_heads: int = 2, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if dim % n_heads:
            raise ValueError(
                f"n_heads must divide the embedding width {dim}, got n_heads={n_heads}."
            )
        self.n_heads = n_heads
        self.projections = uniform(dim, 3 * dim, fan_in=dim, generator=generator)
        self.output = uniform(dim, dim, fan_in=dim, generator=generator)

    def forward(self, fields: Tensor) -> Tensor:
        if is_compiling():
            return self.reference(fields)
        # the softmax needs the precision of the fields
        with torch.autocast(fields.device.type, enabled=False):
            return BlockAttention.apply(fields, *self.folded())

    def reference(self, fields: Tensor) -> Tensor:
        """The equation, head by head."""
        heads = (fields @ self.projections).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5
        mixed = scores.softmax(-1) @ value
        return mixed.transpose(1, 2).flatten(2) @ self.output

    def folded(self) -> tuple[Tensor, Tensor]:
        r"""Of all heads, :math:`W_q W_k^\top / \sqrt{d_k}` and :math:`W_v W_o`."""
        # wider products of each row, but fewer: that pays while `dim` is small
        dim = len(self.output)
        heads = self.projections.view(dim, 3, self.n_heads, -1)
        query, key, value = heads.permute(1, 2, 0, 3)
        scores = query @ key.transpose(1, 2) * (dim // self.n_heads) ** -0.5
        values = value @ self.output.view(self.n_heads, -1, dim)
        return scores.transpose(0, 1).flatten(1), values.flatten(0, 1)


class SoftSelectionGate(nn.Module):
    r"""A trainable mixture of the attended and the raw fields.

    .. math:: E_{sg} = G \odot E_{SA} + (1 - G) \odot E, \quad G = \sigma(\text{logit})

    [DEPHN] eq. 1, [PHN] eq. 6. :math:`G` has the shape of one row's embedding, is no
    function of the input, and starts at ½.

    Shape: ``fields, attended: (batch, n_fields, dim)`` -> the same, or
    ``(n_gates, batch, n_fields, dim)``

    Parameters
    ----------
    n_fields, dim : int
    n_gates : int, default=None
        So many gates on the same fields; `attended` may then have a leading axis of
        that size, too. None is one gate without that axis.

    Examples
    --------
    >>> gate = SoftSelectionGate(n_fields=5, dim=2)
    >>> gate(torch.zeros(3, 5, 2), attended=torch.ones(3, 5, 2)).detach().unique()
    tensor([0.5000])
    """

    def __init__(self, n_fields: int, dim: int, n_gates: int | None = None) -> None:
        super().__init__()
        shape = (n_fields, dim) if n_gates is None else (n_gates, 1, n_fields, dim)
        self.logit = nn.Parameter(torch.zeros(shape))

    def forward(self, fields: Tensor, attended: Tensor) -> Tensor:
        if is_compiling():
            return self.reference(fields, attended)
        (mixed,) = Mixtures.apply(fields, attended, self.logit.sigmoid())
        return mixed

    def reference(self, fields: Tensor, attended: Tensor) -> Tensor:
        """The equation as it is written."""
        gate = self.logit.sigmoid()
        return gate * attended + (1 - gate) * fields


class FieldSelection(nn.Module):
    r"""What each structure reads: the raw fields, the attended ones, or a mixture.

    [DEPHN] section III-A and figure 3a. DECISION: one attention shared by all; one gate
    for the public experts and one for each private expert of each task.

    Shape: ``(batch, n_fields, dim)`` -> the public experts' fields, of that shape, and
    for each private structure ``(n_experts, batch, n_fields, dim)``, or without the
    leading axis where all its experts read the same

    Parameters
    ----------
    n_fields, dim : int
    private : sequence of int, default=()
        Number of experts, over all tasks, of each private structure.
    mode : {"soft", "soft-private-attention", "attention", None}, default="soft"
        ``"soft"``: :class:`SoftSelectionGate` on a shared :class:`FieldAttention`.
        ``"soft-private-attention"``: an attention for each structure. ``"attention"``:
        :math:`E_{SA}` alone. None: :math:`E` alone.
    n_heads : int, default=2
    generator : torch.Generator, default=None

    Examples
    --------
    >>> public, (cross, field) = FieldSelection(5, 2, [4, 4])(torch.ones(3, 5, 2))
    >>> public.shape, cross.shape
    (torch.Size([3, 5, 2]), torch.Size([4, 3, 5, 2]))
    """

    def __init__(
        self,
        n_fields: int,
        dim: int,
        private: Sequence[int] = (),
        *,
        mode: str | None = "soft",
        n_heads: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_choice("mode", mode, SELECTIONS)
        n_structures = 1 + len(private)
        n_attentions = {"soft-private-attention": n_structures, None: 0}.get(mode, 1)
        self.n_structures = n_structures
        self.attention = nn.ModuleList(
            FieldAttention(dim, n_heads, generator=generator)
            for _ in range(n_attentions)
        )
        soft = mode is not None and mode.startswith("soft")
        self.gates = nn.ModuleList(
            SoftSelectionGate(n_fields, dim, n_gates)
            for n_gates in ([None, *private] if soft else [])
        )

    def forward(self, fields: Tensor) -> tuple[Tensor, list[Tensor]]:
        if is_compiling():
            return self.reference(fields)
        attended = [attend(fields) for attend in self.attention] or [fields]
        if not self.gates:
            selected = attended * self.n_structures
        elif len(attended) == 1:
            values = [cast(Tensor, gate.logit).sigmoid() for gate in self.gates]
            selected = Mixtures.apply(fields, attended[0], *values)
        else:
            pairs = zip(self.gates, attended, strict=True)
            selected = [gate(fields, own) for gate, own in pairs]
        return selected[0], list(selected[1:])

    def reference(self, fields: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Each structure by the equations of its attention and its gate."""
        attentions = [cast(FieldAttention, attend) for attend in self.attention]
        gates = [cast(SoftSelectionGate, gate) for gate in self.gates]
        attended = [attend.reference(fields) for attend in attentions] or [fields]
        if len(attended) == 1:
            attended = attended * self.n_structures
        if not gates:
            return attended[0], attended[1:]
        pairs = zip(gates, attended, strict=True)
        public, *private = (gate.reference(fields, own) for gate, own in pairs)
        return public, private
