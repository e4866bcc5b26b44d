"""Multi-valued columns in a graph: lists as rectangles, and text that is split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocessing._bags import MultiValued
from ..preprocessing._codes import Coded
from ..preprocessing._columns import CodedBag, Column
from ..preprocessing._distinct import object_array
from ..preprocessing._hashing import Hashing
from ..preprocessing._lists import read_lists
from ..preprocessing._vocabulary import Vocabulary
from ._columns import (
    ColumnGraph,
    Columns,
    Given,
    SingleValue,
    Sources,
    code_keys,
    known_codes,
)
from ._fields import Bag, Fields, Input, Request, any_of
from ._graph import Graph
from ._hashes import as_integers, buckets, check_hashes_integers
from ._keys import Keys, type_of, typed

NOTHING = -1  # the code of no member
SPLIT_OPSET = 20  # of StringSplit


def bag_graph(name: str, kind: MultiValued) -> ColumnGraph:
    """The way in which a multi-valued column comes into a graph."""
    coder: Any = kind.coder
    if isinstance(coder, Hashing):
        check_hashes_integers(coder, name)
    if not kind.has_lists:
        return HashesColumn(name, kind)
    if kind.delimiter is not None and kind.weights is None:
        return SplitColumn(name, kind)
    return ListsColumn(name, kind)


class HashesColumn(SingleValue):
    """A value in each row, and several hashes of it."""

    kind: MultiValued
    type = "int64"

    def __init__(self, name: str, kind: Any) -> None:
        super().__init__(name, kind)
        self.coder: Hashing = kind.coder

    def feed(self, columns: Columns) -> Given:
        return {self.name: as_integers(columns[self.name])}

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        source = sources[self.name]
        integers = source.of_type(graph, "int64", self.name)
        codes = graph.columns(buckets(graph, integers, self.coder))
        if source.mask is not None and fields.mask is not None:
            column = graph.constant([source.mask], np.int64)
            missing = graph.op("Gather", fields.mask, column, axis=1)
            codes = graph.op("Where", missing, graph.constant(0), codes)
        fields.bags.append(Bag(self.name, codes, None))


class SplitColumn(SingleValue):
    """Delimited text. Blanks around members of one word are taken off."""

    kind: MultiValued
    type = "string"
    masked = False

    def __init__(self, name: str, kind: Any) -> None:
        super().__init__(name, kind)
        self.coder: Vocabulary = kind.coder
        if type_of(self.coder.counts.values, name) != "string":
            raise ValueError(f"Column {name!r} is split into members that are no text.")

    @property
    def inputs(self) -> list[Input]:
        says = f"members, delimited by {self.kind.delimiter!r}"
        return [Input(self.name, self.type, says=says, missing="")]

    def feed(self, columns: Columns) -> Given:
        column, delimiter = columns[self.name], self.kind.delimiter or ""
        lists, rows = read_lists(column, delimiter)
        members = Column(self.name, lists.members)
        texts, _ = typed(members, self.coder.counts, "string")
        ends = lists.offsets.tolist()
        joined = [delimiter.join(texts[a:b].tolist()) for a, b in pairwise(ends)]
        return {self.name: (object_array(joined)[rows], None)}

    def requests(self, graph: Graph, sources: Sources) -> list[Request]:
        if graph.opset < SPLIT_OPSET:
            raise ValueError(
                f"Column {self.name!r} is delimited text, which a graph splits from "
                f"opset {SPLIT_OPSET} on, but opset={graph.opset}. Give a higher one, "
                "or lists."
            )
        text = sources[self.name].of_type(graph, "string", self.name)
        parts, self._counts = graph.ops(
            2, "StringSplit", text, delimiter=self.kind.delimiter
        )
        words, self._words = graph.ops(2, "StringSplit", parts)
        keys = code_keys(self.coder)
        several = np.array([len(one.split()) > 1 for one in keys.values.tolist()], bool)
        self._parts = parts
        of_one = Keys(keys.name, keys.values[~several], keys.numbers[~several])
        of_several = Keys(keys.name, keys.values[several], keys.numbers[several])
        requests = [Request(self.coder, of_one, words, "string")]
        if several.any():
            requests.append(Request(of_several, of_several, parts, "string"))
        return requests

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        words, *several = found
        axis = graph.constant([2], np.int64)
        codes = graph.op("ReduceSum", words, axis, keepdims=0)  # of the only word
        one = graph.op("Equal", self._words, graph.constant(1))
        other = several[0] if several else graph.constant(0)
        codes = graph.op("Where", one, codes, other)
        word = graph.op("Greater", self._words, graph.constant(0))
        there = graph.op("And", word, before_end(graph, self._parts, self._counts))
        codes = graph.op("Where", there, codes, graph.constant(NOTHING))
        fields.bags.append(Bag(self.name, codes, None))


class ListsColumn(ColumnGraph):
    """Lists, padded to a rectangle of any width, and how long each of them is."""

    kind: MultiValued

    def __init__(self, name: str, kind: MultiValued) -> None:
        super().__init__(name, kind)
        self.members: Members = MEMBERS[type(kind.coder)](name, kind.coder)
        self.length = f"{name}.length"

    @property
    def inputs(self) -> list[Input]:
        members = self.members
        inputs = [
            Input(self.name, members.type, 2, False, members.says, members.missing),
            Input(self.length, "int64", says="number of members in each row"),
        ]
        if self.kind.weights is not None:
            says = f"weights of the members of {self.name}"
            inputs.append(Input(self.kind.weights, "double", 2, says=says))
        return inputs

    def feed(self, columns: Columns) -> Given:
        lists, rows = read_lists(columns[self.name], self.kind.delimiter)
        self._check_no_weights(columns[self.name].values)
        members = Column(self.name, lists.members)
        values, lengths = self.members.feed(members), np.diff(lists.offsets)
        padded = rectangle(values, lists.offsets)
        if rows is not None:
            padded, lengths = padded[rows], lengths[rows]
        given: Given = {self.name: (padded, None), self.length: (lengths, None)}
        if self.kind.weights is not None:
            # also checks that there are as many, and that they are finite
            read = [columns[name] for name in self.kind.read_columns(self.name)]
            ((_, coded),) = self.kind.encode(*read)
            bag, n_hashes = coded.bag, self.kind.coder.n_hashes
            weights = np.asarray(bag.weights)[::n_hashes]
            given[self.kind.weights] = rectangle(weights, bag.offsets // n_hashes), None
        return given

    def _check_no_weights(self, values: Any) -> None:
        if isinstance(values, CodedBag) and values.bag.weights is not None:
            raise ValueError(
                f"Column {self.name!r} holds codes with weights, for which the graph "
                "has no input. Export the Pipeline with the FieldEncoder that made "
                "them."
            )

    def requests(self, graph: Graph, sources: Sources) -> Sequence[Request]:
        return self.members.requests(sources[self.name].value)

    def put(
        self, graph: Graph, sources: Sources, found: Sequence[str], fields: Fields
    ) -> None:
        members = sources[self.name].value
        if self.length in sources:
            there = before_end(graph, members, sources[self.length].value)
        else:  # another encoder has made a rectangle of codes
            there = graph.op("GreaterOrEqual", members, graph.constant(0))
        codes = self.members.codes(graph, members, found)
        weights = self._weights(graph, sources, there, fields)
        codes = [
            graph.op("Where", there, one, graph.constant(NOTHING)) for one in codes
        ]
        if len(codes) > 1:  # hashes
            codes = [graph.op("Concat", *codes, axis=1)]
            if weights is not None:
                weights = graph.op(
                    "Concat", *[weights] * self.kind.coder.n_hashes, axis=1
                )
        fields.bags.append(Bag(self.name, codes[0], weights))

    def _weights(
        self, graph: Graph, sources: Sources, there: str, fields: Fields
    ) -> str | None:
        """The members' weights, which must be finite."""
        given = sources.get(self.kind.weights or weights_name(self.name))
        if given is None:
            return None
        weights = given.value
        nan, infinite = graph.op("IsNaN", weights), graph.op("IsInf", weights)
        wrong = graph.op("And", graph.op("Or", nan, infinite), there)
        fields.refused.append(any_of(graph, wrong))
        return weights


