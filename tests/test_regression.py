"""Regressor and mixture: what holds of two classes holds of numbers, or is refused."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _logs import SMALL, assert_same_learned
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import Pipeline

import dephn_sk
from dephn_sk import (
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskEstimator,
    DEPHNMultiTaskRegressor,
    MultiTaskRegressor,
    RegressionTaskView,
    TaskView,
    model_selection,
)
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.inspection import (
    CalibrationDisplay,
    ConfidenceDisplay,
    FitSummary,
    LabelSimilarityDisplay,
    TrainingCurveDisplay,
    expert_contributions,
    field_attributions,
    permutation_importance,
)
from dephn_sk.metrics import task_scorer
from dephn_sk.nn import TaskNetwork
from dephn_sk.preprocessing import FieldEncoder

KINDS = {"watch": "gamma", "revenue": "zero-inflated-lognormal", "click": "binary"}
FOLDS = KFold(2, shuffle=True, random_state=0)


def make_data(n_rows=240, seed=0):
    """Amounts and behaviors that a shop and a size decide, with gaps."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {"shop": rng.choice(list("abcd"), n_rows), "size": rng.normal(size=n_rows)}
    )
    drive = X["size"] + (X["shop"] == "a")
    bought = drive + rng.normal(size=n_rows) > 0.5
    y = pd.DataFrame(
        {
            "watch": np.exp(2 + drive / 2 + 0.3 * rng.normal(size=n_rows)),
            "revenue": np.where(bought, np.exp(4 + drive), 0.0),
            "click": (drive + rng.normal(size=n_rows) > 0).astype(float),
            "color": rng.choice(["red", "sky", "tan"], n_rows),
        }
    )
    y.loc[rng.random(n_rows) < 0.2, "watch"] = np.nan
    y.loc[rng.random(n_rows) < 0.2, "click"] = np.nan
    return X, y


X, Y = make_data()
NUMBERS = Y[["watch", "revenue"]]


def regressor(**options):
    loss = {"watch": "gamma", "revenue": "zero-inflated-lognormal"}
    return DEPHNMultiTaskRegressor(**{**SMALL, "loss": loss, **options})


def mixture(**options):
    return DEPHNMultiTaskEstimator(**{**SMALL, "tasks": KINDS, **options})


LONGER = {"max_epochs": 40, "learning_rate": 0.02, "expert_hidden": (16, 8)}


@pytest.fixture(scope="module")
def fitted():
    return mixture(**LONGER).fit(X, Y)


@pytest.fixture(scope="module")
def numbers():
    return regressor(**LONGER).fit(X, NUMBERS)


# ------------------------------------------------------------ predictions and scores


def test_every_loss_learns():
    for loss in ("squared", "absolute", "quantile(0.5)", "poisson", "gamma"):
        y = NUMBERS["watch"].fillna(5.0)
        model = regressor(loss=loss, **LONGER).fit(X, y)
        assert model.score(X, y) > 0.4, loss
        assert model.predict(X).shape == (len(X),)
        assert model.predict(X).dtype == np.float64
    # a tail of large labels does not bear as large steps on every processor
    calm = {**LONGER, "learning_rate": 0.01}
    model = regressor(loss="zero-inflated-lognormal", **calm)
    assert model.fit(X, NUMBERS["revenue"]).score(X, NUMBERS["revenue"]) > 0.3


def test_the_score_is_the_mean_r2_of_observed_labels(numbers):
    known, predicted = NUMBERS["watch"].notna(), numbers.predict(X)
    watch = r2_score(NUMBERS["watch"][known], predicted[known, 0])
    revenue = r2_score(NUMBERS["revenue"], predicted[:, 1])
    assert_allclose(numbers.score(X, NUMBERS), (watch + revenue) / 2)


def test_the_score_of_a_mixture_is_the_mean_of_r2_auc_and_accuracy(fitted):
    predicted, proba = fitted.predict(X), fitted.predict_proba(X)
    parts = []
    for t, name in enumerate(["watch", "revenue"]):
        known = Y[name].notna()
        parts.append(r2_score(Y[name][known], predicted[known, t].astype(float)))
    known = Y["click"].notna()
    parts.append(roc_auc_score(Y["click"][known], proba["click"][known, 1]))
    parts.append(np.mean(predicted[:, 3] == Y["color"]))
    assert_allclose(fitted.score(X, Y), np.mean(parts))


