"""The numbers of a report: scikit-learn's on the same rows, and what was planted."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from _logs import SMALL
from numpy.testing import assert_allclose
from scipy.stats import false_discovery_control
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from dephn_sk import DEPHNMultiTaskClassifier, DEPHNMultiTaskEstimator
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.inspection import permutation_importance
from dephn_sk.metrics import gauc, task_scorer, uauc
from dephn_sk.model_selection import ThresholdedClassifier
from dephn_sk.report import ModelReport, _use
from dephn_sk.report._rows import binned, with_column_of
from dephn_sk.report._slices import benjamini_hochberg

N = 600
FIT, TEST = slice(0, 300), slice(300, N)
OPTIONS = {**SMALL, "learning_rate": 0.05, "max_epochs": 4}


def make_table():
    rng = np.random.default_rng(0)
    city, age = rng.integers(4, size=N), rng.normal(size=N)
    X = pd.DataFrame(
        {
            "city": np.array(["Oslo", "Rome", "Lima", None], dtype=object)[city],
            "age": np.where(rng.random(N) < 0.1, np.nan, age),
            "tags": [list("ab")[: k % 3] for k in range(N)],
            "user": pd.Categorical(rng.integers(9, size=N)),
        }
    )
    score = city - 1.5 + age + rng.logistic(size=N)
    y = pd.DataFrame({"click": score > 0, "buy": score > 1}) * 1.0
    y["kind"] = np.digitize(score, [-1, 1]) * 1.0
    y["buy"] = y["buy"].where(rng.random(N) > 0.2)
    return X, y


X, Y = make_table()
BINARY = Y[["click", "buy"]]
WEIGHT = np.random.default_rng(1).integers(0, 4, N).astype(float)


@pytest.fixture(scope="module")
def model():
    return DEPHNMultiTaskClassifier(**OPTIONS).fit(X[FIT], Y[FIT])


@pytest.fixture(scope="module")
def binary():
    return DEPHNMultiTaskClassifier(**OPTIONS).fit(X[FIT], BINARY[FIT])


@pytest.fixture(scope="module")
def report(model):
    return ModelReport(
        model, X[TEST], Y[TEST], X_train=X[FIT], n_repeats=2, costs={"buy": (1, 3)}
    )


def of_task(report, table, name):
    found = report.tables[table]
    return found[found["task"] == name]


# ------------------------------------------------------------ numbers


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_scikit_learns_on_the_observed_rows(model, weighted):
    weight = WEIGHT[TEST] if weighted else None
    report = ModelReport(model, X[TEST], Y[TEST], weight, n_repeats=0)
    prob = model.predict_proba(X[TEST])
    for t, name in enumerate(Y):
        seen = Y[name][TEST].notna().to_numpy()
        y, p = Y[name][TEST][seen].to_numpy(), prob[t][seen]
        w = None if weight is None else weight[seen]
        row = of_task(report, "scores", name).iloc[0]
        used = seen if w is None else seen & (weight > 0)
        assert row["rows"] == used.sum()
        assert row["log_loss"] == pytest.approx(metrics.log_loss(y, p, sample_weight=w))
        accuracy = metrics.accuracy_score(y, p.argmax(1), sample_weight=w)
        assert row["accuracy"] == pytest.approx(accuracy)
        shares = [np.average(y == c, weights=w) for c in np.unique(y)]
        base = metrics.log_loss(y, np.tile(shares, (len(y), 1)), sample_weight=w)
        assert row["base_log_loss"] == pytest.approx(base)
        assert row["gain_over_base"] == pytest.approx(1 - row["log_loss"] / base)
        if name == "kind":
            continue
        for metric, judge in [
            ("roc_auc", metrics.roc_auc_score),
            ("average_precision", metrics.average_precision_score),
            ("brier", metrics.brier_score_loss),
        ]:
            expected = judge(y, p[:, 1], sample_weight=w)
            assert row[metric] == pytest.approx(expected), metric
        assert row["rate"] == pytest.approx(np.average(y, weights=w))
        mean = np.average(p[:, 1], weights=w)
        assert row["mean_prediction"] == pytest.approx(mean)


@pytest.mark.parametrize("weighted", [False, True])
def test_thresholds_are_scikit_learns_precision_and_recall(binary, weighted):
    weight = WEIGHT[TEST] if weighted else None
    acting = ThresholdedClassifier(binary, thresholds={"buy": 0.4})
    costs = {"buy": (1, 3)}
    report = ModelReport(
        acting, X[TEST], BINARY[TEST], weight, costs=costs, n_repeats=0
    )
    prob = binary.predict_proba(X[TEST])
    for t, name in enumerate(BINARY):
        seen = BINARY[name][TEST].notna().to_numpy()
        y, w = BINARY[name][TEST][seen], None if weight is None else weight[seen]
        found = of_task(report, "thresholds", name)
        own = found[found["what"] == "the model's own"]["threshold"].item()
        assert own == (0.4 if name == "buy" else 0.5)
        for _, row in found.iterrows():
            acted = prob[seen, t] >= row["threshold"]
            given = {"sample_weight": w, "zero_division": np.nan}
            precision = metrics.precision_score(y, acted, **given)
            assert_allclose(row["precision"], precision)
            recall = metrics.recall_score(y, acted, sample_weight=w)
            assert_allclose(row["recall"], recall)
            assert_allclose(row["share_acted"], np.average(acted, weights=w))
            (tn, fp), (fn, tp) = metrics.confusion_matrix(y, acted, sample_weight=w)
            if name == "buy":
                cost = (fp + 3 * fn) / (tn + fp + fn + tp)
                assert_allclose(row["cost_per_row"], cost)
        if name == "buy":
            cheapest = found.set_index("what")["cost_per_row"]
            assert cheapest.idxmin() == "least cost on these rows" or np.isclose(
                cheapest["least cost on these rows"], cheapest.min()
            )


def test_lift_is_that_of_the_rows_at_the_top(binary):
    report = ModelReport(binary, X[TEST], BINARY[TEST], n_repeats=0)
    prob = binary.predict_proba(X[TEST])[:, 0]
    y = BINARY["click"][TEST].to_numpy()
    top = np.argsort(-prob, kind="stable")[:30]
    ties = np.unique(prob).size == len(prob)
    row = of_task(report, "lift", "click").query("top_share == 0.1").iloc[0]
    if ties:
        assert row["precision"] == pytest.approx(y[top].mean())
        assert row["gain"] == pytest.approx(y[top].sum() / y.sum())
    assert row["lift"] == pytest.approx(row["precision"] / y.mean())


def test_calibration_is_scikit_learns_curve_with_wilsons_interval(binary):
    from sklearn.calibration import calibration_curve

    report = ModelReport(binary, X[TEST], BINARY[TEST], n_repeats=0)
    prob = binary.predict_proba(X[TEST])[:, 0]
    found = of_task(report, "calibration", "click")
    if len(np.unique(prob)) == len(prob):
        y = BINARY["click"][TEST]
        true, predicted = calibration_curve(y, prob, n_bins=10, strategy="quantile")
        assert_allclose(found["observed"], true)
        assert_allclose(found["predicted"], predicted)
    for _, row in found.iterrows():
        p, n, z = row["observed"], row["weight"], 1.959964
        for end in ("low", "high"):
            # Wilson: the rates from which the observed one is z deviations away
            q = row[end]
            if 0 < q < 1:
                assert abs(p - q) / np.sqrt(q * (1 - q) / n) == pytest.approx(z, 1e-4)


def test_auc_within_groups_is_that_of_metrics(binary):
    groups = np.arange(300) % 7
    report = ModelReport(binary, X[TEST], BINARY[TEST], groups=groups, n_repeats=0)
    prob = binary.predict_proba(X[TEST])
    scores = report.tables["scores"]
    assert_allclose(scores["gauc"], gauc(BINARY[TEST], prob, groups))
    assert_allclose(scores["uauc"], uauc(BINARY[TEST], prob, groups))
    assert "7 groups" in " ".join(report.notes)


def test_importance_is_that_of_inspection(model, report):
    found = permutation_importance(
        model, X[TEST], Y[TEST], n_repeats=2, random_state=np.random.RandomState(0)
    )
    for name, bunch in found.items():
        table = of_task(report, "importance", name).set_index("column")
        means = dict(zip(bunch.feature_names, bunch.importances_mean, strict=True))
        assert table["importance"].to_dict() == pytest.approx(means)
    own = report.tables["importance"]
    assert (own["low"] <= own["importance"]).all()


def test_effects_are_partial_dependence_and_rates_those_of_the_rows(binary):
    report = ModelReport(binary, X[TEST], BINARY[TEST], n_repeats=0)
    found = of_task(report, "effects", "click").query("column == 'city'")
    y = BINARY["click"][TEST]
    for _, row in found.iterrows():
        missing = row["value"] == "missing"
        value = None if missing else row["value"]
        city = X["city"][TEST]
        inside = (city.isna() if missing else city == value).to_numpy()
        assert row["rows"] == inside.sum()
        assert row["observed"] == pytest.approx(y[inside].mean())
        by_hand = binary.predict_proba(X[TEST].assign(city=value))[:, 0].mean()
        assert row["effect"] == pytest.approx(by_hand, abs=1e-6)
    assert len(found) == 4
    view = binary.task("click")
    (known,) = partial_dependence(
        view, X[TEST], ["city"], custom_values={"city": ["Oslo", "Rome"]}
    )["average"]
    own = found.set_index("value")["effect"]
    assert_allclose(known, own[["Oslo", "Rome"]], atol=1e-6)


def test_tasks_together_and_missing_labels(binary):
    report = ModelReport(binary, X[TEST], BINARY[TEST], n_repeats=0)
    (row,) = report.tables["tasks_together"].to_dict("records")
    both = BINARY[TEST].dropna()
    assert row["rows"] == len(both)
    assert row["label_correlation"] == pytest.approx(both.corr().iloc[0, 1])
    clicked = both[both["click"] == 1]["buy"]
    assert row["other_rate_given_task"] == pytest.approx(clicked.mean())
    missing = report.tables["missing_labels"].set_index("task")
    assert missing.loc["buy", "missing"] == BINARY["buy"][TEST].isna().sum()


def test_what_goes_against_a_funnel_is_counted(binary):
    report = ModelReport(binary, X[TEST], BINARY[TEST], n_repeats=0)
    (row,) = report.tables["funnel"].to_dict("records")
    prob = binary.predict_proba(X[TEST])
    assert (row["task"], row["condition"]) == ("buy", "click")
    assert row["predictions_against_it"] == (prob[:, 1] > prob[:, 0]).sum()
    funnel = DEPHNMultiTaskClassifier(**OPTIONS, conditions={"buy": "click"})
    funnel.fit(X[FIT], BINARY[FIT])
    held = ModelReport(funnel, X[TEST], BINARY[TEST], n_repeats=0).tables["funnel"]
    assert held["known_to_model"].all()
    assert held["predictions_against_it"].item() == 0


# ------------------------------------------------------------ slices


def test_the_correction_is_scipys():
    p = np.random.default_rng(0).random(50) ** 2
    assert_allclose(benjamini_hochberg(p), false_discovery_control(p))
    assert len(benjamini_hochberg([])) == 0


class Told(ClassifierMixin, BaseEstimator):
    """Predicts what a column says."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict_proba(self, X):
        p = X["p"].to_numpy()
        return np.column_stack([1 - p, p])


