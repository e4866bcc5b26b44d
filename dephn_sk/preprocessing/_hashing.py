"""Codes without a vocabulary: a hash that is the same in every process."""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ._codes import NO_ROW, CodeCounts, Coder
from ._columns import Column
from ._distinct import is_whole, object_array
from ._settings import Settings
from ._spelling import number, texts

_PRIME = np.uint64(0x100000001B3)
_BASIS = np.uint64(0xCBF29CE484222325)
_LONG = 256  # bytes
_BLOCK = 2**15  # texts
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NUMBERS, _TEXT = 1, 2  # what values are; where some are text, all are


@dataclass(frozen=True, eq=False, kw_only=True)
class Hashing(Coder):
    """Codes 1 to ``n_buckets`` by hash; missing has code 0.

    Integers, and text that spells one, hash alike when the column held integers.

    Attributes
    ----------
    n_buckets : int
        Number of buckets.
    n_hashes : int
        Number of codes for each value, of independent hashes.
    counts : CodeCounts
        Its `most` says what the values are.
    """

    parts = (CodeCounts,)

    n_buckets: int
    n_hashes: int = 1
    counts: CodeCounts = NO_ROW

    @classmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        name = column.name
        n_buckets = settings.of("n_buckets", settings.head(name))
        if n_buckets is None or not settings.is_category(column):
            return None
        n_hashes, table = settings.n_hashes(name), settings.shared.get(name)
        return cls(name, n_buckets=n_buckets, n_hashes=n_hashes, table=table)

    @property
    def cardinality(self) -> int:
        return self.n_buckets + 1

    @property
    def is_empty(self) -> bool:
        return self.counts.zeros == self.counts.total

    @property
    def missing_share(self) -> float:
        return self.counts.share

    def check(self) -> None:
        if not (1 <= self.n_buckets < 2**31 - 1 and 1 <= self.n_hashes <= 2**16):
            raise ValueError(f"Column {self.name!r} has {self.n_buckets} buckets.")

    def count(self, column: Column, weight: NDArray | None) -> CodeCounts:
        missing, values = column.distinct.positions < 0, column.distinct.values
        kind = 0
        if len(values) and (weight is None or weight[~missing].any()):
            kind = _kind(values)
        return CodeCounts.of(kind, missing, weight)

    def grow(self, counts: CodeCounts) -> Self:
        """Add to the counts; how values hash stays."""
        known, counts = self.counts.most, self.counts + counts
        return replace(self, counts=replace(counts, most=known or counts.most))

    def codes(self, column: Column) -> NDArray:
        distinct = column.distinct
        hashes = self._hashes(distinct.values)
        seeds = np.arange(self.n_hashes, dtype=np.uint64) * _GOLDEN
        buckets = mix(hashes[:, None] ^ mix(seeds)) % np.uint64(self.n_buckets)
        codes = np.zeros((len(hashes) + 1, self.n_hashes), dtype=np.int32)
        codes[:-1] = buckets + np.uint64(1)
        codes = codes[distinct.positions]  # missing is at -1
        return codes[:, 0] if self.n_hashes == 1 else codes

    def _hashes(self, values: NDArray) -> NDArray:
        """Hashes of the values as the numbers or the text that they were in fit."""
        if _kind(values) == self.counts.most:
            return stable_hash(values)
        spelt = texts(values)
        hashes = stable_hash(object_array(spelt))
        if self.counts.most == _NUMBERS:
            found = [number(text) for text in spelt]
            whole = {i: one for i, one in enumerate(found) if isinstance(one, int)}
            other = {i: one for i, one in enumerate(found) if isinstance(one, float)}
            bits = [one % 2**64 for one in whole.values()]
            hashes[list(whole)] = stable_hash(np.array(bits, dtype=np.uint64))
            hashes[list(other)] = stable_hash(np.array(list(other.values()), float))
        return hashes


def _kind(values: NDArray) -> int:
    return _NUMBERS if values.dtype.kind in "biuf" else _TEXT


def stable_hash(values: NDArray) -> NDArray:
    """A 64-bit hash of each value, equal on every platform.

    Numbers pass the finaliser of splitmix64, whole floats as integers; anything else is
    hashed by FNV-1a of its text in UTF-8, or by BLAKE2b if that is longer than 256
    bytes, and then finalised.

    >>> stable_hash(np.array(["Oslo", "Rome"], dtype=object))
    array([10778201534438463018,  6079655644700755245], dtype=uint64)
    >>> stable_hash(np.array([1, 2]))
    array([10451216379200822465, 10905525725756348110], dtype=uint64)
    """
    if values.dtype.kind == "f":
        whole = is_whole(values)
        integers = np.where(whole, values, 0).astype(np.int64).view(np.uint64)
        bits = values.astype(np.float64).view(np.uint64)
        return mix(np.where(whole, integers, bits))
    if values.dtype.kind in "biu":
        return mix(values.astype(np.uint64, copy=False))
    spelt = texts(values)
    hashes = np.empty(len(spelt), dtype=np.uint64)
    for begin in range(0, len(spelt), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        hashes[block] = _hash_texts(spelt[block])
    return mix(hashes)


def _hash_texts(spelt: list[str]) -> NDArray:
    """FNV-1a of short texts, all at once; BLAKE2b of long ones."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in spelt]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    hashes = np.full(len(encoded), _BASIS, dtype=np.uint64)
    for i in np.flatnonzero(lengths > _LONG).tolist():
        digest = blake2b(encoded[i], digest_size=8).digest()
        hashes[i] = int.from_bytes(digest, "little")
        encoded[i], lengths[i] = b"", 0
    order = np.argsort(-lengths, kind="stable")
    characters = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    starts = (np.cumsum(lengths) - lengths)[order]
    # Longest first: those with a character at position k are the first so many.
    reaching = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)))
    sorted_hashes = hashes[order]
    for k, many in enumerate(reaching.tolist()):
        sorted_hashes[:many] ^= characters[starts[:many] + k]
        sorted_hashes[:many] *= _PRIME
    hashes[order] = sorted_hashes
    return hashes


def mix(bits: NDArray) -> NDArray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    bits = bits + _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
