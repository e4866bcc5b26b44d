"""Estimator by kind of column by calibrator, from raw rows to probabilities.

All estimators with DEPHN_SK_FULL=1, the quickest to trace otherwise.
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
from _graphs import run
from _kinds_of_columns import ROWS, SMALL, X, Y, encoder
from scipy.special import logit

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.export import feed, to_onnx

METHODS = ["sigmoid", "isotonic", "temperature"]
ESTIMATORS = {
    "DEPHN": DEPHNMultiTaskClassifier,
    "DEPHN in float64": partial(DEPHNMultiTaskClassifier, dtype="float64"),
    "paper": DEPHNMultiTaskClassifier.paper_configuration,
    **{
        name: getattr(baselines, name)
        for name in baselines.__all__
        if name.endswith("Classifier")
    },
}
QUICK = ["DEPHN in float64", "MMoEClassifier"]


@pytest.fixture(
    scope="module", params=ESTIMATORS if os.environ.get("DEPHN_SK_FULL") else QUICK
)
def fitted(request):
    return ESTIMATORS[request.param](
        **{**SMALL, "encoder": encoder(), "conditions": {}}
    ).fit(X, Y)


def test_probabilities(fitted):
    found = run(to_onnx(fitted), feed(fitted, ROWS))["probabilities"]
    wanted = fitted.predict_proba(ROWS)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_probabilities(fitted, method):
    """In float32 as exact as the logits, whose rounding a slope multiplies."""
    if method == "temperature":
        pytest.importorskip("sklearn", minversion="1.8")
    calibrator = TaskCalibrator(fitted, method=method).fit(X, Y)
    found = run(to_onnx(calibrator), feed(calibrator, ROWS))["probabilities"]
    if fitted.dtype == "float64":
        wanted = calibrator.predict_proba(ROWS)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
        return
    odds = logit(fitted.predict_proba(ROWS))
    for t, one in enumerate(calibrator.calibrators_):
        around = (one.predict_proba(odds[:, t] + e)[:, 1] for e in (-1e-5, 0, 1e-5))
        around = np.stack(list(around))
        low, high = around.min(axis=0), around.max(axis=0)
        assert np.all(low * (1 - 1e-6) - 1e-7 <= found[:, t])
        assert np.all(found[:, t] <= high * (1 + 1e-6) + 1e-7)
