"""Is FieldEncoder fast and frugal?  fit + transform of strings and of integer ids.

    python benchmarks/bench_encoding.py --string-rows 1000000 --id-rows 10000000

Each entry runs in a process of its own on the same table, after a run on its first rows
that loads what is loaded late. Memory is the growth of the process's peak over what it
held with the table, as a share of the table; the output is part of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import threading
import time

import numpy as np
import pandas as pd
import sklearn

N_STRING_COLUMNS, N_ID_COLUMNS = 30, 26


def make_strings(n_rows: int) -> pd.DataFrame:
    """Columns of text with 10 to 100,000 values, the frequent ones first."""
    rng = np.random.default_rng(0)
    columns = {}
    for j in range(N_STRING_COLUMNS):
        cardinality = int(10 ** (1 + 4 * j / (N_STRING_COLUMNS - 1)))
        values = np.array([f"category {j} {i}" for i in range(cardinality)])
        drawn = (cardinality * rng.random(n_rows) ** 2).astype(int)
        columns[f"c{j}"] = pd.array(values[drawn], dtype="str")
    return pd.DataFrame(columns)


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
        n_columns = N_STRING_COLUMNS if table == "strings" else N_ID_COLUMNS
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--string-rows", type=int, default=1_000_000)
    parser.add_argument("--id-rows", type=int, default=10_000_000)
    arguments = parser.parse_args()
    main(arguments.string_rows, arguments.id_rows)
