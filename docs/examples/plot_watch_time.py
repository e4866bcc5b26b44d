"""
Watch time beside likes
=======================

How long will it be watched, will it be liked, and what will it earn? One network for
behaviors and amounts, and what it can be asked.
"""

# %%
# The log
# -------
# A simulated log with seconds of watching in every row, and a revenue that is zero but
# after a purchase. Both have a long tail, and both have an expectation that we know.

from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(12_000, amounts=True, random_state=0)
cut = int(0.8 * len(log.data))
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]
y_train[["watch_seconds", "revenue"]].describe().round(1)

# %%
# One network
# -----------
# Each amount says under which loss it is learned; of the behaviors, 0 and 1 leave no
# doubt. Seconds are above zero, and an error of five of them is large for a short view
# and small for a long one: that is ``"gamma"``. The revenue is
# ``"zero-inflated-lognormal"``.

from dephn_sk import DEPHNMultiTaskEstimator

kinds = {"watch_seconds": "gamma", "revenue": "zero-inflated-lognormal"}
model = DEPHNMultiTaskEstimator(tasks=kinds, random_state=0)
model.fit(X_train, y_train)
model

# %%
# The loss of an amount starts at about one half, whatever its units are, so that none
# drowns the others:

model.history_[[f"train_loss_{name}" for name in y_train]].iloc[[0, -1]].round(3)

# %%
# What comes out
# --------------
# Numbers in their units, labels, and probabilities of the tasks that have classes.

import pandas as pd

predicted = pd.DataFrame(model.predict(X_test), columns=model.task_names_)
predicted["P(like)"] = model.predict_proba(X_test)["like"][:, 1]
predicted.head().round(2)

# %%
# How good is it?
# ---------------
# R² and the mean absolute error judge the numbers, Gini the order: 1 is the order of
# the amounts themselves. The last lines are of the true expectations, which no model
# can be expected to beat: most of what an amount is, chance decides.

from dephn_sk.metrics import task_gini, task_mean_absolute_error, task_r2

amounts = ["watch_seconds", "revenue"]
rows = {}
for name, values in {
    "model": predicted[amounts].to_numpy(),
    "true expectation": log.expected_amounts[cut:],
}.items():
    for metric in (task_r2, task_mean_absolute_error, task_gini):
        rows[name, metric.__name__] = metric(y_test[amounts], values)
pd.DataFrame(rows, index=amounts).T.round(3)

# %%
# The predictions over what is expected in truth, in bins of equally many rows:

import matplotlib.pyplot as plt
import numpy as np

figure, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
for t, (name, ax) in enumerate(zip(amounts, axes, strict=True)):
    truth = log.expected_amounts[cut:, t]
    bins = np.array_split(np.argsort(truth), 20)
    ax.plot(
        [truth[rows].mean() for rows in bins],
        [predicted[name].to_numpy()[rows].mean() for rows in bins],
        marker="o",
        markersize=3,
    )
    ax.axline((0, 0), slope=1, color="gray", linewidth=0.8)
    ax.set(title=name, xlabel="true expectation", ylabel="predicted")
plt.show()

# %%
# One task at a time
# ------------------
# A view of an amount is a regressor, a view of a behavior a classifier. So all of
# scikit-learn that takes one column of labels takes them:

from sklearn.inspection import PartialDependenceDisplay

PartialDependenceDisplay.from_estimator(
    model.task("watch_seconds"),
    X_test[:300],
    ["price", "popularity"],
    grid_resolution=15,
)
plt.show()

# %%
# A median, or a quantile
# -----------------------
# Whoever plans for the long views asks for a quantile instead of the mean. It is
# another kind of the same task.

kinds["watch_seconds"] = "quantile(0.9)"
model = DEPHNMultiTaskEstimator(tasks=kinds, random_state=0).fit(X_train, y_train)
below = y_test["watch_seconds"] <= model.task("watch_seconds").predict(X_test)
print(f"{below.mean():.1%} of the views are shorter than their quantile of 90 %")
