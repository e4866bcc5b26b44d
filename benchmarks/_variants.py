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
from dephn_sk.preprocessing import FieldEncoder

CONTROL = "control"
MANY = 100  # categories from which on a column counts as one of ids


def ids(X) -> list[str]:
    """Categories and strings of many values."""
    kinds = X.select_dtypes(exclude="number")
    return [name for name in kinds if kinds[name].nunique() >= MANY]


def statistics(own_rows_from: float | None = None):
    """Target statistics of the ids; those of fewer rows have no row of their own."""

    def rule(X, y):
        names = ids(X)
        if not names:
            return {}
        encoder = FieldEncoder(target_statistics=names, random_state=0)
        if own_rows_from:
            encoder.set_params(min_frequency=dict.fromkeys(names, own_rows_from))
        return {"encoder": encoder}

    return rule


VARIANTS: dict[str, Any] = {
    CONTROL: {},
    "all kinds public": {"public_experts": ("dnn", "cross", "field")},
    "embedding 16": {"embedding_dim": 16},
    "rows and statistics": statistics(),
    "statistics from 50 rows": statistics(own_rows_from=50),
    "statistics alone": statistics(own_rows_from=10**9),
    "patience 8": {"n_epochs_no_change": 8},
    "30 epochs": {"max_epochs": 30},
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
