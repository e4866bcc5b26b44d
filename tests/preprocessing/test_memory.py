"""What `fit_encode` holds beside the table and its codes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from dephn_sk.preprocessing import FieldEncoder

N_ROWS, N_COLUMNS = 20_000, 30


def make_ids(spread):
    rng = np.random.default_rng(0)
    return rng.integers(0, 50, (N_ROWS, N_COLUMNS)) * spread


@pytest.mark.parametrize("spread", [1, 10**7])  # subtracted from, or hashed
@pytest.mark.parametrize("again", [False, True])
def test_encoding_holds_few_columns_beside_the_codes(spread, again):
    X = make_ids(spread)
    encoder = FieldEncoder(categorical_features=np.ones(N_COLUMNS, dtype=bool))
    encoder.fit(X)
    tracemalloc.start()
    try:
        fields = (encoder.partial_fit_encode if again else encoder.fit_encode)(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < fields.codes.nbytes + 5 * 8 * N_ROWS


@pytest.mark.parametrize("spread", [1, 10**7])
def test_codes_do_not_depend_on_where_positions_are_kept(spread):
    X = make_ids(spread)
    X[::7, ::2] = -spread
    frame = pd.DataFrame(X).add_prefix("c").astype("category")
    for table in (X, frame, frame.astype(str)):
        encoder = FieldEncoder(categorical_features=np.ones(N_COLUMNS, dtype=bool))
        learned = encoder.fit_encode(table)
        assert np.array_equal(learned.codes, encoder.encode(table).codes)
        assert np.array_equal(encoder.partial_fit_encode(table).codes, learned.codes)


def test_statistics_of_a_column_are_learned_before_its_codes_take_the_room():
    X = make_ids(10**7)[:, :2]
    y = np.random.default_rng(1).integers(0, 2, N_ROWS)
    encoder = FieldEncoder(
        categorical_features=[True, True], target_statistics=[0, 1], random_state=0
    )
    fields = encoder.fit_encode(X, y)
    assert np.array_equal(fields.codes, encoder.encode(X).codes)
    array = encoder.fit_transform(X, y)
    np.testing.assert_array_equal(array[:, :2], fields.codes)
    np.testing.assert_allclose(array[:, 2:], fields.numbers, rtol=1e-6)
