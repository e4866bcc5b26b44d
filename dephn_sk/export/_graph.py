"""A graph under construction: nodes, constants, inputs and outputs, each name once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# of values in a graph, by the words of the metadata
TYPES = {
    "string": np.dtype(object),
    "int64": np.dtype(np.int64),
    "uint64": np.dtype(np.uint64),
    "bool": np.dtype(bool),
    "double": np.dtype(np.float64),
    "float": np.dtype(np.float32),
}
ML = "ai.onnx.ml"
ML_OPSET = 4  # LabelEncoder of doubles


class Graph:
    """Nodes in the order in which they run.

    Parameters
    ----------
    opset : int
        Of the standard operators.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._taken: set[str] = set()
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def free_name(self, wanted: str) -> str:
        """The wanted name, or that name and a number, if it is taken."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def op(
        self, operator: str, *inputs: str, domain: str = "", **attributes: Any
    ) -> str:
        """A node of one output, whose name is returned."""
        (output,) = self.ops(1, operator, *inputs, domain=domain, **attributes)
        return output

    def ops(
        self,
        n_outputs: int,
        operator: str,
        *inputs: str,
        domain: str = "",
        **given: Any,
    ) -> list[str]:
        """A node of several outputs."""
        from onnx import helper

        name = self.free_name(f"/{operator}")
        parts = [f"{name}.{i}" if n_outputs > 1 else name for i in range(n_outputs)]
        self._taken.update(parts)
        node = helper.make_node(
            operator, inputs, parts, name=name, domain=domain, **given
        )
        self.nodes.append(node)
        return parts

    def constant(self, value: Any, dtype: Any = None) -> str:
        """An array, stored once however often it is asked for."""
        from onnx import numpy_helper

        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self.free_name("/constant")
            self.initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def input(self, name: str, type: str, shape: Sequence[int | str]) -> str:
        """An input of the graph; text in a shape is a dimension that varies."""
        self.inputs.append(_value(self._new(name), type, shape))
        return name

    def output(
        self, name: str, value: str, type: str, shape: Sequence[int | str]
    ) -> str:
        """Let the graph give a value under a name, or under the next free one."""
        name = self.free_name(name)
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self.outputs.append(_value(name, type, shape))
        return name

    def _new(self, name: str) -> str:
        if name in self._taken:
            raise ValueError(
                f"The graph has a value {name!r} already. Rename the column."
            )
        self._taken.add(name)
        return name

    def embed(self, model: Any, prefix: str, values: Mapping[str, str]) -> list[str]:
        """Put another model's graph in, its inputs being values of this one."""
        from onnx import compose

        graph = model.graph
        inside = {one.name for one in graph.input}
        compose.add_prefix_graph(graph, prefix, inplace=True)
        renamed = {f"{prefix}{name}": values[name] for name in inside & set(values)}
        for node in graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = renamed.get(name, name)
        self.nodes.extend(graph.node)
        self.initializers.extend(graph.initializer)
        return [one.name for one in graph.output]

    def cast(self, value: str, type: str) -> str:
        """A value as another type."""
        return self.op("Cast", value, to=onnx_type(type))

    def n_rows(self, value: str) -> str:
        """The length of a value's first axis, of shape (1,)."""
        return self.op("Shape", value, start=0, end=1)

    def columns(self, values: Sequence[str]) -> str:
        """Values of shape (n,) side by side, (n, n_values)."""
        if len(values) == 1:
            return self.op("Unsqueeze", values[0], self.constant([1], np.int64))
        stacked = self.op("Concat", *values, axis=0)
        shape = self.constant([len(values), -1], np.int64)
        return self.op("Transpose", self.op("Reshape", stacked, shape), perm=[1, 0])

    def split_columns(self, matrix: str, n_columns: int) -> list[str]:
        """Columns of a matrix, each of shape (n,)."""
        return [
            self.op("Gather", matrix, self.constant(j, np.int64), axis=1)
            for j in range(n_columns)
        ]

    def model(self, **properties: str) -> Any:
        """The finished model."""
        from onnx import helper

        graph = helper.make_graph(
            self.nodes, "dephn_sk", self.inputs, self.outputs, self.initializers
        )
        opsets = [
            helper.make_opsetid("", self.opset),
            helper.make_opsetid(ML, ML_OPSET),
        ]
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
        )
        helper.set_model_props(model, properties)
        return model


def onnx_type(type: str) -> int:
    """ONNX's number for a type."""
    from onnx import TensorProto

    return int(getattr(TensorProto, type.upper()))


def _value(name: str, type: str, shape: Sequence[int | str]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, onnx_type(type), list(shape))


def text_constant(graph: Graph, values: NDArray) -> str:
    """An array of text."""
    from onnx import TensorProto, helper

    name = graph.free_name("/constant")
    encoded = [value.encode() for value in values.tolist()]
    tensor = helper.make_tensor(name, TensorProto.STRING, list(values.shape), encoded)
    graph.initializers.append(tensor)
    return name
