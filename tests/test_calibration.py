"""TaskCalibrator: scikit-learn's calibrators, for each task on its observed rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.metrics import task_log_loss, task_scorer

METHODS = ["sigmoid", "isotonic"]
if parse_version(sklearn.__version__) >= parse_version("1.8"):
    METHODS.append("temperature")


def make_model(**changes):
    small = {
        "embedding_dim": 2,
        "public_experts": ("dnn",),
        "private_experts": (),
        "expert_hidden": (4,),
        "n_layers": 1,
        "n_bins": 4,
        "max_epochs": 2,
        "learning_rate": 0.05,
        "random_state": 0,
    }
    return DEPHNMultiTaskClassifier(**{**small, **changes})


RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 2))
SCORE = X[:, 0] + RNG.logistic(size=240, scale=0.3)
Y = pd.DataFrame(
    {
        "click": (SCORE > 0) * 1.0,
        "like": (SCORE > 0.5) * 1.0,
        "kind": np.digitize(SCORE, [-0.5, 0.5]).astype(float),
    }
)
Y.loc[RNG.random(240) < 0.3, "like"] = np.nan
Y.loc[RNG.random(240) < 0.2, "kind"] = np.nan
BINARY = Y[["click", "like"]]
TRAIN, HELD_OUT = slice(0, 120), slice(120, 240)


@pytest.fixture(scope="module")
def model():
    return make_model().fit(X[TRAIN], Y[TRAIN])


@pytest.fixture(scope="module")
def binary():
    return make_model().fit(X[TRAIN], BINARY[TRAIN])


def held_out(y=Y):
    return X[HELD_OUT], y[HELD_OUT]


# ------------------------------------------------------------ what it computes


@pytest.mark.parametrize("method", METHODS)
def test_each_task_is_calibrated_as_scikit_learn_does_it_alone(model, method):
    calibrated = TaskCalibrator(model, method=method).fit(*held_out())
    for t, name in enumerate(Y):
        rows = Y[name].notna().to_numpy() & (np.arange(240) >= 120)
        alone = CalibratedClassifierCV(
            FrozenEstimator(model.task(name)), method=method, cv=2
        ).fit(X[rows], Y[name][rows].to_numpy())
        assert_allclose(
            calibrated.predict_proba(X)[t], alone.predict_proba(X), atol=1e-9
        )


@pytest.mark.parametrize("method", METHODS)
def test_calibration_lowers_the_loss_on_its_own_rows(model, method):
    rows, y = held_out()
    calibrated = TaskCalibrator(model, method=method).fit(rows, y)
    classes = model.tasks_.classes
    before = task_log_loss(y, model.predict_proba(rows), classes=classes)
    after = task_log_loss(y, calibrated.predict_proba(rows), classes=classes)
    if method == "temperature":
        assert (after <= before).all()  # one number for each task is enough for that
    else:
        assert after.sum() < before.sum()


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_the_mean_probability_becomes_the_rate(binary, method):
    rows, y = held_out(BINARY)
    prob = TaskCalibrator(binary, method=method).fit(rows, y).predict_proba(rows)
    for t, name in enumerate(BINARY):
        known = y[name].notna().to_numpy()
        assert_allclose(prob[known, t].mean(), y[name][known].mean(), atol=0.01)


@pytest.mark.skipif("temperature" not in METHODS, reason="needs scikit-learn 1.8")
def test_a_temperature_changes_no_prediction(model):
    calibrated = TaskCalibrator(model, method="temperature").fit(*held_out())
    assert_array_equal(calibrated.predict(X), model.predict(X))


@pytest.mark.parametrize("method", METHODS)
def test_a_row_that_is_not_observed_is_not_felt(model, method):
    rows, y = held_out()
    calibrated = TaskCalibrator(model, method=method).fit(rows, y)
    known = y["like"].notna().to_numpy()
    fewer = TaskCalibrator(model, method=method).fit(rows[known], y[known])
    assert_array_equal(calibrated.predict_proba(X)[1], fewer.predict_proba(X)[1])
    assert not np.array_equal(calibrated.predict_proba(X)[0], fewer.predict_proba(X)[0])


@pytest.mark.parametrize("method", METHODS)
def test_integer_weights_are_repeated_rows(model, method):
    rows, y = held_out()
    weight = np.arange(120) % 3
    weighted = TaskCalibrator(model, method=method).fit(rows, y, sample_weight=weight)
    again = np.repeat(np.arange(120), weight)
    repeated = TaskCalibrator(model, method=method).fit(rows[again], y.iloc[again])
    for one, other in zip(
        weighted.predict_proba(X), repeated.predict_proba(X), strict=True
    ):
        assert_allclose(one, other, atol=1e-5)


def test_weights_may_differ_from_task_to_task(model):
    rows, y = held_out()
    weight = np.ones((120, 3))
    weight[::2, 0] = 0
    weighted = TaskCalibrator(model).fit(rows, y, sample_weight=weight).predict_proba(X)
    half = TaskCalibrator(model).fit(rows[1::2], y[1::2]).predict_proba(X)
    whole = TaskCalibrator(model).fit(rows, y).predict_proba(X)
    assert_allclose(weighted[0], half[0])
    assert_allclose(weighted[1], whole[1])


# ------------------------------------------------------------ shapes


def test_shapes_and_classes_are_the_estimators(model, binary):
    single = make_model().fit(X[TRAIN], Y["click"][TRAIN].map({0: "no", 1: "yes"}))
    labels = Y["click"].map({0: "no", 1: "yes"})
    for estimator, y in [(model, Y), (binary, BINARY), (single, labels)]:
        calibrated = TaskCalibrator(estimator).fit(*held_out(y))
        got, wanted = calibrated.predict_proba(X), estimator.predict_proba(X)
        assert [*map(np.shape, got)] == [*map(np.shape, wanted)]
        assert calibrated.predict(X).shape == estimator.predict(X).shape
        assert calibrated.predict(X).dtype == estimator.predict(X).dtype
        assert calibrated.task_names_ == estimator.task_names_
        for one, other in zip(calibrated.classes_, estimator.classes_, strict=True):
            assert_array_equal(one, other)
        assert calibrated.n_features_in_ == 2
        assert not hasattr(calibrated, "decision_function")


def test_probabilities_of_a_task_sum_to_one(model):
    for method in METHODS:
        calibrated = TaskCalibrator(model, method=method).fit(*held_out())
        for prob in calibrated.predict_proba(X):
            assert_allclose(prob.sum(axis=1), 1)


def test_score_and_views_are_of_the_calibrated_probabilities(binary):
    calibrated = TaskCalibrator(binary, method="isotonic").fit(*held_out(BINARY))
    scorer = task_scorer("score")
    assert calibrated.score(X, BINARY) == scorer(calibrated, X, BINARY)
    view = calibrated.task("like")
    assert_array_equal(view.predict_proba(X)[:, 1], calibrated.predict_proba(X)[:, 1])


def test_names_of_columns_are_the_estimators():
    table = pd.DataFrame(X, columns=["a", "b"])
    model = make_model().fit(table[TRAIN], BINARY[TRAIN])
    calibrated = TaskCalibrator(model).fit(table[HELD_OUT], BINARY[HELD_OUT])
    assert_array_equal(calibrated.feature_names_in_, ["a", "b"])


# ------------------------------------------------------------ conventions


def test_the_estimator_is_not_trained(binary):
    net, before = binary.net_, binary.predict_proba(X)
    calibrated = TaskCalibrator(binary).fit(*held_out(BINARY))
    assert calibrated.estimator is binary
    assert binary.net_ is net
    assert_array_equal(binary.predict_proba(X), before)


def test_an_unfitted_estimator_is_refused_with_the_way_out(binary):
    for estimator in (make_model(), clone(binary)):
        with pytest.raises(NotFittedError, match=r"FrozenEstimator\(estimator\)"):
            TaskCalibrator(estimator).fit(X, BINARY)
    with pytest.raises(NotFittedError):
        TaskCalibrator(binary).predict(X)


def test_a_frozen_estimator_survives_search_and_cross_validation(binary):
    frozen = TaskCalibrator(FrozenEstimator(binary))
    rows, y = held_out(BINARY)
    scorer, folds = task_scorer("log_loss"), KFold(2)
    scores = cross_val_score(frozen, rows, y, cv=folds, scoring=scorer)
    by_hand = [
        scorer(
            TaskCalibrator(binary).fit(rows[train], y.iloc[train]),
            rows[test],
            y.iloc[test],
        )
        for train, test in folds.split(rows)
    ]
    assert_allclose(scores, by_hand)
    search = GridSearchCV(frozen, {"method": METHODS}, scoring=scorer, cv=folds)
    best = search.fit(rows, y).best_params_["method"]
    by_hand = TaskCalibrator(binary, method=best).fit(rows, y)
    assert_array_equal(search.predict_proba(X), by_hand.predict_proba(X))


def test_the_calibrator_goes_around_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), make_model())
    pipeline.fit(X[TRAIN], BINARY[TRAIN])
    around = TaskCalibrator(pipeline).fit(*held_out(BINARY))
    scaled = pipeline[:-1].transform(X)
    inside = TaskCalibrator(pipeline[-1]).fit(scaled[HELD_OUT], BINARY[HELD_OUT])
    assert_array_equal(around.predict_proba(X), inside.predict_proba(scaled))


def test_a_pickled_calibrator_predicts_the_same_and_holds_no_rows(binary):
    small = TaskCalibrator(binary).fit(*held_out(BINARY))
    copy = pickle.loads(pickle.dumps(small))
    assert_array_equal(copy.predict_proba(X), small.predict_proba(X))
    rows, y = np.tile(X, (20, 1)), pd.concat([BINARY] * 20)
    large = TaskCalibrator(binary).fit(rows, y)
    assert len(pickle.dumps(large)) < len(pickle.dumps(small)) + 2000


def test_weights_are_routed(binary):
    rows, y = held_out(BINARY)
    weight = np.arange(120) % 3 + 1.0
    by_hand = TaskCalibrator(binary).fit(rows, y, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        frozen = TaskCalibrator(FrozenEstimator(binary))
        search = GridSearchCV(
            frozen.set_fit_request(sample_weight=True),
            {"method": ["sigmoid"]},
            scoring=task_scorer("roc_auc").set_score_request(sample_weight=False),
            cv=KFold(2),
        ).fit(rows, y, sample_weight=weight)
    assert_array_equal(search.predict_proba(X), by_hand.predict_proba(X))


# ------------------------------------------------------------ bad input


def test_a_task_of_one_observed_class_is_named(binary):
    rows, y = held_out(BINARY)
    y = y.assign(like=y["like"].where(y["like"] != 1))
    with pytest.raises(ValueError, match=r"'like' cannot be calibrated.*\[0.0\]"):
        TaskCalibrator(binary).fit(rows, y)


def test_a_class_without_a_row_is_named(model):
    rows, y = held_out()
    y = y.assign(kind=y["kind"].where(y["kind"] != 2))
    with pytest.raises(ValueError, match=r"'kind' cannot be calibrated"):
        TaskCalibrator(model).fit(rows, y)


def test_bad_labels_and_weights_are_refused(binary):
    rows, y = held_out(BINARY)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TaskCalibrator(binary).fit(rows[:-1], y)
    with pytest.raises(ValueError, match="'like' has the label 5"):
        TaskCalibrator(binary).fit(rows, y.assign(like=5.0))
    with pytest.raises(ValueError, match="must not be negative"):
        TaskCalibrator(binary).fit(rows, y, sample_weight=np.full(120, -1.0))
    with pytest.raises(ValueError, match="'like' cannot be calibrated"):
        TaskCalibrator(binary).fit(rows, y.assign(like=np.nan))
    with pytest.raises(ValueError, match="The 'method' parameter"):
        TaskCalibrator(binary, method="platt").fit(rows, y)
