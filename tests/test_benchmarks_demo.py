"""The demonstration shows how far the best possible is, and boosting as it is used."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")


@pytest.fixture
def demo(script):
    return script("demo")


def test_nothing_is_better_than_the_truth(demo):
    (X, y, X_test, y_test), truth, _ = demo.load(None)
    boosted = demo.fit_boosting(X[:6000], y[:6000], X_test)
    rates = np.tile(y.mean().to_numpy(), (len(y_test), 1))
    predicted = {"boosting": boosted, "base rate": rates, "truth": truth}
    table = demo.scores(y_test, predicted)
    assert table[("", "rows")].tolist() == y_test.notna().sum().tolist()
    for task in table.index:
        losses = table.loc[task, "log loss"]
        assert losses["truth"] < min(losses["boosting"], losses["base rate"])
        assert table.loc[task, ("AUC", "truth")] > table.loc[task, ("AUC", "boosting")]
    assert ("AUC", "truth") not in demo.scores(y_test, predicted | {"truth": None})


def test_the_report_is_of_a_sample_of_the_test_rows_and_says_so(demo, tmp_path):
    (X, y, X_test, y_test), _, _ = demo.load(None)
    model = demo.DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    report = demo.make_report(model.fit(X[:2000], y[:2000]), X_test, y_test)
    assert f"{demo.REPORT_ROWS:,} rows" in report.notes[0]
    assert f"{len(X_test):,}" in report.notes[0]
    clicks = report.tables["scores"].set_index("task").loc["click"]
    assert clicks["rows"] == demo.REPORT_ROWS
    assert {"importance", "slices", "drift"} <= report.tables.keys()
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 3 * 2**20
