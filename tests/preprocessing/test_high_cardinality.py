"""Columns of many values: statistics and rows by rules that noise cannot fool."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from dephn_sk import DEPHNMultiTaskClassifier, load
from dephn_sk.baselines import DCNClassifier
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.preprocessing._high_cardinality import (
    FEW_VALUES,
    LEAST_ROWS,
    OWN_ROWS,
    SURE,
)
from dephn_sk.training import FitPlan
from tests._logs import SMALL


def make_log(n_rows=3000, n_users=40, seed=0, strength=1.5):
    """Users that click more or less, other columns that say nothing."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, n_users, n_rows)
    taste = strength * rng.normal(size=n_users)
    X = pd.DataFrame(
        {
            "user": [f"u{i}" for i in user],
            "page": [f"p{i}" for i in rng.integers(0, 60, n_rows)],
            "shop": rng.choice(list("abcdef"), n_rows),
            "visit": [f"v{i}" for i in range(n_rows)],
            "age": rng.normal(size=n_rows),
        }
    )
    click = rng.random(n_rows) < 1 / (1 + np.exp(-taste[user]))
    y = pd.DataFrame({"click": click.astype(int), "buy": rng.integers(0, 2, n_rows)})
    return X, y


def automatic(**params):
    params = {"target_statistics": "auto", "min_frequency": "auto", **params}
    return FieldEncoder(**{"random_state": 0, **params})


def with_statistics(encoder):
    return [one.name for one in encoder._encoding.many_values if one.statistics]


def decided(encoder):
    return {one.name: one for one in encoder._encoding.many_values}


# ------------------------------------------------------------------------ which columns


def test_only_columns_of_many_values_whose_labels_differ_get_statistics():
    X, y = make_log()
    encoder = automatic().fit(X, y)
    assert decided(encoder).keys() == {"user", "page", "visit"}
    assert with_statistics(encoder) == ["user"]
    assert encoder.numeric_names_ == (
        *("age", "user_count", "user_click_rate", "user_buy_rate"),
    )
    fields = encoder.get_feature_names_out()
    assert fields.tolist() == [*encoder.categorical_names_, *encoder.numeric_names_]
    assert decided(encoder)["user"].evidence > SURE > decided(encoder)["page"].evidence


def test_a_column_of_few_values_is_left_alone():
    X, y = make_log(n_users=FEW_VALUES)
    assert "user" not in decided(automatic().fit(X, y))
    X, y = make_log(n_users=FEW_VALUES + 1)
    assert with_statistics(automatic().fit(X, y)) == ["user"]


def test_a_column_of_values_in_many_rows_is_left_alone():
    X, y = make_log(OWN_ROWS * 25, n_users=25)
    assert "user" not in decided(automatic().fit(X, y))
    assert "user" in decided(automatic().fit(X[1:], y[1:]))


def test_the_statistics_are_those_of_an_encoder_that_names_the_column():
    X, y = make_log()
    found = automatic().fit_encode(X, y)
    asked = automatic(target_statistics=["user"]).fit_encode(X, y)
    np.testing.assert_array_equal(found.numbers, asked.numbers)
    np.testing.assert_array_equal(found.codes, asked.codes)


def test_the_evidence_is_that_of_a_slow_loop():
    X, y = make_log(LEAST_ROWS)
    folds = KFold(4)
    encoder = automatic(target_folds=folds, target_smoothing=3.0).fit(X, y["click"])
    users, clicks = X["user"].tolist(), y["click"].tolist()
    gains = []
    for others, inside in folds.split(X):
        overall = math.fsum(clicks[i] for i in others) / len(others)
        for row in inside:
            same = [clicks[i] for i in others if users[i] == users[row]]
            rate = (math.fsum(same) + 3.0 * overall) / (len(same) + 3.0)
            losses = [-math.log(p if clicks[row] else 1 - p) for p in (overall, rate)]
            gains.append(losses[0] - losses[1])
    expected = math.fsum(gains) / math.sqrt(math.fsum(g * g for g in gains))
    assert decided(encoder)["user"].evidence == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_ids", [40, 300, 3000])
