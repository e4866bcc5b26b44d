"""How long does predict_proba of one row take, beside boosted trees?

    python benchmarks/bench_latency.py --data FOLDER
    python benchmarks/bench_latency.py --rows 1000 --rounds 3

FOLDER holds census/; without it, rows of ``make_behavior_log``. Everything is fitted
first; then all entries take turns, 20 calls at a time. Medians over the rounds of the
milliseconds of processor for a call, and medians of the rounds' ratios to the trees.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from _report import RESULTS, Results, environment
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_census_income, make_behavior_log
from dephn_sk.preprocessing import FieldEncoder

TREES = "OrdinalEncoder, HistGradientBoosting, one task"
CALLS = 20


def main(options) -> None:
    torch.set_num_threads(1)
    if options.data:
        X, y = load_census_income(options.data, subset="train", return_X_y=True)
        X, y = X.iloc[: options.rows], y.iloc[: options.rows]
    else:
        log = make_behavior_log(options.rows, random_state=0)
        X, y = log.data, log.target
    one = X.iloc[[0]]
    text = make_column_selector(dtype_include=["object", "category", "string"])
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    trees = make_pipeline(
        make_column_transformer((ordinal, text), remainder="passthrough"),
        HistGradientBoostingClassifier(random_state=0),
    ).fit(X, y.iloc[:, 0])
    ours = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    pipeline = make_pipeline(FieldEncoder(), ours).fit(X, y)
    fields = FieldEncoder().fit(X)
    codes = fields.encode(X)
    matrix = np.hstack([codes.codes, codes.numbers])
    kinds = [True] * codes.codes.shape[1] + [False] * codes.numbers.shape[1]
    encoded = DEPHNMultiTaskClassifier(
        max_epochs=1, random_state=0, categorical_features=kinds
    ).fit(matrix, y)
    alone = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0).fit(X, y)
    frame = pipeline[0].transform(one)
    entries = {
        TREES: lambda: trees.predict_proba(one),
        "FieldEncoder, DEPHN, from a frame": lambda: pipeline.predict_proba(one),
        "DEPHN, from a frame": lambda: alone.predict_proba(one),
        "DEPHN, from an encoded frame": lambda: ours.predict_proba(frame),
        "DEPHN, from an encoded matrix": lambda: encoded.predict_proba(matrix[:1]),
    }
    seconds: dict = {name: [] for name in entries}
    for turn in range(options.rounds + 1):  # the first one warms up
        for name, call in entries.items():
            start = time.process_time()
            for _ in range(CALLS):
                call()
            if turn:
                seconds[name].append((time.process_time() - start) / CALLS)
    results = Results(options.output, ("data", "entry"))
    first = np.array(seconds[TREES])
    for name, took in seconds.items():
        ratio = float(np.median(np.array(took) / first))
        milliseconds = 1e3 * float(np.median(took))
        print(f"{name:50}{milliseconds:8.2f} ms{ratio:8.2f} of the trees'")
        row = {"entry": name, "cpu_ms": milliseconds, "ratio": ratio}
        row["data"] = "census" if options.data else "simulated"
        results.add({**row, "rows": len(X), "rounds": options.rounds, **environment()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder that holds census/")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", default=RESULTS / "latency.jsonl")
    main(parser.parse_args())
