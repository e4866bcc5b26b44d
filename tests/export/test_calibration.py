"""Kinds of task and methods of calibration, from logits on, without a network."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _graphs import N_ROWS, pd, run
from _logs import SMALL, make_log
from sklearn.base import BaseEstimator

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.export import feed, to_onnx
from dephn_sk.export._assembly import outputs
from dephn_sk.export._chain import Chain
from dephn_sk.export._graph import Graph
from dephn_sk.tasks import TaskPredictions, Tasks

CLASSES = {
    "one binary task": ([0, 1],),
    "one task of text": (["no", "yes"],),
    "one of three classes": (["a", "b", "c"],),
    "two binary tasks": ([0, 1], [False, True]),
    "mixed tasks": ([0.0, 2.0], [3, 7, 9], ["x", "y", "z", "😀"]),
}
METHODS = ["sigmoid", "isotonic", "temperature"]


class Logits(TaskPredictions, BaseEstimator):
    """A fitted classifier whose rows are logits."""

    def __init__(self, tasks):
        self.tasks_ = tasks

    def fit(self, X, y):
        """It is fitted."""
        return self

    def _predicted(self, X, given=False):
        return self.tasks_, self.tasks_.predict(X, given)

    def __sklearn_is_fitted__(self):
        return True


def drawn(classes, n_rows, seed):
    """Logits, some of them extreme, and labels that follow them."""
    rng = np.random.default_rng(seed)
    y = [rng.choice(np.array(one, dtype=object), n_rows) for one in classes]
    tasks = Tasks.learn(y[0] if len(y) == 1 else np.stack(y, axis=1))
    logits = rng.normal(scale=4, size=(n_rows, sum(tasks.n_outputs))).clip(-15, 15)
    logits[:9] = rng.choice([-15.0, 0.0, 15.0, 1e-30], (9, logits.shape[1]))
    return tasks, logits.astype(np.float32), y


def graph_of(chain, n_logits, labels=True):
    graph = Graph(18)
    given = graph.input("logits", "float", ["n", n_logits])
    named = outputs(graph, chain, given, [], labels)
    return graph.model(), named


def assert_gives(found, named, estimator, X, tasks):
    wanted = estimator.predict_proba(X)
    wanted = wanted if isinstance(wanted, list) else [wanted]
    names = dict.fromkeys(one["probabilities"] for one in named)
    for name, one in zip(names, wanted, strict=True):
        np.testing.assert_allclose(found[name], one, rtol=1e-5, atol=1e-7)
    predicted = np.atleast_2d(estimator.predict(X).T)
    for one, labels in zip(named, predicted, strict=True):
        assert found[one["labels"]].tolist() == labels.tolist()


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("method", [None, *METHODS])
def test_probabilities_and_labels_are_those_of_the_estimator(classes, method):
    if method == "temperature":
        pytest.importorskip("sklearn", minversion="1.8")
    tasks, logits, y = drawn(classes, 300, 0)
    model = estimator = Logits(tasks)
    calibrators = []
    if method is not None:
        target = y[0] if len(y) == 1 else np.stack(y, axis=1)
        estimator = TaskCalibrator(model, method=method).fit(logits, target)
        calibrators = [estimator]
    graph, named = graph_of(Chain(model, [], calibrators), logits.shape[1])
    _, rows, _ = drawn(classes, N_ROWS, 1)
    assert_gives(run(graph, {"logits": rows}), named, estimator, rows, tasks)
    for n in (0, 1):
        found = run(graph, {"logits": rows[:n]})
        assert all(len(one) == n for one in found.values())


def test_a_calibrator_around_a_calibrator():
    tasks, logits, y = drawn(CLASSES["mixed tasks"], 300, 0)
    y = np.stack(y, axis=1)
    inner = TaskCalibrator(Logits(tasks)).fit(logits, y)
    outer = TaskCalibrator(inner, method="isotonic").fit(logits, y)
    graph, named = graph_of(Chain(inner.estimator, [], [inner, outer]), 8)
    assert_gives(run(graph, {"logits": logits}), named, outer, logits, tasks)


def test_a_y_of_one_class_has_its_probability_1():
    tasks = Tasks.learn(np.array(["a", "a"]))
    graph, named = graph_of(Chain(Logits(tasks)), 1)
    found = run(graph, {"logits": np.array([[np.inf], [0.0]], np.float32)})
    assert found["probabilities"].tolist() == [[1.0], [1.0]]
    assert found[named[0]["labels"]].tolist() == ["a", "a"]


def test_one_step_of_an_isotonic_calibrator_is_a_constant():
    tasks, logits, y = drawn(CLASSES["one binary task"], 40, 0)
    logits[:] = 0.5
    calibrator = TaskCalibrator(Logits(tasks), method="isotonic").fit(logits, y[0])
    graph, named = graph_of(Chain(calibrator.estimator, [], [calibrator]), 1)
    assert_gives(run(graph, {"logits": logits}), named, calibrator, logits, tasks)


# ------------------------------------------------------------ funnels

CHAIN = {"buy": "click", "refund": "buy"}


def funnel(n_rows, seed, kinds=()):
    """Logits, some of them extreme, and labels of a funnel."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, (n_rows, 3)).cumprod(axis=1)
    y = pd.DataFrame(y, columns=["click", "buy", "refund"])
    for kind in kinds:
        y.insert(1, kind, rng.choice(list("xyz"), n_rows))
    tasks = Tasks.learn(y).under(CHAIN)
    logits = rng.normal(scale=4, size=(n_rows, sum(tasks.n_outputs))).clip(-15, 15)
    logits[:9] = rng.choice([-15.0, 0.0, 15.0, 1e-30], (9, logits.shape[1]))
    return tasks, logits.astype(np.float32), y


