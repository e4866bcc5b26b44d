"""Fits that are killed at random instants, started again, and compared by their bytes.

    python tests/storage/_kills.py --kills 10

An instant is a line of the library's code on training and files that is about to run;
or, in every fifth kill, any moment. A fit that is killed is started again by the same
call, and in every second case killed once more before it may end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
)
from torch.optim.lr_scheduler import OneCycleLR

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, storage
from dephn_sk.baselines import DCNClassifier, MMoEClassifier, PLEClassifier
from dephn_sk.nn import _table
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.storage import _archive
from dephn_sk.training import Keeper

sys.path.insert(0, str(Path(__file__).parents[1]))
from _logs import SMALL, as_bytes, make_log

X, Y = make_log(90)
ROWS = np.random.default_rng(0)
WEIGHTS = ROWS.uniform(0.5, 2, (90, 2)) * ROWS.integers(0, 3, (90, 1))
GROUPS = ROWS.integers(0, 30, 90)
X_VAL, Y_VAL = make_log(40, seed=1)
WATCHED = {"early_stopping": True, "validation_fraction": 0.3, "n_epochs_no_change": 2}
NOISY = {"dropout": 0.4, "embedding_dropout": 0.3, "unseen_rate": 0.2}
ALL = {**WATCHED, **NOISY, "weight_averaging": 0.8, "learning_rate": 0.02}
EACH_STEP = "0s"
LIBRARY = Path(dephn_sk.__file__).parent
TRACED = tuple(str(LIBRARY / name) for name in ("training", "storage", "_estimator.py"))
PHASES = ("before the first epoch", "within an epoch", "between epochs", "writing")


class Slowing(Callback):
    """Slows down by what it has itself seen."""

    def on_train_begin(self, net, **kwargs):
        self.losses_, self.mean_ = [], torch.zeros(())

    def on_batch_end(self, net, loss, training, **kwargs):
        self.mean_ = self.mean_ + loss

    def on_epoch_end(self, net, **kwargs):
        self.losses_.append(float(self.mean_))
        net.history.record("seen", list(self.losses_))
        for group in net.optimizer_.param_groups:
            group["lr"] *= 0.9 ** len(self.losses_)


def make(cls=DEPHNMultiTaskClassifier, **options):
    given = {**SMALL, "max_epochs": 4, **options}
    return cls(**{k: v for k, v in given.items() if k in cls._parameters})


def one_cycle():
    schedule = {"policy": OneCycleLR, "max_lr": 0.1, "total_steps": 40}
    return [GradientNormClipping(0.1), LRScheduler(**schedule, step_every="batch")]


def plain(path):
    return make().fit(X, Y, checkpoint=path)


def watched(path):
    return make(**ALL, max_epochs=6).fit(
        X, Y, checkpoint=path, checkpoint_every=EACH_STEP
    )


def scheduled(path):
    model = make(callbacks=one_cycle(), weight_averaging=0.8)
    return model.fit(X, Y, checkpoint=path, checkpoint_every=EACH_STEP)


def stateful_callbacks(path):
    stopping = EarlyStopping("train_loss", patience=1, threshold=0.1, load_best=True)
    model = make(callbacks=[Slowing(), stopping], max_epochs=6, **NOISY)
    return model.fit(X, Y, checkpoint=path, checkpoint_every=EACH_STEP)


def uncertainty(path):
    model = make(**ALL, task_weights="uncertainty", class_weight="balanced")
    return model.fit(X, Y, checkpoint=path, checkpoint_every=2)


def large_tables(path):
    _table.SPARSE_ROWS = 1
    model = make(weight_averaging=0.8, **NOISY)
    return model.fit(X, Y, checkpoint=path, checkpoint_every=EACH_STEP)


def gates_by_sgd(path):
    model = make(gate_optimizer="sgd", gate_learning_rate=0.5, **WATCHED)
    model.set_params(virtual_gradient="multiplicative-cos", selection="soft")
    return model.fit(X, Y, groups=GROUPS, checkpoint=path)


def mmoe(path):
    model = make(MMoEClassifier, **ALL)
    how = {"X_val": X_VAL, "y_val": Y_VAL, "checkpoint_every": EACH_STEP}
    return model.fit(X, Y, WEIGHTS, checkpoint=path, **how)


def network_per_task(path):
    model = make(DCNClassifier, **ALL)
    return model.fit(X, Y, WEIGHTS, groups=GROUPS, checkpoint=path)


def warm_started(path):
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.5)
    model = make(PLEClassifier, **ALL, warm_start=True, callbacks=[schedule])
    model.fit(X, Y, checkpoint=path.with_name("first"))
    return model.fit(X, Y, checkpoint=path, checkpoint_every=EACH_STEP)


def in_a_pipeline(path):
    encoder = FieldEncoder(target_statistics=["shop"], missing_category=True)
    model = make(**ALL, encoder=encoder, random_state=np.random.RandomState(3))
    pipeline = make_pipeline(FunctionTransformer(), model)
    step = type(model).__name__.lower()
    pipeline.fit(X, Y, **{f"{step}__checkpoint": path})
    return pipeline[-1]


def beside_one_of_skorch(path):
    files = Checkpoint(
        dirname=path.with_name("skorch"), monitor="train_loss_best", load_best=True
    )
    model = make(dtype="float64", callbacks=[files], **NOISY)
    return model.fit(X, Y, checkpoint=path, checkpoint_every=EACH_STEP)


CONFIGURATIONS = [
    *(plain, watched, scheduled, stateful_callbacks, uncertainty, large_tables),
    *(gates_by_sgd, mmoe, network_per_task, warm_started, in_a_pipeline),
    beside_one_of_skorch,
]


def sum_of(model):
    """Of all that a fit leaves: networks, optimizer, history, predictions, file."""
    for row in (*model.net_.history, *model._fitted.state.history):
        row["dur"] = 0
    state = dict(model._fitted.state.state())
    state |= {f"predicts.{k}": v for k, v in model.network_.state_dict().items()}
    total = hashlib.sha256(repr((model.kept_epoch_, model.n_iter_)).encode())
    for name, value in sorted(state.items()):
        total.update(f"{name} {as_bytes(value)}".encode())
    total.update(np.asarray(model.predict_proba(X)).tobytes())
    with tempfile.TemporaryDirectory() as folder:
        model.set_params(callbacks=None).save(Path(folder) / "model")
        total.update((Path(folder) / "model").read_bytes())
    return total.hexdigest()


# ------------------------------------------------------------------ instants


class Instants:
    """Counts lines that are about to run, and kills the process at one of them."""

    def __init__(self, target=None):
        self.target = target
        self.n, self.ends = 0, []  # and where each phase ends
        self.phase, self.writing = 0, 0

    def __call__(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        name = frame.f_code.co_name
        if name in ("_epoch", "_write", "_validate", "begin") and event == "call":
            self._mark()
            if name == "_write":
                self.writing += 1
            elif name == "_epoch":
                self.phase = 1
        return self.line

    def line(self, frame, event, arg):
        if event == "return" and frame.f_code.co_name in ("_epoch", "_write"):
            self._mark()
            if frame.f_code.co_name == "_write":
                self.writing -= 1
            else:
                self.phase = 2
        if event == "line":
            self.n += 1
            if self.n == self.target:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.line

    def _mark(self):
        self.ends.append((3 if self.writing else self.phase, self.n))

    def by_phase(self):
        """The instants of each phase, as numbers of lines."""
        found, start = {phase: [] for phase in PHASES}, 0
        for phase, end in [*self.ends, (2, self.n)]:
            found[PHASES[phase]] += range(start + 1, end + 1)
            start = end
        return found


def child(configuration, folder, *, target=None, traced=False, keeps=True):
    """Run a fit in a process of its own; which one, and where it tells its sum."""
    told, telling = os.pipe()
    process = os.fork()
    if process:
        os.close(telling)
        return process, told
    code = 1
    try:
        os.close(told)
        _archive._CHUNK = 2**12  # so that there are lines within a file
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        if not keeps:
            storage.keeper_of = lambda *_, **__: Keeper()
        instants = Instants(target)
        if traced or target:
            sys.settrace(instants)
        model = configuration(folder / "run.ckpt")
        sys.settrace(None)
        told = sum_of(model), traced and instants.by_phase()
        os.write(telling, json.dumps(told).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(process, told):
    """What a child has told; None where it was killed."""
    with os.fdopen(told) as pipe:
        text = pipe.read()
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError("A fit has failed; see above.")
    return json.loads(text)


def killed(configuration, folder, whole, kill, rng):
    """Where a run was killed; None where it had ended before."""
    if kill % 5 == 4:
        process, told = child(configuration, folder)
        time.sleep(rng.uniform(0, whole["seconds"]))
        os.kill(process, signal.SIGKILL)
        where = "at any moment"
    else:  # a fit that goes on has fewer instants, and may end before
        where, instants = list(whole["instants"].items())[kill % 4]
        process, told = child(configuration, folder, target=int(rng.choice(instants)))
    return None if ended(process, told) else where


def sums_of_whole(configuration, folder):
    """Sums of runs that nobody kills, without and with a checkpoint, and instants."""
    (traced, instants), (again, _) = (
        ended(*child(configuration, folder, traced=first)) for first in (True, False)
    )
    empty(folder)
    begin = time.perf_counter()
    (plain, _) = ended(*child(configuration, folder, keeps=False))
    return {traced, again, plain}, instants, time.perf_counter() - begin


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def run(configuration, n_kills, seed):
    """A line on runs that are killed: how many end as the whole one."""
    rng, same, n_killed, on_disk = np.random.default_rng(seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sums, instants, seconds = sums_of_whole(configuration, folder)
        whole = {"instants": instants, "seconds": seconds}
        for kill in range(n_kills):
            empty(folder)
            given = configuration, folder, whole
            first = kill + seed[1]  # so that few kills are of all kinds
            where = [killed(*given, first + n, rng) for n in range(1 + kill % 2)]
            on_disk += any(folder.glob("run.ckpt*"))
            end, _ = ended(*child(configuration, folder))
            same += {end} == sums
            n_killed += sum(map(bool, where))
            if {end} != sums:
                print(f"{configuration.__name__}: another end, killed {where}")
    print(
        f"{configuration.__name__:22}{same:5} of {n_kills:2}{n_killed:7}{on_disk:18}"
        f"   {'; '.join(sums)}",
        flush=True,
    )
    return same, n_killed


def main(n_kills, seed):
    begin = time.perf_counter()
    sum_of(make(max_epochs=1).fit(X, Y))  # what is imported late, is imported once
    print("configuration            same end  kills  from a checkpoint   SHA-256")
    lines = [run(one, n_kills, [seed, i]) for i, one in enumerate(CONFIGURATIONS)]
    same, n_killed = map(sum, zip(*lines, strict=True))
    n, took = n_kills * len(CONFIGURATIONS), time.perf_counter() - begin
    print(f"{same} of {n} runs ended in the same bytes: {n_killed} kills, {took:.0f} s")
    return 0 if same == n else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.exit(main(given.kills, given.seed))
