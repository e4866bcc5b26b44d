"""Dates and times as numbers: where in the day, where in the week, how long ago."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ._columns import Column
from ._distinct import object_array
from ._instants import check_zone, in_utc, local_time
from ._kind import Table
from ._numbers import NumberCounts, NumericKind
from ._settings import Settings

_DAY = np.timedelta64(1, "D")
# 1970-01-01, day 0 of datetime64, was a Thursday; Monday is 0
_FIRST_WEEKDAY = 3
_WAVES = ("sin", "cos")


@dataclass(frozen=True, eq=False, kw_only=True)
class DateParts(NumericKind):
    """Numeric fields of one column of dates.

    Sine and cosine of the time of day (where any date has one) and of the weekday, by
    the clocks of the zone that the column had first, and the age in days at a
    reference.

    Attributes
    ----------
    scaling : {"standard", "squash", "none"}
        How the age is scaled.
    zone : str or None
        The time zone of the column.
    reference : float or None
        When the age is zero, in days since 1970; None: the latest date that counts.
    has_time : bool
        Whether any date has a time of day.
    """

    zone: str | None = None
    reference: float | None = None
    has_time: bool = True

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        if column.kind != "date":
            return None
        given = settings.of("date_reference", column.name)
        return cls(
            column.name,
            scaling=settings.of("scaling", column.name, "standard"),
            zone=column.zone,
            reference=None if given is None else _reference(given, column),
        )

    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        """Each part; the age is at 1970, since no scale minds the reference."""
        instants = column.instants_as_in(self.zone)
        local = local_time(instants, self.zone, column.name)
        midnight = local.astype("datetime64[D]")
        if self.has_time:
            yield from self._cycle("hour", (local - midnight) / _DAY)
        yield from self._cycle("weekday", (_days(midnight) + _FIRST_WEEKDAY) % 7 / 7)
        yield f"{self.name}_age", -_days(instants)

    @property
    def fields(self) -> list[str]:
        waves = [f"{part}_{wave}" for part in ("hour", "weekday") for wave in _WAVES]
        return [f"{self.name}_{one}" for one in waves[2 * (not self.has_time) :]] + [
            f"{self.name}_age"
        ]

    def check(self) -> None:
        super().check()
        if self.zone is not None:
            check_zone(self.zone, self.name)
        if self.reference is not None and not np.isfinite(self.reference):
            raise ValueError(
                f"Column {self.name!r} has the reference {self.reference}."
            )

    def _cycle(self, part: str, share: NDArray) -> Iterator[tuple[str, NDArray]]:
        """Where on the circle a share of a period is."""
        yield f"{self.name}_{part}_sin", np.sin(2 * np.pi * share)
        yield f"{self.name}_{part}_cos", np.cos(2 * np.pi * share)

    def how(self, field: str) -> str:
        return self.scaling if field == f"{self.name}_age" else "none"

    def finish(self, counts: NumberCounts) -> Self:
        seen, age = NumberCounts(counts), f"{self.name}_age"
        sine, reference = seen.get(f"{self.name}_hour_sin"), self.reference
        # the sine is 0 at midnight alone, since pi is rounded
        has_time = bool(sine and sine.rows and (sine.low, sine.high) != (0, 0))
        if not has_time:
            for wave in _WAVES:
                seen.pop(f"{self.name}_hour_{wave}", None)
        if reference is None and seen[age].rows:
            reference = -seen[age].low
        learned = super().finish(seen)
        if self.scaling == "none":
            learned.scales[age] = replace(learned.scales[age], mean=-(reference or 0.0))
        return replace(learned, has_time=has_time, reference=reference)

    @property
    def means(self) -> list[float]:
        """Of each field, the age at the reference."""
        *cycles, age = super().means
        return [*cycles, age + (self.reference or 0.0)]

    def decode(self, name: str, fields: Table) -> NDArray:
        """The dates of ages, to the millisecond, in the zone of `fit`."""
        age = f"{name}_age"
        days = -self.scales[age].invert(fields[age].numbers())
        milliseconds = np.nan_to_num(days) * (_DAY / np.timedelta64(1, "ms"))
        instants = np.round(milliseconds).astype("datetime64[ms]")
        local = local_time(instants, self.zone, name)
        return np.where(np.isnan(days), np.datetime64("NaT"), local)


def _days(instants: Any) -> Any:
    """Days since 1970 with their fractions, NaN where missing."""
    return (instants.astype("datetime64[us]") - np.datetime64(0, "us")) / _DAY


def _reference(given: Any, column: Column) -> float:
    """A reference in days; without a zone, it is what the column's clocks show."""
    name, zone = column.name, column.zone
    try:
        read = Column("date_reference", object_array([given])).instants()
    except ValueError as error:
        raise ValueError(
            f"date_reference={given!r} for column {name!r} is no date."
        ) from error
    if zone is None and read.zone is not None:
        raise ValueError(
            f"date_reference={given!r} has a time zone, but column {name!r} has none."
        )
    instant = read.values[0]
    if zone is not None and read.zone is None:
        instant = in_utc(instant, zone, name)
    return float(_days(instant))
