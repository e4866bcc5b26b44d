"""Shared bottom: one feed-forward network for all tasks, and a tower for each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .._parameters import parameter
from ..nn import FieldEmbedding, Towers
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._mlp import MLP
from ._network import NetworkClassifier, TowerNetwork


class SharedBottom(TowerNetwork):
    r"""All tasks read the output of one feed-forward network.

    .. math:: \mathrm{logit}_t = h^t(f(E))

    with towers :math:`h^t` and the bottom :math:`f` feed-forward.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, sum(n_outputs))``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    bottom_hidden : sequence of int, default=(64, 32)
        Widths of the bottom's layers.
    tower_hidden : sequence of int, default=(32,)
        Widths of hidden layers of the towers.
    dropout : float, default=0.0
        In bottom and towers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = SharedBottom(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1])
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: Sequence[int],
        *,
        bottom_hidden: Sequence[int] = (64, 32),
        tower_hidden: Sequence[int] = (32,),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        width, last = embedding.width, bottom_hidden[-1]
        self.bottom = MLP(1, width, bottom_hidden, dropout=dropout, generator=generator)
        self.towers = Towers(
            n_outputs, last, hidden=tower_hidden, dropout=dropout, generator=generator
        )

    def _logits(self, fields: Tensor) -> Tensor:
        x = fields.flatten(1)
        return self.towers(self.bottom(x)[0])


class SharedBottomClassifier(NetworkClassifier):
    """Shared-bottom network [1]_: all tasks on one feed-forward network.

    See :class:`SharedBottom`.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the feed-forward layers. The last one is repeated where `n_layers`
        asks for more layers.
    n_layers : int
        Layers of the shared network, at least.
    tower_hidden : tuple of int
        Widths of the towers' hidden layers; ``()`` is a linear tower.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Caruana, "Multitask Learning", Machine Learning 28, 1997.

    Examples
    --------
    >>> from dephn_sk.baselines import SharedBottomClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = SharedBottomClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)
    tower_hidden: Sequence[int] = parameter((32,), WIDTHS)

    _network = SharedBottom
    _renamed = {"bottom_hidden": "hidden"}
    reads_vectors = False
