"""Epochs of so many steps: what is scored more often is trained as before."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.logs import Log
from dephn_sk.training import FitPlan, _log_sources

N, N_VALID, BATCH = 450, 60, 32
PASS = -(-N // BATCH)  # 15 steps, the last of two rows


def table(n=N + N_VALID):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.integers(0, 9, n).astype(str), "b": rng.normal(size=n)})
    y = pd.DataFrame({"click": rng.random(n) < 0.4, "like": rng.random(n) < 0.2})
    return X, y.astype(int)


X, Y = table()
SPLIT = {"X_val": X[:N_VALID], "y_val": Y[:N_VALID]}
TRAIN = X[N_VALID:], Y[N_VALID:]


def make(**given):
    return DEPHNMultiTaskClassifier(
        **{
            **{"embedding_dim": 4, "expert_hidden": (4,), "tower_hidden": (4,)},
            # dropout is drawn by epoch and step
            **{"embedding_dropout": 0.0, "dropout": 0.0, "unseen_rate": 0.0},
            **{"batch_size": BATCH, "early_stopping": True, "n_epochs_no_change": 99},
            **{"dtype": "float64", "weight_averaging": 0.0, "random_state": 0},
            **given,
        }
    )


def last_weights(model):
    network = model._fitted.state.network
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])


class Seen(Callback):
    """The numbers of each batch that trains, and the losses of its rows."""

    def on_train_begin(self, net, **kwargs):
        self.epochs = []

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append([])

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        if training:
            self.epochs[-1].append((batch.inputs["numbers"].numpy(), loss.item()))


def seen(**given):
    model = make(callbacks=[("seen", Seen())], **given).fit(*TRAIN, **SPLIT)
    return model, dict(model.net_.callbacks_)["seen"].epochs


def test_as_many_steps_as_a_pass_are_a_pass():
    with_it = make(validate_every=PASS, max_epochs=2, dropout=0.2).fit(*TRAIN, **SPLIT)
    without = make(max_epochs=2, dropout=0.2).fit(*TRAIN, **SPLIT)
    assert_array_equal(with_it.predict_proba(X), without.predict_proba(X))
    pd.testing.assert_frame_equal(
        with_it.history_.drop(columns="dur"), without.history_.drop(columns="dur")
    )


@pytest.mark.parametrize("every", [1, 4, 5, 14])
@pytest.mark.parametrize("n_networks", [1, 2])
def test_rows_come_in_the_order_of_passes(every, n_networks):
    """Epochs end within passes and at their ends."""
    n_epochs = 2 * PASS // every
    by_steps, epochs = seen(
        validate_every=every, max_epochs=n_epochs, n_networks=n_networks
    )
    by_passes, passes = seen(max_epochs=2, n_networks=n_networks)
    assert [len(one) for one in epochs] == [every] * n_epochs
    batches, expected = [*chain(*epochs)], [*chain(*passes)]
    for (rows, loss), (same_rows, same_loss) in zip(batches, expected, strict=False):
        assert_array_equal(rows, same_rows)
        assert_allclose(loss, same_loss, rtol=1e-12)
    if every * n_epochs == 2 * PASS:
        assert_allclose(last_weights(by_steps), last_weights(by_passes), rtol=1e-12)


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows():
    model, epochs = seen(validate_every=4, max_epochs=6)
    for row, batches in zip(model.net_.history, epochs, strict=True):
        sizes = [rows.shape[-2] for rows, _ in batches]
        expected = np.average([loss for _, loss in batches], weights=sizes)
        assert_allclose(row["train_loss"], expected)
        assert row["train_batch_count"] == 4
    assert [rows.shape[-2] for rows, _ in epochs[3]] == [32, 32, 2, 32]


@pytest.mark.parametrize("pieces", [(1, 6), (4, 3), (5, 2)])
def test_pieces_are_the_whole(pieces):
    given = {"validate_every": 4, "dropout": 0.2, "weight_averaging": 0.9}
    whole = make(**given, max_epochs=7).fit(*TRAIN, **SPLIT)
    parts = make(**given, warm_start=True)
    for n in pieces:
        parts.set_params(max_epochs=n).fit(*TRAIN, **SPLIT)
    assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    assert_array_equal(last_weights(parts), last_weights(whole))


class Break(Callback):
    """The power is cut after an epoch, once."""

    cut = False

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3 and not Break.cut:
            Break.cut = True
            raise RuntimeError("power cut")


def test_a_run_goes_on_within_a_pass(tmp_path):
    given = {"validate_every": 4, "max_epochs": 6, "dropout": 0.2}
    whole, path = make(**given).fit(*TRAIN, **SPLIT), tmp_path / "state"
    model = make(**given, callbacks=[Break])
    with pytest.raises(RuntimeError, match="power cut"):
        model.fit(*TRAIN, **SPLIT, checkpoint=path)
    model.fit(*TRAIN, **SPLIT, checkpoint=path)
    assert model.n_iter_ == 6
    assert_array_equal(model.predict_proba(X), whole.predict_proba(X))


@pytest.mark.parametrize(("first", "then"), [(4, 3), (4, None), (None, 5), (None, 4)])
def test_with_other_epochs_a_pass_begins_that_has_not_been(first, then):
    """After six epochs, each of the next passes has all rows, in orders of its own."""
    model = make(validate_every=first, max_epochs=6, warm_start=True)
    model.set_params(callbacks=[("seen", Seen())]).fit(*TRAIN, **SPLIT)
    before = dict(model.net_.callbacks_)["seen"].epochs
    n_steps = then or PASS
    model.set_params(validate_every=then, max_epochs=2 * PASS // n_steps)
    model.fit(*TRAIN, **SPLIT)
    batches = [rows for rows, _ in chain(*dict(model.net_.callbacks_)["seen"].epochs)]
    old = {rows.tobytes() for rows, _ in chain(*before)}
    whole = [rows for rows in batches if rows.shape[-2] == BATCH]
    assert not old & {rows.tobytes() for rows in whole}
    assert len(np.unique(np.concatenate(batches[:PASS]))) == N


@pytest.mark.usefixtures("short_fits")
def test_few_rows_are_cross_validated_by_passes():
    given = {"early_stopping": "auto", "max_epochs": "auto", "n_networks": 1}
    given |= {"n_epochs_no_change": "auto"}
    n = [make(validate_every=e, **given).fit(*TRAIN).n_iter_ for e in (None, 1, 30)]
    assert n[0] == n[1] == n[2]


def test_training_may_end_within_a_pass():
    rng = np.random.default_rng(1)
    noise = pd.DataFrame(rng.integers(0, 2, Y.shape), columns=Y.columns)
    model = make(
        validate_every=2, n_epochs_no_change=2, max_epochs=50, learning_rate=0.05
    )
    model.fit(X[N_VALID:], noise[N_VALID:], X_val=X[:N_VALID], y_val=noise[:N_VALID])
    assert model.n_iter_ == model.kept_epoch_ + 2 < PASS


@pytest.mark.parametrize(("every", "n"), [(None, 60), (5, 180), (4, 225), (99, 60)])
def test_auto_is_as_many_passes(every, n):
    model = make(validate_every=every, n_epochs_no_change="auto")
    plan = FitPlan.of(model, *TRAIN, validation=tuple(SPLIT.values()), epochs="auto")
    assert plan.epochs == n
    assert plan.patience == max(3, -(-300 // min(every or PASS, PASS)))
    assert (f" of {every} steps" in plan.decision) == (every in (4, 5))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_where_no_rows_validate_an_epoch_is_a_pass(method):
    model = make(validate_every=2, early_stopping=False, max_epochs=1)
    getattr(model, method)(*TRAIN)
    assert model.net_.history[-1, "train_batch_count"] == PASS


@pytest.mark.parametrize("share", [0.4, 0.002])
def test_a_log_is_read_on_where_the_epoch_ended(share, monkeypatch):
    """Its rows are held, or come in blocks."""
    monkeypatch.setattr(_log_sources, "_TRAIN", share)
    columns = {"a": X["a"].to_numpy(), "b": X["b"].to_numpy()}
    rows = pa.table({**columns, "click": Y["click"].to_numpy()})
    rows = pa.concat_tables([rows] * 20)
    weights, counts = [], []
    for every, n in ((7, 4), (14, 2), (28, 1)):
        model = make(validate_every=every, max_epochs=n, batch_size=256)
        plan = FitPlan.of(model, Log(lambda: [rows], memory=2**24), "click", epochs=1)
        assert plan.train.fits == (share > 0.1)
        plan.close()
        model.fit(Log(lambda: [rows], memory=2**24), "click")
        weights.append(last_weights(model))
        counts.append(sum(model.net_.history[:, "train_batch_count"]))
    assert counts == [28, 28, 28]
    assert_allclose(weights[1], weights[0], rtol=1e-10)
    assert_allclose(weights[2], weights[0], rtol=1e-10)


@pytest.mark.parametrize("value", [0, -1, 1.5, "auto"])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="validate_every"):
        make(validate_every=value).fit(X, Y)
