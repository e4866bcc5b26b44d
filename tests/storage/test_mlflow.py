"""The example of the guide: a file as an artifact of a run."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
from _logs import SMALL, make_log
from numpy.testing import assert_array_equal

import dephn_sk

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "deploying.md"


def test_the_example_of_the_guide_runs(tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = pytest.importorskip("mlflow")
    if not GUIDE.is_file():
        pytest.skip("not in a source tree")
    (code,) = re.findall(r"```python\n(import mlflow\n.*?)```", GUIDE.read_text(), re.S)
    X, Y = make_log()
    model = dephn_sk.DEPHNMultiTaskClassifier(**SMALL).fit(X, Y)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no server is needed
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    names = {"model": model, "score": model.score(X, Y), "dephn_sk": dephn_sk}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mlflow's own dependencies
        exec(code, names)
    assert names["model"] is not model
    assert_array_equal(names["model"].predict_proba(X), model.predict_proba(X))
