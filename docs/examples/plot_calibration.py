"""
Calibrated probabilities
========================

Ranking needs an order, bidding needs a probability. Weights for rare classes keep the
first and ruin the second; a calibrator repairs it, for all tasks at once.
"""

# %%
# A model whose probabilities are wrong
# -------------------------------------
# ``class_weight="balanced"`` makes rare positives count as much as all negatives. The
# network then tells probabilities of a world in which half of the rows are positive.

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.datasets import make_behavior_log
from dephn_sk.inspection import CalibrationDisplay

log = make_behavior_log(25_000, random_state=0)
X_train, y_train = log.data[:15_000], log.target[:15_000]
X_held_out, y_held_out = log.data[15_000:20_000], log.target[15_000:20_000]
X_test, y_test = log.data[20_000:], log.target[20_000:]

model = DEPHNMultiTaskClassifier(class_weight="balanced", random_state=0)
model.fit(X_train, y_train)

# %%
# The calibrators
# ---------------
# Each task has its own, fitted to the rows in which it is observed. The rows must be
# others than those of training, on which the network is too sure of itself.

models = {
    "balanced": model,
    "sigmoid": TaskCalibrator(model).fit(X_held_out, y_held_out),
    "isotonic": TaskCalibrator(model, method="isotonic").fit(X_held_out, y_held_out),
    "no weights": DEPHNMultiTaskClassifier(random_state=0).fit(X_train, y_train),
}

# %%
# What it changes
# ---------------
# A sigmoid changes no order, so that AUC stays what it was; an isotonic function joins
# neighbors, and wants more rows than a rare behavior has. The last column never was out
# of balance: if probabilities are what you want, do not weight.

import pandas as pd

from dephn_sk.metrics import task_calibration_error, task_log_loss, task_roc_auc

metrics = {
    "AUC": task_roc_auc,
    "log loss": task_log_loss,
    "calibration error": task_calibration_error,
}
pd.DataFrame(
    {
        (name, task): {
            fitted: metric(y_test, m.predict_proba(X_test))[t]
            for fitted, m in models.items()
        }
        for name, metric in metrics.items()
        for t, task in enumerate(y_test)
    }
).round(4).T

# %%
# Before and after
# ----------------
# The share of positives that came over the probability that was promised, in bins of
# equally many rows; the dotted line is what was promised.

import matplotlib.pyplot as plt

axes = None
for name in ("balanced", "sigmoid"):
    display = CalibrationDisplay.from_predictions(
        y_test,
        models[name].predict_proba(X_test),
        task_names=model.task_names_,
        name=name,
        ax=axes,
    )
    axes = display.axes_
plt.show()

# %%
# Calibrate the whole Pipeline, if there is one: ``TaskCalibrator(pipeline)``. For one
# task alone, scikit-learn's ``CalibratedClassifierCV`` takes ``model.task("click")``.
