"""Dates and times as numbers: where in the day, where in the week, how long ago."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        When the age is zero; None: the latest date in `learn`.
    """

    def __init__(self, reference: Any = None):
        self.reference = reference

    def learn(self, instants: NDArray, weight: NDArray | None, name: str) -> None:
        """Learn the reference and whether there is a time of day."""
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
            try:
                self.reference = np.datetime64(self.reference)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"date_reference={self.reference!r} for column {name!r} is no date."
                ) from error
        self.reference = self.reference.astype("datetime64[us]")
        self.has_time = bool(np.any(_time_of_day(instants) > 0))

    @property
    def parts(self) -> tuple[str, ...]:
        """What the fields are called, after the column's name."""
        hour = ("hour_sin", "hour_cos") if self.has_time else ()
        return (*hour, "weekday_sin", "weekday_cos", "age")

    def encode(self, instants: NDArray) -> Iterator[NDArray]:
        """The numbers of each part; NaN where missing."""
        if self.has_time:
            yield from _cycle(_time_of_day(instants))
        days = instants.astype("datetime64[D]")
        weekday = (_floats(days - np.datetime64(0, "D")) + _FIRST_WEEKDAY) % 7
        yield from _cycle(weekday / 7)
        yield _floats(self.reference - instants.astype("datetime64[us]"))

    def decode(self, age: NDArray) -> NDArray:
        """The dates of ages, to the millisecond."""
        milliseconds = np.nan_to_num(age) * (_DAY / np.timedelta64(1, "ms"))
        ago = np.round(milliseconds).astype("timedelta64[ms]")
        instants = self.reference.astype("datetime64[ms]") - ago
        return np.where(np.isnan(age), np.datetime64("NaT"), instants)


def _time_of_day(instants: NDArray) -> NDArray:
    """The time since midnight in days."""
    return _floats(instants - instants.astype("datetime64[D]"))


def _floats(durations: NDArray) -> NDArray:
    """Durations in days, NaN where missing."""
    return durations / _DAY


def _cycle(share: NDArray) -> tuple[NDArray, NDArray]:
    """Where on the circle a share of a period is."""
    return np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)
