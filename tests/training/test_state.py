"""A training state that is captured at any step goes on bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from _logs import SMALL, as_bytes, make_log
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.nn import _table, use_generator
from dephn_sk.training import FitPlan, Trainer

X, Y = make_log(80)  # two batches and a half
DROPOUT = {"dropout": 0.4, "embedding_dropout": 0.3, "unseen_rate": 0.2}
STOPPING = {"early_stopping": True, "validation_fraction": 0.3, "n_epochs_no_change": 9}
BY_EPOCH = {"policy": "StepLR", "step_size": 1, "gamma": 0.5}
BY_BATCH = {
    "policy": OneCycleLR,
    "max_lr": 0.1,
    "total_steps": 99,
    "step_every": "batch",
}
OPTIONS = {
    "plain": {},
    "dropout": DROPOUT,
    "averaged": {"weight_averaging": 0.8},
    "watched": STOPPING,
    "watched and averaged": {**STOPPING, **DROPOUT, "weight_averaging": 0.8},
    "by epoch": {"callbacks": [LRScheduler(**BY_EPOCH)]},
    "by batch": {"callbacks": [LRScheduler(**BY_BATCH)], "weight_averaging": 0.8},
    "large tables": {"weight_averaging": 0.8},
    "uncertainty": {"task_weights": "uncertainty"},
    "gates by sgd": {"gate_optimizer": "sgd", "gate_learning_rate": 0.5},
    "float64": {"dtype": "float64"},
}


@pytest.fixture(params=OPTIONS)
def plan(request, monkeypatch):
    if request.param == "large tables":
        monkeypatch.setattr(_table, "SPARSE_ROWS", 1)
    return plan_of(**OPTIONS[request.param])


def plan_of(**options):
    model = DEPHNMultiTaskClassifier(**{**SMALL, "max_epochs": 3, **options})
    return FitPlan.of(model, X, Y, epochs=model.max_epochs)


def copied(state):
    return {k: v.clone() if torch.is_tensor(v) else v for k, v in state.items()}


def numbers(state):
    """Every number of a state but times."""
    found = {key: as_bytes(value) for key, value in through_json(state).items()}
    rows = ({**row, "dur": 0} for row in state["history"])
    return {**found, "history": repr(list(rows))}


def run(trainer):
    for _ in trainer.run():
        pass
    return numbers(trainer.state.state())


def captured(plan):
    """States before the first step, after each step, and at the end of each epoch."""
    states = []

    class Capturing(Trainer):
        def _step(self, batch):
            states.append(copied(self.state.state()))
            return super()._step(batch)

        def _check_finite(self):  # after the last step, before the epoch is done
            states.append(copied(self.state.state()))
            super()._check_finite()

        def _notified(self, event):
            stops = super()._notified(event)
            states.append(copied(self.state.state()))
            return stops

    end = run(Capturing(plan.begin(), plan))
    return states, end


def test_a_state_is_a_flat_dict_of_tensors_and_json(plan):
    states, _ = captured(plan)
    for state in states:
        rest = {k: v for k, v in state.items() if not torch.is_tensor(v)}
        assert json.loads(json.dumps(rest)) is not None
        assert all(isinstance(key, str) for key in state)


# torch misses a step where only the end of an epoch is left
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_training_goes_on_from_any_step(plan):
    states, end = captured(plan)
    assert {(s["epoch"], s["step"]) for s in states} >= {
        *((e, s) for e in range(3) for s in range(len(list(plan.train.batches(32))))),
        (3, 0),
    }
    for state in states:
        again = plan.begin()
        again.resume(through_json(state))
        where = state["epoch"], state["step"]
        assert run(Trainer(again, plan)) == end, where


def through_json(state):
    rest = {k: v for k, v in state.items() if not torch.is_tensor(v)}
    return {**state, **json.loads(json.dumps(rest))}


def test_a_state_that_is_over_trains_no_more():
    plan = plan_of(**{**STOPPING, "n_epochs_no_change": 1, "learning_rate": 1.0})
    plan.learned.template.max_epochs = 30
    trainer = Trainer(plan.begin(), plan)
    run(trainer)
    state = trainer.state.state()
    assert trainer.state.is_over
    again = plan.begin()
    again.resume(state)
    assert not list(Trainer(again, plan).run())


def test_a_loaded_state_shares_nothing_with_what_it_was_loaded_from(plan):
    trainer = Trainer(plan.begin(), plan)
    run(trainer)
    kept = copied(trainer.state.state())
    again = plan.begin()
    again.load(trainer.state.state())
    again.epoch, again.step = 0, 0
    run(Trainer(again, plan))
    assert numbers(kept) == numbers(trainer.state.state())


def masks(plan, monkeypatch):
    """What dropout of fields leaves, by epoch and step."""
    seen = {}
    trainer = Trainer(plan.begin(), plan)
    step = trainer._step

    def watched(batch):
        generator = trainer._generator
        result = step(batch)
        at = trainer.state.epoch, trainer.state.step
        seen[at] = generator.get_state().numpy().tobytes()
        return result

    monkeypatch.setattr(trainer, "_step", watched)
    run(trainer)
    return seen


def test_dropout_differs_from_step_to_step_and_depends_on_them_alone(monkeypatch):
    plan = plan_of(**DROPOUT)
    first = masks(plan, monkeypatch)
    assert len(set(first.values())) == len(first) == 9
    slower = plan_of(**DROPOUT, learning_rate=1e-5)
    assert masks(slower, monkeypatch) == first
    other = masks(plan_of(**DROPOUT, random_state=1), monkeypatch)
    assert not {*first.values()} & {*other.values()}


def test_the_same_rows_are_dropped_differently_in_each_epoch():
    plan = plan_of(dropout=0.5, learning_rate=1e-30, gate_learning_rate=0.0)
    trainer = Trainer(plan.begin(), plan)
    batch = next(plan.train.batches(80))
    trainer.state.network.train()
    use_generator(trainer.state.network, trainer._generator)
    losses = []
    for epoch, step in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        trainer.state.epoch, trainer.state.step = epoch, step
        losses.append(trainer._step(batch)["loss"].item())
    assert losses[0] == pytest.approx(losses[3], rel=1e-6)
    assert len({round(loss, 6) for loss in losses}) == 3


def test_a_snapshot_stays_as_it_was():
    plan = plan_of(weight_averaging=0.8)
    trainer = Trainer(plan.begin(), plan)
    epochs = trainer.run()
    next(epochs)
    snapshot = trainer.snapshot()
    before = {k: v.clone() for k, v in snapshot.network.state_dict().items()}
    for _ in epochs:
        pass
    after = snapshot.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert len(snapshot.net.history) == 1


def test_an_estimator_goes_on_from_a_snapshot():
    plan = plan_of(callbacks=[("s", LRScheduler(**BY_EPOCH))])
    trainer = Trainer(plan.begin(), plan)
    next(trainer.run())
    model = DEPHNMultiTaskClassifier(**SMALL)
    model._fitted = trainer.snapshot()
    assert model.partial_fit(X, Y).n_iter_ == 2
    assert np.isfinite(model.predict_proba(X)).all()
