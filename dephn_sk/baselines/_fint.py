"""FINT: stacked field interactions, then feed-forward layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from ..nn import FieldEmbedding, GroupedLinear
from ..nn._linear import uniform
from ..nn._row_blocks import row_blocks
from ._mlp import MLP
from ._single_task import SingleTaskClassifier, SingleTaskNetwork


class FINTLayer(nn.Module):
    r"""One field interaction of FINT; :class:`~dephn_sk.nn.FieldLayer` is another.

    .. math:: V_{i+1} = V_i \odot (\Omega_i V_0) + u_i \otimes V_i

    Shape: ``v0, v: (n_fields, batch * dim)`` -> the same; with the fields first, all
    rows meet :math:`\Omega` in one product.

    Examples
    --------
    >>> FINTLayer(5)(torch.ones(5, 6), torch.ones(5, 6)).shape
    torch.Size([5, 6])
    """

    def __init__(
        self, n_fields: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.matrix = uniform(n_fields, n_fields, fan_in=n_fields, generator=generator)
        self.vector = nn.Parameter(torch.ones(n_fields, 1))

    def forward(self, v0: Tensor, v: Tensor) -> Tensor:
        return v * torch.addmm(self.vector, self.matrix, v0)


class FINT(SingleTaskNetwork):
    r"""Field interactions, flattened, then feed-forward layers.

    .. math:: \mathrm{logit} = w \cdot \mathrm{MLP}(V_L) + b, \quad V_0 = E

    For the interactions see ``FINTLayer``.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, n_outputs)``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : int
        1 for a binary task, the number of classes otherwise.
    hidden : sequence of int, default=(64, 32)
        Widths of the feed-forward layers.
    n_interactions : int, default=1
    dropout : float, default=0.0
        In the feed-forward layers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = FINT(FieldEmbedding([3, 10], dim=4), n_outputs=1)
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: int,
        *,
        hidden: Sequence[int] = (64, 32),
        n_interactions: int = 1,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        self.interactions = nn.ModuleList(
            FINTLayer(embedding.n_fields, generator=generator)
            for _ in range(n_interactions)
        )
        width = embedding.width
        self.deep = MLP(1, width, hidden, dropout=dropout, generator=generator)
        self.output = GroupedLinear(1, hidden[-1], n_outputs, generator=generator)

    def _logits(self, fields: Tensor) -> Tensor:
        kept = (1 + len(self.interactions)) * self.embedding.width
        if is_compiling():
            x = self._interact(fields)
        else:
            blocks = row_blocks(len(fields), kept, fields)
            x = torch.cat([self._interact(fields[rows]) for rows in blocks])
        return self.output(self.deep(x))[0]

    def _interact(self, fields: Tensor) -> Tensor:
        """The last layer's fields, flattened."""
        batch, n_fields, dim = fields.shape
        v0 = fields.transpose(0, 1).reshape(n_fields, batch * dim)
        v = v0
        for layer in self.interactions:
            v = layer(v0, v)
        return v.reshape(n_fields, batch, dim).transpose(0, 1).flatten(1)


class FINTClassifier(SingleTaskClassifier):
    """Field-aware Interaction Neural Network [1]_, one for each task.

    Stacked interactions keep a vector for each field; feed-forward layers read them
    all; see :class:`FINT`. This is not DEPHN's field interaction. With several tasks,
    each has a network of its own, embedding included.

    Parameters
    ----------
    n_layers : int
        Field interactions, and feed-forward layers, at least.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Zhao et al., "FINT: Field-aware INTeraction Neural Network For CTR
       Prediction", ICASSP 2022, arXiv 2107.01999.

    Examples
    --------
    >>> from dephn_sk.baselines import FINTClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = FINTClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    _network = FINT
    _renamed = {"n_interactions": "n_layers"}