def test_random_labels_are_no_evidence(n_ids, seed):
    """Not for a task of any rate, nor for ids of which a few are frequent."""
    rng = np.random.default_rng(seed)
    often = 1 / np.arange(1, n_ids + 1)
    X = pd.DataFrame(
        {
            "even": rng.integers(0, n_ids, 6000).astype(str),
            "uneven": rng.choice(n_ids, 6000, p=often / often.sum()).astype(str),
            "unique": np.arange(6000).astype(str),
        }
    )
    y = rng.random((6000, 4)) < [0.5, 0.2, 0.05, 0.01]
    encoder = automatic(random_state=seed).fit(X, y.astype(int))
    evidence = [one.evidence for one in encoder._encoding.many_values]
    assert len(evidence) == 3 and max(evidence) < SURE - 0.5
    assert encoder.numeric_names_ == ()


def test_time_decides_the_folds():
    """A rate that holds for a while says nothing of another time."""
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(5), 1200)
    user = rng.integers(0, 40, 6000)
    of_the_day = rng.random((5, 40)) < 0.5
    X = pd.DataFrame({"user": user.astype(str), "day": day})
    y = (rng.random(6000) < 0.1 + 0.8 * of_the_day[day, user]).astype(int)
    assert with_statistics(automatic().fit(X, y)) == ["user"]
    in_time = automatic(time_column="day")
    assert with_statistics(in_time.fit(X, y)) == []


@pytest.mark.parametrize("n_rows", [1, 4, 30, LEAST_ROWS - 1])
def test_few_rows_decide_nothing(n_rows):
    X, y = make_log()
    encoder = automatic().fit(X[:n_rows], y[:n_rows])
    assert decided(encoder) == {} and encoder.numeric_names_ == ("age",)
    plain = FieldEncoder().fit(X[:n_rows])
    assert encoder.cardinalities_ == plain.cardinalities_


