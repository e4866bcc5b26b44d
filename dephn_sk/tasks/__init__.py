"""What y is: reading it, kinds of task, weights, and views of one task."""

from ._conditions import ON_VIOLATION as ON_VIOLATION
from ._delays import ON_OPEN_WINDOW as ON_OPEN_WINDOW
from ._delays import Delays
from ._delays import Times as Times
from ._kinds import KINDS, Binary, MultiClass, Task
from ._kinds import Fraction as Fraction
from ._labels import Column as Column
from ._labels import Columns as Columns
from ._labels import Labels
from ._labels import read_columns as read_columns
from ._log_columns import features_of as features_of
from ._log_columns import label_columns as label_columns
from ._log_columns import names_of as names_of
from ._log_columns import weight_columns as weight_columns
from ._losses import TaskLoss
from ._losses import check_losses as check_losses
from ._losses import read_losses as read_losses
from ._predictions import PREDICT_BLOCK as PREDICT_BLOCK
from ._predictions import MixedPredictions as MixedPredictions
from ._predictions import NumberPredictions as NumberPredictions
from ._predictions import TaskPredictions as TaskPredictions
from ._predictions import has_decision_function as has_decision_function
from ._predictions import in_scikit_shape as in_scikit_shape
from ._predictions import logarithms as logarithms
from ._regression import (
    REGRESSIONS,
    Absolute,
    Gamma,
    Poisson,
    Quantile,
    RegressionTask,
    Squared,
    ZeroInflatedLognormal,
)
from ._regression import inferred as inferred
from ._regression import kinds_of as kinds_of
from ._scores import KEPT_ROWS as KEPT_ROWS
from ._scores import Scores as Scores
from ._tasks import Tasks
from ._view import RegressionTaskView as RegressionTaskView
from ._view import ShowsEstimator as ShowsEstimator
from ._view import TaskView as TaskView
from ._view import conditional_probabilities as conditional_probabilities
from ._view import fitted_tasks as fitted_tasks
from ._view import log_odds as log_odds
from ._view import of_each_task as of_each_task
from ._view import task_probabilities as task_probabilities
from ._weights import check_observed as check_observed
from ._weights import check_sample_weight as check_sample_weight
from ._weights import check_task_weights as check_task_weights
from ._weights import combine as combine
from ._weights import made_up as made_up
from ._weights import normalised as normalised

# public; the rest is what other packages of the library import from here
__all__ = [
    "KINDS",
    "REGRESSIONS",
    "Absolute",
    "Binary",
    "Delays",
    "Gamma",
    "Labels",
    "MultiClass",
    "Poisson",
    "Quantile",
    "RegressionTask",
    "Squared",
    "Task",
    "TaskLoss",
    "Tasks",
    "ZeroInflatedLognormal",
]
