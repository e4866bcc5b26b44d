"""Labels and probabilities of several tasks, taken apart into one task each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tasks import Columns, check_sample_weight, read_columns


@dataclass(frozen=True)
class ObservedTask:
    """What one task's metric reads: its observed rows of positive weight.

    Attributes
    ----------
    name : str
    rows : ndarray of shape (n_samples,), bool
        The rows that the other attributes hold.
    codes : ndarray of shape (n_rows,), int
        Index of the observed class; -1 where it is none of the classes.
    prob : ndarray of shape (n_rows,) or (n_rows, n_classes)
        P(second class) of a binary task, or every class' probability.
    weight : ndarray of shape (n_rows,) or None
    classes : tuple
    """

    name: str
    rows: NDArray
    codes: NDArray
    prob: NDArray
    weight: NDArray | None
    classes: tuple

    @property
    def is_binary(self) -> bool:
        return self.prob.ndim == 1

    def check_classes(self) -> None:
        """Raise where a label is none of the classes."""
        if (self.codes < 0).any():
            raise ValueError(
                f"Task {self.name!r} has observed labels that are none of its classes "
                f"{list(self.classes)}; they have no probability."
            )

    def check_probabilities(self) -> None:
        """Raise where y_prob leaves [0, 1]."""
        outside = (self.prob < 0) | (self.prob > 1)
        if outside.any():
            raise ValueError(
                f"y_prob of task {self.name!r} holds {self.prob[outside][0]!s}; "
                "probabilities lie in [0, 1]."
            )


def iter_tasks(
    y_true: Any, y_prob: Any, classes: Any = None, sample_weight: Any = None
) -> Iterator[ObservedTask]:
    """The tasks of y_true, each with its own observed rows."""
    labels = read_columns(y_true, "y_true")
    for column, prob, weight, task_classes in zip(
        labels.columns,
        _split_probabilities(y_prob, labels),
        split_weights(sample_weight, labels),
        _split_classes(classes, len(labels.columns)),
        strict=True,
    ):
        name, rows = column.name, column.observed
        if weight is not None:
            rows = rows & (weight > 0)
            weight = weight[rows]
        prob = prob[rows]
        if not np.isfinite(prob).all():
            raise ValueError(f"y_prob of task {name!r} holds NaN or infinity.")
        observed = column.values[rows].tolist()
        n_classes = 2 if prob.ndim == 1 else prob.shape[1]
        task_classes = _check_classes(name, observed, task_classes, n_classes)
        index = {label: code for code, label in enumerate(task_classes)}
        codes = np.fromiter((index.get(v, -1) for v in observed), int, len(observed))
        if len(codes) and (codes < 0).all():
            raise ValueError(
                f"No observed label of task {name!r}, such as {observed[0]!r}, is "
                f"among its classes {list(task_classes)}."
            )
        yield ObservedTask(name, rows, codes, prob, weight, task_classes)


def _split_probabilities(y_prob: Any, labels: Columns) -> list[NDArray]:
    """One array of shape (n,) or (n, K) for each task."""
    n_tasks = len(labels.names)
    if isinstance(y_prob, (list, tuple)) and all(np.ndim(p) == 2 for p in y_prob):
        split = [np.asarray(p) for p in y_prob]
    elif (array := np.asarray(y_prob)).ndim == 2 and array.shape[1] == n_tasks:
        split = list(array.T)
    elif n_tasks == 1 and array.ndim in (1, 2):
        split = [array]
    else:
        raise ValueError(
            f"y_prob has shape {array.shape}, while y_true has {n_tasks} tasks: "
            f"expected ({len(labels)}, {n_tasks}), or a list of {n_tasks} arrays of "
            "shape (n_samples, n_classes)."
        )
    if len(split) != n_tasks:
        raise ValueError(
            f"y_prob is a list for {len(split)} tasks, y_true has {n_tasks}."
        )
    for name, prob in zip(labels.names, split, strict=True):
        if len(prob) != len(labels):
            raise ValueError(
                f"y_prob of task {name!r} has {len(prob)} rows, "
                f"y_true has {len(labels)}."
            )
    split = [p if p.dtype.kind == "f" else p.astype(float) for p in split]
    return [p[:, 1] if p.ndim == 2 and p.shape[1] == 2 else p for p in split]


def split_weights(sample_weight: Any, labels: Columns) -> list[NDArray | None]:
    """One array of shape (n,), or None, for each task."""
    weights = check_sample_weight(sample_weight, len(labels), labels.names, zeros=True)
    if weights is None:
        return [None] * len(labels.columns)
    return list(np.broadcast_to(weights, (len(labels), len(labels.columns))).T)


def _split_classes(classes: Any, n_tasks: int) -> list:
    """The classes of each task, None where they are to be read off the labels."""
    if classes is None:
        return [None] * n_tasks
    if all(np.ndim(c) == 0 for c in classes):  # one list, for every task
        return [classes] * n_tasks
    if len(classes) != n_tasks:
        raise ValueError(
            f"classes holds the classes of {len(classes)} tasks, y_true has {n_tasks}."
        )
    return list(classes)


def _check_classes(name: str, observed: list, classes: Any, n_classes: int) -> tuple:
    """The task's classes in the order of its probabilities."""
    if classes is not None:
        if len(classes) != n_classes:
            raise ValueError(
                f"Task {name!r} has {len(classes)} classes, but {n_classes} in y_prob."
            )
        return tuple(c.item() if isinstance(c, np.generic) else c for c in classes)
    found = set(observed)
    if n_classes == 2 and found <= {0, 1}:
        return (0, 1)
    if len(found) != n_classes:
        some = sorted(map(repr, found))[:5]
        raise ValueError(
            f"Task {name!r} has {len(found)} observed labels ({', '.join(some)}"
            f"{', …' if len(found) > 5 else ''}), but {n_classes} classes in y_prob. "
            "Say which probability belongs to which label: pass `classes`."
        )
    try:
        return tuple(sorted(found))
    except TypeError:
        raise ValueError(
            f"Task {name!r} mixes labels of several types; pass `classes`."
        ) from None
