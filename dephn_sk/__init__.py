"""Multi-task behavior prediction on categorical tables, the scikit-learn way."""

from ._dephn import DEPHNMultiTaskClassifier
from ._estimator import MultiTaskClassifier
from .model_selection import search_space, suggest_parameters
from .tasks import TaskView

__version__ = "0.1.0"

__all__ = [
    "DEPHNMultiTaskClassifier",
    "MultiTaskClassifier",
    "TaskView",
    "__version__",
    "search_space",
    "suggest_parameters",
]
