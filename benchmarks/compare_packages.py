"""Are our MMoE, PLE and Shared-Bottom as accurate as the public packages' own?

    python benchmarks/compare_packages.py --data FOLDER --peers FOLDER \\
        --deepctr PYTHON --rechub PYTHON

Census-2, all training rows, three epochs: embedding 16, numbers as plain scalars, three
experts of (64, 32), towers (32,), Adam 1e-3, batches of 1024, no dropout, no weight
decay; test AUC after the last epoch. The peers' folder holds a script for each package
(``bench_deepctr.py``, ``bench_rechub.py``) that takes ``--model``, ``--seed``,
``--epochs`` and prints one JSON line with ``auc``, ``logloss`` and ``rows_per_cpu_s``;
each package has a Python of its own. torch-rechub's networks have a batch
normalization that cannot be switched off; they are run with and without it, since no
other network here has one. Results are appended to results/packages.jsonl,
and what is in there is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np
from _paper import ScoredRows, fit_and_score, show_progress
from _report import RESULTS, Results, environment, markdown_table

from dephn_sk import baselines
from dephn_sk.datasets import load_census_income
from dephn_sk.preprocessing import FieldEncoder

KEY = ("package", "model", "seed", "rows", "epochs")
MODELS = {
    "Shared-Bottom": ("SharedBottomClassifier", "shared"),
    "MMoE": ("MMoEClassifier", "mmoe"),
    "PLE": ("PLEClassifier", "ple"),
}
PLAIN = ", no normalization"
WITHOUT_NORMALIZATION = """
import os, runpy, sys, torch
torch.nn.BatchNorm1d = torch.nn.Identity
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SKEWED = ["wage_per_hour", "capital_gains", "capital_losses", "stock_dividends"]
SIZES = {
    "embedding_dim": 16,
    "numeric_embedding": "scalar",
    "embedding_dropout": 0.0,
    "unseen_rate": 0.0,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "weight_averaging": 0.0,
    "tower_hidden": (32,),
    "batch_size": 1024,
    "learning_rate": 1e-3,
    "early_stopping": False,
}


def census(data: str, rows: int | None) -> dict[str, ScoredRows]:
    """The parts of Census-2, the skewed columns on a logarithmic scale, encoded."""
    encoder = FieldEncoder()
    parts = {}
    for name in ("train", "validation", "test"):
        X, y = load_census_income(data, subset=name, return_X_y=True)
        X = X.assign(**{column: np.log1p(X[column]) for column in SKEWED})
        if name == "train":
            X, y = X[:rows], y[:rows]
            encoder.fit(X, y)
        parts[name] = ScoredRows(encoder.transform(X), y)
    return parts


def ours(parts: dict, model: str, seed: int, epochs: int) -> dict:
    cls = getattr(baselines, MODELS[model][0])
    estimator = cls(max_epochs=epochs, random_state=seed, n_threads=1, **SIZES)
    row = fit_and_score(estimator, parts)
    return {
        "tasks": row["tasks"],
        "test_auc": row["test_auc"],
        "test_log_loss": row["test_log_loss"],
        "rows_per_cpu_second": round(
            len(parts["train"].X) * epochs / row["fit_cpu_seconds"]
        ),
    }


def theirs(python: str, script: Path, options: argparse.Namespace, key: tuple) -> dict:
    package, model, seed, rows, epochs = key
    without = ["-c", WITHOUT_NORMALIZATION] if package.endswith(PLAIN) else []
    command = [python, *without, str(script), "--model", MODELS[model][1]]
    command += ["--seed", str(seed), "--epochs", str(epochs)]
    if rows:
        command += ["--rows", str(rows)]
    variables = {"BENCH_DATA": str(Path(options.data) / "census"), "BENCH_THREADS": "1"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    if done.returncode:
        raise SystemExit(f"{key} failed:\n{done.stderr}")
    printed = json.loads(done.stdout.splitlines()[-1])
    return {
        "tasks": list(printed["auc"]),
        "test_auc": list(printed["auc"].values()),
        "test_log_loss": list(printed["logloss"].values()),
        "rows_per_cpu_second": printed["rows_per_cpu_s"],
    }


def table(rows: list[dict]) -> str:
    """A line for each model and package: test AUC, log loss, speed."""
    if not rows:
        return ""
    columns = {
        f"{task} {short}": lambda row, key=key, t=t: row[key][t]
        for t, task in enumerate(rows[0]["tasks"])
        for key, short in (("test_auc", "AUC"), ("test_log_loss", "log loss"))
    }
    order = list(MODELS)
    rows = sorted(rows, key=lambda row: order.index(row["model"]))
    return markdown_table(rows, ("model", "package"), columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds census/")
    parser.add_argument("--peers", type=Path, help="folder of the packages' scripts")
    parser.add_argument("--deepctr", help="Python that has deepctr-torch")
    parser.add_argument("--rechub", help="Python that has torch-rechub")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--results", default=RESULTS / "packages.jsonl")
    options = parser.parse_args()
    packages = {
        "DeepCTR-Torch": (options.deepctr, "bench_deepctr.py"),
        "torch-rechub": (options.rechub, "bench_rechub.py"),
        "torch-rechub" + PLAIN: (options.rechub, "bench_rechub.py"),
    }
    if options.peers is None and (options.deepctr or options.rechub):
        parser.error("--peers names the folder of the packages' scripts")

    results = Results(options.results, KEY)
    parts = None
    for seed in range(options.seeds):
        for model in options.models:
            for package in ("dephn_sk", *packages):
                key = (package, model, seed, options.rows, options.epochs)
                if key in results:
                    continue
                if package == "dephn_sk":
                    parts = parts or census(options.data, options.rows)
                    row = ours(parts, model, seed, options.epochs)
                else:
                    python, script = packages[package]
                    if not python:
                        continue
                    row = theirs(python, options.peers / script, options, key)
                results.add(dict(zip(KEY, key, strict=True)) | row | environment())
                show_progress(key)
    print(table([row for row in results.rows if row["rows"] == options.rows]))


if __name__ == "__main__":
    main()
