"""Everything in scikit-learn that takes a classifier takes ours, and is right.

Each cell of the matrix compares scikit-learn's result with the same thing done by hand.
"""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_log_loss, task_scorer, task_scorers
from dephn_sk.model_selection import MultiLabelStratifiedKFold
from dephn_sk.preprocessing import FieldEncoder

FOLDS = KFold(2, shuffle=True, random_state=0)
AUC = task_scorer("roc_auc")
CELLS = []


def cell(check):
    """A cell of the matrix: a function that takes the data below."""
    CELLS.append(check)
    return check


def make_model(**changes):
    """A classifier that takes some milliseconds to fit."""
    small = {
        "embedding_dim": 2,
        "numeric_embedding": "linear",
        "public_experts": ("dnn",),
        "private_experts": (),
        "expert_hidden": (4,),
        "n_layers": 1,
        "n_heads": 1,
        "tower_hidden": (),
        "mappings": ("raw",),
        "max_epochs": 2,
        "batch_size": 64,
        "learning_rate": 0.05,
        "early_stopping": False,
        "random_state": 0,
    }
    return DEPHNMultiTaskClassifier(**{**small, **changes})


@pytest.fixture(scope="module")
def data():
    """A table with a category, and labels of several forms."""
    rng = np.random.default_rng(0)
    n = 160
    X = pd.DataFrame(
        {
            "city": rng.choice(list("abcd"), n),
            "age": rng.normal(40, 10, n),
            "income": rng.lognormal(size=n),
            "constant": np.ones(n),
        }
    )
    score = (X["city"] == "a") + (X["age"] - 40) / 10
    noise = rng.logistic(size=(n, 2), scale=0.3)
    complete = pd.DataFrame((score.to_numpy()[:, None] + noise > 0.3).astype(int))
    complete.columns = ["click", "like"]
    missing = complete.astype(float)
    missing.loc[rng.random(n) < 0.3, "like"] = np.nan
    return SimpleNamespace(
        X=X,
        numbers=X[["age", "income"]].to_numpy(),
        complete=complete,
        missing=missing,
        single=complete["click"].to_numpy(),
        kinds=np.array(["low", "mid", "top"])[np.digitize(score, [0, 1])],
        weight=rng.integers(1, 4, n).astype(float),
        groups=rng.integers(0, 12, n),
    )


def auc_by_hand(model, X, y):
    """Mean over the tasks, each on its observed rows, by scikit-learn's function."""
    prob, values = model.predict_proba(X), []
    for t, name in enumerate(y.columns):
        known = y[name].notna().to_numpy()
        values.append(roc_auc_score(y[name][known], prob[known, t]))
    return float(np.mean(values))


def scores_by_hand(model, X, y, folds=FOLDS, score=auc_by_hand):
    """One fit and one score for each fold."""
    return [
        score(
            clone(model).fit(X.iloc[train], y.iloc[train]), X.iloc[test], y.iloc[test]
        )
        for train, test in folds.split(X, y)
    ]


def same_predictions(one, other, X):
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert_array_equal(one.predict(X), other.predict(X))


# ------------------------------------------------------------------ parameters, copies


@cell
def clone_is_unfitted_and_learns_the_same(d):
    fitted = make_model().fit(d.X, d.missing)
    copy = clone(fitted)
    with pytest.raises(NotFittedError):
        copy.predict(d.X)
    same_predictions(copy.fit(d.X, d.missing), fitted, d.X)


@cell
def parameters_go_round(d):
    one, other = make_model(), make_model(learning_rate=0.5, max_epochs=9)
    assert other.set_params(**one.get_params()).get_params() == one.get_params()
    pipeline = Pipeline([("net", make_model())]).set_params(net__max_epochs=1)
    assert pipeline.fit(d.X, d.missing)["net"].n_iter_ == 1


@cell
def pickle_predicts_the_same(d):
    fitted = make_model().fit(d.X, d.missing)
    same_predictions(pickle.loads(pickle.dumps(fitted)), fitted, d.X)


