"""A pandas column of coded bags. Imports pandas, so it is itself imported late.

An extension dtype rather than objects: the number of codes travels in the dtype, as it
does for categories, through slices, copies, joins, splits and pickles; and a million
lists stay three arrays instead of a million Python objects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray, ExtensionDtype, take
from pandas.api.indexers import check_array_indexer

from dephn_sk.preprocessing._columns import CodedBag
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._fields import Bag, offsets


class BagDtype(ExtensionDtype):
    """Bags of codes below ``cardinality``, to be pooled by ``mode``."""

    type = np.ndarray
    kind = "O"
    _metadata = ("cardinality", "table", "mode")

    def __init__(self, cardinality: int, table: str | None = None, mode: str = "mean"):
        self.cardinality = cardinality
        self.table = table
        self.mode = mode

    @property
    def name(self) -> str:
        table = "" if self.table is None else f", {self.table}"
        return f"bag[{self.cardinality}, {self.mode}{table}]"

    @classmethod
    def construct_array_type(cls) -> Any:
        return BagArray


class BagArray(ExtensionArray):
    """Coded bags as a pandas array; an element is an ndarray of codes."""

    def __init__(self, bag: Bag, dtype: BagDtype):
        self.bag = bag
        self._dtype = dtype

    @classmethod
    def _from_sequence(
        cls, scalars: Any, *, dtype: Any = None, copy: bool = False
    ) -> BagArray:
        if isinstance(scalars, cls):
            return scalars
        bags = [np.asarray(one, dtype=np.int32) for one in scalars]
        lengths = np.fromiter(map(len, bags), np.int64, len(bags))
        members = np.concatenate([np.empty(0, dtype=np.int32), *bags])
        if dtype is None:
            dtype = BagDtype(int(members.max(initial=0)) + 1)
        return cls(Bag(members, offsets(lengths)), dtype)

    @property
    def dtype(self) -> BagDtype:
        return self._dtype

    @property
    def coded(self) -> CodedBag:
        """The bags with what the dtype says of them."""
        dtype = self._dtype
        return CodedBag(self.bag, dtype.cardinality, dtype.table, dtype.mode)

    @property
    def nbytes(self) -> int:
        arrays = (self.bag.members, self.bag.offsets, self.bag.weights)
        return sum(array.nbytes for array in arrays if array is not None)

    def __len__(self) -> int:
        return len(self.bag)

    def __getitem__(self, item: Any) -> Any:
        item = check_array_indexer(self, item)
        if isinstance(item, int | np.integer):
            row = range(len(self))[item]
            begin, end = self.bag.offsets[row : row + 2]
            return self.bag.members[begin:end]
        return type(self)(self.bag.take(np.arange(len(self))[item]), self._dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return object_array([self[row] for row in range(len(self))])

    def __eq__(self, other: Any) -> Any:
        if not isinstance(other, type(self)) or len(self) != len(other):
            return NotImplemented
        pairs = zip(self, other, strict=True)
        return np.array([np.array_equal(one, two) for one, two in pairs], dtype=bool)

    def isna(self) -> NDArray:
        return np.zeros(len(self), dtype=bool)

    def copy(self) -> BagArray:
        return self[:]

    def take(
        self, indices: Any, *, allow_fill: bool = False, fill_value: Any = None
    ) -> BagArray:
        # A filled row is an empty bag, which is put after the last.
        rows = np.arange(len(self))
        rows = take(rows, np.asarray(indices), allow_fill=allow_fill, fill_value=-1)
        ends = np.append(self.bag.offsets, self.bag.offsets[-1])
        empty = replace(self.bag, offsets=ends)
        return type(self)(empty.take(rows), self._dtype)

    @classmethod
    def _concat_same_type(cls, to_concat: Any) -> BagArray:
        bags, weights = [array.bag for array in to_concat], None
        if any(bag.weights is not None for bag in bags):
            given = (np.ones(1) if b.weights is None else b.weights for b in bags)
            pairs = zip(given, bags, strict=True)
            weights = np.concatenate(
                [np.broadcast_to(one, len(bag.members)) for one, bag in pairs]
            )
        lengths = np.concatenate([np.diff(bag.offsets) for bag in bags])
        members = np.concatenate([bag.members for bag in bags])
        return cls(Bag(members, offsets(lengths), weights), to_concat[0].dtype)
