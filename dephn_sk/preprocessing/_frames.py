"""Tables of any library, read column by column and written back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dephn_sk.preprocessing._columns import Categories, Codes, Column

# The name of an index that marks codes; fields of one table say which after a colon.
MARK = "code"


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
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"Column names must differ, but {repeated[0]!r} is repeated.")
    return names


def select(X: Any, names: Sequence[str]) -> Any:
    """The frame's columns of these names, in their order."""
    return X.select(names) if library(X) == "pyarrow" else X[list(names)]


def read_columns(X: Any, names: Sequence[str]) -> list[Column]:
    """The columns of a frame, an array or a sparse matrix, under the given names."""
    if issparse(X):
        series = [X[:, [j]] for j in range(X.shape[1])]
    else:
        read, series = {
            "pandas": lambda: (_read_pandas, [X.iloc[:, j] for j in range(X.shape[1])]),
            "polars": lambda: (_read_polars, X.get_columns()),
            "pyarrow": lambda: (_read_arrow, X.columns),
            "numpy": lambda: (np.asarray, list(X.T)),
        }[library(X)]()
        series = [read(one) for one in series]
    return [Column(name, values) for name, values in zip(names, series, strict=True)]


def _read_pandas(series: Any) -> Any:
    import pandas as pd

    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories, codes = dtype.categories, series.cat.codes.to_numpy()
        if _is_marked(categories):
            table = categories.name[len(MARK) + 1 :] or None
            # A missing code is an unseen one.
            return Codes(np.maximum(codes, 0), len(categories), table)
        return Categories(codes, _read_pandas(categories.to_series()))
    if isinstance(dtype, pd.ArrowDtype) or (
        isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    ):
        return _read_arrow(series.array.__arrow_array__())
    if isinstance(dtype, pd.DatetimeTZDtype):
        return series.dt.tz_localize(None).to_numpy()
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if dtype.kind in "biuf":  # nullable
        missing = series.isna().to_numpy()
        numbers = series.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return np.ma.MaskedArray(numbers, missing)
    return series.to_numpy(dtype=object)


def _is_marked(categories: Any) -> bool:
    import pandas as pd

    return (
        isinstance(categories, pd.RangeIndex)
        and categories.start == 0
        and categories.step == 1
        and isinstance(categories.name, str)
        and categories.name.split(":")[0] == MARK
    )


def _read_polars(series: Any) -> Any:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError("Reading polars frames needs pyarrow.") from error
    import polars as pl

    if series.dtype == pl.Object:
        return series.to_numpy()
    if isinstance(series.dtype, pl.Enum):
        categories = series.dtype.categories.to_list()
        mark = categories[0].rpartition(" ")[0] if categories else ""
        if mark.split(":")[0] == MARK and categories == _marked(len(categories), mark):
            codes = series.to_physical().fill_null(0).to_numpy()
            return Codes(codes, len(categories), mark[len(MARK) + 1 :] or None)
    return _read_arrow(series.to_arrow())


def _marked(cardinality: int, mark: str) -> list[str]:
    return [f"{mark} {code}" for code in range(cardinality)]


def _read_arrow(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        array = (
            pa.concat_arrays(array.unify_dictionaries().chunks)
            if (array.num_chunks != 1)
            else array.chunk(0)
        )
    kind = array.type
    if pa.types.is_dictionary(kind):
        positions = array.indices.cast(pa.int32()).fill_null(-1)
        positions = positions.to_numpy(zero_copy_only=False)
        return Categories(positions, _read_arrow(array.dictionary))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return array
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            array = pc.local_timestamp(array)
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
    return np.array([*array.to_pylist(), None], dtype=object)[:-1]


def write_pandas(columns: dict[str, Any], index: Any) -> Any:
    """A pandas frame of codes, as categories over their range, and numbers."""
    import pandas as pd

    series = {}
    for name, values in columns.items():
        if isinstance(values, Codes):
            mark = MARK if values.table is None else f"{MARK}:{values.table}"
            dtype = pd.CategoricalDtype(pd.RangeIndex(values.cardinality, name=mark))
            codes = values.codes
            values = pd.Categorical.from_codes(codes, dtype=dtype, validate=False)
        series[name] = values
    return pd.DataFrame(series, index=index, copy=False)


def write_polars(columns: dict[str, Any]) -> Any:
    """A polars frame of codes, as an enumeration of their range, and numbers."""
    import polars as pl

    series = []
    for name, values in columns.items():
        if isinstance(values, Codes):
            mark = MARK if values.table is None else f"{MARK}:{values.table}"
            dtype = pl.Enum(_marked(values.cardinality, mark))
            codes = pl.Series(name, values.codes.astype(np.uint32))
            series.append(_enumerated(codes, dtype))
        else:
            series.append(pl.Series(name, values))
    return pl.DataFrame(series)


def _enumerated(codes: Any, dtype: Any) -> Any:
    try:
        return codes.cat.to(dtype)
    except AttributeError:  # polars 1
        return codes.cast(dtype)


def write_array(columns: dict[str, Any], n_rows: int) -> NDArray:
    """One float64 array of codes and numbers."""
    array = np.empty((n_rows, len(columns)), dtype=np.float64)
    for j, values in enumerate(columns.values()):
        array[:, j] = values.codes if isinstance(values, Codes) else values
    return array
