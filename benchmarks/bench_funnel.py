"""What does learning a funnel on the entire space bring?

    python benchmarks/bench_funnel.py --seeds 5
    python benchmarks/bench_funnel.py --seeds 5 --data FOLDER

Simulated logs of clicks and purchases, whose probabilities are known for every
impression: one log and one seed of DEPHN for each. The purchase is learned from the
rows with a click alone, from all rows as a task like others (0 without a click), and
under ``conditions={"purchase": "click"}``. P(buy) is judged by its true probability on
later impressions, clicked or not: bias is the mean prediction over the mean truth, less
one; calibration error the mean distance from the mean truth in 20 bins of equally many
rows.

With --data, KuaiRand as well: likes and long views under the condition of a click, and
without; the weights of the epoch with the lowest loss on the first half of the
validation part, judged on the second half. Likes without a click count as not observed.
Results are appended to results/funnel.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from _datasets import read, stopping_and_judging
from _paper import FUNNELS, probabilities_of_labels
from _report import (
    RESULTS,
    Results,
    environment,
    markdown,
    mean_and_deviation,
    paired,
    run_missing,
)

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log
from dephn_sk.metrics import task_log_loss, task_roc_auc

N_LOGGED, N_TRAINED, N_BINS = 60_000, 40_000, 20
LOG = {"click_rate": 0.3, "purchase_rate": 0.3}
LEARNED_FROM = ("clicks", "everything", "conditions")
ANSWERS = {
    "clicks alone": "clicks",
    "clicks alone, times P(click)": "clicks",
    "everything": "everything",
    "conditions": "conditions",
}
SIMULATED, KUAIRAND = "simulated funnel", "kuairand-3"
KEY = ("dataset", "learned_from", "seed")


def model_of(seed: int, **options) -> DEPHNMultiTaskClassifier:
    return DEPHNMultiTaskClassifier(random_state=seed, n_threads=1, **options)


def judge(given, truth, bought) -> dict[str, float]:
    """P(buy) over impressions beside its true value, and beside what happened."""
    bins = np.array_split(np.argsort(given, kind="stable"), N_BINS)
    error = np.mean([abs(given[rows].mean() - truth[rows].mean()) for rows in bins])
    columns = bought[:, None], given[:, None]
    return {
        "bias": float(given.mean() / truth.mean() - 1),
        "calibration_error": float(error),
        "log_loss": float(task_log_loss(*columns)[0]),
        "auc": float(task_roc_auc(*columns)[0]),
    }


def answers(model, learned_from: str, X) -> dict:
    """P(buy) as each answer has it, and P(buy given click) where it is predicted."""
    click, buy = model.predict_proba(X).T
    if learned_from == "clicks":
        return {
            "clicks alone": (buy, buy),
            "clicks alone, times P(click)": (click * buy, buy),
        }
    if learned_from == "everything":
        return {"everything": (buy, None)}
    return {"conditions": (buy, model.predict_proba_given(X)[:, 1])}


def simulated(learned_from: str, seed: int) -> dict:
    log = make_behavior_log(N_LOGGED, random_state=seed, **LOG)
    y = log.target[["click", "purchase"]]  # NaN without a click
    options = {}
    if learned_from == "everything":
        y = y.fillna({"purchase": 0})
    if learned_from == "conditions":
        options = {"conditions": {"purchase": "click"}}
    model = model_of(seed, **options)
    start = time.process_time()
    model.fit(log.data[:N_TRAINED], y[:N_TRAINED])
    seconds = time.process_time() - start
    X, later = log.data[N_TRAINED:], slice(N_TRAINED, None)
    given_click = log.probabilities[later, 2]
    truth = log.probabilities[later, 0] * given_click
    bought = y["purchase"][later].fillna(0).to_numpy()
    found = {}
    for answer, (p, given) in answers(model, learned_from, X).items():
        found[answer] = judge(p, truth, bought)
        if given is not None:
            error = float(given.mean() / given_click.mean() - 1)
            found[answer]["bias_given_click"] = error
    n = {"n_train": N_TRAINED, "n_all": N_TRAINED}
    return {"answers": found, "fit_cpu_seconds": round(seconds, 1), **n}


def kuairand(learned_from: str, seed: int, data: str) -> dict:
    X, y = read(KUAIRAND, "train", data, seed)
    stop, (X_judge, y_judge) = stopping_and_judging(
        *read(KUAIRAND, "validation", data, seed)
    )
    funnel = learned_from == "conditions"
    options = (
        {"conditions": FUNNELS[KUAIRAND], "on_violation": "warn"} if funnel else {}
    )
    model = model_of(seed, **options)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Row .* not observed")
        model.fit(X, y, **stop)
    seconds = time.process_time() - start
    p, names = probabilities_of_labels(model, X_judge, y_judge), list(y_judge)
    clicked = (y_judge["is_click"] == 1).to_numpy()
    # a like from an impression, and one given the click
    like = names.index("is_like")
    given = model.predict_proba_given(X_judge)[clicked][:, [like]]
    liked = y_judge[["is_like"]][clicked]
    if not funnel:  # P(like) is all that it knows
        given = p[clicked][:, [like]]
    return {
        "tasks": [*names, "is_like where clicked"],
        "auc": [*task_roc_auc(y_judge, p), *task_roc_auc(liked, given)],
        "log_loss": [*task_log_loss(y_judge, p), *task_log_loss(liked, given)],
        "fit_cpu_seconds": round(seconds, 1),
        "n_train": len(X),
        "n_all": len(X),
    }


def simulated_table(rows: list[dict]) -> str:
    lines = []
    for answer, learned_from in ANSWERS.items():
        found = [
            r["answers"][answer] for r in rows if r["learned_from"] == learned_from
        ]
        cells = [mean_and_deviation([100 * one["bias"] for one in found], 1)]
        cells += [
            mean_and_deviation([one[name] for one in found])
            for name in ("calibration_error", "log_loss", "auc")
        ]
        given = [100 * e for one in found if (e := one.get("bias_given_click"))]
        cells.append(mean_and_deviation(given, 1) if given else "")
        lines.append([answer, *cells])
    head = ["purchases learned from", "bias of P(buy), %", "calibration error"]
    head += ["log loss", "AUC", "bias of P(buy given click), %"]
    return markdown(head, lines)


def kuairand_table(rows: list[dict]) -> str:
    by_seed: dict = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {})[row["learned_from"]] = row
    pairs = [one for one in by_seed.values() if len(one) == 2]
    lines = []
    for t, task in enumerate(rows[0]["tasks"]):
        cells = [task]
        for metric in ("auc", "log_loss"):
            plain, funnel = (
                [pair[name][metric][t] for pair in pairs]
                for name in ("everything", "conditions")
            )
            gains = [b - a for a, b in zip(plain, funnel, strict=True)]
            cells += [mean_and_deviation(plain), mean_and_deviation(funnel)]
            cells.append(paired(gains))
        lines.append(cells)
    head = ["task", "AUC", "AUC, conditions", "difference"]
    head += ["log loss", "log loss, conditions", "difference"]
    return markdown(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds kuairand/")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--estimate", action="store_true", help="only what is left")
    parser.add_argument("--results", default=RESULTS / "funnel.jsonl")
    options = parser.parse_args()
    results = Results(options.results, KEY)

    def run(dataset: str, learned_from: str, seed: int) -> dict:
        key = dict(zip(KEY, (dataset, learned_from, seed), strict=True))
        if dataset == SIMULATED:
            return key | simulated(learned_from, seed) | environment()
        return key | kuairand(learned_from, seed, options.data) | environment()

    seeds = range(options.seeds)
    keys = [(SIMULATED, how, seed) for seed in seeds for how in LEARNED_FROM]
    rows = run_missing(results, keys, run, options.estimate)
    if not options.estimate:
        print(simulated_table(rows))
    if options.data:
        pair = ("everything", "conditions")
        keys = [(KUAIRAND, how, seed) for seed in seeds for how in pair]
        rows = run_missing(results, keys, run, options.estimate)
        if not options.estimate:
            print("\n" + kuairand_table(rows))


if __name__ == "__main__":
    main()
