"""Rows of a trainable table."""

from torch import Tensor, nn
from torch.compiler import is_compiling

# rows above which their sparse gradient and a lazy optimizer cost less than a pass over
# the whole table; measured for 16 columns and 32,000 look-ups a step
SPARSE_ROWS = 2**18


def take_rows(table: Tensor, rows: Tensor, *, sparse: bool = False) -> Tensor:
    """`table[rows]`, int64, for rows of any shape; its gradient is sparse on demand."""
    if sparse or table.device.type != "cpu" or is_compiling():
        return nn.functional.embedding(rows, table, sparse=sparse)
    # the gradient of index_select adds up rows in a quarter of embedding's time
    taken = table.index_select(0, rows.flatten())
    return taken.view(*rows.shape, table.shape[1])
