"""Few rows: from how many on is the network worth it, beside simple models tuned well?

    python benchmarks/bench_small.py --data FOLDER
    python benchmarks/bench_small.py --data FOLDER --part test --sizes all \\
        --datasets myocardial-12 drugs-17 --entries DEPHN "DEPHN per task" \\
        "logistic regression" LightGBM
    python benchmarks/bench_small.py --datasets simulated --sizes 300 --draws 2
    python benchmarks/bench_small.py --data FOLDER --estimate

Draws so many rows of the training part, 20 times, fits every entry on them alone, and
scores the mean AUC over the tasks that have both classes among them. What scores is the
validation part of the loaders, or with ``--part test`` the test part, where nothing is
chosen any more. It is the same for every draw of a large set; every draw of a simulated
log is another log, and every draw of a small set another split, so that ``--sizes all``
gives the table of 20 splits. Sizes that a set has not are left out.

DEPHN is the default, "DEPHN per task" a fit of its own for each task, and a name of
``_variants.py`` a variant. Logistic regression reads one-hot categories and numbers,
standardized, with indicators of missing ones, and LightGBM categories as such; the
former's penalty, the latter's size and number of trees come from cross-validation by
log loss on the same rows, for each task apart. Results are appended to
results/small.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial

import numpy as np
from _datasets import DATASETS, read, sample
from _report import (
    RESULTS,
    Results,
    environment,
    markdown,
    mean_and_deviation,
    paired,
    run_missing,
)
from _variants import CONTROL, VARIANTS, make
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from dephn_sk.metrics import task_log_loss, task_roc_auc

SIZES = (100, 300, 1_000, 3_000, 10_000)
PUBLIC = ("census-3", "kuairand-3", "oulad-3", "myocardial-12", "drugs-17")
KEY = ("dataset", "entry", "seed", "rows", "part")
FOLDS = 5
CATEGORIES = make_column_selector(dtype_exclude="number")
TREES = (  # small and large ones
    {"num_leaves": 7, "min_child_samples": 5},
    {"num_leaves": 31, "min_child_samples": 20},
)


class Apart:
    """One model for each task, fitted on the rows where its label is known."""

    def __init__(self, fit_one, seed):
        self.fit_one, self.seed = fit_one, seed

    def fit(self, X, y):
        self.models = []
        for name in y:
            known = y[name].notna()
            labels = y.loc[known, name].astype(int)
            self.models.append(self.fit_one(X[known], labels, self.seed))
        return self

    def predict_proba(self, X):
        return np.column_stack([model.predict_proba(X)[:, 1] for model in self.models])


def folds(y, seed):
    """Splits in each of which both classes are on both sides; None where none are."""
    n_splits = min(FOLDS, y.value_counts().min())
    if n_splits < 2:
        return None
    return StratifiedKFold(n_splits, shuffle=True, random_state=seed)


def fit_rate(X, y, seed):
    return DummyClassifier(strategy="prior").fit(np.zeros((len(y), 1)), y)


def fit_logistic(X, y, seed):
    if (splits := folds(y, seed)) is None:
        return fit_rate(X, y, seed)
    table = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        remainder=make_pipeline(
            SimpleImputer(add_indicator=True, keep_empty_features=True),
            StandardScaler(),
        ),
        sparse_threshold=1.0,
    )
    model = GridSearchCV(
        LogisticRegression(max_iter=1_000),
        {"C": np.logspace(-4, 1, 11)},
        scoring="neg_log_loss",
        cv=splits,
    )
    return make_pipeline(table, model).fit(X, y)


def fit_lightgbm(X, y, seed):
    import lightgbm

    if (splits := folds(y, seed)) is None:
        return fit_rate(X, y, seed)
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    )
    table = make_column_transformer((codes, CATEGORIES), remainder="passthrough")
    matrix = table.fit_transform(X)
    categorical = list(range(len(CATEGORIES(X))))
    always = {
        "objective": "binary",
        "learning_rate": 0.05,
        "subsample": 0.8,
        "subsample_freq": 1,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
        "num_threads": 1,
        "seed": seed,
        "verbosity": -1,
    }
    tried = []
    for trees in TREES:
        losses = lightgbm.cv(
            always | trees,
            lightgbm.Dataset(matrix, y, categorical_feature=categorical),
            num_boost_round=1_000,
            folds=splits,
            callbacks=[lightgbm.early_stopping(30, verbose=False)],
        )["valid binary_logloss-mean"]
        tried.append((losses[-1], len(losses), trees))
    _, n_trees, trees = min(tried, key=lambda t: t[0])
    model = lightgbm.LGBMClassifier(**always, **trees, n_estimators=n_trees)
    return make_pipeline(table, model.fit(matrix, y, categorical_feature=categorical))


class Together:
    """A variant of DEPHN: a model of all tasks."""

    def __init__(self, variant, seed):
        self.variant, self.seed = variant, seed

    def fit(self, X, y):
        self.model = make(self.variant, X, y, self.seed).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X)


def fit_network(X, y, seed):
    return make(CONTROL, X, y.to_frame(), seed).fit(X, y)


ENTRIES = {
    "DEPHN": partial(Together, CONTROL),
    "DEPHN per task": partial(Apart, fit_network),
    "logistic regression": partial(Apart, fit_logistic),
    "LightGBM": partial(Apart, fit_lightgbm),
    **{name: partial(Together, name) for name in VARIANTS if name != CONTROL},
}
SIMPLE = ("logistic regression", "LightGBM")


def run_one(dataset, entry, seed, rows, part, data) -> dict:
    """Fit an entry on some rows and score it."""
    everything = read(dataset, "train", data, seed)
    X, y = sample(*everything, rows, seed)
    model = ENTRIES[entry](seed)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a model of few rows, and of its folds
        model.fit(X, y)
    seconds = time.process_time() - start
    X_judge, y_judge = read(dataset, part, data, seed)
    p, y_judge = model.predict_proba(X_judge), y_judge[y.columns]
    key = dict(zip(KEY, (dataset, entry, seed, rows, part), strict=True))
    return {
        **key,
        "tasks": list(y),
        "n_train": len(X),
        "n_all": len(everything[0]),
        "auc": np.round(task_roc_auc(y_judge, p), 5).tolist(),
        "log_loss": np.round(task_log_loss(y_judge, p), 5).tolist(),
        "fit_cpu_seconds": round(seconds, 2),
        **environment(),
    }


def table(rows: list[dict], entries: list[str]) -> str:
    """One line for each size of each data set: means, and differences from DEPHN.

    "the better" is the one of the simple models that is better on the mean.
    """
    scores: dict = {}
    for row in rows:
        group = scores.setdefault((row["dataset"], row["rows"]), {})
        group.setdefault(row["entry"], {})[row["seed"]] = float(np.nanmean(row["auc"]))
    others = [entry for entry in entries if entry != "DEPHN"]
    simple = [entry for entry in others if entry in SIMPLE]
    lines = []
    for (dataset, size), group in scores.items():
        means = [
            mean_and_deviation([*group.get(e, {0: np.nan}).values()]) for e in entries
        ]
        ours = group.get("DEPHN", {})
        gains = {
            entry: [ours[s] - score for s, score in group[entry].items() if s in ours]
            for entry in others
            if entry in group
        }
        cells = [paired(gains.get(entry, [])) for entry in others]
        if len(simple) > 1:
            known = [gains[entry] for entry in simple if gains.get(entry)]
            cells.append(paired(min(known, key=np.mean)) if known else "")
        label = "all" if size is None else f"{size:,}"
        lines.append([dataset, label, str(len(ours)), *means, *cells])
    header = ["data set", "rows", "draws", *entries, *[f"DEPHN - {e}" for e in others]]
    return markdown(header + ["DEPHN - the better"] * (len(simple) > 1), lines)


def costs(rows: list[dict], entries: list[str]) -> str:
    """Mean seconds of a fit, in the same order."""
    seconds: dict = {}
    for row in rows:
        group = seconds.setdefault((row["dataset"], row["rows"]), {})
        group.setdefault(row["entry"], []).append(row["fit_cpu_seconds"])
    lines = []
    for (dataset, size), group in seconds.items():
        means = [f"{np.mean(group.get(entry, [np.nan])):.1f}" for entry in entries]
        lines.append([dataset, "all" if size is None else f"{size:,}", *means])
    return markdown(["data set", "rows", *[f"{e}, CPU s" for e in entries]], lines)


def sizes_of(dataset, sizes, data) -> list[int | None]:
    """The sizes that the data set has, None for all rows."""
    n_rows = len(read(dataset, "train", data, 0)[0])
    sizes = [None if size == "all" else int(size) for size in sizes]
    return [size for size in sizes if size is None or size <= n_rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the public data sets")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS)
    parser.add_argument(
        "--entries", nargs="+", choices=ENTRIES, default=["DEPHN", *SIMPLE]
    )
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="numbers, or all")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument("--results", default=RESULTS / "small.jsonl")
    parser.add_argument("--estimate", action="store_true", help="say what it costs")
    options = parser.parse_args()
    datasets = options.datasets or ["simulated", *(PUBLIC if options.data else ())]
    results = Results(options.results, KEY)
    keys = [
        (dataset, entry, draw, size, options.part)
        for dataset in datasets
        for size in sizes_of(dataset, options.sizes, options.data)
        for draw in range(options.draws)
        for entry in options.entries
    ]
    rows = run_missing(
        results, keys, lambda *key: run_one(*key, options.data), options.estimate
    )
    if not options.estimate:
        print(table(rows, options.entries), costs(rows, options.entries), sep="\n\n")


if __name__ == "__main__":
    main()
