"""Edges of the bins of numeric columns."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from dephn_sk.preprocessing import FieldEncoder, _edges
from dephn_sk.preprocessing._distribution import Distribution


def counted(values, weight=None):
    weight = None if weight is None else np.asarray(weight, dtype=float)
    return Distribution.of(np.asarray(values, dtype=float), weight)


def quantile_edges(values, n_bins, weight=None):
    seen = counted(values, weight)
    return _edges.quantile_edges(seen.values, seen.mass, n_bins)


def is_discrete(values, n_bins, weight=None):
    seen = counted(values, weight)
    return _edges.is_discrete(seen.mass, seen.rows, n_bins)


def bin_counts(values, edges):
    """Rows in each bin: bins hold their left edge, the outer ones all beyond."""
    bins = np.searchsorted(edges[1:-1], values, side="right")
    return np.bincount(bins, minlength=len(edges) - 1)


@pytest.mark.parametrize("n_bins", [2, 5, 16])
def test_distinct_values_are_spread_evenly(n_bins):
    values = np.random.default_rng(0).normal(size=160)
    counts = bin_counts(values, quantile_edges(values, n_bins))
    assert len(counts) == n_bins
    assert counts.max() - counts.min() <= 2


@pytest.mark.parametrize("n_bins", [2, 3, 5])
def test_few_distinct_values_have_a_bin_each(n_bins):
    values = np.array([3.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0])[: n_bins + 2]
    edges = quantile_edges(values, max(n_bins, 3))
    assert (bin_counts(values, edges) > 0).all()
    assert len(edges) == len(set(values)) + 1


def test_a_value_of_many_rows_has_a_bin_of_its_own():
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    edges = quantile_edges(values, n_bins=10)
    counts = bin_counts(values, edges)
    assert counts[0] == 900
    assert len(counts) >= 9  # the tail keeps its resolution
    assert counts[1:].max() <= 100 // 8


@pytest.mark.parametrize("n_bins", [2, 4, 16])
def test_integer_weights_are_repeated_rows(n_bins):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 12, 40).astype(float)
    values[::7] = np.nan
    weights = rng.integers(1, 4, 40)
    assert_array_equal(
        quantile_edges(values, n_bins, weights.astype(float)),
        quantile_edges(np.repeat(values, weights), n_bins),
    )


@pytest.mark.parametrize("n_bins", [2, 4, 16])
def test_rows_of_weight_zero_do_not_count(n_bins):
    rng = np.random.default_rng(0)
    values = rng.normal(size=40)
    weights = (rng.random(40) < 0.7).astype(float)
    kept = values[weights > 0]
    edges = quantile_edges(values, n_bins, weights)
    assert_array_equal(edges, quantile_edges(kept, n_bins))


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [2.0], [2.0, np.nan, 2.0]])
def test_fewer_than_two_distinct_values_make_one_bin(values):
    edges = quantile_edges(np.array(values), 8)
    assert len(edges) == 2
    assert edges[0] < edges[1]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32) | st.just(np.nan), max_size=30),
    st.integers(2, 12),
)
def test_edges_increase_and_hold_the_values(values, n_bins):
    values = np.array(values, dtype=np.float64)
    edges = quantile_edges(values, n_bins)
    assert len(edges) >= 2
    assert (np.diff(edges) > 0).all()
    known = values[~np.isnan(values)]
    if len(known):
        assert edges[0] == known.min()
        assert edges[-1] >= known.max()
        assert set(edges[:-1]) <= set(known)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_have_the_dtype_that_is_asked_for(dtype):
    for values in ([1, 2, 3, 4, 5, 6, 7], [1, 2], [1]):
        encoder = FieldEncoder().fit(np.array(values, dtype=float)[:, None])
        assert encoder.edges(4, dtype=dtype)[0].dtype == dtype


@pytest.mark.parametrize("scaling", ["standard", "squash", "none"])
def test_edges_are_those_of_the_scaled_rows_that_count(scaling):
    rng = np.random.default_rng(0)
    numbers = np.column_stack([rng.normal(size=90) * 100, rng.integers(0, 9, 90)])
    weight = rng.integers(0, 3, 90)
    encoder = FieldEncoder(scaling=scaling)
    fields = encoder.fit_encode(numbers, sample_weight=weight)
    for edges, column in zip(encoder.edges(4), fields.numbers.T, strict=True):
        assert_array_equal(edges, quantile_edges(column, 4, weight))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.floats(-1e6, 1e6) | st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["standard", "squash", "none"]),
)
def test_a_number_that_equals_an_edge_is_in_the_bin_that_begins_there(values, scaling):
    numbers = np.array(values)[:, None]
    encoder = FieldEncoder(scaling=scaling).fit(numbers)
    scaled = encoder.encode(numbers).numbers[:, 0]
    (edges,) = encoder.edges(64)  # each distinct number begins a bin
    assert set(scaled) <= set(edges)
    assert np.isfinite(scaled).all()


def test_edges_of_a_copy_say_why_there_are_none():
    encoder = FieldEncoder().fit([[1.0], [2.0]])
    for copied in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        with pytest.raises(ValueError, match="not kept in a copy or a pickle"):
            copied.edges(4)


def repeated(*counts):
    """Values 0, 1, ... as often as it says."""
    return np.repeat(np.arange(float(len(counts))), counts)


@pytest.mark.parametrize(
    ("values", "discrete"),
    [
        (repeated(50, 30, 20), True),
        (repeated(19, 19, 19), False),  # few rows for each value
        (repeated(900, *[1] * 100), True),  # nine in ten are zero
        (repeated(899, *[1] * 101), False),
        (np.linspace(0, 1, 1000), False),
        (np.full(5, np.nan), True),  # nothing to tell apart
    ],
)
def test_a_column_of_few_frequent_values_is_discrete(values, discrete):
    assert is_discrete(values, n_bins=16) is discrete


def test_a_frequent_value_holds_more_than_its_share():
    values = np.repeat(np.arange(40.0), 100)
    assert not is_discrete(values, n_bins=40)
    assert is_discrete(values, n_bins=41)


def test_discreteness_counts_integer_weights_as_repeated_rows():
    values, weights = np.arange(4.0), np.array([30, 30, 30, 5])
    assert is_discrete(values, 8, weights)
    assert not is_discrete(values, 8)


@pytest.mark.parametrize("scale", [1e-6, 0.5, 1.0])
def test_discreteness_does_not_mind_the_scale_of_weights_below_one(scale):
    weights = np.tile([0.5, 1.0], 40) * scale
    assert is_discrete(repeated(40, 40), 8, weights)
    assert not is_discrete(np.arange(80.0), 8, weights)
    assert not is_discrete(repeated(*[4] * 20), 32, weights)


def test_a_column_that_is_not_discrete_has_one_bin_if_that_is_asked():
    numbers = np.column_stack([repeated(50, 50), np.arange(100.0)])
    encoder = FieldEncoder(scaling="none").fit(numbers)
    discrete, continuous = encoder.edges(8, discrete_only=True)
    assert_array_equal(discrete, quantile_edges(numbers[:, 0], 8))
    assert_array_equal(continuous, [0, 99])
