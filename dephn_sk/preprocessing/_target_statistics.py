"""What the labels of a value's rows were: smoothed rates and log counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._frames import column_names, library, read_columns
from dephn_sk.preprocessing._vocabulary import Vocabulary


class Tasks:
    """Labels as columns of numbers, NaN where a label is missing.

    Numbers 0 and 1 and fractions are taken as they are; of two other classes the second
    in order is 1; of more classes each has a column.
    """

    def learn(self, y: Any) -> None:
        """Learn the tasks and their classes."""
        self.rate_names: list[str] = []
        self._tasks: list[tuple[Vocabulary | None, range]] = []
        for prefix, column in _label_columns(y):
            labels = Vocabulary()
            if labels.count(column, None) == 0:
                raise ValueError(
                    f"Task {column.name!r} has no label, so that there are no target "
                    "statistics of it. Leave it out."
                )
            labels.grow()
            classes = labels.values
            if classes.dtype.kind == "f" or set(classes.tolist()) <= {0, 1}:
                self._tasks.append((None, range(0)))
                self.rate_names.append(f"{prefix}rate")
            elif len(classes) <= 2:
                self._tasks.append((labels, range(len(classes), len(classes) + 1)))
                self.rate_names.append(f"{prefix}rate")
            else:
                self._tasks.append((labels, range(1, len(classes) + 1)))
                self.rate_names += [f"{prefix}{label}_rate" for label in classes]

    def read(self, y: Any, n_rows: int) -> NDArray:
        """The labels' numbers, of shape (n_rates, n_rows)."""
        columns = _label_columns(y)
        if len(columns) != len(self._tasks):
            raise ValueError(
                f"y holds {len(columns)} tasks, but held {len(self._tasks)} before."
            )
        numbers = []
        for (_, column), (labels, codes) in zip(columns, self._tasks, strict=True):
            if len(column) != n_rows:
                raise ValueError(f"X has {n_rows} rows, but y has {len(column)}.")
            if labels is None:
                numbers.append(column.numbers())
                unknown = np.isinf(numbers[-1])
            else:
                found = labels.encode(column)
                missing = column.distinct.positions < 0
                unknown = (found == 0) & ~missing
                numbers += [np.where(missing, np.nan, found == code) for code in codes]
            if unknown.any():
                raise ValueError(
                    f"Task {column.name!r} has an unknown label in row "
                    f"{int(np.argmax(unknown))}."
                )
        return np.array(numbers)


def _label_columns(y: Any) -> list[tuple[str, Column]]:
    """The labels' columns, and what the names of their rates begin with."""
    if library(y) == "numpy":
        y = np.asarray(y)
        if y.ndim == 1:
            return [("", Column("y", y))]
        names = [f"task{j}" for j in range(y.shape[1])]
    else:
        names = column_names(y) or [f"task{j}" for j in range(y.shape[1])]
    columns = read_columns(y, names)
    return [(f"{column.name}_", column) for column in columns]


