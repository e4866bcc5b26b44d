"""The whole network: figure 2 against a loop, and who gets which gradient."""

from __future__ import annotations

import copy
import re
from collections import Counter

import pytest
import torch
from _batches import KINDS, make_kind
from _naive import GAMMA, dephn, naive_coefficient, randomize
from torch.testing import assert_close

from dephn_sk.nn import (
    DEPHN,
    FieldEmbedding,
    HeterogeneousInteraction,
    NumericEmbedding,
    label_similarity,
)
from dephn_sk.training import MultiTaskLoss

EDGES = [[-1.0, 0.0, 0.5, 1.5], [-0.5, 0.5]]
SMALL = {"expert_hidden": (5, 3), "n_layers": 2}


def make_network(kind, seed=0, **options):
    numeric = None
    if n_numeric := kind.numbers.shape[1]:
        edges = [torch.tensor(e, dtype=torch.float64) for e in EDGES[:n_numeric]]
        numeric = NumericEmbedding(edges, dim=4)
    embedding = FieldEmbedding(kind.cardinalities, dim=4, numeric=numeric)
    network = DEPHN(embedding, kind.n_outputs, **{**SMALL, **options})
    return randomize(network, seed, std=0.4)


def losses(network, kind, **options):
    """The loss of each task, over the labels that are known."""
    codes, numbers, labels = kind.tensors()
    known = ~labels.isnan()
    logits = network(codes, numbers, **options)
    loss = MultiTaskLoss(kind.tasks)
    return loss(logits, labels.nan_to_num(), known.double())


def similarity_of(kind, **options):
    return label_similarity(kind.tensors()[2], n_classes=kind.n_classes, **options)


def gradients(network, loss):
    named = dict(network.named_parameters())
    grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return dict(zip(named, grads, strict=True))


def assert_is_naive(kind, **options):
    network = make_network(kind, **options)
    codes, numbers, _ = kind.tensors()
    assert_close(network(codes, numbers), dephn(network, kind, EDGES))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_network_is_figure_2(name, gate):
    assert_is_naive(KINDS[name], gate=gate)


@pytest.mark.parametrize(
    "options",
    [
        {"public_experts": ("dnn", "cross", "field"), "private_experts": ()},
        {"public_experts": ("cross", "field"), "private_experts": ("dnn",)},
        {"public_experts": ("dnn",), "private_experts": ("cross", "field") * 2},
        {"public_experts": ("field", "dnn", "field"), "private_experts": ("dnn",) * 2},
        {"public_experts": (), "private_experts": ("cross", "dnn")},
        {"cross_rank": 2},
        {"residual": False},
        {"selection": "soft-private-attention"},
        {"selection": "attention"},
        {"selection": None},
        {"n_heads": 4},
        {"n_heads": 1},
        {"mappings": ("raw",)},
        {"mappings": ("raw", "sin", "cos", "square", "tanh")},
        {"mappings": ("raw", torch.exp)},
        {"tower_hidden": (4,)},
        {"tower_hidden": (4, 3), "gate": "mapped"},
        {"n_layers": 1, "expert_hidden": (3,)},
        {"n_layers": 4},
    ],
    # without addresses, which no two processes of tests have in common
    ids=lambda options: re.sub(" at 0x[0-9a-f]+", "", str(options)),
)
def test_network_is_figure_2_with(options):
    assert_is_naive(make_kind(n_rows=3, n_classes=(2, 3)), **options)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_gradients_of_all_parameters_are_those_of_the_loop(batch):
    kind = make_kind(n_rows=batch, n_classes=(2, 2))
    network = make_network(kind)
    codes, numbers, _ = kind.tensors()
    upstream = torch.randn(batch, 2, dtype=torch.float64)
    fast = gradients(network, (network(codes, numbers) * upstream).sum())
    slow = gradients(network, (dephn(network, kind, EDGES) * upstream).sum())
    for name, gradient in slow.items():
        expected = torch.zeros_like(fast[name]) if gradient is None else gradient
        assert_close(
            fast[name], expected, msg=lambda text, name=name: f"{name}: {text}"
        )


# ------------------------------------------------------------- virtual gradient


