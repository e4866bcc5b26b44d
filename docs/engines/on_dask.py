"""Search and score on a cluster of Dask.

    pip install "dephn-sk[dask]"
    python on_dask.py

Searches of scikit-learn run where joblib is told to run them; partitions of a
dask.dataframe are scored where they are. Files are left in the folder `on_dask`: on a
cluster, give a path that every machine reaches.
"""

from pathlib import Path

import dask.dataframe as dd
import joblib
import pandas as pd
from dask import delayed
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log
from dephn_sk.model_selection import MultiLabelStratifiedKFold

TASKS = ["click", "like", "purchase"]
IDS = ["user_id", "item_id", "category"]
FOLDER = Path("on_dask").resolve()


def make_log():
    X, y = make_behavior_log(2_000, return_X_y=True, random_state=0)
    # Parquet keeps no categories of integers; texts are categorical as well
    X[IDS] = X[IDS].astype(str)
    X.insert(0, "impression", range(len(X)))
    FOLDER.mkdir(exist_ok=True)
    for part, rows in enumerate([slice(None, 1_000), slice(1_000, None)]):
        log = pd.concat([X[rows], y[rows]], axis=1)
        log.to_parquet(FOLDER / f"log-{part}.parquet")
    return X.drop(columns="impression"), y


def search(X, y):
    """A search over all tasks, then one over a view of the clicks alone."""
    model = DEPHNMultiTaskClassifier(max_epochs=2, random_state=0, n_threads=1)
    folds = MultiLabelStratifiedKFold(2)
    with joblib.parallel_config("dask"):
        tasks = GridSearchCV(model, {"embedding_dim": [4, 16]}, cv=folds).fit(X, y)
        view = tasks.best_estimator_.task("click")
        click = GridSearchCV(view, {"estimator__dropout": [0.0, 0.5]}, cv=2)
        click.fit(X, y["click"])
    for name, found in [("tasks", tasks), ("click", click)]:
        pd.DataFrame(found.cv_results_).to_csv(FOLDER / f"search-{name}.csv")
    return tasks.best_estimator_


def predict(part, model):
    probabilities = model.predict_proba(part.drop(columns=["impression", *TASKS]))
    return part[["impression"]].assign(**dict(zip(TASKS, probabilities.T, strict=True)))


def score():
    log = dd.read_parquet(FOLDER / "log-*.parquet")
    # read once, and sent to the workers that have none yet
    model = delayed(dephn_sk.load)(FOLDER / "model.zip", device="cpu")
    meta = {"impression": "int64", **dict.fromkeys(TASKS, "float64")}
    predictions = log.map_partitions(predict, model, meta=meta)
    predictions.to_parquet(FOLDER / "predictions")


if __name__ == "__main__":
    X, y = make_log()
    # of this machine; Client("tcp://...:8786") joins a cluster that is there
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        Client(cluster),
    ):
        search(X, y).save(FOLDER / "model.zip")
        score()
    print(pd.read_parquet(FOLDER / "predictions").describe())
