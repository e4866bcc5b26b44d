"""Where batches come from.

A source is anything with a length (its rows) and a method
``batches(batch_size, seed=None, epoch=0)`` that yields :class:`Batch` objects: in
order without a seed, otherwise shuffled by (seed, epoch) alone, so that any epoch can
be drawn again without having drawn the ones before it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..nn import Members
from ..preprocessing import Fields


class Batch(NamedTuple):
    """Some rows: the network's keyword arguments, and what is known of their labels.

    ``labels`` and ``weights`` are of shape (batch, n_tasks); a weight of 0 stands for
    a label that was not observed, weights of None for all ones.
    """

    inputs: dict[str, Tensor | list[Members]]
    labels: Tensor | None = None
    weights: Tensor | None = None


class ArraySource:
    """Batches from arrays in memory, sliced directly and not copied before.

    The arrays are moved to a CUDA device once, if that leaves it room to work.
    Otherwise they stay where they are, and each batch is moved while the device works
    on the one before.

    Parameters
    ----------
    fields : Fields
    labels, weights : ndarray of shape (n_rows, n_tasks), default=None
        Of `rows`, where these are given. Labels of one byte are kept so.
    rows : ndarray of shape (n_rows,), integer, default=None
        The rows of `fields` to yield; None is all of them.
    device : str or torch.device, default="cpu"
    dtype : torch.dtype, default=torch.float32
        Of everything but codes.
    """

    def __init__(
        self,
        fields: Fields,
        labels: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        *,
        rows: np.ndarray | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        resident = fits(size_of(fields, dtype), self.device)
        self.home = self.device if resident else torch.device("cpu")
        self.codes = _tensor(fields.codes).to(self.home)
        self.numbers = self._floats(fields.numbers)
        self.bags = [
            Members(
                _tensor(bag.members).to(self.home),
                _tensor(bag.offsets).to(self.home),
                self._floats(bag.weights),
            )
            for bag in fields.bags
        ]
        self._ends = [_tensor(bag.offsets) for bag in fields.bags]
        self._choose(rows, labels, weights)

    def part(
        self,
        rows: np.ndarray | None,
        labels: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> ArraySource:
        """A source of some of the rows, on the same memory."""
        part = copy.copy(self)
        part._choose(rows, labels, weights)
        return part

    def _choose(
        self,
        rows: np.ndarray | None,
        labels: np.ndarray | None,
        weights: np.ndarray | None,
    ) -> None:
        self._rows = None  # as `rows`, but always in the processor's memory
        if rows is not None:
            self._rows = _tensor(rows.astype(row_type(len(self.codes)), copy=False))
        self.rows = None if self._rows is None else self._rows.to(self.home)
        is_small = labels is not None and labels.dtype.itemsize == 1
        self.labels = (
            _tensor(labels).to(self.home) if is_small else self._floats(labels)
        )
        self.weights = self._floats(weights)

    def _floats(self, array: np.ndarray | None) -> Tensor | None:
        return None if array is None else _tensor(array).to(self.home, self.dtype)

    def __len__(self) -> int:
        return len(self.codes if self.rows is None else self.rows)

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0
    ) -> Iterator[Batch]:
        """Yield all rows once, `batch_size` at a time."""
        batches = self._batches(batch_size, seed, epoch)
        return batches if self.home == self.device else sent_ahead(batches, self.device)

    def _batches(
        self, batch_size: int, seed: int | None, epoch: int
    ) -> Iterator[Batch]:
        if seed is None:
            for start in range(0, len(self), batch_size):
                yield self._take(slice(start, start + batch_size))
            return
        generator = generator_of(seed, "shuffle", epoch)
        kind = torch.from_numpy(np.empty(0, row_type(len(self)))).dtype
        order = torch.randperm(len(self), generator=generator, dtype=kind)
        parts = order.split(batch_size)
        for here, there in zip(
            parts, order.to(self.home).split(batch_size), strict=True
        ):
            yield self._take(there, self._n_members(here))

    def _n_members(self, at: Tensor) -> list[int | None]:
        """How many members each bag has in these rows; None where torch may ask."""
        if self.home.type == "cpu":
            return [None] * len(self.bags)
        rows = at if self._rows is None else _select(self._rows, at)
        return [int((ends[1:][rows] - ends[:-1][rows]).sum()) for ends in self._ends]

    def _take(
        self, at: Tensor | slice, n_members: Sequence[int | None] | None = None
    ) -> Batch:
        rows = at if self.rows is None else _select(self.rows, at)
        inputs: dict = {
            "codes": _select(self.codes, rows),
            "numbers": _select(self.numbers, rows),
        }
        if self.bags:
            n_members = n_members or [None] * len(self.bags)
            inputs["bags"] = [
                _take_members(bag, rows, n)
                for bag, n in zip(self.bags, n_members, strict=True)
            ]
        return Batch(
            inputs,
            None if self.labels is None else _select(self.labels, at).to(self.dtype),
            None if self.weights is None else _select(self.weights, at),
        )


RESIDENT_SHARE = 0.5  # of a device's free memory, that data may take for good


def size_of(fields: Fields, dtype: torch.dtype) -> int:
    """Bytes of a table as tensors with numbers of a dtype."""
    exact = [fields.codes]
    floats = [fields.numbers]
    for bag in fields.bags:
        exact += [bag.members, bag.offsets]
        floats += [] if bag.weights is None else [bag.weights]
    numbers = sum(array.size for array in floats)
    return sum(array.nbytes for array in exact) + numbers * dtype.itemsize


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether so much data can stay on a device and leave it room to work."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    # what torch has taken from the device, and would give to whoever asks next
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes <= RESIDENT_SHARE * free


def sent_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches on a device, each sent while the device works on the one before."""
    stream = _sending(device) if device.type == "cuda" else None
    before = None
    for batch in batches:
        sent = _send(batch, device, stream)
        if before is not None:
            yield _receive(*before)
        before = sent
    if before is not None:
        yield _receive(*before)


