"""Tables of any library, read column by column."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse

from dephn_sk.preprocessing._columns import Categories, CodedBag, Codes, Column, Lists
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._fields import Bag
from dephn_sk.preprocessing._instants import Instants, zone_name
from dephn_sk.preprocessing._lists import offsets
from dephn_sk.preprocessing._marks import marked, read_mark


def library(X: Any) -> str:
    """ "pandas", "polars", "pyarrow" or "numpy": where a table comes from."""
    for name, frame in (
        ("pandas", "DataFrame"),
        ("polars", "DataFrame"),
        ("pyarrow", "Table"),
    ):
        module = sys.modules.get(name)
        if module is not None and isinstance(X, getattr(module, frame, ())):
            return name
    if type(X).__name__ == "LazyFrame":
        raise TypeError("A polars LazyFrame holds no rows yet: call .collect() first.")
    return "numpy"


def column_names(X: Any) -> list[str] | None:
    """The names of a frame's columns; None where they are not all text."""
    names = list(X.column_names if library(X) == "pyarrow" else X.columns)
    if not all(isinstance(name, str) for name in names):
        return None
    if len(set(names)) < len(names):
        repeated = max(names, key=names.count)
        raise ValueError(f"Column names must differ, but {repeated!r} is repeated.")
    return names


def names_only(X: Any) -> Any:
    """A frame with the same column names that every scikit-learn can read."""
    if library(X) != "polars":
        return X
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError("Reading polars frames needs pyarrow.") from error
    return pa.table({name: pa.nulls(0) for name in X.columns})


def select(X: Any, names: Sequence[str]) -> Any:
    """The frame's columns of these names, in their order."""
    return X.select(names) if library(X) == "pyarrow" else X[list(names)]


def read_columns(X: Any, names: Sequence[str]) -> list[Column]:
    """The columns of a frame, an array or a sparse matrix, under the given names."""
    kind = library(X)
    if kind == "pandas":
        values = [_read_pandas(series) for _, series in X.items()]
    elif kind == "polars":
        values = [_read_polars(series) for series in X.get_columns()]
    elif kind == "pyarrow":
        values = [_read_arrow(array) for array in X.columns]
    elif issparse(X):
        values = [X[:, [j]] for j in range(X.shape[1])]
    else:
        values = list(X.T)
    return [Column(name, one) for name, one in zip(names, values, strict=True)]


def _read_pandas(series: Any) -> Any:
    import pandas as pd

    from dephn_sk.preprocessing._bag_dtype import BagDtype

    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        # series.cat.codes would make a series for every column of a single row
        categories, codes = dtype.categories, series.array.codes
        mark = read_mark(categories.name)
        if mark is not None and _counts_up(categories):
            # A missing code is an unseen one.
            return Codes(np.maximum(codes, 0), len(categories), mark[0])
        return Categories(codes, _read_pandas(categories.to_series()))
    if isinstance(dtype, pd.ArrowDtype) or (
        isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    ):
        return _read_arrow(series.array.__arrow_array__())
    if isinstance(dtype, BagDtype):
        return series.array.coded
    if isinstance(dtype, pd.DatetimeTZDtype):
        in_utc = series.dt.tz_convert(None).to_numpy()
        return Instants(in_utc, zone_name(dtype.tz))
    if isinstance(dtype, pd.SparseDtype):
        return _read_pandas(series.sparse.to_dense())
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if dtype.kind in "biuf":  # nullable
        missing = series.isna().to_numpy()
        numbers = series.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return np.ma.MaskedArray(numbers, missing)
    return series.to_numpy(dtype=object)


def _counts_up(categories: Any) -> bool:
    """Whether an index of pandas is 0, 1, 2, …"""
    import pandas as pd

    if isinstance(categories, pd.RangeIndex):
        return categories.start == 0 and categories.step == 1
    return categories.equals(pd.RangeIndex(len(categories)))


def _read_polars(series: Any) -> Any:
    import polars as pl

    if str(series.dtype) in ("Object", "Int128", "UInt128"):  # unknown to pyarrow
        return object_array(series.to_list())
    inner = series.dtype.inner if isinstance(series.dtype, pl.List) else series.dtype
    if isinstance(inner, pl.Enum):
        categories = inner.categories.to_list()
        word = categories[0].rpartition(" ")[0] if categories else ""
        mark = read_mark(word)
        if mark is not None and categories == marked(len(categories), word):
            return _read_polars_codes(series, len(categories), *mark)
    return _read_arrow(series.to_arrow())


def _read_polars_codes(
    series: Any, cardinality: int, table: str | None, mode: str | None
) -> Codes | CodedBag:
    import polars as pl

    if not isinstance(series.dtype, pl.List):
        codes = series.to_physical().fill_null(0).to_numpy()
        return Codes(codes, cardinality, table)
    lists = _read_arrow(series.to_arrow())
    bag = Bag(lists.members.positions, lists.offsets)
    return CodedBag(bag, cardinality, table, mode or "mean")


def _read_arrow(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        if array.num_chunks != 1 and pa.types.is_string(array.type):
            array = array.cast(pa.large_string())  # any number of characters
        if array.num_chunks == 1:
            array = array.chunk(0)
        else:
            array = array.unify_dictionaries().combine_chunks()
    kind = array.type
    if pa.types.is_dictionary(kind):
        positions = array.indices.cast(pa.int32()).fill_null(-1)
        positions = positions.to_numpy(zero_copy_only=False)
        return Categories(positions, _read_arrow(array.dictionary))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return array
    if pa.types.is_timestamp(kind):
        instants = array.to_numpy(zero_copy_only=False)
        return instants if kind.tz is None else Instants(instants, kind.tz)
    if pa.types.is_duration(kind):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_date(kind):
        return array.cast(pa.date32()).to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        numbers = pc.fill_null(array, False if pa.types.is_boolean(kind) else 0)
        numbers = numbers.to_numpy(zero_copy_only=False)
        if array.null_count == 0:
            return numbers
        missing = array.is_null().to_numpy(zero_copy_only=False)
        return np.ma.MaskedArray(numbers, missing)
    if pa.types.is_floating(kind):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    ):
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        return Lists(_read_arrow(array.flatten()), offsets(lengths.to_numpy()))
    return object_array(array.to_pylist())
