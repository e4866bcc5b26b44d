"""Columns of any library and any content are read alike, or refused by their name."""

import datetime
import enum
import time
import tracemalloc
import uuid
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dephn_sk.preprocessing import FieldEncoder, _distinct
from dephn_sk.preprocessing._hashing import stable_hash

properties = settings(max_examples=40, deadline=None, derandomize=True)

TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4
)
VALUES = {
    "text": TEXT,
    "integers": st.integers(-(2**63), 2**63 - 1),
    "floats": st.floats(allow_nan=False, allow_infinity=False),
    "booleans": st.booleans(),
    "days": st.dates(datetime.date(1700, 1, 1), datetime.date(2200, 1, 1)),
    "times": st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)),
    "durations": st.timedeltas(datetime.timedelta(-999), datetime.timedelta(999)),
    "bytes": st.binary(max_size=4),
    "clock": st.times(),
}


def as_objects(values):
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = np.fromiter(values, dtype=object, count=len(values))
    return column


DICTIONARY = "pyarrow dictionary"
CONTAINERS = {
    "objects": lambda values: pd.DataFrame(
        {"c": as_objects(values)[:, 0]}, dtype=object
    ),
    "pandas": lambda values: pd.DataFrame({"c": pd.Series(values)}),
    "category": lambda values: pd.DataFrame({"c": pd.Categorical(values)}),
    "pandas pyarrow": lambda values: pd.DataFrame(
        {"c": pd.Series(pd.array(values, dtype=pd.ArrowDtype(pa.array(values).type)))}
    ),
    "polars": lambda values: pl.DataFrame({"c": pl.Series(values)}),
    "pyarrow": lambda values: pa.table({"c": pa.array(values)}),
    "pyarrow chunks": lambda values: pa.table(
        {"c": pa.chunked_array([pa.array(values).slice(0, 1), pa.array(values)[1:]])}
    ),
    DICTIONARY: lambda values: pa.table({"c": pa.array(values).dictionary_encode()}),
}


@pytest.mark.parametrize("name", VALUES)
@properties
@given(data=st.data(), containers=st.permutations(list(CONTAINERS)))
def test_codes_do_not_depend_on_the_library(name, data, containers):
    values = data.draw(st.lists(VALUES[name], min_size=2, max_size=10))
    values.insert(data.draw(st.integers(1, len(values))), None)
    if name in ("integers", "booleans"):  # pandas would make floats of them
        containers = [one for one in containers if one not in ("pandas", "category")]
    one, other = (CONTAINERS[container](values) for container in containers[:2])
    fitted = FieldEncoder(categorical_features=["c"]).fit(one)
    codes = fitted.encode(one).codes[:, 0].tolist()
    assert fitted.encode(other).codes[:, 0].tolist() == codes
    present = [
        (v, code) for v, code in zip(values, codes, strict=True) if v is not None
    ]
    assert len(set(present)) == len(set(dict(present))) == max(codes)
    assert (codes[values.index(None)], min(codes)) == (0, 0)


@pytest.mark.parametrize("name", ["floats", "times", "days", "durations"])
@properties
@given(data=st.data(), containers=st.permutations(list(CONTAINERS)))
def test_numbers_do_not_depend_on_the_library(name, data, containers):
    values = data.draw(st.lists(VALUES[name], min_size=1, max_size=10))
    values.append(None)
    if name != "floats":  # a column of categories is none of dates or durations
        containers = [one for one in containers if one not in ("category", DICTIONARY)]
    one, other = (CONTAINERS[container](values) for container in containers[:2])
    params = {"categorical_features": None}
    fitted = FieldEncoder(**params).fit(one)
    np.testing.assert_array_equal(
        fitted.encode(one).numbers, fitted.encode(other).numbers
    )
    assert FieldEncoder(**params).fit(other).numeric_names_ == fitted.numeric_names_


# What no column can be made of