def test_a_score_of_one_row_is_undefined_and_says_why(numbers):
    with pytest.warns(UndefinedMetricWarning) as seen:
        assert np.isnan(numbers.score(X[:1], NUMBERS[:1]))
    texts = [str(one.message) for one in seen]
    assert "Score of task 'watch' is undefined: it needs two rows" in texts[0]
    assert "'revenue'" in texts[1]


def test_a_mixture_predicts_numbers_and_labels(fitted):
    predicted = fitted.predict(X)
    assert predicted.shape == (len(X), 4)
    assert set(predicted[:, 3]) <= {"red", "sky", "tan"}
    assert fitted.predict_proba(X).keys() == {"click", "color"}
    assert fitted.predict_proba(X)["color"].shape == (len(X), 3)
    numeric = mixture().fit(X, Y.drop(columns="color"))
    assert numeric.predict(X).dtype == np.float64


def test_probabilities_of_numbers_are_refused_by_name():
    model = mixture(tasks="squared").fit(X, NUMBERS)
    with pytest.raises(AttributeError, match="predict_proba"):
        model.predict_proba(X)
    assert not hasattr(model, "predict_proba")
    assert not hasattr(regressor(), "predict_proba")
    assert not hasattr(regressor().fit(X, NUMBERS), "decision_function")


def test_tasks_that_are_alike_are_learned_as_by_the_classifier():
    y = Y[["click"]].assign(like=1 - Y["click"])
    one = DEPHNMultiTaskClassifier(**SMALL).fit(X, y)
    other = mixture(tasks="binary").fit(X, y)
    for t, name in enumerate(["click", "like"]):
        assert_array_equal(
            other.predict_proba(X)[name][:, 1], one.predict_proba(X)[:, t]
        )


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_units_do_not_decide_what_is_learned(factor):
    one = regressor(dtype="float64").fit(X, NUMBERS)
    other = regressor(dtype="float64").fit(X, factor * NUMBERS)
    assert_allclose(other.predict(X), factor * one.predict(X), rtol=1e-6)


def test_no_task_drowns_another():
    """A task in billions beside it changes what another learns no more than in ones."""
    y = NUMBERS.assign(revenue=NUMBERS["revenue"] * 1e9)
    loss = {"watch": "squared", "revenue": "squared"}
    one = regressor(loss=loss, dtype="float64").fit(X, NUMBERS)
    other = regressor(loss=loss, dtype="float64").fit(X, y)
    assert_allclose(one.predict(X)[:, 0], other.predict(X)[:, 0], rtol=1e-6)
    first = one.net_.history[0, "train_task_loss"]
    assert max(first) < 4 * min(first)


# ------------------------------------------------------------ what is refused


def test_whole_numbers_are_refused_with_the_name_of_the_column():
    y = pd.DataFrame({"watch": [1, 5, 9, 3], "click": [0, 1, 1, 0]})
    with pytest.raises(
        ValueError, match=r"'watch' holds whole numbers such as \[1, 3, 5"
    ):
        DEPHNMultiTaskEstimator().fit(X[:4], y)
    DEPHNMultiTaskEstimator(tasks={"watch": "poisson"}, max_epochs=1).fit(X[:4], y)


def test_wrong_kinds_are_refused_by_parameter_and_task():
    cases = [
        (
            regressor(loss="square"),
            NUMBERS,
            "loss has the kind 'square'.*mean 'squared'",
        ),
        (regressor(loss={"wach": "gamma"}), NUMBERS, "loss names the task 'wach'"),
        (regressor(loss={"watch": "binary"}), NUMBERS, "loss of 'watch' has the kind"),
        (regressor(loss="gamma"), NUMBERS, r"'revenue' holds 0.0 in row \d+"),
        (mixture(tasks={"click": "click"}), Y, "tasks of 'click' has the kind 'click'"),
        (mixture(class_weight={"watch": "balanced"}), Y, "class_weight of 'watch'"),
        (mixture(task_weights={"wach": 1}), Y, "task_weights names the task 'wach'"),
        (mixture(monitor=("loss", "wach")), Y, "monitor names the task 'wach'"),
    ]
    for model, y, message in cases:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)
        assert not model.__sklearn_is_fitted__()
    with pytest.raises(TypeError, match="class_weight"):
        regressor(class_weight="balanced")
    with pytest.raises(ValueError, match=r"classes=\[0, 1\] is given, but the labels"):
        regressor().partial_fit(X, NUMBERS, classes=[0, 1])


