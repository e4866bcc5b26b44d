"""Batches from arrays in memory: every row once, shuffled by seed and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dephn_sk.preprocessing import Bag, Fields
from dephn_sk.training import Order, Source, _source
from dephn_sk.training._randomness import STREAMS, generator_of
from dephn_sk.training._source import ArraySource, fits, size_of

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
    assert source.n_rows == N_ROWS
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
    assert source.n_rows == 5
    seen = []
    for batch in source.batches(2, **shuffled):
        which = batch.labels[:, 0].long().numpy()
        assert batch.inputs["codes"].tolist() == codes[which].tolist()
        assert batch.inputs["numbers"].tolist() == codes[which].tolist()
        assert batch.inputs["bags"][0].codes.tolist() == which.tolist()
        seen += which.tolist()
    assert sorted(seen) == sorted(rows)
    assert (seen == rows.tolist()) == (not shuffled)


@pytest.mark.parametrize("shuffled", [{}, {"seed": 0}])
def test_parts_of_a_source_share_its_memory(shuffled):
    whole = make_source(labels=None, weights=None)
    rows = np.array([7, 2, 3, 9, 0])
    labels = rows[:, None] + [0.0, 0.25]
    part = whole.part(rows, labels, labels + 1)
    assert part.codes.data_ptr() == whole.codes.data_ptr()
    assert whole.n_rows == N_ROWS
    assert part.n_rows == len(rows)
    seen = []
    for batch in part.batches(2, **shuffled):
        which = batch.inputs["codes"][:, 0].tolist()
        assert_is_rows(batch, which)
        seen += which
    assert sorted(seen) == sorted(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_labels_of_a_byte_stay_bytes_until_they_are_in_a_batch(dtype):
    labels = np.arange(N_ROWS, dtype=np.uint8)[:, None]
    source = make_source(labels=labels, weights=None, dtype=dtype)
    assert source.labels.dtype == torch.uint8
    (batch,) = source.batches(99)
    assert batch.labels.dtype == dtype
    assert batch.labels.tolist() == labels.tolist()


# ------------------------------------------------------- data that a device cannot hold


@pytest.fixture
def nothing_fits(monkeypatch):
    monkeypatch.setattr(_source, "fits", lambda n_bytes, device: False)


def test_the_size_of_a_table_is_that_of_its_tensors():
    source = make_source(dtype=torch.float64)
    tensors = [source.codes, source.numbers]
    tensors += [part for bag in source.bags for part in bag if part is not None]
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert size_of(make_fields(), torch.float64) == held


@pytest.mark.parametrize(
    ("free", "reserved", "allocated", "n_bytes", "expected"),
    [
        (100, 0, 0, 50, True),
        (100, 0, 0, 51, False),
        (100, 40, 20, 60, True),  # what torch has reserved for later is free
        (100, 40, 20, 61, False),
    ],
)
def test_data_stay_on_a_device_that_keeps_room_to_work(
    free, reserved, allocated, n_bytes, expected, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)
    assert fits(n_bytes, torch.device("cuda")) is expected
    assert fits(n_bytes, torch.device("cpu"))


@pytest.mark.parametrize("batch_size", [1, 3, 10, 99])
@pytest.mark.parametrize("shuffled", [{}, {"seed": 0, "epoch": 3}])
def test_batches_sent_ahead_are_those_of_a_source_that_stays(batch_size, shuffled):
    expected = list(make_source().batches(batch_size, **shuffled))
    batches = make_source().batches(batch_size, **shuffled)
    sent = list(_source.sent_ahead(batches, torch.device("cpu")))
    assert len(sent) == len(expected)
    for one, other in zip(sent, expected, strict=True):
        assert_is_rows(one, other.inputs["codes"][:, 0].tolist())


def test_the_next_batch_is_sent_before_the_one_before_is_worked_on():
    events = []

    def batches():
        for i, batch in enumerate(make_source().batches(4)):
            events.append(f"sent {i}")
            yield batch

    for i, _ in enumerate(_source.sent_ahead(batches(), torch.device("cpu"))):
        events.append(f"worked on {i}")
    assert events == [
        *("sent 0", "sent 1", "worked on 0"),
        *("sent 2", "worked on 1", "worked on 2"),
    ]


def test_labels_and_weights_that_are_absent_stay_so_when_sent(nothing_fits):
    source = make_source(labels=None, weights=None, device="meta")
    assert source.home.type == "cpu"
    (batch,) = source.batches(99)
    assert batch.inputs["codes"].device.type == "meta"
    assert batch.inputs["bags"][0].weights.device.type == "meta"
    assert batch.labels is None
    assert batch.weights is None


# ------------------------------------------------------------------ ranks and starts


def rows_of(batch):
    return batch.inputs["codes"][:, 0].tolist()


@pytest.mark.parametrize("part", [None, np.array([1, 3, 4, 6, 8, 9])])
@pytest.mark.parametrize("seed", [None, 0, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 99])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_each_batch(part, seed, batch_size, world_size):
    source = make_source() if part is None else make_source().part(part)
    order = {"seed": seed, "epoch": 2}
    whole = [rows_of(b) for b in source.batches(batch_size, **order)]
    shares = [
        [
            rows_of(b)
            for b in source.batches(batch_size, **order, rank=r, world_size=world_size)
        ]
        for r in range(world_size)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(row for part in parts for row in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("seed", [None, 3])
def test_a_rank_gets_all_that_belongs_to_its_rows(seed):
    for rank in range(3):
        for batch in make_source().batches(5, seed=seed, rank=rank, world_size=3):
            assert_is_rows(batch, rows_of(batch))


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("start", range(5))
def test_a_start_leaves_out_the_batches_before(seed, start):
    order = {"seed": seed, "epoch": 1, "rank": 1, "world_size": 2}
    whole = [rows_of(b) for b in make_source().batches(4, **order)]
    left = [rows_of(b) for b in make_source().batches(4, **order, start=start)]
    assert left == whole[start:]


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 1), (1, 1), (2, 2), (0, 0)])
def test_a_rank_that_there_is_not_is_an_error(rank, world_size):
    with pytest.raises(ValueError, match=f"rank={rank} is none of {world_size=}"):
        make_source().batches(4, rank=rank, world_size=world_size)


class Numbers(Source):
    """Knows nothing of ranks."""

    n_rows, device = 3, torch.device("cpu")

    def read(self, order):
        yield order


def test_a_source_that_knows_no_ranks_refuses_several_at_once():
    with pytest.raises(ValueError, match=r"Numbers does not know of ranks.*size=2"):
        Numbers().batches(4, rank=0, world_size=2)
    assert list(Numbers().batches(4, seed=1, epoch=2, start=3)) == [
        Order(4, 1, 2, 0, 1, 3)
    ]