def test_weights_are_rows_of_which_there_may_be_enough():
    X, y = make_log(LEAST_ROWS // 2)
    assert decided(automatic().fit(X, y)) == {}
    twice = automatic().fit(X, y, np.full(len(X), 2))
    assert with_statistics(twice) == ["user"]


def test_a_name_that_is_taken_is_none_of_a_rate():
    X, y = make_log()
    encoder = automatic().fit(X.rename(columns={"age": "user_count"}), y)
    assert with_statistics(encoder) == []
    assert decided(encoder)["user"].evidence > SURE


def test_labels_are_needed():
    X, _ = make_log(LEAST_ROWS)
    with pytest.raises(ValueError, match=r"'auto' need labels"):
        automatic().fit(X)
    automatic(target_statistics=None).fit(X)


def test_classes_of_a_task_have_a_rate_each_and_missing_labels_do_not_count():
    X, y = make_log()
    kind = np.where(y["click"], "a", np.where(y["buy"], "b", "c"))
    encoder = automatic().fit(X, kind)
    assert encoder.numeric_names_[-3:] == ("user_a_rate", "user_b_rate", "user_c_rate")
    clicks = y["click"].astype(float)
    clicks[::3] = np.nan
    both = automatic(target_folds=KFold(4)).fit(X, y.assign(click=clicks))
    gone = X.where(clicks.notna(), None).assign(age=X["age"])
    one = automatic(target_folds=KFold(4)).fit(gone, y["click"])
    assert with_statistics(both) == ["user"]
    few = decided(both)["user"].evidence, decided(one)["user"].evidence
    np.testing.assert_allclose(*few, rtol=0.05)  # the overall rates differ a little


@pytest.mark.parametrize("params", [{"n_buckets": 500}, {}])
def test_hashes_and_codes_count_too(params):
    X, y = make_log()
    if params:
        encoder = automatic(**params).fit(X, y)
    else:
        coded = FieldEncoder().fit(X).transform(X)
        encoder = automatic().fit(coded, y)
        assert encoder.cardinalities_ == FieldEncoder().fit(X).cardinalities_
    assert with_statistics(encoder) == ["user"]
    assert all(one.min_frequency is None for one in encoder._encoding.many_values)


# ------------------------------------------------------------------------- which values


@pytest.mark.parametrize(("n_rows", "least"), [(LEAST_ROWS, 40), (20_000, OWN_ROWS)])
def test_values_in_few_rows_of_a_column_of_many_share_one(n_rows, least):
    often = np.repeat(["a", "b", "c"], [least, least, least - 1])
    once = [f"u{i}" for i in range(n_rows - len(often))]
    X = pd.DataFrame({"user": [*often, *once], "shop": ["x"] * (n_rows - 1) + ["y"]})
    encoder = automatic(target_statistics=None).fit(X)
    assert encoder.vocabulary_["user"].tolist() == ["a", "b"]
    assert encoder.vocabulary_["shop"].tolist() == ["x", "y"]
    plain = FieldEncoder(min_frequency={"user": least}).fit(X)
    np.testing.assert_array_equal(encoder.encode(X).codes, plain.encode(X).codes)


def test_a_value_gets_its_row_once_it_has_been_in_rows_enough():
    X, y = make_log(LEAST_ROWS, n_users=60)
    grown = automatic().partial_fit(X, y)
    assert grown.cardinalities_[0] < 30
    grown.partial_fit(X, y).partial_fit(X, y)
    assert grown.cardinalities_ == (61, 61, 7, 1)


@pytest.mark.parametrize("scale", [1e-6, 0.5])
def test_weights_that_are_no_numbers_of_rows_move_no_limit(scale):
    X, _ = make_log(20 * OWN_ROWS + 1, n_users=19)
    X.loc[:10, "user"] = "rare", "few", *["u0"] * 9
    rules = automatic(target_statistics=None)
    plain = clone(rules).fit(X)
    light = clone(rules).fit(X, None, np.full(len(X), scale))
    assert plain.cardinalities_ == light.cardinalities_
    users, pages, shops, visits = plain.cardinalities_
    assert (users, shops, visits) == (20, 7, 1) and pages < 50
    heavy = clone(rules).fit(X[:500], None, np.full(500, 10))
    repeated = clone(rules).fit(pd.concat([X[:500]] * 10, ignore_index=True))
    assert heavy.cardinalities_ == repeated.cardinalities_


def test_columns_of_one_table_and_named_limits_stay_as_they_are():
    X, _ = make_log()
    X["friend"] = X["user"].to_numpy()[::-1]
    both = automatic(
        target_statistics=None, shared_vocabularies=[["user", "friend"]]
    ).fit(X)
    assert both.cardinalities_[0] == 41 and both.cardinalities_[1] < 30
    named = automatic(
        target_statistics=None, min_frequency={"user": 1, "visit": "auto"}
    )
    assert named.fit(X).cardinalities_ == (41, 61, 7, 1, 41)


# ----------------------------------------------------------------------- what is told


def test_the_report_tells_what_was_decided_and_why():
    X, y = make_log()
    encoder = automatic().fit(X, y)
    user, page, visit = encoder.report_.decisions
    assert user.startswith("user: 40 values, in 75.0 rows each: statistics (evidence ")
    assert page.startswith(
        "page: 60 values, in 50.0 rows each: no statistics (evidence -"
    )
    assert visit.startswith("visit: 3,000 values, in 1.0 rows each: no statistics")
    assert repr(encoder.report_).splitlines()[-3:] == [user, page, visit]
    assert f"<p>{user}</p>" in encoder.report_._repr_html_()
    assert FieldEncoder().fit(X).report_.decisions == ()


def test_an_estimator_says_it_in_a_line_if_it_is_verbose(capsys):
    X, y = make_log()
    DEPHNMultiTaskClassifier(**SMALL, verbose=1).fit(X, y)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("user: 40 values") and "; page: 60 values" in first
    assert not any("values" in line for line in others)
    DEPHNMultiTaskClassifier(**SMALL, target_statistics=None, verbose=1).fit(X, y)
    assert "values" not in capsys.readouterr().out


# ------------------------------------------------------------------------ in estimators


@pytest.mark.parametrize("estimator", [DEPHNMultiTaskClassifier, DCNClassifier])
def test_estimators_do_so_unless_told_otherwise(estimator):
    X, y = make_log()
    small = {"embedding_dim": 2, "max_epochs": 1, "random_state": 0}
    model = estimator(**small).fit(X, y)
    assert with_statistics(model.encoder_) == ["user"]
    model = clone(model).set_params(target_statistics=None).fit(X, y)
    assert model.encoder_.numeric_names_ == ("age",)
    assert model.encoder_.cardinalities_[0] == 41
    own = clone(model).set_params(encoder=FieldEncoder(), target_statistics="auto")
    assert own.fit(X, y).encoder_.numeric_names_ == ("age",)
    numbers = clone(model).set_params(target_statistics="auto").fit(X[["age"]], y)
    assert numbers.encoder_.report_.decisions == ()


def test_what_the_first_call_has_chosen_stays():
    X, y = make_log()
    model = DEPHNMultiTaskClassifier(**SMALL).partial_fit(X, y)
    chosen = model.encoder_.numeric_names_
    model.partial_fit(X.assign(page=X["user"], user=X["page"]), y)
    assert model.encoder_.numeric_names_ == chosen
    few = DEPHNMultiTaskClassifier(**SMALL).partial_fit(X[:3], y[:3])
    few.partial_fit(X, y)
    assert few.encoder_.numeric_names_ == ("age",)
    warm = DEPHNMultiTaskClassifier(**SMALL, warm_start=True).fit(X, y).fit(X, y)
    assert warm.encoder_.numeric_names_ == chosen


def test_classes_that_are_announced_may_come_later():
    X, y = make_log()
    model = DEPHNMultiTaskClassifier(**SMALL)
    model.partial_fit(X, y["click"], classes=[0, 1, 2])
    assert with_statistics(model.encoder_) == ["user"]
    model.partial_fit(X, np.full(len(X), 2))
    assert model.predict_proba(X).shape == (len(X), 3)


def test_a_file_holds_what_was_decided(tmp_path):
    X, y = make_log()
    model = DEPHNMultiTaskClassifier(**SMALL).fit(X, y)
    model.save(tmp_path / "model.zip", training=True)
    read = load(tmp_path / "model.zip")
    assert read.encoder_.report_ == model.encoder_.report_
    np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))
    read.partial_fit(X, y)
    model.partial_fit(X, y)
    np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))


