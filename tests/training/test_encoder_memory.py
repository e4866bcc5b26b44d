"""What a folder remembers of encoders is what would be learned, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier
from dephn_sk.metrics import task_scorer
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training import _encoder_memory

SMALL = {
    **{"embedding_dim": 2, "expert_hidden": (3,), "tower_hidden": (), "max_epochs": 1},
    **{"numeric_embedding": "auto", "n_threads": 1, "early_stopping": False},
    "encoder": FieldEncoder(target_statistics=["user"]),
}


def table(n_rows=80):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "user": rng.choice(list("abcdef"), n_rows).astype(object),
            "shop": pd.Categorical(rng.choice(list("xyz"), n_rows)),
            "size": rng.integers(0, 9, n_rows),
            "tags": [["a", "b"][: i % 3] for i in range(n_rows)],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n_rows), "D"),
        }
    )
    y = pd.DataFrame(rng.integers(0, 2, (n_rows, 2)), columns=["click", "buy"])
    return X, y


def model(memory=None, **options):
    return MMoEClassifier(memory=memory, **{**SMALL, "random_state": 0, **options})


@pytest.fixture
def encodings(monkeypatch):
    """Tables that were encoded, as often as they were."""
    found, fit_encode = [], FieldEncoder.fit_encode

    def spy(self, X, *args, **kwargs):
        found.append(X)
        return fit_encode(self, X, *args, **kwargs)

    monkeypatch.setattr(FieldEncoder, "fit_encode", spy)
    return found


def same(one, other, X):
    """Whether two models are the same to the last bit."""
    pairs = zip(
        one.network_.state_dict().values(),
        other.network_.state_dict().values(),
        strict=True,
    )
    alike = all((a.numpy() == b.numpy()).all() for a, b in pairs)
    return alike and (one.predict_proba(X) == other.predict_proba(X)).all()


def files(folder):
    return sorted(Path(folder).rglob("output.pkl"))


def test_the_second_fit_encodes_nothing_and_is_the_same(tmp_path, encodings):
    X, y = table()
    without = model().fit(X, y)
    first = model(tmp_path).fit(X, y)
    assert len(encodings) == 2
    second = model(str(tmp_path)).fit(X, y)
    assert len(encodings) == 2
    assert same(first, without, X)
    assert same(second, without, X)
    more = [one.partial_fit(X[:9], y[:9]) for one in (first, second)]
    assert same(*more, X)


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.1},
        {"embedding_dim": 3, "expert_hidden": (5,), "dropout": 0.5},
        {"batch_size": 7, "max_epochs": 2, "precision": "bf16"},
        {"class_weight": "balanced", "n_networks": 2, "verbose": 0},
    ],
)
def test_the_network_alone_is_no_reason_to_encode(tmp_path, encodings, options):
    X, y = table()
    model(tmp_path).fit(X, y)
    changed = model(tmp_path, **options).fit(X, y)
    assert len(encodings) == 1
    assert same(changed, model(**options).fit(X, y), X)


def with_value(X, y, weight):
    X = X.copy()
    X.loc[3, "size"] += 1
    return X, y, weight


def with_text(X, y, weight):
    X = X.copy()
    X.loc[3, "user"] = "g"
    return X, y, weight


def with_member(X, y, weight):
    X = X.copy()
    X["tags"] = [["c"], *X["tags"][1:]]
    return X, y, weight


def with_label(X, y, weight):
    y = y.copy()
    y.loc[3, "buy"] = 1 - y.loc[3, "buy"]
    return X, y, weight


def with_weight(X, y, weight):
    return X, y, np.where(np.arange(len(X)) == 3, 5.0, weight)


CHANGES = {
    "a number": with_value,
    "a text": with_text,
    "a member of a list": with_member,
    "a label": with_label,
    "a weight": with_weight,
    "a row of weight zero": lambda X, y, w: (X, y, np.where(np.arange(80) == 3, 0, w)),
    "a row less": lambda X, y, w: (X[1:], y[1:], w[1:]),
    "order of rows": lambda X, y, w: (X[::-1], y[::-1], w),
    "order of columns": lambda X, y, w: (X[list(X)[::-1]], y, w),
    "a name": lambda X, y, w: (X.rename(columns={"shop": "place"}), y, w),
    "a name of a task": lambda X, y, w: (X, y.rename(columns={"buy": "like"}), w),
    "whole numbers as floats": lambda X, y, w: (X.astype({"size": float}), y, w),
    "numbers as texts": lambda X, y, w: (X.astype({"size": str}), y, w),
    "categories as objects": lambda X, y, w: (X.astype({"shop": object}), y, w),
    "order of categories": lambda X, y, w: (
        X.assign(shop=X["shop"].cat.reorder_categories(list("zyx"))),
        y,
        w,
    ),
    "names of categories": lambda X, y, w: (
        X.assign(shop=X["shop"].cat.rename_categories({"x": "v"})),
        y,
        w,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_encoder_reads_is_told_apart(tmp_path, encodings, change):
    X, y = table()
    weight = np.linspace(1, 2, len(X))
    model(tmp_path).fit(X, y, weight)
    X, y, weight = CHANGES[change](X, y, weight)
    changed = model(tmp_path).fit(X, y, weight)
    assert len(encodings) == 2
    assert same(changed, model().fit(X, y, weight), X)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": None},
        {"encoder": FieldEncoder(target_statistics=["user"], min_frequency=20)},
        {"encoder": FieldEncoder(target_statistics=["user"], target_folds=2)},
        {
            "encoder": FieldEncoder(
                target_statistics=["user"],
                target_folds=KFold(5, shuffle=True, random_state=1),
            )
        },
        {"encoder": FieldEncoder(target_statistics=["user"], time_column="day")},
        {"encoder": FieldEncoder(target_statistics=["user"], random_state=9)},
        {"encoder": FieldEncoder(scaling={"size": "squash"})},
        {"random_state": 1},
        {"early_stopping": True},
        {"early_stopping": True, "validation_fraction": 0.3},
        {"dtype": "float64"},
        {"numeric_embedding": "bins"},
        {"numeric_embedding": "auto", "n_bins": 2},
    ],
)
def test_all_that_an_encoder_depends_on_is_told_apart(tmp_path, encodings, options):
    X, y = table()
    model(tmp_path).fit(X, y)
    changed = model(tmp_path, **options).fit(X, y)
    assert len(encodings) == 2
    assert same(changed, model(**options).fit(X, y), X)


def test_what_no_encoder_reads_is_not(tmp_path, encodings):
    """An index, and whether texts are one object or many."""
    X, y = table()
    model(tmp_path).fit(X, y)
    copies = X.copy()
    copies["user"] = [f" {text}"[1:] for text in X["user"]]
    copies["tags"] = [[f" {tag}"[1:] for tag in tags] for tags in X["tags"]]
    copies.index = y.index = [f"row {i}" for i in range(len(X))]
    model(tmp_path).fit(copies, y)
    assert len(encodings) == 1


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "array", "list", "pandas text"])
def test_tables_of_each_kind_are_remembered(tmp_path, encodings, kind):
    X, y = table()
    X = X[["user", "size"]].astype({"user": str})
    if kind == "polars":
        X = pytest.importorskip("polars").from_pandas(X)
    elif kind == "pyarrow":
        X = pytest.importorskip("pyarrow").Table.from_pandas(X)
    elif kind in ("array", "list"):
        X = X.to_numpy(dtype=object)
        X = X.tolist() if kind == "list" else X
    y = y.to_numpy()
    encoder = FieldEncoder(target_statistics=[0])
    without = model(encoder=encoder).fit(X, y)
    for n_rows in (80, 79, 80, 79):
        one = model(tmp_path, encoder=encoder).fit(X[:n_rows], y[:n_rows])
    assert len(encodings) == 3
    last = model(tmp_path, encoder=encoder).fit(X, y)
    assert same(last, without, X)
    assert not same(one, without, X)


def test_a_sliced_text_is_not_the_text_before_it(tmp_path, encodings):
    """Slices of one array of pyarrow share its memory."""
    pa = pytest.importorskip("pyarrow")
    y = np.arange(8) % 2
    whole = pa.table({"user": list("aabbccddeeff")})
    for start in (0, 3, 0, 3):
        model(tmp_path, encoder=FieldEncoder()).fit(whole.slice(start, 8), y)
    assert len(encodings) == 2


DAMAGES = {
    "half of it": lambda data: data[: len(data) // 2],
    "none of it": lambda data: b"",
    "no pickle": lambda data: b"?" + data,
    "within": lambda data: data.replace(b"FieldEncoder", b"FieldEncodes"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_anew(tmp_path, encodings, damage):
    X, y = table()
    without = model(tmp_path).fit(X, y)
    (file,) = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=r"memory=.* cannot be read") as told:
        anew = model(tmp_path).fit(X, y)
    assert [one.filename for one in told] == [__file__]
    assert len(encodings) == 2
    again = model(tmp_path).fit(X, y)
    assert len(encodings) == 2
    assert same(anew, without, X)
    assert same(again, without, X)


def test_the_oldest_go_first_and_nothing_else_goes(tmp_path, monkeypatch, encodings):
    X, y = table()
    others = joblib.Memory(tmp_path, verbose=0).cache(len)
    others([1, 2])
    (tmp_path / "notes.txt").write_text("mine")
    model(tmp_path, random_state=0).fit(X, y)
    (_, own) = sorted(files(tmp_path), key=lambda file: file.stat().st_size)
    monkeypatch.setattr(_encoder_memory, "MOST_BYTES", 2.5 * own.stat().st_size)
    for seed in range(1, 5):
        model(tmp_path, random_state=seed).fit(X, y)
        assert len(files(tmp_path)) == min(seed + 1, 2) + 1
    assert len(encodings) == 5
    model(tmp_path, random_state=4).fit(X, y)
    assert len(encodings) == 5
    assert others.check_call_in_cache([1, 2])
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("how", [{}, {"mmap_mode": "r"}, {"compress": 1}])
def test_a_memory_of_joblib_is_left_to_its_owner(tmp_path, monkeypatch, encodings, how):
    monkeypatch.setattr(_encoder_memory, "MOST_BYTES", 1)
    memory = joblib.Memory(tmp_path, verbose=0, **how)
    X, y = table()
    without = model().fit(X, y)
    for _ in range(2):
        assert same(model(memory).fit(X, y), without, X)
    assert len(encodings) == 2
    assert len(files(tmp_path)) == 1


def test_a_search_encodes_each_fold_once(tmp_path):
    """In whichever process its candidates are fitted."""
    X, y = table(60)
    grid = {"learning_rate": [0.001, 0.01, 0.1], "dropout": [0.0, 0.5]}
    how = {"scoring": task_scorer("log_loss"), "cv": KFold(2), "refit": False}
    scores = []
    for memory, n_jobs in ((None, 1), (tmp_path, 2)):
        search = GridSearchCV(model(memory), grid, n_jobs=n_jobs, **how).fit(X, y)
        scores.append(search.cv_results_["mean_test_score"])
    assert len(files(tmp_path)) == 2
    assert len(set(scores[0])) == 6
    np.testing.assert_array_equal(*scores)


def test_a_pipeline_remembers_its_own_encoder(tmp_path, monkeypatch):
    X, y = table()
    found, fit_transform = [], FieldEncoder.fit_transform

    def spy(self, X, *args, **kwargs):
        found.append(X)
        return fit_transform(self, X, *args, **kwargs)

    monkeypatch.setattr(FieldEncoder, "fit_transform", spy)
    encoder = FieldEncoder(target_statistics=["user"], random_state=0)
    fitted = []
    for memory in (None, str(tmp_path), str(tmp_path)):
        steps = [("encode", encoder), ("model", model(encoder=None))]
        fitted.append(Pipeline(steps, memory=memory).fit(X, y))
    assert len(found) == 2
    without, *others = (one.predict_proba(X) for one in fitted)
    assert all((other == without).all() for other in others)
    changed = fitted[-1].fit(X, 1 - y).predict_proba(X)
    assert len(found) == 3
    assert (changed != without).any()


PROCESSES = """
import os, sys
sys.path[:0] = {path!r}
from dephn_sk.training import _encoder_memory
import numpy as np

