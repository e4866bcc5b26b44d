"""Train and score on a cluster of Ray.

    pip install "dephn-sk[ray]"
    python on_ray.py

Two workers of Ray Train fit one model together, each on half of the rows; two actors
of Ray Data then score the log. Files are left in the folder `on_ray`: on a cluster,
give a path that every machine reaches.
"""

from pathlib import Path

import pandas as pd
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log

TASKS = ["click", "like", "purchase"]
IDS = ["user_id", "item_id", "category"]
FOLDER = Path("on_ray").resolve()


def make_log():
    X, y = make_behavior_log(4_000, return_X_y=True, random_state=0)
    # Parquet keeps no categories of integers; texts are categorical as well
    X[IDS] = X[IDS].astype(str)
    X.insert(0, "impression", range(len(X)))
    (FOLDER / "log").mkdir(parents=True, exist_ok=True)
    for part, rows in enumerate([slice(None, 2_000), slice(2_000, None)]):
        log = pd.concat([X[rows], y[rows]], axis=1)
        log.to_parquet(FOLDER / "log" / f"{part}.parquet")


def train():
    """What each worker runs: `fit` finds the others by itself."""
    log = pd.read_parquet(FOLDER / "log")
    model = DEPHNMultiTaskClassifier(max_epochs=2, random_state=0, n_threads=1)
    model.fit(log.drop(columns=["impression", *TASKS]), log[TASKS])
    # every worker has the same model
    rank = ray.train.get_context().get_world_rank()
    model.save(FOLDER / f"model-{rank}.zip")


class Scorer:
    """An actor, which loads the model once and scores batch after batch."""

    def __init__(self, path):
        self.model = dephn_sk.load(path, device="cpu")

    def __call__(self, batch):
        proba = self.model.predict_proba(batch.drop(columns=["impression", *TASKS]))
        columns = dict(zip(TASKS, proba.T, strict=True))
        return batch[["impression"]].assign(**columns)


def score():
    # so small a log would else be one block, for one actor
    log = ray.data.read_parquet(str(FOLDER / "log"), override_num_blocks=2)
    log.map_batches(
        Scorer,
        fn_constructor_args=[FOLDER / "model-0.zip"],
        batch_format="pandas",
        batch_size=1_024,
        compute=ray.data.ActorPoolStrategy(size=2),
    ).write_parquet(str(FOLDER / "predictions"))


if __name__ == "__main__":
    make_log()
    # of this machine; address="auto" joins a cluster that is there
    ray.init(num_cpus=3, include_dashboard=False, object_store_memory=100_000_000)
    TorchTrainer(
        train,
        scaling_config=ScalingConfig(num_workers=2),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(name="fit", storage_path=str(FOLDER)),
    ).fit()
    score()
    ray.shutdown()
    print(pd.read_parquet(FOLDER / "predictions").describe())
