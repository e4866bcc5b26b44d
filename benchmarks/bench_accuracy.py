"""How accurate is each entry on real data, per task?

    python benchmarks/bench_accuracy.py --data FOLDER --datasets census-2 oulad-3
    python benchmarks/bench_accuracy.py --data FOLDER --datasets kuairand-3 \\
        --features statistics --tune
    python benchmarks/bench_accuracy.py --rows 2000 --seeds 1 --datasets simulated

FOLDER holds census/, kuairand/ and the others (see ``dephn_sk.datasets``). The splits
are those of the loaders; every seed has a log of its own of the simulated ones, and a
split of its own of few rows, and a search sees the first of them. The validation part
chooses the epoch (or the number of trees) and, with ``--tune``, the parameters: every
entry that has a search space gets the same budget, 20 trials or 20 minutes of the
processor, whichever ends first. The test part is read once per row. Every fit runs in a
process of its own, on one thread, so that its peak memory is its own; results are
appended to results/accuracy.jsonl, those of the searches to results/tuned.jsonl, and
what is in there is not run again. Entries take turns, seed by seed, and a last table
compares their seconds with those of untuned LightGBM for the same seed and commit.
LightGBM and CatBoost take part where they are installed (``pip install ".[bench]"``),
the public packages where DEEPCTR_TORCH_PYTHON, TORCH_RECHUB_PYTHON and PYTABKIT_PYTHON
name a Python that has them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import product

import numpy as np
from _datasets import DATASETS, read
from _entries import ENTRIES, available
from _peer import peak_memory
from _report import RESULTS, Results, environment, markdown, mean_and_deviation
from sklearn.model_selection import ParameterSampler

from dephn_sk.metrics import task_calibration_error, task_log_loss, task_roc_auc
from dephn_sk.preprocessing import FieldEncoder

KEY = ("entry", "dataset", "features", "seed", "rows", "tuned")
REFERENCE = "LightGBM per task"
KEY_OF_SEARCH = ("entry", "dataset", "features", "rows")


IDS = ["user_id", "video_id", "author_id"]
STATISTICS = {
    "kuairand": {
        "target_statistics": [*IDS, "tab"],
        "min_frequency": dict.fromkeys(IDS, 50),
    },
    "simulated": {"target_statistics": ["user_id", "item_id"]},
}


def make_encoder(dataset: str, features: str) -> FieldEncoder | None:
    """None for raw columns; with target statistics of the ids where there are some."""
    if features == "raw":
        return None
    (options,) = (of for name, of in STATISTICS.items() if dataset.startswith(name))
    return FieldEncoder(random_state=0, **options)


def scores(model, X, y, prefix: str) -> dict:
    """Metrics of each task."""
    p = model.predict_proba(X)
    metrics = {
        "auc": task_roc_auc,
        "log_loss": task_log_loss,
        "calibration_error": task_calibration_error,
    }
    return {
        f"{prefix}_{name}": metric(y, p).round(5).tolist()
        for name, metric in metrics.items()
    }


def cpu_seconds() -> float:
    """Of this process and those that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mb() -> int:
    """Highest resident memory of this process, or of one that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return max(round(peak_memory()), children)


def tune(entry, dataset, features, rows, data, trials, minutes) -> dict:
    """A random search on the validation part, all entries with the same budget."""
    X, y, X_val, y_val = training_data(dataset, rows, data, seed=0)
    start, tried = cpu_seconds(), []
    while len(tried) < trials and cpu_seconds() - start < 60 * minutes:
        # the first trial is the defaults
        sampler = ParameterSampler(ENTRIES[entry].space, 1, random_state=len(tried))
        parameters = next(iter(sampler)) if tried else {}
        model = ENTRIES[entry].make(0, parameters)
        model.fit(X, y, X_val, y_val, make_encoder(dataset, features))
        losses = task_log_loss(y_val, model.predict_proba(X_val)).tolist()
        tried.append((losses, parameters))
    if model.per_task:  # models apart may have parameters apart
        best = [min(tried, key=lambda t, k=k: t[0][k])[1] for k in range(y.shape[1])]
    else:
        best = min(tried, key=lambda t: sum(t[0]))[1]
    return {
        "entry": entry,
        "dataset": dataset,
        "features": features,
        "rows": rows,
        "trials": len(tried),
        "tuning_seconds": round(cpu_seconds() - start, 1),
        "parameters": json.loads(json.dumps(best, default=lambda v: v.item())),
    }


def training_data(dataset, rows, data, seed):
    X, y = read(dataset, "train", data, seed)
    X_val, y_val = read(dataset, "validation", data, seed)
    return X[:rows], y[:rows], X_val, y_val


def run_one(entry, dataset, features, seed, rows, tuned, data) -> dict:
    """Fit one entry on one data set and score it."""
    X, y, X_val, y_val = training_data(dataset, rows, data, seed)
    model = ENTRIES[entry].make(seed, tuned["parameters"] if tuned else {})
    encoder = make_encoder(dataset, features)
    start, cpu = time.perf_counter(), cpu_seconds()
    model.fit(X, y, X_val, y_val, encoder)
    row = {
        "entry": entry,
        "dataset": dataset,
        "features": features,
        "seed": seed,
        "rows": rows,
        "tuned": bool(tuned),
        "trials": tuned["trials"] if tuned else 0,
        "tuning_seconds": tuned["tuning_seconds"] if tuned else 0.0,
        "tasks": list(y),
        "fit_seconds": round(time.perf_counter() - start, 1),
        "fit_cpu_seconds": round(cpu_seconds() - cpu, 2),
    }
    row |= scores(model, X_val, y_val, "validation")
    row |= scores(model, *read(dataset, "test", data, seed), "test")
    row["peak_rss_mb"] = peak_mb()
    return row | environment()


def tables(rows: list[dict]) -> str:
    """One markdown table for each data set and kind of features.

    A task's cell is its AUC, the deviation over seeds, and the log loss.
    """
    parts = []
    kinds = dict.fromkeys((row["dataset"], row["features"]) for row in rows)
    for dataset, features in kinds:
        members = [
            row
            for row in rows
            if (row["dataset"], row["features"]) == (dataset, features)
        ]
        header = ["entry", "trials", "seeds", *members[0]["tasks"]]
        header += ["calibration error", "validation AUC", "tuning s", "fit s", "MB"]
        lines = []
        for entry, tuned in dict.fromkeys((r["entry"], r["tuned"]) for r in members):
            group = [r for r in members if (r["entry"], r["tuned"]) == (entry, tuned)]
            lines.append(cells(entry, group))
        table = markdown(header, lines)
        parts.append(f"### {dataset}, {features} features\n\n{table}")
    return "\n\n".join(parts)


def cells(entry: str, rows: list[dict]) -> list[str]:
    """One entry's line: the same columns for every entry of a data set."""

    def mean(key):
        return np.mean([row[key] for row in rows])

    tasks = [
        f"{mean_and_deviation(aucs)} ({np.mean(losses):.4f})"
        for aucs, losses in zip(
            zip(*(row["test_auc"] for row in rows), strict=True),
            zip(*(row["test_log_loss"] for row in rows), strict=True),
            strict=True,
        )
    ]
    return [
        entry,
        str(rows[0]["trials"]),
        str(len(rows)),
        *tasks,
        f"{mean('test_calibration_error'):.4f}",
        f"{mean('validation_auc'):.4f}",
        f"{rows[0]['tuning_seconds']:.0f}",
        f"{mean('fit_cpu_seconds'):.1f}",
        f"{mean('peak_rss_mb'):.0f}",
    ]


