"""FieldEncoder: a raw table as codes, numbers and bags."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from .._compat import (
    BaseEstimator,
    HasMethods,
    Interval,
    StrOptions,
    _check_feature_names_in,
    _fit_context,
    _get_output_config,
)
from .._parameters import ParameterTable, parameter
from ..logs import as_log, is_log
from ._columns import CodedBag, Codes, Column
from ._encoding import Statistics, TableEncoding, height
from ._fields import Fields
from ._frames import library, read_columns, select
from ._input import check_by_column, checked_weight, read_table
from ._kind import Table
from ._log_encoding import CrossFit, RawLabels, first_rows, learned_of_log
from ._log_rows import LogRows
from ._output import write_array, write_pandas, write_polars, write_raw
from ._report import FieldReport
from ._settings import AUTO, Settings
from ._vocabulary import Vocabulary

# what `_describe` says of an encoding
_DESCRIBED = (
    *("categorical_names_", "numeric_names_", "bag_names_", "report_"),
    *("cardinalities_", "bag_cardinalities_", "bag_modes_", "tables_"),
    *("mean_", "scale_"),
)
AT_LEAST_ONE = [Interval(Integral, 1, None, closed="left")]


class Rows(NamedTuple):
    """Columns, their target statistics if these are not to be looked up, and room."""

    columns: Table
    statistics: Statistics | None = None
    codes: NDArray | None = None


class FieldEncoder(ParameterTable, TransformerMixin, BaseEstimator):
    """Turn a raw table into codes, numbers and bags of codes.

    - A categorical column becomes integer codes: values seen in `fit` have the codes 1,
      2, …; code 0 is for values never seen, for missing and, if asked, for rare ones.
    - A numeric column gets mean 0 and variance 1; missing stays NaN.
    - A column of lists becomes a multi-valued field: a bag of codes in each row.
    - A column of dates becomes numbers: sine and cosine of the time of day and of the
      weekday, and the age in days. Dates may come in any time zone, if they had one in
      `fit`; hours and weekdays are those of the zone of `fit`.
    - A column of durations becomes a number of days.

    Columns that come in another type than in `fit` are read as what they were, so that
    ``"1.0"`` is the category 1 and ``"True"`` is True; where that makes no sense, the
    column is refused.

    A transformed frame says by itself which columns hold codes and how many there are:
    their dtype is ``category`` over ``RangeIndex(n, name="code")``, and that of
    multi-valued fields is ``bag[n]``. Another `FieldEncoder` and the library's
    estimators take such columns as they are.

    Where a parameter may be a dict, its keys are columns; the others have the default.

    Parameters
    ----------
    categorical_features : "from_dtype", array-like of bool, int or str, or None
        Which columns are categorical: a mask, positions or names. ``"from_dtype"``
        takes text, objects, categories and booleans in a frame, and the columns that
        do not convert to numbers in an array of objects. Objects that are all numbers,
        and not all whole, are numbers. None: no column.
    min_frequency : int, float, "auto" or dict
        Values in fewer rows than this (a share of all rows if it is a float) get code
        0. Rows count by their weight, and lists by their members. ``"auto"`` is 200, or
        2 % of the rows if that is less, for columns of more than 20 values in fewer
        than 200 rows each on average, among 2,000 rows or more; and no limit for
        others, and where vocabularies are shared.
    max_categories : int or dict
        Largest number of codes of a column, code 0 included. The most frequent values
        get one.
    missing_category : bool
        Whether missing is a category like others, with a code of its own if it was
        seen in `fit`, rather than sharing code 0.
    n_buckets : int or dict
        Instead of learning a vocabulary, hash values to this many codes. The hash is
        the same in every process and on every platform.
    n_hashes : int or dict
        Codes of each hashed value, of independent hashes. With several, the column
        becomes a multi-valued field whose rows are summed.
    shared_vocabularies : list of lists of columns
        Columns of each list share one vocabulary and one table, with the settings of
        the first of them.
    max_vocabulary_bytes : int
        A column whose values, those of all calls together, need more memory is an
        error.
    delimiters : dict of str
        For columns of delimited text, such as ``{"tags": "|"}``: where to split it.
    bag_weights : dict of columns
        For multi-valued columns, the column with the weights of their members.
    bag_mode : {"mean", "sum", "max"} or dict
        How the rows of a bag's members are pooled.
    scaling : {"standard", "squash", "none"} or dict
        How numbers are scaled: mean 0 and variance 1; median 0, quartile distance 1,
        then smoothly squashed into (-3, 3), for heavy tails; or not at all. Numbers
        beyond those of `fit` keep their order, but come less than one deviation beyond
        them: :math:`e` deviations become :math:`e / (1 + e)`. (Without scaling, they
        are as they are up to a thousand times the largest.)
    infinite : {"error", "missing"}
        Whether an infinite number is an error or a missing one.
    date_reference : datetime-like or dict
        When the age of dates is 0; without a time zone, as the clocks of the column's
        zone show it. None: the latest date seen in `fit`.
    target_statistics : array-like of bool, int or str, or "auto"
        Columns, best of high cardinality, to which numeric fields are added: the log
        count of the value and, for each task, the smoothed rate of its labels. Missing
        labels (NaN) do not count. `fit_transform` and `fit_encode` take each row's
        statistics from other folds only, all other methods from all rows of `fit`.
        ``"auto"``: those of many values, as above, whose rates say something of the
        labels of other folds; see :ref:`many_values`.
    target_smoothing : float
        The weight of the overall rate in each rate, in rows.
    target_folds : int or splitter
        How the rows are divided for the statistics.
    time_column : column
        A column of dates or numbers. The folds are then blocks of time rather than
        random. The column itself makes no field.
    column_order : {"strict", "any"}
        Whether a frame's columns must be in the order of `fit`, or only be there.
    extra_columns : {"error", "warn", "ignore"}
        What to do with a frame's columns that `fit` did not see.
    random_state : int, RandomState instance or None
        Divides the rows into folds; None draws anew each time, and not from numpy's
        global generator.
    {parameters}

    Attributes
    ----------
    categorical_names_, numeric_names_, bag_names_ : tuple of str
        The fields, in the order of `Fields` and of the output.
    cardinalities_, bag_cardinalities_ : tuple of int
        Number of codes of each categorical and of each multi-valued field, code 0
        included.
    bag_modes_ : tuple of str
        How each multi-valued field is pooled.
    tables_ : tuple of int
        For each categorical and then each multi-valued field, the table that it reads;
        fields with the same number share one.
    vocabulary_ : dict of str to ndarray
        For each column that has one, its values in the order of their codes, the first
        of which has code 1.
    mean_, scale_ : ndarray of shape (n_numeric,)
        What is subtracted from each numeric field, and what it is then divided by.
    report_ : FieldReport
        A table of the fields: kind, number of codes, shares of rare and missing; and
        what ``"auto"`` has decided of which column, and why.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if `X` has names that are all strings.

    See Also
    --------
    sklearn.preprocessing.OrdinalEncoder : Codes only, for one kind of column.
    sklearn.preprocessing.TargetEncoder : Target statistics of one complete target.

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

    A city never seen has code 0, and a missing number stays missing:

    >>> encoder.transform(pd.DataFrame({"city": ["Paris"], "age": [None]}))
      city  age
    0    0  NaN

    Lists need no declaration, delimited text does:

    >>> X = pd.DataFrame({"seen": [[7, 9], []], "tags": ["new|hot", "new"]})
    >>> encoder = FieldEncoder(delimiters={"tags": "|"}).fit(X)
    >>> encoder.transform(X)
        seen   tags
    0  [1 2]  [2 1]
    1     []    [2]
    >>> encoder.report_
    field  kind  codes  rare  missing
    seen   bag       3  0.0%     0.0%
    tags   bag       3  0.0%     0.0%
    """

    _kept = ("n_features_in_", "feature_names_in_", "_sklearn_output_config")

    categorical_features: Any = parameter(
        "from_dtype", [StrOptions({"from_dtype"}), "array-like", None]
    )
    min_frequency: Any = parameter(
        None,
        [
            *(*AT_LEAST_ONE, Interval(Real, 0, 1, closed="neither")),
            *(StrOptions({AUTO}), dict, None),
        ],
    )
    max_categories: Any = parameter(None, [*AT_LEAST_ONE, dict, None])
    missing_category: bool = parameter(False, ["boolean"])
    n_buckets: Any = parameter(
        None, [Interval(Integral, 1, 2**31 - 2, closed="both"), dict, None]
    )
    n_hashes: Any = parameter(1, [*AT_LEAST_ONE, dict])
    shared_vocabularies: Any = parameter(None, [list, tuple, None])
    max_vocabulary_bytes: int | None = parameter(
        None, [Interval(Integral, 0, None, closed="left"), None]
    )
    delimiters: dict[Any, str] | None = parameter(None, [dict, None])
    bag_weights: dict[Any, Any] | None = parameter(None, [dict, None])
    bag_mode: Any = parameter("mean", [StrOptions({"mean", "sum", "max"}), dict])
    scaling: Any = parameter(
        "standard", [StrOptions({"standard", "squash", "none"}), dict]
    )
    infinite: str = parameter("error", [StrOptions({"error", "missing"})])
    date_reference: Any = parameter(None, "no_validation")
    target_statistics: Any = parameter(None, [StrOptions({AUTO}), "array-like", None])
    target_smoothing: float = parameter(20.0, [Interval(Real, 0, None, closed="left")])
    target_folds: Any = parameter(
        5, [Interval(Integral, 2, None, closed="left"), HasMethods(["split"])]
    )
    time_column: Any = parameter(None, [str, Integral, None])
    column_order: str = parameter("strict", [StrOptions({"strict", "any"})])
    extra_columns: str = parameter("error", [StrOptions({"error", "warn", "ignore"})])
    random_state: Any = parameter(None, ["random_state"])

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the codes of categories and the scale of numbers.

        Parameters
        ----------
        X : frame, array-like or sparse matrix of shape (n_samples, n_features), or log
            The raw table: pandas, polars, pyarrow, numpy or scipy.sparse; or rows
            outside memory, a :class:`~dephn_sk.logs.Log` or what makes one.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
            Labels, for `target_statistics` only; NaN is a missing one. Of a log, the
            names of their columns.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. Rows of weight zero do not count at all, and an integer
            weight is that many equal rows. Of a log, the name of its column.

        Returns
        -------
        self : FieldEncoder
            The fitted encoder.
        """
        if is_log(X):
            return self._become(self._learned_of(X, y, sample_weight))
        new, _ = self._learned(X, y, sample_weight)
        return self._become(new)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Add the categories of further rows; codes once given never change.

        The first call is `fit`. Later ones append new categories after the old ones and
        update target statistics, but leave the scale of numbers as it is: a network
        that was trained on the old fields stays right.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self : FieldEncoder
            The encoder that has grown.
        """
        if is_log(X):
            return self._become(self._learned_of(X, y, sample_weight, go_on=True))
        new, _ = self._learned(X, y, sample_weight, go_on=True)
        return self._become(new)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and give the fields of the same rows in the kind of table that came.

        Target statistics of a row are from other folds, so that its own label does not
        leak into them; `transform` would give other numbers.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        X_out : DataFrame or ndarray of shape (n_samples, n_fields)
            As from `transform`.
        """
        new, rows = self._learned(X, y, sample_weight, encode=True)
        table = new._table(X, rows)
        self._become(new)
        return table

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_encode(
        self, X: Any, y: Any = None, sample_weight: Any = None, dtype: Any = np.float32
    ) -> Fields:
        """Fit, and give the same rows as `Fields`, as `fit_transform` does.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        dtype : dtype, default=numpy.float32
            Of the numbers.

        Returns
        -------
        fields : Fields
            As from `encode`, with cross-fitted target statistics.
        """
        new, rows = self._learned(X, y, sample_weight, encode=True)
        fields = new._fields(rows, dtype)
        self._become(new)
        return fields

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit_encode(
        self, X: Any, y: Any = None, sample_weight: Any = None, dtype: Any = np.float32
    ) -> Fields:
        """Grow, and give the same rows as `Fields`.

        Target statistics are those of all rows before these (cross-fitted in the first
        call), so that no label leaks.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        dtype : dtype, default=numpy.float32
            Of the numbers.

        Returns
        -------
        fields : Fields
            As from `encode`.
        """
        new, fields = self.grown(X, y, sample_weight, dtype)
        self._become(new)
        return fields

    @_fit_context(prefer_skip_nested_validation=True)
    def grown(
        self, X: Any, y: Any = None, sample_weight: Any = None, dtype: Any = np.float32
    ) -> tuple[Self, Fields]:
        """Give an encoder that knows further rows too, and leave this one as it is.

        Parameters
        ----------
        X, y, sample_weight, dtype
            As in `partial_fit_encode`.

        Returns
        -------
        encoder : FieldEncoder
            What `partial_fit` would make of this one; the two share memory.
        fields : Fields
            As from `partial_fit_encode`.
        """
        new, rows = self._learned(X, y, sample_weight, go_on=True, encode=True)
        return new, new._fields(rows, dtype)

    def encode_cross_fitted(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        dtype: Any = np.float32,
    ) -> Fields:
        """Encode rows that may have been learned from, and learn nothing.

        Their target statistics are among themselves, each row's from other folds, so
        that the rows of `fit` have those of `fit_encode`.

        Parameters
        ----------
        X, y, sample_weight, dtype
            As in `fit_encode`.

        Returns
        -------
        fields : Fields
            As from `encode`.
        """
        check_is_fitted(self)
        read = read_table(self, X, reset=False)
        columns, weight = _by_name(read), checked_weight(sample_weight, len(read[0]))
        statistics = self._encoding.cross_fitted(columns, weight, y)
        return self._fields(Rows(columns, statistics), dtype)

    def edges(
        self, n_bins: int, *, discrete_only: bool = False, dtype: Any = np.float32
    ) -> list[NDArray]:
        """Give bin edges of each numeric field, in scaled units.

        They come from the rows that counted in `fit`: from exact counts of up to 2**16
        distinct numbers, from buckets of them beyond, so that an edge may be off by a
        few hundredths of a percent of its size.

        Parameters
        ----------
        n_bins : int
            Number of quantile bins; ties make fewer, and a frequent value has one of
            its own.
        discrete_only : bool, default=False
            Whether a field most of whose rows do not share a few frequent values has
            one bin only.
        dtype : dtype, default=numpy.float32
            As that of `encode`, so that a number that equals an edge is in the bin that
            begins there.

        Returns
        -------
        edges : list of ndarray of shape (n_edges,)
            Increasing, at least two for each field.

        Examples
        --------
        >>> from dephn_sk.preprocessing import FieldEncoder
        >>> encoder = FieldEncoder(scaling="none").fit([[1.0], [2.0], [2.0], [5.0]])
        >>> encoder.edges(4)
        [array([1., 2., 5., 8.], dtype=float32)]
        """
        check_is_fitted(self)
        numeric = self._encoding.numeric
        if any(len(kind.seen) < len(kind.scales) for kind in numeric):
            raise ValueError(
                "The numbers that edges come from are not kept in a copy or a pickle "
                "of a FieldEncoder, nor in an estimator's `memory`. Call edges after "
                "fit, in the same process and without memory."
            )
        by_kind = (kind.edges(n_bins, discrete_only, dtype) for kind in numeric)
        return [edges for of_kind in by_kind for edges in of_kind]

    def transform(self, X: Any) -> Any:
        """Give the fields of a table in the kind of table that came.

        Parameters
        ----------
        X : frame, array-like or sparse matrix of shape (n_samples, n_features)
            The raw table.

        Returns
        -------
        X_out : DataFrame or ndarray of shape (n_samples, n_fields)
            Categorical fields, then numeric, then multi-valued ones. An array holds the
            codes as floats; a pandas frame (polars for polars) holds them as categories
            with the number of codes in the dtype. `set_output` chooses another kind.
        """
        check_is_fitted(self)
        return self._table(X, Rows(_by_name(read_table(self, X, reset=False))))

    def encode(self, X: Any, dtype: Any = np.float32) -> Fields:
        """Give the fields of a table as `Fields`, which networks read.

        Parameters
        ----------
        X : frame, array-like or sparse matrix of shape (n_samples, n_features)
            The raw table.
        dtype : dtype, default=numpy.float32
            Of the numbers.

        Returns
        -------
        fields : Fields
            Codes of type int32, numbers, and bags.
        """
        check_is_fitted(self)
        return self._fields(Rows(_by_name(read_table(self, X, reset=False))), dtype)

    def encode_blocks(
        self, X: Any, n_rows: int, dtype: Any = np.float32
    ) -> Iterator[Fields]:
        """Give what `encode` gives, some rows after the other, in less memory.

        A table is encoded at once where rows cannot be read without the others, as in
        columns of Python objects or lists, or texts that are dates; and where a column
        has more categories than `n_rows`.

        Parameters
        ----------
        X, dtype
            As in `encode`.
        n_rows : int
            Rows in a block; the last one may hold fewer.

        Returns
        -------
        blocks : iterator of Fields
            As from `encode`, in the order of rows.

        Raises
        ------
        ValueError
            Where `n_rows` is below one, or for what `encode` refuses.

        Examples
        --------
        >>> import numpy as np
        >>> from dephn_sk.preprocessing import FieldEncoder
        >>> X = np.array([[1.0], [2.0], [5.0]])
        >>> encoder = FieldEncoder(scaling="none").fit(X)
        >>> [fields.numbers.ravel().tolist() for fields in encoder.encode_blocks(X, 2)]
        [[1.0, 2.0], [5.0]]
        """
        check_is_fitted(self)
        check_scalar(n_rows, "n_rows", Integral, min_val=1)
        columns = _by_name(read_table(self, X, reset=False))
        return self._blocks(self._encoding.read_in(columns), n_rows, dtype)

    def _blocks(self, columns: Table, n_rows: int, dtype: Any) -> Iterator[Fields]:
        whole = height(columns)
        if whole <= n_rows or not self._encoding.encodes_blocks(columns, n_rows):
            yield self._fields(Rows(columns), dtype)
            return
        for start in range(0, whole, n_rows):
            rows = slice(start, start + n_rows)
            block = {name: column.cut(rows) for name, column in columns.items()}
            try:
                fields = self._fields(Rows(block), dtype)
            except ValueError:  # which may be due to what this block lacks
                fields = self._fields(Rows(columns), dtype)
                yield fields.take(np.arange(start, whole))
                return
            yield fields

    def inverse_transform(self, X: Any) -> Any:
        """Give back the table that `transform` was given, as far as codes tell.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_samples, n_fields)
            What `transform` gave.

        Returns
        -------
        X_raw : DataFrame or ndarray of shape (n_samples, n_features)
            The columns in the order of `fit`, without those that make no field. None
            where the code is 0 or a hash. An array is of objects where there are
            categories.
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
        raw = self._encoding.decode(_by_name(read_columns(X, out)))
        return write_raw(raw, kind, getattr(X, "index", None))

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
        renamed = dict(zip(self._encoding.settings.names, given, strict=True))
        return np.array([renamed.get(name, name) for name in self._names], dtype=object)

    def _learned(
        self, X: Any, y: Any, weight: Any, go_on: bool = False, encode: bool = False
    ) -> tuple[Self, Rows]:
        """A new encoder that has learned from a table, and the table's rows.

        Where it goes on, their statistics are those before.
        """
        old = self._encoding if go_on and self.__sklearn_is_fitted__() else None
        new = copy(self)  # a call that fails leaves this encoder alone
        if old is None:
            check_by_column(new)
        read = read_table(new, X, reset=old is None)
        columns, encoding = _by_name(read), old
        weight = checked_weight(weight, len(read[0]))
        if encoding is None:
            params = self.get_params(deep=False)
            names = [column.name for column in read]
            coded = {column.name for column in read if column.kind == "code"}
            settings = Settings(params, names, library(X) != "numpy", coded)
            encoding = TableEncoding.of(columns, settings)
        codes = encoding.reserve(columns) if encode else None
        statistics = old.statistics_of(columns) if old and encode else None
        learned, crossed = encoding.learned(
            columns, weight, y, grow=old is not None, cross_fit=encode and old is None
        )
        return new._describe(learned), Rows(columns, statistics or crossed, codes)

    def _learned_of(
        self, log: Any, y: Any, sample_weight: Any, go_on: bool = False
    ) -> Self:
        """A new encoder that has learned from a log."""
        go_on = go_on and self.__sklearn_is_fitted__()
        names = list(self._encoding.settings.names) if go_on else None
        rows = LogRows.of(as_log(log), y, sample_weight, names=names)
        new, _, rows = self._learned_rows(rows, None, go_on=go_on)
        rows.log.check_unchanged()
        return new

    def _learned_rows(
        self,
        rows: LogRows,
        reader: Any,
        *,
        go_on: bool = False,
        cross_fit: bool = False,
        shown: bool = False,
    ) -> tuple[Self, CrossFit | None, LogRows]:
        """A new encoder that has learned from the rows of a log.

        `reader` reads labels; without one they are read as they are. Also gives the
        statistics of rows that train, where these are to be cross-fitted, and the rows
        with what is known of them.
        """
        old, new = (self._encoding if go_on else None), copy(self)
        if old is None:
            check_by_column(new)
        first = first_rows(rows.log, rows.names)
        columns = _by_name(read_table(new, first, reset=old is None))
        encoding = old
        if encoding is None:
            settings = Settings(self.get_params(deep=False), list(columns), True)
            encoding = TableEncoding.of(columns, settings)
        needs_labels = encoding.settings.statistics or encoding.settings.is_auto(
            "target_statistics"
        )
        if needs_labels and not rows.y:
            encoding.read_y(None, 0)
        time = encoding.settings.time if needs_labels else None
        if rows.table is None or time is not None:
            rows = replace(rows, time=time).learned(shown)
        if needs_labels and reader is None:
            reader = RawLabels(
                encoding.read_y(rows.all_labels, len(rows.table or ()))[1]
            )
        learned, crossed = learned_of_log(
            encoding, rows, reader, grow=go_on, cross_fit=cross_fit, shown=shown
        )
        return new._describe(learned), crossed, rows

    def _encode_chunk(
        self, table: Any, statistics: Callable[[Table], Statistics] | None, dtype: Any
    ) -> Fields:
        """Fields of a table, with what is made of it instead of its own statistics."""
        columns = _by_name(read_table(self, table, reset=False))
        found = None if statistics is None else statistics(columns)
        return self._fields(Rows(columns, found), dtype)

    def _become(self, new: Self) -> Self:
        """Take over all that another encoder holds, at once."""
        self.__dict__ = new.__dict__
        return self

    def _table(self, X: Any, rows: Rows) -> Any:
        """The fields in the kind of table that is asked for, or that came."""
        fields = dict(self._encoding.encode(rows.columns, rows.statistics))
        encoded: dict[str, Any] = {name: fields[name] for name in self._names}
        output = _get_output_config("transform", self)["dense"]
        if output == "default":
            output = library(X)
        if output == "polars":
            return write_polars(encoded)
        if output in ("pandas", "pyarrow"):
            return write_pandas(encoded, getattr(X, "index", None))
        return write_array(encoded, height(rows.columns))

    def _fields(self, rows: Rows, dtype: Any) -> Fields:
        n_rows, codes = height(rows.columns), rows.codes
        if codes is None:
            codes = np.empty((n_rows, len(self.categorical_names_)), dtype=np.int32)
        numbers = np.empty((n_rows, len(self.numeric_names_)), dtype=dtype)
        bags, rooms, numeric = [], iter(codes.T), iter(numbers.T)
        for _, field in self._encoding.encode(rows.columns, rows.statistics):
            if isinstance(field, Codes):
                next(rooms)[:] = field.codes
            elif isinstance(field, CodedBag):
                bags.append(field.bag)
            else:
                next(numeric)[:] = field
        return Fields(codes, numbers, tuple(bags))

    def _describe(self, learned: TableEncoding) -> Self:
        """Set the attributes that say what was learned."""
        self._encoding = learned
        bags, coders, numeric = learned.bags, learned.coders, learned.numeric
        scales = {name: one for kind in numeric for name, one in kind.scales.items()}
        self.categorical_names_ = learned.categorical_names
        self.numeric_names_ = tuple(scales)
        self.bag_names_ = tuple(bags)
        self.cardinalities_, self.bag_cardinalities_ = (
            tuple(coders[name].cardinality for name in names)
            for names in (self.categorical_names_, self.bag_names_)
        )
        self.bag_modes_ = tuple(bag.mode for bag in bags.values())
        self.tables_ = learned.tables(self.categorical_names_ + self.bag_names_)
        self.mean_ = np.array([mean for kind in numeric for mean in kind.means])
        self.scale_ = np.array([scale.scale for scale in scales.values()])
        decisions = tuple(map(str, learned.many_values))
        self.report_ = FieldReport(tuple(learned.report()), decisions)
        return self

    def _state(self) -> dict[str, Any]:
        state, encoding = super()._state(), vars(self).get("_encoding")
        for name in ("_encoding", *_DESCRIBED):  # which comes from it
            state["attributes"].pop(name, None)
        return {**state, "encoding": encoding and encoding.state()}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        new = super()._from_state(state)
        if state["encoding"] is None:
            return new
        cls(**state["encoding"]["settings"]["params"])._validate_params()
        learned = TableEncoding.from_state(state["encoding"])
        names = learned.settings.names
        named = list(vars(new).get("feature_names_in_", names))
        if new.n_features_in_ != len(names) or named != names:
            raise ValueError(f"The encoder knows the columns {names}, and has others.")
        return new._describe(learned)

    @property
    def _names(self) -> tuple[str, ...]:
        """All fields, in the order of the output."""
        return self.categorical_names_ + self.numeric_names_ + self.bag_names_

    @property
    def vocabulary_(self) -> dict[str, NDArray]:
        coders = self._encoding.coders.items()
        return {name: one.values for name, one in coders if isinstance(one, Vocabulary)}

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """What notebooks show: the diagram and, once fitted, the report."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if self.__sklearn_is_fitted__() and "text/html" in bundle:
            bundle["text/html"] += self.report_._repr_html_()
        return bundle

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_encoding")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        tags.target_tags.required = self.target_statistics is not None
        return tags


def _by_name(columns: list[Column]) -> Table:
    return {column.name: column for column in columns}
