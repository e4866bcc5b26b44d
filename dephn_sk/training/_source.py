"""Where batches come from."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..nn import Members
from ..preprocessing import Fields
from ._randomness import generator_of

Given: TypeAlias = np.ndarray | None  # or not given


class Batch(NamedTuple):
    """Some rows: the network's keyword arguments, and what is known of their labels.

    ``labels`` and ``weights`` are of shape (batch, n_tasks); a weight of 0 stands for
    a label that was not observed, weights of None for all ones. ``groups`` of shape
    (batch,) are codes of the rows' groups, where a loss asks for them.
    """

    inputs: dict[str, Any]
    labels: Any = None
    weights: Any = None
    groups: Any = None


def side_by_side(batches: Sequence[Batch]) -> Batch:
    """Batches of one size as one with a leading axis; bags are a list for each."""
    inputs = {
        key: [one.inputs[key] for one in batches]
        if isinstance(value, list)
        else torch.stack([one.inputs[key] for one in batches])
        for key, value in batches[0].inputs.items()
    }
    known = zip(*(one[1:] for one in batches), strict=True)
    return Batch(inputs, *(None if t[0] is None else torch.stack(t) for t in known))


class Source(ABC):
    """Rows that come in batches; training knows nothing else of them.

    Attributes
    ----------
    n_rows : int
    device : torch.device
        On which batches arrive.
    knows_ranks : bool
        Whether :meth:`read` gives each of several processes a share of its own.
    """

    n_rows: int
    device: torch.device
    knows_ranks = False

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
    ) -> Iterator[Batch]:
        """Yield all rows once, `batch_size` at a time.

        Parameters
        ----------
        batch_size : int
            Rows of a batch, over all ranks together.
        seed, epoch : int, default=None, 0
            They alone decide the order, so that any epoch can be drawn again without
            the ones before it. Without a seed, rows come in order.
        rank, world_size : int, default=0, 1
            Of so many processes, which of them asks: each gets its share of each batch.
        start : int, default=0
            So many batches are left out at the beginning.

        Yields
        ------
        Batch

        Raises
        ------
        ValueError
            For a world size above one, of a source that does not know of ranks.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} is none of world_size={world_size} ranks.")
        if world_size > 1 and not self.knows_ranks:
            raise ValueError(
                f"{type(self).__name__} does not know of ranks: with "
                f"world_size={world_size}, each of them would train on all rows."
            )
        return self.read(Order(batch_size, seed, epoch, rank, world_size, start))

    @abstractmethod
    def read(self, order: Order) -> Iterator[Batch]:
        """The batches in that order, which a source of one's own has to give."""

    def close(self) -> None:  # noqa: B027 - most have taken nothing
        """Free what it has taken beside memory: called when training has ended."""


class Order(NamedTuple):
    """Which rows come when; see :meth:`Source.batches`."""

    batch_size: int
    seed: int | None = None
    epoch: int = 0
    rank: int = 0
    world_size: int = 1
    start: int = 0


