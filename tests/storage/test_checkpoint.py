"""A fit that is broken off goes on by the same call, and by no other."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from _logs import SMALL, assert_same_learned, make_log
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback, LRScheduler

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.storage import ModelFileError, _archive, _checkpoint, _fingerprint
from dephn_sk.training import Trainer

X, Y = make_log(80)  # two batches and a half
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2, (80, 2))
GROUPS = np.random.default_rng(1).integers(0, 30, 80)
WATCHED = {"early_stopping": True, "validation_fraction": 0.3, "n_epochs_no_change": 9}
FIT = {"X": X, "y": Y, "sample_weight": WEIGHTS, "groups": GROUPS}


def make(cls=DEPHNMultiTaskClassifier, **options):
    given = {**SMALL, "max_epochs": 4, **options}
    return cls(**{k: v for k, v in given.items() if k in cls._parameters})


class BrokenOff(Exception):
    pass


@contextmanager
def broken_off(epoch, step=0, error=BrokenOff):
    """Training ends by an error where that epoch, and step, would begin."""
    steps = Trainer._step

    def break_off(trainer, batch):
        state = trainer.state
        if (state.epoch, state.step) == (epoch, step):
            raise error
        return steps(trainer, batch)

    Trainer._step = break_off
    try:
        with pytest.raises(error):
            yield
    finally:
        Trainer._step = steps


@contextmanager
def trained_steps():
    """The epoch and the step of each step that is taken within."""
    steps, taken = Trainer._step, []

    def count(trainer, batch):
        taken.append((trainer.state.epoch, trainer.state.step))
        return steps(trainer, batch)

    Trainer._step = count
    try:
        yield taken
    finally:
        Trainer._step = steps


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


def left_in(path, **options):
    """A checkpoint of a run that was broken off in its third epoch."""
    with broken_off(2, 1):
        make(**WATCHED, **options).fit(**FIT, checkpoint=path)
    return path


def files(path):
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


# ------------------------------------------------------------------ going on


@pytest.mark.parametrize("every", [1, 2, "0s", "1000s", "0.5s"])
def test_a_checkpoint_changes_nothing_of_a_fit(every, path):
    kept = make(**WATCHED).fit(**FIT, checkpoint=path, checkpoint_every=every)
    assert_same_learned(kept, make(**WATCHED).fit(**FIT))
    assert "run.ckpt" in files(path)


@pytest.mark.parametrize("n_calls", [1, 2])
@pytest.mark.parametrize(
    ("every", "first"),
    [(1, (2, 0)), (2, (2, 0)), (3, (0, 0)), ("0s", (2, 1)), ("1000s", (0, 0))],
)
def test_the_same_call_goes_on_from_the_last_checkpoint(every, first, n_calls, path):
    call = {**FIT, "checkpoint": path, "checkpoint_every": every}
    for _ in range(n_calls):
        with broken_off(2, 1):
            make(**WATCHED).fit(**call)
    with trained_steps() as taken:
        model = make(**WATCHED).fit(**call)
    assert taken[0] == first
    assert_same_learned(model, make(**WATCHED).fit(**FIT))


def test_a_finished_checkpoint_gives_the_model_and_takes_no_step(path):
    whole = make().fit(X, Y, checkpoint=path)
    before = files(path)
    with trained_steps() as taken:
        again = make().fit(X, Y, checkpoint=path)
    assert not taken
    assert files(path) == before
    assert_same_learned(again, whole)
    assert_array_equal(again.predict_proba(X), whole.predict_proba(X))


@pytest.mark.parametrize("options", [{}, WATCHED], ids=["plain", "watched"])
def test_training_that_early_stopping_or_a_callback_ended_is_finished(options, path):
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    options = {**options, "max_epochs": 30, "n_epochs_no_change": 1}
    options |= {"learning_rate": 1.0} if "early_stopping" in options else {}
    options |= {} if "early_stopping" in options else {"callbacks": [Stop()]}
    whole = make(**options).fit(X, Y, checkpoint=path, checkpoint_every=5)
    assert whole.n_iter_ < 30
    with trained_steps() as taken:
        again = make(**options).fit(X, Y, checkpoint=path, checkpoint_every=5)
    assert not taken
    assert_same_learned(again, whole)


def test_after_ctrl_c_the_same_call_goes_on(path):
    model = make()
    warned = pytest.warns(UserWarning, match="interrupted after 2")
    with warned, broken_off(2, 1, KeyboardInterrupt):
        model.fit(**FIT, checkpoint=path)
    assert model.n_iter_ == 2
    with trained_steps() as taken:
        model.fit(**FIT, checkpoint=path)
    assert taken[0] == (2, 0)
    assert_same_learned(model, make().fit(**FIT))


def test_after_ctrl_c_under_warm_start_a_clone_goes_on(path):
    model = make(warm_start=True)
    warned = pytest.warns(UserWarning, match="interrupted after 2")
    with warned, broken_off(2, 1, KeyboardInterrupt):
        model.fit(**FIT, checkpoint=path)
    with pytest.raises(ValueError, match="the fit that warm_start goes on from"):
        model.fit(**FIT, checkpoint=path)
    again = clone(model).fit(**FIT, checkpoint=path)
    assert_same_learned(again, make().fit(**FIT))


def test_a_fit_without_a_seed_keeps_the_one_that_it_drew(path):
    with broken_off(1):
        make(random_state=None).fit(X, Y, checkpoint=path)
    model = make(random_state=None).fit(X, Y, checkpoint=path)
    seed = model._fitted.state.seed
    assert_same_learned(model, make(random_state=seed).fit(X, Y))


def test_a_random_state_is_drawn_from_as_by_any_fit(path):
    with broken_off(1):
        make(random_state=np.random.RandomState(3)).fit(X, Y, checkpoint=path)
    went_on, whole = np.random.RandomState(3), np.random.RandomState(3)
    model = make(random_state=went_on).fit(X, Y, checkpoint=path)
    assert_same_learned(model, make(random_state=whole).fit(X, Y))
    assert went_on.randint(2**31) == whole.randint(2**31)


def test_what_warm_start_goes_on_from_has_a_checkpoint_of_its_own(path):
    first = make(warm_start=True).fit(X, Y, checkpoint=path)
    with pytest.raises(ValueError, match="the fit that warm_start goes on from"):
        first.fit(X, Y, checkpoint=path)
    other = path.with_name("second")
    with broken_off(6, 1):
        first.fit(X, Y, checkpoint=other)
    assert first.n_iter_ == 4
    again = make(warm_start=True).fit(X, Y, checkpoint=path)
    with trained_steps() as taken:
        again.fit(X, Y, checkpoint=other)
    assert taken[0] == (6, 0)
    assert_same_learned(again, make(max_epochs=8).fit(X, Y))


def test_a_search_is_told_that_its_fits_are_not_one(path):
    search = GridSearchCV(make(), {"learning_rate": [0.1, 0.2]}, cv=2)
    with pytest.raises(ValueError, match="is of another fit"):
        search.set_params(error_score="raise").fit(X, Y, checkpoint=path)


def test_what_is_to_be_deleted_to_begin_anew_is_named_in_full(path):
    make().fit(X, Y, checkpoint=path)
    path.unlink()
    with pytest.raises(ValueError, match=r"delete it and 'run\.ckpt\.previous'"):
        make(learning_rate=0.3).fit(X, Y, checkpoint=path)
    path.with_name("run.ckpt.previous").unlink()
    with trained_steps() as taken:
        make(learning_rate=0.3).fit(X, Y, checkpoint=path)
    assert taken[0] == (0, 0)


def test_a_verbose_fit_says_that_it_goes_on(path, capsys):
    with broken_off(1):
        make(verbose=1).fit(X, Y, checkpoint=path)
    assert "goes on" not in capsys.readouterr().out
    make(verbose=1).fit(X, Y, checkpoint=path)
    assert f"goes on from {str(path)!r}, after 1 epoch\n" in capsys.readouterr().out


def test_a_pipeline_hands_it_on(path):
    pipeline = make_pipeline(FunctionTransformer(), make())
    with broken_off(1):
        pipeline.fit(X, Y, dephnmultitaskclassifier__checkpoint=path)
    with trained_steps() as taken:
        pipeline.fit(X, Y, dephnmultitaskclassifier__checkpoint=path)
    assert taken[0] == (1, 0)


def test_metadata_routing_hands_it_on(path):
    with sklearn.config_context(enable_metadata_routing=True):
        model = make().set_fit_request(checkpoint=True, checkpoint_every=True)
        pipeline = make_pipeline(FunctionTransformer(), model)
        pipeline.fit(X, Y, checkpoint=path, checkpoint_every="0s")
    assert "run.ckpt" in files(path)


# ------------------------------------------------------------------ another call


def falling(rate, epoch):
    return rate**epoch


def scheduled(rate):
    return [LRScheduler("LambdaLR", lr_lambda=partial(falling, rate))]


OTHER = {
    "learning_rate": 0.01,
    "max_epochs": 5,
    "batch_size": 16,
    "random_state": 1,
    "virtual_gradient": None,
    "n_epochs_no_change": 8,
    "validation_fraction": 0.2,
    "dtype": "float64",
    "encoder": FieldEncoder(min_frequency=2),
    "class_weight": "balanced",
    "callbacks": scheduled(0.5),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_parameter_is_refused_by_name(name, path):
    left_in(path)
    before, model = files(path), make(**{**WATCHED, name: OTHER[name]})
    with pytest.raises(ValueError, match=rf"What differs: .*\b{name}=.* \(there "):
        model.fit(**FIT, checkpoint=path)
    assert files(path) == before
    assert not model.__sklearn_is_fitted__()


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_another_seed_is_refused_by_name(random_state, path):
    left_in(path, random_state=random_state)
    with pytest.raises(ValueError, match="random_state"):
        make(**WATCHED, random_state=7).fit(**FIT, checkpoint=path)
    if random_state is not None:
        other = np.random.RandomState(1)
        with pytest.raises(ValueError, match="random_state, which gives another seed"):
            make(**WATCHED, random_state=other).fit(**FIT, checkpoint=path)


def test_another_estimator_is_refused_by_name(path):
    left_in(path)
    with pytest.raises(ValueError, match=r"estimator=.*MMoEClassifier \(there .*DEPHN"):
        make(MMoEClassifier, **WATCHED).fit(**FIT, checkpoint=path)


def test_a_callback_with_other_parameters_is_another(path):
    with broken_off(2):
        make(callbacks=scheduled(0.5)).fit(X, Y, checkpoint=path)
    with pytest.raises(ValueError, match="callbacks="):
        make(callbacks=scheduled(0.6)).fit(X, Y, checkpoint=path)
    model = make(callbacks=scheduled(0.5)).fit(X, Y, checkpoint=path)
    assert_same_learned(model, make(callbacks=scheduled(0.5)).fit(X, Y))


def test_what_is_shown_may_be_another(path, capsys):
    left_in(path)
    with trained_steps() as taken:
        make(**WATCHED, verbose=1).fit(**FIT, checkpoint=path)
    assert taken[0] == (2, 0)
    said = capsys.readouterr().out.splitlines()
    assert f"goes on from {str(path)!r}, after 2 epochs" in said
    (first, *_) = [line for line in said if line.startswith("epoch ")]
    assert first.startswith("epoch 3/")


def changed(y):
    y = y.copy()
    y.iloc[3, 1] = 1 - y.iloc[3, 1]
    return y


OTHER_DATA = {
    "X": {"X": X.assign(age=X["age"].where(X.index != 5, 77.0))},
    "the columns of X": {"X": X.replace({"shop": {"d": "e"}})},
    "y": {"y": changed(Y)},
    "sample_weight": {"sample_weight": np.where(WEIGHTS[0] == WEIGHTS, 1.5, WEIGHTS)},
    "groups": {"groups": np.roll(GROUPS, 1)},
    "X_val": {"X_val": X[:20], "y_val": Y[:20]},
}


@pytest.mark.parametrize("name", OTHER_DATA)
def test_other_data_are_refused_by_name(name, path):
    left_in(path)
    before, model = files(path), make(**WATCHED)
    with pytest.raises(ValueError, match=rf"What differs: .*\b{name}\b"):
        model.fit(**{**FIT, **OTHER_DATA[name]}, checkpoint=path)
    assert files(path) == before
    assert not model.__sklearn_is_fitted__()


def test_weights_and_groups_that_are_left_out_are_missed(path):
    left_in(path)
    with pytest.raises(ValueError, match="sample_weight"):
        make(**WATCHED).fit(X, Y, groups=GROUPS, checkpoint=path)
    with pytest.raises(ValueError, match="groups"):
        make(**WATCHED).fit(X, Y, WEIGHTS, checkpoint=path)


@pytest.mark.parametrize("name", ["X_val", "y_val"])
def test_another_validation_set_is_refused_by_name(name, path):
    given = {"X_val": X[:40], "y_val": Y[:40]}
    other = {"X_val": X[1:41], "y_val": changed(Y)[:40]}
    make(**WATCHED).fit(X, Y, **given, checkpoint=path)
    with pytest.raises(ValueError, match=rf"What differs: {name}\."):
        make(**WATCHED).fit(X, Y, **given | {name: other[name]}, checkpoint=path)


def test_the_same_rows_in_another_order_are_other_data(path):
    """All that is learned of the columns is as before."""
    make().fit(X, Y, checkpoint=path)
    with pytest.raises(ValueError, match=r"What differs: X\. "):
        make().fit(X[::-1], Y, checkpoint=path)


@pytest.mark.parametrize("name", ["y", "sample_weight", "groups"])
def test_what_is_not_the_cause_is_not_named(name, path):
    left_in(path)
    with pytest.raises(ValueError) as error:
        make(**WATCHED).fit(**{**FIT, **OTHER_DATA[name]}, checkpoint=path)
    assert f"What differs: {name}. " in str(error.value)


def test_equal_data_in_another_form_go_on(path):
    left_in(path)
    arrays = {"X": X.copy(), "y": Y.to_numpy(), "sample_weight": WEIGHTS.tolist()}
    named = Y.set_axis(["click", "buy"], axis=1)
    with trained_steps() as taken:
        groups = [float(group) for group in GROUPS]
        model = make(**WATCHED)
        model.fit(**{**arrays, "y": named}, groups=groups, checkpoint=path)
    assert taken[0] == (2, 0)
    with pytest.raises(ValueError, match="What differs: y"):  # the tasks' names
        make(**WATCHED).fit(**{**FIT, **arrays}, checkpoint=path)


@pytest.mark.parametrize("name", ["torch", "dephn_sk", "numpy", "scikit-learn"])
def test_other_versions_are_refused_by_name(name, path, monkeypatch):
    left_in(path)
    others = _fingerprint.versions() | {name: "0.0.1"}
    monkeypatch.setattr(_fingerprint, "versions", lambda: others)
    with pytest.raises(ValueError, match=rf"{name} '?0.0.1'? \(there "):
        make(**WATCHED).fit(**FIT, checkpoint=path)


def test_a_newer_format_is_refused_and_left_alone(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_archive, "FORMAT", _archive.FORMAT + 1)
        left_in(path)
    before = files(path)
    with pytest.raises(ModelFileError, match="newer version"):
        make(**WATCHED).fit(**FIT, checkpoint=path)
    assert files(path) == before


# ------------------------------------------------------------------ the disk


def cut(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def flipped(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def emptied(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flipped, emptied])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, path):
    left_in(path)
    damage(path)
    damaged = path.read_bytes()
    warned = pytest.warns(UserWarning, match="is damaged .* goes on from .*previous")
    with warned, trained_steps() as taken:
        model = make(**WATCHED).fit(**FIT, checkpoint=path)
    assert taken[0] == (1, 0)
    assert_same_learned(model, make(**WATCHED).fit(**FIT))
    assert files(path)["run.ckpt.damaged"] == damaged
    with trained_steps() as taken:
        make(**WATCHED).fit(**FIT, checkpoint=path)
    assert not taken


def test_the_one_before_stays_until_a_whole_one_is_there(path):
    """Broken off again before it could write, the run still has a state."""
    cut(left_in(path))
    for _ in range(2):
        with pytest.warns(UserWarning, match="is damaged"), broken_off(1, 1):
            make(**WATCHED).fit(**FIT, checkpoint=path)
    with pytest.warns(UserWarning, match="is damaged"), broken_off(2, 1):
        make(**WATCHED).fit(**FIT, checkpoint=path)
    cut(path)
    with pytest.warns(UserWarning, match="is damaged .* goes on from"):
        make(**WATCHED).fit(**FIT, checkpoint=path)


def test_where_both_are_damaged_the_run_begins_anew(path):
    left_in(path)
    cut(path)
    cut(path.with_name("run.ckpt.previous"))
    warned = pytest.warns(UserWarning, match="is damaged .* begins anew")
    with warned, trained_steps() as taken:
        model = make(**WATCHED).fit(**FIT, checkpoint=path)
    assert taken[0] == (0, 0)
    assert_same_learned(model, make(**WATCHED).fit(**FIT))


def test_between_the_two_names_nothing_is_lost(path):
    """Killed after the old file was moved, and before the new one took its place."""
    left_in(path)
    os.replace(path, path.with_name("run.ckpt.previous"))
    with trained_steps() as taken:
        make(**WATCHED).fit(**FIT, checkpoint=path)
    assert taken[0] == (2, 0)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"PK\3\4" + bytes(90)])
def test_a_file_of_another_kind_is_left_alone(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is a file of another kind"):
        make().fit(X, Y, checkpoint=path)
    assert files(path) == {"run.ckpt": content}


@contextmanager
def no_room(n_bytes):
    """The system refuses to write more than that to any file."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("n_bytes", [0, 5_000])
