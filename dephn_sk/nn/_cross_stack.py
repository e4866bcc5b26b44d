"""A stack of crosses, one block of rows at a time."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._row_blocks import row_blocks


class CrossStack(torch.autograd.Function):
    r"""x_{i+1} = x_0 ⊙ (x_i A_i B_i) + b_i + r_i ⊙ x_i, for all layers i.

    Kept are the input and, where gradients are wanted, the products x_i A_i; the
    backward pass computes the rest again. On the CPU the experts take turns: a product
    of few large matrices is slower than as many single ones, and what one expert works
    on stays in the cache, its product with a reader's weight included.

    Shape: ``x0 (n_experts, batch, width)``, on the CPU also ``(1, batch, width)`` for
    all experts; ``reader (n_experts, width, out_width)`` or None; then for each layer
    ``down (n_experts, width, rank)``, ``up (n_experts, rank, width)``, ``bias`` and
    ``residual (n_experts, 1, width)`` -> ``(n_experts, batch, out_width)``, or, without
    a reader, ``(n_experts, batch, width)``. Without ``up`` (None), A is square and
    stands alone; without ``residual``, the last term is missing.
    """

    @staticmethod
    def forward(
        ctx: Any, x0: Tensor, keep: bool, reader: Tensor | None, *parameters: Any
    ) -> Tensor:
        out_width = x0.shape[2] if reader is None else reader.shape[2]
        out = x0.new_empty(len(parameters[0]), x0.shape[1], out_width)
        kept = []
        for experts, rows in _blocks(x0, parameters):
            raw = x = x0[_input(x0, experts), rows]
            layers = _layers(parameters, experts)
            for i, (down, up, bias, residual) in enumerate(layers, 1):
                low = torch.bmm(x, down).to(x0.dtype)  # autocast lowers products
                kept += [low] * keep
                product = low if up is None else torch.bmm(low, up)
                is_end = reader is None and i == len(layers)
                end = out[experts, rows] if is_end else None
                x = _next(raw, x, product, bias, residual, end)
            if reader is not None:
                out[experts, rows] = torch.bmm(x, reader[experts])
        ctx.n_parameters = len(parameters)
        ctx.save_for_backward(reader, *parameters, x0, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        reader, *saved = ctx.saved_tensors
        parameters = saved[: ctx.n_parameters]
        x0, *kept = saved[ctx.n_parameters :]
        d_x0 = x0.new_empty(x0.shape)
        d_reader: Any = None if reader is None else torch.zeros_like(reader)
        d_parameters = [None if p is None else torch.zeros_like(p) for p in parameters]
        n_layers = len(parameters) // 4
        for n, (experts, rows) in enumerate(_blocks(x0, parameters)):
            inner = kept[n * n_layers : (n + 1) * n_layers]
            layers = _layers(parameters, experts)
            raw = x0[_input(x0, experts), rows]
            states, products = _replay(raw, inner, layers)
            d_x, d_raw = gradient[experts, rows], d_x0[_input(x0, experts), rows]
            if reader is not None:
                x = _next(raw, states[-1], products[-1], *layers[-1][2:])
                d_reader[experts].baddbmm_(x.transpose(1, 2), d_x)
                d_x = torch.bmm(d_x, reader[experts].transpose(1, 2))
            if len(x0) == 1 and experts.start:
                d_raw.addcmul_(d_x, products[-1])
            else:
                torch.mul(d_x, products[-1], out=d_raw)
            for i in reversed(range(n_layers)):
                down, up, _, residual = layers[i]
                d_down, d_up, d_bias, d_residual = _layers(d_parameters, experts)[i]
                d_bias += d_x.sum(1, keepdim=True)
                if i < n_layers - 1:
                    d_raw.addcmul_(d_x, products[i])
                d_low = d_product = d_x * raw
                if up is not None:
                    d_up.baddbmm_(inner[i].transpose(1, 2), d_product)
                    d_low = torch.bmm(d_product, up.transpose(1, 2))
                d_down.baddbmm_(states[i].transpose(1, 2), d_low)
                if residual is not None:
                    linked = d_x * states[i] if i else d_product
                    d_residual += linked.sum(1, keepdim=True)
                if not i:  # all that is left is the input's
                    if residual is not None:
                        d_raw.addcmul_(d_x, residual)
                    d_raw.baddbmm_(d_low, down.transpose(1, 2))
                elif residual is None:
                    d_x = torch.bmm(d_low, down.transpose(1, 2))
                else:
                    d_x = (d_x * residual).baddbmm_(d_low, down.transpose(1, 2))
        return d_x0, None, d_reader, *d_parameters


def _layers(parameters: Any, experts: slice) -> list[tuple[Any, ...]]:
    """(down, up, bias, residual) of each layer."""
    own = [None if p is None else p[experts] for p in parameters]
    return [tuple(own[i : i + 4]) for i in range(0, len(own), 4)]


def _blocks(x0: Tensor, parameters: Any) -> Iterator[tuple[slice, slice]]:
    """The experts by turns, over rows that stay in the cache."""
    n_experts, (_, batch, width) = len(parameters[0]), x0.shape
    step = 1 if x0.device.type == "cpu" else max(1, n_experts)
    # products with full matrices outweigh the rest and want many rows at a time
    full = any(up is None for up in parameters[1::4])
    for rows in row_blocks(batch, width if full else 4 * width, x0):
        for start in range(0, n_experts, step):
            yield slice(start, start + step), rows


def _input(x0: Tensor, experts: slice) -> slice:
    return slice(0, 1) if len(x0) == 1 else experts


def _replay(raw: Tensor, inner: Any, layers: Any) -> tuple[list[Tensor], list[Tensor]]:
    """x_i and x_i A_i B_i of each layer, from x_i A_i."""
    states, products = [raw], []
    for (_, up, bias, residual), low in zip(layers, inner, strict=True):
        products.append(low if up is None else torch.bmm(low, up))
        if len(products) < len(layers):
            states.append(_next(raw, states[-1], products[-1], bias, residual))
    return states, products


def _next(
    x0: Tensor,
    x: Tensor,
    product: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    out: Tensor | None = None,
) -> Tensor:
    if residual is None:
        return torch.addcmul(bias, x0, product, out=out)
    return torch.addcmul(bias, residual, x, out=out).addcmul_(x0, product)
