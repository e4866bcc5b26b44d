"""Lower precision of matrix products: close results, and torch's settings restored."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from _batches import KINDS, make_kind
from skorch.callbacks import Callback

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.training._evaluation import products
from dephn_sk.training._precision import (
    change_setting,
    has_own_setting,
    setting,
    tensor_float_32,
)

TINY = {"embedding_dim": 4, "n_bins": 4, "max_epochs": 2, "random_state": 0}
STRUCTURES = {"public_experts": ("dnn", "cross", "field"), "n_heads": 2}
DATA = make_kind(n_rows=40).table()
BASELINES = [name for name in baselines.__all__ if name.endswith("Classifier")]


def make_model(**options):
    return DEPHNMultiTaskClassifier(**{**TINY, **options})


MODELS = {name: getattr(baselines, name) for name in BASELINES} | {
    "default": make_model,
    "paper": DEPHNMultiTaskClassifier.paper_configuration,
    "attention": lambda **options: make_model(
        selection="attention", private_experts=("dnn",), **STRUCTURES, **options
    ),
    "attentions": lambda **options: make_model(
        selection="soft-private-attention",
        private_experts=("cross", "field"),
        **STRUCTURES,
        **options,
    ),
    "mapped gates": lambda **options: make_model(
        gate="mapped", numeric_embedding="linear+bins|periodic", **options
    ),
}


def logits(model, X):
    return model.logits_of(model.encoder_.encode(X))


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_gives_nearly_the_same_logits(name):
    X, y = DATA
    model = MODELS[name](max_epochs=2, random_state=0, conditions={}).fit(X, y)
    full = logits(model, X)
    model._fitted.template.precision = "bf16"
    low = logits(model, X)
    assert not np.array_equal(low, full)
    np.testing.assert_allclose(low, full, atol=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_trains_nearly_as_full_precision(name):
    X, y = DATA
    low, full = (
        MODELS[name](
            max_epochs=2, random_state=0, precision=precision, conditions={}
        ).fit(X, y)
        for precision in ("bf16", "full")
    )
    weights = low.net_.module_.state_dict().values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}
    losses = [model.net_.history[:, "train_loss"] for model in (low, full)]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(*losses, atol=0.01)


@pytest.mark.parametrize("name", KINDS)
def test_the_loss_falls_under_bfloat16(name):
    quiet = {"dropout": 0.0, "embedding_dropout": 0.0, "unseen_rate": 0.0}
    model = make_model(max_epochs=30, precision="bf16", learning_rate=0.01, **quiet)
    losses = model.fit(*KINDS[name].table()).net_.history[:, "train_loss"]
    assert losses[-1] < losses[0]


def test_the_same_seed_gives_the_same_bytes_under_bfloat16():
    X, y = DATA
    one, other = (make_model(precision="bf16").fit(X, y) for _ in range(2))
    assert np.array_equal(logits(one, X), logits(other, X))


def test_a_row_is_predicted_as_among_others_under_bfloat16():
    X, y = DATA
    model = make_model(precision="bf16").fit(X, y)
    assert np.array_equal(logits(model, X)[3:4], logits(model, X.iloc[3:4]))


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_lower_precision_is_one_of_float32(precision):
    model = make_model(precision=precision, dtype="float64")
    with pytest.raises(ValueError, match=f"precision='{precision}'.*dtype='float64'"):
        model.fit(*DATA)


def test_precision_may_change_when_training_goes_on():
    X, y = DATA
    model = make_model().fit(X, y)
    model.set_params(precision="bf16").partial_fit(X, y)
    assert model.fitted_params_["precision"] == "bf16"


# ------------------------------------------------------------------ torch's settings


def test_autocast_is_on_within_the_network_alone():
    class Listen(Callback):
        def on_batch_end(self, net, **kwargs):
            self.seen_ = torch.is_autocast_enabled("cpu")

    within = []
    model = make_model(precision="bf16", callbacks=[("listen", Listen)]).fit(*DATA)
    assert dict(model.net_.callbacks_)["listen"].seen_ is False
    model.net_.module_.register_forward_hook(
        lambda *_: within.append(torch.is_autocast_enabled("cpu"))
    )
    model.predict(DATA[0])
    assert within == [True]
    assert not torch.is_autocast_enabled("cpu")


def everything():
    """All that torch says of the precision of products and convolutions."""
    found = [setting()]
    parts = ("cudnn", "cudnn.conv", "cudnn.rnn", "mkldnn", "mkldnn.matmul")
    for name in ("cuda.matmul", *parts):
        part = torch.backends
        for step in name.split("."):
            part = getattr(part, step, None)  # early releases of torch have fewer
        found.append(getattr(part, "fp32_precision", None))
    return [*found, getattr(torch.backends, "fp32_precision", None)]


@pytest.fixture(params=["highest", "high", "own"])
def before(request):
    """A setting of torch, as the user may have chosen it, by either of its names."""
    if request.param != "own":
        earlier = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(request.param)
        yield setting()
        torch.set_float32_matmul_precision(earlier)
        return
    if not has_own_setting():
        pytest.skip("this torch has one name alone")
    earlier = setting()
    change_setting("ieee")
    yield "ieee"
    change_setting(earlier)


ON = "tf32" if has_own_setting() else "high"


@pytest.mark.parametrize("fails", [False, True])
def test_tensor_float_32_is_on_for_its_duration_alone(before, fails):
    all_before = everything()
    with contextlib.suppress(ZeroDivisionError), tensor_float_32:
        assert setting() == ON
        if fails:
            raise ZeroDivisionError
    assert setting() == before
    assert everything() == all_before


def test_the_last_thread_to_leave_restores_the_setting():
    before = setting()
    one, other = contextlib.ExitStack(), contextlib.ExitStack()
    one.enter_context(tensor_float_32)
    other.enter_context(tensor_float_32)
    one.close()
    assert setting() == ON != before
    other.close()
    assert setting() == before


@pytest.mark.parametrize("precision", ["full", "tf32", "bf16"])
def test_tensor_float_32_is_for_cuda_and_only_if_asked_for(precision):
    before = setting()
    for device in ("cpu", "cuda:1"):
        asked = device != "cpu" and precision == "tf32"
        with products(torch.device(device), precision):
            assert setting() == (ON if asked else before)
    assert setting() == before


def test_tensor_float_32_changes_nothing_on_the_cpu():
    X, y = DATA
    full, asked = (
        make_model(precision=precision, device="cpu").fit(X, y)
        for precision in ("full", "tf32")
    )
    assert np.array_equal(logits(full, X), logits(asked, X))
