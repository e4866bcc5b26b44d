"""Values as JSON and arrays without objects, equal and of the same type when read.

JSON holds None, booleans, text, integers of 64 bits, finite floats, lists, and dicts
whose keys are text. Whatever else there is becomes a dict of one entry, whose key
begins with ``$`` and says what it was; arrays and tensors stand beside it, under names.
"""

from __future__ import annotations

import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import torch
from numpy.typing import NDArray

from ..preprocessing._distinct import object_array
from ..preprocessing._spelling import shown
from ._archive import ModelFileError, holds

_DEEPEST = 64
_LONGEST = 2**20  # of ranges, which are short to write
_WORD = 63  # bits of an integer that any reader of JSON can hold
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class CannotStoreError(ValueError):
    """A value that no model file holds, with the place where it was found."""

    def __init__(
        self, value: Any, place: Sequence[str], reason: str = "which no file holds"
    ) -> None:
        self.value, self.place, self.reason = value, tuple(place), reason
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        self.what = f"{shown(value)}, a {kind}, {reason}."
        super().__init__(f"{'.'.join(place) or 'The state'} holds {self.what}")


def flatten(
    state: Any, to_state: Callable[[Any], tuple[str, Any] | None] | None = None
) -> tuple[Any, dict[str, NDArray]]:
    """A value as a tree of JSON values, and the arrays that it names.

    Parameters
    ----------
    state : object
        Dicts, lists, tuples, sets, ranges; None, booleans, numbers of Python and of
        numpy, text, bytes, Decimal, Fraction, UUID, dates, times and durations, with
        zones, and those of pandas; arrays, of such objects too; tensors; numpy's
        RandomState.
    to_state : callable, default=None
        For further objects: the name of their kind, and a state that is one of the
        above; None for what it does not know.

    Returns
    -------
    tree : JSON value
    arrays : dict of str to ndarray

    Raises
    ------
    CannotStoreError
        For any other value; the message says where it is.

    Examples
    --------
    >>> tree, arrays = flatten({"w": torch.ones(2), "seen": np.array(["a"], object)})
    >>> tree
    {'w': {'$tensor': 'w'}, 'seen': {'$text': ['seen', 'seen.ends']}}
    >>> restore(tree, arrays)
    {'w': tensor([1., 1.]), 'seen': array(['a'], dtype=object)}
    """
    writer = _Writer(to_state or (lambda value: None))
    return writer.write(state, ()), writer.arrays


def restore(
    tree: Any,
    arrays: Mapping[str, NDArray],
    from_state: Callable[[str, Any], Any] | None = None,
) -> Any:
    """What `flatten` was given.

    Parameters
    ----------
    tree, arrays
        From :func:`flatten`.
    from_state : callable, default=None
        Makes an object of the name of its kind and its state, or raises.

    Raises
    ------
    ModelFileError
        Where the tree is none, an array is missing, or one is left over.
    """
    reader = _Reader(arrays, from_state or _unknown)
    value = reader.read(tree, 0)
    if reader.left:
        raise ModelFileError(f"Nothing names the parts {sorted(reader.left)}.")
    return value


# ------------------------------------------------------------------------ writing


