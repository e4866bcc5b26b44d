"""Calibrators in a graph: each method of TaskCalibrator, of one task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..calibration import TaskCalibrator
from ..tasks import Task
from ._graph import Graph


def calibrated(
    graph: Graph, calibrator: TaskCalibrator, tasks: Sequence[Task], given: list[str]
) -> list[str]:
    """The calibrated probabilities of each task, (n, n_classes)."""
    fitted = calibrator.calibrators_
    return [
        _of_task(graph, one, len(task.classes), probability)
        for one, task, probability in zip(fitted, tasks, given, strict=True)
    ]


def _of_task(graph: Graph, calibrator: Any, n_classes: int, given: str) -> str:
    (inner,) = calibrator.calibrated_classifiers_
    odds = _log_odds(graph, given, n_classes)
    return METHODS[calibrator.method](graph, inner.calibrators, odds, n_classes)


def _log_odds(graph: Graph, given: str, n_classes: int) -> str:
    """As `tasks.log_odds`: (n, 1) of two classes, else (n, n_classes)."""
    eps = np.finfo(np.float64).eps
    low, high = graph.constant(eps), graph.constant(1 - eps)
    given = graph.op("Clip", given, low, high)
    if n_classes > 2:
        return graph.op("Log", given)
    last = graph.op("Gather", given, graph.constant([n_classes - 1]), axis=1)
    rest = graph.op("Sub", graph.constant(1.0), last)
    return graph.op("Log", graph.op("Div", last, rest))


def _one_against_the_rest(graph: Graph, parts: list[str], n_classes: int) -> str:
    """Probabilities of classes, each (n, 1), scaled to a sum of one."""
    if n_classes == 2:
        (second,) = parts
        first = graph.op("Sub", graph.constant(1.0), second)
        return graph.op("Concat", first, second, axis=1)
    each = graph.op("Concat", *parts, axis=1)
    total = graph.op("ReduceSum", each, graph.constant([1]), keepdims=1)
    nothing = graph.op("Equal", total, graph.constant(0.0))
    total = graph.op("Where", nothing, graph.constant(1.0), total)
    even = graph.constant(1 / n_classes)
    return graph.op("Where", nothing, even, graph.op("Div", each, total))


def _columns(graph: Graph, odds: str, n_columns: int) -> list[str]:
    """Columns of shape (n, 1)."""
    if n_columns == 1:
        return [odds]
    return [
        graph.op("Gather", odds, graph.constant([j]), axis=1) for j in range(n_columns)
    ]


def _sigmoid(graph: Graph, fitted: list[Any], odds: str, n_classes: int) -> str:
    parts = []
    columns = _columns(graph, odds, len(fitted))
    for one, column in zip(fitted, columns, strict=True):
        slope, shift = graph.constant(-float(one.a_)), graph.constant(-float(one.b_))
        line = graph.op("Add", graph.op("Mul", column, slope), shift)
        parts.append(graph.op("Sigmoid", line))
    return _one_against_the_rest(graph, parts, n_classes)


def _isotonic(graph: Graph, fitted: list[Any], odds: str, n_classes: int) -> str:
    columns = _columns(graph, odds, len(fitted))
    parts = [_stairs(graph, *pair) for pair in zip(fitted, columns, strict=True)]
    return _one_against_the_rest(graph, parts, n_classes)


def _stairs(graph: Graph, isotonic: Any, odds: str) -> str:
    """Straight lines between the thresholds, (n, 1)."""
    ends, levels = isotonic.X_thresholds_, isotonic.y_thresholds_
    if len(ends) == 1:
        return graph.op("Expand", graph.constant(levels), graph.op("Shape", odds))
    first, last = graph.constant(float(ends[0])), graph.constant(float(ends[-1]))
    odds = graph.op("Clip", odds, first, last)
    # the ends of the lines alone: the first threshold is below or at all odds
    passed = graph.op("GreaterOrEqual", odds, graph.constant(ends[1:-1]))
    passed = graph.cast(passed, "int64")
    line = graph.op("ReduceSum", passed, graph.constant([1]), keepdims=1)
    begin, level, slope = (
        graph.op("Gather", graph.constant(table), line)
        for table in (ends[:-1], levels[:-1], np.diff(levels) / np.diff(ends))
    )
    rise = graph.op("Mul", slope, graph.op("Sub", odds, begin))
    return graph.op("Add", rise, level)


def _temperature(graph: Graph, fitted: list[Any], odds: str, n_classes: int) -> str:
    (one,) = fitted
    if n_classes == 2:
        odds = graph.op("Mul", odds, graph.constant([-1.0, 1.0]))
    return graph.op(
        "Softmax", graph.op("Mul", odds, graph.constant(float(one.beta_))), axis=1
    )


METHODS: dict[str, Callable[[Graph, list[Any], str, int], str]] = {
    "sigmoid": _sigmoid,
    "isotonic": _isotonic,
    "temperature": _temperature,
}
