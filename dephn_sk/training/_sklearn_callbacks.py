"""scikit-learn's callbacks (1.9 and later), told of each epoch.

``estimator.set_callbacks(...)`` is scikit-learn's; within a search its callbacks come
from the search. They share nothing with the parameter ``callbacks``, which is skorch's.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from skorch.callbacks import Callback

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

    def __init__(self, context: Any, given: dict[str, Any]) -> None:
        self.context = context
        self.given = given
        self.epoch: Any = None

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(
            **self.given, reconstruction_attributes=lambda: _snapshot(net)
        )

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        epoch, self.epoch = self.epoch, None
        if epoch.call_on_fit_task_end(
            **self.given, reconstruction_attributes=lambda: _snapshot(net)
        ):
            raise KeyboardInterrupt  # how skorch is told to stop

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.epoch is not None:  # early stopping left before on_epoch_end came here
            self.epoch.call_on_fit_task_end(
                **self.given, reconstruction_attributes=lambda: _snapshot(net)
            )


def _snapshot(net: Any) -> dict[str, Any]:
    """The net as it is now, which later epochs leave alone."""
    snapshot = object.__new__(type(net))
    vars(snapshot).update(
        vars(net),
        module_=copy.deepcopy(net.module_),
        history_=copy.copy(net.history_),
        callbacks_=[c for c in net.callbacks_ if not isinstance(c[1], EpochReport)],
    )
    return {"net_": snapshot}


@contextlib.contextmanager
def reported_epochs(
    estimator: Any, n_epochs: int, X: Any, y: Any, sample_weight: Any
) -> Iterator[None]:
    """While its net trains, tell scikit-learn's callbacks of the estimator."""
    if not getattr(estimator, "_skl_callbacks", None):
        yield
        return
    context = estimator._init_callback_context(max_subtasks=n_epochs)
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
    context.call_on_fit_task_begin(**given)
    before = estimator.net_.callbacks_
    # last: what stops training has then been told of the epoch
    estimator.net_.callbacks_ = [*before, ("report", EpochReport(context, given))]
    try:
        yield
    finally:
        estimator.net_.callbacks_ = before
    context.call_on_fit_task_end(**given, reconstruction_attributes={})
