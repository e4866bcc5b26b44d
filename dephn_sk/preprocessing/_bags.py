"""Multi-valued fields: which codes each row's members have."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ._codes import CodeCounts, Coded, Coder
from ._columns import CodedBag, Column
from ._distinct import object_array
from ._fields import Bag
from ._hashing import Hashing
from ._kind import ColumnKind, Table
from ._lists import read_lists
from ._settings import Settings
from ._value_counts import ValueCounts
from ._vocabulary import Vocabulary

BAG_MODES = ("mean", "sum", "max")


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiValued(ColumnKind):
    """A column whose rows have any number of codes.

    Attributes
    ----------
    coder : Vocabulary, Hashing or Coded
        Gives the members' codes.
    mode : {"mean", "sum", "max"}
        How the rows of a bag's members are pooled.
    delimiter : str or None
        Where to split text.
    has_lists : bool
        Whether the rows hold lists; otherwise a value each, of several hashes.
    weights : str or None
        The column with the members' weights.
    """

    role = "bag"
    parts = (Vocabulary, Hashing, Coded, ValueCounts, CodeCounts)
    has_codes = True
    one_value = False

    coder: Coder
    mode: str
    delimiter: str | None = None
    has_lists: bool = True
    weights: str | None = None

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        name, values = column.name, column.values
        weights = settings.bag_weights.get(name)
        coded: Any = Coded.of(column, settings)
        if isinstance(values, CodedBag):
            return cls(name, coder=coded, mode=values.mode, weights=weights)
        coder: Any = Hashing.of(column, settings) or Vocabulary.of(column, settings)
        if settings.is_bag(column):
            return cls(
                name,
                coder=coder,
                mode=settings.of("bag_mode", name, "mean"),
                delimiter=settings.of("delimiters", name),
                weights=weights,
            )
        if coded or not settings.is_category(column) or settings.n_hashes(name) == 1:
            return None
        # the rows of a value's several hashes
        return cls(name, coder=coder, mode="sum", has_lists=False, weights=weights)

    def check(self) -> None:
        if self.mode not in BAG_MODES or self.delimiter == "":
            raise ValueError(f"Column {self.name!r} is pooled by {self.mode!r}.")

    @property
    def learner(self) -> Coder:
        return self.coder

    def holding(self, learner: Coder) -> Self:
        return replace(self, coder=learner)

    def read_columns(self, name: str) -> tuple[str, ...]:
        return (name,) if self.weights is None else (name, self.weights)

    def count(self, column: Column, weight: NDArray | None) -> Any:
        """The coder's counts of the members."""
        if not self.has_lists:
            return self.coder.count(column, weight)
        lists, rows = read_lists(column, self.delimiter)
        if rows is not None:
            weight = np.bincount(rows, weight, len(lists))
        if weight is not None:
            weight = np.repeat(weight, np.diff(lists.offsets))
        return self.coder.count(Column(column.name, lists.members), weight)

    def finish(self, counts: Any) -> Self:
        return self.holding(self.coder.finish(counts))

    def grow(self, counts: Any) -> Self:
        return self.holding(self.coder.grow(counts))

    def encode(self, *columns: Column) -> Iterator[tuple[str, CodedBag]]:
        """Each row's codes, and their weights from another column of lists."""
        column, *others = columns
        coder = self.coder
        bag = self._bag(column)
        for weights in others:
            bag = self._weighted(bag, column.name, weights)
        yield self.name, CodedBag(bag, coder.cardinality, coder.table, self.mode)

    def _bag(self, column: Column) -> Bag:
        members, ends, rows = column, np.arange(len(column) + 1), None
        if self.has_lists:
            lists, rows = read_lists(column, self.delimiter)
            members, ends = Column(column.name, lists.members), lists.offsets
        codes = self.coder.codes(members).astype(np.int32, copy=False).ravel()
        coded = isinstance(column.values, CodedBag)
        weights = column.values.bag.weights if coded else None
        bag = Bag(codes, ends * self.coder.n_hashes, weights)
        return bag if rows is None else bag.take(rows)

    def _weighted(self, bag: Bag, name: str, weights: Column) -> Bag:
        lists, rows = read_lists(weights, self.delimiter)
        numbers = Column(weights.name, lists.members).numbers()
        given = Bag(numbers, lists.offsets)
        given = given if rows is None else given.take(rows)
        n_hashes = self.coder.n_hashes
        lengths, members = np.diff(given.offsets), np.diff(bag.offsets) // n_hashes
        if np.any(lengths != members):
            row = int(np.argmax(lengths != members))
            raise ValueError(
                f"Column {name!r} has {members[row]} members in row {row}, but its "
                f"weights {weights.name!r} have {lengths[row]}."
            )
        if not np.isfinite(given.members).all():
            raise ValueError(
                f"Column {weights.name!r} holds weights that are not finite."
            )
        return Bag(bag.members, bag.offsets, np.repeat(given.members, n_hashes))

    def decode(self, name: str, fields: Table) -> Any:
        if isinstance(self.coder, Coded):
            return fields[name].values
        bag = fields[name].values.bag
        lists = np.split(self.coder.decode_codes(bag.members), bag.offsets[1:-1])
        return object_array(list(map(np.ndarray.tolist, lists)))
