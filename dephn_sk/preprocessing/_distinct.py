"""Arrays as positions in their distinct values."""

from __future__ import annotations

import operator
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from numbers import Integral, Number, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._spelling import shown, spellings

# below it, float64 holds every integer exactly
EXACT = 2.0**53
# Python hashes them with a secret, so that nobody can make them collide.
_TEXTS = {str, bytes, type(None)}
_TEXTS_OR_NAN = {str, type(None), float}
_NO_ORDER = (complex, np.complexfloating, set, frozenset)
_NONE = np.array([-1], dtype=np.int8)
# Fewer texts than that are told apart by a dict sooner than pyarrow begins.
FEW = 100
# As many objects are text to pyarrow, where it is there, sooner than to a dict.
MANY = 10_000


@dataclass(frozen=True)
class Distinct:
    """A column as positions in its distinct values; -1 is missing.

    ``values`` may hold values that no position points at.
    """

    positions: NDArray
    values: NDArray

    def at(self, positions: NDArray) -> Distinct:
        """A column that is given as positions in this one; -1 is missing."""
        return Distinct(np.concatenate([self.positions, _NONE])[positions], self.values)


def distinct_values(values: Any, name: str) -> Distinct:
    """Distinct values of an array: numpy's, a masked one, or pyarrow's strings."""
    if not isinstance(values, np.ndarray):
        if len(values) < FEW:
            return _by_key(values.to_pylist())
        encoded = values.dictionary_encode()
        texts = encoded.dictionary.to_numpy(zero_copy_only=False)
        return Distinct(_positions_of(encoded), texts)
    kind = values.dtype.kind
    texts = _by_arrow(values) if kind == "O" and len(values) >= MANY else None
    if texts is not None:
        return texts
    if kind in "OUS":
        listed = values.tolist()
        if set(map(type, listed)) <= _TEXTS:
            return _by_key(listed)
    masked = isinstance(values, np.ma.MaskedArray)
    missing = missing_mask(values) if masked or kind not in "biu" else np.False_
    if missing.any():
        present = distinct_values(np.ma.getdata(values)[~missing], name)
        positions = np.full(len(values), -1, dtype=present.positions.dtype)
        positions[~missing] = present.positions
        return Distinct(positions, present.values)
    if kind == "b":
        return Distinct(values.astype(np.intp), np.array([False, True]))
    if kind in "iu":
        return distinct_integers(values)
    if kind == "f":
        values = values.astype(np.float64, copy=False)
        if len(values) and np.all(is_whole(values)):
            return distinct_integers(values.astype(np.int64))
        return _factorized(values + 0.0)  # one zero only
    if kind in "mM":
        instants = values.astype(f"{values.dtype.char}8[us]")
        distinct = _factorized(instants.view(np.int64))
        objects = distinct.values.view(instants.dtype).astype(object)
        if any(type(one) is int for one in objects):
            raise _no_category(name, values[0])  # beyond the years that Python knows
        return Distinct(distinct.positions, objects)
    if kind == "c":
        raise _no_category(name, values[0])
    return _distinct_objects(values, name)


def distinct_integers(values: NDArray) -> Distinct:
    """Distinct integers; all of their range where it is narrow."""
    if len(values) == 0:
        return Distinct(np.empty(0, dtype=np.int32), values.astype(np.int64))
    low, high = int(values.min()), int(values.max())
    dtype = np.dtype(np.int64 if high < 2**63 else np.uint64)
    if high - low < 4 * len(values) + 1024:
        span = np.arange(high - low + 1, dtype=dtype) + dtype.type(low)
        positions = np.subtract(values, dtype.type(low), dtype=dtype)
        return Distinct(positions.astype(np.intp, copy=False), span)
    return _factorized(values.astype(dtype, copy=False))


def is_whole(values: NDArray) -> NDArray:
    """Which floats are integers that float64 holds exactly."""
    return (np.abs(values) < EXACT) & (np.trunc(values) == values)


def _factorized(values: NDArray) -> Distinct:
    """Distinct numbers: by hashing where pandas is there, by sorting otherwise."""
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        positions, distinct = pandas.factorize(values)
    else:
        distinct, positions = np.unique(values, return_inverse=True)
    return Distinct(positions.astype(np.int32), distinct)


def _distinct_objects(values: NDArray, name: str) -> Distinct:
    """Distinct objects, as numbers where all are numbers."""
    listed = values.tolist()
    types = set(map(type, listed))
    try:
        if any(issubclass(one, _NO_ORDER) for one in types):
            raise TypeError("some objects have no order")
        numbers = _as_numbers(listed, types)
        if numbers is None:
            return _by_hash(values)
    except Exception as error:  # whatever the methods of an object raise
        raise _no_category(name, next(filter(_no_key, listed), listed[0])) from error
    return distinct_values(numbers, name)


