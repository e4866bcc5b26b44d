"""Multi-valued fields: lists in any form, through frames and pipelines."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from dephn_sk.preprocessing import FieldEncoder

LISTS = [["b", "a"], [], None, ["c", "b", "b"]]
MEMBERS, OFFSETS = [2, 1, 3, 2, 2], [0, 2, 2, 2, 5]

FORMS = {
    "lists": pd.DataFrame({"bag": LISTS}),
    "arrays": pd.DataFrame(
        {"bag": [None if one is None else np.array(one, dtype=object) for one in LISTS]}
    ),
    "tuples and lists": pd.DataFrame({"bag": [LISTS[0], (), None, tuple(LISTS[3])]}),
    "pandas arrow": pd.DataFrame(
        {"bag": pd.array(LISTS, dtype=pd.ArrowDtype(pa.list_(pa.string())))}
    ),
    "polars": pl.DataFrame({"bag": LISTS}),
    "polars categories": pl.DataFrame({"bag": LISTS}).cast(pl.List(pl.Categorical)),
    "pyarrow": pa.table({"bag": LISTS}),
    "pyarrow large": pa.table({"bag": pa.array(LISTS, pa.large_list(pa.string()))}),
    "polars arrays": pl.DataFrame({"bag": [["b", "a"], None]}).cast(
        pl.Array(pl.String, 2)
    ),
    "pyarrow chunks": pa.concat_tables(
        [pa.table({"bag": LISTS[:1]}), pa.table({"bag": LISTS[1:]})]
    ),
    "numpy": np.fromiter(LISTS, dtype=object).reshape(-1, 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_lists_gives_the_same_bag(form):
    fitted = FieldEncoder().fit(FORMS[form])
    fields = fitted.encode(FORMS[form])
    (bag,) = fields.bags
    if form == "polars arrays":  # all of one length
        assert bag.members.tolist() == [2, 1] and bag.offsets.tolist() == [0, 2, 2]
        return
    assert bag.members.tolist() == MEMBERS and bag.offsets.tolist() == OFFSETS
    assert bag.weights is None and fields.codes.shape == (4, 0)
    assert fitted.bag_cardinalities_ == (4,) and fitted.bag_modes_ == ("mean",)
    (vocabulary,) = fitted.vocabulary_.values()
    assert vocabulary.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.DataFrame, pa.table])
def test_delimited_text_is_split_and_blanks_are_dropped(convert):
    X = convert({"tags": ["b | a", "", None, "c|b||b"], "c": ["x", "y", "z", "x"]})
    fitted = FieldEncoder(delimiters={"tags": "|"}).fit(X)
    (bag,) = fitted.encode(X).bags
    assert bag.members.tolist() == MEMBERS and bag.offsets.tolist() == OFFSETS


def test_unseen_and_missing_members_have_code_zero():
    fitted = FieldEncoder().fit(FORMS["lists"])
    (bag,) = fitted.encode(pd.DataFrame({"bag": [["a", "new", None], None]})).bags
    assert bag.members.tolist() == [1, 0, 0] and bag.offsets.tolist() == [0, 3, 3]
    (bag,) = fitted.encode(pd.DataFrame({"bag": [None, None]})).bags
    assert bag.offsets.tolist() == [0, 0, 0]
    (bag,) = fitted.encode(pd.DataFrame({"bag": [np.nan, np.nan]})).bags
    assert len(bag) == 2 and len(bag.members) == 0


def test_lists_of_integers_never_pass_a_float():
    big = 2**53
    X = pd.DataFrame({"bag": [[big, big + 1], np.array([big + 1]), [big]]})
    (bag,) = FieldEncoder().fit(X).encode(X).bags
    assert bag.members.tolist() == [1, 2, 2, 1]


def test_frequency_limits_and_hashing_hold_for_members():
    fitted = FieldEncoder(min_frequency=2).fit(FORMS["lists"])
    assert fitted.vocabulary_["bag"].tolist() == ["b"]
    hashed = FieldEncoder(n_buckets=7, n_hashes=2).fit(FORMS["lists"])
    (bag,) = hashed.encode(FORMS["lists"]).bags
    assert bag.offsets.tolist() == [0, 4, 4, 4, 10]
    assert bag.members.min() >= 1 and bag.members.max() <= 7
    one = FieldEncoder(n_buckets=7).fit(FORMS["lists"]).encode(FORMS["lists"]).bags[0]
    assert bag.members[::2].tolist() == one.members.tolist()


def test_row_weights_count_for_members():
    X = pd.DataFrame({"bag": LISTS, "tags": ["b|a", "", None, "c|b|b"]})
    for weight in ([2, 1, 1, 0], [1, 0, 0, 1]):
        params = {"min_frequency": 2, "delimiters": {"tags": "|"}}
        weighted = FieldEncoder(**params).fit(X, sample_weight=weight)
        repeated = FieldEncoder(**params).fit(X.loc[X.index.repeat(weight)])
        for name in ("bag", "tags"):
            assert (
                weighted.vocabulary_[name].tolist()
                == repeated.vocabulary_[name].tolist()
            )


def test_members_may_have_weights():
    weights = [[0.5, 2.0], [], None, [1.0, 3.0, 4.0]]
    X = pd.DataFrame({"bag": LISTS, "w": weights})
    fitted = FieldEncoder(bag_weights={"bag": "w"}).fit(X)
    assert fitted.bag_names_ == ("bag",) and fitted.numeric_names_ == ()
    (bag,) = fitted.encode(X).bags
    assert bag.weights.tolist() == [0.5, 2, 1, 3, 4]
    again = FieldEncoder().fit(fitted.transform(X))
    assert again.encode(fitted.transform(X)).bags[0].weights.tolist() == [
        0.5,
        2,
        1,
        3,
        4,
    ]
    short = X.assign(w=[[0.5], [], [], [1.0, 3.0, 4.0]])
    with pytest.raises(ValueError, match=r"'bag' has 2 members in row 0.*'w' have 1"):
        fitted.encode(short)
    broken = X.assign(w=[[0.5, np.nan], [], [], [1.0, 3.0, 4.0]])
    with pytest.raises(ValueError, match="'w' holds weights that are not finite"):
        fitted.encode(broken)


# Through frames and pipelines


def encoded():
    X = pd.DataFrame({"bag": LISTS, "c": list("xyzx"), "n": [1.0, 2.0, 3.0, 4.0]})
    fitted = FieldEncoder(bag_mode={"bag": "max"}).fit(X)
    return X, fitted, fitted.transform(X)


def rows_of(bag):
    return [one.tolist() for one in np.split(bag.members, bag.offsets[1:-1])]


def test_bags_with_and_without_weights_are_joined():
    X = pd.DataFrame({"bag": [["a"], ["a", "b"]], "w": [[2.0], [3.0, 4.0]]})
    weighted = FieldEncoder(bag_weights={"bag": "w"}).fit_transform(X)
    plain = FieldEncoder().fit_transform(X[["bag"]])
    (bag,) = FieldEncoder().fit(plain).encode(pd.concat([weighted, plain])).bags
    assert bag.weights.tolist() == [2, 3, 4, 1, 1, 1]


def test_the_dtype_says_how_many_codes_there_are():
    _, _, out = encoded()
    assert str(out["bag"].dtype) == "bag[4, max]"
    assert out["bag"].dtype.cardinality == 4
    assert list(out.columns) == ["c", "n", "bag"]


CHANGES = {
    "nothing": (lambda out: out, [0, 1, 2, 3]),
    "rows": (lambda out: out.iloc[[3, 0]], [3, 0]),
    "one row": (lambda out: out.iloc[1:2], [1]),
    "mask": (lambda out: out[out["n"] > 0], [2, 3]),
    "reset": (lambda out: out.sort_values("n", ascending=False).reset_index(), None),
    "pickle": (lambda out: pickle.loads(pickle.dumps(out)), [0, 1, 2, 3]),
    "concat": (lambda out: pd.concat([out[2:], out[:2]]), [2, 3, 0, 1]),
    "copy": (lambda out: out.copy(), [0, 1, 2, 3]),
    "split": (lambda out: train_test_split(out, shuffle=False)[0], [0, 1, 2]),
    "sample": (lambda out: out.sample(frac=1, random_state=0), [2, 3, 1, 0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_bags_survive_what_happens_to_frames(change):
    _, _, out = encoded()
    changed, rows = CHANGES[change]
    changed = changed(out)[list(out.columns)]
    rows = [3, 2, 1, 0] if rows is None else rows
    again = FieldEncoder().fit(out)
    assert again.bag_cardinalities_ == (4,) and again.bag_modes_ == ("max",)
    (bag,) = again.encode(changed).bags
    assert rows_of(bag) == [[[2, 1], [], [], [3, 2, 2]][row] for row in rows]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_bags_pass_through_a_pipeline_and_encoding_twice_is_once(library):
    X, _, _ = encoded()
    X = X if library == "pandas" else pl.from_pandas(X)
    encode = FieldEncoder(bag_mode="sum").set_output(transform=library)
    pipeline = make_pipeline(encode, FieldEncoder()).fit(X)
    last = pipeline[-1]
    assert last.bag_modes_ == ("sum",) and last.bag_cardinalities_ == (4,)
    (bag,) = last.encode(pipeline[0].transform(X)).bags
    assert bag.members.tolist() == MEMBERS and bag.offsets.tolist() == OFFSETS


def test_bags_pass_through_a_column_transformer():
    X, _, _ = encoded()
    columns = ColumnTransformer([("encode", FieldEncoder(), ["bag", "c"])])
    out = columns.set_output(transform="pandas").fit_transform(X)
    assert FieldEncoder().fit(out).bag_names_ == ("encode__bag",)


def test_a_bag_column_behaves_as_a_pandas_array():
    _, _, out = encoded()
    bags = out["bag"].array
    assert len(bags) == 4 and bags.nbytes > 0 and not bags.isna().any()
    assert bags[0].tolist() == [2, 1] and bags[-1].tolist() == [3, 2, 2]
    assert out["bag"].tolist()[1].tolist() == []
    assert (bags == bags.copy()).all()
    filled = out["bag"].reindex([3, 99])
    assert [one.tolist() for one in filled] == [[3, 2, 2], []]
    assert bags.astype(bags.dtype) is not bags and (bags == bags[[0, 1, 2, 3]]).all()
    made = pd.Series([[1], [0, 2]]).astype(out["bag"].dtype)
    assert made.dtype == out["bag"].dtype and made[1].tolist() == [0, 2]
    assert "[2 1]" in repr(out)


def test_numpy_output_refuses_bags_and_says_what_to_do():
    with pytest.raises(ValueError, match=r"'x0' is multi-valued.*set_output"):
        FieldEncoder().fit_transform(FORMS["numpy"])
    encode = FieldEncoder().set_output(transform="pandas")
    out = encode.fit_transform(FORMS["numpy"])
    assert rows_of(FieldEncoder().fit(out).encode(out).bags[0])[0] == [2, 1]


def test_polars_refuses_weights_of_members():
    X = pl.DataFrame({"bag": [["a"]], "w": [[1.0]]})
    with pytest.raises(ValueError, match="'bag' has weights"):
        FieldEncoder(bag_weights={"bag": "w"}).fit_transform(X)


# Shared tables


def shared_table():
    return pd.DataFrame(
        {"user": [1, 2, 1], "author": [7, 1, 2], "seen": [[7, 2], [9], []], "c": "xyz"}
    ), {
        "categorical_features": ["user", "author", "c"],
        "shared_vocabularies": [["user", "author", "seen"]],
    }


def test_shared_columns_have_one_vocabulary_and_one_table():
    X, params = shared_table()
    fitted = FieldEncoder(**params).fit(X)
    assert fitted.cardinalities_ == (5, 5, 2) and fitted.bag_cardinalities_ == (5,)
    assert fitted.tables_ == (0, 0, 1, 0)
    assert fitted.vocabulary_["user"].tolist() == [1, 2, 7, 9]
    fields = fitted.encode(X)
    assert fields.codes[:, :2].tolist() == [[1, 3], [2, 1], [1, 2]]
    assert fields.bags[0].members.tolist() == [3, 2, 4]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_sharing_survives_the_output(library):
    X, params = shared_table()
    X["c"] = list("xyz")
    X = X if library == "pandas" else pl.from_pandas(X)
    out = FieldEncoder(**params).set_output(transform=library).fit_transform(X)
    assert FieldEncoder().fit(out).tables_ == (0, 0, 1, 0)


def test_shared_columns_may_be_hashed_and_may_grow():
    X, params = shared_table()
    hashed = FieldEncoder(**params, n_buckets={"user": 9}).fit(X)
    assert hashed.cardinalities_ == (10, 10, 2) and hashed.tables_ == (0, 0, 1, 0)
    grown = FieldEncoder(**params).partial_fit(X)
    grown.partial_fit(X.assign(author=[50, 51, 1]))
    assert grown.vocabulary_["seen"].tolist() == [1, 2, 7, 9, 50, 51]
    assert grown.bag_cardinalities_ == (7,)


def test_a_shared_table_has_the_settings_of_its_first_column():
    X = pd.DataFrame({"user": ["a", "b"], "author": ["b", "c"]})
    params = {"shared_vocabularies": [["user", "author"]], "n_hashes": 2}
    hashed = FieldEncoder(**params, n_buckets={"user": 9}).fit(X)
    assert hashed.bag_names_ == ("user", "author") and hashed.tables_ == (0, 0)
    two = hashed.encode(X).bags
    assert two[0].members[2:].tolist() == two[1].members[:2].tolist()


def test_codes_of_two_encoders_are_not_mixed_up_by_a_tables_name():
    X = pd.DataFrame({"a": ["x", "y"], "b": ["y", "z"], "c": ["x", "x"]})
    one = FieldEncoder(shared_vocabularies=[["a", "b"]]).fit_transform(X[["a", "b"]])
    other = FieldEncoder(shared_vocabularies=[["a", "c"]]).fit_transform(X[["a", "c"]])
    both = pd.concat([one, other[["c"]]], axis=1)
    with pytest.raises(ValueError, match=r"'c' holds codes of 3 rows .* has 4"):
        FieldEncoder().fit(both)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["a", "b"], ["b", "a"]], "shared_vocabularies names 'b' twice"),
        ([["a", "x"]], "unknown column 'x'"),
    ],
)
def test_bad_groups_are_named(groups, message):
    X = pd.DataFrame({"a": ["x"], "b": ["y"]})
    with pytest.raises(ValueError, match=message):
        FieldEncoder(shared_vocabularies=groups).fit(X)
    with pytest.raises(ValueError, match="'a', which holds codes already"):
        FieldEncoder(shared_vocabularies=[["a"]]).fit(FieldEncoder().fit_transform(X))


@pytest.mark.parametrize(
    ("X", "params", "message"),
    [
        ({"bag": [[1], 5]}, {}, "'bag' is multi-valued, but holds 5, which is a int"),
        ({"bag": [[1], "a,b"]}, {}, "holds 'a,b', which is a str.*delimiters"),
        ({"bag": [["a"], [{}]]}, {}, "'bag' is categorical, but holds {}"),
        (
            {"bag": [[], []]},
            {"delimiters": {"bags": ","}},
            "'bags'. Did you mean 'bag'",
        ),
        ({"bag": [1, 2]}, {"delimiters": {"bag": ","}}, "'bag' is to be split at ','"),
        ({"bag": ["a"]}, {"delimiters": {"bag": 3}}, r"delimiters\['bag'\]"),
        (
            {"c": ["a"], "w": [[1]]},
            {"bag_weights": {"c": "w"}},
            "'c', which is not mul",
        ),
        (
            {"c": ["a"], "n": [1.0]},
            {"shared_vocabularies": [["c", "n"]]},
            "shared_vocabularies names the column 'n', which is no categorical",
        ),
        ({"bag": [[1]]}, {"bag_mode": {"bag": "min"}}, r"bag_mode\['bag'\]"),
    ],
)
def test_bad_bags_are_named(X, params, message):
    with pytest.raises(ValueError, match=message):
        FieldEncoder(**params).fit(pd.DataFrame(X))


def test_lists_where_there_was_one_value_are_refused():
    fitted = FieldEncoder().fit(pd.DataFrame({"c": ["a"], "n": [1.0]}))
    with pytest.raises(ValueError, match=r"'c' is categorical, but holds \['a'\]"):
        fitted.encode(pd.DataFrame({"c": [["a"]], "n": [1.0]}))
    with pytest.raises(ValueError, match="'n' is read as numbers, but holds"):
        fitted.encode(pd.DataFrame({"c": ["a"], "n": [[1.0, 2.0]]}))
    with pytest.raises(ValueError, match="'c' holds lists, but one value"):
        fitted.encode(pl.DataFrame({"c": [["a"]], "n": [1.0]}))
    with pytest.raises(ValueError, match="'n' is read as numbers, but holds lists"):
        fitted.encode(pl.DataFrame({"c": ["a"], "n": [[1.0, 2.0]]}))
