"""Tasks of numbers in a graph: what `predict` gives comes out of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _graphs import run
from _kinds_of_columns import NARROW, NARROW_ROWS, SMALL

from dephn_sk import DEPHNMultiTaskEstimator, DEPHNMultiTaskRegressor
from dephn_sk.export import feed, to_onnx
from dephn_sk.preprocessing import FieldEncoder

SMALLER = {**SMALL, "public_experts": ("dnn",), "private_experts": ()}
KINDS = {
    "a": "squared",
    "b": "absolute",
    "c": "quantile(0.9)",
    "d": "poisson",
    "e": "gamma",
    "f": "zero-inflated-lognormal",
}


def amounts(n_tasks):
    import pandas as pd

    rng = np.random.default_rng(0)
    y = rng.lognormal(3, 1, (len(NARROW), n_tasks))
    y[: len(y) // 3, -1] = 0
    return pd.DataFrame(y, columns=list("abcdef")[-n_tasks:])


def encoder():
    return FieldEncoder(categorical_features=["city", "flag"])


@pytest.fixture(scope="module")
def regressor():
    model = DEPHNMultiTaskRegressor(**SMALLER, loss=KINDS, encoder=encoder())
    return model.fit(NARROW, amounts(6))


def test_numbers_of_every_kind_come_out_of_one_output(regressor):
    model = to_onnx(regressor, labels=True)
    found = run(model, feed(regressor, NARROW_ROWS))
    assert found.keys() == {"predictions"}
    wanted = regressor.predict(NARROW_ROWS)
    np.testing.assert_allclose(found["predictions"], wanted, rtol=1e-5)
    tasks = json.loads(model.metadata_props[0].value)["tasks"]
    assert [one["predicts"] for one in tasks] == list(KINDS.values())
    assert {one["predictions"] for one in tasks} == {"predictions"}


def test_members_and_numbers_beside_classes():
    y = amounts(2).assign(click=np.arange(len(NARROW)) % 2)
    kinds = {"e": "squared", "f": "zero-inflated-lognormal"}
    model = DEPHNMultiTaskEstimator(
        **SMALLER, tasks=kinds, n_networks=2, encoder=encoder()
    ).fit(NARROW, y)
    graph = to_onnx(model, labels=True)
    found = run(graph, feed(model, NARROW_ROWS))
    assert found.keys() == {
        *("predictions.e", "predictions.f", "probabilities.click", "labels.click"),
    }
    wanted = model.predict(NARROW_ROWS)
    for t, name in enumerate(["predictions.e", "predictions.f"]):
        np.testing.assert_allclose(found[name][:, 0], wanted[:, t], rtol=1e-4)
    np.testing.assert_array_equal(found["labels.click"], wanted[:, 2])
    proba = model.predict_proba(NARROW_ROWS)["click"]
    np.testing.assert_allclose(found["probabilities.click"], proba, rtol=1e-5)


def test_a_task_alone_is_one_column():
    model = DEPHNMultiTaskRegressor(**SMALLER, loss="gamma", encoder=encoder())
    model.fit(NARROW, amounts(2)["e"])
    found = run(to_onnx(model), feed(model, NARROW_ROWS))["predictions"]
    assert found.shape == (len(NARROW_ROWS), 1)
    np.testing.assert_allclose(found[:, 0], model.predict(NARROW_ROWS), rtol=1e-5)
