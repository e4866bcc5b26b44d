"""What was learned as dicts of plain values, and back, where every type is right."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ._spelling import shown


def to_plain(value: Any) -> Any:
    """A value with dicts in the place of dataclasses, which say their class.

    >>> from dataclasses import make_dataclass
    >>> Point = make_dataclass("Point", [("x", float), ("y", float)])
    >>> to_plain((Point(1.0, 2.0), None))
    ({'type': 'Point', 'x': 1.0, 'y': 2.0}, None)
    """
    if isinstance(value, dict):
        return {key: to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(one) for one in value)
    if is_dataclass(value):
        own = {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
        return {"type": type(value).__name__, **own}
    return value


def from_plain(plain: Any, classes: Sequence[Any]) -> Any:
    """What `to_plain` was given; ``classes`` are those that may be in it."""
    if isinstance(plain, list | tuple):
        return type(plain)(from_plain(one, classes) for one in plain)
    if not isinstance(plain, dict):
        return plain
    own = {key: from_plain(one, classes) for key, one in plain.items()}
    if not isinstance(own.get("type"), str):  # a column may have that name
        return own
    name = own.pop("type")
    for one in classes:
        if one.__name__ == name:
            return made_of(one, own)
    raise ValueError(f"{name!r} is none of {[one.__name__ for one in classes]}.")


def made_of(cls: Any, values: dict[str, Any]) -> Any:
    """A dataclass of values, each of the type that its field declares."""
    hints = _hints(cls)
    for key, value in values.items():
        if key not in hints or not _fits(value, hints[key]):
            raise ValueError(f"{cls.__name__}.{key} cannot be {shown(value)}.")
    made = cls(**values)
    if hasattr(made, "check"):
        made.check()
    return made


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {one.name: hints[one.name] for one in fields(cls)}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type."""
    if hint is Any or isinstance(hint, TypeVar):
        return True
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is np.ndarray:
        (dtype,) = get_args(inner[1])
        if type(value) is not np.ndarray:
            return False
        return isinstance(dtype, TypeVar) or value.dtype == dtype
    if origin is tuple:
        return type(value) is tuple and all(_fits(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(key, inner[0]) and _fits(one, inner[1]) for key, one in value.items()
        )
    numbers = {float: (int, float, np.number), int: (int, np.integer)}
    truth = isinstance(value, bool | np.bool_)
    if hint in (bool, int, float):
        return truth if hint is bool else isinstance(value, numbers[hint]) and not truth
    return isinstance(value, hint)
