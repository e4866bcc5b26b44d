"""Self-attention over the fields of a row, one block of rows at a time."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._row_blocks import row_blocks


class BlockAttention(torch.autograd.Function):
    r"""The sum over the heads of softmax(E S E^T) E V, with the head's S and V.

    A row's heads stand side by side in one product, without copies. On the CPU more
    than twice as fast as torch's scaled_dot_product_attention, whose overhead for each
    head of each row exceeds the arithmetic of so few fields. The backward pass computes
    a block's weights again, from the logarithms of their denominators: that is faster
    than to read them from memory.

    Shape: ``fields (batch, n_fields, dim)``, ``scores (dim, n_heads * dim)``, ``values
    (n_heads * dim, dim)`` -> the shape of fields
    """

    @staticmethod
    def forward(ctx: Any, fields: Tensor, scores: Tensor, values: Tensor) -> Tensor:
        fields = fields.contiguous()
        batch, n_fields, dim = fields.shape
        n_heads = len(values) // dim
        out = torch.empty_like(fields)
        log_total = fields.new_empty(batch, n_fields * n_heads, 1)
        for rows in row_blocks(batch, 2 * n_heads * n_fields**2, fields):
            block = fields[rows]
            weights = torch.bmm(_heads(block, scores), block.transpose(1, 2))
            highest = weights.amax(-1, keepdim=True)
            weights.sub_(highest).exp_()
            total = weights.sum(-1, keepdim=True)
            mixed = torch.bmm(weights, block).div_(total)
            torch.mm(mixed.view(-1, len(values)), values, out=out[rows].flatten(0, 1))
            log_total[rows] = total.log_().add_(highest)
        ctx.save_for_backward(fields, scores, values, log_total)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        fields, scores, values, log_total = ctx.saved_tensors
        batch, n_fields, dim = fields.shape
        n_heads = len(values) // dim
        d_fields = torch.empty_like(fields)
        d_scores, d_values = torch.zeros_like(scores), torch.zeros_like(values)
        for rows in row_blocks(batch, 2 * n_heads * n_fields**2, fields):
            block, above = fields[rows], gradient[rows]
            queries, d_mixed = _heads(block, scores), _heads(above, values.T)
            weights = torch.bmm(queries, block.transpose(1, 2))
            weights.sub_(log_total[rows]).exp_()
            mixed = torch.bmm(weights, block)
            d_values.addmm_(mixed.view(-1, len(values)).T, above.flatten(0, 1))
            # what the softmax takes off: the mean of the gradient under its weights
            mean = mixed.mul_(d_mixed).sum(-1, keepdim=True)
            d_weights = torch.bmm(d_mixed, block.transpose(1, 2))
            d_weights.sub_(mean).mul_(weights)
            d_queries = torch.bmm(d_weights, block).view(-1, len(values))
            d_scores.addmm_(block.flatten(0, 1).T, d_queries)
            d_block = d_fields[rows]
            torch.mm(d_queries, scores.T, out=d_block.flatten(0, 1))
            d_block.baddbmm_(weights.transpose(1, 2), d_mixed)
            d_block.baddbmm_(d_weights.transpose(1, 2), queries)
        return d_fields, d_scores, d_values


def _heads(block: Tensor, matrix: Tensor) -> Tensor:
    """Each field's product with each head's matrix, (rows, n_fields * n_heads, dim)."""
    rows, _, dim = block.shape
    return (block.flatten(0, 1) @ matrix).view(rows, -1, dim)