@pytest.mark.parametrize("kinds", [(), ("kind",)], ids=["binary", "mixed"])
@pytest.mark.parametrize("method", [None, *METHODS])
def test_a_graph_gives_the_marginal_probabilities(method, kinds):
    if method == "temperature":
        pytest.importorskip("sklearn", minversion="1.8")
    tasks, logits, y = funnel(301, 2, kinds)
    model = estimator = Logits(tasks)
    calibrators = []
    if method is not None:
        estimator = TaskCalibrator(model, method=method).fit(logits, y)
        calibrators = [estimator]
    graph, named = graph_of(Chain(model, [], calibrators), logits.shape[1])
    found = run(graph, {"logits": logits})
    assert_gives(found, named, estimator, logits, tasks)
    if not kinds:
        p = found["probabilities"]
        assert (p[:, 1:] <= p[:, :-1]).all()


def test_a_calibrator_around_a_calibrator_of_a_funnel():
    tasks, logits, y = funnel(300, 1)
    inner = TaskCalibrator(Logits(tasks)).fit(logits, y)
    outer = TaskCalibrator(inner).fit(logits, y)
    graph, named = graph_of(Chain(inner.estimator, [], [inner, outer]), 3)
    assert_gives(run(graph, {"logits": logits}), named, outer, logits, tasks)


@pytest.mark.parametrize("n_networks", [1, 2])
def test_the_graph_of_a_fitted_funnel(n_networks):
    X, y = make_log()
    options = {"conditions": {"buy": "click"}, "n_networks": n_networks}
    model = DEPHNMultiTaskClassifier(**{**SMALL, **options}).fit(X, y)
    graph = to_onnx(model)
    found = run(graph, feed(model, X))["probabilities"]
    np.testing.assert_allclose(found, model.predict_proba(X), rtol=1e-5, atol=1e-7)
    assert (found[:, 1] <= found[:, 0]).all()
    about = json.loads({p.key: p.value for p in graph.metadata_props}["dephn_sk"])
    assert [one.get("condition") for one in about["tasks"]] == [None, "click"]
