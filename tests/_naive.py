"""The network of the paper, one row and one expert at a time.

Every function reads the parameters of a module of `dephn_sk.nn` by name and computes
what the paper says, without batches. The tests of the modules compare with these, and
gradients go through them.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from torch import Tensor


def randomize(module: torch.nn.Module, seed: int = 0, std: float = 0.5):
    """The module in float64 with every parameter drawn anew, zeros and ones too."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, std, generator=generator)
    return module


def leaky_relu(x: Tensor) -> Tensor:
    return torch.stack([value if value > 0 else 0.01 * value for value in x])


def affine(layer, group: int, x: Tensor) -> Tensor:
    """W x + b of one group of a GroupedLinear."""
    out = layer.weight[:, group].T @ x
    return out if layer.bias is None else out + layer.bias[group]


# ------------------------------------------------------------------ embedding


def numeric_field(module, feature: int, edges: list[float], x: float) -> Tensor:
    """One number's vector, from the equations of NumericEmbedding's docstring."""
    if math.isnan(x):
        return module.missing[feature]
    n_bins = len(edges) - 1
    bin_ = 0
    while bin_ < n_bins - 1 and x >= edges[bin_ + 1]:
        bin_ += 1
    out = torch.zeros(module.missing.shape[1], dtype=torch.float64)
    if "linear" in module.parts:
        out = out + x * module.slope[feature] + module.intercept[feature]
    if "bins" in module.parts:
        rows = module.bins.reshape(len(module.missing), -1, len(out))
        out = out + rows[feature, bin_]
    if "piecewise-linear" in module.parts:
        out = out + module.origin[feature, 0]
        for below in range(bin_):
            out = out + module.steps[feature, below]
        fraction = (x - edges[bin_]) / (edges[bin_ + 1] - edges[bin_])
        out = out + min(1.0, max(0.0, fraction)) * module.steps[feature, bin_]
    if "periodic" in module.parts:
        angles = [2 * math.pi * c * x for c in module.frequencies[feature]]
        waves = [torch.sin(a) for a in angles] + [torch.cos(a) for a in angles]
        for wave, vector in zip(waves, module.waves[feature], strict=True):
            out = out + wave * vector
    return out


def fields_of_row(embedding, cardinalities, edges, codes, numbers) -> Tensor:
    """Embedded categorical and numeric fields of one row, (n_fields, dim)."""
    fields, start = [], 0
    for code, cardinality in zip(codes, cardinalities, strict=True):
        fields.append(embedding.table[start + int(code)])
        start += cardinality
    for j, x in enumerate(numbers):
        fields.append(numeric_field(embedding.numeric, j, edges[j], float(x)))
    return torch.stack(fields)


# ------------------------------------------------------------------ selection


def attended(attention, fields: Tensor) -> Tensor:
    """softmax(Q K' / sqrt(d_k)) V per head, then the output projection; (F, D)."""
    n_fields, dim = fields.shape
    width = dim // attention.n_heads
    query, key, value = (
        fields @ attention.projections[:, i * dim : (i + 1) * dim] for i in range(3)
    )
    rows = []
    for i in range(n_fields):
        heads = []
        for head in range(attention.n_heads):
            part = slice(head * width, (head + 1) * width)
            scores = [
                torch.exp(query[i, part] @ key[j, part] / math.sqrt(width))
                for j in range(n_fields)
            ]
            mixed = [s * value[j, part] for j, s in enumerate(scores)]
            heads.append(sum(mixed) / sum(scores))
        rows.append(torch.cat(heads) @ attention.output)
    return torch.stack(rows)


def gated(logit: Tensor, fields: Tensor, attended: Tensor) -> Tensor:
    """[DEPHN] eq. 1."""
    gate = 1 / (1 + torch.exp(-logit))
    return gate * attended + (1 - gate) * fields


# -------------------------------------------------------------------- experts


def dnn(module, expert: int, fields: Tensor) -> Tensor:
    x = torch.cat(list(fields))
    for layer in module.layers:
        hidden = leaky_relu(affine(layer.linear, expert, x))
        if layer.residual is not None:
            same = layer.projection is None
            link = x if same else layer.projection.weight[:, expert].T @ x
            hidden = hidden + layer.residual[expert, 0] * link
        x = hidden
    return x


