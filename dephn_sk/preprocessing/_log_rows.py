"""The rows of a log: which count, which are set aside, and what their labels are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._progress import Progress
from ..logs import Chunk, Log, LogError, Piece
from ..tasks import Columns, label_columns, names_of, weight_columns
from ._chance import drawn, group_hashes
from ._distribution import Distribution
from ._frames import read_columns as read_features
from ._label_table import LabelTable
from ._target_statistics import times_of

_BUCKETS = 2**16  # of hashes, by their first bits
_BLOCK = 2**20


@dataclass(frozen=True, eq=False)
class Aside:
    """Which rows are set aside: those of the smallest hashes, or of some groups.

    Attributes
    ----------
    seed : int
    largest : int
        The largest hash of a row's place that is set aside.
    groups : ndarray of uint64 or None
        Sorted hashes of the groups that are; then places have no part in it.
    """

    seed: int
    largest: int = 0
    groups: NDArray | None = None

    def __call__(self, places: NDArray, groups: NDArray | None) -> NDArray[np.bool_]:
        """Whether each row is."""
        if self.groups is not None and groups is not None:
            return np.isin(groups, self.groups)
        return drawn(self.seed, places) <= np.uint64(self.largest)


@dataclass(frozen=True, eq=False)
class RowChunk:
    """Rows of a chunk that count.

    Attributes
    ----------
    chunk : Chunk
        As it was read, with rows of weight zero.
    table : pyarrow.Table
        The rows that count.
    rows : ndarray of int
        Where they are in the log.
    labels : Columns or None
    weight : ndarray of shape (n_rows, 1) or (n_rows, n_tasks), or None
    aside : ndarray of bool
        Whether they are set aside.
    places : ndarray of int
        How many rows that train are before them; -1 of those that are set aside.
    groups : ndarray of int64 or None
    """

    chunk: Chunk
    table: Any
    rows: NDArray
    labels: Columns | None
    weight: NDArray | None
    aside: NDArray[np.bool_]
    places: NDArray
    groups: NDArray | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counted(self) -> NDArray | None:
        """What a row counts in what is learned of columns; None is 1 for each."""
        weight = None if self.weight is None else self.weight.mean(axis=1)
        if self.aside.any():
            weight = np.where(self.aside, 0.0, 1.0 if weight is None else weight)
        return None if weight is None or np.all(weight == 1) else weight


@dataclass(frozen=True, eq=False)
class LogRows:
    """How the rows of a log are read.

    Attributes
    ----------
    log : Log
    y, weights : tuple of str
        Columns of labels, and of sample weights.
    ndim : int
        1 where y is one name, and no list of names.
    groups, time : str or None
        Columns of groups and of times.
    names : tuple of str
        Columns that are features.
    aside : Aside or None
    before : dict of int to (int, int)
        For the first row of each piece, how many rows before it count, and train.
    table : LabelTable or None
        Labels and weights of all rows that count.
    times : Distribution or None
        Of the rows that train.
    n_train, n_valid : int
    """

    log: Log
    y: tuple[str, ...]
    weights: tuple[str, ...]
    ndim: int
    groups: str | None
    names: tuple[str, ...]
    time: str | None = None
    aside: Aside | None = None
    before: dict[int, tuple[int, int]] = field(default_factory=dict)
    table: LabelTable | None = None
    times: Distribution | None = None
    n_train: int = 0
    n_valid: int = 0

    @classmethod
    def of(
        cls,
        log: Log,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        names: Sequence[str] | None = None,
    ) -> Self:
        """Check the names of columns; nothing but the schema is read."""
        labels = names_of(y, "y", log)
        weights = names_of(sample_weight, "sample_weight", log)
        if groups is not None:
            (groups,) = names_of(groups, "groups", log)
        features = tuple(log.features([*labels, *weights])) if names is None else names
        for name in features:
            log.check_name(name, "columns")
        ndim = 1 if isinstance(y, str) else 2
        return cls(log, labels, weights, ndim, groups, tuple(features))

    @property
    def own(self) -> list[str]:
        """The columns that say what rows are, and what becomes of them."""
        groups = [] if self.groups is None else [self.groups]
        return [*self.y, *self.weights, *groups]

    # ------------------------------------------------------------ reading

    def read(
        self, names: Sequence[str] = (), pieces: Sequence[Piece] | None = None
    ) -> Iterator[RowChunk]:
        """The rows of some pieces, or of all, with these columns beside our own."""
        wanted = list(dict.fromkeys([*names, *self.own])) or self.log.names[:1]
        first = self.log.pieces if pieces is None else pieces
        if not first:
            return
        kept, trained = self.before.get(first[0].start, (0, 0))
        for piece in first:
            kept, trained = self.before.get(piece.start, (kept, trained))
            for chunk in self.log.chunks(wanted, [piece]):
                call = partial(self._rows, chunk, kept, trained)
                rows = self.log.located(chunk, call, self._parsed)
                kept += len(rows)
                trained += len(rows) - int(rows.aside.sum())
                yield rows

    def _rows(self, chunk: Chunk, kept: int, trained: int) -> RowChunk:
        labels, weight, groups = self._parsed(chunk.table)
        rows, table = (
            np.arange(chunk.start, chunk.start + len(chunk.table)),
            chunk.table,
        )
        if weight is not None and not (counts := weight.any(axis=1)).all():
            there = np.flatnonzero(counts)
            rows, table, weight = rows[there], table.take(there), weight[there]
            labels = None if labels is None else labels.take(there)
            groups = None if groups is None else groups[there]
        if labels is not None:
            columns = tuple(replace(one, rows=rows) for one in labels.columns)
            labels = replace(labels, columns=columns)
        aside = np.zeros(len(rows), dtype=bool)
        if self.aside is not None:
            aside = self.aside(np.arange(kept, kept + len(rows)), groups)
        places = np.where(aside, -1, trained + np.cumsum(~aside) - 1)
        numbers = None if groups is None else groups.view(np.int64)
        return RowChunk(chunk, table, rows, labels, weight, aside, places, numbers)

    def _parsed(self, table: Any) -> tuple[Columns | None, NDArray | None, Any]:
        """Labels, weights and hashes of groups of some rows."""
        weight, groups = None, None
        if self.weights:
            weight = weight_columns(table, self.weights)
        if self.groups is not None:
            (column,) = read_features(table.select([self.groups]), ["groups"])
            hashes, unit = group_hashes(column)
            groups = hashes[unit]
        return label_columns(table, self.y, self.ndim), weight, groups

    # ------------------------------------------------------------ what is set aside

    @cached_property
    def sizes(self) -> tuple[int, NDArray | None, NDArray | None]:
        """How many rows count; hashes and sizes of groups. Reads no more than that."""
        if not self.weights and self.groups is None:
            return self.log.n_rows, None, None
        slim = replace(self, y=(), names=())
        n_kept, hashes, sizes = 0, np.empty(0, np.uint64), np.empty(0, np.int64)
        for chunk in slim.read():
            n_kept += len(chunk)
            if chunk.groups is not None:
                own, n_own = np.unique(chunk.groups.view(np.uint64), return_counts=True)
                both = np.concatenate([hashes, own])
                hashes, unit = np.unique(both, return_inverse=True)
                n_both = np.concatenate([sizes, n_own])
                sizes = np.bincount(unit, n_both).astype(np.int64)
            if hashes.nbytes * 6 > self.log.memory:
                raise LogError(
                    f"groups={self.groups!r} has more than {len(hashes):,} groups, "
                    f"which take more than memory={self.log.memory}. Raise it, or give "
                    "X_val and y_val instead of rows that are set aside."
                )
        if not n_kept:
            raise ValueError(
                "sample_weight is zero for every row; nothing is left to fit."
            )
        if self.groups is None:
            return n_kept, None, None
        return n_kept, hashes, sizes

    def learned(self, shown: bool = False) -> Self:
        """With labels, weights and times of all rows, which are read once."""
        table, times, before = LabelTable.empty(), None, dict[int, tuple[int, int]]()
        others = [] if self.time is None else [self.time]
        slim, kept, trained = replace(self, names=(), before={}), 0, 0
        with Progress("labels", self.log.n_rows, shown) as told:
            for chunk in slim.read(others):
                begin = chunk.chunk.start
                before[begin] = kept, trained
                kept += len(chunk)
                trained += len(chunk) - int(chunk.aside.sum())
                table = table.add(chunk.table, self.y, chunk)
                if self.time is not None:
                    own = self._times(chunk)
                    times = own if times is None else times + own
                told.add(len(chunk.chunk.table))
        starts = {piece.start for piece in self.log.pieces}
        known = {row: counts for row, counts in before.items() if row in starts}
        n = trained, kept - trained
        return replace(
            self, before=known, table=table, times=times, n_train=n[0], n_valid=n[1]
        )

    def _times(self, chunk: RowChunk) -> Distribution:
        (column,) = read_features(chunk.table.select([self.time]), [self.time or ""])
        return Distribution.of(times_of(column, 2)[~chunk.aside])

    @property
    def all_labels(self) -> Columns:
        """The distinct labels of the table, each with the row where it is first."""
        assert self.table is not None
        found = label_columns(self.table.labels, self.y, self.ndim)
        assert found is not None
        columns = [replace(one, rows=self.table.rows) for one in found.columns]
        return replace(found, columns=tuple(columns))


def set_aside(n_rows: int, wanted: int, seed: int) -> Aside:
    """So many of the places of rows: those of the smallest hashes.

    >>> aside = set_aside(1000, 100, 3)
    >>> int(aside(np.arange(1000), None).sum())
    100
    """
    wanted = min(wanted, n_rows)
    counts, shift = np.zeros(_BUCKETS, dtype=np.int64), np.uint64(48)
    for hashes in _hashes(n_rows, seed):
        counts += np.bincount((hashes >> shift).astype(np.intp), minlength=_BUCKETS)
    below = np.cumsum(counts)
    bucket = int(np.searchsorted(below, wanted))
    rest = wanted - int(below[bucket] - counts[bucket])
    inside = [h[(h >> shift) == np.uint64(bucket)] for h in _hashes(n_rows, seed)]
    return Aside(seed, int(np.sort(np.concatenate(inside))[rest - 1]))


def _hashes(n_rows: int, seed: int) -> Iterator[NDArray[np.uint64]]:
    for start in range(0, n_rows, _BLOCK):
        yield drawn(seed, np.arange(start, min(start + _BLOCK, n_rows)))
