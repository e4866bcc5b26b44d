"""Labels and weights that are columns of a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..logs import Log
from ._labels import Columns, read_columns
from ._weights import check_sample_weight


def features_of(fitted: Any, log: Log) -> list[str]:
    """The columns of `fit`, which a log needs to have."""
    names = getattr(fitted, "feature_names_in_", None)
    if names is None:
        raise ValueError(
            "The columns of fit had no names, by which those of a log could be found. "
            "Fit to a frame or to a log."
        )
    for name in names:
        log.check_name(name, "fit")
    return [str(name) for name in names]


def names_of(given: Any, parameter: str, log: Log) -> tuple[str, ...]:
    """The names of columns that a parameter gives: one, several, or none."""
    if given is None:
        return ()
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not names:
        raise TypeError(
            f"{parameter}={type(given).__name__} cannot be used with a log, whose rows "
            f"are not in memory: give the name of its column, or a list of names."
        )
    for name in names:
        log.check_name(name, parameter)
    if len(set(names)) < len(names):
        raise ValueError(f"{parameter}={list(names)} names a column twice.")
    return tuple(names)


def label_columns(table: Any, names: Sequence[str], ndim: int) -> Columns | None:
    """Columns of labels, as the same columns of a frame in memory."""
    if not names:
        return None
    if ndim == 2:
        return read_columns(table.select(list(names)))
    read = read_columns(table.column(names[0]))
    return replace(read, columns=(replace(read.columns[0], name=names[0]),), named=True)


def weight_columns(table: Any, names: Sequence[str]) -> NDArray | None:
    import pyarrow as pa

    columns = []
    for name in names:
        column = table.column(name)
        try:
            numbers = column.cast(pa.float64())
        except pa.ArrowException:
            raise ValueError(
                f"sample_weight names the column {name!r}, which holds {column.type} "
                "and no numbers."
            ) from None
        columns.append(numbers.to_numpy().astype(np.float64))
    given = np.column_stack(columns)
    if not len(given):
        return given
    return check_sample_weight(given, len(given), names, zeros=True)
