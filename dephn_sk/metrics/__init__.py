"""Metrics of several tasks that skip missing labels, and scorers made of them."""

from ._auc import gauc, uauc
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
    "task_log_loss",
    "task_roc_auc",
    "task_scorer",
    "task_scorers",
    "uauc",
]
