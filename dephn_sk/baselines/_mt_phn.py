"""MT-PHN: DEPHN's network with MMoE's gates, no mapping and no virtual gradient."""

from __future__ import annotations

from numbers import Integral

import torch

from .._compat import Interval, StrOptions
from ..nn import DEPHN, FieldEmbedding
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
    {embedding}
    sharing : {"public-dnn", "private-dnn", "all-public"}, default="public-dnn"
        Of `n_experts` DNN experts, one cross and one field expert, which are public,
        shared by all tasks, and which are private, of each task its own:
        ``"public-dnn"`` shares the DNN experts alone and is the setting that the paper
        takes for DEPHN, ``"private-dnn"`` shares cross and field experts alone,
        ``"all-public"`` shares all.
    n_experts : int, default=3
        DNN experts, of all tasks or of each.
    expert_hidden : tuple of int, default=(64, 32)
        Widths of a DNN expert's layers; the last is the common width of the public
        experts. It is repeated where `n_layers` asks for more layers.
    n_layers : int, default=1
        Layers of each structure.
    cross_rank : int or None, default=16
        Rank of the cross experts' matrices; None is full, as in the paper.
    residual : bool, default=True
        Whether DNN and cross layers have trainable residual links.
    selection : {"soft", "soft-private-attention", "attention"} or None, default="soft"
        What the experts read: a trainable mixture of raw and attended fields, with one
        attention or one for each structure; the attended fields; or, with None, the raw
        ones.
    n_heads : int, default=1
        Heads of the attention; must divide `embedding_dim`.
    {tower_hidden}
    {training}

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

    _parameter_constraints: dict = {
        **BaselineClassifier._parameter_constraints,
        "sharing": [StrOptions(set(SHARING))],
        "n_experts": [Interval(Integral, 1, None, closed="left")],
        "expert_hidden": ["array-like"],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "cross_rank": [Interval(Integral, 1, None, closed="left"), None],
        "residual": ["boolean"],
        "selection": [
            StrOptions({"soft", "soft-private-attention", "attention"}),
            None,
        ],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "tower_hidden": ["array-like"],
    }

    def __init__(
        self,
        *,
        embedding_dim=8,
        numeric_embedding="linear",
        n_bins=256,
        embedding_dropout=0.3,
        unseen_rate=0.02,
        sharing="public-dnn",
        n_experts=3,
        expert_hidden=(64, 32),
        n_layers=1,
        cross_rank=16,
        residual=True,
        selection="soft",
        n_heads=1,
        tower_hidden=(32,),
        dropout=0.2,
        task_weights=None,
        class_weight=None,
        max_epochs=20,
        batch_size="auto",
        learning_rate=2e-3,
        weight_decay=1e-5,
        weight_averaging=0.999,
        early_stopping="auto",
        monitor="loss",
        validation_fraction=0.1,
        n_epochs_no_change=3,
        warm_start=False,
        callbacks=None,
        device="auto",
        dtype="float32",
        precision="full",
        n_threads=None,
        random_state=None,
        verbose=0,
        categorical_features="from_dtype",
        encoder=None,
    ):
        self._store(locals())

    def _check_choices(self) -> None:
        super()._check_choices()
        if self.selection is not None and self.embedding_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} does not divide "
                f"embedding_dim={self.embedding_dim}."
            )

    def _build_network(
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
