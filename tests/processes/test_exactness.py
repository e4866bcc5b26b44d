"""Several processes do what one does, and each of them has the same afterwards."""

from __future__ import annotations

import os

import numpy as np
import pytest
from processes._cells import CELLS
from processes._launch import Job, launched

FULL = bool(os.environ.get("DEPHN_SK_FULL"))
COSTLY = {"small_rows_cross_validated", "virtual_gradient_of_two_networks"}
SIZES = (2, 3, 4)
NAMES = [name for name in CELLS if FULL or name not in COSTLY]
# each cell with one number of processes; with DEPHN_SK_FULL=1, with all of them
ROWS = [
    (name, size)
    for i, name in enumerate(NAMES)
    for k, size in enumerate(SIZES)
    if FULL or k == i % len(SIZES)
]


@pytest.fixture(scope="module")
def found():
    names = {size: [name for name, n in ROWS if n == size] for size in SIZES}
    jobs = {n: Job("results", n, (own,)) for n, own in {1: NAMES, **names}.items()}
    found = launched("processes._cells", jobs)
    return {size: [rank for rank, _ in ranks] for size, ranks in found.items()}


@pytest.mark.parametrize("name, size", ROWS)
def test_several_processes_do_what_one_does(found, name, size):
    (alone,) = found[1]
    for rank in found[size]:
        one, several = alone[name], rank[name]
        assert isinstance(one, dict), one
        assert isinstance(several, dict), several
        if name == "float32":
            continue  # sums in another order
        np.testing.assert_allclose(
            several["predictions"], one["predictions"], rtol=0, atol=1e-9
        )
        assert several["state"].keys() == one["state"].keys()
        for key, value in one["state"].items():
            np.testing.assert_allclose(
                several["state"][key], value, rtol=0, atol=1e-9, err_msg=key
            )
        for row, other in zip(one["record"], several["record"], strict=True):
            assert row.keys() == other.keys()
            for key in row.keys() - {"dur", "batches"}:
                np.testing.assert_allclose(other[key], row[key], atol=1e-9, rtol=1e-9)
        assert several["kept_epoch"] == one["kept_epoch"]


@pytest.mark.parametrize("name, size", ROWS)
def test_each_rank_has_the_same_bytes(found, name, size):
    first, *others = (rank[name] for rank in found[size])
    for other in others:
        assert other["bytes"] == first["bytes"]
        assert other["predictions"].tobytes() == first["predictions"].tobytes()
        assert repr(other["record"]) == repr(first["record"])
        assert other["n_iter"] == first["n_iter"]
