"""The tasks of a y: names, classes, labels as numbers and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import DataConversionWarning

from dephn_sk.tasks import Binary, Labels, MultiClass, Tasks, combine

NAN = np.nan


def learn(y):
    tasks = Tasks.learn(y)
    return tasks, tasks.read(y).filled()


def labels_of(indices, names=("task0", "task1")):
    return Labels(names, np.nan_to_num(indices), ~np.isnan(indices))


def decoded(tasks, indices):
    """Labels of class indices, by way of predictions that are sure of them."""
    return tasks.decode(
        [
            np.eye(n)[np.nan_to_num(i).astype(int)]
            for n, i in zip(tasks.n_levels, indices.T, strict=True)
        ]
    )


TABLES = {
    "list": lambda columns: [list(row) for row in zip(*columns.values(), strict=True)],
    "object array": lambda columns: np.array(list(columns.values()), dtype=object).T,
    "pandas": pd.DataFrame,
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(
    "columns",
    [
        {"a": [0, 1, 1, 0], "b": [1, 1, 0, 0]},
        {"a": [0, 1, None, 0], "b": [None, 1, 0, None]},
        {"a": ["no", "yes", None, "no"], "b": ["x", "y", "z", None]},
        {"a": [-1, 1, 1, -1], "b": [5, 3, 4, None]},
        {"a": [True, False, None, True], "b": [1, 2, 3, 1]},
    ],
    ids=str,
)
def test_labels_become_positions_in_their_sorted_classes_and_back(kind, columns):
    y = TABLES[kind](columns)
    tasks, indices = learn(y)
    assert tasks.names == (
        ("a", "b") if kind in ("pandas", "polars") else ("task0", "task1")
    )
    assert not tasks.single
    for t, column in enumerate(columns.values()):
        classes = sorted({value for value in column if value is not None})
        assert tasks.classes[t].tolist() == classes
        expected = [NAN if v is None else classes.index(v) for v in column]
        assert_array_equal(indices[:, t], expected)
        known = ~np.isnan(indices[:, t])
        back = decoded(tasks, indices)[:, t]
        assert back[known].tolist() == [v for v in column if v is not None]


@pytest.mark.parametrize(
    "missing", [np.nan, None, pd.NA, pd.NaT, float("nan")], ids=repr
)
def test_every_kind_of_missing_is_not_observed(missing):
    y = np.array([[0, 1], [missing, 0], [1, missing], [0, 0]], dtype=object)
    _, indices = learn(y)
    assert_array_equal(np.isnan(indices), [[0, 0], [1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64", "category", object])
def test_nullable_pandas_columns(dtype):
    y = pd.DataFrame({"a": pd.Series([0, 1, None, 1], dtype=dtype), "b": [0, 1, 0, 1]})
    tasks, indices = learn(y)
    assert tasks.classes[0].tolist() == [0, 1]
    assert_array_equal(indices, [[0, 0], [1, 1], [NAN, 0], [1, 1]])


def test_a_task_that_happens_to_be_constant_keeps_two_classes():
    y = np.array([[0, 1, -1], [0, 1, -1], [NAN, 1, -1]])
    tasks, indices = learn(y)
    assert [c.tolist() for c in tasks.classes] == [[0, 1], [0, 1], [-1, 1]]
    assert_array_equal(indices, [[0, 1, 0], [0, 1, 0], [NAN, 1, 0]])


def test_declared_categories_are_classes_even_where_none_occurs():
    categories = pd.CategoricalDtype(["none", "some", "many"])
    y = pd.DataFrame({"a": pd.Series(["some", "some"], dtype=categories), "b": [0, 1]})
    tasks, indices = learn(y)
    assert tasks.classes[0].tolist() == ["many", "none", "some"]
    assert_array_equal(indices[:, 0], [2, 2])


def test_minus_one_is_a_class():
    tasks, indices = learn(np.array([[-1, 0], [1, 1], [0, 0]]))
    assert tasks.classes[0].tolist() == [-1, 0, 1]
    assert_array_equal(indices[:, 0], [0, 2, 1])


@pytest.mark.parametrize(
    ("y", "name"),
    [
        ([0, 1, 1], "task0"),
        (np.array(["a", "b", "a"]), "task0"),
        (pd.Series([0, 1, 1], name="click"), "click"),
        (pd.Series([0, 1, 1]), "task0"),
        (pl.Series("click", [0, 1, 1]), "click"),
        (pl.Series([0, 1, 1]), "task0"),
    ],
    ids=lambda value: type(value).__module__,
)
def test_one_dimension_is_one_task(y, name):
    tasks, indices = learn(y)
    assert tasks.single
    assert tasks.names == (name,)
    assert indices.shape == (3, 1)
    assert decoded(tasks, indices).tolist() == list(y)


def test_a_column_is_one_task_with_a_warning():
    for y in (np.array([[0], [1]]), pd.DataFrame({"click": [0, 1]})):
        with pytest.warns(DataConversionWarning, match=r"\(2, 1\)"):
            tasks = Tasks.learn(y)
        assert tasks.single


@pytest.mark.parametrize(
    ("n_classes", "n_outputs", "binary"),
    [([2, 2], [1, 1], True), ([2, 3], [1, 3], False), ([5], [5], False)],
)
def test_outputs_are_one_for_a_binary_task_and_one_a_class_otherwise(
    n_classes, n_outputs, binary
):
    kinds = [Binary if n == 2 else MultiClass for n in n_classes]
    tasks = Tasks(
        tuple(
            kind("t", np.arange(n)) for kind, n in zip(kinds, n_classes, strict=True)
        ),
        single=False,
    )
    assert tasks.n_outputs == n_outputs
    assert tasks.binary == binary


def test_decoded_labels_keep_their_dtype():
    tasks, indices = learn(np.array([["a", "x"], ["b", "y"]]))
    assert decoded(tasks, indices).dtype.kind == "U"
    mixed = pd.DataFrame({"a": [0, 1], "b": ["x", "y"]})
    tasks, indices = learn(mixed)
    assert decoded(tasks, indices).tolist() == [[0, "x"], [1, "y"]]


@pytest.mark.parametrize(
    ("y", "parts"),
    [
        (np.array([[0, 7], [1, 1]]), ["'b'", "7", "[0, 1]"]),
        (np.array([["no", 0], ["yes", 1]], dtype=object), ["'a'", "[0, 1]"]),
        (np.array([[0], [1]]), ["1 tasks", "2", "a, b"]),
        (pd.DataFrame({"b": [0, 1], "a": [0, 1]}), ["['b', 'a']", "['a', 'b']"]),
    ],
)
def test_labels_that_fit_has_not_seen_are_named(y, parts):
    tasks = Tasks.learn(pd.DataFrame({"a": [0, 1], "b": [1, 0]}))
    with pytest.raises(ValueError, match="seen in fit") as error:
        tasks.read(y)
    for part in parts:
        assert part in str(error.value)


# --------------------------------------------------------------------------- weights


def naive_balanced(indices, weights):
    """n / (number of classes * rows of the class), each row counted by its weight."""
    out = weights.copy()
    for t in range(indices.shape[1]):
        known = ~np.isnan(indices[:, t])
        present = sorted(set(indices[known, t]))
        total = sum(weights[i, t] for i in np.flatnonzero(known))
        for i in np.flatnonzero(known):
            own = sum(
                weights[j, t]
                for j in np.flatnonzero(known)
                if indices[j, t] == indices[i, t]
            )
            out[i, t] *= total / (len(present) * own)
    return out


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_classes_weigh_the_same(weighted):
    rng = np.random.default_rng(0)
    y = np.stack([rng.random(30) < 0.2, rng.integers(0, 3, 30)], 1).astype(float)
    y[rng.random(y.shape) < 0.2] = NAN
    tasks, indices = learn(y)
    given = rng.integers(1, 4, (30, 1)).astype(float) if weighted else None
    known = (~np.isnan(indices)).astype(float)
    expected = naive_balanced(indices, known * (1.0 if given is None else given))
    found = combine(labels_of(indices), tasks, given, "balanced")
    np.testing.assert_allclose(found, expected)


def test_unobserved_labels_weigh_nothing():
    y = np.array([[0, NAN], [1, 1], [NAN, 0]])
    tasks, indices = learn(y)
    weights = combine(labels_of(indices), tasks, np.array([[2.0], [3.0], [4.0]]), None)
    assert_array_equal(weights, [[2, 0], [3, 3], [0, 4]])


def test_class_weights_multiply_sample_weights():
    y = np.array([[0, 1], [1, 1], [1, 0]])
    tasks, indices = learn(y)
    given = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    weights = combine(labels_of(indices), tasks, given, {"task1": {1: 10.0}})
    assert_array_equal(weights, [[1, 20], [3, 40], [5, 6]])


def test_a_one_dimensional_y_has_the_classes_that_are_there():
    y = pd.Series(pd.Categorical(["a", "b"] * 3, categories=["a", "b", "c"]))
    assert Tasks.learn(y).classes[0].tolist() == ["a", "b"]


def test_a_polars_categorical_is_read():
    y = pl.DataFrame({"t": ["x", "z", None], "u": [0, 1, 1]})
    y = y.with_columns(pl.col("t").cast(pl.Categorical))
    tasks = Tasks.learn(y)
    assert tasks.classes[0].tolist() == ["x", "z"]
    assert not tasks.read(y).observed[2, 0]