@pytest.mark.parametrize("epoch", [0, 2])
def test_where_there_is_no_room_training_goes_on(epoch, n_bytes, path):
    """From its beginning, or from its third epoch on."""
    if epoch:
        with broken_off(epoch):
            make(**WATCHED).fit(**FIT, checkpoint=path)
    before, warned = files(path), pytest.warns(UserWarning, match="cannot be written")
    with no_room(n_bytes), warned as said:
        model = make(**WATCHED).fit(**FIT, checkpoint=path)
    assert_same_learned(model, make(**WATCHED).fit(**FIT))
    said = [one for one in said if one.category is not ConvergenceWarning]
    assert len(said) <= 2  # once for each of the two files
    assert files(path) == before
    with trained_steps() as taken:
        make(**WATCHED).fit(**FIT, checkpoint=path)
    assert taken[0] == (epoch, 0)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder that refuses")
def test_in_a_folder_that_refuses_training_goes_on():
    """Where not even the administrator may write."""
    with pytest.warns(UserWarning, match="cannot be written"):
        model = make().fit(X, Y, checkpoint="/sys/kernel/run.ckpt")
    assert_same_learned(model, make().fit(X, Y))


def test_in_a_folder_that_is_read_only_training_goes_on(path):
    path.parent.chmod(0o500)
    if os.access(path.parent, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.warns(UserWarning, match="cannot be written"):
        make().fit(X, Y, checkpoint=path)


def test_what_cannot_be_stored_is_said_and_training_goes_on(path):
    class Odd(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("odd", object())

    with pytest.warns(UserWarning, match=r"cannot be written: .*odd") as warned:
        make(callbacks=[Odd()]).fit(X, Y, checkpoint=path)
    assert len(warned) == 2


def test_what_a_killed_process_left_half_written_is_removed(path):
    half, others = (
        path.with_name(".run.ckpt.new.0123abcd.part"),
        path.with_name("x.part"),
    )
    half.write_bytes(b"PK")
    others.write_bytes(b"PK")
    make().fit(X, Y, checkpoint=path)
    names = {"run.ckpt", "run.ckpt.best", "run.ckpt.previous", "x.part"}
    assert set(files(path)) == names


@pytest.mark.parametrize("kind", [str, Path])
def test_links_and_relative_paths_are_followed(kind, path, monkeypatch):
    monkeypatch.chdir(path.parent)
    folder = path.with_name("there")
    folder.mkdir()
    path.symlink_to(folder / "run")
    make().fit(X, Y, checkpoint=kind("run.ckpt"))
    assert path.is_symlink()
    names = {file.name for file in folder.iterdir()}
    assert names == {"run", "run.best", "run.previous"}


# ------------------------------------------------------------------ what is asked for


@pytest.mark.parametrize("every", [0, -1, True, 1.5, None, "often", "5", "5 s", "-1s"])
def test_an_interval_that_is_none_is_refused(every, path):
    with pytest.raises(ValueError, match=r"checkpoint_every=.* must be a number of"):
        make().fit(X, Y, checkpoint=path, checkpoint_every=every)


def test_an_interval_without_a_file_is_refused():
    with pytest.raises(ValueError, match="given without a file"):
        make().fit(X, Y, checkpoint_every="5s")


@pytest.mark.parametrize(
    ("given", "message"),
    [(3, "must be the path"), (".", "is a folder"), ("no/run", "does not exist")],
)
def test_a_path_that_is_none_is_refused(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make()
    with pytest.raises(ValueError, match=f"checkpoint=.*{message}"):
        model.fit(X, Y, checkpoint=given)
    assert not model.__sklearn_is_fitted__()


# ------------------------------------------------------------------ what is compared


def double(x, by=2.0):
    return by * x


VALUES = [
    *(None, True, 1, 1.0, "1", b"1", (1, 2), [1, 2], {"a": 1, "b": 2}, {1, 2}),
    *(np.arange(3), np.arange(3.0), np.array(["a", None], dtype=object), np.float32(1)),
    *(torch.ones(2), double, partial(double, by=3.0), torch.sin, Callback),
    *(
        FieldEncoder(),
        FieldEncoder(min_frequency=2),
        LRScheduler("StepLR", step_size=2),
    ),
    *(lambda x: x, lambda x: -x, lambda x: {"a", "b", "c"} & {x}, X["shop"].index),
]

IN_ANOTHER_PROCESS = """
import sys
sys.path[:0] = {path!r}
import importlib
tests = importlib.import_module("storage.test_checkpoint")
print([tests._fingerprint.described(value) for value in tests.VALUES])
"""


def test_parameters_have_a_text_each_and_the_same_in_another_process():
    here = [_fingerprint.described(value) for value in VALUES]
    assert len(set(here)) == len(here)
    assert not any(" at 0x" in text for text in here)
    tests = str(Path(__file__).parents[1])
    code = IN_ANOTHER_PROCESS.format(path=[tests, *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert done.returncode == 0, done.stderr
    there = done.stdout.strip().replace("storage.test_checkpoint", __name__)
    assert there == repr(here)


def test_a_long_history_is_no_part_of_the_manifest(path):
    by_batch = LRScheduler("StepLR", step_size=2, step_every="batch")
    make(callbacks=[by_batch]).fit(X, Y, checkpoint=path)
    manifest, arrays, _ = _archive.read(path)
    assert "train_batch_count" not in str(manifest)
    assert b"train_batch_count" in arrays["training.history"].tobytes()
    state = _checkpoint._contents(path)["training"]
    rows = _checkpoint._unpacked(state)["history"]
    assert [len(row["batches"]) for row in rows] == [3] * 4


def test_arrays_that_callbacks_record_are_kept(path):
    class Records(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("array", np.arange(len(net.history)))

    with broken_off(2):
        make(callbacks=[Records()]).fit(X, Y, checkpoint=path)
    history = make(callbacks=[Records()]).fit(X, Y, checkpoint=path).net_.history
    assert [len(row["array"]) for row in history] == [1, 2, 3, 4]


def test_it_holds_which_rows_were_set_aside(path):
    make(**WATCHED).fit(**FIT, checkpoint=path)
    held = np.unpackbits(_checkpoint._contents(path)["set_aside"])[:80].astype(bool)
    assert 0 < held.sum() < 80
    assert not set(GROUPS[held]) & set(GROUPS[~held])


@pytest.mark.parametrize("every", [1, 3, "0s"])
@pytest.mark.parametrize("how", ["plain", "watched"])
def test_the_best_model_so_far_is_beside_it(how, every, path):
    options = {"callbacks": scheduled(0.5), "weight_averaging": 0.8}
    options |= WATCHED | {"learning_rate": 0.3} if how == "watched" else {}
    best = path.with_name("run.ckpt.best")
    call = {"checkpoint": path, "checkpoint_every": every}
    with broken_off(3, 1):
        make(**options).fit(**FIT, **call)
    there, three = dephn_sk.load(best), make(**{**options, "max_epochs": 3}).fit(**FIT)
    assert_array_equal(there.predict_proba(X), three.predict_proba(X))
    assert there.kept_epoch_ == three.kept_epoch_
    assert there.n_iter_ == 3
    whole = make(**options).fit(**FIT, **call)
    there = dephn_sk.load(best)
    assert_array_equal(there.predict_proba(X), whole.predict_proba(X))
    assert there.kept_epoch_ == whole.kept_epoch_


def test_a_state_on_the_disk_has_its_best_model_there(path, monkeypatch):
    def killed(model, file):
        if model.n_iter_ == 4:
            raise BrokenOff
        save(model, file)

    save = _checkpoint.save
    with monkeypatch.context() as patch, pytest.raises(BrokenOff):
        patch.setattr(_checkpoint, "save", killed)
        make().fit(X, Y, checkpoint=path)
    whole = make().fit(X, Y, checkpoint=path)
    there = dephn_sk.load(path.with_name("run.ckpt.best"))
    assert_array_equal(there.predict_proba(X), whole.predict_proba(X))


def test_it_is_there_where_only_states_within_epochs_are_due(path, monkeypatch):
    """Ten seconds pass with each step, and none between epochs."""
    now, steps = [0.0], Trainer._step
    monkeypatch.setattr(_checkpoint.time, "monotonic", lambda: now[0])

    def slow(trainer, batch):
        now[0] += 10 * (trainer.state.step == 0)
        return steps(trainer, batch)

    monkeypatch.setattr(Trainer, "_step", slow)
    with broken_off(3):
        make().fit(**FIT, checkpoint=path, checkpoint_every="10s")
    there = dephn_sk.load(path.with_name("run.ckpt.best"))
    three = make(max_epochs=3).fit(**FIT)
    assert_array_equal(there.predict_proba(X), three.predict_proba(X))
    with trained_steps() as taken:
        make().fit(**FIT, checkpoint=path, checkpoint_every="10s")
    assert taken[0] == (2, 1)


def test_two_fits_with_callbacks_have_one_model_file(path):
    """Nothing of it, its card included, tells in which process it was written."""
    for name in ("one", "other"):
        with freezing_time():
            make(callbacks=scheduled(0.5)).fit(X, Y, checkpoint=path.with_name(name))
    here, there = (path.with_name(f"{name}.best") for name in ("one", "other"))
    assert here.read_bytes() == there.read_bytes()


@contextmanager
def freezing_time():
    """Epochs take no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skorch.callbacks.logging.time.time", lambda: 0.0)
        yield


def test_a_network_of_ones_own_has_a_checkpoint_and_no_model_file(path):
    class Own(MMoEClassifier):
        pass

    with pytest.warns(
        UserWarning, match=r"best' cannot be written: .*CLASSES"
    ) as warned:
        make(Own).fit(X, Y, checkpoint=path)
    assert len(warned) == 1
    with trained_steps() as taken:
        make(Own).fit(X, Y, checkpoint=path)
    assert not taken


def test_a_checkpoint_is_no_model(path):
    left_in(path)
    with pytest.raises(ModelFileError, match="holds a 'checkpoint'"):
        dephn_sk.load(path)


def test_a_model_is_no_checkpoint(path):
    make().fit(X, Y).save(path)
    before = files(path)
    with pytest.raises(ValueError, match="but no checkpoint"):
        make().fit(X, Y, checkpoint=path)
    assert files(path) == before


def test_no_warning_comes_of_a_run_that_is_well(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        left_in(path)
        make(**WATCHED).fit(**FIT, checkpoint=path)