def weights_name(bag: str) -> str:
    """What the weights of a bag of codes are called in a graph."""
    return f"{bag}.weights"


def before_end(graph: Graph, members: str, length: str) -> str:
    """Which places of a rectangle hold a member, (n, most)."""
    axis = graph.constant([1], np.int64)
    most = graph.op(
        "Squeeze", graph.op("Shape", members, start=1), graph.constant([0], np.int64)
    )
    places = graph.op("Range", graph.constant(0), most, graph.constant(1))
    return graph.op("Less", places, graph.op("Unsqueeze", length, axis))


def rectangle(values: NDArray, offsets: NDArray, fill: Any = None) -> NDArray:
    """Lists one below the other, filled up; by default with zeros or empty text."""
    lengths = np.diff(offsets)
    shape = len(lengths), int(lengths.max(initial=0))
    if fill is None:
        fill = "" if values.dtype.kind == "O" else 0
    padded = np.full(shape, fill, dtype=values.dtype)
    padded[np.arange(shape[1]) < lengths[:, None]] = values
    return padded


class Members(ABC):
    """What the members of lists are, and their codes."""

    type: str
    says = "members"
    missing: Any = None

    def __init__(self, name: str, coder: Any) -> None:
        self.name, self.coder = name, coder

    @abstractmethod
    def feed(self, members: Column) -> NDArray:
        """The members as values of their type."""

    def requests(self, members: str) -> Sequence[Request]:
        """What is to be looked up."""
        return ()

    @abstractmethod
    def codes(self, graph: Graph, members: str, found: Sequence[str]) -> list[str]:
        """A code of each member, for each hash."""


