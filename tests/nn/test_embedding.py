"""FieldEmbedding: one table with offsets, numeric fields, multi-valued fields."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _batches import KINDS
from _naive import fields_of_row, randomize
from torch.testing import assert_close

from dephn_sk.nn import FieldEmbedding, Members, NumericEmbedding, PlainNumbers

EDGES = [[-1.0, 0.0, 0.5, 1.5], [-0.5, 0.5]]


def make_embedding(kind, dim=3, parts=("bins", "piecewise-linear"), **options):
    n_numeric = kind.numbers.shape[1]
    numeric = None
    if n_numeric:
        edges = [torch.tensor(e, dtype=torch.float64) for e in EDGES[:n_numeric]]
        numeric = NumericEmbedding(edges, dim, kind="+".join(parts))
    return randomize(
        FieldEmbedding(kind.cardinalities, dim, numeric=numeric, **options)
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_each_field_is_its_own_row_or_number(name, batch):
    kind = KINDS[name]
    embedding = make_embedding(kind)
    codes, numbers, _ = (part[:batch] for part in kind.tensors())
    rows = zip(codes, numbers, strict=True)
    naive = [fields_of_row(embedding, kind.cardinalities, EDGES, *row) for row in rows]
    assert_close(embedding(codes, numbers), torch.stack(naive))


@pytest.mark.parametrize("name", KINDS)
def test_one_field_perturbed_moves_only_its_own_embedding(name):
    kind = KINDS[name]
    # linear: bins and piecewise-linear are flat beyond their edges
    embedding = make_embedding(kind, parts=("linear",))
    codes, numbers, _ = kind.tensors()
    before = embedding(codes, numbers)
    n_categorical = len(kind.cardinalities)
    for field in range(before.shape[1]):
        other_codes, other_numbers = codes.clone(), numbers.clone()
        if field < n_categorical:
            other_codes[:, field] = (codes[:, field] + 1) % kind.cardinalities[field]
        else:
            column = numbers[:, field - n_categorical]
            other_numbers[:, field - n_categorical] = column.nan_to_num(5.0) + 0.1
        after = embedding(other_codes, other_numbers)
        moved = (after != before).any(2)
        assert moved[:, field].all()
        moved[:, field] = False
        assert not moved.any()


def test_plain_numbers_stand_beside_the_flattened_vectors():
    plain = PlainNumbers(2)
    embedding = randomize(FieldEmbedding([3, 4], 3, numeric=plain))
    codes, numbers = torch.tensor([[1, 3], [2, 0]]), torch.tensor([[0.5, 2], [7, -1]])
    flat = embedding(codes, numbers.double())
    assert flat.shape == (2, embedding.width) == (2, 2 * 3 + 2)
    categorical = FieldEmbedding([3, 4], 3).double()
    categorical.table = embedding.table
    assert torch.equal(flat[:, :6], categorical(codes).flatten(1))
    assert torch.equal(flat[:, 6:], numbers.double())


@pytest.mark.parametrize("kind", ["linear", "bins|linear|periodic", "scalar"])
def test_sums_by_field_add_up_all_entries_of_a_field(kind):
    edges = [torch.tensor(e, dtype=torch.float64) for e in EDGES]
    numeric = (
        PlainNumbers(2) if kind == "scalar" else NumericEmbedding(edges, 3, kind=kind)
    )
    embedding = randomize(
        FieldEmbedding([3], 3, numeric=numeric, bag_cardinalities=[5])
    )
    bag = members(2)
    codes, numbers = (
        torch.tensor([[1], [2]]),
        torch.tensor([[0.5, 2], [7, -1]]).double(),
    )
    values = embedding(codes, numbers, [bag])
    sums = embedding.sum_by_field(values)
    assert sums.shape == (2, 4)
    assert_close(sums.sum(1), values.flatten(1).sum(1))
    moved = embedding(codes, numbers + torch.tensor([1.0, 0.0]), [bag])
    changed = (embedding.sum_by_field(moved) != sums).any(0)
    assert changed.tolist() == [False, True, False, False]


def test_only_the_rows_that_are_read_get_a_gradient():
    embedding = make_embedding(KINDS["one categorical field"])
    embedding(torch.tensor([[1], [3], [1]])).sum().backward()
    assert embedding.table.grad[:, 0].tolist() == [0.0, 2.0, 0.0, 1.0]


def test_fields_of_one_table_share_rows_and_others_never_do():
    embedding = randomize(FieldEmbedding([3, 5, 4], 2, tables=[0, 1, 0]))
    assert embedding.table.shape == (4 + 5, 2)
    fields = embedding(torch.tensor([[2, 2, 2], [1, 4, 1]]))
    assert torch.equal(fields[:, 0], fields[:, 2])
    values = fields.detach().numpy()
    assert not np.isin(values[:, 1], values[:, 0]).any()


def test_without_tables_no_two_fields_share_a_row():
    cardinalities = [3, 1, 4]
    embedding = FieldEmbedding(cardinalities, 1)
    embedding.table.data = torch.arange(8.0).reshape(8, 1)
    values = set()
    for field, cardinality in enumerate(cardinalities):
        for code in range(cardinality):
            codes = torch.zeros(1, 3, dtype=torch.long)
            codes[0, field] = code
            values.add(embedding(codes)[0, field].item())
    assert values == set(range(8))


# ------------------------------------------------------------ multi-valued fields

CODES = [[1, 2], [], [3], [4, 4, 1], [], [2, 0], [1]]
WEIGHTS = [[0.5, 2.0], [], [3.0], [1.0, 0.25, 1.5], [], [0.125, 4.0], [2.0]]


def members(batch, weighted=False):
    lengths = [len(row) for row in CODES[:batch]]
    weights = [w for row in WEIGHTS[:batch] for w in row]
    return Members(
        torch.tensor([code for row in CODES[:batch] for code in row]),
        torch.tensor(np.cumsum([0, *lengths])),
        torch.tensor(weights, dtype=torch.float64) if weighted else None,
    )


def pooled(rows, weights, mode):
    """One row's members, pooled in a loop; zeros where there are none."""
    if not len(rows):
        return torch.zeros(3, dtype=torch.float64)
    if mode == "max":
        return torch.stack([max(column) for column in zip(*rows, strict=True)])
    total = sum(w * row for w, row in zip(weights, rows, strict=True))
    return total / sum(weights) if mode == "mean" else total


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize(
    ("mode", "weighted"),
    [("mean", False), ("sum", False), ("max", False), ("mean", True), ("sum", True)],
)
def test_members_are_pooled_as_in_a_loop(mode, weighted, batch):
    embedding = randomize(
        FieldEmbedding([4], 3, bag_cardinalities=[2, 5], bag_mode=mode)
    )
    first = Members(torch.ones(batch, dtype=torch.long), torch.arange(batch + 1))
    codes = torch.arange(batch)[:, None] % 4
    fields = embedding(codes, bags=[first, members(batch, weighted)])
    start = 4 + 2
    for i in range(batch):
        rows = [embedding.table[start + code] for code in CODES[i]]
        weights = WEIGHTS[i] if weighted else [1.0] * len(rows)
        assert_close(fields[i, 0], embedding.table[i % 4])
        assert_close(fields[i, 1], embedding.table[4 + 1])
        assert_close(fields[i, 2], pooled(rows, weights, mode))


