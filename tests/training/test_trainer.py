"""Steps and epochs: what decides them, and what they leave behind."""

from __future__ import annotations

import pickle
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from skorch.callbacks import Callback, LRScheduler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import SNRClassifier
from dephn_sk.nn import Dropout, UnseenMask, label_similarity, use_generator
from dephn_sk.training import FitPlan, Trainer

N_ROWS = 120


def make_log(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {"shop": rng.choice(list("abcd"), N_ROWS), "price": rng.normal(size=N_ROWS)}
    )
    click = (X["price"] + rng.normal(size=N_ROWS) > 0.5).astype(int)
    buy = ((X["shop"] == "a") & (rng.random(N_ROWS) < 0.8)).astype(int)
    return X, pd.DataFrame({"click": click, "buy": buy})


X, Y = make_log()
X_VAL, Y_VAL = make_log(1)


def make_model(cls: type = DEPHNMultiTaskClassifier, **changes: Any) -> Any:
    options: dict[str, Any] = {
        "embedding_dim": 4,
        "tower_hidden": (4,),
        "batch_size": 32,
        "max_epochs": 3,
        "early_stopping": False,
        "random_state": 0,
    }
    return cls(**{**options, **changes})


def begun(model: Any, epochs: int = 3, **how: Any) -> Trainer:
    plan = FitPlan.of(model, X, Y, epochs=epochs, **how)
    return Trainer(plan.begin(), plan)


def run(trainer: Trainer) -> list[dict[str, Any]]:
    return list(trainer.run())


def weights_of(model: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.network_.parameters()]


def all_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, a, b))


# ------------------------------------------------------------------------ randomness


def masks(part: type, **changes: Any) -> list[list[bool]]:
    """What a random part lets through, in each step of three epochs."""
    trainer, seen = begun(make_model(n_threads=1, **changes)), []
    embedding = trainer.state.network.embedding
    (random,) = (m for m in (embedding.unseen, embedding.dropout) if type(m) is part)
    random.register_forward_hook(
        lambda m, given, out: m.training and seen.append((out == 0).flatten().tolist())
    )
    run(trainer)
    return seen


@pytest.mark.parametrize(
    ("part", "rate"), [(Dropout, "embedding_dropout"), (UnseenMask, "unseen_rate")]
)
def test_each_step_draws_masks_of_its_own(part, rate):
    drawn = masks(part, **{rate: 0.5})
    assert len(drawn) == 3 * 4
    whole = [mask for mask in drawn if len(mask) == len(drawn[0])]
    assert len({tuple(mask) for mask in whole}) == len(whole)
    assert masks(part, **{rate: 0.5}) == drawn
    assert masks(part, **{rate: 0.5}, random_state=1) != drawn
    assert not np.any(np.concatenate(masks(part, **{rate: 0.0})))


def orders(**changes: Any) -> list[list[float]]:
    """The numbers of each batch, in order."""
    trainer, seen = begun(make_model(**changes)), []
    trainer.state.network.register_forward_pre_hook(
        lambda m, given, named: m.training and seen.append(named["numbers"].tolist()),
        with_kwargs=True,
    )
    run(trainer)
    return seen


def test_the_seed_decides_the_order_of_rows():
    first = orders()
    assert orders() == first != orders(random_state=1)
    epochs = [list(chain(*first[4 * e : 4 * e + 4])) for e in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])


def test_the_seed_decides_which_rows_are_set_aside():
    def aside(seed: int) -> list[int]:
        model = make_model(early_stopping=True, random_state=seed)
        return FitPlan.of(model, X, Y, epochs=1).valid.rows.tolist()

    assert aside(0) == aside(0) != aside(1)


# ------------------------------------------------------------------------------- steps


def test_every_row_starts_near_the_base_rates():
    """The initial values are small, so that biases decide."""
    plan = begun(make_model(embedding_dim=1)).plan
    state = plan.begin()
    bias = [state.network.towers.first, *state.network.towers.deeper][-1].bias
    assert_allclose(bias.flatten().detach(), plan.learned.start, rtol=1e-6)
    rates = Y.mean()
    assert_allclose(plan.learned.start, np.log(rates / (1 - rates)), rtol=1e-6)


def test_each_tasks_weights_have_a_mean_of_one():
    weight = np.random.default_rng(0).uniform(0, 50, (N_ROWS, 2))
    model = make_model(class_weight="balanced", early_stopping=True)
    plan = FitPlan.of(model, X, Y, weight, epochs=1)
    for source in (plan.train, plan.valid):
        (batch,) = source.batches(N_ROWS)
        assert_allclose(batch.weights.mean(0), [1, 1], rtol=1e-5)


