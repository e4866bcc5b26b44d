"""xDeepFM: a compressed interaction network beside linear and deep parts."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from .._parameters import parameter
from ..nn import FieldEmbedding, GroupedLinear
from ..nn._linear import uniform
from ..nn._row_blocks import row_blocks
from ..training._parameters import AT_LEAST_ONE
from ._mlp import MLP
from ._single_task import FirstOrderNetwork, SingleTaskClassifier


class CINLayer(nn.Module):
    r"""One layer of the compressed interaction network.

    .. math:: x^{k+1}_h = \sum_{i, j} W^k_{hij} \, (x^k_i \odot x^0_j)

    [xDeepFM]: each map is a weighted sum of the products of all pairs of a map of
    the layer below and a field.

    Shape: ``x0 (batch, dim, n_fields)``, ``x (batch, dim, n_in)``
    -> ``(batch, dim, n_maps)``

    Examples
    --------
    >>> CINLayer(5, 5, 3)(torch.ones(7, 2, 5), torch.ones(7, 2, 5)).shape
    torch.Size([7, 2, 3])
    """

    def __init__(
        self,
        n_fields: int,
        n_in: int,
        n_maps: int,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shape, fan_in = (n_in, n_fields, n_maps), n_in * n_fields
        self.weight = uniform(*shape, fan_in=fan_in, generator=generator)

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        if is_compiling():
            return self.reference(x0, x)
        below, raw = x.flatten(0, 1).unsqueeze(2), x0.flatten(0, 1).unsqueeze(1)
        weight = self.weight.flatten(0, 1)
        maps = [
            torch.bmm(below[rows], raw[rows]).flatten(1) @ weight
            for rows in row_blocks(len(raw), len(weight), x)
        ]
        return torch.cat(maps).unflatten(0, x.shape[:2])

    def reference(self, x0: Tensor, x: Tensor) -> Tensor:
        """The equation as it is written, all rows at once."""
        return torch.einsum("bdi,bdj,ijh->bdh", x, x0, self.weight)


class XDeepFM(FirstOrderNetwork):
    r"""First-order weights, compressed interaction network, feed-forward layers.

    .. math::
        \mathrm{logit} = \sum_f w_f(x_f) + w \cdot \mathrm{MLP}(E)
        + \sum_k v_k \cdot p^k + b, \quad p^k_h = \sum_d x^k_{hd}, \quad x^0 = E

    [xDeepFM], where :math:`w_f(x_f)` is a weight of the category, or linear in the
    number; for :math:`x^k` see ``CINLayer``.

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
    maps : sequence of int, default=(32,)
        Feature maps of the layers of the compressed interaction network.
    dropout : float, default=0.0
        In the feed-forward layers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> embedding, weights = (FieldEmbedding([3, 10], dim) for dim in (4, 1))
    >>> XDeepFM(embedding, weights)(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        first_order: FieldEmbedding,
        *,
        hidden: Sequence[int] = (64, 32),
        maps: Sequence[int] = (32,),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding, first_order)
        n_fields, width = embedding.n_fields, embedding.width
        self.interactions = nn.ModuleList(
            CINLayer(n_fields, n_in, n_maps, generator=generator)
            for n_in, n_maps in pairwise([n_fields, *maps])
        )
        self.deep = MLP(1, width, hidden, dropout=dropout, generator=generator)
        width = hidden[-1] + sum(maps)
        self.output = GroupedLinear(1, width, first_order.dim, generator=generator)

    def _logits(self, fields: Tensor) -> Tensor:
        parts = [self.deep(fields.flatten(1))[0]]
        x0 = fields.transpose(1, 2).contiguous()
        x = x0
        for layer in self.interactions:
            x = layer(x0, x)
            parts.append(x.sum(1))
        return self.output(torch.cat(parts, dim=1))[0]


class XDeepFMClassifier(SingleTaskClassifier):
    """xDeepFM [1]_, one for each task.

    A compressed interaction network crosses whole fields, one degree more in each
    layer, beside first-order weights and feed-forward layers; see :class:`XDeepFM`.
    With several tasks, each has a network of its own, embedding included.

    Time and memory of a layer of the compressed interaction network grow with the
    product of `embedding_dim`, number of fields and `n_maps`, for each row: it is the
    slowest of the single-task systems.

    Parameters
    ----------
    n_maps : int
        Feature maps in each layer of the compressed interaction network.
    n_layers : int
        Layers of the compressed interaction network, and feed-forward layers, at least.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Lian et al., "xDeepFM: Combining Explicit and Implicit Feature Interactions
       for Recommender Systems", KDD 2018.

    Examples
    --------
    >>> from dephn_sk.baselines import XDeepFMClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = XDeepFMClassifier(max_epochs=1, n_maps=8, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    n_maps: int = parameter(32, AT_LEAST_ONE)

    _network = XDeepFM
    _first_order = True

    def _network_parameters(self) -> dict[str, Any]:
        return super()._network_parameters() | {"maps": [self.n_maps] * self.n_layers}
