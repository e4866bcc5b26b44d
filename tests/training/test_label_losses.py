"""What an estimator is trained on: named losses, functions, smoothing, and pairs."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from _logs import SMALL, as_bytes, assert_same_learned, learned, make_log
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch.nn.functional import binary_cross_entropy_with_logits

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.tasks import Tasks
from dephn_sk.tasks._losses import of_pairs, read_losses
from dephn_sk.training import FitPlan, Trainer
from dephn_sk.training._source import RUNS_IN_BATCH

X, Y = make_log(200)
USERS = np.random.default_rng(0).integers(0, 12, 200)
STOPS = {"early_stopping": True, "validation_fraction": 0.3, "n_epochs_no_change": 9}
PAIRS = {"loss": {"click": "pairwise"}}


def make(cls=DEPHNMultiTaskClassifier, **options):
    given = {**SMALL, **options}
    return cls(**{k: v for k, v in given.items() if k in cls._parameters})


def log_loss(logits, values):
    """Cross-entropy, as a user may write it."""
    return binary_cross_entropy_with_logits(logits, values, reduction="none")


@pytest.mark.parametrize(
    "given", ["log_loss", log_loss, {"buy": log_loss}, ("focal", 0)]
)
def test_cross_entropy_by_any_name_is_the_loss_that_there_is_without(given):
    plain = make(**STOPS).fit(X, Y)
    other = make(**STOPS, loss=given).fit(X, Y)
    assert_allclose(other.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    for name in ("train_loss", "valid_loss", "train_loss_buy"):
        assert_allclose(other.history_[name], plain.history_[name], rtol=1e-4)


def test_the_loss_of_one_task_is_no_others_in_the_first_step():
    plan = {
        name: FitPlan.of(make(loss=loss), X, Y, epochs=1)
        for name, loss in {"plain": None, "focal": {"buy": "focal"}}.items()
    }
    (batch,) = plan["plain"].train.batches(200)
    step = {}
    for name, one in plan.items():
        trainer = Trainer(one.begin(), one)
        trainer.state.network.eval()
        step[name] = trainer._losses(batch)
    assert_array_equal(
        step["plain"]["y_pred"].detach(), step["focal"]["y_pred"].detach()
    )
    assert_allclose(
        step["plain"]["task_loss"][0].item(), step["focal"]["task_loss"][0].item()
    )
    assert step["focal"]["task_loss"][1] < 0.5 * step["plain"]["task_loss"][1]


def test_what_stops_early_is_the_loss_without_smoothing():
    """By hand, from the predictions of the weights that remain."""
    model = make(**STOPS, loss={"buy": "focal"}, label_smoothing=0.3, max_epochs=3)
    model.fit(X, Y)
    rows = FitPlan.of(model, X, Y, epochs=1)  # sets the same rows aside
    (batch,) = rows.valid.batches(200)
    z = torch.from_numpy(model.logits_of(model.encoder_.encode(X)))
    valid = np.setdiff1d(np.arange(200), rows.train.rows.numpy())
    y = torch.from_numpy(Y.to_numpy()[valid].astype(float))
    assert_array_equal(batch.labels.numpy(), y)
    p = (z[valid] * (2 * y - 1)).sigmoid()
    click, buy = -p[:, 0].log().mean(), -((1 - p[:, 1]) ** 2 * p[:, 1].log()).mean()
    best = model.history_.iloc[model.kept_epoch_ - 1]
    assert_allclose(best["valid_loss_click"], click, rtol=1e-4)
    assert_allclose(best["valid_loss_buy"], buy, rtol=1e-4)
    assert_allclose(best["valid_loss"], click + buy, rtol=1e-4)


def test_focal_and_smoothing_draw_probabilities_inwards_and_calibration_repairs_it():
    X, y = make_log(2_000)
    X_new, y_new = make_log(2_000, seed=1)
    options = {"max_epochs": 8, "learning_rate": 0.03, "batch_size": 128}
    plain = make(**options).fit(X, y)
    shares = y_new["buy"].to_numpy().mean()
    gap = abs(plain.predict_proba(X_new)[:, 1].mean() - shares)
    for how in ({"loss": "focal"}, {"label_smoothing": 0.3}):
        model = make(**options, **how).fit(X, y)
        assert model.task_rates_ == plain.task_rates_
        p = model.predict_proba(X_new)[:, 1]
        assert p.mean() - shares > gap + 0.03
        half = slice(0, 1_000)
        repaired = TaskCalibrator(model).fit(X_new[half], y_new[half])
        rest = slice(1_000, None)
        p = repaired.predict_proba(X_new[rest])[:, 1]
        assert abs(p.mean() - y_new["buy"][rest].mean()) < 0.03


# ------------------------------------------------------------------------- pairs


def planned(groups=USERS, n_epochs=1, **options):
    return FitPlan.of(make(**PAIRS, **options), X, Y, epochs=n_epochs, groups=groups)


def n_pairs(batch):
    y = batch.labels[:, 0]
    same = batch.groups[:, None] == batch.groups
    return int((same & (y[:, None] > y)).sum())


def test_shuffled_rows_of_a_user_come_together_and_each_row_once():
    source = planned().train
    whole = torch.cat([b.labels for b in source.batches(200)])
    codes = torch.cat([b.groups for b in source.batches(200)])
    user_of = dict(zip(codes.tolist(), USERS.tolist(), strict=True))
    assert len(user_of) == len(set(USERS.tolist()))
    for epoch in range(3):
        batches = list(source.batches(32, seed=7, epoch=epoch))
        codes = torch.cat([b.groups for b in batches])
        groups = torch.tensor([user_of[code] for code in codes.tolist()])
        assert torch.equal(groups.bincount(), torch.from_numpy(np.bincount(USERS)))
        for u in range(12):  # labels stay with their user
            rows = torch.cat([b.labels for b in batches])[groups == u]
            own = whole[torch.from_numpy(USERS) == u]
            assert sorted(rows.tolist()) == sorted(own.tolist())
        most = 32 // RUNS_IN_BATCH
        runs = groups.unique_consecutive(return_counts=True)[1]
        assert runs.float().mean() > most / 2  # 200 rows in random order: about 1
        again = list(source.batches(32, seed=7, epoch=epoch, start=2))
        assert all(map(torch.equal, [b.groups for b in again], codes.split(32)[2:]))
    other = torch.cat([b.groups for b in source.batches(32, seed=7, epoch=9)])
    assert not torch.equal(other, codes)


def test_batches_of_runs_hold_more_pairs_than_those_of_chance():
    users = np.arange(200) // 4  # four rows each
    plan = planned(users)
    together = list(plan.train.batches(32, seed=0))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    (whole,) = plan.train.batches(200)
    chance = [
        whole._replace(labels=whole.labels[r], groups=whole.groups[r])
        for r in order.split(32)
    ]
    assert sum(map(n_pairs, together)) > 3 * sum(map(n_pairs, chance))


def test_without_pairs_groups_change_no_order_and_travel_nowhere():
    plan = FitPlan.of(make(loss="focal"), X, Y, epochs=1, groups=USERS)
    assert all(b.groups is None for b in plan.train.batches(32, seed=0))


def test_a_users_name_is_the_same_in_every_library():
    """Chance depends on names, as rows may come in any pieces."""
    names = np.array([f"user {u:02d}" for u in USERS])
    assert_same_learned(
        make(**PAIRS).fit(X, Y, groups=names),
        make(**PAIRS).fit(X, Y, groups=pd.Series(names, dtype="category")),
    )


def test_training_on_pairs_orders_rows_of_a_user_better():
    """By the loss of all pairs of a user on the rows that it was trained on."""
    rng = np.random.default_rng(0)
    shift = rng.normal(0, 3, 40)  # of a user, which the columns do not tell
    users = rng.integers(0, 40, 2_000)
    X, _ = make_log(2_000)
    z = X["size"].to_numpy() + shift[users]
    y = np.column_stack(
        [rng.random(2_000) < 1 / (1 + np.exp(-z)), rng.integers(0, 2, 2_000)]
    )
    options = {"max_epochs": 10, "learning_rate": 0.02, "batch_size": 128}

    def loss(model):
        z = torch.from_numpy(model.logits_of(model.encoder_.encode(X)))[:, 0]
        return of_pairs(
            z, torch.from_numpy(y[:, 0] * 1.0), None, torch.from_numpy(users)
        )

    plain = make(**options).fit(X, y.astype(int), groups=users)
    paired = make(**options, loss={"task0": "pairwise"}).fit(
        X, y.astype(int), groups=users
    )
    assert loss(paired) < loss(plain) - 0.005
    rate = y[:, 0].mean()
    assert abs(paired.predict_proba(X)[:, 0].mean() - rate) < 0.05


@pytest.mark.parametrize(
    "name", [n for n in baselines.__all__ if n.endswith("Classifier")]
)
def test_every_network_takes_every_loss(name):
    loss = {"click": "pairwise", "buy": "focal"}
    model = make(getattr(baselines, name), loss=loss, label_smoothing=0.1, max_epochs=1)
    assert np.isfinite(model.fit(X, Y, groups=USERS).predict_proba(X)).all()


@pytest.mark.parametrize("n_networks", [1, 2])
def test_pairs_have_a_part_in_cross_validated_epochs_and_in_members(n_networks):
    options = {"max_epochs": "auto", "early_stopping": "auto", "learning_rate": 0.2}
    few = slice(0, 64)
    model, again = (
        make(**PAIRS, **options, n_networks=n_networks).fit(
            X[few], Y[few], groups=USERS[few]
        )
        for _ in range(2)
    )
    assert_same_learned(model, again)
    assert 1 <= model.n_iter_ < 60


def test_pairs_with_rows_set_aside_and_weights_of_zero():
    weights = np.ones(200)
    weights[::3] = 0
    rows = weights > 0
    options = {**PAIRS, **STOPS}
    one = make(**options).fit(X, Y, weights, groups=USERS)
    other = make(**options).fit(X[rows], Y[rows], groups=USERS[rows])
    assert_same_learned(one, other)


def test_what_cannot_have_pairs_is_refused_and_leaves_the_estimator_as_it_was():
    with pytest.raises(
        ValueError, match=r"task 'click' is 'pairwise'.*give fit the groups"
    ):
        make(**PAIRS).fit(X, Y)
    model = make(**PAIRS, warm_start=True).fit(X, Y, groups=USERS)
    before = learned(model)
    with pytest.raises(ValueError, match="partial_fit takes none"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="give fit the groups"):
        model.fit(X, Y)
    assert learned(model) == before


@pytest.mark.parametrize("loss", [PAIRS["loss"], "focal", log_loss])
def test_training_in_two_pieces_is_training_in_one(loss):
    whole = make(loss=loss, max_epochs=4).fit(X, Y, groups=USERS)
    pieces = make(loss=loss, max_epochs=2, warm_start=True)
    pieces.fit(X, Y, groups=USERS).fit(X, Y, groups=USERS)
    assert_array_equal(pieces.predict_proba(X), whole.predict_proba(X))
    pieces.set_params(loss="log_loss")
    with pytest.raises(ValueError, match="loss='log_loss' differs from"):
        pieces.fit(X, Y, groups=USERS)


# ------------------------------------------------------------------------- stored


@pytest.mark.parametrize(
    "loss", ["focal", ("focal", 1.5), {"click": ("pairwise", 0.2)}]
)
@pytest.mark.parametrize("training", [False, True])
def test_named_losses_are_stored_and_go_on(loss, training, tmp_path):
    model = make(loss=loss, label_smoothing={"buy": 0.1}, warm_start=True)
    model.fit(X, Y, groups=USERS)
    model.save(tmp_path / "model.zip", training=training)
    loaded = dephn_sk.load(tmp_path / "model.zip")
    assert loaded.loss == loss
    assert type(loaded.loss) is type(loss)
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    if training:
        model.fit(X, Y, groups=USERS)
        loaded.fit(X, Y, groups=USERS)
        assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_a_function_is_pickled_cloned_and_refused_by_files(tmp_path):
    model = make(loss={"buy": log_loss}, warm_start=True).fit(X, Y)
    copied = pickle.loads(pickle.dumps(model))
    assert copied.loss["buy"] is log_loss
    assert clone(model).loss == model.loss
    model.fit(X, Y)
    copied.fit(X, Y)
    assert_same_learned(copied, model)
    with pytest.raises(ValueError, match=r"parameter loss .*log_loss.* Give the name"):
        model.save(tmp_path / "model.zip")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_goes_on_under_the_same_loss_alone(tmp_path):
    path = tmp_path / "run"
    options = {"loss": {"click": ("pairwise", 0.25)}, "max_epochs": 3}
    whole = make(**options).fit(X, Y, groups=USERS, checkpoint=path)
    again = make(**options).fit(X, Y, groups=USERS, checkpoint=path)
    assert as_bytes(again.net_.history[-1]["train_loss"]) == as_bytes(
        whole.net_.history[-1]["train_loss"]
    )
    assert_same_learned(again, whole)
    options["loss"] = {"click": ("pairwise", 0.5)}
    with pytest.raises(ValueError, match="loss"):
        make(**options).fit(X, Y, groups=USERS, checkpoint=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"clik": "focal"}}, "loss names the task 'clik'.*mean 'click'"),
        ({"loss": "focall"}, "Did you mean 'focal'"),
        (
            {"loss": {"buy": lambda z, y: z.sum()}},
            "loss of task 'buy' must give a loss",
        ),
        (
            {"loss": lambda z, y: (1 - z.sigmoid()).log()},
            "'click' has a loss that is not",
        ),
        ({"label_smoothing": {"by": 0.1}}, "label_smoothing names the task 'by'"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
    ],
)
def test_what_cannot_be_a_loss_is_refused_before_anything_changes(change, message):
    model = make().fit(X, Y)
    before = learned(model)
    model.set_params(**change)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert learned(model) == before


def test_a_loss_on_a_funnel_reads_marginal_log_odds():
    """Any loss of a task is of its probability on all rows."""
    y = np.array([[1, 0], [1, 1], [0, 0], [1, 0]])
    tasks = Tasks.learn(y).under({"task1": "task0"}, "raise")
    functions = [one.function for one in read_losses("focal", 0.0, tasks)]
    logits = torch.tensor(np.random.default_rng(0).normal(size=(4, 2)))
    values, p = torch.tensor(y, dtype=torch.float64), torch.sigmoid(logits).cumprod(1)
    right = torch.where(values == 1, p, 1 - p)
    losses = tasks.loss(logits, values, functions)
    torch.testing.assert_close(losses, -((1 - right) ** 2) * right.log())
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: tasks.loss(z, values, functions), logits)