def test_missing_labels_of_one_task_alone_are_refused():
    with pytest.raises(ValueError, match="Input y contains NaN"):
        regressor(loss="gamma").fit(X, NUMBERS["watch"])


# ------------------------------------------------------------ training


def test_labels_of_rows_that_are_set_aside_decide_nothing():
    y = NUMBERS.assign(click=Y["click"])
    model = mixture(early_stopping=True, max_epochs=1).fit(X, y)
    _, plan = model, model._fitted
    from dephn_sk.training import FitPlan

    rows = FitPlan.of(model, X, y, epochs=1).train.rows.numpy()
    held_out = np.setdiff1d(np.arange(len(X)), rows)
    other = y.copy()
    other.loc[held_out, ["watch", "revenue"]] = 1e6
    again = mixture(early_stopping=True, max_epochs=1).fit(X, other)
    assert plan.tasks.tasks[0].state() == again._fitted.tasks.tasks[0].state()
    for a, b in zip(
        model.network_.parameters(), again.network_.parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_rows_of_weight_zero_do_not_count():
    weight = np.ones(len(X))
    weight[::3] = 0
    y = NUMBERS.copy()
    y.loc[::3, "revenue"] = 1e9
    one = regressor().fit(X, y, sample_weight=weight)
    keep = weight > 0
    assert_array_equal(one.predict(X), regressor().fit(X[keep], y[keep]).predict(X))


def test_balanced_weights_are_those_of_the_tasks_that_have_classes():
    balanced = mixture(class_weight="balanced").fit(X, Y)
    named = mixture(class_weight={"click": "balanced", "color": "balanced"}).fit(X, Y)
    assert_same_learned(balanced, named)


def test_the_same_seed_gives_the_same_bytes():
    assert_same_learned(mixture().fit(X, Y), mixture().fit(X, Y))


def test_early_stopping_watches_the_score_and_the_history_has_it():
    model = mixture(early_stopping=True, monitor="score", max_epochs=4).fit(X, Y)
    scores = model.history_[[f"valid_score_{name}" for name in Y]]
    best = int(np.argmax(scores.mean(axis=1))) + 1
    assert model.kept_epoch_ == best
    one = mixture(early_stopping=True, monitor=("score", "watch"), max_epochs=4)
    watched = one.fit(X, Y).history_["valid_score_watch"]
    assert one.kept_epoch_ == int(np.argmax(watched)) + 1


def test_the_recorded_score_is_r2_in_units():
    model = regressor(early_stopping=True, max_epochs=2, dtype="float64")
    X_val, y_val = make_data(100, seed=1)
    y_val = y_val[["watch", "revenue"]]
    model.fit(X, NUMBERS, X_val=X_val, y_val=y_val)
    epoch = model.history_.iloc[model.kept_epoch_ - 1]
    recorded = epoch[["valid_score_watch", "valid_score_revenue"]].mean()
    assert_allclose(recorded, model.score(X_val, y_val), rtol=1e-6)


@pytest.mark.usefixtures("short_fits")
def test_few_rows_are_cross_validated():
    model = mixture(max_epochs="auto", early_stopping="auto").fit(X, Y)
    assert 1 <= model.n_iter_ <= 60


def test_weights_by_uncertainty_and_target_statistics_and_members():
    wide, labels = make_data(2500)
    wide["user"] = [f"u{i % 400}" for i in range(len(wide))]
    effect = np.random.default_rng(0).normal(size=400)[np.arange(len(wide)) % 400]
    labels["watch"] *= np.exp(effect)
    model = mixture(task_weights="uncertainty", n_networks=2, max_epochs=2)
    model.fit(wide, labels)
    assert model.net_.criterion_.uncertainty.isfinite().all()
    (user,) = [m for m in model.encoder_._encoding.many_values if m.name == "user"]
    assert user.statistics
    assert "user_watch_mean" in model.encoder_.numeric_names_
    assert "user_click_rate" in model.encoder_.numeric_names_
    noise = mixture(max_epochs=1).fit(
        wide, labels.sample(frac=1, random_state=0).reset_index(drop=True)
    )
    (user,) = [m for m in noise.encoder_._encoding.many_values if m.name == "user"]
    assert not user.statistics


@pytest.mark.parametrize("name", ["shop", "auto"])
def test_an_encoder_of_ones_own_takes_amounts_for_numbers(name):
    whole = Y.assign(watch=np.ceil(Y["watch"]), revenue=np.ceil(Y["revenue"]))
    statistics = [name] if name == "shop" else name
    encoder = FieldEncoder(target_statistics=statistics)
    model = mixture(encoder=encoder, max_epochs=1).fit(X, whole)
    if name == "shop":
        assert "shop_watch_mean" in model.encoder_.numeric_names_
    assert len(model.encoder_.numeric_names_) < 12


def test_members_predict_the_mean_of_their_numbers(numbers):
    model = regressor(n_networks=3).fit(X, NUMBERS)
    tasks, network = model.tasks_, model.network_
    source = model._fitted.learned.source(model._fitted.encode(X), "cpu")
    (batch,) = source.batches(len(X))
    with torch.no_grad():
        each = [one(**batch.inputs).double().numpy() for one in network.members]
    mean = np.mean([tasks.decode(tasks.predict(z)) for z in each], axis=0)
    assert_allclose(model.predict(X), mean, rtol=1e-4)


def test_training_goes_on_with_the_scales_that_were_learned():
    model = regressor().partial_fit(X, NUMBERS)
    before = [task.state() for task in model.tasks_.tasks]
    model.partial_fit(X, 10 * NUMBERS)
    assert [task.state() for task in model.tasks_.tasks] == before
    whole = regressor(max_epochs=2).fit(X, NUMBERS)
    pieces = regressor(max_epochs=1, warm_start=True).fit(X, NUMBERS).fit(X, NUMBERS)
    assert_array_equal(whole.predict(X), pieces.predict(X))


# ------------------------------------------------------------ storing


def stored(model, tmp_path):
    model.save(tmp_path / "model.zip", training=True)
    return dephn_sk.load(tmp_path / "model.zip")


@pytest.mark.parametrize("make", [regressor, mixture])
def test_it_is_the_same_from_a_file_and_a_pickle(make, tmp_path):
    y = NUMBERS if make is regressor else Y
    model = make(n_networks=2).fit(X, y)
    for other in (
        stored(model, tmp_path),
        pickle.load(io.BytesIO(pickle.dumps(model))),
        copy.deepcopy(model),
    ):
        assert type(other) is type(model)
        assert_array_equal(other.predict(X), model.predict(X))
        assert other.score(X, y) == model.score(X, y)
        other.partial_fit(X, y)


def test_views_and_pipelines_are_stored(fitted, tmp_path):
    for view in (fitted.task("watch"), fitted.task("click")):
        assert_array_equal(stored(view, tmp_path).predict(X), view.predict(X))


def test_the_card_and_the_summary_say_what_kind_a_task_is(fitted):
    card = fitted.card()
    assert "zero-inflated-lognormal" in card
    assert "R²" in card
    text = repr(FitSummary.from_estimator(fitted))
    assert "gamma" in text
    assert "zero-inflated-lognormal" in fitted._repr_mimebundle_()["text/html"]


# ------------------------------------------------------------ views, scikit-learn


def test_views_are_regressors_and_classifiers(fitted):
    watch, click = fitted.task("watch"), fitted.task("click")
    assert is_regressor(watch)
    assert not is_classifier(watch)
    assert is_classifier(click)
    assert_array_equal(watch.predict(X), fitted.predict(X)[:, 0].astype(float))
    assert_array_equal(click.predict_proba(X), fitted.predict_proba(X)["click"])
    known = Y["watch"].notna()
    expected = r2_score(Y["watch"][known], watch.predict(X[known]))
    assert_allclose(watch.score(X[known], Y["watch"][known]), expected)
    with pytest.raises(ValueError, match="'watch' are numbers, which a RegressionTask"):
        TaskView(fitted, "watch").predict(X)
    with pytest.raises(ValueError, match="'click' are classes, which a TaskView"):
        RegressionTaskView(fitted, "click").predict(X)
    with pytest.raises(
        ValueError, match=r"names the task 'wach'.*Did you mean 'watch'"
    ):
        fitted.task("wach")


def test_a_clone_of_a_view_is_fitted_to_its_task_alone(fitted):
    known = Y["watch"].notna().to_numpy()
    labels = Y["watch"][known].to_numpy()
    view = clone(fitted.task("watch")).fit(X[known], labels)
    assert view.estimator_.tasks_.tasks[0].shown == "gamma"
    assert view.score(X[known], labels) > 0
    click = clone(fitted.task("click"))
    known = Y["click"].notna().to_numpy()
    assert click.fit(X[known], Y["click"][known]).predict_proba(X).shape == (len(X), 2)


@pytest.mark.parametrize("labels", [Y["revenue"], Y["revenue"].to_numpy()])
def test_a_view_is_not_fitted_under_the_kind_of_another_task(labels):
    model = regressor(loss={"watch": "gamma"}).fit(X, NUMBERS)
    view = model.task("revenue").fit(X, labels)  # zeros, which "gamma" refuses
    assert view.estimator_.tasks_.tasks[0].shown == "squared"
    assert model.loss == {"watch": "gamma"}


def test_a_kind_of_an_unknown_task_is_refused_beside_one_column_too():
    with pytest.raises(ValueError, match=r"'revenu'.*Did you mean 'revenue'"):
        regressor(loss={"revenu": "poisson"}).fit(X, Y["revenue"])


def test_wrong_numbers_are_named_by_the_row_as_it_was_given():
    weights, wrong = np.ones(len(X)), NUMBERS.copy()
    weights[:5], wrong.loc[200, "revenue"] = 0, -3.0
    with pytest.raises(ValueError, match=r"'revenue' holds -3\.0 in row 200"):
        regressor().fit(X, wrong, sample_weight=weights)


@pytest.mark.parametrize("kind", ["timedelta64[s]", "datetime64[s]"])
def test_times_are_no_numbers(kind):
    times = Y["revenue"].to_numpy().astype(np.int64).astype(kind)
    with pytest.raises(ValueError, match=r"holds the time .* in row 0.*seconds"):
        regressor(loss="squared").fit(X, times)


@pytest.mark.parametrize("name", ["label_time", "label_delay", "observed_until"])
def test_times_of_labels_that_are_numbers_are_refused_by_name(name):
    given = {name: 3.0 if name == "observed_until" else np.ones(len(X))}
    with pytest.raises(
        ValueError, match=rf"{name} is given.*numbers.*Leave {name} out"
    ):
        regressor().fit(X, NUMBERS, **given)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "focal"},
        {"loss": lambda logits, values: (logits - values) ** 2},
        {"loss": {"watch": "squared"}},
        {"label_smoothing": 0.1},
    ],
)
def test_losses_of_classes_are_refused_for_numbers_with_what_to_do(change):
    (name,) = change
    with pytest.raises(ValueError, match=rf"{name} of task 'watch'.*'gamma'.*a dict"):
        mixture(**change).fit(X, Y)


