"""Times a search over parameters of the network, of another checkout of the library.

    python benchmarks/_search.py CHECKOUT ROWS EPOCHS [FOLDER]

ROWS are searched on, of Census income where FOLDER holds census/. Each line that is
read is answered with the seconds that a search took by the clock.
"""

import json
import sys
import time

from _peer import import_from

OF_NETWORK = {"learning_rate": [5e-4, 2e-3], "dropout": [0.0, 0.2]}
N_FOLDS = 2


def load(data, rows):
    """Rows to search on, and held-out rows."""
    from dephn_sk.datasets import load_census_income, make_behavior_log

    if data is None:
        log = make_behavior_log(2 * rows, random_state=0)
        X, y = log.data, log.target
        return X[:rows], y[:rows], X[rows:], y[rows:]
    X, y = load_census_income(data, return_X_y=True)
    X_test, y_test = load_census_income(data, subset="validation", return_X_y=True)
    return X[:rows], y[:rows], X_test, y_test


def model_of(epochs):
    """What is searched: one network, on one thread, for some epochs."""
    from dephn_sk import DEPHNMultiTaskClassifier

    return DEPHNMultiTaskClassifier(
        **{"max_epochs": epochs, "early_stopping": False, "n_networks": 1},
        **{"n_threads": 1, "random_state": 0},
    )


def network_search(model, n_jobs):
    """A search for which encoders need not be fitted twice to the same rows."""
    from sklearn.model_selection import GridSearchCV, KFold

    from dephn_sk.metrics import task_scorer

    return GridSearchCV(
        model,
        OF_NETWORK,
        scoring=task_scorer("roc_auc"),
        cv=KFold(N_FOLDS, shuffle=True, random_state=0),
        n_jobs=n_jobs,
        refit=False,
    )


def serve(rows, epochs, data=None):
    X, y, *_ = load(data, int(rows))
    model = model_of(int(epochs))
    print("@null", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        network_search(model, 1).fit(X, y)
        print("@" + json.dumps(time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    checkout, *given = sys.argv[1:]
    import_from(checkout)
    serve(*given)
