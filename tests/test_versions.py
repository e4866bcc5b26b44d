"""A pickle that another version of the library wrote says so."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
from _logs import SMALL, make_log
from numpy.testing import assert_array_equal
from sklearn.base import clone

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, TaskView
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.preprocessing import FieldEncoder

X, Y = make_log()


@pytest.fixture(scope="module")
def fitted():
    return DEPHNMultiTaskClassifier(**SMALL).fit(X, Y)


KINDS = {
    "DEPHNMultiTaskClassifier": lambda fitted: fitted,
    "FieldEncoder": lambda fitted: FieldEncoder().fit(X),
    "TaskCalibrator": lambda fitted: TaskCalibrator(fitted).fit(X, Y),
    "TaskView": lambda fitted: TaskView(fitted, "buy"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_version_is_named_with_this_one(kind, fitted, monkeypatch):
    estimator = KINDS[kind](fitted)
    monkeypatch.setattr(dephn_sk, "__version__", "0.0.7")
    kept = pickle.dumps(estimator)
    monkeypatch.setattr(dephn_sk, "__version__", "9.9")
    with pytest.warns(UserWarning) as warned:  # and of all that is within
        read = pickle.loads(kept)
    said = f"This {kind} was pickled by dephn_sk 0.0.7 and is read by 9.9"
    assert [w for w in warned if str(w.message).startswith(said)]
    assert vars(read).keys() == vars(estimator).keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "copied", [clone, copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_the_same_version_says_nothing_and_leaves_nothing(kind, copied, fitted):
    estimator = KINDS[kind](fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = copied(estimator)
    if copied is not clone:
        assert vars(other).keys() == vars(estimator).keys()
    assert not [name for name in vars(other) if "version" in name]


def test_scikit_learns_own_mechanism_goes_on(fitted):
    assert "_sklearn_version" not in fitted.__getstate__()
    assert fitted.__getstate__()["_dephn_sk_version"] == dephn_sk.__version__
    _, (_, state) = fitted.__reduce__()
    assert state["_dephn_sk_version"] == dephn_sk.__version__
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_a_pickle_that_names_no_version_is_an_old_one(fitted):
    state = fitted.__getstate__()
    del state["_dephn_sk_version"]
    with pytest.warns(UserWarning, match=r"before 0\.1\.0"):
        DEPHNMultiTaskClassifier().__setstate__(state)
