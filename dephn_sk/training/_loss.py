"""The loss: that of each task over the labels that are known, and their sum."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..tasks import TaskLoss, Tasks


class MultiTaskLoss(nn.Module):
    r"""Mean loss of each task, and their sum.

    .. math:: L = \sum_t \lambda_t L_t, \quad L_t = \frac{1}{B} \sum_i w_{it} \ell_{it}

    [DEPHN] section III-E; :math:`\ell_{it}` is the task's own, cross-entropy for a
    classification, or that of `losses`. With ``task_weights="uncertainty"``,
    :math:`L = \sum_t e^{-s_t} L_t + s_t / 2` with trainable :math:`s_t` [1]_.

    Shape: ``logits (batch, sum(n_outputs))``, ``labels (batch, n_tasks)``,
    ``weights (batch, n_tasks)`` or None, ``groups (batch,)`` or None, codes which pairs
    are made within -> ``(n_tasks,)``; the mean over members where all have a leading
    axis of those

    Parameters
    ----------
    tasks : Tasks
    task_weights : sequence of float, "uncertainty" or None, default=None
        None weighs all tasks alike.
    losses : sequence of TaskLoss or None, default=None
        In place of the tasks' own, one for each. What they add for training alone,
        smoothing and pairs, is left out in evaluation mode.

    References
    ----------
    .. [1] Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses
       for Scene Geometry and Semantics", CVPR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from dephn_sk.tasks import Tasks
    >>> tasks = Tasks.learn(np.array([[0, 0], [1, 1], [1, 2]]))
    >>> loss = MultiTaskLoss(tasks)
    >>> per_task = loss(torch.zeros(2, 4), torch.tensor([[0.0, 2], [1, 0]]), None)
    >>> per_task, loss.total(per_task)
    (tensor([0.6931, 1.0986]), tensor(1.7918))
    """

    task_weights: Tensor | None

    def __init__(
        self,
        tasks: Tasks,
        task_weights: Sequence[float] | str | None = None,
        losses: Sequence[TaskLoss] | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self.losses = losses
        learned = isinstance(task_weights, str)
        zeros = torch.zeros(len(tasks.names))
        self.uncertainty = nn.Parameter(zeros) if learned else None
        given = None if learned or task_weights is None else torch.tensor(task_weights)
        self.register_buffer("task_weights", given)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None,
        groups: Tensor | None = None,
    ) -> Tensor:
        if logits.dim() == 3 and groups is not None:  # pairs are of one member's rows
            given = [labels, [None] * len(logits) if weights is None else weights]
            each = zip(logits, *given, groups, strict=True)
            return torch.stack([self(*member) for member in each]).mean(0)
        if logits.dim() == 3:  # of members, each with rows of its own
            logits, labels = logits.flatten(0, 1), labels.flatten(0, 1)
            weights = None if weights is None else weights.flatten(0, 1)
        losses = self.tasks.loss(logits, labels, self._functions(weights, groups))
        if weights is not None:
            losses = losses * weights
        return losses.mean(0)

    def _functions(
        self, weights: Tensor | None, groups: Tensor | None
    ) -> list[Callable[[Tensor, Tensor], Tensor]] | None:
        """The loss of each task's labels in a batch; None where all have their own."""
        if self.losses is None:
            return None
        if not self.training:
            return [one.function for one in self.losses]
        each = [None] * len(self.losses) if weights is None else weights.unbind(1)
        pairs = zip(self.losses, each, strict=True)
        return [partial(one.trained, weights=w, groups=groups) for one, w in pairs]

    def total(self, losses: Tensor) -> Tensor:
        """The loss that is trained on, from the losses of the tasks."""
        if self.uncertainty is not None:
            return (torch.exp(-self.uncertainty) * losses + self.uncertainty / 2).sum()
        if self.task_weights is not None:
            return (self.task_weights * losses).sum()
        return losses.sum()
