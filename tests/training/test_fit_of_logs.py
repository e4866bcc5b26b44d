"""An estimator learns from a log what it learns from the same rows in memory."""

import contextlib
import tempfile
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from _logs_on_disk import FEATURES, TASKS, parquet, table_of
from skorch.callbacks import Callback

from dephn_sk import DEPHNMultiTaskClassifier, DEPHNMultiTaskRegressor
from dephn_sk.logs import Log
from dephn_sk.training import FitPlan, Trainer, _log_sources
from dephn_sk.training._store import StoreWriter

TABLE = table_of()
SMALL = {
    "embedding_dim": 4,
    "expert_hidden": (8,),
    "tower_hidden": (4,),
    "dtype": "float64",
    "random_state": 0,
    "max_epochs": 2,
}


def model(**options):
    return DEPHNMultiTaskClassifier(**{**SMALL, **options})


def assert_same(one, other):
    assert one.n_iter_ == other.n_iter_
    assert one.task_names_ == other.task_names_
    X = TABLE.select(FEATURES)
    p, q = one.predict_proba(X), other.predict_proba(X)
    np.testing.assert_allclose(p, q, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("n_groups", "weight", "options"),
    [
        (1, None, {"max_epochs": 1}),
        (7, "weight", {}),
        (100, None, {"class_weight": "balanced", "max_epochs": 1}),
        (7, None, {"early_stopping": False, "max_epochs": 1}),
        (7, None, {"n_networks": 2, "max_epochs": 1}),
        (7, "weight", {"conditions": {"like": "click"}, "on_violation": "warn"}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*have such labels.*:UserWarning")
def test_a_log_trains_the_network_of_its_rows(n_groups, weight, options, tmp_path):
    log = Log(parquet(TABLE, tmp_path, n_groups), FEATURES)
    given = None if weight is None else TABLE[weight].to_numpy()
    X, y = TABLE.select(FEATURES), TABLE.select(TASKS)
    theirs = model(**options).fit(X, y, given)
    assert_same(model(**options).fit(log, TASKS, weight), theirs)


def test_groups_are_set_aside_whole_and_make_pairs(tmp_path):
    log, groups = (
        Log(parquet(TABLE, tmp_path, 7), FEATURES),
        TABLE["user_id"].to_numpy(),
    )
    options = {"loss": {"click": "pairwise"}, "max_epochs": 1}
    X, y = TABLE.select(FEATURES), TABLE.select(TASKS)
    theirs = model(**options).fit(X, y, groups=groups)
    assert_same(model(**options).fit(log, TASKS, groups="user_id"), theirs)


def test_another_log_validates(tmp_path):
    other = table_of(3000, seed=1)
    log, valid = Log(parquet(TABLE, tmp_path / "a", 3), FEATURES), ds.dataset(other)
    X, y = TABLE.select(FEATURES), TABLE.select(TASKS)
    theirs = model(max_epochs=1).fit(
        X, y, X_val=other.select(FEATURES), y_val=other.select(TASKS)
    )
    ours = model(max_epochs=1).fit(log, TASKS, X_val=valid)
    assert_same(ours, theirs)
    assert ours.history_["valid_loss"][0] == pytest.approx(
        theirs.history_["valid_loss"][0], abs=1e-9
    )


def test_training_goes_on_with_logs(tmp_path):
    parts = TABLE.slice(0, 5000), table_of(5000, seed=2, n_users=900)
    logs = [
        Log(parquet(t, tmp_path / str(i), 3), FEATURES) for i, t in enumerate(parts)
    ]
    theirs, ours = model(), model()
    for part, log in zip(parts, logs, strict=True):
        theirs.partial_fit(part.select(FEATURES), part.select(TASKS))
        ours.partial_fit(log, TASKS)
        assert_same(ours, theirs)
    theirs, ours = (model(max_epochs=1, warm_start=True) for _ in range(2))
    for _ in range(2):
        theirs.fit(parts[0].select(FEATURES), parts[0].select(TASKS))
        ours.fit(logs[0], TASKS)
    assert_same(ours, theirs)


@pytest.mark.usefixtures("short_fits")
def test_a_log_of_few_rows_is_cross_validated_as_a_table(tmp_path):
    few = table_of(300)
    options = {"max_epochs": "auto"}
    theirs = model(**options).fit(few.select(FEATURES), few.select(TASKS))
    ours = model(**options).fit(Log(parquet(few, tmp_path, 2), FEATURES), TASKS)
    assert_same(ours, theirs)


def test_numbers_are_learned_from_logs(tmp_path):
    names = [name for name in FEATURES if name != "price"]
    table = TABLE.filter(TABLE["price"].is_valid())
    options = {k: v for k, v in SMALL.items() if k != "max_epochs"}
    make = partial(DEPHNMultiTaskRegressor, **options, max_epochs=1)
    theirs = make().fit(table.select(names), table.select(["price", "weight"]))
    ours = make().fit(Log(parquet(table, tmp_path, 5), names), ["price", "weight"])
    p, q = (one.predict(table.select(names)) for one in (ours, theirs))
    np.testing.assert_allclose(p, q, rtol=1e-8)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_store_is_removed_however_fit_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    log = Log(parquet(TABLE, tmp_path, 3), FEATURES)
    seen = []

    class Look(Callback):
        def __init__(self, error):
            self.error = error

        def on_epoch_begin(self, net, **kwargs):
            seen.append(left_in(tmp_path / "tmp"))
            if self.error:
                raise self.error()

    for error in (None, RuntimeError, KeyboardInterrupt):
        one = model(max_epochs=1, callbacks=[("look", Look(error))])
        with contextlib.suppress(RuntimeError, KeyboardInterrupt):
            one.fit(log, TASKS)
        assert len(seen.pop()) == 1
        assert left_in(tmp_path / "tmp") == []
        assert one.__sklearn_is_fitted__() is (error is None)
    bad = table_of(seed=3)
    bad = bad.set_column(4, "price", pa.array(np.r_[np.ones(5999), np.inf]))
    one = model()
    with pytest.raises(ValueError, match="Row 5999 of the log"):
        one.fit(Log(parquet(bad, tmp_path / "bad", 3), FEATURES), TASKS)
    assert left_in(tmp_path / "tmp") == []
    assert not one.__sklearn_is_fitted__()


def test_a_named_store_is_found_again(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    dataset = parquet(TABLE, tmp_path, 3)
    first = model(max_epochs=1).fit(Log(dataset, FEATURES, cache_dir=cache), TASKS)
    (kept,) = left_in(cache)
    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "add", None)  # nothing may be written
        again = model(max_epochs=1).fit(Log(dataset, FEATURES, cache_dir=cache), TASKS)
    assert_same(again, first)
    blocks = sorted((cache / kept / "train").glob("*.block"))
    blocks[0].write_bytes(blocks[0].read_bytes()[:-1])  # cut
    again = model(max_epochs=1).fit(Log(dataset, FEATURES, cache_dir=cache), TASKS)
    assert_same(again, first)
    parquet(table_of(seed=5), tmp_path, 3)
    dataset = ds.dataset(tmp_path / "3.parquet")
    model(max_epochs=1).fit(Log(dataset, FEATURES, cache_dir=cache), TASKS)
    assert len(left_in(cache)) == 2


def test_a_store_holds_codes_of_the_classes_that_were_announced(tmp_path):
    """The same rows and seed, and another coding: no store of the other call's."""
    dataset, cache = parquet(TABLE, tmp_path, 3), tmp_path / "cache"
    X = TABLE.select(FEATURES)
    for classes in ([[-1, 0, 1], [0, 1, 2]], [[0, 1, 2], [-1, 0, 1]]):
        stored = Log(dataset, FEATURES, cache_dir=cache)
        ours = model().partial_fit(stored, TASKS, classes=classes)
        theirs = model().partial_fit(X, TABLE.select(TASKS), classes=classes)
        pairs = zip(ours.predict_proba(X), theirs.predict_proba(X), strict=True)
        for p, q in pairs:
            np.testing.assert_allclose(p, q, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": None}, "give the names of the columns"),
        ({"label_time": "shown"}, "label_time cannot be used with a log"),
        ({"X_val": np.zeros((3, 2)), "y_val": [0, 1, 0]}, "X_val is a ndarray, but"),
        ({"groups": "user"}, "groups names the column 'user'.*Did you mean"),
    ],
)
def test_what_a_log_cannot_do_is_said(given, message):
    log, call = Log(ds.dataset(TABLE), FEATURES), {"y": TASKS, **given}
    with pytest.raises((ValueError, TypeError), match=message):
        model().fit(log, **call)


def test_paths_and_views_of_one_task_ask_for_what_they_take(tmp_path):
    dataset = parquet(TABLE, tmp_path, 3)
    with pytest.raises(TypeError, match=r"X='.*' is a path.*pyarrow.dataset.dataset"):
        model().fit(str(tmp_path), TASKS)
    view = model(max_epochs=1).fit(Log(dataset, FEATURES), TASKS).task("click")
    with pytest.raises(TypeError, match="is fitted to a table in memory"):
        view.fit(dataset, "click")

    with pytest.raises(TypeError, match=r"X='.*' is a path.*, format=\"csv\"\)"):
        view.estimator.predict(tmp_path / "log.csv")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": TASKS}, r"y=\['click', .* names columns, which is for logs"),
        ({"y": "click"}, r"y='click' names columns"),
        ({"groups": "user_id"}, r"groups='user_id' names columns"),
        ({"sample_weight": "weight"}, r"sample_weight='weight' names columns"),
        ({"X_val": ds.dataset(TABLE)}, "X_val is a log, but X is a Table"),
        ({"X": iter([TABLE])}, "X is an iterator, .* a function that returns"),
    ],
)
def test_what_only_a_log_can_do_is_said_of_a_table(given, message):
    call = {"X": TABLE, "y": np.zeros((len(TABLE), 2)), **given}
    with pytest.raises(TypeError, match=message):
        model().fit(**call)


def test_labels_that_are_texts_are_no_names_of_columns():
    names = np.array(["no", "click"])
    y = names[np.arange(80) % 2].tolist()
    table = TABLE.select(FEATURES).slice(0, 80)
    for X in (table, np.arange(80.0)[:, None]):
        assert model(max_epochs=1).fit(X, y).classes_.tolist() == ["click", "no"]


def test_an_unknown_label_is_named_with_its_place(tmp_path):
    one = model(max_epochs=1).fit(Log(ds.dataset(TABLE), FEATURES), TASKS)
    clicks = TABLE["click"].to_pylist()
    clicks[4321] = 7
    table = TABLE.set_column(TABLE.column_names.index("click"), "click", [clicks])
    with pytest.raises(ValueError, match=r"the label 7.*Row 4321 of .* group 5"):
        one.partial_fit(Log(parquet(table, tmp_path, 7), FEATURES), TASKS)


def test_training_from_blocks_predicts_as_well(tmp_path, monkeypatch):
    """Rows that do not fit come in another order, and nothing else is another."""
    table, test = table_of(20_000), table_of(5_000, seed=9)
    monkeypatch.setattr(_log_sources, "_TRAIN", 0.03)
    log = Log(parquet(table, tmp_path, 4), FEATURES, memory=2**24)
    plan = FitPlan.of(model(), log, TASKS, epochs=1)
    with contextlib.closing(plan):
        assert not plan.train.fits
        assert len(plan.train.store.blocks) > 2
    options = {"max_epochs": 4, "n_epochs_no_change": 5}
    ours = model(**options).fit(log, TASKS)
    theirs = model(**options).fit(table.select(FEATURES), table.select(TASKS))
    scores = [
        one.score(test.select(FEATURES), test.select(TASKS)) for one in (ours, theirs)
    ]
    assert abs(scores[0] - scores[1]) < 0.02


def test_a_fit_of_a_log_goes_on_from_a_checkpoint(tmp_path, monkeypatch):
    log, path = Log(parquet(TABLE, tmp_path, 4), FEATURES), tmp_path / "run.ckpt"
    whole = model(max_epochs=3).fit(log, TASKS)

    class Killed(BaseException):
        pass

    once = Trainer._check_finite

    def killed(self):
        once(self)
        if self.state.epoch == 1:
            raise Killed

    monkeypatch.setattr(Trainer, "_check_finite", killed)
    with pytest.raises(Killed):
        model(max_epochs=3).fit(log, TASKS, checkpoint=path)
    monkeypatch.setattr(Trainer, "_check_finite", once)
    again = model(max_epochs=3).fit(log, TASKS, checkpoint=path)
    assert_same(again, whole)
    flipped = TABLE.set_column(
        TABLE.column_names.index("click"),
        "click",
        pa.array(1 - TABLE["click"].to_numpy()),
    )
    other = Log(parquet(flipped, tmp_path / "flipped", 4), FEATURES)
    with pytest.raises(ValueError, match="is of another fit"):
        model(max_epochs=3).fit(other, TASKS, checkpoint=path)


def test_verbose_tells_of_each_pass(tmp_path, capsys):
    log = Log(parquet(TABLE, tmp_path, 4), FEATURES)
    model(verbose=1, max_epochs=1).fit(log, TASKS)
    printed = capsys.readouterr().out
    for what in ("labels", "count", "encode rows"):
        assert f"{what}: 6,000 rows in 0:0" in printed
    assert "\r" not in printed  # which a file would keep
