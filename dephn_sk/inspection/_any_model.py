"""What any classifier of several tasks predicts, and the network within it, if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..preprocessing._columns import Column
from ..preprocessing._frames import column_names, library, read_columns
from ..tasks import fitted_tasks, task_probabilities


@dataclass(frozen=True)
class Predicted:
    """The predictions of one task.

    Attributes
    ----------
    name : str
    classes : tuple
        Empty where the labels are numbers.
    prob : ndarray of shape (n_samples, n_classes), or (n_samples, 1) of numbers
    """

    name: str
    classes: tuple
    prob: NDArray

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2


def predictions(model: Any, X: Any, names: Sequence[str]) -> list[Predicted]:
    """Those of each task; `names` are the columns of y, for a model that knows none."""
    tasks = tasks_of(model)
    if tasks is None:
        return _of_any(model, X, names)
    found: list[Any] = [None] * len(tasks.names)
    if len(tasks.numeric) < len(tasks.names):
        found = task_probabilities(model, tasks, X)
    if tasks.numeric:
        numbers = np.reshape(model.predict(X), (-1, len(tasks.names)))
        for t, task in enumerate(tasks.tasks):
            if not task.n_levels:
                found[t] = numbers[:, [t]].astype(np.float64)
    return [
        Predicted(task.name, tuple(task.classes.tolist()), np.asarray(own, np.float64))
        for task, own in zip(tasks.tasks, found, strict=True)
    ]


def tasks_of(model: Any) -> Any:
    """The tasks of a model of this library; None of another."""
    try:
        return fitted_tasks(model)
    except TypeError:
        return None


def _of_any(model: Any, X: Any, names: Sequence[str]) -> list[Predicted]:
    """Those of any classifier of scikit-learn's, multi-label or of one task."""
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"{type(model).__name__} has no predict_proba, which a report of "
            "classifiers needs."
        )
    check_is_fitted(model)
    given: Any = model.predict_proba(X)
    classes: Any = getattr(model, "classes_", None)
    several = isinstance(given, list)
    if not several:
        given = np.asarray(given, dtype=np.float64)
        one = len(names) == 1 and given.ndim == 2 and given.shape[1] > 1
        if given.ndim == 1 or (given.shape[1] == len(names) and not one):
            positive = given.reshape(len(given), -1)
            given = [np.column_stack([1 - p, p]) for p in positive.T]
            classes = None if np.ndim(classes) < 2 else classes
        else:
            given, classes = [given], None if classes is None else [classes]
    if len(given) != len(names):
        raise ValueError(
            f"The model predicts {len(given)} tasks, but y has {len(names)}: "
            f"{list(names)}. Give a column of y for each."
        )
    found = []
    for t, (name, prob) in enumerate(zip(names, given, strict=True)):
        own = [0, 1] if classes is None else np.asarray(classes[t]).tolist()
        prob = np.asarray(prob, dtype=np.float64)
        if prob.shape[1] == 1:  # it has seen one class alone
            prob, own = _with_the_other(prob, own)
        found.append(Predicted(name, tuple(own), prob))
    return found


def _with_the_other(prob: NDArray, classes: list[Any]) -> tuple[NDArray, list[Any]]:
    """Of a model that knows one class of two, 0 or 1."""
    if classes[0] == 1:
        return np.column_stack([1 - prob, prob]), [0, 1]
    return np.column_stack([prob, 1 - prob]), [classes[0], 1]


def network_within(model: Any, X: Any = None) -> tuple[Any, Any]:
    """The estimator with a network that a model is made around, and X as it reads it.

    None for the estimator where there is none. Steps of Pipelines before it transform
    X.
    """
    while model is not None and not hasattr(model, "net_"):
        if isinstance(model, Pipeline):
            if X is not None and len(model) > 1:
                X = model[:-1].transform(X)
            model = model[-1]
        else:
            inner = "best_estimator_", "estimator_", "estimator"
            model = next((getattr(model, n) for n in inner if hasattr(model, n)), None)
    return model, X


def raw_columns(X: Any, names: Sequence[str] | None = None) -> list[Column]:
    """The columns of a table of any library, as they were given."""
    if library(X) != "numpy":
        names = column_names(X) or [str(name) for name in X.columns]
    else:
        X = X if hasattr(X, "shape") else np.array(X, dtype=object)
        names = names or [f"x{j}" for j in range(X.shape[1])]
    return read_columns(X, list(names))


def as_frame(rows: Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> Any:
    """A table: a frame where pandas is installed, otherwise a dict of lists."""
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    lists = {name: [row.get(name) for row in rows] for name in names}
    try:
        import pandas as pd
    except ImportError:
        return lists
    return pd.DataFrame(lists)
