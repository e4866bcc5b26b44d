"""
A network of one's own
======================

Everything that this library does around a network, from raw tables to calibrated
probabilities of several tasks, it does around yours, too.
"""

# %%
# The network
# -----------
# A :class:`~dephn_sk.nn.TaskNetwork` says in `forward` what its logits are. It gets an
# embedding that turns a row's fields into vectors, and the number of logits of each
# task: one for a binary task, the number of classes otherwise. Initial values are
# drawn from a generator, so that one seed gives the same bytes.

import torch

from dephn_sk import MultiTaskClassifier
from dephn_sk.nn import Dropout, GroupedLinear, TaskNetwork


class FactorizationMachine(TaskNetwork):
    """Linear in the fields and in the products of all pairs of them."""

    def __init__(self, embedding, n_outputs, dropout, generator):
        super().__init__()
        self.embedding = embedding
        self.dropout = Dropout(dropout)
        width = embedding.width + embedding.dim
        self.output = GroupedLinear(1, width, sum(n_outputs), generator=generator)

    def forward(self, codes, numbers=None, bags=()):
        fields = self.embedding(codes, numbers, bags)  # (batch, n_fields, dim)
        pairs = (fields.sum(1).square() - fields.square().sum(1)) / 2
        x = torch.cat([fields.flatten(1), pairs], dim=1)
        return self.output(self.dropout(x))[0]

    def start_from(self, logits):
        """Begin at the base rates; without it, training has to find them."""
        self.output.bias.data[0] = logits


# %%
# The estimator
# -------------
# `build_network` makes the network from the estimator's parameters. All parameters of
# training are there already; a new one would be declared in the body of the class.


class FactorizationMachineClassifier(MultiTaskClassifier):
    """A factorization machine for several tasks."""

    def build_network(self, embedding, n_outputs, generator):
        return FactorizationMachine(embedding, n_outputs, self.dropout, generator)


# %%
# It is an estimator as the others are: pipelines, searches, pickles, missing labels,
# early stopping, `partial_fit` with new categories.

from dephn_sk.datasets import make_behavior_log
from dephn_sk.metrics import task_roc_auc

log = make_behavior_log(15_000, random_state=0)
X_train, y_train = log.data[:12_000], log.target[:12_000]
X_test, y_test = log.data[12_000:], log.target[12_000:]

model = FactorizationMachineClassifier(random_state=0)
model.fit(X_train, y_train)
scores = task_roc_auc(y_test, model.predict_proba(X_test))
for task, auc in zip(model.task_names_, scores, strict=True):
    print(f"{task:9} {auc:.3f}")

# %%
# What it learned
# ---------------
# Displays ask the network what it has. This one has no gates, but it has losses, and
# fields that matter more or less.

import numpy as np

from dephn_sk.inspection import TrainingCurveDisplay, field_attributions

TrainingCurveDisplay.from_estimator(model)

# %%

found = field_attributions(model, X_test[:200], background=X_train[:200])
size = np.abs(found.attributions).mean(axis=(0, 1))
for f in size.argsort()[::-1]:
    print(f"{found.field_names[f]:12} {size[f]:.3f}")