@cell
def joblib_predicts_the_same(d):
    fitted, file = make_model().fit(d.X, d.missing), io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    same_predictions(joblib.load(file), fitted, d.X)


@cell
def skops_predicts_the_same(d):
    skops = pytest.importorskip("skops.io")
    fitted = make_model().fit(d.X, d.missing)
    data = skops.dumps(fitted)
    trusted = skops.get_untrusted_types(data=data)
    # plain arrays and objects of the library: no tensor, no pickle within
    assert all(name.startswith("dephn_sk.") for name in trusted), trusted
    same_predictions(skops.loads(data, trusted=trusted), fitted, d.X)


# ------------------------------------------------------------------ composition


@cell
def pipeline_is_its_steps(d):
    pipeline = Pipeline([("scale", StandardScaler()), ("net", make_model())])
    pipeline.fit(d.numbers, d.missing)
    scaled = StandardScaler().fit_transform(d.numbers)
    by_hand = make_model().fit(scaled, d.missing)
    assert_array_equal(pipeline.predict_proba(d.numbers), by_hand.predict_proba(scaled))
    assert pipeline.score(d.numbers, d.missing) == by_hand.score(scaled, d.missing)


@cell
def column_transformer_hands_on_names_and_types(d):
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["age", "income"]), ("as", "passthrough", [0])]
    ).set_output(transform="pandas")
    pipeline = Pipeline([("columns", columns), ("net", make_model())])
    model = pipeline.fit(d.X, d.missing)["net"]
    assert [*model.feature_names_in_] == ["scaled__age", "scaled__income", "as__city"]
    assert len(model.encoder_.cardinalities_) == 1  # the city is still a category
    table = columns.fit_transform(d.X)
    by_hand = make_model().fit(table, d.missing).predict_proba(table)
    assert_array_equal(pipeline.predict_proba(d.X), by_hand)


@cell
def stacking_hands_on_our_probabilities(d):
    stack = StackingClassifier(
        [("ours", make_model())], final_estimator=LogisticRegression(), cv=FOLDS
    ).fit(d.X, d.single)
    out_of_fold = cross_val_predict(
        make_model(), d.X, d.single, cv=FOLDS, method="predict_proba"
    )[:, 1:]
    by_hand = LogisticRegression().fit(out_of_fold, d.single)
    assert_allclose(stack.final_estimator_.coef_, by_hand.coef_)
    ours = make_model().fit(d.X, d.single).predict_proba(d.X)[:, 1:]
    assert_array_equal(stack.transform(d.X), ours)


@cell
def voting_averages_our_probabilities(d):
    models = [("a", make_model()), ("b", make_model(random_state=1))]
    vote = VotingClassifier(models, voting="soft").fit(d.X, d.kinds)
    by_hand = [m.fit(d.X, d.kinds).predict_proba(d.X) for _, m in models]
    assert_allclose(vote.predict_proba(d.X), np.mean(by_hand, axis=0))


@cell
def multi_output_trains_one_for_each_task(d):
    several = MultiOutputClassifier(make_model()).fit(d.X, d.complete)
    for t, name in enumerate(d.complete):
        alone = make_model().fit(d.X, d.complete[name].to_numpy())
        same_predictions(several.estimators_[t], alone, d.X)


@cell
def classifier_chain_hands_on_the_earlier_label(d):
    chain = ClassifierChain(make_model()).fit(d.numbers, d.complete.to_numpy())
    first = make_model().fit(d.numbers, d.complete["click"].to_numpy())
    with_label = np.column_stack([d.numbers, d.complete["click"]])
    second = make_model().fit(with_label, d.complete["like"].to_numpy())
    predicted = np.column_stack([d.numbers, first.predict(d.numbers)])
    by_hand = second.predict_proba(predicted)[:, 1]
    assert_array_equal(chain.predict_proba(d.numbers)[:, 1], by_hand)


