"""How does the cost of training grow with rows, fields, tasks, experts and ids?

    python benchmarks/bench_scaling.py
    python benchmarks/bench_scaling.py --axes vocabulary --rounds 20
    python benchmarks/bench_scaling.py --axes fit --fit-rows 5000000

One axis at a time from a common middle, DEPHN with its default sizes and embedding 16.
All points of an axis take turns, some steps of 1024 rows at a time, in one process;
reported are medians of seconds of processor for a step (for "rows" of an epoch), and
the ratio to the axis's first point. "vocabulary" spreads ids over 8 of the columns, the
frequent ones first. "fit" is one epoch of the estimator on a matrix of integer ids, in
a process of its own: how far the peak of resident memory rises above what was resident
before, beside the allowed 1.2 times the encoded data plus 4 times the parameters.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from _peer import peak_memory
from _report import RESULTS, Results, environment

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.nn import use_generator
from dephn_sk.training import FitPlan, Trainer

MIDDLE = {"rows": 16_384, "fields": 24, "tasks": 2, "experts": 3, "vocabulary": 50_000}
AXES = {
    "rows": (8_192, 16_384, 32_768, 65_536),
    "fields": (12, 24, 48, 96),
    "tasks": (2, 4, 8, 16),
    "experts": (2, 4, 8, 16),
    "vocabulary": (50_000, 500_000, 5_000_000),
}
BATCH, DIM, N_ID_COLUMNS, N_NUMERIC = 1024, 16, 8, 4


class Point:
    """A state of training at its beginning, and its rows."""

    def __init__(self, **changed):
        sizes = {**MIDDLE, **changed}
        rng = np.random.default_rng(0)
        n_rows, n_codes = sizes["rows"], sizes["fields"] - N_NUMERIC
        large = sizes["vocabulary"] // N_ID_COLUMNS
        columns = {}
        for j in range(n_codes):
            k = large if j < N_ID_COLUMNS else 20
            codes = (k * rng.random(n_rows) ** 3).astype(int)
            columns[f"c{j}"] = pd.Categorical.from_codes(codes, range(k))
        for j in range(N_NUMERIC):
            columns[f"x{j}"] = rng.normal(size=n_rows).astype(np.float32)
        estimator = DEPHNMultiTaskClassifier(
            embedding_dim=DIM,
            numeric_embedding="linear+bins+piecewise-linear",
            public_experts=("dnn",) * sizes["experts"],
            batch_size=BATCH,
            early_stopping=False,
            random_state=0,
        )
        labels = rng.integers(0, 2, (n_rows, sizes["tasks"]))
        self.plan = FitPlan.of(estimator, pd.DataFrame(columns), labels, epochs=1)
        self.state = self.plan.begin()
        self.trainer = Trainer(self.state, self.plan)
        self.batches = iter(())

    def steps(self, n_steps: int) -> float:
        """Seconds of processor of one of so many steps."""
        use_generator(self.state.network.train(), self.trainer._generator)
        start = time.process_time()
        for _ in range(n_steps):
            batch = next(self.batches, None)
            if batch is None:
                self.batches = self.plan.train.batches(BATCH, seed=0)
                batch = next(self.batches)
            self.trainer._step(batch)
        return (time.process_time() - start) / n_steps

    def epoch(self, _: int) -> float:
        plan = replace(self.plan, epochs=self.state.epoch + 1)
        start = time.process_time()
        for _ in Trainer(self.state, plan).run():
            pass
        return time.process_time() - start


def fit(n_rows: int, vocabulary: int) -> dict:
    """One epoch of the estimator on a matrix of ids, and its peak of memory, MB."""
    rng = np.random.default_rng(0)
    n_columns = 39
    X = np.empty((n_rows, n_columns), dtype=np.int32)
    for j in range(n_columns):
        high = vocabulary // N_ID_COLUMNS if j < N_ID_COLUMNS else 20
        X[:, j] = high * rng.random(n_rows, dtype=np.float32) ** 3
    y = rng.integers(0, 2, (n_rows, 2), dtype=np.int8)
    model = DEPHNMultiTaskClassifier(
        embedding_dim=DIM, max_epochs=1, categorical_features=np.ones(n_columns, bool)
    )
    model.fit(X[:4096], y[:4096])  # what is loaded late
    before = peak_memory(reset=True)
    model.fit(X, y)
    rise = peak_memory() - before
    data = 4 * X.size / 2**20  # codes of type int32
    parameters = sum(4 * p.numel() for p in model.network_.parameters()) / 2**20
    return {
        "rise_mb": rise,
        "encoded_mb": data,
        "parameters_mb": parameters,
        "allowed_mb": 1.2 * data + 4 * parameters,
    }


def main(options) -> None:
    torch.set_num_threads(1)
    if options.child:
        print(json.dumps(fit(options.fit_rows, options.fit_vocabulary)))
        return
    results = Results(options.output, ("axis", "value"))
    about = {"batch": BATCH, "rounds": options.rounds, **environment()}
    for axis in options.axes:
        if axis == "fit":
            command = [sys.executable, __file__, "--child"]
            command += ["--fit-rows", str(options.fit_rows)]
            command += ["--fit-vocabulary", str(options.fit_vocabulary)]
            output = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(output.stdout.splitlines()[-1])
            print(
                f"\nfit of {options.fit_rows:,} rows: memory rises by "
                f"{row['rise_mb']:,.0f} MB, of {row['allowed_mb']:,.0f} MB allowed "
                f"(1.2 x {row['encoded_mb']:,.0f} of encoded data + 4 x "
                f"{row['parameters_mb']:,.0f} of parameters)"
            )
            results.add({"axis": axis, "value": options.fit_rows, **row, **about})
            continue
        print(
            f"\n{axis:>12}{'CPU-ms a ' + ('epoch' if axis == 'rows' else 'step'):>17}"
        )
        points = {value: Point(**{axis: value}) for value in AXES[axis]}
        seconds: dict = {value: [] for value in points}
        for turn in range(options.rounds + 1):  # the first one warms up
            for value, point in points.items():
                run = point.epoch if axis == "rows" else point.steps
                took = run(options.steps)
                if turn:
                    seconds[value].append(took)
        first = np.array(seconds[AXES[axis][0]])
        for value, took in seconds.items():
            ratio = float(np.median(np.array(took) / first))
            milliseconds = 1e3 * float(np.median(took))
            print(f"{value:12,}{milliseconds:18.2f}   {ratio:.2f} times the first")
            row = {"axis": axis, "value": value, "cpu_ms": milliseconds, "ratio": ratio}
            results.add({**row, **about})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=[*AXES, "fit"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--fit-rows", type=int, default=5_000_000)
    parser.add_argument("--fit-vocabulary", type=int, default=500_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", default=RESULTS / "scaling.jsonl")
    main(parser.parse_args())
