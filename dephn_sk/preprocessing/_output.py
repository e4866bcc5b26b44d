"""Encoded columns as a frame or an array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import CodedBag, Codes
from dephn_sk.preprocessing._marks import mark, marked


def write_pandas(columns: dict[str, Any], index: Any) -> Any:
    """A pandas frame: categories over the codes' range, bags, and numbers."""
    import pandas as pd

    from dephn_sk.preprocessing._bag_dtype import BagArray, BagDtype

    series = {}
    for name, values in columns.items():
        if isinstance(values, Codes):
            codes = pd.RangeIndex(values.cardinality, name=mark(values.table))
            values = pd.Categorical.from_codes(values.codes, codes, validate=False)
        elif isinstance(values, CodedBag):
            dtype = BagDtype(values.cardinality, values.table, values.mode)
            values = BagArray(values.bag, dtype)
        series[name] = values
    return pd.DataFrame(series, index=index, copy=False)


def write_polars(columns: dict[str, Any]) -> Any:
    """A polars frame: enumerations of the codes' range, lists of them, and numbers."""
    import polars as pl

    series = []
    for name, values in columns.items():
        if isinstance(values, Codes):
            values = _enumerated(values.codes, values.cardinality, mark(values.table))
        elif isinstance(values, CodedBag):
            values = _polars_lists(name, values)
        elif values.dtype.kind != "f":
            values = values.tolist()
        series.append(pl.Series(name, values, strict=False))
    return pl.DataFrame(series)


def _enumerated(codes: NDArray, cardinality: int, word: str) -> Any:
    import polars as pl

    series = pl.Series(codes.astype(np.uint32))
    dtype = pl.Enum(marked(cardinality, word))
    # polars 2 has a method for what polars 1 did by a cast
    return series.cat.to(dtype) if hasattr(series.cat, "to") else series.cast(dtype)


def _polars_lists(name: str, values: CodedBag) -> Any:
    import polars as pl
    import pyarrow as pa

    if values.bag.weights is not None:
        raise ValueError(
            f"Column {name!r} has weights for its members, which no polars column "
            'holds. Use set_output(transform="pandas") or encode.'
        )
    bag, word = values.bag, mark(values.table, values.mode)
    members = _enumerated(bag.members, values.cardinality, word)
    lists = pa.LargeListArray.from_arrays(pa.array(bag.offsets), members.to_arrow())
    return pl.from_arrow(lists).cast(pl.List(members.dtype))


def write_array(columns: dict[str, Any], n_rows: int) -> NDArray:
    """One float64 array of codes and numbers."""
    array = np.empty((n_rows, len(columns)), dtype=np.float64)
    for j, (name, values) in enumerate(columns.items()):
        if isinstance(values, CodedBag):
            raise ValueError(
                f"Column {name!r} is multi-valued, which an array of numbers cannot "
                'hold. Use set_output(transform="pandas") or encode.'
            )
        array[:, j] = values.codes if isinstance(values, Codes) else values
    return array


def write_raw(columns: dict[str, Any], library: str, index: Any) -> Any:
    """Raw columns, or codes that came as codes, as a frame or an array."""
    if library == "polars":
        return write_polars(columns)
    if library == "pandas":
        return write_pandas(columns, index).infer_objects()
    kinds = {values.dtype.kind for values in columns.values()}
    dtype = np.float64 if kinds <= {"f"} else object
    return np.column_stack([values.astype(dtype) for values in columns.values()])
