"""Each kind of column comes out of a graph as it comes out of the encoder."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from _graphs import (
    N_ROWS,
    assert_encodes_alike,
    encoded_by_graph,
    hard_integers,
    hard_numbers,
    hard_text,
    pd,
)

from dephn_sk.preprocessing import FieldEncoder

SEEN = np.array(
    ["a", "bc", "", "😀", "rare", "2024-01-01", "1.0", "x" * 300], dtype=object
)
BIG = np.array([2**53 + 1, 2**60 + 3, -(2**63), 2**63 - 1, 7, 0])


def some(values, missing, rng):
    """Values as objects, a tenth of them missing if asked."""
    values = np.array(values, dtype=object)
    if missing:
        values[rng.random(len(values)) < 0.1] = None
    return values


def text(rng, missing):
    return some(rng.choice(SEEN, 200), missing, rng), hard_text(rng, SEEN)


def integers(rng, missing):
    known = pd.array(rng.choice(BIG, 200), dtype="Int64")
    rows = pd.array(hard_integers(rng, BIG), dtype="Int64")
    if missing:
        known[rng.random(200) < 0.1] = None
    return known, rows


def unsigned(rng, missing):
    known = np.array([2**64 - 1, 2**63, 5], dtype=np.uint64)
    seen = pd.array(rng.choice(known, 200), dtype="UInt64")
    rows = pd.array(hard_integers(rng, known, np.uint64), dtype="UInt64")
    return seen, rows


def floats(rng, missing):
    known = np.array([0.0, 1.5, 1e-310, 1e300, 2.0**60, -3.25])
    seen = rng.choice(known, 200)
    if missing:
        seen[::9] = np.nan
    return seen, hard_numbers(rng, known)


def booleans(rng, missing):
    seen = pd.array(rng.random(200) < 0.3, dtype="boolean")
    rows = pd.array(rng.random(N_ROWS) < 0.5, dtype="boolean")
    if missing:
        seen[::9] = None
    return seen, rows


def one_boolean(rng, missing):
    return np.ones(200, bool), rng.random(N_ROWS) < 0.5


def of_another_type(rng, missing):
    """Text in fit; then numbers, truth values and texts that spell the same."""
    rows = np.array(
        [1, 1.0, True, "1", "1.0", "01", 2.5, "true", None, 3], dtype=object
    )
    return some(rng.choice(["1", "True", "2.5"], 200), missing, rng), rng.choice(
        rows, N_ROWS
    )


def integers_as_other(rng, missing):
    rows = np.array([1, 1.0, True, "1", "1.5", 1.5, "a", None, 2**70, 3], dtype=object)
    return pd.array(rng.choice([1, 2, 9], 200), dtype="Int64"), rng.choice(rows, N_ROWS)


CATEGORIES = {
    one.__name__: one
    for one in (
        text,
        integers,
        unsigned,
        floats,
        booleans,
        one_boolean,
        of_another_type,
        integers_as_other,
    )
}


def with_missing(rows, rng):
    """The same rows, a tenth of them missing."""
    rows = pd.Series(rows)
    rows = rows.astype(object) if rows.dtype.kind in "Ob" else rows
    return rows.mask(rng.random(len(rows)) < 0.1)


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("missing_category", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_categories(name, missing_category, missing, rng):
    seen, rows = CATEGORIES[name](rng, missing)
    if missing and name not in ("unsigned", "integers"):  # would pass a float
        rows = with_missing(rows, rng)
    encoder = FieldEncoder(
        categorical_features=["c"], missing_category=missing_category
    ).fit(pd.DataFrame({"c": seen}))
    assert_encodes_alike(encoder, pd.DataFrame({"c": rows}))


def test_rare_values_have_code_0_in_the_graph_too(rng):
    seen = np.repeat(np.array(list("abcdef"), dtype=object), [50, 40, 30, 20, 2, 1])
    rows = pd.DataFrame(
        {"c": hard_text(rng, list("abcdef")), "d": rng.choice(list("abz"), N_ROWS)}
    )
    X = pd.DataFrame({"c": seen, "d": seen[::-1]})
    for how in ({"min_frequency": 10}, {"max_categories": 3}, {"min_frequency": 1000}):
        assert_encodes_alike(FieldEncoder(**how).fit(X), rows)


@pytest.mark.parametrize("scaling", ["standard", "squash", "none"])
def test_numbers(scaling, rng):
    known = np.array([1.0, 2.0, -3.5, 1e-310, 4.0, 1e6])
    X = pd.DataFrame(
        {
            "x": rng.choice(known, 300),
            "y": rng.lognormal(size=300),
            "i": rng.integers(0, 9, 300),
            "never": np.nan,
        }
    )
    with pytest.warns(UserWarning, match="never"):
        encoder = FieldEncoder(scaling=scaling).fit(X)
    rows = pd.DataFrame(
        {name: hard_numbers(rng, X[name].to_numpy()[:50].astype(float)) for name in X}
    )
    assert_encodes_alike(encoder, rows)


def test_numbers_of_several_scalings_stand_side_by_side(rng):
    X = pd.DataFrame(
        {"x": rng.normal(size=99), "y": rng.normal(size=99), "z": rng.normal(size=99)}
    )
    encoder = FieldEncoder(scaling={"x": "squash", "y": "none"}).fit(X)
    rows = pd.DataFrame({name: hard_numbers(rng, X[name].to_numpy()) for name in X})
    assert_encodes_alike(encoder, rows)


def test_rows_with_an_infinite_number_are_refused_or_missing(rng):
    X = pd.DataFrame({"x": rng.normal(size=50), "y": rng.normal(size=50)})
    rows = pd.DataFrame(
        {"x": [np.inf, 1.0, np.nan, -np.inf], "y": [0.0, np.inf, 0.0, 0.0]}
    )
    found, _ = encoded_by_graph(FieldEncoder().fit(X), rows)
    assert found["refused"].tolist() == [True, True, False, True]
    assert_encodes_alike(FieldEncoder(infinite="missing").fit(X), rows)


ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "Africa/Casablanca"]
ZONES += ["Australia/Lord_Howe", "UTC+09:30", "Pacific/Apia"]


@pytest.mark.parametrize("zone", ZONES)
def test_dates(zone, rng):
    microseconds = rng.integers(0, 2**51, 300) + 10**15
    rows = np.concatenate(
        [
            rng.integers(-(2**55), 2**56, N_ROWS // 2),
            10**6 * 3600 * rng.integers(0, 24 * 365 * 60, N_ROWS // 2),  # full hours
        ]
    )
    rows = rows.view("datetime64[us]")
    rows[::10] = np.datetime64("NaT")
    seen = pd.Series(microseconds.view("datetime64[us]"))
    rows = pd.Series(rows)
    if zone is not None:
        zone = zone if zone[:4] != "UTC+" else "+09:30"
        seen = seen.dt.tz_localize("UTC").dt.tz_convert(zone)
        rows = rows.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    encoder = FieldEncoder().fit(pd.DataFrame({"when": seen}))
    assert_encodes_alike(encoder, pd.DataFrame({"when": rows}))


def test_days_have_no_hours(rng):
    days = np.datetime64("2024-01-01") + rng.integers(0, 999, 200)
    X = pd.DataFrame({"day": days.astype("datetime64[s]")})
    encoder = FieldEncoder(scaling="none", date_reference="2024-06-01").fit(X)
    assert not any("hour" in name for name in encoder.numeric_names_)
    rows = pd.DataFrame({"day": ["2024-02-03", "1968-12-31T23:00", None]})
    assert_encodes_alike(encoder, rows)


def test_durations(rng):
    X = pd.DataFrame({"d": pd.to_timedelta(rng.integers(1, 10**6, 200), unit="ns")})
    rows = [pd.Timedelta(1, "ns"), timedelta(days=-5), None, timedelta(microseconds=7)]
    assert_encodes_alike(FieldEncoder().fit(X), pd.DataFrame({"d": rows}))


@pytest.mark.parametrize("kind", ["text", "integers", "numbers", "floats"])
def test_target_statistics(kind, rng):
    values = {
        "text": SEEN,
        "integers": BIG,
        "numbers": np.arange(9),
        "floats": np.array([0.5, 1.5, -2.0]),
    }[kind]
    X = pd.DataFrame({"v": rng.choice(values, 300), "x": rng.normal(size=300)})
    X.loc[X.index[::7], "x"] = np.nan
    y = pd.DataFrame({"click": rng.integers(0, 2, 300), "buy": rng.integers(0, 2, 300)})
    categorical = ["v"] if kind in ("text", "integers") else None
    encoder = FieldEncoder(
        categorical_features=categorical, target_statistics=["v"], random_state=0
    ).fit(X, y)
    hard = {"text": hard_text, "integers": hard_integers}.get(kind, hard_numbers)
    rows = pd.DataFrame({"v": hard(rng, values), "x": hard_numbers(rng, np.ones(1))})
    if kind == "text":
        rows["v"] = with_missing(rows["v"], rng)
    assert_encodes_alike(encoder, rows)


def test_statistics_of_codes(rng):
    """As an estimator's own encoder makes them, behind another one."""
    shop = rng.integers(0, 30, 2000)
    X = pd.DataFrame({"shop": shop.astype(str)}).astype("category")
    y = (rng.random(2000) < shop % 2).astype(int)
    coded = FieldEncoder().fit(X).transform(X)
    encoder = FieldEncoder(target_statistics="auto", random_state=0).fit(coded, y)
    assert encoder.numeric_names_ == ("shop_count", "shop_rate")
    rows = FieldEncoder().fit(X).transform(X.assign(shop=X["shop"].where(shop > 5)))
    assert_encodes_alike(encoder, rows)


