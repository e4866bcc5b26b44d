"""Labels and probabilities of several tasks, taken apart into one task each."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning


class Labels(NamedTuple):
    """The columns of y, one 1-D array for each task, and the tasks' names."""

    names: list[str]
    columns: list[NDArray]

    @property
    def n_rows(self) -> int:
        return len(self.columns[0])


def split_tasks(y: Any, name: str = "y_true") -> Labels:
    """Labels of y: an array, a list, or a pandas or polars frame or series."""
    if isinstance(y, Labels):
        return y
    if hasattr(y, "columns"):
        names = [str(column) for column in y.columns]
        columns = [
            (y.iloc[:, i] if hasattr(y, "iloc") else y[:, i]).to_numpy()
            for i in range(len(names))
        ]
    elif hasattr(y, "to_numpy"):
        names, columns = [str(y.name or "task0")], [y.to_numpy()]
    else:
        # asarray would turn the NaN of a list of strings into the string "nan"
        array = np.asarray(y) if hasattr(y, "__array__") else np.array(y, dtype=object)
        if array.ndim not in (1, 2):
            raise ValueError(
                f"{name} must have shape (n_samples,) or (n_samples, n_tasks), "
                f"got {array.shape}."
            )
        columns = [array] if array.ndim == 1 else list(array.T)
        names = [f"task{i}" for i in range(len(columns))]
    if not columns:
        raise ValueError(f"{name} has no column.")
    return Labels(names, columns)


def is_observed(column: NDArray) -> NDArray:
    """Where a column holds a label: not NaN, None or pd.NA."""
    if column.dtype.kind == "f":
        return ~np.isnan(column)
    if column.dtype.kind != "O":
        return np.ones(len(column), dtype=bool)
    na = getattr(sys.modules.get("pandas"), "NA", None)
    missing = (v is None or v is na or v != v for v in column.tolist())
    return ~np.fromiter(missing, dtype=bool, count=len(column))


def encode(values: NDArray) -> NDArray:
    """Integer codes, equal where the values are; in order of appearance."""
    codes: dict = {}
    values = values.tolist()
    return np.fromiter(
        (codes.setdefault(v, len(codes)) for v in values), int, len(values)
    )


@dataclass(frozen=True)
class Task:
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


def warn_undefined(metric: str, task: Task, why: str) -> float:
    """NaN, and a warning that names the task."""
    warnings.warn(
        f"{metric} of task {task.name!r} is undefined: {why}. It is NaN, and left out "
        "of a mean over tasks.",
        UndefinedMetricWarning,
        stacklevel=2,
    )
    return np.nan


def iter_tasks(
    y_true: Any, y_prob: Any, classes: Any = None, sample_weight: Any = None
) -> Iterator[Task]:
    """The tasks of y_true, each with its own observed rows."""
    labels = split_tasks(y_true)
    n_tasks = len(labels.names)
    probabilities = _split_probabilities(y_prob, labels)
    weights = split_weights(sample_weight, labels)
    for name, column, prob, weight, task_classes in zip(
        labels.names,
        labels.columns,
        probabilities,
        weights,
        _split_classes(classes, n_tasks),
        strict=True,
    ):
        rows = is_observed(column)
        if weight is not None:
            rows &= weight > 0
            weight = weight[rows]
        prob = prob[rows]
        if not np.isfinite(prob).all():
            raise ValueError(f"y_prob of task {name!r} holds NaN or infinity.")
        observed = column[rows].tolist()
        n_classes = 2 if prob.ndim == 1 else prob.shape[1]
        task_classes = _check_classes(name, observed, task_classes, n_classes)
        index = {label: code for code, label in enumerate(task_classes)}
        codes = np.fromiter((index.get(v, -1) for v in observed), int, len(observed))
        if len(codes) and (codes < 0).all():
            raise ValueError(
                f"No observed label of task {name!r}, such as {observed[0]!r}, is "
                f"among its classes {list(task_classes)}."
            )
        yield Task(name, rows, codes, prob, weight, task_classes)


def _split_probabilities(y_prob: Any, labels: Labels) -> list[NDArray]:
    """One array of shape (n,) or (n, K) for each task."""
    n_tasks = len(labels.names)
    if isinstance(y_prob, (list, tuple)) and all(np.ndim(p) == 2 for p in y_prob):
        split = [np.asarray(p) for p in y_prob]
    else:
        array = np.asarray(y_prob)
        if array.ndim == 2 and array.shape[1] == n_tasks:
            split = list(array.T)
        elif n_tasks == 1 and array.ndim in (1, 2):
            split = [array]
        else:
            raise ValueError(
                f"y_prob has shape {array.shape}, while y_true has {n_tasks} tasks: "
                f"expected ({labels.n_rows}, {n_tasks}), or a list of {n_tasks} arrays "
                "of shape (n_samples, n_classes)."
            )
    if len(split) != n_tasks:
        raise ValueError(
            f"y_prob is a list for {len(split)} tasks, y_true has {n_tasks}."
        )
    for name, prob in zip(labels.names, split, strict=True):
        if len(prob) != labels.n_rows:
            raise ValueError(
                f"y_prob of task {name!r} has {len(prob)} rows, "
                f"y_true has {labels.n_rows}."
            )
    split = [p if p.dtype.kind == "f" else p.astype(float) for p in split]
    return [p[:, 1] if p.ndim == 2 and p.shape[1] == 2 else p for p in split]


def split_weights(sample_weight: Any, labels: Labels) -> list[NDArray | None]:
    """One array of shape (n,), or None, for each task."""
    n_rows, n_tasks = labels.n_rows, len(labels.names)
    if sample_weight is None:
        return [None] * n_tasks
    weight = np.asarray(sample_weight, dtype=float)
    if weight.shape not in ((n_rows,), (n_rows, n_tasks)):
        raise ValueError(
            f"sample_weight has shape {weight.shape}; expected ({n_rows},) or "
            f"({n_rows}, {n_tasks}), one weight for each row or each row and task."
        )
    weight = np.broadcast_to(weight.reshape(n_rows, -1), (n_rows, n_tasks))
    for name, column in zip(labels.names, weight.T, strict=True):
        wrong = ~(np.isfinite(column) & (column >= 0))
        if wrong.any():
            raise ValueError(
                f"sample_weight of task {name!r} holds {column[wrong][0]!s}; weights "
                "are finite and not negative (0 leaves a row out)."
            )
    return list(weight.T)


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
