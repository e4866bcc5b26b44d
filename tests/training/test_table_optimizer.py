"""Large tables: sparse gradients, and an optimizer that touches what they touch."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from _batches import KINDS
from skorch.callbacks import Callback, GradientNormClipping
from torch.testing import assert_close

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.nn import FieldEmbedding, Members, _table
from dephn_sk.training import _trainer
from dephn_sk.training._averaging import WeightAverage
from dephn_sk.training._table_optimizer import TableAdamW

N_ROWS, DIM = 7, 3
SETTINGS = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.05}
TINY = {"embedding_dim": 4, "expert_hidden": (6, 4), "n_bins": 4, "random_state": 0}


@pytest.fixture
def every_table_is_large(monkeypatch):
    monkeypatch.setattr(_table, "SPARSE_ROWS", 1)


def make_steps(n_steps=6):
    """Rows that are looked up, some of them twice, and the gradients of those."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(n_steps):
        rows = torch.randint(0, N_ROWS - 1, (5,), generator=generator)
        upstream = torch.randn(5, DIM, generator=generator, dtype=torch.float64)
        yield rows, upstream


def make_table():
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(N_ROWS, DIM, generator=generator, dtype=torch.float64)
    return torch.nn.Parameter(table)


def step(optimizer, table, rows, upstream, *, sparse=True):
    optimizer.zero_grad()
    torch.nn.functional.embedding(rows, table, sparse=sparse).backward(upstream)
    optimizer.step()


def test_rows_move_by_the_equations():
    table = make_table()
    optimizer = TableAdamW([table], **SETTINGS)
    w = table.tolist()
    m, v, n = [[0.0] * DIM for _ in w], [0.0] * N_ROWS, [0] * N_ROWS
    (beta1, beta2), eps = SETTINGS["betas"], SETTINGS["eps"]
    lr, decay = SETTINGS["lr"], SETTINGS["weight_decay"]
    for rows, upstream in make_steps():
        step(optimizer, table, rows, upstream)
        for r in set(rows.tolist()):
            g = upstream[rows == r].sum(0).tolist()
            n[r] += 1
            v[r] = beta2 * v[r] + (1 - beta2) * sum(x * x for x in g) / DIM
            for j in range(DIM):
                m[r][j] = beta1 * m[r][j] + (1 - beta1) * g[j]
                size = math.sqrt(v[r] / (1 - beta2 ** n[r])) + eps
                w[r][j] *= 1 - lr * decay
                w[r][j] -= lr * m[r][j] / (1 - beta1 ** n[r]) / size
    assert_close(table.detach(), torch.tensor(w, dtype=torch.float64))


def test_rows_that_no_step_touches_stay_as_they_are():
    table = make_table()
    optimizer = TableAdamW([table], **SETTINGS)
    before = table.detach().clone()
    step(optimizer, table, torch.tensor([2, 4]), torch.ones(2, DIM).double())
    moved = (table != before).any(1)
    assert moved.tolist() == [False, False, True, False, True, False, False]


def test_rows_in_several_blocks_move_as_in_one(monkeypatch):
    tables = []
    for block in (1, 4096):
        monkeypatch.setattr("dephn_sk.training._table_optimizer._BLOCK", block)
        table = make_table()
        optimizer = TableAdamW([table], **SETTINGS)
        for rows, upstream in make_steps():
            step(optimizer, table, rows, upstream)
        tables.append(table.detach())
    assert_close(*tables)


@pytest.mark.parametrize("fused", [False, True])
def test_dense_gradients_are_left_to_adamw(fused):
    results = []
    for kind in (TableAdamW, torch.optim.AdamW):
        table = make_table()
        optimizer = kind([table], fused=fused, **SETTINGS)
        for rows, upstream in make_steps():
            step(optimizer, table, rows, upstream, sparse=False)
        results.append(table.detach())
    assert torch.equal(*results)


