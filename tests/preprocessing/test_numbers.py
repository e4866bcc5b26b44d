"""Numbers far outside what was seen: bounded, in order, and taken back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from dephn_sk.preprocessing import FieldEncoder

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALINGS = ["standard", "squash", "none"]
FAR = [1e3, 1e6, 1e20, 1e38, 1e39, 1e300, 1.7e308]


def one_column(numbers):
    return np.array(numbers, dtype=float)[:, None]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(FLOATS, min_size=1, max_size=12),
    st.lists(FLOATS, min_size=1, max_size=12),
    st.sampled_from(SCALINGS),
)
@example([4.301035867047321e294, -1.7976931348622728e308], [0.0], "squash")
def test_any_finite_number_is_finite_in_float32_and_order_is_kept(seen, new, scaling):
    encoder = FieldEncoder(scaling=scaling).fit(one_column(seen))
    X = one_column(sorted([*seen, *new]))
    scaled = encoder.encode(X).numbers[:, 0]
    assert scaled.dtype == np.float32 and np.isfinite(scaled).all()
    assert (np.diff(encoder.transform(X)[:, 0]) >= 0).all()
    if scaling == "standard":
        within = encoder.transform(one_column(seen))
        assert scaled.min() >= np.float32(within.min() - 1)
        assert scaled.max() <= np.float32(within.max() + 1)


def test_what_was_seen_is_scaled_and_nothing_more():
    numbers = np.random.default_rng(0).lognormal(sigma=3, size=(500, 1))
    scaled = FieldEncoder().fit_transform(numbers)
    expected = (numbers - numbers.mean()) / numbers.std()
    assert_allclose(scaled, expected, rtol=1e-9, atol=1e-12)


def test_an_excess_of_deviations_stays_below_one():
    encoder = FieldEncoder().fit(one_column([-1.0, 1.0]))  # mean 0, deviation 1
    out = encoder.transform(one_column([-5.0, -1.0, 0.5, 1.0, 2.0, 4.0, 1e300]))
    assert_allclose(out[:, 0], [-1.8, -1, 0.5, 1, 1.5, 1.75, 2], rtol=1e-15)
    back = encoder.inverse_transform(out)[:, 0]
    assert_allclose(back[:-1], [-5, -1, 0.5, 1, 2, 4], rtol=1e-12)
    assert back[-1] == np.inf


def test_larger_numbers_stay_larger_far_outside():
    encoder = FieldEncoder().fit(one_column([-1.0, 1.0]))
    grid = np.geomspace(1.0, 1e7, 2000)
    assert (np.diff(encoder.transform(one_column(grid))[:, 0]) > 0).all()
    assert (np.diff(encoder.transform(one_column(-grid))[:, 0]) < 0).all()


@pytest.mark.parametrize("far", FAR)
def test_numbers_that_are_not_scaled_are_kept_up_to_a_thousand_times_the_largest(far):
    encoder = FieldEncoder(scaling="none").fit(one_column([-3.0, 2.0]))
    new = np.array([-2999.0, 2999.0])
    assert_array_equal(encoder.transform(one_column(new))[:, 0], new)
    assert abs(encoder.encode(one_column([-far])).numbers[0, 0]) <= 6000


def test_ages_of_dates_are_bounded_too():
    days = pd.date_range("2024-01-01", periods=50)
    encoder = FieldEncoder().fit(pd.DataFrame({"t": days}))
    seen = encoder.encode(pd.DataFrame({"t": days})).numbers[:, -1]
    odd = pd.DataFrame({"t": pd.to_datetime(["1900-01-01", "2200-01-01"])})
    out = encoder.encode(odd).numbers[:, -1]
    assert seen.max() < out[0] <= seen.max() + 1
    assert seen.min() > out[1] >= seen.min() - 1
