"""Multi-task behavior prediction on categorical tables, the scikit-learn way."""

from ._dephn import DEPHNMultiTaskClassifier
from ._estimator import MultiTaskClassifier
from .model_selection import search_space, suggest_parameters
from .storage import TRUSTED_TYPES, load, save
from .tasks import TaskView

__version__ = "0.1.0"

__all__ = [
    "TRUSTED_TYPES",
    "DEPHNMultiTaskClassifier",
    "MultiTaskClassifier",
    "TaskView",
    "__version__",
    "load",
    "save",
    "search_space",
    "suggest_parameters",
]