@pytest.mark.parametrize("name", KINDS)
def test_virtual_gradient_is_eq_8_for_the_gates_and_nothing_else(name):
    kind = KINDS[name]
    network, similarity = make_network(kind), similarity_of(kind)
    plain_loss = losses(network, kind)
    virtual_loss = losses(network, kind, label_similarity=similarity)
    assert torch.equal(virtual_loss, plain_loss)
    plain = gradients(network, plain_loss.sum())
    virtual = gradients(network, virtual_loss.sum())
    gamma = naive_coefficient(
        network.gating.values.detach(), similarity, GAMMA["additive-sqrt"]
    )
    expected = gamma * plain.pop("gating.values")
    assert_close(virtual.pop("gating.values"), expected, atol=1e-9, rtol=1e-6)
    for parameter, gradient in plain.items():
        assert torch.equal(virtual[parameter], gradient), parameter


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
@pytest.mark.parametrize("function", ["additive-sqrt", "multiplicative-sqrt"])
def test_virtual_gradient_leaves_the_forward_pass_bit_identical(name, gate, function):
    kind = KINDS[name]
    network = make_network(kind, gate=gate, virtual_gradient=function)
    codes, numbers, _ = kind.tensors()
    with_it = network(codes, numbers, label_similarity=similarity_of(kind))
    assert torch.equal(with_it, network(codes, numbers))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_no_gradient_is_ever_nan(name, gate):
    kind = KINDS[name]
    network = make_network(kind, gate=gate)
    loss = losses(network, kind, label_similarity=similarity_of(kind)).sum()
    for parameter, gradient in gradients(network, loss).items():
        assert gradient is None or gradient.isfinite().all(), parameter


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_virtual_gradient_none_equals_a_coefficient_of_one(gate):
    kind = KINDS["plain"]
    similarity = similarity_of(kind)
    none, one = (
        make_network(kind, gate=gate, virtual_gradient=function)
        for function in (None, lambda x, y: torch.ones_like(x))
    )
    for network in (none, one):
        loss = losses(network, kind, label_similarity=similarity).sum()
        plain = losses(network, kind).sum()
        expected = gradients(network, plain)
        for name, gradient in gradients(network, loss).items():
            assert torch.equal(gradient, expected[name]), name


def test_equal_labels_and_equal_gates_stop_the_gates_and_nothing_else():
    kind = KINDS["all labels equal"]  # x = 1, y = 0: the valley of the additive family
    network = make_network(kind)
    network.gating.values.data = network.gating.values[:1].repeat(3, 1)
    similarity = similarity_of(kind)
    assert torch.equal(similarity, torch.ones(3, 3, dtype=torch.float64))
    loss = losses(network, kind, label_similarity=similarity).sum()
    grads = gradients(network, loss)
    assert not grads.pop("gating.values").any()
    for name, gradient in grads.items():
        assert gradient.any() or name.endswith("missing"), name


def test_virtual_gradient_of_mapped_gates_scales_what_reaches_the_gate_values():
    kind = make_kind(n_rows=4)
    network = make_network(kind, gate="mapped")
    similarity, (codes, numbers, _) = similarity_of(kind), kind.tensors()
    upstream = torch.randn(4, 3, dtype=torch.float64)
    fields, _ = network.selection(network.embedding(codes, numbers))
    gates = network.gating(fields.flatten(1))

    values = gates.detach().requires_grad_()  # of every row, as if they were leaves
    logits = dephn(network, kind, EDGES, gates=values)
    (plain,) = torch.autograd.grad((logits * upstream).sum(), values)
    gamma = naive_coefficient(
        gates.mean(0).detach(), similarity, GAMMA["additive-sqrt"]
    )
    parameters = list(network.gating.parameters())
    expected = torch.autograd.grad(gates, parameters, gamma * plain)

    out = network(codes, numbers, label_similarity=similarity)
    virtual = torch.autograd.grad((out * upstream).sum(), parameters)
    for given, wanted in zip(virtual, expected, strict=True):
        assert_close(given, wanted)


# --------------------------------------------------------- who gets which gradient


def private_slices(network, n_tasks):
    """(name, parameter, axis of tasks, entries of each task) of all private parts."""
    counts = list(network.interaction.private_kinds.values())
    for name, parameter in network.named_parameters():
        prefixes = [f"interaction.private.{s}." for s in range(len(counts))]
        prefixes += [f"selection.gates.{s + 1}." for s in range(len(counts))]
        for prefix, count in zip(prefixes, counts * 2, strict=True):
            if name.startswith(prefix):
                axes = [
                    i for i, n in enumerate(parameter.shape) if n == n_tasks * count
                ]
                assert len(axes) == 1, f"{name} {tuple(parameter.shape)}"
                yield name, parameter, axes[0], count


@pytest.mark.parametrize("name", ["plain", "missing label", "constant labels"])
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_a_private_expert_gets_exactly_zero_gradient_from_other_tasks(name, gate):
    kind = KINDS[name]
    n_tasks = len(kind.n_classes)
    # three and six experts: no other axis has such a length
    network = make_network(
        kind,
        gate=gate,
        private_experts=("cross", "dnn", "field", "field"),
        expert_hidden=(5, 7),
    )
    similarity, found = similarity_of(kind), Counter()
    for t in range(n_tasks):
        grads = gradients(
            network, losses(network, kind, label_similarity=similarity)[t]
        )
        for parameter, _, axis, count in private_slices(network, n_tasks):
            gradient = grads[parameter]
            own = torch.arange(t * count, (t + 1) * count)
            others = torch.ones(gradient.shape[axis], dtype=torch.bool)
            others[own] = False
            gradient = gradient.movedim(axis, 0)
            assert not gradient[others].any(), (parameter, t)
            assert gradient[own].any(), (parameter, t)
            found[parameter] += 1
    assert len(found) >= 3 * 3  # experts and selection gates of three structures


