"""Multi-valued fields: which codes each row's members have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import CodedBag, Column
from dephn_sk.preprocessing._fields import Bag
from dephn_sk.preprocessing._lists import read_lists


class MultiValued:
    """A column whose rows have any number of codes.

    Parameters
    ----------
    coder : Vocabulary, Hashing or Encoded
        Gives the members' codes.
    mode : {"mean", "sum", "max"}
        How the rows of a bag's members are pooled.
    delimiter : str or None
        Where to split text.
    has_lists : bool
        Whether the rows hold lists; otherwise a value each, of several hashes.
    """

    def __init__(self, coder: Any, mode: str, delimiter: str | None, has_lists: bool):
        self.coder = coder
        self.mode = mode
        self.delimiter = delimiter
        self.has_lists = has_lists

    def count(self, column: Column, weight: NDArray | None) -> float:
        """Let the coder count the members; give the weight of those present."""
        if not self.has_lists:
            return self.coder.count(column, weight)
        lists, rows = read_lists(column, self.delimiter)
        if rows is not None:
            weight = np.bincount(rows, weight, len(lists))
        if weight is not None:
            weight = np.repeat(weight, np.diff(lists.offsets))
        return self.coder.count(Column(column.name, lists.members), weight)

    def encode(self, column: Column, weights: Column | None) -> Bag:
        """Each row's codes, and their weights from another column of lists."""
        if not self.has_lists:
            codes = self.coder.encode(column)
            return Bag(codes.ravel(), np.arange(len(codes) + 1) * codes.shape[1])
        lists, rows = read_lists(column, self.delimiter)
        codes = self.coder.encode(Column(column.name, lists.members))
        codes, ends = codes.astype(np.int32, copy=False), lists.offsets
        if codes.ndim == 2:
            codes, ends = codes.ravel(), ends * codes.shape[1]
        given = column.values.bag.weights if _is_coded(column) else None
        bag = Bag(codes, ends, given)
        bag = bag if rows is None else bag.take(rows)
        return bag if weights is None else self._weighted(bag, column.name, weights)

    def _weighted(self, bag: Bag, name: str, weights: Column) -> Bag:
        lists, rows = read_lists(weights, self.delimiter)
        numbers = Column(weights.name, lists.members).numbers()
        given = Bag(numbers, lists.offsets)
        given = given if rows is None else given.take(rows)
        n_hashes = getattr(self.coder, "n_hashes", 1)
        lengths, members = np.diff(given.offsets), np.diff(bag.offsets) // n_hashes
        if np.any(lengths != members):
            row = int(np.argmax(lengths != members))
            raise ValueError(
                f"Column {name!r} has {members[row]} members in row {row}, but its "
                f"weights {weights.name!r} have {lengths[row]}."
            )
        if not np.isfinite(given.members).all():
            raise ValueError(
                f"Column {weights.name!r} holds weights that are not finite."
            )
        return Bag(bag.members, bag.offsets, np.repeat(given.members, n_hashes))


def _is_coded(column: Column) -> bool:
    return isinstance(column.values, CodedBag)
