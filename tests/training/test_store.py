"""Batches from blocks on the disk are those of the same rows in memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from dephn_sk.preprocessing import Bag, Fields
from dephn_sk.training import ArraySource
from dephn_sk.training._store import (
    EncodedRows,
    Store,
    StoreFolder,
    StoreSource,
    StoreWriter,
    write_index,
)

N = 50_003
SIZES = [200, 60_000, 100_000], [40, 300]


def rows(n=N, seed=0):
    """Rows of which each array tells which one it is."""
    rng = np.random.default_rng(seed)
    codes = np.column_stack([rng.integers(0, k, n) for k in SIZES[0]]).astype(np.int32)
    codes[:, 2] = np.arange(n)
    bags = []
    for k in SIZES[1]:
        lengths = rng.integers(0, 4, n)
        ends = np.append(0, np.cumsum(lengths))
        weights = None if bags else rng.random(ends[-1])
        bags.append(Bag(rng.integers(0, k, ends[-1]).astype(np.int32), ends, weights))
    numbers = np.column_stack([np.arange(n), rng.normal(size=n)]).astype(np.float32)
    labels = rng.integers(0, 2, (n, 2)).astype(np.uint8)
    groups = rng.integers(0, 5000, n) * 2**40
    return EncodedRows(
        Fields(codes, numbers, tuple(bags)), labels, rng.random((n, 2)), groups
    )


ROWS = rows()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    writer = StoreWriter(tmp_path_factory.mktemp("s") / "rows", 2**24, SIZES)
    for start in range(0, N, 7001):
        writer.add(ROWS.take(np.arange(start, min(start + 7001, N))))
    write_index(writer.folder, [writer.finish()])
    return Store(writer.folder)


def flat(batches):
    """All tensors of batches, side by side."""
    found = []
    for batch in batches:
        bags = [t for bag in batch.inputs["bags"] for t in bag if t is not None]
        known = [batch.inputs["codes"], batch.inputs["numbers"], *bags]
        found.append([*known, batch.labels, batch.weights, batch.groups])
    return found


def assert_equal(batches, others):
    batches, others = flat(batches), flat(others)
    assert len(batches) == len(others)
    for one, other in zip(batches, others, strict=True):
        assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("how", [{}, {"seed": 3, "epoch": 2}, {"seed": 3, "start": 7}])
def test_rows_that_fit_come_as_from_memory(store, how):
    source = StoreSource(store, 2**30)
    assert source.fits
    fields, *known = ROWS
    memory = ArraySource(fields, *known)
    assert_equal(source.batches(997, **how), memory.batches(997, **how))


def test_rows_in_order_come_as_from_memory_block_by_block(store):
    source = StoreSource(store, 2**20)
    assert not source.fits
    assert len(store.blocks) > 5
    fields, *known = ROWS
    memory = ArraySource(fields, *known)
    assert_equal(source.batches(997), memory.batches(997))
    assert_equal(source.batches(64, start=700), memory.batches(64, start=700))


def number_of(batch):
    return batch.inputs["codes"][:, 2]


def test_an_epoch_holds_each_row_once_with_all_that_is_its_own(store):
    source, (fields, labels, weights, groups) = StoreSource(store, 2**21), ROWS
    for epoch in range(2):
        seen = []
        for batch in source.batches(997, seed=1, epoch=epoch):
            at = number_of(batch).numpy()
            seen.append(at)
            own = fields.take(at)
            np.testing.assert_array_equal(batch.inputs["codes"], own.codes)
            np.testing.assert_array_equal(batch.inputs["numbers"], own.numbers)
            for bag, mine in zip(batch.inputs["bags"], own.bags, strict=True):
                np.testing.assert_array_equal(bag.codes, mine.members)
                np.testing.assert_array_equal(bag.offsets, mine.offsets)
            np.testing.assert_array_equal(batch.labels, labels[at])
            np.testing.assert_allclose(batch.weights, weights[at], rtol=1e-6)
            np.testing.assert_array_equal(batch.groups, groups[at])
        assert {len(one) for one in seen[:-1]} == {997}
        order = np.concatenate(seen)
        assert np.array_equal(np.sort(order), np.arange(N))
        assert len(set(order[:5000] // 4096)) >= 2  # rows of several blocks together


def test_seed_and_epoch_alone_decide_the_order(store):
    one, other = (StoreSource(store, 2**21) for _ in range(2))
    list(other.batches(100, seed=8))  # which leaves no trace
    how = {"seed": 5, "epoch": 4}
    order = [number_of(b) for b in one.batches(997, **how)]
    again = [number_of(b) for b in other.batches(997, **how)]
    assert all(map(torch.equal, order, again))
    late = [number_of(b) for b in one.batches(997, **how, start=30)]
    assert all(map(torch.equal, order[30:], late))
    next_one = [number_of(b) for b in one.batches(997, seed=5, epoch=5)]
    assert not torch.equal(order[0], next_one[0])


@pytest.mark.parametrize("memory", [2**21, 2**30])
def test_each_rank_has_its_share_of_each_batch(store, memory):
    source, how = StoreSource(store, memory), {"seed": 5, "epoch": 1}
    whole = [number_of(b) for b in source.batches(997, **how)]
    for rank in range(3):
        own = source.batches(997, **how, rank=rank, world_size=3)
        pairs = zip(own, whole, strict=True)
        assert all(torch.equal(number_of(b), w[rank::3]) for b, w in pairs)


def test_a_store_takes_the_smallest_integers(store):
    kinds = ["|u1", "<u2", "<i4"], ["|u1", "<u2"]
    assert (list(store.layout.codes), list(store.layout.bags)) == kinds


def test_a_store_that_is_cut_is_none(tmp_path):
    writer = StoreWriter(tmp_path / "rows", 2**24, SIZES)
    writer.add(ROWS.take(np.arange(100)))
    with pytest.raises(FileNotFoundError):
        Store(writer.folder)  # it has no index yet
    write_index(writer.folder, [writer.finish()])
    block = writer.folder / "0-0.block"
    block.write_bytes(block.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not whole"):
        Store(writer.folder)


def test_two_fits_that_store_the_same_rows_leave_one_store(tmp_path):
    """Whoever is second takes the first's, which another process may be reading."""
    first, second = (StoreFolder(str(tmp_path), "key") for _ in range(2))
    for folder, seed in ((first, 0), (second, 1)):
        writer = StoreWriter(folder.path / "train", 2**24, SIZES)
        writer.add(rows(100, seed))
        write_index(writer.folder, [writer.finish()])
    kept = first.settle()
    block = kept / "train" / "0-0.block"
    written = block.read_bytes()
    assert second.settle() == kept
    assert block.read_bytes() == written
    block.write_bytes(written[:-1])  # one that is not whole makes room
    assert second.settle() == kept
    assert len(block.read_bytes()) != len(written) - 1
    assert second.found("train") is not None
    first.close()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


