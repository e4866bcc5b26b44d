"""The loss: that of each task over the labels that are known, and their sum."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..tasks import Tasks


class MultiTaskLoss(nn.Module):
    r"""Mean loss of each task, and their sum.

    .. math:: L = \sum_t \lambda_t L_t, \quad L_t = \frac{1}{B} \sum_i w_{it} \ell_{it}

    [DEPHN] section III-E; :math:`\ell_{it}` is the task's own, cross-entropy for a
    classification. With ``task_weights="uncertainty"``,
    :math:`L = \sum_t e^{-s_t} L_t + s_t / 2` with trainable :math:`s_t` [1]_.

    Shape: ``logits (batch, sum(n_outputs))``, ``labels (batch, n_tasks)``,
    ``weights (batch, n_tasks)`` or None -> ``(n_tasks,)``; the mean over members where
    all have a leading axis of those

    Parameters
    ----------
    tasks : Tasks
    task_weights : sequence of float, "uncertainty" or None, default=None
        None weighs all tasks alike.

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
        self, tasks: Tasks, task_weights: Sequence[float] | str | None = None
    ) -> None:
        super().__init__()
        self.tasks = tasks
        learned = isinstance(task_weights, str)
        zeros = torch.zeros(len(tasks.names))
        self.uncertainty = nn.Parameter(zeros) if learned else None
        given = None if learned or task_weights is None else torch.tensor(task_weights)
        self.register_buffer("task_weights", given)

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        if logits.dim() == 3:  # of members, each with rows of its own
            logits, labels = logits.flatten(0, 1), labels.flatten(0, 1)
            weights = None if weights is None else weights.flatten(0, 1)
        losses = self.tasks.loss(logits, labels)
        if weights is not None:
            losses = losses * weights
        return losses.mean(0)

    def total(self, losses: Tensor) -> Tensor:
        """The loss that is trained on, from the losses of the tasks."""
        if self.uncertainty is not None:
            return (torch.exp(-self.uncertainty) * losses + self.uncertainty / 2).sum()
        if self.task_weights is not None:
            return (self.task_weights * losses).sum()
        return losses.sum()
