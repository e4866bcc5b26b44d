"""Fields in a graph: what the columns of a table become, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..preprocessing._numbers import Scale
from ._graph import Graph
from ._keys import Keys
from ._numbers import scaled


class Input(NamedTuple):
    """An input of the graph for a column.

    Attributes
    ----------
    name, type : str
    n_axes : int
        1 for a value in each row, 2 for several.
    masked : bool
        Whether the mask of the graph says which rows have no value.
    says : str
        What its values are, in words of the documentation.
    missing : str, int, float or None
        The value that stands for a missing one, where the mask does not say so.
    """

    name: str
    type: str
    n_axes: int = 1
    masked: bool = False
    says: str = "value"
    missing: Any = None


class Source(NamedTuple):
    """Where a graph has a column, or one of several inputs for it.

    ``mask`` is the column of the mask input, or None.
    """

    value: str
    type: str
    mask: int | None = None

    def of_type(self, graph: Graph, type: str, name: str) -> str:
        """The values as another type, if that is a number too."""
        if type == self.type:
            return self.value
        if "string" in (type, self.type):
            raise ValueError(
                f"Column {name!r} is {self.type} in the graph, but read as {type}. "
                "Encode it once, in one FieldEncoder."
            )
        return graph.cast(self.value, type)


class Request(NamedTuple):
    """Values to be looked up; those of one vocabulary go through one table of keys."""

    vocabulary: object
    keys: Keys
    value: str
    type: str


class Code(NamedTuple):
    """A categorical field, (n,), and its code where the mask says so."""

    name: str
    value: str
    mask: int | None = None
    missing: int = 0


class Bag(NamedTuple):
    """A multi-valued field: codes and weights of shape (n, most); -1 is no member."""

    name: str
    codes: str
    weights: str | None


@dataclass
class Fields:
    """What an encoder makes of the rows of a graph.

    Attributes
    ----------
    mask : str or None
        The mask input, (n, n_masked).
    codes, bags : list
    numbers : list of (str, str, Scale)
        Name, values (n,) and scale of each number.
    scaled : list of (str, list of str)
        Matrices of numbers that are scaled already, and the names of their columns.
    infinite : list of str
        Numbers whose infinite values are refused.
    refused : list of str
        Which rows are refused, (n,), as predict_proba refuses a table that holds them.
    """

    mask: str | None = None
    codes: list[Code] = field(default_factory=list)
    bags: list[Bag] = field(default_factory=list)
    numbers: list[tuple[str, str, Scale]] = field(default_factory=list)
    scaled: list[tuple[str, list[str]]] = field(default_factory=list)
    infinite: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def code_names(self) -> list[str]:
        return [one.name for one in self.codes]

    def number_names(self) -> list[str]:
        names = [name for name, _, _ in self.numbers]
        return names + [name for _, those in self.scaled for name in those]

    def code_matrix(self, graph: Graph) -> str | None:
        """All codes, (n, n_codes)."""
        if not self.codes:
            return None
        matrix = graph.columns([one.value for one in self.codes])
        masked = [i for i, one in enumerate(self.codes) if one.mask is not None]
        if not masked or self.mask is None:
            return matrix
        missing = masked_columns(graph, self.mask, [one.mask for one in self.codes])
        codes = graph.constant([one.missing for one in self.codes], np.int64)
        return graph.op("Where", missing, codes, matrix)

    def number_matrix(self, graph: Graph) -> str | None:
        """All numbers, (n, n_numbers), in double precision."""
        parts = []
        if self.numbers:
            matrix = graph.columns([value for _, value, _ in self.numbers])
            infinite = graph.op("IsInf", matrix)
            matrix = graph.op("Where", infinite, graph.constant(np.nan), matrix)
            self._refuse(graph, infinite)
            parts.append(scaled(graph, matrix, [scale for *_, scale in self.numbers]))
        parts += [matrix for matrix, _ in self.scaled]
        return (
            graph.op("Concat", *parts, axis=1) if len(parts) > 1 else (*parts, None)[0]
        )

    def _refuse(self, graph: Graph, infinite: str) -> None:
        """Rows with an infinite number of a column where that is an error."""
        errors = np.array([name in self.infinite for name, *_ in self.numbers])
        if not errors.any():
            return
        if not errors.all():
            infinite = graph.op("And", infinite, graph.constant(errors))
        self.refused.append(any_of(graph, infinite))


def any_of(graph: Graph, truths: str) -> str:
    """Whether any of a row's truths holds, (n, k) -> (n,)."""
    axes = graph.constant([1], np.int64)
    numbers = graph.cast(truths, "float")
    count = graph.op("ReduceSum", numbers, axes, keepdims=0)
    return graph.op("Greater", count, graph.constant(0, np.float32))


def masked_columns(graph: Graph, mask: str, columns: Sequence[int | None]) -> str:
    """The mask of each of these fields, (n, n_fields); none is False."""
    if list(columns) == list(range(len(columns))):
        return _first_columns(graph, mask, len(columns))
    where = graph.constant([one or 0 for one in columns], np.int64)
    taken = graph.op("Gather", mask, where, axis=1)
    there = np.array([one is not None for one in columns])
    return taken if there.all() else graph.op("And", taken, graph.constant(there))


def look_up(graph: Graph, requests: Sequence[Request]) -> list[str]:
    """The number of each value of each request, of the request's shape.

    What shares a vocabulary is looked up in one go, so that its keys are stored once.
    """
    found: list[str] = [""] * len(requests)
    groups: dict[tuple[int, str], list[int]] = {}
    for i, one in enumerate(requests):
        groups.setdefault((id(one.vocabulary), one.type), []).append(i)
    for (_, type), members in groups.items():
        keys, values = requests[members[0]].keys, [requests[i].value for i in members]
        if len(members) == 1:
            found[members[0]] = keys.look_up(graph, values[0], type)
            continue
        axis, flat = graph.constant([0], np.int64), graph.constant([-1], np.int64)
        stacked = [graph.op("Reshape", value, flat) for value in values]
        lengths = [
            graph.op("Unsqueeze", graph.op("Size", one), axis) for one in stacked
        ]
        numbers = keys.look_up(graph, graph.op("Concat", *stacked, axis=0), type)
        sizes = graph.op("Concat", *lengths, axis=0)
        parts = graph.ops(len(members), "Split", numbers, sizes, axis=0)
        for i, part, value in zip(members, parts, values, strict=True):
            found[i] = graph.op("Reshape", part, graph.op("Shape", value), allowzero=1)
    return found


def _first_columns(graph: Graph, matrix: str, n_columns: int) -> str:
    begin, end, axis = (graph.constant([i], np.int64) for i in (0, n_columns, 1))
    return graph.op("Slice", matrix, begin, end, axis)
