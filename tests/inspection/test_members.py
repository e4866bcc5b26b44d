"""What is shown of several networks is their mean, and how far they are apart."""

import numpy as np
import pytest
from scipy.special import logit

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.inspection import (
    FitSummary,
    GateDisplay,
    expert_contributions,
    field_attributions,
    gate_values,
    selection_gates,
)

N = 3
MODELS = {
    "side by side": {"selection": None},
    "apart": {},
    "mapped": {"gate": "mapped"},
}


@pytest.fixture(scope="module", params=MODELS)
def fitted(request, table, whole):
    given = {**whole, **MODELS[request.param], "n_networks": N}
    return DEPHNMultiTaskClassifier(**given).fit(*table)


def test_gates_are_the_mean_with_their_spread(fitted, table, assert_readable):
    X, _ = table
    mapped = fitted.network_.gates is None
    own = [m.gates for m in fitted.network_.members]
    display = GateDisplay.from_estimator(fitted, X=X)
    assert np.shape(display.spread) == np.shape(display.gates)
    assert np.all(display.spread > 0)
    np.testing.assert_array_equal(display.gates, gate_values(fitted, X))
    assert_readable(display.figure_)
    printed = display.text_[0, 0].get_text()
    assert printed == f"{display.gates[0, 0]:.2f}\n±{display.spread[0, 0]:.2f}"
    if not mapped:
        each = np.stack([gates.detach().numpy() for gates in own])
        np.testing.assert_allclose(display.gates, each.mean(0), rtol=1e-6)
        np.testing.assert_allclose(display.spread, each.std(0, ddof=1), rtol=1e-5)
        np.testing.assert_allclose(fitted.gate_values_, each.mean(0), rtol=1e-6)
        assert fitted.gate_history_.shape == (2, *fitted.gate_values_.shape)


def test_one_network_has_no_spread(table, whole):
    X, y = table
    model = DEPHNMultiTaskClassifier(**whole).fit(X, y)
    display = GateDisplay.from_estimator(model)
    assert display.spread is None
    assert "±" not in display.text_[0, 0].get_text()


def test_contributions_and_pooling_add_up_to_the_logits(fitted, table):
    X, _ = table
    found = expert_contributions(fitted, X)
    assert found.expert_names[-1] == "pooling"
    assert found.contributions.shape[2] == len(found.expert_names)
    logits = found.contributions.sum(-1) + found.bias
    np.testing.assert_allclose(logits, logit(fitted.predict_proba(X)), atol=1e-4)


def test_attributions_add_up_to_the_logits(fitted, table):
    X, _ = table
    found = field_attributions(fitted, X[:5], background=X)
    logits = found.attributions.sum(-1) + found.baseline
    np.testing.assert_allclose(logits, logit(fitted.predict_proba(X[:5])), atol=0.02)


def test_what_else_there_is_is_shown(fitted, table):
    names = fitted.branch_names_
    assert len(names) == gate_values(fitted, table[0]).shape[1]
    assert "fitted" in repr(FitSummary.from_estimator(fitted))
    if fitted.selection is not None:
        gates = selection_gates(fitted).gates
        assert len(gates) == len(selection_gates(fitted).structure_names)


def test_gates_of_mixtures_of_experts_have_a_spread(table):
    X, y = table
    given = {"max_epochs": 1, "n_networks": 2, "random_state": 0, "n_threads": 1}
    model = baselines.MMoEClassifier(**given).fit(X, y)
    display = GateDisplay.from_estimator(model, X=X)
    np.testing.assert_allclose(np.sum(display.gates, axis=1), 1, rtol=1e-6)
    assert np.all(display.spread > 0)
