"""What does a log in files take: seconds of each pass, bytes, and memory?

    python benchmarks/bench_stream.py
    python benchmarks/bench_stream.py --rows 100000000 --memory 2147483648
    python benchmarks/bench_stream.py --report  # what was found, as a table

A generated Parquet log of 12 columns: 2 of ids of a million values, 4 of categories, 6
of numbers; 2 tasks. Each number of rows is fitted for one epoch in a process of its
own: how far the peak of resident memory rises above what was resident before (network
and optimizer included), beside the parameter `memory`; rows per second of counting and
encoding together, and of training; bytes of a row in the store. With --in-memory, the
same rows are fitted as a table, too, whose epoch is the one to compare with. With
--vocabulary, ids have so many values.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from _peer import peak_memory
from _report import RESULTS, Results, environment, markdown

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.logs import Log
from dephn_sk.training import FitPlan, Trainer

TASKS = ["click", "like"]
GROUP = 500_000  # rows of a row group
IDS, CATEGORIES, NUMBERS = 2, 4, 6


def rows(number: int, n_rows: int, vocabulary: int) -> pa.Table:
    """A row group: labels depend on ids, categories and numbers."""
    rng = np.random.default_rng(number)
    z, columns = np.full(n_rows, -1.0), {}
    for j in range(IDS):
        ids = (vocabulary * rng.random(n_rows) ** 2).astype(np.int64)
        z += 0.5 * np.sin(ids * (j + 1.0))
        columns[f"id{j}"] = pa.array(np.char.add("u", ids.astype(str)))
    for j in range(CATEGORIES):
        codes = rng.integers(0, 20 * (j + 1), n_rows)
        z += 0.3 * np.cos(codes * (j + 1.0))
        columns[f"c{j}"] = pa.array(np.char.add("v", codes.astype(str)))
    for j in range(NUMBERS):
        numbers = rng.normal(size=n_rows)
        z += 0.1 * numbers
        columns[f"x{j}"] = pa.array(numbers)
    for task in TASKS:
        columns[task] = pa.array((rng.random(n_rows) < 1 / (1 + np.exp(-z))) * 1)
        z -= 1
    return pa.table(columns)


def write(path: Path, n_rows: int, vocabulary: int) -> None:
    """The log as a file, group by group."""
    writer, written = None, 0
    while written < n_rows:
        table = rows(written // GROUP, min(GROUP, n_rows - written), vocabulary)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP)
        written += len(table)
    writer.close()


def fit(path: str, memory: int, in_memory: bool) -> dict[str, float]:
    """One epoch, in this process."""
    torch.set_num_threads(1)
    model = DEPHNMultiTaskClassifier(random_state=0)
    dataset = ds.dataset(path)
    given = Log(dataset, memory=memory), TASKS
    if in_memory:
        table = dataset.to_table()
        given = table.drop(TASKS), table.select(TASKS)
    before, begun = peak_memory(), time.perf_counter()
    plan = FitPlan.of(model, *given, epochs=1)
    planned = time.perf_counter()
    trainer = Trainer(plan.begin(), plan)
    (record,) = trainer.run()
    ended = time.perf_counter()
    found = {
        "prepare_s": planned - begun,
        "epoch_s": ended - planned,
        "rise_mb": peak_memory() - before,
        "valid_loss": record["valid_loss"],
        "n_train": plan.train.n_rows,
    }
    if not in_memory:
        stored = sum(size for *_, size, _ in plan.train.store.blocks)
        found["store_bytes_a_row"] = stored / plan.train.n_rows
        found["fits"] = float(plan.train.fits)
    plan.close()
    return found


def child(arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    if output.returncode:
        sys.exit(output.stderr)
    return json.loads(output.stdout.splitlines()[-1])


def report(rows: list[dict]) -> str:
    """One line for each number of rows and source."""
    lines = [
        [
            f"{row['rows']:,}",
            row["source"],
            f"{row['prepare_s']:,.0f} s",
            f"{row['epoch_s']:,.0f} s",
            f"{row['epoch_rows_a_s']:,.0f}",
            f"{row['rise_mb']:,.0f} of {row['memory_mb']:,.0f} MB",
        ]
        for row in rows
    ]
    header = "rows, from, all passes before training, an epoch, rows a second, memory"
    return markdown(header.split(", "), lines)


def main(options) -> None:
    if options.child:
        print(json.dumps(fit(options.child, options.memory, options.in_memory)))
        return
    results = Results(options.output, ("rows", "vocabulary", "memory_mb", "source"))
    if options.report:
        print(report(results.rows))
        return
    about = {"vocabulary": options.vocabulary, **environment()}
    print(f"{'rows':>12} {'source':>7} {'prepare':>9} {'epoch':>9} {'rise':>9}")
    for n_rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / "log.parquet"
            write(path, n_rows, options.vocabulary)
            for source in ["files", *["memory"] * options.in_memory]:
                arguments = ["--child", str(path), "--memory", str(options.memory)]
                arguments += ["--in-memory"] * (source == "memory")
                row = child(arguments)
                rates = (n_rows / row["prepare_s"], row["n_train"] / row["epoch_s"])
                print(
                    f"{n_rows:12,} {source:>7} {rates[0]:7,.0f}/s {rates[1]:7,.0f}/s "
                    f"{row['rise_mb']:6,.0f} MB, of {options.memory / 2**20:,.0f} asked"
                )
                row |= {"prepare_rows_a_s": rates[0], "epoch_rows_a_s": rates[1]}
                row |= {"rows": n_rows, "source": source}
                results.add({**row, "memory_mb": options.memory / 2**20, **about})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000, 20_000_000])
    parser.add_argument("--vocabulary", type=int, default=1_000_000)
    parser.add_argument("--memory", type=int, default=2**31)
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--folder", default=None, help="where the files are written")
    parser.add_argument("--report", action="store_true", help="print what was found")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--output", default=RESULTS / "stream.jsonl")
    main(parser.parse_args())
