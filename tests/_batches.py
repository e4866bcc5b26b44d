"""Kinds of data that the network and the estimator meet, each a few rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from dephn_sk.tasks import Tasks


@dataclass(frozen=True)
class Kind:
    """A small table with its labels.

    ``codes`` of shape (n_rows, n_categorical) run from 0, the unseen value, below
    ``cardinalities``; ``numbers`` of shape (n_rows, n_numeric) hold NaN where missing;
    ``labels`` of shape (n_rows, n_tasks) hold class indices below ``n_classes`` and NaN
    where not observed.
    """

    cardinalities: tuple[int, ...]
    codes: np.ndarray
    numbers: np.ndarray
    labels: np.ndarray
    n_classes: tuple[int, ...]

    @property
    def n_outputs(self) -> list[int]:
        """Logits of each task."""
        return [1 if n <= 2 else n for n in self.n_classes]

    @property
    def tasks(self) -> Tasks:
        """What is learned of the labels, every class declared."""
        classes = [np.arange(float(n)) for n in self.n_classes]
        if len(classes) == 1:
            return Tasks.learn(self.labels[:, 0], classes[0])
        return Tasks.learn(self.labels, classes)

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Codes, numbers and labels as the network takes them."""
        return tuple(map(torch.from_numpy, (self.codes, self.numbers, self.labels)))

    def table(self) -> tuple:
        """The raw table and the labels as the estimator takes them.

        A single task is a Series. Every class of a multi-class task is declared.
        """
        pd = pytest.importorskip("pandas")
        animals = np.array(["?", "ape", "bat", "cow", "doe", "elk"])
        columns = {f"c{j}": animals[column] for j, column in enumerate(self.codes.T)}
        columns |= {f"x{j}": column for j, column in enumerate(self.numbers.T)}
        tasks = {}
        for t, n in enumerate(self.n_classes):
            labels = self.labels[:, t]
            if n > 2:
                labels = pd.Categorical(labels, categories=np.arange(float(n)))
            tasks[f"task {'abcde'[t]}"] = labels
        y = pd.DataFrame(tasks)
        return pd.DataFrame(columns), y.squeeze(axis=1) if len(tasks) == 1 else y


def make_kind(
    n_rows: int = 7,
    cardinalities: tuple[int, ...] = (4, 6),
    n_numeric: int = 2,
    n_classes: tuple[int, ...] = (2, 2, 2),
    seed: int = 0,
) -> Kind:
    """A table without any peculiarity, but for its sizes."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(1, n, n_rows) for n in cardinalities]
    codes = np.stack(columns, 1) if columns else np.empty((n_rows, 0), dtype=np.int64)
    labels = np.stack([rng.permutation(n_rows) % n for n in n_classes], 1)
    return Kind(
        cardinalities=cardinalities,
        codes=codes,
        numbers=rng.normal(size=(n_rows, n_numeric)),
        labels=labels.astype(np.float64),
        n_classes=n_classes,
    )


def _with_labels(**columns: object) -> Kind:
    """The plain kind with the labels of some tasks replaced."""
    kind = make_kind()
    labels = kind.labels.copy()
    for task, values in columns.items():
        labels[:, int(task[1:])] = values
    return replace(kind, labels=labels)


def _unseen_category() -> Kind:
    kind = make_kind()
    codes = kind.codes.copy()
    codes[0] = 0
    codes[1, 1] = 0
    return replace(kind, codes=codes)


def _missing_number() -> Kind:
    kind = make_kind()
    numbers = kind.numbers.copy()
    numbers[0] = np.nan
    numbers[1:3, 1] = np.nan
    return replace(kind, numbers=numbers)


KINDS = {
    "plain": make_kind(),
    "batch of one": make_kind(n_rows=1),
    "batch of two": make_kind(n_rows=2),
    "one task": make_kind(n_classes=(2,)),
    "constant label": _with_labels(t1=0),
    "constant labels": _with_labels(t0=0, t1=0, t2=1),
    "all labels equal": _with_labels(
        t0=[0, 1, 0, 1, 1, 0, 0], t1=[0, 1, 0, 1, 1, 0, 0], t2=[0, 1, 0, 1, 1, 0, 0]
    ),
    "missing label": _with_labels(
        t0=[np.nan, 1, 0, 1, 0, 0, 1], t2=[np.nan, np.nan, np.nan, 0, 1, 0, 1]
    ),
    "one label known": _with_labels(t1=[np.nan, 1, *[np.nan] * 5]),
    "unseen category": _unseen_category(),
    "missing number": _missing_number(),
    "one categorical field": make_kind(cardinalities=(4,), n_numeric=0),
    "one numeric field": make_kind(cardinalities=(), n_numeric=1),
    "one category": make_kind(cardinalities=(2, 2)),
    "multi-class task": make_kind(n_classes=(2, 3, 4)),
    "one multi-class task": make_kind(n_classes=(3,)),
}
