"""One column of any table: its kind, its numbers, its dates, its distinct values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dephn_sk.preprocessing._distinct import (
    FEW,
    Distinct,
    distinct_values,
    is_missing,
    missing_mask,
    object_array,
)
from dephn_sk.preprocessing._fields import Bag
from dephn_sk.preprocessing._instants import Instants, parse
from dephn_sk.preprocessing._lookup import Lookup
from dephn_sk.preprocessing._spelling import shown


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


_KINDS: dict[Any, str] = {
    Categories: "category",
    Lists: "list",
    Codes: "code",
    CodedBag: "code",
    Instants: "date",
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
_TEXT_OR_NAN = {str, NoneType, float}
_KEPT = 4096  # rows of which everything is kept
_NUMBERS = (int, float, np.number, Decimal, Fraction)
# What Python makes a float of, though it is no number.
_NO_NUMBERS = (complex, np.complexfloating, np.ndarray, *_DATES, *_DURATIONS)


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
        self._found: tuple[Lookup, NDArray] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def is_cut_into(self, n_rows: int) -> bool:
        """Whether so many rows are read as they are among all, and for less.

        Objects are numbers where all are, lists are cut out of one array of members,
        and the values of categories are read in each block.
        """
        values = self.values
        if isinstance(values, np.ndarray):
            return values.dtype.kind != "O"
        if isinstance(values, Categories):
            return len(values.values) <= n_rows
        return not isinstance(values, Lists | CodedBag)

    def cut(self, rows: slice) -> Column:
        """Some rows of a column that is cut."""
        values = self.values
        if isinstance(values, Categories):
            new = Column(self.name, Categories(values.positions[rows], values.values))
            vars(new)["_categories"] = self._categories  # what is found of them is kept
            return new
        if isinstance(values, Codes):
            values = replace(values, codes=values.codes[rows])
        elif isinstance(values, Instants):
            values = replace(values, values=values.values[rows])
        else:
            values = values[rows]
        return Column(self.name, values)

    @cached_property
    def kind(self) -> str:
        """A word for the values: number, bool, text, object, category, date, duration,
        list, complex or code.

        Objects are numbers where all are, and one has a fraction.
        """
        values = self.values
        if not isinstance(values, np.ndarray):
            return _KINDS.get(type(values), "text")
        if values.dtype.kind != "O":
            return _KINDS.get(values.dtype.kind, "number")
        first = self.example()
        for types, kind in _KINDS_OF_OBJECTS:
            if isinstance(first, types):
                return kind
        is_number = isinstance(first, _NUMBERS) and _has_fractions(values)
        return "number" if is_number else "object"

    def example(self) -> Any:
        """A value to show in a message; None where all are missing."""
        values = self.values
        if isinstance(values, Codes | CodedBag | Lists):
            return self.kind
        if isinstance(values, Categories):
            some = np.any(values.positions >= 0)
            return self._categories.example() if some else None
        if isinstance(values, Instants):
            values = values.values
        if not isinstance(values, np.ndarray):  # pyarrow's
            return [*values.drop_null()[:1].to_pylist(), None][0]
        if values.dtype.kind == "O":
            return next((value for value in values if not is_missing(value)), None)
        present = values[~missing_mask(values)][:1]
        if values.dtype.kind in "mM":
            present = present.astype(str)
        return [*present.tolist(), None][0]

    @cached_property
    def _categories(self) -> Column:
        """The values of categories as a column of their own."""
        return Column(self.name, self.values.values)

    def converts_to_numbers(self) -> bool:
        """Whether a column of objects converts to numbers and holds no text."""
        is_text = isinstance(self.example(), str)
        return not is_text and _as_floats(self.values) is not None

    def numbers(self) -> NDArray:
        """The values as float64, NaN where missing."""
        values = self.values
        if isinstance(values, Categories):
            return np.append(self._categories.numbers(), np.nan)[values.positions]
        if self.kind not in ("code", "list", "date", "duration", "complex"):
            numbers = _as_floats(values)
            if numbers is not None:
                return numbers
        return self._missing_or(
            "numbers", lambda v: _as_floats(object_array([v])) is not None
        )

    def durations(self) -> NDArray:
        """The values in days, NaN where missing."""
        values = self.values
        if isinstance(values, Categories):
            return np.append(self._categories.durations(), np.nan)[values.positions]
        if self.kind == "duration":
            if values.dtype.kind == "m":
                return values / np.timedelta64(1, "D")
            values = _none_for_missing(values)
            if all(v is None or isinstance(v, _DURATIONS) for v in values):
                return values.astype("timedelta64[us]") / np.timedelta64(1, "D")
        return self._missing_or("durations", lambda v: isinstance(v, _DURATIONS))

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
            return self._categories.instants().at(values.positions)
        if self.kind in ("text", "date", "object"):
            try:
                distinct = self.distinct
                found = parse(distinct.values.tolist())
                return found.at(distinct.positions)
            except Exception:  # whatever the conversion of an object raises
                pass
        nothing = self._missing_or("dates", lambda v: isinstance(v, _DATES))
        return Instants(nothing.astype("datetime64[us]"))

    def instants_as_in(self, zone: str | None) -> NDArray:
        """The values as instants of a column that had this zone in `fit`."""
        found = self.instants()
        if (found.zone is None) != (zone is None) and self.example() is not None:
            raise ValueError(
                f"Column {self.name!r} held dates of the time zone {zone} in fit, and "
                f"now holds dates of {found.zone}. Convert them to what they were."
            )
        return found.values

    def _missing_or(self, what: str, is_one: Callable[[Any], bool]) -> NDArray:
        """NaN in all rows, if nothing is there; else an error that shows a value."""
        example = self.example()
        if example is None:
            return np.full(len(self), np.nan)
        if self.kind in ("code", "list"):
            held = f"{self.kind}s"
        else:
            has_zone = isinstance(self.values, Instants)
            listed = [] if has_zone else self.values.tolist()
            others = (v for v in listed if not is_missing(v) and not is_one(v))
            held = shown(next(others, example))
        raise ValueError(
            f"Column {self.name!r} is read as {what}, but holds {held}. Convert it to "
            f"{what}, or name it in categorical_features."
        )

    def few(self) -> list[Any] | NDArray | None:
        """The values of a few rows: text or None in a list, integers in an array.

        None for many rows, and for whatever else.
        """
        values = self.values
        if len(values) >= FEW:
            return None
        if isinstance(values, Categories):
            few, rows = self._categories.few(), values.positions
            if isinstance(few, list):
                few = [*few, None]
                return [few[i] for i in rows.tolist()]
            return None if few is None or rows.min(initial=0) < 0 else few[rows]
        if isinstance(values, np.ndarray):
            if values.dtype.kind in "biu":
                return None if isinstance(values, np.ma.MaskedArray) else values
            listed = values.tolist() if values.dtype.kind in "OU" else [0]
        else:
            listed = [0] if type(values) in _KINDS else values.to_pylist()  # pyarrow's
        types = set(map(type, listed))
        if float in types and types <= _TEXT_OR_NAN:
            listed = [None if type(v) is float and v != v else v for v in listed]
            types = set(map(type, listed))
        return listed if types <= {str, NoneType} else None

    @property
    def distinct(self) -> Distinct:
        """The values as positions in distinct values; kept where it took long."""
        if self._distinct is not None:
            return self._distinct
        values = self.values
        if isinstance(values, Categories):
            distinct = self._categories.distinct.at(values.positions)
            if len(values) <= _KEPT:
                self._distinct = distinct
            return distinct
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
            is_text = distinct.values.dtype.kind == "O"  # of more bytes than positions
            if self._room is not None and not is_text:
                self._room[:] = distinct.positions
                self._distinct = Distinct(self._room, distinct.values)
        return distinct  # contiguous the first time, since a room may not be

    def keep_in(self, room: NDArray) -> None:
        """Let `distinct` keep positions in memory that is there anyway, int32."""
        self._room = room

    def forget(self) -> None:
        """Free what `distinct` keeps, and keep no more in memory that was lent."""
        self._distinct = self._room = self._found = None

    def keep_found(self, lookup: Lookup, places: NDArray) -> None:
        """Let `found_by` know where a lookup has the distinct values."""
        self._found = lookup, places

    def found_by(self, lookup: Lookup) -> NDArray:
        """Where each distinct value is; kept for the next that looks it up there."""
        if isinstance(self.values, Categories):  # whose distinct values are theirs
            return self._categories.found_by(lookup)
        found = self._found  # which another thread may change
        if found is None or found[0] is not lookup:
            found = self._found = lookup, lookup.find(self.distinct.values)
        return found[1]


def _none_for_missing(values: NDArray) -> NDArray:
    """Objects with None for pandas' NA, which numpy cannot convert."""
    return np.where(missing_mask(values), object_array([None]), values)


def _as_floats(values: Any) -> NDArray | None:
    """Values as float64, NaN where missing; None if some are no numbers."""
    if not isinstance(values, np.ndarray):  # pyarrow's
        values = values.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "O":
        values = _none_for_missing(values)
        if any(issubclass(one, _NO_NUMBERS) for one in set(map(type, values))):
            return None
    try:
        return np.ma.filled(np.asanyarray(values, dtype=np.float64), np.nan)
    except Exception:  # whatever the conversion of an object raises
        return None


def _has_fractions(values: NDArray) -> bool:
    """Whether all objects that are not missing are numbers, and not all whole."""
    types = set(map(type, values[~missing_mask(values)]))
    if any(one is bool or not issubclass(one, _NUMBERS) for one in types):
        return False
    numbers = _as_floats(values)
    if numbers is None:
        return False
    return bool(np.any(np.isfinite(numbers) & (numbers != np.trunc(numbers))))
