import numpy as np
import pytest
from numpy.testing import assert_allclose

from dephn_sk.inspection import ConfidenceDisplay


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(103, 2))
    true[rng.random((103, 2)) < 0.1] = np.nan
    return true, rng.random((103, 2))


def test_curve_is_the_mean_of_neighbors_in_the_true_order(predictions):
    true, probability = predictions
    display = ConfidenceDisplay.from_predictions(true, probability, n_bins=7)
    for task in range(2):
        rows = [row for row in range(103) if not np.isnan(true[row, task])]
        rows.sort(key=lambda row: true[row, task])
        n_rows, done = len(rows), 0
        x, y = display.lines_[task].get_data()
        assert len(x) == 7
        for b in range(7):
            size = n_rows // 7 + (b < n_rows % 7)
            members = rows[done : done + size]
            done += size
            assert x[b] == pytest.approx(np.mean([true[r, task] for r in members]))
            assert y[b] == pytest.approx(
                np.mean([probability[r, task] for r in members])
            )
    assert display.task_names == ["task0", "task1"]


def test_band_holds_four_fifths_of_a_bin(predictions):
    true, probability = predictions
    display = ConfidenceDisplay.from_predictions(true, probability, n_bins=1)
    known = probability[~np.isnan(true[:, 0]), 0]
    outline = display.bands_[0].get_paths()[0].vertices[:, 1]
    assert outline.min() == pytest.approx(np.quantile(known, 0.1))
    assert outline.max() == pytest.approx(np.quantile(known, 0.9))


def test_fewer_rows_than_bins_have_a_bin_each():
    display = ConfidenceDisplay.from_predictions([0.0, 1.0, np.nan], [0.2, 0.3, 0.4])
    assert_allclose(display.lines_[0].get_xydata(), [[0, 0.2], [1, 0.3]])


def test_two_estimators_share_their_panels(fitted, mapped, table, assert_readable):
    X = table[0]
    true = np.random.default_rng(0).random((300, 2))
    first = ConfidenceDisplay.from_estimator(fitted, X, true, name="trainable")
    assert_allclose(first.probability, fitted.predict_proba(X))
    second = ConfidenceDisplay.from_estimator(
        mapped, X, true, name="mapped", ax=first.axes_
    )
    assert second.lines_[0].get_color() != first.lines_[0].get_color()
    (legend,) = first.figure_.legends
    assert [t.get_text() for t in legend.get_texts()] == ["trainable", "mapped"]
    assert_readable(first.figure_)


def test_one_task_is_its_second_class(small):
    from dephn_sk import DEPHNMultiTaskClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    model = DEPHNMultiTaskClassifier(**small).fit(X, X[:, 0] > 0)
    display = ConfidenceDisplay.from_estimator(model, X, X[:, 0])
    assert_allclose(display.probability[:, 0], model.predict_proba(X)[:, 1])


def test_columns_must_match():
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4, 2\)"):
        ConfidenceDisplay.from_predictions(np.ones(4), np.ones((4, 2)))


def test_multi_class_tasks_are_refused(mixed, table):
    with pytest.raises(ValueError, match="binary tasks"):
        ConfidenceDisplay.from_estimator(mixed, table[0], np.ones((300, 2)))
