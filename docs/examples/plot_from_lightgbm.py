"""
Coming from LightGBM
====================

One boosting model for each behavior is what most teams have. This page puts that code
beside one estimator for all behaviors, and measures both.
"""

# %%
# What you have
# -------------
# A loop over the behaviors, each with its own rows, its own model and its own file:
#
# .. code-block:: python
#
#     import lightgbm as lgb
#
#     models = {}
#     for task in ["click", "like", "purchase"]:
#         known = y_train[task].notna()
#         models[task] = lgb.LGBMClassifier(n_estimators=2000, learning_rate=0.05)
#         models[task].fit(
#             X_train[known].astype({c: "category" for c in categorical}),
#             y_train.loc[known, task],
#             eval_set=[(X_val[...], y_val[...])],
#             callbacks=[lgb.early_stopping(50)],
#         )
#
# LightGBM is no dependency of this library; scikit-learn's
# ``HistGradientBoostingClassifier`` is the same kind of model and stands in for it.

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(30_000, random_state=0)
cut = int(0.8 * len(log.data))
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]


def boosting():
    """An ordinal encoding, cut at the 255 values that the trees can take."""
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, max_categories=250
    )
    return make_pipeline(
        make_column_transformer(
            (encode, make_column_selector(dtype_exclude="number")),
            remainder="passthrough",
        ),
        HistGradientBoostingClassifier(early_stopping=True, random_state=0),
    )


boosted = {}
for task in y_train:
    known = y_train[task].notna()
    boosted[task] = boosting().fit(X_train[known], y_train.loc[known, task])

# %%
# What you write instead
# ----------------------
# No loop, no encoder, no choice of rows: the estimator learns the vocabularies of the
# categorical columns, and NaN in y is a label that was not observed.

from dephn_sk import DEPHNMultiTaskClassifier

model = DEPHNMultiTaskClassifier(random_state=0).fit(X_train, y_train)

# %%
# Which is better?
# ----------------
# On this log, which the library made up itself, with the defaults of both:

import numpy as np
import pandas as pd

from dephn_sk.metrics import task_log_loss, task_roc_auc

predictions = {
    "boosting": np.column_stack(
        [boosted[task].predict_proba(X_test)[:, 1] for task in y_test]
    ),
    "DEPHN": model.predict_proba(X_test),
}
predictions["mean of both"] = sum(predictions.values()) / 2
pd.DataFrame(
    {
        (metric.__name__, name): metric(y_test, p)
        for metric in (task_roc_auc, task_log_loss)
        for name, p in predictions.items()
    },
    index=list(y_test),
).T.round(4)

# %%
# Trees are a hard opponent, and a made-up log proves nothing about yours: run both on
# your own before you switch. Two things to look at. A rare behavior, here the purchase,
# may learn from a frequent one. And the mean of both is often better than either, since
# their errors differ; it is one line of numpy.

# %%
# Where things are
# ----------------
# ==================================  ==============================================
# LightGBM                            here
# ==================================  ==============================================
# ``categorical_feature``             the frame's dtypes, or ``categorical_features``
# ``early_stopping(50)``, eval sets   ``fit(..., X_val=, y_val=)``,
#                                     ``n_epochs_no_change``, ``monitor``
# ``is_unbalance``                    ``class_weight="balanced"``; then calibrate
# ``weight``                          ``sample_weight``, also one for each task
# ``feature_importances_``            ``inspection.permutation_importance``
# ``pred_contrib=True``               ``inspection.field_attributions``
# ``init_model``                      ``warm_start=True`` or ``partial_fit``
# ``num_threads``                     ``n_threads``
# ``save_model``                      ``pickle`` or ``joblib.dump``, encoder included
# ==================================  ==============================================
#
# LightGBM takes a frame whose columns came in another order and predicts wrongly
# without a word. Here that is an error:

try:
    model.predict_proba(X_test[X_test.columns[::-1]])
except ValueError as error:
    print(error)

# %%
# Importances, for each behavior
# ------------------------------
# Gain in trees favors columns with many values. The loss of AUC when a column is
# shuffled does not, and it is there for each task, at the cost of one encoding.

import matplotlib.pyplot as plt

from dephn_sk.inspection import permutation_importance

importance = permutation_importance(model, X_test, y_test, n_repeats=2, random_state=0)
table = pd.DataFrame(
    {task: found.importances_mean for task, found in importance.items()},
    index=importance["click"].feature_names,
)
ax = table.sort_values("click").plot.barh(figsize=(5, 5), width=0.8)
ax.set_xlabel("AUC lost")
plt.tight_layout()
plt.show()
