"""Threads of torch, and processes that are forked after they have run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from _logs import make_log

from dephn_sk import DEPHNMultiTaskClassifier, MultiTaskClassifier
from dephn_sk.nn import FieldEmbedding, TaskNetwork
from dephn_sk.training import threads
from dephn_sk.training._threads import LEAST_WORK, chosen, work_of

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
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


@pytest.fixture
def four_threads():
    """As a machine of four cores has them."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("parts", "n"), [(0.0, 1), (0.9, 1), (1.9, 1), (2.0, 2), (3.5, 3), (99.0, 4)]
)
def test_each_thread_has_enough_to_do(four_threads, parts, n):
    work = int(parts * LEAST_WORK)
    assert chosen("auto", work) == n
    with threads("auto", work):
        assert torch.get_num_threads() == n
    assert torch.get_num_threads() == 4
    assert chosen(None, work) == 4
    assert chosen(7, work) == 7


def test_auto_waits_for_the_work_to_be_known(four_threads):
    assert chosen("auto", None) == 4


class Linear(TaskNetwork):
    def __init__(self, embedding, n_outputs):
        super().__init__()
        self.embedding = embedding
        self.output = torch.nn.Linear(embedding.width, sum(n_outputs), bias=False)

    def forward(self, codes, numbers=None, bags=()):
        return self.output(self.embedding(codes, numbers, bags).flatten(1))


class LinearClassifier(MultiTaskClassifier):
    def build_network(self, embedding, n_outputs, generator):
        return Linear(embedding, n_outputs)


def test_work_is_what_weights_are_multiplied_by():
    """Rows of tables are not, however many there are."""
    for n_codes in (10, 10_000):
        network = Linear(FieldEmbedding([n_codes, 3], dim=4), n_outputs=[1, 1])
        assert work_of(network, 7, "cpu") == 7 * (2 * 4) * 2
        assert work_of(network, 7, "cpu", trains=True) == 3 * 7 * (2 * 4) * 2
        assert work_of(network, 7, "cuda") is None


class Seen:
    """How many threads each forward pass has, and of how many rows."""

    def __init__(self, monkeypatch, network):
        self.found = set()
        forward = network.forward

        def spy(this, codes, *args, **kwargs):
            self.found.add((this.training, torch.get_num_threads()))
            return forward(this, codes, *args, **kwargs)

        monkeypatch.setattr(network, "forward", spy)


def test_batches_and_blocks_choose_for_themselves(four_threads, monkeypatch):
    X, y = make_log(400)
    one = LinearClassifier(max_epochs=1, n_networks=1).fit(X, y).network_
    one_row = work_of(one, 1, "cpu")
    monkeypatch.setattr("dephn_sk.training._threads.LEAST_WORK", 100 * one_row)
    seen = Seen(monkeypatch, Linear)
    options = {"early_stopping": False, "max_epochs": 1, "n_threads": "auto"}
    model = LinearClassifier(**options, batch_size=100, random_state=0).fit(X, y)
    assert seen.found == {(True, 3), (False, 3)}  # a check after the epoch, too
    seen.found.clear()
    model.predict(X)
    model.predict(X[:70])
    assert seen.found == {(False, 4), (False, 1)}
    assert torch.get_num_threads() == 4


def test_folds_choose_for_themselves(four_threads, monkeypatch):
    X, y = make_log(60)
    monkeypatch.setattr("dephn_sk.training._plan.MOST_EPOCHS", 2)
    seen = Seen(monkeypatch, Linear)
    options = {"max_epochs": "auto", "n_networks": 1, "random_state": 0}
    LinearClassifier(**options, n_threads="auto").fit(X, y)
    assert {n for _, n in seen.found} == {1}
    assert torch.get_num_threads() == 4


def test_the_number_of_threads_is_told(four_threads, monkeypatch, capsys):
    X, y = make_log(100)
    options = {"max_epochs": 1, "early_stopping": False, "verbose": 1}
    for n_threads, least, told in (
        ("auto", LEAST_WORK, "; 1 thread, a batch has no work for more"),
        ("auto", 1, "; 4 threads, as many as torch has"),
        (None, 1, "; 1 epoch"),
        (2, 1, "; 1 epoch"),
    ):
        monkeypatch.setattr("dephn_sk.training._threads.LEAST_WORK", least)
        DEPHNMultiTaskClassifier(**options, n_threads=n_threads).fit(X, y)
        decision = capsys.readouterr().out.splitlines()[0]
        assert decision.endswith(told)
