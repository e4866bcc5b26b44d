"""Chance that depends on a seed and on what is drawn for, and on nothing else.

Whoever reads row 7 draws for it what everybody draws for it, whichever rows come before
it, in however many pieces and processes a table is read.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._columns import Column
from ._hashing import mix, stable_hash


def drawn(seed: int, things: NDArray) -> NDArray[np.uint64]:
    """A number of 64 bits for each thing, whose own bits are given; distinct ones stay.

    >>> drawn(0, np.arange(2)) == drawn(0, np.array([0, 5]))
    array([ True, False])
    """
    start = mix(np.array([seed % 2**64], dtype=np.uint64))
    return mix(things.astype(np.uint64, copy=False) ^ start)


def folds_of(seed: int, positions: NDArray, n_folds: int) -> NDArray[np.int64]:
    """The fold of each row: of so many rows that follow each other, one is in each.

    >>> sorted(folds_of(3, np.arange(10, 15), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    turn, place = np.divmod(positions, n_folds)
    shift = drawn(seed, turn) % np.uint64(n_folds)
    return (place + shift.astype(np.int64)) % n_folds


def group_hashes(groups: Any, name: str = "groups") -> tuple[NDArray, NDArray]:
    """A hash of each distinct group, and which of them a row is in.

    They are the same whatever library the groups come from.
    """
    column = groups if isinstance(groups, Column) else Column(name, np.ravel(groups))
    distinct = column.distinct
    missing = distinct.positions < 0
    if missing.any():
        raise ValueError(
            f"{name} misses a value in row {int(np.argmax(missing))}. Give each row a "
            "group; a row that is alone is a group of its own."
        )
    return stable_hash(distinct.values), distinct.positions
