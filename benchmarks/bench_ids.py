"""How do ids enter: vectors, statistics, or what the rules decide?

    python benchmarks/bench_ids.py --seeds 3 [--data FOLDER]

Every variant is the default estimator but for how columns of many values enter. On
simulated logs, of users and items in more or fewer rows, and of ids that say nothing;
with a folder, on KuaiRand-3 and Census-2 too, all rows and fewer. Fitted on the rows
that train, a tenth of which are set aside; scored on validation rows, never on test
data. Results are appended to results/ids.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from _report import RESULTS, Results, environment, markdown_table

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_census_income, load_kuairand, make_behavior_log
from dephn_sk.metrics import task_log_loss, task_roc_auc
from dephn_sk.preprocessing import FieldEncoder

IDS = ["user_id", "item_id"]
# name: random_state, rows that train, what differs
LOGS = {
    "log, 40 and 80 rows": (11, 40_000, {}),
    "log, 8 and 20 rows": (12, 40_000, {"n_users": 5000, "n_items": 2000}),
    "log, 400 and 670 rows": (13, 40_000, {"n_users": 100, "n_items": 60}),
    "log, 4 and 7 rows": (15, 3_000, {}),
}
REAL = {
    "kuairand-3": (load_kuairand, None),
    "kuairand-3, 10,000 rows": (load_kuairand, 10_000),
    "census-2, 10,000 rows": (load_census_income, 10_000),
    "census-2, 3,000 rows": (load_census_income, 3_000),
}
NOISE = "log, ids at random"
VARIANTS = {
    "vectors": {"target_statistics": None},
    "both": {"encoder": FieldEncoder(target_statistics="auto", random_state=0)},
    "frequent vectors": {"encoder": FieldEncoder(min_frequency="auto")},
    "by rule (default)": {},
}
KEY = ("dataset", "variant", "seed")


def made(random_state, n_train, changes):
    """A simulated log: rows that train, and 20,000 that come later."""
    log = make_behavior_log(n_train + 20_000, random_state=random_state, **changes)
    train, later = slice(n_train), slice(n_train, None)
    return log.data[train], log.target[train], log.data[later], log.target[later]


def without_ids():
    """A log whose ids belong to other rows, so that they say nothing."""
    X, y, X_later, y_later = made(14, 40_000, {})
    rng = np.random.default_rng(0)
    for part in (X, X_later):
        for name in IDS:
            part[name] = part[name].to_numpy()[rng.permutation(len(part))]
            part[name] = part[name].astype("category")
    return X, y, X_later, y_later


def loaded(load, n_rows, folder):
    """The rows of a real set that train, or some of them, and those that validate."""
    X, y = load(folder, return_X_y=True)
    if n_rows is not None:
        some = np.sort(np.random.default_rng(7).permutation(len(X))[:n_rows])
        X, y = X.iloc[some], y.iloc[some]
    return X, y, *load(folder, subset="validation", return_X_y=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the real data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", default=RESULTS / "ids.jsonl")
    options = parser.parse_args()
    sets = {name: lambda how=how: made(*how) for name, how in LOGS.items()}
    sets[NOISE] = without_ids
    if options.data:
        for name, how in REAL.items():
            sets[name] = lambda how=how: loaded(*how, options.data)
    results = Results(options.results, KEY)
    for dataset, make in sets.items():
        data = None
        for seed in range(options.seeds):
            for variant, parameters in VARIANTS.items():
                key = (dataset, variant, seed)
                if key in results:
                    continue
                X, y, X_later, y_later = data = data or make()
                start = time.process_time()
                model = DEPHNMultiTaskClassifier(
                    random_state=seed, n_threads=1, **parameters
                ).fit(X, y)
                seconds = time.process_time() - start
                p = model.predict_proba(X_later)
                scores = {
                    "tasks": list(y),
                    "auc": task_roc_auc(y_later, p).round(5).tolist(),
                    "log_loss": task_log_loss(y_later, p).round(5).tolist(),
                    "fit_cpu_seconds": round(seconds, 1),
                }
                results.add(dict(zip(KEY, key, strict=True)) | scores | environment())
                print(key, file=sys.stderr)
    asked = [
        row
        for dataset in sets
        for variant in VARIANTS
        for row in results.rows
        if (row["dataset"], row["variant"]) == (dataset, variant)
        and row["seed"] < options.seeds
    ]
    columns = {
        "mean AUC": lambda row: np.mean(row["auc"]),
        "mean log loss": lambda row: np.mean(row["log_loss"]),
    }
    print(markdown_table(asked, ("dataset", "variant"), columns))


if __name__ == "__main__":
    main()
