"""Values of a vocabulary as arrays that any file format holds."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._spelling import shown


def to_plain(values: NDArray, name: str) -> dict[str, Any]:
    """Values as plain arrays: numbers, text in UTF-8, bytes, or instants.

    >>> to_plain(np.array(["a", "bc"], dtype=object), "city")["ends"]
    array([1, 3])
    """
    if values.dtype.kind != "O":
        return {"kind": "numbers", "values": values}
    listed = values.tolist()
    types = set(map(type, listed))
    if types <= {str} or types == {bytes}:
        texts = types <= {str}
        encoded = [v.encode("utf-8", "surrogatepass") if texts else v for v in listed]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return {"kind": "text" if texts else "bytes", "values": data, "ends": ends}
    if types in ({date}, {datetime}) and {None} == {
        getattr(one, "tzinfo", None) for one in listed
    }:
        unit = "datetime64[D]" if types == {date} else "datetime64[us]"
        return {"kind": "dates", "values": np.array(values, dtype=unit)}
    raise ValueError(
        f"Column {name!r} has categories such as {shown(listed[0])}, which cannot be "
        "stored. Give text, numbers or dates."
    )


def from_plain(state: dict[str, Any]) -> NDArray:
    """The values of `to_plain`."""
    kind, values = state["kind"], state["values"]
    if kind == "numbers":
        return values
    if kind == "dates":
        return values.astype(object)
    parts = np.split(values, state["ends"][:-1]) if len(state["ends"]) else []
    found = [part.tobytes() for part in parts]
    if kind == "text":
        return object_array([one.decode("utf-8", "surrogatepass") for one in found])
    return object_array(found)
