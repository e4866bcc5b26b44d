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
    on stays in the cache.

    Shape: ``x0 (n_experts, batch, width)``, then for each layer ``down (n_experts,
    width, rank)``, ``up (n_experts, rank, width)``, ``bias`` and ``residual (n_experts,
    1, width)`` -> the shape of x0. Without ``up`` (None), A is square and stands alone;
    without ``residual``, the last term is missing.
    """

    @staticmethod
    def forward(ctx: Any, x0: Tensor, keep: bool, *parameters: Tensor | None) -> Tensor:
        out = x0.new_empty(x0.shape)
        kept = []
        for block in _blocks(x0, parameters):
            raw = x = x0[block]
            for down, up, bias, residual in _layers(parameters, block[0]):
                low = torch.bmm(x, down).to(x0.dtype)  # autocast lowers products
                kept += [low] * keep
                x = _next(raw, x, low if up is None else low @ up, bias, residual)
            out[block] = x
        ctx.n_parameters = len(parameters)
        ctx.save_for_backward(*parameters, x0, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        parameters = ctx.saved_tensors[: ctx.n_parameters]
        x0, *kept = ctx.saved_tensors[ctx.n_parameters :]
        d_x0 = x0.new_empty(x0.shape)
        d_parameters = [None if p is None else torch.zeros_like(p) for p in parameters]
        n_layers = len(parameters) // 4
        for n, block in enumerate(_blocks(x0, parameters)):
            inner = kept[n * n_layers : (n + 1) * n_layers]
            layers = _layers(parameters, block[0])
            d_layers = _layers(d_parameters, block[0])
            raw = x = x0[block]
            states, products = [], []
            for (_, up, bias, residual), low in zip(layers, inner, strict=True):
                product = low if up is None else low @ up
                states.append(x)
                products.append(product)
                if len(states) < n_layers:
                    x = _next(raw, x, product, bias, residual)
            d_x = gradient[block]
            d_raw = torch.mul(d_x, products[-1], out=d_x0[block])
            for i in reversed(range(n_layers)):
                down, up, _, residual = layers[i]
                d_down, d_up, d_bias, d_residual = d_layers[i]
                d_bias += d_x.sum(1, keepdim=True)
                if i < n_layers - 1:
                    d_raw.addcmul_(d_x, products[i])
                d_low = d_x * raw
                if up is not None:
                    d_up.baddbmm_(inner[i].transpose(1, 2), d_low)
                    d_low = torch.bmm(d_low, up.transpose(1, 2))
                d_down.baddbmm_(states[i].transpose(1, 2), d_low)
                if residual is None:
                    d_x = torch.bmm(d_low, down.transpose(1, 2))
                else:
                    d_residual += (d_x * states[i]).sum(1, keepdim=True)
                    d_x = (d_x * residual).baddbmm_(d_low, down.transpose(1, 2))
            d_raw += d_x
        return d_x0, None, *d_parameters


def _layers(parameters: Any, experts: slice) -> list[tuple[Any, ...]]:
    """(down, up, bias, residual) of each layer."""
    own = [None if p is None else p[experts] for p in parameters]
    return [tuple(own[i : i + 4]) for i in range(0, len(own), 4)]


def _blocks(x0: Tensor, parameters: Any) -> Iterator[tuple[slice, slice]]:
    n_experts, batch, width = x0.shape
    step = 1 if x0.device.type == "cpu" else max(1, n_experts)
    # products with full matrices outweigh the rest and want many rows at a time
    full = any(up is None for up in parameters[1::4])
    intermediate = 1 + width // 4 if full else 4 * width
    for start in range(0, n_experts, step):
        for rows in row_blocks(batch, intermediate, x0):
            yield slice(start, start + step), rows


def _next(
    x0: Tensor, x: Tensor, product: Tensor, bias: Tensor, residual: Tensor | None
) -> Tensor:
    if residual is None:
        return torch.addcmul(bias, x0, product)
    return torch.addcmul(bias, residual, x).addcmul_(x0, product)
