"""Where does the time go: a profile of fit and of predict, by part.

    python benchmarks/bench_profile.py
    python benchmarks/bench_profile.py --rows 200000 --parts fit
    python benchmarks/bench_profile.py --rows 3000 --rounds 1

The table has 40 columns: 20 of text with 10 to 100,000 values, 10 of whole numbers and
10 of fractions; two tasks. Each part is printed as a table:

fit: seconds of one epoch's fit on all rows, as Python's profiler counts them, which
makes small parts look larger than they are; medians over the rounds.

predict: milliseconds of processor for one row, a thousand and a hundred thousand, of
the encoder and of the network, medians over the rounds.

kinds: microseconds for each column of a kind, for one row and for a thousand, of 40
columns of that kind alone.

memory: how far the peak of resident memory rises above what was resident before, as a
multiple of the frame's bytes, in fit on text alone and on numbers alone, and in predict
above its output (Linux).
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import pstats
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import torch
from _peer import peak_memory
from _report import RESULTS, Results, environment, markdown

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder

N_TEXTS, N_NUMBERS = 20, 20
REQUESTS = 1, 1_000, 100_000
ONE_EPOCH = {"max_epochs": 1, "random_state": 0, "n_networks": 1, "n_threads": 1}
# of each part of a fit: a function, the end of its file, and who calls it
FIT: dict[str, tuple[str, str, str | None]] = {
    "labels, rows and checks": ("of", "_plan.py", None),
    "encoding": ("fit_encode", "_field_encoder.py", None),
    "encoding, statistics cross-fitted": (
        "encode_cross_fitted",
        "_field_encoder.py",
        None,
    ),
    "batches": ("_train", "_trainer.py", None),
    "the rest of a step": ("_step", "_trainer.py", None),
    "forward and losses": ("_losses", "_trainer.py", "_step"),
    "backward": ("backward", "_tensor.py", "_step"),
    "optimizers": ("wrapper", "optimizer.py", "_step"),
    "means of weights": ("update", "_averaging.py", "_step"),
    "validation": ("_validate", "_trainer.py", None),
}
WITHIN = {  # parts that are listed apart, although they are in another
    "labels, rows and checks": ("encoding", "encoding, statistics cross-fitted"),
    "batches": ("the rest of a step",),
    "the rest of a step": (
        "forward and losses",
        "backward",
        "optimizers",
        "means of weights",
    ),
}


def texts(n_rows: int, n_columns: int, rng, kind: str = "str") -> dict[str, pd.Series]:
    """Columns of text with 10 to 100,000 values, the frequent ones first."""
    columns = {}
    for j in range(n_columns):
        cardinality = int(10 ** (1 + 4 * j / max(n_columns - 1, 1)))
        values = np.array([f"category {j} {i}" for i in range(cardinality)], object)
        drawn = (cardinality * rng.random(n_rows) ** 2).astype(int)
        columns[f"text_{j}"] = pd.Series(values[drawn], dtype=kind)
    return columns


def numbers(n_rows: int, n_columns: int, rng) -> dict[str, np.ndarray]:
    """Columns of numbers, every other one of whole ones."""
    return {
        f"number_{j}": rng.integers(0, 1_000, n_rows)
        if j % 2
        else rng.normal(size=n_rows)
        for j in range(n_columns)
    }


def table(n_rows: int, n_texts: int = N_TEXTS, n_numbers: int = N_NUMBERS) -> tuple:
    """Rows, and the labels of two tasks that they tell something of."""
    rng = np.random.default_rng(0)
    drawn = texts(n_rows, n_texts, rng) | numbers(n_rows, n_numbers, rng)
    X = pd.DataFrame(drawn)
    score = X["number_0"] if n_numbers else X["text_0"].str.len() - 12.0
    y = {f"task_{i}": rng.random(n_rows) < 1 / (1 + np.exp(2 - score)) for i in (0, 1)}
    return X, pd.DataFrame(y).astype(int)


def seconds(stats: pstats.Stats, name: str, file: str, caller: str | None) -> float:
    """Of a function and all that it calls, within those calls of one caller."""
    total = 0.0
    for (path, _, function), entry in stats.stats.items():
        if function == name and path.endswith(file):
            *_, cumulative, callers = entry
            if caller is None:
                total += cumulative
            else:
                total += sum(own[3] for key, own in callers.items() if key[2] == caller)
    return total


def profile_of_fit(n_rows: int, rounds: int) -> dict[str, float]:
    """Seconds by part."""
    X, y = table(n_rows)
    model = DEPHNMultiTaskClassifier(**ONE_EPOCH)
    model.fit(X[:2_000], y[:2_000])  # what is loaded late
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        profiler, start = cProfile.Profile(), time.perf_counter()
        profiler.runcall(model.fit, X, y)
        whole = time.perf_counter() - start
        stats = pstats.Stats(profiler)
        full = {part: seconds(stats, *place) for part, place in FIT.items()}
        own = {
            part: took - sum(full[one] for one in WITHIN.get(part, ()))
            for part, took in full.items()
        }
        own["all else"] = whole - sum(own.values())
        found.append({**own, "the fit": whole})
    return {part: float(np.median([one[part] for one in found])) for part in found[0]}


def milliseconds(call: Callable[[], object], rounds: int, calls: int) -> float:
    """Of processor for a call: the median over rounds of so many calls."""
    took = []
    for _ in range(rounds + 1):  # the first warms up
        start = time.process_time()
        for _ in range(calls):
            call()
        took.append((time.process_time() - start) / calls)
    return 1e3 * float(np.median(took[1:]))


def profile_of_predict(n_rows: int, rounds: int, calls: int) -> list[dict]:
    """Milliseconds of the encoder, of the network, and of the whole, by request."""
    X, y = table(n_rows)
    model = DEPHNMultiTaskClassifier(**ONE_EPOCH).fit(X, y)
    fitted, found = model._fitted, []
    for request in REQUESTS:
        asked, own = X.iloc[:request], max(1, calls // request)
        if len(asked) < request:
            continue
        fields = fitted.encode(asked)
        took = {
            "encoder": lambda asked=asked: fitted.encode(asked),
            "network": lambda fields=fields: fitted.logits(fields),
            "predict_proba": lambda asked=asked: model.predict_proba(asked),
        }
        each = {name: milliseconds(call, rounds, own) for name, call in took.items()}
        found.append({"request": request, **each})
    return found


def kinds(n_rows: int) -> dict[str, pd.DataFrame]:
    """Tables of 40 columns of one kind."""
    rng, n = np.random.default_rng(0), N_TEXTS + N_NUMBERS
    drawn = numbers(n_rows, 2 * n, rng)
    floats = pd.DataFrame({k: v for k, v in drawn.items() if v.dtype.kind == "f"})
    words = pd.DataFrame(texts(n_rows, n, rng))
    days = {
        k: pd.Timestamp("2026-01-01") + pd.to_timedelta(v, "h")
        for k, v in floats.items()
    }
    return {
        "text": words,
        "text, Python objects": words.astype(object),
        "text, categories": words.astype("category"),
        "whole numbers, categories": pd.DataFrame(
            {k: v for k, v in drawn.items() if v.dtype.kind == "i"}
        ).astype("category"),
        "fractions": floats,
        "dates": pd.DataFrame(days),
    }


def profile_of_kinds(n_rows: int, rounds: int, calls: int) -> list[dict]:
    """Microseconds for a column of a kind, by request."""
    found = []
    for kind, X in kinds(n_rows).items():
        encoder = FieldEncoder().fit(X)
        row: dict = {"kind": kind}
        for request in REQUESTS[:2]:
            asked, own = X.iloc[:request], max(1, calls // request)
            took = milliseconds(lambda e=encoder, a=asked: e.encode(a), rounds, own)
            row[f"{request:,}"] = 1e3 * took / X.shape[1]
        found.append(row)
    return found


def memory(n_rows: int) -> list[dict]:
    """How far memory rises above the frame, each kind in a process of its own."""
    found, spawn = [], multiprocessing.get_context("spawn")
    for kind, columns in {"text": (40, 0), "numbers": (0, 40)}.items():
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            found.append(
                {"kind": kind, **process.submit(rise, n_rows, *columns).result()}
            )
    return found


def rise(n_rows: int, n_texts: int, n_numbers: int) -> dict[str, float]:
    """Of the peak: in fit as a multiple of the frame, in predict in MB above it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X, y = table(n_rows, n_texts, n_numbers)
    size = float(X.memory_usage(index=False, deep=True).sum()) / 2**20
    model = DEPHNMultiTaskClassifier(**ONE_EPOCH)
    model.fit(X[:2_000], y[:2_000])  # what is loaded late
    before = peak_memory(reset=True)
    model.fit(X, y)
    in_fit = (peak_memory() - before) / size
    before = peak_memory(reset=True)
    output = model.predict_proba(X)
    in_predict = peak_memory() - before - sum(one.nbytes for one in output) / 2**20
    return {"frame_mb": size, "fit": in_fit, "predict_mb": in_predict}