@pytest.mark.parametrize(
    "change", [{"conditions": {"revenue": "click"}}, {"label_window": {"revenue": 1.0}}]
)
def test_numbers_have_no_conditions_and_windows_by_the_name_of_their_kind(change):
    times = {"label_time": np.arange(len(X)), "observed_until": 300.0}
    given = times if "label_window" in change else {}
    with pytest.raises(ValueError, match=r"'revenue', which is of numbers, 'zero-infl"):
        mixture(**change).fit(X, Y, **given)


def test_a_mixture_has_probabilities_given_conditions():
    y = Y.assign(click=Y["click"].fillna(0), buy=(Y["revenue"] > 0) * 1.0)
    options = {"conditions": {"buy": "click"}, "on_violation": "warn"}
    with pytest.warns(UserWarning, match="count as not observed"):
        model = mixture(**options).fit(X, y)
    p, given = model.predict_proba(X), model.predict_proba_given(X)
    assert given.keys() == p.keys() == {"click", "color", "buy"}
    assert_array_equal(given["click"], p["click"])
    assert_allclose(p["buy"][:, 1], p["click"][:, 1] * given["buy"][:, 1])
    assert (p["buy"][:, 1] < given["buy"][:, 1]).all()
    plain = mixture().fit(X, Y)
    assert_array_equal(
        plain.predict_proba_given(X)["click"], plain.predict_proba(X)["click"]
    )
    assert not hasattr(mixture(tasks="squared"), "predict_proba_given")


