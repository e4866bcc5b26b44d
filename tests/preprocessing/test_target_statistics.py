"""Target statistics: right, as scikit-learn's where it has them, and without leaks."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.fixes import parse_version

from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.tasks import Tasks


def make_data(n_rows=300, n_users=20, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"user": rng.choice([f"u{i}" for i in range(n_users)], n_rows)})
    X.loc[rng.random(n_rows) < 0.05, "user"] = None
    return X, rng.integers(0, 2, n_rows)


def encoder(**params):
    params = {"target_statistics": ["user"], "scaling": "none", **params}
    return FieldEncoder(**params)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="TargetEncoder takes a splitter since 1.9",
)
@pytest.mark.parametrize("smoothing", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("labels", [None, np.array(["no", "yes"])])
def test_rates_equal_scikit_learns_target_encoder(smoothing, labels):
    X, y = make_data()
    y = y if labels is None else labels[y]
    folds = StratifiedKFold(4, shuffle=True, random_state=1)
    theirs = TargetEncoder(smooth=smoothing, cv=folds, target_type="binary")
    ours = encoder(target_smoothing=smoothing, target_folds=folds)
    ours.set_output(transform="pandas")
    np.testing.assert_allclose(
        ours.fit_transform(X, y)["user_rate"],
        theirs.fit_transform(X, y).ravel(),
        atol=1e-9,
    )
    new = pd.DataFrame({"user": ["u1", "new", None, "u2"]})
    np.testing.assert_allclose(
        ours.transform(new)["user_rate"], theirs.transform(new).ravel(), atol=1e-9
    )


def slow_rate(values, labels, weight, inside, value, smoothing):
    """Over the rows that are not in the fold and have a label, one by one."""
    total = total_weight = count = count_weight = 0.0
    for one, label, w, skip in zip(values, labels, weight, inside, strict=True):
        if skip or np.isnan(label):
            continue
        total, total_weight = total + w * label, total_weight + w
        if one == value:
            count, count_weight = count + w * label, count_weight + w
    return (count + smoothing * total / total_weight) / (count_weight + smoothing)


def test_each_task_is_a_slow_loop_over_the_other_folds_observed_labels():
    X, _ = make_data(60, 6)
    X["user"] = X["user"].fillna("u0")
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, (60, 2)).astype(float)
    y[rng.random((60, 2)) < 0.3] = np.nan
    weight = rng.integers(1, 4, 60).astype(float)
    y_frame = pd.DataFrame(y, columns=["click", "like"])
    ours = encoder(target_smoothing=3.0, target_folds=KFold(3))
    fields = ours.fit_encode(X, y_frame, sample_weight=weight, dtype=np.float64)
    assert ours.numeric_names_ == ("user_count", "user_click_rate", "user_like_rate")
    values = X["user"].tolist()
    for _, inside in KFold(3).split(X):
        mask = np.isin(np.arange(60), inside)
        scale = weight.sum() / weight[~mask].sum()
        for row in inside:
            own = (X["user"] == values[row]).to_numpy()
            count = np.log1p(weight[own & ~mask].sum() * scale)
            np.testing.assert_allclose(fields.numbers[row, 0], count, rtol=1e-12)
            for task in range(2):
                expected = slow_rate(values, y[:, task], weight, mask, values[row], 3.0)
                np.testing.assert_allclose(fields.numbers[row, 1 + task], expected)
    full = ours.encode(X, dtype=np.float64).numbers
    nothing = np.zeros(60, dtype=bool)
    for row in range(60):
        expected = slow_rate(values, y[:, 1], weight, nothing, values[row], 3.0)
        np.testing.assert_allclose(full[row, 2], expected)


def test_a_missing_label_of_the_only_task_does_not_count():
    X, y = make_data(60, 6)
    y = y.astype(float)
    y[::7] = np.nan
    one = encoder(target_folds=KFold(3)).fit_encode(X, y).numbers
    two = encoder(target_folds=KFold(3)).fit_encode(X, np.column_stack([y, y])).numbers
    np.testing.assert_array_equal(one, two[:, :2])
    assert np.isfinite(one).all()


def test_growing_refuses_labels_of_other_tasks():
    X, y = make_data(60, 6)
    tasks = Tasks.learn(pd.DataFrame({"a": y, "b": 1 - y}))
    grown = encoder(random_state=0).fit(X, tasks.read(tasks_of(y, "a", "b")))
    other = Tasks.learn(tasks_of(y, "a", "c")).read(tasks_of(y, "a", "c"))
    with pytest.raises(ValueError, match=r"rates \['a_rate', 'c_rate'\], but had"):
        grown.partial_fit(X, other)


def tasks_of(y, *names):
    return pd.DataFrame(dict.fromkeys(names, y))


def test_only_fit_transform_cross_fits():
    X, y = make_data()
    ours = encoder(random_state=0)
    crossed = ours.fit_transform(X, y)["user_rate"]
    assert not np.allclose(crossed, ours.transform(X)["user_rate"])
    again = encoder(random_state=0).fit(X, y)
    pd.testing.assert_frame_equal(again.transform(X), ours.transform(X))
    np.testing.assert_array_equal(
        encoder(random_state=0).fit_encode(X, y, dtype=float).numbers[:, 1], crossed
    )


def test_random_labels_give_no_predictive_power_unless_they_leak():
    X, y = make_data(4000, 800, seed=3)
    train, test = slice(0, 2000), slice(2000, 4000)

    def auc(fields_of_train, ours):
        model = LinearRegression().fit(fields_of_train, y[train])
        in_train = roc_auc_score(y[train], model.predict(fields_of_train))
        fields = ours.encode(X[test]).numbers
        return in_train, roc_auc_score(y[test], model.predict(fields))

    ours = encoder(random_state=0, target_smoothing=1.0)
    crossed = ours.fit_encode(X[train], y[train]).numbers
    in_train, in_test = auc(crossed, ours)
    assert abs(in_test - 0.5) < 0.04 and abs(in_train - 0.5) < 0.04
    leaking = ours.encode(X[train]).numbers
    assert auc(leaking, ours)[0] > 0.7


def test_a_rows_own_label_does_not_change_its_rate():
    X, y = make_data(50, 5)
    for row in (0, 7, 49):
        other = y.copy()
        other[row] = 1 - other[row]
        one, two = (
            encoder(target_folds=KFold(5)).fit_encode(X, labels).numbers
            for labels in (y, other)
        )
        fold = np.arange(50) // 10 == row // 10
        np.testing.assert_array_equal(one[fold], two[fold])
        assert not np.array_equal(one[~fold], two[~fold])


def test_blocks_of_time_keep_a_block_out_whole():
    X, y = make_data(100, 5)
    time = np.random.default_rng(0).permutation(100)
    X["time"] = pd.Timestamp("2022-01-01") + pd.to_timedelta(time, unit="h")
    ours = encoder(time_column="time", target_folds=4)
    fields = ours.fit_encode(X, y, dtype=float)
    assert ours.numeric_names_ == ("user_count", "user_rate")
    blocks = time // 25
    splits = [
        (np.flatnonzero(blocks != b), np.flatnonzero(blocks == b)) for b in range(4)
    ]

    class Blocks:
        def split(self, X, y=None, groups=None):
            return iter(splits)

    expected = encoder(target_folds=Blocks()).fit_encode(X[["user"]], y, dtype=float)
    np.testing.assert_array_equal(fields.numbers, expected.numbers)


def test_equal_times_are_never_in_two_blocks():
    X, y = make_data(100, 5)
    X["time"] = np.repeat([3, 1, 2], [50, 30, 20])
    fields = encoder(time_column="time").fit_encode(X, y, dtype=float)
    expected = encoder(target_folds=KFold(5)).fit_encode(X[["user"]], y, dtype=float)
    assert not np.array_equal(fields.numbers, expected.numbers)
    assert np.isfinite(fields.numbers).all()
    with pytest.raises(ValueError, match="'time' holds too few times"):
        encoder(time_column="time").fit_encode(X.assign(time=1), y)
    with pytest.raises(ValueError, match="'time' orders the rows, but misses a time"):
        encoder(time_column="time").fit_encode(X.assign(time=np.nan), y)
    with pytest.raises(ValueError, match="target_folds must be a number, not KFold"):
        encoder(time_column="time", target_folds=KFold(5)).fit_encode(X, y)


def test_more_than_two_classes_have_a_rate_each():
    X, y = make_data()
    labels = np.array(["a", "b", "c"])[(y + np.arange(len(y))) % 3]
    ours = encoder(target_smoothing=0.0).fit(X, labels)
    rates = ours.encode(X, dtype=float).numbers[:, 1:]
    assert ours.numeric_names_[1:] == ("user_a_rate", "user_b_rate", "user_c_rate")
    np.testing.assert_allclose(rates.sum(axis=1), 1)
    for j, label in enumerate("abc"):
        one = encoder(target_smoothing=0.0).fit(X, labels == label)
        np.testing.assert_allclose(
            rates[:, j], one.encode(X, dtype=float).numbers[:, 1]
        )


def test_statistics_are_of_all_values_also_of_rare_and_hashed_ones():
    X, y = make_data()
    plain = encoder().fit(X, y).encode(X).numbers
    for params in ({"min_frequency": 40}, {"n_buckets": 3}):
        np.testing.assert_array_equal(
            encoder(**params).fit(X, y).encode(X).numbers, plain
        )


def test_statistics_are_scaled_like_other_numbers():
    X, y = make_data()
    ours = FieldEncoder(target_statistics=["user"]).fit(X, y)
    numbers = ours.encode(X, dtype=float).numbers
    np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(numbers.std(axis=0), 1)


@pytest.mark.parametrize("n_users", [20, 250])  # 250: most are in one fold alone
def test_no_statistic_of_a_row_that_counts_is_bounded(n_users):
    """Nor one of a new value, where other folds know nothing of some."""
    X, y = make_data(n_users=n_users)
    ours = encoder(scaling="standard", random_state=0)
    plain = encoder(random_state=0)
    new = pd.DataFrame({"user": ["new", "u1"] if n_users == 250 else ["u1"]})
    for found, raw in (
        (ours.fit_encode(X, y), plain.fit_encode(X, y)),
        (ours.encode(new), plain.encode(new)),
    ):
        linear = (raw.numbers - ours.mean_) / ours.scale_
        np.testing.assert_allclose(found.numbers, linear, atol=1e-5)


def test_partial_fit_equals_fit_on_all_rows():
    X, y = make_data()
    grown = encoder().partial_fit(X[:100], y[:100]).partial_fit(X[100:], y[100:])
    whole = encoder().fit(X, y)
    np.testing.assert_allclose(grown.encode(X).numbers, whole.encode(X).numbers)


def test_partial_fit_encode_uses_earlier_rows_only():
    X, y = make_data()
    grown = encoder(random_state=0).partial_fit(X[:100], y[:100])
    before = grown.encode(X[100:], dtype=float).numbers
    fields = grown.partial_fit_encode(X[100:], y[100:], dtype=float)
    np.testing.assert_array_equal(fields.numbers, before)
    assert fields.codes[X["user"].notna()[100:]].min() > 0
    first = encoder(random_state=0).partial_fit_encode(X, y).numbers
    np.testing.assert_array_equal(
        first, encoder(random_state=0).fit_encode(X, y).numbers
    )


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        ({}, None, "requires y to be passed"),
        ({"target_statistics": ["usr"]}, [0, 1], "'usr'. Did you mean 'user'"),
        ({"target_folds": 3}, [0, 1], "target_folds=3 needs as many rows"),
        ({}, [0, 1, 1], "X has 2 rows, but y has 3"),
        (
            {"target_folds": 2},
            [[np.nan, 0], [np.nan, 1]],
            "Task 'task0' has no observed label",
        ),
        ({"target_statistics": ["bag"]}, [0, 1], "'bag', which holds no single values"),
        ({"target_smoothing": -1}, [0, 1], "target_smoothing"),
        ({"target_folds": 1}, [0, 1], "target_folds"),
    ],
)
def test_bad_input_is_named(params, y, message):
    X = pd.DataFrame({"user": ["a", "b"], "bag": [[1], [2]]})
    with pytest.raises(ValueError, match=message):
        encoder(**params).fit_transform(X, y)


@pytest.mark.parametrize("given", [np.array([True, False]), np.array(["user"]), [0]])
def test_columns_may_be_given_as_an_array(given):
    X, y = make_data(60)
    X["age"] = np.arange(60.0)
    fitted = encoder(target_statistics=given, random_state=0).fit(X, y)
    assert fitted.numeric_names_ == ("age", "user_count", "user_rate")


def test_folds_must_hold_each_row_once():
    class Twice:
        def split(self, X, y=None, groups=None):
            yield [0], [1, 2]
            yield [1], [0, 2]

    class Never:
        def split(self, X, y=None, groups=None):
            yield [0], [1]

    X, y = pd.DataFrame({"user": list("abc")}), [0, 1, 0]
    with pytest.raises(ValueError, match="puts a row in two folds"):
        encoder(target_folds=Twice()).fit_transform(X, y)
    with pytest.raises(ValueError, match="leaves rows out"):
        encoder(target_folds=Never()).fit_transform(X, y)


def test_growing_refuses_labels_that_were_not_there():
    X = pd.DataFrame({"user": list("abab")})
    grown = encoder(target_folds=2).partial_fit(X, ["no", "yes", "no", "no"])
    with pytest.raises(ValueError, match="Task 'task0' has the label 'maybe'"):
        grown.partial_fit(X, ["no", "maybe", "no", "yes"])
    with pytest.raises(ValueError, match="requires y to be passed"):
        grown.partial_fit(X)


def test_labels_must_be_finite_and_as_many_as_before():
    X = pd.DataFrame({"user": list("abab")})
    with pytest.raises(ValueError, match=r"'task0' has the label .*inf"):
        encoder(target_folds=2).fit(X, [0.5, 1, np.inf, 1])
    grown = encoder(target_folds=2).partial_fit(X, [0, 1, 0, 1])
    with pytest.raises(ValueError, match="y has 2 tasks, but 1 were seen"):
        grown.partial_fit(X, [[0, 1]] * 4)


def test_a_fields_name_must_be_free():
    X = pd.DataFrame({"user": ["a", "b"], "user_rate": [1.0, 2.0]})
    with pytest.raises(ValueError, match="field 'user_rate', which is the name of"):
        encoder(target_folds=2).fit(X, [0, 1])


@pytest.mark.parametrize("cross_fitted", [False, True])
def test_a_value_never_seen_comes_less_than_one_deviation_beyond_those_seen(
    cross_fitted,
):
    """However equal the counts of those are, in deviations."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": rng.choice(list("abcd"), 4000)})
    y = rng.integers(0, 2, 4000)
    encoder = FieldEncoder(target_statistics=["id"], random_state=0)
    if cross_fitted:
        seen = encoder.fit_encode(X, y).numbers
    else:
        seen = encoder.fit(X, y).encode(X).numbers
    new = encoder.encode(pd.DataFrame({"id": ["new", None]})).numbers
    assert np.all(new > seen.min(axis=0) - 1) and np.all(new < seen.max(axis=0) + 1)
