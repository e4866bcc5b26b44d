"""Entire Space Multi-task Model: steps given the one before, learned on all rows."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .._parameters import parameter
from ..nn import FieldEmbedding, Towers
from ..tasks import Tasks
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._network import NetworkClassifier, TowerNetwork


class ESMM(TowerNetwork):
    r"""A shared embedding, and a feed-forward network of each task's own.

    .. math:: \mathrm{logit}_t = h^t(E)

    [ESMM] figure 2, with towers :math:`h^t`. What makes it ESMM is what the logits
    mean: those of a conditioned task are of :math:`P(t \mid \mathrm{condition})`, and
    the loss is that of the products [ESMM, eq. 1 to 3]; see ``Tasks.loss``.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, sum(n_outputs))``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    hidden : sequence of int, default=(64, 32)
        Widths of hidden layers of the towers.
    dropout : float, default=0.0
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = ESMM(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1])
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: Sequence[int],
        *,
        hidden: Sequence[int] = (64, 32),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(embedding)
        self.towers = Towers(
            n_outputs,
            embedding.width,
            hidden=hidden,
            dropout=dropout,
            generator=generator,
        )

    def _logits(self, fields: Tensor) -> Tensor:
        return self.towers(fields.flatten(1))


class ESMMClassifier(NetworkClassifier):
    """Entire Space Multi-task Model [1]_: conversion given click, learned on all rows.

    The tasks share the embedding; each has a feed-forward network. See :class:`ESMM`.

    Without `conditions`, the columns of y are steps in their order, each of which needs
    the one before, as conversion needs a click in the paper; labels that contradict it
    are an error. Give `conditions` where the tasks are no chain, and ``conditions={}``
    where none has one.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the feed-forward layers. The last one is repeated where `n_layers`
        asks for more layers.
    n_layers : int
        Feed-forward layers, at least.
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Ma, Zhao, Huang, Wang, Hu, Zhu, Gai, "Entire Space Multi-Task Model: An
       Effective Approach for Estimating Post-Click Conversion Rate", SIGIR 2018.

    Examples
    --------
    >>> from dephn_sk.baselines import ESMMClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> steps = log.target[["click", "purchase"]]
    >>> model = ESMMClassifier(max_epochs=1, random_state=0).fit(log.data, steps)
    >>> click, purchase = model.predict_proba(log.data).T
    >>> bool((purchase <= click).all())
    True
    """

    hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)

    _network = ESMM
    reads_vectors = False

    def _conditioned(self, tasks: Tasks) -> Tasks:
        """Tasks under the `conditions`, or each after the one before."""
        if self.conditions is not None:
            return super()._conditioned(tasks)
        chain = {step: before for before, step in pairwise(tasks.names)}
        try:
            return tasks.under(chain, self.on_violation)
        except ValueError as error:
            raise ValueError(
                f"{type(self).__name__} takes the tasks for a chain, "
                f"{' then '.join(tasks.names)}, which they are not: {error} Give "
                "conditions of your own; {} is none."
            ) from None
