"""Several networks that learn side by side and predict as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ._embedding import Members
from ._network import TaskNetwork

Pool = Callable[[Tensor], Tensor]


class NetworkEnsemble(TaskNetwork):
    r"""Networks that read the same rows, and predict the mean of their probabilities.

    They share no weight: each learns as it would alone, from its own initial values and
    under its own masks. What inspection shows is the mean over the members.

    .. note::
       DEVIATION[DEPHN]: the paper trains one network.

    Shape: that of the networks, or that with a leading axis of members where each has
    rows of its own (`bags` being a sequence for each) -> ``(n_members, batch,
    sum(n_outputs))`` while training, otherwise ``(batch, sum(n_outputs))``, the logits
    of the mean

    Parameters
    ----------
    networks : sequence of TaskNetwork
        Alike, but for their weights.
    pool : callable
        From the members' logits, ``(n_members, batch, sum(n_outputs))``, to those of
        what they predict together.

    References
    ----------
    Lakshminarayanan, Pritzel, Blundell, "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", NeurIPS 2017.

    Examples
    --------
    >>> from dephn_sk.nn import DEPHN, FieldEmbedding
    >>> networks = [DEPHN(FieldEmbedding([3, 10], dim=4), [1, 1]) for _ in range(3)]
    >>> ensemble = NetworkEnsemble(networks, pool=lambda logits: logits.mean(0))
    >>> codes = torch.tensor([[0, 9], [2, 0]])
    >>> ensemble(codes).shape, ensemble.eval()(codes).shape
    (torch.Size([3, 2, 2]), torch.Size([2, 2]))
    """

    def __init__(self, networks: Sequence[TaskNetwork], pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.n_members = len(networks)
        self.wants_label_similarity = networks[0].wants_label_similarity
        self.virtual_gradient = networks[0].virtual_gradient
        self._hold(networks)

    def _hold(self, networks: Sequence[Any]) -> None:
        self.networks = nn.ModuleList(networks)

    def forward(
        self,
        codes: Tensor,
        numbers: Tensor | None = None,
        bags: Sequence[Any] = (),
        label_similarity: Tensor | None = None,
    ) -> Tensor:
        each = rows_of_members(self.n_members, codes, numbers, bags)
        pairs = zip(self.members, each, strict=True)
        if label_similarity is None:
            logits = [one(*rows) for one, rows in pairs]
        else:
            alike = label_similarity.expand(self.n_members, -1, -1)
            triples = zip(pairs, alike, strict=True)
            logits = [one(*rows, own) for (one, rows), own in triples]
        stacked = torch.stack(logits)
        return stacked if self.training else self.pool(stacked)

    @property
    def members(self) -> tuple[TaskNetwork, ...]:
        return tuple(cast(TaskNetwork, one) for one in self.networks)

    @property
    def _named(self) -> TaskNetwork:
        """A network with the names of a member's parts."""
        return self.members[0]

    def start_from(self, logits: Tensor) -> None:
        """Let every row of every member start near the given logits."""
        for one in self.members:
            one.start_from(logits)

    def penalty(self) -> Tensor | None:
        """The sum over the members, each of which adds its own to its own loss."""
        penalties = [
            p for p in (one.penalty() for one in self.members) if p is not None
        ]
        return torch.stack(penalties).sum() if penalties else None

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Those of the members, taken together place by place."""
        groups = zip(*(one.parameter_groups() for one in self.members), strict=True)
        return [
            {**alike[0], "params": [p for group in alike for p in group["params"]]}
            for alike in groups
        ]

    # ------------------------------------------------------- what inspection shows

    @property
    def gates(self) -> Tensor | None:
        """The mean of the members' gates, or None."""
        return _mean(one.gates for one in self.members)

    @property
    def branch_names(self) -> tuple[str, ...]:
        """A name for each branch that the tasks have gates on."""
        return self._named.branch_names

    def mapped_gates(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> Tensor | None:
        """The mean of the members' gates that the input decides, or None."""
        return _mean(one.mapped_gates(codes, numbers, bags) for one in self.members)

    @property
    def selection_logits(self) -> Tensor | None:
        """The mean of the members', or None."""
        return _mean(one.selection_logits for one in self.members)

    def structure_names(self, task_names: Sequence[str]) -> tuple[str, ...]:
        """A name for each structure that has selection gates."""
        return self._named.structure_names(task_names)

    def contributions(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> tuple[Tensor, Tensor] | None:
        """The mean of the members' contributions, and what pooling adds to it.

        A logit of a mean of probabilities is no mean of logits; the last of
        :attr:`expert_names` is the difference.
        """
        found = [one.contributions(codes, numbers, bags) for one in self.members]
        known = [pair for pair in found if pair is not None]
        if not known:
            return None
        parts, bias = (torch.stack(list(each)) for each in zip(*known, strict=True))
        logits = parts.sum(-1) + bias.unsqueeze(1)
        pooled = self.pool(logits) - logits.mean(0)
        return torch.cat([parts.mean(0), pooled.unsqueeze(-1)], -1), bias.mean(0)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """Those of a member, and ``"pooling"``, where members have contributions."""
        names = self._named.expert_names
        return (*names, "pooling") if names else ()


def _mean(values: Iterator[Tensor | None]) -> Tensor | None:
    known = [value for value in values if value is not None]
    return torch.stack(known).mean(0) if known else None


def rows_of_members(
    n: int, codes: Tensor, numbers: Tensor | None, bags: Sequence[Any]
) -> list[tuple[Tensor, Tensor | None, Sequence[Members]]]:
    """What each member reads: the same rows, or its own, by the first axis."""
    if codes.dim() == 2:
        return [(codes, numbers, bags)] * n
    own_numbers = [None] * n if numbers is None else numbers
    return list(zip(codes, own_numbers, bags or [()] * n, strict=True))
