"""Columns of many values: which get target statistics, and which values rows.

Where there are `LEAST_ROWS` rows to tell, a column of more than `FEW_VALUES` values, in
fewer than `OWN_ROWS` rows each on average, is one of many. It gets statistics if the
rates of its values say something of rows that they do not know, by more than `SURE`
standard errors. Those of its values that are in fewer than `OWN_ROWS` rows, and in less
than `OWN_SHARE` of them, share a row of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..tasks import Labels
from ._columns import Column
from ._kind import ColumnKind, Table
from ._settings import Settings
from ._target_statistics import Spread, TargetStatistics, find_folds
from ._value_counts import ValueCounts
from ._vocabulary import Vocabulary

FEW_VALUES = 20
SURE = 3.0
OWN_ROWS = 200
OWN_SHARE = 0.02
LEAST_ROWS = 2000
_KEPT = 200  # bytes for each row, of counts that need not be made again


@dataclass(frozen=True)
class ManyValues:
    """A column of many values, and what was decided of it.

    Attributes
    ----------
    name : str
    n_values : int
        Number of distinct values, in rows that count.
    rows : float
        Mean number of rows of a value.
    evidence : float or None
        By how many standard errors the rate of their value lowers the log loss of rows
        of other folds, or the mean its squared error, for the task where that is most;
        None if it was not asked.
    statistics : bool
        Whether target statistics are added to it.
    min_frequency : int, float or None
        Rows that a value must be in to have a row of its own in the table, or their
        share of all; None if that was not decided here.
    """

    name: str
    n_values: int
    rows: float
    evidence: float | None = None
    statistics: bool = False
    min_frequency: float | None = None

    @classmethod
    def of(cls, column: Column, weight: NDArray | None, unit: float) -> Self | None:
        """A column of which nothing is decided; None if it is none of many values.

        `unit` is what a row weighs.
        """
        distinct = column.distinct
        cells = np.ascontiguousarray(distinct.positions) + np.intp(1)
        counts = np.bincount(cells, weight, len(distinct.values) + 1)[1:]
        return cls.counted(column.name, counts, unit)

    @classmethod
    def counted(cls, name: str, counts: NDArray, unit: float) -> Self | None:
        """The same of the weight of each value."""
        counts = counts[counts > 0]
        if len(counts) <= FEW_VALUES or counts.mean() >= OWN_ROWS * unit:
            return None
        return cls(name, len(counts), float(counts.mean() / unit))

    def __str__(self) -> str:
        said = []
        if self.evidence is not None:
            has = "statistics" if self.statistics else "no statistics"
            said.append(f"{has} (evidence {self.evidence:.1f})")
        if self.min_frequency is not None:
            whole = isinstance(self.min_frequency, int)
            least = f"{self.min_frequency}" if whole else f"{self.min_frequency:.1%} of"
            said.append(f"own vectors from {least} rows")
        column = f"{self.name}: {self.n_values:,} values, in {self.rows:,.1f} rows each"
        return f"{column}: {', '.join(said)}"


@dataclass(frozen=True, eq=False)
class Asked:
    """What the labels of a column's values say: counts by fold, and what is crossed."""

    learner: TargetStatistics
    counts: ValueCounts
    crossed: list[NDArray]
    folds: NDArray

    @classmethod
    def of(
        cls,
        learner: TargetStatistics,
        column: Column,
        weight: NDArray | None,
        rates: NDArray,
        folds: NDArray,
    ) -> Self:
        """Those of a column, with a rate for each label."""
        counts = learner.count(column, weight, rates, folds)
        return cls(learner, counts, learner.cross_fitted(counts), folds)

    @property
    def nbytes(self) -> int:
        """Memory of the numbers."""
        return self.counts.sums.nbytes + sum(one.nbytes for one in self.crossed)

    @property
    def whole(self) -> ValueCounts:
        """The counts of all folds together."""
        return self.learner.whole(self.counts)


class Decided(NamedTuple):
    """What was decided, and what was counted for that, by column.

    ``totals`` are counts of values alone; ``asked`` is of columns that get statistics,
    as far as there is room.
    """

    many: tuple[ManyValues, ...] = ()
    totals: Mapping[str, ValueCounts] = {}
    asked: Mapping[str, Asked] = {}


def decisions(
    kinds: Mapping[str, ColumnKind],
    columns: Table,
    weight: NDArray | None,
    labels: Labels | None,
    settings: Settings,
) -> Decided:
    """What becomes of the columns of many values that are left to the rules.

    With `labels`, these say which columns get statistics.
    """
    unit, n_rows = _rows(columns, weight)
    if n_rows < LEAST_ROWS:
        return Decided()
    many = []
    for name, least in left_open(kinds, settings, labels is not None, unit, n_rows):
        one = ManyValues.of(columns[name], weight, unit)
        if one is not None:
            many.append(replace(one, min_frequency=least))
    if many and labels is not None:
        return _asked(many, kinds, columns, weight, labels, settings)
    return Decided(tuple(many))


def left_open(
    kinds: Mapping[str, ColumnKind],
    settings: Settings,
    asked: bool,
    unit: float,
    n_rows: float,
) -> Iterator[tuple[str, float | None]]:
    """Columns of which something is left to the rules, and the limit of own rows.

    The labels may be `asked`, too. No limit is None.
    """
    least: float = min(OWN_ROWS, int(OWN_SHARE * n_rows))
    if unit < 1:  # a weight is no number of rows
        least /= n_rows
    for name, kind in kinds.items():
        own_table = isinstance(kind, Vocabulary) and kind.table is None
        limited = own_table and settings.is_auto("min_frequency", name)
        if kind.has_codes and kind.one_value and (limited or asked):
            yield name, least if limited else None


def _asked(
    many: list[ManyValues],
    kinds: Mapping[str, ColumnKind],
    columns: Table,
    weight: NDArray | None,
    labels: Labels,
    settings: Settings,
) -> Decided:
    """What the labels say of each column."""
    rates, folds = labels.rates(), find_folds(columns, weight, labels, settings)
    spread = Spread.of(rates[folds >= 0])
    found, totals, asked = list[ManyValues](), {}, {}
    room = _KEPT * len(folds)
    for one in many:
        if one.rows == 1:  # no fold knows a value of another, and counting takes long
            found.append(replace(one, evidence=0.0))
            continue
        learner = TargetStatistics.new(one.name, labels, settings)
        own = Asked.of(learner, columns[one.name], weight, rates, folds)
        evidence = float(learner.evidence(own.counts, spread, own.crossed).max())
        are_free = kinds.keys().isdisjoint(learner.fields)
        one = replace(one, evidence=evidence, statistics=are_free and evidence > SURE)
        if isinstance(kinds[one.name], Vocabulary):
            totals[one.name] = learner.total(own.counts)
        room -= own.nbytes * one.statistics
        if one.statistics and room >= 0:
            asked[one.name] = own
        found.append(one)
    return Decided(tuple(found), totals, asked)


def _rows(columns: Table, weight: NDArray | None) -> tuple[float, float]:
    """What a row weighs, and how many rows there are.

    An integer weight is as many equal rows; but weights may sum to 1 as well, and then
    say nothing of numbers of rows.
    """
    if weight is None:
        return 1.0, len(next(iter(columns.values())))
    counted = weight[weight > 0]
    unit = min(1.0, float(counted.mean()))
    return unit, float(counted.sum()) / unit