def told(n, seed, wrong=None):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "p": rng.uniform(0.1, 0.9, n),
            "city": rng.choice(["Oslo", "Rome", "Lima"], n),
            "sex": rng.choice(["f", "m"], n),
        }
    )
    true = X["p"].to_numpy()
    if wrong is not None:
        true = np.where(wrong(X), true * 0.4, true)
    return X, pd.Series((rng.random(n) < true) * 1, name="click")


def test_a_slice_that_is_wrong_is_found_and_comes_first():
    X, y = told(4_000, 0, lambda t: (t["city"] == "Rome") & (t["sex"] == "f"))
    report = ModelReport(Told().fit(X, y), X, y, n_repeats=0)
    first = report.tables["slices"].iloc[0]
    assert first["slice"] == "city: Rome and sex: f"
    assert first["wrong"]
    inside = ((X["city"] == "Rome") & (X["sex"] == "f")).to_numpy()
    assert first["rows"] == inside.sum()
    assert first["observed"] == pytest.approx(y[inside].mean())
    assert first["mean_prediction"] == pytest.approx(X["p"][inside].mean())
    assert "slices were looked at" in " ".join(report.findings)


def test_advice_names_parameters_that_the_report_has(model):
    words = " ".join(ModelReport(model, X[TEST], Y[TEST], n_repeats=0).findings)
    assert "Give X_train" in words
    assert "X_ref" not in words


