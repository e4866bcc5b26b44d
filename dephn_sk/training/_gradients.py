"""Gradients of a batch that several processes have shared, added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ._ranks import Group

_BASE = 2**12  # in which counts are written, so that float32 holds them exactly


def sum_gradients(ranks: Group, network: Any, criterion: Any) -> None:
    """Let each rank have the gradients of the whole batch.

    Gradients of dense parameters are added by one exchange. With them travels which
    parameters have a gradient anywhere, and how many rows of each large table a rank
    has touched; those rows alone are exchanged after that. What the criterion learns,
    each rank has from the whole batch: that of rank 0 counts.
    """
    tables = {id(part.table) for part in network.tables() if part.sparse}
    learning = [p for p in network.parameters() if p.requires_grad]
    sparse = [p for p in learning if id(p) in tables]
    dense = [p for p in learning if id(p) not in tables]
    once = [p for p in criterion.parameters() if p.requires_grad]
    for parameter in once if ranks.rank else ():
        parameter.grad = None
    touched = [_touched(p) for p in sparse]
    words = _add_dense(ranks, [*dense, *once], [len(rows) for rows, _ in touched])
    if sparse:
        counts = words.view(len(sparse), ranks.size)
        _add_rows(ranks, sparse, touched, counts.tolist())


def _touched(table: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that this rank's gradient touches, and their gradients."""
    gradient = table.grad
    if gradient is None:
        empty = torch.empty(0, dtype=torch.int64, device=table.device)
        return empty, table.new_empty(0, *table.shape[1:])
    gradient = gradient.coalesce() if gradient.is_sparse else gradient.to_sparse(1)
    return gradient.indices()[0], gradient.values()


def _add_dense(ranks: Group, parameters: list[Any], n_touched: list[int]) -> Tensor:
    """Add gradients in one piece of memory for each dtype; counts of all ranks."""
    kinds = list(dict.fromkeys(p.dtype for p in parameters)) or [torch.float64]
    like = parameters[0] if parameters else torch.zeros(())
    n_words = len(parameters) + 2 * len(n_touched) * ranks.size
    words = torch.zeros(n_words, dtype=torch.float64)
    words[: len(parameters)] = torch.tensor([p.grad is not None for p in parameters])
    digits = words[len(parameters) :].view(2, len(n_touched), ranks.size)
    digits[0, :, ranks.rank] = torch.tensor(n_touched) % _BASE
    digits[1, :, ranks.rank] = torch.tensor(n_touched) // _BASE
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
    for parameter, there in zip(parameters, words.tolist(), strict=False):
        if not there:
            parameter.grad = None
    digits = words[len(parameters) :].view(2, len(n_touched), ranks.size)
    return (digits[0] + _BASE * digits[1]).long()


def _flat(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        return parameter.new_zeros(parameter.numel())
    return parameter.grad.to_dense().reshape(-1)


def _add_rows(
    ranks: Group,
    tables: list[Any],
    touched: list[tuple[Tensor, Tensor]],
    counts: list[list[int]],
) -> None:
    """Gather the rows of all tables that any rank touches, in one piece of memory."""
    lines = [_lines(rows, values) for rows, values in touched]
    most = [max(of_ranks) for of_ranks in counts]
    widths = [line.shape[1] for line in lines]
    sizes = [n * width for n, width in zip(most, widths, strict=True)]
    own = torch.cat(
        [
            torch.nn.functional.pad(line.flatten(), (0, size - line.numel()))
            for line, size in zip(lines, sizes, strict=True)
        ]
    )
    parts = ranks.gathered(own, sum(sizes)).split(sizes, 1)
    for t, (table, part) in enumerate(zip(tables, parts, strict=True)):
        if not any(counts[t]):
            continue  # no rank has a gradient, or one of no row
        each = part.view(ranks.size, most[t], widths[t])
        found = torch.cat([one[:n] for one, n in zip(each, counts[t], strict=True)])
        rows = _fresh(found[:, :8]).view(torch.int64)
        values = _fresh(found[:, 8:]).view(table.dtype)
        table.grad = torch.sparse_coo_tensor(
            rows.view(1, -1),
            values.view(-1, *table.shape[1:]),
            table.shape,
            check_invariants=False,
        ).coalesce()


def _lines(rows: Tensor, values: Tensor) -> Tensor:
    """A line of bytes for each row: its number, and its gradient."""
    numbers = rows.view(-1, 1).contiguous().view(torch.uint8)
    gradients = values.flatten(1).contiguous().view(torch.uint8)
    return torch.cat([numbers, gradients], 1)


def _fresh(bytes_: Tensor) -> Tensor:
    """In memory that begins where any dtype may begin."""
    return bytes_.clone(memory_format=torch.contiguous_format)
