"""What FieldEncoder learns of a log: counts of its pieces, which add up exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from .._progress import Progress
from ..logs import Log, LogError, Piece, shares_of
from ..tasks import Columns, Labels, Tasks
from ._encoding import Statistics, TableEncoding, read_labels
from ._frames import read_columns
from ._high_cardinality import SURE, ManyValues, left_open
from ._kind import Table
from ._log_rows import LogRows, RowChunk
from ._settings import Settings
from ._tally import Tally
from ._target_statistics import (
    Spread,
    TargetStatistics,
    TimeBlocks,
    check_n_folds,
    fold_seed,
    times_of,
)
from ._vocabulary import Vocabulary

_COUNTS = 0.75  # of the memory, for counts
_COPIES = 3  # of the counts of labels of a column, while rates are made of them


@dataclass(frozen=True, eq=False)
class RawLabels:
    """Reads labels for an encoder's statistics as they were given.

    Attributes
    ----------
    stored : Tasks or None
        What the encoder keeps of them.
    """

    stored: Tasks | None

    def __call__(self, columns: Columns) -> Labels:
        return read_labels(columns, self.stored)[0]


# reads the labels of some rows as statistics are made of them; `stored` is kept
Reader = Any
# of a column: each field of its statistics by fold and value
Crossed = dict[str, list[NDArray]]


@dataclass(frozen=True, eq=False)
class FoldRule:
    """The fold of each row that trains: by its place, or by its time."""

    seed: int
    n_folds: int
    time: str | None = None
    blocks: TimeBlocks | None = None

    @classmethod
    def of(cls, rows: LogRows, settings: Settings) -> FoldRule:
        """That of an encoder's parameters."""
        wanted = settings.params["target_folds"]
        if hasattr(wanted, "split"):
            raise ValueError(
                f"target_folds={wanted!r} divides rows in memory; of a log, whose rows "
                "are not, give a number, or a time_column."
            )
        if settings.time is not None:
            assert rows.times is not None
            blocks = TimeBlocks.of(rows.times, wanted, settings.time)
            return cls(0, int(blocks.blocks.max()) + 1, settings.time, blocks)
        check_n_folds(wanted, rows.n_train)
        return cls(fold_seed(settings.params["random_state"]), wanted)

    def __call__(self, chunk: RowChunk, columns: Table) -> NDArray:
        """Those of the rows of a chunk; -1 where they are set aside."""
        from ._chance import folds_of

        if self.blocks is None or self.time is None:
            folds = folds_of(self.seed, np.maximum(chunk.places, 0), self.n_folds)
        else:
            folds = self.blocks(times_of(columns[self.time], self.n_folds))
        return np.where(chunk.aside, -1, folds)


class Counts(NamedTuple):
    """What was counted in some pieces.

    ``columns`` and ``statistics`` are tallies by column; ``weight`` and ``n`` those of
    the rows that count.
    """

    columns: dict[str, Tally]
    statistics: dict[str, Tally]
    weight: float = 0.0
    n: int = 0

    def merged(self, other: Counts) -> Counts:
        """Those of both, in the tallies of the first."""
        for mine, theirs in zip(self[:2], other[:2], strict=True):
            for name, tally in theirs.items():
                if tally.counts is not None:
                    mine.setdefault(name, Tally()).add(tally.counts)
        sums = self.weight + other.weight, self.n + other.n
        return Counts(self.columns, self.statistics, *sums)


