"""How often each value of a column occurs: counts that merge exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._columns import Column
from ._distinct import FEW, Distinct, distinct_values
from ._lookup import Lookup, concatenate, lookup_in, order


@dataclass(frozen=True, eq=False)
class ValueCounts:
    """Sums over the rows of each distinct value.

    Sums of integers are exact, and those of two tables are the sums over all rows.

    Attributes
    ----------
    name : str
        The column's, for messages.
    values : ndarray of shape (n_values,)
        Sorted; those of rows that count.
    sums : ndarray of shape (n_sums, n_values + 1)
        Of each value, and last of missing.
    """

    name: str
    values: NDArray
    sums: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        column: Column,
        by_row: Sequence[NDArray | None],
        folds: NDArray | None = None,
        n_folds: int | None = None,
    ) -> ValueCounts:
        """Sums of numbers by row, None of ones, and by fold within each sum.

        Rows of fold -1 do not count. Without `n_folds`, the last fold has a row.
        """
        distinct = column.distinct
        found, seen = _occurrences(column.name, distinct, by_row, folds, n_folds)
        ranks = order(found.values, column.name)
        counts = found.ranked(ranks)
        if len(ranks) > FEW:  # which are looked up in no time
            places = np.full(len(distinct.values), -1, dtype=np.intp)
            places[seen[ranks]] = np.arange(len(ranks))
            _find_alike(places, distinct.values, counts.lookup)
            column.keep_found(counts.lookup, places)
        return counts

    def check(self) -> None:
        """Raise where there is not a finite sum of every value, and of missing."""
        wanted = (*self.sums.shape[:1], len(self.values) + 1)
        if self.values.ndim != 1 or self.sums.ndim != 2 or self.sums.shape != wanted:
            raise ValueError(f"Counts of column {self.name!r} have another length.")
        if not (len(self.sums) and np.isfinite(self.sums).all()):
            raise ValueError(f"Counts of column {self.name!r} are not finite.")

    def in_order(self) -> ValueCounts:
        """The same counts, with sorted values."""
        return self

    def holding(self, values: NDArray) -> ValueCounts:
        """The same, with these very values where they are equal."""
        own = self.values
        alike = own.dtype == values.dtype and np.array_equal(own, values)
        return replace(self, values=values) if alike else self

    def __getstate__(self) -> dict[str, Any]:
        return {key: one for key, one in vars(self).items() if key != "lookup"}

    def __len__(self) -> int:
        return len(self.values)

    def __add__(self, other: ValueCounts) -> ValueCounts:
        return self.merged(other)[0]

    def merged(self, other: ValueCounts) -> tuple[ValueCounts, NDArray]:
        """The sum of two counts, and where the values of the first are in it."""
        if not len(self):
            sums = other.sums.copy()
            sums[:, -1] += self.sums[:, -1]
            return replace(other, sums=sums), np.array([len(other)])
        places = self.lookup.find(other.values)
        new = np.flatnonzero(places < 0)
        if not len(new):
            places = np.append(places, len(self))
            sums = self.sums + _summed(places, other.sums, self.sums.shape[1])
            merged = ValueCounts(self.name, self.values, sums)
            return merged, np.arange(len(self) + 1)
        values = concatenate(self.values, other.values[new], self.name)
        ranks = order(values, self.name)
        rank_of = np.empty(len(values) + 1, dtype=np.intp)
        rank_of[ranks], rank_of[-1] = np.arange(len(values)), len(values)
        places[new] = len(self) + np.arange(len(new))
        old, added = rank_of[np.append(np.arange(len(self)), -1)], rank_of[places]
        sums = _summed(old, self.sums, len(rank_of))
        sums += _summed(np.append(added, len(values)), other.sums, len(rank_of))
        return ValueCounts(self.name, values[ranks], sums), old

    @cached_property
    def lookup(self) -> Lookup:
        """Finds values; made when first needed, never pickled."""
        return lookup_in(self.values)

    def few_places(self, column: Column) -> NDArray | None:
        """Where the sums of each row's value are, of a few rows of which one is known.

        None otherwise; then `places` tells, at the price of distinct values.
        """
        few = column.few()
        if not isinstance(few, list):
            places = None if few is None else self.lookup.find(few)
            return None if places is None or places.max(initial=-1) < 0 else places
        found = self.lookup.find_texts(few)
        if found is None or max(found, default=-1) < 0:
            return None
        if None in few:
            pairs = zip(few, found, strict=True)
            found = [len(self) if one is None else i for one, i in pairs]
        return np.array(found)

    def places(self, column: Column) -> tuple[NDArray, NDArray]:
        """For each distinct value, and last for missing, where its sums are.

        A value that was never seen is at -1. Also each row's position among the
        distinct values, -1 where missing.
        """
        distinct = column.distinct
        found = column.found_by(self.lookup)
        if len(found) and found.max() < 0:
            self.lookup.check_kind(distinct.values, column.name)
        places = np.empty(len(found) + 1, dtype=np.intp)
        places[:-1], places[-1] = found, len(self)
        return places, distinct.positions


@dataclass(frozen=True, eq=False)
class Occurrences(ValueCounts):
    """Counts of which the values are in the order of their appearance.

    A tally knows most values of a chunk already, and need not sort them.
    """

    @classmethod
    def of(
        cls,
        column: Column,
        by_row: Sequence[NDArray | None],
        folds: NDArray | None = None,
        n_folds: int | None = None,
    ) -> Occurrences:
        """See :meth:`ValueCounts.of`."""
        return _occurrences(column.name, column.distinct, by_row, folds, n_folds)[0]

    def in_order(self) -> ValueCounts:
        return self.ranked(order(self.values, self.name))

    def ranked(self, ranks: NDArray) -> ValueCounts:
        """The same in the order of positions."""
        kept = np.append(ranks, len(ranks))
        return ValueCounts(self.name, self.values[ranks], self.sums[:, kept])


def _find_alike(places: NDArray, values: NDArray, lookup: Lookup) -> None:
    """Let values that do not count be where those are that spell the same.

    Texts and numbers that differ spell no others.
    """
    rest = np.flatnonzero(places < 0)
    if not len(rest) or values.dtype.kind != "O":
        return
    if not {str} >= set(map(type, values.tolist())):
        places[rest] = lookup.find(values[rest])


def _occurrences(
    name: str,
    distinct: Distinct,
    by_row: Sequence[NDArray | None],
    folds: NDArray | None,
    n_folds: int | None,
) -> tuple[Occurrences, NDArray]:
    """Counts of the values that count, and where these are among the distinct ones."""
    values, n = distinct.values, len(distinct.values)
    # contiguous first, which takes a third of the time
    cells = np.ascontiguousarray(distinct.positions).astype(np.intp)
    cells[cells < 0] = n  # missing is last
    n_blocks = 1
    if folds is not None:
        counted, n_blocks = folds >= 0, n_folds or int(folds.max()) + 1
        cells += (n + 1) * folds
        if not counted.all():
            cells = cells[counted]
            kept = {id(one): None if one is None else one[counted] for one in by_row}
            by_row = [kept[id(one)] for one in by_row]
    sums = np.empty((len(by_row), n_blocks * (n + 1)))
    for i, one in enumerate(by_row):
        if i and one is by_row[0]:
            sums[i] = sums[0]
        else:
            sums[i] = np.bincount(cells, one, sums.shape[1])
    sums = sums.reshape(-1, n + 1)
    seen = np.flatnonzero(sums[:, :-1].any(axis=0))
    if len(seen) < n:
        values = values[seen]
        if values.dtype.kind in "Ouf" and len(values):
            # of the dtype that they would have without the others
            again = distinct_values(values, name)
            values = again.values[again.positions]
        sums = sums[:, np.append(seen, n)]
    return Occurrences(name, values, sums), seen


def _summed(places: NDArray, sums: NDArray, length: int) -> NDArray:
    return np.array([np.bincount(places, one, length) for one in sums])


NOTHING = ValueCounts("", np.empty(0, dtype=object), np.zeros((1, 1)))
