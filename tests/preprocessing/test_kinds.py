"""Columns that are not what they were in `fit`: found, or refused by their name."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dephn_sk.preprocessing import FieldEncoder

properties = settings(max_examples=40, deadline=None, derandomize=True)


def frame(values, dtype=object):
    return pd.DataFrame({"c": pd.Series(values, dtype=dtype)})


def codes(fitted, values):
    return fitted.encode(frame(values)).codes[:, 0].tolist()


# Categories of another type

days = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)]
midnights = pd.to_datetime(days)
SPELLINGS = {
    "truth": [[True, False], ["True", "False"], ["true", "false"], ["TRUE", "FALSE"]],
    "number": [[1, 2], ["1", "2"], ["1.0", "2.00"], [1.0, 2.0], [b"1", b"2"]],
    "fraction": [[0.5, 0.25], ["0.50", "0.25"], ["5e-1", "2.5E-1"]],
    "decimal": [[0.5, 0.1], [Decimal("0.50"), Decimal("0.1")], ["0.5", "0.1"]],
    "large": [[10**30, 10**25], [str(10**30), str(10**25)]],
    "period": [
        list(pd.period_range("2024-01", periods=2, freq="M")),
        ["2024-01", "2024-02"],
    ],
    "day": [days, list(map(str, days)), list(midnights), list(map(str, midnights))],
    "instant": [
        list(midnights.tz_localize("UTC")),
        list(midnights.tz_localize("UTC").tz_convert("Asia/Tokyo")),
        ["2024-01-01T00:00Z", "2024-01-02 09:00+09:00"],
    ],
    "bytes": [[b"a", b"\xc3\xb8"], ["a", "ø"]],
    "tuple": [[(1, 2), (3, 4)], [(1.0, 2.0), (3.0, 4.0)]],
}


@pytest.mark.parametrize(
    ("fitted", "given"),
    [
        pytest.param(one, other, id=f"{name} {i} {j}")
        for name, forms in SPELLINGS.items()
        for i, one in enumerate(forms)
        for j, other in enumerate(forms)
        # text that is spelt otherwise than the text of fit is refused
        if {type(one[0]), type(other[0])} != {str} or i == j
    ],
)
def test_categories_of_another_type_are_found(fitted, given):
    encoder = FieldEncoder(categorical_features=["c"]).fit(frame(fitted * 3))
    expected = codes(encoder, fitted)
    assert sorted(expected) == [1, 2]
    assert codes(encoder, given) == expected
    hashed = FieldEncoder(categorical_features=["c"], n_buckets=9)
    assert min(codes(hashed.fit(frame(fitted)), given)) > 0


OF_OTHER_KINDS = {
    "text": ["a", "b"],
    "numbers": [1, 2],
    "booleans": [True, False],
    "days": days,
    "instants": list(midnights.tz_localize("Asia/Tokyo")),
    "tuples": [("a",), ("b",)],
}


@pytest.mark.parametrize("fitted", OF_OTHER_KINDS)
@pytest.mark.parametrize("given", OF_OTHER_KINDS)
def test_categories_of_another_kind_are_refused_by_name(fitted, given):
    if {fitted, given} in ({"numbers", "booleans"}, {"text", "tuples"}):
        pytest.skip("one spells the other")
    encoder = FieldEncoder(categorical_features=["c"])
    encoder.fit(frame(OF_OTHER_KINDS[fitted]))
    if fitted == given:
        assert sorted(codes(encoder, OF_OTHER_KINDS[given])) == [1, 2]
        return
    with pytest.raises(ValueError, match=r"'c' held values such as .* another kind"):
        codes(encoder, OF_OTHER_KINDS[given])


def test_text_of_which_none_is_known_but_by_its_number_is_refused():
    encoder = FieldEncoder().fit(frame(["1", "2", "a"]))
    assert codes(encoder, ["new", "3", "3.0"]) == [0, 0, 0]
    with pytest.raises(ValueError, match=r"'c' held values such as '1' .* '1.0'"):
        codes(encoder, ["1.0", "2.0"])


def test_unseen_values_of_a_plausible_spelling_are_unseen():
    for fitted, new in (([1, 2], ["3"]), (["1", "a"], [3]), (days, ["2030-01-01"])):
        encoder = FieldEncoder(categorical_features=["c"]).fit(frame(fitted))
        assert codes(encoder, new) == [0]


def test_ids_with_leading_zeros_stay_apart():
    encoder = FieldEncoder(categorical_features=["c"]).fit(frame([1, 2]))
    assert codes(encoder, ["01", "2"]) == [0, 2]


def test_hashed_numbers_may_come_as_text():
    for fitted, drifted in (
        ([True, False], ["True", "false"]),
        ([12, -7], ["12.0", "-7"]),
        ([0.5, 1.25], ["0.50", "1.25"]),
    ):
        encoder = FieldEncoder(categorical_features=["c"], n_buckets=10_000)
        encoder.fit(frame(fitted))
        assert codes(encoder, drifted) == codes(encoder, fitted)


# Numbers, dates and durations

FITTED = {
    "number": pd.DataFrame({"c": [1.0, 2.0, 4.0]}),
    "date": pd.DataFrame({"c": pd.date_range("2024", periods=3)}),
    "instant": pd.DataFrame({"c": pd.date_range("2024", periods=3, tz="Asia/Tokyo")}),
    "duration": pd.DataFrame({"c": pd.to_timedelta([1, 2, 4], unit="D")}),
}
FORMS = {
    "same": lambda X: X,
    "object": lambda X: X.astype(object),
    "category": lambda X: X.astype("category"),
    "polars": pl.from_pandas,
    "pyarrow": lambda X: pa.Table.from_pandas(X, preserve_index=False),
    "pandas pyarrow": lambda X: X.convert_dtypes(dtype_backend="pyarrow"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", FITTED)
@pytest.mark.parametrize("fitted", FITTED)
def test_numbers_dates_and_durations_are_not_mixed_up(fitted, given, form):
    encoder = FieldEncoder().fit(FITTED[fitted])
    X = FORMS[form](FITTED[given])
    if fitted == given:
        np.testing.assert_allclose(
            encoder.encode(X).numbers, encoder.encode(FITTED[given]).numbers
        )
    else:
        with pytest.raises(ValueError, match="Column 'c' "):
            encoder.encode(X)


@pytest.mark.parametrize("fitted", FITTED)
@pytest.mark.parametrize(
    "nothing",
    [
        frame([None]),
        frame([pd.NaT]),
        frame([np.nan], float),
        frame([None], "datetime64[ns]"),
        frame([None], "timedelta64[ns]"),
        frame([None], "category"),
        frame([None], "Int64"),
        pa.table({"c": pa.nulls(1)}),
        pa.table({"c": pa.nulls(1, pa.string())}),
    ],
)
def test_a_column_that_is_all_missing_is_of_every_kind(fitted, nothing):
    encoder = FieldEncoder().fit(FITTED[fitted])
    assert np.isnan(encoder.encode(nothing).numbers).all()


@pytest.mark.parametrize("form", [form for form in FORMS if form != "category"])
def test_every_form_of_durations_is_a_number_of_days(form):
    X = FORMS[form](FITTED["duration"])
    numbers = FieldEncoder(scaling="none").fit(X).encode(X).numbers
    assert numbers.ravel().tolist() == [1, 2, 4]


def test_text_of_digits_is_no_date():
    encoder = FieldEncoder().fit(FITTED["date"])
    with pytest.raises(ValueError, match=r"'c' is read as dates, but holds '20240101'"):
        encoder.encode(frame(["20240101"]))


def test_complex_numbers_are_refused_by_name():
    for values in (frame([1 + 2j], complex), frame([1 + 2j])):
        for named in (None, ["c"]):
            with pytest.raises(ValueError, match=r"'c' .* holds .*\(1\+2j\)"):
                FieldEncoder(categorical_features=named).fit(values)


# Numbers in columns of objects


def test_objects_that_are_numbers_with_fractions_are_numbers():
    for numbers in ([1.5, 2.0], [Decimal("1.5"), 2], [Fraction(3, 2), None, 2]):
        fitted = FieldEncoder(scaling="none").fit(frame(numbers))
        assert fitted.numeric_names_ == ("c",)
        assert fitted.encode(frame(numbers)).numbers[[0, -1], 0].tolist() == [1.5, 2]
    for others in ([1, 2], [1.0, None], [True, 0.5], ["1.5"], [Decimal("Infinity")]):
        assert FieldEncoder().fit(frame(others)).numeric_names_ == ()
    named = FieldEncoder(categorical_features=["c"]).fit(frame([1.5, 2.0]))
    assert named.categorical_names_ == ("c",)


@pytest.mark.parametrize("dtype", [float, int, bool])
def test_sparse_columns_of_pandas_equal_dense_ones(dtype):
    dense = pd.DataFrame({"k": np.arange(9).astype(dtype) % 2, "n": np.arange(9.0)})
    dense["k"] = dense["k"].astype(dtype)
    sparse = dense.assign(k=dense["k"].astype(pd.SparseDtype(dtype)))
    for one, other in ((dense, sparse), (sparse, dense)):
        fitted = FieldEncoder().fit(one)
        np.testing.assert_array_equal(
            fitted.transform(other).to_numpy(float), fitted.transform(one)
        )


# Time zones

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Tokyo", "+05:30"]


@properties
@given(
    seconds=st.lists(st.integers(0, 2**31), min_size=2, max_size=8),
    zones=st.tuples(st.sampled_from(ZONES), st.sampled_from(ZONES)),
    form=st.sampled_from(["same", "object", "polars", "pyarrow"]),
)
def test_the_same_instants_give_the_same_features_in_every_zone(seconds, zones, form):
    X = pd.DataFrame({"c": pd.to_datetime(seconds, unit="s", utc=True)})
    fitted = FieldEncoder().fit(X.assign(c=X["c"].dt.tz_convert(zones[0])))
    other = X.assign(c=X["c"].dt.tz_convert(zones[1]))
    if "+05:30" in zones and form == "polars":
        form = "same"  # polars knows named zones only
    np.testing.assert_array_equal(
        fitted.encode(FORMS[form](other)).numbers, fitted.encode(X).numbers
    )


@properties
@given(
    seconds=st.lists(
        st.integers(-(10**9), 2**32).map(lambda s: s // 900 * 900),
        min_size=1,
        max_size=30,
    ),
    zone=st.sampled_from(ZONES),
)
def test_hours_and_weekdays_are_those_of_the_zone_of_fit(seconds, zone):
    local = pd.to_datetime(seconds, unit="s", utc=True).tz_convert(zone)
    X = pd.DataFrame({"c": local})
    clock = pd.DataFrame({"c": local.tz_localize(None)})
    with_zone, without = FieldEncoder().fit(X), FieldEncoder().fit(clock)
    assert with_zone.numeric_names_ == without.numeric_names_
    np.testing.assert_array_equal(
        with_zone.encode(X).numbers[:, :-1], without.encode(clock).numbers[:, :-1]
    )
    back = with_zone.inverse_transform(with_zone.transform(X))["c"]
    error = (back.to_numpy() - clock["c"].to_numpy()) / np.timedelta64(1, "ms")
    assert np.abs(error).max() <= 1


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Africa/Casablanca"])
def test_clocks_are_right_around_every_change(zone):
    instants = pd.date_range("2019-01-01", "2021-12-31", freq="15min", tz="UTC")
    local = instants.tz_convert(zone)
    fitted = FieldEncoder(scaling="none").fit(pd.DataFrame({"c": local}))
    numbers = fitted.encode(pd.DataFrame({"c": instants}), dtype=float).numbers
    hour = np.arctan2(numbers[:, 0], numbers[:, 1]) / (2 * np.pi) * 24 % 24
    expected = local.hour + local.minute / 60
    np.testing.assert_allclose(np.cos(hour - expected), 1)


def test_dates_with_and_without_a_zone_are_not_mixed_up():
    clock, zoned = FITTED["date"], FITTED["instant"]
    for fitted, other in ((clock, zoned), (zoned, clock)):
        with pytest.raises(ValueError, match=r"'c' held dates of .* time zone"):
            FieldEncoder().fit(fitted).encode(other)
    mixed = frame([clock["c"][0], zoned["c"][0]])
    with pytest.raises(ValueError, match="'c'"):
        FieldEncoder().fit(mixed)


def test_text_with_an_offset_is_an_instant():
    fitted = FieldEncoder().fit(FITTED["instant"])
    text = ["2023-12-31T15:00:00Z", "2024-01-02 00:00+09:00", None]
    numbers = fitted.encode(frame(text)).numbers
    expected = fitted.encode(FITTED["instant"]).numbers
    np.testing.assert_array_equal(numbers[:2], expected[:2])
    assert np.isnan(numbers[2]).all()


def test_a_reference_is_what_the_clocks_of_the_columns_zone_show():
    X = FITTED["instant"]
    for reference in ("2024-01-04", pd.Timestamp("2024-01-03 15:00", tz="UTC")):
        fitted = FieldEncoder(scaling="none", date_reference=reference).fit(X)
        assert fitted.encode(X).numbers[:, -1].tolist() == [3, 2, 1]
    aware = FieldEncoder(date_reference=pd.Timestamp("2024", tz="UTC"))
    with pytest.raises(ValueError, match=r"date_reference=.* column 'c' has none"):
        aware.fit(FITTED["date"])


def test_a_zone_that_is_not_known_is_refused_by_name():
    X = pa.table({"c": pa.array([0], pa.timestamp("s", "Nowhere/City"))})
    with pytest.raises(ValueError, match="'c' has the time zone 'Nowhere/City'"):
        FieldEncoder().fit(X)
