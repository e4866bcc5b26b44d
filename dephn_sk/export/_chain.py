"""What stands between a raw table and probabilities: encoders, network, calibrators."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._estimator import NetworkEstimator
from ..calibration import TaskCalibrator
from ..model_selection import ThresholdedClassifier
from ..preprocessing import FieldEncoder
from ._encoder import EncoderGraph


@dataclass(frozen=True)
class Chain:
    """A fitted estimator, taken apart.

    Attributes
    ----------
    final : NetworkEstimator
        Whose network predicts.
    steps : list of (str, transformer)
        What stands before it in Pipelines, in their order.
    calibrators : list of TaskCalibrator
        In the order in which they act.
    thresholds : dict of str to float
        From which probability on `predict` says yes, of tasks that have one.
    """

    final: NetworkEstimator
    steps: list[tuple[str, Any]] = field(default_factory=list)
    calibrators: list[TaskCalibrator] = field(default_factory=list)
    thresholds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, estimator: Any) -> Chain:
        """Take a Pipeline, a search, a calibrator or a frozen estimator apart."""
        steps: list[tuple[str, Any]] = []
        calibrators: list[TaskCalibrator] = []
        thresholds: dict[str, float] = {}
        while not isinstance(estimator, NetworkEstimator):
            if isinstance(estimator, Pipeline):
                steps += [step for step in estimator.steps[:-1] if _acts(step[1])]
                estimator = estimator.steps[-1][1]
                continue
            if isinstance(estimator, ThresholdedClassifier):
                # within another, or a calibrator, they decide nothing
                if not thresholds and not calibrators:
                    thresholds = estimator.thresholds_
                estimator = estimator._trained
                continue
            if isinstance(estimator, TaskCalibrator):
                check_is_fitted(estimator)
                calibrators.insert(0, estimator)
                estimator = estimator.estimator
                continue
            inner = (
                "estimator"
                if isinstance(estimator, FrozenEstimator)
                else "best_estimator_"
            )
            if not hasattr(estimator, inner):
                raise TypeError(
                    "estimator must be a fitted estimator of dephn_sk, or a Pipeline, "
                    "a search with refit=True, a TaskCalibrator or a "
                    "ThresholdedClassifier around one; found "
                    f"{type(estimator).__name__}."
                )
            estimator = getattr(estimator, inner)
        check_is_fitted(estimator)
        return cls(estimator, steps, calibrators, thresholds)

    def calibrated_by(self, calibrator: Any) -> Chain:
        """The same with the calibrators of another estimator around the same one."""
        if not isinstance(calibrator, TaskCalibrator):
            raise TypeError(
                f"calibrator must be a fitted TaskCalibrator, got "
                f"{type(calibrator).__name__}."
            )
        other = Chain.of(calibrator)
        if other.final is not self.final:
            raise ValueError(
                "calibrator was fitted around another estimator. Give the calibrator "
                "alone, as the estimator, or one that holds this very estimator."
            )
        if self.calibrators:
            raise ValueError(
                "The estimator is calibrated already; leave calibrator out."
            )
        return replace(self, calibrators=other.calibrators)

    def encoders(self) -> list[EncoderGraph]:
        """The encoders from raw columns on, or an error that names a step."""
        for name, step in self.steps:
            if not isinstance(step, FieldEncoder):
                raise ValueError(
                    f"Step {name!r} of the Pipeline is a {type(step).__name__}; a "
                    'graph can say FieldEncoder alone. Use inputs="encoded", for '
                    "which steps run before the graph, or a Pipeline without it."
                )
        encoders = [*(step for _, step in self.steps), self.final.encoder_]
        return [EncoderGraph.of(encoder) for encoder in encoders]

    def before_the_network(self, X: Any) -> Any:
        """The fields of a table, as the network reads them."""
        for _, step in self.steps:
            X = step.transform(X)
        return self.final._fitted.encode(X)


def _acts(step: Any) -> bool:
    return step is not None and step != "passthrough"
