"""What a fitted model is, in one file: numbers first, drawn second."""

from ._model_report import Comparison, ModelReport

__all__ = ["Comparison", "ModelReport"]
