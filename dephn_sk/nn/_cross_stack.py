"""A stack of crosses, one block of rows at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._row_blocks import row_blocks


class CrossStack(torch.autograd.Function):
    r"""x_{i+1} = x_0 ⊙ (x_i A_i B_i) + b_i + r_i ⊙ x_i, for all layers i.

    Kept are the input and the products x_i A_i; the backward pass computes the rest
    again.

    Shape: ``x0 (n_experts, batch, width)``, then for each layer ``down (n_experts,
    width, rank)``, ``up (n_experts, rank, width)``, ``bias`` and ``residual (n_experts,
    1, width)`` -> the shape of x0. Without ``up`` (None), A is square and stands alone;
    without ``residual``, the last term is missing.
    """

    @staticmethod
    def forward(ctx: Any, x0: Tensor, *parameters: Tensor | None) -> Tensor:
        layers = _layers(parameters)
        out = x0.new_empty(x0.shape)
        inner = [x0.new_empty(*x0.shape[:2], down.shape[2]) for down, *_ in layers]
        for rows in _blocks(x0, layers):
            raw = x = x0[:, rows]
            for (down, up, bias, residual), kept in zip(layers, inner, strict=True):
                low = torch.bmm(x, down, out=kept[:, rows])
                x = _next(raw, x, low if up is None else low @ up, bias, residual)
            out[:, rows] = x
        ctx.n_parameters = len(parameters)
        ctx.save_for_backward(*parameters, x0, *inner)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        parameters = ctx.saved_tensors[: ctx.n_parameters]
        x0, *inner = ctx.saved_tensors[ctx.n_parameters :]
        layers = _layers(parameters)
        d_x0 = x0.new_empty(x0.shape)
        d_parameters = [None if p is None else torch.zeros_like(p) for p in parameters]
        d_layers = _layers(d_parameters)
        for rows in _blocks(x0, layers):
            raw = x = x0[:, rows]
            states, products = [], []
            for (_, up, bias, residual), kept in zip(layers, inner, strict=True):
                product = kept[:, rows] if up is None else kept[:, rows] @ up
                states.append(x)
                products.append(product)
                if len(states) < len(layers):
                    x = _next(raw, x, product, bias, residual)
            d_x, d_raw = gradient[:, rows], torch.zeros_like(gradient[:, rows])
            for i in reversed(range(len(layers))):
                down, up, _, residual = layers[i]
                d_down, d_up, d_bias, d_residual = d_layers[i]
                d_bias += d_x.sum(1, keepdim=True)
                d_raw.addcmul_(d_x, products[i])
                d_low = d_x * raw
                if up is not None:
                    d_up.baddbmm_(inner[i][:, rows].transpose(1, 2), d_low)
                    d_low = torch.bmm(d_low, up.transpose(1, 2))
                d_down.baddbmm_(states[i].transpose(1, 2), d_low)
                if residual is None:
                    d_x = torch.bmm(d_low, down.transpose(1, 2))
                else:
                    d_residual += (d_x * states[i]).sum(1, keepdim=True)
                    d_x = (d_x * residual).baddbmm_(d_low, down.transpose(1, 2))
            torch.add(d_raw, d_x, out=d_x0[:, rows])
        return d_x0, *d_parameters


def _layers(parameters: Any) -> list[tuple[Any, ...]]:
    """(down, up, bias, residual) of each layer."""
    return [tuple(parameters[i : i + 4]) for i in range(0, len(parameters), 4)]


def _blocks(x0: Tensor, layers: list[tuple[Any, ...]]) -> Any:
    n_experts, batch, width = x0.shape
    # products with full matrices outweigh the rest and want more rows at a time
    intermediate = 1 if any(up is None for _, up, *_ in layers) else 4
    return row_blocks(batch, intermediate * n_experts * width, x0)


def _next(
    x0: Tensor, x: Tensor, product: Tensor, bias: Tensor, residual: Tensor | None
) -> Tensor:
    if residual is None:
        return torch.addcmul(bias, x0, product)
    return torch.addcmul(bias, residual, x).addcmul_(x0, product)