@cache
def _sending(device: torch.device) -> torch.cuda.Stream:
    """A device's stream for batches: torch keeps free memory for each stream apart."""
    return torch.cuda.Stream(device)


def _send(
    batch: Batch, device: torch.device, stream: torch.cuda.Stream | None
) -> tuple[Batch, torch.cuda.Event | None]:
    """The batch on the device, and the event after which it is there."""
    if stream is None:
        return _each(batch, lambda tensor: tensor.to(device)), None
    with torch.cuda.stream(stream):
        # only pinned memory is copied while the processor goes on
        sent = _each(batch, lambda t: t.pin_memory().to(device, non_blocking=True))
        return sent, stream.record_event()


def _receive(batch: Batch, sent: torch.cuda.Event | None) -> Batch:
    if sent is None:
        return batch
    stream = torch.cuda.current_stream(batch.inputs["codes"].device)
    stream.wait_event(sent)  # the device waits, not the processor

    def keep(tensor: Tensor) -> Tensor:
        tensor.record_stream(stream)  # memory that this stream still reads
        return tensor

    return _each(batch, keep)


def _each(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with a function applied to each of its tensors."""

    def applied(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else function(tensor)

    inputs = {
        key: [Members(*map(applied, bag)) for bag in value]
        if isinstance(value, list)
        else function(value)
        for key, value in batch.inputs.items()
    }
    return Batch(inputs, applied(batch.labels), applied(batch.weights))


STREAMS = ("initial values", "shuffle", "dropout", "growth")


def generator_of(
    seed: int, stream: str, epoch: int = 0, *, device: str | torch.device = "cpu"
) -> torch.Generator:
    """A generator that depends on seed, use and epoch alone."""
    key = (seed, 1 + STREAMS.index(stream), 1 + epoch)  # numpy drops zeros at the end
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> 1))


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor on the array's memory where torch may write to it, else on a copy."""
    contiguous = np.ascontiguousarray(array)
    if not contiguous.flags.writeable:
        contiguous = contiguous.copy()
    return torch.from_numpy(contiguous)


def row_type(n_rows: int) -> type[np.signedinteger]:
    """Row numbers of half the memory where they fit."""
    return np.int32 if n_rows < 2**31 else np.int64


def _select(tensor: Tensor, rows: Tensor | slice) -> Tensor:
    # index_select takes a third of the time of an index in brackets
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


def _take_members(
    bag: Members, rows: Tensor | slice, n_members: int | None = None
) -> Members:
    starts = bag.offsets[:-1][rows]
    lengths = bag.offsets[1:][rows] - starts
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    if isinstance(rows, slice):
        first = int(starts[0])
        where: Tensor | slice = slice(first, first + int(offsets[-1]))
    else:
        shift = torch.repeat_interleave(
            starts - offsets[:-1], lengths, output_size=n_members
        )
        where = torch.arange(len(shift), device=shift.device) + shift
    weights = None if bag.weights is None else bag.weights[where]
    return Members(bag.codes[where], offsets, weights)