def test_shared_vocabularies_are_stored_once(rng):
    names = np.array([f"item {i}" for i in range(50)], dtype=object)
    X = pd.DataFrame({"seen": rng.choice(names, 200), "now": rng.choice(names, 200)})
    X["bag"] = [list(rng.choice(names, rng.integers(0, 4))) for _ in range(200)]
    encoder = FieldEncoder(shared_vocabularies=[["seen", "now", "bag"]]).fit(X)
    rows = pd.DataFrame({"seen": hard_text(rng, names), "now": hard_text(rng, names)})
    rows["bag"] = [
        list(rng.choice([*names, "new"], rng.integers(0, 5))) for _ in range(N_ROWS)
    ]
    assert_encodes_alike(encoder, rows)

    from dephn_sk.export._encoder import EncoderGraph
    from dephn_sk.export._graph import Graph
    from dephn_sk.export._inputs import add_inputs, groups_of, raw_fields

    graph, columns = Graph(20), EncoderGraph.of(encoder)
    (group,) = groups_of(columns, (), "raw")
    add_inputs(graph, group)
    raw_fields(graph, [columns], group)
    assert graph.model().SerializeToString().count(b"item 17") == 1


def lists(rng, values, n_rows, missing=False):
    made = []
    for _ in range(n_rows):
        row = [values[i] for i in rng.integers(0, len(values), rng.integers(0, 5))]
        made.append([*row, None] if missing and rng.random() < 0.2 else row)
    return made


