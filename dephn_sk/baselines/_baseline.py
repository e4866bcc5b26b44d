"""The systems that DEPHN is compared with, as estimators."""

from __future__ import annotations

from .._estimator import MultiTaskClassifier


class BaselineClassifier(MultiTaskClassifier):
    """Base of the systems that DEPHN is compared with."""
