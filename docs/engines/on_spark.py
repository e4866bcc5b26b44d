"""Train and score on a cluster of Spark.

    pip install "dephn-sk[spark]"   # and a Java runtime, 17 or later
    python on_spark.py

Two processes of a TorchDistributor fit one model together, each on half of the rows;
tasks of Spark then score the log. Files are left in the folder `on_spark`: on a
cluster, give a path that every machine reaches.
"""

import os
import sys
from pathlib import Path

import pandas as pd
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log

TASKS = ["click", "like", "purchase"]
IDS = ["user_id", "item_id", "category"]
FOLDER = Path("on_spark").resolve()


def make_log():
    X, y = make_behavior_log(4_000, return_X_y=True, random_state=0)
    # Spark knows no categories; texts are categorical as well
    X[IDS] = X[IDS].astype(str)
    X.insert(0, "impression", range(len(X)))
    FOLDER.mkdir(exist_ok=True)
    pd.concat([X, y], axis=1).to_parquet(FOLDER / "log.parquet")


def train(folder):
    """What each process runs: `fit` finds the others by itself."""
    log = pd.read_parquet(folder / "log.parquet")
    model = DEPHNMultiTaskClassifier(max_epochs=2, random_state=0, n_threads=1)
    model.fit(log.drop(columns=["impression", *TASKS]), log[TASKS])
    # every process has the same model
    model.save(folder / f"model-{os.environ['RANK']}.zip")


def scorer(path):
    """What each task of Spark runs: it reads the model once, for all its batches."""

    def score(batches):
        model = dephn_sk.load(path, device="cpu")
        for batch in batches:
            proba = model.predict_proba(batch.drop(columns=["impression", *TASKS]))
            columns = dict(zip(TASKS, proba.T, strict=True))
            yield batch[["impression"]].assign(**columns)

    return score


if __name__ == "__main__":
    make_log()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # of this machine, two processes; spark-submit names the cluster instead
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", False)
        .config("spark.sql.shuffle.partitions", 2)
        .getOrCreate()
    )
    # local_mode=False trains on the machines of the cluster
    TorchDistributor(num_processes=2, local_mode=True, use_gpu=False).run(train, FOLDER)
    spark.read.parquet(str(FOLDER / "log.parquet")).repartition(2).mapInPandas(
        scorer(FOLDER / "model-0.zip"),
        "impression long, click double, like double, purchase double",
    ).write.mode("overwrite").parquet(str(FOLDER / "predictions"))
    spark.stop()
    print(pd.read_parquet(FOLDER / "predictions").describe())
