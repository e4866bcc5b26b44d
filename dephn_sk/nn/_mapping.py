"""Explicit mapping: fixed functions of the public experts' outputs."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ._choice import check_choice

MAPPINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "raw": lambda x: x,  # "RM"
    "sin": torch.sin,  # "TM"
    "cos": torch.cos,
    "square": torch.square,
    "tanh": torch.tanh,
}


class ExplicitMapping(nn.Module):
    r"""Each expert's output through each of P fixed functions, :math:`f_p(e_k)`.

    [DEPHN] eq. 3: one task's activation is expanded in functions of another's, as
    a Taylor or a Fourier series would.

    Shape: ``(n_experts, batch, width)`` -> ``(batch, n_experts * n_mappings, width)``;
    the mappings of one expert stand side by side.

    Parameters
    ----------
    mappings : sequence of str or callable, default=("raw", "sin")
        Names out of ``"raw"`` (identity), ``"sin"``, ``"cos"``, ``"square"``,
        ``"tanh"``, or elementwise functions of a tensor.

    Examples
    --------
    >>> ExplicitMapping(("raw", "square"))(torch.full((1, 1, 2), 3.0))
    tensor([[[3., 3.],
             [9., 9.]]])
    """

    def __init__(
        self, mappings: Sequence[str | Callable[[Tensor], Tensor]] = ("raw", "sin")
    ) -> None:
        super().__init__()
        for mapping in mappings:
            if not callable(mapping):
                check_choice("mappings (if not callable)", mapping, sorted(MAPPINGS))
        self.mappings = tuple(mappings)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(m if isinstance(m, str) else m.__name__ for m in self.mappings)

    def forward(self, experts: Tensor) -> Tensor:
        n_experts, batch, width = experts.shape
        outputs = experts.transpose(0, 1)
        functions = [MAPPINGS[m] if isinstance(m, str) else m for m in self.mappings]
        mapped = torch.stack([f(outputs) for f in functions], dim=2)
        return mapped.reshape(batch, n_experts * len(functions), width)

    def extra_repr(self) -> str:
        return f"mappings={self.names}"
