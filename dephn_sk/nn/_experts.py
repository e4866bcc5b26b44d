"""The structures of the heterogeneous interaction layer: DNN, cross, field.

Each class holds `n_experts` experts of one kind side by side and computes them in
batched products. They take the fields either shared, ``(batch, n_fields, dim)``, or
one version for each expert, ``(n_experts, batch, n_fields, dim)``, and give
``(n_experts, batch, width)``; or, where a `reader` is given, the weight ``(n_experts,
width, out_width)`` of whoever reads them next, their product with it, ``(n_experts,
batch, out_width)``.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from ._cross_stack import CrossStack
from ._dropout import Dropout
from ._field_stack import FieldStack
from ._linear import GroupedLinear, layer_widths, uniform


def _read(outputs: Tensor, reader: Tensor | None) -> Tensor:
    return outputs if reader is None else torch.bmm(outputs, reader)


def _ones(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


class DNNLayer(nn.Module):
    r"""One layer of a DNN expert.

    .. math:: x_{i+1} = \mathrm{LeakyReLU}(W x_i + b) + r \odot x_i

    [PHN] eq. 3 and table 4. DECISION: :math:`r` is trainable and starts at 1; where
    the width changes, :math:`x_i` passes through a linear projection.

    Shape: ``(n_experts, batch, in_width)`` or ``(batch, in_width)``
    -> ``(n_experts, batch, out_width)``
    """

    def __init__(
        self,
        n_experts: int,
        in_width: int,
        out_width: int,
        *,
        residual: bool = True,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shape = n_experts, in_width, out_width
        linear = partial(GroupedLinear, *shape, generator=generator)
        self.linear = linear()
        self.dropout = Dropout(dropout, batch_axis=-2)
        self.residual = _ones(n_experts, 1, out_width) if residual else None
        projects = residual and in_width != out_width
        self.projection = linear(bias=False) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(nn.functional.leaky_relu(self.linear(x)))
        if self.residual is None:
            return hidden
        link = x if self.projection is None else self.projection(x)
        return torch.addcmul(hidden, self.residual, link)


class DNNExpert(nn.Module):
    """Feed-forward experts on the flattened fields.

    Shape: see the module; ``width = widths[-1]``

    Parameters
    ----------
    n_experts, n_fields, dim : int
    hidden : sequence of int, default=(128, 64)
        Widths of the layers.
    n_layers : int, default=3
        At least so many layers: the last width is repeated.
    residual : bool, default=True
    dropout : float, default=0.0
        After each activation.
    generator : torch.Generator, default=None

    Examples
    --------
    >>> DNNExpert(3, n_fields=5, dim=2, hidden=(8, 4))(torch.ones(7, 5, 2)).shape
    torch.Size([3, 7, 4])
    """

    def __init__(
        self,
        n_experts: int,
        n_fields: int,
        dim: int,
        *,
        hidden: Sequence[int] = (128, 64),
        n_layers: int = 3,
        residual: bool = True,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = layer_widths(hidden, n_layers)
        self.width = widths[-1]
        self.layers = nn.ModuleList(
            DNNLayer(
                n_experts, a, b, residual=residual, dropout=dropout, generator=generator
            )
            for a, b in pairwise([n_fields * dim, *widths])
        )

    def forward(self, fields: Tensor, reader: Tensor | None = None) -> Tensor:
        x = fields.flatten(-2)
        for layer in self.layers:
            x = layer(x)
        return _read(x, reader)


class CrossLayer(nn.Module):
    r"""One cross of the raw row with its current representation.

    .. math::
        x_{i+1} = x_0 \odot (\Omega x_i) + x_0 (\omega \cdot x_i) + b + r \odot x_i

    [PHN] figure 2 and table 4; DCN and DCN-V2 together.

    Shape: ``x0, x: (n_experts, batch, width)`` -> the same

    Parameters
    ----------
    n_experts, width : int
    rank : int, default=None
        :math:`\Omega = U V` with an inner width of `rank`; None is a full matrix.
    residual : bool, default=True
    generator : torch.Generator, default=None

    Examples
    --------
    >>> layer = CrossLayer(2, width=6)
    >>> layer(torch.ones(2, 3, 6), torch.ones(2, 3, 6)).shape
    torch.Size([2, 3, 6])
    """

    def __init__(
        self,
        n_experts: int,
        width: int,
        *,
        rank: int | None = None,
        residual: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        inner = width if rank is None else rank
        # applied from the right: x @ down (@ up) is Omega x
        initial = partial(uniform, n_experts, generator=generator)
        self.down = initial(width, inner, fan_in=width)
        self.up = None if rank is None else initial(rank, width, fan_in=rank)
        self.vector = initial(width, 1, fan_in=width)
        self.bias = nn.Parameter(torch.zeros(n_experts, 1, width))
        self.residual = _ones(n_experts, 1, width) if residual else None

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        crossed = x @ self.down if self.up is None else x @ self.down @ self.up
        out = x0 * crossed + x0 * (x @ self.vector) + self.bias
        return out if self.residual is None else out + self.residual * x

    def folded(self) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        r"""The matrices of :math:`\Omega + \mathbf{1} \omega^\top`, bias, residual.

        Since :math:`x_0 (\omega \cdot x_i) = x_0 \odot (\mathbf{1} \omega^\top x_i)`,
        both products of the equation are one with that matrix.
        """
        if self.up is None:
            return self.down + self.vector, None, self.bias, self.residual
        down = torch.cat([self.down, self.vector], dim=2)
        up = torch.cat([self.up, torch.ones_like(self.up[:, :1])], dim=1)
        return down, up, self.bias, self.residual


def _by_input(fields: Tensor, n_experts: int) -> Tensor:
    """Fields with a leading axis, of length 1 where experts on the CPU share them."""
    if fields.dim() == 4:
        return fields
    own = fields.unsqueeze(0)
    return own if fields.device.type == "cpu" else own.expand(n_experts, -1, -1, -1)


class CrossInteraction(nn.Module):
    """Cross experts: a stack of :class:`CrossLayer` on the flattened fields.

    Shape: see the module; ``width = n_fields * dim``

    Examples
    --------
    >>> CrossInteraction(2, n_fields=5, dim=2, rank=3)(torch.ones(7, 5, 2)).shape
    torch.Size([2, 7, 10])
    """

    def __init__(
        self,
        n_experts: int,
        n_fields: int,
        dim: int,
        *,
        n_layers: int = 3,
        rank: int | None = None,
        residual: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_experts = n_experts
        self.width = n_fields * dim
        self.layers = nn.ModuleList(
            CrossLayer(
                n_experts, self.width, rank=rank, residual=residual, generator=generator
            )
            for _ in range(n_layers)
        )

    def forward(self, fields: Tensor, reader: Tensor | None = None) -> Tensor:
        if is_compiling():
            return _read(self.reference(fields), reader)
        x0 = _by_input(fields, self.n_experts).flatten(-2)
        parameters = [p for x in self.layers for p in cast(CrossLayer, x).folded()]
        return CrossStack.apply(x0, torch.is_grad_enabled(), reader, *parameters)

    def reference(self, fields: Tensor) -> Tensor:
        """Layer by layer."""
        x = x0 = fields.flatten(-2).expand(self.n_experts, -1, -1)
        for layer in self.layers:
            x = layer(x0, x)
        return x


class FieldLayer(nn.Module):
    r"""One interaction of the raw fields with their current representation.

    .. math:: V_{i+1} = V_0 \odot (\Omega V_i) + \omega \otimes V_i

    [PHN] figure 3. :math:`\Omega` mixes the fields, :math:`\omega` scales each of them
    and is the residual link (it starts at 1).

    Shape: ``v0, v: (n_experts, n_fields, batch * dim)`` -> the same; with the fields
    first, all rows meet :math:`\Omega` in one product.
    """

    def __init__(
        self, n_experts: int, n_fields: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        shape = n_experts, n_fields, n_fields
        self.matrix = uniform(*shape, fan_in=n_fields, generator=generator)
        self.vector = _ones(n_experts, n_fields, 1)

    def forward(self, v0: Tensor, v: Tensor) -> Tensor:
        return torch.addcmul(self.vector * v, v0, torch.bmm(self.matrix, v))


class FieldInteraction(nn.Module):
    """Field experts: a stack of :class:`FieldLayer`.

    Shape: see the module; ``width = n_fields * dim``

    Examples
    --------
    >>> FieldInteraction(2, n_fields=5, dim=2)(torch.ones(7, 5, 2)).shape
    torch.Size([2, 7, 10])
    """

    def __init__(
        self,
        n_experts: int,
        n_fields: int,
        dim: int,
        *,
        n_layers: int = 3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_experts = n_experts
        self.width = n_fields * dim
        self.layers = nn.ModuleList(
            FieldLayer(n_experts, n_fields, generator=generator)
            for _ in range(n_layers)
        )

    def forward(self, fields: Tensor, reader: Tensor | None = None) -> Tensor:
        if is_compiling():
            return _read(self.reference(fields), reader)
        fields = _by_input(fields, self.n_experts)
        parameters = [p for layer in self.layers for p in (layer.matrix, layer.vector)]
        return FieldStack.apply(fields, torch.is_grad_enabled(), reader, *parameters)

    def reference(self, fields: Tensor) -> Tensor:
        """Layer by layer."""
        fields = fields.expand(self.n_experts, -1, -1, -1).transpose(1, 2)
        v = v0 = fields.flatten(2)
        for layer in self.layers:
            v = layer(v0, v)
        return v.view_as(fields).transpose(1, 2).flatten(2)
