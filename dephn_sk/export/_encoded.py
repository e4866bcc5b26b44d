"""Inputs of fields that were encoded before: codes, numbers, and bags as rectangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocessing import FieldEncoder
from ._assembly import NetworkInputs, float_type, no_columns
from ._bags import NOTHING, rectangle, weights_name
from ._chain import Chain
from ._graph import Graph

CODES, NUMBERS = "codes", "numbers"


def encoded_inputs(graph: Graph, chain: Chain) -> NetworkInputs:
    """Add the inputs to a graph; there are none for no columns."""
    encoder, type = chain.final.encoder_, float_type(chain.final.network_)
    n_codes, n_numbers = len(encoder.categorical_names_), len(encoder.numeric_names_)
    first, bags = [], []
    if n_codes:
        first.append(graph.input(CODES, "int64", ["n", n_codes]))
    if n_numbers:
        first.append(graph.input(NUMBERS, type, ["n", n_numbers]))
    for name, weighted in weighted_bags(chain).items():
        shape = ["n", f"{name}.most"]
        weights = weights_name(name)
        first.append(graph.input(name, "int64", shape))
        bags.append(
            (name, graph.input(weights, type, shape) if weighted else None, False)
        )
    rows = graph.n_rows(first[0])
    return NetworkInputs(
        CODES if n_codes else no_columns(graph, rows, "int64"),
        NUMBERS if n_numbers else no_columns(graph, rows, type),
        bags,
    )


def weighted_bags(chain: Chain) -> dict[str, bool]:
    """Of each multi-valued field, whether its members have weights."""
    steps = [step for _, step in chain.steps if isinstance(step, FieldEncoder)]
    encoders = [*steps, chain.final.encoder_]
    weighted = {
        name for encoder in encoders for name in encoder._encoding.settings.bag_weights
    }
    return {name: name in weighted for name in chain.final.encoder_.bag_names_}


def feed_encoded(chain: Chain, X: Any) -> dict[str, NDArray]:
    """The inputs of the rows of a table."""
    fields = chain.before_the_network(X)
    fed = {}
    if fields.codes.shape[1]:
        fed[CODES] = fields.codes.astype(np.int64)
    if fields.numbers.shape[1]:
        fed[NUMBERS] = fields.numbers
    for (name, weighted), bag in zip(
        weighted_bags(chain).items(), fields.bags, strict=True
    ):
        padded = rectangle(bag.members.astype(np.int64), bag.offsets, NOTHING)
        fed[name] = padded
        if weighted != (bag.weights is not None):
            raise ValueError(
                f"Column {name!r} came with{'' if bag.weights is not None else 'out'} "
                f"weights, which the graph does {'not ' * (not weighted)}take."
            )
        if bag.weights is not None:
            weights = bag.weights.astype(fields.numbers.dtype)
            fed[weights_name(name)] = rectangle(weights, bag.offsets)
    return fed
