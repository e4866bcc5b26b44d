"""How the numbers of a column are distributed: counts that merge exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# Most values, or buckets of values, that are told apart.
MOST = 2**16
_FEW = 2**14  # numbers that are sorted sooner than counted
_WORD = 64
_FIRST_BITS = 16  # sign, exponent and four bits more: at most MOST buckets
_TABLE_BITS = 17  # a table of so many counts stays in the processor's cache
_SIGN_AND_EXPONENT = 12


@dataclass(frozen=True, eq=False)
class Distribution:
    """The weight of each distinct number, or of each bucket of numbers.

    Up to 2**16 distinct numbers are counted one by one. Where there are more, a bucket
    holds all numbers whose leading bits agree (sign, exponent, some of the mantissa):
    the most bits with which at most 2**16 buckets are occupied. Splitting a bucket
    never makes fewer of them, so the sum of two distributions is that of all their
    numbers together, whichever way they were divided: a function of the numbers and
    their weights alone. (Weights are added as floats: sums of integer weights below
    2**53 are exact, those of fractions are so up to rounding.)

    A quantile lies in the bucket of the exact one, so it errs by less than
    ``relative_error`` of its size: 0 for counted numbers, for a million normal ones
    2**-11, at worst 2**-4, where numbers fill every power of two that a float has.

    Attributes
    ----------
    keys : ndarray of int64
        Increasing; the bits of each bucket's smallest number, ordered as the numbers.
    mass : ndarray of float64
        The weight of each bucket.
    bits : int
        Leading bits that the numbers of a bucket share; 64 where they are equal.
    low, high : float
        The smallest and the largest number; NaN where there is none.
    rows : int
        How many numbers there are.
    missing : float
        The weight of missing ones, which are no numbers.

    Examples
    --------
    >>> one = Distribution.of(np.array([2.0, 1.0, 2.0]))
    >>> two = one + Distribution.of(np.array([3.0]), np.array([5.0]))
    >>> two.values, two.mass, two.relative_error
    (array([1., 2., 3.]), array([1., 2., 5.]), 0.0)
    """

    keys: NDArray[np.int64]
    mass: NDArray[np.float64]
    bits: int
    low: float
    high: float
    rows: int
    missing: float = 0.0

    @classmethod
    def of(cls, numbers: NDArray, weight: NDArray | None = None) -> Distribution:
        """Count numbers that are finite, and NaN as missing, once or by weight."""
        lost = np.isnan(numbers)
        counted = ~lost if weight is None else ~lost & (weight > 0)
        missing = float(lost.sum() if weight is None else weight[lost].sum())
        if not counted.all():
            numbers = numbers[counted]
            weight = None if weight is None else weight[counted]
        if weight is not None and np.all(weight == 1):
            weight = None
        numbers = np.ascontiguousarray(numbers, dtype=np.float64)
        if not len(numbers):
            nothing, nan = np.empty(0), np.nan
            return cls(nothing.astype(np.int64), nothing, _WORD, nan, nan, 0, missing)
        words = numbers.view(np.int64)
        if np.any(words == np.iinfo(np.int64).min):
            words = (numbers + 0.0).view(np.int64)  # no negative zero
        if len(words) <= _FEW:
            mass = np.ones(len(words)) if weight is None else weight
            found = _condensed(_in_order(words), mass, _WORD)
        else:
            found = _condensed(*_count_leading_bits(words, weight))
        low, high = float(numbers.min()), float(numbers.max())
        return cls(*found, low, high, len(numbers), missing)

    def __add__(self, other: Distribution) -> Distribution:
        missing = self.missing + other.missing
        if not (self.rows and other.rows):
            return replace(self if self.rows else other, missing=missing)
        keys = np.concatenate([self.keys, other.keys])
        mass = np.concatenate([self.mass, other.mass])
        found = _condensed(keys, mass, min(self.bits, other.bits))
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Distribution(*found, low, high, self.rows + other.rows, missing)

    @property
    def missing_share(self) -> float:
        """Share of the weight of missing numbers."""
        return self.missing / float(self.mass.sum() + self.missing)

    @property
    def relative_error(self) -> float:
        """How far a number may be from its bucket's smallest, by its size."""
        if self.bits == _WORD:
            return 0.0
        return float(2.0 ** (_SIGN_AND_EXPONENT - self.bits))

    @property
    def values(self) -> NDArray[np.float64]:
        """The smallest number of each bucket, or that it could hold."""
        return self._numbers(self.keys)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bucket."""
        if self.bits == _WORD:
            return self.values
        return self.values / 2 + self._numbers(self.keys | ~_mask(self.bits)) / 2

    def _numbers(self, keys: NDArray[np.int64]) -> NDArray[np.float64]:
        seen = _in_order(np.array([self.low, self.high]).view(np.int64))
        return (
            _in_order(np.clip(keys, *seen)).view(np.float64) if self.rows else self.mass
        )

    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and standard deviation; that of a constant is 1."""
        if len(self.mass) < 2:
            return (self.low if self.rows else 0.0), 1.0
        # A power of two, so that squares of large numbers stay finite and nothing
        # rounds.
        unit = 2.0 ** (np.frexp(max(abs(self.low), abs(self.high)))[1] - 1)
        numbers = self.centres / unit
        mean = np.average(numbers, weights=self.mass)
        variance = np.average((numbers - mean) ** 2, weights=self.mass)
        # What rounding alone can make of a constant, as in StandardScaler.
        epsilon, n = np.finfo(np.float64).eps, len(numbers)
        noise = n * epsilon * variance + (n * mean * epsilon) ** 2
        deviation = float(np.sqrt(variance) * unit) if variance > noise else 1.0
        # Division by less than the smallest normal number is none.
        return float(mean * unit), deviation if deviation > 1e-300 else 1.0

    def quantiles(self, shares: list[float]) -> list[float]:
        """The smallest numbers that at least these shares of the weight do not exceed.

        >>> Distribution.of(np.arange(5.0)).quantiles([0.25, 0.5])
        [1.0, 2.0]
        """
        below = np.cumsum(self.mass)
        where = np.searchsorted(below, np.array(shares) * below[-1])
        return self.values[where].tolist()


