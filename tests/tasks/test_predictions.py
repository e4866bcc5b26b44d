"""What a classifier of several tasks predicts and scores, whatever made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from dephn_sk.calibration import TaskCalibrator
from dephn_sk.metrics import mean_task_score, task_scorer
from dephn_sk.tasks import TaskPredictions, Tasks, fitted_tasks


class Echo(TaskPredictions, BaseEstimator):
    """Reads its logits off X."""

    def fit(self, X, y):
        self.tasks_ = Tasks.learn(y)
        return self

    def _predicted(self, X):
        return self.tasks_, self.tasks_.predict(
            np.asarray(X)[:, : sum(self.tasks_.n_outputs)]
        )


RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 5))
Y = pd.DataFrame(
    {
        "click": (X[:, 0] + RNG.normal(size=90) > 0) * 1.0,
        "buy": (X[:, 1] + RNG.normal(size=90) > 0) * 1.0,
        "kind": RNG.choice(list("abc"), 90),
    }
)
Y.loc[::7, "buy"] = np.nan
BINARY = Y[["click", "buy"]]


@pytest.mark.parametrize("weighted", [None, "row", "row and task", "named"])
@pytest.mark.parametrize("y", [BINARY, Y], ids=len)
def test_the_score_is_the_mean_of_the_metric_of_each_task(y, weighted):
    model = Echo().fit(X, y)
    weight = {
        None: None,
        "row": RNG.random(90),
        "row and task": RNG.random(y.shape),
        "named": pd.DataFrame(RNG.random(y.shape), columns=y.columns[::-1]),
    }[weighted]
    kwargs = {"classes": model.classes_, "sample_weight": weight}
    expected = mean_task_score(y, model.predict_proba(X), **kwargs)
    assert_allclose(model.score(X, y, weight), expected)
    assert_allclose(task_scorer("score")(model, X, y, sample_weight=weight), expected)
    if weight is not None:
        assert model.score(X, y, weight) != model.score(X, y)


def test_the_score_of_each_task_is_scikit_learns():
    model = Echo().fit(X, BINARY)
    known = BINARY["buy"].notna().to_numpy()
    expected = [
        roc_auc_score(BINARY["click"], X[:, 0]),
        roc_auc_score(BINARY["buy"][known], X[known, 1]),
    ]
    assert_allclose(model.score(X, BINARY), np.mean(expected))


@pytest.mark.parametrize("weight", [None, RNG.random(90)], ids=["plain", "weighted"])
def test_a_y_of_one_dimension_is_scored_by_its_accuracy(weight):
    for y in (Y["click"], Y["kind"]):
        model = Echo().fit(X, y)
        expected = accuracy_score(y, model.predict(X), sample_weight=weight)
        assert_allclose(model.score(X, y, weight), expected)
    new = Y["kind"].where(Y["kind"] != "a", "z")
    assert model.score(X, new) == accuracy_score(new, model.predict(X))


def test_an_undefined_score_is_named_as_the_user_names_the_task():
    model = Echo().fit(X, BINARY)
    for buy in (0.0, np.nan):
        with pytest.warns(UndefinedMetricWarning, match="'buy'"):
            score = model.score(X, BINARY.assign(buy=buy))
        assert_allclose(score, roc_auc_score(BINARY["click"], X[:, 0]))


def test_rows_must_be_as_many_as_labels():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Echo().fit(X, BINARY).score(X[:-1], BINARY)


def test_predicted_labels_are_the_most_probable_ones():
    model = Echo().fit(X, Y)
    probabilities = model.predict_proba(X)
    predicted = model.predict(X)
    for t, classes in enumerate(model.classes_):
        assert_array_equal(predicted[:, t], classes[probabilities[t].argmax(axis=1)])


class Wrapped(MetaEstimatorMixin, BaseEstimator):
    """A meta-estimator as scikit-learn's own."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.estimator_ = self.estimator.fit(X, y)
        return self


def test_tasks_are_found_within_what_is_around_the_classifier():
    scoring, folds = task_scorer("score"), KFold(2)
    for around in (
        Echo(),
        make_pipeline(FunctionTransformer(), Echo()),
        GridSearchCV(Echo(), {}, scoring=scoring, cv=folds),
        make_pipeline(GridSearchCV(Echo(), {}, scoring=scoring, cv=folds)),
        GridSearchCV(make_pipeline(Echo()), {}, scoring=scoring, cv=folds),
        Wrapped(Echo()),
    ):
        fitted = around.fit(X, BINARY)
        assert fitted_tasks(fitted).names == ("click", "buy")
        assert fitted_tasks(FrozenEstimator(fitted)).names == ("click", "buy")
    calibrated = TaskCalibrator(Echo().fit(X, BINARY)).fit(X, BINARY)
    assert fitted_tasks(calibrated).names == ("click", "buy")


def test_what_has_no_tasks_is_named():
    with pytest.raises(TypeError, match="found FunctionTransformer"):
        fitted_tasks(make_pipeline(FunctionTransformer().fit(X)))
