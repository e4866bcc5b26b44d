"""A fitted estimator as one file that runs without Python."""

from ._feed import feed
from ._to_onnx import to_onnx

__all__ = ["feed", "to_onnx"]
