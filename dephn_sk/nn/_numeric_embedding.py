"""Numeric fields as vectors: linear, quantile bins, piecewise-linear, periodic."""

import math
from collections.abc import Sequence
from functools import partial, reduce

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.utils.rnn import pad_sequence

from ._linear import normal, uniform
from ._table import take_rows

NUMERIC_EMBEDDINGS = ("linear", "bins", "piecewise-linear", "periodic")
SCALAR = "scalar"


def parse_numeric_embedding(name: str) -> list[list[str]]:
    """The parts of each vector that a name such as ``"linear+bins|periodic"`` asks for.

    >>> parse_numeric_embedding("linear+bins|periodic")
    [['linear', 'bins'], ['periodic']]
    """
    vectors = [vector.split("+") for vector in name.split("|")]
    parts = [part for vector in vectors for part in vector]
    unknown = [part for part in parts if part not in NUMERIC_EMBEDDINGS]
    if unknown or len(set(parts)) < len(parts):
        raise ValueError(
            f"numeric_embedding must be {SCALAR!r}, one of {NUMERIC_EMBEDDINGS}, or "
            "some of them joined by '+' (their sum) or by '|' (a vector of its own "
            f"for each), got {name!r}."
        )
    return vectors


class PlainNumbers(nn.Module):
    """Each number of a row as it is, and a trained number where it is missing.

    Shape: ``(batch, n_numeric)`` -> the same
    """

    def __init__(self, n_numeric: int) -> None:
        super().__init__()
        self.n_numeric = self.n_vectors = n_numeric
        self.missing = nn.Parameter(torch.zeros(n_numeric))

    def forward(self, numbers: Tensor) -> Tensor:
        return torch.where(numbers.isnan(), self.missing, numbers)


class NumericEmbedding(nn.Module):
    r"""Each number of a row as one vector or several, each the sum of some parts.

    With the feature's edges :math:`e_0 < \dots < e_m`, and :math:`i` the bin that
    holds :math:`x`:

    - ``"linear"``: :math:`x v + b`;
    - ``"bins"``: a row of a table, :math:`E_i`;
    - ``"piecewise-linear"``: :math:`b + \sum_{l < i} w_l + \frac{x - e_i}{e_{i+1} -
      e_i} w_i`, the fraction clipped to [0, 1] beyond the outer edges;
    - ``"periodic"``: :math:`A [\sin(2 \pi c x), \cos(2 \pi c x)]`, :math:`c`
      trainable.

    NaN is missing and becomes trained vectors of the field.

    Shape: ``(batch, n_numeric)`` -> ``(batch, n_vectors, dim)``; with several vectors
    for each number, the first of all numbers come before the second

    Parameters
    ----------
    edges : sequence of Tensor of shape (n_bins + 1,)
        Increasing edges of the bins of each feature, at least two.
    dim : int
        Width of a field.
    kind : str, default="bins+piecewise-linear"
        Parts joined by ``"+"`` are summed; those joined by ``"|"`` stand side by side,
        as vectors of their own.
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
        kind: str = "bins+piecewise-linear",
        n_frequencies: int = 16,
        frequency_scale: float = 0.5,
        init_std: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_numeric = n_numeric = len(edges)
        most = max(len(e) for e in edges) - 1
        self.vectors = parse_numeric_embedding(kind)
        self.parts = [part for vector in self.vectors for part in vector]
        self.n_vectors = n_numeric * len(self.vectors)

        padded = partial(pad_sequence, batch_first=True)
        inner = [e[1:-1] for e in edges]  # values beyond the ends join the end bins
        self.register_buffer("edges", padded(inner, padding_value=math.inf))
        self.register_buffer("left", padded([e[:-1] for e in edges]))
        self.register_buffer("inverse_width", padded([1 / e.diff() for e in edges]))
        self.register_buffer("offsets", torch.arange(n_numeric) * most)

        initial = partial(normal, generator=generator)
        self.missing = nn.Parameter(torch.zeros(self.n_vectors, dim))
        if "linear" in self.parts:
            self.slope = initial(n_numeric, dim, std=init_std)
            self.intercept = initial(n_numeric, dim, std=init_std)
        if "bins" in self.parts:
            self.bins = initial(n_numeric * most, dim, std=init_std)
        if "piecewise-linear" in self.parts:
            self.origin = initial(n_numeric, 1, dim, std=init_std)
            # a random walk over the bins that ends at init_std
            self.steps = initial(n_numeric, most, dim, std=init_std / math.sqrt(most))
        if "periodic" in self.parts:
            self.frequencies = initial(n_numeric, n_frequencies, std=frequency_scale)
            shape = n_numeric, 2 * n_frequencies, dim
            self.waves = uniform(*shape, fan_in=shape[1], generator=generator)

    def forward(self, numbers: Tensor) -> Tensor:
        missing = numbers.isnan()
        part = self._parts(numbers.masked_fill(missing, 0.0))
        vectors = [
            reduce(torch.add, [part[name] for name in vector if name in part])
            for vector in self.vectors
        ]
        embedded = torch.cat(vectors, dim=1) if len(vectors) > 1 else vectors[0]
        missing = missing.repeat(1, len(vectors)).unsqueeze(-1)
        return torch.where(missing, self.missing, embedded)

    def _bins(self, x: Tensor) -> Tensor:
        """The bin of each number, (batch, n_numeric)."""
        if is_compiling():
            # engines add floats several times as fast as integers
            if not self.edges.shape[1]:  # older runtimes fail at sums of nothing
                return torch.zeros_like(x, dtype=torch.long)
            return (x.unsqueeze(-1) >= self.edges).to(x.dtype).sum(-1).long()
        return torch.searchsorted(self.edges, x.T.contiguous(), right=True).T

    def _parts(self, x: Tensor) -> dict[str, Tensor]:
        """Each part of all numbers, (batch, n_numeric, dim).

        Bins that are added to the piecewise-linear part are within it.
        """
        part = {}
        if "linear" in self.parts:
            part["linear"] = torch.addcmul(self.intercept, x.unsqueeze(-1), self.slope)
        if "periodic" in self.parts:
            angle = 2 * math.pi * self.frequencies * x.unsqueeze(-1)
            waves = torch.cat([angle.sin(), angle.cos()], dim=-1)
            waves = torch.bmm(waves.transpose(0, 1), self.waves)
            part["periodic"] = waves.transpose(0, 1)
        if "bins" not in self.parts and "piecewise-linear" not in self.parts:
            return part
        rows = self._bins(x) + self.offsets
        if "piecewise-linear" not in self.parts:
            part["bins"] = take_rows(self.bins, rows)
            return part
        # the sum over the bins below, for every bin at once
        start = torch.cat([self.origin, self.steps[:, :-1]], dim=1).cumsum(1)
        tables = [start.flatten(0, 1), self.steps.flatten(0, 1)]
        if any({"bins", "piecewise-linear"} <= set(vector) for vector in self.vectors):
            tables[0] = tables[0] + self.bins
        elif "bins" in self.parts:
            tables.append(self.bins)
        # one look-up for all that depends on the bin
        taken = take_rows(torch.cat(tables, dim=1), rows)
        start, step, *rest = taken.split(self.missing.shape[1], dim=-1)
        left, inverse_width = self.left.flatten(), self.inverse_width.flatten()
        fraction = (x - left[rows]) * inverse_width[rows]
        fraction = fraction.clamp(0, 1).unsqueeze(-1)
        part["piecewise-linear"] = torch.addcmul(start, fraction, step)
        part |= zip(["bins"], rest, strict=False)
        return part
