"""Numeric fields: clean, centred and scaled, NaN where missing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._distribution import Distribution
from dephn_sk.preprocessing._kind import ColumnKind
from dephn_sk.preprocessing._settings import Settings

# Squashed numbers stay within this distance of zero.
_BOUND = 3.0
# Numbers that are not scaled are as they are up to so many times the largest seen.
_FAR = 1000.0
_LARGEST = 2.0**124  # of what float32 holds, with room for a sum of several


@dataclass(frozen=True)
class Scale:
    """Centre, scale and limits of a numeric field.

    Parameters
    ----------
    how : {"standard", "squash", "none"}
        Mean and standard deviation; or median and quartile distance, then
        :math:`z / \\sqrt{1 + (z / 3)^2}`, which heavy tails cannot leave; or nothing.
    mean, scale : float
        What is subtracted, and what is then divided by.
    low, high : float
        The smallest and the largest number seen; NaN where there was none, and then
        every number is missing.

    Notes
    -----
    What lies between the smallest and the largest number seen is scaled and nothing
    more. A number that lies :math:`e` deviations further out comes
    :math:`1 - 1 / (1 + e) < 1` deviations further out: a typing error or a sentinel
    stays near what was seen, larger numbers stay larger as far as floats tell them
    apart, and `invert` takes it back. Numbers that are not scaled (``"none"``) are as
    they are up to a thousand times the largest size seen, and stay below two thousand
    times.
    """

    how: str = "standard"
    mean: float = 0.0
    scale: float = 1.0
    low: float = np.nan
    high: float = np.nan

    @classmethod
    def of(cls, seen: Distribution, how: str) -> Scale:
        """The scale of numbers that are distributed so."""
        mean, scale = (0.0, 1.0) if how == "none" else seen.mean_and_deviation()
        if how == "squash" and seen.rows:
            low, middle, high = seen.quantiles([0.25, 0.5, 0.75])
            if high - low > np.finfo(np.float64).tiny:
                mean, scale = middle, min(high - low, np.finfo(np.float64).max)
        return cls(how, mean, scale, seen.low, seen.high)

    def apply(self, numbers: NDArray) -> NDArray:
        """The scaled numbers."""
        if np.isnan(self.low):
            return np.full(len(numbers), np.nan)
        scaled = self._linear(numbers)
        low, high, unit = self._limits()
        for inside, limit, outwards in (
            (np.fmin.reduce(scaled, initial=low) >= low, low, -1.0),
            (np.fmax.reduce(scaled, initial=high) <= high, high, 1.0),
        ):
            if not inside:
                excess = np.fmax((scaled - limit) * outwards, 0.0) / unit
                bounded = limit + outwards * unit * (1.0 - 1.0 / (1.0 + excess))
                scaled = np.where(excess > 0, bounded, scaled)
        return scaled

    def invert(self, scaled: NDArray) -> NDArray:
        """The numbers that were scaled."""
        low, high, unit = self._limits()
        with np.errstate(divide="ignore"):  # infinite where rounded to the bound
            if self.how == "squash":
                scaled = scaled / np.sqrt(1 - (scaled / _BOUND) ** 2)
            else:
                inside = np.clip(scaled, low, high)
                beyond = np.minimum(np.abs(scaled - inside) / unit, 1.0)
                excess = unit * (1.0 / (1.0 - beyond) - 1.0)
                scaled = inside + np.copysign(excess, scaled - inside)
        return scaled * self.scale + self.mean

    def _linear(self, numbers: NDArray) -> NDArray:
        # Halves, since the distance of two numbers may be too large for a float.
        half = numbers / 2
        half -= self.mean / 2
        if self.how == "squash":
            return _BOUND * (half / np.hypot(_BOUND * (self.scale / 2), half))
        with np.errstate(over="ignore"):
            half /= self.scale / 2
        return half

    def _limits(self) -> tuple[float, float, float]:
        """Smallest and largest scaled number seen, and how far beyond others come."""
        if self.how == "squash":
            return -_BOUND, _BOUND, 1.0
        if self.how == "none":
            far = _FAR * max(abs(self.low), abs(self.high), 1.0)
            far = min(far, _LARGEST)
            return -far, far, far
        low, high = self._linear(np.array([self.low, self.high])).tolist()
        return low, high, 1.0


def finite(numbers: NDArray, name: str, infinite: str) -> NDArray:
    """The numbers of a column without infinite ones, which are missing or an error."""
    found = np.isinf(numbers)
    if not found.any():
        return numbers
    if infinite == "missing":
        return np.where(found, np.nan, numbers)
    row = int(np.argmax(found))
    raise ValueError(
        f"Column {name!r} holds {numbers[row]} (input contains infinity, first in "
        f"row {row}). Replace it by a number or by NaN, which is taken as missing, "
        'or set infinite="missing".'
    )


@dataclass(frozen=True)
class NumberCounts:
    """How each field's numbers are distributed, and the weight of missing ones.

    Attributes
    ----------
    seen : dict of str to Distribution
    missing : dict of str to float
    total : float
        The weight of all rows.
    """

    seen: dict[str, Distribution]
    missing: dict[str, float]
    total: float

    def __add__(self, other: NumberCounts) -> NumberCounts:
        return NumberCounts(
            {field: one + other.seen[field] for field, one in self.seen.items()},
            {field: one + other.missing[field] for field, one in self.missing.items()},
            self.total + other.total,
        )


class NumericKind(ColumnKind):
    """A column that becomes numeric fields, each with a scale of its own.

    Parameters
    ----------
    name : str
        The column's.
    scaling : {"standard", "squash", "none"}
        How numbers are scaled.
    infinite : {"error", "missing"}
        What infinities are.

    Attributes
    ----------
    scales : dict of str to Scale
        Of each field, after `finish`.
    missing_shares : dict of str to float
    seen : dict of str to Distribution
        The numbers that count, for the edges of bins. No copy or pickle holds them.
    """

    role = "number"
    parts: ClassVar[tuple[type, ...]] = (Scale,)

    def __init__(self, name: str, scaling: str = "standard", infinite: str = "error"):
        super().__init__(name)
        self.scaling = scaling
        self.infinite = infinite
        self.scales: dict[str, Scale] = {}
        self.missing_shares: dict[str, float] = {}
        self.seen: dict[str, Distribution] = {}

    @abstractmethod
    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        """Each field's name and numbers as they are, NaN where missing."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"seen": {}}

    def count(self, column: Column, weight: NDArray | None) -> NumberCounts:
        counts = NumberCounts({}, {}, float(len(column)))
        if weight is not None:
            counts = NumberCounts({}, {}, float(weight.sum()))
        for field, numbers in self.numbers(column):
            numbers = finite(numbers, field, self.infinite)
            counted = count_numbers(numbers, weight)
            counts.seen[field], counts.missing[field] = counted
        return counts

    def finish(self, counts: NumberCounts) -> Self:
        return self.changed(
            seen=counts.seen,
            scales={
                field: Scale.of(one, self.scaling) for field, one in counts.seen.items()
            },
            missing_shares={
                field: one / counts.total for field, one in counts.missing.items()
            },
        )

    @property
    def is_empty(self) -> bool:
        return all(np.isnan(scale.low) for scale in self.scales.values())

    @property
    def grows(self) -> bool:
        """Only before a first number was seen: scales stay as networks know them."""
        return self.is_empty

    @property
    def means(self) -> list[float]:
        """What is subtracted from each field."""
        return [scale.mean for scale in self.scales.values()]

    @property
    def missing_share(self) -> float:  # type: ignore[override]
        return min(self.missing_shares.values(), default=0.0)

    def encode(self, *columns: Column) -> Iterator[tuple[str, NDArray]]:
        (column,) = columns
        for field, numbers in self.numbers(column):
            yield field, self.scaled(field, numbers)

    def scaled(self, field: str, numbers: NDArray) -> NDArray:
        """Numbers of a field in its scale."""
        return self.scales[field].apply(finite(numbers, field, self.infinite))


class Number(NumericKind):
    """A column of numbers."""

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        scaling = settings.of("scaling", column.name, "standard")
        return cls(column.name, scaling, settings.params["infinite"])

    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        yield self.name, column.numbers()

    def decode(self, name: str, fields: dict[str, Column]) -> NDArray:
        return self.scales[name].invert(fields[name].numbers())


class Duration(Number):
    """A column of durations, as days."""

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        return super().of(column, settings) if column.kind == "duration" else None

    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        yield self.name, column.durations()


def count_numbers(
    numbers: NDArray, weight: NDArray | None
) -> tuple[Distribution, float]:
    """How the numbers that count are distributed, and the weight of missing ones."""
    missing = np.isnan(numbers)
    if weight is None:
        present = numbers[~missing] if missing.any() else numbers
        return Distribution.of(present), float(len(numbers) - len(present))
    counted = ~missing & (weight > 0)
    weights = weight[counted]
    some = None if np.all(weights == 1) else weights
    return Distribution.of(numbers[counted], some), float(weight[missing].sum())
