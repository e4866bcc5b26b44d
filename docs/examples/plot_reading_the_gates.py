"""
Reading the gates
=================

Which expert does each task use, and does it make a difference? Each figure of the paper
about the gates is one line.
"""

# %%
# A fitted model
# --------------
# With all parts of the paper's network, at a small size. A linear tower makes a logit
# the plain sum of what the gates scale; the gates' learning rate is raised, so that
# there is some movement to see.

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(15_000, random_state=0)
cut = int(0.8 * len(log.data))
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]

model = DEPHNMultiTaskClassifier(
    tower_hidden=(),
    public_experts=("dnn",) * 3,
    private_experts=("cross", "field"),
    selection="soft",
    mappings=("raw", "sin"),
    gate_learning_rate=1.0,
    random_state=0,
)
model.fit(X_train, y_train)
print(f"{model.score(X_test, y_test):.4f}")

# %%
# The gates
# ---------
# A row for each task, a column for each public expert under each mapping. Gates are
# real numbers: a negative one turns an expert's output around.

from dephn_sk.inspection import GateDisplay

GateDisplay.from_estimator(model)

# %%
# They started at random in [0, 1). How far did they move?

import numpy as np

history = model.gate_history_
moved = np.abs(model.gate_values_ - history[0]).mean(axis=1)
for task, distance in zip(model.task_names_, moved, strict=True):
    print(f"{task:9} {distance:.4f}")

GateDisplay.from_estimator(model, kind="history")

# %%
# What the experts say
# --------------------
# A large gate on an expert that says little is nothing. The contributions are what
# arrives at the logit: gate, expert and tower together. With a bias they add up to it.

from dephn_sk.inspection import ContributionDisplay, expert_contributions

parts = expert_contributions(model, X_test)
logits = parts.contributions.sum(axis=2) + parts.bias
p = 1 / (1 + np.exp(-logits))
difference = np.abs(p - model.predict_proba(X_test)).max()
print(f"largest difference to predict_proba: {difference:.1e}")

ContributionDisplay.from_estimator(model, X_test)

# %%
# The same as shares of the gates alone, which warns where a task hangs on one expert:

from dephn_sk.inspection import expert_utilization

use = expert_utilization(model)
for task, shares in zip(use.task_names, use.utilization, strict=True):
    shares = [f"{e} {s:.0%}" for e, s in zip(use.expert_names, shares, strict=True)]
    print(f"{task:9}", ", ".join(shares))

# %%
# Raw or attended fields
# ----------------------
# The gates of the soft selection: how much each structure of experts reads of a field
# in the light of the others (1), and how much of the field alone (0). They begin at ½.

from dephn_sk.inspection import SelectionDisplay

SelectionDisplay.from_estimator(model)

# %%
# The virtual gradient
# --------------------
# What it reads of the labels, and where the pairs of tasks lie on its eight functions.
# A purchase and a click have no similarity that could be measured: where a purchase is
# observed, there was a click. Their coefficient is 1.

from dephn_sk.inspection import CoefficientDisplay, LabelSimilarityDisplay

LabelSimilarityDisplay.from_labels(y_train)

# %%

CoefficientDisplay.from_estimator(model, y_train)

# %%
# Does it matter?
# ---------------
# Not everything that can be seen makes a difference. Without the virtual gradient, and
# with gates mapped from the input as in MMoE, over two seeds:

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone

variants = {
    "as above": {},
    "no virtual gradient": {"virtual_gradient": None},
    "mapped gates": {"gate": "mapped"},
}
scores = {
    name: [
        clone(model)
        .set_params(**changes, random_state=seed)
        .fit(X_train, y_train)
        .score(X_test, y_test)
        for seed in range(2)
    ]
    for name, changes in variants.items()
}
print(pd.DataFrame(scores).agg(["mean", "std"]).T.round(4))
plt.show()

# %%
# Compare the differences of the means with the standard deviations before you draw a
# conclusion; what the paper claims for large logs is no promise for a small one.
