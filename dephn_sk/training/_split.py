"""Which rows train, and which ones early stopping watches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from ._source import row_type


def split_rows(
    n_rows: int, fraction: float, seed: int, groups: Any = None
) -> tuple[NDArray, NDArray]:
    """Training and validation rows, int32, both in order; groups are kept whole.

    Examples
    --------
    >>> train, valid = split_rows(6, 0.4, 0, groups=list("aabbcc"))
    >>> len(valid), len({"aabbcc"[i] for i in valid} & {"aabbcc"[i] for i in train})
    (2, 0)
    """
    rng = np.random.default_rng([seed, 2])
    wanted = max(1, int(np.ceil(fraction * n_rows)))
    held_out = np.zeros(n_rows, dtype=bool)
    if groups is None:
        held_out[rng.permutation(n_rows)[:wanted]] = True
    else:
        held_out = _whole_groups(groups, n_rows, wanted, rng)
    train, valid = (
        np.flatnonzero(rows).astype(row_type(n_rows)) for rows in (~held_out, held_out)
    )
    if not len(train):
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves none to train on. "
            "Set early_stopping=False, or give X_val and y_val."
        )
    return train, valid


def _whole_groups(
    groups: Any, n_rows: int, wanted: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Rows of groups drawn by chance, as long as they fit into the wanted number."""
    groups = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if groups.ravel().shape != (n_rows,):
        raise ValueError(f"groups has {groups.size} entries for {n_rows} rows.")
    unit = np.unique(groups.ravel(), return_inverse=True)[1]
    sizes = np.bincount(unit)
    chosen = np.zeros(len(sizes), dtype=bool)
    for one in rng.permutation(len(sizes)):
        if sizes[one] <= wanted:
            chosen[one] = True
            wanted -= sizes[one]
    if not chosen.any():
        chosen[sizes.argmin()] = True  # none is small enough: the smallest
    return chosen[unit]
