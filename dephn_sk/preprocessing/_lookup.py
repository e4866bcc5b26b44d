"""Where values are among sorted ones, whatever types they came in."""

from functools import cached_property
from itertools import repeat
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._distinct import EXACT, is_whole
from dephn_sk.preprocessing._spelling import shape, shown, spellings


class Lookup:
    """Positions of values in sorted ones.

    Numbers are found by value. Values of another type are found by what they spell:
    True is "True", 1 is "1.0", a day is its midnight and its text. No Python hash is
    taken but that of text, which nobody can make collide.

    Parameters
    ----------
    values : ndarray
        Distinct values in the order of `order`.

    Examples
    --------
    >>> import numpy as np
    >>> Lookup(np.array([3, 5, 8])).find(np.array(["8", "3.0", "4"], dtype=object))
    array([ 2,  0, -1])
    """

    def __init__(self, values: NDArray):
        self.values = values
        self._types = _types(values)

    def find(self, values: NDArray) -> NDArray:
        """Where each value is, or -1."""
        if len(self.values) == 0 or len(values) == 0:
            return np.full(len(values), -1, dtype=np.intp)
        if _is_numeric(values) and _is_numeric(self.values):
            return _find_numbers(values, self.values)
        types = _types(values)
        if types == self._types == {str}:
            return _look_up(values.tolist(), self._texts)
        if types <= self._types and values.dtype == self.values.dtype:
            try:
                return _find_sorted(values, self.values)
            except Exception:  # no order, such as between dates with and without zone
                pass
        return _look_up(spellings(values), self._spelt)

    def find_texts(self, texts: list[Any]) -> list[int] | None:
        """The same of a list of text, -1 for None; None where values are no text."""
        if self._types != {str}:
            return None
        return list(map(self._texts.get, texts, repeat(-1)))

    def check_kind(self, values: NDArray, name: str) -> None:
        """Refuse values, none of which was found, that cannot be what was learned."""
        both_numeric = _is_numeric(values) and _is_numeric(self.values)
        if both_numeric or not len(self.values):
            return
        spelt = spellings(values)
        shapes = set(map(shape, spelt))
        if _types(values) == self._types == {str}:
            # free text is not looked for; "2.0" may be meant to be "2"
            if shapes == {"text"} or self._spelt.keys().isdisjoint(spelt):
                return
        elif not shapes.isdisjoint(map(shape, self._spelt)):
            return
        raise _other_kind(name, self.values, values, "what it was")

    @cached_property
    def _texts(self) -> dict[str, int]:
        return _positions(self.values.tolist())

    @cached_property
    def _spelt(self) -> dict[str, int]:
        return _positions(spellings(self.values))


_lookups: WeakValueDictionary[int, Lookup] = WeakValueDictionary()


def lookup_in(values: NDArray) -> Lookup:
    """The lookup of an array, which all that hold the same array share."""
    found = _lookups.get(id(values))
    if found is None:
        found = _lookups[id(values)] = Lookup(values)
    return found  # holds the array: no other has its id meanwhile


def order(values: NDArray, name: str) -> NDArray:
    """The positions that sort the values."""
    try:
        if values.dtype.kind != "O":
            return np.argsort(values, kind="stable")
        listed = values.tolist()  # whose text Python compares in half of numpy's time
        return np.array(sorted(range(len(listed)), key=listed.__getitem__), np.intp)
    except Exception as error:  # whatever the comparison of two objects raises
        first = values[0]
        other = next((v for v in values if type(v) is not type(first)), values[-1])
        raise ValueError(
            f"Column {name!r} mixes types that have no order: {shown(first)} is "
            f"{type(first).__name__}, {shown(other)} is {type(other).__name__}. "
            "Convert the column to one type."
        ) from error


def concatenate(old: NDArray, new: NDArray, name: str) -> NDArray:
    """Old and new values in one array; integers never pass a float."""
    kinds = {old.dtype.kind, new.dtype.kind}
    if kinds == {"i", "u"} and min(old.min(), new.min()) >= 0:
        return np.concatenate([old.astype(np.uint64), new.astype(np.uint64)])
    small = all(_is_numeric(v) and np.all(np.abs(v) < EXACT) for v in (old, new))
    if len(kinds) > 1 and not small:
        raise _other_kind(name, old, new, "the dtype it had")
    return np.concatenate([old, new])


def _other_kind(name: str, old: NDArray, new: NDArray, wanted: str) -> ValueError:
    return ValueError(
        f"Column {name!r} held values such as {shown(old[:1].tolist()[0])} in fit, and "
        f"now holds {shown(new[:1].tolist()[0])}, which is of another kind. Convert "
        f"the column to {wanted}."
    )


def _types(values: NDArray) -> set[type]:
    return set() if _is_numeric(values) else set(map(type, values.tolist()))


def _is_numeric(values: NDArray) -> bool:
    return values.dtype.kind in "biuf"


def _positions(keys: list[str]) -> dict[str, int]:
    """Where each text is first."""
    return dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))


def _look_up(keys: list[str], index: dict[str, int]) -> NDArray:
    return np.fromiter(map(index.get, keys, repeat(-1)), np.intp, len(keys))


def _find_sorted(values: NDArray, among: NDArray) -> NDArray:
    where: Any = np.minimum(np.searchsorted(among, values), len(among) - 1)
    return np.where((among[where] == values).astype(bool), where, -1)


def _find_numbers(values: NDArray, among: NDArray) -> NDArray:
    """Where each number is in a sorted array, or -1; integers never pass a float."""
    fits: Any = np.True_
    if among.dtype.kind == "b":
        among = among.astype(np.int64)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if {values.dtype.kind, among.dtype.kind} == {"i", "u"}:
        cast = values.astype(among.dtype)
        fits = (cast >= 0) == (values >= 0)
        values = cast
    elif values.dtype.kind == "f" and among.dtype.kind != "f":
        fits = is_whole(values)
        values = np.where(fits, values, 0).astype(among.dtype)
    where = _find_sorted(values, among)
    return np.where(fits, where, -1)