class Hostile:
    """An object whose methods raise, as far as they are named."""

    def __init__(self, *names):
        self.names = names

    def _raise(self, name):
        if name in self.names:
            raise RuntimeError(name)

    def __hash__(self):
        self._raise("hash")
        return 1

    def __eq__(self, other):
        self._raise("eq")
        return self is other

    def __lt__(self, other):
        self._raise("lt")
        return id(self) < id(other)

    def __repr__(self):
        self._raise("repr")
        return "hostile"

    def __float__(self):
        self._raise("float")
        return 1.0


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**990, 10**1010),
    st.builds(lambda: 10**5000),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.decimals(),
    st.just(Decimal("sNaN")),
    st.fractions(),
    st.dates(),
    st.datetimes(timezones=st.one_of(st.none(), st.just(datetime.UTC))),
    st.timedeltas(),
    st.times(),
    st.uuids(),
    st.tuples(st.integers(), st.text(max_size=2)),
    st.tuples(st.floats()),
    st.lists(st.integers(), max_size=2),
    st.lists(st.lists(st.integers(), max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
    st.sets(st.integers(), max_size=2),
    st.frozensets(st.integers(), max_size=2),
    st.sampled_from([pd.NA, pd.NaT, np.datetime64("NaT"), np.timedelta64(1, "D")]),
    st.sampled_from([np.int8(1), np.float32(0.1), np.complex64(1j), np.str_("a")]),
    st.sampled_from([np.zeros((2, 2)), np.array(1), np.array([1]), pd.Series([1])]),
    st.sampled_from([pd.Period("2024-01"), pd.Interval(0, 1), pd.Timestamp(0)]),
    st.lists(st.sampled_from(["hash", "eq", "lt", "repr", "float"]), max_size=2).map(
        lambda names: Hostile(*names)
    ),
)
COLUMNS = st.one_of(
    st.lists(CELLS, min_size=1, max_size=4),
    CELLS.flatmap(lambda cell: st.integers(1, 3).map(lambda times: [cell] * times)),
)
FITTED = {
    "numbers": [1.0, 2.5],
    "categories": ["a", "b"],
    "integers": pd.Categorical([1, 2]),
    "dates": pd.to_datetime(["2024-01-01", "2024-01-02"]),
    "instants": pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize("UTC"),
    "durations": pd.to_timedelta([1, 2], unit="D"),
    "bags": [[1], [2, 3]],
}


def objects(values):
    return pd.DataFrame({"the column": as_objects(values)[:, 0]}, dtype=object)


def read(call):
    """The result, or None where the column is refused by its name."""
    try:
        return call()
    except ValueError as error:
        assert "'the column'" in str(error)
        return None


@pytest.mark.filterwarnings("ignore:Column 'the column' is missing in all rows")
@settings(properties, max_examples=150)
@given(
    values=COLUMNS,
    params=st.sampled_from(
        [
            {},
            {"categorical_features": None},
            {"n_buckets": 5},
            {"categorical_features": [0]},
            {"categorical_features": [0], "n_buckets": 5},
        ]
    ),
)
def test_any_objects_are_fitted_or_refused_by_name(values, params):
    X = objects(values)
    fitted = read(lambda: FieldEncoder(**params).fit(X))
    if fitted is not None:
        assert len(fitted.encode(X)) == len(X)


@pytest.mark.parametrize("name", FITTED)
@properties
@given(values=COLUMNS)
def test_any_objects_are_encoded_or_refused_by_name(name, values):
    fitted = FieldEncoder().fit(pd.DataFrame({"the column": FITTED[name]}))
    fields = read(lambda: fitted.encode(objects(values)))
    assert fields is None or len(fields) == len(values)
    read(lambda: fitted.partial_fit(objects(values)))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"b": 1}, r"holds \{'b': 1\}, which is a dict"),
        ({1}, r"holds \{1\}, which is a set"),
        (10**5000, "holds a value of type int, .* 4300 digits at most"),
        (np.zeros((2, 2)), r"holds array.*, which is a ndarray of shape \(2, 2\)"),
        ({"x": "y" * 1000}, r"holds \{'x': 'y{10,60}…y*'\}, which"),
    ],
    ids=["dict", "set", "integer", "array", "long"],
)
def test_a_cell_that_cannot_be_read_is_shown_shortened(cell, message):
    with pytest.raises(ValueError, match=f"Column 'the column' .*{message}") as error:
        FieldEncoder().fit(objects([cell, None]))
    assert len(str(error.value)) < 300


def test_integers_of_128_bits_are_read():
    if not hasattr(pl, "Int128"):
        pytest.skip("this polars has none")
    X = pl.DataFrame({"c": pl.Series([2**100, 1, None], dtype=pl.Int128)})
    fitted = FieldEncoder(categorical_features=["c"]).fit(X)
    assert fitted.encode(X).codes.ravel().tolist() == [2, 1, 0]


# Values that collide in Python's hash

MERSENNE = 2**61 - 1
MAKERS = {
    "integers": int,
    "large integers": lambda n: 2**64 + n,
    "decimals": Decimal,
    "fractions": Fraction,
    "tuples": lambda n: (n,),
    "uuids": lambda n: uuid.UUID(int=n),
}


def seconds_to_encode(values):
    X = pd.DataFrame({"c": as_objects(values)[:, 0]}, dtype=object)
    seconds = []
    for _ in range(2):
        start = time.process_time()
        encoder = FieldEncoder(categorical_features=["c"]).fit(X)
        codes = encoder.encode(X).codes[:, 0]
        encoder.partial_fit(X)
        FieldEncoder(categorical_features=["c"], n_buckets=9).fit(X).encode(X)
        seconds.append(time.process_time() - start)
        assert codes.tolist() == list(range(1, len(values) + 1))
    return min(seconds)


@pytest.mark.parametrize("name", MAKERS)
def test_values_that_collide_in_pythons_hash_cost_nothing_extra(name):
    make, n = MAKERS[name], 5000
    colliding = [make(k * MERSENNE) for k in range(1, n + 1)]
    assert len(set(map(hash, colliding))) == 1
    harmless = [make(k) for k in range(1, n + 1)]
    assert seconds_to_encode(colliding) < 4 * seconds_to_encode(harmless) + 0.1