@cell
def one_vs_rest_trains_one_for_each_class(d):
    several = OneVsRestClassifier(make_model()).fit(d.numbers, d.kinds)
    by_hand = [
        make_model().fit(d.numbers, (d.kinds == kind).astype(int))
        for kind in several.classes_
    ]
    columns = np.column_stack([m.predict_proba(d.numbers)[:, 1] for m in by_hand])
    by_hand = columns / columns.sum(axis=1, keepdims=True)
    assert_allclose(several.predict_proba(d.numbers), by_hand)


# ------------------------------------------------------------------ model selection


@cell
def cross_val_score_is_a_loop_over_folds(d):
    scores = cross_val_score(make_model(), d.X, d.missing, cv=FOLDS, scoring=AUC)
    assert_allclose(scores, scores_by_hand(make_model(), d.X, d.missing))


@cell
def cross_validate_takes_a_metric_for_each_task(d):
    scoring = task_scorers("roc_auc", d.missing) | {"mean": AUC}
    result = cross_validate(make_model(), d.X, d.missing, cv=FOLDS, scoring=scoring)
    by_hand = scores_by_hand(make_model(), d.X, d.missing)
    assert_allclose(result["test_mean"], by_hand)
    both = [result[f"test_roc_auc_{name}"] for name in d.missing]
    assert_allclose(np.mean(both, axis=0), by_hand)


@cell
def cross_val_predict_puts_the_rows_back(d):
    for method in ("predict", "predict_proba"):
        for y in (d.complete, d.complete["click"], pd.Series(d.kinds)):
            given = y.to_numpy()
            got = cross_val_predict(make_model(), d.X, given, cv=FOLDS, method=method)
            by_hand = np.empty_like(got)
            for train, test in FOLDS.split(d.X):
                model = make_model().fit(d.X.iloc[train], given[train])
                by_hand[test] = getattr(model, method)(d.X.iloc[test])
            assert_array_equal(got, by_hand)


def encoder_and_net():
    return Pipeline([("encode", FieldEncoder()), ("net", make_model())])


@cell
def grid_search_over_encoder_and_network_refits_the_best(d):
    grid = {"encode__min_frequency": [None, 45], "net__learning_rate": [1e-4, 0.05]}
    search = GridSearchCV(encoder_and_net(), grid, scoring=AUC, cv=FOLDS, n_jobs=2)
    search.fit(d.X, d.missing)
    by_hand = [
        np.mean(scores_by_hand(encoder_and_net().set_params(**params), d.X, d.missing))
        for params in search.cv_results_["params"]
    ]
    assert_allclose(search.cv_results_["mean_test_score"], by_hand)
    assert len(set(by_hand)) == 4  # each parameter has its effect
    assert search.best_params_ == search.cv_results_["params"][np.argmax(by_hand)]
    best = encoder_and_net().set_params(**search.best_params_)
    same_predictions(search, best.fit(d.X, d.missing), d.X)


@cell
def a_search_reaches_the_encoder_within_the_estimator(d):
    model = make_model(encoder=FieldEncoder())
    grid = {"encoder__min_frequency": [None, 45]}
    search = GridSearchCV(model, grid, scoring=AUC, cv=FOLDS).fit(d.X, d.missing)
    by_hand = [
        np.mean(scores_by_hand(clone(model).set_params(**params), d.X, d.missing))
        for params in search.cv_results_["params"]
    ]
    assert_allclose(search.cv_results_["mean_test_score"], by_hand)
    assert by_hand[0] != by_hand[1]


@cell
def randomized_search_scores_what_it_draws(d):
    space = {"max_epochs": [1, 2, 3, 4], "learning_rate": [0.01, 0.05]}
    search = RandomizedSearchCV(
        make_model(), space, n_iter=2, scoring=AUC, cv=FOLDS, random_state=0
    ).fit(d.X, d.missing)
    by_hand = [
        np.mean(scores_by_hand(make_model(**params), d.X, d.missing))
        for params in search.cv_results_["params"]
    ]
    assert_allclose(search.cv_results_["mean_test_score"], by_hand)
    best = make_model(**search.best_params_).fit(d.X, d.missing)
    same_predictions(search, best, d.X)


