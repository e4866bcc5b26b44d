"""Numeric fields: clean, centred and scaled, NaN where missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Squashed numbers stay within this distance of zero.
_BOUND = 3.0


class Scale:
    """Centre and scale of a numeric field.

    Parameters
    ----------
    how : {"standard", "squash", "none"}
        Mean and standard deviation; or median and quartile distance, then
        :math:`z / \\sqrt{1 + (z / 3)^2}`, which heavy tails cannot leave; or nothing.
    infinite : {"error", "missing"}
        What infinities are.
    """

    def __init__(self, how: str = "standard", infinite: str = "error"):
        self.how = how
        self.infinite = infinite
        self.mean, self.scale = 0.0, 1.0
        self.missing_share = 0.0

    def learn(self, numbers: NDArray, weight: NDArray | None, name: str) -> None:
        """Learn from numbers that are not all missing."""
        numbers = self._clean(numbers, name)
        present = ~np.isnan(numbers)
        if weight is not None:
            counted = weight > 0
            total, present = weight.sum(), present & counted
            weight = weight[present]
        else:
            total = len(numbers)
        numbers = numbers[present]
        if len(numbers) == 0:
            raise ValueError(
                f"Column {name!r} is missing in all rows. Leave it out, or give it a "
                "value somewhere."
            )
        present_weight = len(numbers) if weight is None else weight.sum()
        self.missing_share = float(1 - present_weight / total)
        if self.how != "none":
            self.mean, self.scale = _mean_and_deviation(numbers, weight)
        if self.how == "squash":
            low, middle, high = _quantiles(numbers, weight, [0.25, 0.5, 0.75])
            if high > low:
                self.mean, self.scale = middle, high - low

    def apply(self, numbers: NDArray, name: str) -> NDArray:
        """The scaled numbers."""
        # Halves, since the distance of two numbers may be too large for a float.
        half = self._clean(numbers, name) / 2
        half -= self.mean / 2
        if self.how == "squash":
            return _BOUND * (half / np.hypot(_BOUND * self.scale / 2, half))
        half /= self.scale / 2
        return half

    def invert(self, scaled: NDArray) -> NDArray:
        """The numbers that were scaled."""
        if self.how == "squash":
            with np.errstate(divide="ignore"):  # infinite where rounded to the bound
                scaled = scaled / np.sqrt(1 - (scaled / _BOUND) ** 2)
        return scaled * self.scale + self.mean

    def _clean(self, numbers: NDArray, name: str) -> NDArray:
        infinite = np.isinf(numbers)
        if not infinite.any():
            return numbers
        if self.infinite == "missing":
            return np.where(infinite, np.nan, numbers)
        row = int(np.argmax(infinite))
        raise ValueError(
            f"Column {name!r} holds {numbers[row]} (input contains infinity, first in "
            f"row {row}). Replace it by a number or by NaN, which is taken as missing, "
            'or set infinite="missing".'
        )


def _mean_and_deviation(
    numbers: NDArray, weight: NDArray | None
) -> tuple[float, float]:
    """Weighted mean and standard deviation; a constant has deviation 1."""
    # A power of two, so that squares of large numbers stay finite and nothing rounds.
    unit = 2.0 ** (np.frexp(np.abs(numbers).max())[1] - 1)
    numbers = numbers / unit
    mean = np.average(numbers, weights=weight)
    variance = np.average((numbers - mean) ** 2, weights=weight)
    total = len(numbers) if weight is None else weight.sum()
    epsilon = np.finfo(np.float64).eps
    # What rounding alone can make of a constant, as in StandardScaler.
    noise = total * epsilon * variance + (total * mean * epsilon) ** 2
    deviation = np.sqrt(variance) * unit if variance > noise else 1.0
    return float(mean * unit), float(deviation)


def _quantiles(
    numbers: NDArray, weight: NDArray | None, shares: list[float]
) -> list[float]:
    """The smallest numbers that at least these shares of the weight do not exceed."""
    order = np.argsort(numbers, kind="stable")
    below = np.cumsum(np.ones(len(numbers)) if weight is None else weight[order])
    where = np.searchsorted(below, np.array(shares) * below[-1])
    return numbers[order[where]].tolist()
