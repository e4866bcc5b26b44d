"""Threads of torch, for as long as it takes; one in a process that was forked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


class _Fork:
    """Whether this process was forked off one that had imported the library."""

    forked = False

    def mark(self) -> None:
        self.forked = True


_FORK = _Fork()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_FORK.mark)


@contextlib.contextmanager
def threads(n_threads: int | None) -> Iterator[None]:
    """Run with so many threads of torch, and leave its setting as it was.

    The threads of the parent's OpenMP do not survive a fork, but its record of them
    does: a child that asks for more than one waits for them for ever.
    """
    before = torch.get_num_threads()
    wanted = 1 if _FORK.forked else n_threads or before
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if not _FORK.forked:
            torch.set_num_threads(before)
