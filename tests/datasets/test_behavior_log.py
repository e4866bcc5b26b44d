import sys

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from dephn_sk.datasets import make_behavior_log


def arrays(n_samples=2000, **parameters):
    return make_behavior_log(
        n_samples, **{"as_frame": False, "random_state": 0, **parameters}
    )


@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
def test_log_odds_of_the_tasks_have_the_known_correlation(correlation):
    log = arrays(task_correlation=correlation)
    pairs = np.corrcoef(log.log_odds.T)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(pairs, correlation, atol=1e-9)


def test_signal_is_the_standard_deviation_of_the_log_odds():
    np.testing.assert_allclose(arrays(signal=1.5).log_odds.std(axis=0), 1.5)


def test_without_signal_every_row_has_the_same_probability():
    probabilities = arrays(signal=0.0, click_rate=0.3, like_rate=0.2).probabilities
    np.testing.assert_allclose(probabilities[:, 0], 0.3)
    np.testing.assert_allclose(probabilities[:, 1], 0.3 * 0.2)


def test_expected_rates_are_the_given_ones():
    log = arrays(click_rate=0.4, like_rate=0.3, purchase_rate=0.05)
    click = log.probabilities[:, 0]
    assert click.mean() == pytest.approx(0.4)
    assert log.probabilities[:, 1].sum() / click.sum() == pytest.approx(0.3)
    bought = np.average(log.probabilities[:, 2], weights=click)
    assert bought == pytest.approx(0.05)


def test_probabilities_are_those_of_the_funnel():
    log = arrays()
    click, like, purchase = expit(log.log_odds).T
    expected = np.column_stack([click, click * like, purchase])
    np.testing.assert_allclose(log.probabilities, expected)


def test_labels_are_drawn_with_the_probabilities():
    log = arrays(50_000, click_rate=0.5)
    for label, probability in zip(log.target.T, log.probabilities.T, strict=True):
        seen = ~np.isnan(label)
        residual = (label - probability)[seen]
        variance = (probability * (1 - probability))[seen].sum()
        assert abs(residual.sum()) < 4 * np.sqrt(variance)
        assert roc_auc_score(label[seen], probability[seen]) > 0.75


def test_purchase_is_observed_exactly_where_there_was_a_click():
    click, like, purchase = arrays().target.T
    np.testing.assert_array_equal(np.isnan(purchase), click == 0)
    assert set(click) == set(like) == {0.0, 1.0}
    assert not like[click == 0].any()


