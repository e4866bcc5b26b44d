"""Dates and times as numbers: where in the day, where in the week, how long ago."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._instants import in_utc, local_time

_DAY = np.timedelta64(1, "D")
# 1970-01-01, day 0 of datetime64, was a Thursday; Monday is 0
_FIRST_WEEKDAY = 3


class DateParts:
    """Numeric fields of one column of dates.

    Sine and cosine of the time of day (where any date has one) and of the weekday, and
    the age in days at a reference.

    Parameters
    ----------
    reference : datetime-like or None
        When the age is zero; None: the latest date in `learn`. In a column with a time
        zone, a reference without one is what its clocks show.
    """

    def __init__(self, reference: Any = None):
        self.reference = reference
        self.zone: str | None = None

    def learn(self, column: Column, weight: NDArray | None) -> None:
        """Learn the zone, the reference and whether there is a time of day."""
        name, self.zone = column.name, column.zone
        instants = column.instants().values
        present = ~np.isnat(instants)
        if weight is not None:
            present &= weight > 0
        instants = instants[present]
        if len(instants) == 0:
            raise ValueError(
                f"Column {name!r} is missing in all rows. Leave it out, or give it a "
                "value somewhere."
            )
        if self.reference is None:
            self.reference = instants.max()
        else:
            self.reference = self._given_reference(name)
        self.reference = self.reference.astype("datetime64[us]")
        local = local_time(instants, self.zone, name)
        self.has_time = bool(np.any(_time_of_day(local) > 0))

    def _given_reference(self, name: str) -> np.datetime64:
        try:
            given = Column("date_reference", object_array([self.reference])).instants()
        except ValueError as error:
            raise ValueError(
                f"date_reference={self.reference!r} for column {name!r} is no date."
            ) from error
        if self.zone is None and given.zone is not None:
            raise ValueError(
                f"date_reference={self.reference!r} has a time zone, but column "
                f"{name!r} has none."
            )
        if self.zone is not None and given.zone is None:
            return in_utc(given.values[0], self.zone, name)
        return given.values[0]

    @property
    def parts(self) -> tuple[str, ...]:
        """What the fields are called, after the column's name."""
        hour = ("hour_sin", "hour_cos") if self.has_time else ()
        return (*hour, "weekday_sin", "weekday_cos", "age")

    def encode(self, column: Column) -> Iterator[NDArray]:
        """The numbers of each part; NaN where missing.

        Hours and weekdays are those of the zone of `learn`.
        """
        instants = column.instants_as_in(self.zone)
        local = local_time(instants, self.zone, column.name)
        if self.has_time:
            yield from _cycle(_time_of_day(local))
        days = local.astype("datetime64[D]")
        weekday = (_floats(days - np.datetime64(0, "D")) + _FIRST_WEEKDAY) % 7
        yield from _cycle(weekday / 7)
        yield _floats(self.reference - instants.astype("datetime64[us]"))

    def decode(self, age: NDArray) -> NDArray:
        """The dates of ages, to the millisecond, in the zone of `learn`."""
        milliseconds = np.nan_to_num(age) * (_DAY / np.timedelta64(1, "ms"))
        ago = np.round(milliseconds).astype("timedelta64[ms]")
        instants = self.reference.astype("datetime64[ms]") - ago
        local = local_time(instants, self.zone, "age")
        return np.where(np.isnan(age), np.datetime64("NaT"), local)


def _time_of_day(instants: NDArray) -> NDArray:
    """The time since midnight in days."""
    return _floats(instants - instants.astype("datetime64[D]"))


def _floats(durations: NDArray) -> NDArray:
    """Durations in days, NaN where missing."""
    return durations / _DAY


def _cycle(share: NDArray) -> tuple[NDArray, NDArray]:
    """Where on the circle a share of a period is."""
    return np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)
