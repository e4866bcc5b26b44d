"""A stack of field interactions, one block of rows at a time."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._row_blocks import row_blocks


class FieldStack(torch.autograd.Function):
    r"""V_{i+1} = V_0 ⊙ (Ω_i V_i) + ω_i ⊗ V_i, for all layers i.

    The fields of a block stand first within it, so that all its rows meet Ω in one
    product. Nothing but the input is kept: the backward pass computes each layer again.

    Shape: ``fields (n_experts, batch, n_fields, dim)``, then for each layer ``matrix
    (n_experts, n_fields, n_fields)`` and ``vector (n_experts, n_fields, 1)``
    -> the shape of fields
    """

    @staticmethod
    def forward(ctx: Any, fields: Tensor, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(fields, *parameters)
        out = fields.new_empty(fields.shape)
        for rows in _blocks(fields):
            raw = _fields_first(fields[:, rows])
            states, products = _replay(raw, parameters)
            last = torch.mul(states[-1], parameters[-1]).addcmul_(raw, products[-1])
            _put(out[:, rows], last)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        fields, *parameters = ctx.saved_tensors
        d_fields = fields.new_empty(fields.shape)
        d_parameters = [torch.zeros_like(p) for p in parameters]
        for rows in _blocks(fields):
            raw = _fields_first(fields[:, rows])
            states, products = _replay(raw, parameters)
            d_state = _fields_first(gradient[:, rows])
            d_raw = torch.zeros_like(raw)
            for i in reversed(range(len(products))):
                matrix, vector = parameters[2 * i : 2 * i + 2]
                d_matrix, d_vector = d_parameters[2 * i : 2 * i + 2]
                d_vector += torch.linalg.vecdot(d_state, states[i]).unsqueeze(-1)
                d_raw.addcmul_(d_state, products[i])
                d_product = torch.mul(d_state, raw, out=products[i])
                d_matrix.baddbmm_(d_product, states[i].transpose(1, 2))
                d_state.mul_(vector).baddbmm_(matrix.transpose(1, 2), d_product)
            _put(d_fields[:, rows], d_raw.add_(d_state))
        return d_fields, *d_parameters


def _blocks(fields: Tensor) -> Any:
    n_experts, batch, n_fields, dim = fields.shape
    return row_blocks(batch, 4 * n_experts * n_fields * dim, fields)


def _fields_first(block: Tensor) -> Tensor:
    """A copy of shape (n_experts, n_fields, rows * dim)."""
    return block.transpose(1, 2).clone(memory_format=torch.contiguous_format).flatten(2)


def _put(block: Tensor, first: Tensor) -> None:
    block.copy_(first.view(block.transpose(1, 2).shape).transpose(1, 2))


def _replay(raw: Tensor, parameters: Any) -> tuple[list[Tensor], list[Tensor]]:
    """V_i and Ω_i V_i of each layer."""
    states, products = [raw], [torch.bmm(parameters[0], raw)]
    for vector, matrix in zip(parameters[1:-1:2], parameters[2::2], strict=True):
        states.append(torch.mul(states[-1], vector).addcmul_(raw, products[-1]))
        products.append(torch.bmm(matrix, states[-1]))
    return states, products
