"""What do tables of half precision cost: the AUC of each task, and the file's bytes?

    python benchmarks/bench_tables.py --data FOLDER
    python benchmarks/bench_tables.py --rows 20000

FOLDER holds census/; without it, rows of ``make_behavior_log``. The last fifth is
judged.
"""

from __future__ import annotations

import argparse

import onnxruntime

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_census_income, make_behavior_log
from dephn_sk.export import feed, to_onnx
from dephn_sk.metrics import task_roc_auc


def main(options) -> None:
    if options.data:
        X, y = load_census_income(options.data, subset="train", return_X_y=True)
    else:
        log = make_behavior_log(options.rows, random_state=0)
        X, y = log.data, log.target
    cut = int(0.8 * len(X))
    model = DEPHNMultiTaskClassifier(random_state=0).fit(X[:cut], y[:cut])
    given = feed(model, X[cut:])
    for tables in ("float32", "float16"):
        graph = to_onnx(model, tables=tables).SerializeToString()
        session = onnxruntime.InferenceSession(graph)
        (probabilities,) = session.run(None, given)
        scores = task_roc_auc(y[cut:], probabilities)
        aucs = ", ".join(f"{n} {s:.5f}" for n, s in zip(y, scores, strict=True))
        print(f"{tables} tables: {len(graph):,} bytes, AUC {aucs}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder that holds census/")
    parser.add_argument("--rows", type=int, default=20_000)
    main(parser.parse_args())
