"""A fitted network, run on a table to see what passes through its parts."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ..training._source import ArraySource
from ._fitted import final_estimator, transformed


def own_network(estimator: Any) -> nn.Module:
    """The network for evaluation: our own modules on the memory of the fitted ones.

    Hooks on it meet nobody who predicts at the same time.
    """
    network = final_estimator(estimator).net_.module_
    shared: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers()}
    for p in network.parameters():
        shared[id(p)] = nn.Parameter(p.detach(), requires_grad=False)
    return copy.deepcopy(network, shared).eval()


def encoded(estimator: Any, X: Any) -> ArraySource:
    """A table as the network reads it, behind the steps of a Pipeline."""
    final = final_estimator(estimator)
    fields = final.encoder_.encode(
        transformed(estimator, X), dtype=np.dtype(final.dtype)
    )
    return ArraySource(
        fields, device=final.net_.device, dtype=getattr(torch, final.dtype)
    )


@contextlib.contextmanager
def recording(part: nn.Module) -> Iterator[list[tuple]]:
    """Collect the inputs and the output of a part each time it is called."""
    seen: list[tuple] = []

    def record(module: nn.Module, inputs: tuple, output: Any) -> None:
        seen.append((inputs, output))

    handle = part.register_forward_hook(record)
    try:
        yield seen
    finally:
        handle.remove()


def output_names(estimator: Any) -> tuple[str, ...]:
    """A name for each logit: that of its binary task, or of the task and the class."""
    tasks = final_estimator(estimator).tasks_
    names = []
    for task, n, classes in zip(
        tasks.names, tasks.n_outputs, tasks.classes, strict=True
    ):
        names += [task] if n == 1 else [f"{task}={c}" for c in classes]
    return tuple(names)
