"""Networks that take no memory before they are given their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}
_CONSTANTS = {torch.full, torch.arange, torch.eye}  # such as who owns an expert
_MOST_CONSTANTS = 2**20
_CALLS, _CALLS_PER_WEIGHT = 10_000, 200


class _OnMeta(TorchFunctionMode):
    """Makes tensors on the device "meta", and only so many of them."""

    def __init__(self, most_calls: int) -> None:
        super().__init__()
        self.left = most_calls

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("The parameters ask for a network of more weights.")
        kwargs = dict(kwargs or {})
        sizes = args[0] if args and isinstance(args[0], tuple | list) else args
        if func in _CONSTANTS and math.prod(sizes) > _MOST_CONSTANTS:
            raise ValueError("The parameters ask for a network of more weights.")
        if func in _MAKERS and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@contextmanager
def without_memory(n_weights: int) -> Iterator[None]:
    """Let parameters that are made in this thread have shapes, and no memory.

    Raises a ValueError where far more is made than a network with so many weights
    needs: parameters may ask for a billion layers.

    Examples
    --------
    >>> with without_memory(2):
    ...     layer = torch.nn.Linear(10**6, 10**6)
    >>> layer.weight.is_meta, layer.weight.shape
    (True, torch.Size([1000000, 1000000]))
    """
    with _OnMeta(_CALLS + _CALLS_PER_WEIGHT * n_weights):
        yield
