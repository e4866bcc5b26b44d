"""A row's codes are the same alone, beside a few others, and in a large table."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dephn_sk.preprocessing import FieldEncoder, _columns

RNG = np.random.default_rng(0)
N = 400
WORDS = RNG.choice(["a", "a", "b", "", "é", "\U0001d4b3", "rare"], N)
NUMBERS = RNG.integers(-3, 4, N)
SOME = RNG.random(N) < 0.2
DAYS = np.array([date(2024, 1, 5 + n) for n in NUMBERS], dtype=object)

COLUMNS = {
    "text": pd.Series(WORDS),
    "text with missing": pd.Series(WORDS).mask(SOME),
    "objects": pd.Series(WORDS, dtype=object).mask(SOME, None),
    "objects with NaN": pd.Series(WORDS, dtype=object).mask(SOME, np.nan),
    "arrow": pd.Series(WORDS, dtype=pd.ArrowDtype(pa.string())).mask(SOME),
    "categories of text": pd.Series(WORDS).mask(SOME).astype("category"),
    "categories of integers": pd.Series(NUMBERS).astype("category"),
    "categories, missing": pd.Series(NUMBERS).astype("category").mask(SOME),
    "categories of dates": pd.Series(
        pd.to_datetime("2024-01-01") + pd.to_timedelta(NUMBERS, "D")
    ).astype("category"),
    "integers": pd.Series(NUMBERS),
    "large integers": pd.Series(NUMBERS.astype(np.int64) + 2**60),
    "unsigned": pd.Series((NUMBERS + 5).astype(np.uint64) + 2**63),
    "nullable": pd.Series(NUMBERS, dtype="Int64").mask(SOME),
    "whole floats": pd.Series(NUMBERS.astype(float)).mask(SOME),
    "booleans": pd.Series(SOME),
    "bytes": pd.Series([word.encode() for word in WORDS]),
    "days": pd.Series(DAYS).mask(SOME, None),
    "decimals": pd.Series([Decimal(int(n)) / 4 for n in NUMBERS]),
}
PARAMETERS = {
    "defaults": {},
    "rare": {"min_frequency": 20},
    "missing": {"missing_category": True},
    "statistics": {"target_statistics": ["c"], "random_state": 0},
}


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("name", COLUMNS)
def test_a_row_is_encoded_alone_as_among_others(name, parameters, monkeypatch):
    X = pd.DataFrame({"c": COLUMNS[name]})
    y = (RNG.random(N) < 0.5).astype(int)
    encoder = FieldEncoder(categorical_features=["c"], **PARAMETERS[parameters])
    encoder.fit(X[: N // 2], y[: N // 2])  # so that some values are unseen
    with monkeypatch.context() as patch:  # by telling all values apart
        patch.setattr(_columns, "FEW", 0)
        whole = encoder.encode(X)
    for rows in (
        slice(None),
        slice(0, 1),
        slice(7, 8),
        slice(10, 13),
        slice(N - 99, N),
    ):
        few = encoder.encode(X[rows])
        np.testing.assert_array_equal(few.codes, whole.codes[rows])
        np.testing.assert_array_equal(few.numbers, whole.numbers[rows])


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_what_means_the_same_is_found_in_a_single_row(dtype):
    encoder = FieldEncoder(categorical_features=["c"])
    encoder.fit(pd.DataFrame({"c": [1, 2, 2, 3]}))
    row = pd.DataFrame({"c": pd.Series(["2"], dtype=dtype)})
    assert encoder.encode(row).codes.tolist() == [[2]]
    encoder.fit(pd.DataFrame({"c": pd.Series(["1", "2", "3"], dtype=dtype)}))
    assert encoder.encode(pd.DataFrame({"c": [3]})).codes.tolist() == [[3]]
