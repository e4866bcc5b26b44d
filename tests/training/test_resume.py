"""A run that is resumed after any step ends in the bytes of one that never ended."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from _logs import SMALL, as_bytes, make_log
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    Freezer,
    GradientNormClipping,
    Initializer,
    LRScheduler,
    Unfreezer,
)
from torch.optim.lr_scheduler import LinearLR, SequentialLR, StepLR

from dephn_sk import DEPHNMultiTaskClassifier, MultiTaskClassifier, baselines
from dephn_sk.nn import TaskNetwork
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.tasks import Times
from dephn_sk.training import FitPlan, Trainer

X, Y = make_log(80)  # two batches and a half
ROWS = np.random.default_rng(0)
WEIGHTS = ROWS.uniform(0.5, 2, (80, 2)) * ROWS.integers(0, 2, (80, 1))
GROUPS = ROWS.integers(0, 30, 80)
WATCHED = {"early_stopping": True, "validation_fraction": 0.3, "n_epochs_no_change": 9}
NOISY = {"dropout": 0.4, "embedding_dropout": 0.3, "unseen_rate": 0.2}
ALL = {**WATCHED, **NOISY, "weight_averaging": 0.8}


class Counting(Callback):
    """Slows down by what it has itself seen, and keeps some of it."""

    def __init__(self, factor=0.9):
        self.factor = factor

    def on_train_begin(self, net, **kwargs):
        self.epochs_, self.steps_, self.losses_ = 0, np.int64(0), []
        self.mean_ = torch.zeros(())

    def on_epoch_begin(self, net, **kwargs):
        self.epochs_ += 1

    def on_batch_end(self, net, loss, training, **kwargs):
        self.steps_ += training
        self.mean_ = self.mean_ + loss
        net.history.record_batch("so far", self.mean_.item())

    def on_epoch_end(self, net, **kwargs):
        self.losses_.append(net.history[-1, "train_loss"])
        net.history.record("seen", [self.epochs_, int(self.steps_), *self.losses_])
        for group in net.optimizer_.param_groups:
            group["lr"] *= self.factor ** (self.epochs_ + float(self.mean_))


def warmed_up(optimizer, last_epoch=-1):
    parts = [LinearLR(optimizer, 0.1, total_iters=2), StepLR(optimizer, 1, gamma=0.5)]
    return SequentialLR(optimizer, parts, milestones=[2])


def by(policy, **options):
    return [GradientNormClipping(0.01), LRScheduler(policy, **options)]


CALLBACKS = {
    "own": lambda: [("own", Counting())],
    "class": lambda: [Counting],
    "early stopping": lambda: [
        EarlyStopping("train_loss", patience=2, threshold=0.02, load_best=True)
    ],
    "frozen": lambda: [
        Freezer("embedding.*", at=2),
        ("thaw", Unfreezer("embedding.*", at=4)),
        ("anew", Initializer("*tower*bias", torch.nn.init.zeros_, at=2)),
    ],
    "milestones": lambda: by("MultiStepLR", milestones=[1, 2], gamma=0.5),
    "cycle by batch": lambda: by(
        "CyclicLR",
        base_lr=0.01,
        max_lr=0.1,
        step_size_up=3,
        cycle_momentum=False,
        step_every="batch",
        event_name="rate",
    ),
    "function": lambda: by("LambdaLR", lr_lambda=lambda epoch: 0.7**epoch),
    "sequence": lambda: by(warmed_up),
    "plateau": lambda: by("ReduceLROnPlateau", monitor="train_loss", patience=0),
}


class Normed(TaskNetwork):
    """Has buffers, and torch's own dropout."""

    def __init__(self, embedding, n_outputs):
        super().__init__()
        self.embedding = embedding
        self.norm = torch.nn.BatchNorm1d(embedding.width)
        self.dropout = torch.nn.Dropout(0.3)
        self.output = torch.nn.Linear(embedding.width, sum(n_outputs))

    def forward(self, codes, numbers=None, bags=()):
        fields = self.embedding(codes, numbers, bags).flatten(1)
        return self.output(self.dropout(self.norm(fields)))


class NormedClassifier(MultiTaskClassifier):
    def build_network(self, embedding, n_outputs, generator):
        return Normed(embedding, n_outputs)


MODELS = {
    name.removesuffix("Classifier"): (getattr(baselines, name), ALL)
    for name in baselines.__all__
    if name.endswith("Classifier")
} | {
    "own network": (NormedClassifier, ALL),
    "balanced": (
        DEPHNMultiTaskClassifier,
        {**ALL, "class_weight": "balanced", "task_weights": "uncertainty"},
    ),
    "members": (DEPHNMultiTaskClassifier, {**ALL, "n_networks": 2}),
    "own members": (NormedClassifier, {**ALL, "n_networks": 3}),
    "statistics": (
        DEPHNMultiTaskClassifier,
        {**ALL, "encoder": FieldEncoder(target_statistics=["shop"])},
    ),
}


def make(cls=DEPHNMultiTaskClassifier, **options):
    given = {**SMALL, "max_epochs": 4, **options}
    return cls(**{k: v for k, v in given.items() if k in cls._parameters})


def planned(model, weights=None, **how):
    return FitPlan.of(model, X, Y, weights, epochs=model.max_epochs, **how)


def through_json(state):
    """The state as if it came from a file: nothing of it is shared."""
    return {
        key: value.clone() if torch.is_tensor(value) else json.loads(json.dumps(value))
        for key, value in state.items()
    }


