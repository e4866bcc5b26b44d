"""Threads of torch, for as long as it takes; one in a process that was forked."""

import contextlib
import os
from collections.abc import Iterator

import torch

_IMPORTED_BY = os.getpid()


def _forked() -> bool:
    """Whether this process was forked off one that had imported the library."""
    return os.getpid() != _IMPORTED_BY


@contextlib.contextmanager
def threads(n_threads: int | None) -> Iterator[None]:
    """Run with so many threads of torch, and leave its setting as it was.

    The threads of the parent's OpenMP do not survive a fork, but its record of them
    does: a child that asks for more than one waits for them for ever.
    """
    before = torch.get_num_threads()
    wanted = 1 if _forked() else n_threads or before
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if not _forked():
            torch.set_num_threads(before)
