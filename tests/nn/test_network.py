"""A network from outside the package is trained, predicts, grows and is looked at."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss

from dephn_sk import DEPHNMultiTaskClassifier, MultiTaskClassifier
from dephn_sk.inspection import (
    CoefficientDisplay,
    FitSummary,
    GateDisplay,
    LabelSimilarityDisplay,
    SelectionDisplay,
    TrainingCurveDisplay,
    expert_contributions,
    expert_utilization,
    field_attributions,
    gate_values,
    permutation_importance,
)
from dephn_sk.nn import DEPHN, FieldEmbedding, GroupedLinear, TaskNetwork


class Linear(TaskNetwork):
    def __init__(self, embedding, n_outputs, generator=None):
        super().__init__()
        self.embedding = embedding
        self.output = GroupedLinear(
            1, embedding.width, sum(n_outputs), generator=generator
        )

    def forward(self, codes, numbers=None, bags=()):
        return self.output(self.embedding(codes, numbers, bags).flatten(1))[0]


class LinearClassifier(MultiTaskClassifier):
    """The toy: nothing but a network and the way to build it."""

    def build_network(self, embedding, n_outputs, generator):
        return Linear(embedding, n_outputs, generator)


def make_table(n=400, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"shop": rng.choice(list("abc"), n), "x": rng.normal(size=n)})
    click = X["x"] + (X["shop"] == "a") + rng.logistic(scale=0.5, size=n) > 0.5
    buy = X["x"] - (X["shop"] == "b") + rng.logistic(scale=0.5, size=n) > 0.5
    return X, pd.DataFrame({"click": click.astype(int), "buy": buy.astype(int)})


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def fitted(table):
    return LinearClassifier(
        max_epochs=20, batch_size=32, learning_rate=0.01, random_state=0
    ).fit(*table)


def test_it_learns_and_one_seed_gives_the_same_bytes(fitted, table):
    X, y = make_table(seed=1)
    probability = fitted.predict_proba(X)
    for t, task in enumerate(y):
        rates = np.full(len(y), y[task].mean())
        assert log_loss(y[task], probability[:, t]) < 0.8 * log_loss(y[task], rates)
    again = LinearClassifier(**fitted.get_params()).fit(*table)
    assert again.predict_proba(X).tobytes() == probability.tobytes()
    copied = pickle.loads(pickle.dumps(fitted))
    assert copied.predict_proba(X).tobytes() == probability.tobytes()


def test_its_tables_grow(fitted, table):
    X, y = table
    model = copy.deepcopy(fitted).partial_fit(X.assign(shop="new"), y)
    (embedding,) = model.network_.tables()
    (before,) = fitted.network_.tables()
    assert len(embedding.table) == len(before.table) + 1


def test_what_it_has_is_shown(fitted, table):
    X, y = table
    assert "2 fields" in repr(FitSummary.from_estimator(fitted))
    assert len(TrainingCurveDisplay.from_estimator(fitted).train_loss) == fitted.n_iter_
    assert field_attributions(fitted, X[:5]).attributions.shape == (5, 2, 2)
    assert set(permutation_importance(fitted, X, y, n_repeats=1)) == {"click", "buy"}
    assert LabelSimilarityDisplay.from_estimator(fitted, y).similarity.shape == (2, 2)


@pytest.mark.parametrize(
    ("show", "message"),
    [
        (gate_values, "LinearClassifier has no gates"),
        (expert_utilization, "LinearClassifier has no gates"),
        (GateDisplay.from_estimator, "LinearClassifier has no gates"),
        (
            lambda model: CoefficientDisplay.from_estimator(model, make_table()[1]),
            "LinearClassifier has no gates",
        ),
        (SelectionDisplay.from_estimator, "LinearClassifier .*without soft selection"),
        (
            lambda model: expert_contributions(model, make_table()[0]),
            "LinearClassifier does not have",
        ),
    ],
)
def test_what_it_has_not_is_said_by_name(fitted, show, message):
    with pytest.raises((TypeError, ValueError), match=message):
        show(fitted)


def test_a_plain_network_has_none_of_what_may_be_asked():
    network = Linear(FieldEmbedding([3, 2], dim=4), [1, 3])
    codes = torch.tensor([[1, 0], [2, 1]])
    before = copy.deepcopy(network.state_dict())
    network.start_from(torch.zeros(4))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    nothing = (network.penalty(), network.gates, network.selection_logits)
    assert nothing == (None, None, None)
    assert network.mapped_gates(codes) is network.contributions(codes) is None
    assert network.branch_names == network.expert_names == ()
    assert network.structure_names(["a"]) == ()
    assert network.wants_label_similarity is network.virtual_gradient is None
    (group,) = network.parameter_groups()
    assert list(map(id, group["params"])) == list(map(id, network.parameters()))
    assert list(network.tables()) == [network.embedding]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "pearson"),
        ({"label_similarity": "cosine"}, "cosine"),
        ({"gate": "mapped"}, "pearson"),
        ({"virtual_gradient": None}, None),
        ({"public_experts": ()}, None),
    ],
)
def test_dephn_wants_labels_where_they_reach_a_gate(options, kind):
    network = DEPHN(FieldEmbedding([3], dim=4), [1, 1], **options)
    assert network.wants_label_similarity == kind


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_every_parameter_is_in_one_group_and_the_gates_descend_plainly(gate):
    network = DEPHN(FieldEmbedding([3], dim=4), [1, 1], gate=gate)
    rest, gates = network.parameter_groups()
    assert gates["rule"] == "sgd"
    assert gates["lr"] == 0.1
    assert {id(p) for p in gates["params"]} == set(map(id, network.gating.parameters()))
    together = [*rest["params"], *gates["params"]]
    assert sorted(map(id, together)) == sorted(map(id, network.parameters()))
    network = DEPHN(
        FieldEmbedding([3], dim=4), [1, 1], gate=gate, gate_optimizer="adam"
    )
    assert len(network.parameter_groups()) == 1


@pytest.mark.parametrize("n_tasks", [2, 8, 60, 200])
def test_any_number_of_tasks_beats_the_base_rates(n_tasks):
    rng = np.random.default_rng(0)
    n = 1000
    X = rng.normal(size=(n, 4))
    logits = X @ rng.normal(size=(4, n_tasks))
    y = (logits + rng.normal(size=logits.shape) > 0.7).astype(int)
    model = DEPHNMultiTaskClassifier(
        max_epochs=6, batch_size=50, n_threads=1, random_state=0
    ).fit(X, y)
    probability = model.predict_proba(X)
    loss = [log_loss(y[:, t], probability[:, t]) for t in range(n_tasks)]
    base = [log_loss(y[:, t], np.full(n, y[:, t].mean())) for t in range(n_tasks)]
    assert np.mean(loss) < 0.85 * np.mean(base)
    assert np.abs(model.gate_values_).max() < 10
