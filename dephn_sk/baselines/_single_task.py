"""Networks for one task: with several, each task has one of its own."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Generator, Tensor, nn

from .._parameters import parameter
from ..nn import FieldEmbedding, GroupedLinear, Members, TaskNetwork
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._network import FieldNetwork, NetworkClassifier


class SingleTaskNetwork(FieldNetwork):
    """Base of networks for one task: their `output` gives the logits."""

    output: GroupedLinear

    @torch.no_grad()
    def start_from(self, logits: Tensor) -> None:
        """Let every row start near the given logits, of shape (n_outputs,)."""
        bias = cast(Tensor, self.output.bias)
        bias[0] = logits.to(bias)


class FirstOrderNetwork(SingleTaskNetwork):
    """Base of those that add a weight for each category and number to their logits."""

    def __init__(self, embedding: FieldEmbedding, first_order: FieldEmbedding) -> None:
        super().__init__(embedding)
        self.first_order = first_order

    def forward(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> Tensor:
        logits = super().forward(codes, numbers, bags)
        return logits + self.first_order(codes, numbers, bags).sum(1)


class NetworkPerTask(TaskNetwork):
    """A network for each task, with nothing shared.

    The losses are summed over tasks and Adam is elementwise, so that training them side
    by side is training each of them alone. Under `conditions`, the loss of a task is
    also one of its condition's probability, as in ESMM-NS, [ESMM] without a shared
    embedding.

    Shape: that of the networks -> ``(batch, sum(n_outputs))``

    Parameters
    ----------
    networks : sequence of SingleTaskNetwork
    """

    def __init__(self, networks: Sequence[SingleTaskNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> Tensor:
        logits = [network(codes, numbers, bags) for network in self.networks]
        return torch.cat(logits, dim=1)

    def start_from(self, logits: Tensor) -> None:
        """Let every row start near the given logits, of shape (sum(n_outputs),)."""
        networks = [cast(SingleTaskNetwork, network) for network in self.networks]
        sizes = [network.output.weight.shape[2] for network in networks]
        for network, own in zip(networks, logits.split(sizes), strict=True):
            network.start_from(own)


class SingleTaskClassifier(NetworkClassifier):
    """Base of the systems without a word on several tasks.

    With `conditions` they are ESMM-NS of [ESMM]: networks that share nothing, and a
    loss on the entire space.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the feed-forward layers. The last one is repeated where `n_layers`
        asks for more layers.
    n_layers : int
        Feed-forward layers, at least.
    """

    hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)

    # whether the network is given first-order weights, which know the number of logits
    _first_order = False

    def build_network(
        self, embedding: FieldEmbedding, n_outputs: list[int], generator: Generator
    ) -> NetworkPerTask:
        start, parameters = generator.get_state(), self._network_parameters()
        networks = []
        for n in n_outputs:
            # each task starts from the values it would start from alone
            generator.set_state(start)
            own = copy.deepcopy(embedding)
            last = own.first_order(n, generator=generator) if self._first_order else n
            networks.append(self._network(own, last, generator=generator, **parameters))
        return NetworkPerTask(networks)
