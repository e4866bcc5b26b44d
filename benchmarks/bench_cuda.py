"""How fast is training on a GPU, and how near to what its memory allows?

    python benchmarks/bench_cuda.py
    python benchmarks/bench_cuda.py --rows 4000000 --batch 16384 65536

Rows are simulated, of the shape of Census or with ids of a large table, and lie on the
device. Each line is a step of a network of this library through ``train_step``, the
median over the repeats: rows per second; the time between synchronisations of one step;
the least number of bytes that the step must move, which are those of the look-ups and
their gradients, of the parameters and of the optimizer's state; the bandwidth that this
makes; and the share of the floor, the time of those bytes at the rate of a copy on the
device, measured in the same run. Without a CUDA device it says so and ends.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from _report import RESULTS, Results, environment

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk._batches import ArraySource
from dephn_sk.baselines import MMoEClassifier, PLEClassifier

N_CODES, N_NUMERIC = 32, 7
CODES = {"census": 16, "ids": 150_000}  # categories of a column
NETWORKS = {
    "DEPHN": DEPHNMultiTaskClassifier,
    "DEPHN, paper": DEPHNMultiTaskClassifier.paper_configuration,
    "MMoE": MMoEClassifier,
    "PLE": PLEClassifier,
}


def make(shape: str, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    high = CODES[shape]
    codes = (high * rng.random((n_rows, N_CODES), dtype=np.float32) ** 3).astype(int)
    numbers = rng.normal(size=(n_rows, N_NUMERIC)).astype(np.float32)
    return codes, numbers, rng.integers(0, 2, (n_rows, 2))


def bandwidth() -> float:
    """Bytes a second that a copy on the device reads and writes."""
    source = torch.empty(2**28, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    return 10 * 2 * 4 * source.numel() / (time.perf_counter() - start)


def least_bytes(net, batch_size: int) -> int:
    """Look-ups and their gradients, and a dense pass of AdamW where there is one."""
    embedding = net.module_.embedding
    table = embedding.table.numel()
    others = sum(p.numel() for p in net.module_.parameters()) - table
    looked_up = batch_size * embedding.n_categorical * embedding.dim
    # AdamW reads gradient, parameter and two moments, and writes all but the gradient
    dense = others + (0 if embedding.sparse else table)
    return 4 * (3 * looked_up + 7 * dense)


def main(options) -> None:
    if not torch.cuda.is_available():
        sys.exit("bench_cuda.py needs a CUDA device, and torch finds none here.")
    name, copy = torch.cuda.get_device_name(), bandwidth()
    print(f"{name}, torch {torch.__version__}, a copy moves {copy / 1e9:,.0f} GB/s")
    print(
        f"{'shape':8}{'network':14}{'batch':>8}{'rows/s':>14}{'ms a step':>11}"
        f"{'GB/s':>8}{'of floor':>10}{'MiB':>8}"
    )
    results = Results(options.output, ("device", "shape", "entry", "batch"))
    for shape in CODES:
        codes, numbers, y = make(shape, options.rows)
        X = np.hstack([codes, numbers])
        for entry, kind in NETWORKS.items():
            model = kind(
                device="cuda",
                batch_size=16_384,
                max_epochs=1,
                early_stopping=False,
                embedding_dim=16,
                random_state=0,
                categorical_features=[True] * N_CODES + [False] * N_NUMERIC,
            ).fit(X, y)
            source = ArraySource(model.encoder_.encode(X), y, device="cuda")
            for batch_size in options.batch:
                row = measure(model.net_, source, batch_size, options)
                row["share_of_floor"] = row["bytes_per_s"] / copy
                print(
                    f"{shape:8}{entry:14}{batch_size:8}{row['rows_per_s']:14,.0f}"
                    f"{row['step_ms']:11.2f}{row['bytes_per_s'] / 1e9:8.0f}"
                    f"{row['share_of_floor']:10.2f}{row['peak_mib']:8.0f}"
                )
                about = {"device": name, "shape": shape, "entry": entry}
                results.add({**about, "batch": batch_size, **row, **environment()})


def measure(net, source, batch_size: int, options) -> dict:
    """Medians over the repeats of some steps each."""
    net.module_.train()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for repeat in range(options.repeats + 1):  # the first one warms up
        torch.cuda.synchronize()
        start, n_steps = time.perf_counter(), 0
        for batch in source.batches(batch_size, seed=0, epoch=repeat):
            net.train_step(batch)
            n_steps += 1
            if n_steps == options.steps:
                break
        torch.cuda.synchronize()
        if repeat:
            seconds.append((time.perf_counter() - start) / n_steps)
    step = float(np.median(seconds))
    return {
        "rows_per_s": batch_size / step,
        "step_ms": 1e3 * step,
        "bytes_per_s": least_bytes(net, batch_size) / step,
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[4096, 16_384, 65_536])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", default=RESULTS / "cuda.jsonl")
    main(parser.parse_args())
