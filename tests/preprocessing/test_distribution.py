"""Distributions: functions of the numbers alone, however they are divided."""

from __future__ import annotations

import functools
import itertools
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from dephn_sk.preprocessing import _distribution
from dephn_sk.preprocessing._distribution import Distribution

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def assert_same(one, two):
    for name in ("keys", "mass", "bits", "low", "high", "rows"):
        assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.mean_and_deviation() == two.mean_and_deviation()


def merged(parts, order):
    return functools.reduce(operator.add, [parts[i] for i in order])


def columns(n=200_000):
    rng = np.random.default_rng(0)
    return {
        "normal": rng.normal(size=n),
        "times": 1.7e9 + rng.random(n) * 3e7,
        "wide": np.exp(rng.uniform(-700, 700, n)) * rng.choice([-1, 1], n),
        "few": rng.integers(-3, 90, n) / 8,
        "integers": rng.integers(0, 10**6, n).astype(float),
        "mostly zero": np.where(rng.random(n) < 0.7, 0.0, rng.normal(size=n)),
    }


@pytest.mark.parametrize("name", columns(1))
@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_in_any_order_are_the_distribution_of_all(name, weighted):
    numbers = columns()[name]
    weight = np.random.default_rng(1).integers(1, 5, len(numbers)).astype(float)
    weight = weight if weighted else None
    whole = Distribution.of(numbers, weight)
    cuts = [0, 3, 60_000, 61_000, 150_000, len(numbers)]
    parts = [
        Distribution.of(numbers[a:b], None if weight is None else weight[a:b])
        for a, b in itertools.pairwise(cuts)
    ]
    for order in ([0, 1, 2, 3, 4], [3, 1, 4, 0, 2]):
        assert_same(merged(parts, order), whole)
    assert_same((parts[4] + parts[3]) + (parts[2] + (parts[1] + parts[0])), whole)
    assert len(whole.mass) <= _distribution.MOST
    assert whole.mass.sum() == (len(numbers) if weight is None else weight.sum())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(FLOATS | st.integers(-9, 9).map(float), max_size=60), st.data())
def test_few_buckets_merge_too(numbers, data):
    numbers = np.array(numbers)
    cut = data.draw(st.integers(0, len(numbers)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_distribution, "MOST", data.draw(st.integers(8, 40)))
        whole = Distribution.of(numbers)
        parts = Distribution.of(numbers[:cut]), Distribution.of(numbers[cut:])
        assert_same(parts[0] + parts[1], whole)
        assert_same(parts[1] + parts[0], whole)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(FLOATS, min_size=1, max_size=60))
def test_few_numbers_are_counted_one_by_one(numbers):
    seen = Distribution.of(np.array(numbers))
    values, counts = np.unique(numbers, return_counts=True)
    assert_array_equal(seen.values, values)
    assert_array_equal(seen.mass, counts)
    assert seen.relative_error == 0 and (seen.low, seen.high) == (values[0], values[-1])


@pytest.mark.parametrize("name", ["normal", "times", "wide", "integers"])
def test_quantiles_err_by_no_more_than_is_stated(name):
    numbers = np.sort(columns()[name])
    seen = Distribution.of(numbers)
    assert 0 < seen.relative_error <= 2**-4
    shares = [0.001, 0.25, 0.5, 0.9]
    for share, found in zip(shares, seen.quantiles(shares), strict=True):
        exact = numbers[int(np.ceil(share * len(numbers))) - 1]
        assert abs(found - exact) <= abs(exact) * seen.relative_error
    largest = np.abs(numbers).max()
    mean, deviation = np.array(seen.mean_and_deviation()) / largest
    assert mean == pytest.approx((numbers / largest).mean(), abs=seen.relative_error)
    assert deviation == pytest.approx(
        (numbers / largest).std(), abs=seen.relative_error
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1, 1.7e308])
def test_a_constant_has_its_mean_and_deviation_one(constant):
    seen = Distribution.of(np.full(1000, constant))
    assert seen.mean_and_deviation() == (constant, 1.0)