@dataclass(frozen=True, eq=False)
class Counting:
    """How the pieces of a log are counted; it can be sent to another process.

    Attributes
    ----------
    rows : LogRows
    encoding : TableEncoding
        Whose kinds count.
    names : list of str
        Columns that are counted.
    learners : dict of str to TargetStatistics
        Of columns whose labels are counted.
    reader : callable or None
    folds : FoldRule or None
    """

    rows: LogRows
    encoding: TableEncoding
    names: list[str]
    learners: dict[str, TargetStatistics] = field(default_factory=dict)
    reader: Reader = None
    folds: FoldRule | None = None

    def share(
        self, pieces: Sequence[Piece] | None = None, told: Progress | None = None
    ) -> Counts:
        """Count some pieces, or all."""
        counts = Counts({}, {})
        for chunk in self.rows.read(self.rows.names, pieces):
            if len(chunk):
                counts = self._add(counts, chunk)
                self._check_memory(counts)
            if told is not None:
                told.add(len(chunk.chunk.table))
        return counts

    def all_shares(self, shown: bool = False) -> Counts:
        """Count all pieces: each process of a crew its own, and all add them up."""
        counts = Counts({}, {})
        for found in self.rows.log.crew.all(self._own_share(shown)):
            counts = counts.merged(found)
        self._check_memory(counts)
        return counts

    def _own_share(self, shown: bool) -> Counts:
        """Count this process's pieces, in as many others as the log asks for."""
        log, counts = self.rows.log, Counts({}, {})
        own = log.own_pieces
        shares = [one for one in shares_of(own, log.n_jobs) if one]
        with Progress("count", sum(piece.n_rows or 0 for piece in own), shown) as told:
            if len(shares) <= 1:
                return self.share(own, told)
            jobs = (joblib.delayed(self.share)(share) for share in shares)
            parallel = joblib.Parallel(log.n_jobs, return_as="generator")
            for share, found in zip(shares, parallel(jobs), strict=True):
                counts = counts.merged(found)
                told.add(sum(piece.n_rows or 0 for piece in share))
        return counts

    def _add(self, counts: Counts, chunk: RowChunk) -> Counts:
        names, weight = list(self.rows.names), chunk.counted
        columns = table_of(chunk.table, names)

        def call() -> list[tuple[dict[str, Tally], str, Any]]:
            found = [
                (counts.columns, name, self._kind(name).tallied(columns[name], weight))
                for name in self.names
            ]
            return found + self._statistics(counts.statistics, chunk, columns, weight)

        for tallies, name, own in self.rows.log.located(chunk.chunk, call, self._check):
            tallies.setdefault(name, Tally()).add(own)
        n = int((~chunk.aside).sum())
        total = float(n if weight is None else weight.sum())
        return counts._replace(weight=counts.weight + total, n=counts.n + n)

    def _statistics(
        self, tallies: Any, chunk: RowChunk, columns: Table, weight: NDArray | None
    ) -> list[Any]:
        if not self.learners:
            return []
        rates = self.reader(chunk.labels).rates()
        folds, n = None, None
        if self.folds is not None:
            folds, n = self.folds(chunk, columns), self.folds.n_folds
        return [
            (tallies, name, one.tallied(columns[name], weight, rates, folds, n))
            for name, one in self.learners.items()
        ]

    def _kind(self, name: str) -> Any:
        return self.encoding.kinds[name]

    def _check(self, table: Any) -> None:
        """Raise where a row cannot be counted."""
        columns = table_of(table, list(self.rows.names))
        for name in self.names:
            self._kind(name).count(columns[name], None)

    def _check_memory(self, counts: Counts) -> None:
        """Raise where the values of columns take more than their part of the memory."""
        limit = _COUNTS * self.rows.log.memory
        sizes = {name: tally.nbytes for name, tally in counts.columns.items()}
        largest = 0
        for name, tally in counts.statistics.items():
            sizes[name] = sizes.get(name, 0) + tally.nbytes
            largest = max(largest, tally.nbytes)
        if sum(sizes.values()) + _COPIES * largest <= limit:
            return
        name = max(sizes, key=lambda one: sizes[one])
        n = max(t[name].n_values for t in counts[:2] if name in t)
        raise LogError(
            f"Column {name!r} has {n:,} distinct values so far, whose counts take "
            f"{sizes[name]:,} bytes: with the other columns, too much for "
            f"memory={self.rows.log.memory}. Give the column n_buckets, without target "
            "statistics; or leave it out, or raise memory. (min_frequency makes tables "
            "smaller, but all values are counted first.)"
        )


