"""Pieces of a log that can be read apart, for each thing that rows come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


class Chunk(NamedTuple):
    """Some rows of a log, in memory: a pyarrow.Table, and where its first row is."""

    table: Any
    start: int


@dataclass(frozen=True)
class Piece:
    """Rows that follow each other, and can be read without those before them.

    Attributes
    ----------
    name : str
        For messages.
    n_rows : int or None
        None where that is not known before they are read.
    start : int
        The row of the log with which it begins.
    handle : object
        What the reader finds it by; it can be pickled.
    """

    name: str
    n_rows: int | None
    handle: Any = None
    start: int = 0


class Rows(ABC):
    """Where rows come from, piece by piece and in an order that never changes."""

    @property
    @abstractmethod
    def schema(self) -> Any:
        """The pyarrow.Schema of all rows."""

    @abstractmethod
    def pieces(self) -> list[Piece]:
        """All of them, in order."""

    @abstractmethod
    def read(self, piece: Piece, names: Sequence[str], n_rows: int) -> Iterator[Any]:
        """Tables of a piece's columns, of so many rows at most."""

    def state(self) -> list[str] | None:
        """Texts that differ where the rows do; None where nothing tells."""
        return None


class DatasetRows(Rows):
    """A pyarrow.dataset.Dataset; of Parquet files, each row group is a piece."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        # one that is filtered shows no fragments
        self.is_filtered = bool(getattr(dataset, "_scan_options", None))

    @property
    def schema(self) -> Any:
        return self.dataset.schema

    def pieces(self) -> list[Piece]:
        from pyarrow.dataset import ParquetFileFragment

        if self.is_filtered:
            return [Piece("the filtered dataset", None, (self.dataset, None))]
        found = []
        for number, fragment in enumerate(self.dataset.get_fragments()):
            path = getattr(fragment, "path", None)
            name = f"table {number}" if path is None else f"file {path!r}"
            if not isinstance(fragment, ParquetFileFragment):
                found.append(Piece(name, None, (fragment, None)))
                continue
            try:
                groups = list(fragment.row_groups)
            except Exception as error:  # pyarrow's are of several kinds
                raise _unreadable(name, error) from error
            for group in groups:
                of_group = f"row group {group.id} of {name}"
                found.append(Piece(of_group, group.num_rows, (fragment, group.id)))
        return found

    def read(self, piece: Piece, names: Sequence[str], n_rows: int) -> Iterator[Any]:
        import pyarrow as pa

        fragment, group = piece.handle
        try:
            if group is not None:
                fragment = fragment.subset(row_group_ids=[group])
            how: Any = {} if self.is_filtered else {"schema": self.schema}
            how |= _null_texts(fragment)
            batches = fragment.to_batches(
                columns=list(names),
                batch_size=n_rows,
                batch_readahead=1,
                fragment_readahead=1,
                **how,
            )
            for batch in batches:
                yield pa.Table.from_batches([batch])
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise LogError(
                f"{piece.name[0].upper()}{piece.name[1:]} has a column of another type "
                f"than the dataset: {str(error).rstrip('.')}. A dataset has the types "
                "of its first file: give those of all by pyarrow.dataset.dataset(..., "
                "schema=...). Nothing was fitted."
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(piece.name, error) from error

    def state(self) -> list[str] | None:
        from pyarrow.dataset import FileSystemDataset

        if not isinstance(self.dataset, FileSystemDataset):
            return None
        found = self.dataset.filesystem.get_file_info(self.dataset.files)
        known = [f"{file.path} {file.size} {file.mtime_ns}" for file in found]
        options = getattr(self.dataset, "_scan_options", None) or {}
        return [*known, *(f"{key} {value}" for key, value in options.items())]


def _null_texts(fragment: Any) -> dict[str, Any]:
    """Options by which a text that says null is no text in CSV files either.

    pyarrow takes it for null in a column of numbers alone, where pandas and polars do
    in any.
    """
    from pyarrow.dataset import CsvFileFormat, CsvFragmentScanOptions

    own = getattr(fragment, "format", None)
    if not isinstance(own, CsvFileFormat):
        return {}
    given = own.default_fragment_scan_options
    convert = given.convert_options
    convert.strings_can_be_null = True
    options = CsvFragmentScanOptions(
        convert_options=convert, read_options=given.read_options
    )
    return {"fragment_scan_options": options}


class LazyRows(Rows):
    """A polars LazyFrame, which is collected batch by batch."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame

    @property
    def schema(self) -> Any:
        return self.frame.head(0).collect().to_arrow().schema

    def pieces(self) -> list[Piece]:
        import polars as pl

        n_rows = self.frame.select(pl.len()).collect().item()
        return [Piece("the LazyFrame", n_rows)]

    def read(self, piece: Piece, names: Sequence[str], n_rows: int) -> Iterator[Any]:
        chosen = self.frame.select(list(names))
        if hasattr(chosen, "collect_batches"):
            for frame in chosen.collect_batches(chunk_size=n_rows, maintain_order=True):
                yield frame.to_arrow()
            return
        for start in range(0, piece.n_rows or 0, n_rows):
            yield chosen.slice(start, n_rows).collect().to_arrow()


