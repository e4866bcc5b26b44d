"""The virtual gradient in the estimator: one training step, computed by hand."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from _batches import Kind
from _naive import GAMMA, dephn, naive_coefficient, naive_similarity
from skorch.callbacks import Callback

from dephn_sk import DEPHNMultiTaskClassifier

GATE_LEARNING_RATE = 0.5


class Weights(Callback):
    """Keeps the network's parameters from before the first and after each epoch."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.states_ = [copy.deepcopy(net.module_.state_dict())]

    def on_epoch_end(self, net, **kwargs):
        self.states_.append(copy.deepcopy(net.module_.state_dict()))


def make_data(n_rows=12, n_classes=(2, 2, 2), missing=0.0, seed=0):
    """Categorical columns, and labels that depend on each other."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, [3, 4, 2], (n_rows, 3))
    X = pd.DataFrame(codes.astype(str), columns=list("abc"))
    common = rng.random(n_rows)
    y = np.stack(
        [np.floor((common + rng.random(n_rows)) / 2 * n) for n in n_classes], axis=1
    )
    y[rng.random(y.shape) < missing] = np.nan
    return X, pd.DataFrame(y, columns=[f"task {t}" for t in range(len(n_classes))])


def fit(X, y, sample_weight=None, **options):
    """A model after one full-batch step, unless told otherwise."""
    options = {
        "embedding_dim": 2,
        "public_experts": ("dnn", "dnn"),
        "private_experts": ("cross", "field"),
        "expert_hidden": (5, 3),
        "n_layers": 2,
        "n_heads": 2,
        "cross_rank": 2,
        "tower_hidden": (4,),
        "embedding_dropout": 0.0,
        "unseen_rate": 0.0,
        "dropout": 0.0,
        "coefficient_reduction": "product",
        "gate_learning_rate": GATE_LEARNING_RATE,
        "learning_rate": 0.01,
        "max_epochs": 1,
        "batch_size": len(X),
        "weight_averaging": 0.0,
        "dtype": "float64",
        "random_state": 0,
        **options,
    }
    model = DEPHNMultiTaskClassifier(callbacks=[("weights", Weights())], **options)
    return model.fit(X, y, sample_weight)


def states(model):
    return dict(model.net_.callbacks_)["weights"].states_


def gates(state):
    return state["gating.values"]


def kind_of(model, X, y):
    """The encoded table with the labels, as the naive network reads it."""
    fields = model.encoder_.encode(X, dtype=np.float64)
    n_classes = tuple(len(c) for c in model.tasks_.classes)
    return Kind(
        model.encoder_.cardinalities_,
        fields.codes,
        fields.numbers,
        model.tasks_.read(y).filled(),
        n_classes,
    )


def hand_gradient(model, state, X, y, weights=None, task_weights=(1, 1, 1)):
    """∂L/∂G of the summed cross-entropies, through the naive network."""
    network = copy.deepcopy(model.net_.module_)
    network.load_state_dict(state)
    kind = kind_of(model, X, y)
    logits = dephn(network, kind, edges=[])
    weights = np.ones(len(X)) if weights is None else weights
    loss, first = 0.0, 0
    for t, (k, task_weight) in enumerate(
        zip(kind.n_outputs, task_weights, strict=False)
    ):
        total, mass = 0.0, 0.0
        for i, label in enumerate(kind.labels[:, t]):
            if np.isnan(label):
                continue
            z = logits[i, first : first + k]
            if k == 1:
                p = 1 / (1 + torch.exp(-z[0]))
                p = p if label == 1 else 1 - p
            else:
                p = torch.exp(z[int(label)]) / torch.exp(z).sum()
            total = total - weights[i] * torch.log(p)
            mass += weights[i]
        loss = loss + task_weight * total / mass
        first += k
    (gradient,) = torch.autograd.grad(loss, network.gating.values)
    return gradient


def assert_gates_move_by_hand(
    model,
    X,
    y,
    *,
    gamma=GAMMA["additive-sqrt"],
    kind="pearson",
    reduction="product",
    weights=None,
    task_weights=(1, 1, 1),
):
    """Each step moves each gate by learning rate times coefficient times ∂L/∂G."""
    n_classes = [len(c) for c in model.tasks_.classes]
    similarity = naive_similarity(
        model.tasks_.read(y).filled(), kind, weights=weights, n_classes=n_classes
    )
    for before, after in zip(states(model), states(model)[1:], strict=False):
        gradient = hand_gradient(model, before, X, y, weights, task_weights)
        if gamma is not None:
            gradient *= naive_coefficient(gates(before), similarity, gamma, reduction)
        expected = gates(before) - GATE_LEARNING_RATE * gradient
        torch.testing.assert_close(gates(after), expected, atol=1e-9, rtol=0)
        assert (gates(after) != gates(before)).any(1).all()


@pytest.mark.parametrize("name", GAMMA)
def test_a_step_moves_each_gate_by_rate_times_coefficient_times_gradient(name):
    X, y = make_data()
    model = fit(X, y, virtual_gradient=name)
    assert_gates_move_by_hand(model, X, y, gamma=GAMMA[name])


@pytest.mark.parametrize("n_tasks", [1, 2, 5])
def test_a_step_with_other_numbers_of_tasks_is_the_product_over_them(n_tasks):
    X, y = make_data(n_classes=(2,) * n_tasks)
    if n_tasks == 1:
        y = y.squeeze()
    model = fit(X, y)
    assert_gates_move_by_hand(model, X, y, task_weights=(1,) * n_tasks)


def test_a_step_without_virtual_gradient_is_plain_gradient_descent():
    X, y = make_data()
    assert_gates_move_by_hand(fit(X, y, virtual_gradient=None), X, y, gamma=None)


def test_a_step_with_a_callable():
    def gamma(x, y):
        return 0.25 + x * y

    X, y = make_data()
    assert_gates_move_by_hand(fit(X, y, virtual_gradient=gamma), X, y, gamma=gamma)


def test_a_step_with_the_cosine():
    X, y = make_data()
    model = fit(X, y, label_similarity="cosine")
    assert_gates_move_by_hand(model, X, y, kind="cosine")


def test_a_step_with_the_mean():
    X, y = make_data()
    model = fit(X, y, coefficient_reduction="mean")
    assert_gates_move_by_hand(model, X, y, reduction="mean")


def test_a_step_with_missing_labels():
    X, y = make_data(missing=0.3)
    assert_gates_move_by_hand(fit(X, y), X, y)


def test_a_step_with_a_constant_label_counts_one_for_its_pairs():
    X, y = make_data()
    y["task 1"] = 0.0
    assert_gates_move_by_hand(fit(X, y), X, y)


def test_a_step_with_multi_class_tasks():
    X, y = make_data(n_classes=(2, 3, 4))
    assert_gates_move_by_hand(fit(X, y), X, y)


def test_a_step_with_sample_weights():
    X, y = make_data()
    weights = np.random.default_rng(1).random(len(X))
    assert_gates_move_by_hand(fit(X, y, weights), X, y, weights=weights)


def test_a_step_with_task_weights():
    X, y = make_data()
    model = fit(X, y, task_weights={"task 0": 2.0, "task 2": 0.25})
    assert_gates_move_by_hand(model, X, y, task_weights=(2, 1, 0.25))


@pytest.mark.parametrize(
    "options",
    [
        {"public_experts": ("dnn", "cross", "field"), "private_experts": ()},
        {"public_experts": ("cross", "field"), "private_experts": ("dnn",)},
        {"tower_hidden": (), "cross_rank": None, "mappings": ("raw", "cos", "tanh")},
    ],
    ids=str,
)
def test_a_step_of_other_networks(options):
    X, y = make_data()
    assert_gates_move_by_hand(fit(X, y, **options), X, y)


def test_each_of_several_steps_starts_from_a_fresh_gradient():
    X, y = make_data()
    model = fit(X, y, max_epochs=3)
    assert len(states(model)) == 4
    assert_gates_move_by_hand(model, X, y)


def test_weight_decay_does_not_reach_gates_under_sgd():
    X, y = make_data()
    assert_gates_move_by_hand(fit(X, y, weight_decay=0.5), X, y)


# ------------------------------------------------------------ what the step feels


def permuted(y, task, seed=1):
    """The labels with those of one task in another order."""
    y = y.copy()
    y[task] = np.random.default_rng(seed).permutation(y[task])
    return y


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
@pytest.mark.parametrize("label_similarity", ["pearson", "cosine"])
def test_permuting_another_tasks_labels_changes_the_step(gate, label_similarity):
    X, y = make_data()
    options = {"gate": gate, "label_similarity": label_similarity, "tower_hidden": ()}
    first, second = (
        states(fit(X, labels, **options)) for labels in (y, permuted(y, "task 1"))
    )
    name = "gating.values" if gate == "trainable" else "gating.linear.bias"
    assert torch.equal(first[0][name], second[0][name])
    assert not torch.allclose(first[1][name][0], second[1][name][0], atol=1e-6)


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_without_virtual_gradient_no_task_feels_anothers_labels(gate):
    X, y = make_data()
    options = {"gate": gate, "virtual_gradient": None, "tower_hidden": ()}
    first, second = (
        states(fit(X, labels, **options))[1] for labels in (y, permuted(y, "task 1"))
    )
    name = "gating.values" if gate == "trainable" else "gating.linear.bias"
    for t in (0, 2):
        assert torch.equal(first[name][t], second[name][t])
    assert not torch.equal(first[name][1], second[name][1])


def test_the_virtual_gradient_moves_no_other_parameter_of_the_step():
    X, y = make_data()
    virtual, plain = (
        states(fit(X, y, virtual_gradient=function))[1]
        for function in ("additive-sqrt", None)
    )
    for name, value in virtual.items():
        assert torch.equal(value, plain[name]) != (name == "gating.values"), name


def test_under_adam_a_constant_factor_of_the_gradient_cancels():
    X, y = make_data()
    virtual, plain = (
        states(fit(X, y, gate_optimizer="adam", virtual_gradient=function))
        for function in ("additive-sqrt", None)
    )
    steps = [gates(after) - gates(before) for before, after in (virtual, plain)]
    assert torch.allclose(steps[0].abs(), torch.tensor(0.01).double(), rtol=0.01)
    assert torch.allclose(steps[0], steps[1], rtol=0.01)


def test_one_task_does_not_feel_the_virtual_gradient():
    X, y = make_data()
    virtual, plain = (
        states(fit(X, y["task 0"], virtual_gradient=function, max_epochs=3))[-1]
        for function in ("additive-sqrt", None)
    )
    assert all(torch.equal(virtual[name], plain[name]) for name in virtual)


def test_constant_labels_train_as_without_virtual_gradient():
    X, y = make_data()
    y["task 0"], y["task 1"] = 0.0, 1.0
    virtual, plain = (
        states(fit(X, y, virtual_gradient=function, max_epochs=3))[-1]
        for function in ("additive-sqrt", None)
    )
    assert all(torch.equal(virtual[name], plain[name]) for name in virtual)


def test_the_history_holds_the_gates_of_each_epoch():
    X, y = make_data()
    model = fit(X, y, max_epochs=3)
    recorded = torch.tensor(model.net_.history[:, "gates"], dtype=torch.float64)
    assert torch.equal(recorded, torch.stack([gates(s) for s in states(model)[1:]]))
    assert np.array_equal(model.gate_values_, gates(states(model)[-1]).numpy())
