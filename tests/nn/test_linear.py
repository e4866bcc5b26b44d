"""GroupedLinear: one affine map for each group."""

from __future__ import annotations

import pytest
import torch
from _naive import affine, randomize
from torch.testing import assert_close

from dephn_sk.nn import GroupedLinear
from dephn_sk.nn._linear import shared_input


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_each_group_is_its_own_affine_map(batch, bias, shared):
    layer = randomize(GroupedLinear(3, 5, 2, bias=bias))
    x = torch.randn(*([] if shared else [3]), batch, 5, dtype=torch.float64)
    rows = x.expand(3, -1, -1)
    expected = [
        torch.stack([affine(layer, g, row) for row in own])
        for g, own in enumerate(rows)
    ]
    assert_close(layer(x), torch.stack(expected))


def test_initial_values_are_those_of_torch_linear():
    generator = torch.Generator().manual_seed(0)
    layer = GroupedLinear(4, 25, 100, generator=generator)
    for values in (layer.weight, layer.bias):
        assert values.abs().max() <= 1 / 5
        assert values.abs().max() > 0.19
        assert values.mean().abs() < 0.02


def test_a_generator_decides_the_initial_values_and_torch_keeps_its_own():
    state = torch.get_rng_state()
    first, second = (
        GroupedLinear(3, 5, 2, generator=torch.Generator().manual_seed(0))
        for _ in range(2)
    )
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_maps_of_a_shared_input_are_those_of_each_alone(batch):
    maps = [
        GroupedLinear(2, 4, 3).double(),
        GroupedLinear(3, 4, 1).double(),
        GroupedLinear(1, 4, 5).double(),
    ]
    x = torch.randn(batch, 4, dtype=torch.float64, requires_grad=True)
    leaves = [x, *(p for one in maps for p in one.parameters())]
    results = []
    for outputs in (shared_input(x, maps), [one(x) for one in maps]):
        loss = sum(out.sin().sum() for out in outputs)
        results.append([*outputs, *torch.autograd.grad(loss, leaves)])
    for one, other in zip(*results, strict=True):
        assert_close(one, other)
