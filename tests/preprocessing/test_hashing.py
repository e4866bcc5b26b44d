"""Hashing: the same everywhere, and as good as chance."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.preprocessing._hashing import stable_hash


def splitmix64(bits):
    bits = (bits + 0x9E3779B97F4A7C15) % 2**64
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % 2**64
    return bits ^ (bits >> 31)


def fnv1a(text):
    hashed = 0xCBF29CE484222325
    for byte in text.encode():
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    return hashed


def test_text_is_hashed_by_fnv_1a_and_finalised():
    assert fnv1a("a") == 0xAF63DC4C8601EC8C  # from the algorithm's home page
    texts = ["", "a", "Oslo", "東京 ☕", "a longer text than the others"]
    hashes = stable_hash(np.array(texts, dtype=object))
    assert hashes.tolist() == [splitmix64(fnv1a(text)) for text in texts]


def test_integers_are_hashed_by_splitmix64():
    integers = np.array([0, 1, -1, 2**62])
    expected = [splitmix64(int(one) % 2**64) for one in integers]
    assert stable_hash(integers).tolist() == expected
    # a published first output of the generator with seed 0
    assert stable_hash(np.array([0]))[0] == 0xE220A8397B1DCDAF


def test_another_process_with_another_hash_seed_gives_the_same_codes():
    X = [["Oslo"], ["Rome"], ["東京"]]
    code = (
        "from dephn_sk.preprocessing import FieldEncoder\n"
        f"X = {X!r}\n"
        "print(FieldEncoder(n_buckets=1000).fit(X).encode(X).codes.ravel().tolist())"
    )
    path = os.pathsep.join(path for path in sys.path if path)
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    codes = FieldEncoder(n_buckets=1000).fit(X).encode(X).codes.ravel()
    assert output.strip() == str(codes.tolist())


def test_buckets_are_evenly_filled():
    ids = np.arange(100_000)[:, None]
    codes = FieldEncoder(categorical_features=[0], n_buckets=100).fit(ids).encode(ids)
    counts = np.bincount(codes.codes.ravel(), minlength=101)
    assert counts[0] == 0
    chi_square = ((counts[1:] - 1000) ** 2 / 1000).sum()
    assert chi_square < 99 + 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize("drift", ["str", "float64", object, "Int64", "category"])
def test_hashed_integers_may_come_in_another_dtype(drift):
    ids = pd.DataFrame({"id": [12, -7, 2**40]})
    fitted = FieldEncoder(categorical_features=["id"], n_buckets=1000).fit(ids)
    np.testing.assert_array_equal(
        fitted.encode(ids.astype(drift)).codes, fitted.encode(ids).codes
    )


def test_hashed_text_may_come_as_numbers():
    ids = pd.DataFrame({"id": ["12", "-7"]})
    fitted = FieldEncoder(n_buckets=1000).fit(ids)
    np.testing.assert_array_equal(
        fitted.encode(ids.astype(int)).codes, fitted.encode(ids).codes
    )


def test_missing_has_code_zero_and_is_reported():
    X = pd.DataFrame({"c": ["a", None, "b", "a"]})
    fitted = FieldEncoder(n_buckets=5).fit(X)
    codes = fitted.encode(X).codes.ravel()
    assert (codes == 0).tolist() == [False, True, False, False]
    assert fitted.report_.rows == (("c", "category", 6, 0.0, 0.25),)


def test_several_hashes_make_a_bag_that_is_summed():
    X = pd.DataFrame({"id": np.arange(2000), "c": "x"})
    params = {"categorical_features": [0, 1], "n_buckets": {"id": 50}}
    fitted = FieldEncoder(**params, n_hashes=2).fit(X)
    assert fitted.categorical_names_ == ("c",)
    assert fitted.bag_names_ == ("id",)
    assert fitted.bag_modes_ == ("sum",)
    assert fitted.bag_cardinalities_ == (51,)
    (bag,) = fitted.encode(X).bags
    pairs = bag.members.reshape(2000, 2)
    assert bag.offsets.tolist() == list(range(0, 4001, 2))
    one = FieldEncoder(**params).fit(X).encode(X).codes[:, 0]
    np.testing.assert_array_equal(pairs[:, 0], one)
    # independent: equal as often as by chance
    assert abs(np.mean(pairs[:, 0] == pairs[:, 1]) - 1 / 50) < 0.02
    assert len(np.unique(pairs, axis=0)) > 1200


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_buckets": 0}, "n_buckets"),
        ({"n_buckets": {"c": 0}}, r"n_buckets\['c'\]"),
        (
            {"n_buckets": {"n": 3}},
            "n_buckets names the column 'n', which is no categorical",
        ),
        ({"n_hashes": {"c": 2}}, "n_hashes names 'c', which is not hashed"),
        ({"n_hashes": 0}, "n_hashes"),
    ],
)
def test_bad_hashing_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder(**params).fit(pd.DataFrame({"c": ["a"], "n": [1.0]}))
