"""A network that trains under `torch.compile`: the same results, and nothing else.

Most of it runs under torch's backend "aot_eager", which traces both passes and compiles
nothing; one test asks the compiler itself.
"""

from __future__ import annotations

import copy
import pickle
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, Freezer, Unfreezer
from torch.nn import functional

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, MultiTaskClassifier
from dephn_sk.baselines import AITMClassifier, MMoEClassifier, SNRClassifier
from dephn_sk.nn import Dropout, TaskNetwork, _table
from dephn_sk.training import FitPlan, Trainer, _compiled

N_ROWS, BATCH = 40, 16  # two whole batches and a smaller one
rng = np.random.default_rng(0)
X = pd.DataFrame({"city": rng.choice(list("abcd"), N_ROWS), "age": rng.random(N_ROWS)})
Y = rng.integers(0, 2, (N_ROWS, 3)).astype(float)
Y[rng.random(Y.shape) < 0.2] = np.nan
WEIGHTS = rng.uniform(0.5, 2.0, N_ROWS)
SMALL = {
    **{"embedding_dim": 4, "dropout": 0.3, "embedding_dropout": 0.2, "max_epochs": 3},
    **{"unseen_rate": 0.1, "batch_size": BATCH, "dtype": "float64", "random_state": 0},
}
NETWORKS = {
    "experts of all kinds": lambda **options: DEPHNMultiTaskClassifier(
        public_experts=("dnn",),
        private_experts=("cross", "field"),
        selection="soft",
        expert_hidden=(6,),
        n_layers=1,
        **options,
    ),
    "several networks": lambda **options: MMoEClassifier(n_networks=2, **options),
    "a penalty": AITMClassifier,
    "connections": SNRClassifier,
}


@pytest.fixture
def traced(monkeypatch):
    """Rows of each batch that a graph was run on."""
    seen, make = [], _compiled._graph_of

    def spy(network, device):
        graph = make(network, device)

        def run(**inputs):
            seen.append(inputs["codes"].shape[-2])
            return graph(**inputs)

        return run

    monkeypatch.setattr(_compiled, "how", lambda device: {"backend": "aot_eager"})
    monkeypatch.setattr(_compiled, "_graph_of", spy)
    return seen


def make(cls=MMoEClassifier, **options):
    return cls(**{**SMALL, **options})


def weights_of(model):
    return [p.detach() for p in model._fitted.state.network.parameters()]


def distance(model, other):
    pairs = zip(weights_of(model), weights_of(other), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def assert_same(model, other):
    assert distance(model, other) < 1e-6
    ours, theirs = model.predict_proba(X), other.predict_proba(X)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_trains_as_the_network_does(name, traced):
    plain = make(NETWORKS[name]).fit(X, Y, WEIGHTS)
    model = make(NETWORKS[name], compile=True).fit(X, Y, WEIGHTS)
    assert_same(model, plain)
    # each whole batch, and none of another size
    assert traced == [BATCH] * (_compiled._TRIALS + 2 * 3)


def test_without_it_nothing_is_compiled(traced, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    make().fit(X, Y)
    assert not traced


@pytest.mark.parametrize("rows", [1, 5, BATCH])
def test_fewer_rows_than_a_batch_are_one(rows, traced):
    plain = make().fit(X[:rows], Y[:rows])
    assert_same(make(compile=True).fit(X[:rows], Y[:rows]), plain)
    assert traced == [rows] * (_compiled._TRIALS + 3)


def test_a_large_table_still_learns_by_the_rows_of_a_batch(traced, monkeypatch):
    monkeypatch.setattr(_table, "SPARSE_ROWS", 1)
    assert_same(make(compile=True).fit(X, Y), make().fit(X, Y))
    assert traced


# --------------------------------------------------------------- nothing of it is kept


class Watching(Callback):
    """What a callback sees of the network, and of the user's generator."""

    def on_train_begin(self, net, **kwargs):
        self.seen_, self.state_ = set(), torch.get_rng_state()

    def on_batch_end(self, net, training, **kwargs):
        self.seen_.add(type(net.module_).__name__)

    on_epoch_begin = on_epoch_end = lambda self, net, **kwargs: self.seen_.add(
        type(net.module_).__name__
    )


def test_users_see_the_network_itself(traced, tmp_path):
    before = torch.get_rng_state()
    plain = make(callbacks=[("watching", Watching())]).fit(X, Y)
    model = make(callbacks=[("watching", Watching())], compile=True).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), before)
    assert traced
    assert dict(model.net_.callbacks_)["watching"].seen_ == {"MMoE"}
    names = list(model.net_.module_.state_dict())
    assert names == list(plain.net_.module_.state_dict())
    assert type(model.network_) is type(plain.network_)
    expected = model.predict_proba(X)
    model.set_params(callbacks=None).save(tmp_path / "model.zip")
    copies = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        dephn_sk.load(tmp_path / "model.zip"),
    ]
    for one in copies:
        assert_array_equal(one.predict_proba(X), expected)
        assert one.compile is True
    assert clone(model).compile is True


