"""What the systems here share: from fields to logits, from parameters to a network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._estimator import MultiTaskClassifier
from ..nn import FieldEmbedding, Members, TaskNetwork, Towers


class FieldNetwork(TaskNetwork):
    """Base of networks that read nothing but the embedded fields."""

    def __init__(self, embedding: FieldEmbedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> Tensor:
        return self._logits(self.embedding(codes, numbers, bags))

    @abstractmethod
    def _logits(self, fields: Tensor) -> Tensor:
        """What the network makes of the fields, (batch, sum(n_outputs))."""


class TowerNetwork(FieldNetwork):
    """Base of networks for all tasks: their `towers` give the logits."""

    towers: Towers

    def start_from(self, logits: Tensor) -> None:
        """Let every row start near the given logits, of shape (sum(n_outputs),)."""
        self.towers.start_from(logits)


class NetworkClassifier(MultiTaskClassifier):
    """Base of estimators of one network, whose arguments are their parameters."""

    _network: ClassVar[Callable[..., TaskNetwork]]

    def _network_parameters(self) -> dict[str, Any]:
        """Arguments of the network, by name; a subclass adds those of other names."""
        return self._parameters_for(self._network)

    def build_network(
        self,
        embedding: FieldEmbedding,
        n_outputs: list[int],
        generator: torch.Generator,
    ) -> TaskNetwork:
        parameters = self._network_parameters()
        return self._network(embedding, n_outputs, generator=generator, **parameters)
