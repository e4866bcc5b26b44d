"""Kinds of regression: loss, gradient, scale, prediction, members, score, storing."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import (
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    r2_score,
)

from dephn_sk import DEPHNMultiTaskEstimator
from dephn_sk.storage._plain import flatten, restore
from dephn_sk.tasks import REGRESSIONS, Binary, Tasks, read_columns
from dephn_sk.tasks._regression import (
    Absolute,
    Gamma,
    Poisson,
    Quantile,
    Squared,
    ZeroInflatedLognormal,
    inferred,
    kind_of,
    kinds_of,
)

KINDS = {
    "squared": Squared,
    "absolute": Absolute,
    "quantile(0.9)": Quantile,
    "poisson": Poisson,
    "gamma": Gamma,
    "zero-inflated-lognormal": ZeroInflatedLognormal,
}


def amounts(kind, n=40, seed=0):
    """Labels that a kind takes, with a heavy tail."""
    rng = np.random.default_rng(seed)
    y = 30 * rng.lognormal(1, 1.2, n)
    if kind == "poisson":
        return np.floor(y / 20)
    if kind == "zero-inflated-lognormal":
        return np.where(rng.random(n) < 0.5, 0, y)
    return y - 100 if kind in ("squared", "absolute", "quantile(0.9)") else y


def task_of(kind, y, weights=None):
    columns = read_columns(y)
    (task,) = Tasks.learn(columns, named=[kind_of(kind, "loss")]).tasks
    return task.fitted(y, np.ones(len(y)) if weights is None else weights)


def naive_loss(kind, y, logits, of_all):
    """Row by row, in units of the labels, over twice what the best constant costs."""

    def cost(label, *z):
        if kind == "squared":
            return (label - z[0]) ** 2
        if kind == "absolute":
            return abs(label - z[0])
        if kind == "quantile(0.9)":
            return mean_pinball_loss([label], [z[0]], alpha=0.9)
        if kind == "poisson":
            return mean_poisson_deviance([label], [math.exp(z[0])])
        return mean_gamma_deviance([label], [math.exp(z[0])])

    if kind == "zero-inflated-lognormal":
        logs = np.log(of_all[of_all > 0])
        losses = []
        for label, (z, mean, raw) in zip(y, logits, strict=True):
            p, deviation = 1 / (1 + math.exp(-z)), math.log1p(math.exp(raw))
            if label == 0:
                losses.append(-math.log(1 - p))
                continue
            v = (math.log(label) - logs.mean()) / logs.std()
            density = math.log(deviation) + (v - mean) ** 2 / (2 * deviation**2)
            losses.append(-math.log(p) + density)
        return np.array(losses)
    best = {
        "squared": of_all.mean(),
        "absolute": np.quantile(of_all, 0.5, method="inverted_cdf"),
        "quantile(0.9)": np.quantile(of_all, 0.9, method="inverted_cdf"),
    }.get(kind, math.log(of_all.mean()))
    null = np.mean([cost(label, best) for label in of_all])
    scale = {"squared": of_all.std()}.get(kind, np.abs(of_all - best).mean())
    losses = []
    for label, (z,) in zip(y, logits, strict=True):
        unscaled = best + z if kind in ("poisson", "gamma") else best + scale * z
        losses.append(cost(label, unscaled) / null / 2)
    return np.array(losses)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_naive_one(kind, batch):
    rng = np.random.default_rng(1)
    of_all = amounts(kind)
    task = task_of(kind, of_all)
    y = amounts(kind, batch, seed=3)
    logits = rng.normal(size=(batch, task.n_outputs))
    scaled = torch.from_numpy(task.scaled(y))
    loss = task.loss(torch.from_numpy(logits), scaled)
    assert loss.shape == (batch,)
    assert_allclose(loss.numpy(), naive_loss(kind, y, logits, of_all), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_differences(kind):
    task = task_of(kind, amounts(kind))
    values = torch.from_numpy(task.scaled(amounts(kind, 6, seed=2)))
    logits = torch.randn(6, task.n_outputs, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: task.loss(z, values), logits)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_elementwise_over_leading_axes(kind):
    task = task_of(kind, amounts(kind))
    values = torch.from_numpy(task.scaled(amounts(kind, 8))).reshape(4, 2)
    logits = torch.randn(4, 2, task.n_outputs, dtype=torch.float64)
    loss = task.loss(logits, values)
    for i in range(4):
        for j in range(2):
            one = task.loss(logits[i, j, None], values[i, j, None])[0]
            assert_allclose(loss[i, j], one, rtol=1e-14)


@pytest.mark.parametrize("kind", list(KINDS)[:-1])
def test_the_best_constant_costs_one_half(kind):
    y = amounts(kind)
    weights = np.random.default_rng(0).random(len(y))
    task = task_of(kind, y, weights)
    start = torch.from_numpy(task.start(y, weights)).expand(len(y), -1)
    loss = task.loss(start, torch.from_numpy(task.scaled(y))).numpy()
    assert_allclose(np.average(loss, weights=weights), 0.5)
    for step in (-1e-3, 1e-3):
        other = task.loss(start + step, torch.from_numpy(task.scaled(y))).numpy()
        assert np.average(other, weights=weights) >= 0.5 - 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_is_not_observed_costs_nothing_and_teaches_nothing(kind):
    task = task_of(kind, amounts(kind))
    logits = torch.randn(1, task.n_outputs, requires_grad=True)
    values = torch.from_numpy(task.scaled(np.zeros(1))).float()
    (0 * task.loss(logits, values)).sum().backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("factor", [1e-3, 1e6])
@pytest.mark.parametrize("kind", KINDS)
def test_units_change_neither_loss_nor_predictions_in_units(kind, factor):
    y = amounts(kind)
    one, other = task_of(kind, y), task_of(kind, factor * y)
    logits = np.random.default_rng(0).normal(size=(len(y), one.n_outputs))
    losses = [
        task.loss(torch.from_numpy(logits), torch.from_numpy(task.scaled(labels)))
        for task, labels in ((one, y), (other, factor * y))
    ]
    assert_allclose(losses[0], losses[1], rtol=1e-9)
    assert_allclose(factor * one.predict(logits), other.predict(logits), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repeated_rows(kind):
    y = amounts(kind)
    times = np.random.default_rng(0).integers(1, 4, len(y))
    weighted = task_of(kind, y, times.astype(float))
    repeated = task_of(kind, np.repeat(y, times))
    for name, value in weighted.state().items():
        if name != "name":
            assert_allclose(value, repeated.state()[name], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_are_all_alike_are_predicted(kind):
    y = np.full(9, 3.0)
    task = task_of(kind, y)
    start = task.start(y, np.ones(9))
    assert_allclose(task.predict(start[None]), 3.0, rtol=1e-5)
    loss = task.loss(torch.from_numpy(start[None]), torch.ones(1).double())
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize("kind", ["poisson", "zero-inflated-lognormal"])
def test_nothing_but_zeros_is_learned(kind):
    task = task_of(kind, np.zeros(5))
    start = task.start(np.zeros(5), np.ones(5))
    assert 0 <= task.predict(start[None])[0, 0] < 1e-5


def test_the_start_predicts_the_mean_the_median_and_the_quantile():
    rng = np.random.default_rng(0)
    y = rng.lognormal(size=501)
    expected = {
        "squared": y.mean(),
        "poisson": y.mean(),
        "gamma": y.mean(),
        "absolute": np.median(y),
        "quantile(0.9)": np.quantile(y, 0.9, method="inverted_cdf"),
    }
    for kind, value in expected.items():
        task = task_of(kind, y)
        start = task.start(y, np.ones(len(y)))
        assert_allclose(task.predict(start[None])[0, 0], value, rtol=1e-9)


def test_a_lognormal_predicts_its_mean():
    rng = np.random.default_rng(0)
    bought = rng.random(200_000) < 0.3
    y = np.where(bought, rng.lognormal(2, 0.7, 200_000), 0)
    task = task_of("zero-inflated-lognormal", y)
    start = task.start(y, np.ones(len(y)))
    assert_allclose(task.predict(start[None])[0, 0], y.mean(), rtol=0.01)


def test_no_amount_is_expected_above_the_largest_that_was_seen():
    y = amounts("zero-inflated-lognormal")
    task = task_of("zero-inflated-lognormal", y)
    extreme = np.array([[15.0, 15.0, 15.0], [0.0, 15.0, 15.0]])
    assert_allclose(
        task.predict(extreme)[:, 0], y.max() * np.array([1, 0.5]), rtol=1e-5
    )


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_members_predict_the_mean_of_their_predictions(kind, n):
    task = task_of(kind, amounts(kind))
    logits = torch.randn(n, 6, task.n_outputs, dtype=torch.float64) / 4
    pooled = task.predict(task.pool(logits).numpy())
    each = [task.predict(one.numpy()) for one in logits]
    assert_allclose(pooled, np.mean(each, axis=0), rtol=1e-9)


def test_lognormal_members_keep_the_variance_of_their_mixture():
    task = task_of("zero-inflated-lognormal", amounts("zero-inflated-lognormal"))
    logits = torch.randn(3, 1, 3, dtype=torch.float64) / 2

    def moments(z, mean, raw):
        p, s = 1 / (1 + math.exp(-z)), task.spread * math.log1p(math.exp(raw))
        m = task.spread * mean
        return p, p * math.exp(m + s**2 / 2), p * math.exp(2 * m + 2 * s**2)

    each = np.mean([moments(*one[0].tolist()) for one in logits], axis=0)
    assert_allclose(moments(*task.pool(logits)[0].tolist()), each, rtol=1e-9)


def test_the_score_is_r2_of_the_rows_that_count():
    rng = np.random.default_rng(0)
    y, weights = amounts("squared"), rng.random(40)
    task = task_of("squared", y)
    logits = rng.normal(size=(40, 1))
    expected = r2_score(y, task.predict(logits)[:, 0], sample_weight=weights)
    assert_allclose(task.score(y, task.predict(logits), weights), expected)
    tasks = Tasks((task, Binary("click", np.arange(2))), single=False)
    both = np.column_stack([logits, logits])
    counted = np.column_stack([weights, weights])
    predictions, values = tasks.predict(both), np.column_stack([y, y > 0])
    assert_allclose(tasks.score(predictions, values, counted)[0], expected)
    assert np.isnan(task.score(y[:1], task.predict(logits[:1]), weights[:1]))


# ------------------------------------------------------------ labels


WRONG = [
    ("poisson", [1.0, -2.0, 3.0], r"'watch' holds -2.0 in row 1, .*at least 0"),
    ("gamma", [1.0, 0.0, 3.0], r"'watch' holds 0.0 in row 1, .*above 0"),
    ("zero-inflated-lognormal", [0, 1, -1], r"'watch' holds -1 in row 2, .*at least 0"),
    ("squared", [1.0, np.inf, 3.0], r"'watch' contains infinity.* in row 1, .*finite"),
    ("absolute", ["a", "b", "c"], r"'watch' holds 'a' in row 0, .*finite numbers"),
    ("squared", [1.0, "x", 2.0], r"'watch' holds 'x' in row 1, .*finite numbers"),
]


@pytest.mark.parametrize(("kind", "labels", "message"), WRONG)
def test_a_label_outside_the_domain_is_named(kind, labels, message):
    y = pd.Series(labels, name="watch")
    with pytest.raises(ValueError, match=message):
        Tasks.learn(y, named=[kind_of(kind, "loss")])


def test_the_row_is_counted_among_all_of_them():
    y = pd.DataFrame({"watch": [np.nan, 1.0, -1.0], "click": [0, 1, 0]})
    with pytest.raises(ValueError, match=r"'watch' holds -1\.0 in row 2"):
        Tasks.learn(y, named=[kind_of("gamma", "loss"), None])


def test_a_later_label_outside_the_domain_is_refused():
    tasks = Tasks.learn(np.array([1.0, 2.0]), named=[kind_of("gamma", "loss")])
    with pytest.raises(ValueError, match=r"'task0' holds -3.0 in row 1"):
        tasks.read([1.0, -3.0])


@pytest.mark.parametrize(
    "name", ["square", "quantile(1.5)", "quantile(x)", "quantile", None, 3, "binary"]
)
def test_an_unknown_kind_is_refused_with_those_that_there_are(name):
    with pytest.raises(ValueError, match=r"loss has the kind .*quantile\(q\)"):
        kind_of(name, "loss")


def test_a_kind_for_a_task_that_is_not_there_is_refused():
    columns = read_columns(pd.DataFrame({"watch": [1.0], "click": [1]}))
    with pytest.raises(ValueError, match=r"'wach'.*Did you mean 'watch'"):
        kinds_of({"wach": "squared"}, columns, "tasks")


SURE = {
    "text": (["a", "b", "a"], "Binary"),
    "texts": (["a", "b", "c"], "MultiClass"),
    "booleans": ([True, False, True], "Binary"),
    "zeros and ones": ([0, 1, 1], "Binary"),
    "floats of zero and one": ([0.0, 1.0, np.nan], "Binary"),
    "fractions": ([0.5, 2.0, np.nan], "Squared"),
    "categories": (pd.Categorical([3, 4, 5]), "MultiClass"),
}


@pytest.mark.parametrize("name", SURE)
def test_what_leaves_no_doubt_is_inferred(name):
    labels, kind = SURE[name]
    y = pd.DataFrame({"a": labels, "b": [1, 0, 1]})
    column = read_columns(y).columns[0]
    assert type(inferred(column)(column)).__name__ == kind


@pytest.mark.parametrize("labels", [[1, 2, 3], [3.0, 4.0, np.nan], [0, 7, 7]])
def test_whole_numbers_leave_doubt(labels):
    y = pd.DataFrame({"a": labels, "b": [1, 0, 1]})
    assert inferred(read_columns(y).columns[0]) is None


# ------------------------------------------------------------ storing


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_the_same_from_its_state(kind):
    y = amounts(kind)
    tasks = Tasks((task_of(kind, y), Binary("click", np.arange(2))), single=False)
    tree, arrays = flatten(tasks.state())
    for again in (
        Tasks.from_state(restore(tree, arrays)),
        pickle.loads(pickle.dumps(tasks)),
    ):
        one, other = tasks.tasks[0], again.tasks[0]
        assert type(one) is type(other)
        assert one.state() == other.state()
        logits = np.random.default_rng(0).normal(size=(5, sum(tasks.n_outputs)))
        for a, b in zip(tasks.predict(logits), again.predict(logits), strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize(
    "change",
    [{"0.scale": 0.0}, {"0.scale": np.nan}, {"0.unit": -1.0}, {"0.q": 1.0}, {"0.q": 1}],
    ids=str,
)
def test_a_state_that_no_task_has_is_refused(change):
    tasks = Tasks((task_of("quantile(0.9)", amounts("squared")),), single=True)
    with pytest.raises(ValueError, match="cannot"):
        Tasks.from_state(tasks.state() | change)


def test_classes_keep_their_labels_beside_numbers():
    y = pd.DataFrame({"watch": [1.5, 2.5, 4.0], "kind": ["a", "b", "a"]})
    named = [kind_of("squared", "tasks"), None]
    tasks = Tasks.learn(y, named=named)
    predicted = tasks.decode([np.array([[1.25]]), np.array([[0.1, 0.9]])])
    assert predicted.tolist() == [[1.25, "b"]]
    y["kind"] = [0, 1, 0]
    tasks = Tasks.learn(y, named=named)
    assert tasks.decode([np.array([[1.25]]), np.array([[0.1, 0.9]])]).dtype == float


# ------------------------------------------------------------ a kind from outside


class LogCosh(Squared):
    """Squared near by, absolute far out."""

    kind = "log-cosh"

    def loss(self, logits, values):
        return (values - logits.squeeze(-1)).cosh().log() / self.unit


@pytest.fixture
def log_cosh():
    REGRESSIONS.append(LogCosh)
    yield LogCosh
    REGRESSIONS.remove(LogCosh)


def test_a_kind_of_number_from_outside_is_learned_and_stored(log_cosh):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = pd.DataFrame({"watch": 50 * X[:, 0] + 7, "click": (X[:, 1] > 0).astype(int)})
    model = DEPHNMultiTaskEstimator(
        tasks={"watch": "log-cosh"}, max_epochs=8, random_state=0
    ).fit(X, y)
    assert isinstance(model.tasks_.tasks[0], LogCosh)
    assert_allclose(model.net_.history[0, "train_task_loss"][0], 0.5, atol=0.15)
    assert model.score(X, y) > 0.6
    state = model.tasks_.state()
    assert isinstance(Tasks.from_state(state).tasks[0], LogCosh)
