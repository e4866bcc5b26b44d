"""What y is: reading it, kinds of task, weights, and views of one task."""

from ._tasks import Targets

__all__ = ["Targets"]
