"""Trainable gate values and mapped gates."""

from __future__ import annotations

import pytest
import torch
from _naive import mapped_gates, randomize
from torch.testing import assert_close

from dephn_sk.nn import InputGates, TaskGates


def test_trainable_gates_are_their_values_whatever_the_input():
    gates = TaskGates(n_tasks=2, n_branches=6)
    for batch in (1, 2, 7):
        assert torch.equal(gates(torch.randn(batch, 3)), gates.values)
    assert gates.values.shape == (2, 6)


def test_trainable_gates_start_uniform_between_zero_and_one():
    generator = torch.Generator().manual_seed(0)
    values = TaskGates(50, 100, generator=generator).values
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() < 1
    assert abs(values.mean() - 0.5) < 0.02
    assert abs(values.std() - 12**-0.5) < 0.01


def test_trainable_gates_are_neither_normalised_nor_clipped():
    gates = TaskGates(1, 2)
    gates.values.data = torch.tensor([[-3.0, 40.0]])
    assert gates(torch.zeros(1, 1)).tolist() == [[-3.0, 40.0]]


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("n_branches", [1, 6])
def test_mapped_gates_are_a_softmax_over_the_branches(batch, n_branches):
    gates = randomize(InputGates(5, n_tasks=3, n_branches=n_branches))
    x = torch.randn(batch, 5, dtype=torch.float64)
    expected = [
        torch.stack([mapped_gates(gates, t, row) for t in range(3)]) for row in x
    ]
    assert_close(gates(x), torch.stack(expected))
    assert_close(gates(x).sum(-1), torch.ones(batch, 3, dtype=torch.float64))
