"""Several DEPHN networks as one: members are more groups of the same products."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ._dephn import DEPHN
from ._embedding import Members
from ._ensemble import NetworkEnsemble, Pool
from ._experts import CrossInteraction, FieldInteraction
from ._gates import TaskGates
from ._network import TaskNetwork
from ._numeric_embedding import NumericEmbedding, PlainNumbers

# axis of the members in a parameter: rows of tables are as wide as all of them
_AXES = {"weight": 1, "values": 1}
_WIDE = "embedding."


class DEPHNEnsemble(NetworkEnsemble):
    r"""DEPHN networks whose weights stand side by side in one wide network.

    A row of the table holds the row of each member, so that all are read, and scattered
    into, at once. Experts and towers of all members are groups of one product.

    .. note::
       DEVIATION from members apart: a code is taken for an unseen one in all members
       or in none.

    Shape and parameters: as :class:`NetworkEnsemble`

    Parameters
    ----------
    networks : sequence of DEPHN
        For which :meth:`holds` says yes.
    pool : callable

    Attributes
    ----------
    wide : DEPHN
        Each parameter holds those of all members, along one axis.
    """

    def _hold(self, networks: Sequence[DEPHN]) -> None:
        named = [dict(network.named_parameters()) for network in networks]
        shared = {
            id(p): nn.Parameter(torch.cat([one[k].detach() for one in named], _axis(k)))
            for k, p in named[0].items()
        }
        self.wide = copy.deepcopy(networks[0], shared)
        _resize(self.wide, lambda n: n * self.n_members)

    @staticmethod
    def holds(network: TaskNetwork) -> bool:
        """Whether networks such as this one can stand side by side.

        Attention and mapped gates are products of other shapes, waves have frequencies
        of their own, and nobody knows what a subclass or a user's coefficient does.
        """
        if type(network) is not DEPHN or not isinstance(network.gating, TaskGates):
            return False
        if callable(network.virtual_gradient):
            return False
        numeric = network.embedding.numeric
        narrow = isinstance(numeric, PlainNumbers) or (
            isinstance(numeric, NumericEmbedding) and "periodic" in numeric.parts
        )
        selects = len(network.selection.attention) + len(network.selection.gates)
        return not narrow and not selects

    def forward(
        self,
        codes: Tensor,
        numbers: Tensor | None = None,
        bags: Sequence[Members] = (),
        label_similarity: Tensor | None = None,
    ) -> Tensor:
        wide, n = self.wide, self.n_members
        fields = wide.embedding(codes, numbers, bags)
        by_member = fields.unflatten(-1, (n, -1)).permute(2, 0, 1, 3).contiguous()
        own = [by_member] * len(wide.interaction.private)
        public, private = wide.interaction(by_member, own, n)
        branches = wide.mapping(public)
        gates: Tensor = cast(TaskGates, wide.gating).values
        if label_similarity is not None:
            # branches do not meet in it, members' as little as one member's
            gates = wide._virtual_gradient(gates, label_similarity)
        logits = wide.towers.of_members(n, branches, gates, private)
        return logits if self.training else self.pool(logits)

    @property
    def members(self) -> tuple[TaskNetwork, ...]:
        """Copies of the members, on weights of their own."""
        return tuple(self._member(i) for i in range(self.n_members))

    @property
    def _named(self) -> DEPHN:
        return self.wide

    def _member(self, i: int) -> DEPHN:
        n = self.n_members
        shared = {
            id(p): nn.Parameter(p.detach().chunk(n, _axis(name))[i].clone())
            for name, p in self.wide.named_parameters()
        }
        member = copy.deepcopy(self.wide, shared)
        _resize(member, lambda size: size // n)
        return member

    @torch.no_grad()
    def start_from(self, logits: Tensor) -> None:
        self.wide.towers.start_from(logits, self.n_members)

    def penalty(self) -> None:
        """None, as of each member."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Those of the wide network; a row of a table has a moment for each member."""
        groups = self.wide.parameter_groups()
        return [{**group, "n_members": self.n_members} for group in groups]

    @property
    def gates(self) -> Tensor:
        """The mean of the members' gates."""
        values = cast(TaskGates, self.wide.gating).values
        return values.unflatten(1, (self.n_members, -1)).mean(1)


def _axis(name: str) -> int:
    if name.startswith(_WIDE):
        return -1
    return _AXES.get(name.rpartition(".")[2], 0)


def _resize(network: DEPHN, change: Any) -> None:
    """Let sizes that modules keep be those of their parameters."""
    network.embedding.dim = change(network.embedding.dim)
    for part in network.modules():
        if isinstance(part, CrossInteraction | FieldInteraction):
            part.n_experts = change(part.n_experts)


def side_by_side(networks: Sequence[TaskNetwork], pool: Pool) -> NetworkEnsemble:
    """An ensemble of networks, in products of all of them where there are such."""
    if DEPHNEnsemble.holds(networks[0]):
        return DEPHNEnsemble(networks, pool)
    return NetworkEnsemble(networks, pool)