@cell
def halving_search_ends_with_the_best_of_the_last_round(d):
    search = HalvingGridSearchCV(
        make_model(),
        {"learning_rate": [1e-4, 0.01, 0.05]},
        scoring=AUC,
        cv=FOLDS,
        min_resources=80,  # scikit-learn cannot guess it from a 2-D y
        factor=2,
        random_state=0,
    ).fit(d.X, d.missing)
    assert search.n_resources_ == [80, 160]
    results = pd.DataFrame(search.cv_results_).query("iter == 1")
    by_hand = [
        np.mean(scores_by_hand(make_model(**params), d.X, d.missing))
        for params in results["params"]
    ]
    best = results["params"].iloc[int(np.argmax(by_hand))]
    assert search.best_params_ == best
    same_predictions(search, make_model(**best).fit(d.X, d.missing), d.X)


@cell
def learning_curve_fits_to_more_and_more_rows(d):
    sizes, train_scores, test_scores = learning_curve(
        make_model(), d.X, d.missing, train_sizes=[40, 80], cv=FOLDS, scoring=AUC
    )
    for i, size in enumerate(sizes):
        for fold, (train, test) in enumerate(FOLDS.split(d.X)):
            X, y = d.X.iloc[train[:size]], d.missing.iloc[train[:size]]
            model = make_model().fit(X, y)
            on_test = auc_by_hand(model, d.X.iloc[test], d.missing.iloc[test])
            assert_allclose(train_scores[i, fold], auc_by_hand(model, X, y))
            assert_allclose(test_scores[i, fold], on_test)


@cell
def sequential_selection_takes_the_best_column(d):
    encoded = FieldEncoder().fit_transform(d.X)
    encoded = pd.DataFrame(np.asarray(encoded), columns=list(d.X))
    selector = SequentialFeatureSelector(
        make_model(), n_features_to_select=1, scoring=AUC, cv=FOLDS
    ).fit(encoded, d.missing)
    by_hand = [
        np.mean(scores_by_hand(make_model(), encoded[[name]], d.missing))
        for name in encoded
    ]
    assert [*selector.get_feature_names_out()] == [encoded.columns[np.argmax(by_hand)]]


@cell
def multi_label_stratified_folds_are_taken(d):
    folds = MultiLabelStratifiedKFold(2)
    scores = cross_val_score(make_model(), d.X, d.missing, cv=folds, scoring=AUC)
    assert_allclose(scores, scores_by_hand(make_model(), d.X, d.missing, folds))


# ------------------------------------------------------------------ inspection


@cell
def permutation_importance_is_the_loss_of_score(d):
    model = make_model().fit(d.X, d.missing)
    result = permutation_importance(
        model, d.X, d.missing, scoring=AUC, n_repeats=1, random_state=0
    )
    before = auc_by_hand(model, d.X, d.missing)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max + 1)
    order = np.arange(len(d.X))
    np.random.RandomState(seed).shuffle(order)
    for name, importance in zip(d.X, result.importances_mean, strict=True):
        shuffled = d.X.assign(**{name: d.X[name].to_numpy()[order]})
        by_hand = before - auc_by_hand(model, shuffled, d.missing)
        assert_allclose(importance, by_hand, atol=1e-12)
    assert result.importances_mean[3] == 0  # the column that is constant
    assert result.importances_mean[1] > 0