def _by_hash(values: NDArray) -> Distinct:
    """Distinct objects; those that collide in Python's hash are told by their text."""
    hashes = np.fromiter(map(hash, values), np.int64, len(values))
    positions = _factorized(hashes).positions
    first = _first_rows(positions)
    objects = values[first]
    alike = (objects[positions] == values).astype(bool)
    kinds = object_array(list(map(type, values)))
    other = np.flatnonzero(alike & (kinds[first][positions] != kinds).astype(bool))
    if len(other):  # True is 1, and spells otherwise
        own, found = spellings(values[other]), spellings(objects[positions[other]])
        alike[other] = list(map(operator.eq, own, found))
    if not alike.all():
        rest = values[~alike]
        others = _by_key(list(map(repr, rest)))
        positions[~alike] = others.positions + len(first)
        objects = np.concatenate([objects, rest[_first_rows(others.positions)]])
    list(map(str, objects))  # raises where a value spells nothing
    return Distinct(positions, object_array(list(map(_in_utc, objects))))


def _by_key(keys: list) -> Distinct:
    """Distinct keys that a dict tells apart fast, in order of appearance."""
    index: dict[Any, int] = defaultdict(count().__next__, {None: -1})
    positions = np.fromiter(map(index.__getitem__, keys), np.int32, len(keys))
    return Distinct(positions, object_array(list(index)[1:]))


def _by_arrow(values: NDArray) -> Distinct | None:
    """Distinct texts by pyarrow, or None where it cannot tell them apart.

    In order of appearance, as by a dict, but for missing ones of any kind. Subclasses
    of text, such as members of enumerations, may spell otherwise than they compare.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is None or not set(map(type, values.tolist())) <= _TEXTS_OR_NAN:
        return None
    try:
        texts = arrow.array(values, from_pandas=True)
    except Exception:  # numbers among them, or text that is no Unicode
        return None
    if type(texts) is not arrow.StringArray:  # or of more bytes than one holds
        return None
    encoded = texts.dictionary_encode()
    found = encoded.dictionary.to_numpy(zero_copy_only=False)
    return Distinct(_positions_of(encoded), found)


def _positions_of(encoded: Any) -> NDArray:
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def _first_rows(positions: NDArray) -> NDArray:
    """The first row of each position; all positions are there."""
    rows = np.empty(positions.max(initial=-1) + 1, dtype=np.intp)
    rows[positions[::-1]] = np.arange(len(positions))[::-1]  # the last one stays
    return rows


def _no_key(value: Any) -> bool:
    """Whether an object cannot be hashed, compared, put in order or spelt."""
    try:
        hash(value), str(value)
        alike = value == value
    except Exception:
        return True
    return isinstance(value, _NO_ORDER) or not isinstance(alike, bool | np.bool_)


class CategoryError(ValueError, TypeError):
    """A cell holds what cannot be a category; scikit-learn expects a TypeError."""


def _no_category(name: str, example: Any) -> CategoryError:
    return CategoryError(
        f"Column {name!r} is categorical, but holds {shown(example)}, which is a "
        f"{type(example).__name__} and cannot be a category: the argument must be a "
        "string, a number (of 4300 digits at most) or a tuple of them."
    )


def _in_utc(value: Any) -> Any:
    """An object, in UTC if it is an instant of some zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


def _as_numbers(values: list, types: set[type]) -> NDArray | None:
    """Objects as an array of numbers, if one dtype holds all of them exactly."""
    if not all(issubclass(one, Real | np.bool_) for one in types):
        return None
    if np.timedelta64 in types:  # to numpy a signed integer
        return None
    whole = all(issubclass(one, Integral | np.bool_) for one in types)
    try:
        numbers = np.array(values, dtype=None if whole else np.float64)
    except OverflowError:  # too large for a float
        return None
    exact = numbers.dtype.kind != "O" and all(
        map(operator.eq, numbers.tolist(), values)
    )
    return numbers if exact else None


def missing_mask(values: NDArray) -> NDArray:
    """Which values of an array, masked or not, are missing."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getmaskarray(values) | missing_mask(values.data)
    if values.dtype.kind in "fmM":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.broadcast_to(np.False_, len(values))  # takes no memory
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        try:
            return pandas.isna(values)
        except ArithmeticError:  # a signalling NaN
            pass
    return np.fromiter(map(is_missing, values.tolist()), bool, len(values))


def is_missing(value: Any) -> bool:
    """Whether an object stands for a missing value."""
    if value is None:
        return True
    if isinstance(value, Number | np.datetime64 | np.timedelta64):
        try:
            return bool(value != value)
        except ArithmeticError:  # a signalling NaN
            return True
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def object_array(values: list) -> NDArray:
    """A 1-d array of objects, whatever they are."""
    return np.fromiter(values, dtype=object, count=len(values))
