"""Ranks that end before the others, each in another phase of a fit."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from unittest import mock

import numpy as np
from processes._cells import model, rows, sparse
from skorch.callbacks import Callback

from dephn_sk import training
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training import _rows, _trainer

VICTIM = 1


def end(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    raise ZeroDivisionError(how)


class Ends(Callback):
    """Ends its process in the second epoch, at one of its events."""

    def __init__(self, event, how, training=True):
        self.event, self.how, self.training = event, how, training

    def notify(self, event, net, **given):
        here = given.get("training", self.training) is self.training
        if event == self.event and here and len(net.history) == 2:
            end(self.how)

    def on_train_begin(self, net, **given):
        if self.event == "on_train_begin":
            end(self.how)

    def on_epoch_end(self, net, **given):
        self.notify("on_epoch_end", net, **given)

    def on_batch_end(self, net, **given):
        self.notify("on_batch_end", net, **given)

    def on_grad_computed(self, net, **given):
        self.notify("on_grad_computed", net, **given)


def at(phase, how):
    """What lets this process end in a phase of the fit."""
    where = {
        "count": (FieldEncoder, "fit_encode"),
        "labels": (_rows, "read_columns"),
        "encode": (training.FitPlan, "decision"),
        "losses": (_trainer.Trainer, "_losses"),
        "validation": (_trainer.Validation, "add"),
    }[phase]
    return mock.patch.object(*where, side_effect=lambda *_, **__: end(how))


def fit(rank, size, phase, how):
    X, y = rows()
    callbacks, one = None, model(early_stopping=True, max_epochs=3)
    if phase.startswith("on_"):
        mine = rank == VICTIM
        callbacks = [Ends(phase if mine else "none", how)]
        return one.set_params(callbacks=[("end", Quiet(callbacks[0]))]).fit(X, y)
    if rank == VICTIM:
        with at(phase, how):
            return one.fit(X, y)
    return one.fit(X, y)


class Quiet(Callback):
    """The same to whoever compares parameters, whatever it does."""

    inner = None

    def __init__(self, one=None):
        type(self).inner = one or type(self).inner

    def get_params(self, deep=True):
        return {}

    def on_train_begin(self, net, **given):
        self.inner.on_train_begin(net, **given)

    def on_epoch_end(self, net, **given):
        self.inner.on_epoch_end(net, **given)

    def on_batch_end(self, net, **given):
        self.inner.on_batch_end(net, **given)

    def on_grad_computed(self, net, **given):
        self.inner.on_grad_computed(net, **given)


def end_of_fit(rank, size, phase, how):
    """How a fit ends."""
    try:
        fit(rank, size, phase, how)
    except BaseException as error:
        return type(error).__name__, str(error)
    return "fitted", ""


class Wish(Callback):
    """On rank 0 alone, the wish to stop after some epochs."""

    of_rank_0 = True

    def on_epoch_end(self, net, **given):
        if len(net.history) == 2:
            raise KeyboardInterrupt


class Writes(Callback):
    """Counts what it hears, and loads other weights in the end."""

    of_rank_0 = True
    heard = []

    def on_epoch_end(self, net, **given):
        self.heard.append(len(net.history))
        net.history.record("written", len(net.history))

    def on_train_end(self, net, **given):
        for parameter in net.module_.parameters():
            parameter.data.zero_()


class Sees(Callback):
    """Which rows a rank is given."""

    seen = []

    def on_batch_begin(self, net, batch, training, **given):
        if training:
            self.seen.append(len(batch.labels))


def callbacks(rank, size):
    X, y = rows()
    stopped = model(callbacks=[Wish()], max_epochs=5, verbose=1).fit(X, y)
    written = model(callbacks=[Writes(), Sees()]).fit(X, y)
    zero = all(not p.any() for p in written.network_.parameters())
    return {
        "n_iter": stopped.n_iter_,
        "heard": Writes.heard,
        "written": list(written.net_.history[:, "written"]),
        "zero": zero,
        "seen": Sees.seen,
        "names": [name for name, _ in written.net_.callbacks_],
    }


def other_inputs(rank, size):
    """What is said where a rank was given something else."""
    X, y = rows()
    changed = y.copy()
    changed.iloc[3, 0] = 1 - changed.iloc[3, 0]
    given = [
        (model(learning_rate=0.01 + rank), X, y),
        (model(random_state=rank), X, y),
        (model(), X[: len(X) - rank], y[: len(y) - rank]),
        (model(), X, changed if rank else y),
        (model(), X.assign(price=X["price"] * (1 + rank)), y),
        (model(), X.iloc[::-1] if rank else X, y.iloc[::-1] if rank else y),
    ]
    found = []
    for one, table, labels in given:
        try:
            one.fit(table, labels)
            found.append("fitted")
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
        found.append(hasattr(one, "_fitted"))
    return found


def refused_input(rank, size):
    """An error of one rank's, of a fit and of a fitted model; then a fit of all."""
    X, y = rows()
    bad = y.astype(float)
    if rank == VICTIM:
        bad.iloc[4, 0] = np.inf
    one, before = model(), model().fit(X, y)
    kept = before.predict_proba(X)
    errors = []
    for each in (one, before):
        try:
            each.fit(X, bad)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    again = one.fit(X, y).predict_proba(X)
    return errors, np.array_equal(before.predict_proba(X), kept), again


def random_seeds(rank, size):
    """Bytes of a model without a seed, and whether one_process is one's own."""
    X, y = rows()
    shared = model(random_state=None).fit(X, y).predict_proba(X)
    with training.one_process():
        alone = model(random_state=rank).fit(X[: 100 + rank], y[: 100 + rank])
    return shared.tobytes(), alone.predict_proba(X).tobytes()


class Interrupt(Callback):
    """Of rank 1 alone, as Ctrl-C in the second epoch."""

    rank = 0

    def on_batch_begin(self, net, training, **given):
        if training and len(net.history) == 2 and Interrupt.rank == VICTIM:
            raise KeyboardInterrupt


def interrupted(rank, size):
    """What is kept of a first fit that is interrupted."""
    X, y = rows()
    Interrupt.rank = rank
    one = model(callbacks=[Interrupt()], max_epochs=3)
    try:
        one.fit(X, y)
    except KeyboardInterrupt:
        return "KeyboardInterrupt", one.n_iter_


def source_without_ranks(rank, size):
    """A source of a user's that was written for one process."""
    X, y = rows()
    with mock.patch.object(training.ArraySource, "knows_ranks", False):
        try:
            model().fit(X, y)
        except Exception as error:
            return str(error)


def resumed(rank, size, folder, stops):
    """A fit that is killed, or goes on from what is there."""
    X, y = rows()
    Path(folder).mkdir(exist_ok=True)
    path = str(Path(folder) / "fit.zip")
    end_ = Quiet(Ends("on_epoch_end" if stops and rank == VICTIM else "none", "kill"))
    one = model(early_stopping=True, max_epochs=4, callbacks=[("end", end_)])
    with sparse():
        return one.fit(X, y, checkpoint=path).predict_proba(X), one.n_iter_
