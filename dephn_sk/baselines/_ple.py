"""Progressive Layered Extraction: shared and task-specific experts, level by level."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._parameters import parameter
from ..nn import FieldEmbedding, GroupedLinear, Towers
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._mlp import MLP
from ._network import NetworkClassifier, TowerNetwork


class CGC(nn.Module):
    r"""One level of experts: Customized Gate Control.

    .. math::
        g^t(x_t) = \mathrm{softmax}(W^t x_t + b^t), \quad
        y_t = \sum_k g^t_k(x_t) f_k(x_{o(k)})

    [PLE]: for each task :math:`t`, over its specific experts and the shared ones. In
    all levels but the last, also for the shared experts, over all experts.
    :math:`o(k)` is the task of expert :math:`k`, or the shared input.

    Shape: ``(batch, in_width)`` for all, or ``(n_tasks + 1, batch, in_width)``, the
    shared input last, -> ``(n_tasks + 1, batch, widths[-1])``; of the last level
    ``(n_tasks, batch, widths[-1])``

    Parameters
    ----------
    n_tasks, in_width : int
    widths : sequence of int
        Of an expert's layers.
    n_shared, n_specific : int, default=1
        Experts for all tasks, and of each task.
    last : bool, default=False
    dropout : float, default=0.0
    generator : torch.Generator, default=None

    Examples
    --------
    >>> CGC(2, 5, (8, 4))(torch.ones(7, 5)).shape
    torch.Size([3, 7, 4])
    """

    owner: Tensor
    closed: Tensor

    def __init__(
        self,
        n_tasks: int,
        in_width: int,
        widths: Sequence[int],
        *,
        n_shared: int = 1,
        n_specific: int = 1,
        last: bool = False,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        owner = torch.arange(n_tasks).repeat_interleave(n_specific)
        owner = torch.cat([owner, torch.full((n_shared,), n_tasks)])
        self.register_buffer("owner", owner, persistent=False)
        n = len(owner)
        self.experts = MLP(n, in_width, widths, dropout=dropout, generator=generator)
        # one product for all gates; those of a task do not see the others' experts
        gate = torch.arange(n_tasks if last else n_tasks + 1).unsqueeze(1)
        seen = (owner == gate) | (owner == n_tasks) | (gate == n_tasks)
        self.register_buffer("closed", ~seen.unsqueeze(1), persistent=False)
        self.gates = GroupedLinear(len(gate), in_width, n, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            experts, scores = self.experts.beside(self.gates, x)
        else:
            experts = self.experts(x.index_select(0, self.owner))
            scores = self.gates(x[: len(self.closed)])
        gates = scores.masked_fill(self.closed, -torch.inf).softmax(-1)
        return torch.bmm(gates.transpose(0, 1), experts.transpose(0, 1)).transpose(0, 1)


class PLE(TowerNetwork):
    r"""Levels of shared and task-specific experts, a tower of each task's own.

    .. math:: \mathrm{logit}_t = h^t(y^L_t), \quad y^0 = E

    [PLE], with experts and towers :math:`h^t` feed-forward; for the levels
    :math:`y^l` see ``CGC``, which is the network with one level.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, sum(n_outputs))``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    n_levels : int, default=2
    n_shared, n_specific : int, default=1
        In each level, experts for all tasks, and of each task.
    expert_hidden : sequence of int, default=(64, 32)
        Widths of an expert's layers.
    tower_hidden : sequence of int, default=(32,)
        Widths of hidden layers of the towers.
    dropout : float, default=0.0
        In experts and towers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = PLE(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1])
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: Sequence[int],
        *,
        n_levels: int = 2,
        n_shared: int = 1,
        n_specific: int = 1,
        expert_hidden: Sequence[int] = (64, 32),
        tower_hidden: Sequence[int] = (32,),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        width = expert_hidden[-1]
        self.levels = nn.ModuleList(
            CGC(
                len(n_outputs),
                width if level else embedding.width,
                expert_hidden,
                n_shared=n_shared,
                n_specific=n_specific,
                last=level == n_levels - 1,
                dropout=dropout,
                generator=generator,
            )
            for level in range(n_levels)
        )
        self.towers = Towers(
            n_outputs, width, hidden=tower_hidden, dropout=dropout, generator=generator
        )

    def _logits(self, fields: Tensor) -> Tensor:
        x = fields.flatten(1)
        for level in self.levels:
            x = level(x)
        return self.towers(x)


class PLEClassifier(NetworkClassifier):
    """Progressive Layered Extraction [1]_.

    Each task has experts of its own beside those that all share; gates mix them, level
    by level. See :class:`PLE`; with ``n_levels=1`` it is the paper's CGC.

    Parameters
    ----------
    n_levels : int
        Levels of experts.
    n_shared_experts : int
        Experts that all tasks share, in each level.
    n_specific_experts : int
        Experts of each task, in each level.
    expert_hidden : tuple of int
        Widths of an expert's layers. The last one is repeated where `n_layers` asks for
        more layers.
    n_layers : int
        Layers of an expert, at least.
    tower_hidden : tuple of int
        Widths of the towers' hidden layers; ``()`` is a linear tower.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Tang, Liu, Zhao, Gong, "Progressive Layered Extraction (PLE): A Novel
       Multi-Task Learning (MTL) Model for Personalized Recommendations", RecSys 2020.

    Examples
    --------
    >>> from dephn_sk.baselines import PLEClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = PLEClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    n_levels: int = parameter(2, AT_LEAST_ONE)
    n_shared_experts: int = parameter(1, AT_LEAST_ONE)
    n_specific_experts: int = parameter(1, AT_LEAST_ONE)
    expert_hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)
    tower_hidden: Sequence[int] = parameter((32,), WIDTHS)

    _network = PLE
    _renamed = {"n_shared": "n_shared_experts", "n_specific": "n_specific_experts"}
    reads_vectors = False
