"""The one check of weights, and what becomes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dephn_sk.tasks import Tasks, check_sample_weight, combine

NAMES = ("click", "buy")
FRAMES = [pd.DataFrame, pl.DataFrame, pa.table]


@pytest.mark.parametrize("make", FRAMES)
@pytest.mark.parametrize("order", [("click", "buy"), ("buy", "click")])
def test_columns_of_weights_follow_their_tasks(make, order):
    by_name = {"click": [1.0, 2.0], "buy": [3.0, 4.0]}
    weights = make({name: by_name[name] for name in order})
    assert_array_equal(check_sample_weight(weights, 2, NAMES), [[1, 3], [2, 4]])


@pytest.mark.parametrize("make", FRAMES)
@pytest.mark.parametrize(
    ("columns", "parts"),
    [(("a", "b"), ["'a'", "'b'", "'click'"]), (("click",), ["'buy'"])],
)
def test_weights_of_other_tasks_are_refused_by_name(make, columns, parts):
    weights = make({name: [1.0, 2.0] for name in columns})
    with pytest.raises(ValueError, match="sample_weight") as error:
        check_sample_weight(weights, 2, NAMES)
    for part in parts:
        assert part in str(error.value)


def test_one_column_of_another_name_weighs_rows():
    weights = pd.DataFrame({"weight": [1.0, 2.0]})
    assert_array_equal(check_sample_weight(weights, 2, NAMES), [[1], [2]])


@pytest.mark.parametrize(
    "weights", [[1, 2], (1, 2), np.array([[1], [2]]), pd.Series([1, 2])]
)
def test_weights_of_rows_are_a_column(weights):
    assert_array_equal(check_sample_weight(weights, 2, NAMES), [[1], [2]])


def test_a_number_weighs_every_row():
    assert_array_equal(check_sample_weight(2, 3), [[2], [2], [2]])
    assert check_sample_weight(None, 3) is None


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 1e308, 1.7e308, 1e200])
def test_a_wrong_weight_is_named_with_its_row_and_task(value):
    by_row, by_task = np.ones(5), np.ones((5, 2))
    by_row[3] = by_task[3, 1] = value
    for weights, task in [
        (by_row, ""),
        (by_task, ""),
        (pd.DataFrame(by_task, columns=NAMES), "'buy'"),
    ]:
        with pytest.raises(ValueError, match="sample_weight of row 3") as error:
            check_sample_weight(weights, 5, NAMES)
        assert str(value) in str(error.value)
        assert task in str(error.value)


@pytest.mark.parametrize("missing", [None, pd.NA])
def test_a_missing_weight_is_named(missing):
    with pytest.raises(ValueError, match="row 1 is nan"):
        check_sample_weight([1.0, missing], 2)


def test_weights_of_zero_alone_are_refused_unless_they_may_be():
    with pytest.raises(ValueError, match="zero for every row"):
        check_sample_weight([0, 0], 2)
    assert_array_equal(check_sample_weight([0, 0], 2, zeros=True), [[0], [0]])


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 1)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"sample_weight .*shape"):
        check_sample_weight(np.ones(shape), 2, NAMES)


# ------------------------------------------------------------ balanced classes


def balanced(y_train, y_valid, given=None):
    tasks = Tasks.learn(np.vstack([y_train, y_valid]))
    train, valid = tasks.read(y_train), tasks.read(y_valid)
    learned = combine(train, tasks, given, "balanced")
    applied = combine(valid, tasks, None, "balanced", rates_from=(train, given))
    return train, learned, valid, applied


@pytest.mark.parametrize("columns", [None, 1, 2])
def test_a_validation_set_is_weighted_by_the_rates_of_the_training_rows(columns):
    rng = np.random.default_rng(0)
    y_train = np.column_stack([rng.random(80) < 0.1, rng.integers(0, 3, 80)]) * 1.0
    y_train[rng.random(y_train.shape) < 0.2] = np.nan
    y_valid = np.column_stack([rng.random(40) < 0.6, np.zeros(40)])
    given = None if columns is None else rng.random((80, columns)) + 0.5
    train, learned, valid, applied = balanced(y_train, y_valid, given)
    rows = np.ones((80, 2)) if given is None else np.broadcast_to(given, (80, 2))
    for t in range(2):
        for label in np.unique(y_valid[:, t]):
            here = train.filled()[:, t] == label
            factor = learned[here, t] / rows[here, t]
            assert_allclose(factor, factor[0])
            assert_allclose(applied[valid.values[:, t] == label, t], factor[0])


def test_a_class_without_a_training_row_keeps_its_weight():
    _, _, valid, applied = balanced([[0, 0], [1, 0], [1, 1]], [[0, 2], [1, 2]])
    assert_array_equal(applied[:, 1], [1, 1])
    assert valid.values[:, 1].tolist() == [2, 2]
