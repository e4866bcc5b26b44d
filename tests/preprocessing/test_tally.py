"""Counts of chunks, added up, are the counts of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._lookup import lookup_in, order
from dephn_sk.preprocessing._tally import Tally
from dephn_sk.preprocessing._value_counts import Occurrences, ValueCounts


def texts(n, n_values, seed):
    numbers = np.random.default_rng(seed).integers(0, n_values, n)
    values = np.char.add("v", numbers.astype(str)).astype(object)
    values[numbers % 7 == 3] = None
    return values


def column_of(kind, n, n_values, seed):
    if kind == "text":
        return texts(n, n_values, seed)
    if kind == "missing":
        return np.full(n, None, dtype=object)
    numbers = np.random.default_rng(seed).integers(0, n_values, n)
    return numbers if kind == "whole" else numbers / 8


def counts_of(cls, values, fold):
    rates = [None, np.arange(len(values)) % 2.0]
    return cls.of(Column("a", values), rates, fold, 3)


@pytest.mark.parametrize("kind", ["text", "whole", "number", "missing"])
@pytest.mark.parametrize("cls", [ValueCounts, Occurrences])
@pytest.mark.parametrize("n_values", [3, 30_000])
def test_chunks_add_up_to_the_counts_of_all_rows(kind, cls, n_values):
    sizes = [1, 5_000, 1, 20_000, 60_000, 1_000]
    chunks = [column_of(kind, n, n_values, i) for i, n in enumerate(sizes)]
    chunks.insert(3, column_of("missing", 10, 0, 0))
    folds = [np.arange(len(one)) % 4 - 1 for one in chunks]
    tally = Tally()
    for chunk, fold in zip(chunks, folds, strict=True):
        own = counts_of(cls, chunk, fold)
        before = own.values.copy(), own.sums.copy()
        tally.add(own)
        assert_array_equal(own.values, before[0])  # the caller's are left alone
        assert_array_equal(own.sums, before[1])
    chunks = [
        one for one in chunks if kind in ("text", "missing") or one[0] is not None
    ]
    whole, all_folds = np.concatenate(chunks), np.concatenate(folds)
    if kind not in ("text", "missing"):
        whole = np.insert(whole.astype(object), 5_002, [None] * 10)
    rates = [None, np.concatenate([np.arange(len(one)) % 2.0 for one in folds])]
    expected = ValueCounts.of(Column("a", whole), rates, all_folds, 3)
    assert type(tally.counts) is ValueCounts
    assert_array_equal(tally.counts.values, expected.values)
    assert_array_equal(tally.counts.sums, expected.sums)
    assert tally.n_values == len(expected)
    assert tally.nbytes >= expected.sums.nbytes


def test_occurrences_are_in_the_order_of_appearance():
    found = Occurrences.of(Column("a", np.array(["b", "a", None, "b"], object)), [None])
    assert found.values.tolist() == ["b", "a"]
    assert found.sums.tolist() == [[2, 1, 1]]
    assert found.in_order().values.tolist() == ["a", "b"]
    assert found.in_order().sums.tolist() == [[1, 2, 1]]


def test_texts_are_in_the_order_of_their_letters():
    values = np.array(["é", "b", "a", "Z", "\U0001f600", "ﬁ", ""], dtype=object)
    assert values[order(values, "a")].tolist() == sorted(values)


def test_a_lookup_is_that_of_all_who_hold_the_array():
    values = np.array(["a", "b"], dtype=object)
    counts = [ValueCounts("a", values, np.zeros((n, 3))) for n in (1, 2)]
    assert counts[0].lookup is counts[1].lookup
    assert counts[0].lookup is not lookup_in(values.copy())


def test_a_column_is_looked_up_once_for_both():
    column = Column("a", np.array(["b", "x", "a"] * 100, dtype=object))
    values = np.array(["a", "b"], dtype=object)
    one, two = (ValueCounts("a", values, np.zeros((n, 3))) for n in (1, 2))
    found = one.places(column)[0]
    assert found.tolist() == [1, -1, 0, 2]
    kept = column.found_by(two.lookup)
    assert two.places(column)[0].tolist() == found.tolist()
    assert column.found_by(two.lookup) is kept
    other = ValueCounts("a", np.array(["x"], dtype=object), np.zeros((1, 2)))
    assert other.places(column)[0].tolist() == [-1, 0, -1, 1]


def test_what_was_counted_is_known_where_it_is():
    values = texts(3_000, 500, 0)
    weight = (np.arange(3_000) % 3 > 0) * 1.0  # some values are of no row that counts
    weight[values == "v1"] = 0
    column, other = Column("a", values), Column("a", values)
    counts = ValueCounts.of(column, [weight])
    assert "v1" not in counts.values
    kept = column.found_by(counts.lookup)
    assert_array_equal(kept, counts.lookup.find(column.distinct.values))
    assert_array_equal(counts.places(column)[0], counts.places(other)[0])
    column.forget()
    assert column.found_by(counts.lookup) is not kept


def test_new_numbers_wait_until_they_are_many(monkeypatch):
    from dephn_sk.preprocessing import _tally

    monkeypatch.setattr(_tally, "_LEAST_NEW", 1_000)
    tally, merges = Tally(), []
    merged = ValueCounts.merged
    monkeypatch.setattr(
        ValueCounts, "merged", lambda *a: (merges.append(len(a[0])), merged(*a))[1]
    )
    for i in range(100):
        tally.add(Occurrences.of(Column("a", np.arange(10 * i, 10 * i + 20)), [None]))
    assert len(tally.counts) == 1_010
    assert sum(n > 500 for n in merges) < 60  # and not with each chunk


def test_room_is_no_memory_of_values():
    tally = Tally()
    tally.add(Occurrences.of(Column("a", texts(1_000, 900, 0)), [None]))
    before = tally.nbytes
    tally.add(Occurrences.of(Column("a", np.array(["new"], object)), [None]))
    assert tally.nbytes - before < 200


@pytest.mark.parametrize("n_texts", [0, 300])
def test_what_spells_the_same_is_found_where_it_does_not_count(n_texts):
    numbers = np.arange(600, dtype=object)
    numbers[:n_texts] = [f"{i}.0" for i in range(300, 300 + n_texts)]
    column, other = Column("a", numbers), Column("a", numbers)
    counts = ValueCounts.of(column, [np.arange(600) >= n_texts])
    assert_array_equal(counts.places(column)[0], counts.places(other)[0])
