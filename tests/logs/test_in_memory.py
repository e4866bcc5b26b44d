"""A log where all rows are needed at once: an error that says what to do."""

from __future__ import annotations

import pytest
from _logs import SMALL

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.datasets import make_behavior_log
from dephn_sk.inspection import drift_table, permutation_importance
from dephn_sk.logs import Log
from dephn_sk.metrics import task_scorer
from dephn_sk.model_selection import cross_val_predict, tune_thresholds
from dephn_sk.report import ModelReport

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
X, Y = make_behavior_log(300, return_X_y=True, random_state=0)
X = X[["age", "city"]]
TASKS = list(Y)


@pytest.fixture(scope="module")
def model():
    return DEPHNMultiTaskClassifier(**SMALL).fit(X, Y)


@pytest.fixture(scope="module")
def log():
    import pyarrow.dataset as ds

    table = pa.Table.from_pandas(pd.concat([X, Y], axis=1))
    return Log(ds.dataset(table), columns=list(X))


def searched(model, log):
    from sklearn.model_selection import GridSearchCV

    given = {"scoring": task_scorer("roc_auc", task="click"), "cv": 2}
    return GridSearchCV(model, {"learning_rate": [0.1]}, **given).fit(log, TASKS)


CALLS = {
    "ModelReport": lambda model, log: ModelReport(model, log, TASKS),
    "labels of ModelReport": lambda model, log: ModelReport(model, X, log),
    "training rows": lambda model, log: ModelReport(
        model, X, Y, X_train=log, n_repeats=0
    ),
    "compare": lambda model, log: ModelReport.compare(
        {"a": model, "b": model}, log, TASKS
    ),
    "TaskCalibrator": lambda model, log: TaskCalibrator(model).fit(log, TASKS),
    "tune_thresholds": lambda model, log: tune_thresholds(model, log, TASKS),
    "tuned by folds": lambda model, log: tune_thresholds(model, log, TASKS, cv=2),
    "cross_val_predict": lambda model, log: cross_val_predict(model, log, TASKS),
    "drift_table": drift_table,
    "reference rows": lambda model, log: drift_table(model, X, log),
    "importance": lambda model, log: permutation_importance(model, log, TASKS),
    "scorer": lambda model, log: task_scorer("roc_auc", task="click")(
        model, log, TASKS
    ),
    "GridSearchCV": searched,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_log_is_refused_by_name_with_what_to_do(model, log, name):
    with pytest.raises(TypeError, match=r"is a Log.*not in memory.*to_pandas"):
        CALLS[name](model, log)


def test_what_the_error_says_works(model, log):
    frame = log.table(log.names).to_pandas()
    report = ModelReport(model, frame[log.columns], frame[TASKS], n_repeats=0)
    assert report.tables["scores"]["task"].tolist() == TASKS
