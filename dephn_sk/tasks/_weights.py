"""Weights of rows, classes and tasks, as one factor for each row and task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from .._suggest import did_you_mean
from ._tasks import Targets


def check_sample_weight(sample_weight: Any, n_samples: int) -> NDArray | None:
    """Weights of shape (n_samples, 1) or (n_samples, n_tasks), or None."""
    if sample_weight is None:
        return None
    weights = check_array(
        np.asarray(sample_weight),
        ensure_2d=False,
        allow_nd=True,
        dtype=np.float64,
        input_name="sample_weight",
    )
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.ndim > 2 or len(weights) != n_samples:
        raise ValueError(
            f"sample_weight has the shape {weights.shape}; it must be ({n_samples},) "
            f"or ({n_samples}, n_tasks)."
        )
    if (weights < 0).any():
        row = int(np.flatnonzero((weights < 0).reshape(n_samples, -1).any(axis=1))[0])
        raise ValueError(
            f"sample_weight must not be negative; row {row} has {weights[row]}."
        )
    if not weights.any():
        raise ValueError("sample_weight is zero for every row; nothing is left to fit.")
    return weights.reshape(n_samples, -1)


def combine(
    indices: NDArray,
    targets: Targets,
    sample_weight: NDArray | None,
    class_weight: Any,
) -> NDArray:
    """Sample weight times class weight, 0 where a label was not observed.

    ``indices`` of shape (n_samples, n_tasks) are class indices with NaN; the result has
    that shape.
    """
    n_samples, n_tasks = indices.shape
    weights = (~np.isnan(indices)).astype(np.float64)
    if sample_weight is not None:
        if sample_weight.shape[1] not in (1, n_tasks):
            raise ValueError(
                f"sample_weight has {sample_weight.shape[1]} columns; it must be of "
                f"shape ({n_samples},) or ({n_samples}, {n_tasks}), a column for each "
                f"of the tasks {list(targets.names)}."
            )
        weights *= sample_weight
    for t, given in enumerate(_class_weight_of_each(class_weight, targets)):
        if given is not None:
            known = ~np.isnan(indices[:, t])
            codes = indices[known, t].astype(np.intp)
            factors = _class_factors(given, targets, t, codes, weights[known, t])
            weights[known, t] *= factors[codes]
    return weights


def normalised(weights: NDArray) -> NDArray | None:
    """Each task's weights divided by their mean; None where all of them are one."""
    mean = weights.mean(axis=0)
    weights = weights / np.where(mean > 0, mean, 1.0)
    return None if (weights == 1).all() else weights


def check_observed(weights: NDArray, targets: Targets, where: str = "") -> None:
    """Raise where a task has nothing to learn from."""
    for t in np.flatnonzero(~weights.any(axis=0)):
        raise ValueError(
            f"Task {targets.names[t]!r} has no observed label of positive weight"
            f"{where and ' ' + where}. Leave the task out, or give more rows."
        )


def _class_weight_of_each(class_weight: Any, targets: Targets) -> Sequence[Any]:
    names = targets.names
    if class_weight is None or isinstance(class_weight, str) or targets.single:
        return [class_weight] * len(names)
    if isinstance(class_weight, Mapping):
        _check_task_names("class_weight", class_weight, names)
        return [class_weight.get(name) for name in names]
    if len(class_weight) != len(names):
        raise ValueError(
            f"class_weight has {len(class_weight)} entries, but y has {len(names)} "
            f"tasks: {list(names)}."
        )
    return class_weight


def _class_factors(
    given: Any, targets: Targets, t: int, codes: NDArray, weights: NDArray
) -> NDArray:
    """The factor of each class of task `t`."""
    name, classes = targets.names[t], targets.classes[t]
    if isinstance(given, Mapping):
        labels = classes.tolist()
        for label, weight in given.items():
            if label not in labels:
                raise ValueError(
                    f"class_weight of {name!r} names the class {label!r}; its classes "
                    f"are {labels}."
                )
            if not (isinstance(weight, Real) and 0 <= weight < np.inf):
                raise ValueError(
                    f"class_weight of {name!r} gives class {label!r} the weight "
                    f"{weight!r}; weights must be finite and >= 0."
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


def check_task_weights(task_weights: Any, targets: Targets) -> list[float] | str | None:
    """`task_weights` as the loss takes them: a number for each task."""
    names = targets.names
    if task_weights is None or isinstance(task_weights, str):
        return task_weights
    given = task_weights
    if isinstance(given, Mapping):
        _check_task_names("task_weights", given, names)
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


def _check_task_names(parameter: str, given: Mapping, names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            raise ValueError(
                f"{parameter} names the task {name!r}; the tasks are {list(names)}."
                + did_you_mean(name, names)
            )
