"""Kinds of task in a graph: from logits to probabilities, and to labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tasks import Binary, MultiClass, Task, Tasks
from ._graph import Graph, text_constant


def _binary(graph: Graph, task: Task, logits: str) -> str:
    """Of both classes, (n, 2), or of the only one."""
    if len(task.classes) == 1:
        shape = graph.op("Shape", logits)
        return graph.op("Expand", graph.constant(1.0), shape)
    signs = graph.constant([-1.0, 1.0])
    return graph.op("Sigmoid", graph.op("Mul", logits, signs))


def _multi_class(graph: Graph, task: Task, logits: str) -> str:
    return graph.op("Softmax", logits, axis=1)


# from logits (n, n_outputs) to probabilities of classes, in double precision
KINDS: dict[type, Callable[[Graph, Any, str], str]] = {
    Binary: _binary,
    MultiClass: _multi_class,
}


def check_known(task: Task) -> None:
    """Refuse a kind of task that stands in no table."""
    if type(task) not in KINDS:
        raise ValueError(
            f"Task {task.name!r} is a {type(task).__name__}, a kind of task that no "
            "graph is known for. Leave it out, or add it to dephn_sk.export's table "
            "of tasks."
        )


def probabilities(graph: Graph, tasks: list[Task], logits: str) -> list[str]:
    """Of the classes of each task, (n, n_classes), in double precision.

    Those of a conditioned task are given its condition.
    """
    logits, start, parts = graph.cast(logits, "double"), 0, []
    for task in tasks:
        end = start + task.n_outputs
        own = logits
        if len(tasks) > 1:
            begin, stop, axis = (graph.constant([i], np.int64) for i in (start, end, 1))
            own = graph.op("Slice", logits, begin, stop, axis)
        parts.append(KINDS[type(task)](graph, task, own))
        start = end
    return parts


def marginal(graph: Graph, tasks: Tasks, given: list[str]) -> list[str]:
    """The same, no longer given the conditions; as `Tasks.marginal`."""
    found = list(given)

    def column(t: int, values: list[str], j: int) -> str:
        return graph.op("Gather", values[t], graph.constant([j]), axis=1)

    for t, condition in tasks.pairs:
        fails, happens = (column(condition, found, j) for j in (0, 1))
        not_given, own = (graph.op("Mul", happens, column(t, given, j)) for j in (0, 1))
        rest = graph.op("Add", fails, not_given)
        found[t] = graph.op("Concat", rest, own, axis=1)
    return found


def labels(graph: Graph, task: Task, probability: str) -> tuple[str, str]:
    """The most probable class of each row, (n,), and its type."""
    best = graph.op("ArgMax", probability, axis=1, keepdims=0)
    classes = task.classes
    kind = classes.dtype.kind
    if kind in "OUS":
        texts = classes.astype(object)
        if not all(isinstance(one, str) for one in texts.tolist()):
            raise ValueError(
                f"The classes of task {task.name!r}, {classes.tolist()}, are no text "
                "or numbers. Use labels=False."
            )
        return graph.op("Gather", text_constant(graph, texts), best), "string"
    type = {"b": "bool", "i": "int64", "u": "uint64", "f": "double"}[kind]
    table = classes.astype(
        {"i": np.int64, "u": np.uint64, "f": np.float64}.get(kind, bool)
    )
    return graph.op("Gather", graph.constant(table), best), type