@cell
def partial_dependence_is_a_mean_over_rows(d):
    view = make_model().fit(d.X, d.missing).task("like")
    for name, kind in [("age", {}), ("city", {"categorical_features": ["city"]})]:
        result = partial_dependence(
            view, d.X, [name], grid_resolution=4, kind="average", **kind
        )
        for value, mean in zip(
            result["grid_values"][0], result["average"][0], strict=True
        ):
            prob = view.predict_proba(d.X.assign(**{name: value}))[:, 1]
            assert_allclose(mean, prob.mean())


# ------------------------------------------------------------------ thresholds


@cell
def a_threshold_is_applied_to_one_task(d):
    model = make_model().fit(d.X, d.missing)
    for single, column in [
        (make_model().fit(d.X, d.single), None),
        (model.task("like"), 1),
    ]:
        fixed = FixedThresholdClassifier(
            FrozenEstimator(single), threshold=0.3, response_method="predict_proba"
        ).fit(d.X, d.single)
        prob = single.predict_proba(d.X)[:, 1]
        if column is not None:
            assert_allclose(prob, model.predict_proba(d.X)[:, column])
        assert_array_equal(fixed.predict(d.X), (prob >= 0.3).astype(int))


@cell
def calibration_cross_fits_one_task(d):
    calibrated = CalibratedClassifierCV(make_model(), cv=FOLDS).fit(d.X, d.single)
    by_hand = [
        CalibratedClassifierCV(FrozenEstimator(make_model().fit(*rows(d, train))))
        .fit(*rows(d, test))
        .predict_proba(d.X)
        for train, test in FOLDS.split(d.X)
    ]
    assert_allclose(calibrated.predict_proba(d.X), np.mean(by_hand, axis=0))


def rows(d, which):
    return d.X.iloc[which], d.single[which]


# ------------------------------------------------------------------ routing


@cell
def weights_are_routed_to_fit_and_score(d):
    with config_context(enable_metadata_routing=True):
        scorer = task_scorer("log_loss").set_score_request(sample_weight=True)
        result = cross_validate(
            make_model().set_fit_request(sample_weight=True),
            d.X,
            d.missing,
            cv=FOLDS,
            scoring=scorer,
            params={"sample_weight": d.weight},
        )
    for score, (train, test) in zip(
        result["test_score"], FOLDS.split(d.X), strict=True
    ):
        model = make_model().fit(
            d.X.iloc[train], d.missing.iloc[train], d.weight[train]
        )
        y, prob = d.missing.iloc[test], model.predict_proba(d.X.iloc[test])
        losses = task_log_loss(y, prob, sample_weight=d.weight[test])
        assert_allclose(score, -losses.mean())


@cell
def weights_are_routed_through_a_pipeline_in_a_search(d):
    with config_context(enable_metadata_routing=True):
        pipeline = Pipeline(
            [
                ("scale", StandardScaler().set_fit_request(sample_weight=False)),
                ("net", make_model().set_fit_request(sample_weight=True)),
            ]
        )
        scorer = task_scorer("roc_auc").set_score_request(sample_weight=False)
        search = GridSearchCV(
            pipeline, {"net__max_epochs": [1, 2]}, scoring=scorer, cv=FOLDS
        ).fit(d.numbers, d.missing, sample_weight=d.weight)
    scaled = StandardScaler().fit_transform(d.numbers)
    best = make_model(max_epochs=search.best_params_["net__max_epochs"])
    best.fit(scaled, d.missing, sample_weight=d.weight)
    assert_array_equal(search.predict_proba(d.numbers), best.predict_proba(scaled))


