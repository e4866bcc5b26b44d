"""Codes that came as codes: nothing is learned but how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import CodedBag, Codes, Column
from dephn_sk.preprocessing._distinct import is_whole
from dephn_sk.preprocessing._kind import ColumnKind
from dephn_sk.preprocessing._settings import Settings
from dephn_sk.preprocessing._spelling import shown


@dataclass(frozen=True)
class CodeCounts:
    """The largest number of codes, the weight of all rows and that of code 0."""

    cardinality: int = 1
    total: float = 0.0
    zeros: float = 0.0

    def __add__(self, other: CodeCounts) -> CodeCounts:
        return CodeCounts(
            max(self.cardinality, other.cardinality),
            self.total + other.total,
            self.zeros + other.zeros,
        )


class Coded(ColumnKind):
    """Takes codes as they are, any number that is none of them as code 0.

    Parameters
    ----------
    name : str
        The column's.
    cardinality : int
        Number of codes, code 0 included.
    table : str or None
        A name that fields sharing one table have in common.
    """

    role = "category"
    parts = (CodeCounts,)
    has_codes = True
    grows = True

    def __init__(self, name: str, cardinality: int, table: str | None = None):
        super().__init__(name)
        self.table = table
        self.counts = CodeCounts(cardinality)

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        values = column.values
        if not isinstance(values, Codes | CodedBag):
            return None
        return cls(column.name, values.cardinality, values.table)

    @property
    def cardinality(self) -> int:  # type: ignore[override]
        return self.counts.cardinality

    def count(self, column: Column, weight: NDArray | None) -> CodeCounts:
        values = column.values
        if not isinstance(values, Codes):
            raise self._no_codes(column)
        zeros = values.codes == 0
        total = len(zeros) if weight is None else weight.sum()
        of_zeros = zeros.sum() if weight is None else weight[zeros].sum()
        return CodeCounts(values.cardinality, float(total), float(of_zeros))

    def finish(self, counts: CodeCounts) -> Self:
        return self.grow(counts)

    def grow(self, counts: CodeCounts) -> Self:
        """Add to the counts; the encoder before has grown."""
        return self.changed(counts=self.counts + counts)

    def encode(self, *columns: Column) -> Iterator[tuple[str, Codes]]:
        (column,) = columns
        yield column.name, Codes(self.codes(column), self.cardinality, self.table)

    def codes(self, column: Column) -> NDArray:
        """The codes themselves."""
        values = column.values
        if isinstance(values, Codes):
            if values.cardinality > self.cardinality:
                raise ValueError(
                    f"Column {column.name!r} holds codes of {values.cardinality} rows, "
                    f"but had {self.cardinality} in fit. Encode both with the same "
                    "FieldEncoder."
                )
            return values.codes
        if column.kind != "number":
            raise self._no_codes(column)
        numbers = column.numbers()
        known = is_whole(numbers) & (numbers >= 0) & (numbers < self.cardinality)
        return np.where(known, numbers, 0).astype(np.int32)

    def _no_codes(self, column: Column) -> ValueError:
        return ValueError(
            f"Column {column.name!r} held codes, and now holds "
            f"{shown(column.example())}. Encode it with the same FieldEncoder as "
            "before."
        )

    def decode(self, name: str, fields: dict[str, Column]) -> Any:
        return fields[name].values

    @property
    def rare_share(self) -> float:  # type: ignore[override]
        return self.counts.zeros / self.counts.total if self.counts.total else 0.0
