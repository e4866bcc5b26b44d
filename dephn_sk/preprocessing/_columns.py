"""One column of any table: its kind, its numbers, its dates, its distinct values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dephn_sk.preprocessing._distinct import (
    Distinct,
    distinct_values,
    is_missing,
    missing_mask,
)
from dephn_sk.preprocessing._fields import Bag


@dataclass(frozen=True)
class Categories:
    """A column as positions in values of any origin; -1 is missing."""

    positions: NDArray
    values: Any

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class Lists:
    """A column of lists: all rows' members, and where each row's begin and end."""

    members: Any
    offsets: NDArray

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Codes:
    """A column that an encoder has already turned into codes.

    ``table`` is a name that fields sharing one table have in common, or None.
    """

    codes: NDArray
    cardinality: int
    table: str | None = None

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class CodedBag:
    """A multi-valued column that an encoder has already turned into codes."""

    bag: Bag
    cardinality: int
    table: str | None = None
    mode: str = "mean"

    def __len__(self) -> int:
        return len(self.bag)


class Column:
    """A column's name and its values, which are read only when asked for.

    ``values`` is an ndarray, a masked array (nullable numbers), an array of pyarrow
    strings, or one of the classes above.
    """

    def __init__(self, name: str, values: Any):
        self.name = name
        self.values = values.toarray().ravel() if issparse(values) else values
        self._distinct: Distinct | None = None
        self._room: NDArray | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def kind(self) -> str:
        """A word for the values: number, bool, text, object, category, date, list or
        code."""
        values = self.values
        if isinstance(values, Codes | CodedBag):
            return "code"
        if isinstance(values, Categories):
            return "category"
        if isinstance(values, Lists):
            return "list"
        kind = values.dtype.kind if isinstance(values, np.ndarray) else "U"
        if kind == "O":
            first = self._first_present()
            if isinstance(first, list | np.ndarray):
                return "list"
            return "date" if isinstance(first, date) else "object"
        return {"b": "bool", "M": "date", "U": "text", "S": "text"}.get(kind, "number")

    def _first_present(self) -> Any:
        return next((value for value in self.values if not is_missing(value)), None)

    def converts_to_numbers(self) -> bool:
        """Whether a column of objects converts to numbers and holds no text."""
        try:
            np.asarray(_none_for_missing(self.values), dtype=np.float64)
        except ValueError:
            return False
        return not isinstance(self._first_present(), str)

    def numbers(self) -> NDArray:
        """The values as float64, NaN where missing."""
        values = self.values
        if isinstance(values, Categories):
            numbers = Column(self.name, values.values).numbers()
            return np.append(numbers, np.nan)[values.positions]
        if isinstance(values, Codes | Lists | CodedBag):
            held = "codes" if isinstance(values, Codes) else "lists"
            raise ValueError(
                f"Column {self.name!r} is numeric, but holds {held}. Give one number "
                "in each row."
            )
        if not isinstance(values, np.ndarray):
            values = values.to_numpy(zero_copy_only=False)
        if values.dtype.kind == "m":
            return values / np.timedelta64(1, "D")
        if isinstance(values, np.ma.MaskedArray):
            return values.astype(np.float64).filled(np.nan)
        try:
            return np.asarray(_none_for_missing(values), dtype=np.float64)
        except (TypeError, ValueError) as error:
            example = next(value for value in values.tolist() if not _is_number(value))
            raise ValueError(
                f"Column {self.name!r} is read as numbers, but holds {example!r}. Give "
                "numbers, or name the column in categorical_features."
            ) from error

    def instants(self) -> NDArray:
        """The values as datetime64, NaT where missing."""
        values = self.values
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            return values
        if isinstance(values, Categories):
            instants = Column(self.name, values.values).instants()
            return np.append(instants, np.datetime64("NaT"))[values.positions]
        try:
            if not isinstance(values, np.ndarray):
                values = values.to_numpy(zero_copy_only=False)
            if values.dtype.kind in "OU":
                return _none_for_missing(values).astype("datetime64[us]")
        except (AttributeError, TypeError, ValueError):
            pass
        raise ValueError(
            f"Column {self.name!r} held dates in fit, and now holds {self.example()!r}."
            " Convert it to datetime64."
        )

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
                "row. Give one value."
            )
        distinct = distinct_values(values, self.name)
        if distinct.positions.dtype == np.int32:  # hashed, not only subtracted from
            self._distinct = distinct
            if self._room is not None:
                self._room[:] = distinct.positions
                self._distinct = Distinct(self._room, distinct.values)
        return distinct

    def keep_in(self, room: NDArray) -> None:
        """Let `distinct` keep positions in memory that is there anyway, int32."""
        self._room = room

    def forget(self) -> None:
        """Free what `distinct` keeps, and keep no more in memory that was lent."""
        self._distinct = self._room = None

    def example(self) -> Any:
        """A value to show in a message."""
        values = self.values
        is_array = not isinstance(values, Categories | Codes | Lists | CodedBag)
        return values[:1].tolist()[0] if is_array and len(values) else self.kind


def _none_for_missing(values: NDArray) -> NDArray:
    """The values with None for pandas' NA, which numpy cannot convert."""
    if values.dtype.kind != "O":
        return values
    missing = missing_mask(values)
    return np.where(missing, None, values) if missing.any() else values


def _is_number(value: Any) -> bool:
    try:
        float(np.nan if value is None else value)
    except (TypeError, ValueError):
        return False
    return True
