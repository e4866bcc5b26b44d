"""One column of any table: its kind, its numbers, its dates, its distinct values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import filterfalse
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dephn_sk.preprocessing._distinct import (
    Distinct,
    distinct_values,
    is_missing,
    missing_mask,
    object_array,
)
from dephn_sk.preprocessing._fields import Bag
from dephn_sk.preprocessing._instants import Instants, from_objects, from_texts
from dephn_sk.preprocessing._spelling import shown

_KINDS = {
    "b": "bool",
    "M": "date",
    "m": "duration",
    "U": "text",
    "S": "text",
    "c": "complex",
}
_DATES = (date, np.datetime64)
_DURATIONS = (timedelta, np.timedelta64)
_KINDS_OF_OBJECTS = (
    ((list, np.ndarray), "list"),
    (_DATES, "date"),
    (_DURATIONS, "duration"),
)
_NUMBERS = (int, float, np.number, Decimal, Fraction)
# What Python makes a float of, though it is no number.
_NO_NUMBERS = (complex, np.complexfloating, np.ndarray, *_DATES, *_DURATIONS)


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
    strings, `Instants` (dates with a time zone), or one of the classes above.
    """

    def __init__(self, name: str, values: Any):
        self.name = name
        self.values = values.toarray().ravel() if issparse(values) else values
        self._distinct: Distinct | None = None
        self._room: NDArray | None = None

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def kind(self) -> str:
        """A word for the values: number, bool, text, object, category, date, duration,
        list, complex or code.

        Objects are numbers where all are, and one has a fraction.
        """
        values = self.values
        if isinstance(values, Codes | CodedBag):
            return "code"
        if isinstance(values, Categories):
            return "category"
        if isinstance(values, Lists):
            return "list"
        if isinstance(values, Instants):
            return "date"
        if not isinstance(values, np.ndarray):
            return "text"
        if values.dtype.kind != "O":
            return _KINDS.get(values.dtype.kind, "number")
        first = self._first_present()
        for types, kind in _KINDS_OF_OBJECTS:
            if isinstance(first, types):
                return kind
        return "number" if _has_fractions(first, values) else "object"

    def _first_present(self) -> Any:
        return next((value for value in self.values if not is_missing(value)), None)

    @property
    def _is_missing(self) -> bool:
        """Whether no row holds anything, so that the kind says nothing."""
        values = self.values
        if isinstance(values, Categories):
            return bool(np.all(values.positions < 0))
        if isinstance(values, Instants):
            values = values.values
        if isinstance(values, Codes | Lists | CodedBag):
            return False
        if isinstance(values, np.ma.MaskedArray):
            return bool(np.ma.getmaskarray(values).all())
        if not isinstance(values, np.ndarray):
            return values.null_count == len(values)
        if values.dtype.kind == "O":
            return self._first_present() is None
        return values.dtype.kind in "fmM" and bool(np.isnan(values).all())

    def converts_to_numbers(self) -> bool:
        """Whether a column of objects converts to numbers and holds no text."""
        try:
            self.numbers()
        except ValueError:
            return False
        return not isinstance(self._first_present(), str)

    def numbers(self) -> NDArray:
        """The values as float64, NaN where missing."""
        values = self.values
        if isinstance(values, Codes | Lists | CodedBag):
            held = "codes" if isinstance(values, Codes) else "lists"
            raise ValueError(
                f"Column {self.name!r} is numeric, but holds {held}. Give one number "
                "in each row."
            )
        if self.kind in ("date", "duration", "list", "complex"):
            return self._missing_or("is read as numbers, but")
        if isinstance(values, Categories):
            numbers = Column(self.name, values.values).numbers()
            return np.append(numbers, np.nan)[values.positions]
        if not isinstance(values, np.ndarray):
            values = values.to_numpy(zero_copy_only=False)
        if isinstance(values, np.ma.MaskedArray):
            return np.ma.filled(values.astype(np.float64), np.nan)
        try:
            if values.dtype.kind == "O":
                values = _none_for_missing(values)
                _refuse(values, _NO_NUMBERS)
            return np.asarray(values, dtype=np.float64)
        except Exception as error:  # whatever the conversion of an object raises
            example = next(filterfalse(_converts, values.tolist()), self.example())
            raise ValueError(
                f"Column {self.name!r} is read as numbers, but holds {shown(example)}. "
                "Give numbers, or name the column in categorical_features."
            ) from error

    def durations(self) -> NDArray:
        """The values in days, NaN where missing."""
        values = self.values
        if isinstance(values, Categories):
            days = Column(self.name, values.values).durations()
            return np.append(days, np.nan)[values.positions]
        if self.kind == "duration" and values.dtype.kind == "O":
            values = _none_for_missing(values)
            if all(v is None or isinstance(v, _DURATIONS) for v in values):
                return values.astype("timedelta64[us]") / np.timedelta64(1, "D")
        elif self.kind == "duration":
            return values / np.timedelta64(1, "D")
        return self._missing_or("held durations in fit, and now", _DURATIONS)

    @property
    def zone(self) -> str | None:
        """The time zone of a column of dates, if it has one."""
        return self.instants().zone

    def instants(self) -> Instants:
        """The values as instants."""
        values = self.values
        if isinstance(values, Instants):
            return values
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            return Instants(values)
        if isinstance(values, Categories):
            inner = Column(self.name, values.values).instants()
            instants = np.append(inner.values, np.datetime64("NaT"))
            return Instants(instants[values.positions], inner.zone)
        if self.kind in ("text", "date", "object"):
            try:
                return self._parsed_instants()
            except Exception:  # whatever the conversion of an object raises
                pass
        self._missing_or("held dates in fit, and now", _DATES)
        return Instants(np.full(len(self), "NaT", dtype="datetime64[us]"))

    def _parsed_instants(self) -> Instants:
        """Objects or text as instants."""
        distinct = self.distinct
        listed = [*distinct.values.tolist(), None]
        if isinstance(listed[0], str):
            found = from_texts(listed[:-1])
            found = Instants(np.append(found.values, np.datetime64("NaT")), found.zone)
        else:
            found = from_objects(listed)
        return Instants(found.values[distinct.positions], found.zone)

    def instants_as_in(self, zone: str | None) -> NDArray:
        """The values as instants of a column that had this zone in `fit`."""
        found = self.instants()
        if (found.zone is None) != (zone is None) and not self._is_missing:
            had, has = (
                "no time zone" if one is None else f"the time zone {one!r}"
                for one in (zone, found.zone)
            )
            raise ValueError(
                f"Column {self.name!r} held dates of {had} in fit, and now holds dates "
                f"of {has}. Convert them to what they were."
            )
        return found.values

    def _missing_or(self, why_not: str, wanted: tuple[type, ...] = ()) -> NDArray:
        """NaN in all rows, if nothing is there; else an error."""
        if self._is_missing:
            return np.full(len(self), np.nan)
        example = self.example()
        if self.kind in ("date", "duration") and isinstance(self.values, np.ndarray):
            others = (v for v in self.values.tolist() if not isinstance(v, wanted))
            example = next((v for v in others if not is_missing(v)), example)
        raise ValueError(
            f"Column {self.name!r} {why_not} holds {shown(example)}. Convert it to "
            "what it was in fit, or name it in categorical_features."
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
        if isinstance(values, Instants):
            distinct = distinct_values(values.values, self.name)
            in_utc = [one.replace(tzinfo=UTC) for one in distinct.values]
            distinct = Distinct(distinct.positions, object_array(in_utc))
        else:
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
        """A value to show in a message, if possible one that is not missing."""
        values = self.values
        if isinstance(values, Categories):
            return Column(self.name, values.values).example()
        if isinstance(values, Instants):
            values = values.values
        if not isinstance(values, np.ndarray):
            return self.kind if self.kind != "text" else values.drop_null()[0].as_py()
        if values.dtype.kind in "mM":
            return str(values[~np.isnat(values)][0])
        present = values[~missing_mask(values)] if values.dtype.kind == "O" else values
        return [*present[:1].tolist(), None][0]


def _none_for_missing(values: NDArray) -> NDArray:
    """The values with None for pandas' NA, which numpy cannot convert."""
    if values.dtype.kind != "O":
        return values
    missing = missing_mask(values)
    if missing.any():
        values = values.copy()
        values[missing] = None
    return values


def _refuse(values: NDArray, types: tuple[type, ...]) -> None:
    """Raise TypeError where an object is of one of these types."""
    if any(issubclass(one, types) for one in set(map(type, values.tolist()))):
        raise TypeError("some objects are no numbers")


def _has_fractions(first: Any, values: NDArray) -> bool:
    """Whether all objects that are not missing are numbers, and not all whole."""
    if not isinstance(first, _NUMBERS) or isinstance(first, bool):
        return False
    present = values[~missing_mask(values)]
    types = set(map(type, present.tolist()))
    if bool in types or not all(issubclass(one, _NUMBERS) for one in types):
        return False
    if all(issubclass(one, int | np.integer) for one in types):
        return False
    try:
        _refuse(present, _NO_NUMBERS)
        numbers = present.astype(np.float64)
    except (ArithmeticError, TypeError, ValueError):
        return False
    return bool(np.any(np.isfinite(numbers) & (numbers != np.trunc(numbers))))


def _converts(value: Any) -> bool:
    """Whether an object is a number."""
    if isinstance(value, _NO_NUMBERS):
        return False
    try:
        float(np.nan if value is None else value)
    except Exception:  # whatever the conversion raises
        return False
    return True
