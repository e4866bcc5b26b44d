"""Members in one network are what they are alone, and predict their mean together."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torch.testing import assert_close

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.nn import (
    DEPHN,
    FieldEmbedding,
    Members,
    NetworkEnsemble,
    NumericEmbedding,
)
from dephn_sk.tasks import Binary, MultiClass, Tasks

N = 3
CLASSIFIERS = [getattr(baselines, n) for n in baselines.__all__ if "Classifier" in n]
OPTIONS = {
    "default": {"private_experts": ()},
    "one of each": {
        "public_experts": ("dnn", "cross", "field"),
        "private_experts": ("field", "dnn"),
    },
    "attention": {"selection": "soft", "private_experts": ("cross",)},
    "mapped": {"gate": "mapped"},
}


def embedding_of(generator, kind="linear+bins+piecewise-linear"):
    edges = [torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0])]
    numeric = NumericEmbedding(edges, 4, kind=kind, generator=generator)
    options = {"numeric": numeric, "bag_cardinalities": [5], "generator": generator}
    return FieldEmbedding([4, 6, 9], 4, **options)


def members_of(n_outputs, **options):
    networks = []
    for seed in range(N):
        generator = torch.Generator().manual_seed(seed)
        given = {"selection": None, "tower_hidden": (3,), "generator": generator}
        networks.append(
            DEPHN(embedding_of(generator), n_outputs, **{**given, **options}).double()
        )
        for p in networks[-1].parameters():
            torch.nn.init.normal_(p, std=0.4)
    return networks


def batch_of(size, n_tasks):
    codes = torch.stack([torch.randint(0, n, (size,)) for n in (4, 6, 9)], 1)
    ends = torch.arange(size + 1) * 2
    bags = [Members(torch.randint(0, 5, (2 * size,)), ends)]
    alike = torch.rand(n_tasks, n_tasks, dtype=torch.float64)
    return {
        "codes": codes,
        "numbers": torch.randn(size, 2, dtype=torch.float64),
        "bags": bags,
        "label_similarity": (alike + alike.T) / 2,
    }


def stacked(batches):
    """Batches of members as one."""
    return {
        name: [one[name] for one in batches]
        if name == "bags"
        else torch.stack([one[name] for one in batches])
        for name in batches[0]
    }


@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_each_member_is_what_it_is_alone(options, size):
    torch.manual_seed(0)
    alone = members_of([1, 3], **options)
    together = NetworkEnsemble(copy.deepcopy(alone), lambda logits: logits.mean(0))
    batch = batch_of(size, 2)
    expected = torch.stack([network(**batch) for network in alone])
    assert torch.equal(together.train()(**batch), expected)
    batches = [batch_of(size, 2) for _ in range(N)]
    pairs = zip(alone, batches, strict=True)
    expected = torch.stack([network(**own) for network, own in pairs])
    logits = together(**stacked(batches))
    assert torch.equal(logits, expected)
    above = torch.randn_like(logits)
    (logits * above).sum().backward()
    (expected * above).sum().backward()
    for network, member in zip(alone, together.members, strict=True):
        pairs = zip(network.parameters(), member.parameters(), strict=True)
        for own, other in pairs:
            assert (own.grad is None) == (other.grad is None)
            assert own.grad is None or torch.equal(own.grad, other.grad)


def test_members_start_from_the_same_rates():
    alone = members_of([1, 3])
    together = NetworkEnsemble(alone, lambda logits: logits.mean(0))
    start = torch.randn(4, dtype=torch.float64)
    together.start_from(start)
    for member in together.members:
        for p in [*member.parameters()][1:]:
            p.data.mul_(0 if p is not member.towers.deeper[-1].bias else 1)
        assert_close(member(**batch_of(5, 2)), start.expand(5, -1))


def test_probabilities_are_the_mean_however_far_from_one_half():
    tasks = Tasks(
        (
            Binary("a", np.array([0, 1])),
            Binary("b", np.array([0, 1])),
            MultiClass("c", np.arange(3)),
        ),
        single=False,
    )
    logits = 20 * torch.randn(N, 50, 5, dtype=torch.float64)
    logits[:, 0] = 300.0
    logits[:, 1] = -300.0
    pooled = tasks.pool(logits).numpy()
    assert np.isfinite(pooled).all()
    z = logits.numpy()
    np.testing.assert_allclose(
        expit(pooled[:, :2]), expit(z[..., :2]).mean(0), rtol=1e-9
    )
    np.testing.assert_allclose(
        expit(-pooled[:, :2]), expit(-z[..., :2]).mean(0), rtol=1e-9
    )
    classes = softmax(z[..., 2:], axis=-1).mean(0)
    np.testing.assert_allclose(softmax(pooled[:, 2:], axis=-1), classes, rtol=1e-9)


@pytest.mark.parametrize("cls", [DEPHNMultiTaskClassifier, *CLASSIFIERS])
def test_every_network_has_members(cls):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 2, (200, 2))
    y[:, 1] = rng.integers(0, 3, 200)
    # labels of no funnel, which ESMM takes them for
    given = {"max_epochs": 2, "random_state": 0, "device": "cpu", "conditions": {}}
    model = cls(n_networks=N, **given).fit(X, y)
    network = model.network_
    assert network.n_members == len(network.members) == N
    batch = next(
        model._learned().learned.source(model.encoder_.encode(X), "cpu").batches(200)
    )
    with torch.no_grad():
        one_by_one = [
            member.eval()(**batch.inputs).double() for member in network.members
        ]
    z = torch.stack(one_by_one).numpy()
    click, kind = model.predict_proba(X)
    np.testing.assert_allclose(click[:, 1], expit(z[..., 0]).mean(0), atol=1e-6)
    np.testing.assert_allclose(kind, softmax(z[..., 1:], axis=-1).mean(0), atol=1e-6)
    assert np.abs(z[0] - z[1]).max() > 1e-3
    alone = cls(**given).fit(X, y)
    first = network.members[0]
    assert first.state_dict().keys() == alone.network_.state_dict().keys()
    parameters = [p for group in network.parameter_groups() for p in group["params"]]
    assert (
        len(parameters) == len({*map(id, parameters)}) == len([*network.parameters()])
    )
    copied = copy.deepcopy(model).partial_fit(X + 1, y)
    assert copied.n_iter_ == 3
