"""Several DEPHN networks as one: members are more groups of the same products."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ._dephn import DEPHN
from ._embedding import FieldEmbedding
from ._ensemble import NetworkEnsemble, Pool, rows_of_members
from ._experts import CrossInteraction, FieldInteraction
from ._gates import TaskGates
from ._network import TaskNetwork

_AXES = {"weight": 1, "values": 1}  # of others, the first axis
_OWN = "embedding."


class DEPHNEnsemble(NetworkEnsemble):
    r"""DEPHN networks whose weights stand side by side in one wide network.

    Experts and towers of all members are groups of one product. Each has its own
    embedding, since each reads other rows.

    Shape and parameters: as :class:`NetworkEnsemble`

    Parameters
    ----------
    networks : sequence of DEPHN
        For which :meth:`holds` says yes.
    pool : callable

    Attributes
    ----------
    embeddings : ModuleList of FieldEmbedding
        Of each member.
    wide : DEPHN
        All else, each parameter being those of all members along one axis.
    """

    def _hold(self, networks: Sequence[DEPHN]) -> None:
        self.embeddings = nn.ModuleList(network.embedding for network in networks)
        named = [dict(network.named_parameters()) for network in networks]
        joined: dict[int, Any] = {
            id(p): nn.Parameter(torch.cat([one[k].detach() for one in named], _axis(k)))
            for k, p in named[0].items()
            if not k.startswith(_OWN)
        }
        self.wide = copy.deepcopy(networks[0], {**joined, **self._no_embedding()})
        _resize(self.wide, lambda n: n * self.n_members)

    def _no_embedding(self) -> dict[int, Any]:
        """What stands for the embedding in a copy of a network without one."""
        return {id(self.embeddings[0]): nn.Identity()}

    @staticmethod
    def holds(network: TaskNetwork) -> bool:
        """Whether networks such as this one can stand side by side.

        Attention and mapped gates are products of other shapes, and nobody knows what a
        subclass does.
        """
        if type(network) is not DEPHN or not isinstance(network.gating, TaskGates):
            return False
        return not len(network.selection.attention) + len(network.selection.gates)

    def forward(
        self,
        codes: Tensor,
        numbers: Tensor | None = None,
        bags: Sequence[Any] = (),
        label_similarity: Tensor | None = None,
    ) -> Tensor:
        wide, n = self.wide, self.n_members
        each = rows_of_members(n, codes, numbers, bags)
        pairs = zip(self.embeddings, each, strict=True)
        fields = torch.stack([embed(*rows) for embed, rows in pairs])
        own = [fields] * len(wide.interaction.private)
        public, private = wide.interaction(fields, own, n)
        branches = wide.mapping(public)
        gates: Tensor = cast(TaskGates, wide.gating).values
        if label_similarity is not None:
            alike = label_similarity.expand(n, -1, -1)
            apart = zip(gates.chunk(n, 1), alike, strict=True)
            gates = torch.cat([wide._virtual_gradient(*pair) for pair in apart], 1)
        logits = wide.towers.of_members(n, branches, gates, private)
        return logits if self.training else self.pool(logits)

    @property
    def members(self) -> tuple[TaskNetwork, ...]:
        """The members' embeddings, and copies of the rest."""
        return tuple(self._member(i) for i in range(self.n_members))

    @property
    def _named(self) -> DEPHN:
        return self.wide

    def _member(self, i: int) -> DEPHN:
        n = self.n_members
        own: dict[int, Any] = {
            id(p): nn.Parameter(p.detach().chunk(n, _axis(name))[i].clone())
            for name, p in self.wide.named_parameters()
        }
        member = copy.deepcopy(self.wide, own)
        _resize(member, lambda size: size // n)
        member.embedding = cast(FieldEmbedding, self.embeddings[i])
        return member

    @torch.no_grad()
    def start_from(self, logits: Tensor) -> None:
        self.wide.towers.start_from(logits, self.n_members)

    def penalty(self) -> None:
        """None, as of each member."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        first, *rest = self.wide.parameter_groups()
        own = list(self.embeddings.parameters())
        return [{**first, "params": [*own, *first["params"]]}, *rest]

    @property
    def gates(self) -> Tensor:
        """The mean of the members' gates."""
        values = cast(TaskGates, self.wide.gating).values
        return values.unflatten(1, (self.n_members, -1)).mean(1)


def _axis(name: str) -> int:
    """Where members stand side by side in a parameter."""
    return _AXES.get(name.rpartition(".")[2], 0)


def _resize(network: DEPHN, change: Callable[[int], int]) -> None:
    """Let sizes that modules keep be those of their parameters."""
    for part in network.modules():
        if isinstance(part, CrossInteraction | FieldInteraction):
            part.n_experts = change(part.n_experts)


def side_by_side(networks: Sequence[TaskNetwork], pool: Pool) -> NetworkEnsemble:
    """An ensemble of networks, in products of all of them where there are such."""
    if DEPHNEnsemble.holds(networks[0]):
        return DEPHNEnsemble(networks, pool)
    return NetworkEnsemble(networks, pool)
