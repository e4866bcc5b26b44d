"""One column of any table: its kind, its numbers, its distinct values, its lists."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from itertools import chain, repeat
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dephn_sk.preprocessing._distinct import Distinct, distinct_values, is_missing
from dephn_sk.preprocessing._fields import Bag

_LISTS = frozenset({list, tuple, np.ndarray})


@dataclass(frozen=True)
class Categories:
    """A column as positions in values of any origin; -1 is missing."""

    positions: NDArray
    values: Any


@dataclass(frozen=True)
class Lists:
    """A column of lists: all rows' members, and where each row's begin and end."""

    members: Any
    offsets: NDArray


@dataclass(frozen=True)
class Codes:
    """A column that an encoder has already turned into codes.

    ``table`` is a name that fields sharing one table have in common, or None.
    """

    codes: NDArray
    cardinality: int
    table: str | None = None


@dataclass(frozen=True)
class CodedBag:
    """A multi-valued column that an encoder has already turned into codes."""

    bag: Bag
    cardinality: int
    table: str | None = None
    mode: str = "mean"


class Column:
    """A column's name and its values, which are read only when asked for.

    ``values`` is an ndarray, a masked array (nullable numbers), an array of pyarrow
    strings, a scipy sparse column, or one of the classes above.
    """

    def __init__(self, name: str, values: Any):
        self.name = name
        self.values = values.toarray().ravel() if issparse(values) else values
        self._distinct: Distinct | None = None

    def __len__(self) -> int:
        if isinstance(self.values, Categories):
            return len(self.values.positions)
        if isinstance(self.values, Lists):
            return len(self.values.offsets) - 1
        if isinstance(self.values, Codes):
            return len(self.values.codes)
        return len(self.values.bag if isinstance(self.values, CodedBag) else self.values)

    @property
    def kind(self) -> str:
        """ "number", "bool", "text", "object", "category", "date", "list" or "code"."""
        values = self.values
        if isinstance(values, Codes | CodedBag):
            return "code"
        if isinstance(values, Categories):
            return "category"
        if isinstance(values, Lists):
            return "list"
        kind = values.dtype.kind if isinstance(values, np.ndarray) else "U"
        if kind == "O":
            first = self.first_present()
            if isinstance(first, list | np.ndarray):
                return "list"
            return "date" if isinstance(first, date) else "object"
        return {"b": "bool", "M": "date", "U": "text", "S": "text"}.get(kind, "number")

    def first_present(self) -> Any:
        """The first object that is not missing, or None."""
        return next((value for value in self.values if not is_missing(value)), None)

    def is_numeric(self) -> bool:
        """Whether a column of objects converts to numbers and holds no text."""
        try:
            np.asarray(_without_missing(self.values), dtype=np.float64)
        except ValueError:
            return False
        return not isinstance(self.first_present(), str)

    def numbers(self) -> NDArray:
        """The values as float64, NaN where missing."""
        values = self.values
        if isinstance(values, Categories):
            numbers = Column(self.name, values.values).numbers()
            return np.append(numbers, np.nan)[values.positions]
        if isinstance(values, Codes):
            return values.codes.astype(np.float64)
        if isinstance(values, Lists | CodedBag):
            raise ValueError(
                f"Column {self.name!r} is numeric, but holds lists. Give one number in "
                "each row."
            )
        if not isinstance(values, np.ndarray):
            values = values.to_numpy(zero_copy_only=False)
        if values.dtype.kind == "m":
            return values / np.timedelta64(1, "D")
        if isinstance(values, np.ma.MaskedArray):
            return values.astype(np.float64).filled(np.nan)
        return _floats(values, self.name)

    def instants(self) -> NDArray:
        """The values as datetime64, NaT where missing."""
        values = self.values
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            return values
        try:
            if isinstance(values, Categories):
                instants = Column(self.name, values.values).instants()
                return np.append(instants, np.datetime64("NaT"))[values.positions]
            if not isinstance(values, np.ndarray):
                values = values.to_numpy(zero_copy_only=False)
            if values.dtype.kind in "OU":
                return _without_missing(values).astype("datetime64[us]")
        except (TypeError, ValueError, AttributeError) as error:
            raise self._not_dates() from error
        raise self._not_dates()

    def _not_dates(self) -> ValueError:
        return ValueError(
            f"Column {self.name!r} held dates in fit, and now holds {self.example()!r}. "
            "Convert it to datetime64."
        )

    def example(self) -> Any:
        """A value to show in a message."""
        values = self.values
        return values[0] if isinstance(values, np.ndarray) else type(values).__name__

    @property
    def distinct(self) -> Distinct:
        """The values as positions in distinct values; kept where it took long."""
        if self._distinct is not None:
            return self._distinct
        values = self.values
        if isinstance(values, Categories):
            inner = Column(self.name, values.values).distinct
            positions = np.append(inner.positions, -1)[values.positions]
            return Distinct(positions, inner.values)
        if isinstance(values, Codes):
            return Distinct(values.codes, np.arange(values.cardinality))
        if isinstance(values, Lists | CodedBag):
            raise ValueError(
                f"Column {self.name!r} holds lists, but one value was expected in each "
                "row, as in fit."
            )
        distinct = distinct_values(values, self.name)
        if distinct.positions.dtype == np.int32:
            self._distinct = distinct
        return distinct

    def forget(self) -> None:
        """Free what `distinct` keeps."""
        self._distinct = None

    def lists(self, delimiter: str | None) -> tuple[Lists, NDArray | None]:
        """The column's lists, and which of them each row holds (None: its own)."""
        if delimiter is not None:
            return self._split(delimiter)
        if isinstance(self.values, Lists):
            return self.values, None
        if not isinstance(self.values, np.ndarray) or self.values.dtype.kind != "O":
            raise self._no_list(self.example())
        cells = self.values.copy()
        held = map(_LISTS.__contains__, map(type, cells))
        is_list = np.fromiter(held, bool, len(cells))
        for cell in dict.fromkeys(map(_Identity, cells[~is_list])):
            if not is_missing(cell.value):
                raise self._no_list(cell.value)
        cells[~is_list] = repeat_object((), len(cells) - is_list.sum())
        lengths = np.fromiter(map(len, cells), np.int64, len(cells))
        if len(cells) and set(map(type, cells[lengths > 0])) == {np.ndarray}:
            members = np.concatenate(cells[lengths > 0])
        else:
            members = object_array(list(chain.from_iterable(cells)))
        return Lists(members, offsets_of(lengths)), None

    def _split(self, delimiter: str) -> tuple[Lists, NDArray]:
        distinct = self.distinct
        texts = distinct.values.tolist()
        try:
            parts = list(map(str.split, texts, repeat(delimiter)))
        except TypeError as error:
            example = next(text for text in texts if not isinstance(text, str))
            raise ValueError(
                f"Column {self.name!r} is to be split at {delimiter!r}, but holds "
                f"{example!r}, which is no text."
            ) from error
        parts.append([])  # of the missing, at -1
        lengths = np.fromiter(map(len, parts), np.int64, len(parts))
        members = object_array(list(map(str.strip, chain.from_iterable(parts))))
        full = members != ""
        lists = np.repeat(np.arange(len(parts)), lengths)[full]
        lengths = np.bincount(lists, minlength=len(parts))
        rows = np.where(distinct.positions < 0, len(texts), distinct.positions)
        return Lists(members[full], offsets_of(lengths)), rows

    def _no_list(self, example: Any) -> ValueError:
        return ValueError(
            f"Column {self.name!r} holds lists, but also {example!r}, which is a "
            f"{type(example).__name__}. Give a list in each row; name delimited text in "
            "delimiters."
        )


class _Identity:
    """Wraps a cell that may not be hashable, one for each type."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return hash(type(self.value))

    def __eq__(self, other: object) -> bool:
        return type(self.value) is type(other.value)