QUIET = {"embedding_dropout": 0.0, "unseen_rate": 0.0, "dropout": 0.0}


def first_step(model: Any) -> tuple[Any, list[torch.Tensor], Any]:
    """The network's gradients of the first step, and its batch."""
    trainer = begun(model.set_params(batch_size=N_ROWS, **QUIET))
    (batch,) = trainer.plan.train.batches(N_ROWS)
    use_generator(trainer.state.network.train(), trainer._generator)
    trainer._step(batch)
    gradients = [p.grad.clone() for p in trainer.state.network.parameters()]
    return trainer.plan.begin().network.train(), gradients, batch


def test_a_step_descends_the_weighted_loss():
    model = make_model(virtual_gradient=None, task_weights=[0.5, 2.0])
    network, got, batch = first_step(model)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        network(**batch.inputs), batch.labels, reduction="none"
    )
    (loss.mean(0) * torch.tensor([0.5, 2.0])).sum().backward()
    for gradient, p in zip(got, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, p.grad)


def test_a_step_descends_what_a_network_adds_to_the_loss():
    network, with_penalty, _ = first_step(make_model(SNRClassifier, l0_penalty=0.5))
    _, without, _ = first_step(make_model(SNRClassifier, l0_penalty=0.0))
    network.penalty().backward()
    priced = 0
    for a, b, p in zip(with_penalty, without, network.parameters(), strict=True):
        added = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(a - b, added, atol=1e-6, rtol=1e-4)
        priced += bool(added.abs().max() > 1e-4)
    assert priced == 2  # both layers of connections


def test_labels_reach_the_network_while_training_alone():
    trainer = begun(make_model(batch_size=N_ROWS), validation=(X_VAL, Y_VAL))
    network, seen = trainer.state.network, {True: [], False: []}
    for one in (network, trainer.state.average.network):
        one.register_forward_pre_hook(
            lambda m, _, named: seen[m.training].append(named.get("label_similarity")),
            with_kwargs=True,
        )
    run(trainer)
    assert len(seen[True]) == 3 < len(seen[False])
    assert all(similarity is None for similarity in seen[False])
    expected = label_similarity(torch.tensor(Y.to_numpy(), dtype=torch.float32))
    for similarity in seen[True]:
        torch.testing.assert_close(similarity, expected)


# ------------------------------------------------------------------------------ epochs


@pytest.mark.parametrize(
    "monitor", ["loss", "score", ("loss", "buy"), ("score", "click"), ("score", "buy")]
)
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_best_epoch_is_kept_and_patience_counted_from_it(monitor, averaging):
    seen: list[list[torch.Tensor]] = []

    class Shown(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            seen.append([p.detach().clone() for p in net.module_.parameters()])

    model = make_model(
        public_experts=("dnn",) * 3,
        monitor=monitor,
        early_stopping=True,
        n_epochs_no_change=4,
        max_epochs=40,
        learning_rate=0.03,
        weight_averaging=averaging,
        callbacks=[("shown", Shown)],
        n_threads=1,
    ).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    values = np.array(model.net_.history[:, "valid_monitor"])
    quantity = monitor if isinstance(monitor, str) else monitor[0]
    best = int(values.argmin() if quantity == "loss" else values.argmax())
    worst = int(values.argmax() if quantity == "loss" else values.argmin())
    assert best != worst
    assert model.kept_epoch_ == best + 1
    assert model.n_iter_ == best + 1 + 4
    assert all_equal(weights_of(model), seen[best])
    # an improvement sets the count of misses back
    improves = values < np.minimum.accumulate(np.append(np.inf, values))[:-1]
    if quantity == "score":
        improves = values > np.maximum.accumulate(np.append(-np.inf, values))[:-1]
    since = np.diff([*np.flatnonzero(improves), len(values)])
    assert since[:-1].max(initial=1) <= 4


def stopping_soon(**changes: Any) -> Any:
    options = {"n_epochs_no_change": 1, "max_epochs": 40, "learning_rate": 0.05}
    return make_model(**{**options, "early_stopping": True, "n_threads": 1, **changes})


def test_a_validation_set_stops_nothing_unless_it_is_asked_to():
    stopped = stopping_soon().fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    model = stopping_soon(early_stopping=False).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert stopped.n_iter_ < model.n_iter_ == 40
    assert model.kept_epoch_ is None
    assert "valid_loss" in model.history_
    without = stopping_soon(early_stopping=False).fit(X, Y)
    assert all_equal(weights_of(model), weights_of(without))


def test_training_goes_on_after_an_early_stop():
    model = stopping_soon(warm_start=True).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    stopped = model.n_iter_
    assert stopped < 40
    model.set_params(n_epochs_no_change=9, max_epochs=3)
    assert model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL).n_iter_ == stopped + 3
    model.set_params(n_epochs_no_change=1)
    assert model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL).n_iter_ > stopped + 3


