"""Adaptive Information Transfer: each step of a funnel reads from the one before."""

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from .._compat import Interval
from .._parameters import parameter
from ..nn import FieldEmbedding, GroupedLinear, Towers
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._mlp import MLP
from ._network import NetworkClassifier, TowerNetwork


class Transfer(nn.Module):
    r"""What one step makes of its own vector and of what the step before tells it.

    .. math::
        p = g(z_{t-1}), \quad
        z_t = \sum_{u \in \{p, q_t\}} w_u\, h_1(u), \quad
        w_u = \mathrm{softmax}_u \frac{\langle h_2(u), h_3(u) \rangle}{\sqrt{k}}

    The AIT module of [AITM]. DECISION: :math:`g` is one layer with ReLU, the
    :math:`h_i` are linear maps without bias, and each step has its own.

    Shape: ``before (batch, width)``, ``own (batch, width)`` -> ``(batch, width)``
    """

    def __init__(
        self, width: int, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.information = MLP(1, width, [width], dropout=dropout, generator=generator)
        self.maps = GroupedLinear(3, width, width, bias=False, generator=generator)

    def forward(self, before: Tensor, own: Tensor) -> Tensor:
        n, width = own.shape
        told = self.information(before)[0]  # p = g(z)
        both = torch.cat([told, own])  # u of p, then of q
        h_1, h_2, h_3 = self.maps(both).unbind(0)
        scores = ((h_2 * h_3).sum(1) / math.sqrt(width)).view(2, n)
        weights = scores.softmax(0).view(2, n, 1)  # w_u
        return (weights * h_1.view(2, n, width)).sum(0)  # z


class AITM(TowerNetwork):
    r"""Towers, between which each step transfers information to the next.

    .. math::
        q_t = f_t(E), \quad z_1 = q_1, \quad z_t = \mathrm{AIT}(g_t(z_{t-1}), q_t),
        \quad \mathrm{logit}_t = h^t(z_t)

    [AITM], with :math:`f_t` and :math:`h^t` feed-forward; for the AIT module see
    ``Transfer``. Training adds the behavioral expectation calibrator,

    .. math:: \frac{\alpha}{B} \sum_i \sum_{t > 1} \max(\hat y_{it} - \hat y_{i,t-1}, 0)

    over the rows of a batch. DECISION: all of them, whatever labels are missing; and
    neighbours of two classes alone.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, sum(n_outputs))``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    hidden : sequence of int, default=(64, 32)
        Widths of the layers below the transfer, the last that of what is transferred.
    tower_hidden : sequence of int, default=(32,)
        Widths of hidden layers of the towers.
    calibrator_penalty : float, default=0.6
        :math:`\alpha`.
    dropout : float, default=0.0
        Everywhere but in the attention.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = AITM(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1])
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: Sequence[int],
        *,
        hidden: Sequence[int] = (64, 32),
        tower_hidden: Sequence[int] = (32,),
        calibrator_penalty: float = 0.6,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        n_tasks, last = len(n_outputs), hidden[-1]
        self.bottoms = MLP(
            n_tasks, embedding.width, hidden, dropout=dropout, generator=generator
        )
        self.transfers = nn.ModuleList(
            Transfer(last, dropout, generator) for _ in range(n_tasks - 1)
        )
        self.towers = Towers(
            n_outputs, last, hidden=tower_hidden, dropout=dropout, generator=generator
        )
        self.calibrator_penalty = calibrator_penalty
        starts = torch.tensor([0, *n_outputs]).cumsum(0).tolist()
        steps = [(s, n) for s, n in zip(starts, n_outputs, strict=False)]
        self._steps = [
            (one, other) for (one, n), (other, m) in pairwise(steps) if n == m == 1
        ]
        self._excess: Tensor | None = None

    def _logits(self, fields: Tensor) -> Tensor:
        q = self.bottoms(fields.flatten(1))
        z = [q[0]]
        for transfer, own in zip(self.transfers, q[1:], strict=True):
            z.append(transfer(z[-1], own))
        logits = self.towers(torch.stack(z))
        if self.training and self.calibrator_penalty and self._steps:
            self._excess = self._beyond_the_step_before(logits)
        return logits

    def _beyond_the_step_before(self, logits: Tensor) -> Tensor:
        """The mean over rows of what probabilities exceed the step before by."""
        p = logits.sigmoid().unbind(1)
        excess = [(p[after] - p[before]).relu() for before, after in self._steps]
        return torch.stack(excess).sum(0).mean()

    def penalty(self) -> Tensor | None:
        """What training adds to the loss of the batch that was read last."""
        # it is part of a graph, which no copy of the network may hold
        excess, self._excess = self._excess, None
        return None if excess is None else self.calibrator_penalty * excess


class AITMClassifier(NetworkClassifier):
    """Adaptive Information Transfer Multi-task framework [1]_.

    The columns of y are steps in their order: each task has a network, and an attention
    weighs what it says itself and what the step before tells. A penalty keeps a step
    from being more probable than the one before, softly. See :class:`AITM`.

    The outputs are marginal probabilities, as in the paper. With `conditions` they are
    conditional ones, as in every estimator here; then no task can be more probable than
    its condition, and `calibrator_penalty` is left out.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the layers below the transfer. The last one is repeated where
        `n_layers` asks for more layers.
    n_layers : int
        Layers below the transfer, at least.
    tower_hidden : tuple of int
        Widths of the towers' hidden layers; ``()`` is a linear tower.
    calibrator_penalty : float
        Price of a probability beyond that of the step before, in the loss; without
        `conditions` alone.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Xi, Chen, Yan, Zhang, Zhu, Zhuang, Chen, "Modeling the Sequential Dependence
       among Audience Multi-step Conversions with Multi-task Learning in Targeted
       Display Advertising", KDD 2021.

    Examples
    --------
    >>> from dephn_sk.baselines import AITMClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = AITMClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)
    tower_hidden: Sequence[int] = parameter((32,), WIDTHS)
    calibrator_penalty: float = parameter(0.6, [Interval(Real, 0, None, closed="left")])

    _network = AITM
    reads_vectors = False

    def _network_parameters(self) -> dict[str, Any]:
        # of conditional probabilities, a later one may well be the greater
        own = {"calibrator_penalty": 0.0} if self.conditions else {}
        return super()._network_parameters() | own
