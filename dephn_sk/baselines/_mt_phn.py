"""MT-PHN: DEPHN's network with MMoE's gates, no mapping and no virtual gradient."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch

from .._compat import Interval, StrOptions
from .._parameters import parameter
from ..nn import DEPHN, FieldEmbedding
from ..training._parameters import AT_LEAST_ONE, tower_hidden, widths
from ._baseline import BaselineClassifier

SHARING = ("all-public", "private-dnn", "public-dnn")


class MTPHNClassifier(BaselineClassifier):
    """Multi-task PHN: the heterogeneous network [2]_ with gates as in MMoE.

    The network of DEPHN [1]_ without its three ideas on gates: they are a softmax of a
    linear map of the input, the experts are not mapped, and their gradient is left
    alone. Table I compares which of the experts the tasks share, parameter `sharing`.
    See :class:`~dephn_sk.nn.DEPHN`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Kong, Su, Zhao, Hou, "DEPHN: Different Expression Parallel Heterogeneous
       Network using virtual gradient optimization for Multi-task Learning", IJCNN 2023.
    .. [2] Su et al., "PHN: Parallel heterogeneous network with soft gating for CTR
       prediction", CICAI 2022.

    Examples
    --------
    >>> from dephn_sk.baselines import MTPHNClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = MTPHNClassifier(max_epochs=1, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (500, 3)
    """

    sharing: str = parameter(
        "public-dnn",
        [StrOptions(set(SHARING))],
        '{"public-dnn", "private-dnn", "all-public"}',
        """Of `n_experts` DNN experts, one cross and one field expert, which are public,
        shared by all tasks, and which are private, of each task its own: ``"public-
        dnn"`` shares the DNN experts alone and is the setting that the paper takes
        for DEPHN, ``"private-dnn"`` shares cross and field experts alone,
        ``"all-public"`` shares all.""",
    )
    n_experts: int = parameter(
        3,
        AT_LEAST_ONE,
        "int",
        "DNN experts, of all tasks or of each.",
    )
    expert_hidden: Sequence[int] = widths(
        (64, 32),
        """Widths of a DNN expert's layers; the last is the common width of the public
        experts. It is repeated where `n_layers` asks for more layers.""",
    )
    n_layers: int = parameter(
        1,
        AT_LEAST_ONE,
        "int",
        "Layers of each structure.",
    )
    cross_rank: int | None = parameter(
        16,
        [Interval(Integral, 1, None, closed="left"), None],
        "int or None",
        """Rank of the cross experts' matrices; None is full, as in the paper.""",
    )
    residual: bool = parameter(
        True,
        ["boolean"],
        "bool",
        "Whether DNN and cross layers have trainable residual links.",
    )
    selection: str | None = parameter(
        "soft",
        [
            StrOptions({"soft", "soft-private-attention", "attention"}),
            None,
        ],
        '{"soft", "soft-private-attention", "attention"} or None',
        """What the experts read: a trainable mixture of raw and attended fields, with
        one attention or one for each structure; the attended fields; or, with None,
        the raw ones.""",
    )
    n_heads: int = parameter(
        1,
        AT_LEAST_ONE,
        "int",
        "Heads of the attention; must divide `embedding_dim`.",
    )
    tower_hidden: Sequence[int] = tower_hidden()

    def check_parameters(self) -> None:
        super().check_parameters()
        if self.selection is not None and self.embedding_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} does not divide "
                f"embedding_dim={self.embedding_dim}."
            )

    def build_network(
        self,
        embedding: FieldEmbedding,
        n_outputs: list[int],
        generator: torch.Generator,
    ) -> DEPHN:
        public, private = self._experts()
        return DEPHN(
            embedding,
            n_outputs,
            public_experts=public,
            private_experts=private,
            expert_hidden=self.expert_hidden,
            n_layers=self.n_layers,
            cross_rank=self.cross_rank,
            residual=self.residual,
            selection=self.selection,
            n_heads=self.n_heads,
            mappings=("raw",),
            gate="mapped",
            virtual_gradient=None,
            gate_optimizer="adam",
            tower_hidden=self.tower_hidden,
            dropout=self.dropout,
            generator=generator,
        )

    def _experts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Public and private experts: a row of table I."""
        deep, crossing = ("dnn",) * self.n_experts, ("cross", "field")
        return {
            "public-dnn": (deep, crossing),
            "private-dnn": (crossing, deep),
            "all-public": (deep + crossing, ()),
        }[self.sharing]