CELLS = []


def cell(check):
    CELLS.append(check)
    return check


@cell
def grid_search_of_a_mixture():
    search = GridSearchCV(
        mixture(),
        {"tasks": [{**KINDS, "watch": k} for k in ("gamma", "squared")]},
        cv=FOLDS,
    )
    search.fit(X, Y)
    assert search.predict(X).shape == (len(X), 4)
    view = RegressionTaskView(search, "watch")
    assert_array_equal(view.predict(X), search.predict(X)[:, 0].astype(float))


@cell
def grid_search_of_a_regressor_by_a_task_scorer():
    scoring = task_scorer("mean_absolute_error", task="watch")
    search = GridSearchCV(
        regressor(loss="squared"),
        {"loss": ["squared", "absolute"]},
        scoring=scoring,
        cv=FOLDS,
    ).fit(X, NUMBERS)
    assert (search.cv_results_["mean_test_score"] < 0).all()


@cell
def cross_validation():
    scores = cross_val_score(mixture(), X, Y, cv=FOLDS)
    assert np.isfinite(scores).all()
    y = NUMBERS.fillna(1.0)
    assert cross_val_predict(regressor(), X, y, cv=FOLDS).shape == y.shape


@cell
def out_of_fold_predictions_with_missing_labels():
    found = model_selection.cross_val_predict(mixture(), X, Y, cv=2)
    assert {k: p.shape for k, p in found.items()} == {
        "click": (len(X), 2),
        "color": (len(X), 3),
    }
    both = Pipeline([("encode", FieldEncoder()), ("model", regressor())])
    splits = [*FOLDS.split(X)]
    found = model_selection.cross_val_predict(
        both, X, NUMBERS, cv=splits, method="predict"
    )
    train, test = splits[0]
    one = clone(both).fit(X.iloc[train], NUMBERS.iloc[train])
    assert_array_equal(found[test], one.predict(X.iloc[test]))
    with pytest.raises(ValueError, match=r"'predict_proba' is of classes.*'watch'"):
        model_selection.cross_val_predict(regressor(), X, NUMBERS, cv=2)