def test_moments_of_a_table_that_has_become_large_are_taken_over():
    table = make_table()
    optimizer = TableAdamW([table], **SETTINGS)
    steps = list(make_steps())
    for rows, upstream in steps[:3]:
        step(optimizer, table, rows, upstream, sparse=False)
    adam = {key: value.clone() for key, value in optimizer.state[table].items()}
    rows, upstream = steps[3]
    step(optimizer, table, rows, upstream)
    assert set(optimizer.state[table]) == {"moments", "step"}
    moments = optimizer.state[table]["moments"]
    rest = [r for r in range(N_ROWS) if r not in rows.tolist()]
    assert_close(moments[rest, :DIM], adam["exp_avg"][rest])
    assert_close(moments[rest, DIM], adam["exp_avg_sq"][rest].mean(1))
    assert (moments[rest, DIM + 1] == 3).all()
    assert (moments[rows, DIM + 1] == 4).all()


def test_the_state_is_little_more_than_half_of_adams():
    table = torch.nn.Parameter(torch.zeros(100, 16))
    optimizer = TableAdamW([table])
    step(optimizer, table, torch.tensor([3]), torch.ones(1, 16))
    held = sum(value.numel() for value in optimizer.state[table].values())
    assert held <= 0.57 * 2 * table.numel()


def test_a_closure_is_called_and_its_loss_returned():
    table = make_table()
    optimizer = TableAdamW([table])

    def closure():
        optimizer.zero_grad()
        rows = torch.nn.functional.embedding(torch.tensor([1]), table, sparse=True)
        loss = rows.sum()
        loss.backward()
        return loss

    before = table[1].detach().sum()
    assert optimizer.step(closure) == before
    assert table[1].sum() < before


@pytest.mark.parametrize("mode", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_gradients_of_a_large_table_are_the_dense_ones(
    mode, weighted, monkeypatch
):
    embedding = FieldEmbedding([4, 3], 2, bag_cardinalities=[5], bag_mode=mode).double()
    codes = torch.tensor([[1, 2], [1, 0], [3, 2]])
    weights = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64) if weighted else None
    bag = Members(torch.tensor([1, 4, 1]), torch.tensor([0, 2, 2, 3]), weights)
    gradients = []
    for least in (1, 10**9):
        monkeypatch.setattr(_table, "SPARSE_ROWS", least)
        fields = embedding(codes, bags=[bag])
        (gradient,) = torch.autograd.grad(fields.square().sum(), embedding.table)
        assert gradient.is_sparse == (least == 1)
        gradients.append(gradient.to_dense() if least == 1 else gradient)
    assert_close(*gradients)


def test_a_table_with_maxima_keeps_dense_gradients(every_table_is_large):
    assert FieldEmbedding([4], 2).sparse
    assert not FieldEmbedding([4], 2, bag_cardinalities=[5], bag_mode="max").sparse


@pytest.mark.parametrize("name", KINDS)
def test_an_estimator_learns_with_a_large_table(name, every_table_is_large):
    X, y = KINDS[name].table()
    model = DEPHNMultiTaskClassifier(max_epochs=3, batch_size=4, **TINY).fit(X, y)
    again = DEPHNMultiTaskClassifier(max_epochs=3, batch_size=4, **TINY).fit(X, y)
    table, same = (m.network_.embedding.table for m in (model, again))
    state = model._fitted.state
    learning = state.network.embedding.table
    assert not len(table) or "moments" in state.net.optimizer_.state[learning]
    assert torch.equal(table, same)
    restored = pickle.loads(pickle.dumps(model))
    restored.partial_fit(X, y)
    model.partial_fit(X, y)
    other = restored.net_.module_.embedding.table
    assert torch.equal(other, model.net_.module_.embedding.table)


def test_moments_of_rows_stay_with_them_when_a_table_grows(every_table_is_large):
    X = np.array([["a", "u"], ["b", "v"]] * 10, dtype=object)
    y = np.array([[0, 1], [1, 0]] * 10)
    model = DEPHNMultiTaskClassifier(**TINY).partial_fit(X, y)
    state = model._fitted.state
    embedding, moments = state.network.embedding, state.net.optimizer_.state
    old, first = moments[embedding.table]["moments"].clone(), embedding.sizes[0]
    state.grow([n + 1 for n in model.encoder_.cardinalities_], ())
    new = moments[embedding.table]["moments"]
    assert torch.equal(new[:first], old[:first])
    assert torch.equal(new[first + 1 : -1], old[first:])
    assert not new[[first, -1]].any()


# ------------------------------------------------------------------------ averaging


