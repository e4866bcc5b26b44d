"""Codes that came as codes: nothing is learned but how many there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Codes, Column
from dephn_sk.preprocessing._distinct import is_whole
from dephn_sk.preprocessing._spelling import shown


class Encoded:
    """Takes codes as they are, any number that is none of them as code 0.

    Parameters
    ----------
    cardinality : int
        Number of codes, code 0 included.
    table : str or None
        A name that fields sharing one table have in common.
    """

    missing_share = 0.0

    def __init__(self, cardinality: int, table: str | None = None):
        self.cardinality = cardinality
        self.table = table
        self._total = self._zeros = 0.0

    def count(self, column: Column, weight: NDArray | None) -> float:
        """Take over the cardinality; give the weight of all rows."""
        values = column.values
        if not isinstance(values, Codes):
            raise self._no_codes(column)
        self.cardinality = max(self.cardinality, values.cardinality)
        zeros = values.codes == 0
        total = float(len(zeros) if weight is None else weight.sum())
        self._total += total
        self._zeros += zeros.sum() if weight is None else weight[zeros].sum()
        return total

    def grow(self) -> None:
        """Nothing more to do: the encoder before has grown."""

    def encode(self, column: Column) -> NDArray:
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

    @property
    def rare_share(self) -> float:
        """Share of the rows with code 0."""
        return self._zeros / self._total if self._total else 0.0
