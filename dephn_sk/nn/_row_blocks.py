"""Blocks of rows that stay in the processor's cache."""

from collections.abc import Iterator

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
        n_blocks = -(-batch // max(MULTIPLE, CACHE // width))
        rows = -(-rows // max(1, n_blocks))
        rows += -rows % MULTIPLE
    for start in range(0, batch, rows):
        yield slice(start, min(start + rows, batch))
