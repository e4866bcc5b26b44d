"""Dates and times as numbers: where in the day, where in the week, how long ago."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._instants import in_utc, local_time
from dephn_sk.preprocessing._numbers import NumberCounts, NumericKind, Scale
from dephn_sk.preprocessing._settings import Settings

_DAY = np.timedelta64(1, "D")
# 1970-01-01, day 0 of datetime64, was a Thursday; Monday is 0
_FIRST_WEEKDAY = 3


class DateParts(NumericKind):
    """Numeric fields of one column of dates.

    Sine and cosine of the time of day (where any date has one) and of the weekday, by
    the clocks of the zone that the column had first, and the age in days at a
    reference.

    Parameters
    ----------
    name : str
        The column's.
    scaling : {"standard", "squash", "none"}
        How the age is scaled.
    zone : str or None
        The time zone of the column.
    reference : datetime-like or None
        When the age is zero; None: the latest date that counts. In a column with a
        time zone, a reference without one is what its clocks show.
    """

    def __init__(
        self,
        name: str,
        scaling: str = "standard",
        zone: str | None = None,
        reference: Any = None,
    ):
        super().__init__(name, scaling)
        self.zone = zone
        self.has_time = True
        self.reference: float | None = None  # in days since 1970
        if reference is not None:
            instant = self._given_reference(reference)
            self.reference = float(_days(instant))

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        if column.kind != "date":
            return None
        name = column.name
        scaling = settings.of("scaling", name, "standard")
        return cls(name, scaling, column.zone, settings.of("date_reference", name))

    def _given_reference(self, reference: Any) -> np.datetime64:
        name = self.name
        try:
            given = Column("date_reference", object_array([reference])).instants()
        except ValueError as error:
            raise ValueError(
                f"date_reference={reference!r} for column {name!r} is no date."
            ) from error
        if self.zone is None and given.zone is not None:
            raise ValueError(
                f"date_reference={reference!r} has a time zone, but column "
                f"{name!r} has none."
            )
        if self.zone is not None and given.zone is None:
            return in_utc(given.values[0], self.zone, name)
        return given.values[0]

    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        """Each part; the age is at 1970, since no scale minds the reference."""
        instants = column.instants_as_in(self.zone)
        local = local_time(instants, self.zone, column.name)
        midnight = local.astype("datetime64[D]")
        if self.has_time:
            yield from self._cycle("hour", (local - midnight) / _DAY)
        yield from self._cycle("weekday", (_days(midnight) + _FIRST_WEEKDAY) % 7 / 7)
        yield f"{self.name}_age", -_days(instants)

    def _cycle(self, part: str, share: NDArray) -> Iterator[tuple[str, NDArray]]:
        """Where on the circle a share of a period is."""
        yield f"{self.name}_{part}_sin", np.sin(2 * np.pi * share)
        yield f"{self.name}_{part}_cos", np.cos(2 * np.pi * share)

    def finish(self, counts: NumberCounts) -> Self:
        age, seen = f"{self.name}_age", dict(counts.seen)
        missing = dict(counts.missing)
        sine, cosine = (f"{self.name}_hour_{wave}" for wave in ("sin", "cos"))
        has_time = sine in seen and (
            (seen[sine].low, seen[sine].high, seen[cosine].low) != (0, 0, 1)
        )
        if not has_time or not seen[age].rows:
            for wave in (sine, cosine):
                seen.pop(wave, None), missing.pop(wave, None)
        learned = super().finish(NumberCounts(seen, missing, counts.total))
        if self.reference is None and seen[age].rows:
            learned = learned.changed(reference=-seen[age].low)
        how = {field: Scale.of(one, "none") for field, one in seen.items()}
        if self.scaling == "none":
            how[age] = replace(how[age], mean=-learned._at)
        else:
            how[age] = learned.scales[age]
        return learned.changed(scales=how, has_time=sine in seen)

    @property
    def _at(self) -> float:
        return self.reference or 0.0

    @property
    def means(self) -> list[float]:
        """Of each field, the age at the reference."""
        *cycles, age = super().means
        return [*cycles, 0.0 if self.scaling == "none" else age + self._at]

    def decode(self, name: str, fields: dict[str, Column]) -> NDArray:
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