def table_of(table: Any, names: list[str]) -> Table:
    """The columns of a chunk, by name."""
    columns = read_columns(table.select(names), names)
    return {column.name: column for column in columns}


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Statistics of rows that train, each from other folds; of others from all rows."""

    learners: dict[str, TargetStatistics]
    counts: dict[str, Any]
    folds: FoldRule
    crossed: Crossed

    def encode(self, chunk: RowChunk, columns: Table) -> Statistics:
        """The statistics of a chunk's rows."""
        folds, found = self.folds(chunk, columns), Statistics()
        for name, one in self.learners.items():
            known = self.counts[name], folds, self.crossed[name]
            found += one.encode_cross_fitted(columns[name], *known)
        return found


def learned_of_log(
    encoding: TableEncoding,
    rows: LogRows,
    reader: Reader,
    *,
    grow: bool,
    cross_fit: bool,
    shown: bool,
) -> tuple[TableEncoding, CrossFit | None]:
    """The encoding that knows these rows; see :meth:`TableEncoding.learned`."""
    settings = encoding.settings
    asked = not grow and settings.is_auto("target_statistics")
    names = settings.statistics
    if asked:
        names = [name for name, _ in left_open(encoding.kinds, settings, True, 1, 0)]
    learners, folds = dict[str, TargetStatistics](), None
    if names:
        labels = reader(rows.all_labels)
        for name in names:
            old = encoding.statistics.get(name)
            learners[name] = old or TargetStatistics.new(name, labels, settings)
        if not grow and (asked or cross_fit):
            folds = FoldRule.of(rows, settings)
    # how often a value occurs is told by the counts of its labels, where there are any
    known = [k for k in learners if isinstance(encoding.kinds[k], Vocabulary)]
    counted = [k for k in encoding.counted_names(grow) if k not in known]
    counting = Counting(rows, encoding, counted, learners, reader, folds)
    counts = counting.all_shares(shown)
    new, crossed = encoding, Crossed()
    if not grow:
        new = _decided(encoding, counts, learners, rows, reader, asked, crossed)
    totals = {name: tally.counts for name, tally in counts.columns.items()}
    for name in known:
        totals[name] = learners[name].total(counts.statistics[name].counts)
    in_order = ((k, totals[k]) for k in encoding.counted_names(grow))
    new = new.with_counts(in_order, grow)
    if not grow:
        new.warn_of_empty()
    known_by = learners, folds if cross_fit and not grow else None, crossed
    new, of_rows = _with_statistics(new, counts, *known_by, grow)
    if names:
        new = replace(new, tasks=reader.stored if new.settings.statistics else None)
    new.check_names()
    return new, of_rows


def _with_statistics(
    encoding: TableEncoding,
    counts: Counts,
    learners: dict[str, TargetStatistics],
    folds: FoldRule | None,
    crossed: Crossed,
    grow: bool,
) -> tuple[TableEncoding, CrossFit | None]:
    """Learned statistics, and those of rows by fold where there are `folds`."""
    found, kept = dict[str, TargetStatistics](), dict[str, Any]()
    for name in encoding.settings.statistics:
        one, own = learners[name], counts.statistics[name].counts
        if folds is None:
            own = one.whole(own)
            found[name] = one.grow(own) if grow else one.finish(own)
        else:
            if name not in crossed:
                crossed[name] = one.cross_fitted(own)
            found[name], kept[name] = one.finish(own, crossed[name]), own
    new = replace(encoding, statistics=encoding.sharing(found))
    return new, None if folds is None else CrossFit(found, kept, folds, crossed)


