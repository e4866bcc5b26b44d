"""Blocks of rows that stay in the processor's cache."""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

CACHE = 2**19  # numbers; 2 MiB of float32
MULTIPLE = 16  # rows that products take at a time


def row_blocks(batch: int, width: int, like: Tensor) -> Iterator[slice]:
    """Slices of a batch whose intermediate results, `width` numbers a row, fit CACHE.

    Elementwise work on results that have left the cache waits for memory, several times
    as long as the arithmetic takes; smaller blocks cost more calls. Blocks are about
    equal. Other devices than the CPU take all rows at once.
    """
    rows = max(1, batch)
    if like.device.type == "cpu":
        _keep_freed_memory()
        n_blocks = -(-batch // max(MULTIPLE, CACHE // width))
        rows = -(-rows // max(1, n_blocks))
        rows += -rows % MULTIPLE
    for start in range(0, batch, rows):
        yield slice(start, min(start + rows, batch))


@cache
def _keep_freed_memory() -> None:
    """Let the C library keep up to 64 MiB that are freed, once for the process.

    That of GNU returns memory at the end of its heap to the system, from which each
    step then takes it page by page: a tenth of the time of training. It keeps twice
    what the largest block of up to 32 MiB had that was ever freed; this one is not
    written to, and so takes no memory.
    """
    torch.empty(2**25 - 2**14, dtype=torch.uint8, device="cpu")
