"""The precision of matrix products: full float32, TensorFloat-32 or bfloat16."""

import threading
from typing import Any

import torch

PRECISIONS = ("full", "tf32", "bf16")


class TensorFloat32:
    """A context in which the products of CUDA are rounded to TensorFloat-32.

    The setting is that of the whole process. The first of several threads that enter
    keeps the user's, and the last one to leave restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = setting()
                change_setting("tf32" if has_own_setting() else "high")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                change_setting(self._before)


tensor_float_32 = TensorFloat32()


def has_own_setting() -> bool:
    """Whether CUDA's products have one (torch 2.9), apart from those of the CPU."""
    return hasattr(torch.backends.cuda.matmul, "fp32_precision")


def setting() -> str:
    """Torch's setting for CUDA's products, under the name that this torch knows."""
    if has_own_setting():
        return torch.backends.cuda.matmul.fp32_precision
    return torch.get_float32_matmul_precision()


def change_setting(value: str) -> None:
    """Write what :func:`setting` reads, and nothing else."""
    if has_own_setting():
        torch.backends.cuda.matmul.fp32_precision = value
    else:
        torch.set_float32_matmul_precision(value)