def test_patience_begins_anew_with_each_improvement():
    from dephn_sk.training._stopping import BestEpoch

    stopping, network = BestEpoch(2, lower_is_better=True), torch.nn.Linear(1, 1)
    over = []
    for epoch, value in enumerate([3.0, 4.0, 2.0, 2.0, 1.0, 1.5, 1.2], 1):
        stopping.see(value, epoch, network)
        over.append(stopping.is_over)
    assert over == [False] * 6 + [True]
    assert (stopping.value, stopping.epoch, stopping.misses) == (1.0, 5, 2)


def test_the_history_holds_what_is_documented():
    model = make_model(early_stopping=True).fit(X, Y)
    row = model.net_.history[-1]
    documented = {
        *("epoch", "dur", "train_loss", "valid_loss", "train_loss_best"),
        *("valid_loss_best", "train_task_loss", "valid_task_loss"),
        *("valid_task_score", "valid_monitor", "gates", "batches"),
        *("train_batch_count", "valid_batch_count"),
    }
    assert set(row) == documented
    tasks = [f"{p}_loss_{t}" for p in ("train", "valid") for t in Y]
    tasks += [f"valid_score_{t}" for t in Y]
    assert {*tasks, "epoch", "dur", "train_loss", "valid_loss"} == set(model.history_)
    best = np.minimum.accumulate(model.net_.history[:, "train_loss"])
    now = np.array(model.net_.history[:, "train_loss"])
    assert_array_equal(model.net_.history[:, "train_loss_best"], now == best)
    assert row["train_batch_count"] == 4
    assert row["valid_batch_count"] == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_scores_of_validation_rows_are_weighted(weighted):
    """Whatever the batches are."""
    weight = np.random.default_rng(0).uniform(0, 9, N_ROWS) if weighted else None
    model = make_model(
        early_stopping=True, validation_fraction=0.5, weight_averaging=0.0, max_epochs=1
    )
    rows = FitPlan.of(model, X, Y, weight, epochs=1).valid.rows.numpy()
    assert len(rows) % model.batch_size
    row = model.fit(X, Y, weight).net_.history[-1]
    p = model.predict_proba(X.iloc[rows].reset_index(drop=True))
    of_rows = None if weight is None else weight[rows]
    for metric, name in ((log_loss, "loss"), (roc_auc_score, "score")):
        values = [
            metric(Y.iloc[rows, t], p[:, t], sample_weight=of_rows) for t in range(2)
        ]
        assert_allclose(row[f"valid_task_{name}"], values, rtol=1e-5)


def test_divergence_is_an_error_with_the_epoch():
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        make_model(learning_rate=1e30).fit(X, Y)


# --------------------------------------------------------------------------- predicting


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_logits_are_clamped(n_outputs):
    """No probability is zero or one, however sure the network is."""
    y = Y["click"] if n_outputs == 1 else np.arange(N_ROWS) % 3
    model = make_model(max_epochs=1).fit(X, y)
    model.network_.start_from(torch.linspace(-1e4, 1e6, n_outputs))
    logits = model.decision_function(X)
    assert np.abs(logits).max() == 15
    p = model.predict_proba(X)
    assert 0 < p.min() < p.max() < 1
    assert np.isfinite(np.log(p)).all()


@pytest.mark.parametrize("per_task", [False, True])
def test_a_score_of_several_tasks_is_weighted(per_task):
    model = make_model().fit(X, Y)
    weight = np.random.default_rng(0).integers(
        0, 5, (N_ROWS, 2) if per_task else N_ROWS
    )
    p = model.predict_proba(X)
    by_task = np.broadcast_to(weight.reshape(N_ROWS, -1), (N_ROWS, 2))
    expected = [
        roc_auc_score(Y.iloc[:, t], p[:, t], sample_weight=by_task[:, t])
        for t in range(2)
    ]
    assert_allclose(model.score(X, Y, weight), np.mean(expected))
    assert abs(model.score(X, Y, weight) - model.score(X, Y)) > 1e-4