class _Writer:
    """Collects arrays while it turns values into JSON."""

    def __init__(self, to_state: Callable[[Any], tuple[str, Any] | None]) -> None:
        self.to_state = to_state
        self.arrays: dict[str, NDArray] = {}
        self._taken: set[str] = set()
        # arrays that are there already; kept, so that their numbers stay theirs
        self._known: dict[int, tuple[NDArray, Any]] = {}

    def write(self, value: Any, place: tuple[str, ...]) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if len(place) > _DEEPEST:
            raise CannotStoreError(value, place[:3], "which is nested too deeply")
        if kind in _WRITERS:
            return _WRITERS[kind](self, value, place)
        try:
            found = self.to_state(value)
        except CannotStoreError as error:
            within = (*place, *error.place)
            raise CannotStoreError(error.value, within, error.reason) from error
        if found is not None:
            return {"$object": [found[0], self.write(found[1], place)]}
        if isinstance(value, np.generic) and kind is value.dtype.type:
            return self._scalar(value, place)
        if isinstance(value, torch.Tensor):
            return self._tensor(value, place)
        pandas = sys.modules.get("pandas")
        if pandas is not None and (written := _write_pandas(value, pandas)):
            return {f"${written[0]}": self.write(written[1], place)}
        raise CannotStoreError(value, place)

    def each(self, values: Any, place: tuple[str, ...]) -> list[Any]:
        return [self.write(one, (*place, str(i))) for i, one in enumerate(values)]

    def mapping(self, value: dict[Any, Any], place: tuple[str, ...]) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self.write(one, (*place, key)) for key, one in value.items()}
        return {"$dict": self.each(map(list, value.items()), place)}

    def integer(self, value: int, place: tuple[str, ...]) -> Any:
        return value if value.bit_length() <= _WORD else {"$int": hex(value)}

    def number(self, value: float, place: tuple[str, ...]) -> Any:
        return value if isfinite(value) else {"$float": repr(value)}

    def span(self, value: range, place: tuple[str, ...]) -> Any:
        if value and (value[-1] - value[0]) // value.step >= _LONGEST:
            raise CannotStoreError(value, place, "which is too long for a file")
        return {"$range": self.each((value.start, value.stop, value.step), place)}

    def members(self, value: Any, place: tuple[str, ...]) -> Any:
        ordered = sorted(self.each(value, place), key=json.dumps)
        return {f"${type(value).__name__}": ordered}

    def array(self, value: NDArray, place: tuple[str, ...]) -> Any:
        """An array; one that several hold is stored once."""
        if id(value) not in self._known:
            objects = value.dtype.kind == "O"
            written = (self._objects if objects else self._numbers)(value, place)
            self._known[id(value)] = value, written
        return self._known[id(value)][1]

    def _numbers(self, value: NDArray, place: tuple[str, ...]) -> Any:
        if not value.dtype.itemsize:  # text of no length
            value = value.astype(f"{value.dtype.kind}1")
        if not holds(value.dtype):
            raise CannotStoreError(value, place)
        return {"$array": self.add(value, place)}

    def add(self, value: NDArray, place: tuple[str, ...]) -> str:
        """Keep an array under a name that says where it is from."""
        words = ".".join(_UNSAFE.sub("_", one) for one in place)
        base = words[-100:].lstrip(".-") or "array"
        name, i = base, 1
        while name.casefold() in self._taken:
            name, i = f"{base}.{i}", i + 1
        self._taken.add(name.casefold())
        self.arrays[name] = value
        return name

    def _objects(self, values: NDArray, place: tuple[str, ...]) -> Any:
        """Text in UTF-8 with offsets; what is not all text, each as JSON."""
        listed = values.reshape(-1).tolist()
        kinds, what = set(map(type, listed)), "text"
        if kinds == {bytes}:
            what = "bytes"
        elif not kinds <= {str}:
            what, listed = "objects", list(map(json.dumps, self.each(listed, place)))
        joined: Any = b"" if what == "bytes" else ""
        joined = joined.join(listed)
        if what != "bytes" and not joined.isascii():
            listed = [one.encode("utf-8", "surrogatepass") for one in listed]
            joined = b"".join(listed)
        elif what != "bytes":  # whose letters are bytes already
            joined = joined.encode("ascii")
        ends = np.cumsum(np.fromiter(map(len, listed), np.int64, len(listed)))
        data = np.frombuffer(joined, dtype=np.uint8)
        names = [self.add(data, place), self.add(ends, (*place, "ends"))]
        shape = [] if values.ndim == 1 else [list(values.shape)]
        return {f"${what}": [*names, *shape]}

    def _scalar(self, value: np.generic, place: tuple[str, ...]) -> Any:
        if value.dtype.itemsize and not holds(value.dtype):
            raise CannotStoreError(value, place)
        return {"$numpy": [value.dtype.str, value.tobytes().hex()]}

    def _tensor(self, value: torch.Tensor, place: tuple[str, ...]) -> Any:
        if value.layout is not torch.strided or value.is_quantized:
            raise CannotStoreError(value, place)
        value = value.detach().cpu()
        if value.dtype is torch.bfloat16:  # numpy has none
            return {"$bfloat16": self.add(value.view(torch.uint16).numpy(), place)}
        return {"$tensor": self.add(value.numpy(), place)}

    def moment(self, value: Any, place: tuple[str, ...]) -> Any:
        """A date and time, or a time, with its zone."""
        parts = [value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo]
        return {f"${type(value).__name__}": self.each(parts, place)}

    def zone(self, value: ZoneInfo, place: tuple[str, ...]) -> Any:
        if value.key is None:  # of a file
            raise CannotStoreError(value, place)
        return {"$zone": value.key}

    def random_state(self, value: np.random.RandomState, place: tuple[str, ...]) -> Any:
        state: Any = value.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise CannotStoreError(value, place)
        return {"$random_state": self.write(state, place)}