def test_a_pair_that_says_what_one_value_says_is_no_slice_of_its_own():
    X, y = told(1_000, 0)
    X["land"] = X["city"].map({"Oslo": "Norway", "Rome": "Italy", "Lima": "Peru"})
    found = ModelReport(Told().fit(X, y), X, y, n_repeats=0).tables["slices"]
    pairs = found[found["n_columns"] == 2]["slice"]
    assert not [one for one in pairs if "city" in one and "land" in one]
    assert len(pairs) > 5


def test_where_predictions_are_right_hardly_a_slice_is_called_wrong():
    alarms = 0
    for seed in range(20):
        X, y = told(1_500, seed)
        report = ModelReport(Told().fit(X, y), X, y, n_repeats=0)
        alarms += report.tables["slices"]["wrong"].any()
    assert alarms <= 4


def test_rows_of_one_group_are_not_taken_as_independent():
    X, y = told(1_000, 0)
    once = ModelReport(Told().fit(X, y), X, y, n_repeats=0).tables["slices"]
    again = np.repeat(np.arange(1_000), 9)
    many = X.iloc[again].reset_index(drop=True), y.iloc[again].reset_index(drop=True)
    blind = ModelReport(Told().fit(X, y), *many, n_repeats=0).tables["slices"]
    aware = ModelReport(Told().fit(X, y), *many, groups=again, n_repeats=0)
    assert blind["wrong"].sum() > once["wrong"].sum()
    z = aware.tables["slices"].set_index("slice")["z"]
    assert_allclose(z.abs().max(), once["z"].abs().max(), rtol=0.25)


