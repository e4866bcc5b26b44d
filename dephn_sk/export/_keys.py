"""Values that were learned, as keys of a look-up in a graph."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocessing._columns import Column
from ..preprocessing._distinct import EXACT, object_array
from ..preprocessing._spelling import shown, texts
from ..preprocessing._value_counts import ValueCounts
from ._graph import ML, TYPES, Graph

_TYPE_OF_KIND = {"b": "bool", "i": "int64", "u": "uint64", "f": "double"}
# what stands in rows without a value, which the mask tells apart
_FILL = {"string": "", "int64": 0, "uint64": 0, "bool": False, "double": np.nan}


def type_of(values: NDArray, name: str) -> str:
    """The type of an input that holds such values, or an error with the column."""
    if values.dtype.kind != "O":
        return _TYPE_OF_KIND[values.dtype.kind]
    other = next((one for one in values.tolist() if not isinstance(one, str)), None)
    if other is not None:
        raise ValueError(
            f"Column {name!r} holds categories such as {shown(other)}, of type "
            f"{type(other).__name__}, which no graph can hold. Convert the column to "
            "text or to integers before fit."
        )
    for one in values.tolist():
        if not _is_unicode(one):
            raise ValueError(
                f"Column {name!r} holds the category {shown(one)}, which is no valid "
                "Unicode. Mend the text before fit."
            )
    return "string"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair
        return False
    return True


@dataclass(frozen=True)
class Keys:
    """Distinct values, and a number of 1 or more for each; others have a default.

    Attributes
    ----------
    name : str
        The column's, for messages.
    values : ndarray of shape (n_values,)
    numbers : ndarray of shape (n_values,), int64
    default : int
    """

    name: str
    values: NDArray
    numbers: NDArray
    default: int = 0

    def look_up(self, graph: Graph, value: str, type: str) -> str:
        """The number of each value, of any shape."""
        keys = self._as(type)
        if not len(keys):
            default = np.array([self.default])
            return graph.op(
                "ConstantOfShape", graph.op("Shape", value), value=_tensor(default)
            )
        if type in ("bool", "uint64"):  # of which no look-up is known
            value, type = graph.cast(value, "int64"), "int64"
            keys = keys.astype(np.int64)
        if type == "double":
            return self._look_up_doubles(graph, value, keys)
        name = "keys_strings" if type == "string" else "keys_int64s"
        return graph.op(
            "LabelEncoder",
            value,
            domain=ML,
            values_int64s=self.numbers.tolist(),
            default_int64=self.default,
            **{name: keys.tolist()},
        )

    def _look_up_doubles(self, graph: Graph, value: str, keys: NDArray) -> str:
        found = graph.op(
            "LabelEncoder",
            value,
            domain=ML,
            keys_tensor=_tensor(keys),
            values_tensor=_tensor(self.numbers.astype(np.float64)),
            default_tensor=_tensor(np.array([float(self.default)])),
        )
        return graph.cast(found, "int64")

    def _as(self, type: str) -> NDArray:
        """The values as those of an input of a type."""
        own = type_of(self.values, self.name)
        if own == type or not len(self.values):
            return self.values
        if "string" in (own, type) or (
            type == "double" and np.abs(self.values.astype(float)).max() >= EXACT
        ):
            raise ValueError(
                f"Column {self.name!r} is read as {type}, but statistics were learned "
                f"of its values as {own}. Give the statistics a column of their own."
            )
        return self.values.astype(TYPES[type])


def _tensor(values: NDArray) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(values)


def typed(column: Column, counts: ValueCounts, type: str) -> tuple[NDArray, NDArray]:
    """A column's values as those of an input of a type, and which are missing.

    A value of another type that means a known one is that one; one that is not known
    stays as it is, as far as the type holds it, or is another that is not known.
    """
    places, positions = counts.places(column)
    found, given = places[:-1], column.distinct.values
    known = found >= 0
    values = np.full(len(given) + 1, _FILL[type], dtype=TYPES[type])
    values[:-1][known] = counts.values[found[known]]
    unknown = np.flatnonzero(~known)
    if len(unknown):
        values[unknown] = _unknown(given[unknown], counts.values, type, column.name)
    return values[positions], positions < 0


def _unknown(given: NDArray, known: NDArray, type: str, name: str) -> NDArray:
    """Values that were never seen, as another type."""
    if type == "string":
        spelt = texts(given)
        bad = next((one for one in spelt if not _is_unicode(one)), None)
        if bad is not None:
            raise ValueError(
                f"Column {name!r} holds {shown(bad)}, which is no valid Unicode and "
                "cannot be given to a graph. Mend the text."
            )
        taken = set(known.tolist())
        return object_array(
            [one if one not in taken else f"{one}\uffff" for one in spelt]
        )
    dtype = TYPES[type]
    if type != "bool" and given.dtype.kind in "iuf":
        cast = given.astype(dtype)
        if np.all(cast == given) and np.all((cast > 0) == (given > 0)):
            return cast
    if given.dtype == dtype:
        return given
    return np.full(len(given), _never_seen(known, type, given, name), dtype=dtype)


def _never_seen(known: NDArray, type: str, given: NDArray, name: str) -> Any:
    """A value of a type that is none of the known ones."""
    taken = set(known.tolist())
    candidates = [False, True] if type == "bool" else count()
    for candidate in candidates:
        if candidate not in taken:
            return candidate
    raise ValueError(
        f"Column {name!r} holds {shown(given[:1].tolist()[0])}, which an input of "
        f"type {type} cannot hold. Leave the cell missing, or the row out."
    )
