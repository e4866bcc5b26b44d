"""How many tasks does one network train, by how the coefficients are reduced?

    python benchmarks/bench_many_tasks.py
    python benchmarks/bench_many_tasks.py --tasks 2 8 --seeds 1 --rows 500

Equation 8 of the paper multiplies a gate's coefficients over the other tasks; the
default is their mean. Each task is a linear function of four numbers and noise. Printed
are the mean log loss of rows that were not trained on, divided by that of the base
rates (below 1 something was learned), and the share of fits that diverged. Results are
appended to results/many_tasks.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from _report import RESULTS, Results, environment, markdown_table

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_log_loss

REDUCTIONS = ("mean", "product")


def make_tasks(n_rows: int, n_tasks: int, seed: int):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4))
    logits = X @ rng.normal(size=(4, n_tasks))
    return X, (logits + rng.normal(size=logits.shape) > 0.7).astype(int)


def ratio(reduction: str, n_tasks: int, seed: int, n_rows: int) -> float | None:
    """Log loss over that of the base rates; None where training diverged."""
    X, y = make_tasks(2 * n_rows, n_tasks, seed)
    model = DEPHNMultiTaskClassifier(
        coefficient_reduction=reduction,
        max_epochs=6,
        batch_size=50,
        early_stopping=False,
        random_state=seed,
    )
    try:
        model.fit(X[:n_rows], y[:n_rows])
    except ValueError as error:
        if "diverged" not in str(error):
            raise
        return None
    rates = np.broadcast_to(y[:n_rows].mean(axis=0), (n_rows, n_tasks))
    test = y[n_rows:]
    loss = np.mean(task_log_loss(test, model.predict_proba(X[n_rows:])))
    return float(loss / np.mean(task_log_loss(test, rates)))


def main(options) -> None:
    results = Results(options.output, ("reduction", "tasks", "seed", "rows"))
    for reduction, n_tasks in product(REDUCTIONS, options.tasks):
        for seed in range(options.seeds):
            if (reduction, n_tasks, seed, options.rows) not in results:
                row = {"reduction": reduction, "tasks": n_tasks, "seed": seed}
                found = ratio(reduction, n_tasks, seed, options.rows)
                row |= {"rows": options.rows, "ratio": found}
                results.add(row | environment())
    rows = [row for row in results.rows if row["rows"] == options.rows]
    columns = {
        "log loss / that of the rates": lambda row: row["ratio"] or np.nan,
        "diverged": lambda row: row["ratio"] is None,
    }
    print(markdown_table(rows, ("reduction", "tasks"), columns))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 3, 8, 60, 200])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--output", default=RESULTS / "many_tasks.jsonl")
    main(parser.parse_args())
