"""Arrays as positions in their distinct values."""

from __future__ import annotations

import operator
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import count
from numbers import Integral, Number, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._spelling import MAX_DIGITS, is_long, shown

# below it, float64 holds every integer exactly
EXACT = 2.0**53
# Python hashes them with a secret, or so that only few can be made alike.
_HASHED_APART = {str, bytes, float, date, datetime, type(None)}
_PLAIN_NUMBERS = (bool, int, float, np.number, np.bool_)
_NO_ORDER = (complex, np.complexfloating, set, frozenset)


@dataclass(frozen=True)
class Distinct:
    """A column as positions in its distinct values; -1 is missing.

    ``values`` may hold values that no position points at.
    """

    positions: NDArray
    values: NDArray


def distinct_values(values: Any, name: str) -> Distinct:
    """Distinct values of an array: numpy's, a masked one, or pyarrow's strings."""
    if isinstance(values, np.ma.MaskedArray):
        distinct = distinct_values(values.data, name)
        missing = np.ma.getmaskarray(values)
        return Distinct(np.where(missing, -1, distinct.positions), distinct.values)
    if not isinstance(values, np.ndarray):
        return _typed(_distinct_strings(values), name)
    kind = values.dtype.kind
    if kind == "b":
        return Distinct(values.astype(np.intp), np.array([False, True]))
    if kind in "iu":
        return distinct_integers(values)
    if kind == "f":
        return _distinct_floats(values)
    if kind in "mM":
        unit = values.astype(f"{values.dtype.char}8[us]")
        distinct = _factorized(unit.view(np.int64))
        objects = distinct.values.view(unit.dtype).astype(object)
        if any(type(one) is int for one in objects):
            raise _no_category(name, unit[0])  # beyond the years that Python knows
        return _typed(Distinct(distinct.positions, objects), name)
    if kind == "c":
        raise _no_category(name, values[0])
    return _typed(_distinct_objects(values, name), name)


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


def _distinct_floats(values: NDArray) -> Distinct:
    """Distinct floats, as integers where all of them are whole."""
    values = values.astype(np.float64, copy=False)
    missing = np.isnan(values)
    present = values[~missing] if missing.any() else values
    if len(present) and np.all(is_whole(present)):
        distinct = distinct_integers(present.astype(np.int64))
    else:
        distinct = _factorized(present + 0.0)  # one zero only
    return _spread(distinct, missing)


def _distinct_objects(values: NDArray, name: str) -> Distinct:
    """Distinct objects, in order of appearance."""
    listed = values.tolist()
    types = set(map(type, listed))
    if types <= _HASHED_APART:
        return _by_key(listed)
    values = values if values.dtype.kind == "O" else object_array(listed)
    missing = missing_mask(values)
    if missing.any():
        return _spread(_distinct_objects(values[~missing], name), missing)
    long = next(filter(is_long, listed), None) if int in types else None
    if long is not None:
        raise ValueError(
            f"Column {name!r} holds {shown(long)}, an integer of more than "
            f"{MAX_DIGITS} digits. Give it as text."
        )
    if all(issubclass(one, _PLAIN_NUMBERS) for one in types):
        numbers = _as_numbers(listed, types)
        if numbers is not None:
            return distinct_values(numbers, name)
    try:
        distinct = _by_hash(values)
        # one of each type must spell something, for messages and under the hash
        list(map(str, {type(one): one for one in distinct.values}.values()))
        return distinct
    except Exception as error:  # whatever the methods of an object raise
        raise _no_category(name, next(filter(_no_key, listed), listed[0])) from error


def _by_hash(values: NDArray) -> Distinct:
    """Distinct objects; those that collide in Python's hash are told by their text."""
    hashed = _factorized(np.fromiter(map(hash, values), np.int64, len(values)))
    positions = hashed.positions
    first = _first_rows(positions)
    alike = (values[first][positions] == values).astype(bool)
    if alike.all():
        return Distinct(positions, values[first])
    rest = values[~alike]
    others = _by_key(list(map(repr, rest)))
    positions[~alike] = others.positions + len(first)
    second = rest[_first_rows(others.positions)]
    return Distinct(positions, np.concatenate([values[first], second]))