def trained(plan, state=None):
    """What a run ends in, and the states after each of its steps and epochs."""
    begun, states = plan.begin(), []
    if state is not None:
        begun.resume(state)
    trainer = Trainer(begun, plan)

    def capture(state):
        states.append(through_json(state.state()))

    for _ in trainer.run(capture):
        capture(begun)
    fitted = trainer.fitted()
    end = {k: as_bytes(v) for k, v in through_json(fitted.state.state()).items()}
    end["history"] = repr([{**row, "dur": 0} for row in fitted.net.history])
    end |= {k: as_bytes(v) for k, v in fitted.network.state_dict().items()}
    return {**end, "kept": fitted.kept_epoch}, states


def assert_goes_on(plan, n_states=None):
    """Whatever has been left before, after any step, the end is the same."""
    end, states = trained(plan())
    assert len(states) == n_states or n_states is None
    for state in states:
        again, others = trained(plan(), state)
        where = state["epoch"], state["step"]
        assert not {k for k in end.keys() | again.keys() if end[k] != again[k]}, where
        assert len(others) == len(states) - 1 - states.index(state)


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize("how", ["plain", "all"])
def test_callbacks_go_on(callbacks, how):
    options = {"plain": {}, "all": ALL}[how]
    assert_goes_on(lambda: planned(make(**options, callbacks=CALLBACKS[callbacks]())))


@pytest.mark.parametrize("name", MODELS)
def test_any_network_goes_on(name):
    cls, options = MODELS[name]
    assert_goes_on(lambda: planned(make(cls, **options, learning_rate=0.05)))


@pytest.mark.parametrize("validation", ["groups", "given"])
def test_weights_groups_and_validation_sets_go_on(validation):
    how = {
        "groups": {"groups": GROUPS},
        "given": {"validation": make_log(30, seed=1)},
    }[validation]
    assert_goes_on(lambda: planned(make(**ALL), WEIGHTS, **how))


@pytest.mark.parametrize("n_networks", [1, 2])
def test_pairs_smoothing_and_open_windows_go_on(n_networks):
    delays = np.where(Y == 1, ROWS.uniform(0, 1, Y.shape), np.nan)
    options = {
        "loss": {"click": "pairwise", "buy": "focal"},
        "label_smoothing": {"buy": 0.2},
        "label_window": {"buy": 7.0},
        "on_open_window": "weigh",
        "n_networks": n_networks,
    }
    times = Times(ROWS.uniform(0, 19, 80), delays, 20.0)
    how = {"groups": GROUPS, "times": times}
    assert_goes_on(lambda: planned(make(**ALL, **options), WEIGHTS, **how))


def test_what_went_on_from_a_fit_goes_on():
    callbacks = {"callbacks": [("s", LRScheduler("StepLR", step_size=1, gamma=0.5))]}
    before = make(**ALL, **callbacks, warm_start=True).fit(X, Y)
    assert_goes_on(lambda: planned(before, before=before._fitted), 4 * 2)


def test_steps_are_counted_without_the_last_of_an_epoch():
    assert_goes_on(lambda: planned(make()), 4 * 3)


def test_a_run_that_a_callback_has_ended_trains_no_more():
    def plan():
        return planned(make(callbacks=CALLBACKS["early stopping"](), max_epochs=30))

    end, states = trained(plan())
    assert states[-1]["stopped"]
    assert 2 < states[-1]["epoch"] < 30
    again, none = trained(plan(), states[-1])
    assert again == end
    assert not none


def test_whoever_goes_on_after_that_trains():
    callbacks = CALLBACKS["early stopping"]()
    model = make(callbacks=callbacks, max_epochs=30, warm_start=True).fit(X, Y)
    n = model.n_iter_
    assert model._fitted.state.stopped
    assert model.set_params(max_epochs=1).fit(X, Y).n_iter_ == n + 1


def test_what_callbacks_do_at_the_beginning_is_undone():
    """They hear of a beginning that was: what they change then, has been changed."""

    class Shifting(Callback):
        def on_epoch_begin(self, net, **kwargs):
            self._shift(net)

        on_train_begin = on_epoch_begin

        def _shift(self, net):
            with torch.no_grad():
                for parameter in net.module_.parameters():
                    parameter.add_(0.01)
            for group in net.optimizer_.param_groups:
                group["lr"] *= 1.5

    assert_goes_on(lambda: planned(make(callbacks=[Shifting()], weight_averaging=0.8)))


def test_a_run_that_is_resumed_shares_nothing_with_the_state():
    _, states = trained(planned(make(**ALL, callbacks=CALLBACKS["own"]())))
    before = [as_bytes(value) for value in states[1].values()]
    plan = planned(make(**ALL, callbacks=CALLBACKS["own"]()))
    trained(plan, states[1])
    assert [as_bytes(value) for value in states[1].values()] == before


def test_ctrl_c_in_a_resumed_run_keeps_what_was_whole():
    _, states = trained(planned(make()))
    plan = planned(make())
    whole = next(s for s in states if (s["epoch"], s["step"]) == (2, 0))
    begun = plan.begin()
    begun.resume(whole)
    trainer = Trainer(begun, plan)

    def interrupt(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(trainer.run(interrupt))
    kept = trainer.interrupted()
    assert len(kept.net.history) == 2
    for name, value in kept.network.state_dict().items():
        assert torch.equal(value, whole[f"network.{name}"])


@pytest.mark.parametrize("averaging", [0.0, 0.8])
def test_what_a_callback_freezes_in_a_later_epoch_learns_no_more(averaging):
    callbacks = [Freezer("embedding.*", at=2)]
    plan = planned(make(callbacks=callbacks, weight_averaging=averaging))
    _, states = trained(plan)
    tables = [
        [as_bytes(value) for key, value in s.items() if key.startswith("network.embed")]
        for s in states
    ]
    assert tables[0] != tables[1]
    assert all(later == tables[2] for later in tables[3:])
