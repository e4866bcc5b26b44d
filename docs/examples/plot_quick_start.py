"""
A first model
=============

A log of what users saw and did, one network for all of their behaviors, and a look at
what it learned.
"""

# %%
# A log
# -----
# :func:`~dephn_sk.datasets.make_behavior_log` simulates impressions: an item is shown
# to a user, who may click, and after a click like and buy. The columns are what such
# logs have: ids, categories as strings, numbers with gaps.

from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(20_000, random_state=0)
log.data.head()

# %%
# The labels are a frame with a column for each behavior. A purchase can only be
# observed after a click; elsewhere it is NaN, which is not 0.

log.target.describe().loc[["count", "mean"]]

# %%
# Rows are in the order of time. We train on the first four fifths and test on the
# rest, as in production.

cut = int(0.8 * len(log.data))
X_train, y_train = log.data[:cut], log.target[:cut]
X_test, y_test = log.data[cut:], log.target[cut:]

# %%
# Fit
# ---
# The raw frame goes in as it is. With this many rows, a tenth of them is set aside, and
# the weights of the best epoch are kept.

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.inspection import FitSummary

model = DEPHNMultiTaskClassifier(random_state=0)
model.fit(X_train, y_train)
FitSummary.from_estimator(model)

# %%
# Predict
# -------
# One column for each task: the probability of its second class. That of a purchase is
# given a click, since it was learned from the rows with a click.

import pandas as pd

probabilities = pd.DataFrame(
    model.predict_proba(X_test), columns=model.task_names_, index=X_test.index
)
probabilities.head().round(3)

# %%
# The metrics skip labels that were not observed. Beside the model stand the rates of
# the training rows, which a model has to beat, and the true probabilities, which the
# simulation knows and a model can beat by chance alone.

import numpy as np

from dephn_sk.metrics import task_log_loss, task_roc_auc

predictions = {
    "rates": np.tile(y_train.mean(), (len(y_test), 1)),
    "model": probabilities,
    "truth": log.probabilities[cut:],
}
pd.DataFrame(
    {
        (metric.__name__, name): metric(y_test, p)
        for metric in (task_roc_auc, task_log_loss)
        for name, p in predictions.items()
    },
    index=model.task_names_,
).T.round(3)

# %%
# Where the log loss of the model is hardly lower than that of the rates, an order may
# be learned, but the probabilities are not to be trusted yet: there were few labels.
# :ref:`sphx_glr_auto_examples_plot_calibration.py` goes on from there.

# %%
# Look
# ----
# The loss of each task over the epochs; the dotted line marks the epoch that was kept.
# Where the training loss goes on falling and the validation loss does not, the network
# has begun to learn rows by heart.

from dephn_sk.inspection import ConfidenceDisplay, TrainingCurveDisplay

TrainingCurveDisplay.from_estimator(model)

# %%
# The predicted probabilities over the true ones, on the test rows: the line is a mean,
# the band holds four fifths of the rows. A perfect model would draw the diagonal; the
# fewer labels there were to learn from, the flatter the line.

import matplotlib.pyplot as plt

ConfidenceDisplay.from_estimator(model, X_test, log.probabilities[cut:])
plt.show()
