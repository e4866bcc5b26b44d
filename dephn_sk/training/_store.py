"""Encoded rows on the disk, in blocks, and batches that are read from there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from ..preprocessing import Bag, Fields
from ..preprocessing._fields import offsets
from ._randomness import generator_of
from ._source import (
    RUNS_IN_BATCH,
    ArraySource,
    Batch,
    Order,
    Source,
    in_runs,
    sent_ahead,
)

INDEX = "index.json"
_BLOCK_ROWS = 2**12, 2**18
_BLOCKS = 64  # one part in so many of the memory, for a block
_UNFINISHED = ".part"  # ends the names of folders that are written
_JUST_BEGUN = 60.0  # seconds in which a folder may not be locked yet
_GROUP = 6  # one part in so many, for the blocks whose rows are shuffled together


class EncodedRows(NamedTuple):
    """Rows as networks and losses read them; labels, weights and groups may be None."""

    fields: Fields
    labels: Any = None
    weights: Any = None
    groups: Any = None

    def take(self, rows: Any) -> EncodedRows:
        """Some of the rows."""
        known = (None if one is None else one[rows] for one in self[1:])
        return EncodedRows(self.fields.take(rows), *known)


def joined(parts: Sequence[EncodedRows]) -> EncodedRows:
    """Rows of several parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    fields = [part.fields for part in parts]
    bags = tuple(_one_bag(same) for same in zip(*(f.bags for f in fields), strict=True))
    codes, numbers = (
        np.concatenate([getattr(one, name) for one in fields])
        for name in ("codes", "numbers")
    )
    known = zip(*(part[1:] for part in parts), strict=True)
    rest = (None if one[0] is None else np.concatenate(one) for one in known)
    return EncodedRows(Fields(codes, numbers, bags), *rest)


def _one_bag(bags: Sequence[Bag]) -> Bag:
    lengths = np.concatenate([np.diff(bag.offsets) for bag in bags])
    weights = None
    if bags[0].weights is not None:
        weights = np.concatenate([bag.weights for bag in bags])
    return Bag(np.concatenate([bag.members for bag in bags]), offsets(lengths), weights)


class Layout(NamedTuple):
    """The types of the arrays of a block, in the order in which they are stored.

    ``codes`` and ``bags`` are the smallest integers that hold all codes of a field;
    ``weighted`` says which bags have weights; an empty text is an array that is not
    there. A row takes about ``width`` bytes in memory.
    """

    codes: list[str]
    numbers: tuple[int, str]
    bags: list[str]
    weighted: list[bool]
    labels: tuple[int, str]
    weights: str
    groups: bool
    width: int

    @classmethod
    def of(
        cls, part: EncodedRows, cardinalities: Sequence[int], bags: Sequence[int]
    ) -> Layout:
        """That of all rows, of which some are given."""
        fields, labels, weights, groups = part
        n, n_rows = fields.numbers.shape[1], max(len(fields), 1)
        members = sum(len(bag.members) for bag in fields.bags) / n_rows
        width = 4 * len(cardinalities) + n * fields.numbers.dtype.itemsize
        width += int(8 * len(bags) + 8 * members) + (0 if groups is None else 8)
        for known in (labels, weights):
            if known is not None:
                width += known.shape[1] * known.dtype.itemsize
        return cls(
            [_smallest(one) for one in cardinalities],
            (n, fields.numbers.dtype.str),
            [_smallest(one) for one in bags],
            [bag.weights is not None for bag in fields.bags],
            (labels.shape[1], labels.dtype.str),
            "" if weights is None else weights.dtype.str,
            groups is not None,
            width,
        )


def _smallest(cardinality: int) -> str:
    """The smallest integers that hold the codes of a field.

    >>> _smallest(256), _smallest(257), _smallest(10**6)
    ('|u1', '<u2', '<i4')
    """
    kinds = (np.uint8, np.uint16, np.int32)
    kind = next(k for k in kinds if cardinality - 1 <= np.iinfo(k).max)
    return np.dtype(kind).str


