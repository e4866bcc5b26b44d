"""What do losses, and open windows, do to order and to probabilities?

    python benchmarks/bench_labels.py --seeds 3

Losses: on a simulated log, the default estimator with a loss of all tasks; mean over
tasks of ROC AUC, of the AUC within users (gauc) and of log loss on later rows, and the
mean probability over the share of positives.

Windows: on a simulated log of 14 days that is read at its end, the click comes up to
seven days after the impression, most of them early. Ignored, masked, weighed,
or with labels as they are in the end, which nobody has; with effects that stay and
effects that drift. The same of the click on later rows.

Results are appended to results/labels.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _report import RESULTS, Results, environment, markdown

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log
from dephn_sk.metrics import gauc, task_log_loss, task_roc_auc

N_TRAIN, N_LATER = 6_000, 10_000
LOSSES = {
    "log_loss": {},
    "focal": {"loss": "focal"},
    "pairwise": {"loss": "pairwise"},
    "pairwise 0.9": {"loss": ("pairwise", 0.9)},
    "label_smoothing 0.1": {"label_smoothing": 0.1},
}
DAYS, WINDOW = 14.0, 7.0
KNOWN = "known (nobody has these)"
WINDOWS = {
    "ignored": None,
    "masked": {"on_open_window": "mask"},
    "weighed": {"on_open_window": "weigh"},
    KNOWN: None,
}
DRIFTS = {"effects that stay": 0.0, "effects that drift": 0.5}
KEY = ("part", "variant", "seed")


def log_of(seed: int, drift: float = 0.0) -> tuple:
    """Rows that train and their labels, and later ones."""
    log = make_behavior_log(
        N_TRAIN + N_LATER, n_users=400, drift=drift, random_state=seed
    )
    first, later = slice(N_TRAIN), slice(N_TRAIN, None)
    return log.data[first], log.target[first], log.data[later], log.target[later]


def judged(y, probability, users) -> dict[str, float]:
    """Means over tasks, of the labels that are known."""
    values = y.to_numpy(float)
    within, ratios = [], []
    for truth, p in zip(values.T, probability.T, strict=True):
        known = ~np.isnan(truth)
        within.append(gauc(truth[known], p[known], users[known]))
        ratios.append(p[known].mean() / truth[known].mean())
    return {
        "auc": float(np.mean(task_roc_auc(y, probability))),
        "gauc": float(np.mean(within)),
        "log_loss": float(np.mean(task_log_loss(y, probability))),
        "ratio": float(np.mean(ratios)),
    }


def of_losses(variant: str, seed: int) -> dict[str, float]:
    X, y, X_later, y_later = log_of(seed)
    model = DEPHNMultiTaskClassifier(n_threads=1, random_state=seed, **LOSSES[variant])
    model.fit(X, y, groups=X["user_id"])
    users = X_later["user_id"].to_numpy()
    return judged(y_later, model.predict_proba(X_later), users)


def of_windows(part: str, variant: str, seed: int) -> dict[str, float]:
    X, y, X_later, y_later = log_of(seed, DRIFTS[part])
    rng = np.random.default_rng(seed)
    y, y_later = y[["click", "like"]], y_later[["click"]]
    shown = np.arange(N_TRAIN) / N_TRAIN * DAYS
    delay = WINDOW * rng.beta(0.8, 1.4, N_TRAIN)
    came = (y["click"] == 1) & (shown + delay <= DAYS)
    if variant != KNOWN:
        y = y.assign(click=came.astype(int))
    options, given = {}, {}
    if WINDOWS[variant] is not None:
        options = {"label_window": {"click": WINDOW}, **WINDOWS[variant]}
        given = {
            "label_time": shown,
            "label_delay": np.where(came, delay, np.nan),
            "observed_until": DAYS,
        }
    model = DEPHNMultiTaskClassifier(n_threads=1, random_state=seed, **options)
    model.fit(X, y, **given)
    p = model.predict_proba(X_later)[:, :1]
    return judged(y_later, p, X_later["user_id"].to_numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results = Results(RESULTS / "labels.jsonl", KEY)
    parts = {"losses": LOSSES, **dict.fromkeys(DRIFTS, WINDOWS)}
    for seed in range(options.seeds):
        for part, variants in parts.items():
            for variant in variants:
                if results.find((part, variant, seed)) is not None:
                    continue
                start = time.process_time()
                if part == "losses":
                    found = of_losses(variant, seed)
                else:
                    found = of_windows(part, variant, seed)
                about = {"part": part, "variant": variant, "seed": seed}
                seconds = {"seconds": time.process_time() - start}
                results.add({**about, **found, **seconds, **environment()})
    header = ["part", "variant", "AUC", "gauc", "log loss", "mean P / rate"]
    lines = []
    for part, variants in parts.items():
        for variant in variants:
            rows = [results.find((part, variant, s)) for s in range(options.seeds)]
            cells = [
                f"{np.mean([row[name] for row in rows]):.3f}"
                for name in ("auc", "gauc", "log_loss", "ratio")
            ]
            lines.append([part, variant, *cells])
    print(markdown(header, lines))


if __name__ == "__main__":
    main()