@pytest.mark.parametrize("missing_category", [False, True])
@pytest.mark.parametrize(
    "values",
    [list(SEEN), BIG.tolist(), [0.5, 1e300, -0.0]],
    ids=["text", "int", "float"],
)
def test_lists(values, missing_category, rng):
    others = ["new", "\uffff"] if isinstance(values[0], str) else [3, 2**62]
    X = pd.DataFrame({"bag": lists(rng, values, 100, missing_category)})
    encoder = FieldEncoder(missing_category=missing_category).fit(X)
    if missing_category and isinstance(values[0], str):
        others = others[:1]  # the other one stands for a missing member
    rows = pd.DataFrame({"bag": lists(rng, values + others, N_ROWS, missing_category)})
    rows.loc[3, "bag"] = None
    assert_encodes_alike(encoder, rows)


def test_weighted_lists(rng):
    X = pd.DataFrame({"bag": lists(rng, list("abc"), 100)})
    X["w"] = [list(rng.normal(size=len(row))) for row in X["bag"]]
    encoder = FieldEncoder(bag_weights={"bag": "w"}).fit(X)
    assert_encodes_alike(encoder, X)


def test_delimited_text(rng):
    words = np.array(["new", "hot stuff", "old", "😀", "two  blanks"], dtype=object)
    rows = [
        "new|hot stuff",
        "",
        None,
        "|",
        " new | hot stuff|",
        "two  blanks|two blanks",
    ]
    rows += [
        "\u3000new\x1c|old",
        "unseen|new",
        "new||old",
        "  ",
        "hot stuff",
        "\thot stuff ",
    ]
    X = pd.DataFrame({"tags": ["|".join(rng.choice(words, 2)) for _ in range(100)]})
    encoder = FieldEncoder(delimiters={"tags": "|"}).fit(X)
    assert_encodes_alike(
        encoder,
        pd.DataFrame({"tags": rng.choice(np.array(rows, dtype=object), N_ROWS)}),
    )
    with pytest.raises(ValueError, match=r"'tags'.*opset 20"):
        encoded_by_graph(encoder, X, opset=18)


