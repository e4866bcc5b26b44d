"""Which change to the default would data sets choose for one that had no say in it?

    python benchmarks/bench_leave_one_out.py --data FOLDER --seeds 3
    python benchmarks/bench_leave_one_out.py --data FOLDER --rows 4000 --seeds 1
    python benchmarks/bench_leave_one_out.py --data FOLDER --estimate
    python benchmarks/bench_leave_one_out.py --rows 2000 --datasets simulated \\
        "simulated, drift" --variants "three networks"

Fits every variant of ``_variants.py`` on every data set and compares it with the
default, "control", of the same seed. Of a validation part of 2,000 rows or more the
first half ends a fit and the second judges it; a smaller one judges, and a fit ends as
it does by itself. Test parts are not read. FOLDER holds the public data sets, without
which the simulated logs alone take part.

Three tables: the gain on each data set; for each variant its mean gain on all sets, and
what it gains where a set takes it if, and only if, it gains on the mean of all others;
and for each set the variant that the others would choose among all, and what that one
gains there. Gains are of the mean AUC over the tasks, and of the mean log loss, where a
gain is what it falls by. Results are appended to results/leave_one_out.jsonl, and what
is in there is not run again; take a new file where the default has changed.
"""

from __future__ import annotations

import argparse

import numpy as np
from _datasets import DATASETS, SIMULATED
from _report import RESULTS, Results, markdown, paired, run_missing
from _variants import CONTROL, KEY, VARIANTS, fit_and_judge

ASKED = [
    *SIMULATED,
    "census-2",
    "census-3",
    "kuairand-3",
    "oulad-3",
    "myocardial-12",
    "drugs-17",
]
SIGNS = {"auc": 1, "log_loss": -1}


def gains(rows: list[dict], metric: str) -> dict[str, dict[str, list[float]]]:
    """By variant and data set, differences from the control of the same seed."""
    scores = {
        (row["variant"], row["dataset"], row["seed"]): np.nanmean(row[metric])
        for row in rows
    }
    found: dict[str, dict[str, list[float]]] = {}
    for (variant, dataset, seed), score in scores.items():
        control = scores.get((CONTROL, dataset, seed))
        if variant != CONTROL and control is not None:
            gain = SIGNS[metric] * float(score - control)
            found.setdefault(variant, {}).setdefault(dataset, []).append(gain)
    return found


def chosen_by_others(gain: dict[str, dict[str, float]], left_out: str) -> str:
    """The variant with the largest mean gain on all sets but one, or the control."""
    means = {CONTROL: 0.0}
    for variant, by_set in gain.items():
        others = [value for name, value in by_set.items() if name != left_out]
        means[variant] = float(np.mean(others)) if others else -np.inf
    return max(means, key=means.__getitem__)


def by_data_set(rows, variants, metric) -> str:
    """Gain of each variant on each data set, beside the score of the control."""
    gain = gains(rows, metric)
    lines = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        control = [
            np.nanmean(row[metric])
            for row in rows
            if (row["dataset"], row["variant"]) == (dataset, CONTROL)
        ]
        cells = [paired(gain.get(v, {}).get(dataset, [])) for v in variants]
        lines.append([dataset, str(len(control)), f"{np.mean(control):.4f}", *cells])
    return markdown(["data set", "seeds", CONTROL, *variants], lines)


def by_rule(rows, variants) -> str:
    """Each variant's mean gain, and its gain on the sets whose others take it."""
    means = {metric: of_means(gains(rows, metric)) for metric in SIGNS}
    seconds = of_means(ratios(rows))
    lines = []
    for variant in variants:
        auc, loss = (means[metric].get(variant, {}) for metric in SIGNS)
        alone = {variant: auc}
        taken = [name for name in auc if chosen_by_others(alone, name) == variant]
        lines.append(
            [
                variant,
                paired(list(auc.values())),
                paired(list(loss.values())),
                f"{sum(value > 0 for value in auc.values())} of {len(auc)}",
                f"{len(taken)} of {len(auc)}",
                paired([auc[name] if name in taken else 0.0 for name in auc]),
                f"{min(auc.values(), default=np.nan):+.4f}",
                f"{np.mean(list(seconds.get(variant, {}).values() or [np.nan])):.2f}",
            ]
        )
    header = ["variant", "AUC, all sets", "log loss, all sets", "sets ahead"]
    header += [
        "taken by the others of",
        "AUC where they decide",
        "worst set",
        "seconds",
    ]
    return markdown(header, lines)


def by_choice(rows) -> str:
    """The variant that the other sets choose for a set, and what it gains there."""
    auc, loss = (of_means(gains(rows, metric)) for metric in SIGNS)
    sets = dict.fromkeys(row["dataset"] for row in rows)
    auc = {
        variant: by_set for variant, by_set in auc.items() if len(by_set) == len(sets)
    }
    lines, gained = [], {"auc": [], "loss": []}
    for dataset in sets:
        variant = chosen_by_others(auc, dataset)
        gained["auc"].append(auc.get(variant, {}).get(dataset, 0.0))
        gained["loss"].append(loss.get(variant, {}).get(dataset, 0.0))
        both = [f"{values[-1]:+.4f}" for values in gained.values()]
        lines.append([dataset, variant, *both])
    lines.append(["mean", "", *[paired(values) for values in gained.values()]])
    return markdown(["data set", "chosen by the others", "AUC", "log loss"], lines)


def of_means(found):
    """The mean over seeds of what is found by variant and data set."""
    return {
        variant: {name: float(np.nanmean(values)) for name, values in by_set.items()}
        for variant, by_set in found.items()
    }


def ratios(rows):
    """By variant and data set, CPU seconds of fits as multiples of the control's."""
    taken = {
        (r["variant"], r["dataset"], r["seed"]): r["fit_cpu_seconds"] for r in rows
    }
    found: dict[str, dict[str, list[float]]] = {}
    for (variant, dataset, seed), seconds in taken.items():
        control = taken.get((CONTROL, dataset, seed))
        if control:
            ratio = seconds / control
            found.setdefault(variant, {}).setdefault(dataset, []).append(ratio)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the public data sets")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--results", default=RESULTS / "leave_one_out.jsonl")
    parser.add_argument("--estimate", action="store_true", help="say what it costs")
    parser.add_argument("--report", action="store_true", help="print results, run none")
    options = parser.parse_args()
    variants = [v for v in options.variants or VARIANTS if v != CONTROL]
    datasets = options.datasets or (ASKED if options.data else list(SIMULATED))
    results = Results(options.results, KEY)
    keys = [
        (dataset, variant, seed, options.rows)
        for seed in range(options.seeds)
        for dataset in datasets
        for variant in (CONTROL, *variants)
    ]
    if options.report:
        rows = [row for key in keys if (row := results.find(key))]
    else:
        rows = run_missing(
            results,
            keys,
            lambda *key: fit_and_judge(*key, options.data),
            options.estimate,
        )
    if options.estimate or not rows:
        return
    for title, table in (
        ("Mean AUC over the tasks, validation", by_data_set(rows, variants, "auc")),
        ("Mean log loss", by_data_set(rows, variants, "log_loss")),
        ("Each variant", by_rule(rows, variants)),
        ("What the other sets choose among all", by_choice(rows)),
    ):
        print(f"### {title}\n\n{table}\n")


if __name__ == "__main__":
    main()
