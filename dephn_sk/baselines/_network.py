"""What the systems here share: from fields to logits, from parameters to a network."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Generator, Tensor

from .._estimator import MultiTaskClassifier
from ..nn import FieldEmbedding, Members, TaskNetwork, Towers
from ..nn._linear import layer_widths


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

    n_layers: int
    _network: ClassVar[Callable[..., Any]]
    # arguments of the network that are parameters of another name
    _renamed: ClassVar[Mapping[str, str]] = {}

    def _network_parameters(self) -> dict[str, Any]:
        """Arguments of the network, by name; a subclass may add to them."""
        renamed = {name: getattr(self, own) for name, own in self._renamed.items()}
        parameters = self._parameters_for(self._network) | renamed
        for name in parameters.keys() & {"hidden", "expert_hidden", "bottom_hidden"}:
            parameters[name] = layer_widths(parameters[name], self.n_layers)
        return parameters

    def build_network(
        self, embedding: FieldEmbedding, n_outputs: list[int], generator: Generator
    ) -> TaskNetwork:
        parameters = self._network_parameters()
        return self._network(embedding, n_outputs, generator=generator, **parameters)
