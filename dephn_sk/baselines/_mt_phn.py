"""MT-PHN: DEPHN's network with MMoE's gates, no mapping and no virtual gradient."""

from collections.abc import Sequence
from typing import Any

from .._compat import StrOptions
from .._dephn import DEPHNMultiTaskClassifier, check_heads
from .._parameters import like, parameter
from ..nn import DEPHN
from ..training._parameters import AT_LEAST_ONE, WIDTHS
from ._network import NetworkClassifier

SHARING = ("all-public", "private-dnn", "public-dnn")


class MTPHNClassifier(NetworkClassifier):
    """Multi-task PHN: the heterogeneous network [2]_ with gates as in MMoE.

    The network of DEPHN [1]_ without its three ideas on gates: they are a softmax of a
    linear map of the input, the experts are not mapped, and their gradient is left
    alone. Table I compares which of the experts the tasks share, parameter `sharing`.
    See :class:`~dephn_sk.nn.DEPHN`.

    Parameters
    ----------
    sharing : {"public-dnn", "private-dnn", "all-public"}
        Of `n_experts` DNN experts, one cross and one field expert, which are public,
        shared by all tasks, and which are private, of each task its own: ``"public-
        dnn"`` shares the DNN experts alone and is the setting that the paper takes for
        DEPHN, ``"private-dnn"`` shares cross and field experts alone, ``"all-public"``
        shares all.
    n_experts : int
        DNN experts, of all tasks or of each.
    tower_hidden : tuple of int
        Widths of the towers' hidden layers; ``()`` is a linear tower.
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

    sharing: str = parameter("public-dnn", [StrOptions(set(SHARING))])
    n_experts: int = parameter(3, AT_LEAST_ONE)
    expert_hidden: Sequence[int] = like(DEPHNMultiTaskClassifier, "expert_hidden")
    n_layers: int = like(DEPHNMultiTaskClassifier, "n_layers")
    cross_rank: int | None = like(DEPHNMultiTaskClassifier, "cross_rank")
    residual: bool = like(DEPHNMultiTaskClassifier, "residual")
    selection: str | None = like(DEPHNMultiTaskClassifier, "selection", default="soft")
    n_heads: int = like(DEPHNMultiTaskClassifier, "n_heads")
    tower_hidden: Sequence[int] = parameter((32,), WIDTHS)

    def check_parameters(self) -> None:
        super().check_parameters()
        check_heads(self)

    _network = DEPHN

    def _network_parameters(self) -> dict[str, Any]:
        deep, crossing = ("dnn",) * self.n_experts, ("cross", "field")
        public, private = {  # a row of table I
            "public-dnn": (deep, crossing),
            "private-dnn": (crossing, deep),
            "all-public": (deep + crossing, ()),
        }[self.sharing]
        return super()._network_parameters() | {
            "public_experts": public,
            "private_experts": private,
            "mappings": ("raw",),
            "gate": "mapped",
            "virtual_gradient": None,
            "gate_optimizer": "adam",
        }
