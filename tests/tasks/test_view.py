"""The view of one task: the network's own predictions, in a 1-D classifier's shapes."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.base import clone, is_classifier
from sklearn.calibration import (
    CalibratedClassifierCV,
    CalibrationDisplay,
    calibration_curve,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    KFold,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from dephn_sk import DEPHNMultiTaskClassifier, TaskView
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.metrics import task_scorer


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
X = pd.DataFrame({"age": RNG.normal(size=120), "city": RNG.choice(list("abc"), 120)})
SCORE = X["age"].to_numpy() + RNG.logistic(size=120, scale=0.3)
BINARY = pd.DataFrame(
    {"click": (SCORE > 0) * 1.0, "like": np.where(SCORE > 0.5, 1.0, 0.0)}
)
BINARY.loc[::7, "like"] = np.nan
MIXED = BINARY.assign(kind=np.digitize(SCORE, [-0.5, 0.5])).assign(
    word=np.where(SCORE > 0, "yes", "no")
)
CLICK = BINARY["click"].to_numpy()


@pytest.fixture(scope="module")
def binary():
    return make_model().fit(X, BINARY)


@pytest.fixture(scope="module")
def mixed():
    return make_model().fit(X, MIXED)


# ------------------------------------------------------------ predictions


@pytest.mark.parametrize("t", [0, 1])
def test_a_binary_view_is_a_column_of_the_network(binary, t):
    view, column = binary.task(BINARY.columns[t]), binary.predict_proba(X)[:, t]
    prob = view.predict_proba(X)
    assert_array_equal(prob[:, 1], column)
    assert_allclose(prob.sum(axis=1), 1, rtol=1e-15)
    assert_array_equal(view.predict(X), binary.predict(X)[:, t])
    assert_array_equal(view.classes_, [0, 1])


@pytest.mark.parametrize("t", range(4))
def test_beside_a_multi_class_task_every_view_is_an_entry_of_the_list(mixed, t):
    view = mixed.task(MIXED.columns[t])
    assert_array_equal(view.predict_proba(X), mixed.predict_proba(X)[t])
    assert_array_equal(view.predict_log_proba(X), mixed.predict_log_proba(X)[t])
    assert_array_equal(view.predict(X), mixed.predict(X)[:, t])
    assert_array_equal(view.classes_, mixed.classes_[t])
    assert view.predict(X).dtype == mixed.classes_[t].dtype


def test_a_view_of_the_only_task_is_the_estimator():
    model = make_model().fit(X, CLICK)
    view = model.task("task0")
    assert_array_equal(view.predict_proba(X), model.predict_proba(X))
    assert_allclose(view.decision_function(X), model.decision_function(X), rtol=1e-9)


def test_the_decision_function_has_the_probabilities_order(mixed):
    two, three = mixed.task("click"), mixed.task("kind")
    assert_allclose(expit(two.decision_function(X)), two.predict_proba(X)[:, 1])
    assert_allclose(softmax(three.decision_function(X), axis=1), three.predict_proba(X))


def test_the_decision_function_of_certain_predictions_is_finite():
    model = make_model(max_epochs=10).fit(X, BINARY)
    view = TaskCalibrator(model, method="isotonic").fit(X, BINARY).task("click")
    assert set(view.predict_proba(X)[:, 1]) >= {0.0, 1.0}
    assert view.predict_log_proba(X).min() == -np.inf  # without a warning
    assert np.isfinite(view.decision_function(X)).all()


def test_score_is_the_accuracy(binary):
    accuracy = np.mean(binary.predict(X)[:, 0] == CLICK)
    assert binary.task("click").score(X, CLICK) == accuracy


# ------------------------------------------------------------ what is viewed


def test_the_network_is_shared_and_a_refit_is_seen():
    model = make_model().fit(X, BINARY)
    view = model.task("like")
    assert view.estimator is model
    before = view.predict_proba(X)
    model.set_params(max_epochs=3).fit(X, BINARY)
    assert not np.array_equal(view.predict_proba(X), before)
    assert_array_equal(view.predict_proba(X)[:, 1], model.predict_proba(X)[:, 1])


def wrapped(kind):
    """Estimators that end in a multi-task classifier, and the table they take."""
    numbers = X[["age"]].to_numpy()
    pipeline = make_pipeline(StandardScaler(), make_model()).fit(numbers, BINARY)
    if kind == "pipeline":
        return pipeline, numbers
    if kind == "search":
        return (
            GridSearchCV(
                pipeline,
                {"dephnmultitaskclassifier__max_epochs": [1, 2]},
                scoring=task_scorer("roc_auc"),
                cv=KFold(2),
            ).fit(numbers, BINARY),
            numbers,
        )
    if kind == "frozen":
        return FrozenEstimator(pipeline), numbers
    return TaskCalibrator(pipeline).fit(numbers, BINARY), numbers


@pytest.mark.parametrize("kind", ["pipeline", "search", "frozen", "calibrator"])
def test_a_view_looks_into_what_is_around_the_estimator(kind):
    estimator, table = wrapped(kind)
    view = TaskView(estimator, "like")
    assert_array_equal(
        view.predict_proba(table)[:, 1], estimator.predict_proba(table)[:, 1]
    )
    assert view.n_features_in_ == 1
    assert_array_equal(view.classes_, [0, 1])


def test_names_and_number_of_columns_are_the_estimators(binary):
    view = binary.task("click")
    assert view.n_features_in_ == 2
    assert_array_equal(view.feature_names_in_, ["age", "city"])
    nameless = make_model().fit(X[["age"]].to_numpy(), BINARY).task("click")
    assert not hasattr(nameless, "feature_names_in_")


def test_a_view_is_a_classifier_of_one_task(binary):
    view = binary.task("click")
    assert is_classifier(view)
    assert not get_tags(view).target_tags.multi_output
    assert not get_tags(view).classifier_tags.multi_label
    assert get_tags(view).input_tags.allow_nan
    assert repr(view).startswith("TaskView(")
    assert "task='click'" in repr(view)


def test_a_pickled_view_predicts_the_same(binary):
    view = binary.task("like")
    copy = pickle.loads(pickle.dumps(view))
    assert_array_equal(copy.predict_proba(X), view.predict_proba(X))


def test_an_unknown_task_is_refused_at_once_and_the_nearest_named(binary):
    with pytest.raises(ValueError, match=r"'likes'.*'click', 'like'.*mean 'like'\?"):
        binary.task("likes")


def test_an_unfitted_estimator_has_no_views():
    with pytest.raises(NotFittedError):
        make_model().task("click")
    view = TaskView(make_model(), "click")
    for use in (view.predict, view.predict_proba, view.decision_function):
        with pytest.raises(NotFittedError):
            use(X)
    assert not hasattr(view, "classes_")


def test_a_classifier_without_tasks_cannot_be_viewed():
    other = LogisticRegression().fit(X[["age"]], CLICK)
    with pytest.raises(TypeError, match="LogisticRegression"):
        TaskView(other, "click").predict(X[["age"]])


# ------------------------------------------------------------ fitting anew


def test_a_clone_is_unfitted_and_trains_on_its_task_alone(binary):
    view, before = binary.task("click"), binary.predict_proba(X)
    copy = clone(view)
    with pytest.raises(NotFittedError):
        copy.predict(X)
    copy.fit(X, CLICK)
    alone = make_model().fit(X, CLICK)
    assert_array_equal(copy.predict_proba(X), alone.predict_proba(X))
    assert_array_equal(binary.predict_proba(X), before)


def test_fitting_a_view_leaves_the_viewed_estimator_alone(binary):
    view, before = binary.task("click"), binary.predict_proba(X)
    words = np.where(SCORE > 0, "yes", "no")
    assert_array_equal(
        view.fit(X, words, sample_weight=CLICK + 1).classes_, ["no", "yes"]
    )
    alone = make_model().fit(X, words, sample_weight=CLICK + 1)
    assert_array_equal(view.predict_proba(X), alone.predict_proba(X))
    assert_array_equal(binary.predict_proba(X), before)
    assert view.estimator is binary


def test_a_view_is_not_fitted_to_several_tasks(binary):
    with pytest.raises(
        ValueError, match=r"1d y, the labels of task 'click'.*\['click', 'like'\]"
    ):
        binary.task("click").fit(X, BINARY)


@pytest.mark.parametrize("labels", [CLICK, pd.Series(CLICK, name="clicked")])
@pytest.mark.parametrize(
    ("given", "alone"),
    [
        ({"loss": {"click": "focal"}}, {"loss": "focal"}),
        ({"loss": {"like": "focal"}}, {}),
        ({"label_smoothing": {"click": 0.1}}, {"label_smoothing": 0.1}),
        ({"label_smoothing": {"like": 0.1}}, {}),
        ({"label_window": {"like": 1.0}}, {}),
        ({"class_weight": {"click": "balanced"}}, {"class_weight": "balanced"}),
        ({"class_weight": {"click": {0: 1, 1: 3}}}, {"class_weight": {0: 1, 1: 3}}),
        ({"class_weight": {"like": "balanced"}}, {}),
        ({"task_weights": {"like": 2.0}}, {}),
        ({"task_weights": [1.0, 2.0]}, {}),
        ({"monitor": ("loss", "like")}, {}),
        ({"conditions": {"like": "click"}}, {}),
    ],
)
def test_alone_a_task_has_what_parameters_say_of_it(given, alone, labels):
    model = make_model(**given)
    inside = make_pipeline(StandardScaler(), make_model(**given))
    expected = make_model(**alone).fit(X, CLICK).predict_proba(X)
    view = TaskView(model, "click").fit(X, labels)
    assert_array_equal(view.predict_proba(X), expected)
    TaskView(inside, "click").fit(X[["age"]], labels)
    assert model.get_params() == make_model(**given).get_params()


def test_weights_of_the_classes_of_the_only_task_stay():
    model = make_model(class_weight={0: 1, 1: 3}).fit(X, CLICK)
    view = model.task("task0").fit(X, CLICK)
    assert_array_equal(view.predict_proba(X), model.predict_proba(X))


# ------------------------------------------------------------ what takes 1-D targets


@pytest.fixture
def pyplot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def observed(name):
    rows = BINARY[name].notna().to_numpy()
    return X[rows], BINARY[name][rows].to_numpy()


@pytest.mark.parametrize("name", BINARY)
def test_curves_of_a_task(binary, name, pyplot):
    view, (table, y) = binary.task(name), observed(name)
    prob = view.predict_proba(table)[:, 1]
    roc = RocCurveDisplay.from_estimator(view, table, y)
    assert_allclose(roc.roc_auc, roc_auc_score(y, prob))
    recall = PrecisionRecallDisplay.from_estimator(view, table, y)
    assert_allclose(recall.average_precision, average_precision_score(y, prob))
    assert DetCurveDisplay.from_estimator(view, table, y).pos_label == 1
    reliability = CalibrationDisplay.from_estimator(view, table, y, n_bins=4)
    assert_allclose(reliability.prob_true, calibration_curve(y, prob, n_bins=4)[0])
    matrix = ConfusionMatrixDisplay.from_estimator(view, table, y).confusion_matrix
    assert_array_equal(matrix, confusion_matrix(y, prob > 0.5))


def test_partial_dependence_of_a_task(binary, pyplot):
    view = binary.task("click")
    display = PartialDependenceDisplay.from_estimator(
        view, X, ["age"], grid_resolution=5
    )
    alone = partial_dependence(view, X, ["age"], grid_resolution=5, kind="average")
    assert_array_equal(display.pd_results[0]["average"], alone["average"])
    assert np.ptp(alone["average"]) > 0


def test_permutation_importance_of_a_task(binary):
    view, (table, y) = binary.task("like"), observed("like")
    result = permutation_importance(view, table, y, scoring="roc_auc", random_state=0)
    assert result.importances_mean[0] > abs(result.importances_mean[1])


def test_a_fixed_threshold_of_a_task(binary):
    view, (table, y) = binary.task("like"), observed("like")
    fixed = FixedThresholdClassifier(FrozenEstimator(view), threshold=0.2).fit(table, y)
    assert_array_equal(fixed.predict(X), view.predict_proba(X)[:, 1] >= 0.2)


def test_a_tuned_threshold_of_a_task(binary):
    view, (table, y) = binary.task("like"), observed("like")
    tuned = TunedThresholdClassifierCV(view, cv="prefit", refit=False).fit(table, y)
    prob = view.predict_proba(table)[:, 1]
    assert_array_equal(tuned.predict(table), prob >= tuned.best_threshold_)
    best = max(balanced_accuracy_score(y, prob >= cut) for cut in np.unique(prob))
    assert_allclose(balanced_accuracy_score(y, tuned.predict(table)), best)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("name", ["click", "kind"])
def test_calibration_of_a_task_keeps_the_network(mixed, name, method):
    view, y = mixed.task(name), MIXED[name].to_numpy()
    calibrated = CalibratedClassifierCV(FrozenEstimator(view), method=method).fit(X, y)
    assert calibrated.calibrated_classifiers_[0].estimator.estimator is view
    prob = calibrated.predict_proba(X)
    assert log_loss(y, prob) < log_loss(y, view.predict_proba(X))
    if name == "click":
        assert_allclose(prob[:, 1].mean(), y.mean(), atol=0.01)