@cell
def folds_that_are_stratified_by_fifths():
    y = np.random.default_rng(0).lognormal(size=(500, 1))
    folds = model_selection.MultiLabelStratifiedKFold(5, shuffle=True, random_state=0)
    top = y[:, 0] > np.quantile(y, 0.8)
    shares = [top[test].mean() for _, test in folds.split(y, y)]
    assert_allclose(shares, 0.2, atol=0.011)


@cell
def pipelines():
    steps = [("encode", FieldEncoder()), ("model", mixture())]
    model = Pipeline(steps).fit(X, Y)
    assert model.predict_proba(X).keys() == {"click", "color"}
    assert_array_equal(
        RegressionTaskView(model, "watch").predict(X),
        model.predict(X)[:, 0].astype(float),
    )


@cell
def stacking_and_voting_of_views():
    y = NUMBERS["revenue"]
    model = regressor(loss="squared")
    stack = StackingRegressor([("one", model)], LinearRegression(), cv=FOLDS)
    assert stack.fit(X, y).predict(X).shape == (len(X),)
    assert VotingRegressor([("one", model)]).fit(X, y).predict(X).shape == (len(X),)


@cell
def transformed_targets():
    y = Y["watch"].fillna(3.0)
    model = TransformedTargetRegressor(
        regressor(loss="squared"), func=np.log, inverse_func=np.exp
    )
    assert (model.fit(X, y).predict(X) > 0).all()


