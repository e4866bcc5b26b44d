"""One graph for a whole estimator: columns, network, calibration, and what is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _graphs import N_ROWS, NO_ROWS, onnx, pd, run
from _kinds_of_columns import NARROW, NARROW_ROWS, ROWS, SMALL, X, Y, encoder
from scipy.special import logit
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import SharedBottomClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.export import _files, _tasks, feed, to_onnx
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.tasks import Binary

# what onnxruntime takes, and onnx knows
HIGHEST = min(26, onnx.defs.onnx_opset_version())


@pytest.fixture(scope="module")
def fitted():
    return DEPHNMultiTaskClassifier(**SMALL, encoder=encoder()).fit(X, Y)


@pytest.fixture(scope="module")
def exported(fitted):
    return to_onnx(fitted, labels=True)


@pytest.fixture(scope="module")
def shared_bottom():
    """The quickest network to trace."""
    small = FieldEncoder(categorical_features=["city", "flag"])
    model = SharedBottomClassifier(**SMALL, encoder=small)
    return model.fit(NARROW, Y)


def assert_predicts(model, estimator, rows, **how):
    found = run(model, feed(estimator, rows, **how))
    wanted = estimator.predict_proba(rows)
    np.testing.assert_allclose(found["probabilities"], wanted, rtol=1e-5, atol=1e-7)
    return found


def test_a_graph_of_all_kinds_of_columns_predicts_what_the_estimator_predicts(
    fitted, exported
):
    found = assert_predicts(exported, fitted, ROWS)
    named = np.stack([found["labels.click"], found["labels.buy"]], axis=1)
    np.testing.assert_array_equal(named, fitted.predict(ROWS))
    given = feed(fitted, ROWS)
    for n in (*NO_ROWS, 1, 2):
        few = run(exported, {name: values[:n] for name, values in given.items()})
        np.testing.assert_allclose(
            few["probabilities"], found["probabilities"][:n], rtol=1e-5, atol=1e-7
        )


def test_a_row_in_which_all_is_missing_is_as_in_the_estimator(fitted, exported):
    nothing = ROWS[:2].copy()
    for name in nothing:
        nothing[name] = None
    assert_predicts(exported, fitted, nothing.astype(ROWS.dtypes))


def test_the_metadata_say_what_a_server_needs(fitted, exported):
    (entry,) = exported.metadata_props
    about = json.loads(entry.value)
    assert entry.key == "dephn_sk"
    columns = {one["name"]: one for one in about["columns"]}
    assert list(columns) == [one.name for one in exported.graph.input][:-1]
    types = {name: one["type"] for name, one in columns.items()}
    assert types == {
        "city": "string",
        "id": "int64",
        "flag": "bool",
        "age": "double",
        "price": "double",
        "when": "int64",
        "lasts": "double",
        "tags": "string",
        "seen": "string",
        "seen.length": "int64",
        "hashed": "int64",
    }
    assert about["masks"] == {"missing": ["city", "id", "flag", "hashed"]}
    assert [columns[name]["mask"] for name in ("city", "hashed", "age")] == [0, 3, None]
    assert "UTC" in columns["when"]["says"]
    click, buy = about["tasks"]
    assert (click["name"], click["classes"], click["kind"]) == (
        "click",
        [0, 1],
        "Binary",
    )
    assert buy["rate"] == pytest.approx(fitted.task_rates_[1])
    assert about["versions"]["torch"] and about["opset"] == 20


@pytest.mark.parametrize("opset", [18, HIGHEST])
def test_the_lowest_and_the_highest_opset(shared_bottom, opset):
    model = to_onnx(shared_bottom, opset=opset)
    assert {one.domain: one.version for one in model.opset_import}[""] == opset
    assert_predicts(model, shared_bottom, NARROW_ROWS)


@pytest.mark.parametrize("opset", [17, 99])
def test_other_opsets_are_refused(shared_bottom, opset):
    with pytest.raises(ValueError, match=f"opset must be from 18 to .*got {opset}"):
        to_onnx(shared_bottom, opset=opset)


def test_calibrated_probabilities_come_out_of_the_graph(shared_bottom):
    calibrator = TaskCalibrator(shared_bottom).fit(NARROW, Y)
    model = to_onnx(shared_bottom, calibrator=calibrator)
    assert_predicts(model, calibrator, NARROW_ROWS)
    (entry,) = model.metadata_props
    assert json.loads(entry.value)["calibration"] == ["sigmoid"]


def test_steps_of_isotonic_calibration_are_taken_within_the_rounding_of_a_logit(
    shared_bottom,
):
    """A step may be steeper than any tolerance: what float32 rounds moves along it."""
    calibrator = TaskCalibrator(shared_bottom, method="isotonic").fit(NARROW, Y)
    model = to_onnx(calibrator)
    found = run(model, feed(calibrator, NARROW_ROWS))["probabilities"]
    odds = logit(shared_bottom.predict_proba(NARROW_ROWS))
    for t, one in enumerate(calibrator.calibrators_):
        around = odds[:, [t]] + np.array([-1e-5, 1e-5])
        low, high = (one.predict_proba(z)[:, 1] for z in around.T)
        assert np.all((low - 1e-7 <= found[:, t]) & (found[:, t] <= high + 1e-7))


def test_a_calibrator_of_another_estimator_is_refused(fitted, shared_bottom):
    calibrator = TaskCalibrator(shared_bottom).fit(NARROW, Y)
    with pytest.raises(ValueError, match="calibrator was fitted around another"):
        to_onnx(fitted, calibrator=calibrator)
    with pytest.raises(ValueError, match="calibrated already"):
        to_onnx(calibrator, calibrator=calibrator)
    with pytest.raises(TypeError, match="calibrator must be a fitted TaskCalibrator"):
        to_onnx(fitted, calibrator="sigmoid")


def test_a_pipeline_of_encoders_in_a_search_behind_a_calibrator():
    bags = encoder(bag_mode="sum").set_params(shared_vocabularies=None)
    pipeline = make_pipeline(bags, "passthrough", SharedBottomClassifier(**SMALL))
    grid = {"sharedbottomclassifier__learning_rate": [1e-3]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    calibrator = TaskCalibrator(FrozenEstimator(search)).fit(X, Y)
    assert_predicts(to_onnx(calibrator), calibrator, ROWS)


def test_steps_of_another_kind_run_before_a_graph_of_encoded_inputs():
    numbers = X[["age", "price"]]
    model = SharedBottomClassifier(**SMALL)
    pipeline = make_pipeline(StandardScaler(), model).fit(numbers, Y)
    with pytest.raises(ValueError, match=r"Step 'standardscaler'.*inputs=\"encoded\""):
        to_onnx(pipeline)
    encoded = to_onnx(pipeline, inputs="encoded")
    assert_predicts(encoded, pipeline, ROWS[["age", "price"]], inputs="encoded")


def test_an_array_of_text_and_numbers(shared_bottom):
    array = X[["city", "age"]].to_numpy(dtype=object)
    model = SharedBottomClassifier(**SMALL).fit(array, Y)
    exported = to_onnx(model)
    assert [one.name for one in exported.graph.input] == ["x0", "x1", "missing"]
    assert_predicts(exported, model, ROWS[["city", "age"]].to_numpy(dtype=object))


USER = ["city", "age", "when", "seen", "flag"]


def test_a_user_comes_once_with_many_items(fitted):
    model = to_onnx(fitted, inputs="user+items", shared=USER)
    shapes = {one.name: one.type.tensor_type.shape.dim[0] for one in model.graph.input}
    once = [name for name, dim in shapes.items() if dim.dim_value == 1]
    assert once == [
        "city",
        "flag",
        "age",
        "when",
        "seen",
        "seen.length",
        "missing.shared",
    ]
    rows = ROWS.copy()
    for user in (3, 4):
        for name in USER:
            rows[name] = pd.Series(
                [ROWS[name].iloc[user]] * N_ROWS, dtype=ROWS[name].dtype
            )
        assert_predicts(model, fitted, rows, inputs="user+items", shared=USER)
    with pytest.raises(
        ValueError, match="Column 'city' is shared, but its rows differ"
    ):
        feed(fitted, ROWS, inputs="user+items", shared=USER)


@pytest.mark.parametrize(
    ("how", "error", "why"),
    [
        ({"inputs": "cooked"}, ValueError, "inputs must be one of"),
        ({"shared": ["city"]}, ValueError, 'goes with inputs="user'),
        ({"inputs": "user+items"}, ValueError, "must name some of the columns"),
        ({"inputs": "user+items", "shared": ["town"]}, ValueError, "'town'"),
        ({"inputs": "user+items", "shared": "city"}, TypeError, r"Give \['city'\]"),
        ({"inputs": "user+items", "shared": list(X)}, ValueError, "but not all"),
        ({"tables": "int8"}, ValueError, "tables must be one of"),
    ],
)
def test_options_that_there_are_not(fitted, how, error, why):
    with pytest.raises(error, match=why):
        to_onnx(fitted, **how)
    if "tables" not in how:
        with pytest.raises(error, match=why):
            feed(fitted, X, **how)


def test_tables_of_half_precision_take_half_the_bytes(shared_bottom):
    whole, half = (to_onnx(shared_bottom, tables=t) for t in ("float32", "float16"))
    name = "network/network.embedding.table"
    before, after = (
        next(one for one in model.graph.initializer if one.name == name)
        for model in (whole, half)
    )
    assert after.data_type == onnx.TensorProto.FLOAT16
    assert 2 * len(after.raw_data) == len(before.raw_data)
    found = run(half, feed(shared_bottom, NARROW_ROWS))["probabilities"]
    wanted = shared_bottom.predict_proba(NARROW_ROWS)
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_a_table_is_stored_once(fitted, exported):
    table = fitted.network_.embedding.table.detach().numpy().tobytes()
    assert exported.SerializeToString().count(table) == 1


def test_a_model_too_large_for_one_file_is_two(shared_bottom, tmp_path, monkeypatch):
    one, two = tmp_path / "one.onnx", tmp_path / "two.onnx"
    model = to_onnx(shared_bottom, one)
    assert [path.name for path in tmp_path.iterdir()] == ["one.onnx"]
    assert one.read_bytes() == model.SerializeToString()
    monkeypatch.setattr(_files, "LIMIT", 100)
    monkeypatch.setattr(_files, "SMALL", 100)
    with pytest.raises(ValueError, match="Give a path"):
        to_onnx(shared_bottom)
    to_onnx(shared_bottom, two)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"one.onnx", "two.onnx", "two.onnx.data"}
    assert two.stat().st_size < one.stat().st_size
    onnx.checker.check_model(two, full_check=True)
    assert_predicts(onnx.load(two), shared_bottom, NARROW_ROWS)


def test_nothing_is_written_where_something_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    text = X[["city", "age"]]
    refused = {
        "Column 'city' is text that n_buckets": {"encoder": FieldEncoder(n_buckets=9)},
        "precision='bf16'": {"precision": "bf16"},
    }
    for why, options in refused.items():
        model = SharedBottomClassifier(**SMALL, **options).fit(text, Y)
        with pytest.raises(ValueError, match=why):
            to_onnx(model, path)
    model = DEPHNMultiTaskClassifier(**SMALL, mappings=["raw", abs]).fit(text, Y)
    with pytest.raises(ValueError, match=r"mappings=.*holds a function"):
        to_onnx(model, path)
    assert not list(tmp_path.iterdir())


def test_a_kind_of_task_that_nobody_translates_is_refused_by_name(
    shared_bottom, monkeypatch
):
    monkeypatch.delitem(_tasks.KINDS, Binary)
    with pytest.raises(ValueError, match="Task 'click' is a Binary, a kind of task"):
        to_onnx(shared_bottom)


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="found StandardScaler"):
        to_onnx(StandardScaler())
    with pytest.raises(TypeError, match="found FunctionTransformer"):
        feed(make_pipeline(FunctionTransformer()), X)


def test_an_input_s_name_may_be_that_of_an_output():
    columns = X[["city", "age"]].rename(
        columns={"age": "probabilities", "city": "missing"}
    )
    model = SharedBottomClassifier(**SMALL).fit(columns, Y)
    exported = to_onnx(model, inputs="raw")
    assert [one.name for one in exported.graph.input] == [
        "missing",
        "probabilities",
        "missing_",
    ]
    rows = columns[:50]
    (name,) = (one.name for one in exported.graph.output)
    found = run(exported, feed(model, rows))[name]
    np.testing.assert_allclose(found, model.predict_proba(rows), rtol=1e-5, atol=1e-7)
    (entry,) = exported.metadata_props
    assert json.loads(entry.value)["tasks"][0]["probabilities"] == name
