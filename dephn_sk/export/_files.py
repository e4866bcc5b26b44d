"""A model on disk: one file, or two where one would be larger than ONNX allows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LIMIT = 2**31 - 2**24  # bytes of one file, with room for all but the tables
SMALL = 2**16  # tensors of fewer bytes stay in the first file
_PAGE = 4096  # so that an engine can map a table into memory


def set_aside(tensors: Iterable[Any], path: Any) -> list[bytes]:
    """Take the large tensors out of a model that is too large for one file.

    Parameters
    ----------
    tensors : iterable of onnx.TensorProto
        All of the model's; the large ones refer to a second file afterwards.
    path : path-like or None
        Of the model.

    Returns
    -------
    list of bytes
        What the second file holds, one after the other; nothing where there is none.
    """
    from onnx.external_data_helper import set_external_data

    tensors = [one for one in tensors if one.HasField("raw_data")]
    size = sum(len(one.raw_data) for one in tensors)
    if size < LIMIT:
        return []
    if path is None:
        raise ValueError(
            f"The model has {size:,} bytes, and ONNX holds at most 2 GiB in one "
            "object. Give a path, beside which the tables are written."
        )
    parts, offset = [], 0
    for one in tensors:
        if len(one.raw_data) >= SMALL:
            data = one.raw_data
            set_external_data(one, _beside(path).name, offset, len(data))
            one.ClearField("raw_data")
            parts += [data, bytes(-len(data) % _PAGE)]
            offset += len(data) + len(parts[-1])
    return parts


def save(model: Any, path: Any, parts: list[bytes]) -> None:
    """Write a model, and what was set aside; files are replaced when all is written."""
    written = {Path(path): [model.SerializeToString()]}
    if parts:
        written[_beside(path)] = parts
    for file, data in written.items():
        with _new(file).open("wb") as opened:
            opened.writelines(data)
    for file in reversed(written):
        os.replace(_new(file), file)


def _beside(path: Any) -> Path:
    return Path(f"{os.fspath(path)}.data")


def _new(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")