# ------------------------------------------------------------ models and tables


def test_every_kind_of_model_has_the_same_scores(binary):
    y = BINARY.assign(buy=BINARY["buy"].fillna(0))
    numbers = pd.DataFrame({"age": X["age"].fillna(0), "user": X["user"].astype(int)})
    one = DEPHNMultiTaskClassifier(**OPTIONS)
    models = {
        "pipeline": make_pipeline(FunctionTransformer(), one),
        "search": GridSearchCV(
            one, {"dropout": [0.1]}, cv=KFold(2), scoring=task_scorer("log_loss")
        ),
        "forest": RandomForestClassifier(5, random_state=0),
        "each": MultiOutputClassifier(LogisticRegression()),
        "network": MLPClassifier((4,), max_iter=20, random_state=0),
    }
    for name, made in models.items():
        with pytest.warns() if name == "network" else np.errstate():
            fitted = made.fit(numbers[FIT], y[FIT].astype(int))
        report = ModelReport(fitted, numbers[TEST], y[TEST].astype(int), n_repeats=1)
        given = fitted.predict_proba(numbers[TEST])
        p = np.column_stack([c[:, 1] for c in given]) if type(given) is list else given
        expected = [metrics.roc_auc_score(y[c][TEST], p[:, t]) for t, c in enumerate(y)]
        assert_allclose(report.tables["scores"]["roc_auc"], expected), name
        assert {"importance", "effects", "slices"} <= report.tables.keys()
        assert ("training" in report.tables) == (name in ("pipeline", "search"))
        json.dumps(report.to_dict(), allow_nan=False)
    calibrated = TaskCalibrator(binary).fit(X[TEST], BINARY[TEST])
    found = ModelReport(calibrated, X[TEST], BINARY[TEST], n_repeats=1).tables
    assert {"gates", "training", "drift"} <= found.keys()


def test_one_task_and_numbers_beside_classes():
    single = DEPHNMultiTaskClassifier(**OPTIONS).fit(X[FIT], Y["click"][FIT])
    (row,) = (
        ModelReport(single, X[TEST], Y["click"][TEST])
        .tables["scores"]
        .to_dict("records")
    )
    p = single.predict_proba(X[TEST])[:, 1]
    assert row["roc_auc"] == pytest.approx(metrics.roc_auc_score(Y["click"][TEST], p))
    y = BINARY.assign(sum=np.nan_to_num(X["age"].to_numpy()))
    mixed = DEPHNMultiTaskEstimator(
        **OPTIONS, tasks={"click": "binary", "buy": "binary"}
    ).fit(X[FIT], y[FIT])
    report = ModelReport(mixed, X[TEST], y[TEST], n_repeats=1)
    (row,) = report.tables["scores_of_numbers"].to_dict("records")
    expected = metrics.r2_score(y["sum"][TEST], mixed.predict(X[TEST])[:, 2])
    assert row["r2"] == pytest.approx(expected)
    assert report.tables["scores"]["task"].tolist() == ["click", "buy"]


