"""
Numeric embeddings
==================

A number becomes a vector before the network reads it. How, decides which functions of
the number are easy to learn.
"""

# %%
# A function of five numbers
# --------------------------
# We take a log's numeric columns alone; ``price`` and ``popularity`` have heavy tails,
# and the age of some users is missing.

import numpy as np

from dephn_sk.datasets import make_behavior_log, make_related_tasks

log = make_behavior_log(20_000, n_users=5_000, n_items=2_000, random_state=0)
X = log.data[["hour", "position", "age", "price", "popularity"]]
X.describe().loc[["mean", "min", "50%", "max"]].round(1)

# %%
# :func:`~dephn_sk.datasets.make_related_tasks` labels the rows of any table by a random
# network. We give it waves of the numbers, so that the labels are no straight function
# of them.

scaled = np.log1p(X.fillna(X.mean()))
scaled = (scaled - scaled.mean()) / scaled.std()
waves = np.column_stack([np.sin(2 * scaled), np.cos(3 * scaled)])
tasks = make_related_tasks(waves, n_hidden=4, random_state=0)
y = tasks.target
print("rates:", y.mean(axis=0).round(3))

# %%
# Four ways
# ---------
# ``"linear"`` multiplies a vector by the number. ``"bins"`` looks a row up for the
# quantile bin that holds it, ``"piecewise-linear"`` adds what lies below it,
# ``"periodic"`` takes sines and cosines of trained frequencies. Joined by ``"+"`` they
# are summed, by ``"|"`` they stand side by side, as a field each.

import pandas as pd

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_log_loss

cut = 15_000
kinds = ["linear", "bins", "piecewise-linear", "periodic", "linear|periodic"]
models, losses = {}, {}
for kind in kinds:
    for seed in range(2):
        model = DEPHNMultiTaskClassifier(
            numeric_embedding=kind, max_epochs=10, random_state=seed
        ).fit(X[:cut], y[:cut])
        losses[kind, seed] = task_log_loss(y[cut:], model.predict_proba(X[cut:]))
        models[kind] = model
losses = pd.DataFrame(losses, index=["first task", "second task"]).T
print(losses.groupby(level=0, sort=False).agg(["mean", "std"]).round(4))

# %%
# What they learned
# -----------------
# The mean predicted probability of the first task in bins of one number, beside the
# share of positive rows in the bin.

import matplotlib.pyplot as plt

price = X["price"][cut:]
bins = pd.qcut(price, 30, labels=False, duplicates="drop").to_numpy()
center = price.groupby(bins).median()
figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
ax.plot(center, pd.Series(y[cut:, 0]).groupby(bins).mean(), "k.", label="observed")
for kind in kinds:
    p = pd.Series(models[kind].predict_proba(X[cut:])[:, 0])
    ax.plot(center, p.groupby(bins).mean(), label=kind)
ax.set(xscale="log", xlabel="price", ylabel="share of positives")
ax.legend(fontsize="small", frameon=False)
plt.show()

# %%
# Which is best is a property of the data: here the truth is made of waves. On a log
# whose signal lies in its ids, the choice hardly matters; where it is worth a search,
# it is one parameter among the others.
