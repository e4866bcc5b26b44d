"""Mixtures of raw and attended fields, one for each gate."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._row_blocks import row_blocks


class Mixtures(torch.autograd.Function):
    r"""G ⊙ attended + (1 − G) ⊙ fields for each gate G.

    torch.lerp for each of them, but the gradients of all gates meet while they are in
    the cache: sums over gates, experts and rows leave it once.

    Shape: ``fields (batch, n_fields, dim)``; ``attended`` of that shape, or with the
    leading axis of a gate; each gate ``(n_fields, dim)`` or ``(n_experts, 1, n_fields,
    dim)`` -> a tuple of tensors ``(batch, n_fields, dim)`` or ``(n_experts, batch,
    n_fields, dim)``
    """

    @staticmethod
    def forward(
        ctx: Any, fields: Tensor, attended: Tensor, *gates: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(fields, attended, *gates)
        return tuple(torch.lerp(fields, attended, gate) for gate in gates)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        fields, attended, *gates = ctx.saved_tensors
        d_fields, d_attended = torch.empty_like(fields), torch.empty_like(attended)
        d_gates = [torch.zeros_like(gate) for gate in gates]
        for rows in row_blocks(len(fields), 4 * fields.shape[1:].numel(), fields):
            raw, own = fields[rows], attended[..., rows, :, :]
            difference = own - raw
            d_raw, d_own = torch.zeros_like(raw), torch.zeros_like(own)
            for gradient, gate, d_gate in zip(gradients, gates, d_gates, strict=True):
                for above, g, d_g, d, d_o in _experts(
                    gradient[..., rows, :, :], gate, d_gate, difference, d_own
                ):
                    d_g += (above * d).sum(0)
                    d_o.addcmul_(above, g)
                    d_raw += above
            d_raw -= d_own.sum_to_size(raw.shape)
            d_fields[rows], d_attended[..., rows, :, :] = d_raw, d_own
        return d_fields, d_attended, *d_gates


def _experts(gradient: Tensor, *others: Tensor) -> Any:
    """The slices of each expert, also of what all experts share."""
    if gradient.dim() == 3:
        return [(gradient, *others)]
    shared = (t.expand(len(gradient), *t.shape[-3:]) for t in others)
    return zip(gradient, *shared, strict=True)
