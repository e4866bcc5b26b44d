"""
A network of your own
=====================

Everything around a network, from raw columns to early stopping, missing labels, pickles
and scikit-learn's searches, serves any network. One of your own is a
:class:`~dephn_sk.nn.TaskNetwork`, three lines if it is plain; its estimator says how it
is built. Here is a factorization machine, one of the first networks for clicks
(Rendle, "Factorization Machines", ICDM 2010).
"""

# %%
# The network
# -----------
# The fields of a row are vectors, ``(batch, n_fields, dim)``. The machine adds a linear
# function of all of them to the sum of the products of all pairs, which is half of the
# square of the sum less the sum of the squares. Each task reads these products with
# weights of its own.
#
# ``start_from`` is optional: it is told the logits of the base rates, so that training
# need not learn first how rare a purchase is.

import torch
from torch import nn

from dephn_sk.nn import TaskNetwork


class FactorizationMachine(TaskNetwork):
    def __init__(self, embedding, n_outputs, generator):
        super().__init__()
        self.embedding = embedding
        self.linear = nn.Linear(embedding.width, sum(n_outputs))
        self.pairs = nn.Linear(embedding.dim, sum(n_outputs), bias=False)
        for layer in (self.linear, self.pairs):  # drawn from the estimator's seed
            nn.init.normal_(layer.weight, std=0.05, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def forward(self, codes, numbers=None, bags=(), label_similarity=None):
        fields = self.embedding(codes, numbers, bags)
        pairs = (fields.sum(dim=1).square() - fields.square().sum(dim=1)) / 2
        return self.linear(fields.flatten(1)) + self.pairs(pairs)

    @torch.no_grad()
    def start_from(self, logits):
        self.linear.bias.copy_(logits)


# %%
# The estimator
# -------------
# ``build_network`` is all that is missing. ``{parameters}`` in the docstring stands for
# the parameters of all estimators, so that ``help`` shows them.

from dephn_sk import MultiTaskClassifier


class FactorizationMachineClassifier(MultiTaskClassifier):
    """A factorization machine for several tasks.

    Parameters
    ----------
    {parameters}
    """

    def build_network(self, embedding, n_outputs, generator):
        return FactorizationMachine(embedding, n_outputs, generator)


# %%
# It is an estimator as any other
# -------------------------------
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(20_000, random_state=0)
train, test = slice(0, 16_000), slice(16_000, None)

model = FactorizationMachineClassifier(embedding_dim=8, random_state=0)
model.fit(log.data[train], log.target[train])
model.predict_proba(log.data[test]).shape

# %%
# Epochs, losses and scores are recorded, and the displays that need no gates draw them.
from dephn_sk.inspection import TrainingCurveDisplay

_ = TrainingCurveDisplay.from_estimator(model)

# %%
# Beside DEPHN, the mean ROC AUC of the tasks on the last days of the log.
other = DEPHNMultiTaskClassifier(random_state=0).fit(log.data[train], log.target[train])
{
    "factorization machine": model.score(log.data[test], log.target[test]),
    "DEPHN": other.score(log.data[test], log.target[test]),
}