@pytest.mark.parametrize("n_hashes", [1, 3])
def test_hashed_integers(n_hashes, rng):
    X = pd.DataFrame({"id": rng.integers(0, 10**9, 200)})
    encoder = FieldEncoder(
        categorical_features=["id"], n_buckets=1000, n_hashes=n_hashes
    ).fit(X)
    rows = pd.array(hard_integers(rng, X["id"][:20]), dtype="Int64")
    rows[::9] = None
    assert_encodes_alike(encoder, pd.DataFrame({"id": rows}))
    assert_encodes_alike(encoder, pd.DataFrame({"id": ["12", "-3", "4.0", True, None]}))
    with pytest.raises(ValueError, match=r"'id'.*'abc'.*hashes integers alone"):
        encoded_by_graph(encoder, pd.DataFrame({"id": ["abc", "12"]}))


def test_encoded_columns_are_taken_as_they_are(rng):
    X = pd.DataFrame({"c": rng.choice(list("abc"), 100), "x": rng.normal(size=100)})
    X["bag"] = lists(rng, list("abc"), 100)
    coded = FieldEncoder().fit_transform(X)
    assert_encodes_alike(FieldEncoder().fit(coded), coded)


def test_what_no_graph_can_hold_is_refused_by_name(rng):
    dates = [pd.Timestamp("2024-01-01").date(), pd.Timestamp("2024-01-02").date()]
    refused = {
        "hashed": (["a", "b"], {"n_buckets": 10}, "n_buckets=10 hashes"),
        "bytes": ([b"a", b"b"], {}, "bytes"),
        "tuple": ([(1, 2), (3, 4)], {}, "tuple"),
        "days": (dates, {"categorical_features": ["days"]}, "date"),
        "surrogate": (["\ud800", "a"], {}, "no valid Unicode"),
    }
    for name, (values, how, why) in refused.items():
        X = pd.DataFrame({name: pd.Series(values, dtype=object)})
        encoder = FieldEncoder(**how).fit(X)
        with pytest.raises(ValueError, match=f"(?s)Column '{name}'.*{why}"):
            encoded_by_graph(encoder, X)


def test_text_that_is_no_unicode_is_refused_with_the_row_s_column():
    encoder = FieldEncoder().fit(pd.DataFrame({"c": ["a", "b"]}))
    with pytest.raises(ValueError, match=r"'c'.*no valid Unicode"):
        rows = pd.Series(["a", "\udcff"], dtype=object)
        encoded_by_graph(encoder, pd.DataFrame({"c": rows}))


def test_a_kind_of_column_that_nobody_translates_is_refused_by_name(monkeypatch):
    from dephn_sk.export import _encoder
    from dephn_sk.preprocessing._numbers import Number

    encoder = FieldEncoder().fit(pd.DataFrame({"c": ["a", "b"], "x": [1.0, 2.0]}))
    monkeypatch.delitem(_encoder.KINDS, Number)
    with pytest.raises(ValueError, match="Column 'x' is a Number, a kind of column"):
        _encoder.EncoderGraph.of(encoder)
