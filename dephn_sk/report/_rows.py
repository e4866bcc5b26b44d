"""What a report is of: rows, labels and predictions, read once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from .._compat import _num_samples, _safe_indexing
from ..inspection._any_model import Predicted, predictions, raw_columns, tasks_of
from ..inspection._drift import edges_of, numbers_of
from ..logs import check_in_memory
from ..metrics._auc import group_codes
from ..metrics._numbers import ObservedNumbers, iter_numbers
from ..metrics._tasks import ObservedTask, iter_tasks
from ..preprocessing._columns import Column
from ..preprocessing._frames import library
from ..tasks import Columns, check_sample_weight, read_columns
from ._writing import number

MOST_CLASSES = 5  # of a task of more, the most frequent


@dataclass(frozen=True)
class Outcome:
    """What each observed row of a task was, beside what was predicted.

    Attributes
    ----------
    of : dict of str to str
        Its ``task``, and the ``class`` where the task has several.
    t, column : int
        Place of the task, and of its column of predictions.
    rows : ndarray of bool of shape (n_samples,)
        Which are observed, with a weight above 0.
    observed, predicted, weight : ndarray of shape (n_rows,)
        1 for a row of the class and its probability, or numbers.
    is_rate : bool
    """

    of: dict[str, str]
    t: int
    column: int
    rows: NDArray
    observed: NDArray
    predicted: NDArray
    weight: NDArray
    is_rate: bool


def _outcomes(t: int, task: ObservedTask | ObservedNumbers) -> Iterator[Outcome]:
    """Of two classes the second, of more each of the most frequent, or the number."""
    of = {"task": task.name}
    weight = np.ones(int(task.rows.sum())) if task.weight is None else task.weight
    if isinstance(task, ObservedNumbers):
        given = task.true, task.predicted, weight, False
        yield Outcome(of, t, 0, task.rows, *given)
    elif task.is_binary:
        hit = (task.codes == 1) * 1.0
        yield Outcome(of, t, 1, task.rows, hit, task.prob, weight, True)
    else:
        codes = np.where(task.codes < 0, len(task.classes), task.codes)
        mass = np.bincount(codes, weight, len(task.classes) + 1)[:-1]
        for code in np.sort(np.argsort(-mass, kind="stable")[:MOST_CLASSES]):
            named = {**of, "class": str(task.classes[code])}
            hit, prob = (task.codes == code) * 1.0, task.prob[:, code]
            yield Outcome(named, t, int(code), task.rows, hit, prob, weight, True)


@dataclass(frozen=True)
class Rows:
    """Test rows with their labels, and what a model predicts of them.

    Attributes
    ----------
    X : table of shape (n_samples, n_features)
    y : Columns
    weight : ndarray of shape (n_samples, 1) or (n_samples, n_tasks), or None
    group : ndarray of int of shape (n_samples,) or None
    predicted : list of Predicted
    n_given : int
        Number of rows of which these were drawn.
    """

    X: Any
    y: Columns
    weight: NDArray | None
    group: NDArray | None
    predicted: Sequence[Predicted]
    n_given: int

    @classmethod
    def of(
        cls,
        model: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        groups: Any,
        max_rows: int,
        rng: np.random.RandomState,
    ) -> Rows:
        """Read all that was given, draw rows where there are too many, and predict."""
        if isinstance(groups, str):
            raise ValueError(
                f"groups is {groups!r}; give the values themselves, such as "
                f"X[{groups!r}]."
            )
        X = table_of(X, "X_test")
        check_in_memory(y, "y_test of ModelReport")
        labels, n_given = read_columns(y, "y_test"), _num_samples(X)
        check_consistent_length(X, labels)
        labels = _checked(labels, tasks_of(model))
        weight = check_sample_weight(sample_weight, n_given, labels.names)
        group = None if groups is None else group_codes(groups, n_given)
        if n_given > max_rows:
            drawn = np.sort(rng.choice(n_given, max_rows, replace=False))
            X, labels = taken(X, drawn), labels.take(drawn)
            weight = None if weight is None else weight[drawn]
            group = None if group is None else group[drawn]
        found = predictions(model, X, labels.names)
        return cls(X, labels, weight, group, found, n_given)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.predicted]

    def take(self, rows: NDArray) -> Rows:
        """Some of the rows, with the predictions that are there."""
        found = [Predicted(p.name, p.classes, p.prob[rows]) for p in self.predicted]
        return Rows(
            taken(self.X, rows),
            self.y.take(rows),
            None if self.weight is None else self.weight[rows],
            None if self.group is None else self.group[rows],
            found,
            self.n_given,
        )

    def with_predictions(self, found: Sequence[Predicted]) -> Rows:
        """The same rows, predicted otherwise."""
        given = self.X, self.y, self.weight, self.group, found, self.n_given
        return Rows(*given)

    @cached_property
    def tasks(self) -> list[ObservedTask | ObservedNumbers]:
        """Each task on its observed rows."""
        return [self._observed(t, one) for t, one in enumerate(self.predicted)]

    def _observed(self, t: int, one: Predicted) -> ObservedTask | ObservedNumbers:
        column, weight = self._column(t), self.weight_of(t)
        if one.classes:
            return next(iter_tasks(column, one.prob, [one.classes], weight))
        return next(iter_numbers(column, one.prob, weight))

    @property
    def of_classes(self) -> list[ObservedTask]:
        """Those of classes."""
        return [task for task in self.tasks if isinstance(task, ObservedTask)]

    @property
    def binary(self) -> list[ObservedTask]:
        """Those of two classes."""
        return [task for task in self.of_classes if task.is_binary]

    @property
    def of_numbers(self) -> list[ObservedNumbers]:
        """Those whose labels are numbers."""
        return [task for task in self.tasks if isinstance(task, ObservedNumbers)]

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """What is compared with predictions, row by row, of all tasks."""
        return [one for t, task in enumerate(self.tasks) for one in _outcomes(t, task)]

    def _column(self, t: int) -> Columns:
        return Columns((self.y.columns[t],), True, 1)

    def weight_of(self, t: int) -> NDArray | None:
        """The weights of all rows in a task."""
        if self.weight is None:
            return None
        return self.weight[:, min(t, self.weight.shape[1] - 1)]

    @cached_property
    def columns(self) -> list[Column]:
        """The columns of X, as they were given."""
        return raw_columns(self.X)


def _checked(labels: Columns, tasks: Any) -> Columns:
    """Labels under the names of the model's tasks, or an error that names both."""
    if tasks is None:
        return labels
    if len(labels.columns) != len(tasks.names) or (
        labels.named and not tasks.single and labels.names != tasks.names
    ):
        raise ValueError(
            f"The tasks of y_test are {list(labels.names)}, but the model's are "
            f"{list(tasks.names)}. Give these, in that order."
        )
    pairs = zip(labels.columns, tasks.names, strict=True)
    named = tuple(replace(column, name=name) for column, name in pairs)
    return Columns(named, True, labels.ndim)


