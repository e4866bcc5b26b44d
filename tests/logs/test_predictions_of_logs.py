"""Predictions of a log are those of its rows in memory, in batches and in files."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from _logs_on_disk import FEATURES, TASKS, parquet, table_of

from dephn_sk import DEPHNMultiTaskClassifier, DEPHNMultiTaskEstimator
from dephn_sk.baselines import DNNClassifier
from dephn_sk.logs import Log

TABLE = table_of(5000)
X, Y = TABLE.select(FEATURES), TABLE.select(TASKS)
SMALL = {"embedding_dim": 4, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def model():
    return DEPHNMultiTaskClassifier(**SMALL).fit(X, Y)


@pytest.fixture
def log(tmp_path):
    return Log(parquet(TABLE, tmp_path / "rows", 7), memory=2**24)


def test_batches_are_the_rows_in_order(model, log):
    batches = list(model.predict_batches(log))
    assert len(batches) == 2  # of 4,096 rows at least, as predict_proba itself has
    np.testing.assert_array_equal(np.concatenate(batches), model.predict_proba(X))


def test_methods_of_tables_take_logs(model, log):
    np.testing.assert_array_equal(model.predict_proba(log), model.predict_proba(X))
    np.testing.assert_array_equal(model.predict(log), model.predict(X))
    weight = TABLE["weight"].to_numpy()
    assert model.score(log, TASKS, "weight") == model.score(X, Y, weight)
    assert model.score(ds.dataset(TABLE), TASKS) == model.score(X, Y)


def test_a_score_holds_some_rows_at_a_time(model, log, monkeypatch):
    from dephn_sk.tasks import _scores

    monkeypatch.setattr(_scores, "KEPT_ROWS", 1000)
    monkeypatch.setattr(Log, "table", None)  # which would read all rows at once
    found = model.score(log, TASKS, "weight")
    expected = model.score(X, Y, TABLE["weight"].to_numpy())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_bad_label_is_named_with_its_row(model, tmp_path):
    labels = TABLE["click"].to_numpy().astype(float)
    labels[4_321] = 2.0
    at = TABLE.column_names.index("click")
    bad = TABLE.set_column(at, "click", pa.array(labels))
    with pytest.raises(ValueError, match=r"click.*2\.0.*Row 4321 of the log"):
        model.score(Log(parquet(bad, tmp_path / "bad", 7)), TASKS)


def test_a_score_needs_labels(model, log):
    with pytest.raises(ValueError, match="give the names"):
        model.score(log, None)


def read(folder):
    return pq.read_table(folder).to_pandas()


def test_files_hold_the_bytes_of_predict_proba(model, log, tmp_path):
    given = log, tmp_path / "out", ["user_id", "item"]
    paths = model.write_predictions(*given, rows_per_part=1300)
    assert [pq.read_metadata(path).num_rows for path in paths] == [1300] * 3 + [1100]
    found = read(tmp_path / "out" / "")
    assert list(found) == ["user_id", "item", "p_click", "p_like"]
    written = found[["p_click", "p_like"]].to_numpy()
    assert written.tobytes() == np.ascontiguousarray(model.predict_proba(X)).tobytes()
    assert found["item"].tolist() == TABLE["item"].to_pylist()


def test_it_goes_on_after_an_interruption(model, log, tmp_path, monkeypatch):
    from dephn_sk.training import _log_predictions

    folder, written = tmp_path / "out", []
    once = _log_predictions._write

    def write(table, path):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        once(table, path)

    monkeypatch.setattr(_log_predictions, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        model.write_predictions(log, folder, rows_per_part=1300)
    (folder / "_part-000002.parquet.new").write_bytes(b"half of a file")
    (folder / "part-000001.parquet").write_bytes(b"not whole")  # as after a power cut
    monkeypatch.setattr(
        _log_predictions, "_write", lambda t, p: (written.append(p.name), once(t, p))
    )
    model.write_predictions(log, folder, rows_per_part=1300)
    names = [f"part-00000{i}.parquet" for i in (0, 1, 1, 2, 3)]
    assert written == names
    np.testing.assert_array_equal(read(folder).to_numpy(), model.predict_proba(X))
    model.write_predictions(log, folder, rows_per_part=1300)
    assert written == names  # nothing was left to do


def test_predictions_of_two_models_are_not_mixed(model, log, tmp_path):
    model.write_predictions(log, tmp_path / "out")
    other = DEPHNMultiTaskClassifier(**{**SMALL, "random_state": 1}).fit(X, Y)
    with pytest.raises(ValueError, match="another call, which differ in model"):
        other.write_predictions(log, tmp_path / "out")
    with pytest.raises(ValueError, match="differ in columns"):
        model.write_predictions(log, tmp_path / "out", ["item"])


def test_files_are_not_taken_for_those_of_other_rows(model, tmp_path):
    """Nothing tells whether an iterator gives the rows that it gave before."""
    model.write_predictions(lambda: [TABLE], tmp_path / "out", rows_per_part=1300)
    turned = TABLE.take(np.arange(len(TABLE))[::-1])
    model.write_predictions(lambda: [turned], tmp_path / "out", rows_per_part=1300)
    expected = model.predict_proba(turned.select(FEATURES))
    np.testing.assert_array_equal(read(tmp_path / "out").to_numpy(), expected)


def test_processes_may_write_the_same_files(model, log, tmp_path, monkeypatch):
    """As ranks do, whose script knows nothing of them: both come to their end."""
    from dephn_sk.training import _log_predictions

    out, replaced, inside = tmp_path / "out", os.replace, []

    def replace(new, path):
        if not inside:  # another process writes all before this one's first file
            inside.append(path)
            model.write_predictions(log, out)
        replaced(new, path)

    monkeypatch.setattr(_log_predictions.os, "replace", replace)
    model.write_predictions(log, out)
    np.testing.assert_array_equal(read(out).to_numpy(), model.predict_proba(X))
    assert [path for path in out.iterdir() if path.name.endswith(".new")] == []


def test_other_kinds_of_tasks(tmp_path):
    names = [name for name in FEATURES if name != "price"]
    table = TABLE.filter(pa.compute.is_valid(TABLE["price"]))
    y = ["price", "click"]
    mixed = DEPHNMultiTaskEstimator(
        **SMALL, tasks={"price": "squared", "click": "binary"}
    ).fit(Log(ds.dataset(table), names), y)
    mixed.write_predictions(ds.dataset(table), tmp_path / "mixed")
    found = read(tmp_path / "mixed")
    assert list(found) == ["predicted_price", "p_click"]
    np.testing.assert_array_equal(
        found["predicted_price"], mixed.predict(table.select(names))[:, 0]
    )
    one = DNNClassifier(**SMALL).fit(Log(ds.dataset(table), names), "click")
    batches = np.concatenate(list(one.predict_batches(ds.dataset(table))))
    np.testing.assert_array_equal(batches, one.predict_proba(table.select(names)))
    assert one.classes_.tolist() == [0, 1]


def test_predictions_do_not_take_the_place_of_columns(model, tmp_path):
    table = TABLE.append_column("p_like", TABLE["like"])
    with pytest.raises(ValueError, match=r"columns names \['p_like'\]"):
        model.write_predictions(ds.dataset(table), tmp_path, ["item", "p_like"])
    assert list(tmp_path.iterdir()) == []


def test_a_log_without_a_column_is_refused(model):
    with pytest.raises(ValueError, match="fit names the column 'item'"):
        model.predict_proba(ds.dataset(TABLE.drop(["item"])))
    with pytest.raises(TypeError, match="Table is no log"):
        next(model.predict_batches(X))
