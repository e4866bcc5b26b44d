"""Networks that learn together learn as each would alone; one stop serves them all."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from _logs import SMALL, make_log
from scipy.special import expit
from sklearn.metrics import log_loss
from torch.testing import assert_close

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.nn import _table
from dephn_sk.training import _learned, _source, _trainer
from dephn_sk.training._randomness import member_seed

X, Y = make_log(200)
STILL = {"dropout": 0.0, "embedding_dropout": 0.0, "unseen_rate": 0.0}
OPTIONS = {
    "default": {},
    "averaged": {"weight_averaging": 0.9},
    "one of each": {
        "public_experts": ("dnn", "cross", "field"),
        "private_experts": ("dnn", "field"),
    },
    "soft": {"selection": "soft", "private_experts": ("cross",)},
    "mapped": {"gate": "mapped"},
    "weighed": {"task_weights": [1.0, 3.0], "class_weight": "balanced"},
}
N = 3


def make(cls=DEPHNMultiTaskClassifier, **options):
    given = {**SMALL, **STILL, "dtype": "float64", "max_epochs": 3, **options}
    return cls(**{k: v for k, v in given.items() if k in cls._parameters})


def starting_as(member, monkeypatch):
    """Let a network alone start with a member's values, and see rows in its order."""
    drawn = _learned.generator_of
    monkeypatch.setattr(
        _learned, "generator_of", lambda seed, stream, *_: drawn(seed, stream, member)
    )
    monkeypatch.setattr(
        _source,
        "generator_of",
        lambda seed, *rest: drawn(member_seed(seed, member), *rest),
    )


def assert_each_alone(cls, monkeypatch, **options):
    together = make(cls, n_networks=N, **options).fit(X, Y)
    probability = 0
    for i, member in enumerate(together.network_.members):
        with monkeypatch.context() as patch:
            starting_as(i, patch)
            alone = make(cls, **options).fit(X, Y)
        own, state = alone.network_.state_dict(), member.state_dict()
        assert own.keys() == state.keys()
        for name, value in own.items():
            assert_close(state[name], value, rtol=1e-7, atol=1e-9, msg=name)
        probability = probability + alone.predict_proba(X) / N
    np.testing.assert_allclose(together.predict_proba(X), probability, atol=1e-9)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_members_of_dephn_learn_as_alone(options, monkeypatch):
    assert_each_alone(DEPHNMultiTaskClassifier, monkeypatch, **options)


@pytest.mark.parametrize("name", ["MMoE", "PLE", "DCN", "WideDeep"])
def test_members_of_others_learn_as_alone(name, monkeypatch):
    assert_each_alone(getattr(baselines, f"{name}Classifier"), monkeypatch)


def test_members_with_large_tables_learn_as_alone(monkeypatch):
    monkeypatch.setattr(_table, "SPARSE_ROWS", 1)
    assert_each_alone(DEPHNMultiTaskClassifier, monkeypatch, weight_averaging=0.9)


def test_each_has_dropout_of_its_own(monkeypatch):
    """From the same values, and on the same rows, members go apart."""
    drawn = _learned.generator_of
    monkeypatch.setattr(_trainer, "member_seed", lambda seed, member: seed)
    monkeypatch.setattr(_learned, "generator_of", lambda *a: drawn(*a[:2]))
    for dropout, alike in ((0.0, True), (0.3, False)):
        first, second = make(n_networks=2, dropout=dropout).fit(X, Y).network_.members
        pairs = zip(first.parameters(), second.parameters(), strict=True)
        assert all(bool((p == q).all()) for p, q in pairs) is alike


def test_the_mean_is_what_stops():
    given = {"early_stopping": True, "n_epochs_no_change": 2, "max_epochs": 30}
    model = make(n_networks=N, learning_rate=0.05, **given)
    rows, labels = make_log(60, seed=1)
    model.fit(X, Y, X_val=rows, y_val=labels)
    losses = model.net_.history[:, "valid_loss"]
    kept = model.kept_epoch_
    assert kept == 1 + int(np.argmin(losses))
    probability = model.predict_proba(rows)
    truth = labels.to_numpy(float)
    loss = [
        log_loss(truth[known, t], probability[known, t]) * known.mean()
        for t, known in enumerate(~np.isnan(truth.T))
    ]
    assert sum(loss) == pytest.approx(losses[kept - 1], rel=1e-6)


def test_a_file_a_pickle_and_more_training(tmp_path):
    model = make(n_networks=2, warm_start=True, dropout=0.2, max_epochs=2).fit(X, Y)
    expected = model.predict_proba(X)
    model.save(tmp_path / "model", training=True)
    loaded = dephn_sk.load(tmp_path / "model")
    copied = pickle.loads(pickle.dumps(model))
    whole = make(n_networks=2, dropout=0.2, max_epochs=4).fit(X, Y).predict_proba(X)
    for one in (model, loaded, copied):
        assert one.predict_proba(X).tobytes() == expected.tobytes()
        assert one.fit(X, Y).predict_proba(X).tobytes() == whole.tobytes()
    with pytest.raises(ValueError, match="n_networks=3 differs from 2"):
        model.set_params(n_networks=3).fit(X, Y)
    assert model.trim().predict_proba(X).tobytes() == whole.tobytes()


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_tables_grow_for_all(gate):
    model = make(n_networks=N, gate=gate).partial_fit(X, Y)
    before = [m.embedding.table.detach() for m in model.network_.members]
    new = X.assign(shop="a shop that nobody knows")
    seen = model.predict_proba(X)
    model.partial_fit(new, Y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert np.abs(model.predict_proba(X) - seen).max() > 0
    after = [m.embedding.table for m in model.network_.members]
    assert [len(t) for t in after] == [len(t) + 1 for t in before]


def test_uncertainty_weights_are_one_for_all_members():
    model = make(n_networks=N, task_weights="uncertainty").fit(X, Y)
    assert model.net_.criterion_.uncertainty.shape == (2,)
    assert np.isfinite(model.predict_proba(X)).all()


def test_bfloat16_rounds_members_and_not_their_mean():
    model = make(n_networks=N, dtype="float32", precision="bf16").fit(X, Y)
    logits = model.logits_of(model.encoder_.encode(X))
    assert len(np.unique(expit(logits))) > 300
