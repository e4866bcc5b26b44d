"""The main job in one minute: several behaviors from one network, beside boosting.

    python benchmarks/demo.py                 # a simulated log, nothing to download
    python benchmarks/demo.py --data FOLDER   # Census income or KuaiRand from FOLDER

Prints, for each task, test ROC AUC and log loss of DEPHN, of one boosting model per
task, of the base rate, and, on the simulated log, of the truth: the probabilities that
its labels were drawn with, the best that anything can be expected to do. Writes a
report of the model, one page, and loss curves and gate values as pictures.

What the simulated log is like: the log-odds of each task are a sum of effects of users,
items, categories, context and numbers, of crosses of category and city, and of users'
tastes; there are no thresholds, and no products of numbers. A click is drawn for every
row; a like for every clicked row, and it is 0 elsewhere; a purchase for every clicked
row, and it is missing elsewhere, so that all models learn it from clicked rows and are
judged on those. The last fifth in time is the test part. Nothing changes in time and
no user or item is new there, so that the cut favors nobody.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from skorch.callbacks import Callback
from tqdm import tqdm

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_census_income, load_kuairand, make_behavior_log
from dephn_sk.inspection import GateDisplay, TrainingCurveDisplay
from dephn_sk.metrics import task_log_loss, task_roc_auc
from dephn_sk.report import ModelReport

REPORT_ROWS = 4_000  # as many as keep the demonstration at a minute


class EpochBar(Callback):
    """A progress bar over epochs; early stopping may end it sooner."""

    def on_train_begin(self, net, **kwargs):
        self.bar = tqdm(total=net.max_epochs, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        self.bar.set_postfix(train=last["train_loss"], valid=last["valid_loss"])
        self.bar.update()

    def on_train_end(self, net, **kwargs):
        self.bar.close()
        self.bar = None


def load(folder: str | None):
    """Training and test table and labels, the truth of the test, and what they are."""
    if folder is None:
        log = make_behavior_log(60_000, random_state=0)
        cut = int(0.8 * len(log.data))  # rows are in time order
        parts = [
            part
            for rows in (slice(0, cut), slice(cut, None))
            for part in (log.data[rows], log.target[rows])
        ]
        truth = log.probabilities[cut:]
        return parts, truth, "a simulated log of impressions (make_behavior_log)"
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
            return parts, None, f"{name} from {folder}"
    raise SystemExit(
        f"{folder} holds neither Census income (census-income.data) nor KuaiRand "
        "(log_standard_4_25_to_5_08_pure.csv)."
    )


def boosting(X):
    """Gradient boosting of categories and numbers.

    It takes 255 values for a category at most, so that the codes of ids are numbers,
    which is better than the most frequent ones as categories.
    """
    texts = X.select_dtypes(exclude="number")
    ids = [name for name in texts if texts[name].nunique() > 255]
    few = [name for name in texts if name not in ids]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return make_pipeline(
        make_column_transformer((encode, few + ids), remainder="passthrough"),
        HistGradientBoostingClassifier(
            categorical_features=range(len(few)), early_stopping=True, random_state=0
        ),
    )


def fit_boosting(X_train, y_train, X_test) -> np.ndarray:
    """P(second class) of one boosting model per task, on its observed rows."""
    columns = []
    for name in y_train:
        observed = y_train[name].notna()
        model = boosting(X_train)
        model.fit(X_train[observed], y_train.loc[observed, name])
        columns.append(model.predict_proba(X_test)[:, 1])
    return np.column_stack(columns)


def scores(y, predicted) -> pd.DataFrame:
    """One row for each task: its observed rows, and what each prediction scores."""
    columns = {("", "rows"): y.notna().sum(), ("", "rate"): y.mean()}
    for title, metric in (("AUC", task_roc_auc), ("log loss", task_log_loss)):
        for name, p in predicted.items():
            if p is not None and (title, name) != ("AUC", "base rate"):
                columns[title, name] = metric(y, p)
    return pd.DataFrame(columns, index=pd.Index(y.columns, name="task"))


def make_report(model, X_test, y_test) -> ModelReport:
    """What the model is worth, for whom it is wrong, and what it used.

    Drift is measured against what the encoder has kept: of training rows themselves
    the model is more certain than of any others.
    """
    return ModelReport(
        model,
        X_test,
        y_test,
        groups=X_test.get("user_id"),
        n_repeats=2,
        max_rows=REPORT_ROWS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with Census income or KuaiRand")
    parser.add_argument(
        "--output", default="demo_output", help="folder of what it writes"
    )
    options = parser.parse_args()

    (X_train, y_train, X_test, y_test), truth, what = load(options.data)
    print(f"Data: {what}; {len(X_train):,} rows to train, {len(X_test):,} to test.")
    tasks = list(y_train)

    model = DEPHNMultiTaskClassifier(callbacks=[("bar", EpochBar())], random_state=0)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    boosted = fit_boosting(X_train, y_train, X_test)
    boosting_seconds = time.perf_counter() - start

    predicted = {
        "DEPHN": model.predict_proba(X_test),
        "boosting": boosted,
        "base rate": np.tile(y_train.mean().to_numpy(), (len(y_test), 1)),
        "truth": truth,
    }
    print(scores(y_test, predicted).to_string(float_format="{:.4f}".format))
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
    make_report(model, X_test, y_test).save(folder / "report.html")
    print(f"Report of the model, for a browser: {folder / 'report.html'}")


if __name__ == "__main__":
    main()
