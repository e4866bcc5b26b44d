"""The hash of integers in a graph; that of text is none that ONNX can say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..preprocessing import _hashing
from ..preprocessing._columns import Column
from ..preprocessing._distinct import is_whole
from ..preprocessing._hashing import Hashing
from ..preprocessing._spelling import number, shown, texts
from ._graph import Graph


def check_hashes_integers(kind: Hashing, name: str) -> None:
    """Refuse what was text in `fit`."""
    if kind.counts.most != _hashing._NUMBERS:
        raise ValueError(
            f"Column {name!r} is text that n_buckets={kind.n_buckets} hashes, which no "
            "graph can do. Learn a vocabulary instead (max_categories or min_frequency "
            "bound it), or give integers."
        )


def as_integers(column: Column) -> tuple[NDArray, NDArray]:
    """What a hashed column's rows hold as 64 bits, and which are missing."""
    positions, values = column.distinct.positions, column.distinct.values
    if values.dtype.kind in "biu":
        bits = values.astype(np.uint64)
    elif values.dtype.kind == "f" and is_whole(values).all():
        bits = values.astype(np.int64).view(np.uint64)
    else:
        spelt = [number(text) for text in texts(values)]
        whole = [one for one in spelt if isinstance(one, int)]
        if len(whole) < len(spelt):
            bad = next(i for i, one in enumerate(spelt) if not isinstance(one, int))
            raise ValueError(
                f"Column {column.name!r} holds {shown(values.tolist()[bad])}, which "
                "is no integer; a graph hashes integers alone. Leave the cell missing."
            )
        bits = np.array([one % 2**64 for one in whole], dtype=np.uint64)
    integers = np.append(bits, np.uint64(0)).view(np.int64)
    return integers[positions], positions < 0


def buckets(graph: Graph, integers: str, kind: Hashing) -> list[str]:
    """The codes of integers of any shape, one for each hash."""
    bits = _mix(graph, graph.cast(integers, "uint64"))
    seeds = np.arange(kind.n_hashes, dtype=np.uint64) * _hashing._GOLDEN
    codes = []
    for seed in _hashing.mix(seeds):
        mixed = _mix(graph, graph.op("BitwiseXor", bits, graph.constant(seed)))
        bucket = graph.op("Mod", mixed, graph.constant(np.uint64(kind.n_buckets)))
        one = graph.constant(1)
        codes.append(graph.op("Add", graph.cast(bucket, "int64"), one))
    return codes


def _mix(graph: Graph, bits: str) -> str:
    """The finaliser of splitmix64, as `preprocessing` has it."""
    bits = graph.op("Add", bits, graph.constant(_hashing._GOLDEN))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = graph.op("BitwiseXor", bits, _shifted(graph, bits, shift))
        bits = graph.op("Mul", bits, graph.constant(np.uint64(factor)))
    return graph.op("BitwiseXor", bits, _shifted(graph, bits, 31))


def _shifted(graph: Graph, bits: str, by: int) -> str:
    return graph.op("BitShift", bits, graph.constant(np.uint64(by)), direction="RIGHT")
