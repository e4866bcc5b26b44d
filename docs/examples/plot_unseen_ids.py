"""
Rare and unseen ids
===================

Most ids of a log are rare, and tomorrow's log has ids that today's has not. What can a
table of vectors say about them, and do rates of the past say it better?
"""

# %%
# A log with many items
# ---------------------

import pandas as pd

from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(15_000, n_users=3_000, n_items=5_000, random_state=0)
cut = int(0.8 * len(log.data))
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]
seen = X_train["item_id"].value_counts()
unseen = ~X_test["item_id"].isin(seen[seen > 0].index).to_numpy()
print(f"items seen once or twice: {seen[seen > 0].le(2).mean():.0%} of those seen")
print(f"test rows with an item that was never seen: {unseen.mean():.1%}")

# %%
# Five encodings
# --------------
# Every id has a vector of its own, and ids never seen share one, which nothing trains
# unless it is given to the rare ids (``min_frequency``), or to ids that are hidden at
# random (``unseen_rate``). Target statistics add numbers: how often an id was seen, and
# the smoothed rate of each task's labels among its rows, taken from other rows than the
# one that is encoded. By default :ref:`rules <many_values>` decide on both.

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_roc_auc
from dephn_sk.preprocessing import FieldEncoder

IDS = ["user_id", "item_id"]
rare = {"user_id": 5, "item_id": 5}
variants = {
    "a vector for each id": {"target_statistics": None},
    "rare ids share one": {"encoder": FieldEncoder(min_frequency=rare)},
    "ids hidden at random": {"target_statistics": None, "unseen_rate": 0.05},
    "target statistics": {
        "encoder": FieldEncoder(target_statistics=IDS, random_state=0)
    },
    "by rule": {},
}
rows, models = [], {}
for name, changes in variants.items():
    for seed in range(2):
        changes = {"unseen_rate": 0.0} | changes
        model = DEPHNMultiTaskClassifier(random_state=seed, **changes)
        p = model.fit(X_train, y_train).predict_proba(X_test)
        for where, which in (("all rows", slice(None)), ("unseen items", unseen)):
            auc = task_roc_auc(y_test[which], p[which])
            rows.append((name, where, auc[0], auc[1]))
    models[name] = model
table = pd.DataFrame(rows, columns=["encoding", "rows", "click", "like"])
table = table.groupby(["rows", "encoding"], sort=False).agg(["mean", "std"])
table = table.sort_index(level="rows", sort_remaining=False)
table.round(4)

# %%
# Count before you choose: an id with a handful of rows has a vector that learns little
# but their noise. How many rows an id needs to deserve its own is what
# ``min_frequency`` asks, and a search can answer it.

# %%
# The encoder says what became of the columns. A column with statistics keeps its
# vectors and has numbers beside them; the rules say what they have found.

print(models["rare ids share one"].encoder_.report_)

# %%

print(models["target statistics"].encoder_.numeric_names_)

# %%

print(*models["by rule"].encoder_.report_.decisions, sep="\n")

# %%
# In a picture
# ------------
# Two seeds are few: where the bars, one standard deviation, overlap, this run says
# nothing.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True, layout="constrained")
for ax, where in zip(axes, ("all rows", "unseen items"), strict=True):
    click = table.loc[where, "click"]
    ax.errorbar(click["mean"], click.index, xerr=click["std"], fmt="o")
    ax.set(title=where, xlabel="AUC of the click")
axes[0].invert_yaxis()
plt.show()
