"""What is read of a fitted estimator, alone or inside a Pipeline or a search.

All of it is what the fit left; parameters that are set afterwards change nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..preprocessing import Fields
from ..tasks import TaskPredictions, Tasks
from ..training import ArraySource


def _chain(estimator: Any) -> Iterator[Any]:
    """An estimator, and one after the other those that predict for it."""
    while estimator is not None:
        yield estimator
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            check_is_fitted(estimator)
            estimator = getattr(estimator, "best_estimator_", None)


def _last(estimator: Any, attribute: str, known: str) -> Any:
    *_, last = _chain(estimator)
    if not hasattr(last, attribute):
        raise TypeError(
            f"estimator must be {known}, or a Pipeline or search that ends with one, "
            f"got {type(last).__name__}. A search must have refit its best estimator."
        )
    return last


def final_estimator(estimator: Any) -> Any:
    """The fitted estimator itself, out of pipelines and searches."""
    return _last(estimator, "net_", "an estimator of dephn_sk")


def task_classifier(estimator: Any) -> Any:
    """The fitted classifier of tasks, calibrated or not, out of pipelines."""
    return _last(estimator, "task_names_", "an estimator or TaskCalibrator of dephn_sk")


def own_network(estimator: Any) -> Any:
    """The network for evaluation: our own modules on the memory of the fitted ones.

    Hooks on it meet nobody who predicts at the same time.
    """
    network = final_estimator(estimator).network_
    shared: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers()}
    for p in network.parameters():
        shared[id(p)] = nn.Parameter(p.detach(), requires_grad=False)
    return copy.deepcopy(network, shared).eval()


def encode(estimator: Any, X: Any) -> Fields:
    """The fields of a table, behind the steps of a Pipeline."""
    for outer in _chain(estimator):
        if isinstance(outer, Pipeline) and len(outer) > 1:
            X = outer[:-1].transform(X)
    final = final_estimator(estimator)
    dtype = str(next(final.network_.parameters()).dtype).removeprefix("torch.")
    return final.encoder_.encode(X, dtype=np.dtype(dtype))


def source_of(estimator: Any, X: Any) -> ArraySource:
    """A table as the network reads it."""
    p = next(final_estimator(estimator).network_.parameters())
    return ArraySource(encode(estimator, X), device=p.device, dtype=p.dtype)


def field_names(estimator: Any) -> tuple[str, ...]:
    """Names of the fields, in the order in which the network reads them."""
    encoder = final_estimator(estimator).encoder_
    return encoder.categorical_names_ + encoder.numeric_names_ + encoder.bag_names_


def vector_names(estimator: Any) -> tuple[str, ...]:
    """Names of the fields' vectors: a number may have several."""
    final = final_estimator(estimator)
    encoder, numeric = final.encoder_, final.encoder_.numeric_names_
    kinds = next(final.network_.tables()).numeric_vectors
    if len(kinds) > 1:
        numeric = tuple(f"{name} ({kind})" for kind in kinds for name in numeric)
    return encoder.categorical_names_ + numeric + encoder.bag_names_


def output_names(estimator: Any) -> tuple[str, ...]:
    """A name for each logit: that of its task, or of the task and the class or part."""
    tasks = final_estimator(estimator).tasks_.tasks
    return tuple(name for task in tasks for name in task.outputs)


def check_classes(estimator: Any, what: str) -> None:
    """Refuse tasks of numbers, by name, where probabilities are shown."""
    numeric = task_classifier(estimator).tasks_.numeric
    if numeric:
        raise ValueError(
            f"{what} shows probabilities, but the labels of task {numeric[0]!r} are "
            "numbers. Give those of the other tasks to from_predictions."
        )


class FieldsPrediction(TaskPredictions, BaseEstimator):
    """A fitted estimator that has predicted already: from fields, whatever X is."""

    def __init__(self, estimator: Any, fields: Fields) -> None:
        final = final_estimator(estimator)
        self.tasks_ = final.tasks_
        self.logits = final.logits_of(fields)

    def fit(self, X: Any, y: Any) -> FieldsPrediction:
        """It is fitted."""
        return self

    def predict_proba(self, X: Any) -> Any:
        """By name where some tasks are numbers, as of an estimator of a mixture."""
        if not self.tasks_.numeric:
            return super().predict_proba(X)
        tasks, found = self._predicted(X)
        pairs = zip(tasks.tasks, found, strict=True)
        return {task.name: own for task, own in pairs if task.n_levels}

    def _predicted(self, X: Any, given: bool = False) -> tuple[Tasks, list[NDArray]]:
        return self.tasks_, self.tasks_.predict(self.logits, given)


def recorded(estimator: Any, key: str) -> Any:
    """What the history holds under a key, or None where some epoch has nothing."""
    history = final_estimator(estimator).net_.history
    if not all(key in epoch for epoch in history):
        return None
    return np.array(history[:, key], dtype=float)
