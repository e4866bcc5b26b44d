"""Blocks of rows that stay in the processor's cache."""

from collections.abc import Iterator

from torch import Tensor

CACHE = 2**18  # numbers; 1 MiB of float32, half of a core's second-level cache


def row_blocks(batch: int, width: int, like: Tensor) -> Iterator[slice]:
    """Slices of a batch whose intermediate results, `width` numbers a row, fit CACHE.

    Elementwise work on results that have left the cache waits for memory, several times
    as long as the arithmetic takes. Other devices than the CPU take all rows at once.
    """
    rows = max(16, CACHE // width) if like.device.type == "cpu" else max(1, batch)
    for start in range(0, batch, rows):
        yield slice(start, min(start + rows, batch))