def seconds(rows: list[dict]) -> str:
    """CPU seconds of each entry, as multiples of LightGBM's on the same rows."""
    kinds = ("dataset", "features", "seed", "rows", "commit")
    theirs = {
        tuple(row[kind] for kind in kinds): row["fit_cpu_seconds"]
        for row in rows
        if (row["entry"], row["tuned"]) == (REFERENCE, False)
    }
    groups: dict = {}
    for row in rows:
        of_reference = theirs.get(tuple(row[kind] for kind in kinds))
        if of_reference:
            tuned = ", tuned" if row["tuned"] else ""
            name = (row["dataset"], row["features"], row["entry"] + tuned)
            ratio = row["fit_cpu_seconds"] / of_reference
            groups.setdefault(name, []).append((row["fit_cpu_seconds"], ratio))
    lines = []
    for name, taken in groups.items():
        own, ratios = zip(*taken, strict=True)
        cells = [f"{np.mean(own):.1f}", mean_and_deviation(ratios, 2)]
        lines.append([*name, str(len(taken)), *cells])
    header = ["data set", "features", "entry", "seeds", "fit s", f"of {REFERENCE}'s"]
    return f"### Seconds side by side\n\n{markdown(header, lines)}" if lines else ""


def searched(options, entry, dataset, searches: Results) -> dict | None:
    """The result of an entry's search, where one is asked for."""
    if not (options.tune and ENTRIES[entry].space):
        return None
    what = (entry, dataset, options.features, options.rows)
    if what not in searches:
        searches.add(tune(*what, options.data, options.trials, options.minutes))
    return searches.find(what)


def in_its_process(what: tuple, tuned: dict | None, data: str | None) -> dict:
    """The row of one entry and seed."""
    command = [sys.executable, __file__, "--one", json.dumps((*what, tuned))]
    if data:
        command += ["--data", data]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the real data sets")
    parser.add_argument(
        "--datasets", nargs="+", choices=DATASETS, default=["simulated"]
    )
    parser.add_argument(
        "--entries", nargs="+", choices=ENTRIES, default=[*filter(available, ENTRIES)]
    )
    parser.add_argument("--features", choices=("raw", "statistics"), default="raw")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--tune", action="store_true", help="search before the seeds")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--results", default=RESULTS / "accuracy.jsonl")
    parser.add_argument("--tuned", default=RESULTS / "tuned.jsonl")
    parser.add_argument("--report", action="store_true", help="print results, run none")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(*json.loads(options.one), options.data)))
        return
    results = Results(options.results, KEY)
    if options.report:
        print(tables(results.rows))
        return
    searches = Results(options.tuned, KEY_OF_SEARCH)
    asked = []
    for dataset in options.datasets:
        y = read(dataset, "validation", options.data, 0)[1]
        entries = [entry for entry in options.entries if ENTRIES[entry].takes(y)]
        for seed, entry in product(range(options.seeds), entries):
            tuned = searched(options, entry, dataset, searches)
            what = (entry, dataset, options.features, seed, options.rows)
            key = (*what, bool(tuned))
            if key not in results:
                results.add(in_its_process(what, tuned, options.data))
                print(key, file=sys.stderr)
            asked.append(results.find(key))
    print(tables(asked))
    print(f"\n{seconds(asked)}".rstrip())


if __name__ == "__main__":
    main()
