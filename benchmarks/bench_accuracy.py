"""How accurate is each entry on real data, per task?

    python benchmarks/bench_accuracy.py --data FOLDER --datasets census-2 kuairand-3
    python benchmarks/bench_accuracy.py --rows 2000 --seeds 1 --datasets simulated

FOLDER holds census/, kuairand/ and oulad/ (see ``dephn_sk.datasets``). The splits are
those of the loaders; the validation part chooses the epoch (or the number of trees),
the test part is read once per row. Every fit runs in a process of its own, so that its
peak memory is its own; results are appended to results/accuracy.jsonl, and what is in
there is not run again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from _report import RESULTS, Results, environment, markdown_table
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.datasets import (
    load_census_income,
    load_kuairand,
    load_oulad,
    make_behavior_log,
)
from dephn_sk.metrics import task_calibration_error, task_log_loss, task_roc_auc
from dephn_sk.preprocessing import FieldEncoder

KEY = ("entry", "dataset", "seed", "rows")


def simulated(subset):
    log = make_behavior_log(60_000, random_state=0)
    rows = {"train": slice(0, 40_000), "validation": slice(40_000, 48_000)}
    rows = rows.get(subset, slice(48_000, None))
    return log.data[rows], log.target[rows]


def of(loader, **options):
    def load(subset, data):
        return loader(data, subset=subset, return_X_y=True, **options)

    return load


DATASETS = {
    "simulated": lambda subset, data: simulated(subset),
    "census-2": of(load_census_income),
    "census-3": of(
        load_census_income, tasks=("income", "never_married", "any_college")
    ),
    "kuairand-3": of(load_kuairand),
    "kuairand-8": of(load_kuairand, tasks="all", missing_without_click=False),
    "oulad-3": of(load_oulad),
}


class Boosting:
    """One HistGradientBoosting per task behind an ordinal encoding."""

    def __init__(self, random_state):
        self.random_state = random_state

    def fit(self, X, y, X_val, y_val):
        encode = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=250
        )
        categorical = make_column_selector(dtype_exclude="number")
        table = make_column_transformer((encode, categorical), remainder="passthrough")
        self.models = []
        for name in y:
            known, known_val = y[name].notna(), y_val[name].notna()
            encoder = make_pipeline(table).fit(X[known])
            model = HistGradientBoostingClassifier(
                max_iter=1000,
                learning_rate=0.05,
                early_stopping=True,
                n_iter_no_change=50,
                random_state=self.random_state,
            ).fit(
                encoder.transform(X[known]),
                y.loc[known, name],
                X_val=encoder.transform(X_val[known_val]),
                y_val=y_val.loc[known_val, name],
            )
            self.models.append((encoder, model))
        return self

    def predict_proba(self, X):
        return np.column_stack(
            [m.predict_proba(e.transform(X))[:, 1] for e, m in self.models]
        )


class Network:
    """An estimator of ours, on the raw frame or behind a FieldEncoder."""

    def __init__(self, estimator, encoder=None):
        self.estimator = estimator
        self.encoder = encoder

    def fit(self, X, y, X_val, y_val):
        if self.encoder is None:
            self.estimator.fit(X, y, X_val=X_val, y_val=y_val)
            return self.estimator
        X_train = self.encoder.fit_transform(X, y)
        X_val = self.encoder.transform(X_val)
        self.estimator.fit(X_train, y, X_val=X_val, y_val=y_val)
        return Pipeline([("encode", self.encoder), ("model", self.estimator)])


def network(cls, **options):
    return lambda seed: Network(cls(early_stopping=True, random_state=seed, **options))


ENTRIES = {
    "DEPHN": network(DEPHNMultiTaskClassifier),
    "DEPHN behind FieldEncoder": lambda seed: Network(
        DEPHNMultiTaskClassifier(early_stopping=True, random_state=seed), FieldEncoder()
    ),
    "DEPHN, paper": network(DEPHNMultiTaskClassifier.paper_configuration),
    "HistGradientBoosting per task": Boosting,
    **{
        name.removesuffix("Classifier"): network(getattr(baselines, name))
        for name in baselines.__all__
        if name.endswith("Classifier")
    },
}


def run_one(entry: str, dataset: str, seed: int, rows: int | None, data) -> dict:
    """Fit one entry on one data set and score it."""
    X, y = DATASETS[dataset]("train", data)
    X_val, y_val = DATASETS[dataset]("validation", data)
    X_test, y_test = DATASETS[dataset]("test", data)
    if rows:
        X, y = X[:rows], y[:rows]
    start, cpu = time.perf_counter(), time.process_time()
    model = ENTRIES[entry](seed).fit(X, y, X_val, y_val)
    row = {
        "entry": entry,
        "dataset": dataset,
        "seed": seed,
        "rows": rows,
        "tasks": list(y),
        "fit_seconds": round(time.perf_counter() - start, 1),
        "fit_cpu_seconds": round(time.process_time() - cpu, 1),
    }
    for part, X_part, y_part in (
        ("validation", X_val, y_val),
        ("test", X_test, y_test),
    ):
        p = model.predict_proba(X_part)
        for metric, score in (
            ("auc", task_roc_auc),
            ("log_loss", task_log_loss),
            ("calibration_error", task_calibration_error),
        ):
            row[f"{part}_{metric}"] = score(y_part, p).round(5).tolist()
    row["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row | environment()


def tables(rows: list[dict]) -> str:
    """One markdown table for each data set."""
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        members = [row for row in rows if row["dataset"] == dataset]
        columns = {}
        for t, task in enumerate(members[0]["tasks"]):
            for metric, short in (("auc", "AUC"), ("log_loss", "log loss")):
                for part in ("validation", "test"):
                    columns[f"{task} {short}, {part}"] = (
                        lambda row, key=f"{part}_{metric}", t=t: row[key][t]
                    )
        columns["fit s"] = lambda row: row["fit_seconds"]
        columns["peak MB"] = lambda row: row["peak_rss_mb"]
        parts.append(
            f"### {dataset}\n\n" + markdown_table(members, ("entry",), columns)
        )
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the real data sets")
    parser.add_argument(
        "--datasets", nargs="+", choices=DATASETS, default=["simulated"]
    )
    parser.add_argument("--entries", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--results", default=RESULTS / "accuracy.jsonl")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        entry, dataset, seed, rows = json.loads(options.one)
        print(json.dumps(run_one(entry, dataset, seed, rows, options.data)))
        return
    results = Results(options.results, KEY)
    for dataset in options.datasets:
        for seed in range(options.seeds):
            for entry in options.entries:
                key = (entry, dataset, seed, options.rows)
                if key in results:
                    continue
                command = [sys.executable, __file__, "--one", json.dumps(key)]
                if options.data:
                    command += ["--data", options.data]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise SystemExit(f"{key} failed:\n{done.stderr}")
                results.add(json.loads(done.stdout.splitlines()[-1]))
                print(key, file=sys.stderr)
    asked = [
        row
        for row in results.rows
        if row["dataset"] in options.datasets
        and row["entry"] in options.entries
        and row["rows"] == options.rows
    ]
    print(tables(asked))


if __name__ == "__main__":
    main()