def _in_order(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bits of floats, so that they order as the floats do; and the way back."""
    return bits ^ ((bits >> (_WORD - 1)) & np.int64(2**63 - 1))


def _mask(length: int) -> np.int64:
    """The first so many bits of a word."""
    return np.int64(-1) << np.int64(_WORD - length)


def _condensed(
    keys: NDArray[np.int64], mass: NDArray, bits: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Sorted buckets of at most so many bits, as many as leave at most `MOST`."""
    order = np.argsort(keys, kind="stable")  # fast, since they are sorted in parts
    keys, mass = keys[order], mass[order]
    changed = (keys[1:] ^ keys[:-1]).view(np.uint64)
    # Buckets begin where one of the leading bits changes.
    while np.count_nonzero(begins := changed >= np.uint64(2 ** (_WORD - bits))) >= MOST:
        bits -= 1
    starts = np.append(0, np.flatnonzero(begins) + 1)
    mass = np.add.reduceat(mass, starts, dtype=np.float64)
    return keys[starts] & _mask(bits), mass, bits


def _count_leading_bits(
    words: NDArray[np.int64], weight: NDArray | None
) -> tuple[NDArray[np.int64], NDArray, int]:
    """Keys of leading bits that occur, their weights, and how many bits they are.

    Looks at some more bits at a time, in tables of counts: far faster than sorting.
    """
    length, offset = _FIRST_BITS, np.int64(2 ** (_FIRST_BITS - 1))
    bucket = words >> (_WORD - length)
    bucket += offset
    present, mass = _occupied(bucket, weight)
    prefixes = present - offset
    while length < _WORD and len(present) <= MOST:
        room = _TABLE_BITS + 1 - len(present).bit_length()
        more = min(max(room, 2), _WORD - length)
        length += more
        places = np.zeros(int(present[-1]) + 1, dtype=np.int64)
        places[present] = np.arange(len(present)) << more
        bucket = places[bucket]
        bits = words >> (_WORD - length)
        bits &= np.int64(2**more - 1)
        bucket += bits
        present, mass = _occupied(bucket, weight)
        prefixes = (prefixes[present >> more] << more) | (present & (2**more - 1))
        if len(present) <= MOST and (one := _one_each(words, bucket)) is not None:
            prefixes, length = one[present], _WORD
    keys = _in_order(prefixes << (_WORD - length)) & _mask(length)
    negative = int(np.searchsorted(prefixes, 0))  # their words order the other way
    order = np.append(np.arange(negative)[::-1], np.arange(negative, len(keys)))
    return keys[order], mass[order], length


def _one_each(
    words: NDArray[np.int64], bucket: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """The only word of each bucket; None where further bits tell more."""
    words_of = np.empty(int(bucket.max()) + 1, dtype=np.int64)
    words_of[bucket] = words
    for some in (slice(1000), slice(None)):  # mostly the first thousand tell
        if not np.array_equal(words_of[bucket[some]], words[some]):
            return None
    return words_of


def _occupied(
    bucket: NDArray[np.int64], weight: NDArray | None
) -> tuple[NDArray[np.int64], NDArray]:
    """The buckets that hold something, and the weight of each."""
    counts = np.bincount(bucket)
    present = np.flatnonzero(counts)
    if weight is not None:
        counts = np.bincount(bucket, weight)
    return present, counts[present]