def test_rows_are_in_time_order_and_show_their_time():
    log = arrays(n_days=3)
    assert (np.diff(log.time) >= 0).all()
    assert 0 <= log.time[0] <= log.time[-1] < 3 * 24
    hour, weekday = (
        log.data[:, log.feature_names.index(n)] for n in ("hour", "weekday")
    )
    np.testing.assert_array_equal(hour, log.time % 24 // 1)
    np.testing.assert_array_equal(weekday, log.time // 24)


def test_age_is_missing_for_the_same_users_everywhere():
    log = arrays(missing_rate=0.3)
    user = log.data[:, log.feature_names.index("user_id")]
    unknown = np.isnan(log.data[:, log.feature_names.index("age")])
    assert 0.1 < unknown.mean() < 0.5
    assert not set(user[unknown]) & set(user[~unknown])
    others = [i for i, name in enumerate(log.feature_names) if name != "age"]
    assert np.isfinite(log.data[:, others]).all()


def test_same_seed_gives_the_same_log_and_leaves_the_global_generator_alone():
    state = np.random.get_state()[1].copy()
    first, second, other = arrays(), arrays(), arrays(random_state=1)
    np.testing.assert_array_equal(first.data, second.data)
    np.testing.assert_array_equal(first.target, second.target)
    assert not np.array_equal(first.data, other.data, equal_nan=True)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("n_samples", [1, 2, 63])
def test_small_logs_of_one_user_and_one_item(n_samples):
    log = arrays(n_samples, n_users=1, n_items=1, n_categories=1, n_days=1)
    assert log.data.shape == (n_samples, 12)
    assert log.target.shape == log.probabilities.shape == (n_samples, 3)
    assert np.isfinite(log.log_odds).all()


def test_boosting_learns_every_task_but_not_perfectly():
    log = arrays(30_000)
    small = [i for i in log.categorical_features if log.data[:, i].max() < 255]
    past = np.arange(30_000) < 24_000
    for label in log.target.T:
        fitted, held_out = past & ~np.isnan(label), ~past & ~np.isnan(label)
        model = HistGradientBoostingClassifier(
            max_iter=60, categorical_features=small, random_state=0
        ).fit(log.data[fitted], label[fitted])
        score = model.predict_proba(log.data[held_out])[:, 1]
        assert 0.7 < roc_auc_score(label[held_out], score) < 0.95


def test_crosses_of_city_and_category_carry_signal_beyond_main_effects():
    log = arrays(50_000, task_correlation=0.0)
    city, category = (
        log.data[:, log.feature_names.index(name)].astype(int)
        for name in ("city", "category")
    )
    target = log.log_odds[:, 0] - log.log_odds[:, 0].mean()

    def explained(*groups):
        design = np.hstack([np.eye(group.max() + 1)[group] for group in groups])
        fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        return fitted.var() / target.var()

    main = explained(city, category)
    assert explained(city * 20 + category) > main + 0.1


def explanatory(log):
    """All columns but the ids, as terms whose sum is linear in the log-odds."""
    column = dict(zip(log.feature_names, log.data.T, strict=True))
    codes = ["weekday", "device", "tab"]
    groups = [column[name] for name in codes] + [
        column["city"] * 20 + column["category"]
    ]
    numbers = [column[name] for name in ("age", "price", "popularity", "position")]
    numbers = np.column_stack([np.log1p(values) for values in numbers])
    numbers = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    hours = np.pi / 12 * column["hour"]
    terms = [np.eye(int(group.max()) + 1)[group.astype(int)] for group in groups]
    return np.hstack([*terms, numbers, np.cos(hours)[:, None], np.sin(hours)[:, None]])


def explained(terms, log_odds, fitted=slice(None), judged=slice(None)):
    """Share of the variance of the judged rows that the fitted ones explain."""
    weights = np.linalg.lstsq(terms[fitted], log_odds[fitted], rcond=None)[0]
    residual = log_odds[judged] - terms[judged] @ weights
    return 1 - residual.var() / log_odds[judged].var()


PLAIN = {"missing_rate": 0.0, "id_effect": 0.0}


def test_without_an_effect_of_ids_the_other_columns_say_everything():
    log = arrays(5000, **PLAIN)
    for column in log.log_odds.T:
        assert explained(explanatory(log), column) > 1 - 1e-9
    for id_effect, least, most in ((1.0, 0.5, 0.9), (3.0, 0.1, 0.5)):
        log = arrays(5000, missing_rate=0.0, id_effect=id_effect)
        assert least < explained(explanatory(log), log.log_odds[:, 0]) < most


def test_interactions_of_numbers_are_their_products():
    log = arrays(5000, **PLAIN, number_interactions=3.0)
    terms = explanatory(log)
    assert explained(terms, log.log_odds[:, 0]) < 0.7
    numbers = terms[:, -6:-2].T
    products = [numbers[i] * numbers[j] for i in range(4) for j in range(i)]
    terms = np.hstack([terms, np.column_stack(products)])
    assert explained(terms, log.log_odds[:, 0]) > 1 - 1e-9


def test_effects_of_the_beginning_hold_at_the_end_unless_they_drift():
    early, late = slice(None, 6000), slice(-2000, None)
    scores = []
    for drift in (0.0, 0.3, 1.0):
        log = arrays(20_000, **PLAIN, drift=drift)
        scores.append(explained(explanatory(log), log.log_odds[:, 0], early, late))
    assert scores[0] > 0.99  # a rare cell may be new
    assert 0.3 < scores[1] < 0.9
    assert scores[2] < 0.2


def test_frames_hold_what_the_arrays_hold():
    pd = pytest.importorskip("pandas")
    log = arrays()
    X, y = make_behavior_log(2000, random_state=0, return_X_y=True)
    assert list(X) == log.feature_names
    assert list(y) == log.task_names
    for name, column in zip(log.feature_names, log.data.T, strict=True):
        if isinstance(X[name].dtype, pd.CategoricalDtype):
            np.testing.assert_array_equal(X[name].cat.codes, column)
        elif pd.api.types.is_numeric_dtype(X[name]):
            np.testing.assert_array_equal(X[name], column)
        else:
            pairs = set(zip(X[name], column, strict=True))
            assert len(pairs) == X[name].nunique() == len(set(column))
    assert [str(X[name].dtype) for name in ("user_id", "item_id")] == ["category"] * 2
    np.testing.assert_array_equal(y.to_numpy(), log.target)


def test_without_pandas_arrays_work_and_frames_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert arrays(10).data.shape == (10, 12)
    with pytest.raises(ImportError, match=r"dephn-sk\[frames\]"):
        make_behavior_log(10)


@pytest.mark.parametrize(
    "wrong",
    [{"n_users": 0}, {"task_correlation": 1.5}, {"click_rate": 1}, {"drift": 2}],
)
def test_a_parameter_out_of_range_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        make_behavior_log(10, **wrong)


# ------------------------------------------------------------ amounts


def test_amounts_change_nothing_else():
    one = make_behavior_log(800, random_state=3)
    other = make_behavior_log(800, amounts=True, random_state=3)
    assert other.task_names == [*one.task_names, "watch_seconds", "revenue"]
    assert one.data.equals(other.data)
    assert one.target.equals(other.target[one.task_names])


def test_amounts_have_the_means_that_are_given():
    log = make_behavior_log(60_000, amounts=True, as_frame=False, random_state=0)
    drawn, expected = log.target[:, 3:], log.expected_amounts
    assert (drawn[:, 0] > 0).all()
    bought = log.target[:, 2] == 1
    assert ((drawn[:, 1] > 0) == bought).all()
    for t in range(2):
        # over bins of equal expectation, the mean amount is the expected one
        bins = np.array_split(np.argsort(expected[:, t]), 4)
        means = [(drawn[rows, t].mean(), expected[rows, t].mean()) for rows in bins]
        for found, wanted in means[2:]:
            assert abs(found / wanted - 1) < 0.15