def test_training_goes_on_in_a_graph(traced):
    pieces = make(compile=True, max_epochs=2, warm_start=True).fit(X, Y)
    pieces.set_params(max_epochs=1).fit(X, Y)
    assert_same(pieces, make(max_epochs=3).fit(X, Y))
    n_runs = len(traced)
    plain = make(max_epochs=3).fit(X, Y)
    for model in (pieces, plain):
        model.partial_fit(X.assign(city="new"), Y)  # the table grows
    assert len(traced) > n_runs
    new = X.assign(city="new")
    np.testing.assert_allclose(
        pieces.predict_proba(new), plain.predict_proba(new), atol=1e-6
    )
    # without it, training goes on as it is
    n_runs = len(traced)
    pieces.set_params(compile=False).partial_fit(X, Y)
    assert len(traced) == n_runs


def test_a_search_compiles_each_fit(traced, monkeypatch):
    """Also more of them than torch keeps graphs of the same code."""
    monkeypatch.setattr(Peeking, "peeks", False)
    searches = [
        GridSearchCV(
            make(PeekingClassifier, compile=on, max_epochs=1),
            {"embedding_dim": [2, 3, 4, 5, 6]},
            cv=2,
        ).fit(X, np.nan_to_num(Y))
        for on in (True, False)
    ]
    scores, others = (one.cv_results_["mean_test_score"] for one in searches)
    np.testing.assert_allclose(scores, others, atol=1e-6)
    # a whole batch in each fold, and two in the fit of all rows
    assert len(traced) == _compiled._TRIALS * 11 + 10 + 2


def test_a_run_that_is_resumed_ends_in_the_same_bytes(traced):
    def trainer(state=None):
        plan = FitPlan.of(make(compile=True), X, Y, epochs=3)
        begun = plan.begin()
        if state is not None:
            begun.resume(state)
        return Trainer(begun, plan)

    kept = []
    whole = trainer()
    for _ in whole.run(lambda state: kept.append(copy.deepcopy(state.state()))):
        pass
    for state in kept[1], kept[-1]:
        resumed = trainer(state)
        for _ in resumed.run():
            pass
        pairs = zip(
            resumed.state.network.parameters(),
            whole.state.network.parameters(),
            strict=True,
        )
        assert all(torch.equal(a, b) for a, b in pairs)


def test_parts_may_be_frozen_on_the_way(traced):
    def callbacks():
        return [Freezer("embedding.*", at=2), ("thaw", Unfreezer("embedding.*", at=3))]

    plain = make(callbacks=callbacks()).fit(X, Y)
    assert_same(make(callbacks=callbacks(), compile=True).fit(X, Y), plain)
    assert traced == [BATCH] * (_compiled._TRIALS + 2 * 3)


# ------------------------------------------------------------------ where it cannot be


def assert_falls_back(model, plain, why):
    with pytest.warns(
        UserWarning, match=f"compile=True, but .* as it is: {why}"
    ) as told:
        model.fit(X, Y)
    assert [one.filename for one in told] == [__file__]
    plain.fit(X, Y)
    assert distance(model, plain) == 0  # bit for bit