@cell
def groups_are_routed_to_splitter_scorer_and_fit(d):
    folds = GroupKFold(2)
    scorer = task_scorer("gauc", task="click")
    stopping = {"early_stopping": True, "validation_fraction": 0.3}
    with config_context(enable_metadata_routing=True):
        result = cross_validate(
            make_model(**stopping).set_fit_request(groups=True),
            d.X,
            d.missing,
            cv=folds,
            scoring=scorer,
            params={"groups": d.groups},
        )
    for score, (train, test) in zip(
        result["test_score"], folds.split(d.X, groups=d.groups), strict=True
    ):
        assert not {*d.groups[train]} & {*d.groups[test]}
        model = make_model(**stopping)
        model.fit(d.X.iloc[train], d.missing.iloc[train], groups=d.groups[train])
        prob = model.predict_proba(d.X.iloc[test])[:, 0]
        by_hand, sizes = [], []
        for group in np.unique(d.groups[test]):
            own = d.groups[test] == group
            y = d.missing["click"].to_numpy()[test][own]
            if len({*y}) == 2:
                by_hand.append(roc_auc_score(y, prob[own]))
                sizes.append(own.sum())
        assert_allclose(score, np.average(by_hand, weights=sizes))


# ------------------------------------------------------------------ parallel, input


@cell
def callbacks_hear_of_every_epoch_of_a_search(d):
    callback = pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    monitor = callback.ScoringMonitor(scoring={"auc": AUC})
    search = GridSearchCV(
        make_model().set_callbacks(monitor),
        {"learning_rate": [0.01, 0.05]},
        scoring=AUC,
        cv=FOLDS,
    ).fit(d.X, d.missing)
    logged = pd.DataFrame(monitor.get_logs().data)
    logged = logged[logged["task_name"] == "epoch"]
    of_the_refit = logged[logged["parent_task_id_path"] == (0, 1)]["auc"]
    by_hand = [
        auc_by_hand(
            make_model(**search.best_params_, max_epochs=epochs).fit(d.X, d.missing),
            d.X,
            d.missing,
        )
        for epochs in (1, 2)
    ]
    assert_allclose(of_the_refit, by_hand)
    assert len(logged) == 2 * (2 * 2 + 1)  # epochs of each candidate and fold, refit


@cell
def every_backend_gives_the_same(d):
    seeds = [0, 1, 2]
    models = [make_model(random_state=seed, dropout=0.3) for seed in seeds]
    fits = [joblib.delayed(model.fit)(d.X, d.missing) for model in models]

    def probabilities(fitted):
        return [model.predict_proba(d.X) for model in fitted]

    serial = probabilities(clone(model).fit(d.X, d.missing) for model in models)
    assert not np.array_equal(serial[0], serial[1])
    for backend in ("loky", "threading"):
        with joblib.parallel_config(backend=backend, n_jobs=2):
            assert_array_equal(probabilities(joblib.Parallel()(fits)), serial)


@cell
def cross_validation_in_parallel_gives_the_same(d):
    def scores(**options):
        return cross_val_score(
            make_model(), d.X, d.missing, cv=FOLDS, scoring=AUC, **options
        )

    serial = scores()
    for backend in ("loky", "threading"):
        with joblib.parallel_config(backend=backend, n_jobs=2):
            assert_array_equal(scores(), serial)


@cell
def pandas_polars_and_numpy_give_the_same(d):
    reference = make_model().fit(d.X, d.missing).predict_proba(d.X)
    polars = pl.from_pandas(d.X), pl.from_pandas(d.missing)
    assert_array_equal(make_model().fit(*polars).predict_proba(polars[0]), reference)
    arrays = d.X.to_numpy(dtype=object), d.missing.to_numpy()
    assert_array_equal(make_model().fit(*arrays).predict_proba(arrays[0]), reference)
    lists = d.X.to_numpy(dtype=object).tolist(), d.missing.to_numpy().tolist()
    assert_array_equal(make_model().fit(*lists).predict_proba(lists[0]), reference)


@cell
def a_sparse_matrix_gives_the_same(d):
    dense = make_model().fit(d.numbers, d.missing).predict_proba(d.numbers)
    for kind in (sparse.csr_array, sparse.coo_matrix):
        X = kind(d.numbers)
        assert_array_equal(make_model().fit(X, d.missing).predict_proba(X), dense)


@pytest.mark.parametrize("check", CELLS, ids=lambda check: check.__name__)
def test_matrix(check, data):
    check(data)
