"""Variants of the default, and one fit of one of them on one data set.

A variant is the parameters that differ from the default's, or a function of the
training rows and labels that gives them: a rule. "control" is the default itself.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _datasets import read, sample, stopping_and_judging
from _report import environment

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_log_loss, task_roc_auc

CONTROL = "control"
VARIANTS: dict[str, Any] = {
    CONTROL: {},
    "three DNN experts": {"public_experts": ("dnn",) * 3},
    "rows for all values": {"target_statistics": None},
    "rows for all values, 20 epochs, patience 3": {
        "target_statistics": None,
        "max_epochs": 20,
        "n_epochs_no_change": 3,
    },
    "embedding of 16": {"embedding_dim": 16},
    "one network": {"n_networks": 1},
    "three networks": {"n_networks": 3},
    "three networks of one DNN expert": {"n_networks": 3, "public_experts": ("dnn",)},
}
KEY = ("dataset", "variant", "seed", "rows")


def make(variant: str, X, y, seed: int) -> DEPHNMultiTaskClassifier:
    """The estimator of a variant for these training rows."""
    found = VARIANTS[variant]
    parameters = found(X, y) if callable(found) else found
    return DEPHNMultiTaskClassifier(
        **{"random_state": seed, "n_threads": 1, **parameters}
    )


def fit_and_judge(dataset, variant, seed: int, rows, data, draw=None) -> dict:
    """Scores of one fit on validation rows that had no say in it.

    The seed draws the rows as well, unless `draw` does.
    """
    draw = seed if draw is None else draw
    everything = read(dataset, "train", data, draw)
    X, y = sample(*everything, rows, draw)
    X_val, y_val = read(dataset, "validation", data, draw)
    stop, (X_judge, y_judge) = stopping_and_judging(X_val, y_val[y.columns])
    model = make(variant, X, y, seed)
    start = time.process_time()
    model.fit(X, y, **stop)
    seconds = time.process_time() - start
    p = model.predict_proba(X_judge)
    key = dict(zip(KEY, (dataset, variant, seed, rows), strict=True))
    return {
        **key,
        "tasks": list(y),
        "n_train": len(X),
        "n_all": len(everything[0]),
        "auc": np.round(task_roc_auc(y_judge, p), 5).tolist(),
        "log_loss": np.round(task_log_loss(y_judge, p), 5).tolist(),
        "epochs": model.n_iter_,
        "kept_epoch": model.kept_epoch_,
        "fit_cpu_seconds": round(seconds, 2),
        **environment(),
    }
