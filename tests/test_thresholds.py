"""Thresholds of all tasks at once: the best on the rows given, and used by predict."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import confusion_matrix, fbeta_score
from sklearn.model_selection import FixedThresholdClassifier, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, DEPHNMultiTaskEstimator, TaskView
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.model_selection import (
    ThresholdedClassifier,
    best_thresholds,
    cross_val_predict,
    tune_thresholds,
)

RNG = np.random.default_rng(0)
N = 160
X = RNG.normal(size=(N, 2))
SCORE = X[:, 0] + RNG.logistic(size=N, scale=0.5)
Y = pd.DataFrame(
    {
        "click": np.where(SCORE > 0, "yes", "no"),
        "buy": np.where(RNG.random(N) < 0.3, np.nan, SCORE > 1.2),
        "kind": np.digitize(SCORE, [-0.5, 0.5]),
    }
)
BINARY = pd.DataFrame({"click": (SCORE > 0) * 1.0, "buy": Y["buy"].astype(float)})
TRAIN, REST = slice(0, 80), slice(80, N)


def make_model(cls=DEPHNMultiTaskClassifier, **changes):
    small = {
        "embedding_dim": 2,
        "public_experts": ("dnn",),
        "private_experts": (),
        "expert_hidden": (4,),
        "n_layers": 1,
        "max_epochs": 3,
        "learning_rate": 0.05,
        "random_state": 0,
    }
    return cls(**{**small, **changes})


@pytest.fixture(scope="module")
def model():
    return make_model().fit(X[TRAIN], Y[TRAIN])


@pytest.fixture(scope="module")
def binary():
    return make_model().fit(X[TRAIN], BINARY[TRAIN])


# ------------------------------------------------------------ which one is best


def goals(rng):
    """A goal of each kind: its arguments, and what scikit-learn says of labels."""
    beta, matrix = float(rng.choice([0.5, 1, 2])), rng.normal(size=(2, 2))
    fp, fn = rng.integers(1, 9, 2)

    def f_score(y, found, w):
        return fbeta_score(y, found, beta=beta, sample_weight=w, zero_division=0)

    def gain(y, found, w, of):
        return (confusion_matrix(y, found, sample_weight=w, labels=[0, 1]) * of).sum()

    costs = np.array([[0, -fp], [-fn, 0]])
    yield {"beta": beta}, f_score
    yield {"costs": {"a": (fp, fn)}}, lambda *given: gain(*given, costs)
    yield {"gains": {"a": matrix}}, lambda *given: gain(*given, matrix)


@pytest.mark.parametrize("seed", range(12))
def test_no_other_threshold_does_better(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    y, prob = rng.integers(0, 2, n), rng.integers(0, 8, n) / 8
    y[0], weight = 1, rng.integers(1, 4, n) * 1.0
    frame = pd.DataFrame({"a": y})
    for given, judge in goals(rng):
        found = best_thresholds(frame, prob, sample_weight=weight, **given)["a"]
        reached = judge(y, prob >= found, weight)
        every = [judge(y, prob >= t, weight) for t in [*np.unique(prob), np.inf]]
        assert reached == pytest.approx(max(every))
        if np.isfinite(found):  # and fewer rows do not do as well
            acted = prob[prob >= found].min()
            fewer = [judge(y, prob > t, weight) for t in prob[prob >= acted]]
            assert max(fewer) < reached


def test_costs_are_bayes_where_probabilities_are_true():
    rng = np.random.default_rng(0)
    prob = rng.random(40_000)
    y = rng.random(40_000) < prob
    costs = {"task0": (1, 4)}
    assert best_thresholds(y, prob, costs=costs)["task0"] == pytest.approx(
        0.2, abs=0.05
    )


def test_never_and_always():
    y, prob = [0, 1, 0, 0], [0.9, 0.1, 0.5, 0.4]
    assert best_thresholds(y, prob, costs={"task0": (5, 1)}) == {"task0": np.inf}
    assert best_thresholds(y, prob, costs={"task0": (1, 99)})["task0"] <= 0.1


def test_integer_weights_are_repeated_rows_and_missing_ones_are_none():
    rng = np.random.default_rng(1)
    y, prob = rng.integers(0, 2, 40) * 1.0, rng.random(40)
    weight = rng.integers(0, 3, 40)
    again = np.repeat(np.arange(40), weight)
    weighted = best_thresholds(y, prob, sample_weight=weight)
    assert weighted == best_thresholds(y[again], prob[again])
    holes = np.where(weight == 0, np.nan, y)
    assert best_thresholds(holes, prob, sample_weight=weight.clip(1)) == weighted


def test_the_least_float_above_another_stays_apart():
    low = 0.3
    high = np.nextafter(low, 1)
    threshold = best_thresholds([0, 1], [low, high])["task0"]
    assert low < threshold <= high


# ------------------------------------------------------------ the classifier


def test_predict_is_scikit_learns_of_each_task_alone(model):
    thresholds = {"click": 0.3, "buy": 0.2}
    found = ThresholdedClassifier(model, thresholds=thresholds).predict(X)
    for t, (name, threshold) in enumerate(thresholds.items()):
        view = FrozenEstimator(model.task(name))
        alone = FixedThresholdClassifier(
            view,
            threshold=threshold,
            pos_label=view.classes_[1],
            response_method="predict_proba",
        ).fit(X, Y["click"])
        assert_array_equal(found[:, t], alone.predict(X))
    assert_array_equal(found[:, 2], model.predict(X)[:, 2])  # of three classes


def test_all_else_is_the_estimators(binary):
    acting = ThresholdedClassifier(binary, thresholds=0.2)
    assert_array_equal(acting.predict_proba(X), binary.predict_proba(X))
    assert_array_equal(acting.predict_log_proba(X), binary.predict_log_proba(X))
    assert acting.score(X, BINARY) == binary.score(X, BINARY)
    assert_array_equal(acting.classes_, binary.classes_)
    assert acting.task_names_ == ("click", "buy")
    assert acting.n_features_in_ == 2
    assert acting.thresholds_ == {"click": 0.2, "buy": 0.2}
    assert acting.predict(X).dtype == binary.predict(X).dtype


def test_a_view_and_the_score_of_one_task_follow_the_threshold(model):
    acting = ThresholdedClassifier(model, thresholds={"buy": 0.01})
    assert_array_equal(
        acting.task("buy").predict(X), acting.predict(X)[:, 1].astype(bool)
    )
    single = make_model().fit(X[TRAIN], Y["click"][TRAIN])
    never = ThresholdedClassifier(single, thresholds=np.inf)
    assert never.score(X, Y["click"]) == (Y["click"] == "no").mean()


def test_numbers_beside_classes_stay_numbers():
    y = BINARY.assign(sum=SCORE)
    mixed = make_model(
        DEPHNMultiTaskEstimator, tasks={"click": "binary", "buy": "binary"}
    ).fit(X, y)
    acting = ThresholdedClassifier(mixed, thresholds=0.0)
    found = acting.predict(X)
    assert (found[:, :2] == 1).all()
    assert_array_equal(found[:, 2], mixed.predict(X)[:, 2])
    assert acting.predict_proba(X).keys() == {"click", "buy"}
    with pytest.raises(ValueError, match="task 'sum' are numbers"):
        acting.predict_log_proba(X)
    with pytest.raises(ValueError, match="'sum', which has not two classes"):
        ThresholdedClassifier(mixed, thresholds={"sum": 0.1}).predict(X)
    assert tune_thresholds(mixed, X, y).thresholds_.keys() == {"click", "buy"}


def test_it_goes_around_a_pipeline_and_a_calibrator_and_into_a_pipeline(binary):
    pipeline = make_pipeline(StandardScaler(), make_model())
    acting = ThresholdedClassifier(pipeline, thresholds=0.1).fit(X, BINARY)
    by_hand = clone(pipeline).fit(X, BINARY).predict_proba(X) >= 0.1
    assert_array_equal(acting.predict(X), by_hand)
    around = make_pipeline(
        StandardScaler(), ThresholdedClassifier(make_model(), thresholds=0.1)
    ).fit(X, BINARY)
    assert_array_equal(around.predict(X), by_hand)
    calibrated = TaskCalibrator(binary).fit(X[REST], BINARY[REST])
    tuned = tune_thresholds(calibrated, X[REST], BINARY[REST])
    limits = [*tuned.thresholds_.values()]
    assert_array_equal(tuned.predict(X), calibrated.predict_proba(X) >= limits)
    assert TaskView(around, "buy").predict(X).shape == (N,)


def test_clones_pickles_and_files_keep_it(binary, tmp_path):
    tuned = tune_thresholds(binary, X[REST], BINARY[REST], costs={"buy": (9, 1)})
    trained = ThresholdedClassifier(make_model(), thresholds={"buy": 0.1})
    trained.fit(X, BINARY)
    for acting in (tuned, trained):
        acting.save(tmp_path / "model.zip")
        loaded = dephn_sk.load(tmp_path / "model.zip")
        for copy in (pickle.loads(pickle.dumps(acting)), loaded):
            assert copy.thresholds_ == acting.thresholds_
            assert_array_equal(copy.predict(X), acting.predict(X))
    again = clone(trained)
    with pytest.raises(NotFittedError):
        again.predict(X)
    assert again.thresholds == {"buy": 0.1}


def test_it_is_cross_validated_and_routes_weights():
    y, weight = BINARY, np.arange(N) % 3 + 1.0
    scores = cross_val_score(ThresholdedClassifier(make_model()), X, y, cv=KFold(2))
    assert np.isfinite(scores).all()
    by_hand = make_model().fit(X, y, sample_weight=weight).predict_proba(X)
    plain = ThresholdedClassifier(make_model()).fit(X, y, sample_weight=weight)
    assert_array_equal(plain.predict_proba(X), by_hand)
    with config_context(enable_metadata_routing=True):
        inner = make_model().set_fit_request(sample_weight=True)
        routed = ThresholdedClassifier(inner).fit(X, y, sample_weight=weight)
    assert_array_equal(routed.predict_proba(X), by_hand)


# ------------------------------------------------------------ tuning a model


def test_a_fitted_model_is_asked_and_not_trained(binary):
    tuned = tune_thresholds(binary, X[REST], BINARY[REST], beta={"buy": 2.0})
    assert tuned.estimator is binary
    by_hand = best_thresholds(
        BINARY[REST], binary.predict_proba(X[REST]), beta={"buy": 2.0}
    )
    assert tuned.thresholds_ == by_hand


def test_out_of_fold_predictions_choose_and_all_rows_train():
    tuned = tune_thresholds(make_model(), X, BINARY, cv=KFold(2))
    out_of_fold = cross_val_predict(make_model(), X, BINARY, cv=KFold(2))
    assert tuned.thresholds_ == best_thresholds(BINARY, out_of_fold)
    whole = make_model().fit(X, BINARY)
    assert_array_equal(tuned.predict_proba(X), whole.predict_proba(X))


def test_under_conditions_labels_are_those_of_the_entire_space():
    y = pd.DataFrame({"click": (SCORE > 0) * 1.0})
    y["buy"] = np.where(y["click"] == 1, (SCORE > 1) * 1.0, np.nan)
    funnel = make_model(conditions={"buy": "click"}).fit(X, y)
    tuned = tune_thresholds(funnel, X, y)
    prob = funnel.predict_proba(X)
    click = best_thresholds(y["click"], prob[:, 0])["click"]
    # a purchase is only predicted with its click
    possible = np.where(prob[:, 0] >= click, prob[:, 1], 0.0)
    buy = best_thresholds(y["buy"].fillna(0), possible)["buy"]
    found = tuned.thresholds_
    assert found["click"] == click
    same = [(possible >= one) & (possible > 0) for one in (buy, found["buy"])]
    assert_array_equal(*same)


@pytest.fixture(scope="module")
def forest():
    """A refund of a purchase of a click, in no order, beside three classes."""
    y = pd.DataFrame({"refund": (SCORE > 1.5) * 1.0, "kind": Y["kind"]})
    y["click"], y["buy"] = (SCORE > 0) * 1.0, (SCORE > 1) * 1.0
    y["refund"] = y["refund"].where((y["buy"] == 1) & (RNG.random(N) < 0.8))
    y["buy"] = y["buy"].where(y["click"] == 1)
    conditions = {"refund": "buy", "buy": "click"}
    return make_model(conditions=conditions).fit(X[TRAIN], y[TRAIN]), y


@pytest.mark.parametrize(
    "thresholds",
    [{"click": 0.9, "buy": 0.1, "refund": 0}, {"buy": 0.8}, 0.0, float("inf"), None],
)
def test_no_task_is_predicted_without_its_condition(forest, thresholds):
    model, y = forest
    if thresholds is None:
        weight = RNG.integers(0, 3, N - 80)
        costs = {"buy": (1, 50), "refund": (1, 50)}
        acting = tune_thresholds(
            model, X[REST], y[REST], costs=costs, sample_weight=weight
        )
    else:
        acting = ThresholdedClassifier(model, thresholds=thresholds)
    names = list(y)
    found = pd.DataFrame(acting.predict(X), columns=names)
    assert not ((found["buy"] == 1) & (found["click"] == 0)).any()
    assert not ((found["refund"] == 1) & (found["buy"] == 0)).any()
    assert_array_equal(found["kind"], model.predict(X)[:, 1])
    probability = dict(zip(names, model.predict_proba(X), strict=True))
    above = {n: probability[n][:, 1] >= t for n, t in acting.thresholds_.items()}
    assert_array_equal(found["click"] == 1, above["click"])
    assert_array_equal(found["buy"] == 1, above["buy"] & above["click"])
    for name in names:
        assert_array_equal(acting.task(name).predict(X), found[name])


def test_thresholds_of_a_funnel_are_the_best_that_keep_its_order(forest):
    model, y = forest
    weight = RNG.integers(0, 3, N - 80).astype(float)
    costs = {"buy": (1, 3)}
    acting = tune_thresholds(model, X[REST], y[REST], costs=costs, sample_weight=weight)
    labels = y[REST].assign(buy=y["buy"].fillna(0.0))["buy"].to_numpy()

    def cost(threshold):
        given = {**acting.thresholds_, "buy": threshold}
        found = ThresholdedClassifier(model, thresholds=given).predict(X[REST])
        said = found[:, list(y).index("buy")].astype(float)
        return weight @ ((said > labels) * 1 + (said < labels) * 3)

    probability = model.predict_proba(X[REST])[list(y).index("buy")][:, 1]
    best = min(map(cost, [*probability, np.inf]))
    assert cost(acting.thresholds_["buy"]) == best


# ------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"costs": {"bye": (1, 2)}}, "costs names the task 'bye'.*Did you mean 'buy'"),
        ({"costs": {"kind": (1, 2)}}, "'kind', which has not two classes"),
        ({"costs": {"buy": (-1, 2)}}, "costs of task 'buy'"),
        ({"costs": {"buy": 3}}, r"costs of task 'buy' is 3.*\(2,\)"),
        ({"gains": {"buy": [1, 2]}}, r"gains of task 'buy'.*\(2, 2\)"),
        ({"beta": {"buy": 0}}, "beta of task 'buy' is 0"),
        ({"beta": -1.0}, "beta of task 'click'"),
        (
            {"costs": {"buy": (1, 2)}, "gains": {"buy": np.eye(2)}},
            "'buy' is in costs and in gains",
        ),
        ({"params": {"sample_weight": 1}}, "are for cv"),
    ],
)
def test_what_makes_no_goal_is_named(model, given, message):
    with pytest.raises(ValueError, match=message):
        tune_thresholds(model, X[REST], Y[REST], **given)


def test_a_task_without_a_positive_row_is_named(binary):
    none = BINARY[REST].assign(buy=0.0)
    with pytest.raises(ValueError, match="task 'buy' cannot be found"):
        tune_thresholds(binary, X[REST], none)
    free = tune_thresholds(binary, X[REST], none, costs={"buy": (1, 1)})
    assert free.thresholds_["buy"] == np.inf
    with pytest.raises(ValueError, match=r"task 'buy'.*no observed row"):
        tune_thresholds(binary, X[REST], none.assign(buy=np.nan))


def test_wrong_thresholds_are_named(binary):
    for wrong in (-0.1, "high", np.nan):
        with pytest.raises(ValueError, match="thresholds of task 'buy'"):
            ThresholdedClassifier(binary, thresholds={"buy": wrong}).predict(X)
    with pytest.raises(ValueError, match="names the task 'buyy'"):
        ThresholdedClassifier(make_model(), thresholds={"buyy": 0.1}).fit(X, BINARY)
    with pytest.raises(NotFittedError, match="give cv"):
        tune_thresholds(make_model(), X, BINARY)
