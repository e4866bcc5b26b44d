import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.inspection import TrainingCurveDisplay


def _with_label(panel, label):
    (line,) = [line for line in panel.get_lines() if line.get_label() == label]
    return line


def test_curves_are_the_history_of_the_fit(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted)
    history = fitted.net_.history
    for task, panel in enumerate(display.axes_):
        for label, key in [("train", "train"), ("validation", "valid")]:
            x, y = _with_label(panel, label).get_data()
            assert_array_equal(x, np.arange(len(history)) + 1)
            assert_array_equal(y, [e[f"{key}_task_loss"][task] for e in history])
    assert [p.get_title("left") for p in display.axes_] == ["click", "buy"]
    assert display.axes_[-1].get_xlabel() == "epoch"


def test_score_is_that_of_the_validation_rows(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted, metric="score")
    scores = np.array(fitted.net_.history[:, "valid_task_score"])
    drawn = [line.get_ydata() for line in display.lines_[:, 0]]
    assert_array_equal(np.transpose(drawn), scores)


def test_dotted_line_marks_the_epoch_that_was_kept(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted)
    best = np.argmin(fitted.net_.history[:, "valid_monitor"]) + 1
    assert display.best_epoch == best
    for panel in display.axes_:
        assert_array_equal(_with_label(panel, "kept").get_xdata(), [best, best])


def test_second_estimator_draws_into_the_panels_of_the_first(
    fitted, mapped, assert_readable
):
    first = TrainingCurveDisplay.from_estimator(fitted, name="trainable")
    second = TrainingCurveDisplay.from_estimator(
        make_pipeline("passthrough", mapped), name="mapped", ax=first.axes_
    )
    assert second.figure_ is first.figure_
    assert list(second.axes_) == list(first.axes_)
    assert first.lines_[0, 0].get_color() != second.lines_[0, 0].get_color()
    (legend,) = first.figure_.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "trainable, train",
        "trainable, validation",
        "kept",
        "mapped, train",
    ]
    assert_readable(first.figure_)


def test_training_and_validation_of_a_task_share_a_color(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted)
    train, valid = display.lines_[0]
    assert train.get_color() == valid.get_color()
    assert train.get_linestyle() != valid.get_linestyle()


def test_one_given_axes_is_divided():
    figure, ax = plt.subplots()
    display = TrainingCurveDisplay([[1.0, 2.0]], task_names=["a", "b"]).plot(ax)
    assert display.figure_ is figure
    assert len(display.axes_) == 2


def test_as_many_axes_as_tasks_are_asked_for():
    axes = plt.subplots(3)[1]
    with pytest.raises(ValueError, match=r"one Axes or 2 of them, got 3"):
        TrainingCurveDisplay([[1.0, 2.0]], task_names=["a", "b"]).plot(axes)


def test_single_epoch_can_be_seen():
    display = TrainingCurveDisplay([[1.0]], task_names=["a"]).plot()
    assert display.lines_[0, 0].get_marker() == "o"


def test_missing_score_says_how_to_get_one(mapped):
    with pytest.raises(ValueError, match="early_stopping=True"):
        TrainingCurveDisplay.from_estimator(mapped, metric="score")


def test_unknown_metric_is_named(fitted):
    with pytest.raises(ValueError, match=r"'metric'.*'accuracy'"):
        TrainingCurveDisplay.from_estimator(fitted, metric="accuracy")


def test_other_estimators_are_refused(table):
    from sklearn.dummy import DummyClassifier

    with pytest.raises(TypeError, match="DummyClassifier"):
        TrainingCurveDisplay.from_estimator(DummyClassifier().fit([[0], [1]], [0, 1]))


def test_estimator_that_is_not_fitted_says_so():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(DEPHNMultiTaskClassifier())


def test_missing_matplotlib_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"dephn-sk\[plot\]"):
        TrainingCurveDisplay([[1.0]], task_names=["a"]).plot()
