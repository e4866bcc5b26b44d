"""What an encoder says of itself, and how it grows."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from dephn_sk.preprocessing import FieldEncoder


def test_new_categories_come_after_the_old_and_scales_stay():
    first = pd.DataFrame({"c": ["b", "d"], "n": [0.0, 2.0]})
    grown = FieldEncoder().partial_fit(first)
    before = grown.encode(first)
    grown.partial_fit(pd.DataFrame({"c": ["c", "a", "d"], "n": [9.0, 9.0, 9.0]}))
    assert grown.vocabulary_["c"].tolist() == ["b", "d", "a", "c"]
    assert grown.cardinalities_ == (5,)
    np.testing.assert_array_equal(grown.encode(first).codes, before.codes)
    np.testing.assert_array_equal(grown.encode(first).numbers, before.numbers)


def test_the_first_partial_fit_is_fit():
    X = pd.DataFrame({"c": ["b", "a"], "n": [0.0, 2.0]})
    one, two = FieldEncoder().fit(X), FieldEncoder().partial_fit(X)
    pd.testing.assert_frame_equal(one.transform(X), two.transform(X))


def test_a_rare_value_gets_a_code_when_it_is_frequent_enough():
    grown = FieldEncoder(min_frequency=3)
    grown.partial_fit(pd.DataFrame({"c": list("aaabb")}))
    assert grown.vocabulary_["c"].tolist() == ["a"]
    grown.partial_fit(pd.DataFrame({"c": list("bc")}))
    assert grown.vocabulary_["c"].tolist() == ["a", "b"]
    assert grown.report_.rows[0][3] == 1 / 7  # c


def test_max_categories_also_holds_for_growth():
    grown = FieldEncoder(max_categories=3)
    grown.partial_fit(pd.DataFrame({"c": ["a"]}))
    grown.partial_fit(pd.DataFrame({"c": list("cbb")}))
    assert grown.vocabulary_["c"].tolist() == ["a", "b"]
    assert grown.cardinalities_ == (3,)


def test_missing_gets_its_own_code_when_first_seen():
    grown = FieldEncoder(missing_category=True, categorical_features=["c"])
    grown.partial_fit(pd.DataFrame({"c": [4, 5]}))
    grown.partial_fit(pd.DataFrame({"c": pd.array([None, 3], "Int64")}))
    assert grown.vocabulary_["c"].tolist() == [4, 5, 3, None]


def test_an_encoder_after_one_that_grows_grows_with_it():
    first = FieldEncoder().partial_fit(pd.DataFrame({"c": ["a"]}))
    after = FieldEncoder().partial_fit(first.transform(pd.DataFrame({"c": ["a"]})))
    more = pd.DataFrame({"c": ["b", "a"]})
    first.partial_fit(more)
    after.partial_fit(first.transform(more))
    assert after.cardinalities_ == (3,)
    assert after.encode(first.transform(more)).codes.ravel().tolist() == [2, 1]


def test_growing_refuses_values_of_another_kind():
    grown = FieldEncoder(categorical_features=["c"])
    grown.partial_fit(pd.DataFrame({"c": [1, 2]}))
    with pytest.raises(ValueError, match=r"'c' held .* 1 .*, and now holds 'x'"):
        grown.partial_fit(pd.DataFrame({"c": ["x"]}))
    # text that spells a number is one
    grown.partial_fit(pd.DataFrame({"c": ["2"]}))
    assert grown.vocabulary_["c"].tolist() == [1, 2]


def test_a_later_batch_may_be_all_missing():
    grown = FieldEncoder().partial_fit(pd.DataFrame({"c": ["a"], "n": [1.0]}))
    empty = pd.DataFrame({"c": [None], "n": [np.nan]})
    assert grown.partial_fit(empty).encode(empty).codes.tolist() == [[0]]


def test_pickled_encoders_encode_alike_and_hold_no_lookup():
    X = pd.DataFrame({"c": [f"value {i}" for i in range(1000)]})
    fitted = FieldEncoder().fit(X)
    size = len(pickle.dumps(fitted))
    codes = fitted.encode(X).codes
    assert len(pickle.dumps(fitted)) == size
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.encode(X).codes, codes)


def test_a_vocabulary_beyond_its_memory_is_refused():
    X = pd.DataFrame({"c": [f"value {i}" for i in range(1000)], "d": "x"})
    FieldEncoder(max_vocabulary_bytes=200_000).fit(X)
    message = "'c' has 1000 distinct values, such as 'value 0', .* n_buckets"
    with pytest.raises(ValueError, match=message):
        FieldEncoder(max_vocabulary_bytes=20_000).fit(X)


def test_encoded_columns_can_be_hashed_back_to_nothing():
    X = pd.DataFrame({"c": ["a", "b"]})
    fitted = FieldEncoder(n_buckets=9).fit(X)
    back = fitted.inverse_transform(fitted.transform(X))
    assert back["c"].tolist() == [None, None]


def test_inverse_transform_names_the_columns_it_needs():
    fitted = FieldEncoder().fit(np.array([["a", 1.0]], dtype=object))
    with pytest.raises(ValueError, match=r"\(1, 3\), but transform gives 2 columns"):
        fitted.inverse_transform(np.ones((1, 3)))


# The report


def test_the_report_counts_codes_rare_and_missing():
    X = pd.DataFrame(
        {"c": ["a", "a", "b", None], "n": [1.0, np.nan, np.nan, 2.0], "k": list("xxyy")}
    )
    fitted = FieldEncoder(min_frequency=2).fit(X, sample_weight=[1, 1, 1, 1])
    assert fitted.report_.rows == (
        ("c", "category", 2, 0.25, 0.25),
        ("k", "category", 3, 0.0, 0.0),
        ("n", "number", None, None, 0.5),
    )
    assert repr(fitted.report_).splitlines() == [
        "field  kind      codes   rare  missing",
        "c      category      2  25.0%    25.0%",
        "k      category      3   0.0%     0.0%",
        "n      number                    50.0%",
    ]


def test_the_report_is_in_the_notebooks_html_once_fitted():
    X = pd.DataFrame({"<c>": ["a"]})
    encoder = FieldEncoder()
    assert "missing</th>" not in encoder._repr_mimebundle_()["text/html"]
    html = encoder.fit(X)._repr_mimebundle_()["text/html"]
    assert "<td>&lt;c&gt;</td><td>category</td><td>2</td>" in html
    assert repr(encoder) == "FieldEncoder()"


# Without the libraries that are optional


def test_arrays_need_no_pandas(monkeypatch):
    rng = np.random.default_rng(0)
    X = np.empty((50, 4), dtype=object)
    X[:, 0] = rng.choice([*"abc", None], 50)
    X[:, 1] = rng.integers(0, 2**60, 50)
    X[:, 2] = [[i % 3] if i % 2 else None for i in range(50)]
    X[:, 3] = rng.choice([1.5, np.nan, None], 50)
    encoder = FieldEncoder(categorical_features=[0, 1])
    expected = encoder.fit(X).encode(X)
    monkeypatch.delitem(sys.modules, "pandas")
    assert "pandas" not in sys.modules
    fields = clone(encoder).fit(X).encode(X)
    np.testing.assert_array_equal(fields.codes, expected.codes)
    np.testing.assert_array_equal(fields.numbers, expected.numbers)
    np.testing.assert_array_equal(fields.bags[0].members, expected.bags[0].members)


def test_polars_needs_pyarrow_and_says_so(monkeypatch):
    pl = pytest.importorskip("polars")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="Reading polars frames needs pyarrow"):
        FieldEncoder().fit(pl.DataFrame({"a": [1]}))


# Numbers


def test_squashed_numbers_keep_their_order_and_stay_within_three():
    numbers = np.array([1.0, 2.0, 3.0, 4.0, 1e12, -1e12, np.nan])[:, None]
    fitted = FieldEncoder(scaling="squash").fit(numbers)
    assert fitted.mean_.tolist() == [2.0] and fitted.scale_.tolist() == [3.0]
    squashed = fitted.transform(numbers).ravel()
    z = (numbers.ravel() - 2) / 3
    np.testing.assert_allclose(squashed, z / np.sqrt(1 + (z / 3) ** 2))
    np.testing.assert_allclose(
        fitted.inverse_transform(squashed[:4, None]), numbers[:4], rtol=1e-12
    )


def test_numbers_of_one_value_but_for_few_are_squashed_by_their_deviation():
    numbers = np.array([0.0] * 9 + [10.0])[:, None]
    fitted = FieldEncoder(scaling="squash").fit(numbers)
    assert fitted.scale_.tolist() == [3.0]


def test_infinite_numbers_are_missing_by_choice():
    X = np.array([[1.0], [3.0], [np.inf], [-np.inf]])
    fitted = FieldEncoder(infinite="missing").fit(X)
    np.testing.assert_array_equal(fitted.transform(X).ravel(), [-1, 1, np.nan, np.nan])
    assert fitted.report_.rows[0][-1] == 0.5
    with pytest.raises(ValueError, match=r"Column 'x0' holds inf .* row 2"):
        FieldEncoder().fit(X)
    with pytest.raises(ValueError, match=r"Column 'x0' holds inf .* row 0"):
        FieldEncoder().fit(X[:2]).transform(X[2:])


def test_scaling_may_differ_by_column():
    X = pd.DataFrame({"a": [1.0, 3.0], "b": [1.0, 3.0]})
    out = FieldEncoder(scaling={"b": "none"}).fit_transform(X)
    assert out["a"].tolist() == [-1, 1] and out["b"].tolist() == [1, 3]
    with pytest.raises(ValueError, match=r"scaling\['b'\]"):
        FieldEncoder(scaling={"b": "log"}).fit(X)


def test_durations_are_days():
    X = pd.DataFrame({"t": pd.to_timedelta(["1D", "36h", None])})
    out = FieldEncoder(scaling="none").fit_transform(X)["t"]
    np.testing.assert_array_equal(out, [1, 1.5, np.nan])
