"""How large is a model file, and how long do save, load and a first prediction take?

    python benchmarks/bench_file.py
    python benchmarks/bench_file.py --categories 1000 --table-rows 1000 --rounds 1
    python benchmarks/bench_file.py --report

Two models: five columns of text with a million values each, and a table of five million
rows of sixteen numbers whose codes are hashes. Each is saved for prediction (``save``;
joblib and pickle of a trimmed copy) and with all that training goes on from (``save``
with ``training=True``; joblib and pickle of the model itself). All entries take turns;
times are medians over the rounds. What is read was written just before, and is in the
memory of the system. Until a file is on the disk, ``fsync`` waits, which only ``save``
calls by itself: that time stands in a column of its own. "Of joblib" compares the times
of save and of load without it.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import pickle
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from _report import RESULTS, Results, environment

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder


def vocabularies(n_categories: int) -> tuple[DEPHNMultiTaskClassifier, pd.DataFrame]:
    """Five columns of text, each value once."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            f"column {c}": pd.array(
                [f"user {c} {i}" for i in rng.permutation(n_categories)], dtype="str"
            )
            for c in range(5)
        }
    )
    return fitted(X, DEPHNMultiTaskClassifier()), X


def large_table(n_rows: int) -> tuple[DEPHNMultiTaskClassifier, pd.DataFrame]:
    """A column that is hashed to so many rows of sixteen numbers."""
    ids = np.random.default_rng(0).integers(0, 2**62, 100_000)
    X = pd.DataFrame({"id": ids})
    encoder = FieldEncoder(categorical_features=["id"], n_buckets=n_rows - 1)
    return fitted(X, DEPHNMultiTaskClassifier(embedding_dim=16, encoder=encoder)), X


def fitted(X: pd.DataFrame, model: DEPHNMultiTaskClassifier):
    given = {"max_epochs": 1, "batch_size": 4096, "early_stopping": False}
    y = np.random.default_rng(1).integers(0, 2, (len(X), 2))
    return model.set_params(**given, n_threads=1, random_state=0).fit(X, y)


@contextlib.contextmanager
def timed_fsync(took: list[float]):
    """Keep how long calls of `os.fsync` take."""
    real = os.fsync

    def fsync(number: int) -> None:
        start = time.perf_counter()
        real(number)
        took.append(time.perf_counter() - start)

    os.fsync = fsync
    try:
        yield
    finally:
        os.fsync = real


def on_the_disk(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def pickle_dump(model, path: Path) -> None:
    with open(path, "wb") as file:
        pickle.dump(model, file, protocol=5)


def pickle_load(path: Path):
    with open(path, "rb") as file:
        return pickle.load(file)


def entries(model) -> dict:
    """What writes, and what reads it: for prediction, and for training."""
    trimmed = copy.copy(model).trim()
    return {
        ("prediction", "save"): (model.save, dephn_sk.load),
        ("prediction", "save, mapped"): (
            model.save,
            lambda path: dephn_sk.load(path, mmap=True),
        ),
        ("prediction", "joblib"): (lambda p: joblib.dump(trimmed, p), joblib.load),
        ("prediction", "pickle"): (lambda p: pickle_dump(trimmed, p), pickle_load),
        ("training", "save"): (lambda p: model.save(p, training=True), dephn_sk.load),
        ("training", "joblib"): (lambda p: joblib.dump(model, p), joblib.load),
        ("training", "pickle"): (lambda p: pickle_dump(model, p), pickle_load),
    }


def measure(write, read, path: Path, X: pd.DataFrame) -> dict:
    """Seconds of one turn, and the size of the file."""
    waits: list[float] = []
    with timed_fsync(waits):
        start = time.perf_counter()
        write(path)
        took = time.perf_counter() - start
        own = sum(waits)  # of save itself
        on_the_disk(path)
    start = time.perf_counter()
    model = read(path)
    loaded = time.perf_counter()
    model.predict_proba(X.iloc[[0]])
    predicted = time.perf_counter()
    return {
        "save": took - own,
        "fsync": sum(waits),
        "load": loaded - start,
        "predict": predicted - loaded,
        "size": path.stat().st_size,
    }


def run(options) -> None:
    torch.set_num_threads(1)
    results = Results(options.results, ("model", "holds", "entry"))
    models = {
        f"{options.categories:,} values x 5": (vocabularies, options.categories),
        f"{options.table_rows:,} x 16": (large_table, options.table_rows),
    }
    for number, (name, (make, size)) in enumerate(models.items()):
        if options.model not in (None, number):
            continue
        model, X = make(size)
        turns: dict = {key: [] for key in entries(model)}
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            for _ in range(options.rounds):
                for key, (write, read) in entries(model).items():
                    found = measure(write, read, Path(folder) / "model", X)
                    turns[key].append(found)
        tables = sum(w.nbytes for w in model.network_.state_dict().values())
        for (holds, entry), rows in turns.items():
            medians = {key: float(np.median([r[key] for r in rows])) for key in rows[0]}
            row = {"model": name, "holds": holds, "entry": entry, "weights": tables}
            results.add({**row, **medians, "rounds": options.rounds, **environment()})


def report(rows: list[dict]) -> str:
    """A table of each model."""
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        weights = own[0]["weights"] / 1e6
        head = "holds       entry             MB   save s  fsync s   load s  first s"
        lines += [f"{model}: {weights:,.0f} MB of weights", f"{head}  of joblib"]
        for row in own:
            (joblibs,) = (
                one
                for one in own
                if (one["holds"], one["entry"]) == (row["holds"], "joblib")
            )
            ratios = [f"{row[key] / joblibs[key]:.2f}" for key in ("save", "load")]
            lines.append(
                f"{row['holds']:12}{row['entry']:13}{row['size'] / 1e6:7,.0f}"
                f"{row['save']:9.2f}{row['fsync']:9.2f}{row['load']:9.2f}"
                f"{row['predict']:9.3f}  {', '.join(ratios)}"
            )
        lines.append("")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--categories", type=int, default=1_000_000)
    parser.add_argument("--table-rows", type=int, default=5_000_000)
    parser.add_argument("--model", type=int, help="only the first (0) or second (1)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where files are written")
    parser.add_argument("--results", default=RESULTS / "file.jsonl")
    parser.add_argument("--report", action="store_true", help="print what was found")
    given = parser.parse_args()
    if not given.report:
        run(given)
    print(report(Results(given.results, ()).rows))
