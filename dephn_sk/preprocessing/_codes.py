"""Codes that came as codes: nothing is learned but how many there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._columns import Codes, Column


class Encoded:
    """Takes codes below a cardinality as they are, any other as code 0.

    Parameters
    ----------
    cardinality : int
        Number of codes, code 0 included.
    table : str or None
        A name that fields sharing one table have in common.
    """

    def __init__(self, cardinality: int, table: str | None = None):
        self.cardinality = cardinality
        self.table = table

    def encode(self, column: Column) -> NDArray:
        """The codes themselves."""
        if isinstance(column.values, Codes):
            if column.values.cardinality > self.cardinality:
                raise ValueError(
                    f"Column {column.name!r} holds codes of {column.values.cardinality}"
                    f" rows, but had {self.cardinality} in fit. Encode both with the "
                    "same FieldEncoder."
                )
            return column.values.codes
        numbers = column.numbers()
        known = (numbers % 1 == 0) & (numbers >= 0) & (numbers < self.cardinality)
        return np.where(known, numbers, 0).astype(np.int32)

    def decode(self, codes: NDArray) -> NDArray:
        """The codes themselves."""
        return codes
