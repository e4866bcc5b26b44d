"""From logits to probabilities and scores, and from rates to logits."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from sklearn.exceptions import UndefinedMetricWarning

from ..metrics import task_accuracy, task_roc_auc
from ._tasks import Targets

RAREST = 1e-6  # rate that a class without a row starts from


def probabilities(logits: NDArray) -> NDArray:
    """Class probabilities from the logits of one task, (n_samples, n_classes)."""
    if logits.shape[1] == 1:
        return np.hstack([expit(-logits), expit(logits)])
    return softmax(logits, axis=1)


def score_tasks(
    logits: NDArray, labels: NDArray, weights: NDArray | None, n_outputs: list[int]
) -> list[float]:
    """ROC AUC of each binary task, accuracy of the others; NaN where undefined."""
    scores = []
    columns = np.split(logits.astype(np.float64), np.cumsum(n_outputs)[:-1], axis=1)
    for t, column in enumerate(columns):
        weight = None if weights is None else weights[:, [t]]
        y = labels[:, [t]].astype(np.float64)
        metric = task_roc_auc if n_outputs[t] == 1 else task_accuracy
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            score = metric(
                y,
                [probabilities(column)],
                classes=[range(max(2, n_outputs[t]))],
                sample_weight=weight,
            )
        scores.append(float(score[0]))
    return scores


def base_logits(targets: Targets, indices: NDArray, weights: NDArray) -> NDArray:
    """Logits of the classes' rates, (sum(n_outputs),)."""
    logits = []
    for t, n_outputs in enumerate(targets.n_outputs):
        known = weights[:, t] > 0
        codes = indices[known, t].astype(np.intp)
        n_classes = max(2, n_outputs)
        mass = np.bincount(codes, weights[known, t], minlength=n_classes)
        rate = (mass / mass.sum()).clip(RAREST, 1 - RAREST)
        logits.append(logit(rate[1:]) if n_outputs == 1 else np.log(rate))
    return np.concatenate(logits)
