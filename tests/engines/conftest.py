"""Examples of docs/engines, each run as a user runs it, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

import dephn_sk

EXAMPLES = Path(__file__).parents[2] / "docs" / "engines"
TASKS = ["click", "like", "purchase"]
SECONDS = 500  # a machine that has other work


@pytest.fixture(scope="module")
def run_example(tmp_path_factory):
    """Run an example where its engine is installed; the folder that it leaves."""

    def run(name, engine):
        if find_spec(engine) is None:
            pytest.skip(f"needs {engine}, of `make test-engines`")
        folder, mark = tmp_path_factory.mktemp(name), uuid.uuid4().hex
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / f"{name}.py"],
            cwd=folder,
            env={**os.environ, "DEPHN_SK_EXAMPLE": mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, output
            assert not stragglers(mark), "the engine was not shut down"
        finally:
            for pid in [*processes_of(mark)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return folder / name

    return run


def stragglers(mark, patience=20):
    """Processes of the example that have not ended some seconds after it."""
    until = time.monotonic() + patience
    while (found := [*processes_of(mark)]) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def processes_of(mark):
    """Processes that have inherited the mark; none where there is no /proc."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environment.read_bytes():
                yield int(environment.parent.name)
        except OSError:  # it has ended, or is somebody else's
            continue


@pytest.fixture(scope="session")
def assert_scored():
    """Predictions of a folder are the model's own, for each row of the log once."""

    pd = pytest.importorskip("pandas")

    def check(log, model, predictions):
        log = pd.read_parquet(log)
        found = pd.read_parquet(predictions).set_index("impression").sort_index()
        assert found.index.tolist() == log["impression"].tolist()
        X = log.drop(columns=["impression", *TASKS])
        wanted = dephn_sk.load(model).predict_proba(X)
        # rows that are predicted together differ, and with them rounding
        assert_allclose(found[TASKS].to_numpy(), wanted, rtol=1e-5)

    return check


@pytest.fixture(scope="session")
def assert_fitted_together():
    """Both workers have the same model, and it is that of one process."""

    pd = pytest.importorskip("pandas")

    def check(log, folder):
        one, other = (dephn_sk.load(folder / f"model-{rank}.zip") for rank in (0, 1))
        weights = [model.network_.state_dict() for model in (one, other)]
        assert weights[0].keys() == weights[1].keys()
        for name, weight in weights[0].items():
            assert weight.numpy().tobytes() == weights[1][name].numpy().tobytes(), name
        log = pd.read_parquet(log)
        X, y = log.drop(columns=["impression", *TASKS]), log[TASKS]
        alone = clone(one).fit(X, y)
        assert_allclose(one.predict_proba(X), alone.predict_proba(X), atol=1e-3)
        assert one.score(X, y) > 0.6

    return check
