"""The rows of a fit: which of them count, train, or are set aside, and their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import check_array, check_consistent_length

from .._compat import _num_samples, _safe_indexing
from ..preprocessing._chance import drawn, group_hashes
from ..tasks import (
    Columns,
    Delays,
    Labels,
    Tasks,
    Times,
    check_observed,
    check_sample_weight,
    combine,
    made_up,
    read_columns,
)
from ._learned import Learned
from ._parameters import AUTO
from ._randomness import seed_of
from ._source import row_type

AUTO_EARLY_STOPPING = 2_000
# so few rows are cross-validated, where they say how many epochs there are to be
CROSS_VALIDATED = range(50, 4_001)


@dataclass(frozen=True)
class Rows:
    """Rows that count, with what is known of them.

    Attributes
    ----------
    X, y : as they were given
    tasks : Tasks
    labels : Labels
        Of the entire space: 0 where a task's condition did not happen.
    given : ndarray of shape (n_rows, 1) or (n_rows, n_tasks), or None
        Sample weights.
    weights : ndarray of shape (n_rows, n_tasks)
        With those of classes; 0 where a label was not observed.
    train, valid : ndarray of int
        Which of them train, and which are set aside.
    groups : array-like of shape (n_rows,) or None
        Rows of one group are kept together.
    delays : Delays or None
        Of labels whose positives may still come.
    """

    X: Any
    y: Any
    tasks: Tasks
    labels: Labels
    given: NDArray | None
    weights: NDArray
    train: NDArray
    valid: NDArray
    groups: Any = None
    delays: Delays | None = None

    @classmethod
    def read(
        cls,
        template: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        tasks: Tasks | None,
        classes: Any,
        groups: Any,
        times: Times,
        seed: int,
        sets_aside: bool,
    ) -> Rows:
        """Leave out rows of weight zero, weigh the others, and divide them.

        Without `tasks`, they are learned, and each needs a label.
        """
        columns, first, kept = read_columns(y), tasks is None, None
        names = (tasks or columns).names
        given = check_sample_weight(sample_weight, len(columns), names)
        check_consistent_length(X, groups, times.label_time, times.label_delay)
        if given is not None and not given.any(axis=1).all():
            kept = np.flatnonzero(given.any(axis=1))
            X, columns, given = _safe_indexing(X, kept), columns.take(kept), given[kept]
            y = columns if isinstance(y, Columns) else _safe_indexing(y, kept)
            groups = None if groups is None else _safe_indexing(groups, kept)
            times = times.take(kept)
        tasks = tasks or template._conditioned(template._learn_tasks(columns, classes))
        labels = tasks.read(columns, rows=kept)
        window, on_open = template._windows()
        delays = times.read(window, on_open, labels, tasks)
        labels = labels if delays is None or delays.weighs else delays.closed(labels)
        labels, n_rows = tasks.entire_space(labels), len(labels)
        train, valid = np.arange(n_rows, dtype=row_type(n_rows)), np.arange(0)
        if sets_aside and stops_early(template, n_rows):
            share = template.validation_fraction
            train, valid = split_rows(n_rows, share, seed, groups)
        known = X, y, tasks, labels, given, labels.values, train, valid
        read = cls(*known, groups, delays).divided(train, valid, template.class_weight)
        if first:
            counts = read.weights * tasks.informative(labels)
            check_observed(counts, tasks)
            if len(valid):
                check_observed(counts[train], tasks, "among the rows to train on")
        return read.scaled() if first else read

    def scaled(self) -> Self:
        """With tasks that have the scales of the rows that train."""
        labels, weights = self.labels.take(self.train), self.weights[self.train]
        return replace(self, tasks=self.tasks.fitted(labels, weights))

    @property
    def compared(self) -> Labels:
        """The labels that columns are told of: settled ones, and no raw numbers.

        These an encoder would take for names of classes, and their tails for all there
        is. Those of a task with a condition are of the rows where that happened.
        """
        return self.tasks.compared(self.tasks.given_conditions(self.settled))

    def divided(self, train: NDArray, valid: NDArray, class_weight: Any) -> Self:
        """The same rows, some of which train and others validate."""
        rows = replace(self, train=train, valid=valid)
        known, rates = (self.labels, self.tasks), rows.rates
        weights = combine(*known, rows.by_row, class_weight, rates)
        return replace(rows, weights=made_up(weights, *known, rates))

    @property
    def by_row(self) -> NDArray | None:
        """Sample weights, times those of open windows, of which training rows tell."""
        if self.delays is None or not self.delays.weighs:
            return self.given
        given = self.tasks.given_conditions(self.labels)
        factors = self.delays.factors(given, self.train, self.given)
        known = self.labels.observed & ~self.tasks.informative(self.labels)
        for task, condition in self.tasks.pairs:  # a 0 as sure as its condition's
            rows = known[:, task]
            factors[rows, task] = factors[rows, condition]
        return factors if self.given is None else self.given * factors

    @property
    def settled(self) -> Labels:
        """The labels that can change no more, which are what a column is told of."""
        return self.labels if self.delays is None else self.delays.closed(self.labels)

    def codes(self, rows: NDArray) -> NDArray[np.int64]:
        """Numbers that are equal where the groups of these rows are."""
        hashes, unit = _groups(self.groups, len(self.labels))
        return hashes.view(np.int64)[unit[rows]]

    def folds(self, n_folds: int, seed: int) -> Iterator[tuple[NDArray, NDArray]]:
        """Rows that train and that validate, each once; groups are kept whole.

        Fewer groups make fewer folds, and one makes none.
        """
        kind_of = KFold
        if self.groups is not None:
            kind_of, n_groups = GroupKFold, len(np.unique(np.asarray(self.groups)))
            n_folds = min(n_folds, n_groups)
        if n_folds < 2:
            return
        splitter = kind_of(n_folds, shuffle=True, random_state=seed % 2**32)
        values, kind = self.labels.values, row_type(len(self.labels))
        for train, valid in splitter.split(values, None, self.groups):
            yield train.astype(kind), valid.astype(kind)

    @property
    def rates(self) -> tuple[Labels, NDArray | None]:
        """Labels and weights of the rows that say how frequent the classes are."""
        by_row = self.by_row
        given = None if by_row is None else by_row[self.train]
        return self.labels.take(self.train), given

    @property
    def counted(self) -> NDArray | None:
        """What a row counts in what is learned of columns: nothing if it is set aside.

        None is 1 for each row.
        """
        counted = None if self.given is None else self.given.mean(axis=1)
        if len(self.valid):
            counted = np.ones(len(self.labels)) if counted is None else counted
            counted[self.valid] = 0
        return counted

    def part(self, learned: Learned, rows: NDArray) -> tuple[Any, Any, Any]:
        """Rows, labels and weights as a source keeps them; None is all, or all ones."""
        kept = learned.kept(self.labels.take(rows), self.weights[rows])
        return None if len(rows) == len(self.labels) else rows, *kept


def split_rows(
    n_rows: int, fraction: float, seed: int, groups: Any = None
) -> tuple[NDArray, NDArray]:
    """Training and validation rows, int32, both in order; groups are kept whole.

    Which rows are set aside is a matter of the seed and of their places, or groups,
    alone: those with the smallest hashes.

    Examples
    --------
    >>> train, valid = split_rows(6, 0.4, 0, groups=list("aabbcc"))
    >>> len(valid), len({"aabbcc"[i] for i in valid} & {"aabbcc"[i] for i in train})
    (2, 0)
    """
    wanted = n_set_aside(n_rows, fraction)
    seed = seed_of(seed, "set aside")
    if groups is None:
        hashes = drawn(seed, np.arange(n_rows))
        held_out = hashes <= np.partition(hashes, min(wanted, n_rows) - 1)[wanted - 1]
    else:
        hashes, unit = _groups(groups, n_rows)
        chosen = whole_groups(drawn(seed, hashes), np.bincount(unit), wanted)
        held_out = chosen[unit]
    train, valid = (
        np.flatnonzero(rows).astype(row_type(n_rows)) for rows in (~held_out, held_out)
    )
    check_rest(len(train), n_rows, fraction)
    return train, valid


def stops_early(template: Any, n_rows: int) -> bool:
    """Whether training on so many rows is to stop early."""
    if template.early_stopping != AUTO:
        return bool(template.early_stopping)
    few = CROSS_VALIDATED.stop - 1, AUTO_EARLY_STOPPING
    return n_rows > few[template.max_epochs != AUTO]


def n_set_aside(n_rows: int, fraction: float) -> int:
    """How many rows are set aside, or at most, where groups are kept whole."""
    return max(1, int(np.ceil(fraction * n_rows)))


def check_rest(n_train: int, n_rows: int, fraction: float) -> None:
    """Raise where no row is left to train on."""
    if not n_train:
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves none to train on. "
            "Set early_stopping=False, or give X_val and y_val."
        )


def _groups(groups: Any, n_rows: int) -> tuple[NDArray, NDArray]:
    """The hash of each group, and which of them a row is in."""
    groups = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if groups.ravel().shape != (n_rows,):
        raise ValueError(f"groups has {groups.size} entries for {n_rows} rows.")
    return group_hashes(groups)


def whole_groups(hashes: NDArray, sizes: NDArray, wanted: int) -> NDArray[np.bool_]:
    """Groups in the order of their hashes, as long as they fit the wanted number.

    >>> whole_groups(np.array([5, 3, 4]), np.array([2, 1, 9]), 3)
    array([ True,  True, False])
    """
    chosen = np.zeros(len(sizes), dtype=bool)
    order = np.argsort(hashes)
    order = order[(sizes[order] > 0) & (sizes[order] <= wanted)]
    for one in order.tolist():
        if sizes[one] <= wanted:
            chosen[one] = True
            wanted -= sizes[one]
        if not wanted:
            break
    if not chosen.any():  # none is small enough: the smallest, and of those the first
        sizes = np.where(sizes > 0, sizes, sizes.max() + 1)
        chosen[np.lexsort((hashes, sizes))[0]] = True
    return chosen


def check_call(X: Any, y: Any, validation: tuple[Any, Any]) -> None:
    """Raise for what is wrong before a single label is read."""
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None."
        )
    check_consistent_length(X, y)
    if not _num_samples(X):
        raise ValueError(
            f"Found array with 0 sample(s) (shape={np.shape(X)}) while a minimum of 1 "
            "is required."
        )
    X_val, y_val = validation
    if (X_val is None) != (y_val is None):
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(
            f"{missing} is missing: give both X_val and y_val, or neither."
        )
    if X_val is not None:
        check_consistent_length(X_val, y_val)
