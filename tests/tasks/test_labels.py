"""The one reader of y: the same labels of every library are the same numbers."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.sparse import csr_matrix

import dephn_sk
from dephn_sk.tasks import Labels, Tasks, read_columns

NAMES = ("click", "buy")


def frame(columns, dtype=object):
    data = {name: pd.Series(column, dtype=dtype) for name, column in columns.items()}
    return pd.DataFrame(data)


def masked(columns):
    rows = np.array(list(columns.values()), dtype=object).T
    hidden = np.array([[label is None for label in row] for row in rows])
    return np.ma.MaskedArray(np.where(hidden, rows[~hidden][0], rows), hidden)


def floats(columns):
    return np.array(list(columns.values()), dtype=float).T


ANY = {
    "list": lambda c: [list(row) for row in zip(*c.values(), strict=True)],
    "objects": lambda c: np.array(list(c.values()), dtype=object).T,
    "masked": masked,
    "pandas": frame,
    "pandas category": lambda c: frame(c, "category"),
    "polars": lambda c: pl.DataFrame(c, strict=False),
    "arrow": pa.table,
    "arrow batch": pa.record_batch,
    "arrow dictionary": lambda c: pa.table(
        {name: pa.array(column).dictionary_encode() for name, column in c.items()}
    ),
    "arrow chunks": lambda c: pa.table(
        {
            name: pa.chunked_array([pa.array(column[:2]), pa.array(column[2:])])
            for name, column in c.items()
        }
    ),
    "pandas of arrow": lambda c: pa.table(c).to_pandas(types_mapper=pd.ArrowDtype),
}
NUMBERS = {
    "array": floats,
    "masked floats": lambda c: np.ma.masked_invalid(floats(c)),
    "tensor": lambda c: torch.tensor(floats(c)),
    "half tensor": lambda c: torch.tensor(floats(c), dtype=torch.bfloat16),
    "pandas Int64": lambda c: frame(c, "Int64"),
    "pandas Float64": lambda c: frame(c, "Float64"),
    "pandas float": lambda c: frame(c, float),
    "polars float": lambda c: pl.DataFrame(c, schema=dict.fromkeys(c, pl.Float64)),
}
COLUMNS = [
    {"click": [0, 1, None, 0], "buy": [None, 2, 3, 1]},
    {"click": ["no", None, "yes", "no"], "buy": ["a", "b", "c", None]},
    {"click": [True, False, None, True], "buy": [None, False, True, True]},
    {"click": [0, 1, 1, 0], "buy": [5, 4, 4, 5]},
]


@pytest.mark.parametrize(
    ("form", "columns"),
    [
        *((form, columns) for form in ANY for columns in COLUMNS),
        *((form, columns) for form in NUMBERS for columns in COLUMNS[::3]),
    ],
    ids=str,
)
def test_every_library_gives_the_same_numbers(form, columns):
    y = {**ANY, **NUMBERS}[form](columns)
    read = read_columns(y)
    tasks = Tasks.learn(y)
    labels = tasks.read(y)
    for t, column in enumerate(columns.values()):
        classes = sorted({label for label in column if label is not None})
        assert tasks.classes[t].tolist() == classes
        assert labels.observed[:, t].tolist() == [v is not None for v in column]
        assert read.columns[t].known.tolist() == [v for v in column if v is not None]
        expected = [0 if v is None else classes.index(v) for v in column]
        assert_array_equal(labels.values[:, t], expected)
    if read.named:
        assert tasks.names == NAMES


@pytest.mark.parametrize(
    "make",
    [
        list,
        np.array,
        torch.tensor,
        pd.Series,
        pd.Index,
        pl.Series,
        pa.array,
        lambda y: pa.chunked_array([y[:1], y[1:]]),
        lambda y: pd.Series(y, dtype=pd.SparseDtype(int)),
        lambda y: np.ma.MaskedArray(y),
    ],
)
def test_one_dimension_of_every_library_is_one_task(make):
    tasks = Tasks.learn(make([3, 1, 1]))
    assert tasks.single
    assert tasks.names == ("task0",)
    assert tasks.read(make([3, 1, 1])).values.tolist() == [[1.0], [0.0], [0.0]]


@pytest.mark.parametrize("labels", [[2**60, 2**60 + 1], [-(2**62), 2**62]])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("form", ["list", "polars", "arrow", "pandas Int64"])
def test_large_integers_are_told_apart(form, labels, missing):
    labels = [*labels, None] if missing else labels
    y = {**ANY, **NUMBERS}[form]({"click": labels, "buy": [0, 1, 1][: len(labels)]})
    tasks = Tasks.learn(y)
    assert tasks.classes[0].tolist() == labels[:2]
    assert tasks.read(y).values[:2, 0].tolist() == [0.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(
    seen=st.lists(st.integers(-300, 300), min_size=2, max_size=20, unique=True),
    read=st.lists(
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-300, 300)), max_size=20
    ),
    dtype=st.sampled_from([np.int64, np.float64, np.int16]),
)
def test_positions_are_those_of_a_dictionary(seen, read, dtype):
    classes = np.array(sorted(seen), dtype=dtype)
    column = read_columns(np.array(read, dtype=np.int64)).columns[0]
    places = {label: place for place, label in enumerate(classes.tolist())}
    assert column.positions(classes).tolist() == [places.get(v, -1) for v in read]


@pytest.mark.parametrize("n_rows", [10, 3000])
@pytest.mark.parametrize("dtype", [int, float, str, object])
def test_classes_are_all_labels_however_late_one_comes(n_rows, dtype):
    y = (np.arange(n_rows) % 2).astype(dtype)
    y[-1] = dtype(7) if dtype is not object else 7
    assert Tasks.learn(y).classes[0].tolist() == sorted({*y.tolist()})


def test_dates_are_labels_too():
    days = np.array(["2024-01-01", "2024-01-02", "NaT"], dtype="datetime64[ns]")
    y = pd.DataFrame({"click": days, "buy": [0, 1, 1]})
    tasks = Tasks.learn(y)
    assert len(tasks.classes[0]) == 2
    assert tasks.read(y).filled()[:2, 0].tolist() == [0.0, 1.0]
    assert not tasks.read(y).observed[2, 0]


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}, {1}, np.ones(2)], ids=repr)
def test_a_cell_that_is_no_label_is_named(cell):
    y = pd.DataFrame({"click": [0, 1, 1], "buy": pd.Series([0, cell, 1], dtype=object)})
    with pytest.raises(ValueError, match=r"row 1 of 'buy'"):
        Tasks.learn(y)


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (np.zeros((2, 2, 2)), ValueError, r"y must have the shape .*\(2, 2, 2\)"),
        (np.zeros((2, 0)), ValueError, r"\(2, 0\)"),
        (3, ValueError, r"y must have the shape"),
        (None, ValueError, "y to be passed"),
        (pd.DataFrame(index=range(3)), ValueError, "no columns"),
        (pd.DataFrame(np.eye(2), columns=["a", "a"]), ValueError, r"\['a'\]"),
        (csr_matrix(np.eye(2)), TypeError, "sparse"),
        (pl.LazyFrame({"a": [1]}), TypeError, "collect"),
    ],
)
def test_what_is_no_y_is_refused(y, error, match):
    with pytest.raises(error, match=match):
        Tasks.learn(y)


def test_labels_can_be_taken_and_filled():
    labels = Tasks.learn([[0, 1], [1, 0], [1, None]]).read([[0, 1], [1, None]])
    assert len(labels) == 2
    assert_array_equal(labels.filled(), [[0, 1], [1, np.nan]])
    assert_array_equal(labels.take([1, 0]).filled(-1), [[1, -1], [0, 1]])


def test_what_was_read_is_not_read_again():
    tasks = Tasks.learn([[0, 1], [1, 0]])
    labels = tasks.read([[1, 1]])
    assert tasks.read(labels) is labels
    columns = read_columns([[1, 1]])
    assert read_columns(columns) is columns


def test_rows_may_be_left_out_before_the_classes_are_learned():
    columns = read_columns(pd.DataFrame({"a": [0, 1, 7], "b": [1, None, 2]}))
    tasks = Tasks.learn(columns.take([0, 1]))
    assert [classes.tolist() for classes in tasks.classes] == [[0, 1], [0, 1]]


def test_rates_are_one_column_for_two_classes_and_one_a_class_for_more():
    y = pd.DataFrame({"click": [0, 1, None], "kind": ["a", "c", "b"]})
    labels = Tasks.learn(y).read(y)
    assert labels.rate_names == (
        "click_rate",
        "kind_a_rate",
        "kind_b_rate",
        "kind_c_rate",
    )
    assert_array_equal(labels.rates(), [[0, 1, 0, 0], [1, 0, 0, 1], [np.nan, 0, 1, 0]])


def test_rates_of_bare_labels_are_their_values():
    labels = Labels(NAMES, np.array([[0.5, 2.0]]), np.array([[True, False]]))
    assert labels.rate_names == ("click_rate", "buy_rate")
    assert_array_equal(labels.rates(), [[0.5, np.nan]])


def test_the_only_task_gives_its_rates_no_name():
    assert Tasks.learn([0, 1]).read([0, 1]).rate_names == ("rate",)


# ------------------------------------------------------------ no other reader


ROOT = Path(dephn_sk.__file__).parent
LABELS = {"y", "y_true", "y_val"}
# they make labels, or take tensors
OTHERS = {"datasets", "nn"}
OWN_READER = "preprocessing/_target_statistics.py"


def looks_into(tree):
    """Lines that look into a y: an attribute, an item, or numpy asked about it."""
    for node in ast.walk(tree):
        asked = []
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            asked = [node.value]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.startswith("np.") or called in ("list", "hasattr", "iter"):
                asked = node.args
        for value in asked:
            if isinstance(value, ast.Name) and value.id in LABELS:
                yield node.lineno, ast.unparse(node)


FILES = [
    file
    for file in sorted(ROOT.rglob("*.py"))
    if file.relative_to(ROOT).parts[0] not in OTHERS
    and str(file.relative_to(ROOT)) not in ("tasks/_labels.py", OWN_READER)
]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_other_file_looks_into_a_y(file):
    assert list(looks_into(ast.parse(file.read_text()))) == []


@pytest.mark.parametrize(
    "code", ["y.isna()", "y[0]", "np.asarray(y)", "hasattr(y, 'iloc')", "y_true.shape"]
)
def test_looking_into_a_y_is_found(code):
    assert len(list(looks_into(ast.parse(code)))) == 1
