"""Whatever a call raises, an estimator is afterwards as it was before."""

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from _logs import SMALL, assert_same_learned, learned, make_log
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier, SNRClassifier
from dephn_sk.nn import _table
from dephn_sk.preprocessing import FieldEncoder

X, Y = make_log(64)
NEW, NEW_Y = make_log(64, shops="abxyz", seed=1)  # with shops that nobody knows
TRAINING = [
    "on_train_begin",
    "on_epoch_begin",
    "on_batch_begin",
    "on_grad_computed",
    "on_batch_end",
    "on_epoch_end",
    "on_train_end",
]


class Trip(Callback):
    """Raises in one of the events, once it is armed; until then it counts them."""

    armed: tuple = ("", None)

    def __init__(self):
        self.heard_ = 0

    def _hear(self, event, net):
        self.heard_ += 1
        net.history.record("heard", self.heard_)
        if Trip.armed[0] == event:
            raise Trip.armed[1]("tripped")


def _make(event):
    def hear(self, net, *args, **kwargs):
        self._hear(event, net)

    return hear


for _event in TRAINING[1:]:
    setattr(Trip, _event, _make(_event))


def _at_the_start(self, net, **kwargs):
    if net.history:  # what a callback writes to is not that of the fitted model
        self._hear("on_train_begin", net)
    elif Trip.armed[0] == "on_train_begin":
        raise Trip.armed[1]("tripped")


Trip.on_train_begin = _at_the_start


@pytest.fixture(autouse=True)
def disarmed():
    yield
    Trip.armed = ("", None)


def make(cls=DEPHNMultiTaskClassifier, **options):
    small = dict(SMALL)
    for name in ("expert_hidden", "tower_hidden"):
        if name not in cls._parameters:
            del small[name]
    callbacks = [("trip", Trip()), LRScheduler("StepLR", step_size=1, gamma=0.9)]
    return cls(**{**small, "max_epochs": 1, "callbacks": callbacks, **options})


def watched(**options):
    return make(
        early_stopping=True, monitor="score", validation_fraction=0.4, **options
    )


MODELS = {
    "plain": make,
    "averaged": lambda **o: make(weight_averaging=0.9, **o),
    "watched": watched,
    "watched and averaged": lambda **o: watched(weight_averaging=0.9, **o),
    "statistics": lambda **o: make(
        encoder=FieldEncoder(target_statistics=["shop"], min_frequency=2), **o
    ),
    "uncertainty": lambda **o: make(task_weights="uncertainty", **o),
    "large tables": lambda **o: make(weight_averaging=0.9, **o),
    "MMoE": lambda **o: make(MMoEClassifier, **o),
    "SNR": lambda **o: make(SNRClassifier, **o),
}


@pytest.fixture(params=MODELS)
def kind(request, monkeypatch):
    """What makes an estimator, and how many faults it has to bear; None is all."""
    if request.param == "large tables":
        monkeypatch.setattr(_table, "SPARSE_ROWS", 1)
    all_faults = request.param in ("plain", "watched and averaged")
    return MODELS[request.param], None if all_faults else 6


def fit_again(model, X, Y, **given):
    return model.fit(X, Y, **given)


def go_on(model, X, Y, **given):
    return model.set_params(warm_start=True).fit(X, Y, **given)


def grow(model, X, Y, **given):
    return model.partial_fit(X, Y, **given)


CALLS = {"fit": fit_again, "warm_start": go_on, "partial_fit": grow}


