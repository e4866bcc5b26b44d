"""What a fit was given, in texts and sums that are the same in another process."""

from __future__ import annotations

import functools
import json
import platform
import types
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import scipy
import skorch
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..preprocessing import FieldEncoder
from ..preprocessing._chance import group_hashes
from ..training import Batch, FittedModel, Source
from ..training._rows import Rows
from . import _card
from ._objects import Objects
from ._plain import flatten

# what may be another: it decides what is shown, or is said by other entries
_FREE = frozenset({"verbose", "device", "memory"})
_BLOCK = 2**16  # rows that are read at a time
_DEEPEST = 20
_EMPTY = types.CellType()


def versions() -> dict[str, str]:
    """Of all that decides the bits of a fit, and what its functions are compiled to."""
    python = ".".join(platform.python_version_tuple()[:2])
    others = {"scipy": scipy.__version__, "skorch": skorch.__version__}
    return {**_card.versions(), **others, "python": python}


def parameters(template: Any, device: torch.device) -> dict[str, str]:
    """An estimator's class and parameters as texts, and the device that was found."""
    given = template.get_params(deep=False).items()
    texts = {name: described(value) for name, value in given if name not in _FREE}
    return {"estimator": described(type(template)), **texts, "device": device.type}


def described(value: Any, depth: int = 0) -> str:
    """A text that is another one for another value, and holds no address.

    >>> described((1, "a", None)), described(np.zeros(2)) == described(np.ones(2))
    ("(1, 'a', None)", False)
    """
    deeper = functools.partial(described, depth=depth + 1)
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, np.generic):
        return f"{value.dtype}({value})"
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        pairs = sorted(f"{deeper(k)}: {deeper(one)}" for k, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(deeper, value)))}}}"
    if isinstance(value, (list, tuple)):
        ends = "()" if isinstance(value, tuple) else "[]"
        return ends[0] + ", ".join(map(deeper, value)) + ends[1]
    if isinstance(value, np.random.RandomState):  # the seed that it draws says which
        return "RandomState"
    if isinstance(value, (type, types.FunctionType, types.CodeType)):
        return _described_code(value, deeper)
    if isinstance(value, functools.partial):
        return f"partial{deeper((value.func, value.args, value.keywords))}"
    if isinstance(value, types.MethodType):
        return deeper((value.__func__, value.__self__))
    if isinstance(value, Tensor) or hasattr(value, "__array__"):
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        if array.dtype.kind == "O":
            return f"{array.shape} {deeper(array.tolist())}"
        return f"{array.dtype} {array.shape} {sha256(array.tobytes()).hexdigest()}"
    if hasattr(value, "get_params"):
        return f"{_name(type(value))}{deeper(value.get_params(deep=False))}"
    if hasattr(value, "__dict__"):
        return f"{_name(type(value))}{deeper(vars(value))}"
    if hasattr(value, "__qualname__"):  # a function that is built in
        return f"{value.__module__}.{value.__qualname__}"
    shown = repr(value)
    return _name(type(value)) if " at 0x" in shown else shown


def _name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _described_code(value: Any, deeper: Any) -> str:
    """A class by its name, a function by its name and by what it does."""
    if isinstance(value, type):
        return _name(value)
    if isinstance(value, types.FunctionType):
        cells = [c.cell_contents for c in value.__closure__ or () if c != _EMPTY]
        held = deeper((value.__code__, value.__defaults__, value.__kwdefaults__, cells))
        return f"{_name(value)} {sha256(held.encode()).hexdigest()[:16]}"
    return deeper((value.co_code, value.co_names, value.co_varnames, value.co_consts))


def sum_of(state: Any) -> str:
    """Of a nested state, by content."""
    return sum_of_flat(*flatten(state))


def sum_of_flat(tree: Any, arrays: Mapping[str, NDArray]) -> str:
    """Of what `flatten` gives."""
    total = sha256(json.dumps(tree).encode())
    for name, array in arrays.items():
        _add(total, name, array)
    return total.hexdigest()


def _add(total: Any, name: str, array: NDArray) -> None:
    total.update(f"{name} {array.dtype.str} {array.shape}".encode())
    total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def rows_given(rows: Rows, groups: Any) -> dict[str, str]:
    """Labels, weights, times and groups of the rows that count, as they were given."""
    labels = rows.labels
    given = {"y": sum_of([rows.tasks.state(), labels.values, labels.observed])}
    if rows.given is not None:
        given["sample_weight"] = sum_of(rows.given)
    if rows.delays is not None:
        times = [rows.delays.waited, rows.delays.delays]
        given["label_time, label_delay or observed_until"] = sum_of(times)
    if groups is not None:  # by their hashes, which say what is set aside
        hashes, unit = group_hashes(np.asarray(groups))
        given["groups"] = sum_of(hashes[unit])
    return given


def columns_of(encoder: Any) -> tuple[Any, dict[str, NDArray]] | None:
    """What was learned of the columns, flat; None of an encoder that does not tell."""
    if not isinstance(encoder, FieldEncoder):
        return None
    try:
        return flatten(encoder, Objects().to_state)
    except ValueError:  # it has parameters that no file holds
        return flatten({k: v.state() for k, v in encoder._encoding.kinds.items()})


def sums_of(*sources: Source | None) -> dict[str, str]:
    """Of the inputs and the labels of sources, row by row, as they hold them."""
    found: dict[str, Any] = {}
    for source in sources:
        for batch in () if source is None else source.batches(_BLOCK):
            for name, tensor in _tensors(batch):
                total = found.setdefault(name.split(".")[0], sha256())
                _add(total, name, tensor.cpu().numpy())
    return {name: total.hexdigest() for name, total in found.items()}


def _tensors(batch: Batch) -> Iterator[tuple[str, Tensor]]:
    """Inputs, labels and weights of a batch, with names."""
    for name, value in batch.inputs.items():
        bags = value if isinstance(value, list) else [(value,)]
        tensors = [one for bag in bags for one in bag if one is not None]
        yield from ((f"X.{name}.{i}", one) for i, one in enumerate(tensors))
    for name, value in (("labels", batch.labels), ("weights", batch.weights)):
        if value is not None:
            yield f"y.{name}", value


def sum_of_fit(before: FittedModel | None) -> str | None:
    """Of the numbers from which training goes on."""
    if before is None:
        return None
    state = before.state.state()
    tensors = {key: one for key, one in state.items() if isinstance(one, Tensor)}
    return sum_of([tensors, state["seed"], state["epoch"]])
