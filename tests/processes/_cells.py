"""The table of what several processes have to do as one does."""

from __future__ import annotations

import contextlib
import warnings
from hashlib import sha256
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import torch
from skorch.callbacks import Callback, LRScheduler

import dephn_sk
from dephn_sk import baselines
from dephn_sk.nn import _table
from dephn_sk.training import Ranks, _compiled, _gradients
from dephn_sk.training._ranks import NONE

N_ROWS, BATCH = 193, 64  # the last batch is one row: ranks 1, 2, ... have none
CELLS = {}


def rows(n=N_ROWS, seed=0, bags=False):
    import pandas as pd

    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 30, n), rng.integers(0, 12, n)
    X = pd.DataFrame(
        {
            "user": [f"u{i}" for i in user],
            "item": [f"i{i}" for i in item],
            "price": rng.normal(size=n),
            "age": rng.integers(18, 60, n).astype(float),
        }
    )
    if bags:
        X["tags"] = [[f"t{k}" for k in rng.integers(0, 8, i % 4)] for i in range(n)]
    noise = rng.normal(size=(n, 2))
    click = (X["price"] + (user % 3) + noise[:, 0] > 1).astype(int)
    like = ((item % 4 == 0) & (noise[:, 1] > -0.5)).astype(int)
    return X, pd.DataFrame({"click": click, "like": like})


OFF = {"embedding_dropout": 0.0, "dropout": 0.0, "unseen_rate": 0.0}
SMALL = {
    **{"dtype": "float64", "random_state": 0, "max_epochs": 2, "batch_size": BATCH},
    **{"early_stopping": False, "n_threads": 1, "learning_rate": 0.01},
    **{"embedding_dim": 4, "expert_hidden": (8,), "tower_hidden": (6,)},
}


def model(kind=dephn_sk.DEPHNMultiTaskClassifier, **given):
    own = {k: v for k, v in SMALL.items() if k in kind().get_params()}
    return kind(**{**own, **given})


def cell(function):
    CELLS[function.__name__] = function
    return function


@contextlib.contextmanager
def sparse():
    """Large tables, of which each rank steps every few rows."""
    with (
        mock.patch.object(_table, "SPARSE_ROWS", 1),
        mock.patch.object(_gradients, "_ROWS", 4),
        mock.patch.object(_gradients, "_PART", 8),
    ):
        yield


def told(fitted, X):
    """What has to be equal: predictions, all that training goes on from, the record."""
    state = {**fitted.network_.state_dict(), **fitted._fitted.state.state()}
    state = {k: v.detach().numpy() for k, v in state.items() if torch.is_tensor(v)}
    bytes_ = b"".join(value.tobytes() for value in state.values())
    record = [dict(row) for row in fitted.net_.history]
    predict = getattr(fitted, "predict_proba", fitted.predict)
    each = predict(X)
    each = np.column_stack(each) if isinstance(each, list) else np.asarray(each)
    return {
        "predictions": each.astype(float),
        "bytes": sha256(bytes_).hexdigest(),
        "state": state,
        "record": record,
        "kept_epoch": fitted.kept_epoch_,
        "n_iter": fitted.n_iter_,
    }


def child():
    """Whether a process is alone, and that it fits."""
    return Ranks.here() is NONE, model(max_epochs=1).fit(*rows(60)).n_iter_


@cell
def dense():
    X, y = rows()
    return model(**OFF).fit(X, y), X


@cell
def dropout():
    X, y = rows()
    return model(weight_averaging=0.0).fit(X, y), X


@cell
def compiled():
    X, y = rows()
    # by a backend of torch that traces, and compiles nothing
    how = mock.patch.object(_compiled, "how", lambda device: {"backend": "aot_eager"})
    with how, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return model(baselines.MMoEClassifier, compile=True).fit(X, y), X


@cell
def sparse_tables():
    X, y = rows()
    with sparse():
        return model(**OFF, weight_averaging=0.0).fit(X, y), X


@cell
def sparse_averaged_with_dropout():
    X, y = rows()
    with sparse():
        return model(weight_averaging=0.9, weight_decay=0.1).fit(X, y), X


@cell
def bags():
    X, y = rows(bags=True)
    return model().fit(X, y), X


@cell
def bags_in_sparse_tables():
    X, y = rows(bags=True)
    with sparse():
        return model().fit(X, y), X


@cell
def missing_labels():
    X, y = rows()
    y = y.astype(float)
    y.iloc[::3, 1] = np.nan
    y.iloc[1::7, 0] = np.nan
    return model().fit(X, y), X


@cell
def weights():
    X, y = rows()
    weight = np.random.default_rng(1).exponential(size=y.shape)
    weight[::5] = 0
    return model(class_weight="balanced").fit(X, y, weight), X


@cell
def uncertainty():
    X, y = rows()
    return model(task_weights="uncertainty").fit(X, y), X


@cell
def early_stopping():
    X, y = rows(301)
    options = {"early_stopping": True, "n_epochs_no_change": 1, "monitor": "score"}
    return model(**options, validation_fraction=0.3, max_epochs=6).fit(X, y), X


