"""A model on disk: one file, or two where one would be larger than ONNX allows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

LIMIT = 2**31 - 2**24  # bytes of one file, with room for all but the tables
SMALL = 2**16  # tensors of fewer bytes stay in the first file


def save(model: Any, path: Any) -> None:
    """Write a model; what is there is replaced only when all is written."""
    import onnx

    path = Path(path)
    if size_of(model) < LIMIT:
        _replace(path, lambda new: onnx.save_model(model, new))
        return
    data = path.name + ".data"
    new = path.with_name(path.name + ".new")
    onnx.save_model(
        model,
        new,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data,
        size_threshold=SMALL,
    )
    os.replace(new, path)
    # the model in memory is whole again
    onnx.load_external_data_for_model(model, str(path.parent))


def size_of(model: Any) -> int:
    """Bytes of a model's tensors."""
    return sum(len(one.raw_data) for one in model.graph.initializer)


def _replace(path: Path, write: Any) -> None:
    new = path.with_name(path.name + ".new")
    write(new)
    os.replace(new, path)
