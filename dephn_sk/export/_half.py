"""Tables of half precision: half the size, read as float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import TaskNetwork
from ._assembly import PREFIX
from ._graph import Graph, onnx_type


def halve_tables(graph: Graph, network: TaskNetwork) -> None:
    """Store the embeddings of a network in float16; their rows become float32 again."""
    from onnx import helper, numpy_helper

    own = {id(one.table) for one in network.tables()}
    names = {
        f"{PREFIX}network.{name}"
        for name, p in network.named_parameters()
        if id(p) in own
    }
    for one in graph.initializers:
        if one.name in names:
            table = numpy_helper.to_array(one)
            if np.abs(table).max(initial=0) > np.finfo(np.float16).max:
                raise ValueError(
                    "A table holds numbers beyond those of float16. Use "
                    'tables="float32".'
                )
            one.CopyFrom(numpy_helper.from_array(table.astype(np.float16), one.name))
    nodes: list[Any] = []
    for node in graph.nodes:
        nodes.append(node)
        if node.op_type == "Gather" and node.input[0] in names:
            (rows,) = node.output
            node.output[0] = graph.free_name(f"{rows}/half")
            to = onnx_type("float")
            nodes.append(helper.make_node("Cast", [node.output[0]], [rows], to=to))
    graph.nodes = nodes
