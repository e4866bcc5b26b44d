"""What do trained rows for unseen ids, and target statistics, bring on KuaiRand?

    python benchmarks/bench_unseen.py --data FOLDER --seeds 3

Validation AUC per task over all rows, and over those whose user or video was not seen
in training: with the row of unseen values untrained, trained by random masking, trained
by the rare ids that share it, and with cross-fitted target statistics of the ids.
Results are appended to results/unseen.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from _report import RESULTS, Results, environment, markdown_table

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_kuairand
from dephn_sk.metrics import task_roc_auc
from dephn_sk.preprocessing import FieldEncoder

IDS = ["user_id", "video_id", "author_id", "tab"]
RARE = {"user_id": 50, "video_id": 50, "author_id": 50}
VARIANTS = {
    "untrained": {"unseen_rate": 0.0, "target_statistics": None},
    "masked, 2 % (default)": {"target_statistics": None},
    "masked, and rare ids share it": {"encoder": FieldEncoder(min_frequency=RARE)},
    "masked, target statistics": {
        "encoder": FieldEncoder(target_statistics=IDS, random_state=0)
    },
    "masked, target statistics, rare ids": {
        "encoder": FieldEncoder(
            target_statistics=IDS, min_frequency=RARE, random_state=0
        )
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds kuairand/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--results", default=RESULTS / "unseen.jsonl")
    options = parser.parse_args()
    X, y = load_kuairand(options.data, return_X_y=True)
    X_val, y_val = load_kuairand(options.data, subset="validation", return_X_y=True)
    X, y = X[: options.rows], y[: options.rows]
    new = np.zeros(len(X_val), dtype=bool)
    for column in ("user_id", "video_id"):
        new |= ~X_val[column].isin(X[column].unique()).to_numpy()
    print(f"{new.mean():.1%} of the validation rows have an unseen user or video.")

    results = Results(options.results, ("variant", "seed", "rows"))
    for seed in range(options.seeds):
        for variant, parameters in VARIANTS.items():
            if (variant, seed, options.rows) in results:
                continue
            model = DEPHNMultiTaskClassifier(
                early_stopping=True, random_state=seed, **parameters
            ).fit(X, y, X_val=X_val, y_val=y_val)
            p = model.predict_proba(X_val)
            results.add(
                {
                    "variant": variant,
                    "seed": seed,
                    "rows": options.rows,
                    "auc": task_roc_auc(y_val, p).round(5).tolist(),
                    "auc_unseen": task_roc_auc(y_val[new], p[new]).round(5).tolist(),
                }
                | environment()
            )
            print(variant, seed, file=sys.stderr)
    columns = {
        f"{task}, {where}": lambda row, key=key, t=t: row[key][t]
        for t, task in enumerate(y)
        for where, key in (("all", "auc"), ("unseen", "auc_unseen"))
    }
    rows = [row for row in results.rows if row["rows"] == options.rows]
    print(markdown_table(rows, ("variant",), columns))


if __name__ == "__main__":
    main()
