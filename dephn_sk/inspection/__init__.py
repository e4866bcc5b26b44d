"""See what a fitted estimator learned: displays, and the numbers behind them."""

from ._attributions import field_attributions
from ._calibration import CalibrationDisplay
from ._coefficients import CoefficientDisplay, CoefficientGainDisplay
from ._confidence import ConfidenceDisplay
from ._contributions import ContributionDisplay, expert_contributions
from ._drift import drift_table
from ._drift_display import DriftDisplay
from ._fit_summary import FitSummary
from ._gate_values import expert_utilization, gate_values
from ._gates import GateDisplay
from ._importance import permutation_importance
from ._label_similarity import LabelSimilarityDisplay
from ._selection import SelectionDisplay, selection_gates
from ._training_curve import TrainingCurveDisplay

__all__ = [
    "CalibrationDisplay",
    "CoefficientDisplay",
    "CoefficientGainDisplay",
    "ConfidenceDisplay",
    "ContributionDisplay",
    "DriftDisplay",
    "FitSummary",
    "GateDisplay",
    "LabelSimilarityDisplay",
    "SelectionDisplay",
    "TrainingCurveDisplay",
    "drift_table",
    "expert_contributions",
    "expert_utilization",
    "field_attributions",
    "gate_values",
    "permutation_importance",
    "selection_gates",
]