def bad_input(call, first):
    """Data that each call refuses, by what is wrong with them."""
    infinite = NEW_Y.astype(float).assign(buy=np.inf)
    bad = {
        "a label": (NEW, infinite, {}),
        "a weight": (NEW, NEW_Y, {"sample_weight": -np.ones(len(NEW))}),
        "the length": (NEW, NEW_Y[:-1], {}),
        "a number": (NEW.assign(size=np.inf), NEW_Y, {}),
        "no row": (NEW[:0], NEW_Y[:0], {}),
    }
    if not first and call != "fit":
        bad["an unknown label"] = (NEW, NEW_Y.assign(click=[7, *NEW_Y.click[1:]]), {})
        bad["other tasks"] = (NEW, NEW_Y.rename(columns={"buy": "pay"}), {})
        bad["fewer tasks"] = (NEW, NEW_Y[["click"]], {})
        bad["an unknown column"] = (NEW.assign(more=1.0), NEW_Y, {})
        bad["text for numbers"] = (NEW.assign(size="large"), NEW_Y, {})
    if call != "partial_fit":
        valid = {"X_val": NEW.assign(age=-np.inf), "y_val": NEW_Y}
        bad["validation rows"] = (NEW, NEW_Y, valid)
        bad["half a validation set"] = (NEW, NEW_Y, {"X_val": NEW})
        bad["validation labels"] = (NEW, NEW_Y, {"X_val": NEW, "y_val": infinite})
    return bad


def bad_parameters(call, first):
    bad = [{"learning_rate": 1e30}, {"dropout": 2.0}, {"device": "abacus"}]
    bad += [{"callbacks": ["no callback"]}, {"batch_size": 0}, {"task_weights": [1]}]
    if not first and call != "fit":
        bad += [{"embedding_dim": 3}, {"dtype": "float64"}]
    return bad


