"""A fitted FieldEncoder as a graph, alone or behind another one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocessing import FieldEncoder
from ..preprocessing._bags import MultiValued
from ..preprocessing._field_encoder import _by_name
from ..preprocessing._input import read_table
from ..preprocessing._target_statistics import TargetStatistics
from ._bags import bag_graph, weights_name
from ._columns import SINGLE, ColumnGraph, Sources, StatisticsOf
from ._fields import Fields, Input, Source, look_up
from ._graph import Graph

# how each kind of column comes into a graph
KINDS: dict[type, Any] = {
    **SINGLE,
    MultiValued: bag_graph,
    TargetStatistics: StatisticsOf,
}


@dataclass(frozen=True)
class EncoderGraph:
    """The columns of one fitted encoder.

    Attributes
    ----------
    encoder : FieldEncoder
    columns : list of ColumnGraph
        What makes the fields, in their order.
    """

    encoder: FieldEncoder
    columns: list[ColumnGraph]

    @classmethod
    def of(cls, encoder: Any) -> EncoderGraph:
        """The graph of an encoder, or an error that names what it cannot say."""
        if type(encoder) is not FieldEncoder:
            raise ValueError(
                f"A graph can say what a FieldEncoder does, but this is a "
                f'{type(encoder).__name__}. Use inputs="encoded", and encode before.'
            )
        encoding = encoder._encoding
        kinds = [*encoding.kinds.items(), *encoding.statistics.items()]
        return cls(encoder, [_column(name, kind) for name, kind in kinds])

    @property
    def inputs(self) -> list[Input]:
        """What the graph is to be given, column by column."""
        return [one for column in self.columns for one in column.inputs]

    def owner(self, name: str) -> set[str]:
        """The columns that fields of a column read, with it."""
        return set(self.encoder._encoding.kinds[name].read_columns(name))

    def feed(self, X: Any) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """The inputs of the rows of a table, and the masks of those that have one."""
        columns = _by_name(read_table(self.encoder, X, reset=False))
        values, masks = {}, {}
        for column in self.columns:
            for name, (given, missing) in column.feed(columns).items():
                values[name] = np.ascontiguousarray(given)
                if missing is not None:
                    masks[name] = missing
        return values, masks

    def fields(
        self, graph: Graph, sources: Sources, mask: str | None, names: Collection[str]
    ) -> Fields:
        """Put the fields of some of the columns into a graph."""
        columns = [one for one in self.columns if one.name in names]
        asked = [one.requests(graph, sources) for one in columns]
        found = iter(look_up(graph, [one for those in asked for one in those]))
        fields = Fields(mask)
        for column, those in zip(columns, asked, strict=True):
            column.put(graph, sources, [next(found) for _ in those], fields)
        return fields

    def behind(
        self, graph: Graph, before: EncoderGraph, fields: Fields
    ) -> tuple[dict[str, Source], set[str]]:
        """What another encoder has made, as sources of this one's columns.

        Columns are told by their place: arrays have no names.
        """
        own = dict(
            zip(
                before.encoder._names,
                self.encoder._encoding.settings.names,
                strict=True,
            )
        )
        sources = {}
        for name, source in _as_sources(graph, fields):
            column, _, part = name.partition("\0")
            sources[own[column] + part] = source
        return sources, {own[name] for name in _names(fields)}


def _column(name: str, kind: Any) -> ColumnGraph:
    if type(kind) not in KINDS:
        raise ValueError(
            f"Column {name!r} is a {type(kind).__name__}, a kind of column that no "
            'graph is known for. Use inputs="encoded", and encode before; or add the '
            "kind to dephn_sk.export's table of kinds."
        )
    return KINDS[type(kind)](name, kind)


def _names(fields: Fields) -> list[str]:
    bags = [bag.name for bag in fields.bags]
    return [*fields.code_names(), *fields.number_names(), *bags]


def _as_sources(graph: Graph, fields: Fields) -> Iterator[tuple[str, Source]]:
    """Each field as a column; parts of one have their own name after a zero."""
    for matrix, names, type in (
        (fields.code_matrix(graph), fields.code_names(), "int64"),
        (fields.number_matrix(graph), fields.number_names(), "double"),
    ):
        if matrix is not None:
            split = graph.split_columns(matrix, len(names))
            for name, value in zip(names, split, strict=True):
                yield name, Source(value, type)
    for bag in fields.bags:
        yield bag.name, Source(bag.codes, "int64")
        if bag.weights is not None:
            yield "\0".join((bag.name, weights_name(""))), Source(bag.weights, "double")


def ordered(
    graph: Graph, matrix: str, names: list[str], wanted: Mapping[str, Any] | list[str]
) -> str:
    """Columns of a matrix in another order."""
    if names == list(wanted):
        return matrix
    places = graph.constant([names.index(name) for name in wanted], np.int64)
    return graph.op("Gather", matrix, places, axis=1)
