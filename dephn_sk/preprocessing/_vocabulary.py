"""Which code a value has: learned counts, codes that never change once given."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from sys import getsizeof
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Codes, Column
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._kind import ColumnKind
from dephn_sk.preprocessing._settings import Settings
from dephn_sk.preprocessing._spelling import shown
from dephn_sk.preprocessing._value_counts import ValueCounts, positions_of


class Vocabulary(ColumnKind):
    """Values with a code of their own; all others have code 0.

    Parameters
    ----------
    name : str
        The column's, or that of the first one of those that share the vocabulary.
    min_frequency : int, float or None
        Smallest weight of the rows that hold a value (a share of all rows if a float)
        for the value to have a code.
    max_categories : int or None
        Largest number of codes, code 0 included; the most frequent values have them.
    missing : bool
        Whether missing is a value like others; otherwise it has code 0.
    max_bytes : int or None
        Memory for the values of one column beyond which they are refused.
    table : str or None
        A name that fields sharing one table have in common.
    """

    role = "category"
    parts = (ValueCounts,)
    has_codes = True
    grows = True
    cardinality = 1

    def __init__(
        self,
        name: str,
        min_frequency: float | None = None,
        max_categories: int | None = None,
        missing: bool = False,
        max_bytes: int | None = None,
        table: str | None = None,
    ):
        super().__init__(name)
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.missing = missing
        self.max_bytes = max_bytes
        self.table = table
        self.counts = ValueCounts.nothing(name)  # of rare values too
        self._codes = np.zeros(1, dtype=np.int64)  # as the counts, the last for missing

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        if not settings.is_category(column):
            return None
        return cls.with_settings(column.name, settings)

    @classmethod
    def with_settings(cls, name: str, settings: Settings) -> Self:
        """The vocabulary of a column that is known to be categorical."""
        head = settings.head(name)
        return cls(
            head,
            settings.of("min_frequency", head),
            settings.of("max_categories", head),
            settings.params["missing_category"],
            settings.params["max_vocabulary_bytes"],
            settings.shared.get(name),
        )

    def count(self, column: Column, weight: NDArray | None) -> ValueCounts:
        values, positions = positions_of(column)
        sums = np.bincount(positions, weight, len(values) + 1)
        return ValueCounts.of(column.name, values, sums[None])

    def finish(self, counts: ValueCounts) -> Self:
        return self.grow(counts)

    def grow(self, counts: ValueCounts) -> Self:
        """Give a code to each value that has earned one; old codes stay."""
        counts, places = self.counts.merged(counts)
        self._check_memory(counts)
        mass = counts.sums[0]
        codes = np.zeros(len(mass), dtype=np.int64)
        codes[places] = self._codes
        threshold = self.min_frequency or 0
        if not isinstance(threshold, Integral):
            threshold = threshold * mass.sum()
        earned = (codes == 0) & (mass > 0) & (mass >= threshold)
        earned[-1] &= self.missing
        new = np.flatnonzero(earned)
        if self.max_categories is not None:
            room = max(self.max_categories - self.cardinality, 0)
            # Stable: among equally frequent values the first in order is kept.
            new = new[np.argsort(-mass[new], kind="stable")[:room]]
            new.sort()
        codes[new] = self.cardinality + np.arange(len(new))
        cardinality = self.cardinality + len(new)
        return self.changed(counts=counts, _codes=codes, cardinality=cardinality)

    def _check_memory(self, counts: ValueCounts) -> None:
        if self.max_bytes is None:
            return
        # three arrays, and the text objects
        values, size = counts.values, 24 * len(counts)
        if values.dtype.kind == "O":
            size += sum(map(getsizeof, values.tolist()))
        if size > self.max_bytes:
            raise ValueError(
                f"Column {counts.name!r} has {len(values)} distinct values, such as "
                f"{shown(values[:1].tolist()[0])}, which take {size} bytes, more than "
                f"max_vocabulary_bytes={self.max_bytes}. Give the column n_buckets, or "
                "a larger limit."
            )

    def encode(self, *columns: Column) -> Iterator[tuple[str, Codes]]:
        (column,) = columns
        yield column.name, Codes(self.codes(column), self.cardinality, self.table)

    def codes(self, column: Column) -> NDArray:
        """The code of each row's value."""
        places, positions = self.counts.places(column)
        codes = np.append(self._codes, 0).astype(np.int32)
        return codes[places][positions]  # missing is at -1

    def decode_codes(self, codes: NDArray) -> NDArray:
        """The values of codes; None for code 0."""
        values = np.append(object_array([None]), self.values.astype(object))
        return values[codes]

    def decode(self, name: str, fields: dict[str, Column]) -> NDArray:
        return self.decode_codes(as_codes(fields[name]))

    @property
    def values(self) -> NDArray:
        """The values in the order of their codes, from code 1."""
        values = self.counts.values
        if self._codes[-1] > 0:
            values = np.append(values.astype(object), object_array([None]))
        codes = self._codes[: len(values)]
        coded = np.flatnonzero(codes)
        return values[coded[np.argsort(codes[coded])]]

    @property
    def is_empty(self) -> bool:
        return len(self.counts) == 0

    @property
    def missing_share(self) -> float:  # type: ignore[override]
        return _share(self.counts.sums[0, -1], self.counts.sums.sum())

    @property
    def rare_share(self) -> float:  # type: ignore[override]
        rare = self.counts.sums[0, :-1][self._codes[:-1] == 0].sum()
        return _share(rare, self.counts.sums.sum())


def as_codes(column: Column) -> NDArray:
    """A transformed categorical column as integers."""
    if isinstance(column.values, Codes):
        return column.values.codes.astype(np.int64)
    return np.nan_to_num(column.numbers()).astype(np.int64)


def _share(part: float, total: float) -> float:
    return float(part / total) if total else 0.0
