"""Metrics of several tasks that skip missing labels, and scorers made of them."""

from ._auc import gauc, uauc
from ._numbers import task_gini, task_mean_absolute_error, task_r2
from ._per_task import (
    mean_task_score,
    task_accuracy,
    task_average_precision,
    task_brier,
    task_calibration_error,
    task_log_loss,
    task_roc_auc,
)
from ._scorer import task_scorer, task_scorers

__all__ = [
    "gauc",
    "mean_task_score",
    "task_accuracy",
    "task_average_precision",
    "task_brier",
    "task_calibration_error",
    "task_gini",
    "task_log_loss",
    "task_mean_absolute_error",
    "task_r2",
    "task_roc_auc",
    "task_scorer",
    "task_scorers",
    "uauc",
]
