"""How much time, memory and network do N rows, V ids and W processes take?

    python benchmarks/bench_capacity.py           # measure, check, write the page
    python benchmarks/bench_capacity.py --write   # the page, of what was measured
    python benchmarks/bench_capacity.py --plan --rows 1e9 --ids 1e7 --workers 8

Rates and sizes are measured once: seconds of the processor for a row in each pass and
for a step, bytes of a row of the log and of a row of the table. `Model` computes from
them what other sizes take; three of these are measured, too, and printed beside it.
The log has 8 columns of ids, a few of which are frequent and most are rare, 4 columns
of 20 categories, 4 of numbers, and 2 tasks; networks have the default sizes, without
target statistics, so that each id has a row of the table. One thread for each process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from _exchanges import handed_over
from _report import RESULTS, Results, environment, markdown

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.logs import Log
from dephn_sk.nn import use_generator
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training import FitPlan, Ranks, Trainer

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
BLOCK = re.compile(r"<!-- (?P<name>[\w ]+) -->\n.*?<!-- end -->", re.DOTALL)
N_ID_COLUMNS, N_SMALL, N_NUMERIC, N_TASKS, DIM = 8, 4, 4, 2, 16
SPARSE_ROWS = 2**18  # of a table, from which on only touched rows are stepped
FEW_STEPS = 16
MEASURED_ROWS, MEASURED_IDS = (50_000, 400_000), (20_000, 800_000)
CHECKED_PASSES = ((100_000, 100_000), (200_000, 400_000), (400_000, 1_600_000))
CHECKED_STEPS = ((1_024, 100_000), (2_048, 400_000), (8_192, 1_600_000))
CHECKED_EXCHANGES = ((512, 100_000), (2_048, 400_000), (8_192, 1_600_000))
CHECKED_TABLES = (100_000, 400_000, 1_600_000)
GIGABYTE, DAY = 1e9, 86_400
BANDWIDTH, LATENCY = 1.25e9, 50e-6  # ten gigabit a second; seconds of a message
PLANNED = (  # rows, ids, processes, rows of a batch
    (1e8, 1e6, 1, 4_096),
    (1e9, 1e7, 1, 4_096),
    (1e9, 1e7, 8, 4_096),
    (1e9, 1e7, 8, 65_536),
    (1e9, 1e7, 64, 65_536),
    (1e9, 1e8, 8, 65_536),
    (1e9, 1e9, 64, 65_536),
)


# ---------------------------------------------------------------- a log of any size


def log_of(n_rows: int, n_ids: int) -> tuple[pd.DataFrame, np.ndarray]:
    """First each id once, then so many rows in which the first ids come most."""
    rng, each = np.random.default_rng(0), n_ids // N_ID_COLUMNS
    n_all, columns = each + n_rows, {}
    for j in range(N_ID_COLUMNS):
        drawn = (each * rng.random(n_rows) ** 3).astype(np.int32)
        codes = np.concatenate([np.arange(each, dtype=np.int32), drawn])
        columns[f"id{j}"] = pd.Categorical.from_codes(codes, range(each))
    for j in range(N_SMALL):
        codes = rng.integers(0, 20, n_all, dtype=np.int8)
        columns[f"c{j}"] = pd.Categorical.from_codes(codes, range(20))
    for j in range(N_NUMERIC):
        columns[f"x{j}"] = rng.normal(size=n_all).astype(np.float32)
    return pd.DataFrame(columns), rng.integers(0, 2, (n_all, N_TASKS))


def touched(n_rows: float, n_ids: float) -> float:
    """How many different rows of the table so many rows of a log touch, on average.

    The k-th of K ids comes with probability (k / K)^(1/3) - ((k - 1) / K)^(1/3).
    """
    each = int(n_ids) // N_ID_COLUMNS
    # of many ids, neighbours have nearly the same probability
    edges = np.unique(np.geomspace(1, each + 1, 20_000).astype(np.int64)) - 1
    n, mass = np.diff(edges), np.diff(np.cbrt(edges / each))
    missed = n_rows * np.log1p(-np.minimum(mass / n, 1 - 1e-12))
    of_column = float(np.sum(n * -np.expm1(missed)))
    return N_ID_COLUMNS * of_column + N_SMALL * min(20, n_rows)


def encoder() -> FieldEncoder:
    return FieldEncoder(target_statistics=None, min_frequency=1)


def estimator(batch: int) -> DEPHNMultiTaskClassifier:
    return DEPHNMultiTaskClassifier(
        encoder=encoder(),
        embedding_dim=DIM,
        batch_size=batch,
        max_epochs=1,
        early_stopping=False,
        random_state=0,
        n_threads=1,
    )


# ---------------------------------------------------------------- the model


@dataclass(frozen=True)
class Model:
    """What was measured, and what follows from it for other sizes.

    Attributes
    ----------
    count, encode, predict : float
        Seconds of the processor for a row, in both passes and in scoring.
    pass_id, pass_start : float
        More of both passes for each id, and whatever there is.
    step, step_row : float
        Seconds of a step, and more for each of its rows.
    dense_row, sparse_row : float
        More for each row of a table that is small, and for each row that a step touches
        of a large one.
    copied_row : float
        More for each row of a large table that another process has stepped.
    dense_bytes, sparse_bytes : dict
        Bytes of a row of such tables, by what they are for.
    id_bytes : float
        Of the encoder, for each id.
    n_dense, n_parameters : int
        Numbers beside the table, and arrays of them.
    """

    count: float
    encode: float
    predict: float
    pass_id: float
    pass_start: float
    step: float
    step_row: float
    dense_row: float
    sparse_row: float
    copied_row: float
    dense_bytes: dict
    sparse_bytes: dict
    id_bytes: float
    n_dense: int
    n_parameters: int

    def passes(self, rows: float, ids: float, workers: int = 1) -> float:
        """Seconds of counting and encoding: its share of the rows, but every id."""
        each = (self.count + self.encode) / workers
        return self.pass_start + rows * each + ids * self.pass_id

    @staticmethod
    def row_bytes(ids: float) -> int:
        """Of an encoded row: the smallest integers, float32, bytes of labels."""
        code = np.min_scalar_type(int(ids) // N_ID_COLUMNS).itemsize
        return N_ID_COLUMNS * code + N_SMALL + 4 * N_NUMERIC + N_TASKS

    def network_seconds(self, batch: int, workers: int = 1) -> float:
        """Of a step, without its table."""
        return self.step + self.step_row * batch / workers

    def table_seconds(self, batch: int, ids: float, workers: int = 1) -> float:
        """Of a step, for rows of the table.

        Each process steps all of a small one, and its part of a large one.
        """
        if ids < SPARSE_ROWS:
            return self.dense_row * ids
        own = touched(batch, ids) / workers
        return self.sparse_row * own + self.copied_row * own * (workers - 1)

    def table_bytes(self, ids: float) -> float:
        """Of weights, gradients, moments and averages of the table."""
        each = self.dense_bytes if ids < SPARSE_ROWS else self.sparse_bytes
        return ids * sum(each.values())

    def exchanged(self, batch: int, ids: float, workers: int) -> tuple[float, ...]:
        """Bytes that a process hands over in a step: added up, for all, each for one.

        Added up are gradients and, for each of them, whether it is there. For all are
        logits and labels of its rows, these also for the similarity of labels, and the
        rows of a large table that it has stepped, with their numbers. Gradients of such
        rows, one for each number that is looked up, are each for the one that steps it.
        """
        large = ids >= SPARSE_ROWS
        words = self.n_parameters + 2 * workers * (workers + 1) * large
        added = 4 * (self.n_dense + words + (0 if large else ids * DIM))
        own, line = -(-batch // workers), (4 + 4 * DIM) * large
        stepped = touched(batch, ids) / workers * line
        looked_up = own * (N_ID_COLUMNS + N_SMALL) * line
        return added, 12 * own * N_TASKS + stepped, looked_up

    def sent(self, batch: int, ids: float, workers: int) -> float:
        """Bytes that a process sends in a step: sums go around in a ring."""
        added, for_all, for_one = self.exchanged(batch, ids, workers)
        others = (workers - 1) / workers
        return 2 * others * added + (workers - 1) * for_all + others * for_one

    def sending_seconds(self, batch: int, ids: float, workers: int) -> float:
        """Of a step; 2 (W - 1) messages after each other for a sum, W - 1 for rows."""
        messages = (workers - 1) * (2 + 1 + 6 * (ids >= SPARSE_ROWS))
        return self.sent(batch, ids, workers) / BANDWIDTH + messages * LATENCY


# ---------------------------------------------------------------- what is measured


def least_seconds(call: Callable) -> float:
    """Of the processor, the least of five times."""
    took = []
    for _ in range(5):
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    return min(took)


def passes(n_rows: int, n_ids: int) -> dict:
    """Seconds of both passes over a log in a Parquet file, and bytes of a stored row.

    Encoding is what is left of both, with reading the labels and writing the store.
    """
    X, y = log_of(n_rows, n_ids)
    tasks = [f"y{t}" for t in range(N_TASKS)]
    table = pa.table(
        {
            # as files hold them
            **{name: pa.array(X[name]).cast(text_or_number(X[name])) for name in X},
            **{name: pa.array(labels) for name, labels in zip(tasks, y.T, strict=True)},
        }
    )
    stored = []

    def both() -> None:
        plan = FitPlan.of(estimator(1_024), log, tasks, epochs=1)
        stored.append(sum(size for *_, size, _ in plan.train.store.blocks))
        plan.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        pq.write_table(table, path, row_group_size=100_000)
        log = Log(ds.dataset(path))
        features = Log(ds.dataset(path), columns=list(X))
        count = least_seconds(lambda: encoder().fit(features))
        return {
            "rows": len(X),
            "count": count,
            "encode": least_seconds(both) - count,
            "row_bytes": stored[-1] / len(X),
        }


def text_or_number(column: pd.Series) -> pa.DataType:
    return pa.string() if column.dtype == "category" else pa.float32()


class Steps:
    """Training at its beginning, and what its steps take."""

    def __init__(self, batch: int, n_ids: int, ranks: Ranks | None = None) -> None:
        X, y = log_of(FEW_STEPS * batch, n_ids)
        plan = FitPlan.of(estimator(batch), X, y, epochs=1)
        self.plan = plan if ranks is None else replace(plan, ranks=ranks)
        self.before = resident()
        self.state, self.batch = self.plan.begin(), batch
        self.trainer = Trainer(self.state, self.plan)
        self.state.begin(plan.train)
        self.trainer.divide()
        place = self.plan.ranks.share
        use_generator(self.state.network.train(), self.trainer._generator, place)
        (part,) = self.state.network.tables()
        self.table = part.table

    def run(self) -> float:
        """Least seconds of a step, over the rows in which frequent ids come most."""
        first = -(-(self.plan.train.n_rows - FEW_STEPS * self.batch) // self.batch)
        place, took = self.plan.ranks.place, []
        batches = self.plan.train.batches(self.batch, start=first, **place)
        for batch in islice(batches, FEW_STEPS - 1):
            self.plan.ranks.begin_batch(self.batch)
            start = time.process_time()
            self.trainer._step(batch)
            took.append(time.process_time() - start)
        return min(took)

    def sizes(self) -> dict:
        """Numbers beside the table, and arrays of them."""
        network, criterion = self.state.network, self.state.net.criterion_
        each = [p.numel() for p in (*network.parameters(), *criterion.parameters())]
        return {
            "n_dense": sum(each) - self.table.numel(),
            "n_parameters": len(each) - (len(self.table) >= SPARSE_ROWS),
        }

    def copied_row(self) -> float:
        """Seconds for a row that another process has stepped."""
        rows = torch.randperm(len(self.table))[: len(self.table) // 10]
        weights = self.table.detach()[rows]
        copy = partial(self.table.detach().index_copy_, 0, rows, weights)
        return least_seconds(copy) / len(rows)

    def row_bytes(self) -> dict:
        """Bytes of a row of the table by what they are for, as a step has left them."""
        found: Counter = Counter()
        for name, value in self.state.state().items():
            shape = value.shape if isinstance(value, torch.Tensor) else ()
            if len(shape) == 2 and len(value) == len(self.table):
                kind = name.split(".")[0].replace("network", "weights")
                found[kind] += value[0].numel() * value.element_size()
        if not self.table.grad.is_sparse:
            found["gradient"] += self.table[0].numel() * self.table.element_size()
        return dict(found)


def id_bytes() -> float:
    """Memory of an encoder for each id, which is a text."""
    n_ids = 500_000
    X = pd.DataFrame({"id": [f"user {i:09d}" for i in range(n_ids)]})
    encoder().fit(X[:100])
    before = resident()
    known = encoder().fit(X)
    known.transform(X[:100])
    return (resident() - before) / n_ids


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )


def measure() -> Model:
    """Rates and sizes; what depends on a size, at two of them."""
    X, y = log_of(20_000, MEASURED_IDS[0])
    fitted = estimator(1_024).fit(X, y)
    found = measured_steps()
    return Model(
        **measured_passes(),
        predict=least_seconds(lambda: fitted.predict_proba(X)) / len(X),
        id_bytes=in_child("id_bytes"),
        **found,
    )


def measured_passes() -> dict:
    """Seconds for a row, for an id, and whatever there is."""
    few, many = (passes(n_rows, MEASURED_IDS[0]) for n_rows in MEASURED_ROWS)
    other = passes(MEASURED_ROWS[1], MEASURED_IDS[1])
    count, encode = (
        (many[name] - few[name]) / (many["rows"] - few["rows"])
        for name in ("count", "encode")
    )
    took = [
        p["count"] + p["encode"] - p["rows"] * (count + encode) for p in (many, other)
    ]
    pass_id = (took[1] - took[0]) / (MEASURED_IDS[1] - MEASURED_IDS[0])
    pass_start = max(0.0, took[0] - MEASURED_IDS[0] * pass_id)
    return {
        "count": count,
        "encode": encode,
        "pass_id": pass_id,
        "pass_start": pass_start,
    }


def measured_steps() -> dict:
    """Seconds of a step, of its rows and of rows of tables; and sizes."""
    few, many, ids = 512, 4_096, MEASURED_IDS[0]
    times = [Steps(batch, ids).run() for batch in (few, many)]
    row = (times[1] - times[0]) / (many - few)
    small, large = Steps(few, 200_000), Steps(many, 400_000)
    dense = (small.run() - times[0]) / (200_000 - ids)
    step = times[0] - few * row - ids * dense
    sparse = (large.run() - step - many * row) / touched(many, 400_000)
    return {
        "step": step,
        "step_row": row,
        "dense_row": dense,
        "sparse_row": sparse,
        "copied_row": large.copied_row(),
        "dense_bytes": small.row_bytes(),
        "sparse_bytes": large.row_bytes(),
        **small.sizes(),
    }


# ---------------------------------------------------------------- checks


def checks(model: Model) -> list[dict]:
    """What the model says of three sizes, and what they take."""
    rows = []

    def add(what: str, size: str, says: float, found: float, unit: str) -> None:
        row = {"what": what, "size": size, "says": says, "found": found, "unit": unit}
        rows.append(row)
        print(what, size, f"model {says:.4g} {unit}, measured {found:.4g}", flush=True)

    for n_rows, n_ids in CHECKED_PASSES:
        found = passes(n_rows, n_ids)
        took = found["count"] + found["encode"]
        says, size = model.passes(found["rows"], n_ids), f"{found['rows']:,} rows"
        add("both passes", f"{size}, {n_ids:,} ids", says, took, "s")
        says, held = model.row_bytes(n_ids), found["row_bytes"]
        add("an encoded row", f"{n_ids:,} ids", says, held, "bytes")
    for batch, n_ids in CHECKED_STEPS:
        says = model.network_seconds(batch) + model.table_seconds(batch, n_ids)
        size = f"{batch:,} rows of a batch, {n_ids:,} ids"
        add("a step", size, 1e3 * says, 1e3 * Steps(batch, n_ids).run(), "ms")
    for n_ids in CHECKED_TABLES:
        says = model.table_bytes(n_ids)
        found = in_child("table", "--ids", str(n_ids))
        add("memory of a table", f"{n_ids:,} ids", says / 1e6, found / 1e6, "MB")
    for batch, n_ids in CHECKED_EXCHANGES:
        says = model.exchanged(batch, n_ids, 2)
        found = two_processes(batch, n_ids)
        size = f"{batch:,} rows of a batch, {n_ids:,} ids"
        kinds = "to be added up", "for all", "each for one"
        for what, a, b in zip(kinds, says, found, strict=True):
            if a or b:
                add(f"handed over {what}", size, a / 1e6, b / 1e6, "MB")
    return rows


def table_memory(n_ids: int) -> float:
    """By how much a few steps of training raise what this process holds, with a table.

    What is not the table's, it holds with a small one, too.
    """
    held, kept = [], []  # what is kept leaves no memory to be used again
    for ids in (800, 800, n_ids):  # the first one loads what is loaded late
        kept.append(Steps(256, ids))
        kept[-1].run()
        held.append(resident() - kept[-1].before)
    return held[2] - held[1]


def exchanged(batch: int, n_ids: int) -> list[float]:
    """Bytes that this rank hands over in a step, counted where it does."""
    with Ranks.here() as ranks:
        steps = Steps(batch, n_ids, ranks)
        with handed_over() as given:
            steps.run()
    return [given[kind] / (FEW_STEPS - 1) for kind in ("summed", "for all", "for one")]


def two_processes(batch: int, n_ids: int) -> list[float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    asked = ["--batch", str(batch), "--ids", str(n_ids)]
    ranks = [child("exchanged", *asked, RANK=str(rank), **about) for rank in range(2)]
    return answer(ranks[0], ranks[1])


def in_child(what: str, *arguments: str) -> float:
    return answer(child(what, *arguments))


def child(what: str, *arguments: str, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__, "--child", what, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(first: subprocess.Popen, *others: subprocess.Popen):
    outputs = [process.communicate()[0] for process in (first, *others)]
    if any(process.returncode for process in (first, *others)):
        raise RuntimeError("A process that measures has failed.")
    return json.loads(outputs[0].splitlines()[-1])


# ---------------------------------------------------------------- tables


def planned(model: Model, rows: float, ids: float, workers: int, batch: int) -> dict:
    """What a log of that size takes; an epoch is all of its steps."""
    steps = rows / batch
    parts = {
        "network": model.network_seconds(batch, workers),
        "table": model.table_seconds(batch, ids, workers),
        "sending": model.sending_seconds(batch, ids, workers) if workers > 1 else 0.0,
    }
    return {
        "store": rows * model.row_bytes(ids),
        "passes": model.passes(rows, ids, workers),
        "memory": model.table_bytes(ids) + ids * model.id_bytes,
        "sent": model.sent(batch, ids, workers),
        "epoch": steps * sum(parts.values()),
        "most": max(parts, key=lambda name: parts[name]),
        "parts": parts,
    }


def plan_table(model: Model, asked: list[tuple]) -> str:
    lines = []
    for rows, ids, workers, batch in asked:
        found = planned(model, rows, ids, workers, batch)
        parts = found["parts"].values()
        lines.append(
            [
                *(f"{int(n):,}" for n in (rows, ids, workers, batch)),
                f"{found['store'] / GIGABYTE:,.0f} GB",
                f"{found['memory'] / GIGABYTE:,.1f} GB",
                duration(found["passes"]),
                f"{found['sent'] / 1e6:,.1f} MB",
                " + ".join(f"{1e3 * part:,.0f}" for part in parts),
                duration(found["epoch"]),
                found["most"],
            ]
        )
    header = "rows, ids, processes, batch, store on disk, memory of each, both passes"
    header += ", sent in a step, ms of a step: network + table + sending, an epoch"
    return markdown([*header.split(", "), "most time"], lines)


def duration(seconds: float) -> str:
    for unit, name in ((DAY, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:,.1f} s"


def measured_table(model: Model) -> str:
    def of_table(found: dict) -> str:
        each = ", ".join(f"{kind} {n}" for kind, n in found.items())
        return f"{sum(found.values())} bytes ({each})"

    rows = {
        "counting": f"{1 / model.count:,.0f} rows a second",
        "encoding": f"{1 / model.encode:,.0f} rows a second",
        "both passes, more for each id": f"{1e6 * model.pass_id:.2f} µs",
        "both passes, whatever there is": f"{1e3 * model.pass_start:.0f} ms",
        "scoring": f"{1 / model.predict:,.0f} rows a second",
        "a step of training": f"{1e3 * model.step:.2f} ms, and "
        f"{1e6 * model.step_row:.1f} µs for each row",
        "more, for each row of a small table": f"{1e9 * model.dense_row:.0f} ns",
        "more, for each row of a large table that is touched": ""
        f"{1e9 * model.sparse_row:,.0f} ns",
        "more, for each row of a large table that another process has stepped": ""
        f"{1e9 * model.copied_row:,.0f} ns",
        "a row of the log, encoded": f"{model.row_bytes(MEASURED_IDS[0])} bytes",
        "a row of a small table": of_table(model.dense_bytes),
        "a row of a large table": of_table(model.sparse_bytes),
        "an id, of the encoder": f"{model.id_bytes:,.0f} bytes",
        "numbers beside the table": f"{model.n_dense:,}",
    }
    return markdown(["what", "measured"], [list(row) for row in rows.items()])


def checks_table(rows: list[dict]) -> str:
    lines = [
        [
            *(row["what"], row["size"]),
            *(f"{row[name]:,.3g} {row['unit']}" for name in ("says", "found")),
            f"{row['found'] / row['says']:.2f}",
        ]
        for row in rows
    ]
    return markdown(["what", "size", "model", "measured", "ratio"], lines)


def tables(found: dict) -> dict[str, str]:
    """Every table of the page by name."""
    model = Model(**found["model"])
    return {
        "measured": measured_table(model),
        "checked": checks_table(found["checks"]),
        "planned": plan_table(model, list(PLANNED)),
    }


def write(found: dict) -> None:
    """Put the tables into the page, between their marks."""
    own = tables(found)

    def block(match: re.Match) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{own[name]}\n<!-- end -->"

    PAGE.write_text(BLOCK.sub(block, PAGE.read_text()))


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    if options.child:
        own = {
            "id_bytes": id_bytes,
            "table": lambda: table_memory(int(options.ids)),
            "exchanged": lambda: exchanged(int(options.batch), int(options.ids)),
        }
        print(json.dumps(own[options.child]()))
        return
    results = Results(options.output, ("commit",))
    if not options.write and not options.plan:
        model = measure()
        print(measured_table(model), flush=True)
        results.add({"model": vars(model), "checks": checks(model), **environment()})
    found = results.rows[-1]
    if options.plan:
        asked = (options.rows, options.ids, int(options.workers), int(options.batch))
        print(plan_table(Model(**found["model"]), [asked]))
        return
    write(found)
    print("\n\n".join(tables(found).values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="the tables of the page")
    parser.add_argument("--plan", action="store_true", help="what a log takes")
    parser.add_argument("--rows", type=float, default=1e9)
    parser.add_argument("--ids", type=float, default=1e7)
    parser.add_argument("--workers", type=float, default=8)
    parser.add_argument("--batch", type=float, default=65_536)
    parser.add_argument("--output", default=RESULTS / "capacity.jsonl")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    main(parser.parse_args())
