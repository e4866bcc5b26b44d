"""What holds for any column: properties checked on columns that hypothesis makes."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dephn_sk.preprocessing import FieldEncoder

properties = settings(max_examples=25, deadline=None, derandomize=True)

# pandas 2 cannot tell "\0" from ""
TEXT = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
VALUES = {
    "text": st.text(TEXT, max_size=4),
    "integers": st.integers(-(2**63), 2**63 - 1),
    "unsigned": st.integers(0, 2**64 - 1),
    "few integers": st.integers(-3, 3),
    "floats": st.floats(allow_nan=False, allow_infinity=False),
    "booleans": st.booleans(),
    "tuples": st.tuples(st.integers(0, 2), st.text(max_size=1)),
    "dates": st.dates(),
}


def as_objects(name, values):
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = np.fromiter(values, dtype=object, count=len(values))
    return column


def as_pandas_objects(name, values):
    return pd.DataFrame({"c": as_objects(name, values)[:, 0]}, dtype=object)


def as_category(name, values):
    objects = as_pandas_objects(name, values)
    return objects.astype("category")


def as_pandas(name, values):
    return pd.DataFrame({"c": pd.Series(values)})


def as_polars(name, values):
    return pl.DataFrame({"c": pl.Series(values, strict=False)})


def as_arrow(name, values):
    kind = pa.uint64() if name == "unsigned" else None
    return pa.table({"c": pa.array(values, type=kind)})


CASES = [
    *((as_objects, name) for name in VALUES),
    *((as_pandas_objects, name) for name in ("text", "unsigned", "booleans")),
    *((as_category, name) for name in ("text", "integers", "tuples")),
    *((as_pandas, name) for name in ("text", "integers", "floats", "booleans")),
    *((as_polars, name) for name in ("text", "few integers")),
    *((as_arrow, name) for name in ("text", "unsigned")),
]
every_column = pytest.mark.parametrize(
    ("container", "name"), CASES, ids=lambda case: getattr(case, "__name__", case)
)


def encoder(**params):
    return FieldEncoder(categorical_features=[0], **params)


def codes_of(fitted, X):
    return fitted.encode(X).codes[:, 0]


@every_column
@properties
@given(data=st.data())
def test_seen_values_have_a_code_and_come_back_and_others_have_none(
    container, name, data
):
    drawn = data.draw(st.lists(VALUES[name], min_size=2, max_size=12))
    held_out = drawn[-1]
    train = [value for value in drawn[:-1] if value != held_out] or drawn[:1]
    X = container(name, train)
    fitted = encoder().fit(X)
    codes = codes_of(fitted, X)
    assert codes.min() >= 1 and codes.max() == len(set(train))
    assert len(set(zip(train, codes.tolist(), strict=True))) == len(set(train))
    back = fitted.inverse_transform(fitted.transform(X))
    back = back[:, 0] if isinstance(back, np.ndarray) else back["c"]
    assert list(back) == train
    if held_out not in train:
        assert codes_of(fitted, container(name, [held_out])).tolist() == [0]


@every_column
@properties
@given(data=st.data())
def test_neither_row_order_nor_batches_change_the_codes(container, name, data):
    values = data.draw(st.lists(VALUES[name], min_size=1, max_size=12))
    order = data.draw(st.permutations(range(len(values))))
    cut = data.draw(st.integers(1, len(values)))
    hashes = data.draw(st.booleans())
    params = {"n_buckets": 5} if hashes else {"min_frequency": 2, "max_categories": 3}
    X = container(name, values)
    codes = codes_of(encoder(**params).fit(X), X)
    shuffled = container(name, [values[row] for row in order])
    fitted = encoder(**params).fit(shuffled)
    np.testing.assert_array_equal(codes_of(fitted, shuffled), codes[list(order)])
    batches = [container(name, part) for part in (values[:cut], values[cut:]) if part]
    in_batches = np.concatenate([codes_of(fitted, batch) for batch in batches])
    np.testing.assert_array_equal(in_batches, codes)


@properties
@given(
    values=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30),
    min_frequency=st.one_of(st.none(), st.integers(1, 5), st.floats(0.05, 0.5)),
    max_categories=st.one_of(st.none(), st.integers(1, 5)),
)
def test_limits_send_exactly_the_rare_values_to_code_zero(
    values, min_frequency, max_categories
):
    X = pd.DataFrame({"c": values})
    fitted = encoder(min_frequency=min_frequency, max_categories=max_categories).fit(X)
    threshold = min_frequency or 0
    if isinstance(threshold, float):
        threshold *= len(values)
    kept = [value for value in set(values) if values.count(value) >= threshold]
    kept.sort(key=lambda value: (-values.count(value), value))
    if max_categories is not None:
        kept = kept[: max_categories - 1]
    assert fitted.vocabulary_["c"].tolist() == sorted(kept)
    codes = codes_of(fitted, X)
    assert {v for v, code in zip(values, codes, strict=True) if code == 0} == set(
        values
    ) - set(kept)
    ((_, _, n_codes, rare, missing),) = fitted.report_.rows
    assert n_codes == len(kept) + 1 and missing == 0
    np.testing.assert_allclose(rare, np.mean(codes == 0))


@every_column
@properties
@given(data=st.data())
def test_hashed_codes_are_in_range_and_the_same_for_the_same_value(
    container, name, data
):
    values = data.draw(st.lists(VALUES[name], min_size=1, max_size=12))
    n_buckets = data.draw(st.integers(1, 1000))
    X = container(name, values)
    fitted = encoder(n_buckets=n_buckets).fit(X)
    codes = codes_of(fitted, X)
    assert codes.min() >= 1 and codes.max() <= n_buckets
    assert fitted.cardinalities_ == (n_buckets + 1,)
    assert len(set(zip(values, codes.tolist(), strict=True))) == len(set(values))
    alone = codes_of(fitted, container(name, values[:1]))
    assert alone.tolist() == codes[:1].tolist()


@properties
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcd"), st.floats(-1e6, 1e6), st.integers(0, 3)),
        min_size=2,
        max_size=20,
    ),
    min_frequency=st.integers(1, 4),
    squash=st.booleans(),
)
def test_integer_weights_equal_repeated_rows(rows, min_frequency, squash):
    X = pd.DataFrame(rows, columns=["c", "n", "weight"])
    weight = X.pop("weight").to_numpy()
    if weight.sum() == 0:
        weight = weight + 1
    scaling = "squash" if squash else "standard"
    params = {"min_frequency": min_frequency, "scaling": scaling}
    weighted = FieldEncoder(**params).fit(X, sample_weight=weight)
    repeated = FieldEncoder(**params).fit(X.loc[X.index.repeat(weight)])
    assert weighted.vocabulary_["c"].tolist() == repeated.vocabulary_["c"].tolist()
    # an absolute part, since a mean may cancel to zero
    np.testing.assert_allclose(
        weighted.mean_, repeated.mean_, rtol=1e-12, atol=1e-12 * weighted.scale_[0]
    )
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


@every_column
@properties
@given(data=st.data())
def test_growing_keeps_codes_and_appends_the_new_values(container, name, data):
    lists = st.lists(VALUES[name], min_size=1, max_size=8)
    first, second = data.draw(lists), data.draw(lists)
    grown = encoder().partial_fit(container(name, first))
    before = codes_of(grown, container(name, first))
    old = grown.vocabulary_["c" if container is not as_objects else "x0"].tolist()
    try:
        grown.partial_fit(container(name, second))
    except ValueError as error:
        # integers and fractions that no one dtype holds exactly
        assert name in ("floats", "unsigned")
        assert "another kind" in str(error)
        return
    (vocabulary,) = grown.vocabulary_.values()
    assert vocabulary.tolist()[: len(old)] == old
    assert sorted(vocabulary.tolist()) == sorted(set(first) | set(second))
    np.testing.assert_array_equal(codes_of(grown, container(name, first)), before)


@properties
@given(
    lists=st.lists(
        st.one_of(st.none(), st.lists(st.integers(0, 4), max_size=4)),
        min_size=1,
        max_size=8,
    ),
    order=st.randoms(use_true_random=False),
)
def test_bags_are_the_codes_of_each_rows_members(lists, order):
    lists = [*lists, [7]]
    X = pd.DataFrame({"bag": pd.Series(lists, dtype=object)})
    fitted = FieldEncoder().fit(X)
    values = sorted({member for one in lists for member in one or []})
    expected = [[values.index(member) + 1 for member in one or []] for one in lists]
    rows = list(range(len(lists)))
    order.shuffle(rows)
    (bag,) = fitted.encode(X).take(np.array(rows)).bags
    starts = zip(bag.offsets[:-1], bag.offsets[1:], strict=True)
    assert [bag.members[begin:end].tolist() for begin, end in starts] == [
        expected[row] for row in rows
    ]
    back = fitted.inverse_transform(fitted.transform(X))["bag"]
    assert back.tolist() == [one or [] for one in lists]


@properties
@given(
    numbers=st.lists(
        st.floats(allow_infinity=False, width=64), min_size=1, max_size=10
    ).filter(lambda numbers: not np.isnan(numbers).all()),
    scaling=st.sampled_from(["standard", "squash", "none"]),
)
def test_any_finite_numbers_scale_to_finite_ones_and_nan_stays(numbers, scaling):
    X = np.array(numbers)[:, None]
    scaled = FieldEncoder(scaling=scaling).fit_transform(X)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(X))
    assert np.isfinite(scaled[~np.isnan(X)]).all()
    if scaling == "squash":
        assert np.nanmax(np.abs(scaled)) <= 3
