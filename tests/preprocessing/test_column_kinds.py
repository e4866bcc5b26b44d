"""Kinds of column: counting changes nothing, counts merge, and a newcomer fits in."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from dephn_sk.preprocessing import FieldEncoder, _encoding
from dephn_sk.preprocessing._bags import MultiValued
from dephn_sk.preprocessing._codes import Coded
from dephn_sk.preprocessing._dates import DateParts
from dephn_sk.preprocessing._encoding import KINDS, TableEncoding
from dephn_sk.preprocessing._frames import read_columns
from dephn_sk.preprocessing._hashing import Hashing
from dephn_sk.preprocessing._numbers import Duration, Number, NumericKind
from dephn_sk.preprocessing._settings import Settings
from dephn_sk.preprocessing._target_statistics import TargetStatistics
from dephn_sk.preprocessing._vocabulary import Vocabulary
from dephn_sk.storage._plain import flatten, restore

N_ROWS = 60


def table(n=N_ROWS, seed=0):
    rng = np.random.default_rng(seed)
    text = pd.Series(rng.choice([*"abcdefg", None], n), dtype=object)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        rng.integers(0, 9999, n), "min"
    )
    codes = pd.CategoricalDtype(pd.RangeIndex(9, name="code"))
    return pd.DataFrame(
        {
            "text": text,
            "ids": pd.Series(rng.integers(0, 9, n)).astype("category"),
            "hashed": text.map(lambda one: one and 2 * one),
            "coded": pd.Series(rng.integers(0, 9, n)).astype(codes),
            "number": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "time": pd.Series(times).where(rng.random(n) < 0.9),
            "zone": pd.Series(times).dt.tz_localize("Asia/Tokyo"),
            "duration": pd.to_timedelta(rng.integers(0, 99, n), "h"),
            "tags": pd.Series(rng.choice(["a|b", "c", "", "a|a|d"], n)),
            "days": pd.Series(times).dt.date.astype(object),
        }
    )


SETTINGS = {
    "n_buckets": {"hashed": 50},
    "delimiters": {"tags": "|"},
    "min_frequency": {"text": 3},
    "categorical_features": ["text", "ids", "hashed", "days"],
}
LEARNERS = {
    "text": Vocabulary,
    "ids": Vocabulary,
    "days": Vocabulary,
    "hashed": Hashing,
    "coded": Coded,
    "number": Number,
    "time": DateParts,
    "zone": DateParts,
    "duration": Duration,
    "tags": MultiValued,
}


def columns_of(X):
    return {c.name: c for c in read_columns(X, list(X.columns))}


def kind_of(name):
    """The kind of a column, which has learned nothing, and its column."""
    columns = columns_of(table())
    params, read = FieldEncoder(**SETTINGS).get_params(), list(columns.values())
    kind = TableEncoding.of(
        columns, Settings(params, [c.name for c in read], True)
    ).kinds[name]
    assert type(kind) is LEARNERS[name]
    return kind, columns[name]


def rates(X):
    return np.column_stack([np.arange(len(X)) % 2, np.arange(len(X)) % 3 > 0]) * 1.0


def flat(fields):
    """Encoded fields as arrays that can be compared."""
    for name, field in fields:
        if hasattr(field, "bag"):
            yield name, np.append(field.bag.members, field.bag.offsets)
        else:
            yield name, getattr(field, "codes", field)


def assert_same_fields(one, two):
    one, two = dict(flat(one)), dict(flat(two))
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert_array_equal(values, two[name])


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_in_any_order_teach_what_all_rows_teach(name, weighted):
    kind, column = kind_of(name)
    X = table()
    weight = np.random.default_rng(3).integers(0, 4, N_ROWS).astype(float)
    before = pickle.dumps(kind)
    counts = [
        kind.count(columns_of(X[cut])[name], weight[cut] if weighted else None)
        for cut in (slice(0, 7), slice(7, 8), slice(8, 40), slice(40, N_ROWS))
    ]
    whole = kind.finish(kind.count(column, weight if weighted else None))
    assert pickle.dumps(kind) == before  # neither counting nor learning changes it
    a, b, c, d = counts
    for total in (a + b + c + d, (d + c) + (b + a), a + (b + (c + d))):
        learned = kind.finish(total)
        assert_same_fields(learned.encode(column), whole.encode(column))
        assert_same_state(learned.state(), whole.state())


def assert_same_state(one, two):
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert_same_state(value, two[key])
    else:
        assert_array_equal(one, two)


def stored(state):
    """Written as JSON and arrays without objects, and read again."""
    tree, arrays = flatten(state)
    assert all(array.dtype.kind != "O" for array in arrays.values())
    return restore(json.loads(json.dumps(tree)), arrays)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_kind_comes_back_from_its_state(name):
    kind, column = kind_of(name)
    learned = kind.finish(kind.count(column, None))
    state = learned.state()
    back = type(kind).from_state(stored(state))
    new = columns_of(table(seed=1))[name]
    assert_same_fields(back.encode(new), learned.encode(new))
    assert_same_state(back.state(), state)
    counts = back.count(new, None)
    assert_same_fields(back.grow(counts).encode(new), learned.grow(counts).encode(new))


@pytest.mark.parametrize("name", ["type", "kind", "values", "scales"])
def test_a_column_may_have_the_name_of_a_part_of_states(name):
    column = columns_of(pd.DataFrame({name: [1.0, 2.0, 5.0]}))[name]
    kind = Number(name)
    learned = kind.finish(kind.count(column, None))
    back = Number.from_state(learned.state())
    assert_same_fields(back.encode(column), learned.encode(column))


@pytest.mark.parametrize("name", LEARNERS)
def test_growing_leaves_the_old_object_as_it_was(name):
    kind, column = kind_of(name)
    learned = kind.finish(kind.count(column, None))
    before = pickle.dumps(learned)
    grown = learned.grow(learned.count(columns_of(table(seed=1))[name], None))
    assert pickle.dumps(learned) == before
    for fields in (learned.encode(column), grown.encode(column)):
        for _, values in flat(fields):
            assert len(values)


def test_target_statistics_merge_by_folds_and_come_back():
    X, column = table(), columns_of(table())["text"]
    kind = TargetStatistics(
        "text", rate_names=("click_rate", "buy_rate"), smoothing=2.0
    )
    folds = np.arange(N_ROWS) % 5
    whole = kind.count(column, None, rates(X), folds)
    parts = [
        kind.count(columns_of(X[cut])["text"], None, rates(X)[cut], folds[cut])
        for cut in (slice(0, 9), slice(9, 30), slice(30, N_ROWS))
    ]
    merged = parts[2] + (parts[0] + parts[1])
    assert_array_equal(merged.values, whole.values)
    assert_array_equal(merged.sums, whole.sums)
    learned = kind.finish(merged)
    back = TargetStatistics.from_state(stored(learned.state()))
    assert_same_fields(back.encode(column), learned.encode(column))
    crossed = [one.encode_cross_fitted(column, whole, folds) for one in (learned, back)]
    assert_same_fields(*crossed)


# A kind from outside the package


class Coordinates(NumericKind):
    """Text such as "59.9,10.7" as two numeric fields."""

    role = "coordinates"

    @classmethod
    def of(cls, column, settings):
        if column.kind not in ("text", "object"):
            return None
        example = column.example()
        is_pair = isinstance(example, str) and example.count(",") == 1
        return cls(column.name) if is_pair else None

    def numbers(self, column):
        texts, positions = column.distinct.values, column.distinct.positions
        pairs = [text.split(",") for text in texts.tolist()]
        degrees = np.array([*pairs, ["nan"] * 2], dtype=float)[positions]
        yield f"{self.name}_north", degrees[:, 0]
        yield f"{self.name}_east", degrees[:, 1]


def test_a_kind_from_outside_is_one_class_and_one_entry(monkeypatch):
    monkeypatch.setattr(_encoding, "KINDS", [Coordinates, *KINDS])
    X = pd.DataFrame({"where": ["59.9,10.7", None, "41.9,12.5"], "city": list("aba")})
    encoder = FieldEncoder()
    fields = encoder.fit_encode(X)
    assert encoder.categorical_names_ == ("city",)
    assert encoder.numeric_names_ == ("where_north", "where_east")
    assert_array_equal(fields.numbers, [[1, -1], [np.nan, np.nan], [-1, 1]])
    assert encoder.report_.rows[1][1] == "coordinates"
    assert [len(edges) for edges in encoder.edges(4)] == [3, 3]
    back = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(back.encode(X).numbers, fields.numbers)
    kind = encoder._encoding.kinds["where"]
    column, back = columns_of(X)["where"], Coordinates.from_state(kind.state())
    assert_same_fields(back.encode(column), kind.encode(column))
