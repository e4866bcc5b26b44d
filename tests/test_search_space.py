"""The space of hyper-parameters: valid draws that hold the defaults."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV

from dephn_sk import DEPHNMultiTaskClassifier, search_space, suggest_parameters


class Trial:
    """Draws as Optuna's trials do, and refuses the values that Optuna refuses."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def suggest_categorical(self, name, choices):
        assert all(c is None or isinstance(c, (bool, int, float, str)) for c in choices)
        return choices[self.rng.integers(len(choices))]

    def suggest_float(self, name, low, high, *, log=False):
        assert 0 < low < high if log else 0 <= low < high
        if log:
            return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))
        return float(self.rng.uniform(low, high))


def make_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    return X, (X + rng.normal(size=(60, 2)) > 0).astype(int)


def test_each_default_is_in_the_space():
    defaults = DEPHNMultiTaskClassifier().get_params()
    for name, values in search_space().items():
        if isinstance(values, list):
            assert defaults[name] in values
        else:
            low, high = values.support()
            assert low <= defaults[name] <= high


@pytest.mark.parametrize("draw", ["sampler", "trial"])
def test_every_draw_is_valid(draw):
    X, y = make_data()
    for seed in range(5):
        if draw == "sampler":
            (parameters,) = ParameterSampler(search_space(), 1, random_state=seed)
        else:
            parameters = suggest_parameters(Trial(seed))
        model = DEPHNMultiTaskClassifier(**parameters, max_epochs=1, random_state=0)
        assert np.isfinite(model.fit(X, y).predict_proba(X)).all()


def test_draws_differ_in_every_parameter():
    draws = [suggest_parameters(Trial(seed)) for seed in range(40)]
    for name in search_space():
        assert len({draw[name] for draw in draws}) > 1


def test_a_prefix_reaches_a_step_of_a_pipeline():
    assert {name[:7] for name in search_space("model__")} == {"model__"}
    assert {name[:7] for name in suggest_parameters(Trial(0), "model__")} == {"model__"}


def test_a_randomized_search_runs_over_it():
    X, y = make_data()
    search = RandomizedSearchCV(
        DEPHNMultiTaskClassifier(max_epochs=1, random_state=0),
        search_space(),
        n_iter=2,
        cv=2,
        random_state=0,
    )
    assert search.fit(X, y).best_params_.keys() == search_space().keys()
