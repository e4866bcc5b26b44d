"""Which rows train, and which ones early stopping watches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_consistent_length


def split_rows(
    n_rows: int, fraction: float, seed: int, groups: Any = None
) -> tuple[NDArray, NDArray]:
    """Training and validation rows, both in order; groups are kept whole.

    Examples
    --------
    >>> train, valid = split_rows(6, 0.4, 0, groups=list("aabbcc"))
    >>> len(valid), len({"aabbcc"[i] for i in valid} & {"aabbcc"[i] for i in train})
    (2, 0)
    """
    rng = np.random.default_rng([seed, 2])
    if groups is None:
        units = np.arange(n_rows)
    else:
        groups = check_array(
            groups, ensure_2d=False, dtype=None, input_name="groups"
        ).ravel()
        if len(groups) != n_rows:
            raise ValueError(f"groups has {len(groups)} entries for {n_rows} rows.")
        units = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(units)
    order = rng.permutation(len(sizes))
    wanted = int(np.ceil(fraction * n_rows))
    # the units whose rows begin before the wanted number is reached
    before = np.cumsum(sizes[order]) - sizes[order]
    held_out = np.zeros(len(sizes), dtype=bool)
    held_out[order[(before < wanted) & (before + sizes[order] <= max(wanted, 1))]] = (
        True
    )
    valid = np.flatnonzero(held_out[units])
    train = np.flatnonzero(~held_out[units])
    if not len(valid) or not len(train):
        what = "rows" if groups is None else "groups"
        raise ValueError(
            f"validation_fraction={fraction} of {len(sizes)} {what} leaves none to "
            f"{'train' if len(valid) else 'validate'} on. Set early_stopping=False, or "
            "give X_val and y_val."
        )
    return train, valid


def check_validation_set(X_val: Any, y_val: Any) -> bool:
    """Whether a validation set is given, and given whole."""
    if (X_val is None) != (y_val is None):
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(
            f"{missing} is missing: give both X_val and y_val, or neither."
        )
    if X_val is None:
        return False
    check_consistent_length(X_val, y_val)
    return True
