"""Multi-task behavior prediction on categorical tables, the scikit-learn way."""

from ._dephn import DEPHNMultiTaskClassifier

__version__ = "0.1.0"

__all__ = ["DEPHNMultiTaskClassifier", "__version__"]