def cross_fitted_of_log(
    encoding: TableEncoding, rows: LogRows, reader: Reader, shown: bool
) -> CrossFit | None:
    """Statistics of rows among themselves; nothing else is learned of them."""
    settings = encoding.settings
    if not settings.statistics:
        return None
    labels, folds = reader(rows.all_labels), FoldRule.of(rows, settings)
    fresh = replace(encoding, statistics={})
    learners = {
        n: TargetStatistics.new(n, labels, settings) for n in settings.statistics
    }
    counts = Counting(rows, fresh, [], learners, reader, folds).all_shares(shown)
    return _with_statistics(fresh, counts, learners, folds, Crossed(), False)[1]


def _decided(
    encoding: TableEncoding,
    counts: Counts,
    learners: dict[str, TargetStatistics],
    rows: LogRows,
    reader: Reader,
    asked: bool,
    crossed: Crossed,
) -> TableEncoding:
    """With what the rules say of columns of many values; see `_high_cardinality`.

    What is `crossed` for a column of which the rules want statistics is kept.
    """
    from ._high_cardinality import LEAST_ROWS

    settings = encoding.settings
    unit = min(1.0, counts.weight / max(counts.n, 1))
    n_rows, many = counts.weight / unit if unit else 0.0, list[ManyValues]()
    if n_rows >= LEAST_ROWS:
        spread = _spread(rows, reader) if asked else []
        for name, least in left_open(encoding.kinds, settings, asked, unit, n_rows):
            one = ManyValues.counted(name, _masses(counts, learners, name), unit)
            if one is None:
                continue
            one = replace(one, min_frequency=least)
            if asked:
                own = counts.statistics[name].counts
                known = own, spread, crossed
                one = _with_evidence(one, encoding, learners[name], *known)
            many.append(one)
    return encoding.with_decisions(tuple(many), asked)


def _masses(
    counts: Counts, learners: dict[str, TargetStatistics], name: str
) -> NDArray[np.float64]:
    """The weight of each value of a column."""
    if name in counts.statistics:
        own = learners[name].total(counts.statistics[name].counts)
        return own.sums[0, :-1]
    return counts.columns[name].counts.sums[0, :-1]


def _with_evidence(
    one: ManyValues,
    encoding: TableEncoding,
    learner: TargetStatistics,
    counts: Any,
    spread: Sequence[Spread],
    crossed: Crossed,
) -> ManyValues:
    if one.rows == 1:  # as where the rows are in memory
        return replace(one, evidence=0.0)
    fields = learner.cross_fitted(counts)
    evidence = float(learner.evidence(counts, spread, fields).max())
    are_free = encoding.kinds.keys().isdisjoint(learner.fields)
    one = replace(one, evidence=evidence, statistics=are_free and evidence > SURE)
    if one.statistics:
        crossed[one.name] = fields
    return one


def _spread(rows: LogRows, reader: Reader) -> list[Spread]:
    """How the labels of the rows that train are spread."""
    table = rows.table
    assert table is not None
    train = ~table.aside
    return Spread.of(reader(rows.all_labels).rates()[train], table.n[train])


def first_rows(log: Log, names: Sequence[str]) -> Any:
    """Some rows from which kinds of columns are seen; the schema alone decides."""
    return next(iter(log.chunks(list(names)))).table.slice(0, 1)


def encoded(
    encode: Callable[[Any, Callable[[Table], Statistics] | None], Any],
    rows: LogRows,
    statistics: Callable[[RowChunk, Table], Statistics] | None,
    told: Progress,
    pieces: Sequence[Piece] | None = None,
) -> Iterator[tuple[RowChunk, Any]]:
    """Each chunk of all pieces, or some, and its fields.

    `encode` takes a table, and what makes statistics of its columns.
    """
    names = list(rows.names)
    for chunk in rows.read(names, pieces):
        if len(chunk):
            own = None if statistics is None else partial(statistics, chunk)
            call = partial(encode, chunk.table.select(names), own)
            fields = rows.log.located(
                chunk.chunk, call, lambda table: encode(table.select(names), None)
            )
            yield chunk, fields
        told.add(len(chunk.chunk.table))
