"""Times networks of another checkout, an epoch or a prediction at a time.

    python benchmarks/_fit.py CHECKOUT ROWS BATCH THREADS [FOLDER]

The networks are those of that checkout's ``bench_speed``, and those of EXPERTS, on its
rows. Each line "fit: NAME" or "predict: NAME" is answered with rows and seconds of
processor and clock, as ``_peer.py`` does.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

KINDS = ("dnn", "cross", "field")
# networks that differ in their experts, fitted to three tasks
EXPERTS = {
    "three DNN experts": {"public_experts": ("dnn",) * 3, "private_experts": ()},
    "DNN, cross, field": {"public_experts": KINDS, "private_experts": ()},
    "private cross, field": {"public_experts": KINDS, "private_experts": KINDS[1:]},
}


def with_third_task(y):
    """Labels with those of a task that is drawn."""
    import numpy as np

    return np.hstack([y, np.random.default_rng(0).integers(0, 2, (len(y), 1))])


def serve(n_rows, batch, threads, data=None):
    import torch
    from bench_speed import OURS, SLOW, Ours, load

    from dephn_sk import DEPHNMultiTaskClassifier

    torch.set_num_threads(int(threads))
    batch = int(batch)
    X, y = load(data, int(n_rows))
    for name, experts in EXPERTS.items():
        OURS[name] = partial(DEPHNMultiTaskClassifier, **experts)
    made = {}
    print("@null", flush=True)
    for line in sys.stdin:
        action, _, name = line.strip().partition(": ")
        rows = max(batch, len(X) // 8) if name in SLOW else len(X)
        if name not in made:
            labels = with_third_task(y) if name in EXPERTS else y
            made[name] = Ours(name, X[:rows], labels[:rows], batch)
        run = {"fit": made[name].fit_epoch, "predict": made[name].predict}[action]
        clock, processor = time.perf_counter(), time.process_time()
        run()
        seconds = time.process_time() - processor, time.perf_counter() - clock
        told = {"rows": rows, "cpu": seconds[0], "wall": seconds[1]}
        print("@" + json.dumps(told), flush=True)


if __name__ == "__main__":
    checkout, *given = sys.argv[1:]
    here = str(Path(__file__).parent)
    own = [str(Path(checkout) / "benchmarks"), checkout]
    sys.path = own + [path for path in sys.path if path != here]
    serve(*given)
