"""FieldEncoder on every kind of table: what it promises and what it refuses."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from dephn_sk.preprocessing import FieldEncoder

BIG = 2**53  # float64 cannot tell it from its successor


@parametrize_with_checks([FieldEncoder()])
def test_every_scikit_learn_check_passes(estimator, check):
    check(estimator)


def table():
    return pd.DataFrame(
        {
            "age": [20.0, np.nan, 40.0, 30.0],
            "city": ["Oslo", "Rome", None, "Oslo"],
            "user": pd.Series([BIG, BIG + 1, BIG, 7], dtype="Int64").astype("category"),
            "clicked": [True, False, True, True],
            "price": [1, 2, 3, 4],
        }
    )


FRAMES = {
    "pandas": lambda X: X,
    "pandas object": lambda X: X.astype({"city": object, "user": object}),
    "pandas pyarrow": lambda X: X.convert_dtypes(dtype_backend="pyarrow"),
    "pandas nullable": lambda X: X.astype({"clicked": "boolean", "age": "Float64"}),
    "polars": lambda X: pl.from_pandas(X),
    "pyarrow": lambda X: pa.Table.from_pandas(X, preserve_index=False),
}


@pytest.fixture(params=FRAMES)
def frame(request):
    return FRAMES[request.param](table())


def encoder():
    return FieldEncoder(categorical_features=["city", "user", "clicked"])


def test_any_frame_gives_the_same_fields(frame):
    fields = encoder().fit(frame).encode(frame, dtype=np.float64)
    np.testing.assert_array_equal(fields.codes.T[0], [1, 2, 0, 1])
    np.testing.assert_array_equal(fields.codes.T[1], [2, 3, 2, 1])
    np.testing.assert_array_equal(fields.codes.T[2], [2, 1, 2, 2])
    age = np.array([20, np.nan, 40, 30])
    np.testing.assert_allclose(fields.numbers.T[0], (age - 30) / np.sqrt(200 / 3))
    np.testing.assert_allclose(fields.numbers.T[1], [-3, -1, 1, 3] / np.sqrt(5))
    assert fields.codes.flags.c_contiguous and fields.codes.dtype == np.int32


def test_a_frame_at_prediction_may_be_of_another_library(frame):
    fitted = encoder().fit(table())
    expected = fitted.encode(table())
    np.testing.assert_array_equal(fitted.encode(frame).codes, expected.codes)
    np.testing.assert_array_equal(fitted.encode(frame).numbers, expected.numbers)


def test_learned_attributes_name_the_fields_in_their_order():
    fitted = encoder().fit(table())
    assert fitted.categorical_names_ == ("city", "user", "clicked")
    assert fitted.numeric_names_ == ("age", "price")
    assert fitted.bag_names_ == ()
    assert fitted.cardinalities_ == (3, 4, 3)
    assert fitted.bag_cardinalities_ == ()
    assert fitted.tables_ == (0, 1, 2)
    assert fitted.vocabulary_["user"].tolist() == [7, BIG, BIG + 1]
    names = ["city", "user", "clicked", "age", "price"]
    assert fitted.get_feature_names_out().tolist() == names


def test_from_dtype_takes_text_objects_categories_and_booleans():
    fitted = FieldEncoder().fit(table())
    assert fitted.categorical_names_ == ("city", "user", "clicked")
    objects = table().astype(object)
    assert FieldEncoder().fit(objects).numeric_names_ == ()


def test_pyarrow_chunks_are_read_as_one_column():
    table = pa.table({"c": ["a", "b"], "n": [1.0, None]})
    X = pa.concat_tables([table, table])
    codes = X["c"].dictionary_encode()
    X = X.append_column("d", codes)
    fields = FieldEncoder().fit(X).encode(X)
    assert fields.codes.tolist() == [[1, 1], [2, 2]] * 2
    assert np.isnan(fields.numbers).ravel().tolist() == [False, True] * 2


def test_arrays_of_numbers_have_no_categories_by_default():
    assert FieldEncoder().fit(np.ones((3, 2), dtype=int)).categorical_names_ == ()


def test_object_arrays_are_numeric_where_they_convert_and_hold_no_text():
    X = np.array([["a", 1, "1"], ["b", None, "2"]], dtype=object)
    fitted = FieldEncoder().fit(X)
    assert fitted.categorical_names_ == ("x0", "x2")
    assert fitted.transform(X).tolist()[0] == [1.0, 1.0, 0.0]


def test_lists_keep_their_numbers():
    fitted = FieldEncoder().fit([["a", 1.5], ["b", 2.5]])
    assert fitted.numeric_names_ == ("x1",)


@pytest.mark.parametrize("choice", [[0, 2], [-3, -1], [True, False, True]])
def test_arrays_take_positions_and_masks(choice):
    X = np.array([[5.0, 0.5, BIG], [3.0, 0.5, 1.0], [np.nan, 1.5, 1.0]])
    fitted = FieldEncoder(categorical_features=choice).fit(X)
    assert fitted.categorical_names_ == ("x0", "x2")
    assert fitted.encode(X).codes.tolist() == [[2, 2], [1, 1], [0, 1]]
    assert fitted.transform(X).dtype == np.float64
    np.testing.assert_array_equal(fitted.transform(X)[:, :2], fitted.encode(X).codes)


def test_no_categorical_or_no_numeric_column_gives_empty_fields():
    fields = FieldEncoder(categorical_features=None).fit([[1.0]]).encode([[2.0]])
    assert fields.codes.shape == (1, 0) and fields.numbers.shape == (1, 1)
    fields = FieldEncoder().fit([["a"]]).encode([["b"]])
    assert fields.codes.tolist() == [[0]] and fields.numbers.shape == (1, 0)


def test_sparse_matrices_equal_their_dense_form():
    X = np.array([[0.0, 3.0], [2.0, 0.0], [0.0, 4.0]])
    fitted = FieldEncoder(categorical_features=[0]).fit(sparse.csr_array(X))
    dense = clone(fitted).fit(X)
    np.testing.assert_array_equal(
        fitted.transform(sparse.csr_array(X)), dense.transform(X)
    )


def test_ids_never_pass_through_a_float():
    ids = pd.DataFrame({"id": [BIG, BIG + 1, BIG + 2, 2**62 + 1, 2**62]})
    fitted = FieldEncoder(categorical_features=["id"]).fit(ids)
    assert fitted.encode(ids).codes.ravel().tolist() == [1, 2, 3, 5, 4]
    unsigned = ids.astype("uint64")
    np.testing.assert_array_equal(
        fitted.encode(unsigned).codes, fitted.encode(ids).codes
    )
    huge = pd.DataFrame({"id": np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64)})
    assert fitted.encode(huge).codes.ravel().tolist() == [0, 0]
    assert clone(fitted).fit(huge).encode(huge).codes.ravel().tolist() == [2, 1]


# Dtype drift between fit and predict


@pytest.mark.parametrize(
    "drift", ["str", object, "float64", "Int64", "category", "int8", "uint64"]
)
def test_integer_ids_are_matched_by_value(drift):
    ids = pd.DataFrame({"id": [12, 7, 9]})
    fitted = FieldEncoder(categorical_features=["id"]).fit(ids)
    assert fitted.encode(ids.astype(drift)).codes.ravel().tolist() == [3, 1, 2]


@pytest.mark.parametrize("drift", ["int64", "float64", object, "category"])
def test_text_ids_are_matched_when_they_come_as_numbers(drift):
    ids = pd.DataFrame({"id": ["12", "7", "9"]})
    fitted = FieldEncoder().fit(ids)
    drifted = ids.astype("int64").astype(drift)
    assert fitted.encode(drifted).codes.ravel().tolist() == [1, 2, 3]


def test_missing_ids_do_not_make_the_others_unseen():
    fitted = FieldEncoder(categorical_features=["id"]).fit(pd.DataFrame({"id": [3, 4]}))
    codes = fitted.encode(pd.DataFrame({"id": [4, None, 3]})).codes
    assert codes.ravel().tolist() == [2, 0, 1]


def test_the_order_of_a_category_dtype_does_not_matter():
    X = pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["b", "unused", "a"])})
    fitted = FieldEncoder().fit(X)
    assert fitted.vocabulary_["c"].tolist() == ["a", "b"]
    other = pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["a", "b"])})
    for drifted in (other, other.astype("str"), other.astype(object)):
        assert fitted.encode(drifted).codes.ravel().tolist() == [2, 1]


def test_numbers_that_come_as_text_are_read():
    fitted = FieldEncoder().fit(pd.DataFrame({"n": [1.0, 3.0]}))
    assert fitted.encode(pd.DataFrame({"n": ["1", "3"]})).numbers.ravel().tolist() == [
        -1,
        1,
    ]
    with pytest.raises(ValueError, match=r"'n' is read as numbers, but holds 'many'"):
        fitted.encode(pd.DataFrame({"n": ["1", "many"]}))


def test_numbers_may_come_as_categories():
    X = pd.DataFrame({"n": [1.0, 3.0, np.nan]})
    fitted = FieldEncoder().fit(X)
    np.testing.assert_array_equal(
        fitted.encode(X.astype("category")).numbers, fitted.encode(X).numbers
    )


def test_fractions_and_infinities_may_be_categories():
    X = pd.DataFrame({"c": [0.5, np.inf, 2.0, -0.0, np.nan]})
    fitted = FieldEncoder(categorical_features=["c"]).fit(X)
    assert fitted.encode(X).codes.ravel().tolist() == [2, 4, 3, 1, 0]
    integers = pd.DataFrame({"c": [2, 0, 7]})
    assert fitted.encode(integers).codes.ravel().tolist() == [3, 1, 0]
    whole = FieldEncoder(categorical_features=["c"]).fit(integers)
    assert whole.encode(X).codes.ravel().tolist() == [0, 0, 2, 1, 0]


def test_other_arrow_types_are_read():
    X = pa.table(
        {
            "decimal": pa.array([Decimal(1), None, Decimal(3)]),
            "view": pa.array(["a", None, "b"], pa.string_view()),
            "bytes": pa.array([b"a", None, b"b"]),
            "nothing": pa.array([None, 2.0, None]),
        }
    )
    fields = FieldEncoder(scaling="none").fit(X).encode(X)
    assert fields.codes.tolist() == [[1, 1], [0, 0], [2, 2]]
    np.testing.assert_array_equal(fields.numbers[:, 0], [1, np.nan, 3])


# Frequency limits, missing values, weights


def test_rare_values_share_code_zero():
    X = pd.DataFrame({"c": list("aaabbc"), "d": list("xxyyzz")})
    fitted = FieldEncoder(min_frequency=2).fit(X)
    assert fitted.vocabulary_["c"].tolist() == ["a", "b"]
    assert fitted.encode(X).codes.T[0].tolist() == [1, 1, 1, 2, 2, 0]
    by_column = FieldEncoder(min_frequency={"d": 3}, max_categories={"c": 2}).fit(X)
    assert by_column.cardinalities_ == (2, 1)
    assert FieldEncoder(min_frequency=0.4).fit(X).cardinalities_ == (2, 1)


def test_equally_frequent_values_are_kept_in_their_order():
    X = pd.DataFrame({"c": ["z", "y", "x", "x"]})
    fitted = FieldEncoder(max_categories=3).fit(X)
    assert fitted.vocabulary_["c"].tolist() == ["x", "y"]


def test_missing_can_have_a_code_of_its_own():
    X = pd.DataFrame({"c": ["b", None, "a"], "i": pd.array([5, None, 4], "Int64")})
    params = {"categorical_features": ["c", "i"], "missing_category": True}
    fitted = FieldEncoder(**params).fit(X)
    assert fitted.encode(X).codes.tolist() == [[2, 2], [3, 3], [1, 1]]
    assert fitted.cardinalities_ == (4, 4)
    assert fitted.vocabulary_["c"].tolist() == ["a", "b", None]
    new = pd.DataFrame({"c": ["new"], "i": [6]})
    assert fitted.encode(new).codes.tolist() == [[0, 0]]


def test_integer_weights_equal_repeated_rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"c": rng.choice(list("abcdef"), 40), "n": rng.lognormal(sigma=3, size=40)}
    )
    weight = rng.integers(0, 4, 40)
    params = {"min_frequency": 8, "max_categories": 5}
    weighted = FieldEncoder(**params).fit(X, sample_weight=weight)
    repeated = FieldEncoder(**params).fit(X.loc[X.index.repeat(weight)])
    assert weighted.vocabulary_["c"].tolist() == repeated.vocabulary_["c"].tolist()
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


def test_rows_of_weight_zero_do_not_count():
    X = pd.DataFrame({"c": ["a", "b"], "n": [1.0, 5.0], "k": [1.0, 2.0]})
    fitted = FieldEncoder().fit(X, sample_weight=[1.0, 0.0])
    assert fitted.vocabulary_["c"].tolist() == ["a"]
    assert fitted.mean_.tolist() == [1, 1] and fitted.scale_.tolist() == [1, 1]


def test_constant_columns_have_scale_one():
    for constant in (0.0, 0.1, 1e9 + 0.1):
        X = np.full((1000, 1), constant)
        fitted = FieldEncoder().fit(X)
        assert fitted.scale_.tolist() == [1.0]
        np.testing.assert_allclose(fitted.transform(X), 0, atol=1e-6)


# Output


def test_a_frame_says_which_columns_are_codes_and_how_many():
    out = encoder().fit_transform(table().set_index(pd.Index([3, 1, 4, 1])))
    assert out.index.tolist() == [3, 1, 4, 1]
    dtype = out["user"].dtype
    assert dtype == pd.CategoricalDtype(pd.RangeIndex(4))
    assert dtype.categories.name == "code" and len(dtype.categories) == 4
    assert out["age"].dtype == np.float64


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_encoding_twice_is_encoding_once(library):
    once = encoder().set_output(transform=library).fit_transform(table())
    again = FieldEncoder().fit(once)
    assert again.cardinalities_ == (3, 4, 3)
    assert again.vocabulary_ == {}
    fields = again.encode(once, dtype=np.float64)
    expected = encoder().fit(table()).encode(table(), dtype=np.float64)
    np.testing.assert_array_equal(fields.codes, expected.codes)
    np.testing.assert_allclose(fields.numbers, expected.numbers, atol=1e-14)


def test_codes_keep_their_rows_when_few_of_them_are_there():
    once = encoder().fit_transform(table())
    again = FieldEncoder().fit(once.iloc[:1])
    assert again.cardinalities_ == (3, 4, 3)
    np.testing.assert_array_equal(
        again.encode(once).codes, encoder().fit(table()).encode(table()).codes
    )


def test_codes_of_another_encoder_are_refused():
    once = encoder().fit_transform(table())
    more = FieldEncoder().fit_transform(table().assign(city=list("abcd")))
    with pytest.raises(ValueError, match="'city' holds codes of 5 rows, but had 3"):
        FieldEncoder().fit(once).encode(more)


def test_codes_and_raw_values_are_not_mixed_up():
    X = table()
    fitted = encoder().fit(X)
    once = fitted.transform(X)
    with pytest.raises(ValueError, match="'city' holds codes, but held raw values"):
        fitted.encode(X.assign(city=once["city"]))
    with pytest.raises(ValueError, match="'age' is read as numbers, but holds codes"):
        fitted.encode(X.assign(age=once["city"]))
    again = FieldEncoder().fit(once)
    with pytest.raises(ValueError, match="'city' held codes, and now holds 'Oslo'"):
        again.encode(once.assign(city=X["city"]))
    plain = once.assign(city=[1, 9, 0, 1.5])
    assert again.encode(plain).codes[:, 0].tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="'city' held codes, and now holds 'Oslo'"):
        again.partial_fit(once.assign(city=X["city"]))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_codes_come_back_as_codes(library):
    once = encoder().set_output(transform=library).fit_transform(table())
    again = FieldEncoder().fit(once)
    back = again.inverse_transform(again.transform(once))
    if library == "polars":
        back, once = back.to_pandas(), once.to_pandas()
    pd.testing.assert_frame_equal(back, once)


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas])
def test_output_is_of_the_library_of_the_input(convert):
    X = convert(table().drop(columns="user"))
    out = FieldEncoder().fit_transform(X)
    assert type(out) is type(X)
    assert list(out.columns) == ["city", "clicked", "age", "price"]


def test_column_transformer_and_pipeline_pass_the_codes_on():
    columns = ColumnTransformer([("encode", FieldEncoder(), ["city", "age"])])
    columns.set_output(transform="pandas")
    out = columns.fit_transform(table())
    fitted = make_pipeline(columns, FieldEncoder()).fit(table())
    assert fitted[-1].cardinalities_ == (3,)
    assert list(out.columns) == ["encode__city", "encode__age"]


def test_inverse_transform_gives_the_values_back(frame):
    fitted = encoder().fit(frame)
    back = fitted.inverse_transform(fitted.transform(frame))
    expected = table()
    if isinstance(back, pl.DataFrame):
        back = back.to_pandas()
    assert list(back.columns) == list(expected.columns)
    assert [None if pd.isna(v) else v for v in back["city"]] == [
        "Oslo",
        "Rome",
        None,
        "Oslo",
    ]
    assert back["user"].tolist() == [BIG, BIG + 1, BIG, 7]
    assert back["clicked"].tolist() == expected["clicked"].tolist()
    np.testing.assert_allclose(back["age"], expected["age"])


# Columns that differ between fit and transform


def test_column_order_is_strict_unless_asked():
    X = table()
    turned = X[X.columns[::-1]]
    with pytest.raises(ValueError, match="same order"):
        FieldEncoder().fit(X).transform(turned)
    free = FieldEncoder(column_order="any").fit(X)
    np.testing.assert_array_equal(free.encode(turned).codes, free.encode(X).codes)
    np.testing.assert_array_equal(free.encode(turned).numbers, free.encode(X).numbers)


def test_extra_columns_are_an_error_or_ignored_by_choice():
    X, more = table(), table().assign(new=1)
    with pytest.raises(ValueError, match="unseen at fit time:\n- new"):
        FieldEncoder().fit(X).transform(more)
    with pytest.warns(UserWarning, match=r"ignored: \['new'\]"):
        out = FieldEncoder(extra_columns="warn").fit(X).transform(more)
    fitted = FieldEncoder(extra_columns="ignore").fit(X)
    pd.testing.assert_frame_equal(out, fitted.transform(more))
    pd.testing.assert_frame_equal(out, fitted.transform(X))


def test_names_are_only_checked_where_both_tables_have_them():
    X = pd.DataFrame([[1.0, "a"], [2.0, "b"]])
    fitted = FieldEncoder(extra_columns="ignore").fit(X)
    assert fitted.categorical_names_ == ("x1",)
    with pytest.warns(UserWarning, match="X has feature names, but FieldEncoder was"):
        fitted.transform(X.set_axis(["n", "c"], axis=1))


def test_a_missing_column_is_named():
    fitted = FieldEncoder(column_order="any", extra_columns="ignore").fit(table())
    with pytest.raises(ValueError, match="now missing:\n- city"):
        fitted.transform(table().drop(columns="city"))


# Bad input


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"n": [1.0, np.inf]}), r"Column 'n' holds inf .* in row 1"),
        (pd.DataFrame({"c": ["a", 1]}), "'c' mixes types .*'a' is str, 1 is int"),
        (
            pd.DataFrame({"c": ["a", {"b": 1}]}),
            r"'c' is categorical, but holds {'b': 1",
        ),
        (pd.DataFrame({"a": []}), r"0 sample\(s\)"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' is repeated"),
    ],
)
def test_bad_columns_are_named_with_an_example(X, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder().fit(X)


@pytest.mark.parametrize("n_buckets", [None, 9])
def test_columns_that_are_missing_in_all_rows_say_nothing_and_a_warning_says_so(
    n_buckets,
):
    seen = {"n": [1.0, 2.0], "c": ["a", "b"], "t": pd.to_datetime(["2024-05-01"] * 2)}
    seen = pd.DataFrame(seen | {"bag": [["a"], ["b", "c"]]})
    empty = seen.head(2).assign(n=np.nan, c=None, t=pd.NaT, bag=None)
    for name in seen:
        X = pd.DataFrame({"k": [1.0, 2.0], name: empty[name]})
        settings = {"categorical_features": ["c"]} if name == "c" else {}
        if name in ("c", "bag") and n_buckets:
            settings["n_buckets"] = {name: n_buckets}
        if name == "bag":
            settings["delimiters"] = {"bag": "|"}
        with pytest.warns(UserWarning, match=f"'{name}' is missing in all rows"):
            fitted = FieldEncoder(**settings).fit(X)
        for values in (empty, seen):
            if name == "bag":
                values = values.assign(bag=["a", "b|c"] if values is seen else None)
            fields = fitted.encode(X.assign(**{name: values[name]}))
            assert np.isnan(fields.numbers[:, 1:]).all()
            assert n_buckets or not fields.codes.any()
        assert fitted.report_.rows[-1][-1] == 1 or name in ("c", "bag")


def test_a_column_whose_first_batch_was_missing_learns_its_scale_later():
    first = pd.DataFrame({"k": [1.0, 2.0], "n": [np.nan, np.nan]})
    with pytest.warns(UserWarning, match="'n' is missing"):
        grown = FieldEncoder().partial_fit(first)
    grown.partial_fit(first.assign(n=[3.0, 5.0]))
    assert grown.mean_.tolist() == [1.5, 4] and grown.scale_.tolist() == [0.5, 1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"categorical_features": ["citi"]}, "'citi'. Did you mean 'city'"),
        ({"categorical_features": [9]}, "position 9, but X has 5 columns"),
        ({"categorical_features": [True]}, "mask of 1 columns, but X has 5"),
        ({"target_statistics": "city"}, "target_statistics"),
        ({"shared_vocabularies": ["city"]}, r"is no list of columns; did you mean \["),
        ({"categorical_features": "city"}, "categorical_features"),
        ({"categorical_features": None}, "'city' is read as numbers, but holds 'Oslo'"),
        ({"min_frequency": {"citi": 2}}, "min_frequency .*'citi'. Did you mean"),
        ({"min_frequency": 0}, "min_frequency"),
        ({"max_categories": 0}, "max_categories"),
        ({"column_order": "free"}, "column_order"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder(**params).fit(table())


@pytest.mark.parametrize(
    ("weight", "message"),
    [([1, -1, 1, 1], "-1"), ([0] * 4, "zero"), ([1, 1], "shape")],
)
def test_bad_weights_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder().fit(table(), sample_weight=weight)


def test_a_lazy_frame_is_learned_from_as_a_log_and_collected_to_be_encoded():
    lazy = pl.LazyFrame({"a": ["x", "y"]})
    encoder = FieldEncoder().fit(lazy)
    assert encoder.cardinalities_ == (3,)
    with pytest.raises(TypeError, match="collect"):
        encoder.encode(lazy)


@pytest.mark.parametrize("dtype", ["boolean", object])
def test_a_missing_boolean_has_the_code_of_what_is_missing(dtype):
    X = pd.DataFrame({"e": pd.array([True, None, False] * 4, dtype=dtype)})
    encoder = FieldEncoder().fit(X)
    assert encoder.encode(X).codes[:3, 0].tolist() == [2, 0, 1]