PEAK = """
import resource, sys
import numpy as np, pyarrow as pa
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.logs import Log
from dephn_sk.training import FitPlan

n = int(sys.argv[1])

def frames():
    for i in range(0, n, 20_000):
        rng = np.random.default_rng(i)
        ids = [pa.array(rng.integers(0, 5000, 20_000).astype(str)) for _ in range(4)]
        numbers = [pa.array(rng.normal(size=20_000)) for _ in range(4)]
        labels = pa.array(rng.integers(0, 2, 20_000))
        yield pa.table([*ids, *numbers, labels], names=[*"abcdefgh", "y"])

model = DEPHNMultiTaskClassifier(random_state=0, early_stopping=True)
log = Log(frames, memory=2**25)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
plan = FitPlan.of(model, log, "y", epochs=1)
seen = sum(len(b.labels) for b in plan.train.batches(1024, seed=0))
seen += sum(len(b.labels) for b in plan.valid.batches(1024))
plan.close()
assert seen == n, seen
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak(n):
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(n)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout) * 1024


def test_memory_does_not_grow_with_the_rows():
    small, large = peak(60_000), peak(600_000)
    assert large < small + 2**24  # 600,000 rows are 48 bytes each in a store


KILLED = """
import os, signal, sys
from dephn_sk.training._store import StoreFolder
folder = StoreFolder(sys.argv[1], None)
folder.path.mkdir()
print(folder.path.parent.name, flush=True)
input()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fcntl")
def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path):
    """Not a folder that somebody writes, and not one that has just begun."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, **pipes) as process:
        left = tmp_path / process.stdout.readline().strip()
        os.utime(left / "lock", (0, 0))
        StoreFolder(str(tmp_path), None).close()
        assert (left / "rows").is_dir()  # it lives
        process.communicate("now")
    os.utime(left / "lock")
    StoreFolder(str(tmp_path), None).close()
    assert left.is_dir()  # it may be about to be locked
    os.utime(left / "lock", (0, 0))
    StoreFolder(str(tmp_path), None).close()
    assert list(tmp_path.iterdir()) == []
