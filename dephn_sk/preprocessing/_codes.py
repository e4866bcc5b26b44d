"""Fields of codes, and codes that came as codes: only how many is learned of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ._columns import CodedBag, Codes, Column
from ._distinct import is_whole
from ._kind import ColumnKind, Table
from ._settings import Settings
from ._spelling import shown


@dataclass(frozen=True)
class CodeCounts:
    """What is counted where there is no vocabulary.

    Attributes
    ----------
    most : int
        The largest number of codes; of values to be hashed, what they are.
    total, zeros : float
        The weight of all rows, and of those with code 0.
    """

    most: int = 0
    total: float = 0.0
    zeros: float = 0.0

    @classmethod
    def of(cls, most: int, zero: NDArray, weight: NDArray | None) -> CodeCounts:
        """Count rows, of which some have code 0."""
        if weight is None:
            return cls(most, float(len(zero)), float(zero.sum()))
        return cls(most, float(weight.sum()), float(weight[zero].sum()))

    def __add__(self, other: CodeCounts) -> CodeCounts:
        most = max(self.most, other.most)
        return CodeCounts(most, self.total + other.total, self.zeros + other.zeros)

    @property
    def share(self) -> float:
        """That of the rows with code 0."""
        return self.zeros / self.total if self.total else 0.0


NO_ROW = CodeCounts()


class Coder(ColumnKind):
    """A column each of whose values has a code, or several; it may share a table.

    Attributes
    ----------
    cardinality : int
        Number of codes, code 0 included.
    n_hashes : int
        Codes of each value.
    missing_share, rare_share : float
        Shares of the rows without a value, and of those whose value has no code.
    """

    role = "category"
    has_codes = True
    grows = True
    n_hashes = 1

    @property
    @abstractmethod
    def cardinality(self) -> int: ...

    @property
    def missing_share(self) -> float:
        return 0.0

    @property
    def rare_share(self) -> float:
        return 0.0

    @abstractmethod
    def codes(self, column: Column) -> NDArray:
        """Each row's code, or its several codes as (n_rows, n_hashes)."""

    def decode_codes(self, codes: NDArray) -> NDArray:
        """The values of codes; None for code 0, and where codes do not tell."""
        return np.full(len(codes), None, dtype=object)

    def finish(self, counts: Any) -> Self:
        return self.grow(counts)

    def encode(self, *columns: Column) -> Iterator[tuple[str, Codes]]:
        (column,) = columns
        yield column.name, Codes(self.codes(column), self.cardinality, self.table)


@dataclass(frozen=True, eq=False)
class Coded(Coder):
    """Takes codes as they are, any number that is none of them as code 0."""

    parts = (CodeCounts,)

    counts: CodeCounts = NO_ROW

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        values = column.values
        if not isinstance(values, Codes | CodedBag):
            return None
        return cls(column.name, CodeCounts(values.cardinality), table=values.table)

    def check(self) -> None:
        if not 1 <= self.cardinality < 2**31:
            raise ValueError(f"Column {self.name!r} has {self.cardinality} codes.")

    @property
    def cardinality(self) -> int:
        return self.counts.most

    @property
    def rare_share(self) -> float:
        return self.counts.share

    def count(self, column: Column, weight: NDArray | None) -> CodeCounts:
        values = column.values
        if not isinstance(values, Codes):
            raise self._no_codes(column)
        return CodeCounts.of(values.cardinality, values.codes == 0, weight)

    def grow(self, counts: CodeCounts) -> Self:
        """Add to the counts; the encoder before has grown."""
        return replace(self, counts=self.counts + counts)

    def codes(self, column: Column) -> NDArray:
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

    def decode(self, name: str, fields: Table) -> Any:
        return fields[name].values
