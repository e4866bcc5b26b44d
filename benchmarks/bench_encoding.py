"""Is FieldEncoder fast and frugal?  fit + transform of strings and of integer ids.

    python benchmarks/bench_encoding.py --string-rows 1000000 --id-rows 10000000
    python benchmarks/bench_encoding.py --forms --before CHECKOUT

With --forms, the text in each form in which libraries hold it, beside what pyarrow's
and polars' own encoders take for it, and another CHECKOUT (``git worktree add CHECKOUT
COMMIT``): all with one thread, each form in processes of its own, in turns; medians of
the seconds of processor, and of the rounds' ratios.

Otherwise each entry runs in a process of its own on the same table, after a run on its
first rows that loads what is loaded late. Memory is the growth of the process's peak
over what it held with the table, as a share of the table; the output is part of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import sys
import threading
import time
from pathlib import Path

import _encode
import numpy as np
import pandas as pd
import sklearn
from _encode import FORMS, N_COLUMNS, make_strings
from _report import RESULTS, Results, environment, markdown
from bench_speed import Peer

N_ID_COLUMNS = 26
ROOT = str(Path(__file__).parents[1])
BEFORE = "ours, before"


def make_ids(n_rows: int) -> pd.DataFrame:
    """Columns of integers: half of them dense, half of them spread over 62 bits."""
    rng = np.random.default_rng(0)
    columns = {}
    for j in range(N_ID_COLUMNS):
        cardinality = int(10 ** (1 + 5 * j / (N_ID_COLUMNS - 1)))
        ids = np.arange(cardinality)
        if j % 2:
            ids = rng.integers(0, 2**62, cardinality)
        drawn = (cardinality * rng.random(n_rows) ** 2).astype(int)
        columns[f"id{j}"] = ids[drawn]
    return pd.DataFrame(columns)


def field_encoder(X: pd.DataFrame):
    from dephn_sk.preprocessing import FieldEncoder

    encoder = FieldEncoder(categorical_features=np.ones(X.shape[1], dtype=bool))
    return lambda: encoder.fit_transform(X)


def ordinal_encoder(X: pd.DataFrame):
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(
        dtype=np.int32, handle_unknown="use_encoded_value", unknown_value=-1
    )
    return lambda: encoder.fit_transform(X)


def polars_categorical(X: pd.DataFrame):
    import polars as pl

    frame = pl.from_pandas(X)
    text = pl.all().cast(pl.String).cast(pl.Categorical)
    return lambda: frame.select(text)


ENTRIES = {
    "FieldEncoder": field_encoder,
    "OrdinalEncoder": ordinal_encoder,
    "polars, cast to Categorical": polars_categorical,
}
TABLES = {"strings": make_strings, "ids": make_ids}


class PeakMemory:
    """Largest resident memory while the block runs, by looking every few ms."""

    def __enter__(self) -> PeakMemory:
        self.before = self.peak = _resident()
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, _resident())

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._watcher.join()
        self.peak = max(self.peak, _resident())


def _resident() -> int:
    with open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1]) * resource.getpagesize()


def measure(table: str, n_rows: int, entry: str, results) -> None:
    """Put seconds and peak memory of one entry on one table into a queue."""
    X = TABLES[table](n_rows)
    ENTRIES[entry](X.iloc[:100])()
    run = ENTRIES[entry](X)
    with PeakMemory() as memory:
        start = time.perf_counter()
        output = run()
        seconds = time.perf_counter() - start
    size = X.memory_usage(index=False, deep=True).sum()
    del output
    results.put((seconds, (memory.peak - memory.before) / size, size))


def main(string_rows: int, id_rows: int) -> None:
    context = multiprocessing.get_context("spawn")
    print(
        f"Python {platform.python_version()}, scikit-learn {sklearn.__version__}, "
        f"pandas {pd.__version__}, {os.cpu_count()} cores, {platform.machine()}"
    )
    for table, n_rows in (("strings", string_rows), ("ids", id_rows)):
        n_columns = N_COLUMNS if table == "strings" else N_ID_COLUMNS
        print(f"\n{table}: {n_rows:,} rows x {n_columns} columns, fit + transform")
        print(f"{'':30}{'seconds':>10}{'times ours':>12}{'memory':>10}")
        ours = None
        for entry in ENTRIES:
            results = context.Queue()
            arguments = (table, n_rows, entry, results)
            process = context.Process(target=measure, args=arguments)
            process.start()
            seconds, share, _ = results.get()
            process.join()
            ours = ours or seconds
            print(f"{entry:30}{seconds:10.2f}{seconds / ours:12.2f}{share:10.2f}")


def forms(n_rows: int, rounds: int, before: str | None) -> None:
    """The text in each form, in turns with what other encoders take for it."""
    results = Results(RESULTS / "encoding.jsonl", ("form", "entry", "rows"))
    print(f"{n_rows:,} rows x {N_COLUMNS} columns of text, fit + transform, 1 thread\n")
    lines = []
    for form in FORMS:
        peers = {"ours": serving(ROOT, form, n_rows)}
        if before:
            peers[BEFORE] = serving(before, form, n_rows)
        took: dict = {}
        for _ in range(rounds):
            for entry in ("ours", *([BEFORE] if before else []), "pyarrow", "polars"):
                peer, asked = peers.get(entry, peers["ours"]), entry.split(",")[0]
                took.setdefault(entry, []).append(peer.ask(asked))
        for peer in peers.values():
            peer.close()
        lines.append([form])
        for entry, seconds in took.items():
            median = float(np.median(seconds))
            ratio = float(np.median(np.divide(took["ours"], seconds)))
            more = "" if entry == "ours" else f" ({ratio:.2f})"
            lines[-1].append(f"{median:.2f}{more}")
            row = {"form": form, "entry": entry, "rows": n_rows, "cpu_s": median}
            results.add({**row, "ours_by_it": ratio, "rounds": rounds, **environment()})
    print(markdown(["form", *[f"{entry}, s" for entry in took]], lines))


def serving(checkout: str, form: str, n_rows: int) -> Peer:
    """A process that times a checkout's encoder, with one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    command = [sys.executable, _encode.__file__, checkout, form, str(n_rows)]
    return Peer(command, os.environ | threads, stderr=None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--string-rows", type=int, default=1_000_000)
    parser.add_argument("--id-rows", type=int, default=10_000_000)
    parser.add_argument("--forms", action="store_true")
    parser.add_argument("--before", help="checkout of another commit")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.forms:
        forms(options.string_rows, options.rounds, options.before)
    else:
        main(options.string_rows, options.id_rows)
