"""The network of the paper: its forward reads as figure 2."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ._choice import check_choice
from ._embedding import FieldEmbedding, Members
from ._experts import CrossInteraction, DNNExpert, FieldInteraction
from ._gates import InputGates, TaskGates
from ._linear import GroupedLinear
from ._mapping import ExplicitMapping
from ._network import TaskNetwork
from ._selection import FieldSelection
from ._towers import TaskTowers
from ._virtual_gradient import Coefficient, coefficient, scale_gradient

EXPERTS = ("dnn", "cross", "field")
GATES = ("trainable", "mapped")
GATE_OPTIMIZERS = ("sgd", "adam")


class HeterogeneousInteraction(nn.Module):
    """Public experts, shared by all tasks, and private ones, of each task its own.

    [DEPHN] section III-B and table I. Experts of one kind are computed side by side,
    so they stand together, kinds in the order of their first mention. A public cross
    or field expert is followed by a linear projection to the experts' common width.

    Shape: ``public (batch, n_fields, dim)``, and for each private kind
    ``(n_tasks * n_experts, batch, n_fields, dim)`` or ``(batch, n_fields, dim)``
    -> ``(n_public, batch, width)``, and for each private kind
    ``(n_tasks * n_experts, batch, private_width)``

    Parameters
    ----------
    n_fields, dim, n_tasks : int
    public_experts : sequence of {"dnn", "cross", "field"}, default=("dnn",) * 3
    private_experts : the same, default=("cross", "field")
        Of each task.
    expert_hidden : sequence of int, default=(128, 64)
        Widths of a DNN expert; the last is the common width of the public experts.
    n_layers : int, default=3
        Layers of each structure.
    cross_rank : int, default=None
        Rank of the cross experts' matrix; None is full.
    residual : bool, default=True
        Trainable residual links of DNN and cross experts.
    dropout : float, default=0.0
        In the DNN experts.
    generator : torch.Generator, default=None
    """

    def __init__(
        self,
        n_fields: int,
        dim: int,
        n_tasks: int,
        *,
        public_experts: Sequence[str] = ("dnn",) * 3,
        private_experts: Sequence[str] = ("cross", "field"),
        expert_hidden: Sequence[int] = (128, 64),
        n_layers: int = 3,
        cross_rank: int | None = None,
        residual: bool = True,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        stacked: dict[str, Any] = {"n_layers": n_layers, "generator": generator}
        linked: dict[str, Any] = {"residual": residual, **stacked}
        kinds: dict[str, Callable[..., nn.Module]] = {
            "dnn": partial(DNNExpert, hidden=expert_hidden, dropout=dropout, **linked),
            "cross": partial(CrossInteraction, rank=cross_rank, **linked),
            "field": partial(FieldInteraction, **stacked),
        }

        def experts(kind: str, n_experts: int) -> nn.Module:
            check_choice("expert", kind, EXPERTS)
            return kinds[kind](n_experts, n_fields, dim)

        self.width = expert_hidden[-1]
        shared = self.public_kinds = Counter(public_experts)
        own = self.private_kinds = Counter(private_experts)
        self.public = nn.ModuleList(experts(k, n) for k, n in shared.items())
        self.projections = nn.ModuleList(
            nn.Identity()
            if kind == "dnn"
            else GroupedLinear(n, n_fields * dim, self.width, generator=generator)
            for kind, n in shared.items()
        )
        self.private = nn.ModuleList(experts(k, n_tasks * n) for k, n in own.items())

    @property
    def private_sizes(self) -> list[tuple[int, int]]:
        """Experts of each task, and their width, for each private kind."""
        widths = [cast(int, experts.width) for experts in self.private]
        return list(zip(self.private_kinds.values(), widths, strict=True))

    def forward(
        self, public: Tensor, private: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        return self.shared(public), [own() for own in self.own(private)]

    def shared(self, fields: Tensor) -> Tensor:
        """Outputs of the public experts."""
        shared = []
        for experts, projection in zip(self.public, self.projections, strict=True):
            if isinstance(projection, GroupedLinear):
                bias = cast(Tensor, projection.bias).unsqueeze(1)
                weight = projection.weight.transpose(0, 1)
                shared.append(experts(fields, weight) + bias)
            else:
                shared.append(experts(fields))
        if not shared:
            shared = [fields.new_zeros(0, fields.shape[0], self.width)]
        return shared[0] if len(shared) == 1 else torch.cat(shared)

    def own(self, fields: Sequence[Tensor]) -> list[Callable[..., Tensor]]:
        """Each private kind on its fields, to be called by whoever reads it.

        With the weight of the reader, its product with the outputs, which then need not
        leave the cache; with nothing, the outputs.
        """
        pairs = zip(self.private, fields, strict=True)
        return [partial(experts, own) for experts, own in pairs]


class DEPHN(TaskNetwork):
    r"""Different Expression Parallel Heterogeneous Network.

    [DEPHN] figure 2: embedding, soft selection, heterogeneous experts, explicit
    mapping, gates with their virtual gradient, towers. Its output is the argument of
    one sigmoid for each binary task (see :class:`TaskTowers`), of one softmax for each
    multi-class task.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``
    -> ``logits (batch, sum(n_outputs))``

    Parameters
    ----------
    embedding : FieldEmbedding
    n_outputs : sequence of int
        Logits of each task: 1 for a binary one, the number of classes otherwise.
    public_experts : sequence of {"dnn", "cross", "field"}, default=("dnn",) * 3
        Shared by all tasks.
    private_experts : the same, default=("cross", "field")
        Of each task its own.
    expert_hidden : sequence of int, default=(128, 64)
        Widths of a DNN expert; the last is the common width of the public experts.
    n_layers : int, default=3
        Layers of each structure.
    cross_rank : int, default=None
        Rank of the cross experts' matrix; None is full.
    residual : bool, default=True
        Trainable residual links.
    selection : {"soft", "soft-private-attention", "attention", None}, default="soft"
        See :class:`FieldSelection`.
    n_heads : int, default=2
        Of the attention; must divide the embedding's width.
    mappings : sequence of str or callable, default=("raw", "sin")
        See :class:`ExplicitMapping`.
    gate : {"trainable", "mapped"}, default="trainable"
        :class:`TaskGates` or :class:`InputGates`.
    virtual_gradient : str, callable or None, default="additive-sqrt"
        The function of :func:`coefficient`; None leaves the gates' gradient alone.
    coefficient_reduction : {"product", "mean"}, default="product"
        Over the other tasks; see :func:`coefficient`.
    label_similarity : {"pearson", "cosine"}, default="pearson"
        What the virtual gradient wants to know of each batch.
    gate_optimizer : {"sgd", "adam"}, default="sgd"
        Whether the gates are left to plain gradient descent.
    gate_learning_rate : float, default=0.1
        Of that descent.
    tower_hidden : sequence of int, default=()
        Widths of hidden layers of the towers; none is the paper's.
    dropout : float, default=0.0
        In DNN experts and towers.
    generator : torch.Generator, default=None
        For the initial values; None is torch's global generator.

    Examples
    --------
    >>> network = DEPHN(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1])
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        embedding: FieldEmbedding,
        n_outputs: Sequence[int],
        *,
        public_experts: Sequence[str] = ("dnn",) * 3,
        private_experts: Sequence[str] = ("cross", "field"),
        expert_hidden: Sequence[int] = (128, 64),
        n_layers: int = 3,
        cross_rank: int | None = None,
        residual: bool = True,
        selection: str | None = "soft",
        n_heads: int = 2,
        mappings: Sequence[str | Callable[[Tensor], Tensor]] = ("raw", "sin"),
        gate: str = "trainable",
        virtual_gradient: str | Coefficient | None = "additive-sqrt",
        coefficient_reduction: str = "product",
        label_similarity: str = "pearson",
        gate_optimizer: str = "sgd",
        gate_learning_rate: float = 0.1,
        tower_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_choice("gate", gate, GATES)
        check_choice("gate_optimizer", gate_optimizer, GATE_OPTIMIZERS)
        n_fields, dim, n_tasks = embedding.n_fields, embedding.dim, len(n_outputs)
        n_branches = len(public_experts) * len(mappings)
        self.virtual_gradient = virtual_gradient
        self.coefficient_reduction = coefficient_reduction
        self.gate_optimizer = gate_optimizer
        self.gate_learning_rate = gate_learning_rate
        if virtual_gradient is not None and n_branches:
            self.wants_label_similarity = label_similarity
        self.embedding = embedding
        self.interaction = HeterogeneousInteraction(
            n_fields,
            dim,
            n_tasks,
            public_experts=public_experts,
            private_experts=private_experts,
            expert_hidden=expert_hidden,
            n_layers=n_layers,
            cross_rank=cross_rank,
            residual=residual,
            dropout=dropout,
            generator=generator,
        )
        private = [n_tasks * n for n, _ in self.interaction.private_sizes]
        self.selection = FieldSelection(
            n_fields, dim, private, mode=selection, n_heads=n_heads, generator=generator
        )
        self.mapping = ExplicitMapping(mappings)
        self.gating: TaskGates | InputGates = (
            TaskGates(n_tasks, n_branches, generator=generator)
            if gate == "trainable"
            else InputGates(n_fields * dim, n_tasks, n_branches, generator=generator)
        )
        self.towers = TaskTowers(
            n_outputs,
            n_branches,
            self.interaction.width,
            private=self.interaction.private_sizes,
            hidden=tower_hidden,
            dropout=dropout,
            generator=generator,
        )

    def forward(
        self,
        codes: Tensor,
        numbers: Tensor | None = None,
        bags: Sequence[Members] = (),
        label_similarity: Tensor | None = None,
    ) -> Tensor:
        fields = self.embedding(codes, numbers, bags)
        read = self._tower_inputs(fields, label_similarity)
        return self.towers(*read)  # [DEPHN] eq. 4 to 6

    def _tower_inputs(
        self, fields: Tensor, label_similarity: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Callable[..., Tensor]]]:
        """Branches, gates and private experts: [DEPHN] fig. 2, bottom up."""
        public_fields, private_fields = self.selection(fields)  # eq. 1, 2
        public = self.interaction.shared(public_fields)
        private = self.interaction.own(private_fields)
        branches = self.mapping(public)  # eq. 3
        gates = self.gating(public_fields.flatten(1))
        if label_similarity is not None:
            gates = self._virtual_gradient(gates, label_similarity)  # eq. 7 to 9
        return branches, gates, private

    def _virtual_gradient(self, gates: Tensor, label_similarity: Tensor) -> Tensor:
        rule, reduction = self.virtual_gradient, self.coefficient_reduction
        if rule is None:
            return gates
        # mapped gates differ from row to row: tasks are compared by their batch means
        values = gates if gates.dim() == 2 else gates.mean(0)
        gamma = coefficient(values, label_similarity, rule, reduction=reduction)
        return scale_gradient(gates, gamma)

    def start_from(self, logits: Tensor) -> None:
        """Let every row start near the given logits, of shape (sum(n_outputs),)."""
        self.towers.start_from(logits)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The gates apart, where plain gradient descent moves them."""
        gates = list(self.gating.parameters())
        if self.gate_optimizer != "sgd" or not any(p.numel() for p in gates):
            return super().parameter_groups()
        apart = set(gates)
        return [
            {"params": [p for p in self.parameters() if p not in apart]},
            {"params": gates, "rule": "sgd", "lr": self.gate_learning_rate},
        ]

    # ------------------------------------------------------- what inspection shows

    @property
    def gates(self) -> Tensor | None:
        """Trainable gates, (n_tasks, n_branches), or None."""
        return self.gating.values if isinstance(self.gating, TaskGates) else None

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Each public expert under each mapping."""
        kinds = self.interaction.public_kinds
        experts = [f"{kind}{i}" for kind, n in kinds.items() for i in range(n)]
        return tuple(f"{e} {m}" for e in experts for m in self.mapping.names)

    def mapped_gates(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> Tensor | None:
        """Gates that the input decides, (batch, n_tasks, n_branches), or None."""
        if isinstance(self.gating, TaskGates):
            return None
        public_fields, _ = self.selection(self.embedding(codes, numbers, bags))
        return self.gating(public_fields.flatten(1))

    @property
    def selection_logits(self) -> Tensor | None:
        """Of the public experts' gate first, then those of each private structure."""
        logits = [cast(Tensor, gate.logit) for gate in self.selection.gates]
        if not logits:
            return None
        return torch.cat([z.reshape(-1, *z.shape[-2:]) for z in logits])

    def structure_names(self, task_names: Sequence[str]) -> tuple[str, ...]:
        """``"public"``, then each task's private experts, kind by kind."""
        names = ["public"]
        for kind, n in self.interaction.private_kinds.items():
            names += [f"{task} {kind}{i}" for task in task_names for i in range(n)]
        return tuple(names)

    def contributions(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`TaskTowers.contributions`."""
        fields = self.embedding(codes, numbers, bags)
        branches, gates, private = self._tower_inputs(fields)
        return self.towers.contributions(branches, gates, [own() for own in private])

    @property
    def expert_names(self) -> tuple[str, ...]:
        """The branches, then each task's private experts."""
        kinds = self.interaction.private_kinds
        own = [f"private {kind}{i}" for kind, n in kinds.items() for i in range(n)]
        return (*self.branch_names, *own)
