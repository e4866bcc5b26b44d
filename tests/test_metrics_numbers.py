"""Metrics of numbers: against scikit-learn, and a loop over pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from dephn_sk.metrics import (
    task_gini,
    task_mean_absolute_error,
    task_r2,
    task_scorer,
    task_scorers,
)

METRICS = {
    "r2": task_r2,
    "mean_absolute_error": task_mean_absolute_error,
    "gini": task_gini,
}


def make_numbers(n=80):
    rng = np.random.default_rng(0)
    y = np.where(rng.random((n, 2)) < 0.4, 0, rng.lognormal(size=(n, 2)))
    predicted = np.round(y + rng.normal(size=(n, 2)), 1)  # with ties
    y[rng.random((n, 2)) < 0.2] = np.nan
    return y, predicted, rng.integers(0, 4, (n, 2)).astype(float)


def naive_gini(true, predicted, weight):
    def concentration(rank):
        total = 0.0
        for i in range(len(true)):
            for j in range(len(true)):
                sign = np.sign(rank[i] - rank[j])
                total += weight[i] * weight[j] * true[i] * sign
        return total

    return concentration(predicted) / concentration(true)


NAIVE = {
    "r2": lambda y, p, w: r2_score(y, p, sample_weight=w),
    "mean_absolute_error": lambda y, p, w: mean_absolute_error(y, p, sample_weight=w),
    "gini": naive_gini,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_the_naive_one_over_observed_rows(name, weighted):
    y, predicted, weight = make_numbers()
    weight = weight if weighted else np.ones(y.shape)
    given = {"sample_weight": weight} if weighted else {}
    found = METRICS[name](y, predicted, **given)
    for t in range(2):
        known = ~np.isnan(y[:, t])
        expected = NAIVE[name](y[known, t], predicted[known, t], weight[known, t])
        assert_allclose(found[t], expected, rtol=1e-9)


def test_gini_of_two_classes_is_that_of_the_auc():
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 99), rng.random(99).round(1)
    assert_allclose(task_gini(y, score)[0], 2 * roc_auc_score(y, score) - 1)


def test_gini_ranks_and_nothing_else():
    y, predicted, _ = make_numbers()
    order = np.random.default_rng(0).permutation(len(y))
    expected = task_gini(y, predicted)
    assert_allclose(task_gini(y, np.exp(predicted)), expected)
    assert_allclose(task_gini(y[order], predicted[order]), expected)
    known = np.nan_to_num(y)
    assert_allclose(task_gini(known, known), 1)
    assert_allclose(task_gini(known, np.zeros(y.shape)), 0, atol=1e-12)
    assert_allclose(task_gini(known, -known), -1)


@pytest.mark.parametrize("name", METRICS)
def test_what_is_undefined_is_nan_and_named(name):
    y = pd.DataFrame({"a": [np.nan, np.nan, np.nan], "b": [1.0, 2.0, 3.0]})
    with pytest.warns(UndefinedMetricWarning, match="task 'a' is undefined: no row"):
        found = METRICS[name](y, y.fillna(0))
    assert np.isnan(found).tolist() == [True, False]


def test_what_cannot_be_judged_is_refused_by_name():
    y = pd.DataFrame({"a": [1.0, -2.0], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"'a' holds -2\.0; the Gini"):
        task_gini(y, y)
    with pytest.raises(ValueError, match=r"y_pred has shape \(2,\)"):
        task_r2(y, [1.0, 2.0])
    with pytest.raises(ValueError, match="y_pred of task 'b' holds NaN"):
        task_r2(y, np.array([[1, np.nan], [1, 2]]))
    with pytest.raises(ValueError, match="'a' holds 'x', no number"):
        task_r2(pd.DataFrame({"a": ["x", "y"]}), [1.0, 2.0])
    with pytest.warns(UndefinedMetricWarning, match="all amounts are alike"):
        assert np.isnan(task_gini([1.0, 1.0], [0.0, 1.0]))


def test_scorers_take_any_regressor():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = pd.DataFrame(X @ rng.normal(size=(3, 2)) + 5, columns=["a", "b"])
    model = LinearRegression().fit(X, y + rng.normal(size=y.shape))
    predicted = model.predict(X)
    assert_allclose(task_scorer("r2")(model, X, y), r2_score(y, predicted))
    error = mean_absolute_error(y["b"], predicted[:, 1])
    scorers = task_scorers("mean_absolute_error", ["a", "b"])
    assert_allclose(scorers["mean_absolute_error_b"](model, X, y), -error)
    known = y.astype(float)
    known.loc[::2, "a"] = np.nan
    rows = known["a"].notna()
    expected = r2_score(y["a"][rows], predicted[rows, 0])
    assert_allclose(task_scorer("r2", task="a")(model, X, known), expected)
    with pytest.raises(ValueError, match="Unknown task 'c'"):
        task_scorer("r2", task="c")(model, X, y)
