"""Kinds of task in a graph: from logits to probabilities or numbers, and to labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..model_selection._thresholded import tasks_in_order
from ..tasks import (
    Absolute,
    Binary,
    Gamma,
    MultiClass,
    Poisson,
    Quantile,
    Squared,
    Task,
    Tasks,
    ZeroInflatedLognormal,
)
from ..tasks._regression import LEAST_DEVIATION
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


def _scaled(graph: Graph, task: Any, logits: str) -> str:
    """A number in its units, (n, 1)."""
    scaled = graph.op("Mul", logits, graph.constant(task.scale))
    return graph.op("Add", scaled, graph.constant(task.center))


def _log_link(graph: Graph, task: Any, logits: str) -> str:
    return graph.op("Mul", graph.op("Exp", logits), graph.constant(task.scale))


def _lognormal(graph: Graph, task: Any, logits: str) -> str:
    """The mean of a zero-inflated lognormal, (n, 1)."""
    z, mean, deviation = (
        graph.op("Gather", logits, graph.constant([j]), axis=1) for j in range(3)
    )
    one = graph.op("Add", graph.op("Exp", deviation), graph.constant(1.0))
    deviation = graph.op("Max", graph.op("Log", one), graph.constant(LEAST_DEVIATION))
    half = graph.constant(task.spread**2 / 2)
    half = graph.op("Mul", graph.op("Mul", deviation, deviation), half)
    log = graph.op("Mul", mean, graph.constant(task.spread))
    log = graph.op("Add", log, graph.constant(math.log(task.scale)))
    log = graph.op("Add", log, half)
    log = graph.op("Min", log, graph.constant(math.log(task.top)))
    return graph.op("Mul", graph.op("Sigmoid", z), graph.op("Exp", log))


# from logits (n, n_outputs) to probabilities or a number, in double precision
KINDS: dict[type, Callable[[Graph, Any, str], str]] = {
    Binary: _binary,
    MultiClass: _multi_class,
    **dict.fromkeys((Squared, Absolute, Quantile), _scaled),
    **dict.fromkeys((Poisson, Gamma), _log_link),
    ZeroInflatedLognormal: _lognormal,
}


def check_known(task: Task) -> None:
    """Refuse a kind of task that stands in no table."""
    if type(task) not in KINDS:
        raise ValueError(
            f"Task {task.name!r} is a {type(task).__name__}, a kind of task that no "
            "graph is known for. Leave it out, or add it to dephn_sk.export's table "
            "of tasks."
        )


def predictions(graph: Graph, tasks: list[Task], logits: str) -> list[str]:
    """Probabilities of the classes of each task, (n, n_classes), or numbers, (n, 1).

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


def above_thresholds(
    graph: Graph, tasks: Tasks, found: list[str], thresholds: Mapping[str, float]
) -> dict[int, str]:
    """The place of the class that `ThresholdedClassifier` predicts, (n,), by task."""
    yes: dict[int, str] = {}
    for t, condition in tasks_in_order(tasks):
        if (name := tasks.names[t]) in thresholds:
            second = graph.op("Gather", found[t], graph.constant(1), axis=1)
            limit = graph.constant(thresholds[name])
            yes[t] = graph.op("GreaterOrEqual", second, limit)
            if condition is not None:
                yes[t] = graph.op("And", yes[t], yes[condition])
    return {t: graph.cast(one, "int64") for t, one in yes.items()}


def labels(
    graph: Graph, task: Task, probability: str, place: str | None = None
) -> tuple[str, str]:
    """The class at a place, or the most probable, of each row, (n,), and its type."""
    best = place or graph.op("ArgMax", probability, axis=1, keepdims=0)
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
