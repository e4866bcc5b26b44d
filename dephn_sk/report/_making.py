"""How a model was made: its training, parameters, versions and times."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..inspection._any_model import network_within
from ..preprocessing._spelling import shown
from ..training._parameters import unchanged


def training(model: Any) -> Iterator[dict[str, Any]]:
    """A row for each epoch of the network within, if there is one."""
    final, _ = network_within(model)
    if final is None:
        return
    history = final.history_
    names = list(history.columns) if hasattr(history, "columns") else list(history)
    for epoch in range(len(history[names[0]])):
        row = {name: float(list(history[name])[epoch]) for name in names}
        yield {**row, "kept": final.kept_epoch_ == epoch + 1}


def parameters(model: Any) -> Iterator[dict[str, Any]]:
    """A row for each parameter, of each estimator within, that is not its default."""
    parts = {"": model, **_estimators_of(model)}
    for place, one in parts.items():
        fitted = getattr(one, "fitted_params_", None) if hasattr(one, "net_") else None
        given = fitted or one.get_params(deep=False)
        defaults = inspect.signature(type(one)).parameters
        for name, value in sorted(given.items()):
            default = defaults[name].default if name in defaults else None
            if hasattr(value, "get_params") or name in ("steps", "transformers"):
                continue
            if not _same(value, default):
                text = shown(value)
                yield {
                    "estimator": f"{place} {type(one).__name__}".strip(),
                    "parameter": name,
                    "value": text if len(text) < 200 else text[:200] + "…",
                }


def _same(value: Any, default: Any) -> bool:
    try:
        return unchanged(value, default)
    except Exception:  # whatever the comparison of foreign objects raises
        return value is default


def _estimators_of(model: Any) -> dict[str, Any]:
    """Estimators within, by the place where they are."""
    found = {
        name: value
        for name, value in model.get_params(deep=True).items()
        if hasattr(value, "get_params") and not isinstance(value, type)
    }
    best = getattr(model, "best_estimator_", None)
    if best is not None:
        found["best_estimator_"] = best
        for name, value in _estimators_of(best).items():
            found[f"best_estimator_ {name}"] = value
    return found


def versions_table() -> Iterator[dict[str, Any]]:
    """What it was run with."""
    from ..storage._card import versions

    for name, version in versions().items():
        yield {"package": name, "version": version}


def seconds_of_fit(model: Any) -> float:
    """Of training, without encoding; NaN where it was not kept."""
    final, _ = network_within(model)
    if final is None:
        return float("nan")
    return float(np.sum([row["dur"] for row in final.net_.history]))
