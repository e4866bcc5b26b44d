"""Deep & Cross Network: explicit crosses of bounded degree beside a deep network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..nn import FieldEmbedding, GroupedLinear
from ..nn._linear import uniform
from ._mlp import MLP
from ._single_task import SingleTaskClassifier, SingleTaskNetwork


class DCNCross(nn.Module):
    r"""One cross layer of DCN; :class:`~dephn_sk.nn.CrossLayer` is another.

    .. math:: x_{i+1} = x_0 (\omega_i \cdot x_i) + b_i + x_i

    Shape: ``x0, x: (batch, width)`` -> the same

    Examples
    --------
    >>> DCNCross(6)(torch.ones(2, 6), torch.ones(2, 6)).shape
    torch.Size([2, 6])
    """

    def __init__(self, width: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.vector = uniform(width, 1, fan_in=width, generator=generator)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        return torch.addcmul(x + self.bias, x0, x @ self.vector)


class DCN(SingleTaskNetwork):
    r"""Cross layers beside feed-forward layers on the flattened fields.

    .. math::
        \mathrm{logit} = w \cdot [\mathrm{Cross}(E), \mathrm{MLP}(E)] + b

    [DCN]; for the cross layers see ``DCNCross``.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, n_outputs)``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : int
        1 for a binary task, the number of classes otherwise.
    hidden : sequence of int, default=(64, 32)
        Widths of the feed-forward layers.
    n_crosses : int, default=1
    dropout : float, default=0.0
        In the feed-forward layers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = DCN(FieldEmbedding([3, 10], dim=4), n_outputs=1)
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: int,
        *,
        hidden: Sequence[int] = (64, 32),
        n_crosses: int = 1,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        width = embedding.width
        self.crosses = nn.ModuleList(
            DCNCross(width, generator=generator) for _ in range(n_crosses)
        )
        self.deep = MLP(1, width, hidden, dropout=dropout, generator=generator)
        width += hidden[-1]
        self.output = GroupedLinear(1, width, n_outputs, generator=generator)

    def _logits(self, fields: Tensor) -> Tensor:
        x0 = fields.flatten(1)
        crossed = x0
        for layer in self.crosses:
            crossed = layer(x0, crossed)
        return self.output(torch.cat([crossed, self.deep(x0)[0]], dim=1))[0]


class DCNClassifier(SingleTaskClassifier):
    """Deep & Cross Network [1]_, one for each task.

    Cross layers raise the degree of explicit feature crosses by one each, feed-forward
    layers stand beside them; see :class:`DCN`. Without the paper's batch normalization.
    With several tasks, each has a network of its own, embedding included.

    Parameters
    ----------
    n_layers : int
        Cross layers, and feed-forward layers, at least.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Wang, Fu, Fu, Wang, "Deep & Cross Network for Ad Click Predictions",
       ADKDD 2017.

    Examples
    --------
    >>> from dephn_sk.baselines import DCNClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DCNClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    _network = DCN
    _renamed = {"n_crosses": "n_layers"}
    reads_vectors = False
