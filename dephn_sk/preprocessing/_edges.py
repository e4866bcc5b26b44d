"""Edges of the bins of numeric columns, from their weighted quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MAX_ROWS = 1_000_000
# a discrete column: so large a share of its rows hold frequent values
_DISCRETE = 0.9
_FREQUENT_ROWS = 20


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
    distinct, mass = _distinct(values, sample_weight)
    if len(distinct) < 2:
        start = distinct[0] if len(distinct) else 0.0
        return np.array([start, start + 1], dtype=values.dtype)
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


def is_discrete(
    values: NDArray, n_bins: int, sample_weight: NDArray | None = None
) -> bool:
    """Whether nearly all rows of a numeric column share a few frequent values.

    Frequent is a value that holds more than its share, one in `n_bins`, of the rows,
    and at least twenty of them; nine rows in ten must hold such a value. Counts, codes
    and amounts that are mostly zero are discrete, most measurements are not. Weights
    count as repeated rows, unless their mean is below 1: then they are relative.

    Parameters
    ----------
    values, n_bins, sample_weight
        As those of :func:`quantile_edges`.

    Examples
    --------
    >>> is_discrete(np.repeat([0.0, 1, 5], 30), n_bins=16)
    True
    >>> is_discrete(np.arange(90.0), n_bins=16)
    False
    """
    _, mass = _distinct(values, sample_weight)
    if sample_weight is not None:
        counted = sample_weight[(sample_weight > 0) & ~np.isnan(values)]
        mass /= min(1.0, counted.mean()) if len(counted) else 1.0
    frequent = (mass > mass.sum() / n_bins) & (mass >= _FREQUENT_ROWS)
    return bool(mass[frequent].sum() >= _DISCRETE * mass.sum())


def column_edges(
    numbers: NDArray,
    n_bins: int,
    sample_weight: NDArray | None = None,
    *,
    discrete_only: bool = False,
) -> list[NDArray]:
    """Edges of each column; if asked, of those that are not discrete one bin alone."""
    edges = []
    for column in numbers.T:
        whole = discrete_only and not is_discrete(column, n_bins, sample_weight)
        edges.append(quantile_edges(column, 1 if whole else n_bins, sample_weight))
    return edges


def _distinct(
    values: NDArray, sample_weight: NDArray | None
) -> tuple[NDArray, NDArray]:
    """Known values of weight above zero in order, and the weight of each."""
    known = ~np.isnan(values)
    if sample_weight is not None:
        known &= sample_weight > 0
    distinct, position = np.unique(values[known], return_inverse=True)
    weights = None if sample_weight is None else sample_weight[known]
    mass = np.bincount(position, weights, minlength=len(distinct)).astype(np.float64)
    return distinct, mass
