"""The fitted estimator that is looked at, at the end of a pipeline or alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def final_estimator(estimator: Any) -> Any:
    """The fitted estimator itself, without the steps before it."""
    return _last_step(estimator, "net_", "a classifier of dephn_sk")


def task_classifier(estimator: Any) -> Any:
    """The fitted classifier of tasks, calibrated or not, without steps before it."""
    known = "a classifier or TaskCalibrator of dephn_sk"
    return _last_step(estimator, "task_names_", known)


def _last_step(estimator: Any, attribute: str, known: str) -> Any:
    final = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    check_is_fitted(final)
    if not hasattr(final, attribute):
        raise TypeError(
            f"estimator must be {known}, or a Pipeline that ends with one, got "
            f"{type(final).__name__}."
        )
    return final


def transformed(estimator: Any, X: Any) -> Any:
    """X as the final estimator reads it."""
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        return estimator[:-1].transform(X)
    return X


def field_names(estimator: Any) -> tuple[str, ...]:
    """Names of the fields, in the order in which the network reads them."""
    encoder = final_estimator(estimator).encoder_
    return encoder.categorical_names_ + encoder.numeric_names_ + encoder.bag_names_


def vector_names(estimator: Any) -> tuple[str, ...]:
    """Names of the fields' vectors: a number may have several."""
    final = final_estimator(estimator)
    encoder = final.encoder_
    kinds = final.numeric_embedding.split("|")
    numeric = encoder.numeric_names_
    if len(kinds) > 1:
        numeric = tuple(f"{name} ({kind})" for kind in kinds for name in numeric)
    return encoder.categorical_names_ + numeric + encoder.bag_names_


def of_every_epoch(history: Any, key: str) -> NDArray | None:
    """What a net's history recorded under a key, or None where some epoch did not."""
    if not all(key in epoch for epoch in history):
        return None
    return np.array(history[:, key], dtype=float)


def kept_epoch(final: Any) -> int | None:
    """Epoch, counted from 1, whose weights early stopping kept; None without it."""
    best = dict(final.net_.callbacks_).get("best_epoch")
    return getattr(best, "best_epoch_", 0) or None
