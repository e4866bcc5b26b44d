"""Scaled numbers: all columns of a table at once, as `Scale` says it for one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..preprocessing._numbers import Scale
from ._graph import Graph


def scaled(graph: Graph, numbers: str, scales: Sequence[Scale]) -> str:
    """Numbers (n, n_scales) as the encoder scales them, in double precision."""
    limits = np.array([scale._limits() for scale in scales])
    z = _linear(graph, numbers, scales)
    low, high, unit = (graph.constant(one) for one in limits.T)
    inside = graph.op("Min", graph.op("Max", z, low), high)
    distance = graph.op("Sub", z, inside)
    one = graph.constant(1.0)
    excess = graph.op("Div", graph.op("Abs", distance), unit)
    share = graph.op("Sub", one, graph.op("Div", one, graph.op("Add", one, excess)))
    beyond = graph.op("Mul", unit, graph.op("Mul", graph.op("Sign", distance), share))
    outside = graph.op("Greater", excess, graph.constant(0.0))
    return graph.op("Where", outside, graph.op("Add", inside, beyond), z)


def _linear(graph: Graph, numbers: str, scales: Sequence[Scale]) -> str:
    """Before what lies beyond the limits is drawn in."""
    # a field that was never seen is missing in every row
    means = [np.nan if np.isnan(one.low) else one.mean / 2 for one in scales]
    halves = np.array([one.scale / 2 for one in scales])
    half = graph.op("Mul", numbers, graph.constant(0.5))
    half = graph.op("Sub", half, graph.constant(means))
    squash = np.array([one.how == "squash" for one in scales])
    plain = graph.op("Div", half, graph.constant(np.where(squash, 1.0, halves)))
    if not squash.any():
        return plain
    width = graph.constant(np.where(squash, 3.0 * halves, 1.0))
    # the hypotenuse, without squares that a float cannot hold
    size = graph.op("Abs", half)
    longer, shorter = graph.op("Max", size, width), graph.op("Min", size, width)
    ratio = graph.op("Div", shorter, longer)
    root = graph.op(
        "Sqrt", graph.op("Add", graph.constant(1.0), graph.op("Mul", ratio, ratio))
    )
    squashed = graph.op(
        "Mul", graph.constant(3.0), graph.op("Div", half, graph.op("Mul", longer, root))
    )
    if squash.all():
        return squashed
    return graph.op("Where", graph.constant(squash), squashed, plain)
