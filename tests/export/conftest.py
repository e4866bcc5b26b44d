"""Fixtures of the tests of graphs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session", autouse=True)
def traced_once():
    """A trace takes seconds: that of one network is used again."""
    pytest.importorskip("onnxscript")
    from dephn_sk.export import _assembly

    traced = cache(_assembly.network_graph)

    def copied(network, n_codes, n_numbers, bags, opset):
        kept = traced(network, n_codes, n_numbers, tuple(bags), opset)
        copy = type(kept)()
        copy.CopyFrom(kept)  # whoever takes it changes it
        return copy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_assembly, "network_graph", copied)
        yield