_WRITERS: dict[type, Callable[[_Writer, Any, tuple[str, ...]], Any]] = {
    int: _Writer.integer,
    float: _Writer.number,
    list: _Writer.each,
    dict: _Writer.mapping,
    set: _Writer.members,
    frozenset: _Writer.members,
    np.ndarray: _Writer.array,
    np.memmap: lambda own, v, place: own.array(np.asarray(v), place),
    np.ma.MaskedArray: lambda own, v, place: {
        "$masked": own.each((v.data, np.ma.getmaskarray(v)), place)
    },
    datetime: _Writer.moment,
    time: _Writer.moment,
    ZoneInfo: _Writer.zone,
    np.random.RandomState: _Writer.random_state,
    tuple: lambda own, v, place: {"$tuple": own.each(v, place)},
    bytes: lambda own, v, place: {"$base64": b64encode(v).decode("ascii")},
    complex: lambda own, v, place: {"$complex": [v.real.hex(), v.imag.hex()]},
    range: _Writer.span,
    date: lambda own, v, place: {"$date": v.isoformat()},
    timezone: lambda own, v, place: {"$timezone": own.each(v.__getinitargs__(), place)},
    timedelta: lambda own, v, place: {
        "$timedelta": [v.days, v.seconds, v.microseconds]
    },
    Decimal: lambda own, v, place: {"$decimal": str(v)},
    UUID: lambda own, v, place: {"$uuid": v.hex},
    Fraction: lambda own, v, place: {
        "$fraction": own.each(v.as_integer_ratio(), place)
    },
}


def _write_pandas(value: Any, pandas: Any) -> tuple[str, Any] | None:
    """The name of one of pandas' scalars and what makes it."""
    kind = type(value)
    if kind is pandas.Timestamp:
        zone = getattr(value.tzinfo, "zone", value.tzinfo)  # pytz has names
        naive = value if zone is None else value.tz_convert(None)
        return "timestamp", [naive.asm8, zone]
    if kind is pandas.Timedelta:
        return "pandas_timedelta", value.asm8
    if kind is pandas.Interval:
        return "interval", [value.left, value.right, value.closed]
    if kind is pandas.Period:
        return "period", [value.ordinal, value.freqstr]
    return None


# ------------------------------------------------------------------------ reading


