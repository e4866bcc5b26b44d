"""Which code a value has: learned counts, codes that never change once given."""

from __future__ import annotations

from numbers import Integral
from sys import getsizeof

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._lookup import Lookup, concatenate, order
from dephn_sk.preprocessing._spelling import shown


class Vocabulary:
    """Values with a code of their own; all others have code 0.

    Parameters
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
    """

    def __init__(
        self, min_frequency=None, max_categories=None, missing=False, max_bytes=None
    ):
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.missing = missing
        self.max_bytes = max_bytes
        self.table: str | None = None
        self.cardinality = 1
        self.total = 0.0  # weight of all rows
        self._values = np.empty(0, dtype=object)  # sorted, rare ones too
        # One entry for each value, and a last one for missing.
        self._counts = np.zeros(1)
        self._codes = np.zeros(1, dtype=np.int64)
        self._forget_index()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_lookup"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._forget_index()

    def _forget_index(self):
        self._lookup: Lookup | None = None  # made when first needed, never pickled

    def count(self, column: Column, weight: NDArray | None) -> float:
        """Add a column's values to the counts; give the weight of present ones.

        `grow` then gives them codes.
        """
        distinct = column.distinct
        counts = np.bincount(
            # missing is the last
            np.where(distinct.positions < 0, len(distinct.values), distinct.positions),
            weight,
            minlength=len(distinct.values) + 1,
        )
        self._counts[-1] += counts[-1]
        self.total += counts.sum()
        seen = np.flatnonzero(counts[:-1])
        values = distinct.values[seen]
        self._check_memory(values, column.name)
        self._merge(values, counts[seen], column.name)
        return float(counts[:-1].sum())

    def _check_memory(self, values: NDArray, name: str) -> None:
        if self.max_bytes is None:
            return
        # three arrays, and the text objects
        size = 24 * len(values)
        if values.dtype.kind == "O":
            size += sum(map(getsizeof, values.tolist()))
        if size > self.max_bytes:
            raise ValueError(
                f"Column {name!r} has {len(values)} distinct values, such as "
                f"{shown(values[:1].tolist()[0])}, which take {size} bytes, more than "
                f"max_vocabulary_bytes={self.max_bytes}. Give the column n_buckets, or "
                "a larger limit."
            )

    def _merge(self, values: NDArray, counts: NDArray, name: str) -> None:
        """Merge counted values into the sorted ones."""
        if len(self._values) == 0:
            ranks = order(values, name)
            self._values = values[ranks]
            self._counts = np.append(counts[ranks].astype(float), self._counts[-1])
            self._codes = np.append(np.zeros(len(values), np.int64), self._codes[-1])
        else:
            where = self._find(values)
            known = where >= 0
            self._counts[where[known]] += counts[known]
            if not known.all():
                self._insert(values[~known], counts[~known], name)
        self._forget_index()

    def _insert(self, values: NDArray, counts: NDArray, name: str) -> None:
        merged = concatenate(self._values, values, name)
        ranks = order(merged, name)
        self._values = merged[ranks]
        last = np.append(ranks, len(merged))
        self._counts = np.concatenate([self._counts[:-1], counts, self._counts[-1:]])
        new = np.zeros(len(values), dtype=np.int64)
        self._codes = np.concatenate([self._codes[:-1], new, self._codes[-1:]])
        self._counts, self._codes = self._counts[last], self._codes[last]

    def grow(self) -> None:
        """Give a code to each value that has earned one; old codes stay."""
        threshold = self.min_frequency or 0
        if not isinstance(threshold, Integral):
            threshold = threshold * self.total
        earned = (self._codes == 0) & (self._counts > 0) & (self._counts >= threshold)
        earned[-1] &= self.missing
        new = np.flatnonzero(earned)
        if self.max_categories is not None:
            room = max(self.max_categories - self.cardinality, 0)
            # Stable: among equally frequent values the first in order is kept.
            new = new[np.argsort(-self._counts[new], kind="stable")[:room]]
            new.sort()
        self._codes[new] = self.cardinality + np.arange(len(new))
        self.cardinality += len(new)

    def encode(self, column: Column) -> NDArray:
        """The code of each row's value."""
        distinct = column.distinct
        where = self._find(distinct.values)
        table = np.zeros(len(distinct.values) + 1, dtype=np.int32)
        found = np.flatnonzero(where >= 0)
        if not len(found):
            self._sorted.check_kind(distinct.values, column.name)
        table[found] = self._codes[where[found]]
        table[-1] = self._codes[-1]
        return table[distinct.positions]  # missing is at -1

    def decode(self, codes: NDArray) -> NDArray:
        """The values of codes; None for code 0."""
        values = np.append(object_array([None]), self.values.astype(object))
        return values[codes]

    @property
    def values(self) -> NDArray:
        """The values in the order of their codes, from code 1."""
        values = self._values
        if self._codes[-1] > 0:
            values = np.append(values.astype(object), object_array([None]))
        codes = self._codes[: len(values)]
        coded = np.flatnonzero(codes)
        return values[coded[np.argsort(codes[coded])]]

    @property
    def missing_share(self) -> float:
        """Share of the rows that hold no value."""
        return float(self._counts[-1] / self.total) if self.total else 0.0

    @property
    def rare_share(self) -> float:
        """Share of the rows whose value has no code of its own."""
        rare = self._counts[:-1][self._codes[:-1] == 0].sum()
        return float(rare / self.total) if self.total else 0.0

    def _find(self, values: NDArray) -> NDArray:
        """Where each value is among the sorted ones, or -1."""
        return self._sorted.find(values)

    @property
    def _sorted(self) -> Lookup:
        if self._lookup is None:
            self._lookup = Lookup(self._values)
        return self._lookup
