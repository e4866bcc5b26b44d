import numpy as np
import pandas as pd
import pytest
import sklearn.inspection
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier
from dephn_sk.inspection import permutation_importance
from dephn_sk.metrics import task_scorer
from dephn_sk.preprocessing import FieldEncoder


def _assert_same(estimator, X, y, scoring="roc_auc", **kwargs):
    """As scikit-learn's function on the table itself, bit for bit."""
    ours = permutation_importance(estimator, X, y, scoring=scoring, **kwargs)
    scorers = {name: task_scorer(scoring, task=name) for name in estimator.task_names_}
    theirs = sklearn.inspection.permutation_importance(
        estimator, X, y, scoring=scorers, **kwargs
    )
    assert list(ours) == list(theirs)
    for name in ours:
        for key in ("importances", "importances_mean", "importances_std"):
            assert_array_equal(ours[name][key], theirs[name][key])
    return ours


def test_same_as_scikit_learn_on_every_kind_of_field(fitted, table):
    importances = _assert_same(fitted, *table, n_repeats=3, random_state=0)
    assert importances["click"].feature_names == ("city", "age", "day", "tags", "user")
    assert (importances["click"].importances[0] > 0).all()


@pytest.mark.parametrize("max_samples", [0.3, 70])
def test_same_as_scikit_learn_on_some_of_the_rows(fitted, table, max_samples):
    _assert_same(fitted, *table, n_repeats=2, random_state=1, max_samples=max_samples)


def test_same_as_scikit_learn_with_weights_and_a_loss(fitted, table):
    weight = np.random.default_rng(0).random(300)
    _assert_same(
        fitted, *table, "log_loss", n_repeats=2, random_state=2, sample_weight=weight
    )


def test_same_as_scikit_learn_on_a_multi_class_task(mixed, table):
    X = table[0]
    y = pd.DataFrame({"click": table[1]["click"], "city": X["city"]})
    _assert_same(mixed, X, y, n_repeats=2, random_state=3)


def test_same_as_scikit_learn_on_an_array_and_one_task(small):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 1] > 0).astype(int)
    model = MMoEClassifier(**small).fit(X, y)
    importances = _assert_same(model, X, y, n_repeats=2, random_state=4)
    assert importances["task0"].feature_names == ("x0", "x1", "x2")


def test_columns_whose_names_begin_alike_are_told_apart(table, small):
    X = table[0].rename(columns={"age": "day_in", "tags": "d"})
    model = DEPHNMultiTaskClassifier(**small).fit(X, table[1])
    _assert_same(model, X, table[1], n_repeats=1, random_state=5)


def test_same_as_scikit_learn_with_target_statistics(table, small):
    X, y = table
    encoder = FieldEncoder(target_statistics=["user"], random_state=0)
    model = DEPHNMultiTaskClassifier(**small, encoder=encoder).fit(X, y)
    _assert_same(model, X, y, n_repeats=1, random_state=8)


def test_weights_of_members_cannot_be_shuffled_alone(table, small):
    X, y = table
    X = X.assign(weights=[[1.0] * len(tags) for tags in X["tags"]])
    encoder = FieldEncoder(bag_weights={"tags": "weights"})
    model = DEPHNMultiTaskClassifier(**small, encoder=encoder).fit(X, y)
    with pytest.raises(ValueError, match="bag_weights="):
        permutation_importance(model, X, y)


def test_columns_of_the_last_step_of_a_pipeline_are_shuffled(table, small):
    X, y = table
    pipeline = make_pipeline(FieldEncoder(), DEPHNMultiTaskClassifier(**small))
    pipeline.fit(X, y)
    ours = permutation_importance(pipeline, X, y, n_repeats=2, random_state=6)
    encoded = pipeline[:-1].transform(X)
    theirs = permutation_importance(
        pipeline[-1], encoded, y, n_repeats=2, random_state=6
    )
    for name in ("click", "buy"):
        assert ours[name].feature_names == tuple(encoded.columns)
        assert_array_equal(ours[name].importances, theirs[name].importances)


def test_same_seed_same_importances_with_any_number_of_jobs(fitted, table):
    from joblib import parallel_config

    one = permutation_importance(fitted, *table, n_repeats=1, random_state=0)
    with parallel_config(backend="threading"):
        two = permutation_importance(
            fitted, *table, n_repeats=1, random_state=0, n_jobs=2
        )
    assert_array_equal(one["buy"].importances, two["buy"].importances)


def test_callable_metric_is_called_for_each_task(fitted, table):
    def rate_above_half(y_true, y_prob):
        return float(np.mean((y_prob > 0.5) == y_true))

    _assert_same(fitted, *table, rate_above_half, n_repeats=1, random_state=7)


def test_unknown_metric_is_named(fitted, table):
    with pytest.raises(ValueError, match="'roc'"):
        permutation_importance(fitted, *table, scoring="roc")
