"""Kinds of column in a graph: what each asks of its inputs, and what it makes of them.

A kind that stands in no table here is refused, by the column's name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..preprocessing._codes import Coded
from ..preprocessing._columns import Column
from ..preprocessing._dates import DateParts
from ..preprocessing._hashing import Hashing
from ..preprocessing._numbers import Duration, Number, NumericKind
from ..preprocessing._target_statistics import TargetStatistics
from ..preprocessing._vocabulary import Vocabulary
from ._dates import MISSING, date_parts
from ._fields import Code, Fields, Input, Request, Source
from ._graph import Graph
from ._hashes import as_integers, buckets, check_hashes_integers
from ._keys import Keys, type_of, typed

Columns = Mapping[str, Column]
Sources = Mapping[str, Source]
Given = dict[str, tuple[NDArray, NDArray | None]]  # values, and which are missing


class ColumnGraph(ABC):
    """A column of one kind in a graph.

    A further kind is one subclass, and one entry in a table of kinds.

    Parameters
    ----------
    name : str
        The column's.
    kind : ColumnKind
        What was learned of it.
    """

    def __init__(self, name: str, kind: Any) -> None:
        self.name, self.kind = name, kind

    @property
    @abstractmethod
    def inputs(self) -> list[Input]:
        """What the graph is to be given of the column."""

    @abstractmethod
    def feed(self, columns: Columns) -> Given:
        """The inputs of the rows of a table, and which of them are missing."""

    def requests(self, graph: Graph, sources: Sources) -> Sequence[Request]:
        """What is to be looked up, of all columns at once."""
        return ()

    @abstractmethod
    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        """Add the column's fields, given what was found."""


class SingleValue(ColumnGraph):
    """A column with one value in each row.

    Attributes
    ----------
    type, says, missing
        Of its input.
    """

    type: str
    says: ClassVar[str] = "value"
    missing: ClassVar[Any] = None

    @property
    def inputs(self) -> list[Input]:
        missing = float("nan") if self.type == "double" else self.missing
        return [Input(self.name, self.type, 1, self.masked, self.says, missing)]

    @property
    def masked(self) -> bool:
        """Whether no value of the type stands for a missing one."""
        return self.type != "double"


class VocabularyColumn(SingleValue):
    """Values with a code of their own."""

    kind: Vocabulary

    def __init__(self, name: str, kind: Vocabulary) -> None:
        super().__init__(name, kind)
        self.type = type_of(kind.counts.values, name)

    def feed(self, columns: Columns) -> Given:
        return {self.name: typed(columns[self.name], self.kind.counts, self.type)}

    def requests(self, graph: Graph, sources: Sources) -> list[Request]:
        source = sources[self.name]
        return [Request(self.kind, code_keys(self.kind), source.value, source.type)]

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        source, missing = sources[self.name], int(self.kind.codes_of[-1])
        (codes,) = found
        if source.type == "double" and missing:
            absent = graph.op("IsNaN", source.value)
            codes = graph.op("Where", absent, graph.constant(missing), codes)
        fields.codes.append(Code(self.name, codes, source.mask, missing))


def code_keys(kind: Vocabulary) -> Keys:
    """The values that have a code."""
    codes = kind.codes_of[: len(kind.counts)]
    coded = np.flatnonzero(codes)
    return Keys(kind.name, kind.counts.values[coded], codes[coded])


class HashedColumn(SingleValue):
    """Integers by their hash."""

    kind: Hashing
    type = "int64"

    def __init__(self, name: str, kind: Hashing) -> None:
        super().__init__(name, kind)
        check_hashes_integers(kind, name)

    def feed(self, columns: Columns) -> Given:
        return {self.name: as_integers(columns[self.name])}

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        source = sources[self.name]
        integers = source.of_type(graph, "int64", self.name)
        (codes,) = buckets(graph, integers, self.kind)
        fields.codes.append(Code(self.name, codes, source.mask))


