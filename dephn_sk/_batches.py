"""Where batches come from.

A source is anything with a length (its rows) and a method
``batches(batch_size, seed=None, epoch=0)`` that yields :class:`Batch` objects: in
order without a seed, otherwise shuffled by (seed, epoch) alone, so that any epoch can
be drawn again without having drawn the ones before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .nn import Members
from .preprocessing import Fields


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

    Parameters
    ----------
    fields : Fields
    labels, weights : ndarray of shape (n_rows, n_tasks), default=None
        Of `rows`, where these are given.
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
        def floats(array: np.ndarray | None) -> Tensor | None:
            return None if array is None else _tensor(array).to(device, dtype=dtype)

        self.device = torch.device(device)
        self.rows = None
        if rows is not None:
            self.rows = torch.from_numpy(rows.astype(_index_type(len(fields))))
            self.rows = self.rows.to(device)
        self.codes = _tensor(fields.codes).to(device)
        self.numbers = floats(fields.numbers)
        self.bags = [
            Members(
                _tensor(bag.members).to(device),
                _tensor(bag.offsets).to(device),
                floats(bag.weights),
            )
            for bag in fields.bags
        ]
        self.labels = floats(labels)
        self.weights = floats(weights)

    def __len__(self) -> int:
        return len(self.codes if self.rows is None else self.rows)

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0
    ) -> Iterator[Batch]:
        """Yield all rows once, `batch_size` at a time."""
        if seed is None:
            for start in range(0, len(self), batch_size):
                yield self._take(slice(start, start + batch_size))
            return
        generator = generator_of(seed, "shuffle", epoch)
        kind = torch.from_numpy(np.empty(0, _index_type(len(self)))).dtype
        order = torch.randperm(len(self), generator=generator, dtype=kind)
        for rows in order.to(self.device).split(batch_size):
            yield self._take(rows)

    def _take(self, at: Tensor | slice) -> Batch:
        rows = at if self.rows is None else _select(self.rows, at)
        inputs: dict = {
            "codes": _select(self.codes, rows),
            "numbers": _select(self.numbers, rows),
        }
        if self.bags:
            inputs["bags"] = [_take_members(bag, rows) for bag in self.bags]
        return Batch(
            inputs,
            None if self.labels is None else _select(self.labels, at),
            None if self.weights is None else _select(self.weights, at),
        )


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


def _index_type(n_rows: int) -> type[np.signedinteger]:
    """Row numbers of half the memory where they fit."""
    return np.int32 if n_rows < 2**31 else np.int64


def _select(tensor: Tensor, rows: Tensor | slice) -> Tensor:
    # index_select takes a third of the time of an index in brackets
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


def _take_members(bag: Members, rows: Tensor | slice) -> Members:
    starts = bag.offsets[:-1][rows]
    lengths = bag.offsets[1:][rows] - starts
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    if isinstance(rows, slice):
        first = int(starts[0])
        where: Tensor | slice = slice(first, first + int(offsets[-1]))
    else:
        shift = torch.repeat_interleave(starts - offsets[:-1], lengths)
        where = torch.arange(len(shift), device=shift.device) + shift
    weights = None if bag.weights is None else bag.weights[where]
    return Members(bag.codes[where], offsets, weights)
