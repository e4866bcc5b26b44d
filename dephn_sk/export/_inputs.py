"""The inputs of a graph: of raw columns, of a user and its items, of encoded fields."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._encoder import EncoderGraph
from ._fields import Fields, Input, Source
from ._graph import TYPES, Graph

MASK = "missing"
INPUTS = ("raw", "user+items", "encoded")


def check_inputs(inputs: str, shared: Collection[str]) -> None:
    """Raise for a choice of inputs that there is not."""
    if inputs not in INPUTS:
        raise ValueError(f"inputs must be one of {INPUTS}, got {inputs!r}.")
    if shared and inputs != "user+items":
        raise ValueError(
            f'shared={list(shared)!r} goes with inputs="user+items", but '
            f"inputs={inputs!r}."
        )
    if isinstance(shared, str):
        raise TypeError(f"shared must list columns, got {shared!r}. Give [{shared!r}].")


@dataclass(frozen=True)
class Group:
    """Columns that have their rows in common: those of the items, or of the user.

    Attributes
    ----------
    columns : set of str
        Of the raw table.
    inputs : list of Input
    rows : str or int
        The dimension of their rows.
    mask : str or None
        The input that says which rows of `masked` have no value.
    masked : list of str
        In the order of the mask's columns.
    """

    columns: set[str]
    inputs: list[Input]
    rows: str | int
    mask: str | None
    masked: list[str]


def groups_of(
    encoder: EncoderGraph, shared: Collection[str], inputs: str
) -> list[Group]:
    """The groups of a raw graph's inputs: all rows', then those of the one user."""
    makes = {one.name: one for one in encoder.columns if one.inputs}
    names = list(dict.fromkeys(one.name for one in encoder.columns))
    if inputs == "user+items":
        _check_shared(encoder, names, shared)
    taken = {one.name for column in makes.values() for one in column.inputs}
    groups = []
    for rows, columns in (
        ("n", [name for name in names if name not in shared]),
        (1, [name for name in names if name in shared]),
    ):
        given = [one for name in columns if name in makes for one in makes[name].inputs]
        masked = [one.name for one in given if one.masked]
        mask = MASK if rows == "n" else f"{MASK}.shared"
        while mask in taken:
            mask += "_"
        if columns:
            group = Group({*columns}, given, rows, mask if masked else None, masked)
            groups.append(group)
    return groups


def _check_shared(
    encoder: EncoderGraph, names: list[str], shared: Collection[str]
) -> None:
    """Refuse columns of the user that are none, all, or half of a bag."""
    for name in shared:
        if name not in names:
            raise ValueError(
                f"shared names the column {name!r}, which makes no field; columns are "
                f"{names}."
            )
    if not shared or len(set(shared)) == len(names):
        raise ValueError(
            f"shared={list(shared)!r} must name some of the columns, but not all: "
            f"{names}."
        )


def add_inputs(graph: Graph, group: Group) -> None:
    """Add the inputs of a group to a graph."""
    for one in group.inputs:
        graph.input(one.name, one.type, [group.rows, f"{one.name}.most"][: one.n_axes])
    if group.mask is not None:
        graph.input(group.mask, "bool", [group.rows, len(group.masked)])


def raw_fields(graph: Graph, encoders: Sequence[EncoderGraph], group: Group) -> Fields:
    """What the encoders make of the inputs of a group."""
    sources: dict[str, Source] = {}
    for one in group.inputs:
        masked = group.masked.index(one.name) if one.masked else None
        sources[one.name] = Source(one.name, one.type, masked)
    fields, refused = encoders[0].fields(graph, sources, group.mask, group.columns), []
    for before, encoder in pairwise(encoders):
        sources, names = encoder.behind(graph, before, fields)
        refused += fields.refused
        fields = encoder.fields(graph, sources, None, names)
    fields.refused += refused
    return fields


def feed_raw(
    encoder: EncoderGraph, groups: Sequence[Group], X: Any
) -> dict[str, NDArray]:
    """The inputs of the rows of a table."""
    values, masks = encoder.feed(X)
    fed: dict[str, NDArray] = {}
    for group in groups:
        for one in group.inputs:
            given = values[one.name].astype(TYPES[one.type], copy=False)
            fed[one.name] = given if group.rows == "n" else _only(given, one.name)
        if group.mask is not None:
            mask = np.column_stack([masks[name] for name in group.masked])
            fed[group.mask] = mask if group.rows == "n" else mask[:1]
    return fed


def _only(values: NDArray, name: str) -> NDArray:
    """The one row of a user, or an error where rows differ."""
    first = np.repeat(values[:1], len(values), axis=0)
    same = (first == values) | ((first != first) & (values != values))
    if not same.all():
        raise ValueError(
            f"Column {name!r} is shared, but its rows differ. Give the candidates of "
            "one user at a time, or do not share the column."
        )
    return values[:1]
