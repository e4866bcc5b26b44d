"""The one reader of y: labels of any library, as columns and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

SOME_ROWS = 1024  # few classes are all among them


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as numbers: what the rest of the library knows of a y.

    Attributes
    ----------
    names : tuple of str
        One for each task.
    values : ndarray of shape (n_samples, n_tasks)
        The index of the class in a classification task; 0 where not observed.
    observed : ndarray of shape (n_samples, n_tasks), bool
    task_rates : tuple of tuple of str
        The rates that statistics of each task are made of: one of a task whose values
        are numbers or two classes, one a class otherwise.

    Examples
    --------
    >>> y = np.array([[0, 5], [1, np.nan]])
    >>> labels = Labels(("click", "stay"), np.nan_to_num(y), ~np.isnan(y))
    >>> len(labels), labels.take([1]).filled().tolist()
    (2, [[1.0, nan]])
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    observed: NDArray[np.bool_]
    task_rates: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Any) -> Labels:
        """The labels of some rows."""
        return replace(self, values=self.values[rows], observed=self.observed[rows])

    def filled(self, value: float = np.nan) -> NDArray[np.float64]:
        """The values, and another one where they are not observed."""
        return np.where(self.observed, self.values, value)

    @property
    def rate_names(self) -> tuple[str, ...]:
        """The names of the columns of :meth:`rates`."""
        rates = self.task_rates or [(f"{name}_rate",) for name in self.names]
        return tuple(name for names in rates for name in names)

    def rates(self) -> NDArray[np.float64]:
        """Numbers whose means are rates, (n_samples, n_rates); NaN is not observed."""
        columns = []
        for t, column in enumerate(self.filled().T):
            n_rates = len(self.task_rates[t]) if self.task_rates else 1
            if n_rates == 1:
                columns.append(column)
            else:
                one_hot = column[:, None] == np.arange(n_rates)
                columns.append(np.where(self.observed[:, [t]], one_hot, np.nan))
        return np.column_stack(columns)


@dataclass(frozen=True, eq=False)
class Column:
    """One column of y, its labels as they were given.

    Attributes
    ----------
    name : str
    values : ndarray of shape (n_samples,)
        Of any dtype; without meaning where not observed.
    observed : ndarray of shape (n_samples,), bool
    declared : ndarray or None
        The classes that a categorical column of pandas or an Enum of polars declares.
    rows : ndarray of int or None
        The numbers of the rows where they were given; None where these are all.
    """

    name: str
    values: NDArray
    observed: NDArray[np.bool_]
    declared: NDArray | None = None
    rows: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Any) -> Column:
        """The labels of some rows."""
        given = np.arange(len(self)) if self.rows is None else self.rows
        values, observed = self.values[rows], self.observed[rows]
        return replace(self, values=values, observed=observed, rows=given[rows])

    def row_of(self, place: int) -> int:
        """The row, as it was given, of an observed label."""
        row = np.flatnonzero(self.observed)[place]
        return int(row if self.rows is None else self.rows[row])

    @cached_property
    def known(self) -> NDArray:
        """The observed labels."""
        return self.values if self.observed.all() else self.values[self.observed]

    @cached_property
    def distinct(self) -> NDArray:
        """The observed labels, sorted, each once."""
        if self.known.dtype.kind != "O":
            some = np.unique(self.known[:SOME_ROWS])
            if len(self.known) <= SOME_ROWS or (self.positions(some) >= 0).all():
                return some
            return np.unique(self.known)
        labels = set(self.known.tolist())
        return np.fromiter(sorted(labels), object, len(labels))

    def positions(self, labels: NDArray) -> NDArray[np.intp]:
        """The place of each observed label among sorted labels, -1 where it has none.

        >>> Column("buy", np.array(["no", "yes"]), np.array([True, True])).positions(
        ...     np.array(["maybe", "no"])
        ... )
        array([ 1, -1])
        """
        known = self.known
        kinds = {known.dtype.kind, labels.dtype.kind}
        if kinds <= set("biu") and np.can_cast(known.dtype, np.intp):
            first, last = int(labels[0]), int(labels[-1])
            if last - first == len(labels) - 1:  # no gap between them
                found = known.astype(np.intp) - first
                found[(found < 0) | (found > last - first)] = -1
                return found
        if kinds <= set("biuf") or kinds in ({"M"}, {"m"}):
            found = np.searchsorted(labels, known).clip(max=len(labels) - 1)
            found[labels[found] != known] = -1
            return found
        places = {label: place for place, label in enumerate(labels.tolist())}
        each = (places.get(label, -1) for label in known.tolist())
        return np.fromiter(each, np.intp, len(known))

    def codes(self) -> NDArray[np.intp]:
        """Numbers that are equal where labels are, in order of appearance; or -1."""
        seen: dict[Any, int] = {}
        codes = np.full(len(self), -1, dtype=np.intp)
        each = (seen.setdefault(label, len(seen)) for label in self.known.tolist())
        codes[self.observed] = np.fromiter(each, np.intp)
        return codes


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a y.

    Attributes
    ----------
    columns : tuple of Column
    named : bool
        Whether y names them; they are called ``"task0"``, ``"task1"``, ... otherwise.
    ndim : int
        1 or 2.
    """

    columns: tuple[Column, ...]
    named: bool
    ndim: int

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def take(self, rows: Any) -> Columns:
        """The columns of some rows."""
        return replace(self, columns=tuple(one.take(rows) for one in self.columns))


