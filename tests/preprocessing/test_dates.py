"""Dates: where in the day and in the week, and how long ago."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dephn_sk.preprocessing import FieldEncoder

TIMES = ["2022-04-25T06:00", "2022-04-27T18:00", "2022-05-02T00:00", None]
FORMS = {
    "pandas": pd.DataFrame({"t": pd.to_datetime(TIMES)}),
    "pandas zone": pd.DataFrame({"t": pd.to_datetime(TIMES).tz_localize("Asia/Tokyo")}),
    "objects": pd.DataFrame(
        {"t": [t and datetime.datetime.fromisoformat(t) for t in TIMES]}, dtype=object
    ),
    "polars": pl.DataFrame({"t": pd.to_datetime(TIMES).to_numpy()}),
    "pyarrow": pa.table({"t": pa.array(pd.to_datetime(TIMES))}),
    "pyarrow zone": pa.table(
        {"t": pa.array(pd.to_datetime(TIMES).tz_localize("Asia/Tokyo"))}
    ),
    "numpy": np.array(TIMES, dtype="datetime64[s]")[:, None],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_dates_gives_the_local_hour_the_weekday_and_the_age(form):
    fitted = FieldEncoder(scaling="none").fit(FORMS[form])
    prefix = "x0" if form == "numpy" else "t"
    parts = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "age"]
    assert fitted.numeric_names_ == tuple(f"{prefix}_{part}" for part in parts)
    numbers = fitted.encode(FORMS[form], dtype=float).numbers
    assert np.isnan(numbers[3]).all()
    hour = 2 * np.pi * np.array([6, 18, 0]) / 24
    weekday = 2 * np.pi * np.array([0, 2, 0]) / 7  # Monday, Wednesday, Monday
    expected = [np.sin(hour), np.cos(hour), np.sin(weekday), np.cos(weekday)]
    np.testing.assert_allclose(numbers[:3, :4].T, expected, atol=1e-12)
    np.testing.assert_allclose(numbers[:3, 4], [6.75, 4.25, 0])


def test_dates_without_a_time_of_day_have_no_hour():
    for dates in (pd.to_datetime(["2022-01-01"]), [datetime.date(2022, 1, 1)]):
        fitted = FieldEncoder().fit(pd.DataFrame({"t": dates}))
        assert fitted.numeric_names_ == ("t_weekday_sin", "t_weekday_cos", "t_age")
    X = pl.DataFrame({"t": [datetime.date(2022, 1, 1)]})
    assert len(FieldEncoder().fit(X).numeric_names_) == 3


def test_the_age_has_the_given_reference():
    X = FORMS["pandas"].rename(columns={"t": "a"}).assign(b=FORMS["pandas"]["t"])
    reference = {"a": "2022-05-03"}
    fitted = FieldEncoder(scaling="none", date_reference=reference).fit(X)
    out = fitted.transform(X)
    np.testing.assert_allclose(out["a_age"] - out["b_age"], [1, 1, 1, np.nan])
    later = FieldEncoder(scaling="none", date_reference=pd.Timestamp("2022-05-03"))
    np.testing.assert_allclose(later.fit_transform(X)["b_age"], out["a_age"])


def test_only_the_age_is_scaled():
    fitted = FieldEncoder().fit(FORMS["pandas"])
    assert fitted.mean_[:4].tolist() == [0] * 4
    assert fitted.scale_[:4].tolist() == [1] * 4
    assert fitted.mean_[4] > 0


@pytest.mark.parametrize("form", ["pandas", "polars", "objects"])
def test_dates_come_back(form):
    fitted = FieldEncoder().fit(FORMS[form])
    back = fitted.inverse_transform(fitted.transform(FORMS[form]))
    assert pd.to_datetime(back["t"].to_list()).equals(pd.to_datetime(TIMES))


def test_dates_named_as_categories_are_categories():
    X = FORMS["pandas"]
    fitted = FieldEncoder(categorical_features=["t"]).fit(X)
    assert fitted.encode(X).codes.ravel().tolist() == [1, 2, 3, 0]
    other = X.astype({"t": "datetime64[ns]"}).astype(object)
    assert fitted.encode(other).codes.ravel().tolist() == [1, 2, 3, 0]


def test_dates_that_come_as_text_are_read_and_others_are_refused():
    fitted = FieldEncoder().fit(FORMS["pandas"])
    expected = fitted.encode(FORMS["pandas"]).numbers
    for dtype in ("string", object, "category"):
        text = pd.DataFrame({"t": TIMES}).astype(dtype)
        np.testing.assert_array_equal(fitted.encode(text).numbers, expected)
    for other in (["soon"], [3.5]):
        with pytest.raises(
            ValueError, match=f"'t' is read as dates, but holds {other[0]!r}"
        ):
            fitted.encode(pd.DataFrame({"t": other}))


def test_bad_dates_are_named():
    with pytest.raises(ValueError, match="date_reference='never' for column 't'"):
        FieldEncoder(date_reference="never").fit(FORMS["pandas"])
