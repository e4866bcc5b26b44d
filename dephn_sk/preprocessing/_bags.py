"""Multi-valued fields: which codes each row's members have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._codes import Coded
from dephn_sk.preprocessing._columns import CodedBag, Column
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._fields import Bag
from dephn_sk.preprocessing._hashing import Hashing
from dephn_sk.preprocessing._kind import ColumnKind
from dephn_sk.preprocessing._lists import read_lists
from dephn_sk.preprocessing._settings import Settings
from dephn_sk.preprocessing._vocabulary import Vocabulary


class MultiValued(ColumnKind):
    """A column whose rows have any number of codes.

    Parameters
    ----------
    name : str
        The column's.
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
    parts = (Vocabulary, Hashing, Coded)
    has_codes = True
    one_value = False

    def __init__(
        self,
        name: str,
        coder: Any,
        mode: str,
        delimiter: str | None = None,
        has_lists: bool = True,
        weights: str | None = None,
    ):
        super().__init__(name)
        self.coder = coder
        self.mode = mode
        self.delimiter = delimiter
        self.has_lists = has_lists
        self.weights = weights

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        name, values = column.name, column.values
        weights = settings.bag_weights.get(name)
        if isinstance(values, CodedBag):
            coder: Any = Coded.of(column, settings)
            return cls(name, coder, values.mode, weights=weights)
        coder = Hashing.with_settings(name, settings)
        if settings.is_bag(column):
            coder = coder or Vocabulary.with_settings(name, settings)
            delimiter = settings.of("delimiters", name)
            if delimiter is not None or column.kind == "list":
                mode = settings.of("bag_mode", name, "mean")
                return cls(name, coder, mode, delimiter, weights=weights)
        elif column.kind == "code" or not settings.is_category(column):
            return None
        if settings.n_hashes(name) == 1:
            return None
        # the rows of a value's several hashes
        return cls(name, coder, "sum", has_lists=False, weights=weights)

    @property
    def learner(self) -> Any:
        return self.coder

    def holding(self, learner: Any) -> Self:
        return self.changed(coder=learner)

    @property
    def is_empty(self) -> bool:
        return self.coder.is_empty

    @property
    def table(self) -> str | None:  # type: ignore[override]
        return self.coder.table

    @property
    def cardinality(self) -> int:  # type: ignore[override]
        return self.coder.cardinality

    @property
    def rare_share(self) -> float:  # type: ignore[override]
        return self.coder.rare_share

    @property
    def missing_share(self) -> float:  # type: ignore[override]
        return self.coder.missing_share

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

    @property
    def grows(self) -> bool:
        return self.coder.grows

    def grow(self, counts: Any) -> Self:
        return self.holding(self.coder.grow(counts))

    def encode(self, *columns: Column) -> Iterator[tuple[str, CodedBag]]:
        """Each row's codes, and their weights from another column of lists."""
        column, *others = columns
        bag = self._bag(column)
        for weights in others:
            bag = self._weighted(bag, column.name, weights)
        yield self.name, CodedBag(bag, self.cardinality, self.table, self.mode)

    def _bag(self, column: Column) -> Bag:
        if not self.has_lists:
            codes = self.coder.codes(column)
            return Bag(codes.ravel(), np.arange(len(codes) + 1) * codes.shape[1])
        lists, rows = read_lists(column, self.delimiter)
        codes = self.coder.codes(Column(column.name, lists.members))
        codes, ends = codes.astype(np.int32, copy=False), lists.offsets
        if codes.ndim == 2:
            codes, ends = codes.ravel(), ends * codes.shape[1]
        coded = isinstance(column.values, CodedBag)
        bag = Bag(codes, ends, column.values.bag.weights if coded else None)
        return bag if rows is None else bag.take(rows)

    def _weighted(self, bag: Bag, name: str, weights: Column) -> Bag:
        lists, rows = read_lists(weights, self.delimiter)
        numbers = Column(weights.name, lists.members).numbers()
        given = Bag(numbers, lists.offsets)
        given = given if rows is None else given.take(rows)
        n_hashes = getattr(self.coder, "n_hashes", 1)
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

    def decode(self, name: str, fields: dict[str, Column]) -> Any:
        if isinstance(self.coder, Coded):
            return fields[name].values
        bag = fields[name].values.bag
        lists = np.split(self.coder.decode_codes(bag.members), bag.offsets[1:-1])
        return object_array(list(map(np.ndarray.tolist, lists)))
