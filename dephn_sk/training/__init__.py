"""How a network learns: a plan, epochs and steps, and the state that they change."""

from ._callbacks import CallbackParameters as CallbackParameters
from ._cross_validation import cross_validated as cross_validated
from ._evaluation import predict_logits as predict_logits
from ._fitted import FittedAttributes as FittedAttributes
from ._fitted import FittedModel as FittedModel
from ._keeper import Keeper as Keeper
from ._keeper import begun as begun
from ._keeper import fitting as fitting
from ._label_parameters import LabelParameters as LabelParameters
from ._learned import device_of as device_of
from ._log_predictions import LogPredictions as LogPredictions
from ._loss import MultiTaskLoss
from ._parameters import TrainingParameters as TrainingParameters
from ._plan import FitPlan
from ._randomness import draw_seed as draw_seed
from ._ranks import RankError, Ranks, one_process
from ._sklearn_callbacks import CallbackSupportMixin as CallbackSupportMixin
from ._sklearn_callbacks import reported_epochs as reported_epochs
from ._sklearn_callbacks import with_callbacks as with_callbacks
from ._source import ArraySource, Batch, Order, Source
from ._state import TrainingState
from ._targets import MixtureParameters as MixtureParameters
from ._targets import RegressionParameters as RegressionParameters
from ._threads import threads as threads
from ._trainer import Trainer

# public; the rest is what other packages of the library import from here
__all__ = [
    "ArraySource",
    "Batch",
    "FitPlan",
    "MultiTaskLoss",
    "Order",
    "RankError",
    "Ranks",
    "Source",
    "Trainer",
    "TrainingState",
    "one_process",
]
