import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from dephn_sk.datasets import load_census_income, make_behavior_log, make_related_tasks


def log_table(n_samples=10_000):
    log = make_behavior_log(n_samples, as_frame=False, random_state=0)
    return log.data, log.categorical_features


def plain_table(n_samples=10_000):
    return np.random.default_rng(0).normal(size=(n_samples, 8)), None


@pytest.mark.parametrize("table", [log_table, plain_table])
@pytest.mark.parametrize(
    ("relation", "published", "tolerance"),
    [("related", 0.9877, 0.005), ("unrelated", 0.5288, 0.01)],
)
def test_confidences_have_the_published_correlation(
    table, relation, published, tolerance
):
    X, categorical = table()
    tasks = make_related_tasks(
        X, relation, categorical_features=categorical, random_state=0
    )
    assert abs(np.corrcoef(tasks.confidences.T)[0, 1] - published) < tolerance


@pytest.mark.parametrize("table", [log_table, plain_table])
@pytest.mark.parametrize("seed", [0, 1])
def test_boosting_predicts_the_first_task_from_the_features(table, seed):
    X, categorical = table(20_000)
    y = make_related_tasks(
        X, categorical_features=categorical, random_state=seed, return_X_y=True
    )[1]
    model = HistGradientBoostingClassifier(random_state=0).fit(
        X[:16_000], y[:16_000, 0]
    )
    score = model.predict_proba(X[16_000:])[:, 1]
    assert roc_auc_score(y[16_000:, 0], score) >= 0.9


@pytest.mark.parametrize("relation", ["related", "unrelated"])
def test_second_confidence_is_the_formula_of_the_first(relation):
    X, _ = plain_table(200)
    tasks = make_related_tasks(X, relation, noise=0.0, random_state=0)
    for c, y in tasks.confidences:
        expected = (
            2 * np.log(abs(c) + 1) + 0.1 * np.exp(abs(c))
            if relation == "related"
            else 2 * np.sin(abs(c)) + 0.1 * np.cos(abs(c))
        )
        assert y == pytest.approx(np.sign(c) * expected)
    np.testing.assert_array_equal(tasks.target, tasks.confidences > 0)


def test_first_confidence_is_uniform_and_a_function_of_the_features():
    X, _ = plain_table(500)
    tasks = make_related_tasks(np.vstack([X, X]), random_state=0)
    c = tasks.confidences[:, 0]
    np.testing.assert_array_equal(c[:500], c[500:])  # equal rows, equal confidence
    np.testing.assert_allclose(
        np.sort(c[:500]), 7.2 * (np.arange(500) + 0.5) / 500 - 3.6
    )


def test_order_of_the_rows_does_not_matter():
    X, categorical = log_table(500)
    order = np.random.default_rng(1).permutation(500)
    there, here = (
        make_related_tasks(
            rows, categorical_features=categorical, random_state=0
        ).confidences[:, 0]
        for rows in (X[order], X)
    )
    np.testing.assert_allclose(there, here[order])


def test_every_column_matters():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, size=(300, 3)).astype(float)
    kinds = [False, True, False]
    whole = make_related_tasks(X, categorical_features=kinds, random_state=0)
    for column in range(3):
        changed = X.copy()
        changed[:, column] = rng.permutation(changed[:, column])
        other = make_related_tasks(changed, categorical_features=kinds, random_state=0)
        assert not np.allclose(whole.confidences[:, 0], other.confidences[:, 0])


def test_rare_categories_look_the_same():
    X = np.repeat(np.arange(30), np.arange(30, 0, -1))[:, None]
    tasks = make_related_tasks(
        X, categorical_features=[0], max_categories=5, random_state=0
    )
    assert len(set(tasks.confidences[:, 0])) == 6
    assert len(set(tasks.confidences[X[:, 0] >= 5, 0])) == 1


def test_frames_keep_their_index_and_know_their_categories():
    pd = pytest.importorskip("pandas")
    codes = np.arange(40) % 4
    number = np.arange(40.0)
    number[3] = np.nan
    frame = pd.DataFrame(
        {"a": pd.Categorical(codes), "b": number, "c": np.array(list("wxyz"))[codes]},
        index=range(100, 140),
    )
    frame.loc[105, "c"] = None
    X, y = make_related_tasks(frame, "unrelated", random_state=0, return_X_y=True)
    assert X is frame
    assert list(y.index) == list(frame.index)
    assert list(y) == ["first", "unrelated"]
    by_name = make_related_tasks(frame, categorical_features=["b"], random_state=0)
    by_position = make_related_tasks(frame, categorical_features=[1], random_state=0)
    np.testing.assert_array_equal(by_name.confidences, by_position.confidences)


def test_nullable_numbers_are_numbers():
    pd = pytest.importorskip("pandas")
    plain = pd.DataFrame({"a": [3.0, 1.0, np.nan, 2.0], "b": [0.5, 0.1, 0.2, 0.3]})
    nullable = plain.assign(a=plain["a"].astype("Int64"))
    expected = make_related_tasks(plain, random_state=0).confidences
    actual = make_related_tasks(nullable, random_state=0).confidences
    np.testing.assert_array_equal(actual, expected)


def test_same_seed_gives_the_same_labels():
    X, _ = plain_table(100)
    first, second = (make_related_tasks(X, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first.confidences, second.confidences)
    assert not np.array_equal(
        first.confidences, make_related_tasks(X, random_state=4).confidences
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"relation": "opposed"}, "relation"),
        ({"categorical_features": ["price"]}, "'price'"),
        ({"categorical_features": [9]}, "9"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_related_tasks(np.zeros((4, 2)), **parameters)


@pytest.mark.parametrize("X", [np.zeros(3), np.zeros((0, 2)), np.zeros((3, 0))])
def test_no_table_is_an_error(X):
    with pytest.raises(ValueError, match="table with rows and columns"):
        make_related_tasks(X)


def test_a_constant_table_gives_equal_confidences():
    confidences = make_related_tasks(np.ones((5, 2)), "unrelated").confidences
    np.testing.assert_allclose(confidences, 0, atol=1e-12)


@pytest.mark.data
def test_tasks_over_census_features_are_as_published_and_learnable(data_home):
    pytest.importorskip("pandas")
    X = load_census_income(data_home).data[:20_000]
    for relation, published, tolerance in [
        ("related", 0.9877, 0.005),
        ("unrelated", 0.5288, 0.01),
    ]:
        tasks = make_related_tasks(X, relation, random_state=0)
        assert abs(np.corrcoef(tasks.confidences.T)[0, 1] - published) < tolerance
    model = HistGradientBoostingClassifier(random_state=0)
    model.fit(X[:16_000], tasks.target["first"][:16_000])
    score = model.predict_proba(X[16_000:])[:, 1]
    assert roc_auc_score(tasks.target["first"][16_000:], score) >= 0.9
