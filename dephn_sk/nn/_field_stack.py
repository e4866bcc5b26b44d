"""A stack of field interactions, one block of rows at a time."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._row_blocks import row_blocks


class FieldStack(torch.autograd.Function):
    r"""V_{i+1} = V_0 ⊙ (Ω_i V_i) + ω_i ⊗ V_i, for all layers i.

    The fields of a block stand first within it, so that all its rows meet Ω in one
    product; experts that read the same fields share that block, and the product of the
    first layer. That layer is V_0 ⊙ (Ω V_0 + ω ⊗ 1): with a field of ones below the
    others, one product with [Ω, ω]. Kept of a block, where gradients are wanted, are
    its input in that form and this product; the backward pass computes the rest again.
    A reader's weight meets a block while it is in the cache.

    Shape: ``fields (n_experts, batch, n_fields, dim)``, or ``(1, batch, n_fields,
    dim)`` for all experts; ``reader (n_experts, n_fields * dim, out_width)`` or None;
    then for each layer ``matrix (n_experts, n_fields, n_fields)`` and ``vector
    (n_experts, n_fields, 1)`` -> ``(n_experts, batch, out_width)``, or, without a
    reader, ``(n_experts, batch, n_fields * dim)``
    """

    @staticmethod
    def forward(
        ctx: Any, fields: Tensor, keep: bool, reader: Tensor | None, *parameters: Tensor
    ) -> Tensor:
        n_experts, width = len(parameters[0]), fields.shape[2:].numel()
        out_width = width if reader is None else reader.shape[2]
        out = fields.new_empty(n_experts, fields.shape[1], out_width)
        first, kept = _first(fields, parameters), []
        deeper = parameters[2:]
        for rows in _blocks(len(out), fields):
            raw = _fields_first(fields[:, rows])
            product = torch.bmm(first, raw).to(fields.dtype)  # autocast lowers products
            kept += [raw, product] if keep else []
            states, products = _replay(raw, product, deeper)
            last = _next(raw, states, products, deeper)
            if reader is None:
                _put(out[:, rows].unflatten(2, fields.shape[2:]), last)
            else:
                out[:, rows] = torch.bmm(_rows_first(last, fields), reader)
        ctx.n_parameters, ctx.shape = len(parameters), fields.shape
        ctx.save_for_backward(reader, *parameters, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        reader, *saved = ctx.saved_tensors
        parameters, kept = saved[: ctx.n_parameters], saved[ctx.n_parameters :]
        d_fields = gradient.new_empty(ctx.shape)
        first = _first(d_fields, parameters)
        d_first = torch.zeros_like(first)
        d_reader: Any = None if reader is None else torch.zeros_like(reader)
        deeper, d_deeper = parameters[2:], [torch.zeros_like(p) for p in parameters[2:]]
        turns = zip(
            _blocks(len(gradient), d_fields), kept[::2], kept[1::2], strict=True
        )
        for rows, raw, product in turns:
            states, products = _replay(raw, product, deeper)
            d_last = gradient[:, rows]
            if reader is not None:
                last = _rows_first(_next(raw, states, products, deeper), d_fields)
                d_reader.baddbmm_(last.transpose(1, 2), d_last)
                d_last = torch.bmm(d_last, reader.transpose(1, 2))
            d_last = d_last.unflatten(2, ctx.shape[2:]).transpose(1, 2)
            d_state = d_last.clone(memory_format=torch.contiguous_format)
            d_state = d_state.view(products[0].shape)
            d_raw = torch.zeros_like(raw[:, :-1])
            for i in reversed(range(len(products))):
                pairs = zip(d_state.unbind(1), products[i].unbind(1), strict=True)
                for d_one, one in pairs:
                    d_raw.addcmul_(d_one, one)
                d_product = d_state * raw[:, None, :-1]
                if not i:
                    break
                matrix, vector = deeper[2 * i - 2 : 2 * i]
                d_matrix, d_vector = d_deeper[2 * i - 2 : 2 * i]
                state, d_next = states[i - 1].flatten(0, 1), d_state.flatten(0, 1)
                d_product = d_product.flatten(0, 1)
                d_vector += torch.linalg.vecdot(d_next, state).unsqueeze(-1)
                d_matrix.baddbmm_(d_product, state.transpose(1, 2))
                d_next.mul_(vector).baddbmm_(matrix.transpose(1, 2), d_product)
            d_product = d_product.flatten(1, 2)
            d_first.baddbmm_(d_product, raw.transpose(1, 2))
            d_raw.baddbmm_(first[..., :-1].transpose(1, 2), d_product)
            _put(d_fields[:, rows], d_raw)
        d_first = d_first.view(*parameters[0].shape[:2], -1)
        d_matrix, d_vector = d_first[..., :-1], d_first[..., -1:]
        return d_fields, None, d_reader, d_matrix, d_vector, *d_deeper


def _blocks(n_experts: int, fields: Tensor) -> Iterator[slice]:
    _, batch, *shape = fields.shape
    # all intermediate results are twice as wide; fewer calls outweigh the waiting
    return row_blocks(batch, 2 * n_experts * math.prod(shape), fields)


def _first(fields: Tensor, parameters: Any) -> Tensor:
    """[Ω, ω] of all experts on one input, (n_inputs, n * n_fields, n_fields + 1)."""
    both = torch.cat(parameters[:2], dim=2)
    return both.view(len(fields), -1, both.shape[2])


def _fields_first(block: Tensor) -> Tensor:
    """A copy of shape (n_inputs, n_fields + 1, rows * dim), the last field all ones."""
    n_inputs, n_rows, n_fields, dim = block.shape
    raw = block.new_empty(n_inputs, n_fields + 1, n_rows, dim)
    raw[:, :-1] = block.transpose(1, 2)
    raw[:, -1] = 1.0
    return raw.flatten(2)


def _rows_first(state: Tensor, fields: Tensor) -> Tensor:
    """A copy of shape (n_experts, rows, n_fields * dim)."""
    by_expert = state.flatten(0, 1).unflatten(2, (-1, fields.shape[3]))
    return by_expert.transpose(1, 2).flatten(2)


def _put(block: Tensor, first: Tensor) -> None:
    block.copy_(first.reshape(block.transpose(1, 2).shape).transpose(1, 2))


def _replay(
    raw: Tensor, product: Tensor, deeper: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """V_1, V_2, ... but the last, and what V_0 meets in each layer.

    Shape: (n_inputs, n, n_fields, rows * dim), with the experts of each input.
    """
    states: list[Tensor] = []
    products = [product.unflatten(1, (-1, raw.shape[1] - 1))]
    for matrix in deeper[::2]:
        states.append(_next(raw, states, products, deeper))
        product = torch.bmm(matrix, states[-1].flatten(0, 1))
        products.append(product.view_as(states[-1]))
    return states, products


def _next(
    raw: Tensor, states: list[Tensor], products: list[Tensor], deeper: Any
) -> Tensor:
    """The state after those."""
    v0 = raw[:, None, :-1]
    if not states:
        return v0 * products[-1]
    vector = deeper[2 * len(states) - 1].view(*states[-1].shape[:-1], 1)
    return torch.mul(states[-1], vector).addcmul_(v0, products[-1])
