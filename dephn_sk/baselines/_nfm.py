"""Neural Factorization Machine: feed-forward layers on pooled pairs of fields."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nn import FieldEmbedding, GroupedLinear
from ._mlp import MLP
from ._single_task import FirstOrderNetwork, SingleTaskClassifier


class NFM(FirstOrderNetwork):
    r"""Feed-forward layers on the sum of all pairs of fields, and first-order weights.

    .. math::
        \mathrm{logit} = \sum_f w_f(x_f) + w \cdot \mathrm{MLP}(B) + b, \quad
        B = \sum_{f < g} E_f \odot E_g
        = \tfrac{1}{2} \left[ \left(\sum_f E_f\right)^2 - \sum_f E_f^2 \right]

    [NFM], where :math:`w_f(x_f)` is a weight of the category, or linear in the number.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, first_order.dim)``

    Parameters
    ----------
    embedding : FieldEmbedding
    first_order : FieldEmbedding
        Of the same fields, its width the number of logits: 1 for a binary task, the
        number of classes otherwise.
    hidden : sequence of int, default=(64, 32)
        Widths of the feed-forward layers.
    dropout : float, default=0.0
        In the feed-forward layers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> embedding, weights = (FieldEmbedding([3, 10], dim) for dim in (4, 1))
    >>> NFM(embedding, weights)(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        first_order: FieldEmbedding,
        *,
        hidden: Sequence[int] = (64, 32),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding, first_order)
        self.deep = MLP(1, embedding.dim, hidden, dropout=dropout, generator=generator)
        self.output = GroupedLinear(1, hidden[-1], first_order.dim, generator=generator)

    def _logits(self, fields: Tensor) -> Tensor:
        # each field with the sum of those before it: half of the square of the sum less
        # the sum of squares, in which float32 would cancel
        pairs = (fields[:, 1:] * fields.cumsum(1)[:, :-1]).sum(1)
        return self.output(self.deep(pairs))[0]


class NFMClassifier(SingleTaskClassifier):
    """Neural Factorization Machine [1]_, one for each task.

    The products of all pairs of fields are summed, feed-forward layers read the sum;
    see :class:`NFM`. Without the paper's batch normalization. With several tasks, each
    has a network of its own, embedding included.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] He, Chua, "Neural Factorization Machines for Sparse Predictive Analytics",
       SIGIR 2017.

    Examples
    --------
    >>> from dephn_sk.baselines import NFMClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = NFMClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    _network = NFM
    _first_order = True
