"""Rows of a trainable table."""

from __future__ import annotations

from torch import Tensor, nn


def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """`table[rows]`, int64, for rows of any shape."""
    if table.device.type != "cpu":
        return nn.functional.embedding(rows, table)
    # the gradient of index_select adds up rows in a quarter of embedding's time
    taken = table.index_select(0, rows.flatten())
    return taken.view(*rows.shape, table.shape[1])