def faults(model, call, first=False, n=None):
    """Do `n` things that are refused, one by one; yield what it was each time.

    Without `n`, all of them.
    """
    every = list(_faults(call, first, watches=model.early_stopping))
    for name, fault in every if n is None else every[:: -(-len(every) // n)]:
        fault(model)
        yield name


def _faults(call, first, watches):
    """What is refused, each with a function that has it refused."""
    do = CALLS[call]

    def input_is_bad(X_bad, Y_bad, given):
        def fault(model):
            with pytest.raises(ValueError):
                do(model, X_bad, Y_bad, **given)

        return fault

    def parameter_is_bad(params):
        def fault(model):
            before = {name: getattr(model, name) for name in params}
            with pytest.raises(ValueError):
                do(model.set_params(**params), NEW, NEW_Y)
            model.set_params(**before)

        return fault

    def trips(*armed):
        def fault(model):
            Trip.armed = armed
            with pytest.raises(armed[1]):
                do(model, NEW, NEW_Y)
            Trip.armed = ("", None)

        return fault

    for event in TRAINING:
        yield f"an error {event}", trips(event, RuntimeError)
    for event in TRAINING[2:5]:
        yield f"Ctrl-C {event}", trips(event, KeyboardInterrupt)
    for name, bad in bad_input(call, first).items():
        yield name, input_is_bad(*bad)
    for params in bad_parameters(call, first):
        yield repr(params), parameter_is_bad(params)
    if watches and call != "partial_fit":
        undefined = {"X_val": NEW, "y_val": NEW_Y * 0}
        yield "an undefined score", input_is_bad(NEW, NEW_Y, undefined)


def public(model):
    names = [n for n in dir(model) if n.endswith("_") and not n.startswith("_")]
    return {name: repr(getattr(model, name)) for name in names if hasattr(model, name)}


@pytest.mark.filterwarnings("ignore:.*early_stopping|.*is undefined")
@pytest.mark.parametrize("call", CALLS)
def test_a_refused_call_leaves_a_fitted_model_as_it_was(kind, call):
    maker, n = kind
    model, twin = maker().fit(X, Y), maker().fit(X, Y)
    assert_same_learned(model, twin)
    fitted, shown, kept = model._fitted, public(model), pickle.dumps(model._fitted)
    known, unknown = model.predict_proba(X), model.predict_proba(NEW)
    for fault in faults(model, call, n=n):
        assert model._fitted is fitted, fault
        assert pickle.dumps(fitted) == kept, fault
        assert public(model) == shown, fault
        assert_array_equal(model.predict_proba(X), known, fault)
        assert_array_equal(model.predict_proba(NEW), unknown, fault)
    for one in (model, twin):
        CALLS[call](one, NEW, NEW_Y)
    assert_same_learned(model, twin)
    assert_array_equal(model.predict_proba(NEW), twin.predict_proba(NEW))


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_a_refused_call_leaves_an_unfitted_model_unfitted(kind, call):
    maker, n = kind
    model = maker()
    for fault in faults(model, call, first=True, n=n):
        assert not model.__sklearn_is_fitted__(), fault
        assert vars(model).keys() == vars(clone(model)).keys(), fault
    assert_same_learned(CALLS[call](model, X, Y), CALLS[call](maker(), X, Y))


@pytest.mark.parametrize("call", CALLS)
def test_a_refused_call_draws_nothing_from_a_random_state(call):
    model, twin = (make(random_state=np.random.RandomState(3)) for _ in range(2))
    model.fit(X, Y)
    twin.fit(X, Y)
    for fault in faults(model, call):
        now, then = (m.random_state.get_state()[1:] for m in (model, twin))
        assert all(map(np.array_equal, now, then)), fault
    assert_same_learned(CALLS[call](model, X, Y), CALLS[call](twin, X, Y))


@pytest.mark.parametrize("call", CALLS)
def test_what_the_user_gave_is_not_changed(call):
    encoder = FieldEncoder(target_statistics=["shop"])
    trip, schedule = Trip(), LRScheduler("StepLR", step_size=1)
    model = make(encoder=encoder, callbacks=[("trip", trip), schedule]).fit(X, Y)
    for _ in faults(model, call):
        pass
    CALLS[call](model, NEW, NEW_Y)
    assert model.encoder is encoder
    assert not encoder.__sklearn_is_fitted__()
    assert model.callbacks == [("trip", trip), schedule]
    assert trip.heard_ == 0
    assert not hasattr(schedule, "lr_scheduler_")


# ------------------------------------------------------------------ interruptions


class InterruptedIn(Callback):
    """Ctrl-C in the second batch of some epoch."""

    def __init__(self, epoch=None):
        self.epoch = epoch

    def on_batch_end(self, net, training=False, **kwargs):
        row = net.history[-1]
        if training and row["epoch"] == self.epoch and len(row["batches"]) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}])
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_ctrl_c_in_the_first_epoch_leaves_nothing(options, call):
    model = make(**options, callbacks=[InterruptedIn(1)])
    with pytest.raises(KeyboardInterrupt):
        CALLS[call](model, X, Y)
    assert not model.__sklearn_is_fitted__()


@pytest.mark.parametrize("valid", [{}, {"X_val": NEW, "y_val": NEW_Y}])
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_ctrl_c_keeps_the_last_whole_epoch_where_none_is_watched(averaging, valid):
    options = {"weight_averaging": averaging, "callbacks": [InterruptedIn(3)]}
    model = make(max_epochs=9, **options)
    with (
        pytest.warns(UserWarning, match="interrupted after 2 whole epochs"),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(X, Y, **valid)
    twin = make(max_epochs=2, **options).fit(X, Y, **valid)
    assert_array_equal(model.predict_proba(NEW), twin.predict_proba(NEW))
    assert model.n_iter_ == len(model.history_) == 2
    assert model.kept_epoch_ is None


def test_ctrl_c_keeps_the_best_epoch_where_it_is_watched():
    options = {"early_stopping": True, "learning_rate": 1.0, "n_epochs_no_change": 9}
    whole = make(max_epochs=6, **options, callbacks=[InterruptedIn()]).fit(X, Y)
    best = int(whole.history_.valid_loss.argmin()) + 1
    assert best < 6  # or else it is not told apart from the last
    model = make(max_epochs=9, **options, callbacks=[InterruptedIn(7)])
    with (
        pytest.warns(UserWarning, match="the best of them"),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(X, Y)
    assert_array_equal(model.predict_proba(NEW), whole.predict_proba(NEW))
    assert model.kept_epoch_ == whole.kept_epoch_ == best


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}])
def test_after_ctrl_c_an_estimator_can_be_copied_and_go_on(options):
    callbacks = [InterruptedIn(2), LRScheduler("StepLR", step_size=1)]
    model = make(**options, max_epochs=2, callbacks=callbacks, warm_start=True)
    with pytest.warns(UserWarning), pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    model.callbacks[0].epoch = None
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict_proba(NEW), model.predict_proba(NEW))
    assert_same_learned(model.fit(X, Y), copy.fit(X, Y))
    assert model.n_iter_ == 3


