"""Threads of torch, for as long as it takes; one in a process that was forked."""

import contextlib
import os
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import torch

from ..nn import TaskNetwork
from ._parameters import AUTO

# Multiplications by weights in a batch, for each thread. Two threads that have half as
# many are no faster than one; with as many, they are by a tenth to a half. Measured on
# networks of 90,000 to 3,000,000 weights.
LEAST_WORK = 5 * 10**7

_IMPORTED_BY = os.getpid()


def _forked() -> bool:
    """Whether this process was forked off one that had imported the library."""
    return os.getpid() != _IMPORTED_BY


@contextlib.contextmanager
def threads(n_threads: int | str | None, work: int | None = None) -> Iterator[None]:
    """Run with so many threads of torch, and leave its setting as it was.

    The threads of the parent's OpenMP do not survive a fork, but its record of them
    does: a child that asks for more than one waits for them for ever.
    """
    before = torch.get_num_threads()
    wanted = 1 if _forked() else chosen(n_threads, work)
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if not _forked():
            torch.set_num_threads(before)


@contextlib.contextmanager
def own_modes() -> Iterator[None]:
    """Take gradients, in the precision that is asked for, whatever the caller's modes.

    Under its `torch.no_grad` a fit would learn nothing, and say nothing of it.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def chosen(n_threads: int | str | None, work: int | None) -> int:
    """How many threads are meant; for ``"auto"``, as many as have enough to do.

    They are never more than torch's setting, which None is, and ``"auto"`` without
    `work`: that of joblib's workers is their share of the cores.

    >>> chosen(3, None), chosen("auto", LEAST_WORK // 2)
    (3, 1)
    """
    most = torch.get_num_threads()
    if n_threads not in (None, AUTO):
        if not isinstance(n_threads, Integral):
            raise ValueError(
                f"n_threads={n_threads!r} is no number of threads. Give one, "
                f"{AUTO!r} or None."
            )
        return int(n_threads)
    if n_threads is None or work is None:
        return most
    return max(1, min(most, work // LEAST_WORK))


def work_of(
    network: TaskNetwork, n_rows: int, device: Any, *, trains: bool = False
) -> int | None:
    """Multiplications by weights in a batch of so many rows.

    Rows of tables are looked up, and not counted. The gradients of a product are two
    more. None for another device than the CPU, whose work threads have no part in.
    """
    if torch.device(device).type != "cpu":
        return None
    tables = {id(p) for table in network.tables() for p in table.parameters()}
    n_weights = sum(p.numel() for p in network.parameters() if id(p) not in tables)
    return n_weights * n_rows * (3 if trains else 1)
