"""How much faster are two processes than one?

    python benchmarks/bench_processes.py --data FOLDER
    python benchmarks/bench_processes.py --models table --rows 524288
    python benchmarks/bench_processes.py --rows 16384 --table-rows 10000 --rounds 1
    python benchmarks/bench_processes.py --report

Three models, at one batch of all processes together: DEPHN as it is by default on the
rows of Census (FOLDER holds census/; without it, rows of the same shape are drawn), and
on a table of five million rows of sixteen numbers, whose codes are drawn for 26
columns; and the same table below a single expert, where a step is exchanges, mostly.
Each number of processes is started by torchrun with one thread each, and all of them
take turns; seconds are medians over rounds and epochs but the first, of whole epochs on
rank 0; give a large table rows for some dozen steps, which touch its memory for the
first time in the epoch that is not counted. The bytes are those that rank 0 gives to
exchanges of a step: to be summed, for all others, and each for one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _exchanges import handed_over
from _report import RESULTS, Results, environment
from bench_speed import load

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder

EXCHANGED = ("calls", "summed", "for all", "for one")
N_EPOCHS = 3  # the first is not counted
N_COLUMNS = 26


def census(options):
    """The default network."""
    X, y = load(options.data, options.rows)
    return DEPHNMultiTaskClassifier(), X, y


def table(options):
    """Ids of 26 columns that share a large table, and the default network."""
    rng = np.random.default_rng(0)
    names = [f"id{c}" for c in range(N_COLUMNS)]
    ids = rng.integers(0, 2**62, (options.rows, N_COLUMNS))
    encoder = FieldEncoder(
        categorical_features=names, n_buckets=options.table_rows // N_COLUMNS
    )
    model = DEPHNMultiTaskClassifier(embedding_dim=16, encoder=encoder)
    return model, pd.DataFrame(ids, columns=names), rng.integers(0, 2, (len(ids), 2))


def one_expert(options):
    """The same with a single expert: of a step, most is spent on the table."""
    model, X, y = table(options)
    return model.set_params(public_experts=("dnn",)), X, y


MODELS = {"Census": census, "table": table, "table, one expert": one_expert}


def work(options) -> None:
    """What each process does; rank 0 writes what it has seen."""
    torch.set_num_threads(1)
    model, X, y = MODELS[options.work](options)
    model.set_params(
        max_epochs=N_EPOCHS,
        batch_size=options.batch,
        early_stopping=False,
        random_state=0,
        n_threads=1,
        device="cpu",
    )
    with handed_over() as given:
        model.fit(X, y)
    steps = N_EPOCHS * -(-len(X) // options.batch)
    if os.environ.get("RANK", "0") == "0":
        found = {name: given[name] / steps for name in EXCHANGED}
        seconds = list(model.net_.history[1:, "dur"])
        Path(options.out).write_text(json.dumps({**found, "seconds": seconds}))


def measured(name, n_processes, options) -> dict:
    """One run of so many processes."""
    given = ["--rows", options.rows, "--table-rows", options.table_rows]
    given += ["--batch", options.batch]
    given += ["--data", options.data] if options.data else []
    start = [sys.executable]
    if n_processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone"]
        start += ["--nproc-per-node", n_processes]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [*start, __file__, "--work", name, "--out", out, *given]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(list(map(str, command)), env=env, check=True)
        return json.loads(out.read_text())


def run(options) -> None:
    results = Results(options.results, ("model", "processes"))
    for name in options.models:
        turns: dict = {n: [] for n in (1, *options.processes)}
        for _ in range(options.rounds):
            for n, found in turns.items():
                found.append(measured(name, n, options))
        alone = None
        for n, found in turns.items():
            seconds = float(np.median([s for one in found for s in one.pop("seconds")]))
            alone = alone or seconds
            results.add(
                {
                    **{"model": name, "processes": n, "rows": options.rows},
                    **{"batch": options.batch, "table_rows": options.table_rows},
                    **{"epoch_s": seconds, "speedup": alone / seconds, **found[0]},
                    **{"rounds": options.rounds, **environment()},
                }
            )


def report(rows: list[dict]) -> str:
    """Seconds of an epoch, and what a step exchanges."""
    lines = [
        "model             processes  rows/s  times one  calls a step"
        "  kB summed  for all  for one",
    ]
    for row in rows:
        lines.append(
            f"{row['model']:18}{row['processes']:9}{row['rows'] / row['epoch_s']:8,.0f}"
            f"{row['speedup']:11.2f}{row['calls']:14.1f}{row['summed'] / 1e3:11,.0f}"
            f"{row['for all'] / 1e3:9,.0f}{row['for one'] / 1e3:9,.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of census/")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--rows", type=int, default=131_072)
    parser.add_argument("--table-rows", type=int, default=5_000_000)
    parser.add_argument("--batch", type=int, default=8_192)
    parser.add_argument("--processes", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", default=RESULTS / "processes.jsonl")
    parser.add_argument("--report", action="store_true", help="print what was found")
    parser.add_argument("--work", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given)
    else:
        if not given.report:
            run(given)
        print(report(Results(given.results, ()).rows))
