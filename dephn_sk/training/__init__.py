"""How a network learns: a plan, epochs and steps, and the state that they change."""

from ._callbacks import CallbackParameters
from ._evaluation import predict_logits
from ._fitted import FittedAttributes, FittedModel
from ._loss import MultiTaskLoss
from ._parameters import TrainingParameters
from ._plan import FitPlan
from ._randomness import draw_seed
from ._sklearn_callbacks import CallbackSupportMixin, reported_epochs, with_callbacks
from ._source import ArraySource, Batch, Order, Source
from ._state import TrainingState
from ._threads import threads
from ._trainer import Trainer

__all__ = [
    "ArraySource",
    "Batch",
    "CallbackParameters",
    "CallbackSupportMixin",
    "FitPlan",
    "FittedAttributes",
    "FittedModel",
    "MultiTaskLoss",
    "Order",
    "Source",
    "Trainer",
    "TrainingParameters",
    "TrainingState",
    "draw_seed",
    "predict_logits",
    "reported_epochs",
    "threads",
    "with_callbacks",
]
