"""What was learned as plain arrays and scalars, which any file format holds."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._distinct import object_array
from ._spelling import shown

_OBJECTS = ("text", "bytes", "dates")


def to_plain(value: Any) -> Any:
    """A value as arrays without objects, scalars of JSON, and dicts and lists of them.

    >>> plain = to_plain(np.array(["a", "bc"], dtype=object))
    >>> plain["type"], plain["ends"]
    ('text', array([1, 3]))
    """
    if isinstance(value, np.ndarray):
        return _objects_to_plain(value) if value.dtype.kind == "O" else value
    if isinstance(value, dict):
        return {key: to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if is_dataclass(value):
        own = {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
        return {"type": type(value).__name__, **own}
    return value.item() if isinstance(value, np.generic) else value


def from_plain(plain: Any, types: Sequence[Any]) -> Any:
    """What `to_plain` was given; ``types`` are the classes that may be in it."""
    if isinstance(plain, list):
        return [from_plain(one, types) for one in plain]
    if not isinstance(plain, dict):
        return plain
    name = plain.get("type")
    if not isinstance(name, str):  # what dicts hold by the key "type" is no text
        return {key: from_plain(one, types) for key, one in plain.items()}
    own = {key: from_plain(one, types) for key, one in plain.items() if key != "type"}
    if name in _OBJECTS:
        return _objects_from_plain(name, **own)
    return next(one for one in types if one.__name__ == name)(**own)


def _objects_to_plain(values: NDArray) -> dict[str, Any]:
    """Text in UTF-8, bytes, or days and instants without a zone."""
    listed = values.tolist()
    types = set(map(type, listed))
    if types <= {str} or types == {bytes}:
        texts = types <= {str}
        encoded = [v.encode("utf-8", "surrogatepass") if texts else v for v in listed]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return {"type": "text" if texts else "bytes", "values": data, "ends": ends}
    if types in ({date}, {datetime}) and {None} == {
        getattr(one, "tzinfo", None) for one in listed
    }:
        unit = "datetime64[D]" if types == {date} else "datetime64[us]"
        return {"type": "dates", "values": np.array(values, dtype=unit)}
    raise ValueError(
        f"Categories such as {shown(listed[0])} cannot be stored. Give text, numbers "
        "or dates."
    )


def _objects_from_plain(kind: str, values: NDArray, ends: Any = ()) -> NDArray:
    if kind == "dates":
        return values.astype(object)
    parts = np.split(values, ends[:-1]) if len(ends) else []
    found = [part.tobytes() for part in parts]
    if kind == "text":
        return object_array([one.decode("utf-8", "surrogatepass") for one in found])
    return object_array(found)