class VocabularyMembers(Members):
    """Members with a code of their own."""

    coder: Vocabulary

    def __init__(self, name: str, coder: Vocabulary) -> None:
        super().__init__(name, coder)
        self.type = type_of(coder.counts.values, name)
        self.missing = missing_member(coder.counts.values, self.type, name)

    def feed(self, members: Column) -> NDArray:
        values, missing = typed(members, self.coder.counts, self.type)
        if self.type == "double":
            return values
        taken = values[~missing] == self.missing
        if taken.any() and self.coder.codes_of[-1]:
            raise ValueError(
                f"Column {self.name!r} holds the member {self.missing!r}, which stands "
                "for a missing one in the graph. Take it out."
            )
        values[missing] = self.missing
        return values

    def requests(self, members: str) -> list[Request]:
        keys, code = code_keys(self.coder), int(self.coder.codes_of[-1])
        if code and self.type != "double":
            values = np.append(keys.values, np.array([self.missing], keys.values.dtype))
            keys = Keys(keys.name, values, np.append(keys.numbers, code))
        return [Request(self.coder, keys, members, self.type)]

    def codes(self, graph: Graph, members: str, found: Sequence[str]) -> list[str]:
        (codes,), missing = found, int(self.coder.codes_of[-1])
        if missing and self.type == "double":
            absent = graph.op("IsNaN", members)
            codes = graph.op("Where", absent, graph.constant(missing), codes)
        return [codes]


def missing_member(values: NDArray, type: str, name: str) -> Any:
    """A value that stands for a missing member, being none of those that are known."""
    if type == "double":
        return float("nan")
    candidates: Any = {
        "string": ("", "\uffff"),
        "int64": range(-(2**63), 0),
        "uint64": range(2**64 - 1, 2**63, -1),
        "bool": (),
    }[type]
    taken = set(values.tolist())
    for candidate in candidates:
        if candidate not in taken:
            return candidate
    raise ValueError(
        f"Column {name!r} holds lists of {type}, none of which is left to stand for a "
        "missing member. Convert the members to text before fit."
    )


class HashedMembers(Members):
    """Integers by their hash."""

    coder: Hashing
    type = "int64"

    def feed(self, members: Column) -> NDArray:
        integers, missing = as_integers(members)
        if missing.any():
            raise ValueError(
                f"Column {self.name!r} holds a missing member, which a graph that "
                "hashes integers cannot tell. Take it out of its list."
            )
        return integers

    def codes(self, graph: Graph, members: str, found: Sequence[str]) -> list[str]:
        return buckets(graph, members, self.coder)


class CodedMembers(Members):
    """Codes of another encoder."""

    coder: Coded
    type = "int64"
    says = "members, as codes"
    missing = 0

    def feed(self, members: Column) -> NDArray:
        return self.coder.codes(members).astype(np.int64)

    def codes(self, graph: Graph, members: str, found: Sequence[str]) -> list[str]:
        return [known_codes(graph, members, self.coder.cardinality)]


# the coders of members
MEMBERS: dict[type, Callable[[str, Any], Members]] = {
    Vocabulary: VocabularyMembers,
    Hashing: HashedMembers,
    Coded: CodedMembers,
}