@properties
@given(
    numbers=st.lists(
        st.tuples(st.integers(-2, 2), st.integers(-2, 2)).map(
            lambda pair: pair[0] * MERSENNE + pair[1]
        ),
        min_size=1,
        max_size=30,
    ),
    make=st.sampled_from([Decimal, lambda n: (n, n), lambda n: n * 2**70]),
)
def test_values_that_collide_are_told_apart(numbers, make):
    values = [make(number) for number in numbers]
    X = pd.DataFrame({"c": as_objects(values)[:, 0]}, dtype=object)
    codes = FieldEncoder(categorical_features=["c"]).fit(X).encode(X).codes[:, 0]
    ranks = {value: rank for rank, value in enumerate(sorted(set(values)), 1)}
    assert codes.tolist() == [ranks[value] for value in values]


# Hashing of long text


def test_one_long_text_does_not_hold_up_the_others():
    short = [f"text {i}" for i in range(1000)]
    texts = np.array([*short, "x" * 2**24], dtype=object)
    start = time.process_time()
    hashes = stable_hash(texts)
    assert time.process_time() - start < 1
    np.testing.assert_array_equal(
        hashes[:-1], stable_hash(np.array(short, dtype=object))
    )


@pytest.mark.parametrize("length", [16, 256, 2**12])
def test_hashing_text_holds_little_beside_it(length):
    texts = np.array([f"{i:0{length}}" for i in range(2**22 // length)], dtype=object)
    size = 2**22
    tracemalloc.start()
    try:
        hashes = stable_hash(texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * size
    assert len(np.unique(hashes)) == len(texts)


@properties
@given(texts=st.lists(st.text(max_size=300), max_size=5))
def test_a_hash_does_not_depend_on_the_other_texts(texts):
    texts += ["ø" * 128, "ø" * 129, "x" * 256, "x" * 257]
    together = stable_hash(np.array(texts, dtype=object))
    alone = [stable_hash(np.array([text], dtype=object))[0] for text in texts]
    assert together.tolist() == alone
    assert len(set(alone)) == len(set(texts))


class Color(str, enum.Enum):  # noqa: UP042, of which str() is another text
    RED = "red"


ODD = {
    "text": [],
    "missing": [None, np.nan, pd.NA, pd.NaT, Decimal("NaN")],
    "None and NaN": [None, np.nan],
    "bytes": ["x", b"x", b"y"],
    "numbers": [1, 2.5, "1", None],
    "members of an enumeration": ["red", Color.RED, None],
    "numpy's text": [np.str_("b"), np.str_("new")],
    "no Unicode": ["\ud800", "\udc00"],
    "zeros": ["a", "a\0", ""],
}


@pytest.mark.parametrize("name", ODD)
def test_objects_are_told_apart_by_pyarrow_as_by_a_dict(name, monkeypatch):
    words = ["b", "a", "ä", "\U0001d4b3", *ODD[name]]
    rows = np.random.default_rng(0).integers(0, len(words), 500)
    rows[: len(words)] = np.arange(len(words))[::-1]
    values = as_objects(words)[rows, 0]

    def read(many):
        monkeypatch.setattr(_distinct, "MANY", many)
        found = _distinct.distinct_values(values, "c")
        ordered = found.values.tolist()
        return found.positions.tolist(), ordered, list(map(type, ordered))

    def tried(many):
        try:
            return read(many)
        except ValueError as error:
            return str(error)

    assert tried(1) == tried(10**6)
    by_arrow = _distinct._by_arrow(values)
    assert (by_arrow is not None) == (name in ("text", "None and NaN", "zeros"))


def test_equal_objects_that_spell_otherwise_are_two_whatever_is_beside_them():
    words = [Color.RED, "red", "b"]
    encoder = FieldEncoder(categorical_features=["c"])
    encoder.fit(pd.DataFrame({"c": pd.Series(["red", "b"] * 2, dtype=object)}))

    def codes(values):
        column = pd.Series(values, dtype=object)
        return encoder.encode(pd.DataFrame({"c": column})).codes[:, 0].tolist()

    assert codes(words) == [codes([word])[0] for word in words]
    assert codes(words[::-1]) == codes(words)[::-1]


def test_views_of_text_in_a_dictionary_are_read_in_few_rows():
    texts = pa.array(["a", "b", "c"] * 5).dictionary_encode()
    views = texts.dictionary.cast(pa.string_view())
    table = pa.table({"c": pa.DictionaryArray.from_arrays(texts.indices, views)})
    encoder = FieldEncoder(categorical_features=["c"]).fit(table)
    whole = encoder.encode(table).codes
    for n in (1, 2):
        np.testing.assert_array_equal(
            encoder.encode(table.slice(0, n)).codes, whole[:n]
        )
