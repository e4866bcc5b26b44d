"""scikit-learn's callbacks (1.9 and later), told of each epoch.

``estimator.set_callbacks(...)`` is scikit-learn's; within a search its callbacks come
from the search. They share nothing with the parameter ``callbacks``, which is skorch's.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from skorch.callbacks import Callback

from ._trainer import Trainer

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """No callbacks: there is no `set_callbacks`."""

    def with_callbacks(method: Any) -> Any:
        return method


__all__ = ["CallbackSupportMixin", "reported_epochs", "with_callbacks"]


class EpochReport(Callback):
    """Opens and closes one of scikit-learn's contexts for each epoch."""

    of_rank_0 = True

    def __init__(self, context: Any, given: dict[str, Any]) -> None:
        self.context = context
        self.given = given
        self.epoch: Any = None

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.given)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        epoch, self.epoch = self.epoch, None
        if epoch.call_on_fit_task_end(**self.given):
            raise KeyboardInterrupt  # how skorch is told to stop

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.epoch is not None:  # a callback before this one has stopped training
            self.epoch.call_on_fit_task_end(**self.given)


@contextlib.contextmanager
def reported_epochs(
    estimator: Any, trainer: Trainer, X: Any, y: Any, sample_weight: Any
) -> Iterator[None]:
    """While it trains, tell people, and scikit-learn's callbacks of the estimator."""
    with trainer.told(), _heard(estimator, trainer, X, y, sample_weight):
        yield


@contextlib.contextmanager
def _heard(
    estimator: Any, trainer: Trainer, X: Any, y: Any, sample_weight: Any
) -> Iterator[None]:
    heard = getattr(estimator, "_skl_callbacks", None)
    if not heard or trainer.plan.ranks.rank:
        yield
        return
    context = estimator._init_callback_context(max_subtasks=trainer.plan.epochs)
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
    context.call_on_fit_task_begin(**given)
    net = trainer.state.net
    before = net.callbacks_
    # the attributes that the estimator would have now
    now = {"reconstruction_attributes": lambda: {"_fitted": trainer.snapshot()}}
    # last: what stops training has then been told of the epoch
    net.callbacks_ = [*before, ("report", EpochReport(context, given | now))]
    try:
        yield
    finally:
        net.callbacks_ = before
    then = {"reconstruction_attributes": lambda: {"_fitted": trainer.fitted()}}
    context.call_on_fit_task_end(**given, **then)
