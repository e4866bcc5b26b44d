"""Wide & Deep: a linear model and a deep network in one logit."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nn import FieldEmbedding, GroupedLinear
from ._mlp import MLP
from ._single_task import FirstOrderNetwork, SingleTaskClassifier


class WideDeep(FirstOrderNetwork):
    r"""A weight for each category and number, beside feed-forward layers.

    .. math::
        \mathrm{logit} = \sum_f w_f(x_f) + w \cdot \mathrm{MLP}(E) + b

    where :math:`w_f(x_f)` is a weight of the category, or linear in the number.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, first_order.dim)``

    Parameters
    ----------
    embedding : FieldEmbedding
    first_order : FieldEmbedding
        Of the same fields, its width the number of logits: 1 for a binary task, the
        number of classes otherwise.
    hidden : sequence of int, default=(64, 32)
        Widths of the layers.
    dropout : float, default=0.0
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> deep, wide = FieldEmbedding([3, 10], dim=4), FieldEmbedding([3, 10], dim=1)
    >>> WideDeep(deep, wide)(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
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
        width = embedding.width
        self.deep = MLP(1, width, hidden, dropout=dropout, generator=generator)
        self.output = GroupedLinear(1, hidden[-1], first_order.dim, generator=generator)

    def _logits(self, fields: Tensor) -> Tensor:
        return self.output(self.deep(fields.flatten(1)))[0]


class WideDeepClassifier(SingleTaskClassifier):
    """Wide & Deep [1]_: a linear model beside a deep network, one for each task.

    See :class:`WideDeep`. The linear part sees the columns as they are; crossed
    columns, which the paper chooses by hand, may be added to X. AdamW trains both
    parts, where the paper trains the linear one by FTRL. With several tasks, each has a
    network of its own, embedding included.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016.

    Examples
    --------
    >>> from dephn_sk.baselines import WideDeepClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = WideDeepClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    _network = WideDeep
    _first_order = True
