"""Values come back equal and of the same type, or are refused with their place."""

from __future__ import annotations

import functools
import json
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from dephn_sk.storage import ModelFileError
from dephn_sk.storage._plain import CannotStoreError, flatten, restore


def through_json(value):
    tree, arrays = flatten(value)
    for array in arrays.values():
        assert array.dtype.kind != "O"
    return restore(json.loads(json.dumps(tree, allow_nan=False)), arrays)


def assert_same(one, other):
    """Equal and of the same types, all the way down."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        assert_same(list(one.items()), list(other.items()))
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif isinstance(one, (set, frozenset)):  # whose order is that of hashes
        assert_same(sorted(one, key=repr), sorted(other, key=repr))
    elif isinstance(one, datetime):
        # one that a zone skips equals no datetime of another object of that zone
        assert one.replace(tzinfo=None) == other.replace(tzinfo=None)
        assert (repr(one), one.utcoffset()) == (repr(other), other.utcoffset())
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype.kind == "O":
            assert_same(one.tolist(), other.tolist())
        else:
            assert_array_equal(one, other)
    elif one == one:
        assert one == other
        assert repr(one) == repr(other)  # -0.0, trailing zeros, zones, folds
    else:
        assert other != other


IDS = [
    *(2**53 + 1, -(2**63), 2**64, 10**4000, True, None, "a", "", "\ud800", b"\0\xff"),
    *(0.1, -0.0, float("nan"), float("-inf"), 1j, Decimal("1.10"), Decimal("sNaN")),
    *(UUID(int=7), Fraction(2**80, 3), (1, ("a", None)), frozenset({1, "a"})),
    *(
        date(2024, 2, 29),
        time(1, 2),
        timedelta(-1, 5),
        datetime(2024, 1, 1, 0, 0, 0, 1),
    ),
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30), "name")),
    datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    *(np.int8(-3), np.uint64(2**64 - 1), np.float32(0.1), np.bool_(True), np.str_("å")),
    *(
        np.str_(),
        np.bytes_(b"x"),
        np.datetime64("2024-01-01T00:00:01.5"),
        np.float16(2),
    ),
]


@pytest.mark.parametrize("value", IDS, ids=lambda v: f"{type(v).__name__}")
def test_one_value(value):
    if isinstance(value, Decimal) and value.is_snan():
        assert str(through_json(value)) == "sNaN"
    else:
        assert_same(through_json(value), value)


def test_a_vocabulary_of_mixed_types():
    ids = [one for one in IDS if not isinstance(one, Decimal) or not one.is_snan()]
    values = np.fromiter(ids, dtype=object, count=len(ids))
    assert_same(through_json(values), values)


CONTAINERS = {
    "dict": {"a": [1, (2, {"b": None})], "c": {}},
    "dict of other keys": {1: "a", (1, None): "b", None: 3, "$int": 1},
    "set": {1, "a", None},
    "range": range(3, 9, 2),
    "text": np.array(["a", "", "\ud800", "å" * 5], dtype=object),
    "bytes": np.array([b"", b"x"], dtype=object),
    "no objects": np.array([], dtype=object),
    "a table of objects": np.array([["a", 1], [None, b"x"]], dtype=object),
    "fixed text": np.array(["ab", "c"]),
    "empty text": np.array([], dtype="<U1"),
    "days": np.array(["2024-02-29", "NaT"], dtype="datetime64[D]"),
    "big-endian": np.array([1, 2], dtype=">i4"),
    "by columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "no dimension": np.array(3.5),
    "tensor": torch.arange(6.0).reshape(2, 3),
    "bfloat16": torch.ones(3, dtype=torch.bfloat16),
    "scalar tensor": torch.tensor(True),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container(name):
    assert_same(through_json(CONTAINERS[name]), CONTAINERS[name])


def test_values_of_pandas():
    pd = pytest.importorskip("pandas")
    values = [
        pd.Timestamp("2024-01-01T00:00:00.123456789"),
        pd.Timestamp("2024-01-01", tz="UTC"),
        pd.Timestamp("2024-07-01", tz="Asia/Tokyo"),
        pd.Timedelta("1s"),
        pd.Interval(1, 2.5, closed="left"),
        pd.Interval(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")),
        pd.Period("2024-01"),
    ]
    read = through_json(np.fromiter(values, object, len(values)))
    for one, other in zip(read.tolist(), values, strict=True):
        assert type(one) is type(other)
        assert one == other
        assert str(one) == str(other)


def test_an_array_that_several_hold_is_stored_once():
    texts, numbers = np.array(["a", "b"], dtype=object), np.arange(3)
    tree, arrays = flatten([texts, numbers, {"again": [texts, numbers]}])
    assert len(arrays) == 3  # the text has ends
    read = restore(tree, arrays)
    assert read[0] is read[2]["again"][0]
    assert read[1] is read[2]["again"][1]


def test_a_masked_array():
    masked = np.ma.MaskedArray(np.array([1, "a"], object), [True, False])
    read = through_json(masked)
    assert_same(read.mask, masked.mask)
    assert read[1] == "a"


def test_a_random_state_goes_on():
    state = np.random.RandomState(3)
    state.normal(size=3)  # with a second number in store
    other = through_json(state)
    assert_array_equal(other.normal(size=5), state.normal(size=5))


leaves = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    *(st.dates(), st.times(), st.timedeltas(), st.decimals(allow_nan=False)),
    *(st.uuids(), st.fractions()),
    st.datetimes(timezones=st.none() | st.timezones(no_cache=True) | st.just(UTC)),
)
keys = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.dates())
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.lists(inner, max_size=5).map(lambda v: np.fromiter(v, object, len(v)))
    ),
    max_leaves=10,
)


@settings(deadline=None, max_examples=60)
@given(values)
def test_whatever_it_is(value):
    assert_same(through_json(value), value)


class Number(int):
    """A stranger's."""


