"""A refused call leaves an encoder as it was, and held-out rows teach it nothing."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.tasks import Tasks


def table(n=80, seed=0):
    rng = np.random.default_rng(seed)
    hours = pd.to_timedelta(rng.integers(0, 999, n), "h")
    X = pd.DataFrame(
        {
            "user": rng.choice(list("abcd"), n),
            "x": rng.normal(size=n),
            "t": pd.Timestamp("2024-01-01") + hours,
            "tags": rng.choice(["p|q", "q"], n),
            "id": rng.integers(0, 5, n),
        }
    )
    y = pd.DataFrame({"click": rng.integers(0, 2, n), "buy": rng.integers(0, 2, n)})
    return X, y


def make(**params):
    return FieldEncoder(
        delimiters={"tags": "|"},
        categorical_features=["user", "id"],
        target_statistics=["user"],
        max_vocabulary_bytes=4000,
        random_state=0,
        **params,
    )


def broken(X, y, how):
    """A table that brings new categories, and something that is refused."""
    X, weight = X.assign(user="new" + X["user"], tags="r|s"), None
    if how == "number":
        X.loc[3, "x"] = np.inf
    if how == "label":
        y = y.assign(buy="seven")
    if how == "rows":
        y = y.iloc[:-1]
    if how == "weight":
        weight = np.full(len(X), -1.0)
    if how == "column":
        X = X.rename(columns={"x": "z"})
    if how == "kind":
        X["id"] = "text"
    if how == "memory":
        X["user"] = [f"user {i} of many" for i in range(len(X))]
    return X, y, weight


HOW = ["number", "label", "rows", "weight", "column", "kind", "memory"]
METHODS = ["fit", "fit_encode", "fit_transform"]
GROWING = ["partial_fit", "partial_fit_encode", "grown"]


@pytest.mark.parametrize("method", METHODS + GROWING)
@pytest.mark.parametrize("how", HOW)
def test_a_refused_call_leaves_the_encoder_as_it_was(method, how):
    if method in METHODS and how in ("label", "column", "kind"):
        return  # another fit may have other columns and labels
    if (method, how) == ("partial_fit", "number"):
        return  # scales stay, so that no number is read
    X, y = table()
    encoder, twin = make().fit(X, y), make().fit(X, y)
    before = pickle.dumps(encoder)
    bad, labels, weight = broken(X, y, how)
    with pytest.raises(ValueError):
        getattr(encoder, method)(bad, labels, sample_weight=weight)
    assert pickle.dumps(encoder) == before
    assert_array_equal(
        encoder.partial_fit_encode(*table(seed=1)).numbers,
        twin.partial_fit_encode(*table(seed=1)).numbers,
    )


@pytest.mark.parametrize("method", METHODS + GROWING)
def test_a_refused_first_call_leaves_the_encoder_unfitted(method):
    X, y = table()
    encoder = make()
    with pytest.raises(ValueError):
        getattr(encoder, method)(*broken(X, y, "number"))
    assert vars(encoder) == vars(make()) and not hasattr(encoder, "n_features_in_")


def test_grown_is_partial_fit_of_another_encoder():
    X, y = table()
    encoder, other = make().fit(X, y), make().fit(X, y)
    before = pickle.dumps(encoder)
    more, labels = table(seed=1)
    more["user"] = more["user"].replace("a", "z")
    grown, fields = encoder.grown(more, labels)
    assert pickle.dumps(encoder) == before
    expected = other.partial_fit_encode(more, labels)
    assert_array_equal(fields.codes, expected.codes)
    assert_array_equal(fields.numbers, expected.numbers)
    assert_array_equal(grown.encode(X).numbers, other.encode(X).numbers)
    assert grown.cardinalities_ == other.cardinalities_ > encoder.cardinalities_


def test_memory_of_a_vocabulary_is_that_of_all_calls():
    encoder = FieldEncoder(max_vocabulary_bytes=6000)
    for batch in range(9):
        users = [f"user {batch} {i}" for i in range(20)]
        try:
            encoder.partial_fit(pd.DataFrame({"user": users}))
        except ValueError as error:
            assert "max_vocabulary_bytes=6000" in str(error) and batch > 1
            break
    else:
        pytest.fail("a vocabulary grew without bound")
    assert encoder.cardinalities_ == (20 * batch + 1,)


# Rows of weight zero


def other_held_out(X, y, held_out):
    """The same table, with anything in the rows that do not count."""
    X, y = X.copy(), y.copy()
    X.loc[held_out, "user"] = "unseen"
    X.loc[held_out, "x"] = 1e300
    X.loc[held_out, "t"] = pd.Timestamp("1999-01-01 03:04:05")
    X.loc[held_out, "tags"] = "r|s"
    X.loc[held_out, "id"] = 10**12
    y.loc[held_out] = 1 - y.loc[held_out]
    return X, y


@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize("fractions", [False, True])
def test_rows_of_weight_zero_have_no_influence(by_time, fractions):
    X, y = table()
    rng = np.random.default_rng(0)
    held_out = rng.random(len(X)) < 0.3
    weight = rng.random(len(X)) if fractions else np.ones(len(X))
    weight[held_out] = 0
    encoders, fields = [], []
    for one in ((X, y), other_held_out(X, y, held_out)):
        encoders.append(make(**{"time_column": "t"} if by_time else {}))
        fields.append(encoders[-1].fit_encode(*one, sample_weight=weight))
    assert_array_equal(fields[0].codes[~held_out], fields[1].codes[~held_out])
    assert_array_equal(fields[0].numbers[~held_out], fields[1].numbers[~held_out])
    assert pickle.dumps(encoders[0]) == pickle.dumps(encoders[1])
    for one, two in zip(*(encoder.edges(8) for encoder in encoders), strict=True):
        assert_array_equal(one, two)


def test_rows_of_weight_zero_have_the_statistics_of_rows_to_come():
    X, y = table()
    weight = np.repeat([1.0, 0.0], 40)
    encoder = make()
    fields = encoder.fit_encode(X, y, sample_weight=weight)
    assert_array_equal(fields.numbers[40:], encoder.encode(X).numbers[40:])
    assert not np.array_equal(fields.numbers[:40], encoder.encode(X).numbers[:40])


# Labels and randomness


def test_labels_that_were_read_are_not_read_again():
    X, y = table()
    tasks = Tasks.learn(y)
    one = make().fit_encode(X, y).numbers
    encoder = make()
    assert_array_equal(encoder.fit_encode(X, tasks.read(y)).numbers, one)
    assert encoder.numeric_names_[-3:] == (
        "user_count",
        "user_click_rate",
        "user_buy_rate",
    )
    encoder.partial_fit(X, tasks.read(y))
    with pytest.raises(TypeError, match="give Labels again"):
        encoder.partial_fit(X, y)


def test_folds_are_not_drawn_from_numpys_global_generator():
    X, y = table()
    state = np.random.get_state()[1].copy()
    encoder = make().set_params(random_state=None)
    one, two = (encoder.fit_encode(X, y).numbers for _ in range(2))
    assert_array_equal(np.random.get_state()[1], state)
    assert not np.array_equal(one, two)
    np.random.seed(0)
    three = encoder.fit_encode(X, y).numbers
    np.random.seed(0)
    assert not np.array_equal(encoder.fit_encode(X, y).numbers, three)
    seeded = [make().fit_encode(X, y).numbers for _ in range(2)]
    assert_array_equal(*seeded)
