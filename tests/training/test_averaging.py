"""The moving average of the weights, against a loop."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from skorch.callbacks import Callback
from torch import nn

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.training._averaging import WeightAverage


def naive_average(weights, decay):
    """The average after all of the given weights, in order."""
    average = None
    for n, weight in enumerate(weights, 1):
        d = min(decay, (n - 1) / (n - 1 + 9))
        average = weight if average is None else d * average + (1 - d) * weight
    return average


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("n_steps", [1, 2, 40])
def test_average_is_that_of_a_loop(decay, n_steps):
    weights = np.random.default_rng(0).normal(size=(n_steps, 3))
    network = nn.ParameterList([torch.full((3,), 100.0, dtype=torch.float64)])
    average = WeightAverage(network, decay)
    for weight in weights:
        network[0].data = torch.tensor(weight)
        average.update()
    averaged = average.network[0].detach()
    assert_allclose(averaged, naive_average(weights, decay), rtol=1e-12)
    assert_allclose(network[0].detach(), weights[-1], rtol=0)


class EveryStep(Callback):
    """Keeps the weights after each step of training."""

    def on_train_begin(self, net, **kwargs):
        self.weights = []

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training:
            values = [p.detach().flatten() for p in net.module_.parameters()]
            self.weights.append(torch.cat(values).numpy().copy())


def make_table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = (X[:, :2] + rng.normal(size=(n, 2)) > 0).astype(int)
    return X, y


def make_model(**parameters):
    return DEPHNMultiTaskClassifier(
        **{
            "embedding_dim": 2,
            "expert_hidden": (4,),
            "batch_size": 64,
            "max_epochs": 3,
            "dtype": "float64",
            "random_state": 0,
        }
        | parameters
    )


def flat(model):
    values = [p.detach().flatten() for p in model.net_.module_.parameters()]
    return torch.cat(values).numpy()


def test_fit_leaves_the_average_of_the_weights_of_all_steps():
    X, y = make_table()
    steps = [("steps", EveryStep())]
    last = make_model(weight_averaging=0.0, callbacks=steps).fit(X, y)
    weights = dict(last.net_.callbacks_)["steps"].weights
    assert len(weights) == 3 * 5
    assert_allclose(flat(last), weights[-1], rtol=0)
    averaged = make_model(weight_averaging=0.7).fit(X, y)
    assert_allclose(flat(averaged), naive_average(weights, 0.7), rtol=1e-9, atol=1e-12)


def test_validation_reads_the_average():
    X, y = make_table()
    X_val, y_val = make_table(seed=1)
    model = make_model(weight_averaging=0.7, early_stopping=True)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    losses = model.net_.history[:, "valid_loss"]
    p = model.predict_proba(X_val)
    log_loss = -np.where(y_val, np.log(p), np.log1p(-p)).mean(axis=0).sum()
    assert_allclose(min(losses), log_loss, rtol=1e-6)


def test_training_goes_on_from_the_last_weights_even_after_a_pickle():
    X, y = make_table()
    whole = make_model(max_epochs=5, weight_averaging=0.7).fit(X, y)
    half = make_model(max_epochs=3, weight_averaging=0.7, warm_start=True).fit(X, y)
    half = pickle.loads(pickle.dumps(half)).set_params(max_epochs=2).fit(X, y)
    assert_allclose(flat(half), flat(whole), rtol=0)


def test_a_table_that_grows_keeps_weights_and_averages():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"id": ["a", "b"] * 50})
    y = np.tile([0, 1, 0, 0, 1], 20)
    state = make_model(weight_averaging=0.7).fit(X, y)._fitted.state
    (table,) = (part.table.detach().clone() for part in state.network.tables())
    (mean,) = (part.table.detach().clone() for part in state.average.network.tables())
    state.grow((4,), ())
    (grown,) = (part.table.detach() for part in state.network.tables())
    (grown_mean,) = (part.table.detach() for part in state.average.network.tables())
    assert_allclose(grown[:3], table, rtol=0)
    assert_allclose(grown_mean[:3], mean, rtol=0)
    assert len(grown) == len(grown_mean) == 4


def test_an_average_of_one_step_is_that_step():
    X, y = make_table(50)
    models = [make_model(weight_averaging=w) for w in (0.0, 0.999)]
    last, averaged = (model.partial_fit(X, y) for model in models)
    assert_allclose(flat(last), flat(averaged), rtol=0)
