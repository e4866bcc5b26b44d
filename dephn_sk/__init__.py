"""Multi-task behavior prediction on categorical tables, the scikit-learn way."""

from ._dephn import (
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskEstimator,
    DEPHNMultiTaskRegressor,
)
from ._estimator import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor
from .model_selection import search_space, suggest_parameters
from .storage import TRUSTED_TYPES, load, save
from .tasks import RegressionTaskView, TaskView

__version__ = "0.1.0"

__all__ = [
    "TRUSTED_TYPES",
    "DEPHNMultiTaskClassifier",
    "DEPHNMultiTaskEstimator",
    "DEPHNMultiTaskRegressor",
    "MultiTaskClassifier",
    "MultiTaskEstimator",
    "MultiTaskRegressor",
    "RegressionTaskView",
    "TaskView",
    "__version__",
    "load",
    "save",
    "search_space",
    "suggest_parameters",
]
