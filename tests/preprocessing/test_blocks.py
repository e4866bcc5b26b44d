"""Rows that are encoded block by block are those that are encoded at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.preprocessing._lookup import Lookup
from dephn_sk.training import _fitted

pd = pytest.importorskip("pandas")


def frame(n_rows):
    """A column of each kind, missing values and few of what was never seen."""
    rng = np.random.default_rng(0)
    texts = pd.array([f"v{i}" for i in rng.integers(0, 40, n_rows)], dtype="string")
    days = np.datetime64("2024-01-01") + rng.integers(0, 400, n_rows)
    X = pd.DataFrame(
        {
            "text": texts,
            "category": pd.Categorical(texts),
            "whole": rng.integers(-3, 30, n_rows),
            "real": rng.normal(size=n_rows),
            "flag": rng.random(n_rows) < 0.2,
            "nullable": pd.array(rng.integers(0, 9, n_rows), dtype="Int64"),
            "day": days.astype("datetime64[us]"),
            "zoned": pd.Series(days).dt.tz_localize("Asia/Tokyo"),
            "took": rng.integers(0, 400, n_rows).astype("timedelta64[s]"),
        }
    )
    kept = rng.random(X.shape) < 0.95
    return X.where(kept | (X.columns == "flag"))  # else it would hold objects


IN_OBJECTS = {
    "fractions of later rows": [1, 2, 3, 4, 5, 6, 7, 8.5],
    "texts": ["a", "b", None, "c", "a", "b", "b", "d"],
    "dates of text": [f"2024-01-0{i}" for i in range(1, 9)],
    "lists": [["a"], ["b", "a"], [], ["c"], ["d"], ["a"], ["b"], ["b", "b"]],
}


def check(encoder, X, n_rows):
    """The blocks, whose rows are those of the whole table."""
    whole = encoder.encode(X)
    blocks = list(encoder.encode_blocks(X, n_rows))
    assert [len(one) for one in blocks[:-1]] == [n_rows] * (len(blocks) - 1)
    starts = np.cumsum([0, *map(len, blocks)])
    assert starts[-1] == len(whole)
    for start, block in zip(starts, blocks, strict=False):
        same = whole.take(np.arange(start, start + len(block)))
        np.testing.assert_array_equal(block.codes, same.codes)
        np.testing.assert_array_equal(block.numbers, same.numbers)
        for bag, other in zip(block.bags, same.bags, strict=True):
            np.testing.assert_array_equal(bag.members, other.members)
            np.testing.assert_array_equal(bag.offsets, other.offsets)
    return blocks


@pytest.mark.parametrize("n_rows", [1, 7, 100, 299, 300, 1_000])
def test_blocks_are_the_rows_of_all(n_rows):
    X = frame(300)
    if n_rows < 40:  # of the categories
        X = X.drop(columns="category")
    encoder = FieldEncoder(target_statistics=["text"], min_frequency=2)
    encoder.fit(X[:200], np.arange(200) % 2)
    assert len(check(encoder, X, n_rows)) == -(-300 // n_rows)


@pytest.mark.parametrize("library", ["polars", "pyarrow", "numpy", "sparse"])
def test_tables_of_all_libraries_are_cut(library):
    numbers = frame(100)[["whole", "real"]].fillna(0.5)
    if library in ("polars", "pyarrow"):
        X = pytest.importorskip(library)
        mixed = frame(100)[["text", "whole", "real", "flag", "day"]]
        X = X.from_pandas(mixed) if library == "polars" else X.Table.from_pandas(mixed)
    else:
        X = numbers.to_numpy()
        X = csc_matrix(X) if library == "sparse" else X
    assert len(check(FieldEncoder().fit(X), X, 30)) == 4


@pytest.mark.parametrize("kind", IN_OBJECTS)
def test_rows_that_cannot_be_read_alone_are_encoded_at_once(kind):
    values = pd.Series(IN_OBJECTS[kind], dtype=object)
    X = pd.DataFrame({"one": values, "other": np.arange(8)})
    assert len(check(FieldEncoder().fit(X), X, 3)) == 1


def test_texts_that_are_dates_are_encoded_at_once():
    """Whether their zone is that of `fit` is a matter of all of them."""
    X = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=8)})
    encoder = FieldEncoder().fit(X)
    texts = pd.array(IN_OBJECTS["dates of text"], dtype="string")
    assert len(check(encoder, pd.DataFrame({"day": texts}), 3)) == 1


def test_many_categories_are_not_read_in_each_block():
    X = pd.DataFrame({"id": pd.Categorical([f"v{i}" for i in range(40)] * 5)})
    encoder = FieldEncoder().fit(X)
    assert len(check(encoder, X, 39)) == 1
    assert len(check(encoder, X, 40)) == 5


def test_categories_are_looked_up_once(monkeypatch):
    X = pd.DataFrame({"id": pd.Categorical(["a", "b", "c", "d"] * 250)})
    encoder = FieldEncoder().fit(X)
    found, asked = Lookup.find, []
    monkeypatch.setattr(Lookup, "find", lambda *a: asked.append(a) or found(*a))
    assert len(check(encoder, X, 100)) == 10
    assert len(asked) == 2, asked  # at once, and by block


def test_a_column_that_makes_no_field_is_not_cut():
    X = frame(12)[["text", "real"]].assign(day=pd.date_range("2024", periods=12))
    encoder = FieldEncoder(target_statistics=["text"], time_column="day")
    encoder.fit(X, np.arange(12) % 2)
    lists = X.assign(day=pd.Series([[1]] * 12, dtype=object))
    assert len(check(encoder, lists, 5)) == 3


@pytest.mark.parametrize("n_rows", [0, -1, 2.5, None, "3"])
def test_blocks_hold_rows(n_rows):
    X = frame(12)
    encoder = FieldEncoder().fit(X)
    with pytest.raises((ValueError, TypeError), match="n_rows"):
        encoder.encode_blocks(X, n_rows)


def test_delimited_texts_are_cut():
    tags = pd.array(["a|b", "", None, "b", "c|a|a", "b|a", "d"] * 3, dtype="string")
    X = pd.DataFrame({"tags": tags})
    encoder = FieldEncoder(delimiters={"tags": "|"}).fit(X[:14])
    assert len(check(encoder, X, 4)) == 6


def test_a_block_that_knows_no_value_is_refused_if_all_rows_are():
    """A text "2.0", where "2" was learned, is another kind, unless "2" comes too."""
    X = pd.DataFrame({"id": pd.array(["1", "2", "3"] * 4, dtype="string")})
    encoder = FieldEncoder().fit(X)
    some = pd.DataFrame({"id": pd.array(["1"] * 4 + ["2.0"] * 8, dtype="string")})
    assert [len(one) for one in check(encoder, some, 4)] == [4, 8]
    check(encoder, some[::-1].reset_index(drop=True), 4)
    none = some[4:]
    with pytest.raises(ValueError, match="'id'") as whole:
        encoder.encode(none)
    with pytest.raises(ValueError, match="'id'") as by_block:
        list(encoder.encode_blocks(none, 4))
    assert str(whole.value) == str(by_block.value)


@pytest.mark.parametrize("own", [False, True])
def test_predictions_of_blocks_are_those_of_all_rows(monkeypatch, own):
    class Half(FieldEncoder):
        """What is overridden is what predicts."""

        def encode(self, X, dtype=np.float32):
            fields = super().encode(X, dtype)
            fields.numbers[:] /= 2
            return fields

    X, encoder = frame(9_000), Half() if own else None
    model = DEPHNMultiTaskClassifier(
        encoder=encoder, max_epochs=1, early_stopping=False, random_state=0
    ).fit(X[:500], np.arange(500) % 2)
    at_once = model._fitted.logits(model._fitted.encode(X))
    monkeypatch.setattr(_fitted, "ENCODED_ROWS", 4_096)
    np.testing.assert_array_equal(model._fitted.logits_of(X), at_once)
