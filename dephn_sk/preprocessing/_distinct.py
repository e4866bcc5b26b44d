"""Arrays as positions in their distinct values."""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass
from numbers import Integral, Number, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

# below it, float64 holds every integer exactly
EXACT = 2.0**53


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
        return _distinct_integers(values)
    if kind == "f":
        return _distinct_floats(values)
    if kind == "M":
        distinct = _factorized(values.astype("datetime64[us]").view(np.int64))
        instants = distinct.values.view("datetime64[us]").astype(object)
        return _typed(Distinct(distinct.positions, instants), name)
    return _typed(_distinct_objects(values.tolist(), name), name)


def _distinct_integers(values: NDArray) -> Distinct:
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
        distinct = _distinct_integers(present.astype(np.int64))
    else:
        distinct = _factorized(present + 0.0)  # one zero only
    positions = np.full(len(values), -1, dtype=distinct.positions.dtype)
    positions[~missing] = distinct.positions
    return Distinct(positions, distinct.values)


def _distinct_objects(values: list, name: str) -> Distinct:
    """Distinct objects, in order of appearance."""
    try:
        index = dict.fromkeys(values)
    except TypeError as error:
        example = next(value for value in values if not _is_hashable(value))
        raise ValueError(
            f"Column {name!r} is categorical, but holds {example!r}, which is a "
            f"{type(example).__name__} and cannot be a category. Give text, numbers "
            "or tuples."
        ) from error
    distinct = list(index)
    index = dict(zip(distinct, range(len(distinct)), strict=True))
    positions = np.fromiter(map(index.__getitem__, values), np.int32, len(values))
    return Distinct(positions, object_array(distinct))


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
    numbers = _as_numbers(values.tolist(), types)
    if numbers is None:
        return Distinct(positions, values)
    inner = distinct_values(numbers, name)
    return Distinct(np.append(inner.positions, -1)[positions], inner.values)


def _as_numbers(values: list, types: set[type]) -> NDArray | None:
    """Objects as an array of numbers, if one dtype holds all of them exactly."""
    if not types or not all(issubclass(kind, Number | np.bool_) for kind in types):
        return None
    if types <= {bool, np.bool_}:
        return np.array(values)
    if all(issubclass(kind, Integral | np.bool_) for kind in types):
        low, high = min(values), max(values)
        if low >= -(2**63) and high < 2**64 and (low >= 0 or high < 2**63):
            return np.array(values, dtype=np.int64 if high < 2**63 else np.uint64)
        return None
    if all(issubclass(kind, Real) for kind in types):
        numbers = np.array(values, dtype=np.float64)
        exact = all(map(operator.eq, numbers.tolist(), values))
        return numbers if exact else None
    return None


def missing_mask(values: NDArray) -> NDArray:
    """Which objects stand for a missing value."""
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        return pandas.isna(values)
    return np.fromiter(map(is_missing, values.tolist()), bool, len(values))


def is_missing(value: Any) -> bool:
    """Whether an object stands for a missing value."""
    if value is None:
        return True
    if isinstance(value, Number):
        return bool(value != value)
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def object_array(values: list) -> NDArray:
    """A 1-d array of objects, whatever they are."""
    return np.fromiter(values, dtype=object, count=len(values))


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def texts(values: NDArray) -> list[str]:
    """What each value spells; whole floats spell integers."""
    listed = values.tolist()
    if float not in set(map(type, listed)):
        return list(map(str, listed))
    return [
        str(int(value))
        if isinstance(value, float) and value.is_integer()
        else str(value)
        for value in listed
    ]
