"""Networks and their training loop in plain torch, nothing else: what there is to lose.

The loop holds all rows as tensors, permutes them once an epoch and slices them.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dephn_sk.nn import Dropout


class GroupedMap(nn.Module):
    """Affine maps side by side, (n, batch, a) -> (n, batch, b)."""

    def __init__(self, n: int, a: int, b: int) -> None:
        super().__init__()
        bound = a**-0.5
        self.weight = nn.Parameter(torch.empty(n, a, b).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n, 1, b))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class BareMMoE(nn.Module):
    """MMoE: experts of two layers, towers of one, numbers as scalars.

    The first layer of all experts and the gates are one product.
    """

    def __init__(
        self,
        n_rows: int,
        n_categorical: int,
        n_numeric: int,
        n_tasks: int,
        dim: int = 16,
        n_experts: int = 3,
        hidden: tuple[int, int] = (64, 32),
        tower: int = 32,
    ) -> None:
        super().__init__()
        width = dim * n_categorical + n_numeric
        self.sizes = n_tasks, n_experts, hidden[0]
        self.table = nn.Embedding(n_rows, dim)
        nn.init.normal_(self.table.weight, std=0.1)
        self.first = nn.Linear(width, n_experts * (hidden[0] + n_tasks))
        self.second = GroupedMap(n_experts, *hidden)
        self.tower = GroupedMap(n_tasks, hidden[1], tower)
        self.output = GroupedMap(n_tasks, tower, 1)

    def forward(self, rows: Tensor, numbers: Tensor) -> Tensor:
        n_tasks, n_experts, width = self.sizes
        x = torch.cat([self.table(rows).flatten(1), numbers], dim=1)
        first, gates = self.first(x).tensor_split((n_experts * width,), dim=1)
        experts = first.relu().view(-1, n_experts, width).transpose(0, 1)
        experts = self.second(experts).relu().transpose(0, 1)
        gates = gates.view(-1, n_tasks, n_experts).softmax(-1)
        mixed = torch.bmm(gates, experts).transpose(0, 1)
        return self.output(self.tower(mixed).relu()).squeeze(-1).T


class BareDEPHN(nn.Module):
    """A DEPHN network with the same weights, of torch's own operations alone.

    Its layers as they are written in ``dephn_sk.nn``, without the functions that
    compute them in blocks with gradients of their own, and with torch's dropout,
    attention and embedding.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for module in list(self.network.modules()):
            for name, part in module.named_children():
                if isinstance(part, Dropout):
                    setattr(module, name, nn.Dropout(part.p))

    def forward(
        self, rows: Tensor, numbers: Tensor, label_similarity: Tensor | None = None
    ) -> Tensor:
        network = self.network
        embedding = network.embedding
        fields = F.embedding(rows, embedding.table)
        if embedding.numeric is not None:
            fields = torch.cat([fields, embedding.numeric(numbers)], dim=1)
        public, private = _select(network.selection, embedding.dropout(fields))
        kinds = network.interaction.private_kinds
        own = [
            _experts(kind, experts, x)
            for kind, experts, x in zip(
                kinds, network.interaction.private, private, strict=True
            )
        ]
        shared = [
            project(_experts(kind, experts, public))
            for kind, experts, project in zip(
                network.interaction.public_kinds,
                network.interaction.public,
                network.interaction.projections,
                strict=True,
            )
        ]
        gates = network.gating(public.flatten(1))
        if label_similarity is not None:
            gates = network._virtual_gradient(gates, label_similarity)
        return network.towers(network.mapping(torch.cat(shared)), gates, own)


def _select(selection: nn.Module, fields: Tensor) -> tuple[Tensor, list[Tensor]]:
    attended = [_attend(attention, fields) for attention in selection.attention]
    attended = attended or [fields]
    if not selection.gates:
        selected = attended * selection.n_structures
    else:
        if len(attended) == 1:
            attended = attended * len(selection.gates)
        selected = [
            torch.lerp(fields, own, gate.logit.sigmoid())
            for gate, own in zip(selection.gates, attended, strict=True)
        ]
    return selected[0], list(selected[1:])


def _attend(attention: nn.Module, fields: Tensor) -> Tensor:
    batch, n_fields, dim = fields.shape
    heads = (fields @ attention.projections).view(
        batch, n_fields, 3, attention.n_heads, -1
    )
    query, key, value = heads.permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).reshape(batch, n_fields, dim) @ attention.output


def _experts(kind: str, experts: nn.Module, fields: Tensor) -> Tensor:
    """Outputs of the experts of one kind, (n_experts, batch, width)."""
    if kind == "dnn":
        return experts(fields)
    if kind == "cross":
        x = x0 = fields.flatten(-2).expand(experts.n_experts, -1, -1)
        for layer in experts.layers:
            x = layer(x0, x)
        return x
    batch, _, dim = fields.shape[-3:]
    v = v0 = fields.expand(experts.n_experts, -1, -1, -1).transpose(1, 2).flatten(2)
    for layer in experts.layers:
        v = layer(v0, v)
    return v.unflatten(2, (batch, dim)).transpose(1, 2).flatten(2)


class BareLoop:
    """A network, its optimizer and its rows.

    Parameters
    ----------
    network : BareMMoE or BareDEPHN
    rows, numbers, labels : Tensor
        Rows of the table, int64; floats; one column of 0 and 1 for each task.
    batch_size : int
    similarity : bool, default=False
        Whether the network takes the similarity of the batch's labels.
    """

    def __init__(self, network, rows, numbers, labels, batch_size, similarity=False):
        self.network = network
        self.tensors = rows, numbers, labels
        self.batch_size = batch_size
        self.similarity = similarity
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def fit_epoch(self) -> None:
        self.network.train()
        order = torch.randperm(len(self.tensors[0]))
        tensors = [tensor[order] for tensor in self.tensors]
        parts = [tensor.split(self.batch_size) for tensor in tensors]
        for rows, numbers, labels in zip(*parts, strict=True):
            self.optimizer.zero_grad(set_to_none=True)
            options = {}
            if self.similarity:
                options["label_similarity"] = torch.corrcoef(labels.T).abs()
            logits = self.network(rows, numbers, **options)
            loss = F.binary_cross_entropy_with_logits(logits, labels)
            (loss * labels.shape[1]).backward()
            self.optimizer.step()

    @torch.inference_mode()
    def predict(self) -> Tensor:
        self.network.eval()
        parts = [tensor.split(4096) for tensor in self.tensors[:2]]
        logits = [
            self.network(rows, numbers) for rows, numbers in zip(*parts, strict=True)
        ]
        return torch.cat(logits).sigmoid()