class _Reader:
    """Turns JSON into values, and knows which arrays nobody has asked for."""

    def __init__(
        self,
        arrays: Mapping[str, NDArray],
        from_state: Callable[[str, Any], Any],
    ) -> None:
        self.arrays = arrays
        self.from_state = from_state
        self.left = set(arrays)
        self._texts: dict[tuple[str, str], NDArray] = {}

    def read(self, tree: Any, depth: int) -> Any:
        if depth > 4 * _DEEPEST:
            raise ModelFileError("The manifest is nested too deeply.")
        if isinstance(tree, list):
            return [self.read(one, depth + 1) for one in tree]
        if not isinstance(tree, dict):
            return tree
        key = next(iter(tree), "")
        if not key.startswith("$"):
            return {key: self.read(one, depth + 1) for key, one in tree.items()}
        try:
            if len(tree) == 1 and key in _READERS:
                return _READERS[key](self, tree[key], depth + 1)
        except (ModelFileError, ImportError):
            raise
        except Exception as error:  # whatever a constructor raises for what it is given
            raise ModelFileError(
                f"The manifest holds {tree!r:.100}: {error}"
            ) from error
        raise ModelFileError(f"The manifest holds {tree!r:.100}, which is nothing.")

    def each(self, tree: Any, depth: int) -> list[Any]:
        """The values of a list; nothing else is as long as the file says it."""
        if not isinstance(tree, list):
            raise ModelFileError(f"The manifest holds {tree!r:.100} for a list.")
        return [self.read(one, depth) for one in tree]

    def take(self, name: str) -> NDArray:
        if name not in self.arrays:
            raise ModelFileError(f"Part {name!r} is missing.")
        self.left.discard(name)
        return self.arrays[name]

    def object(self, tree: Any, depth: int) -> Any:
        name, state = tree
        state = self.read(state, depth)
        try:
            return self.from_state(name, state)
        except (ModelFileError, ImportError):
            raise
        except Exception as error:  # a state may hold any nonsense
            raise ModelFileError(f"A {name} cannot be made: {error}") from error

    def texts(self, tree: Any, depth: int) -> NDArray:
        return self._pieces(tree, None)

    def byte_strings(self, tree: Any, depth: int) -> NDArray:
        return self._pieces(tree, bytes)

    def objects(self, tree: Any, depth: int) -> NDArray:
        return self._pieces(tree, lambda one: self.read(json.loads(one), depth))

    def _pieces(self, tree: Any, read: Callable[[bytes], Any] | None) -> NDArray:
        """Objects of the bytes between offsets."""
        values, ends, *shape = tree
        if (values, ends) not in self._texts:
            self._texts[values, ends] = self._split(values, ends, read)
        found = self._texts[values, ends]
        return found.reshape(shape[0]) if shape else found

    def _split(
        self, values: str, names: str, read: Callable[[bytes], Any] | None
    ) -> NDArray:
        data, ends = self.take(values), self.take(names)
        if (
            data.dtype != np.uint8
            or ends.dtype != np.int64
            or data.ndim * ends.ndim != 1
        ):
            raise ModelFileError(f"Part {values!r} holds no text.")
        starts = np.append(0, ends)
        if np.any(starts[1:] < starts[:-1]) or starts[-1] != len(data):
            raise ModelFileError(f"The ends of the text of part {values!r} are wrong.")
        whole, places = data.tobytes(), pairwise(starts.tolist())
        if read is None and whole.isascii():  # far faster than text by text
            text = whole.decode("ascii")
            return object_array([text[i:j] for i, j in places])
        read = read or _text_of
        return object_array([read(whole[i:j]) for i, j in places])

    def tensor(self, tree: Any, depth: int) -> torch.Tensor:
        return torch.from_numpy(self.take(tree))

    def numpy(self, tree: Any, depth: int) -> Any:
        kind, content = tree
        if kind in ("<U0", "|S0"):
            return np.str_() if kind == "<U0" else np.bytes_()
        dtype = np.dtype(kind)
        if not holds(dtype):
            raise ModelFileError(f"The manifest holds a scalar of {dtype}.")
        (value,) = np.frombuffer(bytes.fromhex(content), dtype)
        return value

    def moment(self, kind: Any, tree: Any, depth: int) -> Any:
        text, fold, zone = self.read(tree, depth)
        return kind.fromisoformat(text).replace(fold=fold, tzinfo=zone)

    def random_state(self, tree: Any, depth: int) -> np.random.RandomState:
        made = np.random.RandomState(0)
        made.set_state(self.read(tree, depth))
        return made

    def pandas(self, tree: Any, depth: int) -> tuple[Any, Any]:
        """pandas, and what its scalar is made of."""
        try:
            import pandas
        except ImportError:
            raise ModelFileError(
                "The file holds dates or intervals of pandas. Install pandas."
            ) from None
        return pandas, self.read(tree, depth)

    def timestamp(self, tree: Any, depth: int) -> Any:
        pandas, (instant, zone) = self.pandas(tree, depth)
        stamp = pandas.Timestamp(instant)
        if zone is None:
            return stamp
        zone = _zone_name(zone) if isinstance(zone, str) else zone
        return stamp.tz_localize("UTC").tz_convert(zone)

    def pandas_timedelta(self, tree: Any, depth: int) -> Any:
        pandas, value = self.pandas(tree, depth)
        return pandas.Timedelta(value)

    def interval(self, tree: Any, depth: int) -> Any:
        pandas, (left, right, closed) = self.pandas(tree, depth)
        return pandas.Interval(left, right, closed)

    def period(self, tree: Any, depth: int) -> Any:
        pandas, (ordinal, frequency) = self.pandas(tree, depth)
        return pandas.Period(ordinal=ordinal, freq=frequency)


