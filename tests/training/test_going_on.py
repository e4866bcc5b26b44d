"""Training in pieces is training in one."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from _logs import SMALL, assert_same_learned, make_log
from numpy.testing import assert_array_equal
from sklearn.model_selection import KFold
from skorch.callbacks import Callback, Checkpoint, GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import LinearLR, OneCycleLR, SequentialLR, StepLR

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier
from dephn_sk.preprocessing import FieldEncoder

X, Y = make_log(64)


def make(cls=DEPHNMultiTaskClassifier, **options):
    given = {**SMALL, "warm_start": True, "max_epochs": 4, **options}
    return cls(**{k: v for k, v in given.items() if k in cls._parameters})


def falling(epoch):
    return math.exp(-epoch)


def warmed_up(optimizer, last_epoch=-1):
    parts = [LinearLR(optimizer, 0.1, total_iters=2), StepLR(optimizer, 1, gamma=0.5)]
    return SequentialLR(optimizer, parts, milestones=[2])


class Remember(Callback):
    """Slows down with the number of epochs that it has itself seen."""

    def __init__(self, factor=0.5):
        self.factor = factor
        self.seen_ = []

    def on_epoch_end(self, net, **kwargs):
        self.seen_.append(net.history[-1, "epoch"])
        for group in net.optimizer_.param_groups:
            group["lr"] *= self.factor


STOPPING = {"early_stopping": True, "validation_fraction": 0.3, "n_epochs_no_change": 9}
AVERAGING = {"weight_averaging": 0.8}
HOW = {
    "plain": {},
    "averaged": AVERAGING,
    "watched": STOPPING,
    "watched and averaged": {**STOPPING, **AVERAGING, "learning_rate": 0.05},
}
SCHEDULES = {
    "steps": {"policy": "StepLR", "step_size": 1, "gamma": 0.5},
    "cosine": {"policy": "CosineAnnealingLR", "T_max": 4},
    "cosine by batch": {
        "policy": "CosineAnnealingLR",
        "T_max": 8,
        "step_every": "batch",
    },
    "one cycle": {
        "policy": OneCycleLR,
        "max_lr": 0.1,
        "total_steps": 8,
        "step_every": "batch",
    },
    "function": {"policy": "LambdaLR", "lr_lambda": falling},
    "sequence": {"policy": warmed_up},
}
CALLBACKS = {
    **{name: lambda s=s: [("s", LRScheduler(**s))] for name, s in SCHEDULES.items()},
    "clipping": lambda: [GradientNormClipping(0.01)],
    "clipping and steps": lambda: [
        GradientNormClipping(0.01),
        LRScheduler("StepLR", step_size=1, gamma=0.5),
    ],
    "of its own": lambda: [("own", Remember())],
    "class": lambda: [Remember],
    "factory": lambda: [("s", made_schedule)],
}


def made_schedule():
    return LRScheduler("StepLR", step_size=1, gamma=0.5)


def plateau():
    return [LRScheduler("ReduceLROnPlateau", monitor="valid_loss", patience=0)]


def in_pieces(model, n_epochs, between=lambda model: model):
    """Fit for so many epochs at a time."""
    for n in n_epochs:
        model = between(model.set_params(max_epochs=n).fit(X, Y))
    return model


def through_a_pickle(model):
    return pickle.loads(pickle.dumps(model))


def assert_pieces_are_one(pieces=(1, 3), between=lambda model: model, **options):
    def callbacks():
        return options["callbacks"]() if options.get("callbacks") else None

    whole = make(**{**options, "callbacks": callbacks()}).fit(X, Y)
    parts = make(**{**options, "callbacks": callbacks()})
    parts = in_pieces(parts, pieces, between)
    assert len(parts._fitted.state.history) == sum(pieces)
    assert_same_learned(parts, whole)
    assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))


@pytest.mark.parametrize("between", [lambda model: model, through_a_pickle])
@pytest.mark.parametrize("how", HOW)
def test_pieces_are_the_whole_however_it_is_watched(how, between):
    assert_pieces_are_one((1, 2, 1), between, **HOW[how])


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize("how", ["plain", "watched and averaged"])
def test_pieces_are_the_whole_with_callbacks(how, callbacks):
    assert_pieces_are_one(**HOW[how], callbacks=CALLBACKS[callbacks])


@pytest.mark.parametrize("callbacks", [*SCHEDULES, "clipping", "factory"])
def test_schedules_go_on_after_a_pickle(callbacks):
    assert_pieces_are_one(
        (1, 2, 1), through_a_pickle, **AVERAGING, callbacks=CALLBACKS[callbacks]
    )


@pytest.mark.parametrize("between", [lambda model: model, through_a_pickle])
def test_a_plateau_is_remembered(between):
    options = {**STOPPING, "learning_rate": 0.3, "callbacks": plateau}
    assert_pieces_are_one((2, 1, 1), between, **options)


@pytest.mark.parametrize("how", HOW)
def test_a_checkpoint_shows_its_best_and_training_goes_on_from_the_last(how, tmp_path):
    monitor = "valid_loss_best" if "early_stopping" in HOW[how] else "train_loss_best"

    def checkpoints():
        return [Checkpoint(dirname=tmp_path, monitor=monitor, load_best=True)]

    assert_pieces_are_one(**HOW[how], callbacks=checkpoints)


MODELS = {
    "MMoE": {"cls": MMoEClassifier},
    "uncertainty": {"task_weights": "uncertainty"},
    "gates by sgd": {"gate_optimizer": "sgd"},
    "gates by adam": {"gate_optimizer": "adam"},
    "no virtual gradient": {"virtual_gradient": None},
    "float64": {"dtype": "float64"},
    "statistics": {
        "encoder": FieldEncoder(target_statistics=["shop"], target_folds=KFold(3))
    },
    "folds by an instance": {
        "encoder": FieldEncoder(
            target_statistics=["shop"], random_state=np.random.RandomState(0)
        )
    },
    "arrays": {"categorical_features": np.array(["shop"])},
}


@pytest.mark.parametrize("between", [lambda model: model, through_a_pickle])
@pytest.mark.parametrize("name", MODELS)
def test_pieces_are_the_whole_of_any_estimator(name, between):
    assert_pieces_are_one((2, 2), between, **STOPPING, **AVERAGING, **MODELS[name])


@pytest.mark.parametrize("averaging", [0.0, 0.8])
@pytest.mark.parametrize("callbacks", ["steps", "one cycle", "of its own"])
def test_partial_fit_is_an_epoch(averaging, callbacks):
    options = {"weight_averaging": averaging}
    whole = make(**options, callbacks=CALLBACKS[callbacks]()).fit(X, Y)
    parts = make(**options, callbacks=CALLBACKS[callbacks]())
    for _ in range(4):
        parts.partial_fit(X, Y)
    assert_same_learned(parts, whole)


# ------------------------------------------------------------------ after an early stop


def stopped(**options):
    given = {**STOPPING, **AVERAGING, "learning_rate": 0.3, "n_epochs_no_change": 2}
    return make(**{**given, "max_epochs": 30, **options}).fit(X, Y)


@pytest.mark.parametrize("between", [lambda model: model, through_a_pickle])
def test_after_an_early_stop_training_goes_on_from_the_last_step(between):
    model = stopped()
    n = model.n_iter_
    assert n < 30
    assert model.kept_epoch_ == n - 2
    model = between(model)
    model.set_params(n_epochs_no_change=9, max_epochs=3).fit(X, Y)
    patient = stopped(n_epochs_no_change=9, max_epochs=n + 3)
    assert_same_learned(model, patient)


def test_after_an_early_stop_the_best_weights_are_still_to_be_beaten():
    model = stopped()
    n, best = model.n_iter_, model.history_.valid_loss.min()
    model.set_params(learning_rate=10.0).fit(X, Y)
    assert model.n_iter_ == n + 2  # as patient as at the beginning
    assert model.history_.valid_loss[n:].min() > best
    assert model.kept_epoch_ == n - 2


# ------------------------------------------------------------------ given anew


def rates(model):
    return {g["lr"] for g in model.net_.rules_["adam"].param_groups}


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", 0.5), ("weight_decay", 0.7)]
)
def test_what_is_given_anew_is_taken_over_by_the_optimizer(name, value):
    model, same = make().fit(X, Y), make().fit(X, Y)
    model.set_params(**{name: value}).fit(X, Y)
    key = {"learning_rate": "lr"}.get(name, name)
    assert {g[key] for g in model.net_.optimizer_.param_groups} == {value}
    changed = model.predict_proba(X)
    assert not np.array_equal(changed, same.fit(X, Y).predict_proba(X))


def test_a_batch_size_given_anew_is_taken_over():
    model = make(batch_size=32).fit(X, Y).set_params(batch_size=16).fit(X, Y)
    assert model.net_.history[:, "train_batch_count"] == [2] * 4 + [4] * 4


@pytest.mark.parametrize(
    "params",
    [{"n_threads": None}, {"verbose": 1}, {"device": "cpu"}, {"precision": "tf32"}],
)
def test_what_does_not_change_the_numbers_is_free(params):
    model, twin = make().fit(X, Y), make().fit(X, Y)
    assert_same_learned(model.set_params(**params).fit(X, Y), twin.fit(X, Y))


@pytest.mark.parametrize(
    "params",
    [
        *({"embedding_dim": 3}, {"dtype": "float64"}, {"weight_averaging": 0.5}),
        *({"task_weights": "uncertainty"}, {"monitor": "score"}, {"dropout": 0.5}),
        *({"gate_learning_rate": 0.3}, {"categorical_features": ["shop"]}),
        {"encoder": FieldEncoder(min_frequency=2)},
    ],
    ids=lambda params: next(iter(params)),
)
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_what_is_fixed_is_refused_by_name(call, params):
    model, twin = make().fit(X, Y), make().fit(X, Y)
    before = {name: getattr(model, name) for name in params}
    with pytest.raises(ValueError, match=rf"^{next(iter(params))}=.* differs"):
        getattr(model.set_params(**params), call)(X, Y)
    assert_same_learned(model.set_params(**before).fit(X, Y), twin.fit(X, Y))


def scheduled(gamma=0.5, **options):
    schedule = LRScheduler("StepLR", step_size=1, gamma=gamma)
    return make(callbacks=[("s", schedule)], **options)


@pytest.mark.parametrize("how", ["set_params", "set", "another"])
def test_a_schedule_given_anew_begins_anew(how):
    model = scheduled().fit(X, Y)
    assert rates(model) == {2e-3 / 16}
    if how == "set_params":
        model.set_params(callbacks__s__gamma=0.1)
    elif how == "set":
        model.callbacks[0][1].gamma = 0.1
    else:
        model.set_params(callbacks=scheduled(0.1).callbacks)
    assert rates(model.set_params(max_epochs=1).fit(X, Y)) == {2e-4}


def test_a_schedule_given_for_the_first_time_begins_at_its_beginning():
    model = make().fit(X, Y).set_params(callbacks=scheduled().callbacks, max_epochs=1)
    assert rates(model.fit(X, Y)) == {1e-3}
    assert rates(model.fit(X, Y)) == {5e-4}


def test_a_schedule_that_is_given_no_more_leaves_the_learning_rate():
    one_cycle = LRScheduler(**SCHEDULES["one cycle"])
    model = make(callbacks=[one_cycle]).fit(X, Y).set_params(callbacks=None).fit(X, Y)
    assert rates(model) == {2e-3}
    assert {g["betas"] for g in model.net_.optimizer_.param_groups} == {(0.9, 0.999)}


def test_a_learning_rate_given_anew_begins_the_schedule_anew():
    model = scheduled().fit(X, Y).set_params(learning_rate=1.0, max_epochs=1)
    assert rates(model.fit(X, Y)) == {0.5}


# ------------------------------------------------------------------ what callbacks hold


def test_equal_callbacks_go_on_and_others_begin():
    model = make(callbacks=[("r", Remember(0.5))]).fit(X, Y)
    model.set_params(callbacks=[("r", Remember(0.5))], max_epochs=1).fit(X, Y)
    assert dict(model.net_.callbacks_)["r"].seen_ == [1, 2, 3, 4, 5]
    model.set_params(callbacks=[("r", Remember(0.9))]).fit(X, Y)
    assert dict(model.net_.callbacks_)["r"].seen_ == [6]


class Holds(Callback):
    """Holds what cannot be copied."""

    def initialize(self):
        self.lock_ = type(self).lock
        return self


class Uncopied:
    def __deepcopy__(self, memo):
        raise TypeError("there is one alone")


Holds.lock = Uncopied()


def test_what_cannot_be_copied_is_shared():
    model = make(callbacks=[("h", Holds())]).fit(X, Y)
    held = dict(model.net_.callbacks_)["h"]
    model.fit(X, Y)
    assert dict(model.net_.callbacks_)["h"] is not held
    assert dict(model.net_.callbacks_)["h"].lock_ is Holds.lock


class Box:
    """A value without an equality of its own."""

    def __init__(self, value):
        self.value = value


class Boxed(Remember):
    def __init__(self, box=None, factor=0.5):
        super().__init__(factor)
        self.box = box


@pytest.mark.parametrize("between", [lambda model: model, through_a_pickle])
def test_parameters_are_compared_by_what_they_hold(between):
    model = make(callbacks=[("b", Boxed(Box(1)))]).fit(X, Y)
    model = between(model).set_params(callbacks=[("b", Boxed(Box(1)))])
    assert rates(model.fit(X, Y)) == {2e-3 / 2**8}
    model.set_params(callbacks=[("b", Boxed(Box(2)))]).fit(X, Y)
    assert dict(model.net_.callbacks_)["b"].seen_ == [9, 10, 11, 12]


def test_a_trimmed_estimator_begins_its_schedule_anew():
    model = scheduled().fit(X, Y).trim().set_params(max_epochs=1)
    assert rates(model.fit(X, Y)) == {1e-3}
    assert model.n_iter_ == 5


def test_the_best_epoch_has_its_own_buffers():
    from dephn_sk import MultiTaskClassifier
    from dephn_sk.nn import TaskNetwork

    class Net(TaskNetwork):
        def __init__(self, embedding, n_outputs):
            super().__init__()
            self.embedding = embedding
            self.norm = torch.nn.BatchNorm1d(embedding.width)
            self.output = torch.nn.Linear(embedding.width, sum(n_outputs))

        def forward(self, codes, numbers=None, bags=(), label_similarity=None):
            fields = self.embedding(codes, numbers, bags).flatten(1)
            return self.output(self.norm(fields))

    class Classifier(MultiTaskClassifier):
        def build_network(self, embedding, n_outputs, generator):
            return Net(embedding, n_outputs)

    options = {**STOPPING, "learning_rate": 0.3, "n_epochs_no_change": 3}
    model = make(Classifier, **options, max_epochs=20).fit(X, Y)
    short = make(Classifier, **options, max_epochs=model.kept_epoch_).fit(X, Y)
    assert model.kept_epoch_ < model.n_iter_
    assert_array_equal(model.predict_proba(X), short.predict_proba(X))
