"""See what a fitted estimator learned: displays, and the numbers behind them."""

from ._gates import GateDisplay
from ._training_curve import TrainingCurveDisplay

__all__ = [
    "GateDisplay",
    "TrainingCurveDisplay",
]
