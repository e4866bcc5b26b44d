"""A report of several classes and of numbers, with weights and groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from _logs import SMALL
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin

from dephn_sk import DEPHNMultiTaskEstimator
from dephn_sk.inspection import permutation_importance
from dephn_sk.report import ModelReport
from dephn_sk.report._importance import auc, r2
from dephn_sk.report._slices import slices

N = 900
FIT, TEST = slice(0, 500), slice(500, N)


def make_rows():
    rng = np.random.default_rng(0)
    city, age = rng.integers(4, size=N), rng.normal(size=N)
    X = pd.DataFrame({"city": np.array(list("abcd"))[city], "age": age})
    score = city - 1.5 + age + rng.logistic(size=N)
    y = pd.DataFrame({"click": (score > 0) * 1.0})
    y["kind"] = np.digitize(score, [-1, 1]) * 1.0
    y["euros"] = np.exp(score / 3) * (rng.random(N) < 0.8)
    y["kind"] = y["kind"].where(rng.random(N) > 0.2)
    return X, y


X, Y = make_rows()
WEIGHT = np.random.default_rng(1).integers(0, 4, N).astype(float)


@pytest.fixture(scope="module")
def model():
    kinds = {"click": "binary", "kind": "multi-class", "euros": "squared"}
    options = {**SMALL, "learning_rate": 0.05, "max_epochs": 4}
    return DEPHNMultiTaskEstimator(tasks=kinds, **options).fit(X[FIT], Y[FIT])


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "weighted"])
def weight(request):
    return WEIGHT[TEST] if request.param else None


@pytest.fixture(scope="module")
def report(model, weight):
    return ModelReport(model, X[TEST], Y[TEST], weight, n_repeats=2)


def of_task(report, table, name):
    found = report.tables[table]
    return found[found["task"] == name]


def test_importance_of_every_kind_of_task_is_that_of_inspection(model, report, weight):
    given = {"n_repeats": 2, "sample_weight": weight}
    for scoring, names in (("roc_auc", ["click", "kind"]), ("r2", ["euros"])):
        rng = np.random.RandomState(0)
        found = permutation_importance(
            model, X[TEST], Y[TEST], scoring=scoring, random_state=rng, **given
        )
        assert list(found) == names
        for name in names:
            table = of_task(report, "importance", name).set_index("column")
            means = dict(
                zip(
                    found[name].feature_names, found[name].importances_mean, strict=True
                )
            )
            assert table["importance"].to_dict() == pytest.approx(means)
            assert set(table["metric"]) == {scoring}
            strong = table.loc["city"]
            assert strong["low"] < strong["importance"] < strong["high"]


def test_effects_and_observed_means_are_those_of_the_rows(model, report, weight):
    w = np.ones(N - 500) if weight is None else weight
    city = (X["city"][TEST] == "a").to_numpy()
    proba = model.predict_proba(X[TEST])["kind"]
    set_to = X[TEST].assign(city="a")
    for one in range(3):
        found = of_task(report, "effects", "kind").query("column == 'city'")
        row = found[(found["value"] == "a") & (found["class"] == f"{one}.0")].iloc[0]
        by_hand = np.average(model.predict_proba(set_to)["kind"][:, one], weights=w)
        assert row["effect"] == pytest.approx(by_hand, abs=1e-6)
        inside = city & Y["kind"][TEST].notna().to_numpy() & (w > 0)
        assert row["rows"] == inside.sum()
        rate = np.average(Y["kind"][TEST][inside] == one, weights=w[inside])
        assert row["observed"] == pytest.approx(rate)
        mean = np.average(proba[inside, one], weights=w[inside])
        assert row["mean_prediction"] == pytest.approx(mean)
        assert 0 <= row["low"] <= rate <= row["high"] <= 1
    found = of_task(report, "effects", "euros").query("column == 'city'")
    row = found[found["value"] == "a"].iloc[0]
    euros = Y["euros"][TEST].to_numpy()
    mean = np.average(euros[city], weights=w[city])
    assert row["observed"] == pytest.approx(mean)
    by_hand = np.average(model.predict(set_to)[:, 2].astype(float), weights=w)
    assert row["effect"] == pytest.approx(by_hand, rel=1e-5)
    if weight is None:
        half = 1.959964 * euros[city].std(ddof=1) / np.sqrt(city.sum())
        assert row["high"] - mean == pytest.approx(half, rel=1e-5)


def test_tables_beside_the_scores_use_weights(model, report, weight):
    w = np.ones(N - 500) if weight is None else weight
    p, labels = model.predict_proba(X[TEST])["click"][:, 1], Y["click"][TEST]
    for row in of_task(report, "thresholds", "click").to_dict("records"):
        if row["what"].startswith("top"):
            share = float(row["what"][4:-1]) / 100
            assert row["share_acted"] >= share - 1e-12
            more = p > row["threshold"]  # without the last rows it is less
            assert np.average(more, weights=w) < share
            recall = metrics.recall_score(
                labels, p >= row["threshold"], sample_weight=w
            )
            assert row["recall"] == pytest.approx(recall)
    missing = of_task(report, "missing_labels", "euros").iloc[0]
    mean = np.average(model.predict(X[TEST])[:, 2].astype(float), weights=w)
    assert missing["mean_prediction_observed"] == pytest.approx(mean, rel=1e-6)


def test_a_page_shows_numbers_in_their_units(report):
    text = report._repr_html_()
    mean = report.tables["scores_of_numbers"]["mean_prediction"].item()
    assert f"&gt;{mean:.4g}&lt;" in text
    assert "kind=2.0" in text
    assert "euros: R²" in " ".join(report.findings)


# ------------------------------------------------------------ intervals


def test_what_rows_move_has_the_spread_of_the_score_over_other_rows():
    rng = np.random.default_rng(0)
    of_auc, of_r2 = [], []
    for _ in range(400):
        y = rng.random(150) < 0.3
        p, weight = y + rng.normal(size=150), rng.uniform(0.5, 2, 150)
        of_auc.append(auc(y, p, weight))
        of_r2.append(r2(p, y * 1.0, weight))
        assert of_auc[-1].value == pytest.approx(
            metrics.roc_auc_score(y, p, sample_weight=weight)
        )
        assert of_r2[-1].value == pytest.approx(
            metrics.r2_score(p, y * 1.0, sample_weight=weight)
        )
    for scores in (of_auc, of_r2):
        told = np.mean([(one.moves**2).sum() for one in scores])
        assert told == pytest.approx(np.var([one.value for one in scores]), rel=0.2)


class Mixed(ClassifierMixin, BaseEstimator):
    """Log-odds of two columns, of which the truth has one."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-X["true"] - 0.5 * X["noise"]))
        return np.column_stack([1 - p, p])


