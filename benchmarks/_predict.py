"""Times predict_proba of another checkout of the library, of as many rows as asked.

    python benchmarks/_predict.py CHECKOUT ROWS [FOLDER]

ROWS are fitted once, of Census income where FOLDER holds census/. Each line that is
read is answered with seconds of processor, as ``_peer.py`` does.
"""

import json
import sys
import time

from _peer import import_from

CALLS = 20
ONE_EPOCH = {"max_epochs": 1, "early_stopping": False, "random_state": 0}


def load(n_rows, folder=None):
    """Raw rows and their labels."""
    from dephn_sk.datasets import load_census_income, make_behavior_log

    if folder:
        X, y = load_census_income(folder, subset="train", return_X_y=True)
        return X.iloc[:n_rows], y.iloc[:n_rows]
    log = make_behavior_log(n_rows, random_state=0)
    return log.data, log.target


def timed(call):
    """A function that gives the seconds of processor of some calls."""

    def seconds():
        start = time.process_time()
        for _ in range(CALLS):
            call()
        return time.process_time() - start

    return seconds


def serve(n_rows, folder=None):
    import torch

    from dephn_sk import DEPHNMultiTaskClassifier

    torch.set_num_threads(1)
    X, y = load(int(n_rows), folder)
    model = DEPHNMultiTaskClassifier(**ONE_EPOCH).fit(X, y)
    print("@null", flush=True)
    for line in sys.stdin:
        rows = X.iloc[: int(line)]
        seconds = timed(lambda rows=rows: model.predict_proba(rows))()
        print("@" + json.dumps(seconds), flush=True)


if __name__ == "__main__":
    checkout, *given = sys.argv[1:]
    import_from(checkout)
    serve(*given)