def test_a_score_of_multi_class_tasks_is_weighted():
    y = Y.assign(kind=np.arange(N_ROWS) % 3)
    model = make_model().fit(X, y)
    weight = np.random.default_rng(0).integers(0, 5, N_ROWS)
    p = model.predict_proba(X)
    expected = [
        roc_auc_score(y["click"], p[0][:, 1], sample_weight=weight),
        roc_auc_score(y["buy"], p[1][:, 1], sample_weight=weight),
        accuracy_score(y["kind"], p[2].argmax(1), sample_weight=weight),
    ]
    assert_allclose(model.score(X, y, weight), np.mean(expected))


# --------------------------------------------------------------------------- schedules


def schedule(gamma: float, step_size: int = 1) -> tuple[str, LRScheduler]:
    policy = LRScheduler(policy="StepLR", step_size=step_size, gamma=gamma)
    return "schedule", policy


def rates(model: Any) -> list[float]:
    return [round(g["lr"], 9) for g in model.net_.optimizer_.param_groups]


@pytest.mark.parametrize(("step_size", "last"), [(1, 0.01 / 16), (3, 0.005)])
@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_schedule_goes_on_where_it_stopped(pickled, averaging, step_size, last):
    options = {"learning_rate": 0.01, "weight_averaging": averaging, "n_threads": 1}
    options["callbacks"] = [schedule(0.5, step_size)]
    whole = make_model(max_epochs=4, **options).fit(X, Y)
    parts = make_model(max_epochs=2, warm_start=True, **options).fit(X, Y)
    parts = pickle.loads(pickle.dumps(parts)) if pickled else parts
    parts.fit(X, Y)
    assert rates(parts) == rates(whole) == [last]
    assert all_equal(weights_of(parts), weights_of(whole))


def test_a_schedule_that_is_given_anew_is_taken_over():
    options = {"learning_rate": 0.01, "warm_start": True, "max_epochs": 2}
    model = make_model(callbacks=[schedule(0.5)], **options).fit(X, Y)
    assert rates(model) == [0.0025]
    model.set_params(callbacks=[schedule(0.1)]).fit(X, Y)
    assert dict(model.net_.callbacks_)["schedule"].lr_scheduler_.gamma == 0.1
    assert rates(model)[0] in (
        0.0001,
        0.000025,
    )  # from the first rate, or from the last


def test_a_learning_rate_that_is_given_anew_begins_the_schedule_anew():
    options = {"warm_start": True, "max_epochs": 2, "callbacks": [schedule(0.5)]}
    model = make_model(learning_rate=0.01, **options).fit(X, Y)
    model.set_params(learning_rate=0.2).fit(X, Y)
    assert rates(model) == [0.05]


# ------------------------------------------------------------------------------ growth


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_rows_of_a_table_that_grows_keep_their_numbers(averaging):
    """Known categories are read from their old rows, wherever these have moved."""
    table = X.assign(city=np.resize(["Oslo", "Rome"], N_ROWS))
    model = make_model(weight_averaging=averaging).partial_fit(table, Y)
    later = table.assign(shop=np.resize(["a", "new", "newer"], N_ROWS))
    plan = FitPlan.of(model, later, Y, epochs=1, before=model._fitted, grows=True)
    state = plan.begin()
    assert len(state.network.embedding.table) > len(model.network_.embedding.table)
    fields = model.encoder_.encode(table)
    grown = plan.learned.encoder.encode(table)
    old, new = (
        torch.from_numpy(np.array(one.codes, dtype=np.int64)) for one in (fields, grown)
    )
    numbers = torch.from_numpy(grown.numbers)
    with torch.no_grad():
        before = model.network_.eval()(old, torch.from_numpy(fields.numbers))
        after = state.evaluated.eval()(new, numbers)
    torch.testing.assert_close(before, after, atol=0, rtol=0)
    (table_before, table_after) = (
        one.embedding.table for one in (model._fitted.state.network, state.network)
    )
    kept = model._fitted.state.net.optimizer_.state[table_before]["exp_avg"]
    moved = state.net.optimizer_.state[table_after]["exp_avg"]
    rows_before = old + model._fitted.state.network.embedding.offsets
    rows_after = new + state.network.embedding.offsets
    assert torch.equal(kept[rows_before], moved[rows_after])
