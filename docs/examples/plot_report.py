"""
A report of a model
===================

Is it better than the rate alone, for whom is it wrong, what did it use? One page says
so, and here is one.
"""

# %%
# A model, and rows that come later
# ---------------------------------
# The report is measured on rows that the model has not seen, here the last ones of the
# log. ``groups`` adds the AUC within users, ``costs`` what thresholds cost.

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log
from dephn_sk.report import ModelReport

log = make_behavior_log(8_000, random_state=0)
X_train, y_train = log.data[:6_000], log.target[:6_000]
X_test, y_test = log.data[6_000:], log.target[6_000:]

model = DEPHNMultiTaskClassifier(random_state=0).fit(X_train, y_train)
report = ModelReport(
    model,
    X_test,
    y_test,
    groups=X_test["user_id"],
    costs={"purchase": (1, 20)},
    n_repeats=2,
)

# %%
# Numbers first
# -------------
# Each table is a frame, for code that decides; ``report.to_dict()`` is JSON, for a
# store of experiments.

report.tables["scores"].round(4)

# %%
# The page
# --------
# A notebook shows it as this site does. ``report.save("report.html")`` writes it to a
# file of its own, which holds no script and asks nothing of any network.

report
