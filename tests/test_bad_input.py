"""Bad input: every error names the column, task or parameter, and the value."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from _batches import make_kind
from sklearn.exceptions import DataConversionWarning, NotFittedError

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder

TINY = {"expert_hidden": (4,), "n_layers": 1, "max_epochs": 1, "random_state": 0}


def make_model(**options):
    return DEPHNMultiTaskClassifier(**{**TINY, **options})


@pytest.fixture
def data():
    """A table of the columns c0, c1, x0, x1 and labels of the tasks a, b, c."""
    return make_kind(n_rows=7).table()


def assert_refused(call, *parts, error=(ValueError, TypeError)):
    """The call raises our own error, which names all parts."""
    with pytest.raises(error) as info:
        call()
    for part in parts:
        assert str(part) in str(info.value)
    raised_in = str(info.traceback[-1].path)
    assert not re.search(r"[\\/](torch|skorch)[\\/]", raised_in), raised_in


# --------------------------------------------------------------------------- tables


@pytest.mark.parametrize("rows", [0, 6, 8])
def test_another_number_of_labels_than_rows(data, rows):
    X, y = data
    y = pd.concat([y, y]).iloc[:rows]
    assert_refused(lambda: make_model().fit(X, y), 7, rows)


@pytest.mark.parametrize("kind", ["frame", "array"])
@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 0)])
def test_an_empty_table(kind, shape):
    X, y = np.zeros(shape), np.zeros(shape[0])
    if kind == "frame":
        X = pd.DataFrame(X, columns=list("abc")[: shape[1]])
    what = "0 feature" if shape[0] else "0 sample"
    assert_refused(lambda: make_model().fit(X, y), what, f"shape={shape}")


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_an_empty_table_after_fit(data, method):
    X, y = data
    model = make_model().fit(X, y)
    assert_refused(lambda: getattr(model, method)(X.iloc[:0]), 0)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_number(data, value):
    X, y = data
    bad = X.copy()
    bad.loc[3, "x1"] = value
    assert_refused(lambda: make_model().fit(bad, y), "'x1'", value, "row 3")
    model = make_model().fit(X, y)
    assert_refused(lambda: model.predict(bad), "'x1'", value, "row 3")


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_columns_that_hold_labels_are_told(data, method, kind):
    X, y = data
    name = y.columns[1]
    both = X.assign(**{name: y[name]})
    if kind == "polars":
        both = pytest.importorskip("polars").from_pandas(both)
    if kind == "pyarrow":
        both = pytest.importorskip("pyarrow").Table.from_pandas(both)
    with pytest.warns(UserWarning, match="Leave them out of X") as caught:
        getattr(make_model(), method)(both, y)
    assert f"[{name!r}]" in str(caught[0].message)
    assert [Path(one.filename) for one in caught] == [Path(__file__)]


@pytest.mark.parametrize("named", ["as a task", "otherwise"])
def test_other_columns_are_no_labels(data, named):
    X, y = data
    name = y.columns[1]
    if named == "as a task":  # such as what was clicked the day before
        X = X.assign(**{name: y[name].to_numpy()[::-1]})
    else:
        X = X.assign(before=y[name])
    make_model().fit(X, y)  # where a warning is an error


@pytest.mark.parametrize("column", ["c0", "x1"])
def test_a_column_that_is_missing_in_all_rows_says_nothing(data, column):
    X, y = data
    empty = X.assign(**{column: None if column == "c0" else np.nan})
    with pytest.warns(UserWarning, match=f"'{column}' is missing in all rows"):
        model = make_model().fit(empty, y)
    predicted = model.predict_proba(empty)
    assert np.isfinite(predicted).all()
    np.testing.assert_array_equal(model.predict_proba(X), predicted)


@pytest.mark.parametrize(
    ("categorical_features", "parts"),
    [
        (["c00", "c1"], ["'c00'", "Did you mean 'c0'"]),
        (["color"], ["'color'"]),
        ([9], ["9", "4 columns"]),
        ([True, False], ["2", "4"]),
        ("c0", ["'c0'"]),
    ],
)
def test_unknown_categorical_features(data, categorical_features, parts):
    model = make_model(categorical_features=categorical_features)
    assert_refused(lambda: model.fit(*data), "categorical_features", *parts)


def test_text_in_a_column_that_is_declared_numeric(data):
    X, y = data
    model = make_model(categorical_features=["c1"])
    assert_refused(lambda: model.fit(X, y), "'c0'", repr(X["c0"][0]))


def test_a_number_column_that_became_text(data):
    X, y = data
    model = make_model().fit(X, y)
    bad = X.assign(x0="tall")
    assert_refused(lambda: model.predict(bad), "'x0'", "'tall'")


@pytest.mark.parametrize("new", [pd.Timestamp("2023-01-01"), 1.5], ids=str)
def test_a_category_column_that_is_now_of_another_kind(data, new):
    X, y = data
    X = X.assign(c0=X["c0"].astype("category"))
    model = make_model().fit(X, y)
    assert_refused(lambda: model.predict(X.assign(c0=new)), "'c0'")


def test_codes_of_another_encoder():
    X = pd.DataFrame({"city": list("aabbccdd"), "x": np.arange(8.0)})
    y = [0, 1] * 4
    encoded = FieldEncoder().fit_transform(X)
    model = make_model().fit(encoded, y)
    other = FieldEncoder().fit_transform(X.assign(city=list("abcdefgh")))
    assert_refused(lambda: model.predict(other), "'city'", 9, 5)


def test_columns_that_differ_from_those_of_fit(data):
    X, y = data
    model = make_model().fit(X, y)
    assert_refused(lambda: model.predict(X.drop(columns="x0")), "x0")
    assert_refused(lambda: model.predict(X.assign(extra=1.0)), "extra")
    assert_refused(lambda: model.predict(X[["x0", "c0", "c1", "x1"]]), "order")


def test_another_number_of_columns_than_in_fit():
    X, y = np.zeros((4, 3)), [0, 1, 0, 1]
    model = make_model().fit(X, y)
    assert_refused(lambda: model.predict(X[:, :2]), 2, 3)


def test_a_table_of_one_dimension(data):
    assert_refused(lambda: make_model().fit([1.0, 2.0], [0, 1]), "2D")


# --------------------------------------------------------------------------- labels


def test_a_task_without_any_label(data):
    X, y = data
    bad = y.assign(**{"task b": np.nan})
    assert_refused(lambda: make_model().fit(X, bad), "'task b'", "all are missing")
    unnamed = bad.to_numpy()
    assert_refused(lambda: make_model().fit(X, unnamed), "'task1'", "all are missing")


def test_no_labels(data):
    assert_refused(lambda: make_model().fit(data[0], None), "y", "None")


def test_a_missing_label_of_a_single_task(data):
    X, y = data
    single = y["task a"].copy()
    single[2] = np.nan
    assert_refused(lambda: make_model().fit(X, single), "NaN", "1 of 7")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_label(data, value):
    X, y = data
    y.loc[2, "task b"] = value
    assert_refused(lambda: make_model().fit(X, y), "'task b'", "infinity")


def test_a_continuous_label(data):
    X, y = data
    y["task c"] = np.linspace(0, 1, 7)
    assert_refused(lambda: make_model().fit(X, y), "'task c'", "continuous")


def test_complex_labels(data):
    X, _ = data
    assert_refused(lambda: make_model().fit(X, np.arange(7) % 2 + 1j), "omplex")


def test_labels_that_cannot_be_ordered(data):
    X, y = data
    y["task b"] = np.array(["yes", 0, 1, 0, "no", 1, 0], dtype=object)
    assert_refused(lambda: make_model().fit(X, y), "'task b'", "int", "str")


def test_a_task_of_one_class_that_is_not_zero_or_one(data):
    X, y = data
    y["task b"] = "bought"
    assert_refused(lambda: make_model().fit(X, y), "'task b'", "'bought'")


def test_two_tasks_of_one_name(data):
    X, y = data
    y.columns = ["click", "like", "click"]
    assert_refused(lambda: make_model().fit(X, y), "'click'")


def test_labels_of_three_dimensions(data):
    assert_refused(lambda: make_model().fit(data[0], np.zeros((7, 2, 2))), "(7, 2, 2)")


def test_labels_without_a_column(data):
    X, y = data
    assert_refused(lambda: make_model().fit(X, y[[]]), "y", "column")
    assert_refused(lambda: make_model().fit(X, np.zeros((7, 0))), "y", "(7, 0)")


def test_a_column_vector_is_said_to_be_one_task(data):
    X, y = data
    with pytest.warns(DataConversionWarning, match=r"\(7, 1\)"):
        model = make_model().fit(X, y[["task a"]])
    assert model.predict(X).shape == (7,)


def test_scoring_other_tasks_than_those_of_fit(data):
    X, y = data
    model = make_model().fit(X, y)
    fewer = y[["task a", "task b"]]
    assert_refused(lambda: model.score(X, fewer), 2, 3)


# -------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        (-np.arange(7.0), ["row 1", "-1.0", "negative"]),
        (np.zeros(7), ["zero"]),
        (np.ones(6), ["(6,)", "(7,)"]),
        (np.ones((7, 2)), ["2", "'task a'"]),
        (np.ones((7, 3, 1)), ["(7, 3, 1)"]),
        (np.full(7, np.nan), ["NaN"]),
        (np.full(7, np.inf), ["infinity"]),
        (np.array(["heavy"] * 7), ["heavy"]),
    ],
    ids=["negative", "zero", "short", "columns", "3-D", "NaN", "inf", "text"],
)
def test_bad_sample_weights(data, weights, parts):
    call = lambda: make_model().fit(*data, sample_weight=weights)  # noqa: E731
    assert_refused(call, *parts)
    if weights.dtype.kind == "f":
        assert_refused(call, "sample_weight")


def test_sample_weights_that_leave_a_task_without_labels(data):
    X, y = data
    weights = np.ones((7, 3))
    weights[:, 1] = 0
    assert_refused(lambda: make_model().fit(X, y, weights), "'task b'")


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ({"task d": 1.0}, ["'task d'", "Did you mean 'task"]),
        ({"click": 1.0}, ["'click'", "'task a'"]),
        ([1.0, 2.0], ["3", "[1.0, 2.0]"]),
        ([1.0, -2.0, 1.0], ["-2.0", ">= 0"]),
        ([1.0, np.nan, 1.0], ["nan"]),
        ({"task a": -1.0}, ["-1.0"]),
        (["a", "b", "c"], ["'a'"]),
        ({"task a": "heavy"}, ["'heavy'"]),
        ("uncertain", ["'uncertain'", "Did you mean 'uncertainty'"]),
        (3, ["3"]),
    ],
    ids=str,
)
def test_bad_task_weights(data, weights, parts):
    model = make_model(task_weights=weights)
    assert_refused(lambda: model.fit(*data), "task_weights", *parts)


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ({"task d": "balanced"}, ["'task d'", "Did you mean 'task"]),
        ({"task a": {2: 1.0}}, ["'task a'", "2", "[0.0, 1.0]"]),
        ({"task a": {0: -1.0}}, ["'task a'", "-1.0"]),
        ({"task a": {0: "heavy"}}, ["'task a'", "'heavy'"]),
        (["balanced"], ["1", "3"]),
        (["balance", None, None], ["'task a'", "'balance'"]),
        ("balance", ["'balance'", "Did you mean 'balanced'"]),
    ],
    ids=str,
)
def test_bad_class_weights(data, weights, parts):
    model = make_model(class_weight=weights)
    assert_refused(lambda: model.fit(*data), "class_weight", *parts)


# ----------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("parameter", "value", "meant"),
    [
        ("public_experts", ("dnn", "croos"), "cross"),
        ("private_experts", ("fields",), "field"),
        ("mappings", ("raw", "sine"), "sin"),
        ("selection", "sotf", "soft"),
        ("gate", "trainible", "trainable"),
        ("virtual_gradient", "additive-sqr", "additive-sqrt"),
        ("label_similarity", "person", "pearson"),
        ("coefficient_reduction", "prod", "product"),
        ("gate_optimizer", "sdg", "sgd"),
        ("numeric_embedding", "bin+periodic", "bins"),
        ("numeric_embedding", "bin|periodic", "bins"),
        ("numeric_embedding", "autto", "auto"),
        ("dtype", "float23", "float32"),
        ("device", "cpuu", "cpu"),
        ("early_stopping", "autto", "auto"),
        ("categorical_features", "from_dtypes", "from_dtype"),
    ],
)
@pytest.mark.parametrize("columns", [["c0", "c1"], ["x0", "x1"]])
def test_an_unknown_option_says_which_was_meant(data, parameter, value, meant, columns):
    X, y = data
    model = make_model(**{parameter: value})
    wrong = value
    if isinstance(value, tuple):
        wrong = value[-1]
    if parameter == "numeric_embedding" and value.startswith("bin"):
        wrong = "bin"
    call = lambda: model.fit(X[columns], y)  # noqa: E731
    assert_refused(call, parameter, wrong)
    assert_refused(call, f"id you mean '{meant}'")


@pytest.mark.parametrize("value", ["auto+linear", "periodic|auto"])
def test_auto_is_refused_as_a_part_of_other_embeddings(data, value):
    call = lambda: make_model(numeric_embedding=value).fit(*data)  # noqa: E731
    assert_refused(call, "numeric_embedding", "auto")


def test_plain_numbers_are_refused_where_each_field_needs_a_vector(data):
    with pytest.raises(ValueError, match=r"numeric_embedding='scalar'.*vectors"):
        make_model(numeric_embedding="scalar").fit(*data)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("embedding_dim", 0),
        ("embedding_dim", 2.5),
        ("n_bins", 1),
        ("embedding_dropout", 1.0),
        ("unseen_rate", -0.1),
        ("dropout", 1.5),
        ("public_experts", "dnn"),
        ("private_experts", None),
        ("expert_hidden", 64),
        ("expert_hidden", (64, 0)),
        ("expert_hidden", ("64",)),
        ("expert_hidden", ()),
        ("tower_hidden", (3.5,)),
        ("tower_hidden", None),
        ("mappings", ()),
        ("mappings", "raw"),
        ("n_layers", 0),
        ("cross_rank", 0),
        ("residual", "yes"),
        ("virtual_gradient", True),
        ("gate_learning_rate", -1.0),
        ("gate_learning_rate", "fast"),
        ("gate_learning_rate", None),
        ("max_epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("validation_fraction", 1.0),
        ("n_epochs_no_change", 0),
        ("callbacks", [3]),
        ("callbacks", "progress"),
        ("device", 0),
        ("n_threads", 0),
        ("n_threads", "all"),
        ("memory", 3),
        ("random_state", "seed"),
        ("verbose", "loud"),
        ("verbose", -1),
        ("verbose", 0.5),
    ],
)
def test_a_value_out_of_range(data, parameter, value):
    model = make_model(**{parameter: value})
    shown = value[-1] if isinstance(value, (tuple, list)) and value else value
    assert_refused(lambda: model.fit(*data), parameter)
    if shown != ():
        assert_refused(lambda: model.fit(*data), shown)


def test_heads_that_do_not_divide_the_width(data):
    model = make_model(embedding_dim=8, n_heads=3, selection="soft")
    assert_refused(lambda: model.fit(*data), "n_heads=3", "embedding_dim=8")


def test_no_expert_at_all(data):
    model = make_model(public_experts=(), private_experts=())
    assert_refused(lambda: model.fit(*data), "public_experts", "private_experts")


@pytest.mark.parametrize("device", ["gpu", "cudaa", "cuda:x", ""])
def test_an_unknown_device(data, device):
    assert_refused(lambda: make_model(device=device).fit(*data), "device", repr(device))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_cuda_device_that_is_not_there(data, device):
    with pytest.raises(ValueError, match="cannot be used here") as refused:
        make_model(device=device).fit(*data)
    assert "Did you mean" not in str(refused.value)  # the name is right
    assert_refused(lambda: make_model(device=device).fit(*data), "device", device)


@pytest.mark.parametrize("device", ["mps", "xpu"])
def test_a_device_that_cannot_train_here(data, device):
    kind = getattr(torch.backends, device, None) or getattr(torch, device, None)
    if kind is not None and kind.is_available():
        pytest.skip(f"there is a device {device!r}")
    assert_refused(lambda: make_model(device=device).fit(*data), "device", device)


def test_validation_that_leaves_no_row_to_train_on(data):
    X, y = data
    model = make_model(early_stopping=True, validation_fraction=0.5)
    call = lambda: model.fit(X.iloc[:1], y.iloc[:1])  # noqa: E731
    assert_refused(call, "validation_fraction=0.5")


def test_training_that_diverges(data):
    model = make_model(learning_rate=1e38, max_epochs=9)
    assert_refused(lambda: model.fit(*data), "diverged", "learning_rate")


def test_training_that_diverges_in_its_last_step(data):
    """The loss of the last epoch is from before its last step."""
    model = make_model(learning_rate=1e38, max_epochs=1)
    assert_refused(lambda: model.fit(*data), "diverged", "learning_rate")


# -------------------------------------------------------------------------- unfitted


@pytest.mark.parametrize(
    "use",
    [
        lambda model, X, y: model.predict(X),
        lambda model, X, y: model.predict_proba(X),
        lambda model, X, y: model.decision_function(X),
        lambda model, X, y: model.score(X, y),
        lambda model, X, y: model.classes_,
        lambda model, X, y: model.task_names_,
        lambda model, X, y: model.gate_values_,
        lambda model, X, y: model.branch_names_,
        lambda model, X, y: model.n_iter_,
    ],
)
def test_unfitted_use(data, use):
    assert_refused(
        lambda: use(make_model(), *data),
        "DEPHNMultiTaskClassifier",
        "fit",
        error=NotFittedError,
    )


def test_gate_values_of_mapped_gates(data):
    model = make_model(gate="mapped").fit(*data)
    with pytest.raises(AttributeError, match="trainable"):
        _ = model.gate_values_


def test_a_failed_fit_of_a_new_model_leaves_it_unfitted(data):
    X, y = data
    model = make_model(public_experts=("dnm",))
    with pytest.raises(ValueError, match="dnm"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
