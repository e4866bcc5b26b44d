"""Threads of torch, and processes that are forked after they have run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from dephn_sk.training import threads

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

FORKED = """
import os, pickle, sys
sys.path[:0] = {path!r}
import torch
torch.set_num_threads(2)
from _logs import make_log
from dephn_sk import DEPHNMultiTaskClassifier

def table(X):  # text of pyarrow, whose threads do not survive a fork either
    try:
        import pyarrow
    except ImportError:
        return X
    return X.astype({{"shop": "string[pyarrow]"}})

X, y = make_log(3000)
X = table(X)
options = {{"embedding_dim": 32, "batch_size": 1500, "max_epochs": 1}}
model = DEPHNMultiTaskClassifier(**options, n_threads=2, random_state=0).fit(X, y)
before = model.predict_proba(X)
kept = pickle.dumps(model)
loaded = pickle.loads(kept)
child = os.fork()
if child == 0:
    try:
        for one in (model, loaded, pickle.loads(kept)):
            assert abs(one.predict_proba(X) - before).max() < 1e-5
        model.score(X, y)
        model.partial_fit(X, y).fit(X, y)
        assert torch.get_num_threads() == 1
        print("done", flush=True)
    finally:
        os._exit(0)
os.waitpid(child, 0)
assert torch.get_num_threads() == 2
model.predict_proba(X)
"""


def test_a_forked_process_predicts_and_learns():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED.format(path=sys.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fails", [False, True])
def test_threads_are_as_many_as_asked_for_and_as_before_afterwards(fails):
    before = torch.get_num_threads()
    try:
        with threads(before + 1):
            assert torch.get_num_threads() == before + 1
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    assert torch.get_num_threads() == before
    with threads(None):
        assert torch.get_num_threads() == before
