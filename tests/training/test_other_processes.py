"""A model on its way to other processes: sent, and in memory for reading alone."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
import torch
from _logs import SMALL, assert_same_learned, make_log
from numpy.testing import assert_array_equal

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator


@pytest.fixture(scope="module")
def log():
    X, y = make_log()
    X["shop"] = X["shop"].astype("category")
    return X, y


def for_reading_alone(thing):
    """A copy whose arrays lie in memory that nobody may write to.

    So do Ray's workers get it, and those of joblib where an array is large.
    """
    buffers: list = []
    rest = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(rest, buffers=[bytes(one.raw()) for one in buffers])


@pytest.fixture(scope="module")
def model(log):
    return DEPHNMultiTaskClassifier(**SMALL).fit(*log)


@pytest.fixture
def torch_may_write(monkeypatch):
    """No tensor lies on memory for reading alone, of which torch warns but once."""
    from_numpy = torch.from_numpy

    def checked(array):
        assert array.flags.writeable, "a tensor would write to memory of others"
        return from_numpy(array)

    monkeypatch.setattr(torch, "from_numpy", checked)


def test_arrays_are_laid_out_for_reading_alone(model):
    copy = for_reading_alone({"start": model._fitted.learned.start})
    assert not copy["start"].flags.writeable


def test_a_model_in_memory_for_reading_alone_predicts_the_same(
    model, log, torch_may_write
):
    X, _ = log
    copy = for_reading_alone(model)
    assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    calibrator = TaskCalibrator(model).fit(*log)
    assert_array_equal(
        for_reading_alone(calibrator).predict_proba(X),
        calibrator.predict_proba(X),
    )
    view = model.task("click")
    copy = for_reading_alone(view)
    assert_array_equal(copy.predict_proba(X), view.predict_proba(X))


def test_a_model_in_memory_for_reading_alone_goes_on_learning(
    model, log, torch_may_write
):
    copy, other = for_reading_alone(model), pickle.loads(pickle.dumps(model))
    assert_same_learned(copy.partial_fit(*log), other.partial_fit(*log))


def test_rows_in_memory_for_reading_alone_are_learned(model, log, torch_may_write):
    X, y = for_reading_alone(log)
    copy = DEPHNMultiTaskClassifier(**SMALL).fit(X, y)
    assert_same_learned(copy, model)
    assert_array_equal(copy.predict_proba(X), model.predict_proba(log[0]))


@pytest.mark.parametrize("max_nbytes", [1, None])
def test_workers_of_joblib_predict_the_same(model, log, max_nbytes):
    """From one byte on, joblib lays arrays into files that workers read alone."""
    X, _ = log
    parts = [X[:3], X[3:]]
    with joblib.Parallel(n_jobs=2, max_nbytes=max_nbytes) as workers:
        found = workers(joblib.delayed(model.predict_proba)(part) for part in parts)
    assert_array_equal(np.concatenate(found), model.predict_proba(X))
