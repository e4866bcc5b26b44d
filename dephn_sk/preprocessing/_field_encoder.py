"""FieldEncoder: a raw table as codes and numbers."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from dephn_sk._compat import (
    Interval,
    StrOptions,
    _check_feature_names_in,
    _check_sample_weight,
    _fit_context,
    _get_output_config,
    validate_data,
)
from dephn_sk.preprocessing._choice import chosen, for_column
from dephn_sk.preprocessing._codes import Encoded
from dephn_sk.preprocessing._columns import Codes, Column
from dephn_sk.preprocessing._fields import Fields
from dephn_sk.preprocessing._frames import (
    column_names,
    library,
    read_columns,
    select,
    write_array,
    write_pandas,
    write_polars,
)
from dephn_sk.preprocessing._numbers import finite_numbers, mean_and_scale
from dephn_sk.preprocessing._vocabulary import Vocabulary


class FieldEncoder(TransformerMixin, BaseEstimator):
    """Turn a raw table into categorical codes and standardised numbers.

    Each categorical column becomes integer codes: values seen in `fit` have the codes
    1, 2, …; code 0 is for values never seen, for rare ones if you ask for it, and for
    missing ones. Numeric columns get mean 0 and variance 1; missing stays NaN.

    A transformed frame says by itself which columns hold codes and how many there are:
    their dtype is ``category`` over ``RangeIndex(n, name="code")``. Such columns are
    taken as they are by another `FieldEncoder` and by the library's estimators.

    Parameters
    ----------
    categorical_features : "from_dtype", array-like of bool, int or str, or None, \
            default="from_dtype"
        Which columns are categorical: a mask, positions or names. ``"from_dtype"``
        takes text, objects, categories and booleans in a frame, and the columns that
        do not convert to numbers in an array of objects. None: no column.
    min_frequency : int, float or dict, default=None
        Values in fewer rows than this (a share of all rows if it is a float) get code
        0. Rows count by their weight. A dict gives it by column.
    max_categories : int or dict, default=None
        Largest number of codes of a column, code 0 included. The most frequent values
        get one. A dict gives it by column.
    missing_category : bool, default=False
        Whether missing is a category like others, with a code of its own if it was
        seen in `fit`, rather than sharing code 0.
    column_order : {"strict", "any"}, default="strict"
        Whether a frame's columns must be in the order of `fit`, or only be there.
    extra_columns : {"error", "warn", "ignore"}, default="error"
        What to do with a frame's columns that `fit` did not see.

    Attributes
    ----------
    categorical_names_, numeric_names_, bag_names_ : tuple of str
        The fields, in the order of `Fields` and of the output.
    cardinalities_ : tuple of int
        Number of codes of each categorical field, code 0 included.
    bag_cardinalities_ : tuple of int
        Number of codes of each multi-valued field.
    tables_ : tuple of int
        For each categorical and then each multi-valued field, the table that it reads;
        fields with the same number share one.
    vocabulary_ : dict of str to ndarray
        For each categorical column, its values in the order of their codes, the first
        of which has code 1.
    mean_, scale_ : ndarray of shape (n_numeric,)
        Weighted mean and standard deviation of each numeric field.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if `X` has names that are all strings.

    Examples
    --------
    >>> import pandas as pd
    >>> from dephn_sk.preprocessing import FieldEncoder
    >>> X = pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "age": [20.0, 30.0, 40.0]})
    >>> encoder = FieldEncoder()
    >>> encoder.fit_transform(X)
      city       age
    0    1 -1.224745
    1    2  0.000000
    2    1  1.224745
    >>> encoder.vocabulary_
    {'city': array(['Oslo', 'Rome'], dtype=object)}
    >>> encoder.transform(pd.DataFrame({"city": ["Paris"], "age": [None]}))
      city  age
    0    0  NaN
    """

    _parameter_constraints: dict = {
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            dict,
            None,
        ],
        "max_categories": [Interval(Integral, 1, None, closed="left"), dict, None],
        "missing_category": ["boolean"],
        "column_order": [StrOptions({"strict", "any"})],
        "extra_columns": [StrOptions({"error", "warn", "ignore"})],
    }

    def __init__(
        self,
        *,
        categorical_features="from_dtype",
        min_frequency=None,
        max_categories=None,
        missing_category=False,
        column_order="strict",
        extra_columns="error",
    ):
        self.categorical_features = categorical_features
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.missing_category = missing_category
        self.column_order = column_order
        self.extra_columns = extra_columns

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> FieldEncoder:
        """Learn the codes of categories and the scale of numbers.

        Parameters
        ----------
        X : frame, array-like or sparse matrix of shape (n_samples, n_features)
            The raw table.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. Rows of weight zero do not count at all, and an integer
            weight is that many equal rows.

        Returns
        -------
        self : FieldEncoder
            The fitted encoder.
        """
        columns = self._read(X, reset=True)
        weight = None
        if sample_weight is not None:
            weight = _checked_weight(sample_weight, len(columns[0]))
        self._learn(columns, weight)
        return self

    def transform(self, X: Any) -> Any:
        """Give the table's codes and numbers in the kind of table that came.

        Parameters
        ----------
        X : frame, array-like or sparse matrix of shape (n_samples, n_features)
            The raw table.

        Returns
        -------
        X_out : DataFrame or ndarray of shape (n_samples, n_fields)
            Categorical fields, then numeric ones. An array holds the codes as floats; a
            pandas frame (polars for polars) holds them as categories, with the
            number of codes in the dtype. `set_output` chooses another kind.
        """
        check_is_fitted(self)
        columns = self._read(X, reset=False)
        encoded = {
            name: Codes(codes, coder.cardinality, coder.table)
            for name, coder, codes in self._codes(columns)
        }
        encoded.update(self._numbers(columns))
        output = _get_output_config("transform", self)["dense"]
        if output == "default":
            output = library(X)
        if output == "polars":
            return write_polars(encoded)
        if output in ("pandas", "pyarrow"):
            return write_pandas(encoded, getattr(X, "index", None))
        return write_array(encoded, len(columns[0]))

    def encode(self, X: Any, dtype: Any = np.float32) -> Fields:
        """Give the table as `Fields`, which networks read.

        Parameters
        ----------
        X : frame, array-like or sparse matrix of shape (n_samples, n_features)
            The raw table.
        dtype : dtype, default=numpy.float32
            Of the numbers.

        Returns
        -------
        fields : Fields
            Codes of type int32 and numbers, each with one column for each field.
        """
        check_is_fitted(self)
        columns = self._read(X, reset=False)
        n_rows = len(columns[0])
        codes = np.empty((n_rows, len(self.categorical_names_)), dtype=np.int32)
        for j, (_, _, column) in enumerate(self._codes(columns)):
            codes[:, j] = column
        numbers = np.empty((n_rows, len(self.numeric_names_)), dtype=dtype)
        for j, (_, column) in enumerate(self._numbers(columns)):
            numbers[:, j] = column
        return Fields(codes, numbers)

    def inverse_transform(self, X: Any) -> Any:
        """Give back the table that `transform` was given, as far as codes tell.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_samples, n_fields)
            What `transform` gave.

        Returns
        -------
        X_raw : DataFrame or ndarray of shape (n_samples, n_features_in_)
            The columns in the order of `fit`; None where the code is 0. An array is of
            objects where there are categories.
        """
        check_is_fitted(self)
        out = list(self.get_feature_names_out())
        kind = library(X)
        if kind == "numpy":
            X = np.asarray(X)
            if X.ndim != 2 or X.shape[1] != len(out):
                raise ValueError(
                    f"X has shape {X.shape}, but transform gives {len(out)} columns: "
                    f"{out}."
                )
        else:
            X = select(X, out)
        raw = {}
        for column in read_columns(X, out):
            if column.name in self._coders:
                raw[column.name] = self._coders[column.name].decode(_as_codes(column))
            else:
                j = self.numeric_names_.index(column.name)
                raw[column.name] = column.numbers() * self.scale_[j] + self.mean_[j]
        raw = {name: raw[name] for name in self._names}
        if kind == "polars":
            import polars as pl

            return pl.DataFrame(
                {name: values.tolist() for name, values in raw.items()}, strict=False
            )
        if kind == "pandas":
            import pandas as pd

            return pd.DataFrame(
                {name: _inferred(values) for name, values in raw.items()}, index=X.index
            )
        dtype = object if self._coders else np.float64
        return np.column_stack([values.astype(dtype) for values in raw.values()])

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray:
        """Give the names of the fields, in the order of the output.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the names seen in `fit`; names an array's columns.

        Returns
        -------
        names : ndarray of str objects
            Categorical, numeric and multi-valued fields.
        """
        check_is_fitted(self)
        given = _check_feature_names_in(self, input_features)
        renamed = dict(zip(self._names, given, strict=True))
        names = self.categorical_names_ + self.numeric_names_ + self.bag_names_
        return np.array([renamed.get(name, name) for name in names], dtype=object)

    def _read(self, X: Any, reset: bool) -> list[Column]:
        """The table's columns, checked against those of `fit`."""
        kind = library(X)
        if kind == "numpy":
            if isinstance(X, list):  # keep numbers beside text as numbers
                X = np.array(X, dtype=object)
            X = validate_data(
                self,
                X,
                reset=reset,
                dtype=None,
                ensure_all_finite=False,
                accept_sparse="csc",
            )
        else:
            names = column_names(X)
            if not reset and names is not None:
                X = self._aligned(X, names)
            validate_data(self, X, reset=reset, skip_check_array=True)
            if 0 in X.shape:
                raise ValueError(
                    f"X holds {X.shape[0]} sample(s) and {X.shape[1]} feature(s) "
                    f"(shape={X.shape}); at least one of each is needed."
                )
        if reset:
            self._names = list(_check_feature_names_in(self))
            self._from_frame = kind != "numpy"
        return read_columns(X, self._names)

    def _aligned(self, X: Any, names: list[str]) -> Any:
        """The frame with the columns of `fit`, as far as the parameters allow."""
        if not hasattr(self, "feature_names_in_"):
            return X
        expected = list(self.feature_names_in_)
        extra = [name for name in names if name not in expected]
        if set(expected) - set(names) or (extra and self.extra_columns == "error"):
            return X  # scikit-learn's own check names them
        if extra and self.extra_columns == "warn":
            warnings.warn(
                f"X has columns that were not there in fit, they are ignored: {extra}.",
                UserWarning,
                stacklevel=4,
            )
        if self.column_order == "strict":
            expected = [name for name in names if name in expected]
        return X if names == expected else select(X, expected)

    def _learn(self, columns: list[Column], weight: NDArray | None) -> None:
        if weight is not None and np.all(weight == 1):
            weight = None
        categorical = self._categorical(columns)
        numeric = [column for column in columns if column.name not in categorical]
        self._coders = {}
        for column in columns:
            if column.name not in categorical:
                continue
            if isinstance(column.values, Codes):
                coder = Encoded(column.values.cardinality, column.values.table)
            else:
                coder = Vocabulary(
                    self._setting("min_frequency", column.name),
                    self._setting("max_categories", column.name),
                    self.missing_category,
                )
                coder.count(column, weight)
                coder.check_not_empty(column.name)
                coder.grow()
            self._coders[column.name] = coder
        scales = [
            mean_and_scale(finite_numbers(column), weight, column.name)
            for column in numeric
        ]
        self.mean_, self.scale_ = np.array(scales).reshape(-1, 2).T.copy()
        self.categorical_names_ = tuple(self._coders)
        self.numeric_names_ = tuple(column.name for column in numeric)
        self.bag_names_ = ()

    def _setting(self, parameter: str, name: str) -> Any:
        """A parameter's value for one column."""
        return for_column(getattr(self, parameter), name, self._names, parameter)

    def _categorical(self, columns: list[Column]) -> set[str]:
        """The names of the categorical columns."""
        encoded = {column.name for column in columns if column.kind == "codes"}
        if self.categorical_features is None:
            return encoded
        if isinstance(self.categorical_features, str):
            return encoded | {
                column.name
                for column in columns
                if column.is_categorical(self._from_frame)
            }
        parameter = "categorical_features"
        return encoded | set(chosen(self.categorical_features, self._names, parameter))

    def _codes(self, columns):
        """For each categorical field, its name, coder and codes."""
        for column in columns:
            if column.name in self._coders:
                coder = self._coders[column.name]
                yield column.name, coder, coder.encode(column)

    def _numbers(self, columns):
        """For each numeric field, its name and standardised numbers."""
        numeric = [column for column in columns if column.name not in self._coders]
        for column, mean, scale in zip(numeric, self.mean_, self.scale_, strict=True):
            yield column.name, (finite_numbers(column) - mean) / scale

    @property
    def cardinalities_(self) -> tuple[int, ...]:
        return tuple(coder.cardinality for coder in self._coders.values())

    @property
    def bag_cardinalities_(self) -> tuple[int, ...]:
        return ()

    @property
    def tables_(self) -> tuple[int, ...]:
        return tuple(range(len(self._coders)))

    @property
    def vocabulary_(self) -> dict[str, NDArray]:
        return {
            name: coder.values
            for name, coder in self._coders.items()
            if isinstance(coder, Vocabulary)
        }

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_coders")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags


def _checked_weight(sample_weight: ArrayLike, n_rows: int) -> NDArray:
    """The rows' weights, none of them negative and not all of them zero."""
    weight = _check_sample_weight(sample_weight, np.empty((n_rows, 0)), dtype=float)
    if weight.min() < 0:
        raise ValueError(f"sample_weight holds {weight.min()}; it must be at least 0.")
    if not weight.any():
        raise ValueError("sample_weight is zero for all rows; nothing can be learned.")
    return weight


def _as_codes(column: Column) -> NDArray:
    """A transformed categorical column as integers."""
    if isinstance(column.values, Codes):
        return column.values.codes.astype(np.int64)
    return np.nan_to_num(column.numbers()).astype(np.int64)


def _inferred(values: NDArray) -> NDArray:
    """Objects as the numbers they are, if they are, for a frame's column."""
    if values.dtype != object:
        return values
    import pandas as pd

    return pd.Series(values).infer_objects()