def test_a_public_expert_gets_gradient_from_every_task():
    kind = KINDS["plain"]
    network = make_network(kind, public_experts=("dnn", "cross", "field"))
    shared = ("interaction.public", "interaction.projections", "selection.gates.0")
    for t in range(3):
        grads = gradients(network, losses(network, kind)[t])
        names = [
            name for name in grads if name.startswith((*shared, "embedding.table"))
        ]
        assert len(names) > 8
        for name in names:
            assert grads[name].any(), (name, t)


def test_the_gates_and_towers_of_a_task_get_no_gradient_from_another():
    kind = KINDS["plain"]
    network = make_network(kind)
    for t in range(3):
        similarity = similarity_of(kind)
        loss = losses(network, kind, label_similarity=similarity)[t]
        gradient = gradients(network, loss)["gating.values"]
        assert gradient.any(1).tolist() == [j == t for j in range(3)]


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
@pytest.mark.parametrize("tower_hidden", [(), (5,)])
def test_permuted_tasks_give_permuted_outputs(gate, tower_hidden):
    kind = make_kind(n_classes=(2, 2, 2), cardinalities=(4, 5, 7))
    # five fields of width 4: no other axis is as long as three tasks or six experts
    options = {
        "gate": gate,
        "tower_hidden": tower_hidden,
        "private_experts": ("cross", "dnn", "dnn"),
        "expert_hidden": (7, 5),
        "public_experts": ("dnn", "dnn"),
        "mappings": ("raw", "sin"),
    }
    network = make_network(kind, **options)
    permuted = copy.deepcopy(network)
    order = torch.tensor([2, 0, 1])
    experts = {3: order, 6: torch.stack([2 * order, 2 * order + 1], 1).flatten()}
    changed = set()
    with torch.no_grad():
        for name, parameter in permuted.named_parameters():
            if name.startswith(("embedding", "interaction.public", "selection.att")):
                continue
            for axis, length in enumerate(parameter.shape):
                if length in experts:
                    parameter.copy_(parameter.index_select(axis, experts[length]))
                    changed.add(name)
    assert {"towers.first.bias", "selection.gates.2.logit"} < changed
    codes, numbers, _ = kind.tensors()
    expected = network(codes, numbers)[:, order]
    assert_close(permuted(codes, numbers), expected)


def test_one_task_and_no_private_expert_is_a_gated_dnn():
    kind = make_kind(n_classes=(2,), n_numeric=0)
    network = make_network(
        kind,
        private_experts=(),
        public_experts=("dnn",),
        mappings=("raw",),
        selection=None,
        n_layers=1,
        expert_hidden=(5,),
        residual=False,
    )
    codes, _, _ = kind.tensors()
    layer = network.interaction.public[0].layers[0].linear
    x = network.embedding(codes).flatten(1)
    hidden = torch.nn.functional.leaky_relu(x @ layer.weight[:, 0] + layer.bias[0])
    gated = network.gating.values[0, 0] * hidden
    tower = network.towers.first
    expected = gated @ tower.public[0, :, 0] + tower.bias[0]
    similarity = torch.ones(1, 1, dtype=torch.float64)
    assert_close(network(codes, label_similarity=similarity), expected)


def test_one_field_perturbed_does_not_move_another_row():
    kind = KINDS["plain"]
    network = make_network(kind)
    codes, numbers, _ = kind.tensors()
    other = numbers.clone()
    other[0] += 0.1
    before, after = network(codes, numbers), network(codes, other)
    assert not torch.isclose(before[0], after[0]).any()
    assert_close(after[1:], before[1:])


# ---------------------------------------------------------------------- training


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
@pytest.mark.parametrize("name", KINDS)
def test_loss_decreases(name, gate):
    kind = KINDS[name]
    network = make_network(kind, gate=gate)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    values = []
    for _ in range(5):
        loss = losses(network, kind, label_similarity=similarity_of(kind)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]


def test_a_generator_decides_the_initial_values_and_torch_keeps_its_own():
    state = torch.get_rng_state()

    def build():
        generator = torch.Generator().manual_seed(3)
        embedding = FieldEmbedding([4, 5], dim=4, generator=generator)
        return DEPHN(embedding, [1, 3], tower_hidden=(4,), generator=generator, **SMALL)

    first, second = build().state_dict(), build().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"public_experts": ("dnm",)}, "'dnm'"),
        ({"private_experts": ("crss",)}, "'crss'"),
        ({"gate": "trained"}, "gate .* got 'trained'"),
        ({"selection": "hard"}, "got 'hard'"),
        ({"mappings": ("sinus",)}, "'sinus'"),
        ({"n_heads": 3}, "n_heads=3"),
    ],
)
def test_an_unknown_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        DEPHN(FieldEmbedding([3], dim=4), [1], **options)


def test_public_cross_and_field_experts_are_projected_to_the_common_width():
    layer = HeterogeneousInteraction(
        3, 4, 2, public_experts=("dnn", "cross", "field"), expert_hidden=(5, 6)
    )
    public, private = layer(torch.ones(7, 3, 4), [torch.ones(7, 3, 4)] * 2)
    assert public.shape == (3, 7, 6)
    assert [tuple(p.shape) for p in private] == [(2, 7, 12)] * 2
