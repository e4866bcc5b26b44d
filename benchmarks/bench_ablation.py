"""What does each choice behind the defaults bring, on validation data?

    python benchmarks/bench_ablation.py --data FOLDER --study defaults --seeds 3
    python benchmarks/bench_ablation.py --data FOLDER --study numeric --seeds 3

Every variant is the default estimator but for what its name says, on Census-2, OULAD-3
and KuaiRand-3, the latter with target statistics of its ids. The validation part
chooses the epoch as well, so that the figures compare variants and are no estimate of
their accuracy; test data are not read. Results are appended to results/ablation.jsonl,
and what is in there is not run again.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from _report import RESULTS, Results, environment, markdown_table
from bench_accuracy import make_encoder, training_data

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_log_loss, task_roc_auc

FEATURES = {"census-2": "raw", "oulad-3": "raw", "kuairand-3": "statistics"}
STUDIES = {
    "defaults": {  # each ingredient removed alone
        "default": {},
        "bins of every number": {"numeric_embedding": "bins+piecewise-linear"},
        "linear numbers": {"numeric_embedding": "linear"},
        "no weight averaging": {"weight_averaging": 0.0},
        "no unseen values in training": {"unseen_rate": 0.0},
        "no embedding dropout": {"embedding_dropout": 0.0},
        "no dropout": {"dropout": 0.0},
        "learning rate 1e-3": {"learning_rate": 1e-3},
        "one expert": {"public_experts": ("dnn",)},
        "without sin": {"mappings": ("raw",)},
        "linear towers": {"tower_hidden": ()},
        "gates under Adam": {"gate_optimizer": "adam"},
        "no virtual gradient": {"virtual_gradient": None},
    },
    "structures": {  # what the default leaves out
        "default": {},
        "experts (128, 64)": {"expert_hidden": (128, 64)},
        "private cross": {"private_experts": ("cross",)},
        "private cross and field": {"private_experts": ("cross", "field")},
        "soft selection": {"selection": "soft"},
        "embedding 16": {"embedding_dim": 16},
    },
    "numeric": {  # with one size of batches
        name: {"batch_size": 1024, **parameters}
        for name, parameters in {
            "auto": {},
            **{
                f"{kind}, {n_bins} bins": {"numeric_embedding": kind, "n_bins": n_bins}
                for kind, n_bins in (
                    ("bins", 256),
                    ("piecewise-linear", 256),
                    ("bins+piecewise-linear", 256),
                    ("bins+piecewise-linear", 64),
                    ("bins+piecewise-linear", 512),
                    ("bins|piecewise-linear", 256),
                )
            },
            "linear": {"numeric_embedding": "linear"},
            "periodic": {"numeric_embedding": "periodic"},
            "piecewise-linear+periodic": {
                "numeric_embedding": "piecewise-linear+periodic"
            },
        }.items()
    },
}
KEY = ("dataset", "variant", "seed", "rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the real data sets")
    parser.add_argument("--study", choices=STUDIES, default="defaults")
    parser.add_argument(
        "--datasets", nargs="+", choices=FEATURES, default=list(FEATURES)
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--results", default=RESULTS / "ablation.jsonl")
    options = parser.parse_args()
    variants = STUDIES[options.study]
    results = Results(options.results, KEY)
    for dataset in options.datasets:
        encoder = make_encoder(dataset, FEATURES[dataset])
        X, y, X_val, y_val = training_data(dataset, options.rows, options.data, seed=0)
        for seed in range(options.seeds):
            for variant, parameters in variants.items():
                key = (dataset, variant, seed, options.rows)
                if key in results:
                    continue
                start = time.process_time()
                model = DEPHNMultiTaskClassifier(
                    encoder=encoder,
                    early_stopping=True,
                    n_threads=1,
                    random_state=seed,
                    **parameters,
                ).fit(X, y, X_val=X_val, y_val=y_val)
                seconds = time.process_time() - start
                p = model.predict_proba(X_val)
                scores = {
                    "tasks": list(y),
                    "auc": task_roc_auc(y_val, p).round(5).tolist(),
                    "log_loss": task_log_loss(y_val, p).round(5).tolist(),
                    "fit_cpu_seconds": round(seconds, 1),
                }
                results.add(dict(zip(KEY, key, strict=True)) | scores | environment())
                print(key, file=sys.stderr)
        rows = [
            row
            for variant in variants
            for row in results.rows
            if (row["dataset"], row["variant"]) == (dataset, variant)
            and row["rows"] == options.rows
            and row["seed"] < options.seeds
        ]
        columns = {
            f"{task} AUC": lambda row, t=t: row["auc"][t]
            for t, task in enumerate(rows[0]["tasks"])
        }
        columns["mean AUC"] = lambda row: np.mean(row["auc"])
        columns["mean log loss"] = lambda row: np.mean(row["log_loss"])
        print(f"## {dataset}, validation\n")
        print(markdown_table(rows, ("variant",), columns), "\n")


if __name__ == "__main__":
    main()
