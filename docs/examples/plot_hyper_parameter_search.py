"""
Search over hyper-parameters
============================

scikit-learn's searches, with two things of ours: a scorer that skips missing labels,
and folds that keep the rate of every label.
"""

# %%
# What a search over several tasks needs
# --------------------------------------
# scikit-learn's own scorers refuse NaN in y, and ``cv=5`` looks at y and refuses it
# too. :func:`~dephn_sk.metrics.task_scorer` scores one task or the mean over them;
# :class:`~dephn_sk.model_selection.MultiLabelStratifiedKFold` deals out the rare labels
# evenly.

from sklearn.model_selection import RandomizedSearchCV

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log
from dephn_sk.metrics import task_scorer, task_scorers
from dephn_sk.model_selection import MultiLabelStratifiedKFold

X, y = make_behavior_log(6_000, return_X_y=True, random_state=0)

folds = MultiLabelStratifiedKFold(3, shuffle=True, random_state=0)
for _, test in folds.split(X, y):
    print(y.iloc[test].mean().round(4).to_dict())

# %%
# The search
# ----------
# Every parameter is a plain argument, so that every search knows how to set it. We keep
# the mean log loss to choose by and each task's AUC to look at. ``n_jobs=-1`` would run
# the fits side by side, each on one thread.

scorers = {"log_loss": task_scorer("log_loss")} | task_scorers("roc_auc", y.columns)
search = RandomizedSearchCV(
    DEPHNMultiTaskClassifier(random_state=0),
    {
        "max_epochs": [4, 8],
        "embedding_dim": [4, 8],
        "embedding_dropout": [0.0, 0.3],
        "public_experts": [("dnn",), ("dnn",) * 3],
        "gate": ["trainable", "mapped"],
    },
    n_iter=6,
    scoring=scorers,
    refit="log_loss",
    cv=folds,
    random_state=0,
)
search.fit(X, y)

# %%
# How much of it is noise
# -----------------------
# A difference between two rows means something where it is larger than the standard
# deviation over the folds, and better still over seeds too.

import pandas as pd

results = pd.DataFrame(search.cv_results_).sort_values("rank_test_log_loss")
names = [name for name in results if name.startswith("mean_test")]
table = results[[*names, "std_test_log_loss"]].round(4)
table.columns = table.columns.str.replace("_test", "")
table.T

# %%

for rank, parameters in enumerate(results["params"], start=1):
    print(rank, parameters)

# %%
# With few rows, the longer training and the larger embedding are seldom the better
# ones. That is the reason why the number of epochs is worth a search, or early stopping
# (which is on by itself from 10,000 rows on).

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(4.5, 3), layout="constrained")
ax.errorbar(
    -results["mean_test_log_loss"],
    range(1, len(results) + 1),
    xerr=results["std_test_log_loss"],
    fmt="o",
)
ax.invert_yaxis()
ax.set(xlabel="mean log loss over tasks, with its deviation over folds", ylabel="rank")
plt.show()

# %%
# More
# ----
# - :func:`~dephn_sk.search_space` gives the distributions that we search ourselves.
# - ``search.best_estimator_`` is fitted on all rows; ``search.predict_proba`` uses it.
# - Halving searches work as well; on a y of several tasks scikit-learn asks for an
#   integer ``min_resources``.
# - To search an encoder's settings, give one: ``encoder=FieldEncoder()``, and search
#   ``"encoder__min_frequency"``.
# - Callbacks with a name are searched as ``"callbacks__name__parameter"``.
# - Where rows of one user must not be in two folds, use scikit-learn's ``GroupKFold``.
