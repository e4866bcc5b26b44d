"""The loss: cross-entropy per task, over the labels that are known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MultiTaskLoss(nn.Module):
    r"""Mean cross-entropy of each task, and their sum.

    .. math:: L = \sum_t \lambda_t L_t, \quad L_t = \frac{1}{B} \sum_i w_{it} \ell_{it}

    [DEPHN] section III-E. With ``task_weights="uncertainty"``,
    :math:`L = \sum_t e^{-s_t} L_t + s_t / 2` with trainable :math:`s_t` (Kendall et
    al. 2018).

    Shape: ``logits (batch, sum(n_outputs))``, ``labels (batch, n_tasks)``,
    ``weights (batch, n_tasks)`` or None -> ``(n_tasks,)``

    Parameters
    ----------
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    task_weights : sequence of float, "uncertainty" or None, default=None
        None weighs all tasks alike.

    References
    ----------
    Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for
    Scene Geometry and Semantics", CVPR 2018.

    Examples
    --------
    >>> loss = MultiTaskLoss([1, 3])
    >>> per_task = loss(torch.zeros(2, 4), torch.tensor([[0., 2.], [1., 0.]]), None)
    >>> per_task, loss.total(per_task)
    (tensor([0.6931, 1.0986]), tensor(1.7918))
    """

    def __init__(
        self,
        n_outputs: Sequence[int],
        task_weights: Sequence[float] | str | None = None,
    ) -> None:
        super().__init__()
        self.n_outputs = list(n_outputs)
        self.uncertainty = (
            nn.Parameter(torch.zeros(len(n_outputs)))
            if isinstance(task_weights, str)
            else None
        )
        self.task_weights: Tensor | None
        self.register_buffer(
            "task_weights",
            None
            if task_weights is None or isinstance(task_weights, str)
            else torch.tensor(task_weights, dtype=torch.float32),
        )

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        if logits.shape[1] == len(self.n_outputs):
            losses = nn.functional.binary_cross_entropy_with_logits(
                logits, labels, reduction="none"
            )
        else:
            tasks = zip(logits.split(self.n_outputs, 1), labels.unbind(1), strict=True)
            losses = torch.stack([self._task(z, label) for z, label in tasks], 1)
        if weights is not None:
            losses = losses * weights
        return losses.mean(0)

    @staticmethod
    def _task(logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each row of one task."""
        if logits.shape[1] == 1:
            return nn.functional.binary_cross_entropy_with_logits(
                logits[:, 0], labels, reduction="none"
            )
        return nn.functional.cross_entropy(logits, labels.long(), reduction="none")

    def total(self, losses: Tensor) -> Tensor:
        """The loss that is trained on, from the losses of the tasks."""
        if self.uncertainty is not None:
            return (torch.exp(-self.uncertainty) * losses + self.uncertainty / 2).sum()
        if self.task_weights is not None:
            return (self.task_weights * losses).sum()
        return losses.sum()