def report(part: str, options) -> list[dict]:
    """Print a part's table; its rows."""
    if part == "fit":
        took = profile_of_fit(options.rows, options.rounds)
        rows = [{"step": k, "seconds": s} for k, s in took.items()]
        print(f"\nfit, one epoch of {options.rows:,} rows\n")
        lines = [
            [k, f"{s:.2f}", f"{100 * s / took['the fit']:.0f} %"]
            for k, s in took.items()
        ]
        print(markdown(["part", "seconds", "share"], lines))
        return rows
    if part == "predict":
        rows = profile_of_predict(options.rows, options.rounds, options.calls)
        head = ["rows", "encoder, ms", "network, ms", "predict_proba, ms"]
        names = ("encoder", "network", "predict_proba")
        lines = [[f"{r['request']:,}", *[f"{r[n]:.2f}" for n in names]] for r in rows]
    elif part == "kinds":
        rows = profile_of_kinds(options.rows, options.rounds, options.calls)
        head = ["kind of column", "1 row, µs", "1,000 rows, µs"]
        lines = [[r["kind"], f"{r['1']:.0f}", f"{r['1,000']:.0f}"] for r in rows]
    else:
        rows = memory(options.rows)
        head = ["columns", "frame, MB", "fit, times the frame", "predict, MB"]
        lines = [
            [
                r["kind"],
                f"{r['frame_mb']:,.0f}",
                f"{r['fit']:.2f}",
                f"{r['predict_mb']:.0f}",
            ]
            for r in rows
        ]
    print(f"\n{part}\n")
    print(markdown(head, lines))
    return rows


PARTS = ("fit", "predict", "kinds", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200, help="of one row in a round")
    parser.add_argument("--output", default=RESULTS / "profile.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # an epoch is no fit that converges
    results = Results(options.output, ("part", "row"))
    about = {"rows": options.rows, **environment()}
    for part in options.parts:
        for i, row in enumerate(report(part, options)):
            results.add({"part": part, "row": i, **row, **about})


if __name__ == "__main__":
    main()
