"""Tables of any library, read column by column."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dephn_sk.preprocessing._columns import Categories, CodedBag, Codes, Column, Lists
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._fields import Bag, offsets
from dephn_sk.preprocessing._instants import Instants, zone_name
from dephn_sk.preprocessing._marks import marked, read_mark

# Of so few rows, texts are taken one by one sooner than all at once.
_ONE_BY_ONE = 16
_FRAMES = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "Table"}


def library(X: Any) -> str:
    """ "pandas", "polars", "pyarrow" or "numpy": where a table comes from."""
    for name, frame in _FRAMES.items():
        module = sys.modules.get(name)
        if module is not None and isinstance(X, getattr(module, frame, ())):
            return name
    if type(X).__name__ == "LazyFrame":
        raise TypeError("A polars LazyFrame holds no rows yet: call .collect() first.")
    return "numpy"


def column_names(X: Any) -> list[str] | None:
    """The names of a frame's columns; None where they are not all text."""
    names = X.column_names if library(X) == "pyarrow" else X.columns
    names = names.tolist() if hasattr(names, "tolist") else list(names)
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
        values = list(map(_read_pandas, _arrays(X)))
    elif kind == "polars":
        values = [_read_polars(series) for series in X.get_columns()]
    elif kind == "pyarrow":
        values = [_read_arrow(array) for array in X.columns]
    elif issparse(X):
        values = [X[:, [j]] for j in range(X.shape[1])]
    else:
        values = list(X.T)
    return [Column(name, one) for name, one in zip(names, values, strict=True)]


def _arrays(X: Any) -> Iterable[Any]:
    """The array of each column of a pandas frame.

    pandas keeps the fast way private: a series for each column would take as long as
    all the rest, where there is a single row.
    """
    if hasattr(X, "_iter_column_arrays"):
        return X._iter_column_arrays()
    return (series.array for _, series in X.items())


def _read_pandas(array: Any) -> Any:
    import pandas as pd

    from dephn_sk.preprocessing._bag_dtype import BagDtype

    dtype = array.dtype
    if isinstance(array, np.ndarray):
        return array
    if isinstance(array, pd.arrays.NumpyExtensionArray):
        return array.to_numpy()
    if isinstance(dtype, pd.CategoricalDtype):
        categories, codes = dtype.categories, array.codes
        mark = read_mark(categories.name)
        if mark and categories.equals(pd.RangeIndex(len(categories))):
            # A missing code is an unseen one.
            return Codes(np.maximum(codes, 0), len(categories), mark[0])
        values = categories.array
        if isinstance(values, pd.arrays.ArrowExtensionArray):
            return _categories(codes, values.__arrow_array__(), _read_arrow)
        return _categories(codes, values, _read_pandas)
    if isinstance(array, pd.arrays.ArrowExtensionArray):
        return _read_arrow(array.__arrow_array__())
    if isinstance(dtype, BagDtype):
        return array.coded
    if isinstance(dtype, pd.DatetimeTZDtype):
        return Instants(array.tz_convert(None).to_numpy(), zone_name(dtype.tz))
    if isinstance(dtype, np.dtype | pd.SparseDtype):
        return np.asarray(array)
    if dtype.kind in "biuf":  # nullable
        numbers = array.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return np.ma.MaskedArray(numbers, array.isna())
    return array.to_numpy(dtype=object)


def _categories(positions: NDArray, values: Any, read: Callable) -> Categories:
    """Positions in the values that rows hold, where there are fewer rows.

    Two rows may have the same value at two positions.
    """
    if len(positions) >= len(values):
        return Categories(positions, read(values))
    if len(positions) <= _ONE_BY_ONE and read is _read_arrow and _are_texts(values):
        each = [None if i < 0 else values[i].as_py() for i in positions.tolist()]
        return Categories(np.arange(len(each)), object_array(each))
    held = positions >= 0
    used = read(values.take(positions[held]))
    return Categories(np.where(held, np.cumsum(held) - 1, -1), used)


def _read_polars(series: Any) -> Any:
    if str(series.dtype) in ("Object", "Int128", "UInt128"):  # unknown to pyarrow
        return object_array(series.to_list())
    return _read_arrow(series.to_arrow())


def _read_arrow(array: Any) -> Any:
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        if array.num_chunks != 1 and pa.types.is_string(array.type):
            array = array.cast(pa.large_string())  # any number of characters
        if array.num_chunks == 1:
            array = array.chunk(0)
        else:
            array = array.unify_dictionaries().combine_chunks()
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _read_dictionary(array)
    if _are_texts(array):
        return array
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    ):
        return _read_arrow_lists(array)
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    if array.null_count and (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        missing = array.is_null().to_numpy(zero_copy_only=False)
        array = array.fill_null(pa.scalar(0).cast(kind))
        return np.ma.MaskedArray(array.to_numpy(zero_copy_only=False), missing)
    values = array.to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return Instants(values, kind.tz)
    return values


def _are_texts(array: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(array.type) or pa.types.is_large_string(array.type)


def _read_dictionary(array: Any) -> Categories | Codes:
    import pyarrow as pa

    positions = array.indices.cast(pa.int32()).fill_null(-1)
    positions, values = positions.to_numpy(zero_copy_only=False), array.dictionary
    mark = _read_enum_mark(array)
    if mark is not None:
        return Codes(np.maximum(positions, 0), len(values), mark[0])
    if pa.types.is_string_view(values.type):  # of which pyarrow takes none
        values = values.cast(pa.large_string())
    return _categories(positions, values, _read_arrow)


def _read_enum_mark(array: Any) -> tuple[str | None, str | None] | None:
    """The table and mode of codes that polars holds as an enumeration of text."""
    if not array.type.ordered or not len(array.dictionary):
        return None
    word = str(array.dictionary[0]).rpartition(" ")[0]
    mark, texts = read_mark(word), array.dictionary
    return mark if mark and texts.to_pylist() == marked(len(texts), word) else None


def _read_arrow_lists(array: Any) -> Lists | CodedBag:
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(array), 0)
    flat, ends = array.flatten(), offsets(lengths.to_numpy())
    members = _read_arrow(flat)
    if not isinstance(members, Codes):
        return Lists(members, ends)
    _, mode = _read_enum_mark(flat) or (None, None)
    bag = Bag(members.codes, ends)
    return CodedBag(bag, members.cardinality, members.table, mode or "mean")
