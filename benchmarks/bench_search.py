"""Do scikit-learn's searches over encoder and network together work at size?

    python benchmarks/bench_search.py --data FOLDER           # Census, 30,000 rows
    python benchmarks/bench_search.py --rows 400 --n-jobs 1   # a simulated log
    python benchmarks/bench_search.py --network --rounds 5    # do jobs and memory pay?

Runs GridSearchCV, RandomizedSearchCV and HalvingGridSearchCV over parameters of
FieldEncoder and DEPHNMultiTaskClassifier in one Pipeline, scored by the mean ROC AUC of
the tasks, with a progress bar where scikit-learn offers one, and prints what each found
and the score of its refitted best on held-out rows.

With ``--network``, a GridSearchCV over parameters of the network alone takes turns with
itself: with one job and with `n_jobs`, each without `memory`, with an empty folder, and
once more with that folder. Each fit has one thread; joblib's workers run before the
first round. Then the rows are encoded in each of these ways. What is printed, and
appended to results/search.jsonl, are medians over the rounds, of seconds of the clock
and of the ratios to the first way. With ``--before CHECKOUT``, the search of another
commit (``git worktree add CHECKOUT COMMIT``), which may know of no memory, takes its
turns, too, with one job, in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import _search
import numpy as np
from _report import RESULTS, Results, commit_of, environment
from _search import load, model_of, network_search
from bench_speed import Peer
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
from dephn_sk.metrics import task_scorer
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training._encoder_memory import encoded
from dephn_sk.training._learned import new_encoder

GRID = {"encode__min_frequency": [None, 20], "model__embedding_dim": [4, 8]}
DISTRIBUTIONS = {
    "encode__min_frequency": [None, 20, 100],
    "model__learning_rate": loguniform(3e-4, 1e-2),
}


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


def in_turns(entries: dict[str, Callable[[Any], Any]], rounds: int) -> dict[str, Any]:
    """Seconds of each entry in each round, each given a folder that the next one gets.

    The first round warms up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    for turn in range(rounds + 1):
        for name, entry, folder in with_folders(entries):
            start = time.perf_counter()
            entry(folder)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def with_folders(entries: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Entries with a fresh folder, or the one of the entry before where they say so."""
    folder = tempfile.TemporaryDirectory()
    for name, entry in entries.items():
        if "again" not in name:
            folder.cleanup()
            folder = tempfile.TemporaryDirectory()
        yield name, entry, folder.name
    folder.cleanup()


def report(title: str, seconds: dict[str, Any], results: Results, about: dict) -> None:
    """Medians, and those of the ratios to the first entry; keeps a row of each."""
    print(f"\n{title:40}{'seconds':>9}{'times as fast':>15}")
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        ratio = float(np.median(first / values))
        print(f"{name:40}{np.median(values):9.3f}{ratio:15.2f}")
        row = {"entry": name, "seconds": float(np.median(values)), "ratio": ratio}
        results.add({**row, **about})


def compare_memory(X, y, options) -> None:
    """What jobs and a folder save, of a search and of the encoding in one fit."""
    epochs, n_jobs, rounds = options.epochs, options.n_jobs, options.rounds
    model = model_of(epochs)
    results = Results(options.output, ("data", "rows", "epochs", "entry", "commit"))
    about = {"data": "census" if options.data else "simulated", "rows": len(X)}
    about |= {"epochs": epochs, "rounds": rounds, **environment()}
    about |= {"before": commit_of(options.before)} if options.before else {}

    def search(jobs, remembers=True):
        return lambda folder: network_search(
            model.set_params(memory=folder if remembers else None), jobs
        ).fit(X, y)

    title = f"{len(X):,} rows, epochs: {epochs}"
    entries = {}
    for jobs in (1, n_jobs):
        entries[f"n_jobs={jobs}"] = search(jobs, False)
        entries[f"n_jobs={jobs}, memory"] = search(jobs)
        entries[f"n_jobs={jobs}, memory again"] = search(jobs)
    before = start_before(options) if options.before else None
    if before:
        entries["n_jobs=1, before"] = lambda folder: before.ask("search")
    try:
        report(title, in_turns(entries, rounds), results, about)
    finally:
        if before:
            before.close()

    def encode(remembers):
        def run(folder):
            own = model.set_params(memory=folder if remembers else None)
            return encoded(own, new_encoder(own, 0), X, y, None)

        return run

    entries = {
        "encoding": encode(False),
        "encoding, memory": encode(True),
        "encoding, memory again": encode(True),
    }
    report(title, in_turns(entries, rounds), results, about)


def start_before(options) -> Peer:
    """A process that searches with the library of another checkout."""
    command = [sys.executable, _search.__file__, options.before, str(options.rows)]
    command += [str(options.epochs), *([options.data] if options.data else [])]
    return Peer(command, os.environ, stderr=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds census/")
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument(
        "--network", action="store_true", help="do two jobs, and memory, pay?"
    )
    parser.add_argument("--rounds", type=int, default=3, help="with --network")
    parser.add_argument("--epochs", type=int, default=1, help="with --network")
    parser.add_argument("--before", help="with --network: checkout of another commit")
    parser.add_argument("--output", default=RESULTS / "search.jsonl")
    options = parser.parse_args()
    if options.before and not options.network:
        parser.error("--before is for --network")
    X, y, X_test, y_test = load(options.data, options.rows)
    if options.network:
        compare_memory(X, y, options)
        return
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
