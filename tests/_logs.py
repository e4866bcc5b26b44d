"""A small log, estimators that learn it fast, and what they have learned in bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

SMALL = {
    "embedding_dim": 2,
    "expert_hidden": (4,),
    "tower_hidden": (),
    "batch_size": 32,
    "max_epochs": 2,
    "early_stopping": False,
    "weight_averaging": 0.0,
    "random_state": 0,
    "n_threads": 1,
}


def make_log(n_rows=96, shops="abcd", seed=0):
    """A table of shops and sizes, and whether a row was clicked and bought."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "shop": rng.choice(list(shops), n_rows),
            "size": rng.normal(size=n_rows),
            "age": rng.integers(0, 9, n_rows).astype(float),
        }
    )
    click = (X["size"] + (X["shop"] < "c") + rng.normal(size=n_rows) > 0.5).astype(int)
    buy = ((X["age"] + rng.normal(size=n_rows) > 5) & (click == 1)).astype(int)
    return X, pd.DataFrame({"click": click, "buy": buy})


def learned(model):
    """All that decides what an estimator predicts and how it goes on, but times."""
    state = dict(model._fitted.state.state())
    history = [_untimed(row) for row in state.pop("history")]
    found = {"history": repr(history), "kept": repr(model.kept_epoch_)}
    for name, value in state.items():
        found[name] = as_bytes(value)
    for name, value in model.network_.state_dict().items():
        found[f"predicts.{name}"] = as_bytes(value)
    return found


def _untimed(row):
    return {key: value for key, value in row.items() if key != "dur"}


def as_bytes(value):
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.detach().numpy().tobytes())
    return repr(value)


def assert_same_learned(one, other):
    """Not a bit of two fitted estimators differs."""
    a, b = learned(one), learned(other)
    assert a.keys() == b.keys()
    assert not [name for name in a if a[name] != b[name]]
