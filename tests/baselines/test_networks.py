"""Each network of `dephn_sk.baselines` against its equations, one row at a time."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from _batches import KINDS, make_kind
from _naive import affine, fields_of_row, randomize
from torch.testing import assert_close

from dephn_sk import baselines
from dephn_sk.baselines._ple import CGC
from dephn_sk.baselines._single_task import NetworkPerTask
from dephn_sk.baselines._snr import Routing
from dephn_sk.baselines._xdeepfm import CINLayer
from dephn_sk.nn import FieldEmbedding, Members, NumericEmbedding, use_generator

DIM = 3
HIDDEN = (5, 4, 4)
TOWER = (3,)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def embedding_of(kind, dim=DIM, **options):
    numeric = None
    if kind.numbers.shape[1]:
        edges = [torch.tensor([0.0, 1.0])] * kind.numbers.shape[1]
        numeric = NumericEmbedding(edges, dim, kind="linear")
    return FieldEmbedding(kind.cardinalities, dim, numeric=numeric, **options)


def fields(embedding, kind, row):
    edges = [[0.0, 1.0]] * kind.numbers.shape[1]
    codes, numbers = kind.codes[row], kind.numbers[row]
    return fields_of_row(embedding, kind.cardinalities, edges, codes, numbers)


# ------------------------------------------------------------- one row of each network


def relu(x):
    return torch.stack([value if value > 0 else 0 * value for value in x])


def mlp(module, group, x):
    for layer in module.layers:
        x = relu(affine(layer, group, x))
    return x


def dnn(network, fields, first):
    return affine(network.output, 0, mlp(network.deep, 0, fields.flatten()))


def wide_deep(network, fields, first):
    return dnn(network, fields, first) + sum(first)


def dcn(network, fields, first):
    x0 = x = fields.flatten()
    for layer in network.crosses:
        dot = sum(a * b for a, b in zip(layer.vector[:, 0], x, strict=True))
        x = x0 * dot + layer.bias + x
    deep = mlp(network.deep, 0, x0)
    return affine(network.output, 0, torch.cat([x, deep]))


def fint(network, fields, first):
    v = fields
    for layer in network.interactions:
        rows = []
        for f in range(len(v)):
            mixed = sum(layer.matrix[f, g] * fields[g] for g in range(len(v)))
            rows.append(v[f] * mixed + layer.vector[f] * v[f])
        v = torch.stack(rows)
    return affine(network.output, 0, mlp(network.deep, 0, v.flatten()))


def nfm(network, fields, first):
    pairs = torch.zeros(DIM, dtype=torch.float64)
    for f in range(len(fields)):
        for g in range(f):
            pairs = pairs + fields[f] * fields[g]
    return affine(network.output, 0, mlp(network.deep, 0, pairs)) + sum(first)


def xdeepfm(network, fields, first):
    parts, x = [mlp(network.deep, 0, fields.flatten())], fields
    for layer in network.interactions:
        maps = []
        for h in range(layer.weight.shape[2]):
            terms = [
                layer.weight[i, j, h] * x[i] * fields[j]
                for i in range(len(x))
                for j in range(len(fields))
            ]
            maps.append(sum(terms))
        x = torch.stack(maps)
        parts.append(x.sum(1))
    return affine(network.output, 0, torch.cat(parts)) + sum(first)


def towers(network, n_outputs, inputs):
    logits = []
    for t, (n, x) in enumerate(zip(n_outputs, inputs, strict=True)):
        first, last = network.towers.first, network.towers.deeper[0]
        hidden = relu(affine(first, t, x))
        logits.append(affine(last, t, hidden)[:n])
    return torch.cat(logits)


def shared_bottom(network, fields, n_outputs):
    bottom = mlp(network.bottom, 0, fields.flatten())
    return towers(network, n_outputs, [bottom] * len(n_outputs))


def softmax(scores):
    weights = [torch.exp(s) for s in scores]
    return [w / sum(weights) for w in weights]


def mmoe(network, fields, n_outputs):
    x, mixed = fields.flatten(), []
    experts = [mlp(network.experts, k, x) for k in range(3)]
    for t in range(len(n_outputs)):
        gate = softmax(affine(network.gating.linear, t, x))
        mixed.append(sum(g * e for g, e in zip(gate, experts, strict=True)))
    return towers(network, n_outputs, mixed)


def ple(network, fields, n_outputs):
    n_tasks = len(n_outputs)
    inputs = [fields.flatten()] * (n_tasks + 1)  # of each task, and of the shared
    for level in network.levels:
        owners = [t for t in range(n_tasks) for _ in range(2)] + [n_tasks] * 3
        outputs = [mlp(level.experts, k, inputs[o]) for k, o in enumerate(owners)]
        mixed = []
        for t in range(n_tasks if level is network.levels[-1] else n_tasks + 1):
            seen = [
                k for k, o in enumerate(owners) if t == n_tasks or o in (t, n_tasks)
            ]
            scores = affine(level.gates, t, inputs[t])
            gate = softmax([scores[k] for k in seen])
            mixed.append(sum(g * outputs[k] for g, k in zip(gate, seen, strict=True)))
        inputs = mixed
    return towers(network, n_outputs, inputs)


def routed(routing, inputs):
    outputs = []
    for i in range(routing.bias.shape[0]):
        v = routing.bias[i]
        for j, u in enumerate(inputs):
            s = 1 / (1 + torch.exp(-routing.log_alpha[j, i]))
            z = min(1.0, max(0.0, s.item() * (1.1 + 0.1) - 0.1))
            v = v + z * (routing.weight[j, :, i].T @ u)
        outputs.append(v)
    return outputs


def snr(network, fields, n_outputs):
    u = [mlp(network.lowest, k, fields.flatten()) for k in range(3)]
    for routing in network.routings:
        u = [relu(v) for v in routed(routing, u)]
    return towers(network, n_outputs, routed(network.to_towers, u))


def esmm(network, fields, n_outputs):
    logits = []
    first, *deeper = [network.towers.first, *network.towers.deeper]
    for t, n in enumerate(n_outputs):
        x = affine(first, t, fields.flatten())
        for layer in deeper:
            x = affine(layer, t, relu(x))
        logits.append(x[:n])
    return torch.cat(logits)


def transferred(transfer, before, own):
    """The AIT module, term by term."""
    (information,) = transfer.information.layers
    vectors = [relu(affine(information, 0, before)), own]
    h = [[affine(transfer.maps, i, u) for u in vectors] for i in range(3)]
    scores = [sum(a * b) / math.sqrt(len(own)) for a, b in zip(h[1], h[2], strict=True)]
    weights = softmax(scores)
    return sum(w * value for w, value in zip(weights, h[0], strict=True))


def aitm(network, fields, n_outputs):
    z = []
    for t in range(len(n_outputs)):
        q = mlp(network.bottoms, t, fields.flatten())
        z.append(transferred(network.transfers[t - 1], z[-1], q) if t else q)
    return towers(network, n_outputs, z)


SINGLE = {
    "DNN": (dnn, {}),
    "WideDeep": (wide_deep, {}),
    "DCN": (dcn, {"n_crosses": 3}),
    "FINT": (fint, {"n_interactions": 3}),
    "NFM": (nfm, {}),
    "XDeepFM": (xdeepfm, {"maps": (2, 3)}),
}
MULTI = {
    "SharedBottom": (shared_bottom, {"bottom_hidden": HIDDEN}),
    "MMoE": (mmoe, {"expert_hidden": HIDDEN}),
    "PLE": (ple, {"expert_hidden": HIDDEN, "n_shared": 3, "n_specific": 2}),
    "SNR": (snr, {"expert_hidden": HIDDEN}),
    "ESMM": (esmm, {"hidden": HIDDEN}),
    "AITM": (aitm, {"hidden": HIDDEN}),
}
NETWORKS = [*SINGLE, *MULTI]


def build(name, kind, generator=None, dropout=0.0, embedding=embedding_of, **options):
    """The network of a name for a kind of data; for a single-task one, one per task."""
    cls = getattr(baselines, name)
    options |= {"generator": generator, "dropout": dropout}
    if name in MULTI:
        tower = {} if name == "ESMM" else {"tower_hidden": TOWER}
        options = MULTI[name][1] | tower | options
        return cls(embedding(kind), kind.n_outputs, **options)
    networks = []
    for n in kind.n_outputs:
        first = name in ("WideDeep", "NFM", "XDeepFM")
        second = embedding(kind, dim=n) if first else n
        own = SINGLE[name][1] | {"hidden": HIDDEN} | options
        networks.append(cls(embedding(kind), second, **own))
    return NetworkPerTask(networks)


def logits_of_row(name, network, kind, row):
    if name in MULTI:
        row_fields = fields(network.embedding, kind, row)
        return MULTI[name][0](network, row_fields, kind.n_outputs)
    logits = []
    for own in network.networks:
        first = getattr(own, "first_order", None)
        first = None if first is None else fields(first, kind, row)
        logits.append(SINGLE[name][0](own, fields(own.embedding, kind, row), first))
    return torch.cat(logits)


@pytest.mark.parametrize(
    "kind",
    [
        "plain",
        "batch of one",
        "one task",
        "multi-class task",
        "one multi-class task",
        "unseen category",
        "missing number",
        "one categorical field",
        "one numeric field",
    ],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_its_equations(name, kind):
    kind = KINDS[kind]
    network = randomize(build(name, kind)).eval()
    codes, numbers, _ = kind.tensors()
    rows = [logits_of_row(name, network, kind, i) for i in range(len(codes))]
    assert_close(network(codes, numbers), torch.stack(rows))


# --------------------------------------------------------------------- properties


@pytest.mark.parametrize("kind", ["plain", "multi-class task", "one task"])
@pytest.mark.parametrize("name", NETWORKS)
def test_base_rates_are_the_logits_where_the_last_weights_are_zero(name, kind):
    kind = KINDS[kind]
    network = randomize(build(name, kind)).eval()
    rates = torch.arange(sum(kind.n_outputs), dtype=torch.float64)
    network.start_from(rates)
    with torch.no_grad():
        for part_name, part in network.named_parameters():
            deepest = f"towers.deeper.{len(HIDDEN) - 1 if name == 'ESMM' else 0}.weight"
            last = part_name.endswith(("output.weight", deepest))
            if last or "first_order" in part_name:
                part.zero_()
    codes, numbers, _ = kind.tensors()
    assert torch.equal(network(codes, numbers), rates.expand(len(codes), -1))


def bag_embedding(kind, dim=DIM):
    return embedding_of(kind, dim=dim, bag_cardinalities=[4])


@pytest.mark.parametrize("name", NETWORKS)
def test_multi_valued_fields_reach_their_own_row_alone(name):
    kind = make_kind(n_rows=3, n_classes=(2, 2))
    network = randomize(build(name, kind, embedding=bag_embedding)).eval()
    codes, numbers, _ = kind.tensors()
    offsets = torch.tensor([0, 2, 2, 4])
    before = network(codes, numbers, [Members(torch.tensor([1, 2, 3, 1]), offsets)])
    after = network(codes, numbers, [Members(torch.tensor([1, 2, 3, 2]), offsets)])
    assert torch.equal(before[:2], after[:2])
    assert (before[2] != after[2]).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_initial_values_come_from_the_generator_alone(name):
    kind = KINDS["plain"]

    def embedding(kind, dim=DIM):
        return FieldEmbedding(kind.cardinalities, dim, generator=seeded())

    before = torch.get_rng_state()
    one, two = (
        build(name, kind, generator=seeded(1), embedding=embedding) for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_draws_from_the_generator_alone(name):
    kind = KINDS["plain"]
    network = randomize(build(name, kind, dropout=0.5)).train()
    codes, numbers, _ = kind.tensors()
    before = torch.get_rng_state()
    logits = []
    for seed in (1, 1, 2):
        use_generator(network, seeded(seed))
        logits.append(network(codes, numbers))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


@pytest.mark.parametrize("name", SINGLE)
def test_no_gradient_crosses_tasks_of_single_task_networks(name):
    kind = KINDS["multi-class task"]
    network = randomize(build(name, kind))
    codes, numbers, _ = kind.tensors()
    network(codes, numbers)[:, 0].sum().backward()
    own, *others = network.networks
    assert all(p.grad is not None for p in own.parameters())
    for other in others:
        assert all(p.grad is None or not p.grad.any() for p in other.parameters())


def test_mmoe_of_one_expert_is_a_shared_bottom():
    kind = KINDS["multi-class task"]
    mixture = build("MMoE", kind, n_experts=1)
    bottom = build("SharedBottom", kind)
    shared = {
        name.replace("experts.", "bottom."): value
        for name, value in mixture.state_dict().items()
        if not name.startswith("gating.")
    }
    bottom.load_state_dict(shared)
    codes, numbers, _ = kind.tensors()
    numbers = numbers.float()
    assert_close(mixture(codes, numbers), bottom(codes, numbers))


def test_specific_experts_learn_from_their_task_alone():
    level = randomize(CGC(3, 6, (4,), n_specific=2, n_shared=1, last=True))
    level(torch.ones(5, 6, dtype=torch.float64))[1].sum().backward()
    gradient = level.experts.layers[0].weight.grad.abs().sum((0, 2))
    assert (gradient > 0).tolist() == [False, False, True, True, False, False, True]


def test_shared_experts_of_all_levels_but_the_last_read_every_expert():
    level = randomize(CGC(2, 6, (4,), last=False))
    level(torch.ones(5, 6, dtype=torch.float64))[2].sum().backward()
    assert (level.experts.layers[0].weight.grad.abs().sum((0, 2)) > 0).all()


@pytest.mark.parametrize("name", ["FINT", "XDeepFM"])
def test_blocks_of_rows_change_nothing(name, monkeypatch):
    kind = KINDS["plain"]
    network = randomize(build(name, kind)).eval()
    codes, numbers, _ = kind.tensors()
    whole = network(codes, numbers)
    monkeypatch.setattr("dephn_sk.nn._row_blocks.CACHE", 50)
    assert_close(network(codes, numbers), whole)


@pytest.mark.parametrize("cache", [1, 2**18])
@pytest.mark.parametrize("batch", [1, 37])
def test_blocks_of_compressed_interaction_are_the_sum_over_pairs(
    batch, cache, monkeypatch
):
    monkeypatch.setattr("dephn_sk.nn._row_blocks.CACHE", cache)
    layer = randomize(CINLayer(5, 4, 3))
    x0, x = (torch.randn(batch, 2, n, dtype=torch.float64) for n in (5, 4))
    assert_close(layer(x0, x), layer.reference(x0, x), rtol=0, atol=1e-9)


# ---------------------------------------------------------- connections of SNR


@pytest.mark.parametrize("batch", [1, 37])
def test_folded_connections_are_the_sum_over_sub_networks(batch):
    routing = randomize(Routing(3, 2, 5, 4)).eval()
    u = torch.randn(3, batch, 5, dtype=torch.float64)
    assert_close(routing(u), routing.reference(u), rtol=0, atol=1e-9)


def test_closed_connection_passes_nothing_and_an_open_one_everything():
    routing = randomize(Routing(2, 1, 3, 4)).eval()
    with torch.no_grad():
        routing.log_alpha[:, 0] = torch.tensor([-torch.inf, torch.inf])
        u = torch.randn(2, 5, 3, dtype=torch.float64, generator=seeded())
        expected = u[1] @ routing.weight[1, :, 0] + routing.bias[0]
        assert_close(routing(u)[0], expected)


def test_training_connections_are_the_hard_concrete_of_the_drawn_numbers():
    routing = randomize(Routing(3, 2, 1, 1)).train()
    use_generator(routing, seeded(5))
    drawn = torch.empty(3, 2, dtype=torch.float64).uniform_(generator=seeded(5))
    connections = routing.connections()
    for j in range(3):
        for i in range(2):
            r, log_alpha = drawn[j, i], routing.log_alpha[j, i]
            noise = torch.log(r) - torch.log(1 - r)
            s = 1 / (1 + torch.exp(-(noise + log_alpha) / (2 / 3)))
            expected = (s * 1.2 - 0.1).clamp(0, 1)
            assert_close(connections[j, i], expected)


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 1.5])
def test_expected_number_of_open_connections_is_how_many_are_drawn(log_alpha):
    routing = Routing(100, 100, 1, 1).train()
    use_generator(routing, seeded())
    with torch.no_grad():
        routing.log_alpha.fill_(log_alpha)
        share = routing.n_open().item() / 10_000
        drawn = (routing.connections() > 0).double().mean().item()
    assert drawn == pytest.approx(share, abs=4 * (share * (1 - share) / 10_000) ** 0.5)


def test_penalty_is_the_price_of_all_connections():
    network = build("SNR", KINDS["plain"], l0_penalty=0.5)
    log_alphas = [r.log_alpha for r in [*network.routings, network.to_towers]]
    n_open = 0.0
    for log_alpha in log_alphas:
        for value in log_alpha.flatten().tolist():
            n_open += 1 / (1 + math.exp(2 / 3 * math.log(0.1 / 1.1) - value))
    assert network.penalty().item() == pytest.approx(0.5 * n_open, rel=1e-6)


def test_prediction_of_snr_draws_nothing():
    kind = KINDS["plain"]
    network = randomize(build("SNR", kind)).eval()
    codes, numbers, _ = kind.tensors()
    other = copy.deepcopy(network)
    use_generator(other, seeded(3))
    assert torch.equal(network(codes, numbers), other(codes, numbers))


# ---------------------------------------------------------- calibrator of AITM


@pytest.mark.parametrize("n_rows", [1, 40])
@pytest.mark.parametrize("n_classes", [(2, 2, 2), (2, 3, 2, 2)])
def test_penalty_of_aitm_is_what_exceeds_the_step_before(n_rows, n_classes):
    kind = make_kind(n_rows=n_rows, n_classes=n_classes)
    network = randomize(build("AITM", kind, calibrator_penalty=0.25)).train()
    codes, numbers, _ = kind.tensors()
    logits = network(codes, numbers)
    names, start = {}, 0  # of tasks of two classes, their logits
    for t, n in enumerate(kind.n_outputs):
        names |= {t: start} if n == 1 else {}
        start += n
    excess = 0.0
    for row in logits.tolist():
        p = {t: 1 / (1 + math.exp(-row[place])) for t, place in names.items()}
        excess += sum(max(p[t] - p[t - 1], 0) for t in p if t - 1 in p)
    penalty = network.penalty()
    assert penalty.item() == pytest.approx(0.25 * excess / n_rows, abs=1e-9)
    (gradient,) = torch.autograd.grad(penalty, network.towers.first.weight)
    assert gradient.any() or not excess
    assert network.penalty() is None  # each is asked for once
    copy.deepcopy(network)
    network.eval()(codes, numbers)
    assert network.penalty() is None


def test_aitm_of_one_task_transfers_nothing():
    network = build("AITM", KINDS["one task"])
    assert not len(network.transfers)
    codes, numbers, _ = KINDS["one task"].tensors()
    network.train()(codes, numbers.float())
    assert network.penalty() is None


def test_steps_of_aitm_read_those_before_and_none_after():
    kind = KINDS["plain"]
    network = randomize(build("AITM", kind)).eval()
    codes, numbers, _ = kind.tensors()
    n = len(kind.n_outputs)
    for t in range(n):
        network.zero_grad()
        network(codes, numbers)[:, t].sum().backward()
        gradient = network.bottoms.layers[0].weight.grad.abs().sum((0, 2))
        assert (gradient > 0).tolist() == [s <= t for s in range(n)]
