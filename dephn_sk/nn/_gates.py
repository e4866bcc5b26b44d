"""How much of each branch each task takes: trainable values, or mapped from the input.

[DEPHN] section III-C. A branch is one public expert under one explicit mapping.
"""

import torch
from torch import Tensor, nn

from ._linear import GroupedLinear


class TaskGates(nn.Module):
    r"""Trainable gate values ("TVG"), :math:`G^t_{kp}`: parameters, not functions.

    DECISION[DEPHN eq. 4]: raw real numbers, no softmax and no clipping; they start
    uniform in [0, 1), since equal gates would make every difference zero.

    Shape: any input -> ``(n_tasks, n_branches)``

    Examples
    --------
    >>> TaskGates(n_tasks=2, n_branches=6)(torch.ones(5, 3)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self, n_tasks: int, n_branches: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        values = torch.empty(n_tasks, n_branches).uniform_(0, 1, generator=generator)
        self.values = nn.Parameter(values)

    def forward(self, x: Tensor) -> Tensor:
        return self.values


class InputGates(nn.Module):
    r"""Gates mapped from the input ("MG"), as in MMoE: softmax of a linear map.

    The softmax runs over the branches (k, p) of one task and row.

    Shape: ``(batch, in_features)`` -> ``(batch, n_tasks, n_branches)``

    Examples
    --------
    >>> gates = InputGates(3, n_tasks=2, n_branches=6)(torch.ones(5, 3))
    >>> gates.shape, torch.allclose(gates.sum(-1), torch.ones(()))
    (torch.Size([5, 2, 6]), True)
    """

    def __init__(
        self,
        in_features: int,
        n_tasks: int,
        n_branches: int,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shape = n_tasks, in_features, n_branches
        self.linear = GroupedLinear(*shape, generator=generator)

    def forward(self, x: Tensor, scores: Tensor | None = None) -> Tensor:
        # scores: linear(x), where other maps of x are computed with it
        scores = self.linear(x) if scores is None else scores
        return scores.transpose(0, 1).softmax(-1)
