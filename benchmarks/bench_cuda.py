"""How fast is training on a GPU, and how near to what its memory allows?

    python benchmarks/bench_cuda.py
    python benchmarks/bench_cuda.py --rows 4000000 --batch 16384 65536

Rows are simulated, of the shape of Census or with ids of a large table. Each line is a
step of a network of this library as in fit, the median over the repeats:
rows per second; the time between synchronisations of one step; the least number of
bytes that the step must move, which are those of the look-ups and their gradients, of
the parameters and of the optimizer's state; the bandwidth that this makes; and the
share of the floor, the time of those bytes at the rate of a copy on the device,
measured in the same run. Without a CUDA device it says so and ends.

Ways to run the step: "full" and "tf32" and "bf16" are the estimators' `precision`, with
the rows on the device; "sent" has the rows in the processor's memory, from which each
batch is sent while the device works on the one before; "compiled" is full precision
with the module under ``torch.compile(mode="reduce-overhead")``, which records CUDA
graphs. The library does not compile: this says whether it should.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

import numpy as np
import torch
from _report import RESULTS, Results, environment
from sklearn.base import clone

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier, PLEClassifier
from dephn_sk.nn import use_generator
from dephn_sk.training import ArraySource, FitPlan, Trainer, TrainingState, _source
from dephn_sk.training._evaluation import products

N_CODES, N_NUMERIC = 32, 7
CODES = {"census": 16, "ids": 150_000}  # categories of a column
NETWORKS = {
    "DEPHN": DEPHNMultiTaskClassifier,
    "DEPHN, paper": DEPHNMultiTaskClassifier.paper_configuration,
    "MMoE": MMoEClassifier,
    "PLE": PLEClassifier,
}
PRECISIONS = ("tf32", "bf16")
WAYS = ("full", "tf32", "bf16", "sent", "compiled")


def make(shape: str, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = np.empty((n_rows, N_CODES + N_NUMERIC), dtype=np.float32)
    for j in range(N_CODES):  # whole numbers that float32 holds
        X[:, j] = np.floor(CODES[shape] * rng.random(n_rows) ** 3)
    X[:, N_CODES:] = rng.normal(size=(n_rows, N_NUMERIC))
    return X, rng.integers(0, 2, (n_rows, 2), dtype=np.uint8)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def bandwidth(device: str) -> float:
    """Bytes a second that a copy on the device reads and writes."""
    source = torch.empty(2**28 if device == "cuda" else 2**22, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    wait(device)
    start = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    wait(device)
    return 10 * 2 * 4 * source.numel() / (time.perf_counter() - start)


def least_bytes(network, batch_size: int) -> int:
    """Look-ups and their gradients, and a dense pass of AdamW where there is one."""
    embedding = network.embedding
    table = embedding.table.numel()
    others = sum(p.numel() for p in network.parameters()) - table
    looked_up = batch_size * embedding.n_categorical * embedding.dim
    # AdamW reads gradient, parameter and two moments, and writes all but the gradient
    dense = others + (0 if embedding.sparse else table)
    return 4 * (3 * looked_up + 7 * dense)


def main(options) -> None:
    device = options.device
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("bench_cuda.py needs a CUDA device, and torch finds none here.")
    name = torch.cuda.get_device_name() if device == "cuda" else device
    copy = bandwidth(device)
    print(f"{name}, torch {torch.__version__}, a copy moves {copy / 1e9:,.0f} GB/s")
    print(
        f"{'shape':8}{'network':14}{'way':10}{'batch':>8}{'rows/s':>14}"
        f"{'ms a step':>11}{'GB/s':>8}{'of floor':>10}{'MiB':>8}"
    )
    results = Results(options.output, ("device", "shape", "entry", "way", "batch"))
    for shape in CODES:
        X, y = make(shape, options.rows)
        for entry, kind in NETWORKS.items():
            model = kind(
                device=device,
                early_stopping=False,
                embedding_dim=16,
                random_state=0,
                categorical_features=[True] * N_CODES + [False] * N_NUMERIC,
            )
            plan = FitPlan.of(model, X, y, epochs=1)
            fields, state = plan.learned.encoder.encode(X), plan.begin()
            for way in options.ways:
                plan = planned(plan, fields, y, way)
                for batch_size in options.batch:
                    about = {"device": name, "shape": shape, "entry": entry}
                    about |= {"way": way, "batch": batch_size}
                    row = measure(plan, state, way, batch_size, options)
                    show({**about, **row}, copy)
                    results.add({**about, **row, "copy": copy, **environment()})


def show(row: dict, copy: float) -> None:
    line = f"{row['shape']:8}{row['entry']:14}{row['way']:10}{row['batch']:8}"
    if "failure" in row:
        print(line + "  " + row["failure"])
        return
    print(
        f"{line}{row['rows_per_s']:14,.0f}{row['step_ms']:11.2f}"
        f"{row['bytes_per_s'] / 1e9:8.0f}{row['bytes_per_s'] / copy:10.2f}"
        f"{row['peak_mib']:8.0f}"
    )


def planned(plan: FitPlan, fields, labels, way: str) -> FitPlan:
    """The plan, but for its precision and where its rows lie."""
    share, precision = _source.RESIDENT_SHARE, way if way in PRECISIONS else "full"
    try:
        _source.RESIDENT_SHARE = 0.0 if way == "sent" else 1.0
        train = ArraySource(fields, labels, device=plan.train.device)
    finally:
        _source.RESIDENT_SHARE = share
    template = clone(plan.learned.template).set_params(precision=precision)
    learned = replace(plan.learned, template=template)
    return replace(plan, learned=learned, train=train)


def measure(
    plan: FitPlan, state: TrainingState, way: str, batch_size: int, options
) -> dict:
    """Medians over the repeats of some steps each, run in one of the ways."""
    net, network = state.net, state.network
    try:
        if way == "compiled":
            net.module_ = torch.compile(network, mode="reduce-overhead")
        with products(plan.train.device, plan.learned.template.precision):
            return time_steps(Trainer(state, plan), batch_size, options)
    except Exception as error:  # the others shall run though a compiler fails
        if way != "compiled":
            raise
        return {"failure": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    finally:
        net.module_ = network


def time_steps(trainer: Trainer, batch_size: int, options) -> dict:
    network, generator = trainer.state.network, trainer._generator
    use_generator(network.train(), generator)
    on_cuda = options.device == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for repeat in range(options.repeats + 1):  # the first one warms up
        wait(options.device)
        start, n_steps = time.perf_counter(), 0
        for batch in trainer.plan.train.batches(batch_size, seed=0, epoch=repeat):
            trainer._step(batch)
            n_steps += 1
            if n_steps == options.steps:
                break
        wait(options.device)
        if repeat:
            seconds.append((time.perf_counter() - start) / n_steps)
    step = float(np.median(seconds))
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_cuda else float("nan")
    return {
        "rows_per_s": batch_size / step,
        "step_ms": 1e3 * step,
        "bytes_per_s": least_bytes(network, batch_size) / step,
        "peak_mib": peak,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[4096, 16_384, 65_536])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--output", default=RESULTS / "cuda.jsonl")
    main(parser.parse_args())