def table_of(X: Any, parameter: str) -> Any:
    """A table in memory, or an error."""
    check_in_memory(X, f"{parameter} of ModelReport")
    if isinstance(X, (str, os.PathLike)):
        raise TypeError(
            f"{parameter} is the path {os.fspath(X)!r}; give the rows, such as "
            "pandas.read_csv(path)."
        )
    return X if hasattr(X, "shape") else np.array(X, dtype=object)


def taken(X: Any, rows: NDArray) -> Any:
    """Rows of a table of any library."""
    kind = library(X)
    if kind == "polars":
        return X[rows]
    return X.take(rows) if kind == "pyarrow" else _safe_indexing(X, rows)


def with_column_of(X: Any, j: int, rows: NDArray) -> Any:
    """A table whose column j is that of other rows, of the same kind as before."""
    kind = library(X)
    if kind == "pandas":
        new = X.copy(deep=False)
        new.isetitem(j, X.iloc[:, j].take(rows).set_axis(X.index))
        return new
    if kind == "polars":
        return X.with_columns(X.to_series(j)[rows])
    if kind == "pyarrow":
        return X.set_column(j, X.column_names[j], X.column(j).take(rows))
    new = X.tolil(copy=True) if hasattr(X, "tolil") else np.array(X)
    new[:, [j]] = X[rows][:, [j]]
    return new.tocsr() if hasattr(new, "tocsr") else new


@dataclass(frozen=True)
class Bins:
    """A column cut into values that people can read.

    Attributes
    ----------
    code : ndarray of int of shape (n_samples,)
        The bin of each row; -1 where it is in none.
    labels : list of str
    middle : list of int
        A row that stands for each bin.
    ordered : bool
        Whether they are of numbers.
    """

    code: NDArray
    labels: list[str]
    middle: list[int]
    ordered: bool


def binned(column: Column, n_bins: int, n_values: int) -> Bins | None:
    """Bins of about equally many rows, or the most frequent values; None of lists."""
    if column.kind == "list" or len(column) == 0:
        return None
    numbers = numbers_of(column)
    if numbers is None:
        return _of_values(column, n_values)
    edges = edges_of(numbers, n_bins)
    code = np.searchsorted(edges, numbers, side="right")
    missing = np.isnan(numbers)
    code[missing] = len(edges) + 1
    labels, middle, kept = [], [], []
    for b in range(len(edges) + 2):
        rows = np.flatnonzero(code == b)
        if len(rows):
            ranked = rows[np.argsort(numbers[rows], kind="stable")]
            middle.append(int(ranked[len(ranked) // 2]))
            low, high = numbers[ranked[0]], numbers[ranked[-1]]
            labels.append("missing" if missing[rows[0]] else _span(column, low, high))
            kept.append(b)
    return Bins(_renumbered(code, kept), labels, middle, True)


def _span(column: Column, low: float, high: float) -> str:
    if column.kind == "date":
        days = [str(np.datetime64(int(x), "us").astype("M8[D]")) for x in (low, high)]
    else:
        days = [number(x) for x in (low, high)]
    return days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"


def _of_values(column: Column, n_values: int) -> Bins:
    distinct = column.distinct
    positions = np.asarray(distinct.positions).astype(np.intp)
    positions = np.where(positions < 0, len(distinct.values), positions)
    counts = np.bincount(positions, minlength=len(distinct.values) + 1)
    ranked = np.argsort(-counts, kind="stable")[:n_values]
    kept = [int(one) for one in ranked if counts[one]]
    texts = [*map(str, distinct.values.tolist()), "missing"]
    labels = [texts[one][:40] for one in kept]
    first = [int(np.argmax(positions == one)) for one in kept]
    return Bins(_renumbered(positions, kept), labels, first, False)


def _renumbered(code: NDArray, kept: Sequence[int]) -> NDArray:
    new = np.full(int(code.max(initial=0)) + 2, -1)
    new[list(kept)] = np.arange(len(kept))
    return new[code]
