"""Numeric columns: clean, centred, of unit variance, NaN where missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Column


def finite_numbers(column: Column) -> NDArray:
    """The column as float64; an error where it holds an infinity."""
    numbers = column.numbers()
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise ValueError(
            f"Column {column.name!r} holds {numbers[row]} (input contains infinity, "
            f"first in row {row}). Replace it by a number or by NaN, which is taken "
            "as missing."
        )
    return numbers


def mean_and_scale(
    numbers: NDArray, weight: NDArray | None, name: str
) -> tuple[float, float]:
    """Weighted mean and standard deviation of the present numbers.

    The deviation of a constant column is 1.
    """
    present = ~np.isnan(numbers)
    if weight is not None:
        present &= weight > 0
        weight = weight[present]
    numbers = numbers[present]
    if len(numbers) == 0:
        raise ValueError(
            f"Column {name!r} is missing in all rows. Leave it out, or give it a value "
            "somewhere."
        )
    mean = np.average(numbers, weights=weight)
    variance = np.average((numbers - mean) ** 2, weights=weight)
    total = len(numbers) if weight is None else weight.sum()
    epsilon = np.finfo(np.float64).eps
    # What rounding alone can make of a constant column, as in StandardScaler.
    noise = total * epsilon * variance + (total * mean * epsilon) ** 2
    return float(mean), float(np.sqrt(variance)) if variance > noise else 1.0
