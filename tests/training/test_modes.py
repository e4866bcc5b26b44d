"""A fit takes gradients and a precision of its own, whatever its caller's modes are."""

import numpy as np
import pytest
import torch

from dephn_sk import DEPHNMultiTaskClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, :2] + RNG.normal(size=(60, 2)) > 0).astype(int)
MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def fitted():
    return DEPHNMultiTaskClassifier(
        private_experts=("cross", "field"), max_epochs=2, random_state=0, n_networks=1
    ).fit(X, Y)


@pytest.mark.parametrize("name", MODES)
def test_modes_of_the_caller_change_no_fit_and_no_prediction(name):
    expected = fitted().predict_proba(X)
    with MODES[name]():
        model = fitted()
        found = model.predict_proba(X)
        model.partial_fit(X, Y)
        assert torch.is_grad_enabled() == (name == "autocast")
        assert torch.is_autocast_enabled("cpu") == (name == "autocast")
    np.testing.assert_array_equal(found, expected)
    assert not np.allclose(model.predict_proba(X), expected)


@pytest.mark.parametrize("wrong", ["Auto", "2", 1.5])
def test_threads_that_are_no_number_are_refused_where_they_are_used(wrong):
    model = fitted().set_params(n_threads=wrong)
    with pytest.raises(ValueError, match=f"n_threads={wrong!r}"):
        model.predict_proba(X)