class StoreWriter:
    """Writes rows as blocks into a folder.

    Parameters
    ----------
    folder : Path
    memory : int
        Of which a block takes a small part.
    sizes : (sequence of int, sequence of int)
        Numbers of codes, of categorical fields and of bags.
    writer : int, default=0
        Which one this is of several that write rows of one store, in this order.
    """

    def __init__(
        self,
        folder: Path,
        memory: int,
        sizes: tuple[Sequence[int], Sequence[int]],
        writer: int = 0,
    ) -> None:
        self.folder, self.memory, self.sizes = folder, memory, sizes
        self.writer = writer
        self.layout: Layout | None = None
        self._parts: list[EncodedRows] = []
        self._held = 0
        self._blocks: list[list[Any]] = []
        folder.mkdir(parents=True, exist_ok=True)  # another writer was first

    def add(self, part: EncodedRows) -> None:
        """Write some rows, as soon as they fill a block."""
        if not len(part.fields):
            return
        if self.layout is None:
            self.layout = Layout.of(part, *self.sizes)
        self._parts.append(part)
        self._held += len(part.fields)
        size = self._block_rows(self.layout)
        if self._held < size:
            return
        held = joined(self._parts)
        whole = self._held - self._held % size
        for start in range(0, whole, size):
            self._write(held.take(np.arange(start, start + size)))
        self._parts = [held.take(np.arange(whole, self._held))]
        self._held -= whole

    def _block_rows(self, layout: Layout) -> int:
        least, most = _BLOCK_ROWS
        return max(least, min(most, self.memory // _BLOCKS // layout.width))

    def _write(self, part: EncodedRows) -> None:
        layout, fields = self.layout, part.fields
        assert layout is not None
        name = f"{self.writer}-{len(self._blocks)}.block"
        with open(self.folder / name, "wb") as file:
            for column, kind in zip(fields.codes.T, layout.codes, strict=True):
                column.astype(kind).tofile(file)
            np.ascontiguousarray(fields.numbers).tofile(file)
            for bag, kind in zip(fields.bags, layout.bags, strict=True):
                np.diff(bag.offsets).astype("<i4").tofile(file)
                bag.members.astype(kind).tofile(file)
                if bag.weights is not None:
                    bag.weights.astype("<f8").tofile(file)
            for known in part[1:]:
                if known is not None:
                    np.ascontiguousarray(known).tofile(file)
            size = file.tell()
        members = [len(bag.members) for bag in fields.bags]
        self._blocks.append([len(fields), members, size, name])

    def finish(self) -> dict[str, Any]:
        """Write what is left; gives what is to be written about it."""
        if self._held:
            self._write(joined(self._parts))
        layout = None if self.layout is None else self.layout._asdict()
        return {"layout": layout, "blocks": self._blocks}


def write_index(folder: Path, parts: Sequence[dict[str, Any]]) -> None:
    """Write about the blocks of all writers, without which there is no store."""
    layouts = [part["layout"] for part in parts if part["layout"] is not None]
    blocks = [block for part in parts for block in part["blocks"]]
    index = {"layout": layouts[0] if layouts else None, "blocks": blocks}
    (folder / INDEX).write_text(json.dumps(index))


class Store:
    """Blocks of encoded rows in a folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        self.folder = folder
        self.layout = Layout(**index["layout"])
        self.blocks: list[list[Any]] = index["blocks"]
        for number, (_, _, size, _) in enumerate(self.blocks):
            if os.path.getsize(self._path(number)) != size:
                raise ValueError(f"{self._path(number)} is not whole.")

    def _path(self, number: int) -> Path:
        return self.folder / str(self.blocks[number][3])

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(n for n, *_ in self.blocks)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows in memory, about."""
        return self.n_rows * self.layout.width

    def load(
        self, numbers: Sequence[int], before: EncodedRows | None = None
    ) -> EncodedRows:
        """The rows of some blocks, after others that are in memory already."""
        layout, first = self.layout, 0 if before is None else len(before.fields)
        n = first + sum(self.blocks[i][0] for i in numbers)
        codes = np.empty((n, len(layout.codes)), dtype=np.int32)
        numeric = np.empty((n, layout.numbers[0]), dtype=layout.numbers[1])
        labels = np.empty((n, layout.labels[0]), dtype=layout.labels[1])
        weights = groups = None
        if layout.weights:
            weights = np.empty((n, layout.labels[0]), dtype=layout.weights)
        if layout.groups:
            groups = np.empty(n, dtype=np.int64)
        known = [one for one in (labels, weights, groups) if one is not None]
        bags: list[list[Bag]] = [[] for _ in layout.bags]
        if before is not None:
            codes[:first], numeric[:first] = before.fields.codes, before.fields.numbers
            bags = [[bag] for bag in before.fields.bags]
            held = [one for one in before[1:] if one is not None]
            for whole, own in zip(known, held, strict=True):
                whole[:first] = own
        for number in numbers:
            rows, members, *_ = self.blocks[number]
            place = slice(first, first + rows)
            with open(self._path(number), "rb") as file:
                self._fill(file, members, codes[place], numeric[place], bags)
                for whole in known:
                    part = whole[place]
                    part[:] = _read(file, part.dtype, part.size).reshape(part.shape)
            first += rows
        fields = Fields(codes, numeric, tuple(_one_bag(same) for same in bags))
        return EncodedRows(fields, labels, weights, groups)

    def _fill(
        self,
        file: Any,
        members: Sequence[int],
        codes: NDArray,
        numbers: NDArray,
        bags: list[list[Bag]],
    ) -> None:
        """The fields of a block."""
        layout, n = self.layout, len(codes)
        for j, kind in enumerate(layout.codes):
            codes[:, j] = _read(file, kind, n)
        numbers[:] = _read(file, numbers.dtype, numbers.size).reshape(numbers.shape)
        own = zip(bags, layout.bags, layout.weighted, members, strict=True)
        for parts, kind, weighted, count in own:
            ends = offsets(_read(file, "<i4", n))
            held = _read(file, kind, count).astype(np.int32)
            parts.append(
                Bag(held, ends, _read(file, "<f8", count) if weighted else None)
            )


def _read(file: Any, kind: DTypeLike, count: int) -> NDArray:
    array = np.fromfile(file, dtype=kind, count=count)
    if len(array) != count:
        raise ValueError(f"{file.name} has been cut while it was read.")
    return array


class StoreSource(Source):
    """Batches from blocks on the disk.

    Where all rows fit, they are read once, and batches are those of an
    :class:`ArraySource`, in the same order. Otherwise each epoch reads the blocks in an
    order that seed and epoch decide, some at a time, and permutes the rows of those.

    Parameters
    ----------
    store : Store
    memory : int
        Bytes that rows may take.
    device : torch.device, default="cpu"
    dtype : torch.dtype, default=torch.float32
        Of everything but codes.
    """

    knows_ranks = True

    def __init__(
        self,
        store: Store,
        memory: int,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.store, self.memory = store, memory
        self.device, self.dtype = torch.device(device), dtype
        self.n_rows = store.n_rows
        self.folder: StoreFolder | None = None  # that is its own, and to be removed
        self._whole: ArraySource | None = None

    def close(self) -> None:
        if self.folder is not None:
            self.folder.close()

    @property
    def fits(self) -> bool:
        """Whether all rows are held in memory, once they are read."""
        return self.store.nbytes <= self.memory

    def read(self, order: Order) -> Iterator[Batch]:
        if self.fits:
            if self._whole is None:
                everything = self.store.load(range(len(self.store.blocks)))
                self._whole = self._source(everything, self.device)
            return self._whole.read(order)
        batches = self._streamed(order)
        return (
            batches if self.device.type == "cpu" else sent_ahead(batches, self.device)
        )

    def _source(self, part: EncodedRows, device: str | torch.device) -> ArraySource:
        return ArraySource(*part, device=device, dtype=self.dtype)

    def _streamed(self, order: Order) -> Iterator[Batch]:
        size, number, left = order.batch_size, 0, None
        generator = generator_of(order.seed or 0, "shuffle", order.epoch)
        groups = self._groups_of_blocks(order, generator)
        for i, blocks in enumerate(groups):
            n_left = 0 if left is None else len(left.fields)
            part = self.store.load(blocks, left)
            n = len(part.fields)
            rows = torch.arange(n)
            if order.seed is not None:
                rows[n_left:] = n_left + self._permuted(part, n_left, size, generator)
            whole = n if i == len(groups) - 1 else n - n % size
            source = self._source(part, "cpu")
            for begin in range(0, whole, size):
                if number >= order.start:
                    own = rows[begin : begin + size][order.rank :: order.world_size]
                    yield source._take(own, own.numpy())
                number += 1
            left = part.take(rows[whole:].numpy()) if whole < n else None

    def _groups_of_blocks(
        self, order: Order, generator: torch.Generator
    ) -> list[list[int]]:
        """Which blocks are read together, and in which order."""
        blocks = self.store.blocks
        if order.seed is None:
            return [[i] for i in range(len(blocks))]
        most = self.memory // _GROUP // self.store.layout.width
        groups, held = [list[int]()], 0
        for i in torch.randperm(len(blocks), generator=generator).tolist():
            if groups[-1] and held + blocks[i][0] > most:
                groups.append([])
                held = 0
            groups[-1].append(i)
            held += blocks[i][0]
        return groups

    def _permuted(
        self, part: EncodedRows, first: int, size: int, generator: torch.Generator
    ) -> torch.Tensor:
        """A random order of the rows from the first on."""
        rows = torch.randperm(len(part.fields) - first, generator=generator)
        if part.groups is None:
            return rows
        groups = torch.from_numpy(part.groups[first:])[rows]
        return rows[in_runs(groups, max(2, size // RUNS_IN_BATCH), generator)]


def _lock(folder: Path) -> Any:
    """A file that is locked while this process lives; None where that is not told.

    It is another's if it is locked already, or just about to be.
    """
    try:
        import fcntl

        file = open(folder / "lock", "a")  # noqa: SIM115, it is held open
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _remove_abandoned(cache_dir: Path) -> None:
    """Remove what processes that are no more have left unfinished."""
    for path in cache_dir.glob(f"dephn_sk-*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            age = time.time() - os.path.getmtime(path / "lock")
            if age > _JUST_BEGUN and (file := _lock(path)) is not None:
                file.close()
                shutil.rmtree(path, ignore_errors=True)


class StoreFolder:
    """Where stores are: a temporary folder, or one that is found again by its key.

    Parameters
    ----------
    cache_dir : str or None
    key : str or None
        Of the same rows, encoded by the same columns; None: they are not kept.
    """

    def __init__(self, cache_dir: str | None, key: str | None) -> None:
        self.kept: Path | None = None
        if cache_dir is not None:
            os.makedirs(cache_dir, exist_ok=True)
            _remove_abandoned(Path(cache_dir))
            if key is not None:
                self.kept = Path(cache_dir) / f"dephn_sk-{key[:32]}"
        self._temporary = tempfile.TemporaryDirectory(
            prefix="dephn_sk-",
            suffix=_UNFINISHED,
            dir=cache_dir,
            ignore_cleanup_errors=True,
        )
        self._held = _lock(Path(self._temporary.name))
        self.path = Path(self._temporary.name) / "rows"

    def found(self, name: str) -> Store | None:
        """A store that an earlier call has left, if it is whole."""
        if self.kept is None:
            return None
        try:
            return Store(self.kept / name)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def settle(self) -> Path:
        """Let what was written take its place; where it is then.

        Another fit may have settled the same rows since, and read them: they stay.
        """
        if self.kept is None:
            return self.path
        names = [one.name for one in self.path.iterdir()]
        while True:
            try:
                os.replace(self.path, self.kept)  # onto nothing, or an empty folder
                return self.kept
            except OSError:
                if not self.kept.exists():
                    raise
            if all(self.found(name) is not None for name in names):
                return self.kept
            # half of it, or an older one
            broken = Path(tempfile.mkdtemp(dir=self._temporary.name)) / "old"
            with contextlib.suppress(FileNotFoundError):  # another fit was first
                os.replace(self.kept, broken)

    def close(self) -> None:
        """Remove what is temporary."""
        if self._held is not None:
            self._held.close()
        self._temporary.cleanup()
