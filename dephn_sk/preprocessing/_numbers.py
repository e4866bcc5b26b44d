"""Numeric fields: clean, centred and scaled, NaN where missing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ._columns import Column
from ._distribution import Distribution
from ._edges import is_discrete, quantile_edges
from ._kind import ColumnKind, Table
from ._settings import Settings

# Squashed numbers stay within this distance of zero.
_BOUND = 3.0
# Numbers of float64 that differ by less, of their size, are in one bin.
_NEAR = 2.0**-40
# Numbers that are not scaled are as they are up to so many times the largest seen.
_FAR = 1000.0
SCALINGS = ("standard", "squash", "none")
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
                mean, scale = middle, min(high - low, np.finfo(np.float64).max / 4)
        return cls(how, mean, scale, seen.low, seen.high)

    def check(self) -> None:
        """Raise where nothing could be scaled so."""
        finite = np.isfinite([self.mean, self.scale]).all() and self.scale > 0
        if (
            self.how not in SCALINGS
            or not finite
            or np.isinf([self.low, self.high]).any()
        ):
            raise ValueError(f"{self} scales nothing.")

    def apply(self, numbers: NDArray) -> NDArray:
        """The scaled numbers."""
        if np.isnan(self.low):
            return np.full(len(numbers), np.nan)
        scaled = self._linear(numbers)
        low, high = self._range()
        smallest = np.fmin.reduce(numbers, initial=low)
        if smallest >= low and np.fmax.reduce(numbers, initial=high) <= high:
            return scaled
        low, high, unit = self._limits()
        inside = np.clip(scaled, low, high)
        excess = np.abs(scaled - inside) / unit
        beyond = np.copysign(unit * (1.0 - 1.0 / (1.0 + excess)), scaled - inside)
        return np.where(excess > 0, inside + beyond, scaled)

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

    def _range(self) -> tuple[float, float]:
        """Between which numbers are scaled and nothing more."""
        if self.how == "squash":  # which bounds whatever comes
            return -np.inf, np.inf
        if self.how == "none":
            far = _FAR * max(abs(self.low), abs(self.high), 1.0)
            far = min(far, _LARGEST)
            return -far, far
        return self.low, self.high

    def _limits(self) -> tuple[float, float, float]:
        """Smallest and largest scaled number seen, and how far beyond others come."""
        if self.how == "squash":
            return -_BOUND, _BOUND, 1.0
        low, high = self._range()
        if self.how == "none":
            return low, high, high
        low, high = self._linear(np.array([low, high])).tolist()
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


class NumberCounts(dict[str, Distribution]):
    """How the numbers of each field are distributed."""

    def __add__(self, other: NumberCounts) -> NumberCounts:
        return NumberCounts({name: one + other[name] for name, one in self.items()})


@dataclass(frozen=True, eq=False, kw_only=True)
class NumericKind(ColumnKind):
    """A column that becomes numeric fields, each with a scale of its own.

    Attributes
    ----------
    scaling : {"standard", "squash", "none"}
        How numbers are scaled.
    infinite : {"error", "missing"}
        What infinities are.
    scales : dict of str to Scale
        Of each field, after `finish`.
    missing_shares : dict of str to float
    seen : NumberCounts
        The numbers that count, for the edges of bins. No copy or pickle holds them.
    """

    role = "number"
    parts: ClassVar[tuple[type, ...]] = (Scale,)
    forgotten: ClassVar[tuple[str, ...]] = ("seen",)

    scaling: str = "standard"
    infinite: str = "error"
    scales: dict[str, Scale] = field(default_factory=dict)
    missing_shares: dict[str, float] = field(default_factory=dict)
    seen: NumberCounts = field(default_factory=NumberCounts)

    @abstractmethod
    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        """Each field's name and numbers as they are, NaN where missing."""

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"seen": NumberCounts()}

    def count(self, column: Column, weight: NDArray | None) -> NumberCounts:
        fields = self._finite(column)
        return NumberCounts(
            {name: Distribution.of(one, weight) for name, one in fields}
        )

    def finish(self, counts: NumberCounts) -> Self:
        fields = counts.items()
        return replace(
            self,
            seen=counts,
            scales={name: Scale.of(one, self.how(name)) for name, one in fields},
            missing_shares={name: one.missing_share for name, one in fields},
        )

    def how(self, field: str) -> str:
        """How a field is scaled."""
        return self.scaling

    @property
    def fields(self) -> list[str]:
        """The names of the fields."""
        return list(self.scales)

    def check(self) -> None:
        if [*self.scales] != self.fields or [*self.missing_shares] != self.fields:
            raise ValueError(f"Column {self.name!r} has other fields than scales.")

    @property
    def is_empty(self) -> bool:
        return all(np.isnan(scale.low) for scale in self.scales.values())

    @property
    def grows(self) -> bool:
        """Only before a first number was seen: scales stay as networks know them."""
        return self.is_empty

    def edges(self, n_bins: int, discrete_only: bool, dtype: Any) -> list[NDArray]:
        """Bin edges among each field's scaled numbers.

        Values are scaled and rounded to ``dtype`` as the numbers of any row are, so
        that a number that equals an edge falls into the bin that begins there. Float64
        rounds nothing away: there, an edge lies slightly below its number, since a sine
        or a root that is computed elsewhere differs in the last bits, and numbers that
        differ by less are one.
        """
        edges = []
        for name, seen in self.seen.items():
            scaled = self.scales[name].apply(seen.values).astype(dtype)
            near = np.maximum(np.abs(scaled), 1.0) * (
                _NEAR if dtype == "float64" else 0
            )
            begins = np.append(True, np.diff(scaled) > near[1:])[: len(scaled)]
            first = np.flatnonzero(begins)
            mass = np.add.reduceat(seen.mass, first) if len(first) else seen.mass
            one_bin = discrete_only and not is_discrete(mass, seen.rows, n_bins)
            n_own = 1 if one_bin else n_bins
            edges.append(quantile_edges((scaled - near / 4)[first], mass, n_own))
        return edges

    @property
    def means(self) -> list[float]:
        """What is subtracted from each field."""
        return [scale.mean for scale in self.scales.values()]

    def encode(self, *columns: Column) -> Iterator[tuple[str, NDArray]]:
        (column,) = columns
        for name, numbers in self._finite(column):
            yield name, self.scales[name].apply(numbers)

    def _finite(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        for name, numbers in self.numbers(column):
            yield name, finite(numbers, name, self.infinite)


class Number(NumericKind):
    """A column of numbers."""

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        scaling = settings.of("scaling", column.name, "standard")
        infinite = settings.of("infinite", column.name)
        return cls(column.name, scaling=scaling, infinite=infinite)

    @property
    def fields(self) -> list[str]:
        return [self.name]

    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        yield self.name, column.numbers()

    def decode(self, name: str, fields: Table) -> NDArray:
        return self.scales[name].invert(fields[name].numbers())


class Duration(Number):
    """A column of durations, as days."""

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        return super().of(column, settings) if column.kind == "duration" else None

    def numbers(self, column: Column) -> Iterator[tuple[str, NDArray]]:
        yield self.name, column.durations()
