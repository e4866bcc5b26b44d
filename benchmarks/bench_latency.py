"""How long do one row and a thousand take: predict_proba, its graph, boosted trees?

    python benchmarks/bench_latency.py --data FOLDER
    python benchmarks/bench_latency.py --data FOLDER --before CHECKOUT
    python benchmarks/bench_latency.py --rows 1000 --rounds 3

FOLDER holds census/; without it, rows of ``make_behavior_log``. CHECKOUT is another
commit (``git worktree add CHECKOUT COMMIT``), whose predict_proba takes its turns, too,
in a process of its own. Everything is fitted
first; then all entries take turns, 20 calls at a time. Medians over the rounds of the
milliseconds of processor for a call, and medians of the rounds' ratios to the trees.
The graph is that of ``export.to_onnx``, run by onnxruntime with one thread on the raw
values; "its network" is the network alone, of encoded rows. LightGBM has a model for
each task, with one thread too.
"""

from __future__ import annotations

import argparse
import os
import sys

import _predict
import numpy as np
import onnxruntime
import pandas as pd
import torch
from _predict import CALLS, ONE_EPOCH, load, timed
from _report import RESULTS, Results, commit_of, environment
from bench_speed import Peer
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.export import feed, to_onnx
from dephn_sk.preprocessing import FieldEncoder

TREES = "OrdinalEncoder, HistGradientBoosting, one task"
BEFORE = "DEPHN, from a frame, before"
REQUESTS = 1, 1000


def main(options) -> None:
    torch.set_num_threads(1)
    X, y = load(options.rows, options.data)
    text = make_column_selector(dtype_include=["object", "category", "string"])
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    trees = make_pipeline(
        make_column_transformer((ordinal, text), remainder="passthrough"),
        HistGradientBoostingClassifier(random_state=0),
    ).fit(X, y.iloc[:, 0])
    alone = DEPHNMultiTaskClassifier(**ONE_EPOCH).fit(X, y)
    graph = session_of(alone)
    forests, categories = boosted(X, y)
    results = Results(options.output, ("data", "request", "entry"))
    before = other_commit(options) if options.before else None
    for request in REQUESTS:
        rows, own = X.iloc[:request], categories.iloc[:request]
        given = feed(alone, rows)
        entries = {
            TREES: lambda rows=rows: trees.predict_proba(rows),
            "LightGBM, every task": lambda own=own: [
                forest.predict_proba(own) for forest in forests
            ],
            "DEPHN, from a frame": lambda rows=rows: alone.predict_proba(rows),
            "DEPHN, its network": network_of(alone, rows),
            "DEPHN, its graph": lambda given=given: graph.run(None, given),
        }
        if request == 1:
            entries |= encoded_entries(X, y)
        timers = {name: timed(call) for name, call in entries.items()}
        if before is not None:
            timers[BEFORE] = lambda request=request: before.ask(str(request))
        measure(timers, request, options, results)
    if before is not None:
        before.close()


def other_commit(options) -> Peer:
    """A process that times predict_proba of another checkout."""
    command = [sys.executable, _predict.__file__, options.before]
    command += [str(options.rows), *([options.data] if options.data else [])]
    return Peer(command, os.environ, stderr=None)


def network_of(model, rows):
    """The model's network on rows that are encoded."""
    fields = model.encoder_.encode(rows)
    tensors = torch.from_numpy(fields.codes), torch.from_numpy(fields.numbers)
    network = model.network_.eval()

    @torch.inference_mode()
    def call():
        return network(*tensors)

    return call


def session_of(model) -> onnxruntime.InferenceSession:
    """The model's graph, to be run with one thread."""
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = 1
    graph = to_onnx(model).SerializeToString()
    return onnxruntime.InferenceSession(graph, threads)


def boosted(X, y) -> tuple[list, pd.DataFrame]:
    """A LightGBM model for each task, and the table as they take it."""
    text = [name for name in X if X[name].dtype.kind not in "iufb"]
    table = X.astype(dict.fromkeys(text, "category"))
    forests = []
    for name in y:
        known = y[name].notna()
        forest = LGBMClassifier(n_jobs=1, verbose=-1, random_state=0)
        forests.append(forest.fit(table[known], y.loc[known, name]))
    return forests, table


def encoded_entries(X, y) -> dict:
    """One row that was encoded before, or by a step of a Pipeline."""
    one, ours = X.iloc[[0]], DEPHNMultiTaskClassifier(**ONE_EPOCH)
    pipeline = make_pipeline(FieldEncoder(), ours).fit(X, y)
    codes = FieldEncoder().fit(X).encode(X)
    matrix = np.hstack([codes.codes, codes.numbers])
    kinds = [True] * codes.codes.shape[1] + [False] * codes.numbers.shape[1]
    encoded = DEPHNMultiTaskClassifier(**ONE_EPOCH, categorical_features=kinds).fit(
        matrix, y
    )
    frame = pipeline[0].transform(one)
    return {
        "FieldEncoder, DEPHN, from a frame": lambda: pipeline.predict_proba(one),
        "DEPHN, from an encoded frame": lambda: ours.predict_proba(frame),
        "DEPHN, from an encoded matrix": lambda: encoded.predict_proba(matrix[:1]),
    }


def measure(timers: dict, request: int, options, results: Results) -> None:
    """Let the entries take turns; print and keep a row of each."""
    seconds: dict = {name: [] for name in timers}
    for turn in range(options.rounds + 1):  # the first one warms up
        for name, timer in timers.items():
            took = timer() / CALLS
            if turn:
                seconds[name].append(took)
    first = np.array(seconds[TREES])
    for name, each in seconds.items():
        ratio = float(np.median(np.array(each) / first))
        milliseconds = 1e3 * float(np.median(each))
        took = f"{milliseconds:8.3f} ms{ratio:8.3f} of the trees'"
        print(f"{request:5} rows, {name:50}{took}")
        row = {"entry": name, "request": request, "cpu_ms": milliseconds}
        row |= {"ratio": ratio, "data": "census" if options.data else "simulated"}
        row |= {"rows": options.rows, "rounds": options.rounds}
        row |= {"before": commit_of(options.before)} if options.before else {}
        results.add({**row, **environment()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder that holds census/")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--before", help="checkout of another commit")
    parser.add_argument("--output", default=RESULTS / "latency.jsonl")
    main(parser.parse_args())
