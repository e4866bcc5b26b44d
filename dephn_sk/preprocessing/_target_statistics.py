"""What the labels of a value's rows were: smoothed rates and log counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..tasks import Labels
from ._chance import folds_of
from ._columns import Column
from ._distribution import Distribution
from ._kind import Table
from ._numbers import NumberCounts, NumericKind, Scale
from ._settings import Settings
from ._value_counts import NOTHING, Occurrences, ValueCounts

LEAST_RATE = 1e-9  # whose logarithm is taken


@dataclass(frozen=True, eq=False, kw_only=True)
class TargetStatistics(NumericKind):
    """Log count and smoothed rate of each task, by the value of one column.

    The rate is (sum of labels + smoothing × overall rate) / (their number + smoothing),
    all weighted and over observed labels only. A value never seen has the overall rate.

    Attributes
    ----------
    rate_names : tuple of str
        What the fields of the rates are called, after the column's name.
    smoothing : float
        The weight of the overall rate, in rows.
    counts : ValueCounts
        Sums by value: of row weights; then for each rate of weighted labels and of the
        weights of observed ones.
    """

    parts = (Scale, ValueCounts)
    grows = True

    rate_names: tuple[str, ...]
    smoothing: float
    counts: ValueCounts = NOTHING

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        """None: statistics are added to a column of another kind."""
        return None

    @classmethod
    def new(cls, name: str, labels: Labels, settings: Settings) -> Self:
        """Those of a column, before any row was counted."""
        return cls(
            name,
            rate_names=labels.rate_names,
            smoothing=settings.params["target_smoothing"],
            scaling=settings.of("scaling", name, "standard"),
        )

    def check(self) -> None:
        super().check()
        n_sums = 1 + 2 * len(self.rate_names)
        if len(self.counts.sums) != n_sums or not 0 <= self.smoothing < np.inf:
            raise ValueError(f"Column {self.name!r} has statistics of other rates.")

    def count(  # type: ignore[override]
        self,
        column: Column,
        weight: NDArray | None,
        rates: NDArray,
        folds: NDArray | None = None,
        n_folds: int | None = None,
    ) -> ValueCounts:
        """Sums by value, and by fold within each sum; rows of fold -1 do not count.

        `rates` of shape (n_rows, n_rates) are NaN where a label is missing.
        """
        by_row = self._by_row(weight, rates)
        return ValueCounts.of(column, by_row, folds, n_folds)

    def tallied(  # type: ignore[override]
        self,
        column: Column,
        weight: NDArray | None,
        rates: NDArray,
        folds: NDArray | None = None,
        n_folds: int | None = None,
    ) -> ValueCounts:
        return Occurrences.of(column, self._by_row(weight, rates), folds, n_folds)

    def _by_row(self, weight: NDArray | None, rates: NDArray) -> list[NDArray | None]:
        """What is summed up: of each row, and of each of its labels.

        Labels that all are there weigh what their rows do: the same array, or None.
        """
        by_row = [weight]
        for rate in rates.T:
            missing, weights = np.isnan(rate), weight
            if missing.any():
                rate, weights = np.where(missing, 0.0, rate), (~missing).astype(float)
                weights = weights if weight is None else weights * weight
            by_row += [rate if weights is None else rate * weights, weights]
        return by_row

    def finish(  # type: ignore[override]
        self, counts: ValueCounts, crossed: Sequence[NDArray] | None = None
    ) -> Self:
        """Learn from counts, which may be divided by folds.

        `crossed` is what `cross_fitted` gives of them, where that is known.

        The scales are those of all rows together. Bins have the edges of the fields
        that are trained on, which are the cross-fitted ones if there are folds.
        """
        by_fold = self._by_fold(counts)
        sums = by_fold.sum(axis=1)
        learned = replace(self, counts=replace(counts, sums=sums))
        of_all = learned._counts_of([one[:-1] for one in learned._all], sums[0])
        learned = super(TargetStatistics, learned).finish(of_all)
        trained, rows = [one[:-1] for one in learned._all], sums[0]
        if by_fold.shape[1] > 1:
            rows = by_fold[0].ravel()
            crossed = learned.cross_fitted(counts) if crossed is None else crossed
            trained = [one[:-1, :-1].ravel() for one in crossed]
            learned = replace(learned, seen=self._counts_of(trained, rows))
        return learned._reaching([one[rows > 0] for one in trained])

    def _reaching(self, fields: list[NDArray]) -> Self:
        """With scales whose limits hold these numbers, which are no outliers.

        A value of which the other folds know nothing has a count of 0, below that of
        every value seen.
        """
        scales = {}
        for (name, scale), field in zip(self.scales.items(), fields, strict=True):
            low = min(scale.low, field.min(initial=np.inf))
            high = max(scale.high, field.max(initial=-np.inf))
            scales[name] = replace(scale, low=float(low), high=float(high))
        return replace(self, scales=scales)

    def _counts_of(self, fields: list[NDArray], rows: NDArray) -> NumberCounts:
        """How each field is distributed, given its numbers and their weights."""
        named = zip(self.fields, fields, strict=True)
        return NumberCounts({name: Distribution.of(one, rows) for name, one in named})

    @property
    def fields(self) -> list[str]:
        """The names of the fields."""
        return [f"{self.name}_{part}" for part in ("count", *self.rate_names)]

    def grow(self, counts: ValueCounts) -> Self:
        """Add to the sums; the scales stay."""
        return replace(self, counts=self.counts + counts)

    @cached_property
    def _all(self) -> list[NDArray]:
        """Each field by value, then of missing, last of a value never seen."""
        rows, *sums = np.pad(self.counts.sums, ((0, 0), (0, 1)))
        return self._fields(rows, sums, [one.sum() for one in sums])

    def _fields(self, rows: NDArray, sums: Any, totals: Any) -> list[NDArray]:
        fields = [np.log1p(rows)]
        pairs = zip(sums[::2], sums[1::2], totals[::2], totals[1::2], strict=True)
        for labels, weights, total, total_weight in pairs:
            overall = total / np.where(total_weight > 0, total_weight, 1)
            below = weights + self.smoothing
            rate = (labels + self.smoothing * overall) / np.where(below > 0, below, 1)
            fields.append(np.where(below > 0, rate, overall))
        return fields

    def cross_fitted(self, counts: ValueCounts) -> list[NDArray]:
        """Each field by fold and value, from the rows of the other folds.

        Another fold, the last, is from all rows; another value, the last, was never
        seen.
        """
        inside = self._by_fold(counts)
        every = np.pad(inside.sum(axis=1), ((0, 0), (0, 1)))
        n_folds, n_rows = inside.shape[1], every[0].sum()
        found = np.empty((len(self.fields), n_folds + 1, every.shape[1]))
        # fold by fold, in memory that stays in the processor's cache
        for fold, fields in enumerate(found.swapaxes(0, 1)):
            rows, *sums = outside = every.copy()
            if fold < n_folds:
                for own, whole, out in zip(
                    inside[:, fold], every, outside, strict=True
                ):
                    out[:-1] -= own
                    out[np.abs(out) <= 1e-12 * np.abs(whole)] = 0  # rounding
            # as many rows as all folds together would have had
            rows *= n_rows / (rows.sum() or 1)
            fields[:] = self._fields(rows, sums, [one.sum() for one in sums])
        return list(found)

    def evidence(
        self,
        counts: ValueCounts,
        spread: Sequence[Spread],
        crossed: Sequence[NDArray] | None = None,
    ) -> NDArray:
        """What each rate says of rows that it does not know, in standard errors.

        Of each fold's rows, with the rates of the other folds: how much lower their log
        loss is by the rate of their value than by the overall rate; or their squared
        error, where labels are numbers beyond 0 and 1, as `spread` tells of each rate.
        `counts` are divided by folds; rows without a value have no part in it.
        `crossed` is what `cross_fitted` gives of them, where that is known.
        """
        found = []
        inside = self._by_fold(counts)[1:, :, :-1]
        crossed = self.cross_fitted(counts) if crossed is None else crossed
        pairs = zip(inside[::2], inside[1::2], crossed[1:], spread, strict=True)
        for labels, weights, rate, own in pairs:
            gains = _log_gain if own.are_shares else _squared_gain
            folds = zip(labels, weights, rate, strict=False)  # the last rate is of all
            each = [gains(*one, own.variance) for one in folds]
            gain, square = np.sum(each, axis=0)
            found.append(gain / np.sqrt(square) if square > 0 else 0.0)
        return np.array(found)

    def total(self, counts: ValueCounts) -> ValueCounts:
        """How much the rows of each value weigh, of counts by fold."""
        return replace(counts, sums=self._by_fold(counts)[0].sum(axis=0, keepdims=True))

    def whole(self, counts: ValueCounts) -> ValueCounts:
        """The sums of all folds together, of counts by fold."""
        return replace(counts, sums=self._by_fold(counts).sum(axis=1))

    def _by_fold(self, counts: ValueCounts) -> NDArray:
        n_sums = 1 + 2 * len(self.rate_names)
        return counts.sums.reshape(n_sums, -1, counts.sums.shape[1])

    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        """The fields of each row, from all rows learned from."""
        few = self.counts.few_places(column)
        places, positions = self.counts.places(column) if few is None else (few, ...)
        for name, field in zip(self.fields, self._all, strict=True):
            yield name, field[places][positions]

    def encode_cross_fitted(
        self,
        column: Column,
        counts: ValueCounts,
        folds: NDArray,
        crossed: Sequence[NDArray] | None = None,
    ) -> Iterator[tuple[str, NDArray]]:
        """The fields of rows, each from other folds only; of fold -1, from all.

        `crossed` is what `cross_fitted` gives, where that is known.
        """
        places, positions = counts.places(column)
        crossed = self.cross_fitted(counts) if crossed is None else crossed
        for name, field in zip(self.fields, crossed, strict=True):
            yield name, self.scales[name].apply(field[folds, places[positions]])


class Spread(NamedTuple):
    """Of the labels of a rate: whether all are between 0 and 1, and their variance."""

    are_shares: bool
    variance: float

    @classmethod
    def of(cls, rates: NDArray, rows: NDArray | None = None) -> list[Self]:
        """Those of each column of rates, each of which stands for so many rows."""
        found = []
        for own in rates.T:
            known = ~np.isnan(own)
            values, n = own[known], None if rows is None else rows[known]
            are_shares = bool(((values >= 0) & (values <= 1)).all())
            variance = 0.0
            if not are_shares:
                centred = values - np.average(values, weights=n)
                variance = float(np.average(centred**2, weights=n))
            found.append(cls(are_shares, variance))
        return found


def _log_gain(
    labels: NDArray, weights: NDArray, rate: NDArray, variance: float
) -> tuple[float, float]:
    """Of shares, what log loss gains by value, and the sum of its squares."""
    rate = np.clip(rate, LEAST_RATE, 1 - LEAST_RATE)
    by_value, overall = rate[:-2], rate[-1]
    ones = np.log(by_value / overall)
    zeros = np.log((1 - by_value) / (1 - overall))
    gain = np.sum(labels * ones + (weights - labels) * zeros)
    return gain, np.sum(labels * ones**2 + (weights - labels) * zeros**2)


def _squared_gain(
    labels: NDArray, weights: NDArray, rate: NDArray, variance: float
) -> tuple[float, float]:
    """Of numbers, what squared error gains, and the square that chance would give.

    A row gains 2 d (y - m) by a mean that is d from the overall one, m halfway.
    """
    by_value, overall = rate[:-2], rate[-1]
    apart, halfway = by_value - overall, (by_value + overall) / 2
    gain = np.sum(2 * apart * (labels - weights * halfway))
    square = np.sum(4 * apart**2 * weights * (variance + (overall - halfway) ** 2))
    return gain, square


def find_folds(
    columns: Table, weight: NDArray | None, labels: Labels, settings: Settings
) -> NDArray:
    """The fold of each row that counts, by time or by chance; -1 of the others."""
    params = settings.params
    n_rows, wanted = len(labels), params["target_folds"]
    counted = np.arange(n_rows) if weight is None else np.flatnonzero(weight > 0)
    folds = np.full(n_rows, -1)
    if settings.time is not None:
        folds[counted] = time_blocks(columns[settings.time], wanted, counted)
    else:
        y = labels.values[counted, 0] if len(labels.names) == 1 else None
        folds[counted] = draw_folds(wanted, len(counted), y, params["random_state"])
    return folds


def draw_folds(folds: Any, n_rows: int, y: Any, random_state: Any) -> NDArray:
    """The fold of each row: by a splitter, or by chance."""
    if not hasattr(folds, "split"):
        check_n_folds(folds, n_rows)
        return folds_of(fold_seed(random_state), np.arange(n_rows), folds)
    fold = np.full(n_rows, -1)
    for number, (_, inside) in enumerate(folds.split(np.empty(n_rows), y)):
        if np.any(fold[inside] >= 0):
            raise ValueError(f"target_folds={folds!r} puts a row in two folds.")
        fold[inside] = number
    if fold.min() < 0:
        raise ValueError(f"target_folds={folds!r} leaves rows out.")
    return fold


def check_n_folds(folds: int, n_rows: int) -> None:
    """Raise where there are fewer rows than folds."""
    if n_rows < folds:
        raise ValueError(
            f"target_folds={folds} needs as many rows, but X has {n_rows}."
        )


def fold_seed(random_state: Any) -> int:
    """The seed of folds; not of numpy's global generator, and nor does it move that."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**32))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return int(random_state)


