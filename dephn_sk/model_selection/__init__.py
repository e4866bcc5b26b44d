"""Splitters that keep every label's rate, out-of-fold predictions, thresholds."""

from ._splitters import (
    MultiLabelStratifiedKFold,
    MultiLabelStratifiedShuffleSplit,
    cross_val_predict,
)
from ._splitters import search_space as search_space
from ._splitters import suggest_parameters as suggest_parameters
from ._thresholded import ThresholdedClassifier, tune_thresholds
from ._thresholds import best_thresholds

# search_space and suggest_parameters are public in dephn_sk
__all__ = [
    "MultiLabelStratifiedKFold",
    "MultiLabelStratifiedShuffleSplit",
    "ThresholdedClassifier",
    "best_thresholds",
    "cross_val_predict",
    "tune_thresholds",
]
