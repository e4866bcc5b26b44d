"""Thresholds in a graph: its labels are those of predict."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _graphs import run
from _logs import SMALL

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.export import feed, to_onnx
from dephn_sk.model_selection import ThresholdedClassifier


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    score = X[:, 0] + rng.logistic(size=300)
    y = np.stack([score > 0, score > 1, np.digitize(score, [-1, 1])], axis=1) * 1
    return X, y


@pytest.fixture(scope="module")
def model(rows):
    conditions = {"task1": "task0"}
    return DEPHNMultiTaskClassifier(**SMALL, conditions=conditions).fit(*rows)


def labels_of(acting, X):
    graph = to_onnx(acting, labels=True)
    given = run(graph, feed(acting, X))
    (about,) = (one.value for one in graph.metadata_props if one.key == "dephn_sk")
    tasks = json.loads(about)["tasks"]
    return np.stack([given[one["labels"]] for one in tasks], axis=1), tasks


@pytest.mark.parametrize(
    "thresholds",
    [{"task0": 0.6, "task1": 0.1}, {"task1": 0.0}, 0.3, float("inf")],
)
@pytest.mark.parametrize("calibrated", [False, True])
def test_labels_are_those_of_predict(rows, model, thresholds, calibrated):
    X, y = rows
    inner = TaskCalibrator(model).fit(X, y) if calibrated else model
    acting = ThresholdedClassifier(inner, thresholds=thresholds)
    found, tasks = labels_of(acting, X)
    expected = acting.predict(X)
    # float32 may round past a threshold
    near = np.zeros(len(X), dtype=bool)
    for p, name in zip(acting.predict_proba(X), acting.task_names_, strict=True):
        limit = acting.thresholds_.get(name)
        if limit is not None:
            near |= abs(p[:, 1] - limit) < 1e-5
    assert near.mean() < 0.1
    np.testing.assert_array_equal(found[~near], expected[~near])
    if thresholds == 0.3:
        assert (found[:, 0] != model.predict(X)[:, 0]).any()
    said = [one.get("threshold") for one in tasks[:2]]
    known = [acting.thresholds_[one["name"]] for one in tasks[:2]]
    assert said == [None if np.isinf(one) else one for one in known]
    assert "threshold" not in tasks[2]


def test_a_calibrator_around_thresholds_goes_by_probabilities(rows, model):
    X, y = rows
    inner = ThresholdedClassifier(model, thresholds=0.01)
    outer = TaskCalibrator(inner).fit(X, y)
    found, tasks = labels_of(outer, X)
    np.testing.assert_array_equal(found, outer.predict(X))
    assert "threshold" not in tasks[0]
