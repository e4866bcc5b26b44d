"""Batches from arrays in memory: every row once, shuffled by seed and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dephn_sk._batches import STREAMS, ArraySource, generator_of
from dephn_sk.preprocessing import Bag, Fields

N_ROWS = 10
LENGTHS = [2, 0, 1, 3, 0, 0, 1, 2, 0, 4]


def make_fields():
    """Rows that can be told apart in every part: the row's number is in all of them."""
    members = np.repeat(np.arange(N_ROWS), LENGTHS)
    offsets = np.cumsum([0, *LENGTHS])
    return Fields(
        codes=np.arange(N_ROWS, dtype=np.int32)[:, None] * [1, 100],
        numbers=np.arange(N_ROWS, dtype=np.float32)[:, None] / 2,
        bags=(
            Bag(members, offsets, weights=members / 4),
            Bag(np.arange(N_ROWS)[::-1].copy(), np.arange(N_ROWS + 1)),
        ),
    )


def make_source(**options):
    labels = np.arange(N_ROWS)[:, None] + [0.0, 0.25]
    options = {"labels": labels, "weights": labels + 1, **options}
    return ArraySource(make_fields(), **options)


def assert_is_rows(batch, rows):
    """Every part of the batch holds the given rows, in their order."""
    inputs = batch.inputs
    assert inputs["codes"].tolist() == [[i, 100 * i] for i in rows]
    assert inputs["numbers"].flatten().tolist() == [i / 2 for i in rows]
    assert batch.labels.tolist() == [[i, i + 0.25] for i in rows]
    assert batch.weights.tolist() == [[i + 1, i + 1.25] for i in rows]
    several, one = inputs["bags"]
    members = [i for i in rows for _ in range(LENGTHS[i])]
    assert several.codes.tolist() == members
    assert several.weights.tolist() == [i / 4 for i in members]
    lengths = [LENGTHS[i] for i in rows]
    assert several.offsets.tolist() == np.cumsum([0, *lengths]).tolist()
    assert one.codes.tolist() == [N_ROWS - 1 - i for i in rows]
    assert one.weights is None


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 99])
def test_without_a_seed_rows_come_in_order(batch_size):
    source = make_source()
    assert len(source) == N_ROWS
    starts = range(0, N_ROWS, batch_size)
    for start, batch in zip(starts, source.batches(batch_size), strict=True):
        assert_is_rows(batch, range(start, min(start + batch_size, N_ROWS)))


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 99])
def test_with_a_seed_every_row_comes_once_with_all_its_parts(batch_size):
    seen = []
    for batch in make_source().batches(batch_size, seed=0, epoch=0):
        rows = batch.inputs["codes"][:, 0].tolist()
        assert_is_rows(batch, rows)
        seen += rows
    assert seen != list(range(N_ROWS))
    assert sorted(seen) == list(range(N_ROWS))


def order(source, **key):
    batches = source.batches(4, **key)
    return [row for batch in batches for row in batch.inputs["codes"][:, 0].tolist()]


def test_the_order_depends_on_seed_and_epoch_alone():
    source = make_source()
    first = order(source, seed=0, epoch=5)
    order(source, seed=0, epoch=6)
    torch.manual_seed(9)
    assert order(source, seed=0, epoch=5) == first
    assert order(make_source(), seed=0, epoch=5) == first
    assert order(source, seed=0, epoch=6) != first
    assert order(source, seed=1, epoch=5) != first


def test_torchs_generator_is_not_moved():
    state = torch.get_rng_state()
    order(make_source(), seed=0, epoch=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_generators_of_different_keys_differ():
    keys = [(s, use, e) for s in (0, 1) for use in STREAMS for e in (0, 1)]
    draws = {torch.rand(1, generator=generator_of(*key)).item() for key in keys}
    assert len(draws) == len(keys)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_but_codes_has_the_dtype(dtype):
    (batch,) = make_source(dtype=dtype).batches(99)
    assert batch.inputs["numbers"].dtype == dtype
    assert batch.labels.dtype == batch.weights.dtype == dtype
    assert batch.inputs["bags"][0].weights.dtype == dtype
    assert not batch.inputs["codes"].is_floating_point()


def test_labels_and_weights_may_be_absent():
    (batch,) = make_source(labels=None, weights=None).batches(99)
    assert batch.labels is None
    assert batch.weights is None


def test_a_batch_does_not_share_memory_that_the_caller_may_not_write():
    fields = make_fields()
    codes = fields.codes.copy()
    codes.flags.writeable = False
    source = ArraySource(Fields(codes, fields.numbers))
    (batch,) = source.batches(99)
    assert "bags" not in batch.inputs
    batch.inputs["codes"].fill_(7)
    assert codes[3, 0] == 3


@pytest.mark.parametrize("shuffled", [{}, {"seed": 0}])
def test_a_source_of_some_rows_yields_those_rows_alone(shuffled):
    codes = np.arange(20, dtype=np.int32).reshape(10, 2)
    members = np.arange(10, dtype=np.int32)
    bag = Bag(members, np.arange(11))
    fields = Fields(codes, codes.astype(np.float32), (bag,))
    rows = np.array([7, 2, 3, 9, 0])
    source = ArraySource(fields, rows[:, None], rows=rows)
    assert len(source) == 5
    seen = []
    for batch in source.batches(2, **shuffled):
        which = batch.labels[:, 0].long().numpy()
        assert batch.inputs["codes"].tolist() == codes[which].tolist()
        assert batch.inputs["numbers"].tolist() == codes[which].tolist()
        assert batch.inputs["bags"][0].codes.tolist() == which.tolist()
        seen += which.tolist()
    assert sorted(seen) == sorted(rows)
    assert (seen == rows.tolist()) == (not shuffled)