def time_blocks(column: Column, n_blocks: Any, counted: NDArray) -> NDArray:
    """The block of each row that counts: about as many in each, equal times in one."""
    times = times_of(column, n_blocks)[counted]
    return TimeBlocks.of(Distribution.of(times), n_blocks, column.name)(times)


def times_of(column: Column, n_blocks: Any) -> NDArray[np.float64]:
    """The times of the rows as numbers that order them, NaN where missing."""
    if hasattr(n_blocks, "split"):
        raise ValueError(
            f"time_column={column.name!r} divides the rows by time, so that "
            f"target_folds must be a number, not {n_blocks!r}."
        )
    if column.kind == "date":
        instants = column.instants().values.astype("datetime64[us]")
        since = instants.astype(np.int64).astype(np.float64)
        return np.where(np.isnat(instants), np.nan, since)
    return column.durations() if column.kind == "duration" else column.numbers()


@dataclass(frozen=True, eq=False)
class TimeBlocks:
    """Blocks of time with about as many rows each; equal times are in one.

    Beyond 2**16 distinct times, those that a `Distribution` does not tell apart are in
    one block, too.

    Attributes
    ----------
    begins : ndarray of float64
        Where the times of each bucket begin.
    blocks : ndarray of int
        The block of each bucket.
    """

    begins: NDArray[np.float64]
    blocks: NDArray[np.intp]

    @classmethod
    def of(cls, times: Distribution, n_blocks: int, name: str) -> Self:
        """The blocks of rows that have these times."""
        if times.missing:
            raise ValueError(f"Column {name!r} orders the rows, but misses a time.")
        places = np.cumsum(times.mass) - times.mass
        shares = places * n_blocks // max(times.mass.sum(), 1)
        found, blocks = np.unique(shares, return_inverse=True)
        if len(found) < 2:
            raise ValueError(
                f"Column {name!r} holds too few times to divide the rows by. Leave "
                "time_column out."
            )
        return cls(times.values, blocks)

    def __call__(self, times: NDArray) -> NDArray[np.intp]:
        """The block of each time."""
        where = np.searchsorted(self.begins, times, side="right") - 1
        return self.blocks[np.maximum(where, 0)]