def _text_of(encoded: bytes) -> str:
    return encoded.decode("utf-8", "surrogatepass")


def _unknown(name: str, state: Any) -> Any:
    raise ModelFileError(f"The manifest names {name!r}, which no file may hold.")


def _masked(parts: Any) -> Any:
    data, mask = parts
    if mask.dtype != np.bool_ or mask.shape != data.shape:
        raise ModelFileError("The manifest holds a masked array without a mask.")
    return np.ma.MaskedArray(data, mask)


def _zone_name(name: str) -> str:
    """The name of a time zone, which is no path."""
    if not _ZONE.fullmatch(name):
        raise ModelFileError(f"The manifest names the time zone {name!r}.")
    return name


def _range_of(numbers: Any) -> range:
    found = range(*numbers)
    if found and (found[-1] - found[0]) // found.step >= _LONGEST:
        raise ModelFileError(f"The manifest holds {found}, which is too long.")
    return found


def _dict_of(pairs: Any) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ModelFileError("The manifest holds a dict with a key twice.")
    return found


_READERS: dict[str, Callable[[_Reader, Any, int], Any]] = {
    "$object": _Reader.object,
    "$array": lambda own, tree, depth: own.take(tree),
    "$masked": lambda own, tree, depth: _masked(own.read(tree, depth)),
    "$tensor": _Reader.tensor,
    "$bfloat16": lambda own, tree, depth: own.tensor(tree, depth).view(torch.bfloat16),
    "$text": _Reader.texts,
    "$bytes": _Reader.byte_strings,
    "$objects": _Reader.objects,
    "$numpy": _Reader.numpy,
    "$int": lambda own, tree, depth: int(tree, 16),
    "$float": lambda own, tree, depth: float(tree),
    "$complex": lambda own, tree, depth: complex(*map(float.fromhex, tree)),
    "$tuple": lambda own, tree, depth: tuple(own.each(tree, depth)),
    "$set": lambda own, tree, depth: set(own.each(tree, depth)),
    "$frozenset": lambda own, tree, depth: frozenset(own.each(tree, depth)),
    "$range": lambda own, tree, depth: _range_of(own.each(tree, depth)),
    "$dict": lambda own, tree, depth: _dict_of(own.each(tree, depth)),
    "$base64": lambda own, tree, depth: b64decode(tree, validate=True),
    "$date": lambda own, tree, depth: date.fromisoformat(tree),
    "$datetime": lambda own, tree, depth: own.moment(datetime, tree, depth),
    "$time": lambda own, tree, depth: own.moment(time, tree, depth),
    "$timezone": lambda own, tree, depth: timezone(*own.each(tree, depth)),
    "$zone": lambda own, tree, depth: ZoneInfo(_zone_name(tree)),
    "$timedelta": lambda own, tree, depth: timedelta(*tree),
    "$decimal": lambda own, tree, depth: Decimal(tree),
    "$uuid": lambda own, tree, depth: UUID(hex=tree),
    "$fraction": lambda own, tree, depth: Fraction(*own.each(tree, depth)),
    "$random_state": _Reader.random_state,
    "$timestamp": _Reader.timestamp,
    "$pandas_timedelta": _Reader.pandas_timedelta,
    "$interval": _Reader.interval,
    "$period": _Reader.period,
}
