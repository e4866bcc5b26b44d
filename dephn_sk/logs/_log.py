"""A log: rows that need not fit into memory, and how they are read."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from numbers import Integral
from typing import Any, Protocol, Self

from .._suggest import did_you_mean
from ._pieces import (
    Chunk,
    DatasetRows,
    IteratedRows,
    LazyRows,
    LogError,
    Piece,
    Rows,
    numbered,
)


class Crew(Protocol):
    """Processes that read the same log together, each a share of its pieces.

    ``all`` gives what each of them tells, in the order of their ranks.
    """

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def all(self, value: Any) -> list[Any]: ...


class Alone:
    """A process that reads all of a log."""

    rank, size = 0, 1

    def all(self, value: Any) -> list[Any]:
        """What it tells itself."""
        return [value]


ALONE = Alone()
GIBIBYTE = 2**30
LEAST_MEMORY = 2**24
_CHUNKS = 16  # of the memory, what a chunk takes while columns are made of it
_MOST_ROWS, _LEAST_ROWS = 2**19, 2**10
_TEXT = 64  # bytes of a text, and of a list


class Log:
    """A table whose rows need not fit into memory, and how it is to be read.

    Estimators and :class:`~dephn_sk.preprocessing.FieldEncoder` take what can be a
    `data` as it is; a Log says more of how it is read.

    Parameters
    ----------
    data : pyarrow.dataset.Dataset, polars.LazyFrame, callable or Log
        A dataset of files (Parquet, Feather, CSV; on any file system that pyarrow
        opens; its partitions are columns); a query; or a function that returns a fresh
        iterator of frames of pandas, polars or pyarrow each time, with the same rows in
        the same order.
    columns : list of str, default=None
        The columns that are features. None: all but those that serve as labels and as
        weights. Only needed columns are read.
    memory : int, default=2**30
        Bytes that reading, counting and batches may take, beside the network and its
        optimizer. What needs more on the disk is read block by block.
    cache_dir : path, default=None
        A folder for the encoded rows. Where the same rows are encoded by the same
        columns again, they are taken from there. None: a temporary folder, which is
        removed when `fit` ends, however it ends.
    n_jobs : int, default=1
        Processes that count pieces of the log (row groups of Parquet files).

    Examples
    --------
    >>> import pyarrow as pa
    >>> import pyarrow.dataset as ds
    >>> from dephn_sk.logs import Log
    >>> table = pa.table({"item": ["a", "b", "a"], "click": [0, 1, None]})
    >>> log = Log(ds.dataset(table), columns=["item"], memory=2**28)
    >>> log.n_rows, log.names
    (3, ['item', 'click'])
    """

    crew: Crew = ALONE

    def __init__(
        self,
        data: Any,
        columns: Sequence[str] | None = None,
        *,
        memory: int = GIBIBYTE,
        cache_dir: str | os.PathLike[str] | None = None,
        n_jobs: int = 1,
    ) -> None:
        self.columns = None if columns is None else list(columns)
        for name, value, least in (
            ("memory", memory, LEAST_MEMORY),
            ("n_jobs", n_jobs, 1),
        ):
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name}={value!r} must be an integer >= {least}.")
        self.memory = int(memory)
        self.cache_dir = None if cache_dir is None else os.fspath(cache_dir)
        self.n_jobs = int(n_jobs)
        self._rows: Rows = data._rows if isinstance(data, Log) else _rows_of(data)
        for name in self.columns or ():
            self.check_name(name, "columns")

    def __repr__(self) -> str:
        return f"Log({type(self._rows).__name__}, columns={self.columns!r})"

    def among(self, crew: Crew) -> Self:
        """The same log, of whose pieces this process has a share."""
        log = copy(self)
        log.crew = crew
        return log

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Not there: whatever needs all rows at once is told so."""
        check_in_memory(self, "X")

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "crew"}

    @property
    def own_pieces(self) -> list[Piece]:
        """This process's share of the pieces, one after the other; maybe none."""
        return shares_of(self.pieces, self.crew.size)[self.crew.rank]

    @cached_property
    def schema(self) -> Any:
        """The pyarrow.Schema of all columns."""
        return self._rows.schema

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return list(self.schema.names)

    def check_name(self, name: Any, parameter: str) -> None:
        """Raise where there is no such column."""
        if name not in self.names:
            hint = did_you_mean(name, self.names) if isinstance(name, str) else ""
            raise ValueError(
                f"{parameter} names the column {name!r}; those of the log are "
                f"{self.names}." + hint
            )

    def features(self, others: Sequence[str]) -> list[str]:
        """The columns that are features, where `others` are labels and weights."""
        chosen = self.names if self.columns is None else self.columns
        found = [name for name in chosen if name not in others]
        if not found:
            raise ValueError(f"The log has no column beside {list(others)}.")
        return found

    @cached_property
    def pieces(self) -> list[Piece]:
        """All pieces, with their sizes; files that do not tell them are read once."""
        found = []
        self._seen = self._rows.state()
        for piece in self._rows.pieces():
            if piece.n_rows is None:
                some = self.names[:1]
                tables = self._rows.read(piece, some, _MOST_ROWS)
                piece = Piece(piece.name, sum(map(len, tables)), piece.handle)
            found.append(piece)
        found = numbered(found)
        if not found or not found[-1].start + (found[-1].n_rows or 0):
            raise ValueError("The log has no rows; a log has a row at least.")
        return found

    def __len__(self) -> int:
        return self.n_rows

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        last = self.pieces[-1]
        return last.start + (last.n_rows or 0)

    def chunks(
        self, names: Sequence[str], pieces: Sequence[Piece] | None = None
    ) -> Iterator[Chunk]:
        """Rows of some pieces, or of all, in order, as many at a time as memory allows.

        Raises
        ------
        LogError
            For a file that is cut, and for one that has changed since the first look.
        """
        n_rows = self.rows_per_chunk(names)
        for piece in self.pieces if pieces is None else pieces:
            place = piece.start
            for table in self._read(piece, names, n_rows):
                for start in range(0, len(table), n_rows):  # a batch may be larger
                    part = table.slice(start, n_rows)
                    yield Chunk(part, place)
                    place += len(part)
            if place - piece.start != piece.n_rows:
                raise LogError(
                    f"{piece.name} held {piece.n_rows} rows, and now holds "
                    f"{place - piece.start}: it has changed while it was read. Nothing "
                    "was fitted; call again when nobody writes to it."
                )

    def blocks(
        self, names: Sequence[str], size: int, first: int = 0
    ) -> Iterator[Chunk]:
        """Chunks of whole blocks of so many rows, from that of a row on.

        The last chunk ends with the log.
        """
        import pyarrow as pa

        first -= first % size
        pieces = [one for one in self.pieces if one.start + (one.n_rows or 0) > first]
        held, n_held, start = [], 0, first
        for chunk in self.chunks(names, pieces):
            table = chunk.table.slice(max(0, first - chunk.start))
            held.append(table)
            n_held += len(table)
            if n_held >= size:
                both, whole = pa.concat_tables(held), n_held - n_held % size
                yield Chunk(both.slice(0, whole), start)
                held, n_held, start = [both.slice(whole)], n_held - whole, start + whole
        if n_held:
            yield Chunk(pa.concat_tables(held), start)

    def _read(self, piece: Piece, names: Sequence[str], n_rows: int) -> Iterator[Any]:
        try:
            yield from self._rows.read(piece, names, n_rows)
        except LogError:
            self.check_unchanged()  # which says more, where it has
            raise

    def check_unchanged(self) -> None:
        """Raise where a file is not what it was at the first look."""
        now = self._rows.state()
        if now == self._seen:
            return
        known = dict.fromkeys(self._seen or [])
        changed = [one.rsplit(" ", 2)[0] for one in now or [] if one not in known]
        changed = changed or [
            one.rsplit(" ", 2)[0] for one in known if one not in (now or [])
        ]
        raise LogError(
            f"File {changed[0]!r} has changed while the log was read. Nothing was "
            "fitted; call again when nobody writes to it."
        )

    def rows_per_chunk(self, names: Sequence[str]) -> int:
        """How many rows of these columns are read at a time."""
        row = sum(_width(self.schema.field(name).type) for name in names) + 64
        return max(_LEAST_ROWS, min(_MOST_ROWS, self.memory // _CHUNKS // row))

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        starts = [piece.start for piece in self.pieces]
        piece = self.pieces[bisect_right(starts, row) - 1]
        return f"row {row - piece.start} of {piece.name}"

    def located(
        self, chunk: Chunk, call: Callable[[], Any], check: Callable[[Any], Any]
    ) -> Any:
        """What `call` gives; an error says of which row of the chunk it is.

        `check`, of any rows of the chunk's table, fails where one of them is bad.
        """
        try:
            return call()
        except LogError:
            raise
        except (ValueError, TypeError) as error:
            row, last = _first_bad_row(chunk.table, check), len(chunk.table) - 1
            if row is None:
                raise LogError(
                    f"{error} (Within the rows {chunk.start} to {chunk.start + last} "
                    f"of the log, from {self.where(chunk.start)}.)"
                ) from error
            said: Exception = error
            try:
                check(chunk.table.slice(row, 1))
            except (ValueError, TypeError) as alone:
                said = alone
            row += chunk.start
            text = re.sub(r"\brow 0\b", f"row {row}", str(said))
            raise LogError(f"{text} (Row {row} of the log: {self.where(row)}.)") from (
                error
            )

    def fingerprint(self, names: Sequence[str]) -> str | None:
        """A text that is another one for other rows; None where nothing tells."""
        self.pieces  # noqa: B018 - the first look at the files
        if self._seen is None:
            return None
        fields = [str(self.schema.field(name)) for name in names]
        return hashlib.sha256("\n".join([*self._seen, *fields]).encode()).hexdigest()

    def table(self, names: Sequence[str]) -> Any:
        """All rows of some columns in memory, for logs of few rows."""
        import pyarrow as pa

        return pa.concat_tables([chunk.table for chunk in self.chunks(names)])


def shares_of(pieces: Sequence[Piece], n: int) -> list[list[Piece]]:
    """n runs of pieces with about as many rows each; some are empty of few pieces."""
    total = sum(piece.n_rows or 0 for piece in pieces)
    shares: list[list[Piece]] = [[] for _ in range(n)]
    for piece in pieces:
        middle = piece.start + (piece.n_rows or 0) / 2
        first = pieces[0].start
        shares[min(n - 1, int((middle - first) * n // max(total, 1)))].append(piece)
    return shares


def is_log(data: Any) -> bool:
    """Whether rows come as a log, and not as a table in memory."""
    return isinstance(data, Log) or _kind_of(data) is not None


def check_in_memory(data: Any, parameter: str) -> None:
    """Refuse a log where all rows are needed at once, and say what to do."""
    if is_log(data):
        raise TypeError(
            f"{parameter} is a {type(data).__name__}, whose rows are not in memory; "
            "only fit, partial_fit, predict and score of an estimator read it piece by "
            "piece. Give a frame of rows that fit, such as those of "
            "log = dephn_sk.logs.Log(data): log.table(log.names).to_pandas()."
        )


def check_no_path(parameter: str, data: Any) -> None:
    """Refuse the path of a table or a log, and say what to give."""
    if isinstance(data, (str, os.PathLike)):
        is_csv = os.fsdecode(data).lower().endswith((".csv", ".tsv"))
        how = ', format="csv"' if is_csv else ""
        raise TypeError(
            f"{parameter}={os.fspath(data)!r} is a path; give a table, or the log of "
            f"its files: pyarrow.dataset.dataset(path{how})."
        )


def as_log(data: Any) -> Log:
    """The log of what `is_log` takes."""
    return data if isinstance(data, Log) else Log(data)


def _kind_of(data: Any) -> type[Rows] | None:
    dataset = sys.modules.get("pyarrow.dataset")
    if dataset is not None and isinstance(data, dataset.Dataset):
        return DatasetRows
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(data, polars.LazyFrame):
        return LazyRows
    is_table = hasattr(data, "shape") or hasattr(data, "__array__")
    if callable(data) and not isinstance(data, type) and not is_table:
        return IteratedRows
    return None


def _rows_of(data: Any) -> Rows:
    kind: Any = _kind_of(data)
    if kind is None:
        raise TypeError(
            f"A log is a pyarrow.dataset.Dataset, a polars LazyFrame, or a function "
            f"that returns an iterator of frames, not {type(data).__name__}. Of the "
            "path of files: pyarrow.dataset.dataset(path)."
        )
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Reading a log needs pyarrow: pip install 'dephn-sk[parquet]'."
        ) from error
    return kind(data)


def _width(kind: Any) -> int:
    """About how many bytes a value takes."""
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:
        return _TEXT


def _first_bad_row(table: Any, call: Callable[[Any], Any]) -> int | None:
    """The only row for which `call` fails; None where no single row does."""
    start, length = 0, len(table)
    while length > 1:
        half = length // 2
        if _fails(call, table.slice(start, half)):
            length = half
        elif _fails(call, table.slice(start + half, length - half)):
            start, length = start + half, length - half
        else:
            return None
    return start if _fails(call, table.slice(start, 1)) else None


def _fails(call: Callable[[Any], Any], table: Any) -> bool:
    try:
        call(table)
    except (ValueError, TypeError):
        return True
    return False
