"""Counts of many chunks, added up without a copy of all for each of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ._value_counts import ValueCounts

_NEW_SHARE = 0.25  # of the values that are known, as many new ones wait for their place
_LEAST_NEW = 2**14
_TEXT = 80  # bytes of a text, about


class Tally:
    """The sum of counts, whatever they are of.

    Counts of values that are known already are added in place; new values wait until
    they are many, so that sorting them in costs little.
    """

    def __init__(self) -> None:
        self._total: Any = None
        self._new: Any = None

    def add(self, counts: Any) -> None:
        """Add the counts of some rows."""
        total = self._total
        if total is None and isinstance(counts, ValueCounts):
            self._total = replace(counts, sums=counts.sums.copy())
        elif not isinstance(counts, ValueCounts) or not len(total):
            self._total = counts if total is None else total + counts
        else:
            self._add_values(total, counts)

    def _add_values(self, total: ValueCounts, counts: ValueCounts) -> None:
        places = total.lookup.find(counts.values)
        known = places >= 0
        total.sums[:, places[known]] += counts.sums[:, :-1][:, known]
        total.sums[:, -1] += counts.sums[:, -1]
        if known.all():
            return
        sums = np.append(counts.sums[:, :-1][:, ~known], 0 * counts.sums[:, :1], axis=1)
        new = ValueCounts(counts.name, counts.values[~known], sums)
        self._new = new if self._new is None else self._new + new
        if len(self._new) > max(_LEAST_NEW, _NEW_SHARE * len(total)):
            self._settle()

    def _settle(self) -> None:
        if self._new is not None:
            self._total, self._new = self._total + self._new, None

    @property
    def counts(self) -> Any:
        """The sum of all that were added."""
        self._settle()
        return self._total

    @property
    def n_values(self) -> int:
        """Distinct values, so far."""
        parts = (self._total, self._new)
        return sum(len(one) for one in parts if isinstance(one, ValueCounts))

    @property
    def nbytes(self) -> int:
        """Memory of the counts of values, about; others take little."""
        size = 0
        for one in (self._total, self._new):
            if isinstance(one, ValueCounts):
                text = _TEXT if one.values.dtype.kind == "O" else 0
                size += one.sums.nbytes + one.values.nbytes + text * len(one)
        return size
