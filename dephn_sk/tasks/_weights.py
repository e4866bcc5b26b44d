"""Weights of rows, classes and tasks, as one factor for each row and task."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._kinds import Task
from ._labels import Column, Labels, read_columns
from ._tasks import Tasks

# sums over weights, and products of two such sums, stay finite below it
LARGEST_SUM = float(np.sqrt(np.finfo(np.float64).max))


def check_sample_weight(
    sample_weight: Any,
    n_rows: int,
    names: Sequence[str] | None = None,
    *,
    zeros: bool = False,
) -> NDArray[np.float64] | None:
    """Weights of shape (n_rows, 1) or (n_rows, n_tasks), or None.

    Columns of a frame follow the tasks by name. `zeros` says that all weights may be
    zero.

    Examples
    --------
    >>> check_sample_weight([1, 2], 2)
    array([[1.],
           [2.]])
    """
    if sample_weight is None:
        return None
    if np.isscalar(sample_weight):
        sample_weight = np.full(n_rows, sample_weight)
    read = read_columns(sample_weight, "sample_weight")
    if len(read) != n_rows or (names and len(read.columns) not in (1, len(names))):
        shape = (len(read), len(read.columns))[: read.ndim]
        tasks = f", a column for each of the tasks {list(names)}" if names else ""
        raise ValueError(
            f"sample_weight has the shape {shape}; it must be ({n_rows},) or "
            f"({n_rows}, {len(names) if names else 'n_tasks'}){tasks}."
        )
    columns: Sequence[Column] = read.columns
    if read.ndim == 2 and read.named and names:
        columns = _by_name(columns, names)
    weights = np.stack([_numbers(column) for column in columns], axis=1)
    wrong = ~((weights >= 0) & (weights < LARGEST_SUM / max(weights.size, 1)))
    if wrong.any():
        row, t = np.argwhere(wrong)[0]
        task = f" for {columns[t].name!r}" if len(columns) > 1 else ""
        raise ValueError(
            f"sample_weight of row {row}{task} is {weights[row, t]}; weights must not "
            "be negative, NaN or infinity, nor so large that sums over them overflow."
        )
    if not (zeros or weights.any()):
        raise ValueError("sample_weight is zero for every row; nothing is left to fit.")
    return weights


def _by_name(columns: Sequence[Column], names: Sequence[str]) -> Sequence[Column]:
    """Columns of weights in the order of the tasks; one alone may weigh rows."""
    given = {column.name: column for column in columns}
    if len(given) == 1 and not given.keys() & {*names}:
        return columns
    if given.keys() != {*names}:
        raise ValueError(
            f"sample_weight has columns for {list(given)}, but the tasks are "
            f"{list(names)}; give one for each of them."
        )
    return [given[name] for name in names]


def _numbers(column: Column) -> NDArray[np.float64]:
    """Weights as floats, NaN where they are missing."""
    try:
        values = column.values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"sample_weight holds {column.known[0]!r}, no number."
        ) from None
    return np.where(column.observed, values, np.nan)


def combine(
    labels: Labels,
    tasks: Tasks,
    sample_weight: NDArray | None,
    class_weight: Any,
    rates_from: tuple[Labels, NDArray | None] | None = None,
) -> NDArray[np.float64]:
    """Sample weight times class weight, (n_samples, n_tasks), 0 where not observed.

    "balanced" class weights come from the labels and checked sample weights
    `rates_from`, such as those of the training rows for a validation set; None takes
    the given ones.
    """
    weights = labels.observed.astype(np.float64)
    if sample_weight is not None:
        weights *= sample_weight
    for t, given in enumerate(_class_weight_of_each(class_weight, tasks)):
        if given is not None:
            learned, by_row = rates_from or (labels, sample_weight)
            mass = learned.observed[:, t].astype(np.float64)
            if by_row is not None:
                mass *= by_row[:, min(t, by_row.shape[1] - 1)]
            codes = learned.values[:, t].astype(np.intp)
            factors = _class_factors(given, tasks.tasks[t], codes, mass)
            weights[:, t] *= factors[labels.values[:, t].astype(np.intp)]
    return weights


def made_up(
    weights: NDArray,
    labels: Labels,
    tasks: Tasks,
    rates_from: tuple[Labels, NDArray | None],
) -> NDArray[np.float64]:
    """Weights with which the labels that are known speak for those that are not.

    On the entire space, a label is known wherever its condition did not happen. Where
    the condition did, and some labels are missing, the others count for them:
    otherwise the loss would see the task too rarely.
    """
    learned, by_row = rates_from
    for t, condition in enumerate(tasks.conditions):
        if condition is None:
            continue
        happened = learned.observed[:, condition] & (learned.values[:, condition] == 1)
        known = learned.observed[:, t] & happened
        if (known == happened).all():
            continue
        mass = np.ones(len(learned))
        if by_row is not None:
            mass = by_row[:, min(t, by_row.shape[1] - 1)]
        if known_mass := mass[known].sum():
            rows = labels.observed[:, condition] & (labels.values[:, condition] == 1)
            weights[rows, t] *= mass[happened].sum() / known_mass
    return weights


def normalised(weights: NDArray) -> NDArray | None:
    """Each task's weights divided by their mean; None where all of them are one."""
    mean = weights.mean(axis=0)
    weights = weights / np.where(mean > 0, mean, 1.0)
    return None if (weights == 1).all() else weights


