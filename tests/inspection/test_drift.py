"""Drift of columns and predictions: what chance explains, and what it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from _logs import SMALL
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.inspection import DriftDisplay, drift_table
from dephn_sk.inspection._drift import _psi, column_changes


@pytest.fixture(scope="module")
def table():
    """Every kind of column, and two tasks."""
    rng, n = np.random.default_rng(0), 600
    city, age = rng.integers(4, size=n), rng.normal(size=n)
    X = pd.DataFrame(
        {
            "city": np.array(["Oslo", "Rome", "Lima", "Graz"])[city],
            "age": np.where(rng.random(n) < 0.1, np.nan, age),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="D"),
            "tags": [
                list(rng.choice(list("abc"), size=k)) for k in rng.integers(3, size=n)
            ],
            "user": pd.Categorical(rng.integers(9, size=n)),
        }
    )
    score = city - 1.5 + age + rng.logistic(size=n)
    return X, pd.DataFrame({"click": score > 0, "buy": score > 1}) * 1.0


@pytest.fixture(scope="module")
def model(table):
    X, y = table
    options = {**SMALL, "learning_rate": 0.05, "max_epochs": 5}
    return DEPHNMultiTaskClassifier(**options).fit(X[:300], y[:300])


def by_column(found):
    return found.columns.set_index("column")


def test_the_index_is_that_of_shares_with_half_a_row_in_each_bin():
    then, now = np.array([40.0, 9, 1]), np.array([10.0, 20, 0])
    p, q = (then + 0.5) / 51.5, (now + 0.5) / 31.5
    slow = sum((b - a) * np.log(b / a) for a, b in zip(p, q, strict=True))
    index, mean, _ = _psi(then, now, 0.01)
    assert index == pytest.approx(slow)
    assert mean == pytest.approx(2 * (1 / 50 + 1 / 30))


def test_without_a_change_alarms_are_as_rare_as_asked_and_the_mean_is_as_stated():
    rng = np.random.default_rng(0)
    p = np.array([0.4, 0.3, 0.2, 0.1])
    found = np.array(
        [
            _psi(rng.multinomial(500, p) * 1.0, rng.multinomial(300, p) * 1.0, 0.05)
            for _ in range(2_000)
        ]
    )
    assert_allclose(found[:, 0].mean(), found[0, 1], rtol=0.1)
    assert 0.03 < (found[:, 0] > found[:, 2]).mean() < 0.07


def test_rows_of_one_kind_raise_no_alarm_and_others_do(model, table):
    X, _ = table
    same = drift_table(model, X[450:], X[300:450])
    days = same.columns["kind"] == "date"
    assert (same.columns["verdict"][~days] == "no more than chance").all()
    assert "by itself" in same.columns["verdict"][days].item()
    changed = X[450:].assign(
        city="Oslo", age=lambda t: t["age"] + 9, tags=[["new"]] * 150
    )
    found = by_column(drift_table(model, changed, X[300:450]))
    assert found.loc["city", "verdict"] == "changed much"
    assert "beyond" in found.loc["age", "verdict"]
    assert found.loc["tags", "unseen"] == 1
    assert found.loc["user", "verdict"] == "no more than chance"


def test_what_the_encoder_keeps_is_enough_for_categories_and_gaps(model, table):
    X, _ = table
    new = X[300:].assign(
        city=np.where(np.arange(300) % 2, "Bern", X["city"][300:]),
        age=X["age"][300:].mask(np.arange(300) % 2 == 0),
    )
    kept, given = drift_table(model, new), drift_table(model, new, X[:300])
    kept_by, given_by = by_column(kept), by_column(given)
    for name in ("psi", "psi_threshold", "unseen", "unseen_expected", "missing"):
        for column in ("city", "user"):
            alpha_differs = name == "psi_threshold"
            if not alpha_differs:
                assert kept_by.loc[column, name] == given_by.loc[column, name]
    assert kept_by.loc["city", "unseen"] == 0.5
    assert "more is new" in kept_by.loc["city", "verdict"]
    assert kept_by.loc["age", "verdict"] == "more is missing"
    assert np.isnan(kept_by.loc["age", "psi"])
    assert any("Give X_ref" in one for one in kept.words)
    assert any("'city'" in one and "partial_fit" in one for one in kept.words)


def test_unseen_values_of_ids_are_expected():
    rng = np.random.default_rng(0)
    # a long tail: every table has ids that no other has
    draws = (rng.pareto(1.0, 4_000) * 100).astype(int).astype(str)
    tables = [pd.DataFrame({"id": part}) for part in (draws[:2_000], draws[2_000:])]
    (change,) = column_changes(tables[1], tables[0])
    row = change.row(0.01)
    assert row["unseen"] > 0.05
    assert_allclose(row["unseen"], row["unseen_expected"], atol=0.03)
    assert row["verdict"] == "no more than chance"


def test_predictions_drift_with_what_they_are_made_of(model, table):
    X, _ = table
    found = drift_table(model, X[450:].assign(city="Oslo"), X[300:450]).tasks
    prob = model.predict_proba(X[450:].assign(city="Oslo"))
    assert_allclose(found["mean"], prob.mean(axis=0))
    assert_allclose(found["mean_ref"], model.predict_proba(X[300:450]).mean(axis=0))
    assert (found["psi"] > found["psi_threshold"]).all()
    alone = drift_table(model, X[450:]).tasks
    assert_allclose(alone["mean_ref"], model.task_rates_)


def test_around_the_network_and_of_other_models(model, table):
    X, y = table
    calibrated = TaskCalibrator(model).fit(X[300:], y[300:])
    pipeline = make_pipeline(FunctionTransformer(), DEPHNMultiTaskClassifier(**SMALL))
    pipeline.fit(X[:300], y[:300])
    for one in (calibrated, pipeline):
        found = by_column(drift_table(one, X[300:]))
        expected = by_column(drift_table(model, X[300:]))
        assert found["psi"].equals(expected["psi"])
    numbers = np.random.default_rng(0).normal(size=(200, 2))
    labels = (numbers > 0).astype(int)
    other = make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression()))
    other.fit(numbers, labels)
    found = drift_table(other, numbers[100:] + np.array([0, 5]), numbers[:100])
    assert list(found.columns["column"]) == ["x0", "x1"]
    assert found.columns["verdict"][1].startswith("changed much")
    with pytest.raises(ValueError, match="Pipeline keeps nothing"):
        drift_table(other, numbers)


def test_bad_tables_are_named(model, table):
    X, _ = table
    with pytest.raises(ValueError, match=r"no columns \['city'\]"):
        drift_table(model, X.drop(columns="city"), X)
    with pytest.raises(ValueError, match="'age' holds numbers in X_ref"):
        drift_table(model, X.assign(age="old"), X)
    with pytest.raises(ValueError, match="The 'alpha' parameter"):
        drift_table(model, X, alpha=2.0)


def test_the_display_draws_what_changed_most_first(model, table):
    X, _ = table
    new = X[450:].assign(city="Oslo")
    display = DriftDisplay.from_estimator(model, new, X[300:450])
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    found = by_column(drift_table(model, new, X[300:450]))["psi"].dropna()
    assert labels == list(found.sort_values(kind="stable").index)
    assert [bar.get_width() for bar in display.bars_] == sorted(found)
    assert "city" in repr(display)
    assert "has changed" in repr(display)
