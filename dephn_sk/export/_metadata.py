"""What a server needs to know of a graph, as one JSON text in its metadata."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from ._assembly import float_type
from ._chain import Chain
from ._encoded import CODES, NUMBERS, weighted_bags
from ._inputs import Group

FORMAT = 1
_PACKAGES = ("torch", "scikit-learn", "numpy", "onnx", "onnxscript")


def described(
    chain: Chain,
    inputs: str,
    groups: Sequence[Group],
    outputs: Sequence[dict[str, str]],
    opset: int,
    tables: str,
) -> dict[str, Any]:
    """The metadata of a graph, as values of JSON."""
    from .. import __version__

    final = chain.final
    return {
        "format": FORMAT,
        "inputs": inputs,
        "columns": _columns(groups) if groups else _encoded(chain),
        "masks": {one.mask: one.masked for one in groups if one.mask is not None},
        "tasks": _tasks(chain, outputs),
        "calibration": [one.method for one in chain.calibrators],
        "estimator": type(final).__name__,
        "tables": tables,
        "opset": opset,
        "versions": {
            "dephn_sk": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _columns(groups: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "type": one.type,
            "says": one.says,
            "axes": one.n_axes,
            "shared": group.rows == 1,
            "missing": "NaN" if one.missing != one.missing else one.missing,
            "mask": group.masked.index(one.name) if one.masked else None,
        }
        for group in groups
        for one in group.inputs
    ]


def _encoded(chain: Chain) -> list[dict[str, Any]]:
    encoder, type = chain.final.encoder_, float_type(chain.final.network_)
    columns: list[dict[str, Any]] = [
        {"name": CODES, "type": "int64", "fields": list(encoder.categorical_names_)},
        {"name": NUMBERS, "type": type, "fields": list(encoder.numeric_names_)},
    ]
    bags = weighted_bags(chain).items()
    return [one for one in columns if one["fields"]] + [
        {
            "name": name,
            "type": "int64",
            "says": "codes, -1 for none",
            "weighted": weighted,
        }
        for name, weighted in bags
    ]


def _tasks(chain: Chain, outputs: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    final = chain.final
    rows = zip(final.tasks_.tasks, final.task_rates_, outputs, strict=True)
    given = final.tasks_.condition_names
    return [
        {
            "name": task.name,
            "kind": type(task).__name__,
            "classes": [_plain(one) for one in task.classes.tolist()],
            "rate": rate,
            **({"condition": given[task.name]} if task.name in given else {}),
            **_threshold(chain, task.name),
            **({} if task.n_levels else {"predicts": task.shown}),
            **named,
        }
        for task, rate, named in rows
    ]


def _threshold(chain: Chain, name: str) -> dict[str, float | None]:
    """From which probability on labels say yes; None is never, which JSON can say."""
    if name not in chain.thresholds:
        return {}
    value = chain.thresholds[name]
    return {"threshold": value if math.isfinite(value) else None}


def _plain(label: Any) -> Any:
    """A class as a value of JSON, as text where it is none."""
    return label if isinstance(label, str | int | float | bool) else str(label)
