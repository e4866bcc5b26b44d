"""Every field of a row as one vector of the same width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import _table
from ._choice import check_choice
from ._dropout import Dropout, UnseenMask
from ._linear import normal
from ._numeric_embedding import NumericEmbedding, PlainNumbers
from ._table import take_rows

BAG_MODES = ("mean", "sum", "max")


class Members(NamedTuple):
    """The members of one multi-valued field, padded nowhere.

    ``codes`` and ``weights`` (or None) of shape (n_members,), ``offsets`` of shape
    (batch + 1,): row i holds ``codes[offsets[i]:offsets[i + 1]]``.
    """

    codes: Tensor
    offsets: Tensor
    weights: Tensor | None = None


class PaddedMembers(NamedTuple):
    """The members of one multi-valued field as a rectangle, which a graph can take.

    ``codes`` and ``weights`` (or None) of shape (batch, most): a row with fewer members
    ends in codes of -1. A single row stands for all rows of the batch.
    """

    codes: Tensor
    weights: Tensor | None = None


class FieldEmbedding(nn.Module):
    r"""Embed categorical, numeric and multi-valued fields, :math:`E`.

    DECISION: all categorical and multi-valued fields share one table, each with its
    own offset into it: one gather, one optimizer state.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``, ``bags``
    one :class:`Members` or :class:`PaddedMembers` for each multi-valued field
    -> ``(batch, n_fields, dim)``, fields in that order; with plain numbers, which have
    no vectors, ``(batch, width)``

    Parameters
    ----------
    cardinalities : sequence of int
        Number of rows of each categorical field; codes run from 0, the row of unseen
        values.
    dim : int
        Width of a field.
    numeric : NumericEmbedding or PlainNumbers, default=None
        For the numeric fields; None where there are none.
    bag_cardinalities : sequence of int, default=()
        Number of rows of each multi-valued field.
    bag_mode : {"mean", "sum", "max"} or sequence of them, default="mean"
        How members are pooled, in all multi-valued fields or in each. An empty row
        gives zeros. Weights go with "sum" as factors and with "mean" as a weighted
        mean; "max" takes none.
    tables : sequence of int, default=None
        For each categorical, then each multi-valued field, a number: fields of one
        number share one table. None: every field has its own.
    unseen_rate : float, default=0.0
        Probability with which a code is replaced by 0 while training.
    dropout : float, default=0.0
        Of the entries of the result while training.
    init_std : float, default=0.1
        Standard deviation of the initial rows.
    generator : torch.Generator, default=None

    Examples
    --------
    >>> embedding = FieldEmbedding([3, 10], dim=4)
    >>> embedding(torch.tensor([[0, 9], [2, 0]])).shape
    torch.Size([2, 2, 4])
    """

    offsets: Tensor

    def __init__(
        self,
        cardinalities: Sequence[int],
        dim: int,
        *,
        numeric: NumericEmbedding | PlainNumbers | None = None,
        bag_cardinalities: Sequence[int] = (),
        bag_mode: str | Sequence[str] = "mean",
        tables: Sequence[int] | None = None,
        unseen_rate: float = 0.0,
        dropout: float = 0.0,
        init_std: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for mode in [bag_mode] if isinstance(bag_mode, str) else bag_mode:
            check_choice("bag_mode", mode, BAG_MODES)
        self.dim = dim
        self.init_std = init_std
        n_bags = len(bag_cardinalities)
        modes = [bag_mode] * n_bags if isinstance(bag_mode, str) else bag_mode
        self.bag_modes = tuple(modes)
        self.n_categorical = len(cardinalities)
        self.n_numeric = 0 if numeric is None else numeric.n_vectors
        self.n_fields = self.n_categorical + self.n_numeric + n_bags
        self._numeric_dim = 1 if isinstance(numeric, PlainNumbers) else dim
        rows = [*cardinalities, *bag_cardinalities]
        self.tables = tuple(range(len(rows)) if tables is None else tables)
        self.sizes = _table_sizes(rows, self.tables)
        self.register_buffer("offsets", _field_offsets(self.sizes, self.tables))
        n_rows = sum(self.sizes.values())
        self.table = normal(n_rows, dim, std=init_std, generator=generator)
        self.numeric = numeric
        self.unseen = UnseenMask(unseen_rate)
        self.dropout = Dropout(dropout)

    @property
    def width(self) -> int:
        """Of a row's flattened fields."""
        others = self.n_fields - self.n_numeric
        return others * self.dim + self.n_numeric * self._numeric_dim

    @property
    def sparse(self) -> bool:
        """Whether the table's gradient is a sparse tensor, since the table is large."""
        return len(self.table) >= _table.SPARSE_ROWS and "max" not in self.bag_modes

    def first_order(
        self, n_outputs: int, *, generator: torch.Generator | None = None
    ) -> FieldEmbedding:
        """A weight for each category and number: as wide as the logits, all zero.

        Parameters
        ----------
        n_outputs : int
        generator : torch.Generator, default=None

        Returns
        -------
        FieldEmbedding
            Of the same fields and tables; a number's part is linear.
        """
        numeric = None
        zero: dict[str, Any] = {"init_std": 0.0, "generator": generator}
        if self.numeric is not None:
            edges = [torch.tensor([0.0, 1.0])] * self.numeric.n_numeric
            numeric = NumericEmbedding(edges, n_outputs, kind="linear", **zero)
        rows = [self.sizes[table] for table in self.tables]
        return FieldEmbedding(
            rows[: self.n_categorical],
            n_outputs,
            numeric=numeric,
            bag_cardinalities=rows[self.n_categorical :],
            bag_mode=self.bag_modes,
            tables=self.tables,
            unseen_rate=self.unseen.p,
            **zero,
        )

    @property
    def numeric_vectors(self) -> tuple[str, ...]:
        """What each vector of a number is made of, such as ``"linear+bins"``."""
        if not isinstance(self.numeric, NumericEmbedding):
            return ()
        return tuple("+".join(parts) for parts in self.numeric.vectors)

    def sum_by_field(self, values: Tensor) -> Tensor:
        """Sums of values of the shape of the result over the entries of each field.

        Parameters
        ----------
        values : Tensor of shape (..., n_vectors, dim), or (..., width)

        Returns
        -------
        Tensor of shape (..., n_columns)
            Categorical, numeric and multi-valued fields; all vectors of one number are
            one field.
        """
        flat = values if isinstance(self.numeric, PlainNumbers) else values.flatten(-2)
        codes = self.n_categorical * self.dim
        numbers = codes + self.n_numeric * self._numeric_dim
        widths = self.dim, self._numeric_dim, self.dim
        parts = zip(flat.tensor_split((codes, numbers), dim=-1), widths, strict=True)
        sums = [part.unflatten(-1, (-1, width)).sum(-1) for part, width in parts]
        n_vectors = len(self.numeric_vectors) or 1
        sums[1] = sums[1].unflatten(-1, (n_vectors, -1)).sum(-2)
        return torch.cat(sums, dim=-1)

    def forward(
        self,
        codes: Tensor,
        numbers: Tensor | None = None,
        bags: Sequence[Members | PaddedMembers] = (),
    ) -> Tensor:
        rows = self.unseen(codes) + self.offsets[: self.n_categorical]
        parts = [take_rows(self.table, rows, sparse=self.sparse)]
        if self.numeric is not None:
            parts.append(self.numeric(numbers))
        starts = self.offsets[self.n_categorical :]
        for start, bag, mode in zip(starts, bags, self.bag_modes, strict=True):
            pooled = self._pool(start, bag, mode).unsqueeze(1)
            if isinstance(bag, PaddedMembers) and bag.codes.shape[0] == 1:
                pooled = pooled.expand(rows.shape[0], -1, -1)
            parts.append(pooled)
        if isinstance(self.numeric, PlainNumbers):
            parts = [part.flatten(1) for part in parts]
        fields = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self.dropout(fields)

    def _pool(self, start: Tensor, bag: Members | PaddedMembers, mode: str) -> Tensor:
        """One multi-valued field, (batch, dim)."""
        if isinstance(bag, PaddedMembers):
            return self._pool_padded(start, bag, mode)
        weights = bag.weights
        if weights is not None and mode == "mean":
            lengths = bag.offsets.diff()
            row = torch.repeat_interleave(lengths, output_size=len(weights))
            total = weights.new_zeros(len(lengths)).index_add(0, row, weights)
            total = total.masked_fill(total == 0, 1.0)  # members that weigh nothing
            weights, mode = weights / total[row], "sum"
        return nn.functional.embedding_bag(
            bag.codes + start,
            self.table,
            bag.offsets,
            mode=mode,
            per_sample_weights=weights if mode == "sum" else None,
            include_last_offset=True,
            sparse=self.sparse,
        )

    def _pool_padded(self, start: Tensor, bag: PaddedMembers, mode: str) -> Tensor:
        """The same by the plain equations: of a mean, the sum over the weights' sum."""
        codes, weights = bag
        if mode == "max":  # of no members, too
            codes = nn.functional.pad(codes, (0, 1), value=-1)
        there = codes >= 0
        rows = take_rows(self.table, codes.clamp(min=0) + start)
        if mode == "max":
            highest = rows.masked_fill(~there.unsqueeze(-1), -torch.inf).amax(1)
            return highest.masked_fill(~there.any(1, keepdim=True), 0.0)
        factors = there.to(rows) if weights is None else weights.masked_fill(~there, 0)
        if mode == "mean":
            total = factors.sum(1, keepdim=True)
            factors = factors / total.masked_fill(total == 0, 1.0)
        return (rows * factors.unsqueeze(-1)).sum(1)

    @torch.no_grad()
    def grow(
        self,
        cardinalities: Sequence[int],
        bag_cardinalities: Sequence[int] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Make room for further codes; every old code keeps its row.

        Parameters
        ----------
        cardinalities, bag_cardinalities : sequence of int
            The numbers of rows that are needed now, none of them below the old one.
        generator : torch.Generator, default=None
            For the new rows.

        Returns
        -------
        Tensor of shape (n_old_rows,)
            Where the old rows are in the new table, which is a new parameter.
        """
        sizes = _table_sizes([*cardinalities, *bag_cardinalities], self.tables)
        old, moved, start = self.table, [], 0
        for table, size in self.sizes.items():
            if sizes[table] < size:
                raise ValueError(f"A table cannot shrink from {size} rows.")
            moved.append(torch.arange(start, start + size))
            start += sizes[table]
        positions = torch.cat(moved).to(old.device)
        new = normal(start, self.dim, std=self.init_std, generator=generator).to(old)
        new[positions] = old
        self.sizes = sizes
        self.offsets = _field_offsets(sizes, self.tables).to(old.device)
        self.table = nn.Parameter(new)
        return positions


def _table_sizes(rows: Sequence[int], tables: Sequence[int]) -> dict[int, int]:
    """Rows of each table, of the largest of the fields that share it."""
    sizes: dict[int, int] = {}
    for table, size in zip(tables, rows, strict=True):
        sizes[table] = max(size, sizes.get(table, 0))
    return sizes


def _field_offsets(sizes: dict[int, int], tables: Sequence[int]) -> Tensor:
    """Where each field's table begins."""
    ends = torch.tensor(list(sizes.values()), dtype=torch.long).cumsum(0)
    starts = dict(zip(sizes, [0, *ends.tolist()], strict=False))
    return torch.tensor([starts[table] for table in tables], dtype=torch.long)
