"""The loss: cross-entropy per task, over the labels that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from _batches import KINDS
from torch.testing import assert_close

from dephn_sk.tasks import Tasks
from dephn_sk.training import MultiTaskLoss

TWO = Tasks.learn(np.array([[0, 1], [1, 0]]))


def naive_loss(logits, labels, weights, n_outputs):
    """Mean over all rows of weight times cross-entropy, for each task."""
    losses, first = [], 0
    for t, k in enumerate(n_outputs):
        total = 0.0
        for row, label, weight in zip(logits, labels[:, t], weights[:, t], strict=True):
            if weight == 0:
                continue
            z = [float(v) for v in row[first : first + k]]
            if k == 1:
                p = 1 / (1 + math.exp(-z[0]))
                p = p if label == 1 else 1 - p
            else:
                p = math.exp(z[int(label)]) / sum(math.exp(v) for v in z)
            total -= weight * math.log(p)
        losses.append(total / len(logits))
        first += k
    return torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_the_weighted_mean_cross_entropy_of_each_task(name, weighted):
    kind = KINDS[name]
    rng = np.random.default_rng(0)
    known = ~np.isnan(kind.labels)
    weights = known * (rng.integers(0, 4, known.shape) if weighted else 1.0)
    labels = np.nan_to_num(kind.labels)
    logits = rng.normal(size=(len(labels), sum(kind.n_outputs)))
    loss = MultiTaskLoss(kind.tasks)
    given = None if known.all() and not weighted else torch.from_numpy(weights)
    losses = loss(torch.from_numpy(logits), torch.from_numpy(labels), given)
    assert_close(losses, naive_loss(logits, labels, weights, kind.n_outputs))
    assert_close(loss.total(losses), losses.sum())


def test_a_label_of_weight_zero_gives_no_gradient():
    logits = torch.zeros(2, 2, requires_grad=True)
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    MultiTaskLoss(TWO)(logits, torch.ones(2, 2), weights).sum().backward()
    assert logits.grad[weights == 0].tolist() == [0.0, 0.0]
    assert (logits.grad[weights == 1] < 0).all()


def test_task_weights_multiply_the_losses():
    losses = torch.tensor([1.0, 10.0])
    assert MultiTaskLoss(TWO, [2.0, 0.5]).total(losses) == 7.0
    assert MultiTaskLoss(TWO).total(losses) == 11.0


def test_uncertainty_is_the_equation_and_learns():
    loss = MultiTaskLoss(TWO, "uncertainty")
    losses = torch.tensor([1.0, 10.0])
    assert loss.total(losses) == 11.0
    loss.uncertainty.data = torch.tensor([0.5, -1.0])
    expected = math.exp(-0.5) * 1 + 0.5 / 2 + math.exp(1) * 10 - 1 / 2
    assert_close(loss.total(losses), torch.tensor(expected))
    loss.total(losses).backward()
    expected = torch.tensor([0.5 - math.exp(-0.5), 0.5 - 10 * math.exp(1)])
    assert_close(loss.uncertainty.grad, expected)


def test_extreme_logits_give_a_finite_loss():
    logits = torch.tensor([[1e4, -1e4]])
    losses = MultiTaskLoss(TWO)(logits, torch.tensor([[0.0, 1.0]]), None)
    assert losses.tolist() == [1e4, 1e4]
