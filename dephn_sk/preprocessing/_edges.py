"""Edges of the bins of numeric fields, from how their numbers are distributed."""

import numpy as np
from numpy.typing import NDArray

# a discrete column: so large a share of its rows hold frequent values
_DISCRETE = 0.9
_FREQUENT_ROWS = 20


def quantile_edges(values: NDArray, mass: NDArray, n_bins: int) -> NDArray:
    """Increasing bin edges of one numeric column.

    A value that alone holds more than its share of the rows, such as the zeros of a
    heavy-tailed amount, gets a bin of its own, and the quantiles are those of the
    other rows: the tail keeps its resolution.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Increasing.
    mass : ndarray of shape (n_values,)
        The weight of each value; integer weights give the edges of repeated rows.
    n_bins : int
        Number of quantile bins; ties make fewer.

    Returns
    -------
    ndarray of shape (n_edges,)
        At least two; bins hold their left edge. All but the last are among the values.

    Examples
    --------
    >>> quantile_edges(np.arange(5.0), np.array([6, 1, 1, 1, 1]), n_bins=2)
    array([0., 1., 3., 4.])
    """
    if len(values) < 2:
        start = values[0] if len(values) else 0.0
        return np.array([start, start + max(1.0, abs(start))], dtype=values.dtype)
    if len(values) <= n_bins:
        return np.append(values, values[-1] + (values[-1] - values[-2]))
    heavy = mass > mass.sum() / n_bins
    heavy[-1] = False  # the last value is the last edge already
    rest = np.where(heavy, 0.0, mass)
    cumulated = np.cumsum(rest)
    targets = np.arange(n_bins) / n_bins * cumulated[-1]
    first = np.searchsorted(cumulated, targets, side="right")
    # a heavy value's bin ends where the next value begins
    after = np.flatnonzero(heavy) + 1
    chosen = np.unique(
        np.concatenate([[0, len(values) - 1], first, np.flatnonzero(heavy), after])
    )
    return values[chosen]


def is_discrete(mass: NDArray, n_rows: int, n_bins: int) -> bool:
    """Whether nearly all rows of a numeric column share a few frequent values.

    Frequent is a value that holds more than its share, one in `n_bins`, of the rows,
    and at least twenty of them; nine rows in ten must hold such a value. Counts, codes
    and amounts that are mostly zero are discrete, most measurements are not. Weights
    count as repeated rows, unless their mean is below 1: then they are relative.

    Parameters
    ----------
    mass : ndarray of shape (n_values,)
        The weight of each value.
    n_rows : int
        How many rows hold them.
    n_bins : int
        As that of :func:`quantile_edges`.

    Examples
    --------
    >>> is_discrete(np.array([30, 30, 30]), 90, n_bins=16)
    True
    >>> is_discrete(np.ones(90), 90, n_bins=16)
    False
    """
    total = mass.sum()
    rows = mass / min(1.0, total / n_rows) if n_rows else mass
    frequent = (rows > rows.sum() / n_bins) & (rows >= _FREQUENT_ROWS)
    return bool(rows[frequent].sum() >= _DISCRETE * rows.sum())
