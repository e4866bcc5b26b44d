"""Columns that a parameter names: by name, position or mask."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from dephn_sk._suggest import did_you_mean


def chosen(choice: Any, names: Sequence[str], parameter: str) -> list[str]:
    """The names of the columns that ``choice`` gives by name, position or mask."""
    if isinstance(choice, str):
        raise ValueError(
            f"{parameter}={choice!r} is no list of columns; did you mean [{choice!r}]?"
        )
    choice = list(choice)
    if choice and all(isinstance(one, bool | np.bool_) for one in choice):
        if len(choice) != len(names):
            raise ValueError(
                f"{parameter} is a mask of {len(choice)} columns, but X has "
                f"{len(names)}."
            )
        return [name for name, one in zip(names, choice, strict=True) if one]
    return [column_name(one, names, parameter) for one in choice]


def column_name(one: Any, names: Sequence[str], parameter: str) -> str:
    """The name of one column, given by name or position."""
    if isinstance(one, Integral) and not isinstance(one, bool):
        one = int(one)
        if not -len(names) <= one < len(names):
            raise ValueError(
                f"{parameter} holds the position {one}, but X has {len(names)} columns."
            )
        return names[one]
    if one not in names:
        hint = did_you_mean(one, names) or f" X has {list(names)}."
        raise ValueError(f"{parameter} holds the unknown column {one!r}.{hint}")
    return str(one)
