"""The main job in one minute: several behaviors from one network, beside boosting.

    python benchmarks/demo.py                 # a simulated log, nothing to download
    python benchmarks/demo.py --data FOLDER   # Census income or KuaiRand from FOLDER

Prints, for each task, test ROC AUC and log loss of DEPHN and of one boosting model per
task beside the base rate, and writes loss curves and gate values as pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from skorch.callbacks import Callback
from tqdm import tqdm

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_census_income, load_kuairand, make_behavior_log
from dephn_sk.inspection import GateDisplay, TrainingCurveDisplay
from dephn_sk.metrics import task_log_loss, task_roc_auc


class EpochBar(Callback):
    """A progress bar over epochs; early stopping may end it sooner."""

    def __init__(self, total):
        self.total = total

    def on_train_begin(self, net, **kwargs):
        self.bar = tqdm(total=self.total, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        self.bar.set_postfix(train=last["train_loss"], valid=last["valid_loss"])
        self.bar.update()

    def on_train_end(self, net, **kwargs):
        self.bar.close()
        self.bar = None


def load(folder: str | None):
    """Training and test table and labels, and what they are."""
    if folder is None:
        log = make_behavior_log(60_000, random_state=0)
        cut = int(0.8 * len(log.data))  # rows are in time order
        parts = [
            part
            for rows in (slice(0, cut), slice(cut, None))
            for part in (log.data[rows], log.target[rows])
        ]
        return parts, "a simulated log of impressions (make_behavior_log)"
    path = Path(folder)
    for name, pattern, loader in (
        ("Census income", "census-income.data*", load_census_income),
        ("KuaiRand", "log_standard_4_25_to_5_08_pure.csv*", load_kuairand),
    ):
        found = sorted([*path.glob(pattern), *path.glob(f"*/{pattern}")])
        if found:
            home = found[0].parent.parent
            parts = [
                part
                for subset in ("train", "test")
                for part in loader(home, subset=subset, return_X_y=True)
            ]
            return parts, f"{name} from {folder}"
    raise SystemExit(
        f"{folder} holds neither Census income (census-income.data) nor KuaiRand "
        "(log_standard_4_25_to_5_08_pure.csv)."
    )


def boosting():
    """Gradient boosting behind an ordinal encoding of all that is no number."""
    categorical = make_column_selector(dtype_exclude="number")
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=250
    )
    return make_pipeline(
        make_column_transformer((encode, categorical), remainder="passthrough"),
        HistGradientBoostingClassifier(early_stopping=True, random_state=0),
    )


def fit_boosting(X_train, y_train, X_test) -> np.ndarray:
    """P(second class) of one boosting model per task, on its observed rows."""
    columns = []
    for name in y_train:
        observed = y_train[name].notna()
        model = boosting().fit(X_train[observed], y_train.loc[observed, name])
        columns.append(model.predict_proba(X_test)[:, 1])
    return np.column_stack(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with Census income or KuaiRand")
    parser.add_argument("--output", default="demo_output", help="folder of pictures")
    options = parser.parse_args()

    (X_train, y_train, X_test, y_test), what = load(options.data)
    print(f"Data: {what}; {len(X_train):,} rows to train, {len(X_test):,} to test.")
    tasks = list(y_train)

    epochs = 20
    model = DEPHNMultiTaskClassifier(
        max_epochs=epochs, callbacks=[("bar", EpochBar(epochs))], random_state=0
    )
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    boosted = fit_boosting(X_train, y_train, X_test)
    boosting_seconds = time.perf_counter() - start

    rates = np.tile(y_train.mean().to_numpy(), (len(y_test), 1))
    ours = model.predict_proba(X_test)
    table = pd.DataFrame(
        {
            "test rows": y_test.notna().sum().to_numpy(),
            "rate": y_test.mean().to_numpy(),
            "AUC": task_roc_auc(y_test, ours),
            "AUC boosting": task_roc_auc(y_test, boosted),
            "log loss": task_log_loss(y_test, ours),
            "log loss boosting": task_log_loss(y_test, boosted),
            "log loss base rate": task_log_loss(y_test, rates),
        },
        index=pd.Index(tasks, name="task"),
    )
    print(table.to_string(float_format="{:.4f}".format))
    print(
        f"DEPHN: one network, {model.n_iter_} epochs, {seconds:.0f} s. "
        f"Boosting: {len(tasks)} models, {boosting_seconds:.0f} s."
    )

    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    for display, name in (
        (TrainingCurveDisplay, "loss_curves.png"),
        (GateDisplay, "gates.png"),
    ):
        figure = display.from_estimator(model).figure_
        figure.savefig(folder / name, dpi=150, bbox_inches="tight")
        print(f"Picture: {folder / name}")


if __name__ == "__main__":
    main()