REFUSED = {
    "function": len,
    "lambda": lambda x: x,
    "partial": functools.partial(len),
    "class": int,
    "long range": range(2**40),
    "subclass": Number(3),
    "another dict": OrderedDict(a=1),
    "object": object(),
    "record": np.zeros(1, dtype=[("a", "f4")]),
    "sparse": torch.eye(2).to_sparse(),
    "generator of another kind": np.random.RandomState(np.random.PCG64(1)),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("around", [lambda v: v, lambda v: [v], lambda v: {1: {2: v}}])
def test_what_no_file_holds_is_refused_with_its_place(name, around):
    with pytest.raises(
        CannotStoreError, match=r"parameters\.steps.* (no file holds|too long)"
    ):
        flatten({"parameters": {"steps": around(REFUSED[name])}})


def test_a_list_within_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(CannotStoreError, match="too deeply"):
        flatten(endless)


# ------------------------------------------------------------------------ hostile trees

TREES = [
    *({"$nothing": 1}, {"$int": "x"}, {"$int": 3}, {"$float": []}, {"$tuple": 1}),
    *({"$array": "x"}, {"$array": ["x"]}, {"$array": {}}, {"$text": ["x", "y"]}),
    *({"$numpy": ["|O", "00"]}, {"$numpy": ["<f4", "00"]}, {"$numpy": "<f4"}),
    *({"$numpy": ["<U99999999999999999999", ""]}, {"$base64": "é"}, {"$decimal": {}}),
    *({"$zone": "../../etc/passwd"}, {"$zone": "/etc/passwd"}, {"$zone": "Nowhere/X"}),
    *({"$zone": "os"}, {"$object": ["os.system", "ls"]}, {"$object": 1}),
    *({"$set": [[]]}, {"$dict": [[1, 2], [1, 3]]}, {"$dict": [[{"a": 1}, 2]]}),
    *(
        {"$range": [0, 9, 0]},
        {"$range": [0, 2**62, 1]},
        {"$tuple": {"$range": [0, 9, 1]}},
    ),
    *({"$date": "x"}, {"$fraction": [1, 0]}, {"$uuid": "1"}),
    *({"$random_state": {}}, {"$random_state": {"bit_generator": "os"}}),
    *({"$timestamp": [1]}, {"$period": ["x", "y"]}, {"$interval": [2, 1, "left"]}),
    {"$tuple": [1], "$set": [1]},
    functools.reduce(lambda tree, _: [tree], range(500), 1),
]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: str(tree)[:40])
def test_a_tree_that_is_none_is_refused(tree):
    with pytest.raises(ModelFileError):
        restore({"a": [tree]}, {})


def test_arrays_are_there_and_all_are_taken():
    array = np.ones(1)
    with pytest.raises(ModelFileError, match="'x' is missing"):
        restore([{"$array": "x"}], {})
    with pytest.raises(ModelFileError, match=r"Nothing names .* \['y'\]"):
        restore([{"$array": "x"}], {"x": array, "y": array})


@pytest.mark.parametrize(
    "ends", [[2, 1], [-1, 3], [0, 2], [5], [], [2**62], [1.0, 3.0], [[3]]]
)
def test_ends_of_text_lie_within_it(ends):
    arrays = {"a": np.frombuffer(b"abc", np.uint8), "a.ends": np.array(ends)}
    with pytest.raises(ModelFileError, match="'a'"):
        restore({"$text": ["a", "a.ends"]}, arrays)


def test_an_hour_that_a_zone_skips_comes_back():
    zone = ZoneInfo.no_cache("America/Danmarkshavn")
    skipped = datetime(1916, 7, 27, 22, 15, tzinfo=zone)
    assert_same(through_json(skipped), skipped)
    assert_same(through_json(skipped.replace(fold=1)), skipped.replace(fold=1))