@pytest.mark.parametrize("mode", ["mean", "sum"])
def test_a_row_whose_members_weigh_nothing_gives_zeros(mode):
    embedding = randomize(FieldEmbedding([], 3, bag_cardinalities=[5], bag_mode=mode))
    weights = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    bag = Members(torch.tensor([1, 2, 3]), torch.tensor([0, 2, 3]), weights)
    fields = embedding(torch.zeros(2, 0, dtype=torch.long), bags=[bag])
    assert torch.equal(fields[0, 0], torch.zeros(3, dtype=torch.float64))
    assert_close(fields[1, 0], embedding.table[3])
    fields.sum().backward()
    assert embedding.table.grad.isfinite().all()


def test_a_bag_may_share_the_table_of_a_categorical_field():
    embedding = randomize(FieldEmbedding([5], 3, bag_cardinalities=[5], tables=[0, 0]))
    assert len(embedding.table) == 5
    bag = Members(torch.tensor([2]), torch.tensor([0, 1]))
    fields = embedding(torch.tensor([[2]]), bags=[bag])
    assert_close(fields[0, 0], fields[0, 1])


def test_a_bag_without_any_member_in_the_batch_gives_zeros():
    embedding = randomize(FieldEmbedding([4], 3, bag_cardinalities=[5]))
    bag = Members(torch.zeros(0, dtype=torch.long), torch.zeros(3, dtype=torch.long))
    fields = embedding(torch.tensor([[1], [2]]), bags=[bag])
    assert not fields[:, 1].any()