def test_what_it_holds_is_json_and_says_how_the_model_was_made(report, model):
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text)["tables"].keys() == report.tables.keys()
    assert report.tables.keys() >= {
        *("scores", "calibration", "lift", "thresholds", "tasks_together"),
        *("missing_labels", "importance", "gates", "effects", "slices", "drift"),
        *("training", "parameters", "versions", "times"),
    }
    given = report.tables["parameters"].set_index("parameter")["value"]
    assert given["max_epochs"] == "4"
    assert len(report.tables["training"]) == model.n_iter_
    assert any("gates" in one or "experts" in one for one in report.findings)
    assert "click" in repr(report)


def test_many_rows_are_drawn_and_it_is_said(binary):
    given = X[TEST], BINARY[TEST]
    report = ModelReport(binary, *given, max_rows=100, n_repeats=0)
    assert "100 rows that were drawn at random from 300" in report.notes[0]
    again = ModelReport(binary, *given, max_rows=100, n_repeats=0)
    for name, table in report.tables.items():
        if name != "times":
            pd.testing.assert_frame_equal(table, again.tables[name])


def test_a_column_of_other_rows_keeps_its_kind_in_every_library():
    rows = np.array([2, 0, 1])
    frame = pd.DataFrame({"a": [1, 2, 3], "b": list("xyz")})
    assert with_column_of(frame, 1, rows)["b"].tolist() == ["z", "x", "y"]
    assert frame["b"].tolist() == ["x", "y", "z"]
    array = np.arange(6).reshape(3, 2)
    assert with_column_of(array, 0, rows).tolist() == [[4, 1], [0, 3], [2, 5]]
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    polars = with_column_of(pl.DataFrame(frame.to_dict("list")), 0, rows)
    assert polars["a"].to_list() == [3, 1, 2]
    arrow = with_column_of(pa.Table.from_pandas(frame), 0, rows)
    assert arrow["a"].to_pylist() == [3, 1, 2]


def test_bins_hold_each_row_once_and_their_row_is_in_them():
    from dephn_sk.preprocessing._columns import Column

    rng = np.random.default_rng(0)
    numbers = np.where(rng.random(100) < 0.2, np.nan, rng.normal(size=100))
    bins = binned(Column("x", numbers), 5, 5)
    assert (bins.code >= 0).all()
    assert [bins.code[row] for row in bins.middle] == list(range(len(bins.labels)))
    assert "missing" in bins.labels
    means = [np.nanmean(numbers[bins.code == b]) for b in range(5)]
    assert all(a < b for a, b in pairwise(means))