@pytest.mark.parametrize("event", ["on_epoch_begin", "on_epoch_end"])
def test_a_callback_may_end_training_between_epochs(event):
    class Enough(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if event == "on_epoch_begin" and len(net.history) == 3:
                raise KeyboardInterrupt

        def on_epoch_end(self, net, **kwargs):
            if event == "on_epoch_end" and len(net.history) == 2:
                raise KeyboardInterrupt

    model = make(max_epochs=9, callbacks=[Enough]).fit(X, Y)
    twin = make(max_epochs=2, callbacks=[]).fit(X, Y)
    assert model.n_iter_ == len(model.history_) == 2
    assert_array_equal(model.predict_proba(NEW), twin.predict_proba(NEW))


def test_a_callback_that_ends_training_before_it_begins_leaves_nothing():
    class Never(Callback):
        def on_epoch_begin(self, net, **kwargs):
            raise KeyboardInterrupt

    model = make(callbacks=[Never])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert not model.__sklearn_is_fitted__()


# ------------------------------------------------------------------ threads


def seen_meanwhile(model, look, train):
    """What a second thread sees while this one trains."""
    seen, done, failed = [], threading.Event(), []

    def loop():
        try:
            while not done.is_set():
                seen.append(look(model))
        except Exception as error:  # pragma: no cover
            failed.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        while not (seen or failed):
            pass
        train(model)
    finally:
        done.set()
        thread.join()
    assert not failed, failed
    return seen


LOOKS = {
    "predict_proba": lambda m: m.predict_proba(X[:5]),
    "predict": lambda m: m.predict(X[:5]),
    "logits": lambda m: m._fitted.logits(m._fitted.encode(X[:5])),
    "task_names_": lambda m: m.task_names_,
    "classes_": lambda m: m.classes_,
    "task_rates_": lambda m: m.task_rates_,
    "history_": lambda m: m.history_.drop(columns="dur"),
    "summary": lambda m: (m.n_iter_, m.n_features_in_),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_second_thread_sees_the_old_model_or_the_new_one(call):
    other = NEW_Y
    if call == "fit":  # tasks of other names, numbers and classes
        rank = pd.cut(NEW.age, 3, labels=list("xyz")).astype(str)
        other = NEW_Y.assign(rank=rank).rename(columns={"buy": "pay"})
    model = make(weight_averaging=0.9, callbacks=[]).fit(X, Y)

    def look(model):
        return [(name, repr(see(model))) for name, see in LOOKS.items()]

    def train(model):
        CALLS[call](model.set_params(max_epochs=8), NEW, other)

    old = look(model)
    seen = {one for looks in seen_meanwhile(model, look, train) for one in looks}
    assert seen <= {*old, *look(model)}


def test_a_second_thread_scores_while_a_first_one_trains():
    model = make(callbacks=[]).fit(X, Y)
    old = model.score(X, Y)
    seen = seen_meanwhile(
        model, lambda m: m.score(X, Y), lambda m: m.set_params(max_epochs=5).fit(X, Y)
    )
    assert set(seen) <= {old, model.score(X, Y)}


def test_warnings_are_none_of_a_refused_call():
    model = make().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError):
            model.partial_fit(NEW.assign(size=np.inf), NEW_Y)
    assert learned(model)
