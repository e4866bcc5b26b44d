"""Operations for which a processor would wait for its device, found without a device.

On a GPU torch itself tells of them (``torch.cuda.set_sync_debug_mode``). Here two modes
look at each call: one at what reaches a kernel, one at what a tensor of the processor
answers without a kernel, such as ``tolist``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# what depends on values: numbers of Python, and sizes of results
KERNELS = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "allclose"),
    *("nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "bincount"),
    *("unique_consecutive", "unique_dim_consecutive", "_coalesce", "to_sparse"),
}
METHODS = {"tolist", "item", "numpy", "cpu", "cuda", "__array__", "__contains__"}
METHODS |= {"__bool__", "__int__", "__float__", "__index__"}
MADE = {"tensor", "as_tensor"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}


class WouldWait(AssertionError):
    """Of a call for which the processor waits."""


class NoWaiting:
    """Within it, a call for which the processor would wait raises.

    Parameters
    ----------
    allowed : sequence of str or None, default=()
        Names of calls that are counted instead; None is all of them.

    Attributes
    ----------
    counts : Counter
        Of the calls that are allowed.
    """

    def __init__(self, allowed: Sequence[str] | None = ()) -> None:
        self.allowed, self.counts = allowed, Counter()
        self.modes = _Kernels(self), _Calls(self)

    def meet(self, name: str, why: str) -> None:
        if self.allowed is not None and name not in self.allowed:
            raise WouldWait(f"{name}: {why}")
        self.counts[name] += 1

    def __enter__(self) -> NoWaiting:
        for mode in self.modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self.modes):
            mode.__exit__(*error)


class _Kernels(TorchDispatchMode):
    def __init__(self, told: NoWaiting) -> None:
        super().__init__()
        self.told = told

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if why := _of_kernel(name, args, kwargs):
            self.told.meet(name, why)
        return func(*args, **kwargs)


def _of_kernel(name: str, args: tuple, kwargs: dict) -> str:
    """Why the processor would wait for a kernel, or nothing."""
    if name in KERNELS:
        return "it is known once the device has computed it"
    if name in INDEXED and any(
        t.dtype in (torch.bool, torch.uint8) for t in _in(args[1])
    ):
        return "how many rows a mask has is known once the device has computed it"
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        return "it has no output_size"
    # a single number goes with the kernel
    tensors = [t for t in _in((args, kwargs)) if t.dim()]
    if name in ("_to_copy", "copy_"):
        moved = {t.device for t in tensors}
        moved |= {torch.device(kwargs["device"])} if kwargs.get("device") else set()
        non_blocking = kwargs.get("non_blocking") or args[2:3] == (True,)
        return (
            "it is no copy in the background"
            if len(moved) > 1 and not non_blocking
            else ""
        )
    if len({t.device for t in tensors}) > 1:
        return "a tensor of another device is copied"
    return ""


def _in(values: object) -> list[Tensor]:
    return [one for one in tree_leaves(values) if isinstance(one, Tensor)]


class _Calls(TorchFunctionMode):
    def __init__(self, told: NoWaiting) -> None:
        super().__init__()
        self.told = told

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in METHODS:
            self.told.meet(name, "it hands numbers to Python")
        if name in MADE:
            self.told.meet(name, "it is made of numbers of Python, and copied")
        if name in ("__getitem__", "__setitem__") and _is_listed(args[1]):
            self.told.meet(name, "a list of places is copied to the device")
        return func(*args, **(kwargs or {}))


def _is_listed(index: object) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, list | range | np.ndarray) for part in parts)
