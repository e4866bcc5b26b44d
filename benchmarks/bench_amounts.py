"""Amounts beside behaviors: one network of all tasks, one of the amount, and boosting.

    python benchmarks/bench_amounts.py
    python benchmarks/bench_amounts.py --data FOLDER

KuaiRand: seconds of watching beside click, like and long view, trained on 25 to 30
April, chosen on 1 May, judged from 2 May on. Without ``--data``, a simulated log:
seconds and revenue beside click, like and purchase, in order of time, whose expected
amounts are known.

Every system has the same budget, one fit of an amount for each of four losses (or the
first ``--budget`` of them), by default parameters, with the encoder and the validation
rows of all others: LightGBM ("regression", "tweedie", "poisson", "l1"), a DEPHN of the
amount alone and a DEPHN of all tasks ("squared", "zero-inflated-lognormal", "poisson",
"absolute"). R² on validation rows chooses; what it chose is judged once on the test
rows: R², mean absolute error, and Gini. Beside it stand the AUC of the behaviors (of
LightGBM, one more model for each), and what the mean and the median of the training
rows would give. Results are appended to results/amounts.jsonl, and what is in there is
not run again.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise

import numpy as np
import pandas as pd
from _report import RESULTS, Results, environment
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from dephn_sk import DEPHNMultiTaskEstimator, DEPHNMultiTaskRegressor
from dephn_sk.datasets import load_kuairand, make_behavior_log
from dephn_sk.metrics import task_gini, task_mean_absolute_error, task_r2
from dephn_sk.preprocessing import FieldEncoder

LOSSES = ("squared", "zero-inflated-lognormal", "poisson", "absolute")
OBJECTIVES = ("regression", "tweedie", "poisson", "l1")
KUAIRAND_TASKS = ("is_click", "is_like", "long_view", "play_time")
MANY = 1000  # ids of more values are numbers to LightGBM, as in bench_accuracy.py
TREES = {  # chosen on KuaiRand's validation part, as in _entries.py
    **{"n_estimators": 2000, "learning_rate": 0.05, "num_leaves": 31},
    **{"min_child_samples": 100, "cat_smooth": 50, "colsample_bytree": 0.8},
    **{"subsample": 0.8, "subsample_freq": 1, "n_jobs": 1, "verbosity": -1},
}
KEY = ("dataset", "system", "task", "seed")


def parts_of(name, folder, n_rows):
    """Rows and labels that train, choose and judge; the amounts; an encoder."""
    ids = ["user_id", "video_id" if name == "kuairand" else "item_id"]
    encoder = FieldEncoder(target_statistics=ids, random_state=0)
    if name == "kuairand":
        parts = [
            load_kuairand(folder, tasks=KUAIRAND_TASKS, subset=s, return_X_y=True)
            for s in ("train", "validation", "test")
        ]
        return parts, ["play_time"], encoder
    log = make_behavior_log(n_rows, amounts=True, random_state=0)
    cuts = np.array([0, 0.6, 0.8, 1]) * n_rows
    rows = [slice(int(a), int(b)) for a, b in pairwise(cuts)]
    parts = [(log.data[r], log.target[r]) for r in rows]
    return parts, ["watch_seconds", "revenue"], encoder


def judged(y, predicted):
    """R², mean absolute error and Gini of one amount."""
    metrics = {"r2": task_r2, "mae": task_mean_absolute_error, "gini": task_gini}
    return {name: float(metric(y, predicted)[0]) for name, metric in metrics.items()}


def auc_of(y, probability):
    known = y.notna().to_numpy()
    return float(roc_auc_score(y[known], probability[known]))


class Boosting:
    """LightGBM of one amount, on the codes and numbers that networks read, too."""

    def __init__(self, objective, seed):
        self.objective, self.seed = objective, seed

    def fit(self, parts, task, encoder):
        import lightgbm

        (X, y), (X_val, y_val), _ = parts
        self.encoder = clone(encoder)
        train = self._frame(self.encoder.fit_encode(X, y))
        names = self.encoder.categorical_names_
        few = [n for n in names if train[n].nunique() <= MANY]
        valid = self._frame(self.encoder.encode(X_val))

        def fitted(model, name):
            rows, rows_val = y[name].notna(), y_val[name].notna()
            return model.set_params(**TREES, random_state=self.seed).fit(
                train[rows.to_numpy()],
                y.loc[rows, name],
                eval_set=[(valid[rows_val.to_numpy()], y_val.loc[rows_val, name])],
                categorical_feature=few,
                callbacks=[lightgbm.early_stopping(50, verbose=False)],
            )

        self.model = fitted(lightgbm.LGBMRegressor(objective=self.objective), task)
        behaviors = [name for name in y if y[name].max() == 1]
        self.of_behavior = lambda name: fitted(lightgbm.LGBMClassifier(), name)
        self.behaviors = behaviors
        return self

    def aucs(self, X, y):
        frame = self._frame(self.encoder.encode(X))
        models = {name: self.of_behavior(name) for name in self.behaviors}
        return {
            name: auc_of(y[name], model.predict_proba(frame)[:, 1])
            for name, model in models.items()
        }

    def _frame(self, fields):
        codes = pd.DataFrame(fields.codes, columns=self.encoder.categorical_names_)
        numbers = pd.DataFrame(fields.numbers, columns=self.encoder.numeric_names_)
        return pd.concat([codes, numbers], axis=1)

    def predict(self, X):
        return self.model.predict(self._frame(self.encoder.encode(X)))


class Network:
    """DEPHN of the amount alone, or of all tasks."""

    def __init__(self, loss, seed, amounts, joint):
        self.loss, self.seed, self.amounts, self.joint = loss, seed, amounts, joint

    def fit(self, parts, task, encoder):
        (X, y), (X_val, y_val), _ = parts
        given = {"early_stopping": True, "n_threads": 1, "random_state": self.seed}
        self.columns = [*y] if self.joint else [task]
        if self.joint:
            kinds = dict.fromkeys(self.amounts, self.loss)
            model = DEPHNMultiTaskEstimator(tasks=kinds, encoder=encoder, **given)
        else:
            model = DEPHNMultiTaskRegressor(loss=self.loss, encoder=encoder, **given)
        y, y_val = y[self.columns], y_val[self.columns]
        if not self.joint:
            y, y_val = y[task], y_val[task]
        self.model = model.fit(X, y, X_val=X_val, y_val=y_val)
        self.task = task
        return self

    def predict(self, X):
        found = self.model.predict(X).reshape(len(X), -1)
        return found[:, self.columns.index(self.task)].astype(float)

    def aucs(self, X, y):
        if not self.joint:
            return {}
        found = self.model.predict_proba(X)
        return {name: auc_of(y[name], p[:, 1]) for name, p in found.items()}


def systems(amounts, seed):
    """For each system, its four candidates by the name of their loss."""
    return {
        "LightGBM per task": {o: Boosting(o, seed) for o in OBJECTIVES},
        "DEPHN per task": {k: Network(k, seed, amounts, False) for k in LOSSES},
        "DEPHN of all tasks": {k: Network(k, seed, amounts, True) for k in LOSSES},
    }


def run(dataset, system, task, seed, options):
    """Four fits, the choice, and what it is worth on the test rows."""
    parts, amounts, encoder = parts_of(dataset, options.data, options.rows)
    (_, y), (X_val, y_val), (X_test, y_test) = parts
    row = {"dataset": dataset, "system": system, "task": task, "seed": seed}
    if system in ("mean", "median"):
        constant = float(getattr(y[task], system)())
        value = np.full(len(y_test), constant)
        return row | {"test": judged(y_test[task], value)}
    tried, start = {}, time.process_time()
    candidates = [*systems(amounts, seed)[system].items()][: options.budget]
    for loss, candidate in candidates:
        candidate.fit(parts, task, encoder)
        tried[loss] = candidate, judged(y_val[task], candidate.predict(X_val))
    seconds = round(time.process_time() - start, 1)
    chosen = max(tried, key=lambda loss: tried[loss][1]["r2"])
    best = tried[chosen][0]
    return row | {
        "chosen": chosen,
        "validation": {loss: found for loss, (_, found) in tried.items()},
        "test": judged(y_test[task], best.predict(X_test)),
        "auc": best.aucs(X_test, y_test) if task == amounts[0] else {},
        "fit_cpu_seconds": seconds,
        "n_train": len(y),
        **environment(),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of the public sets")
    parser.add_argument("--rows", type=int, default=30_000, help="of the simulated log")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=int, default=4, help="fits of each system")
    parser.add_argument("--systems", nargs="+", help="some of them")
    options = parser.parse_args()
    dataset = "kuairand" if options.data else f"simulated, {options.rows} rows"
    amounts = ["play_time"] if options.data else ["watch_seconds", "revenue"]
    results = Results(RESULTS / "amounts.jsonl", KEY)
    names = options.systems or ["mean", "median", *systems(amounts, 0)]
    for task in amounts:
        print(f"\n{dataset}: {task}, test rows")
        for name in names:
            for seed in range(1 if name in ("mean", "median") else options.seeds):
                key = dataset, name, task, seed
                if key not in results:
                    results.add(run(*key, options))
                row = results.find(key)
                shown = ", ".join(f"{k} {v:.4f}" for k, v in row["test"].items())
                aucs = (f"{k} {v:.4f}" for k, v in row.get("auc", {}).items())
                chosen = row.get("chosen", "")
                print(f"{name:20} {chosen:24} {shown}  {', '.join(aucs)}")


if __name__ == "__main__":
    main()