def check_observed(weights: NDArray, tasks: Tasks, where: str = "") -> None:
    """Raise where a task has nothing to learn from."""
    for t in np.flatnonzero(~weights.any(axis=0)):
        condition = tasks.conditions[t] if tasks.conditions else None
        if condition is not None:
            where = f"where {tasks.names[condition]!r} happened {where}".rstrip()
        raise ValueError(
            f"Task {tasks.names[t]!r} has no observed label of positive weight"
            f"{where and ' ' + where}. Leave the task out, or give more rows."
        )


def _class_weight_of_each(class_weight: Any, tasks: Tasks) -> Sequence[Any]:
    names, numeric = tasks.names, tasks.numeric
    if class_weight is None:
        return [None] * len(names)
    if isinstance(class_weight, str) and len(numeric) < len(names):
        return [None if name in numeric else class_weight for name in names]
    each = class_weight
    if isinstance(class_weight, str) or tasks.single:
        each = [class_weight] * len(names)
    elif isinstance(class_weight, Mapping):
        for name in class_weight:
            tasks.position(name, "class_weight")
        each = [class_weight.get(name) for name in names]
    elif len(class_weight) != len(names):
        raise ValueError(
            f"class_weight has {len(class_weight)} entries, but y has {len(names)} "
            f"tasks: {list(names)}."
        )
    for name, given in zip(names, each, strict=True):
        if given is not None and name in numeric:
            raise ValueError(
                f"class_weight of {name!r} is {given!r}, but its labels are numbers, "
                "and no classes. Give sample_weight."
            )
    return each


def _class_factors(given: Any, task: Task, codes: NDArray, weights: NDArray) -> NDArray:
    """The factor of each class of a task."""
    name, classes = task.name, task.classes
    if isinstance(given, Mapping):
        labels = classes.tolist()
        for label, weight in given.items():
            finite = isinstance(weight, Real) and 0 <= float(weight) < np.inf
            if label not in labels or not finite:
                raise ValueError(
                    f"class_weight of {name!r} gives the class {label!r} the weight "
                    f"{weight!r}; its classes are {labels}, and weights must be finite "
                    "and >= 0."
                )
        return np.array([given.get(label, 1.0) for label in labels], dtype=np.float64)
    if given != "balanced":
        raise ValueError(
            f"class_weight of {name!r} must be a dict or 'balanced', got {given!r}."
        )
    # as compute_class_weight, with each row counted by its weight
    mass = np.bincount(codes, weights, minlength=len(classes))
    present = mass > 0
    factors = np.ones(len(classes))
    factors[present] = mass.sum() / (present.sum() * mass[present])
    return factors


def check_task_weights(task_weights: Any, tasks: Tasks) -> list[float] | str | None:
    """`task_weights` as the loss takes them: a number for each task."""
    names, given = tasks.names, task_weights
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        for name in given:
            tasks.position(name, "task_weights")
        given = [given.get(name, 1.0) for name in names]
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (len(names),) or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"task_weights must be {len(names)} finite numbers >= 0, one for each of "
            f"the tasks {list(names)}; got {task_weights!r}."
        )
    return list(values)
