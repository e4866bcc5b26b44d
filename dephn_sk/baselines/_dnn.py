"""A deep network on the embedded fields: the plainest system of the comparison."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nn import FieldEmbedding, GroupedLinear
from ._mlp import MLP
from ._single_task import SingleTaskClassifier, SingleTaskNetwork


class DNN(SingleTaskNetwork):
    r"""Feed-forward layers on the flattened fields.

    .. math::
        x_0 = E, \quad x_{i+1} = \mathrm{ReLU}(W_i x_i + b_i), \quad
        \mathrm{logit} = w \cdot x_L + b

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, n_outputs)``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : int
        1 for a binary task, the number of classes otherwise.
    hidden : sequence of int, default=(64, 32)
        Widths of the layers.
    dropout : float, default=0.0
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = DNN(FieldEmbedding([3, 10], dim=4), n_outputs=1)
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: int,
        *,
        hidden: Sequence[int] = (64, 32),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        width = embedding.width
        self.deep = MLP(1, width, hidden, dropout=dropout, generator=generator)
        self.output = GroupedLinear(1, hidden[-1], n_outputs, generator=generator)

    def _logits(self, fields: Tensor) -> Tensor:
        return self.output(self.deep(fields.flatten(1)))[0]


class DNNClassifier(SingleTaskClassifier):
    """A deep network on embedded fields, one for each task.

    Embedding, feed-forward layers, logits; see :class:`DNN`. With several tasks, each
    has a network of its own, embedding included.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Covington, Adams, Sargin, "Deep Neural Networks for YouTube
       Recommendations", RecSys 2016.

    Examples
    --------
    >>> from dephn_sk.baselines import DNNClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DNNClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    _network = DNN
    reads_vectors = False
