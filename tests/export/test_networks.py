"""Every network comes out of a graph as it predicts, whatever its options.

A trace takes seconds: options that others cover too wait for DEPHN_SK_FULL=1.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from _graphs import N_ROWS, NO_ROWS, hard_numbers, pd, run

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.baselines._single_task import SingleTaskClassifier
from dephn_sk.export import feed, to_onnx
from dephn_sk.preprocessing import FieldEncoder

SMALL = {
    "embedding_dim": 4,
    "n_bins": 4,
    "batch_size": 64,
    "max_epochs": 2,
    "early_stopping": False,
    "n_threads": 1,
    "random_state": 0,
    "conditions": {},  # ESMM's default is a chain
}
FULL = bool(os.environ.get("DEPHN_SK_FULL"))
DEPHN_OPTIONS = {
    "default": {},
    "soft selection": {
        "private_experts": ("cross", "field"),
        "selection": "soft",
        "numeric_embedding": "bins+piecewise-linear",
    },
    "attention each": {
        "private_experts": ("field",),
        "public_experts": ("cross", "dnn", "field"),
        "selection": "soft-private-attention",
        "n_heads": 2,
        "mappings": ("cos", "square", "tanh", "raw"),
        "cross_rank": None,
        "gate": "mapped",
        "numeric_embedding": "bins|piecewise-linear",
        "tower_hidden": (),
    },
    "members": {"n_networks": 3, "private_experts": ("cross", "field")},
    "members apart": {"n_networks": 2, "selection": "soft", "gate": "mapped"},
    "float64": {
        "public_experts": (),
        "private_experts": ("dnn", "cross"),
        "numeric_embedding": "periodic+linear",
        "dtype": "float64",
    },
}
MORE_OPTIONS = {
    "attention": {"selection": "attention", "gate": "mapped", "residual": False},
    "periodic": {"tower_hidden": (), "numeric_embedding": "periodic|linear"},
    "bins": {"numeric_embedding": "bins", "tower_hidden": (5, 4)},
    "callable gradient": {"virtual_gradient": lambda gates, alike: gates},
}
COVERED = {
    "MTPHNClassifier",
    "SharedBottomClassifier",
    "DNNClassifier",
    "DCNClassifier",
}
OPTIONS = {**DEPHN_OPTIONS, **(MORE_OPTIONS if FULL else {})}
BASELINES = [name for name in baselines.__all__ if name.endswith("Classifier")]
CASES = {
    **{f"DEPHN, {name}": (DEPHNMultiTaskClassifier, OPTIONS[name]) for name in OPTIONS},
    **{
        name: (getattr(baselines, name), {})
        for name in BASELINES
        if FULL or name not in COVERED
    },
    "DNN, scalars": (baselines.DNNClassifier, {"numeric_embedding": "scalar"}),
}


def table(n_rows, seed):
    """Categories, numbers and bags of each way of pooling; easy ones."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "city": rng.choice(list("abcde"), n_rows),
            "age": rng.normal(size=n_rows).round(1),
            "hour": rng.integers(0, 24, n_rows).astype(float),
        }
    )
    X.loc[X.index[::7], "age"] = np.nan
    for name in ("mean", "sum", "max"):
        X[name] = [list(rng.choice(list("abc"), k)) for k in rng.integers(0, 4, n_rows)]
    return X


def labels(X, seed=0):
    rng = np.random.default_rng(seed)
    score = (X["city"] < "c") + X["hour"] / 24 + rng.normal(size=len(X))
    buy = rng.choice(["no", "some", "many"], len(X))
    return pd.DataFrame({"click": (score > 1).astype(int), "buy": buy})


MODES = {name: name for name in ("mean", "sum", "max")}


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    kind, options = CASES[request.param]
    encoder = FieldEncoder(bag_mode=MODES, bag_weights={"sum": "w"})
    X = table(200, 0)
    X["w"] = [list(np.linspace(-1, 2, len(row))) for row in X["sum"]]
    y = labels(X)
    if issubclass(kind, SingleTaskClassifier):  # a network for each task
        y = y["buy"]
    return kind(**{**SMALL, **options}, encoder=encoder).fit(X, y)


def assert_close(found, wanted):
    """To the tolerance that the library promises, none of them missing."""
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_the_graph_predicts_what_the_estimator_predicts(fitted):
    model = to_onnx(fitted, inputs="encoded", opset=18)
    rng = np.random.default_rng(1)
    rows = table(N_ROWS, 1)
    rows["w"] = [list(rng.normal(size=len(row))) for row in rows["sum"]]
    rows["age"] = hard_numbers(rng, np.array([0.5, -0.5]))
    for n in (N_ROWS, *NO_ROWS, 1, 2):
        given = feed(fitted, rows[: max(n, 1)], inputs="encoded")
        given = {name: values[:n] for name, values in given.items()}
        found = run(model, given)
        if not n:
            assert all(one.shape[0] == 0 for one in found.values())
            continue
        wanted = fitted.predict_proba(rows[:n])
        wanted = wanted if isinstance(wanted, list) else [wanted]
        for one, other in zip(found.values(), wanted, strict=True):
            assert_close(one, other)
