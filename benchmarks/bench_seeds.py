"""How unlucky can a fit be: the worst of many seeds beside their mean?

    python benchmarks/bench_seeds.py --data FOLDER --seeds 50
    python benchmarks/bench_seeds.py --data FOLDER --datasets kuairand-3 --rows 2000
    python benchmarks/bench_seeds.py --datasets simulated --seeds 5 --estimate

Fits the default, or a variant of ``_variants.py``, with one seed after another on the
same rows, and scores the mean AUC over the tasks on validation rows that had no say in
the fit, as ``bench_leave_one_out.py`` does. Simulated logs and splits of few rows do
not change with the seed here. "low" is how many deviations the worst fit is below the
mean; a first epoch is one of the first tenth of those that were run. Results are
appended to results/seeds.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse

import numpy as np
from _datasets import DATASETS
from _report import RESULTS, Results, markdown, run_missing
from _variants import CONTROL, KEY, VARIANTS, fit_and_judge

PUBLIC = ("kuairand-3", "oulad-3", "myocardial-12", "drugs-17")


def table(rows: list[dict]) -> str:
    """One line for each data set, variant and number of rows."""
    groups: dict = {}
    for row in rows:
        group = (row["dataset"], row["variant"], row["rows"])
        groups.setdefault(group, []).append(row)
    header = ["data set", "variant", "rows", "seeds", "mean", "deviation", "worst"]
    header += ["low", "kept epochs", "epochs", "kept a first epoch", "seconds"]
    return markdown(header, [line(*key, rows) for key, rows in groups.items()])


def line(dataset, variant, size, rows) -> list[str]:
    scores = np.array([np.nanmean(row["auc"]) for row in rows])
    deviation = scores.std(ddof=1) if len(rows) > 1 else np.nan
    epochs = np.array([row["epochs"] for row in rows])
    kept = np.array([row["kept_epoch"] or row["epochs"] for row in rows])
    first = np.sum(kept <= np.maximum(1, epochs // 10))
    return [
        dataset,
        variant,
        "all" if size is None else f"{size:,}",
        str(len(rows)),
        f"{scores.mean():.4f}",
        f"{deviation:.4f}",
        f"{scores.min():.4f}",
        f"{(scores.mean() - scores.min()) / deviation:.1f}",
        f"{kept.min()} to {kept.max()}",
        f"{epochs.min()} to {epochs.max()}",
        str(first),
        f"{np.mean([row['fit_cpu_seconds'] for row in rows]):.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the public data sets")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[CONTROL])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--results", default=RESULTS / "seeds.jsonl")
    parser.add_argument("--estimate", action="store_true", help="say what it costs")
    options = parser.parse_args()
    datasets = options.datasets or ["simulated", *(PUBLIC if options.data else ())]
    results = Results(options.results, KEY)
    keys = [
        (dataset, variant, seed, options.rows)
        for dataset in datasets
        for variant in options.variants
        for seed in range(options.seeds)
    ]
    rows = run_missing(
        results,
        keys,
        lambda *key: fit_and_judge(*key, options.data, draw=0),
        options.estimate,
    )
    if not options.estimate:
        print(table(rows))


if __name__ == "__main__":
    main()
