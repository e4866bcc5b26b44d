"""What the labels and weights of a log tell, and how those of some rows are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..logs import LogError
from ..preprocessing._log_rows import LogRows, RowChunk
from ..tasks import Columns, Labels, Tasks, check_observed, combine, made_up
from ._store import EncodedRows


@dataclass(frozen=True, eq=False)
class ComparedLabels:
    """Reads labels as columns are told of them; see `Rows.compared`."""

    tasks: Tasks
    stored: None = None  # an encoder keeps no tasks of its own

    def __call__(self, columns: Columns) -> Labels:
        labels = self.tasks.entire_space(self.tasks.read(columns, rows=_rows(columns)))
        return self.tasks.compared(self.tasks.given_conditions(labels))


def _rows(columns: Columns) -> NDArray | None:
    return columns.columns[0].rows


@dataclass(frozen=True, eq=False)
class LogLabels:
    """Tasks and weights of the rows of a log.

    Attributes
    ----------
    tasks : Tasks
    class_weight : as an estimator has it
    rates : (Labels, ndarray)
        Distinct labels of the rows that train, and their weights times their number.
    start : ndarray
        Logits of the base rates.
    means : (ndarray, ndarray)
        The mean weight of each task, of rows that train and of those set aside.
    even : (bool, bool)
        Whether all weights are one, of both.
    """

    tasks: Tasks
    class_weight: Any
    rates: tuple[Labels, NDArray]
    start: NDArray
    means: tuple[NDArray, NDArray]
    even: tuple[bool, bool]

    @classmethod
    def of(
        cls, template: Any, rows: LogRows, tasks: Tasks | None, classes: Any
    ) -> Self:
        """Learn from the distinct labels of all rows; see `Rows.read`."""
        table, columns, first = rows.table, rows.all_labels, tasks is None
        assert table is not None
        if tasks is None:
            tasks = template._conditioned(template._learn_tasks(columns, classes))
        labels = tasks.entire_space(_located(rows, tasks, columns))
        train, n = ~table.aside, table.n.astype(np.float64)[:, None]
        by_row = n if table.weight is None else table.weight * n
        rates = labels.take(train), by_row[train]
        known = tasks, template.class_weight, rates
        weights = weights_of(labels, table.weight, *known)
        if first:
            counts = weights * tasks.informative(labels)
            check_observed(counts, tasks)
            if rows.n_valid:
                check_observed(counts[train], tasks, "among the rows to train on")
            tasks = tasks.fitted(labels.take(train), (weights * n)[train])
        start = tasks.start(labels.take(train), (weights * n)[train])
        parts = [_mean(weights[one], n[one]) for one in (train, ~train)]
        means, even = zip(*parts, strict=True)
        return cls(tasks, template.class_weight, rates, start, means, even)

    def validating(self, rows: LogRows) -> Self:
        """The same for the rows of another log, all of which validate."""
        table = rows.table
        assert table is not None
        labels = self.tasks.entire_space(_located(rows, self.tasks, rows.all_labels))
        weights = weights_of(labels, None, self.tasks, self.class_weight, self.rates)
        mean, even = _mean(weights, table.n.astype(np.float64)[:, None])
        return replace(self, means=(mean, mean), even=(even, even))

    def _read(self, columns: Columns) -> Labels:
        return self.tasks.entire_space(self.tasks.read(columns, rows=_rows(columns)))

    def encoded(
        self, chunk: RowChunk, fields: Any, aside: bool, dtype: str
    ) -> EncodedRows:
        """The rows of a chunk that train, or are set `aside`, as a store keeps them."""
        assert chunk.labels is not None
        labels = self._read(chunk.labels)
        known = self.tasks, self.class_weight, self.rates
        weights: Any = weights_of(labels, chunk.weight, *known)
        mean = self.means[aside]
        weights = (weights / np.where(mean > 0, mean, 1.0)).astype(dtype)
        values = self.tasks.scaled(labels.values)
        values = values.astype(self.tasks.label_dtype(dtype), copy=False)
        weights = None if self.even[aside] else weights
        part = EncodedRows(fields, values, weights, chunk.groups)
        own = chunk.aside if aside else ~chunk.aside
        return part if own.all() else part.take(np.flatnonzero(own))


def _located(rows: LogRows, tasks: Tasks, columns: Columns) -> Labels:
    """The distinct labels of a log; an error says in which row one is first."""
    assert rows.table is not None
    try:
        return tasks.read(columns, rows=rows.table.rows)
    except ValueError as error:
        for i, row in enumerate(rows.table.rows.tolist()):
            try:
                tasks.read(columns.take([i]), rows=rows.table.rows[[i]])
            except ValueError as alone:
                raise LogError(
                    f"{alone} (Row {row} of the log: {rows.log.where(row)}.)"
                ) from error
        raise


def weights_of(
    labels: Labels, given: NDArray | None, tasks: Tasks, class_weight: Any, rates: Any
) -> NDArray[np.float64]:
    """Weights of rows and classes, (n_rows, n_tasks); 0 where not observed."""
    weights = combine(labels, tasks, given, class_weight, rates)
    return made_up(weights, labels, tasks, rates)


def _mean(weights: NDArray, n: NDArray) -> tuple[NDArray, bool]:
    """The mean weight of each task, and whether all are equal to it."""
    if not len(weights):
        return np.ones(weights.shape[1]), True
    mean = (weights * n).sum(axis=0) / n.sum()
    even = weights / np.where(mean > 0, mean, 1.0)
    return mean, bool((even == 1).all())