@pytest.mark.parametrize("fold", [1, 2, 6])
def test_averages_of_a_large_table_are_those_of_all_its_rows(fold):
    results = []
    for lazy in (True, False):
        table, bias = make_table(), torch.nn.Parameter(torch.zeros(DIM).double())
        optimizer = TableAdamW([table, bias], **SETTINGS)
        network = torch.nn.ParameterList([table, bias])
        average = WeightAverage(network, decay=0.7)
        for i, (rows, upstream) in enumerate(make_steps()):
            optimizer.zero_grad()
            taken = torch.nn.functional.embedding(rows, table, sparse=True)
            (taken + bias).backward(upstream)
            if lazy:
                average.before_step()
            optimizer.step()
            average.update()
            if i % fold == 0:  # as between epochs
                average.settle()
                results.append([p.detach().clone() for p in average.network])
    lazy, whole = results[: len(results) // 2], results[len(results) // 2 :]
    for one, other in zip(lazy, whole, strict=True):
        assert_close(one, other)


# ------------------------------------------------------------------------- trimming


def test_a_trimmed_estimator_predicts_the_same_and_is_smaller():
    X, y = KINDS["plain"].table()
    model = DEPHNMultiTaskClassifier(max_epochs=2, **TINY).fit(X, y)
    before = model.predict_proba(X)
    size = len(pickle.dumps(model))
    parameters = sum(4 * p.numel() for p in model.net_.module_.parameters())
    assert model.trim() is model
    assert len(pickle.dumps(model)) < size - 2 * parameters
    assert np.array_equal(model.predict_proba(X), before)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), before)


def test_a_trimmed_estimator_can_learn_on():
    X, y = KINDS["plain"].table()
    model = DEPHNMultiTaskClassifier(max_epochs=2, **TINY).fit(X, y)
    before = model.trim().predict_proba(X)
    assert not np.array_equal(model.partial_fit(X, y).predict_proba(X), before)


# ------------------------------------------------------------------------- denormals


@pytest.mark.parametrize("before", [False, True])
def test_denormal_numbers_are_zero_while_training_alone(before):
    def flushed():
        return (torch.tensor(1e-40) * 1).item() == 0

    if not torch.set_flush_denormal(before):
        pytest.skip("this processor does not flush denormal numbers")
    try:
        with _trainer._no_denormals():
            assert flushed()
        assert flushed() == before
    finally:
        torch.set_flush_denormal(False)


# ------------------------------------------------------------------------- clipping


class Norms(Callback):
    """The norm of all gradients of each step, as a callback hears of them."""

    def on_train_begin(self, net, **kwargs):
        self.seen_ = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        grads = [p.grad for _, p in named_parameters if p.grad is not None]
        self.seen_.append(math.sqrt(sum(g.square().sum().item() for g in grads)))


@pytest.mark.parametrize("clip", [0.01, 1e9])
def test_gradients_of_a_large_table_are_clipped_as_dense_ones(clip, monkeypatch):
    X, y = KINDS["plain"].table()
    seen = []
    for least in (1, 10**9):
        monkeypatch.setattr(_table, "SPARSE_ROWS", least)
        callbacks = [
            ("before", Norms),
            ("clip", GradientNormClipping(gradient_clip_value=clip)),
            ("after", Norms),
        ]
        model = DEPHNMultiTaskClassifier(
            max_epochs=1, dtype="float64", callbacks=callbacks, **TINY
        ).fit(X, y)
        heard = dict(model.net_.callbacks_)
        seen.append([heard["before"].seen_, heard["after"].seen_])
    assert_close(seen[0], seen[1])
    before, after = seen[0]
    assert_close(after, [min(norm, clip) for norm in before], rtol=1e-3, atol=0.0)


def test_a_step_applies_the_clipped_gradient_of_a_large_table(every_table_is_large):
    X, y = KINDS["plain"].table()
    tables = []
    for clip in (0.0, 1e9):
        model = DEPHNMultiTaskClassifier(
            max_epochs=1,
            weight_decay=0.0,
            weight_averaging=0.0,
            callbacks=[("clip", GradientNormClipping(gradient_clip_value=clip))],
            **TINY,
        ).fit(X, y)
        state = model._fitted.state
        moments = state.net.optimizer_.state[state.network.embedding.table]["moments"]
        tables.append(moments[:, :-1])
    assert not tables[0].any()
    assert tables[1].any()
