"""The distinct labels and weights of the rows of a log, and how many rows have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MOST = 2**17  # rows of the table
_BITS = 40  # of a float's 64, the most that are kept where there are more


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Rows of a log that are alike in labels, weights and use, as one row each.

    All that is learned of labels (classes, rates, class weights, scales) is a function
    of these rows and of how many they stand for. Up to 2**17 of them are kept as they
    are. Where there are more, numbers are rounded to their leading bits, as many as
    leave 2**17.

    Attributes
    ----------
    labels : pyarrow.Table
    weight : ndarray of shape (n_distinct, n_weights) or None
    aside : ndarray of bool
        Whether the rows are set aside.
    n : ndarray of int
        How many rows are like this.
    rows : ndarray of int
        The first of them.
    """

    _table: Any = None
    _n_weights: int = 0
    _bits: int = 64

    @classmethod
    def empty(cls) -> Self:
        """That of no row."""
        return cls()

    def add(self, table: Any, names: Sequence[str], chunk: Any) -> LabelTable:
        """That of further rows, too: a chunk's, with columns of these names."""
        import pyarrow as pa

        if not len(chunk):
            return self
        columns = {name: _keyed(table.column(name)) for name in names}
        n_weights = 0 if chunk.weight is None else chunk.weight.shape[1]
        for i in range(n_weights):
            columns[f"\0weight{i}"] = pa.array(chunk.weight[:, i])
        columns["\0aside"] = pa.array(chunk.aside)
        columns["\0row"] = pa.array(chunk.rows)
        columns["\0n"] = pa.array(np.ones(len(chunk), dtype=np.int64))
        new = _merged([_rounded(pa.table(columns), self._bits)])
        found = new if self._table is None else _merged([self._table, new])
        bits = self._bits
        while len(found) > MOST and bits > 14:
            bits = min(bits - 2, _BITS)
            found = _merged([_rounded(found, bits)])
        return LabelTable(found, n_weights, bits)

    @property
    def labels(self) -> Any:
        names = [name for name in self._table.column_names if name[:1] != "\0"]
        return self._table.select(names)

    @property
    def weight(self) -> NDArray[np.float64] | None:
        if not self._n_weights:
            return None
        columns = [self._own(f"weight{i}") for i in range(self._n_weights)]
        return np.column_stack(columns)

    @property
    def aside(self) -> NDArray[np.bool_]:
        return self._own("aside")

    @property
    def n(self) -> NDArray[np.int64]:
        return self._own("n")

    @property
    def rows(self) -> NDArray[np.int64]:
        return self._own("row")

    def _own(self, name: str) -> NDArray:
        return self._table.column(f"\0{name}").to_numpy()

    def __len__(self) -> int:
        return 0 if self._table is None else len(self._table)


def _keyed(column: Any) -> Any:
    """A column as what pyarrow can group by."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return column


def _rounded(table: Any, bits: int) -> Any:
    """With floats of so many leading bits: the middle of those that share them."""
    import pyarrow as pa

    if bits == 64:
        return table
    for i, name in enumerate(table.column_names):
        if pa.types.is_floating(table.column(name).type):
            column = table.column(name).cast(pa.float64())
            missing = column.is_null().to_numpy()
            words = column.to_numpy().view(np.int64)
            low = words & (np.int64(-1) << np.int64(64 - bits))
            middle = (low | (np.int64(1) << np.int64(63 - bits))).view(np.float64)
            middle = np.where(column.to_numpy() == 0, 0.0, middle)
            table = table.set_column(i, name, pa.array(middle, mask=missing))
    return table


def _merged(tables: Sequence[Any]) -> Any:
    """Rows that are alike as one."""
    import pyarrow as pa

    both = pa.concat_tables(tables)
    keys = [name for name in both.column_names if name not in ("\0row", "\0n")]
    found = both.group_by(keys, use_threads=False).aggregate(
        [("\0row", "min"), ("\0n", "sum")]
    )
    names = {"\0row_min": "\0row", "\0n_sum": "\0n"}
    found = found.rename_columns([names.get(k, k) for k in found.column_names])
    return found.select(both.column_names)