class CodedColumn(SingleValue):
    """Codes of another encoder; any other number is code 0, and so is missing."""

    kind: Coded
    type = "int64"
    says = "code"
    missing = 0
    masked = False

    def feed(self, columns: Columns) -> Given:
        return {self.name: (self.kind.codes(columns[self.name]).astype(np.int64), None)}

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        codes = sources[self.name].of_type(graph, "int64", self.name)
        codes = known_codes(graph, codes, self.kind.cardinality)
        fields.codes.append(Code(self.name, codes))


def known_codes(graph: Graph, codes: str, cardinality: int) -> str:
    """Codes below a cardinality, others as 0."""
    zero, most = graph.constant(0), graph.constant(cardinality)
    above, below = (
        graph.op("GreaterOrEqual", codes, zero),
        graph.op("Less", codes, most),
    )
    return graph.op("Where", graph.op("And", above, below), codes, zero)


class NumberColumn(SingleValue):
    """Numbers, NaN where missing."""

    kind: NumericKind
    type = "double"
    says = "number"

    def feed(self, columns: Columns) -> Given:
        (numbers,) = (values for _, values in self.kind.numbers(columns[self.name]))
        return {self.name: (numbers, None)}

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        numbers = sources[self.name].of_type(graph, "double", self.name)
        ((field, scale),) = self.kind.scales.items()
        fields.numbers.append((field, numbers, scale))
        if self.kind.infinite == "error":
            fields.infinite.append(field)


class DurationColumn(NumberColumn):
    """Durations in days."""

    says = "days"


class DateColumn(SingleValue):
    """Instants, the smallest integer where missing."""

    kind: DateParts
    type = "int64"
    masked = False

    @property
    def inputs(self) -> list[Input]:
        clock = "the column's clocks show" if self.kind.zone is None else "UTC"
        says = f"microseconds since 1970-01-01, {clock}"
        return [Input(self.name, self.type, says=says, missing=MISSING)]

    def feed(self, columns: Columns) -> Given:
        instants = columns[self.name].instants_as_in(self.kind.zone)
        return {self.name: (instants.astype("datetime64[us]").view(np.int64), None)}

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        source = sources[self.name]
        if source.type != "int64":
            raise ValueError(f"Column {self.name!r} is read as dates, but is encoded.")
        parts = date_parts(graph, source.value, self.kind)
        for (name, scale), part in zip(self.kind.scales.items(), parts, strict=True):
            fields.numbers.append((name, part, scale))


class StatisticsOf(ColumnGraph):
    """Target statistics of a column, which another kind has an input for."""

    kind: TargetStatistics

    @property
    def inputs(self) -> list[Input]:
        return []

    def feed(self, columns: Columns) -> Given:
        return {}

    def requests(self, graph: Graph, sources: Sources) -> list[Request]:
        source, values = sources[self.name], self.kind.counts.values
        keys = Keys(self.name, values, np.arange(1, len(values) + 1))
        return [Request(self.kind, keys, source.value, source.type)]

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        source, (places,) = sources[self.name], found
        # by value, then of missing, last of one never seen, which is at 0 here
        by_value = [
            np.roll(scale.apply(field), 1)
            for scale, field in zip(
                self.kind.scales.values(), self.kind._all, strict=True
            )
        ]
        table = graph.constant(np.stack(by_value, axis=1))
        absent = self._absent(graph, source, fields)
        if absent is not None:
            last = graph.constant(len(self.kind.counts) + 1)
            places = graph.op("Where", absent, last, places)
        matrix = graph.op("Gather", table, places, axis=0)
        fields.scaled.append((matrix, list(self.kind.scales)))

    def _absent(self, graph: Graph, source: Source, fields: Fields) -> str | None:
        """Which rows have no value."""
        if source.type == "double":
            return graph.op("IsNaN", source.value)
        if source.mask is None or fields.mask is None:
            return None
        return graph.op("Gather", fields.mask, graph.constant(source.mask), axis=1)


# what holds one value in each row
SINGLE: dict[type, type[ColumnGraph]] = {
    Vocabulary: VocabularyColumn,
    Hashing: HashedColumn,
    Coded: CodedColumn,
    Number: NumberColumn,
    Duration: DurationColumn,
    DateParts: DateColumn,
}