def test_an_unknown_bag_mode_is_named():
    with pytest.raises(ValueError, match=r"bag_mode .* got 'men'"):
        FieldEmbedding([3], 2, bag_mode="men")


def test_each_bag_may_be_pooled_in_a_way_of_its_own():
    modes = ["sum", "max", "mean"]
    embedding = randomize(
        FieldEmbedding([], 3, bag_cardinalities=[5] * 3, bag_mode=modes)
    )
    fields = embedding(torch.zeros(7, 0, dtype=torch.long), bags=[members(7)] * 3)
    for field, mode in enumerate(modes):
        for i in range(7):
            rows = [embedding.table[5 * field + code] for code in CODES[i]]
            assert_close(fields[i, field], pooled(rows, [1.0] * len(rows), mode))


# ------------------------------------------------------------------------- growing


def test_a_grown_table_keeps_the_rows_of_old_codes():
    embedding = randomize(
        FieldEmbedding([3, 2, 4], 2, bag_cardinalities=[4], tables=[0, 1, 0, 2])
    )
    codes = torch.tensor([[2, 1, 3], [0, 0, 1]])
    bag = Members(torch.tensor([3, 0, 2]), torch.tensor([0, 1, 3]))
    before, old = embedding(codes, bags=[bag]), embedding.table.detach()
    positions = embedding.grow([6, 2, 5], [7])
    assert embedding.table.shape == (6 + 2 + 7, 2)
    assert torch.equal(embedding(codes, bags=[bag]), before)
    assert torch.equal(embedding.table[positions], old)
    new = embedding(
        torch.tensor([[5, 1, 4]]),
        bags=[Members(torch.tensor([6]), torch.tensor([0, 1]))],
    )
    assert not torch.isin(new[0, [0, 2, 3]].detach(), before.detach()).any()


def test_a_table_does_not_shrink():
    with pytest.raises(ValueError, match="from 3 rows"):
        FieldEmbedding([3, 2], 2).grow([2, 2])


# --------------------------------------------------------------- unseen, dropout


def test_unseen_rate_one_reads_row_zero_in_training_alone():
    embedding = make_embedding(KINDS["plain"], unseen_rate=1.0)
    codes, numbers, _ = KINDS["plain"].tensors()
    fields = embedding.train()(codes, numbers)
    zero = embedding(torch.zeros_like(codes), numbers)
    assert torch.equal(fields, zero)
    assert not torch.equal(embedding.eval()(codes, numbers), zero)


def test_dropout_zeroes_entries_in_training_alone():
    embedding = make_embedding(KINDS["plain"], dropout=0.5)
    codes, numbers, _ = KINDS["plain"].tensors()
    plain = embedding.eval()(codes, numbers)
    dropped = embedding.train()(codes, numbers)
    kept = dropped != 0
    assert 0 < kept.sum() < kept.numel()
    assert_close(dropped[kept], 2 * plain[kept])
