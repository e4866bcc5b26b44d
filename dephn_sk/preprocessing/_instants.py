"""Points in time, the zone whose clocks showed them, and what those clocks show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._distinct import distinct_integers
from dephn_sk.preprocessing._spelling import shown

_MISSING = np.datetime64("NaT")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"[T ].*(Z|[+-][0-9]{2}:?[0-9]{2})$")
# numpy takes text of any digits as a year
_ISO = re.compile(r"[0-9]{4}(-.*)?")
_DAY = 86_400
# the days, since 1970, on which Python can tell the time in any zone
_FIRST, _LAST = -719_000, 2_932_000


@dataclass(frozen=True)
class Instants:
    """Instants in UTC and their zone; without a zone, what some clock showed.

    ``values`` are datetime64, NaT where missing. ``zone`` is a name, such as
    "Asia/Tokyo" or "UTC+09:00".
    """

    values: NDArray
    zone: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    def at(self, positions: NDArray) -> Instants:
        """A column that is given as positions in this one; -1 is missing."""
        return Instants(np.append(self.values, _MISSING)[positions], self.zone)


def zone_name(zone: tzinfo) -> str:
    """The name of a zone, which `local_time` understands."""
    fixed = zone.utcoffset(None)
    return str(zone) if fixed is None else str(timezone(fixed))


def parse(values: Sequence[Any]) -> Instants:
    """Dates and datetimes, or texts in ISO 8601; the zone is that of the first one."""
    if values and isinstance(values[0], str):
        if not any(map(_OFFSET.search, values)):
            if not all(map(_ISO.fullmatch, values)):
                raise ValueError("some texts are no dates")
            return Instants(np.array(values, dtype="datetime64[us]"))
        values = list(map(datetime.fromisoformat, values))
    if not all(isinstance(v, date | np.datetime64) for v in values):
        raise TypeError("some objects are no dates")
    zones: list[Any] = [getattr(v, "tzinfo", None) for v in values]
    if set(zones) <= {None}:
        return Instants(np.array(values, dtype="datetime64[us]"))
    if None in zones:
        raise ValueError("some have a time zone and some have none")
    in_utc = [v.astimezone(UTC).replace(tzinfo=None) for v in values]
    return Instants(np.array(in_utc, dtype="datetime64[us]"), zone_name(zones[0]))


def local_time(instants: NDArray, zone: str | None, name: str) -> NDArray:
    """What the clocks of a zone show at instants in UTC; all the same without a zone.

    >>> local_time(np.array(["2024-07-01T12:00"], "datetime64[m]"), "Asia/Tokyo", "t")
    array(['2024-07-01T21:00:00'], dtype='datetime64[s]')
    """
    if zone is None:
        return instants
    clock = _clock(zone, name)
    missing = np.isnat(instants)
    seconds = instants[~missing].astype("datetime64[s]").astype(np.int64)
    seconds = np.clip(seconds, _FIRST * _DAY, _LAST * _DAY)
    # Few days begin with another offset than they end with.
    days = distinct_integers(seconds // _DAY)
    begin = _offsets(days.values * _DAY, clock)
    changing = (begin != _offsets((days.values + 1) * _DAY, clock))[days.positions]
    shift = begin[days.positions]
    if changing.any():
        moments = distinct_integers(seconds[changing])
        shift[changing] = _offsets(moments.values, clock)[moments.positions]
    shifts = np.zeros(len(instants), dtype="timedelta64[s]")
    shifts[~missing] = shift
    return instants + shifts


def in_utc(local: Any, zone: str, name: str) -> np.datetime64:
    """The instant at which the clocks of a zone show a time."""
    clock = np.datetime64(local).astype("datetime64[us]").astype(datetime)
    instant = clock.replace(tzinfo=_clock(zone, name)).astimezone(UTC)
    return np.datetime64(instant.replace(tzinfo=None), "us")


def check_zone(zone: str, name: str) -> None:
    """Raise where a column has a zone that is not known here."""
    _clock(zone, name)


def _clock(zone: str, name: str) -> tzinfo:
    """The zone of a name."""
    offset = zone.removeprefix("UTC")
    try:
        if offset[:1] in ("", "+", "-"):
            moment = datetime.fromisoformat(f"1970-01-01T00:00{offset or 'Z'}")
            return moment.tzinfo or UTC
        return ZoneInfo(zone)
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise ValueError(
            f"Column {name!r} has the time zone {shown(zone)}, which is not known "
            "here. Convert the column to UTC, or install the package tzdata."
        ) from error


def _offsets(seconds: NDArray, clock: tzinfo) -> NDArray:
    """The offset from UTC, in seconds, at each of these seconds since 1970."""
    second = timedelta(seconds=1)
    offsets = (
        (_EPOCH + at * second).astimezone(clock).utcoffset() // second
        for at in seconds.tolist()
    )
    return np.fromiter(offsets, np.int64, len(seconds))
