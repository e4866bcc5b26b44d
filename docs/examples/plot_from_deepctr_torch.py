"""
Coming from DeepCTR-Torch
=========================

The same networks, without feature columns, label encoders and dictionaries of arrays.
"""

# %%
# What you have
# -------------
# MMoE there needs every column encoded by hand, a list of feature columns with
# vocabulary sizes, and a dictionary of arrays:
#
# .. code-block:: python
#
#     from deepctr_torch.inputs import DenseFeat, SparseFeat, get_feature_names
#     from deepctr_torch.models import MMOE
#     from sklearn.preprocessing import LabelEncoder, MinMaxScaler
#
#     for name in sparse:
#         data[name] = LabelEncoder().fit_transform(data[name])
#     data[dense] = MinMaxScaler().fit_transform(data[dense].fillna(0))
#     columns = [
#         SparseFeat(name, data[name].nunique(), embedding_dim=8) for name in sparse
#     ] + [DenseFeat(name, 1) for name in dense]
#     names = get_feature_names(columns)
#
#     model = MMOE(
#         columns,
#         num_experts=3,
#         task_types=["binary", "binary"],
#         task_names=["click", "like"],
#     )
#     model.compile("adam", ["binary_crossentropy"] * 2)
#     model.fit({name: train[name] for name in names}, train[["click", "like"]].values)
#
# A task whose label is missing in some rows has no place in it, and an id that was not
# in ``data`` is an index out of range at prediction.

# %%
# What you write instead
# ----------------------
# The frame as it is. Vocabularies, scaling and missing values are learned in ``fit``
# and travel with the estimator; NaN in y is a label that was not observed, so the
# purchases can come along.

from dephn_sk.baselines import MMoEClassifier
from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(15_000, n_items=2_000, random_state=0)
cut = int(0.8 * len(log.data))
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]

model = MMoEClassifier(n_experts=3, random_state=0)
model.fit(X_train, y_train)

# %%
# Ids that were not there
# -----------------------
# They share one row of the table. The encoder says what it learned:

print(model.encoder_.report_)

# %%

from dephn_sk.metrics import task_roc_auc

unseen = ~X_test["item_id"].isin(X_train["item_id"]).to_numpy()
p = model.predict_proba(X_test)
print(f"rows with an item that training did not have: {unseen.sum()}")
print("AUC, all rows:", task_roc_auc(y_test, p).round(3))
print("probabilities of one of them:", p[unseen][0].round(3))

# %%
# Where things are
# ----------------
# ===================================  ==========================================
# DeepCTR-Torch                        here
# ===================================  ==========================================
# ``SparseFeat``, ``LabelEncoder``     nothing: the frame's dtypes decide
# ``DenseFeat``, ``MinMaxScaler``      nothing, or ``numeric_embedding``
# ``VarLenSparseFeat``                 a column of lists, or
#                                      ``FieldEncoder(delimiters=...)``
# ``use_hash=True``                    ``FieldEncoder(n_buckets=...)``
# ``embedding_name`` shared            ``FieldEncoder(shared_vocabularies=...)``
# ``model.compile``                    parameters of the estimator
# ``task_types=["binary", ...]``       read from y; more classes are as welcome
# ``model.predict`` (probabilities)    ``predict_proba``; ``predict`` gives classes
# ``torch.save(model)``                ``pickle`` or ``joblib.dump``
# ``device="cuda:0"``                  ``device``; the CPU where there is no GPU
# ===================================  ==========================================

# %%
# One class for each paper
# ------------------------
# All systems have the same fit, the same encoder and the same parameters of training,
# so that a comparison is a loop. The differences below are of one seed on one made-up
# log of few rows: no ranking of papers.

import matplotlib.pyplot as plt
import pandas as pd

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import DCNClassifier, PLEClassifier, SharedBottomClassifier
from dephn_sk.inspection import GateDisplay

systems = [
    SharedBottomClassifier,
    MMoEClassifier,
    PLEClassifier,
    DCNClassifier,
    DEPHNMultiTaskClassifier,
]
table = {}
for system in systems:
    fitted = system(random_state=0).fit(X_train, y_train)
    n_parameters = sum(p.numel() for p in fitted.net_.module_.parameters())
    auc = task_roc_auc(y_test, fitted.predict_proba(X_test))
    table[system.__name__] = [*auc.round(3), f"{n_parameters:,}"]
pd.DataFrame(table, index=[*y_test, "parameters"]).T

# %%
# How to see which expert a task uses, the question that is asked of every MMoE: its
# gates differ from row to row, so give the rows over which to take the mean.

GateDisplay.from_estimator(model, X=X_test)
plt.show()
