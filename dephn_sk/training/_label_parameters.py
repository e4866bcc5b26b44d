"""The parameters of what is made of labels of classes."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from .._compat import Interval, StrOptions
from .._parameters import parameter
from ..tasks import ON_OPEN_WINDOW, ON_VIOLATION, TaskLoss, Tasks, read_losses
from ._parameters import SHARE, TrainingParameters


class LabelParameters(TrainingParameters):
    """What is learned from labels of classes, and which of them.

    Parameters
    ----------
    conditions : dict or None
        From tasks to those without which they cannot happen, such as ``{"like":
        "click", "buy": "click", "refund": "buy"}``: a forest over tasks of two classes.
        The network gives each task's probability given its condition, and learns the
        marginal ones, on all rows (Ma et al., SIGIR 2018); ``predict_proba`` gives
        these, and ``predict_proba_given`` the others. See :ref:`funnels`.
    on_violation : {"raise", "warn"}
        What a label is that says that a task happened without its condition: an error,
        or not observed, with a warning.
    loss : str, (str, float), callable, dict or None
        What is trained on: ``"log_loss"`` (None), cross-entropy; ``"focal"`` or
        ``("focal", gamma)``, with gamma 2 by default, which learns little from rows
        that are easy; ``"pairwise"`` or ``("pairwise", share)``, by default half of the
        loss, the order within each of fit's `groups`; a function ``(logits, values) ->
        loss of each label`` of tensors, (batch,) or, of several classes, (batch,
        n_classes) and the index of the class. A dict says so for some tasks, by name.
        Early stopping watches it, without pairs. See :ref:`losses`, for what it does to
        probabilities, too.
    label_smoothing : float in [0, 1) or dict
        Share of a label that is spread evenly over all classes, while training; a
        dict gives those of some tasks, by name.
    label_window : float, dict or None
        How long after the `label_time` of fit a positive may come, in days where that
        is a date and in its own unit otherwise; of binary tasks alone, which a dict
        gives by name. A label whose window is still open is not known. See
        :ref:`delays`.
    on_open_window : {"mask", "weigh"}
        What becomes of labels whose window is open: ``"mask"`` takes them for not
        observed; ``"weigh"`` gives them weights, from how long positives took
        (`label_delay`), under which they are as good as others.
    """

    conditions: Mapping[str, str] | None = parameter(None, [Mapping, None])
    on_violation: str = parameter("raise", [StrOptions(set(ON_VIOLATION))])
    loss: Any = parameter(None, [str, tuple, Mapping, callable, None])
    label_smoothing: float | Mapping[str, float] = parameter(0.0, [*SHARE, Mapping])
    label_window: float | Mapping[str, float] | None = parameter(
        None, [Interval(Real, 0, None, closed="neither"), Mapping, None]
    )
    on_open_window: str = parameter("mask", [StrOptions(set(ON_OPEN_WINDOW))])

    def _conditioned(self, tasks: Tasks) -> Tasks:
        """Tasks under the `conditions`; a subclass may have a default of its own."""
        return tasks.under(self.conditions, self.on_violation)

    def _losses(self, tasks: Tasks) -> tuple[TaskLoss, ...] | None:
        return read_losses(self.loss, self.label_smoothing, tasks)

    def _windows(self) -> tuple[Any, str]:
        return self.label_window, self.on_open_window