def _by_key(keys: list) -> Distinct:
    """Distinct keys that a dict tells apart fast."""
    index: dict[Any, int] = defaultdict(count().__next__)
    positions = np.fromiter(map(index.__getitem__, keys), np.int32, len(keys))
    return Distinct(positions, object_array(list(index)))


def _first_rows(positions: NDArray) -> NDArray:
    """The first row of each position; all positions are there."""
    rows = np.empty(positions.max(initial=-1) + 1, dtype=np.intp)
    rows[positions[::-1]] = np.arange(len(positions))[::-1]  # the last one stays
    return rows


def _spread(present: Distinct, missing: NDArray) -> Distinct:
    """What was found where nothing is missing, for all rows."""
    positions = np.full(len(missing), -1, dtype=present.positions.dtype)
    positions[~missing] = present.positions
    return Distinct(positions, present.values)


def _no_key(value: Any) -> bool:
    """Whether an object cannot be hashed and compared."""
    try:
        hash(value)
        return not isinstance(value == value, bool | np.bool_)
    except Exception:
        return True


class CategoryError(ValueError, TypeError):
    """A cell holds what cannot be a category; scikit-learn expects a TypeError."""


def _no_category(name: str, example: Any) -> CategoryError:
    return CategoryError(
        f"Column {name!r} is categorical, but holds {shown(example)}, which is a "
        f"{type(example).__name__} and cannot be a category: the argument must be a "
        "string, a number or a tuple of them."
    )


def _distinct_strings(values: Any) -> Distinct:
    """Distinct strings of a pyarrow array."""
    values = values.dictionary_encode()
    positions = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Distinct(positions, values.dictionary.to_numpy(zero_copy_only=False))


def _typed(distinct: Distinct, name: str) -> Distinct:
    """Distinct objects without missing ones, as numbers where all are numbers."""
    positions, values = distinct.positions, distinct.values
    types = set(map(type, values.tolist()))
    if types <= {str}:
        return distinct
    missing = missing_mask(values)
    if missing.any():
        renumbered = np.where(missing, -1, np.cumsum(~missing) - 1)
        positions = np.append(renumbered, -1).astype(np.int32)[positions]
        values = values[~missing]
        types = set(map(type, values.tolist()))
    refused = next((one for one in types if issubclass(one, _NO_ORDER)), None)
    if refused is not None:
        raise _no_category(name, next(v for v in values if type(v) is refused))
    if any(issubclass(one, datetime) for one in types):
        values = object_array([_in_utc(value) for value in values])
    numbers = _as_numbers(values.tolist(), types)
    if numbers is None:
        return Distinct(positions, values)
    inner = distinct_values(numbers, name)
    return Distinct(np.append(inner.positions, -1)[positions], inner.values)


def _in_utc(value: Any) -> Any:
    """An object, in UTC if it is an instant of some zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


def _as_numbers(values: list, types: set[type]) -> NDArray | None:
    """Objects as an array of numbers, if one dtype holds all of them exactly."""
    if not types or not all(issubclass(kind, Number | np.bool_) for kind in types):
        return None
    if np.timedelta64 in types:  # to numpy a signed integer
        return None
    if types <= {bool, np.bool_}:
        return np.array(values)
    if all(issubclass(kind, Integral | np.bool_) for kind in types):
        low, high = int(min(values)), int(max(values))
        if low >= -(2**63) and high < 2**64 and (low >= 0 or high < 2**63):
            return np.array(values, dtype=np.int64 if high < 2**63 else np.uint64)
        return None
    if all(issubclass(kind, Real) for kind in types):
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:  # too large for a float
            return None
        exact = all(map(operator.eq, numbers.tolist(), values))
        return numbers if exact else None
    return None


def missing_mask(values: NDArray) -> NDArray:
    """Which objects stand for a missing value."""
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
