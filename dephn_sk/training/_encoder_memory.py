"""Encoders that were fitted before, in a folder, for other fits of the same rows."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray

from .._compat import warn
from ..preprocessing import FieldEncoder, Fields
from ..preprocessing._frames import library
from ..preprocessing._input import read_table
from ..tasks import Labels, read_columns
from ._parameters import AUTO

MOST_BYTES = 2**32  # of a folder of ours
_FOLDER = "dephn_sk"  # within the user's, of which nothing else is deleted
_FORMAT = 1  # of what is kept


class Encoded(NamedTuple):
    """What a fit learns of columns, and what they are to a network."""

    encoder: FieldEncoder
    fields: Fields
    edges: list[NDArray]


def encoded(template: Any, encoder: Any, X: Any, y: Any, weight: Any) -> Encoded:
    """A fitted encoder and the rows' fields: made now, or found in `memory`."""
    n_bins, auto = template.n_bins, template.numeric_embedding == AUTO

    def make() -> Encoded:
        fields = encoder.fit_encode(X, y, weight, np.dtype(template.dtype))
        how = {"discrete_only": auto, "dtype": template.dtype}
        return Encoded(encoder, fields, encoder.edges(n_bins, **how))

    if template.memory is None:
        return make()
    return _recalled(
        template.memory, _key(encoder, X, y, weight, n_bins, auto, template.dtype), make
    )


class _Digest:
    """A file that keeps the hash of what is written to it."""

    def __init__(self) -> None:
        self.sum = hashlib.blake2b(digest_size=20)

    def write(self, data: Any) -> None:
        self.sum.update(data)


def _key(encoder: FieldEncoder, X: Any, y: Any, weight: Any, *how: Any) -> str:
    """A text that is another one for all that an encoder would learn otherwise of.

    The columns are those that it reads: an index has no part in it.
    """
    reader = copy.copy(encoder)
    table = read_table(reader, X, reset=True)
    columns = [(one.name, _contiguous(one.values)) for one in table]
    labels = y if isinstance(y, Labels) else read_columns(y)
    versions = _FORMAT, np.__version__, sklearn.__version__  # ours is in the encoder's
    digest = _Digest()
    pickler = pickle.Pickler(digest, protocol=5)
    pickler.fast = True  # by content alone: the same text is no other if it is a copy
    try:
        pickler.dump((versions, reader, library(X), columns, labels, weight, how))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            "memory is given, but the encoder's parameters or cells of X hold what "
            f"cannot be told from other things: {error}. Set memory=None."
        ) from error
    return digest.sum.hexdigest()


def _contiguous(values: Any) -> Any:
    """An array as if it was no view of another, whose strides a pickle tells."""
    return np.ascontiguousarray(values) if type(values) is np.ndarray else values


class _Packed(NamedTuple):
    """What is a plain pickle within joblib's, and comes back as what it holds.

    joblib itself takes three times as long to read an object of many parts.
    """

    held: Encoded

    def __reduce__(self) -> Any:
        return pickle.loads, (pickle.dumps(self.held, protocol=5),)


def _kept(key: str, make: Callable[[], Encoded]) -> _Packed:
    """What is kept under a key."""
    return _Packed(make())


def _recalled(memory: Any, key: str, make: Callable[[], Encoded]) -> Encoded:
    """What is kept under the key, or else what is made and kept from now on."""
    made: list[Encoded] = []

    def made_now() -> Encoded:
        made.append(make())
        return made[0]

    store, ours = memory, not isinstance(memory, joblib.Memory)
    try:
        if ours:
            folder = os.path.join(os.fspath(memory), _FOLDER)
            store = joblib.Memory(folder, verbose=0)
        recall = store.cache(_kept, ignore=["make"])
    except OSError as error:
        raise ValueError(
            f"memory={memory!r} cannot be used as a folder: {error}. Give the path of "
            "one that can be written to, or None."
        ) from error
    was_there = recall.check_call_in_cache(key, made_now)
    found = recall(key, made_now)
    if not made:
        found.encoder._encoding.warn_of_empty()
        return Encoded(*found)
    if was_there:
        warn(
            f"memory={memory!r} holds a file that cannot be read. The rows were "
            "encoded anew, and it was replaced.",
        )
    if ours:
        with contextlib.suppress(OSError):  # another process may delete the same
            store.reduce_size(bytes_limit=MOST_BYTES)
    return made[0]