class TargetStatistics:
    """Log count and smoothed rate of each task, by the value of one column.

    The rate is (sum of labels + smoothing × overall rate) / (their number + smoothing),
    all weighted and over observed labels only. A value never seen has the overall rate.

    Parameters
    ----------
    smoothing : float
        The weight of the overall rate, in rows.
    """

    def __init__(self, smoothing: float):
        self.smoothing = smoothing
        self._values = Vocabulary(missing=True)
        self._rows = np.zeros(1)  # weight of rows by code
        self._sums: NDArray | None = None  # (n_tasks, 2, n_codes): labels, their weight

    def learn(self, column: Column, tasks: NDArray, weight: NDArray | None) -> None:
        """Add a column and the labels of its rows."""
        self._values.count(column, weight)
        self._values.grow()
        codes = self._values.encode(column)
        n_codes = self._values.cardinality
        rows = np.bincount(codes, weight, n_codes)
        sums = np.array(
            [
                [np.bincount(codes, each, n_codes) for each in _observed(task, weight)]
                for task in tasks
            ]
        )
        if self._sums is not None:
            new = n_codes - len(self._rows)
            rows += np.pad(self._rows, (0, new))
            sums += np.pad(self._sums, ((0, 0), (0, 0), (0, new)))
        self._rows, self._sums = rows, sums

    def encode(self, column: Column) -> list[NDArray]:
        """Log count, then each task's rate, from all rows learned from."""
        codes = self._values.encode(column)
        fields = [np.log1p(self._rows)[codes]]
        for sums, weights in self._sums:
            rates = _smoothed(sums, weights, sums.sum(), weights.sum(), self.smoothing)
            fields.append(rates[codes])
        return fields

    def cross_fit(
        self, column: Column, tasks: NDArray, weight: NDArray | None, folds: NDArray
    ) -> list[NDArray]:
        """The same for the rows learned from, each from the other folds only."""
        codes = self._values.encode(column)
        n_codes, n_folds = self._values.cardinality, int(folds.max()) + 1
        cells = codes + np.int64(n_codes) * folds

        def outside(by_row: NDArray | None) -> NDArray:
            inside = np.bincount(cells, by_row, n_codes * n_folds)
            inside = inside.reshape(n_folds, n_codes)
            return inside.sum(axis=0) - inside

        rows = outside(weight)
        # As many rows as all folds together would have had.
        totals = rows.sum(axis=1, keepdims=True)
        scale = totals.sum() / (n_folds - 1) / np.where(totals > 0, totals, 1)
        fields = [np.log1p(rows * scale).ravel()[cells]]
        for task in tasks:
            labels, weights = map(outside, _observed(task, weight))
            totals = labels.sum(axis=1, keepdims=True), weights.sum(1, keepdims=True)
            rates = _smoothed(labels, weights, *totals, self.smoothing)
            fields.append(rates.ravel()[cells])
        return fields


def _observed(task: NDArray, weight: NDArray | None) -> tuple[NDArray, NDArray]:
    """Weighted labels and their weights, zero where a label is missing."""
    weights = (~np.isnan(task)).astype(np.float64)
    if weight is not None:
        weights *= weight
    return np.nan_to_num(task) * weights, weights


def _smoothed(
    sums: NDArray, weights: NDArray, total: Any, total_weight: Any, smoothing: float
) -> NDArray:
    """Rates drawn towards the overall rate."""
    overall = total / np.where(total_weight > 0, total_weight, 1)
    below = weights + smoothing
    return np.where(
        below > 0, (sums + smoothing * overall) / np.where(below > 0, below, 1), overall
    )


def draw_folds(folds: Any, n_rows: int, y: Any, random_state: Any) -> NDArray:
    """The fold of each row: by a splitter, or by chance."""
    if not hasattr(folds, "split"):
        if n_rows < folds:
            raise ValueError(
                f"target_folds={folds} needs as many rows, but X has {n_rows}."
            )
        folds = KFold(folds, shuffle=True, random_state=random_state)
    labels = y if np.ndim(y) == 1 else None
    fold = np.full(n_rows, -1)
    for number, (_, inside) in enumerate(folds.split(np.empty(n_rows), labels)):
        if np.any(fold[inside] >= 0):
            raise ValueError(f"target_folds={folds!r} puts a row in two folds.")
        fold[inside] = number
    if fold.min() < 0:
        raise ValueError(f"target_folds={folds!r} leaves rows out.")
    return fold


def time_blocks(column: Column, n_blocks: Any) -> NDArray:
    """The block of each row: about as many rows in each, equal times in one."""
    if hasattr(n_blocks, "split"):
        raise ValueError(
            f"time_column={column.name!r} divides the rows by time, so that "
            f"target_folds must be a number, not {n_blocks!r}."
        )
    if column.kind == "date":
        time = column.instants().values
    else:
        is_duration = column.kind == "duration"
        time = column.durations() if is_duration else column.numbers()
    if np.any(time != time):
        raise ValueError(f"Column {column.name!r} orders the rows, but misses a time.")
    _, first, ranks = np.unique(np.sort(time), return_index=True, return_inverse=True)
    places = np.empty(len(time), dtype=np.int64)
    places[np.argsort(time, kind="stable")] = first[ranks]
    found, blocks = np.unique(places * n_blocks // len(time), return_inverse=True)
    if len(found) < 2:
        raise ValueError(
            f"Column {column.name!r} holds too few times to divide the rows by. Leave "
            "time_column out."
        )
    return blocks