def test_wrong_labels_are_refused_with_names(binary):
    with pytest.raises(ValueError, match=r"\['buy', 'click'\].*\['click', 'buy'\]"):
        ModelReport(binary, X[TEST], BINARY[TEST][["buy", "click"]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ModelReport(binary, X[TEST], BINARY[FIT][:-1])
    with pytest.raises(ValueError, match="costs names the task 'by'"):
        ModelReport(binary, X[TEST], BINARY[TEST], costs={"by": (1, 2)})
    forest = RandomForestClassifier(3).fit(np.eye(4), [[0, 1], [1, 0], [0, 1], [1, 1]])
    with pytest.raises(ValueError, match="predicts 2 tasks, but y has 3"):
        ModelReport(forest, np.eye(4), np.eye(4, 3))


# ------------------------------------------------------------ several models


def test_a_comparison_has_the_differences_of_the_scores(binary):
    other = TaskCalibrator(binary).fit(X[FIT], BINARY[FIT])
    same = {"one": binary, "same": binary, "calibrated": other}
    found = ModelReport.compare(same, X[TEST], BINARY[TEST], n_bootstrap=30)
    scores = found.tables["scores"].set_index(["task", "metric"])
    alone = ModelReport(binary, X[TEST], BINARY[TEST], n_repeats=0).tables["scores"]
    for _, row in alone.iterrows():
        assert scores.loc[(row["task"], "log_loss"), "one"] == row["log_loss"]
    table = found.tables["differences"]
    assert (table[table["model"] == "same"][["difference", "low", "high"]] == 0).all(
        axis=None
    )
    changed = table[(table["model"] == "calibrated") & (table["metric"] == "log_loss")]
    for _, row in changed.iterrows():
        values = scores.loc[(row["task"], "log_loss")]
        assert row["difference"] == values["calibrated"] - values["one"]
        assert row["low"] <= row["difference"] <= row["high"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_interval_of_a_difference_is_right_as_often_as_it_says():
    covered, n_trials = 0, 40
    for seed in range(n_trials):
        X, y = told(400, seed)
        X["q"] = 0.5 * X["p"] + 0.25

        class Milder(Told):
            def predict_proba(self, X):
                return super().predict_proba(X.assign(p=X["q"]))

        models = {"told": Told().fit(X, y), "milder": Milder().fit(X, y)}
        found = ModelReport.compare(models, X, y, n_bootstrap=100).tables["differences"]
        row = found[found["metric"] == "log_loss"].iloc[0]
        p, q = X["p"], X["q"]
        true = np.mean(-p * np.log(q / p) - (1 - p) * np.log((1 - q) / (1 - p)))
        covered += row["low"] <= true <= row["high"]
    assert covered >= 0.8 * n_trials


def test_a_comparison_needs_models_of_the_same_tasks(model, binary):
    with pytest.raises(ValueError, match="two or more"):
        ModelReport.compare({"one": binary}, X[TEST], BINARY[TEST])
    with pytest.raises(ValueError, match="tasks"):
        ModelReport.compare({"a": binary, "b": model}, X[TEST], BINARY[TEST])


# ------------------------------------------------------------ odd rows


@pytest.fixture(scope="module")
def every_kind():
    """A column of every kind, and a model of it."""
    rng, n = np.random.default_rng(0), 200
    X = pd.DataFrame({"text": rng.choice(list("xyz"), n), "constant": 1.0})
    X["day"] = pd.date_range("2024", periods=n)
    X["zoned"] = X["day"].dt.tz_localize("Europe/Berlin")
    X["flag"] = rng.random(n) < 0.5
    X["span"] = pd.to_timedelta(rng.integers(0, 9, n), unit="h")
    X["list"] = [["p", "q"][: k % 3] for k in range(n)]
    X["whole"] = pd.Series(np.where(rng.random(n) < 0.1, None, 1), dtype="Int64")
    y = pd.DataFrame(
        {"word": rng.choice(["n", "y"], n), "number": rng.integers(0, 2, n)}
    )
    y["number"] = y["number"].astype(float)
    return X, y, DEPHNMultiTaskClassifier(**SMALL).fit(X, y)


@pytest.mark.parametrize("n_rows", [1, 3, 200])
@pytest.mark.parametrize("labels", ["given", "missing", "of one class"])
def test_few_rows_and_odd_labels_of_columns_of_every_kind(every_kind, n_rows, labels):
    X, y, model = every_kind
    if labels != "given":
        y = y.assign(number=np.nan if labels == "missing" else 0.0)
    given = X[:n_rows], y[:n_rows], np.arange(n_rows) + 1.0
    report = ModelReport(model, *given, groups=np.arange(n_rows) % 5, n_repeats=1)
    json.dumps(report.to_dict(), allow_nan=False)
    scores = report.tables["scores"].set_index("task")
    if labels == "missing":
        assert scores.loc["number", "rows"] == 0
        assert any("number has no observed label" in one for one in report.findings)
    if labels == "of one class":
        assert np.isnan(scores.loc["number", "roc_auc"])
        assert any("one class alone" in one for one in report.findings)
    assert "nan" not in report._repr_html_().partition("main")[2].lower()


def test_reference_rows_that_are_none_are_named_as_they_were_given(model):
    with pytest.raises(ValueError, match="X_train holds no rows"):
        ModelReport(model, X[TEST], Y[TEST], X_train=X[:0], n_repeats=1)


def test_experts_are_called_even_only_where_they_are():
    words = [
        _use._in_words("click", ["dnn", "cross", "field"], np.array(shares))
        for shares in ([0.3, 0.33, 0.37], [0.17, 0.34, 0.49])
    ]
    assert words[0] == "click uses all 3 shared experts about equally."
    assert words[1] == "click uses field most (49% of its gates)."
