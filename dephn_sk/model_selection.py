"""Splitters that keep every task's rate of each label the same in all folds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples

from ._compat import _BaseKFold, _UnsupportedGroupCVMixin, _validate_shuffle_split
from .metrics._tasks import encode, is_observed, split_tasks

__all__ = ["MultiLabelStratifiedKFold", "MultiLabelStratifiedShuffleSplit"]


def _label_sets(y: Any, n_samples: int) -> tuple[NDArray, NDArray]:
    """Each row's label set as a number, and the labels of every label set.

    Labels are numbered through all tasks; a missing one is a label of its task.
    """
    if y is None:
        raise ValueError("y is needed to stratify; got None.")
    columns = split_tasks(y, "y").columns
    if len(columns[0]) != n_samples:
        raise ValueError(f"X has {n_samples} rows, y has {len(columns[0])}.")
    n_labels = 0
    labels = np.empty((n_samples, len(columns)), dtype=int)
    label_set = np.zeros(n_samples, dtype=int)
    for column, codes in zip(columns, labels.T, strict=True):
        observed = is_observed(column)
        codes[:] = 0
        codes[observed] = 1 + encode(column[observed])
        _, label_set = np.unique(
            label_set * (codes.max() + 1) + codes, return_inverse=True
        )
        _, codes[:] = np.unique(codes, return_inverse=True)
        codes += n_labels
        n_labels = codes.max() + 1
    _, first = np.unique(label_set, return_index=True)
    return label_set, labels[first]


def _deal(label_sets: NDArray, counts: NDArray, sizes: NDArray) -> NDArray:
    """How many rows of each label set every fold gets.

    Rows of one label set are interchangeable. Each fold first gets its whole share of
    every label set; what is left is dealt as [1] does, the rarest label first, each
    row to the fold that lacks its rarest label most, then the next label, then rows.
    """
    n_rows = sizes.sum()
    dealt = counts[:, None] * sizes // n_rows
    rest = (counts - dealt.sum(axis=1)).tolist()
    room = (sizes - dealt.sum(axis=0)).tolist()

    n_tasks = label_sets.shape[1]
    total = np.bincount(label_sets.ravel(), weights=np.repeat(counts, n_tasks))
    lacks = np.outer(total, sizes / n_rows)
    for labels in label_sets.T:
        np.subtract.at(lacks, labels, dealt)
    lacks = lacks.tolist()
    rarest_first = np.take_along_axis(
        label_sets, np.argsort(total[label_sets], axis=1, kind="stable"), axis=1
    ).tolist()
    left = np.bincount(label_sets.ravel(), weights=np.repeat(rest, n_tasks))

    while left.any():
        label = np.where(left > 0, left, np.inf).argmin()
        for s in np.flatnonzero((label_sets == label).any(axis=1)):
            labels = [label, *rarest_first[s]]
            for _ in range(rest[s]):
                fold = max(
                    (f for f in range(len(room)) if room[f] > 0),
                    key=lambda f: (*(lacks[i][f] for i in labels), room[f]),
                )
                dealt[s, fold] += 1
                room[fold] -= 1
                for i in rarest_first[s]:
                    lacks[i][fold] -= 1
            left[rarest_first[s]] -= rest[s]
            rest[s] = 0
    return dealt


def _folds(
    label_set: NDArray, label_sets: NDArray, sizes: NDArray, order: NDArray
) -> NDArray:
    """The fold of each row; rows of one label set go to folds in the given order."""
    counts = np.bincount(label_set)
    dealt = _deal(label_sets, counts, sizes)
    rows = order[np.argsort(label_set[order], kind="stable")]
    fold = np.empty(len(rows), dtype=int)
    fold[rows] = np.repeat(np.tile(np.arange(len(sizes)), len(counts)), dealt.ravel())
    return fold
