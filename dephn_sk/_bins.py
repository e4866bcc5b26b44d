"""Edges of the bins of numeric columns, from their weighted quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MAX_ROWS = 1_000_000


def quantile_edges(
    values: NDArray, n_bins: int, sample_weight: NDArray | None = None
) -> NDArray:
    """Increasing bin edges of one numeric column.

    A value that alone holds more than its share of the rows, such as the zeros of a
    heavy-tailed amount, gets a bin of its own, and the quantiles are those of the
    other rows: the tail keeps its resolution.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        NaN is left out.
    n_bins : int
        Number of quantile bins; ties make fewer.
    sample_weight : ndarray of shape (n_samples,), default=None
        Integer weights give the edges of the repeated rows.

    Returns
    -------
    ndarray of shape (n_edges,)
        At least two; bins hold their left edge. All but the last are values of the
        column.

    Examples
    --------
    >>> quantile_edges(np.array([0.0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), n_bins=2)
    array([0., 1., 3., 4.])
    """
    known = ~np.isnan(values)
    if sample_weight is not None:
        known &= sample_weight > 0
    distinct, position = np.unique(values[known], return_inverse=True)
    if len(distinct) < 2:
        start = distinct[0] if len(distinct) else 0.0
        return np.array([start, start + 1], dtype=values.dtype)
    weights = None if sample_weight is None else sample_weight[known]
    mass = np.bincount(position, weights).astype(np.float64)
    if len(distinct) <= n_bins:
        return np.append(distinct, distinct[-1] + (distinct[-1] - distinct[-2]))
    heavy = mass > mass.sum() / n_bins
    heavy[-1] = False  # the last value is the last edge already
    rest = np.where(heavy, 0.0, mass)
    cumulated = np.cumsum(rest)
    targets = np.arange(n_bins) / n_bins * cumulated[-1]
    first = np.searchsorted(cumulated, targets, side="right")
    # a heavy value's bin ends where the next value begins
    after = np.flatnonzero(heavy) + 1
    chosen = np.unique(
        np.concatenate([[0, len(distinct) - 1], first, np.flatnonzero(heavy), after])
    )
    return distinct[chosen]


def some_rows(rows: NDArray) -> NDArray:
    """At most a million of the rows, evenly spaced: enough for quantiles."""
    return rows[:: -(-len(rows) // _MAX_ROWS)]


def column_edges(
    numbers: NDArray, n_bins: int, sample_weight: NDArray | None = None
) -> list[NDArray]:
    """:func:`quantile_edges` of each column."""
    return [quantile_edges(column, n_bins, sample_weight) for column in numbers.T]