def drawn(n, seed, copies=1):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["true", "noise"])
    y = (rng.random(n) < 1 / (1 + np.exp(-X["true"]))) * 1
    X, y = (one.loc[np.repeat(np.arange(n), copies)] for one in (X, y))
    return X.reset_index(drop=True), y.rename("click").reset_index(drop=True)


def test_an_interval_of_importance_holds_that_of_many_rows_as_often_as_it_says():
    model = Mixed().fit(None, None)
    table = ModelReport(model, *drawn(100_000, 0)).tables["importance"]
    true = table.set_index("column")["importance"]
    covered = []
    for seed in range(1, 41):
        found = ModelReport(model, *drawn(300, seed), n_repeats=3).tables["importance"]
        found = found.set_index("column")
        covered += list((found["low"] <= true) & (true <= found["high"]))
    assert 0.87 <= np.mean(covered) <= 1


def test_with_groups_copies_of_a_row_tell_nothing_more():
    model = Mixed().fit(None, None)
    widths = []
    for copies in (1, 9):
        X, y = drawn(300, 0, copies)
        groups = np.repeat(np.arange(300), copies)
        # the same shuffles of whole groups would be needed for equality
        found = ModelReport(model, X, y, groups=groups, n_repeats=5)
        table = found.tables["importance"].set_index("column")
        widths.append((table["high"] - table["low"])["true"])
    assert widths[1] > 0.6 * widths[0]  # of rows by themselves a third


# ------------------------------------------------------------ slices


def rows_of_numbers(seed, wrong=False):
    rng = np.random.default_rng(seed)
    n = 2_000 + 4_000 * wrong
    X = pd.DataFrame({c: rng.choice(list("pqrs"), n) for c in ("a", "b", "c")})
    mean = np.exp(0.3 * (X["a"] == "p") + 0.5)
    true = mean * np.where(wrong & (X["b"] == "q"), 2.0, 1.0) * 1.3  # wrong everywhere
    y = rng.exponential(true) * (rng.random(n) < 0.5) * 2
    return X, y, mean


def number_slices(X, y, mean):
    from dephn_sk.inspection._any_model import Predicted
    from dephn_sk.report._rows import Rows
    from dephn_sk.tasks import read_columns

    predicted = [Predicted("euros", (), np.asarray(mean, float)[:, None])]
    frame = read_columns(pd.DataFrame({"euros": y}))
    return slices(Rows(X, frame, None, None, predicted, len(X)), list(X))[0]


def test_slices_of_amounts_that_are_wrong_are_found_and_right_ones_are_not():
    alarms = sum(
        any(row["wrong"] for row in number_slices(*rows_of_numbers(seed)))
        for seed in range(30)
    )
    assert alarms <= 3
    X, y, mean = rows_of_numbers(0, wrong=True)
    first = number_slices(X, y, mean)[0]
    assert first["wrong"]
    assert "b: q" in first["slice"]
    inside = (X["b"] == "q").to_numpy()
    (row,) = [r for r in number_slices(X, y, mean) if r["slice"] == "b: q"]
    assert row["observed"] == pytest.approx(y[inside].mean())
    assert row["mean_prediction"] == pytest.approx(mean[inside].mean())


def test_slices_of_a_class_of_several_are_those_of_its_rate(report, weight):
    table = of_task(report, "slices", "kind")
    seen = Y["kind"][TEST].notna().to_numpy()
    w = np.ones(N - 500) if weight is None else weight
    singles = table[(table["n_columns"] == 1) & table["slice"].str.startswith("city")]
    assert len(singles)
    for row in singles.to_dict("records"):
        inside = seen & (X["city"][TEST] == row["slice"][-1]).to_numpy()
        hit = Y["kind"][TEST][inside] == float(row["class"])
        assert row["observed"] == pytest.approx(np.average(hit, weights=w[inside]))
