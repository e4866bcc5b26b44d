"""Multi-gate Mixture-of-Experts: each task weighs the shared experts, row by row."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .._parameters import parameter
from ..nn import FieldEmbedding, InputGates, Members, Towers
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._mlp import MLP
from ._network import NetworkClassifier, TowerNetwork


class MMoE(TowerNetwork):
    r"""Experts shared by all tasks, a gate and a tower of each task's own.

    .. math::
        \mathrm{logit}_t = h^t\left(\sum_k g^t_k(E) f_k(E)\right), \quad
        g^t(E) = \mathrm{softmax}(W^t E + b^t)

    [MMoE], with experts :math:`f_k` and towers :math:`h^t` feed-forward.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, sum(n_outputs))``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    n_experts : int, default=3
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
    >>> network = MMoE(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1])
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: Sequence[int],
        *,
        n_experts: int = 3,
        expert_hidden: Sequence[int] = (64, 32),
        tower_hidden: Sequence[int] = (32,),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        width, last = embedding.width, expert_hidden[-1]
        self.experts = MLP(
            n_experts, width, expert_hidden, dropout=dropout, generator=generator
        )
        self.gating = InputGates(width, len(n_outputs), n_experts, generator=generator)
        self.towers = Towers(
            n_outputs, last, hidden=tower_hidden, dropout=dropout, generator=generator
        )

    def _logits(self, fields: Tensor) -> Tensor:
        x = fields.flatten(1)
        experts, scores = self.experts.beside(self.gating.linear, x)
        mixed = torch.bmm(self.gating(x, scores), experts.transpose(0, 1))
        return self.towers(mixed.transpose(0, 1))

    @property
    def branch_names(self) -> tuple[str, ...]:
        """The experts."""
        return tuple(f"expert{k}" for k in range(self.gating.linear.weight.shape[2]))

    def mapped_gates(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> Tensor:
        """Softmax gates of each row, (batch, n_tasks, n_experts)."""
        return self.gating(self.embedding(codes, numbers, bags).flatten(1))


class MMoEClassifier(NetworkClassifier):
    """Multi-gate Mixture-of-Experts [1]_.

    All tasks share the experts; for each row, a softmax gate of each task weighs them.
    See :class:`MMoE`.

    Parameters
    ----------
    n_experts : int
        Experts shared by all tasks.
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
    .. [1] Ma, Zhao, Yi, Chen, Hong, Chi, "Modeling Task Relationships in Multi-task
       Learning with Multi-gate Mixture-of-Experts", KDD 2018.

    Examples
    --------
    >>> from dephn_sk.baselines import MMoEClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = MMoEClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    n_experts: int = parameter(3, AT_LEAST_ONE)
    expert_hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)
    tower_hidden: Sequence[int] = parameter((32,), WIDTHS)

    _network = MMoE
    reads_vectors = False
