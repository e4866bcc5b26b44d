"""Sub-Network Routing: which sub-networks read which is learned with the weights."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from numbers import Real

import torch
from torch import Tensor, nn

from .._compat import Interval
from .._parameters import parameter
from ..nn import Dropout, FieldEmbedding, Towers
from ..nn._dropout import Randomized
from ..nn._linear import normal, uniform
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._mlp import MLP
from ._network import NetworkClassifier, TowerNetwork

# of the concrete distribution, and how far it is stretched: the values of [L0]
TEMPERATURE, LOWEST, HIGHEST = 2 / 3, -0.1, 1.1


class Routing(Randomized):
    r"""Connections from the sub-networks of one level to those of the next one.

    .. math::
        v_i = \sum_j z_{ij} W_{ij} u_j + b_i

    SNR-Trans of [SNR]. Each :math:`z` is one number for a whole batch, drawn from the
    hard concrete distribution of [L0] while training:

    .. math::
        s = \sigma\big((\log r - \log(1 - r) + \log \alpha) / \beta\big), \quad
        z = \min(1, \max(0, s (\zeta - \gamma) + \gamma)), \quad r \sim U(0, 1)

    and otherwise :math:`z` is what :math:`s = \sigma(\log \alpha)` gives.

    Shape: ``(n_in, batch, in_width)`` -> ``(n_out, batch, out_width)``

    Parameters
    ----------
    n_in, n_out, in_width, out_width : int
    generator : torch.Generator, default=None

    Examples
    --------
    >>> Routing(3, 2, 5, 4)(torch.ones(3, 7, 5)).shape
    torch.Size([2, 7, 4])
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        in_width: int,
        out_width: int,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        initial = partial(uniform, fan_in=n_in * in_width, generator=generator)
        self.weight = initial(n_in, in_width, n_out, out_width)
        self.bias = initial(n_out, out_width)
        # connections start half open, and not all alike
        self.log_alpha = normal(n_in, n_out, std=0.01, generator=generator)

    def connections(self) -> Tensor:
        """How open each connection is, in [0, 1], (n_in, n_out)."""
        if self.training:
            r = self.random(self.log_alpha)
            s = ((r.logit() + self.log_alpha) / TEMPERATURE).sigmoid()
        else:
            s = self.log_alpha.sigmoid()
        return (s * (HIGHEST - LOWEST) + LOWEST).clamp(0, 1)

    def draw(self, like: Tensor) -> Tensor:
        """A number for each connection."""
        return torch.empty_like(like).uniform_(generator=self.generator)

    def n_open(self) -> Tensor:
        """Expected number of connections that are not 0."""
        shift = TEMPERATURE * math.log(-LOWEST / HIGHEST)
        return (self.log_alpha - shift).sigmoid().sum()

    def forward(self, u: Tensor) -> Tensor:
        # z (W u) = (z W) u: no row changes a connection, so it scales the weights
        weight = self.weight * self.connections()[:, None, :, None]
        n_in, in_width, n_out, out_width = weight.shape
        weight = weight.reshape(n_in * in_width, n_out * out_width)
        v = torch.addmm(self.bias.flatten(), u.transpose(0, 1).flatten(1), weight)
        return v.reshape(-1, n_out, out_width).transpose(0, 1)

    def reference(self, u: Tensor) -> Tensor:
        """The equation as it is written."""
        v = torch.einsum("ji,jwio,jbw->ibo", self.connections(), self.weight, u)
        return v + self.bias.unsqueeze(1)


class SNR(TowerNetwork):
    r"""Levels of sub-networks with learned connections, a tower of each task's own.

    .. math::
        u^1_i = \mathrm{ReLU}(W^1_i E + b^1_i), \quad
        u^{l+1}_i = \mathrm{ReLU}\left(
        \sum_j z^l_{ij} W^l_{ij} u^l_j + b^l_i\right), \quad
        \mathrm{logit}_t = h^t\left(\sum_j z^L_{tj} W^L_{tj} u^L_j + b^L_t\right)

    SNR-Trans of [SNR], with towers :math:`h^t` feed-forward; for the
    connections see ``Routing``. DECISION: a sub-network is one layer, whose matrix
    is that of its connections.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, sum(n_outputs))``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    n_experts : int, default=3
        Sub-networks in each level.
    expert_hidden : sequence of int, default=(64, 32)
        Width of the sub-networks of each level.
    tower_hidden : sequence of int, default=(32,)
        Widths of hidden layers of the towers.
    l0_penalty : float, default=1e-4
        Price of an open connection, in the loss.
    dropout : float, default=0.0
        In sub-networks and towers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = SNR(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1]).eval()
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
        l0_penalty: float = 1e-4,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        n, width, last = n_experts, embedding.width, expert_hidden[-1]
        first = expert_hidden[:1]
        self.l0_penalty = l0_penalty
        self.lowest = MLP(n, width, first, dropout=dropout, generator=generator)
        self.routings = nn.ModuleList(
            Routing(n, n, a, b, generator=generator) for a, b in pairwise(expert_hidden)
        )
        self.to_towers = Routing(n, len(n_outputs), last, last, generator=generator)
        self.dropout = Dropout(dropout, batch_axis=-2)
        self.towers = Towers(
            n_outputs, last, hidden=tower_hidden, dropout=dropout, generator=generator
        )

    def _logits(self, fields: Tensor) -> Tensor:
        u = self.lowest(fields.flatten(1))
        for routing in self.routings:
            u = self.dropout(routing(u).relu())
        return self.towers(self.to_towers(u))

    def penalty(self) -> Tensor:
        """What training adds to the loss: the price of the open connections."""
        routings = [*self.routings, self.to_towers]
        return self.l0_penalty * torch.stack([r.n_open() for r in routings]).sum()


class SNRClassifier(NetworkClassifier):
    """Sub-Network Routing [1]_ with transformations, SNR-Trans.

    Sub-networks stand in levels; which of them read which, and which the tasks read, is
    learned: each connection is a random number of the hard concrete distribution [2]_
    while training, its deterministic counterpart afterwards, and costs `l0_penalty`
    where it is open. See :class:`SNR`.

    Parameters
    ----------
    n_experts : int
        Sub-networks in each level.
    expert_hidden : tuple of int
        Width of the sub-networks of each level. The last one is repeated where
        `n_layers` asks for more levels.
    n_layers : int
        Levels, at least.
    tower_hidden : tuple of int
        Widths of the towers' hidden layers; ``()`` is a linear tower.
    l0_penalty : float
        Price of an open connection, in the loss.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Ma, Zhao, Chen, Li, Hong, Chi, "SNR: Sub-Network Routing for Flexible
       Parameter Sharing in Multi-Task Learning", AAAI 2019.
    .. [2] Louizos, Welling, Kingma, "Learning Sparse Neural Networks through L0
       Regularization", ICLR 2018.

    Examples
    --------
    >>> from dephn_sk.baselines import SNRClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = SNRClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    n_experts: int = parameter(3, AT_LEAST_ONE)
    expert_hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)
    tower_hidden: Sequence[int] = parameter((32,), WIDTHS)
    l0_penalty: float = parameter(1e-4, [Interval(Real, 0, None, closed="left")])

    _network = SNR
    reads_vectors = False