@cell
def outputs_apart_and_in_a_chain():
    y, numbers = NUMBERS.fillna(1.0).to_numpy(), X[["size"]].to_numpy()
    for outer in (MultiOutputRegressor, RegressorChain):
        model = outer(regressor(loss="squared")).fit(numbers, y)
        assert model.predict(numbers).shape == y.shape


@cell
def partial_dependence_of_a_view():
    view = mixture().fit(X, Y).task("watch")
    found = partial_dependence(view, X, ["size"], kind="average", grid_resolution=4)
    assert found["average"].shape == (1, 4)


@cell
def permutation_importance_by_scikit_learn():
    model = mixture().fit(X, Y)
    found = sklearn_importance(
        model,
        X,
        Y,
        scoring=task_scorer("r2", task="watch"),
        n_repeats=1,
        random_state=0,
    )
    assert found.importances_mean.shape == (2,)


@cell
def calibration_of_a_class_task():
    model = mixture().fit(X, Y)
    known = Y["click"].notna()
    calibrated = CalibratedClassifierCV(FrozenEstimator(model.task("click")))
    calibrated.fit(X[known], Y["click"][known])
    assert calibrated.predict_proba(X).shape == (len(X), 2)


@cell
def calibration_of_numbers_is_refused():
    model = mixture().fit(X, Y)
    with pytest.raises(ValueError, match=r"'watch' cannot be calibrated.*numbers"):
        TaskCalibrator(model).fit(X, Y)


@pytest.mark.parametrize("check", CELLS, ids=lambda check: check.__name__)
def test_scikit_learn_takes_it(check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check()


# ------------------------------------------------------------ inspection


def test_what_shows_a_model_shows_numbers(fitted):
    result = field_attributions(fitted, X[:4])
    names = ("watch", "revenue (above zero)", "revenue (log mean)")
    assert result.output_names[:3] == names
    assert result.attributions.shape == (4, 8, 2)
    assert expert_contributions(fitted, X[:4]).contributions.shape[:2] == (4, 8)
    found = LabelSimilarityDisplay.from_estimator(fitted, Y).similarity
    assert ((found >= 0) & (found <= 1)).all()
    TrainingCurveDisplay.from_estimator(fitted)
    result = permutation_importance(fitted, X, Y, scoring="r2", n_repeats=1)
    assert result.keys() == {"watch", "revenue"}
    result = permutation_importance(fitted, X, Y, n_repeats=1)
    assert result.keys() == {"click", "color"}


def test_displays_of_probabilities_show_the_classes_or_refuse_by_name(fitted, numbers):
    with pytest.raises(ValueError, match=r"'watch'.*numbers"):
        CalibrationDisplay.from_estimator(fitted, X, Y)
    with pytest.raises(ValueError, match=r"'watch'.*numbers"):
        ConfidenceDisplay.from_estimator(numbers, X, np.ones((len(X), 2)))


# ------------------------------------------------------------ a network of one's own


class Linear(TaskNetwork):
    def __init__(self, embedding, n_outputs):
        super().__init__()
        self.embedding = embedding
        self.output = torch.nn.Linear(embedding.width, sum(n_outputs))

    def forward(self, codes, numbers=None, bags=(), label_similarity=None):
        return self.output(self.embedding(codes, numbers, bags).flatten(1))


class LinearRegressor(MultiTaskRegressor):
    def build_network(self, embedding, n_outputs, generator):
        return Linear(embedding, n_outputs)


def test_a_network_of_ones_own_learns_numbers():
    model = LinearRegressor(loss="poisson", max_epochs=30, random_state=0)
    assert model.fit(X, NUMBERS).score(X, NUMBERS) > 0.2
