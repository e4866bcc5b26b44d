"""
Missing labels: from click to purchase
======================================

Nobody buys what they did not click, so nine labels of ten are not there. Three ways to
deal with that answer three different questions.
"""

# %%
# The log
# -------
# The simulation knows the true probability of a purchase given a click for every row,
# also for those that nobody clicked. So we can see what no real log shows.

from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(15_000, task_correlation=0.8, random_state=0)
cut = int(0.8 * len(log.data))
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]
truth = log.probabilities[cut:, 2]
print(y_train.isna().mean().round(3).to_dict())

# %%
# Three treatments
# ----------------
# **NaN**: a purchase that could not be observed gives no loss and no gradient, and has
# no part in the label similarity. The network learns clicks from all rows, purchases
# from those with a click.
#
# **0**: every row has a label. But that is another question: the probability of a click
# *and* a purchase.
#
# **Only the clicked rows**: a model of purchases alone, which never sees the others.

import pandas as pd

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_log_loss, task_roc_auc

clicked_train = y_train["click"] == 1
clicked = (y_test["click"] == 1).to_numpy()


def fit(seed):
    model = DEPHNMultiTaskClassifier(random_state=seed)
    model.fit(X_train, y_train)
    yield "NaN", model.predict_proba(X_test)[:, 2]
    model.fit(X_train, y_train.fillna({"purchase": 0}))
    yield "0", model.predict_proba(X_test)[:, 2]
    model.fit(X_train[clicked_train], y_train["purchase"][clicked_train])
    yield "only the clicked rows", model.predict_proba(X_test)[:, 1]


rows = []
for seed in range(3):
    for treatment, p in fit(seed):
        bought = y_test["purchase"][clicked]
        rows.append(
            {
                "treatment": treatment,
                "AUC": task_roc_auc(bought, p[clicked])[0],
                "log loss": task_log_loss(bought, p[clicked])[0],
                "mean, clicked rows": p[clicked].mean(),
                "mean, all rows": p.mean(),
            }
        )
table = pd.DataFrame(rows).groupby("treatment", sort=False).agg(["mean", "std"])
table.T.round(4)

# %%
# The means of the truth, and the share of clicked rows that were bought:

print(f"truth, clicked rows: {truth[clicked].mean():.4f}")
print(f"truth, all rows: {truth.mean():.4f}")
print(f"observed, clicked rows: {y_test['purchase'].mean():.4f}")

# %%
# What to read in it
# ------------------
# The zeros are no rounding error: among the clicked rows, the model that was told 0
# expects far fewer purchases than there are. It answers what it was asked.
#
# Whether the clicks help to learn the purchases is a matter of the log: compare the
# columns "NaN" and "only the clicked rows", with the standard deviations over seeds. In
# this log the tasks were made to be alike (``task_correlation=0.8``); with less in
# common there is less to share. Measure it on your own log.

# %%
# Both probabilities from one network
# -----------------------------------
# The network with NaN has all that is needed: the probability of a click, that of a
# purchase given a click, and, as their product, that of a purchase from an impression,
# by which one would rank offers.

model = DEPHNMultiTaskClassifier(random_state=0).fit(X_train, y_train)
p_click, _, p_purchase = model.predict_proba(X_test).T
print(f"expected by the model: {(p_click * p_purchase).sum():.1f}")
print(f"expected in truth: {(log.probabilities[cut:, 0] * truth).sum():.1f}")
print(f"purchases that came: {y_test['purchase'].sum():.0f}")

# %%
# Where these numbers are far apart, the network ranks better than it counts: with few
# purchases to learn from, its probabilities want calibration
# (:ref:`sphx_glr_auto_examples_plot_calibration.py`).

# %%
# On the rows without a click the model has seen no purchase and no refusal. There it
# extrapolates from those with a click, and the picture shows how well: the truth is on
# the horizontal axis.

import matplotlib.pyplot as plt
import numpy as np

from dephn_sk.inspection import ConfidenceDisplay

display = None
for name, rows in (("clicked", clicked), ("not clicked", ~clicked)):
    display = ConfidenceDisplay.from_predictions(
        np.where(rows, truth, np.nan),
        p_purchase,
        task_names=["purchase given a click"],
        name=name,
        ax=None if display is None else display.axes_,
    )
plt.show()
