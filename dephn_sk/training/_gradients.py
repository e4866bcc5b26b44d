"""Gradients of a batch that several processes have shared, added up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ._ranks import Group

_BASE = 2**12  # in which counts are written, so that float32 holds them exactly
_ROWS = 1024  # of a block that a rank has of a divided table
_PART = 2**16  # rows of a rank that are gathered at once, in whole blocks


def sum_gradients(
    ranks: Group, network: Any, criterion: Any, divided: bool = False
) -> None:
    """Let each rank have the gradients of the whole batch.

    Gradients of dense parameters are added by one exchange. With them travels which
    parameters have a gradient anywhere, and how many rows of each large table a rank
    has touched; those rows alone are exchanged after that. What the criterion learns,
    each rank has from the whole batch: that of rank 0 counts.

    Where large tables are `divided`, a rank gets the gradients of its own rows of them
    alone, and each step has to be followed by :func:`share_rows`.
    """
    sparse = large_tables(network)
    large = {id(p) for p in sparse}
    dense = [p for p in network.parameters() if p.requires_grad and id(p) not in large]
    once = [p for p in criterion.parameters() if p.requires_grad]
    for parameter in once if ranks.rank else ():
        parameter.grad = None
    n_owners = ranks.size if divided else 1
    touched = [_touched(p, n_owners) for p in sparse]
    own = torch.tensor([n_rows for _, _, n_rows in touched], dtype=torch.int64)
    counts = _add_dense(ranks, [*dense, *once], own.view(len(sparse), n_owners))
    for table, (rows, values, _), n_rows in zip(sparse, touched, counts, strict=True):
        if not n_rows.any():  # no rank has a gradient, or one of no row
            table.grad = None
            continue
        each = n_rows.tolist() if divided else n_rows.flatten().tolist()
        exchanged = ranks.dealt if divided else ranks.everyones
        rows, values = (exchanged(t, each) for t in (_short(rows, table), values))
        table.grad = torch.sparse_coo_tensor(
            rows.long().view(1, -1), values, table.shape, check_invariants=False
        ).coalesce()


def share_rows(ranks: Group, network: Any) -> None:
    """Let each rank have the rows of divided tables that others have stepped."""
    tables = [p for p in large_tables(network) if p.grad is not None]
    if not tables:
        return
    stepped = [table.grad.indices()[0] for table in tables]
    counts = torch.zeros(len(tables), ranks.size, dtype=torch.int64)
    counts[:, ranks.rank] = torch.tensor([len(rows) for rows in stepped])
    counts = counts.to(tables[0].device)
    ranks.add(counts)
    for table, rows, each in zip(tables, stepped, counts.tolist(), strict=True):
        weights = table.detach()
        own = weights.index_select(0, rows)
        sent = _short(rows, table), own
        found = (ranks.everyones(t, each).split(each) for t in sent)
        for rank, (theirs, lines) in enumerate(zip(*found, strict=True)):
            if rank != ranks.rank:
                weights.index_copy_(0, theirs.long(), lines)


def gather_lines(ranks: Group, tensors: list[Tensor]) -> None:
    """Let each rank have the lines of others, of tensors with one for each row."""
    for tensor in tensors:
        for part in tensor.detach().split(_PART * ranks.size):
            blocks = part.split(_ROWS)
            each = [blocks[rank :: ranks.size] for rank in range(ranks.size)]
            sizes = [sum(map(len, own)) for own in each]
            own = torch.cat([part[:0], *each[ranks.rank]])
            found = ranks.everyones(own, sizes).split(sizes)
            for rank, lines in enumerate(found):
                if rank != ranks.rank and len(lines):
                    torch._foreach_copy_(each[rank], lines.split(_ROWS))


def own_blocks(ranks: Group, n_rows: int) -> Iterator[slice]:
    """The rows of a divided table that this rank steps.

    They are blocks in turns: frequent rows, which are next to each other where a column
    is in the order of its counts, are not all of one rank.
    """
    for start in range(ranks.rank * _ROWS, n_rows, ranks.size * _ROWS):
        yield slice(start, start + _ROWS)


def large_tables(network: Any) -> list[Any]:
    """Tables that learn by sparse gradients."""
    sparse = (part.table for part in network.tables() if part.sparse)
    return [table for table in sparse if table.requires_grad]


def _short(rows: Tensor, table: Tensor) -> Tensor:
    """Numbers of rows as they are sent: in half of the bytes where they fit."""
    return rows.int() if len(table) < 2**31 else rows


def _touched(table: Tensor, n_owners: int) -> tuple[Tensor, Tensor, list[int]]:
    """The rows that this rank's gradient touches, and their gradients, by owner.

    And how many each owner has of them.
    """
    gradient = table.grad
    if gradient is None:
        none = table.new_empty(0, *table.shape[1:])
        return none.new_empty(0, dtype=torch.int64), none, [0] * n_owners
    if not gradient.is_sparse:
        gradient = gradient.to_sparse(1)
    if n_owners == 1:
        gradient = gradient.coalesce()
        return gradient.indices()[0], gradient.values(), [gradient._nnz()]
    # their owner adds them up: to sort rows here as well takes longer than to send them
    rows, values = gradient._indices()[0], gradient._values()
    owner = rows // _ROWS % n_owners
    each = [(owner == i).nonzero(as_tuple=True)[0] for i in range(n_owners)]
    order = torch.cat(each)
    return rows[order], values.index_select(0, order), [len(one) for one in each]


def _add_dense(ranks: Group, parameters: list[Any], own_counts: Tensor) -> Tensor:
    """Add gradients in one piece of memory for each dtype, and let counts travel along.

    They are below _BASE ** 2, of shape (n_tables, n_owners); those of all ranks are of
    shape (n_tables, n_ranks, n_owners).
    """
    kinds = list(dict.fromkeys(p.dtype for p in parameters)) or [torch.float64]
    like = parameters[0] if parameters else torch.zeros(())
    digits = torch.zeros(2, *own_counts.shape, ranks.size, dtype=torch.float64)
    digits[0, ..., ranks.rank] = (own_counts % _BASE).double()
    digits[1, ..., ranks.rank] = (own_counts // _BASE).double()
    there = torch.tensor([p.grad is not None for p in parameters]).double()
    words = torch.cat([there, digits.flatten()])
    n_words = len(words)
    for i, kind in enumerate(kinds):
        own = [p for p in parameters if p.dtype == kind]
        sizes = [p.numel() for p in own]
        head = [words.to(like.device, kind)] if i == 0 else []
        flat = torch.cat([*head, *map(_flat, own)])
        ranks.add(flat)
        if i == 0:
            words, flat = flat[:n_words].double().cpu(), flat[n_words:]
        for parameter, sum_ in zip(own, flat.split(sizes), strict=True):
            parameter.grad = sum_.view_as(parameter)
    for parameter, has_one in zip(parameters, words.tolist(), strict=False):
        if not has_one:
            parameter.grad = None
    digits = words[len(parameters) :].view(digits.shape)
    return (digits[0] + _BASE * digits[1]).long().transpose(1, 2)


def _flat(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        return parameter.new_zeros(parameter.numel())
    return parameter.grad.to_dense().reshape(-1)