def read_columns(y: Any, parameter: str = "y") -> Columns:
    """The columns of a y of any library.

    An array, a masked array, a list, a frame, series or index of pandas or polars, a
    table or array of pyarrow, or a tensor. Masked, NaN, None and NA are not observed.

    Examples
    --------
    >>> [column] = read_columns(["no", "yes", None]).columns
    >>> column.name, column.known.tolist(), column.observed.tolist()
    ('task0', ['no', 'yes'], [True, True, False])
    """
    if isinstance(y, Columns):
        return y
    if y is None:
        raise ValueError(
            f"This requires {parameter} to be passed, but the target {parameter} is "
            "None."
        )
    if type(y).__name__ == "LazyFrame":
        raise TypeError(
            f"{parameter} is a LazyFrame without rows: .collect() it first."
        )
    if hasattr(y, "columns"):
        names, columns, ndim = *_frame_columns(y), 2
    elif any(hasattr(y, drop) for drop in ("dropna", "drop_nulls", "drop_null")):
        # a column of pandas, polars or pyarrow
        names, columns, ndim = [getattr(y, "name", None)], [y], 1
    else:
        array = _array(y, parameter)
        names, columns, ndim = [None], list(np.atleast_2d(array.T)), array.ndim
    if not columns:
        raise ValueError(f"{parameter} has no columns; give one for each task.")
    named = names[0] not in (None, "")
    names = (
        [str(n) for n in names] if named else [f"task{t}" for t in range(len(columns))]
    )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{parameter} has several columns of one name: {twice}.")
    read = [_read(*pair, parameter) for pair in zip(names, columns, strict=True)]
    return Columns(tuple(read), named, ndim)


def _frame_columns(y: Any) -> tuple[Sequence[Any], list[Any]]:
    """Names and columns of a frame of pandas, polars or pyarrow."""
    if hasattr(y, "iloc"):
        return list(y.columns), [y.iloc[:, t] for t in range(y.shape[1])]
    if hasattr(y, "schema") and hasattr(y.schema, "metadata"):  # pyarrow
        return y.schema.names, list(y.columns)
    return y.columns, y.get_columns()


def _array(y: Any, parameter: str) -> NDArray:
    """A y without names as an array of one or two dimensions."""
    if issparse(y):
        raise TypeError(f"{parameter} is sparse; give a dense array: .toarray().")
    if hasattr(y, "detach"):  # a tensor
        y = y.detach().cpu()
        y = (y.double() if y.is_floating_point() else y).numpy()
    elif not hasattr(y, "__array__"):
        # otherwise a NaN beside text would become the text "nan"
        y = np.array(y, dtype=object)
        if y.size and all(type(label) is str for label in y.flat):
            y = y.astype(str)
    y = np.asanyarray(y)
    if y.ndim not in (1, 2) or 0 in y.shape[1:]:
        raise ValueError(
            f"{parameter} must have the shape (n_samples,) or (n_samples, n_tasks), "
            f"got {y.shape}."
        )
    return y


def _read(name: str, column: Any, parameter: str) -> Column:
    """One column of any library."""
    # those of a pandas categorical or a polars Enum; other kinds declare none
    declared = np.asarray(getattr(getattr(column, "dtype", None), "categories", None))
    if hasattr(column, "isna"):  # pandas
        missing, known = column.isna(), column.dropna()
    elif hasattr(column, "drop_nulls"):  # polars
        missing, known = column.is_null(), column.drop_nulls()
    elif hasattr(column, "drop_null"):  # pyarrow
        missing, known = column.is_null(), column.drop_null()
        if hasattr(known.type, "index_type"):  # the codes of a dictionary
            known = known.cast(known.type.value_type)
    else:
        missing, known = np.ma.getmaskarray(column), np.ma.compressed(column)
    observed = ~np.asarray(missing, dtype=bool)
    known = np.asarray(known)
    if known.dtype.kind in "TV":
        known = known.astype(object)
    gaps = _gaps(known, name, parameter)
    if gaps.any():
        observed[observed] = ~gaps
        known = known[~gaps]
    if known.dtype.kind == "O":
        narrowed = np.array(known.tolist())  # where all are numbers or booleans
        if narrowed.dtype.kind in "biuf" and narrowed.ndim == 1:
            known = narrowed
    values = known
    if not observed.all():
        values = np.zeros(len(observed), dtype=known.dtype)
        values[observed] = known
    return Column(name, values, observed, declared if declared.ndim == 1 else None)


def _gaps(known: NDArray, name: str, parameter: str) -> NDArray[np.bool_]:
    """Where labels are NaN, NaT, None or NA."""
    if known.dtype.kind in "fc":
        return np.isnan(known)
    if known.dtype.kind in "mM":
        return np.isnat(known)
    labels = known.tolist() if known.dtype.kind == "O" else []
    types = set(map(type, labels))
    if types <= {str, bytes, bool, int}:
        return np.zeros(len(known), dtype=bool)
    if any(one.__hash__ is None for one in types):
        row = [type(label).__hash__ is None for label in labels].index(True)
        raise ValueError(
            f"{parameter} holds {labels[row]!r} in row {row} of {name!r}; a label is "
            "one number, text or boolean."
        )
    # the comparison of NaN and pd.NA with themselves is no plain False
    missing = (label is None or (label != label) is not False for label in labels)
    return np.fromiter(missing, dtype=bool, count=len(labels))
