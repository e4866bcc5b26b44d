"""Counts of many chunks, added up without a copy of all for each of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np

from ._distinct import object_array
from ._lookup import order
from ._value_counts import ValueCounts

_NEW_SHARE = 0.25  # of the values that are known, as many new ones wait for their place
_LEAST_NEW = 2**14
_TEXT = 80  # bytes of a text, about
_BLOCK = 2**14  # values whose sums are put in order at a time


class Tally:
    """The sum of counts, whatever they are of.

    Counts of values that are known already are added in place. New numbers wait until
    they are many, so that sorting them in costs little; new texts are sorted at the
    end.
    """

    def __init__(self) -> None:
        self._total: Any = None
        self._new: Any = None

    def add(self, counts: Any) -> None:
        """Add the counts of some rows."""
        total = self._total
        if not isinstance(counts, ValueCounts):
            self._total = counts if total is None else total + counts
        elif isinstance(total, _Texts) and total.takes(counts):
            total.add(counts)
        elif total is None and _Texts.takes(counts):
            self._total = _Texts(counts)
        else:
            if isinstance(total, _Texts):
                self._total = total.counts
            self._add_values(counts.in_order())

    def _add_values(self, counts: ValueCounts) -> None:
        total = self._total
        if total is None:
            self._total = replace(counts, sums=counts.sums.copy())
            return
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
        if isinstance(self._total, _Texts):
            self._total = self._total.counts
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
        return sum(len(one) for one in parts if isinstance(one, ValueCounts | _Texts))

    @property
    def nbytes(self) -> int:
        """Memory of the counts of values, about; others take little."""
        size = 0
        for one in (self._total, self._new):
            if isinstance(one, _Texts):
                size += (one.sums[:1].nbytes + 8 + _TEXT) * len(one)
            elif isinstance(one, ValueCounts):
                text = _TEXT if one.values.dtype.kind == "O" else 0
                size += one.sums.nbytes + one.values.nbytes + text * len(one)
        return size


class _Texts:
    """Counts of texts in the order of their appearance, to which new ones are appended.

    Attributes
    ----------
    places : dict of str to int
    sums : ndarray of shape (at least n_values, n_sums)
        Those of one value side by side, which are added to together.
    missing : ndarray of shape (n_sums,)
    """

    def __init__(self, counts: ValueCounts) -> None:
        self.name = counts.name
        self.places: dict[str, int] = {}
        self.sums = np.zeros((0, len(counts.sums)))
        self.missing = np.zeros(len(counts.sums))
        self.add(counts)

    @staticmethod
    def takes(counts: ValueCounts) -> bool:
        """Whether all values are texts."""
        return counts.values.dtype.kind == "O" and {str} >= set(
            map(type, counts.values.tolist())
        )

    def __len__(self) -> int:
        return len(self.places)

    def add(self, counts: ValueCounts) -> None:
        """Add the counts of some rows."""
        texts, n_before = counts.values.tolist(), len(self)
        found = map(self.places.get, texts, repeat(-1))
        places = np.fromiter(found, np.intp, len(texts))
        new = np.flatnonzero(places < 0)
        places[new] = n_before + np.arange(len(new))
        fresh = map(texts.__getitem__, new.tolist())
        self.places.update(zip(fresh, places[new].tolist(), strict=True))
        if len(self) > len(self.sums):
            room = max(len(self), int((1 + _NEW_SHARE) * len(self.sums)))
            sums = np.zeros((room, self.sums.shape[1]))
            sums[:n_before] = self.sums[:n_before]
            self.sums = sums
        self.sums[places] += counts.sums[:, :-1].T
        self.missing += counts.sums[:, -1]

    @property
    def counts(self) -> ValueCounts:
        """The same, in order."""
        values = object_array(list(self.places))
        ranks, n = order(values, self.name), len(self)
        sums = np.empty((self.sums.shape[1], n + 1))
        sums[:, n] = self.missing
        for start in range(0, n, _BLOCK):
            rows = ranks[start : start + _BLOCK]
            sums[:, start : start + len(rows)] = self.sums[rows].T
        return ValueCounts(self.name, values[ranks], sums)