class IteratedRows(Rows):
    """Frames of a callable that gives a fresh iterator of them each time."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self._schema: Any = None
        self._n_rows = 0

    @property
    def schema(self) -> Any:
        """That of all frames together, for which all of them are read once."""
        if self._schema is None:
            self._look()
        return self._schema

    def pieces(self) -> list[Piece]:
        if self._schema is None:
            self._look()
        return [Piece("the iterator", self._n_rows)]

    def _look(self) -> None:
        import pyarrow as pa

        found, n_rows = None, 0
        for number, table in enumerate(self._tables()):
            own = _plain(table.schema)
            try:
                found = (
                    own
                    if found is None
                    else pa.unify_schemas([found, own], promote_options="permissive")
                )
            except pa.ArrowException as error:
                raise ValueError(
                    f"Frame {number} of the iterator has other columns than those "
                    f"before it: {error} Give all frames the same dtypes."
                ) from error
            n_rows += len(table)
        if found is None:
            raise ValueError("The iterator gives no frame; a log has a row at least.")
        self._schema, self._n_rows = found, n_rows

    def _tables(self) -> Iterator[Any]:
        import pyarrow as pa

        frames = iter(self.call())
        for number, frame in enumerate(frames):
            if isinstance(frame, pa.RecordBatch):
                yield pa.Table.from_batches([frame])
            elif isinstance(frame, pa.Table):
                yield frame
            elif hasattr(frame, "to_arrow"):
                yield frame.to_arrow()
            elif hasattr(frame, "iloc"):
                try:
                    yield pa.Table.from_pandas(frame, preserve_index=False)
                except pa.ArrowException as error:
                    raise ValueError(
                        f"Frame {number} of the iterator mixes types: {error} Convert "
                        "the column to one type."
                    ) from error
            else:
                raise TypeError(
                    f"The iterator gives {type(frame).__name__}; give frames of "
                    "pandas, polars or pyarrow."
                )

    def read(self, piece: Piece, names: Sequence[str], n_rows: int) -> Iterator[Any]:
        import pyarrow as pa

        schema = pa.schema([self.schema.field(name) for name in names])
        for table in self._tables():
            missing = [name for name in names if name not in table.column_names]
            for name in missing:
                table = table.append_column(name, pa.nulls(len(table)))
            table = table.select(list(names)).cast(schema)
            for start in range(0, len(table), n_rows):
                yield table.slice(start, n_rows)


def _plain(schema: Any) -> Any:
    """The schema with dictionaries of one width, and text of one kind."""
    import pyarrow as pa

    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = pa.dictionary(pa.int32(), kind.value_type, kind.ordered)
        elif pa.types.is_string(kind) or pa.types.is_string_view(kind):
            kind = pa.large_string()
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


class LogError(ValueError):
    """What is wrong with a log, and in which file, piece and row."""


def _unreadable(name: str, error: BaseException) -> LogError:
    text = str(error).rstrip(".")
    return LogError(
        f"{name[0].upper()}{name[1:]} cannot be read: {text}. It may be cut or "
        "damaged; nothing was fitted."
    )


def numbered(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of known sizes, each with the row where it begins."""
    start, found = 0, []
    for piece in pieces:
        found.append(replace(piece, start=start))
        start += piece.n_rows or 0
    return found
