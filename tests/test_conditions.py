"""Funnels through every part of an estimator: fit, go on, predict, judge, keep."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from _logs import SMALL, assert_same_learned, learned
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logit
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, TaskView
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.datasets import make_behavior_log
from dephn_sk.inspection import (
    FitSummary,
    expert_contributions,
    field_attributions,
)
from dephn_sk.metrics import task_roc_auc, task_scorer
from dephn_sk.model_selection import cross_val_predict
from dephn_sk.preprocessing import FieldEncoder

CONDITIONS = {"like": "click", "purchase": "click"}
LOG = make_behavior_log(400, n_users=40, click_rate=0.4, random_state=0)
X, Y = LOG.data, LOG.target
NO_CLICK = Y["click"] == 0


def make(**options):
    given = {**SMALL, "conditions": CONDITIONS, **options}
    return DEPHNMultiTaskClassifier(**given)


def in_order(p):
    return (p[:, 1:] <= p[:, :1]).all()


@pytest.fixture(scope="module")
def fitted():
    return make().fit(X, Y)


def test_probabilities_keep_the_order_and_are_the_products(fitted):
    p, given = fitted.predict_proba(X), fitted.predict_proba_given(X)
    assert in_order(p)
    assert_array_equal(p[:, 0], given[:, 0])
    assert_allclose(p[:, 1:], given[:, :1] * given[:, 1:])
    assert_allclose(
        logit(given), fitted.logits_of(fitted.encoder_.encode(X)), rtol=1e-6
    )
    assert in_order(fitted.predict(X))


def test_rates_are_marginal(fitted):
    y = Y.fillna(0)
    assert_allclose(fitted.task_rates_, y.mean(), rtol=1e-9)


SAME = {
    "plain": {},
    "members": {"n_networks": 2},
    "stopping": {"early_stopping": True, "monitor": ("score", "like")},
    "balanced": {"class_weight": "balanced", "task_weights": "uncertainty"},
    "folds": {"max_epochs": "auto", "early_stopping": "auto"},
    "statistics": {"encoder": FieldEncoder(target_statistics=["user_id"])},
    "virtual gradient": {"virtual_gradient": "additive-cos"},
    "depth": {"conditions": {"like": "click", "purchase": "like"}},
}


@pytest.mark.usefixtures("short_fits")
@pytest.mark.parametrize("name", SAME)
def test_what_stands_where_the_condition_did_not_happen_changes_no_byte(name):
    y = Y.assign(purchase=Y["purchase"].where(Y["like"] == 1, 0))
    given = [
        y.astype(float).mask(NO_CLICK.to_frame().to_numpy() & [False, True, True], gap)
        for gap in (0, np.nan)
    ]
    one, other = (make(**SAME[name]).fit(X, labels) for labels in given)
    assert_same_learned(one, other)
    assert one.predict_proba(X).tobytes() == other.predict_proba(X).tobytes()


def test_nothing_changes_without_conditions():
    plain, empty = (make(conditions=one).fit(X, Y) for one in (None, {}))
    assert_same_learned(plain, empty)
    p = plain.predict_proba(X)
    assert_array_equal(p, plain.predict_proba_given(X))
    assert not in_order(p) or (p[:, 1:] <= p[:, :1]).all()


def test_a_label_whose_condition_is_not_known_is_used():
    y = Y.astype(float)
    y.loc[::3, "click"] = np.nan
    one = make().fit(X, y)
    y.loc[::3, "like"] = 1 - y.loc[::3, "like"]
    other = make().fit(X, y)
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert in_order(other.predict_proba(X))


def test_missing_labels_where_the_condition_happened_do_not_make_a_task_rare():
    log = make_behavior_log(3000, click_rate=0.5, purchase_rate=0.5, random_state=1)
    rng = np.random.default_rng(0)
    hidden = rng.random(3000) < 0.7
    y = log.target[["click", "purchase"]]
    y = y.assign(purchase=y["purchase"].mask(hidden))
    model = make(conditions={"purchase": "click"}, max_epochs=3).fit(log.data, y)
    truth = log.probabilities[:, 0] * log.probabilities[:, 2]
    bias = model.predict_proba(log.data)[:, 1].mean() / truth.mean() - 1
    assert abs(bias) < 0.1  # it would be -0.4 by the labels of the entire space alone


# ------------------------------------------------------------ violations


def violating():
    y = Y.copy()
    y.loc[np.flatnonzero(NO_CLICK)[2], "like"] = 1
    return y


def test_a_contradiction_is_refused_before_anything_is_learned():
    row = int(np.flatnonzero(NO_CLICK)[2])
    model = make()
    with pytest.raises(ValueError, match=rf"Row {row} .*'like'.*'click'"):
        model.fit(X, violating())
    assert not model.__sklearn_is_fitted__()
    fitted = make().fit(X, Y)
    before = learned(fitted)
    with pytest.raises(ValueError, match=f"Row {row} "):
        fitted.partial_fit(X, violating())
    with pytest.raises(ValueError, match=f"Row {row} "):
        make(early_stopping=True).fit(X, Y, X_val=X, y_val=violating())
    assert learned(fitted) == before


def test_rows_that_do_not_count_may_contradict_and_do_not_shift_the_number():
    y, weight = violating(), np.ones(len(Y))
    row = int(np.flatnonzero(NO_CLICK)[2])
    weight[0] = 0
    with pytest.raises(ValueError, match=f"Row {row} "):
        make().fit(X, y, sample_weight=weight)
    weight[row] = 0
    make().fit(X, y, sample_weight=weight)


def test_a_warning_takes_a_contradiction_for_not_observed():
    y = violating()
    with pytest.warns(UserWarning, match=r"count as not observed") as caught:
        warned = make(on_violation="warn").fit(X, y)
    assert len([w for w in caught if "observed" in str(w.message)]) == 1
    y.loc[NO_CLICK & (y["like"] == 1), "like"] = np.nan
    clean = make(on_violation="warn").fit(X, y)
    assert_array_equal(warned.predict_proba(X), clean.predict_proba(X))
    with pytest.warns(UserWarning, match=r"count as not observed"):
        score = warned.score(X, violating())
    assert score == warned.score(X, y)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"conditions": {"liked": "click"}}, "conditions names .*Did you mean 'like'"),
        ({"conditions": ["click"]}, "The 'conditions' parameter"),
        ({"on_violation": "ignore"}, "The 'on_violation' parameter"),
        ({"conditions": {"click": "click"}}, "its own condition"),
    ],
)
def test_bad_conditions_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        make(**options).fit(X, Y)


def test_a_task_without_a_row_in_which_its_condition_happened_is_named():
    y = Y.astype(float)
    y.loc[~NO_CLICK, "purchase"] = np.nan
    y.loc[NO_CLICK, "purchase"] = 0
    said = "'purchase' has no observed label .* where 'click' happened"
    with pytest.raises(ValueError, match=said):
        make().fit(X, y)


def test_conditions_stay_when_training_goes_on(fitted):
    model = copy.deepcopy(fitted).partial_fit(X[:50], Y[:50])
    assert in_order(model.predict_proba(X))
    only = NO_CLICK.to_numpy()  # no click at all in a later call
    assert in_order(model.partial_fit(X[only], Y[only]).predict_proba(X))
    with pytest.raises(ValueError, match=r"conditions=.* differs"):
        model.set_params(conditions={"like": "click"}).partial_fit(X, Y)


# ------------------------------------------------------------ what reads a fit


def test_a_view_of_a_task_is_the_marginal(fitted):
    view = fitted.task("purchase")
    assert_array_equal(view.predict_proba(X)[:, 1], fitted.predict_proba(X)[:, 2])
    with pytest.raises(ValueError, match=r"conditions=.*several tasks"):
        TaskView(make(), "purchase").fit(X, Y["click"])


def test_scores_are_of_marginal_probabilities_over_labels_as_given(fitted):
    p = fitted.predict_proba(X)
    assert fitted.score(X, Y) == pytest.approx(task_roc_auc(Y, p).mean())
    assert task_scorer("roc_auc")(fitted, X, Y) == pytest.approx(fitted.score(X, Y))


METHODS = ["sigmoid", "isotonic"]


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrator_keeps_the_order_and_reads_rows_with_the_condition(fitted, method):
    calibrator = TaskCalibrator(fitted, method=method).fit(X, Y)
    p, given = calibrator.predict_proba(X), calibrator.predict_proba_given(X)
    assert in_order(p)
    assert_allclose(p[:, 1:], given[:, :1] * given[:, 1:])
    y = Y.astype(float)
    y.loc[NO_CLICK, "like"] = np.nan
    again = TaskCalibrator(fitted, method=method).fit(X, y)
    assert_array_equal(again.predict_proba(X), p)
    # on those rows, the mean of a calibrated probability is the rate
    clicked = ~NO_CLICK
    rates = Y[clicked].mean()
    assert_allclose(given[clicked].mean(axis=0)[1:], rates[1:], atol=0.02)
    whole = TaskCalibrator(make_pipeline("passthrough", fitted), method=method)
    assert_allclose(whole.fit(X, Y).predict_proba(X), p, rtol=1e-9)
    none = Y.assign(like=0)
    with pytest.raises(ValueError, match=r"'like' .* the rows with 'click' hold"):
        TaskCalibrator(fitted, method=method).fit(X, none)


def test_out_of_fold_probabilities_keep_the_order():
    p = cross_val_predict(make(max_epochs=1), X, Y, cv=2)
    assert in_order(p)
    labels = cross_val_predict(make(max_epochs=1), X, Y, cv=2, method="predict")
    assert in_order(labels)


def test_a_search_and_a_pipeline_take_conditions():
    numbers, y = X[["price", "popularity"]].to_numpy(), Y
    model = make_pipeline(StandardScaler(), make(max_epochs=1))
    grid = {"dephnmultitaskclassifier__conditions": [None, CONDITIONS]}
    search = GridSearchCV(model, grid, scoring=task_scorer("log_loss"), cv=KFold(2))
    search.fit(numbers, y)
    assert len(search.cv_results_["params"]) == 2


def test_attributions_and_contributions_are_of_conditional_logits(fitted):
    rows = X[:20]
    given = logit(fitted.predict_proba_given(rows))
    found = expert_contributions(fitted, rows)
    assert_allclose(found.contributions.sum(-1) + found.bias, given, atol=1e-4)
    found = field_attributions(fitted, rows)
    assert_allclose(found.attributions.sum(-1) + found.baseline, given, atol=0.1)


def test_a_summary_says_which_task_is_given_which(fitted):
    summary = FitSummary.from_estimator(fitted)
    assert summary.conditions == CONDITIONS
    for text in (repr(summary), summary._repr_html_()):
        assert "given" in text
    assert "given" not in repr(
        FitSummary.from_estimator(make(conditions=None).fit(X, Y))
    )
    fitted._repr_mimebundle_()


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("way", ["pickle", "file"])
def test_what_is_kept_predicts_and_goes_on(fitted, calibrated, way, tmp_path):
    model = TaskCalibrator(FrozenEstimator(fitted)).fit(X, Y) if calibrated else fitted
    if way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    else:
        dephn_sk.save(model, tmp_path / "model.zip", training=True)
        again = dephn_sk.load(tmp_path / "model.zip")
    for method in ("predict_proba", "predict_proba_given"):
        found, wanted = (getattr(one, method)(X) for one in (again, model))
        assert found.tobytes() == wanted.tobytes()
    if not calibrated:
        on, same = again.partial_fit(X, Y), copy.deepcopy(fitted).partial_fit(X, Y)
        assert_same_learned(on, same)


def test_a_fit_that_was_broken_off_goes_on_from_its_checkpoint(tmp_path):
    path = tmp_path / "fit.ckpt"
    model = make(max_epochs=3).fit(X, Y, checkpoint=path)
    again = clone(model).fit(X, Y, checkpoint=path)
    assert again.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()


def test_a_y_of_any_library_may_be_a_funnel():
    y = Y[["click", "like"]].to_numpy().astype(int)
    model = make(conditions={"task1": "task0"}).fit(X, y)
    p = model.predict_proba(X)
    assert (p[:, 1] <= p[:, 0]).all()
    words = pd.DataFrame({"click": np.where(y[:, 0], "yes", "no"), "like": y[:, 1]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = make(conditions={"like": "click"}).fit(X, words)
    assert_array_equal(other.predict_proba(X), p)
