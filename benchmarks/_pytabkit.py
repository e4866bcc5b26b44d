"""Trains RealMLP or TabM of pytabkit, or predicts with it, in a Python that has it.

    PYTHON benchmarks/_pytabkit.py fit FOLDER
    PYTHON benchmarks/_pytabkit.py predict FOLDER

FOLDER is that of ``_package.py``: settings, codes, numbers, and labels that are NaN
where unknown. One model for each task, on the rows that know its label, with the
package's own defaults but for what is better for probabilities: the validation loss
chooses the epoch, and labels are not smoothed. Epochs are 256 at most, fewer where they
are more than 20,000 steps of 256 rows, and 16 at least. PYTABKIT_DEVICE names the
device, else the processor, on which TabM takes hours for 100,000 rows.
"""

import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytabkit import RealMLP_TD_Classifier, TabM_D_Classifier

MODELS = {
    "pytabkit RealMLP": (RealMLP_TD_Classifier, {"use_ls": False}),
    "pytabkit TabM": (TabM_D_Classifier, {}),
}
MOST_STEPS, MOST_EPOCHS, FEWEST_EPOCHS = 20_000, 256, 16


def read(path, cardinalities):
    """A frame of categories and numbers, and the labels."""
    arrays = np.load(path)
    columns = {
        f"c{j}": pd.Categorical(codes, categories=range(k))
        for j, (codes, k) in enumerate(
            zip(arrays["codes"].T, cardinalities, strict=True)
        )
    }
    columns |= {f"x{j}": numbers for j, numbers in enumerate(arrays["numbers"].T)}
    return pd.DataFrame(columns), arrays["labels"]


def fit(settings, X, y, X_val, y_val):
    models = []
    make, options = MODELS[settings["package"]]
    for task in range(y.shape[1]):
        known, known_val = ~np.isnan(y[:, task]), ~np.isnan(y_val[:, task])
        epochs = int(MOST_STEPS * 256 / known.sum())
        model = make(
            **options,
            device=os.environ.get("PYTABKIT_DEVICE", "cpu"),
            val_metric_name="cross_entropy",
            random_state=settings["seed"],
            n_threads=1,
            n_epochs=int(np.clip(epochs, FEWEST_EPOCHS, MOST_EPOCHS)),
        )
        model.fit(
            X[known],
            y[known, task].astype(int),
            X_val[known_val],
            y_val[known_val, task].astype(int),
            cat_col_names=[name for name in X if name.startswith("c")],
        )
        models.append(model)
    return models


if __name__ == "__main__":
    torch.set_num_threads(1)
    action, folder = sys.argv[1], Path(sys.argv[2])
    settings = json.loads((folder / "settings.json").read_text())
    sizes = settings["cardinalities"]
    if action == "fit":
        parts = (
            read(folder / f"{part}.npz", sizes) for part in ("train", "validation")
        )
        models = fit(settings, *(array for part in parts for array in part))
        (folder / "models.pkl").write_bytes(pickle.dumps(models))
    else:
        models = pickle.loads((folder / "models.pkl").read_bytes())
        X, _ = read(folder / "rows.npz", sizes)
        p = [model.predict_proba(X)[:, 1] for model in models]
        np.save(folder / "probabilities.npy", np.column_stack(p))
