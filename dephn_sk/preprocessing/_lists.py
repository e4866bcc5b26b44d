"""Columns of lists, in any form: one array of members and offsets."""

from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import CodedBag, Codes, Column, Lists
from dephn_sk.preprocessing._distinct import missing_mask, object_array
from dephn_sk.preprocessing._fields import offsets
from dephn_sk.preprocessing._spelling import shown

_LISTS = frozenset({list, tuple, np.ndarray})


def read_lists(column: Column, delimiter: str | None) -> tuple[Lists, NDArray | None]:
    """A column's lists, and which of them each row holds (None: each its own).

    Missing is an empty list. Delimited text is split once for each distinct text.
    """
    values = column.values
    if delimiter is not None and column.kind != "list":
        return _split(column, delimiter)
    if isinstance(values, Lists):
        return values, None
    if isinstance(values, CodedBag):
        codes = Codes(values.bag.members, values.cardinality, values.table)
        return Lists(codes, values.bag.offsets), None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "Of":
        raise _no_list(column.name, column.example())
    cells = values.astype(object)  # floats where all is missing
    cells[missing_mask(cells)] = object_array([()])
    others = (c for c in cells if type(c) not in _LISTS or getattr(c, "ndim", 1) != 1)
    no_list = next(others, None)
    if no_list is not None:
        raise _no_list(column.name, no_list)
    lengths = np.fromiter(map(len, cells), np.int64, len(cells))
    full = cells[lengths > 0]
    if set(map(type, full)) == {np.ndarray}:
        members = np.concatenate(full)
    else:
        members = object_array(list(chain.from_iterable(full)))
    return Lists(members, offsets(lengths)), None


def _split(column: Column, delimiter: str) -> tuple[Lists, NDArray]:
    """Delimited text; blanks around members and empty members are dropped."""
    distinct = column.distinct
    texts = distinct.values.tolist()
    if not set(map(type, texts)) <= {str}:
        example = next(text for text in texts if not isinstance(text, str))
        raise ValueError(
            f"Column {column.name!r} is to be split at {delimiter!r}, but holds "
            f"{shown(example)}, which is no text."
        )
    parts = [*map(str.split, texts, repeat(delimiter)), []]  # the last for missing
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    members = object_array(list(map(str.strip, chain.from_iterable(parts))))
    full = members != ""
    holder = np.repeat(np.arange(len(parts)), lengths)[full]
    lengths = np.bincount(holder, minlength=len(parts))
    rows = np.where(distinct.positions < 0, len(texts), distinct.positions)
    return Lists(members[full], offsets(lengths)), rows


def _no_list(name: str, example: Any) -> ValueError:
    shape = f" of shape {example.shape}" if isinstance(example, np.ndarray) else ""
    return ValueError(
        f"Column {name!r} is multi-valued, but holds {shown(example)}, which is a "
        f"{type(example).__name__}{shape}. Give a list in each row, or name the "
        "column in delimiters if it holds delimited text."
    )
