"""Which code a value has: learned counts, codes that never change once given."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from sys import getsizeof
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ._codes import Coder
from ._columns import Codes, Column
from ._distinct import object_array
from ._kind import Table
from ._settings import Settings
from ._spelling import shown
from ._value_counts import NOTHING, Occurrences, ValueCounts


@dataclass(frozen=True, eq=False, kw_only=True)
class Vocabulary(Coder):
    """Values with a code of their own; all others have code 0.

    Columns that share a vocabulary have the name and the settings of the first one.

    Attributes
    ----------
    min_frequency : int, float or None
        Smallest weight of the rows that hold a value (a share of all rows if a float)
        for the value to have a code.
    max_categories : int or None
        Largest number of codes, code 0 included; the most frequent values have them.
    missing : bool
        Whether missing is a value like others; otherwise it has code 0.
    max_bytes : int or None
        Memory for the values of one column beyond which they are refused.
    counts : ValueCounts
        Of rare values too.
    codes_of : ndarray of shape (n_values + 1,)
        The code of each counted value, and last of missing.
    """

    parts = (ValueCounts,)

    min_frequency: float | None = None
    max_categories: int | None = None
    missing: bool = False
    max_bytes: int | None = None
    cardinality: int = 1
    counts: ValueCounts = NOTHING
    codes_of: NDArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        if not settings.is_category(column):
            return None
        head = settings.head(column.name)
        left_open = settings.is_auto("min_frequency", head)  # until it is decided
        return cls(
            head,
            min_frequency=None if left_open else settings.of("min_frequency", head),
            max_categories=settings.of("max_categories", head),
            missing=settings.of("missing_category", head),
            max_bytes=settings.of("max_vocabulary_bytes", head),
            table=settings.shared.get(column.name),
        )

    def check(self) -> None:
        codes, n_values = self.codes_of, len(self.counts)
        if codes.dtype != np.int64 or codes.shape != (n_values + 1,):
            raise ValueError(f"Column {self.name!r} has codes of other values.")
        given = np.sort(codes[codes != 0])
        n_given = len(given)
        if n_given != self.cardinality - 1 or np.any(given != np.arange(n_given) + 1):
            raise ValueError(
                f"The codes of column {self.name!r} are not those from 1 to "
                f"{self.cardinality - 1}."
            )

    def count(self, column: Column, weight: NDArray | None) -> ValueCounts:
        return ValueCounts.of(column, [weight])

    def tallied(self, column: Column, weight: NDArray | None) -> ValueCounts:
        return Occurrences.of(column, [weight])

    def grow(self, counts: ValueCounts) -> Self:
        """Give a code to each value that has earned one; old codes stay."""
        counts, places = self.counts.merged(counts)
        self._check_memory(counts)
        mass = counts.sums[0]
        codes = np.zeros(len(mass), dtype=np.int64)
        codes[places] = self.codes_of
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
        return replace(self, counts=counts, codes_of=codes, cardinality=cardinality)

    def _check_memory(self, counts: ValueCounts) -> None:
        if self.max_bytes is None:
            return
        # three arrays, and the text objects
        values, size = counts.values, 24 * len(counts)
        if values.dtype.kind == "O":
            size += sum(map(getsizeof, values.tolist()))
        if size > self.max_bytes:
            raise ValueError(
                f"Column {self.name!r} has {len(values)} distinct values, such as "
                f"{shown(values[:1].tolist()[0])}, which take {size} bytes, more than "
                f"max_vocabulary_bytes={self.max_bytes}. Give the column n_buckets, or "
                "a larger limit."
            )

    def codes(self, column: Column) -> NDArray:
        few = self.counts.few_places(column)
        if few is not None:
            return self._codes[few]
        places, positions = self.counts.places(column)
        by_value = self._codes[places]
        # contiguous first, which takes half the time; missing is at -1
        return by_value.take(np.ascontiguousarray(positions), mode="wrap")

    @cached_property
    def _codes(self) -> NDArray[np.int32]:
        """`codes_of`, and last code 0 of a value never seen."""
        return np.append(self.codes_of, 0).astype(np.int32)

    def decode_codes(self, codes: NDArray) -> NDArray:
        values = np.append(object_array([None]), self.values.astype(object))
        return values[codes]

    def decode(self, name: str, fields: Table) -> NDArray:
        return self.decode_codes(as_codes(fields[name]))

    @property
    def values(self) -> NDArray:
        """The values in the order of their codes, from code 1."""
        values = self.counts.values
        if self.codes_of[-1] > 0:
            values = np.append(values.astype(object), object_array([None]))
        codes = self.codes_of[: len(values)]
        coded = np.flatnonzero(codes)
        return values[coded[np.argsort(codes[coded])]]

    @property
    def is_empty(self) -> bool:
        return len(self.counts) == 0

    @property
    def missing_share(self) -> float:
        return _share(self.counts.sums[0, -1], self.counts.sums.sum())

    @property
    def rare_share(self) -> float:
        rare = self.counts.sums[0, :-1][self.codes_of[:-1] == 0].sum()
        return _share(rare, self.counts.sums.sum())


def as_codes(column: Column) -> NDArray:
    """A transformed categorical column as integers."""
    if isinstance(column.values, Codes):
        return column.values.codes.astype(np.int64)
    return np.nan_to_num(column.numbers()).astype(np.int64)


def _share(part: float, total: float) -> float:
    return float(part / total) if total else 0.0
