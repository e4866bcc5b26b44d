"""Numeric fields as vectors: linear, quantile bins, piecewise-linear, periodic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._linear import uniform
from ._table import take_rows

NUMERIC_EMBEDDINGS = ("linear", "bins", "piecewise-linear", "periodic")


def parse_numeric_embedding(name: str) -> tuple[str, ...]:
    """The parts of a name such as ``"bins+piecewise-linear"``.

    >>> parse_numeric_embedding("bins+piecewise-linear")
    ('bins', 'piecewise-linear')
    """
    parts = tuple(name.split("+"))
    unknown = [part for part in parts if part not in NUMERIC_EMBEDDINGS]
    if unknown or len(set(parts)) < len(parts):
        raise ValueError(
            f"numeric_embedding must be one of {NUMERIC_EMBEDDINGS} or some of them "
            f"joined by '+', got {name!r}."
        )
    return parts


class NumericEmbedding(nn.Module):
    r"""Each number of a row as a vector; the sum of one or more parts.

    With the feature's edges :math:`e_0 < \dots < e_m`, and :math:`i` the bin that
    holds :math:`x`:

    - ``"linear"``: :math:`x v + b`;
    - ``"bins"``: a row of a table, :math:`E_i`;
    - ``"piecewise-linear"``: :math:`b + \sum_{l < i} w_l + \frac{x - e_i}{e_{i+1} -
      e_i} w_i`, the fraction clipped to [0, 1] beyond the outer edges;
    - ``"periodic"``: :math:`A [\sin(2 \pi c x), \cos(2 \pi c x)]`, :math:`c`
      trainable.

    NaN is missing and becomes a trained vector of the field.

    Shape: ``(batch, n_numeric)`` -> ``(batch, n_numeric, dim)``

    Parameters
    ----------
    edges : sequence of Tensor of shape (n_bins + 1,)
        Increasing edges of the bins of each feature, at least two.
    dim : int
        Width of a field.
    parts : sequence of str, default=("bins", "piecewise-linear")
    n_frequencies : int, default=16
        Of the periodic part.
    frequency_scale : float, default=0.5
        Standard deviation of the initial frequencies, in periods for one unit of the
        feature.
    init_std : float, default=0.1
        Standard deviation of the initial rows.
    generator : torch.Generator, default=None

    References
    ----------
    Gorishniy, Rubachev, Babenko, "On Embeddings for Numerical Features in Tabular
    Deep Learning", NeurIPS 2022.

    Examples
    --------
    >>> embedding = NumericEmbedding([torch.tensor([0.0, 1.0, 4.0])], dim=2)
    >>> embedding(torch.tensor([[0.5], [torch.nan]])).shape
    torch.Size([2, 1, 2])
    """

    edges: Tensor
    left: Tensor
    inverse_width: Tensor
    offsets: Tensor

    def __init__(
        self,
        edges: Sequence[Tensor],
        dim: int,
        *,
        parts: Sequence[str] = ("bins", "piecewise-linear"),
        n_frequencies: int = 16,
        frequency_scale: float = 0.5,
        init_std: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        n_numeric = len(edges)
        n_bins = torch.tensor([len(e) - 1 for e in edges])
        most = int(n_bins.max())
        self.parts = parse_numeric_embedding("+".join(parts))

        def padded(columns: Sequence[Tensor], value: float, width: int) -> Tensor:
            out = torch.full((n_numeric, width), value, dtype=edges[0].dtype)
            for row, column in zip(out, columns, strict=True):
                row[: len(column)] = column
            return out

        inner = [e[1:-1] for e in edges]  # values beyond the ends join the end bins
        self.register_buffer("edges", padded(inner, math.inf, most - 1))
        self.register_buffer("left", padded([e[:-1] for e in edges], 0.0, most))
        inverse = [1 / e.diff() for e in edges]
        self.register_buffer("inverse_width", padded(inverse, 0.0, most))
        self.register_buffer("offsets", torch.arange(n_numeric) * most)

        def normal(*shape: int, std: float) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).normal_(0, std, generator=generator))

        self.missing = nn.Parameter(torch.zeros(n_numeric, dim))
        if "linear" in self.parts:
            self.slope = normal(n_numeric, dim, std=init_std)
            self.intercept = normal(n_numeric, dim, std=init_std)
        if "bins" in self.parts:
            self.bins = normal(n_numeric * most, dim, std=init_std)
        if "piecewise-linear" in self.parts:
            self.origin = normal(n_numeric, 1, dim, std=init_std)
            # a random walk over the bins that ends at init_std
            self.steps = normal(n_numeric, most, dim, std=init_std / math.sqrt(most))
        if "periodic" in self.parts:
            self.frequencies = normal(n_numeric, n_frequencies, std=frequency_scale)
            self.waves = uniform(
                n_numeric,
                2 * n_frequencies,
                dim,
                fan_in=2 * n_frequencies,
                generator=generator,
            )

    def forward(self, numbers: Tensor) -> Tensor:
        missing = numbers.isnan()
        x = numbers.masked_fill(missing, 0.0)
        embedded = sum(self._parts(x))
        return torch.where(missing.unsqueeze(-1), self.missing, embedded)

    def _parts(self, x: Tensor) -> list[Tensor]:
        parts = []
        if "linear" in self.parts:
            parts.append(torch.addcmul(self.intercept, x.unsqueeze(-1), self.slope))
        if "bins" in self.parts or "piecewise-linear" in self.parts:
            parts.append(self._binned(x))
        if "periodic" in self.parts:
            angle = 2 * math.pi * self.frequencies * x.unsqueeze(-1)
            waves = torch.cat([angle.sin(), angle.cos()], dim=-1)
            parts.append(torch.bmm(waves.transpose(0, 1), self.waves).transpose(0, 1))
        return parts

    def _binned(self, x: Tensor) -> Tensor:
        """What depends on the bin of each value, in one look-up."""
        bins = torch.searchsorted(self.edges, x.T.contiguous(), right=True).T
        rows = bins + self.offsets
        if "piecewise-linear" not in self.parts:
            return take_rows(self.bins, rows)
        # the sum over the bins below, for every bin at once
        start = torch.cat([self.origin, self.steps[:, :-1]], dim=1).cumsum(1)
        start, steps = start.flatten(0, 1), self.steps.flatten(0, 1)
        if "bins" in self.parts:
            start = start + self.bins
        start, step = take_rows(torch.cat([start, steps], dim=1), rows).chunk(2, dim=-1)
        left, inverse_width = self.left.flatten(), self.inverse_width.flatten()
        fraction = (x - left[rows]) * inverse_width[rows]
        return torch.addcmul(start, fraction.clamp(0, 1).unsqueeze(-1), step)
