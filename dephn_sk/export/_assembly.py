"""The parts of a model put together: fields, network, probabilities, labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import torch

from ..nn import TaskNetwork
from ._calibration import calibrated
from ._chain import Chain
from ._encoder import ordered
from ._fields import Fields
from ._graph import Graph
from ._network import network_graph
from ._tasks import above_thresholds, labels, marginal, predictions

PREFIX = "network/"


@dataclass
class NetworkInputs:
    """What the network reads, as values of a graph.

    Attributes
    ----------
    codes, numbers : str
        Of shape (n, n_categorical) and (n, n_numeric), the numbers in the network's
        precision.
    bags : list of (str, str or None, bool)
        Codes and weights of each multi-valued field, and whether all rows share one.
    refused : list of str
        Which rows come out as NaN, (n,) or (1,).
    """

    codes: str
    numbers: str
    bags: list[tuple[str, str | None, bool]]
    refused: list[str] = field(default_factory=list)


def float_type(network: TaskNetwork) -> str:
    """The type of the network's numbers."""
    double = next(network.parameters()).dtype == torch.float64
    return "double" if double else "float"


def merged(
    graph: Graph, chain: Chain, parts: Sequence[tuple[Fields, str | int]], rows: str
) -> NetworkInputs:
    """The fields of all groups of columns, in the order of the network.

    Parameters
    ----------
    graph : Graph
    chain : Chain
    parts : sequence of (Fields, rows)
        Of each group, and "n" or 1.
    rows : str
        The number of rows, of shape (1,).
    """
    encoder = chain.final.encoder_
    precision = float_type(chain.final.network_)
    codes: list[str] = []
    numbers: list[str] = []
    code_names: list[str] = []
    number_names: list[str] = []
    for fields, of in parts:
        for found, matrix in (
            (codes, fields.code_matrix(graph)),
            (numbers, fields.number_matrix(graph)),
        ):
            if matrix is not None:
                if of == 1:
                    shape = graph.op("Concat", rows, graph.constant([1]), axis=0)
                    matrix = graph.op("Expand", matrix, shape)
                found.append(matrix)
        code_names += fields.code_names()
        number_names += fields.number_names()
    bags = {
        bag.name: (bag.codes, _cast_weights(graph, bag.weights, precision), of == 1)
        for fields, of in parts
        for bag in fields.bags
    }
    return NetworkInputs(
        _side_by_side(
            graph, codes, code_names, encoder.categorical_names_, rows, "int64"
        ),
        _side_by_side(
            graph, numbers, number_names, encoder.numeric_names_, rows, precision
        ),
        [bags[name] for name in encoder.bag_names_],
        [row for fields, _ in parts for row in fields.refused],
    )


def _cast_weights(graph: Graph, weights: str | None, precision: str) -> str | None:
    return None if weights is None else graph.cast(weights, precision)


def _side_by_side(
    graph: Graph,
    matrices: list[str],
    names: list[str],
    wanted: Sequence[str],
    rows: str,
    type: str,
) -> str:
    """Matrices as one, its columns in an order; without any, of no columns."""
    if not matrices:
        return no_columns(graph, rows, type)
    joined = graph.op("Concat", *matrices, axis=1) if len(matrices) > 1 else matrices[0]
    joined = ordered(graph, joined, names, list(wanted))
    return joined if type == "int64" else graph.cast(joined, type)


def no_columns(graph: Graph, rows: str, type: str) -> str:
    """A matrix of no columns."""
    from onnx import numpy_helper

    shape = graph.op("Concat", rows, graph.constant([0]), axis=0)
    dtype = {"int64": np.int64, "float": np.float32, "double": np.float64}[type]
    zero = numpy_helper.from_array(np.zeros(1, dtype))
    return graph.op("ConstantOfShape", shape, value=zero)


def logits(graph: Graph, network: TaskNetwork, inputs: NetworkInputs) -> str:
    """Put the network in."""
    embedding = next(network.tables(), None)
    n_codes = embedding.n_categorical if embedding else 0
    n_numbers = 0
    if embedding is not None and embedding.numeric is not None:
        n_numbers = embedding.numeric.n_numeric
    shapes = [(weights is not None, shared) for _, weights, shared in inputs.bags]
    if next(network.parameters()).device.type != "cpu":
        network = copy.deepcopy(network).cpu()
    model = network_graph(network, n_codes, n_numbers, shapes, graph.opset)
    values = {"codes": inputs.codes, "numbers": inputs.numbers}
    for i, (codes, weights, _) in enumerate(inputs.bags):
        values[f"bag{i}"] = codes
        if weights is not None:
            values[f"weights{i}"] = weights
    (output,) = graph.embed(model, PREFIX, values)
    return output


def outputs(
    graph: Graph, chain: Chain, logits: str, refused: list[str], with_labels: bool
) -> list[dict[str, str]]:
    """Let the graph give probabilities and labels; the outputs of each task, by name.

    Probabilities stand as `predict_proba` gives them: in one output where it gives one
    array. So do numbers, under the name of predictions. Rows that are refused are NaN.
    """
    tasks = list(chain.final.tasks_.tasks)
    found = predictions(graph, tasks, logits)
    for calibrator in chain.calibrators:
        found = calibrated(graph, calibrator, tasks, found)
    found = marginal(graph, chain.final.tasks_, found)
    named = _give(graph, chain, found, refused)
    places: dict[int, str] = {}
    if with_labels:
        given = chain.final.tasks_, found, chain.thresholds
        places = above_thresholds(graph, *given)
    for t, (task, probability) in enumerate(zip(tasks, found, strict=True)):
        if with_labels and task.n_levels:  # a number is its own label
            label, type = labels(graph, task, probability, places.get(t))
            wanted = "labels" if len(tasks) == 1 else f"labels.{task.name}"
            named[t]["labels"] = graph.output(wanted, label, type, ["n"])
    return named


def _give(
    graph: Graph, chain: Chain, found: list[str], refused: list[str]
) -> list[dict[str, str]]:
    tasks = chain.final.tasks_
    bad = None
    if refused:
        bad = reduce(lambda one, other: graph.op("Or", one, other), refused)
        bad = graph.op("Unsqueeze", bad, graph.constant([1]))

    def give(name: str, value: str, width: int) -> str:
        if bad is not None:
            value = graph.op("Where", bad, graph.constant(np.nan), value)
        return graph.output(name, graph.cast(value, "float"), "float", ["n", width])

    kinds = ["probabilities" if one.n_levels else "predictions" for one in tasks.tasks]
    if tasks.single:
        width = len(tasks.classes[0]) or 1
        return [{kinds[0]: give(kinds[0], found[0], width)}]
    if tasks.binary or len(tasks.numeric) == len(found):
        if tasks.binary:
            found = [graph.op("Gather", p, graph.constant([1]), axis=1) for p in found]
        name = give(kinds[0], graph.op("Concat", *found, axis=1), len(found))
        return [{kinds[0]: name} for _ in found]
    return [
        {what: give(f"{what}.{task.name}", value, len(task.classes) or 1)}
        for what, task, value in zip(kinds, tasks.tasks, found, strict=True)
    ]