def cross(module, expert: int, fields: Tensor) -> Tensor:
    """x_{i+1} = x_0 * (Omega x_i) + x_0 (omega . x_i) + b + r * x_i."""
    x0 = torch.cat(list(fields))
    x = x0
    for layer in module.layers:
        omega = layer.down[expert]
        if layer.up is not None:
            omega = omega @ layer.up[expert]
        dot = layer.vector[expert, :, 0] @ x
        new = []
        for i in range(len(x)):
            value = x0[i] * (omega[:, i] @ x) + x0[i] * dot + layer.bias[expert, 0, i]
            if layer.residual is not None:
                value = value + layer.residual[expert, 0, i] * x[i]
            new.append(value)
        x = torch.stack(new)
    return x


def field(module, expert: int, fields: Tensor) -> Tensor:
    """V_{i+1} = V_0 * (Omega V_i) + omega (x) V_i, flattened at the end."""
    v = fields
    for layer in module.layers:
        omega, vector = layer.matrix[expert], layer.vector[expert, :, 0]
        v = torch.stack(
            [
                fields[f] * sum(omega[f, g] * v[g] for g in range(len(v)))
                + vector[f] * v[f]
                for f in range(len(v))
            ]
        )
    return torch.cat(list(v))


STRUCTURES = {"dnn": dnn, "cross": cross, "field": field}
MAPPINGS = {
    "raw": lambda e: e,
    "sin": torch.sin,
    "cos": torch.cos,
    "square": lambda e: e * e,
    "tanh": lambda e: (torch.exp(e) - torch.exp(-e)) / (torch.exp(e) + torch.exp(-e)),
}


# ------------------------------------------------------------ gates and towers


def mapped_gates(module, task: int, x: Tensor) -> Tensor:
    """Softmax over the branches of one task of a linear map of the row."""
    scores = torch.exp(affine(module.linear, task, x))
    return scores / scores.sum()


def tower(towers, task: int, n_outputs: int, branches, gates, private) -> Tensor:
    """[DEPHN] eq. 4 and 5, and an MLP after it where the tower has hidden layers.

    ``branches``: the vectors f_p(e_k) of one row; ``gates``: a value for each;
    ``private``: for each kind, the vectors of the task's own experts.
    """
    x = towers.first.bias[task, 0]
    for b, (branch, gate) in enumerate(zip(branches, gates, strict=True)):
        x = x + (gate * branch) @ towers.first.public[b, :, task]
    for weight, experts in zip(towers.first.private, private, strict=True):
        for k, expert in enumerate(experts):
            x = x + expert @ weight[task * len(experts) + k]
    for layer in towers.deeper:
        x = affine(layer, task, leaky_relu(x))
    return x[:n_outputs]


# ------------------------------------------------------------ virtual gradient


def pair_rows(a, b, weights=None):
    """Rows where both labels are known, as (label, label, weight)."""
    weights = np.ones(len(a)) if weights is None else weights
    rows = zip(a, b, weights, strict=True)
    return [(x, y, w) for x, y, w in rows if x == x and y == y and w > 0]


def naive_binary(a, b, kind, weights=None):
    """|Pearson| or |cosine| by its definition."""
    rows = pair_rows(a, b, weights)
    if len({x for x, _, _ in rows}) < 2 or len({y for _, y, _ in rows}) < 2:
        return math.nan
    total = sum(w for *_, w in rows)
    mean_x, mean_y = 0.0, 0.0
    if kind == "pearson":
        mean_x = sum(w * x for x, _, w in rows) / total
        mean_y = sum(w * y for _, y, w in rows) / total
    cross = sum(w * (x - mean_x) * (y - mean_y) for x, y, w in rows)
    norm_x = sum(w * (x - mean_x) ** 2 for x, _, w in rows)
    norm_y = sum(w * (y - mean_y) ** 2 for _, y, w in rows)
    return abs(cross) / math.sqrt(norm_x * norm_y)


def naive_cramer(a, b, weights=None):
    """Cramér's V over the classes that occur."""
    rows = pair_rows(a, b, weights)
    classes_a = sorted({x for x, _, _ in rows})
    classes_b = sorted({y for _, y, _ in rows})
    if min(len(classes_a), len(classes_b)) < 2:
        return math.nan
    total = sum(w for *_, w in rows)
    chi_square = 0.0
    for i, j in product(classes_a, classes_b):
        observed = sum(w for x, y, w in rows if (x, y) == (i, j))
        in_row = sum(w for x, _, w in rows if x == i)
        in_column = sum(w for _, y, w in rows if y == j)
        expected = in_row * in_column / total
        chi_square += (observed - expected) ** 2 / expected
    freedom = min(len(classes_a), len(classes_b)) - 1
    return math.sqrt(chi_square / (total * freedom))