def test_codes_of_an_encoder_before_are_columns_of_many_values(tmp_path):
    X, y = make_log()
    pipe = make_pipeline(FieldEncoder(), DEPHNMultiTaskClassifier(**SMALL)).fit(X, y)
    assert with_statistics(pipe[-1].encoder_) == ["user"]
    rows = X.assign(user=X["user"].where(X["age"] > 0, "nobody"))
    assert np.isfinite(pipe.predict_proba(rows)).all()


def test_a_search_may_turn_it_off():
    X, y = make_log(600)
    search = GridSearchCV(
        DEPHNMultiTaskClassifier(**SMALL), {"target_statistics": ["auto", None]}, cv=2
    )
    search.fit(X, y["click"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_columns_may_come_in_any_order():
    X, y = make_log()
    encoder = automatic(column_order="any").fit(X, y)
    turned = encoder.transform(X[X.columns[::-1]])
    pd.testing.assert_frame_equal(turned, encoder.transform(X))


def told_by_pages(X, y, rows):
    """Labels that the pages tell, which they do nowhere else."""
    y.loc[rows, "click"] = X.loc[rows, "page"].str[1:].astype(int) % 2
    return X, y


def told_by_nobody(X, y, rows):
    y.loc[rows, "click"] = np.arange(len(rows)) % 2
    return X, y


def pages_of_many_rows(X, y, rows):
    X.loc[rows, "page"] = "p1"
    return X, y


def a_user_each(X, y, rows):
    X.loc[rows, "user"] = [f"new {i}" for i in rows]
    X.loc[rows, "visit"] = "v0"
    return X, y


@pytest.mark.parametrize("aside", [True, False])
@pytest.mark.parametrize(
    "change", [told_by_pages, told_by_nobody, pages_of_many_rows, a_user_each]
)
def test_rows_that_do_not_train_decide_nothing(change, aside):
    """Neither those set aside, nor those of weight zero."""
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": aside}, validation_fraction=0.5
    )
    rows = np.arange(1000, 3600)
    weight = None if aside else np.where(np.isin(np.arange(6000), rows), 0.0, 1.0)

    def plan_of(X, y):
        plan = FitPlan.of(model, X, y, sample_weight=weight, epochs=1)
        (batch,) = plan.train.batches(plan.train.n_rows)
        return plan, batch.inputs

    plan, trained = plan_of(*make_log(6000))
    if aside:
        rows = plan.valid.rows.numpy()
    other, again = plan_of(*change(*make_log(6000), rows))
    assert with_statistics(plan.learned.encoder) == ["user"]
    assert other.learned.encoder.report_ == plan.learned.encoder.report_
    for name in ("codes", "numbers"):
        np.testing.assert_array_equal(again[name], trained[name])


def test_ids_and_labels_of_pure_noise_gain_nothing():
    """Unique ids, and ids of 2 to 40 rows: neither a statistic nor a vector."""
    rng = np.random.default_rng(0)
    n_rows = 20_000
    ids = np.repeat(np.arange(2 * n_rows), rng.integers(2, 41, 2 * n_rows))[
        : 2 * n_rows
    ]
    X = pd.DataFrame(
        {
            "unique": np.arange(2 * n_rows).astype(str),
            "id": rng.permutation(ids).astype(str),
            "kind": rng.choice(list("abc"), 2 * n_rows),
        }
    )
    y = rng.integers(0, 2, 2 * n_rows)
    train, fresh = slice(n_rows), slice(n_rows, None)
    model = DEPHNMultiTaskClassifier(random_state=0, n_threads=1)
    model.fit(X[train], y[train])
    assert model.encoder_.numeric_names_ == ()
    probabilities = model.predict_proba(X[fresh])[:, 1]
    assert abs(roc_auc_score(y[fresh], probabilities) - 0.5) < 0.02
    assert log_loss(y[fresh], probabilities) < np.log(2) + 1e-3
    losses = [epoch["valid_loss"] for epoch in model.net_.history]
    assert max(losses) - min(losses) < 2e-3 and min(losses) > np.log(2) - 2e-3


# ------------------------------------------------------------------------ amounts


def test_the_evidence_of_numbers_is_what_squared_error_gains():
    X, y = make_log(LEAST_ROWS)
    amounts = (3 * y["click"] + np.random.default_rng(1).normal(size=len(y))).tolist()
    folds, users = KFold(4), X["user"].tolist()
    encoder = automatic(target_folds=folds, target_smoothing=3.0).fit(X, amounts)
    gain, square, variance = 0.0, 0.0, np.var(amounts)
    for others, inside in folds.split(X):
        overall = math.fsum(amounts[i] for i in others) / len(others)
        for row in inside:
            same = [amounts[i] for i in others if users[i] == users[row]]
            mean = (math.fsum(same) + 3.0 * overall) / (len(same) + 3.0)
            gain += (amounts[row] - overall) ** 2 - (amounts[row] - mean) ** 2
            halfway = (mean + overall) / 2
            at_chance = variance + (overall - halfway) ** 2
            square += (2 * (mean - overall)) ** 2 * at_chance
    expected = gain / math.sqrt(square)
    assert decided(encoder)["user"].evidence == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_random_amounts_are_no_evidence(seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({f"{n}": rng.integers(0, n, 6000).astype(str) for n in (40, 900)})
    y = np.column_stack([rng.normal(size=6000), rng.lognormal(size=6000)])
    encoder = automatic(random_state=seed).fit(X, y)
    assert max(one.evidence for one in encoder._encoding.many_values) < SURE