class Encoding:
    def warn_of_empty(self): pass

class Encoder:
    _encoding = Encoding()

Encoder.__module__ = Encoding.__module__ = "__main__"
_encoder_memory.MOST_BYTES = 100_000

def recall(key):
    make = lambda: _encoder_memory.Encoded(Encoder(), np.full(5_000, key), [])
    return _encoder_memory._recalled(sys.argv[1], str(key), make).fields

children = []
for child in range(3):
    if not (pid := os.fork()):
        keys = np.random.default_rng(child).integers(0, 5, 60)
        right = all((recall(key) == key).all() for key in keys.tolist())
        os._exit(not right)
    children.append(pid)
print([os.waitpid(pid, 0)[1] for pid in children])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
def test_processes_that_write_and_delete_at_once_find_what_is_theirs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROCESSES.format(path=sys.path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == "[0, 0, 0]", done.stderr
    assert len(files(tmp_path)) <= 3


def test_an_empty_column_is_told_of_each_time(tmp_path):
    X, y = table()
    X["nothing"] = np.nan
    for _ in range(2):
        with pytest.warns(UserWarning, match="'nothing' is missing in all") as told:
            model(tmp_path).fit(X, y)
    assert told[0].filename == __file__


class Counted(FieldEncoder):
    """An encoder of one's own."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"random_state": None}, "random_state=None draws another"),
        ({"encoder": Counted()}, "encoder is a Counted"),
        ({"encoder": OrdinalEncoder()}, "'encoder' parameter"),
    ],
)
def test_what_cannot_be_remembered_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        model(tmp_path, **options).fit(*table())
    assert not files(tmp_path)


def test_a_path_that_is_no_folder_is_refused_by_name(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match=r"memory=.*file'\) cannot be used"):
        model(file).fit(*table())


class Alone:
    """A cell that no pickle holds."""

    def __reduce__(self):
        raise TypeError("alone")


def test_cells_that_cannot_be_told_apart_are_refused(tmp_path):
    X, y = table()
    X["user"] = [Alone() for _ in range(len(X))]
    with pytest.raises(ValueError, match=r"cannot be told .* alone\. Set memory=None"):
        model(tmp_path).fit(X, y)


def test_a_log_has_a_folder_of_its_own(tmp_path):
    pa = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    X, y = table()
    log = dataset.dataset(pa.Table.from_pandas(X.assign(**y)))
    options = {"encoder": None}
    for begin in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="cache_dir"):
            getattr(model(tmp_path, **options), begin)(log, ["click", "buy"])
    begun = model(tmp_path, **options).partial_fit(X, y)  # which then keeps no more
    kept = sorted(tmp_path.rglob("*"))
    begun.partial_fit(log, ["click", "buy"])
    begun.partial_fit(X, y)
    assert sorted(tmp_path.rglob("*")) == kept


def test_no_file_names_a_folder_of_pickles(tmp_path):
    X, y = table()
    options = {"max_epochs": 1, "random_state": 0, "memory": tmp_path / "kept"}
    fitted = DEPHNMultiTaskClassifier(**options).fit(X[:9], y[:9])
    assert fitted.fitted_params_["memory"] == tmp_path / "kept"
    assert "kept" not in fitted.card()
    fitted.save(tmp_path / "model.zip", training=True)
    loaded = dephn_sk.load(tmp_path / "model.zip")
    assert loaded.memory is loaded.fitted_params_["memory"] is None
    assert same(loaded, fitted, X)
    state = loaded._state()
    state["params"]["memory"] = "evil"
    assert DEPHNMultiTaskClassifier._from_state(state).memory is None