class ArraySource(Source):
    """Batches from arrays in memory, sliced directly and not copied before.

    The arrays are moved to a CUDA device once, if that leaves it room to work.
    Otherwise they stay where they are, and each batch is moved while the device works
    on the one before.

    Parameters
    ----------
    fields : Fields
    labels, weights : ndarray of shape (n_rows, n_tasks), default=None
        Of `rows`, where these are given. Labels of one byte are kept so.
    groups : ndarray of shape (n_rows,), integer, default=None
        Codes of the groups of `rows`. With them, shuffled rows of one group come in
        runs of at most an eighth of a batch.
    rows : ndarray of shape (n_rows,), integer, default=None
        The rows of `fields` to yield; None is all of them.
    device : str or torch.device, default="cpu"
    dtype : torch.dtype, default=torch.float32
        Of everything but codes.
    """

    def __init__(
        self,
        fields: Fields,
        labels: Given = None,
        weights: Given = None,
        groups: Given = None,
        *,
        rows: Given = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        resident = fits(size_of(fields, dtype), self.device)
        self.home = self.device if resident else torch.device("cpu")
        self.codes: Any = self._exact(fields.codes)
        self.numbers: Any = self._floats(fields.numbers)
        self.bags = [
            Members(
                self._exact(b.members), self._exact(b.offsets), self._floats(b.weights)
            )
            for b in fields.bags
        ]
        self._ends = [bag.offsets for bag in fields.bags]
        self._choose(rows, labels, weights, groups)

    def part(
        self,
        rows: Given,
        labels: Given = None,
        weights: Given = None,
        groups: Given = None,
    ) -> ArraySource:
        """A source of some of the rows, on the same memory."""
        part = copy.copy(self)
        part._choose(rows, labels, weights, groups)
        return part

    def _choose(
        self, rows: Given, labels: Given, weights: Given, groups: Given
    ) -> None:
        if rows is not None:
            rows = rows.astype(row_type(len(self.codes)), copy=False)
        self._rows = rows  # as `rows`, but always in the processor's memory
        self.rows = None if rows is None else tensor_of(rows).to(self.home)
        self.n_rows = len(self.codes if rows is None else rows)
        small = labels is not None and labels.dtype.itemsize == 1
        self.labels: Any = (self._exact if small else self._floats)(labels)
        self.weights: Any = self._floats(weights)
        self._groups = None if groups is None else tensor_of(groups.astype(np.int64))
        self.groups = None if self._groups is None else self._groups.to(self.home)

    def _exact(self, array: Any) -> Tensor:
        return tensor_of(array).to(self.home)

    def _floats(self, array: Given) -> Tensor | None:
        return None if array is None else tensor_of(array).to(self.home, self.dtype)

    knows_ranks = True

    def read(self, order: Order) -> Iterator[Batch]:
        batches = self._slices(order) if order.seed is None else self._shuffled(order)
        return batches if self.home == self.device else sent_ahead(batches, self.device)

    def _slices(self, order: Order) -> Iterator[Batch]:
        first = order.start * order.batch_size
        for begin in range(first, self.n_rows, order.batch_size):
            end = min(begin + order.batch_size, self.n_rows)
            own = slice(begin + order.rank, end, order.world_size)
            yield self._take(own, own)

    def _shuffled(self, order: Order) -> Iterator[Batch]:
        generator = generator_of(order.seed or 0, "shuffle", order.epoch)
        size = order.batch_size
        kind = torch.from_numpy(np.empty(0, row_type(self.n_rows))).dtype
        rows = torch.randperm(self.n_rows, generator=generator, dtype=kind)
        if self._groups is not None:
            most = max(2, size // RUNS_IN_BATCH)
            rows = rows[in_runs(_select(self._groups, rows), most, generator)]
        here, there = rows.numpy(), rows.to(self.home)
        for begin in range(order.start * size, self.n_rows, size):
            own = slice(begin + order.rank, begin + size, order.world_size)
            yield self._take(there[own], here[own])

    def _take(self, at: Tensor | slice, here: Any) -> Batch:
        """The rows at some places of `rows`, which the processor knows as `here`."""
        rows = at if self.rows is None else _select(self.rows, at)
        codes, numbers = _select(self.codes, rows), _select(self.numbers, rows)
        inputs: dict[str, Any] = {"codes": codes, "numbers": numbers}
        if self.bags:
            own = here if self._rows is None else self._rows[here]
            bags = zip(self.bags, self._ends, strict=True)
            inputs["bags"] = [
                _take_members(bag, rows, *_span(ends, own)) for bag, ends in bags
            ]
        labels = None if self.labels is None else _select(self.labels, at)
        weights = None if self.weights is None else _select(self.weights, at)
        labels = None if labels is None else labels.to(self.dtype)
        groups = None if self.groups is None else _select(self.groups, at)
        return Batch(inputs, labels, weights, groups)


def in_runs(groups: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """A random order of rows in which those of a group come in runs of so many.

    A larger group has several runs, of its rows in the order in which they are given.

    Examples
    --------
    >>> groups = torch.tensor([7, 3, 7, 3, 7])
    >>> groups[in_runs(groups, 2, torch.Generator().manual_seed(0))]
    tensor([7, 7, 7, 3, 3])
    """
    by_group = groups.argsort(stable=True)
    _, sizes = groups[by_group].unique_consecutive(return_counts=True)
    place = torch.arange(len(groups)) - (sizes.cumsum(0) - sizes).repeat_interleave(
        sizes
    )
    run = (place % most == 0).cumsum(0) - 1
    rank = torch.randperm(int(run[-1]) + 1, generator=generator)
    return by_group[rank[run].argsort(stable=True)]


RUNS_IN_BATCH = 8  # of rows of one group, at least, where these come together
RESIDENT_SHARE = 0.5  # of a device's free memory, that data may take for good


def size_of(fields: Fields, dtype: torch.dtype) -> int:
    """Bytes of a table as tensors with numbers of a dtype."""
    bags = fields.bags
    exact = [fields.codes, *(array for b in bags for array in (b.members, b.offsets))]
    floats = [fields.numbers, *(b.weights for b in bags if b.weights is not None)]
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
    sent: Iterator[Any] = (_send(batch, device, stream) for batch in batches)
    for one, _ in pairwise(chain(sent, [None])):
        yield _receive(*one)


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
    if sent is not None:
        stream = torch.cuda.current_stream(batch.inputs["codes"].device)
        stream.wait_event(sent)  # the device waits, not the processor
        # memory that this stream still reads
        _each(batch, lambda tensor: tensor.record_stream(stream))
    return batch


def _each(batch: Batch, function: Callable[[Tensor], Any]) -> Batch:
    """The batch with a function applied to each of its tensors."""

    def applied(tensor: Any) -> Any:
        return None if tensor is None else function(tensor)

    inputs = {
        key: [Members(*map(applied, bag)) for bag in value]
        if isinstance(value, list)
        else function(value)
        for key, value in batch.inputs.items()
    }
    return Batch(inputs, *map(applied, batch[1:]))


def tensor_of(array: np.ndarray) -> Tensor:
    """A tensor on the array's memory where torch may write to it, else on a copy."""
    array = np.asarray(array, order="C")
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def row_type(n_rows: int) -> type[np.signedinteger]:
    """Row numbers of half the memory where they fit."""
    return np.int32 if n_rows < 2**31 else np.int64


def _select(tensor: Tensor, rows: Tensor | slice) -> Tensor:
    # index_select takes a third of the time of an index in brackets
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


def _span(ends: np.ndarray, rows: Any) -> tuple[int, int]:
    """Where the first row's members begin, and how many all rows have.

    Read in the processor's memory, so that it need not wait for the device.
    """
    starts = ends[:-1][rows]
    n_members = int((ends[1:][rows] - starts).sum())
    return int(starts[0]) if len(starts) else 0, n_members


def _take_members(
    bag: Members, rows: Tensor | slice, first: int, n_members: int
) -> Members:
    starts = bag.offsets[:-1][rows]
    lengths = bag.offsets[1:][rows] - starts
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    if isinstance(rows, slice) and rows.step in (None, 1):
        where: Tensor | slice = slice(first, first + n_members)
    else:
        shift = torch.repeat_interleave(
            starts - offsets[:-1], lengths, output_size=n_members
        )
        where = torch.arange(n_members, device=shift.device) + shift
    weights = None if bag.weights is None else bag.weights[where]
    return Members(bag.codes[where], offsets, weights)