def naive_similarity(y, kind="pearson", weights=None, n_classes=None):
    n_tasks = y.shape[1]
    n_classes = [2] * n_tasks if n_classes is None else n_classes
    out = np.eye(n_tasks)
    for j, t in product(range(n_tasks), repeat=2):
        if j == t:
            continue
        pair = None
        if weights is not None:
            both = weights.reshape(len(y), -1)
            pair = np.sqrt(both[:, j % both.shape[1]] * both[:, t % both.shape[1]])
        if max(n_classes[j], n_classes[t]) <= 2:
            out[j, t] = naive_binary(y[:, j], y[:, t], kind, pair)
        else:
            out[j, t] = naive_cramer(y[:, j], y[:, t], pair)
    return out


GAMMA = {  # the table of eq. 9, with the absolute value of figure 4
    "multiplicative-cos": lambda x, y: math.cos(2 * math.pi * x * y) + 1,
    "multiplicative-abs": lambda x, y: 2 * abs(2 * x * y - 1),
    "multiplicative-square": lambda x, y: 2 * (2 * x * y - 1) ** 2,
    "multiplicative-sqrt": lambda x, y: 2 * abs(2 * x * y - 1) ** 0.5,
    "additive-cos": lambda x, y: math.cos(math.pi * (x + y)) + 1,
    "additive-abs": lambda x, y: 2 * abs(x + y - 1),
    "additive-square": lambda x, y: 2 * (x + y - 1) ** 2,
    "additive-sqrt": lambda x, y: 2 * abs(x + y - 1) ** 0.5,
}


def naive_coefficient(gates, similarity, gamma, reduction="product"):
    """eq. 8: for each task and branch over all other tasks."""
    out = torch.ones_like(gates)
    n_tasks = len(gates)
    for index in np.ndindex(gates.shape):
        t, branch = index[0], index[1:]
        factors = []
        for j in range(n_tasks):
            if j == t:
                continue
            x = float(similarity[j, t])
            y = min(1.0, abs(float(gates[index]) - float(gates[(j, *branch)])))
            factors.append(1.0 if math.isnan(x) else gamma(x, y))
        if factors:
            mean = sum(factors) / len(factors)
            out[index] = math.prod(factors) if reduction == "product" else mean
    return out


# ---------------------------------------------------------------- the network


def dephn(network, kind, edges, *, gates: Tensor | None = None) -> Tensor:
    """Logits of all rows of a `Kind`, (n_rows, sum(n_outputs)).

    Gate values of shape (n_rows, n_tasks, n_branches) replace the network's own.
    """
    interaction, selection = network.interaction, network.selection
    rows = []
    for i, (codes, numbers) in enumerate(zip(kind.codes, kind.numbers, strict=True)):
        raw = fields_of_row(
            network.embedding, kind.cardinalities, edges, codes, numbers
        )

        def selected(structure: int, expert: int | None, raw=raw) -> Tensor:
            if not len(selection.attention):
                return raw
            alone = len(selection.attention) == 1
            e_sa = attended(selection.attention[0 if alone else structure], raw)
            if not len(selection.gates):
                return e_sa
            logit = selection.gates[structure].logit
            return gated(logit if expert is None else logit[expert, 0], raw, e_sa)

        public = selected(0, None)
        outputs = []
        for s, (name, n) in enumerate(interaction.public_kinds.items()):
            for k in range(n):
                out = STRUCTURES[name](interaction.public[s], k, public)
                if name != "dnn":
                    out = affine(interaction.projections[s], k, out)
                outputs.append(out)
        branches = [
            (MAPPINGS[m] if isinstance(m, str) else m)(e)
            for e in outputs
            for m in network.mapping.mappings
        ]
        logits = []
        for t, n_outputs in enumerate(kind.n_outputs):
            private = []
            for s, (name, n) in enumerate(interaction.private_kinds.items(), start=1):
                experts = [t * n + k for k in range(n)]
                private.append(
                    [
                        STRUCTURES[name](interaction.private[s - 1], e, selected(s, e))
                        for e in experts
                    ]
                )
            if gates is not None:
                own = gates[i, t]
            elif hasattr(network.gating, "values"):
                own = network.gating.values[t]
            else:
                own = mapped_gates(network.gating, t, torch.cat(list(public)))
            logits.append(tower(network.towers, t, n_outputs, branches, own, private))
        rows.append(torch.cat(logits))
    return torch.stack(rows)
