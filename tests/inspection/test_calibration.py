import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.dummy import DummyClassifier

from dephn_sk.calibration import TaskCalibrator
from dephn_sk.inspection import CalibrationDisplay
from dephn_sk.metrics import task_calibration_error


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    prob = rng.random((400, 2)).round(2)
    y = (rng.random((400, 2)) < prob**2).astype(float)
    y[rng.random((400, 2)) < 0.2] = np.nan
    return y, prob


def test_bins_hold_equally_many_neighbors():
    prob = np.arange(20) / 20
    y = (np.arange(20) % 3 == 0).astype(int)
    display = CalibrationDisplay.from_predictions(y, prob, n_bins=4)
    for b in range(4):
        rows = range(5 * b, 5 * b + 5)
        assert display.prob_pred[0][b] == pytest.approx(
            np.mean([prob[r] for r in rows])
        )
        assert display.prob_true[0][b] == pytest.approx(np.mean([y[r] for r in rows]))


def test_gaps_make_the_calibration_error(predictions):
    """With equally filled bins the error is the plain mean of the gaps."""
    rng = np.random.default_rng(0)
    prob = rng.permutation(np.arange(400) / 400)
    y = (rng.random(400) < prob**2).astype(int)
    display = CalibrationDisplay.from_predictions(y, prob, n_bins=10)
    gap = np.mean(np.abs(display.prob_true[0] - display.prob_pred[0]))
    assert gap == pytest.approx(task_calibration_error(y, prob, n_bins=10)[0])


def test_missing_labels_do_not_count(predictions):
    y, prob = predictions
    both = CalibrationDisplay.from_predictions(y, prob)
    for task in range(2):
        known = ~np.isnan(y[:, task])
        alone = CalibrationDisplay.from_predictions(y[known, task], prob[known, task])
        assert_allclose(both.prob_true[task], alone.prob_true[0])
        assert_allclose(both.prob_pred[task], alone.prob_pred[0])


def test_weights_are_repeated_rows(predictions):
    y, prob = predictions
    weight = np.random.default_rng(0).integers(3, size=400)
    weighted = CalibrationDisplay.from_predictions(y, prob, sample_weight=weight)
    repeated = CalibrationDisplay.from_predictions(
        y.repeat(weight, axis=0), prob.repeat(weight, axis=0)
    )
    for task in range(2):
        assert_allclose(weighted.prob_true[task], repeated.prob_true[task])
        assert_allclose(weighted.prob_pred[task], repeated.prob_pred[task])


def test_estimator_is_drawn_at_its_probabilities(fitted, table, assert_readable):
    X, y = table
    display = CalibrationDisplay.from_estimator(fitted, X, y, n_bins=3, name="DEPHN")
    expected = CalibrationDisplay.from_predictions(y, fitted.predict_proba(X), n_bins=3)
    for task in range(2):
        drawn = display.lines_[task].get_xydata()
        assert_allclose(drawn[:, 0], expected.prob_pred[task])
        assert_allclose(drawn[:, 1], expected.prob_true[task])
    assert [p.get_title("left") for p in display.axes_] == ["click", "buy"]
    assert_readable(display.figure_)


def test_multi_class_task_is_drawn_by_its_most_probable_class(mixed, table):
    X = table[0]
    y = pd.DataFrame({"click": table[1]["click"], "city": X["city"]})
    display = CalibrationDisplay.from_estimator(mixed, X, y, n_bins=1)
    prob = mixed.predict_proba(X)[1]
    right = mixed.classes_[1][prob.argmax(axis=1)] == X["city"].to_numpy()
    assert display.prob_pred[1] == pytest.approx([prob.max(axis=1).mean()])
    assert display.prob_true[1] == pytest.approx([right.mean()])


def test_one_task_has_one_panel(small):
    from dephn_sk import DEPHNMultiTaskClassifier

    X = np.random.default_rng(0).normal(size=(100, 2))
    y = np.where(X[:, 0] > 0, "yes", "no")
    model = DEPHNMultiTaskClassifier(**small).fit(X, y)
    assert len(CalibrationDisplay.from_estimator(model, X, y).axes_) == 1


def test_a_calibrator_is_drawn_by_its_own_probabilities(fitted, table):
    X, y = table
    calibrator = TaskCalibrator(fitted, method="sigmoid").fit(X, y)
    drawn = CalibrationDisplay.from_estimator(calibrator, X, y)
    given = CalibrationDisplay.from_predictions(
        y, calibrator.predict_proba(X), task_names=["click", "buy"]
    )
    assert drawn.task_names == ("click", "buy")
    for one, other in zip(drawn.prob_pred, given.prob_pred, strict=True):
        assert_allclose(one, other)


def test_what_knows_no_tasks_is_refused(table):
    X, y = table
    model = DummyClassifier().fit(X[["age"]], y["click"])
    with pytest.raises(TypeError, match=r"TaskCalibrator.*got DummyClassifier"):
        CalibrationDisplay.from_estimator(model, X, y)
