"""Is this commit as fast as another one? Both take turns, an action at a time.

    git worktree add FOLDER COMMIT
    python benchmarks/compare_commits.py --before FOLDER
    python benchmarks/compare_commits.py --before FOLDER --rows 2000 --rounds 2
    python benchmarks/compare_commits.py --before FOLDER --data DATA \
        --accuracy census-2 kuairand-3 oulad-3 --seeds 3

FOLDER is a checkout of the other commit. Each of the two runs in a process of its own,
on one thread, with its own library and its own ``bench_speed``: epochs and predictions
of that script's entries, then whole calls, which read a frame. Reported are medians
over the rounds of seconds of processor, and of the rounds' ratios before/after: above
one, this commit is the faster one.

With ``--accuracy`` both fit the default to data sets of ``_datasets.py`` instead, with
the same seeds, and log loss and AUC of each task on validation rows that had no say in
the fits are compared: means and deviations over seeds, and the mean of the differences.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parents[1]
ASKED = 0.97  # of the speed before
N_TEXT, N_NUMBERS = 30, 10


def text_frame(n_rows: int):
    """Columns of text with 10 to 10,000 values, the frequent ones first, and floats."""
    import pandas as pd

    rng = np.random.default_rng(0)
    columns = {}
    for j, k in enumerate(np.geomspace(10, 10_000, N_TEXT).astype(int)):
        values = np.array([f"value {j} {i}" for i in range(k)], dtype=object)
        columns[f"c{j}"] = values[(k * rng.random(n_rows) ** 2).astype(int)]
    for j in range(N_NUMBERS):
        columns[f"x{j}"] = rng.normal(size=n_rows)
    return pd.DataFrame(columns)


def fits(options) -> dict[str, Callable]:
    """Fits of the library that is imported in this process, by data set and seed."""
    from functools import partial

    import torch
    from _variants import CONTROL, fit_and_judge

    torch.set_num_threads(1)
    return {
        f"{dataset} {seed}": partial(
            fit_and_judge, dataset, CONTROL, seed, options.fit_rows, options.data
        )
        for dataset in options.accuracy
        for seed in range(options.seeds)
    }


def make_actions(options) -> dict[str, Callable]:
    """What is timed, by name, of the library that is imported in this process."""
    import torch
    from bench_speed import OURS, SLOW, Ours, load

    from dephn_sk import DEPHNMultiTaskClassifier
    from dephn_sk.preprocessing import FieldEncoder

    torch.set_num_threads(1)
    X, y = load(options.data, options.rows)
    actions: dict[str, Callable] = {}
    for name in OURS:
        n_rows = max(options.batch, len(X) // 8) if name in SLOW else len(X)
        entry = Ours(name, X[:n_rows], y[:n_rows], options.batch)
        actions[f"{name}: epoch"] = entry.fit_epoch
        actions[f"{name}: predict"] = entry.predict
    text = text_frame(options.text_rows)
    encoder = FieldEncoder().fit(text)
    actions["encoder: fit_encode"] = lambda: FieldEncoder().fit_encode(text)
    actions["encoder: encode"] = lambda: encoder.encode(text)

    def fit(n_epochs=3):  # validated, but never stopped: as much work for both
        return DEPHNMultiTaskClassifier(
            max_epochs=n_epochs,
            n_epochs_no_change=n_epochs,
            early_stopping=True,
            random_state=0,
        ).fit(X, y)

    fitted, going_on = fit(1), fit(1)
    one, some = X[:1], X[:1000]
    return actions | {
        "fit": fit,
        "predict_proba, 1 row, 20 times": lambda: [
            fitted.predict_proba(one) for _ in range(20)
        ],
        "predict_proba, 1,000 rows": lambda: fitted.predict_proba(some),
        "partial_fit, 1,000 rows": lambda: going_on.partial_fit(some, y[:1000]),
    }


def serve(options) -> None:
    """Answer each name that is read, as ``_peer.py``: processor seconds, or scores."""
    actions = fits(options) if options.accuracy else make_actions(options)
    print("@null", flush=True)
    for line in sys.stdin:
        name, start = line.strip(), time.process_time()
        told = list(actions) if name == "names" else actions[name]()
        if name != "names" and not options.accuracy:
            told = time.process_time() - start
        print("@" + json.dumps(told), flush=True)


def two_workers(options) -> list:
    """A process of the other commit and one of this one."""
    from bench_speed import Peer

    folders = Path(options.before).resolve(), HERE
    command = [sys.executable, __file__, *sys.argv[1:], "--serve"]
    return [Peer([*command, folder], os.environ, stderr=None) for folder in folders]


def compare_accuracy(options) -> None:
    """Fit with both commits what has not been; print and keep the scores."""
    from _report import (
        RESULTS,
        Results,
        commit_of,
        environment,
        markdown,
        mean_and_deviation,
    )

    before, now = commit_of(options.before), environment()
    results = Results(
        options.output or RESULTS / "commits_accuracy.jsonl",
        ("before", "after", "dataset", "seed", "rows", "which"),
    )
    workers = two_workers(options)
    asked: dict[str, list[tuple[dict, dict]]] = {}
    try:
        for name in workers[0].ask("names"):
            dataset, seed = name.split()
            pair = []
            for which, worker in zip(("before", "after"), workers, strict=True):
                about = {"before": before, "after": now["commit"], "dataset": dataset}
                about |= {"seed": int(seed), "rows": options.fit_rows, "which": which}
                if tuple(about.values()) not in results:
                    results.add({**worker.ask(name), **about, "commit": about[which]})
                pair.append(results.find(tuple(about.values())))
            asked.setdefault(dataset, []).append(tuple(pair))
    finally:
        for worker in workers:
            worker.close()
    lines = []
    for dataset, pairs in asked.items():
        for metric in ("log_loss", "auc"):
            scores = np.array([[row[metric] for row in pair] for pair in pairs])
            for j, task in enumerate(pairs[0][0]["tasks"]):
                both = [mean_and_deviation(list(one)) for one in scores[:, :, j].T]
                mean = scores[:, :, j].mean(0)
                cells = [*both, f"{mean[1] - mean[0]:+.4f}"]
                lines.append([dataset, task, metric, str(len(pairs)), *cells])
    heads = ["data set", "task", "metric", "seeds", before, now["commit"], "difference"]
    print(markdown(heads, lines))


def main(options) -> None:
    from _report import RESULTS, Results, commit_of, environment

    workers = two_workers(options)
    about = {"before": commit_of(options.before), "batch": options.batch}
    about |= {"rows": options.rows, "rounds": options.rounds}
    about |= {"data": "census" if options.data else "simulated", **environment()}
    results = Results(
        options.output or RESULTS / "commits.jsonl",
        ("before", "commit", "data", "batch", "entry"),
    )
    seconds: dict[str, list] = {name: [] for name in workers[0].ask("names")}
    try:
        for turn in range(options.rounds + 1):  # the first one warms up
            for name, took in seconds.items():
                order = workers if turn % 2 else workers[::-1]
                pair = [worker.ask(name) for worker in order]
                if turn:
                    took.append(pair if turn % 2 else pair[::-1])
    finally:
        for worker in workers:
            worker.close()
    print(f"{'':32}{'before, s':>12}{'after, s':>12}{'before/after':>14}")
    for name, pairs in seconds.items():
        before, after = np.median(pairs, axis=0)
        ratio = float(np.median([one / other for one, other in pairs]))
        mark = "" if ratio >= ASKED else "  slower"
        print(f"{name:32}{before:12.4f}{after:12.4f}{ratio:14.3f}{mark}")
        row = {"entry": name, "before_s": before, "after_s": after, "ratio": ratio}
        results.add({**row, **about})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, help="checkout of another commit")
    parser.add_argument("--data", help="folder that holds census/")
    parser.add_argument("--rows", type=int, default=32_768)
    parser.add_argument("--text-rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--output", help="default: results/commits.jsonl")
    parser.add_argument("--accuracy", nargs="+", metavar="SET", help="compare scores")
    parser.add_argument("--seeds", type=int, default=3, help="with --accuracy")
    parser.add_argument("--fit-rows", type=int, help="with --accuracy; all by default")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:  # what is imported from here on is of that checkout
        here = str(Path(__file__).parent)
        own = [str(Path(given.serve) / "benchmarks"), given.serve]
        sys.path = own + [path for path in sys.path if path != here]
        serve(given)
    elif given.accuracy:
        compare_accuracy(given)
    else:
        main(given)
