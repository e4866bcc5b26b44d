"""Columns that tell too much or are not what they seem, and numbers in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.multioutput import MultiOutputClassifier

from dephn_sk.inspection._any_model import raw_columns
from dephn_sk.report import ModelReport
from dephn_sk.report._columns import odd
from dephn_sk.report._findings import findings
from dephn_sk.report._writing import decimals, number, percent

N = 1_500


def make_rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N, 3)), columns=["a", "leak", "order"])
    y = pd.DataFrame({"click": (X["a"] + rng.logistic(size=N) > 0) * 1})
    y["buy"] = (rng.random(N) < 0.1) * 1
    X["leak"] = X["leak"] + 8 * y["click"]  # its own scale, but apart
    # as many values as rows, and there only once it was bought
    X["order"] = np.where(y["buy"] == 1, np.arange(N), np.nan)
    return X, y


class Even(ClassifierMixin, BaseEstimator):
    """Predicts one half, whatever the row is."""

    classes_ = (np.array([0, 1]),) * 2

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict_proba(self, X):
        return [np.full((len(X), 2), 0.5)] * 2


@pytest.fixture(scope="module")
def report():
    X, y = make_rows()
    model = MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=5)).fit(X, y)
    return ModelReport(model, X, y, n_repeats=0)


def test_a_column_that_tells_the_label_is_named(report):
    words = [one for one in report.findings if "alone tells" in one]
    assert len(words) == 2
    assert any("'leak' alone tells click (" in one for one in words)
    assert any("'order' alone tells buy (" in one for one in words)


def test_a_column_of_chance_tells_nothing_alone(report):
    table = report.tables["columns_alone"].set_index(["task", "column"])["alone"]
    X, y = make_rows()
    assert table["click", "a"] == pytest.approx(
        roc_auc_score(y["click"], X["a"]), abs=0.07
    )
    assert abs(table["buy", "a"] - 0.5) < 0.07
    rng = np.random.default_rng(1)
    ids = pd.DataFrame({"id": [f"u{k}" for k in rng.integers(1_000, size=N)]})
    told = ModelReport(Even().fit(X, y), ids, y, n_repeats=0).tables["columns_alone"]
    assert (abs(told["alone"] - 0.5) < 0.1).all()


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        (
            [f"{k % 28 + 1:02d}.{k % 12 + 1:02d}.2024 10:{k % 60}" for k in range(99)],
            "dates",
        ),
        ([f"2024-01-{k % 28 + 1:02d}T10:00:{k % 60:02d}" for k in range(99)], "dates"),
        ([f"{k * 37 + 1000:,}.50 EUR" for k in range(99)], "numbers"),
        ([f"{k},50 €" for k in range(99)], "numbers"),
        ([f"{k}.5%" for k in range(99)], "numbers"),
        ([f"${k}.25" for k in range(99)], "numbers"),
        ([f"word {k}" for k in range(99)], "a value of its own"),
        (["a"] * 99, "one value"),
        ([None] * 99, "nothing"),
        ([f"{10_000_000 + k % 50}" for k in range(99)], None),  # may be codes
        ([f"v1.{k % 20}" for k in range(99)], None),
        (list("abc") * 33, None),
        (["a", None, "a"] * 33, None),
        ([k % 3 for k in range(99)], None),
    ],
)
def test_columns_that_are_not_what_they_seem(values, holds):
    found = list(odd(raw_columns(pd.DataFrame({" x ": values}))))
    if holds is None:
        assert not found
        return
    (row,) = found
    assert row["column"] == " x "
    assert row["holds"].startswith(holds)
    if holds in ("dates", "numbers"):
        (said,) = findings({"odd_columns": found})
        assert "' x '" in said
        assert repr(values[0]) in said


def test_a_class_that_is_a_missing_label_is_named():
    X, y = make_rows()
    texts = np.where(y["click"] == 1, "yes", np.where(X["a"] > 0, "no", ""))
    model = HistGradientBoostingClassifier(max_iter=1).fit(X, texts)
    report = ModelReport(model, X, pd.Series(texts, name="click"), n_repeats=0)
    assert any("'click' has the class ''" in one for one in report.findings)


def test_labels_that_are_there_only_where_another_task_happened_are_told():
    X, y = make_rows()
    y["buy"] = y["buy"].where(y["click"] == 1)

    told = ModelReport(Even().fit(X, y), X, y, n_repeats=0)
    missing = told.tables["missing_labels"].set_index("task")
    assert missing.loc["buy", "observed_only_where"] == "click"
    assert missing.loc["click"].isna()["observed_only_where"]
    assert any("conditions={'buy': 'click'}" in one for one in told.findings)
    y["buy"] = y["buy"].where(np.arange(N) % 2 == 0)  # of these, half are missing
    y["click"] = 1 - y["click"]
    told = ModelReport(Even().fit(X, y), X, y, n_repeats=0)
    assert "observed_only_where" not in told.tables["missing_labels"]


# ------------------------------------------------------------ numbers in words


NEAR = [0, 1e-12, 1e-7, 4e-5, 4.9e-4, 0.3, 0.9994, 0.99996, 1 - 1e-9, 1]


@pytest.mark.parametrize("write", [percent, number, decimals])
def test_only_what_is_0_or_1_looks_like_it(write):
    for value in NEAR:
        for sign in (1, -1):
            text = write(sign * value)
            plain = text.strip("<>-%").rstrip("0").rstrip(".") or "0"
            whole = plain in ("0", "1", "100", "10") and text[0] not in "<>"
            assert whole == (value in (0, 1)), (write, value, text)
            assert "e" not in text
    assert write(-0.0)[0] != "-"
    assert write(float("nan")) == "\N{EN DASH}"
    assert len({write(value) for value in NEAR}) >= 6


def test_few_positives_and_small_shares_are_said():
    row = {"task": "buy", "rows": 9_000, "positives": 20, "log_loss": 0.01586}
    row |= {"base_log_loss": 0.01587, "gain_over_base": 0.0003, "roc_auc": 0.99996}
    (said,) = findings({"scores": [row]})
    assert "ROC AUC >0.999; log loss 0.03% below" in said
    assert "20 are positive" in said
    funnel = {"task": "buy", "condition": "click", "labels_against_it": 0}
    funnel |= {"predictions_against_it": 1, "share_of_predictions": 1e-6}
    (said,) = findings({"funnel": [funnel | {"known_to_model": False}]})
    assert "in <0.001% of the rows" in said


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"n_repeats": -1}, ValueError, "n_repeats=-1"),
        ({"max_rows": 0}, ValueError, "max_rows=0"),
        ({"max_rows": None}, ValueError, "max_rows=None"),
        ({"groups": "a"}, ValueError, r"groups is 'a'.*X\['a'\]"),
        ({"costs": [1, 2]}, TypeError, r"costs is \[1, 2\]; give a dict by task"),
        ({"X_test": "rows.csv"}, TypeError, "X_test is the path 'rows.csv'"),
        ({"X_train": "rows.csv"}, TypeError, "X_train is the path 'rows.csv'"),
        ({"X_train": make_rows()[0][:0]}, ValueError, "X_train holds no rows"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given, error, match):
    X, y = make_rows()
    model = MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=1)).fit(X, y)
    call = {"X_test": X, "y_test": y, "n_repeats": 0, **given}
    with pytest.raises(error, match=match):
        ModelReport(model, **call)


def test_a_file_that_cannot_be_written_is_named(report, tmp_path):
    for path in (tmp_path, tmp_path / "none" / "report.html"):
        with pytest.raises(FileNotFoundError, match=r"must be a file in a folder"):
            report.save(path)