@cell
def validation_rows():
    X, y = rows()
    one = model(early_stopping=True, max_epochs=3, validate_every=4)
    X_val, y_val = rows(65, seed=5)  # its last batch is one row
    return one.fit(X, y, X_val=X_val, y_val=y_val), X


@cell
def two_networks():
    X, y = rows(bags=True)
    with sparse():
        return model(n_networks=2).fit(X, y), X


@cell
def virtual_gradient():
    X, y = rows()
    y = y.assign(kind=np.arange(len(y)) % 3).astype(float)
    y.iloc[::4, 0] = np.nan
    own = {k: SMALL[k] for k in ("dtype", "random_state", "max_epochs", "batch_size")}
    paper = dephn_sk.DEPHNMultiTaskClassifier.paper_configuration(**own)
    paper.set_params(early_stopping=False, embedding_dim=4, expert_hidden=(8,))
    return paper.fit(X, y), X


@cell
def virtual_gradient_of_two_networks():
    X, y = rows()
    own = {k: SMALL[k] for k in ("dtype", "random_state", "max_epochs", "batch_size")}
    paper = dephn_sk.DEPHNMultiTaskClassifier.paper_configuration(**own)
    paper.set_params(early_stopping=False, embedding_dim=4, n_networks=2)
    return paper.fit(X, y), X


@cell
def pairs():
    X, y = rows()
    one = model(loss="pairwise", label_smoothing=0.1)
    return one.fit(X, y, groups=X["user"].to_numpy()), X


@cell
def pairs_of_two_networks():
    X, y = rows()
    one = model(loss="pairwise", n_networks=2)
    return one.fit(X, y, groups=X["user"].to_numpy()), X


def of_whole_batch(logits, values):
    """A loss of a user's that looks at the batch."""
    centred = logits - logits.mean()
    return torch.nn.functional.softplus(centred) - values * centred


@cell
def own_loss():
    X, y = rows()
    return model(loss=of_whole_batch).fit(X, y), X


@cell
def a_single_positive():
    X, y = rows()
    y["like"] = 0
    y.loc[7, "like"] = 1
    return model(class_weight="balanced").fit(X, y), X


@cell
def numbers():
    X, y = rows()
    y = y.assign(amount=np.abs(X["price"]) * 3)[["amount"]]
    return model(dephn_sk.DEPHNMultiTaskRegressor).fit(X, y), X


class Clip(Callback):
    """Changes gradients, learning rates, and what is trained."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        parameters = [p for _, p in named_parameters]
        self.norm = float(torch.nn.utils.clip_grad_norm_(parameters, 0.05))
        net.history.record("norm", self.norm)

    def on_epoch_begin(self, net, **kwargs):
        for name, parameter in net.module_.named_parameters():
            if name.endswith("table"):
                parameter.requires_grad_(len(net.history) < 2)


@cell
def callbacks():
    X, y = rows()
    rates = LRScheduler("StepLR", step_size=1, gamma=0.5)
    with sparse():
        one = model(callbacks=[Clip(), rates], max_epochs=3)
        return one.fit(X, y), X


class Moments(Callback):
    """Sees what an optimizer holds of all rows."""

    def on_epoch_end(self, net, **kwargs):
        for state in net.optimizer_.state.values():
            if "moments" in state:
                net.history.record("moments", state["moments"].square().sum().item())


@cell
def moments_that_are_seen():
    X, y = rows()
    with sparse():
        return model(callbacks=[Moments()]).fit(X, y), X


@cell
def kept_within_epochs():
    X, y = rows()
    one = model(weight_averaging=0.9)
    with sparse(), TemporaryDirectory() as folder:
        kept = {"checkpoint": f"{folder}/fit", "checkpoint_every": "0.001s"}
        return one.fit(X, y, **kept), X


@cell
def partial_fits():
    X, y = rows()
    one = model().partial_fit(X[:100], y[:100], classes=[[0, 1], [0, 1]])
    later = X[100:].assign(item=X["item"][100:] + "b")
    return one.partial_fit(later, y[100:]), X


@cell
def warm_start():
    X, y = rows()
    with sparse():
        one = model(warm_start=True, max_epochs=1)
        return one.fit(X, y).fit(X, y), X


@cell
def penalty_of_a_batch():
    X, y = rows()
    return model(baselines.AITMClassifier).fit(X, y), X


@cell
def random_connections():
    X, y = rows()
    return model(baselines.SNRClassifier).fit(X, y), X


@cell
def small_rows_cross_validated():
    X, y = rows(61)
    return model(max_epochs="auto", early_stopping="auto").fit(X, y), X


@cell
def float32():
    X, y = rows(bags=True)
    return model(dtype="float32").fit(X, y), X


def results(rank, size, names):
    """Of each cell, what this rank has come to."""
    found = {}
    for name in names:
        try:
            fitted, X = CELLS[name]()
            found[name] = told(fitted, X)
        except Exception as error:
            found[name] = repr(error)
    return found
