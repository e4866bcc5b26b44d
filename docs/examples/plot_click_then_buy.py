"""
Click, then buy
===============

Who wants the probability of a purchase from an impression has two behaviors, of which
one cannot be without the other. Say so: ``conditions={"purchase": "click"}``.
"""

# %%
# The log
# -------
# A third of the impressions are clicked, and nearly a third of the clicks end in a
# purchase. The simulation knows the true probability for every impression.

from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(15_000, click_rate=0.3, purchase_rate=0.3, random_state=0)
cut = 10_000
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]
p_click, _, p_given_click = log.probabilities[cut:].T
truth = p_click * p_given_click
y_train.groupby("click").agg(["mean", "count"])

# %%
# The condition
# -------------
# Each task may name one that must have happened: a forest. The purchase is missing
# where there was no click; 0 there would be the same, to the last byte.

from dephn_sk import DEPHNMultiTaskClassifier

conditions = {"like": "click", "purchase": "click"}
model = DEPHNMultiTaskClassifier(conditions=conditions, random_state=0)
model.fit(X_train, y_train)

# %%
# Two kinds of probability
# ------------------------
# ``predict_proba`` is about the impression, and never gives a purchase a greater
# probability than its click, in any row. ``predict_proba_given`` is about the click.

import pandas as pd

p = model.predict_proba(X_test)
given = model.predict_proba_given(X_test)
print("above the click:", int((p[:, 1:] > p[:, :1]).sum()), "of", len(p), "rows")
pd.DataFrame(
    {"from an impression": p.mean(axis=0), "given the condition": given.mean(axis=0)},
    index=model.task_names_,
).round(4)

# %%
# What it would be without
# ------------------------
# A task that is learned where it is observed, on clicked rows, answers another
# question. Whoever takes its answer for the probability of a purchase expects far too
# many.

plain = DEPHNMultiTaskClassifier(random_state=0).fit(X_train, y_train)
q_click, _, q_given_click = plain.predict_proba(X_test).T
expected = {
    "truth": truth,
    "with conditions": p[:, 2],
    "clicked rows alone": q_given_click,
    "clicked rows alone, times the click": q_click * q_given_click,
}
pd.Series({name: one.mean() for name, one in expected.items()}).round(4)

# %%
# Over the true probability
# -------------------------
# In bins of equally many impressions; the dotted line is the truth.

import matplotlib.pyplot as plt

from dephn_sk.inspection import ConfidenceDisplay

axes = None
for name in ("with conditions", "clicked rows alone"):
    display = ConfidenceDisplay.from_predictions(
        truth,
        expected[name],
        task_names=["purchase from an impression"],
        name=name,
        ax=axes,
    )
    axes = display.axes_
plt.show()

# %%
# Labels that cannot be
# ---------------------
# A purchase without a click is an error that names row and tasks. Where a log has such
# rows, ``on_violation="warn"`` takes these labels for not observed.

wrong = y_train.copy()
wrong.loc[wrong.index[wrong["click"] == 0][0], "purchase"] = 1
try:
    model.fit(X_train, wrong)
except ValueError as error:
    print(error)
