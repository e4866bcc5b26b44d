"""Do scikit-learn's searches over encoder and network together work at size?

    python benchmarks/bench_search.py --data FOLDER           # Census, 30,000 rows
    python benchmarks/bench_search.py --rows 400 --n-jobs 1   # a simulated log

Runs GridSearchCV, RandomizedSearchCV and HalvingGridSearchCV over parameters of
FieldEncoder and DEPHNMultiTaskClassifier in one Pipeline, scored by the mean ROC AUC of
the tasks, with a progress bar where scikit-learn offers one, and prints what each found
and the score of its refitted best on held-out rows.
"""

from __future__ import annotations

import argparse
import time

from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_census_income, make_behavior_log
from dephn_sk.metrics import task_scorer
from dephn_sk.preprocessing import FieldEncoder

GRID = {"encode__min_frequency": [None, 20], "model__embedding_dim": [4, 8]}
DISTRIBUTIONS = {
    "encode__min_frequency": [None, 20, 100],
    "model__learning_rate": loguniform(3e-4, 1e-2),
}


def load(data: str | None, rows: int):
    """Rows to search on, and held-out rows."""
    if data is None:
        log = make_behavior_log(2 * rows, random_state=0)
        X, y = log.data, log.target
        return X[:rows], y[:rows], X[rows:], y[rows:]
    X, y = load_census_income(data, return_X_y=True)
    X_test, y_test = load_census_income(data, subset="validation", return_X_y=True)
    return X[:rows], y[:rows], X_test, y_test


def searches(pipeline, rows: int, n_jobs: int):
    """The three searches, by name."""
    common = {
        "scoring": task_scorer("roc_auc"),
        "cv": KFold(2, shuffle=True, random_state=0),
        "n_jobs": n_jobs,
    }
    yield "GridSearchCV", GridSearchCV(pipeline, GRID, **common)
    yield (
        "RandomizedSearchCV",
        RandomizedSearchCV(pipeline, DISTRIBUTIONS, n_iter=4, random_state=0, **common),
    )
    yield (
        "HalvingGridSearchCV",
        # several tasks: scikit-learn needs a number, it cannot count their classes
        HalvingGridSearchCV(pipeline, GRID, min_resources=rows // 4, **common),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds census/")
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    X, y, X_test, y_test = load(options.data, options.rows)
    pipeline = Pipeline(
        [
            ("encode", FieldEncoder()),
            (
                "model",
                DEPHNMultiTaskClassifier(
                    max_epochs=3, early_stopping=False, random_state=0
                ),
            ),
        ]
    )
    for name, search in searches(pipeline, options.rows, options.n_jobs):
        if hasattr(search, "set_callbacks"):
            from sklearn.callback import ProgressBar

            search.set_callbacks(ProgressBar())
        start = time.perf_counter()
        search.fit(X, y)
        score = search.score(X_test, y_test)
        print(
            f"{name}: {len(search.cv_results_['params'])} candidates, best "
            f"{search.best_params_}, cross-validated {search.best_score_:.4f}, "
            f"held-out {score:.4f}, {time.perf_counter() - start:.0f} s"
        )
        best = search.best_estimator_
        for key, value in search.best_params_.items():
            assert best.get_params()[key] == value


if __name__ == "__main__":
    main()
