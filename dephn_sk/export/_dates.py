"""Dates as numbers: the clocks of a zone, the time of day, the weekday, the age."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..preprocessing import _dates, _instants
from ..preprocessing._dates import DateParts
from ._graph import Graph

SECOND, DAY = 10**6, 86_400 * 10**6  # in microseconds
MISSING = np.iinfo(np.int64).min  # NaT
_BLOCK = 16 * 86_400  # seconds in which the clocks change seldom
# The calendar, and with it the rules of a zone, is the same 400 years later. Beyond the
# years that zones list one by one, a time is looked up in a cycle that is listed.
_FIRST, _LAST, _CYCLE = (86_400 * days for days in (-69_000, 200_000, 146_097))


def date_parts(graph: Graph, instants: str, kind: DateParts) -> Iterator[str]:
    """Each field of a column of dates, (n,), in the order of its scales."""
    missing = graph.op("Equal", instants, _int(graph, MISSING))
    instants = graph.op("Where", missing, _int(graph, 0), instants)
    local = _local(graph, instants, kind)
    of_day = graph.op("Mod", local, _int(graph, DAY))
    day = graph.op("Div", graph.op("Sub", local, of_day), _int(graph, DAY))
    weekday = graph.op("Add", day, _int(graph, _dates._FIRST_WEEKDAY))
    weekday = graph.op("Mod", weekday, _int(graph, 7))
    shares = [(of_day, DAY / math.tau)] * kind.has_time + [(weekday, 7 / math.tau)]
    # the cosine as a sine: older releases of onnxruntime have no cosine of doubles
    quarters = [graph.constant(0.0), graph.constant(math.pi / 2)]
    fields = [
        graph.op("Sin", graph.op("Add", angle, quarter))
        for angle in (_share(graph, *pair) for pair in shares)
        for quarter in quarters
    ]
    fields.append(graph.op("Neg", _share(graph, instants, DAY)))
    for field in fields:
        yield graph.op("Where", missing, graph.constant(np.nan), field)


def _int(graph: Graph, value: int) -> str:
    return graph.constant(value, np.int64)


def _share(graph: Graph, part: str, whole: float) -> str:
    return graph.op("Div", graph.cast(part, "double"), graph.constant(float(whole)))


def _local(graph: Graph, instants: str, kind: DateParts) -> str:
    """What the clocks of the column's zone show at instants in UTC."""
    if kind.zone is None:
        return instants
    clock = clock_of(kind.zone, kind.name)
    second = graph.op("Sub", instants, graph.op("Mod", instants, _int(graph, SECOND)))
    second = graph.op("Div", second, _int(graph, SECOND))
    first, last = _instants._FIRST * 86_400, _instants._LAST * 86_400
    second = graph.op("Clip", second, _int(graph, first), _int(graph, last))
    # Mod has the sign of the divisor: what is before _LAST stays
    over = graph.op("Max", graph.op("Sub", second, _int(graph, _LAST)), _int(graph, 0))
    cycles = graph.op(
        "Div", graph.op("Add", over, _int(graph, _CYCLE - 1)), _int(graph, _CYCLE)
    )
    second = graph.op("Sub", second, graph.op("Mul", cycles, _int(graph, _CYCLE)))
    second = graph.op("Max", second, _int(graph, _FIRST))
    block = graph.op(
        "Div", graph.op("Sub", second, _int(graph, _FIRST)), _int(graph, _BLOCK)
    )
    offset = graph.op("Gather", graph.constant(clock.offsets), block)
    for changes, steps in zip(clock.changes.T, clock.steps.T, strict=True):
        after = graph.op(
            "GreaterOrEqual", second, graph.op("Gather", graph.constant(changes), block)
        )
        step = graph.op("Gather", graph.constant(steps), block)
        offset = graph.op(
            "Add", offset, graph.op("Mul", graph.cast(after, "int64"), step)
        )
    return graph.op("Add", instants, graph.op("Mul", offset, _int(graph, SECOND)))


@dataclass(frozen=True)
class Clock:
    """Offsets of a zone from UTC, in seconds, by blocks of time since `_FIRST`.

    Attributes
    ----------
    offsets : ndarray of shape (n_blocks,)
        Just before each block begins.
    changes, steps : ndarray of shape (n_blocks, most)
        When the offset changes within each block, and by how much.
    """

    offsets: NDArray
    changes: NDArray
    steps: NDArray


@lru_cache(maxsize=64)
def clock_of(zone: str, name: str) -> Clock:
    """The clock of a zone, learned from what its days begin and end with."""
    clock = _instants._clock(zone, name)
    days = np.arange(_FIRST, _LAST + 1, 86_400)
    by_day = _instants._offsets(days, clock)
    moments, steps = [], []
    for i in np.flatnonzero(np.diff(by_day)).tolist():
        low, high = int(days[i]), int(days[i + 1])
        while high - low > 1:  # the offset at low is the old one, at high another
            middle = (low + high) // 2
            changed = _instants._offsets(np.array([middle]), clock)[0] != by_day[i]
            low, high = (low, middle) if changed else (middle, high)
        moments.append(high)
        steps.append(int(by_day[i + 1] - by_day[i]))
    at = (np.array(moments, dtype=np.int64) - _FIRST) // _BLOCK
    n_blocks = (_LAST - _FIRST) // _BLOCK + 1
    most = int(np.bincount(at, minlength=n_blocks).max())
    changes = np.full((n_blocks, most), np.iinfo(np.int64).max)
    jumps = np.zeros((n_blocks, most), dtype=np.int64)
    rank = np.arange(len(at)) - np.searchsorted(at, at)
    changes[at, rank], jumps[at, rank] = moments, steps
    begins = _FIRST + _BLOCK * np.arange(n_blocks)
    return Clock(_instants._offsets(begins - 1, clock), changes, jumps)