def test_a_compiler_that_fails_is_named_and_done_without(monkeypatch):
    def fails(graph, inputs):
        raise OSError("no working compiler\nwas found")

    monkeypatch.setattr(_compiled, "how", lambda device: {"backend": fails})
    assert_falls_back(make(compile=True), make(), "OSError: no working compiler$")


def test_a_torch_that_compiles_nothing_is_done_without(monkeypatch):
    def fails(*args, **options):
        raise RuntimeError("torch.compile is not supported on Python 3.99")

    monkeypatch.setattr(torch, "compile", fails)
    assert_falls_back(make(compile=True), make(), "RuntimeError: torch.compile is not")


class Peeking(TaskNetwork):
    """Looks at numbers, which no graph can; with two uses of one dropout."""

    peeks = True

    def __init__(self, embedding, n_outputs):
        super().__init__()
        self.embedding, self.dropout = embedding, Dropout(0.5)
        self.norm = torch.nn.BatchNorm1d(embedding.width)
        self.output = torch.nn.Linear(embedding.width, sum(n_outputs))

    def forward(self, codes, numbers=None, bags=()):
        fields = self.embedding(codes, numbers, bags).flatten(1)
        if self.peeks and fields.sum() > 1e9:
            fields = fields / 2
        fields = self.norm(self.dropout(fields))
        return self.output(
            functional.dropout(self.dropout(fields), 0.25, self.training)
        )


class PeekingClassifier(MultiTaskClassifier):
    def build_network(self, embedding, n_outputs, generator):
        return Peeking(embedding, n_outputs)


def test_a_network_that_no_graph_takes_trains_as_it_is(traced):
    model, plain = (make(PeekingClassifier, compile=on) for on in (True, False))
    assert_falls_back(model, plain, "")


def test_buffers_and_torchs_own_layers_are_as_without(traced, monkeypatch):
    monkeypatch.setattr(Peeking, "peeks", False)
    model, plain = (
        make(PeekingClassifier, compile=on).fit(X, Y) for on in (True, False)
    )
    assert traced
    assert_same(model, plain)
    for name, buffer in model._fitted.state.network.named_buffers():
        other = plain._fitted.state.network.get_buffer(name)
        torch.testing.assert_close(buffer, other, atol=1e-9, rtol=1e-9)


def test_multi_valued_fields_train_as_they_are(traced):
    lists = X.assign(tags=[["p", "q"][: i % 3] for i in range(N_ROWS)])
    model, plain = make(compile=True), make().fit(lists, Y)
    with pytest.warns(UserWarning, match="batches of multi-valued fields differ"):
        model.fit(lists, Y)
    assert distance(model, plain) == 0
    assert not traced


def test_a_graph_that_fails_later_is_done_without(traced, monkeypatch):
    plain = make().fit(X, Y)
    compile_it = _compiled.CompiledNetwork._compile

    def breaks(self, inputs):
        compile_it(self, inputs)
        graph, runs = self._graph, []

        def run(**inputs):
            runs.append(graph(**inputs))
            if len(runs) > 3:
                raise RuntimeError("recompiled too often")
            return runs[-1]

        self._graph = run

    monkeypatch.setattr(_compiled.CompiledNetwork, "_compile", breaks)
    model = make(compile=True)
    with pytest.warns(UserWarning, match="RuntimeError: recompiled too often") as told:
        model.fit(X, Y)
    assert len(told) == 1
    assert_same(model, plain)


def test_an_error_of_the_network_itself_is_raised(traced, monkeypatch):
    def fails(self, *args, **options):
        raise ArithmeticError("by the user")

    monkeypatch.setattr(Peeking, "forward", fails)
    model = make(PeekingClassifier, compile=True)
    with warnings.catch_warnings(), pytest.raises(ArithmeticError, match="the user"):
        warnings.simplefilter("ignore")
        model.fit(X, Y)


# ------------------------------------------------------------------------ the compiler


@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="no compiler"
)
def test_the_compiler_gives_the_same(monkeypatch):
    monkeypatch.setattr(Peeking, "peeks", False)
    model, plain = (
        make(PeekingClassifier, compile=on).fit(X, Y) for on in (True, False)
    )
    assert_same(model, plain)
    assert distance(model, plain) < 1e-9
