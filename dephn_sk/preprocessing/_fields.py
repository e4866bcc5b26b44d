"""The encoded table: what every encoder gives and every network takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def offsets(lengths: NDArray) -> NDArray:
    """Where lists of these lengths begin and end, one after the other."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@dataclass(frozen=True)
class Bag:
    """One multi-valued field, padded nowhere (compressed sparse rows).

    Attributes
    ----------
    members : ndarray of shape (n_members,), integer
        Codes of all rows' members, one row after the other.
    offsets : ndarray of shape (n_rows + 1,), int64
        Row ``i`` holds ``members[offsets[i]:offsets[i + 1]]``; it may be empty.
    weights : ndarray of shape (n_members,) or None
        A weight for each member.
    """

    members: NDArray
    offsets: NDArray
    weights: NDArray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray) -> Bag:
        """The bag of the given rows, in their order.

        >>> bag = Bag(np.array([7, 8, 9]), np.array([0, 2, 2, 3]))
        >>> bag.take(np.array([2, 1, 0])).members
        array([9, 7, 8])
        """
        starts, lengths = self.offsets[rows], np.diff(self.offsets)[rows]
        ends = offsets(lengths)
        where = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
        weights = None if self.weights is None else self.weights[where]
        return Bag(self.members[where], ends, weights)


@dataclass(frozen=True)
class Fields:
    """A table as the networks read it: codes, numbers and bags, row by row.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_categorical), integer
        Categorical fields; 0 is the row that unseen values share.
    numbers : ndarray of shape (n_rows, n_numeric), floating
        Numeric fields; NaN is missing.
    bags : tuple of Bag
        Multi-valued fields.
    """

    codes: NDArray
    numbers: NDArray
    bags: tuple[Bag, ...] = ()

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray) -> Fields:
        """The fields of the given rows, in their order."""
        return Fields(
            self.codes[rows],
            self.numbers[rows],
            tuple(bag.take(rows) for bag in self.bags),
        )
