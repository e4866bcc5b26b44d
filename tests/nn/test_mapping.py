"""ExplicitMapping, [DEPHN] eq. 3."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from dephn_sk.nn import ExplicitMapping

FUNCTIONS = {
    "raw": lambda x: x,
    "sin": math.sin,
    "cos": math.cos,
    "square": lambda x: x**2,
    "tanh": math.tanh,
}


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("mappings", [("raw", "sin"), ("raw",), tuple(FUNCTIONS)])
@pytest.mark.parametrize("n_experts", [1, 3])
def test_branches_are_each_expert_under_each_mapping(batch, mappings, n_experts):
    experts = torch.randn(n_experts, batch, 4, dtype=torch.float64)
    branches = ExplicitMapping(mappings)(experts)
    assert branches.shape == (batch, n_experts * len(mappings), 4)
    for i in range(batch):
        for k in range(n_experts):
            for p, name in enumerate(mappings):
                mapped = [FUNCTIONS[name](float(e)) for e in experts[k, i]]
                branch = branches[i, k * len(mappings) + p]
                assert_close(branch, torch.tensor(mapped, dtype=torch.float64))


def test_a_callable_is_a_mapping():
    mapping = ExplicitMapping(("raw", torch.relu))
    branches = mapping(torch.tensor([[[-1.0, 2.0]]]))
    assert branches.tolist() == [[[-1.0, 2.0], [0.0, 2.0]]]
    assert mapping.names == ("raw", "relu")


def test_raw_and_sin_are_the_default():
    assert ExplicitMapping().names == ("raw", "sin")


def test_no_experts_make_no_branches():
    assert ExplicitMapping()(torch.zeros(0, 5, 4)).shape == (5, 0, 4)


def test_an_unknown_mapping_is_named():
    with pytest.raises(ValueError, match="'sinn'"):
        ExplicitMapping(("raw", "sinn"))


def test_mappings_have_no_parameters():
    assert not list(ExplicitMapping(tuple(FUNCTIONS)).parameters())
