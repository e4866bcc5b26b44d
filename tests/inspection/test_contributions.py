import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import DNNClassifier, MTPHNClassifier
from dephn_sk.inspection import ContributionDisplay, expert_contributions


def _logits(estimator, X):
    """Of binary tasks, (n_samples, n_tasks)."""
    probability = estimator.predict_proba(X)
    return np.log(probability) - np.log1p(-probability)


@pytest.mark.parametrize("tower_hidden", [(), (5,), (4, 3)])
@pytest.mark.parametrize(
    "experts",
    [
        {},
        {"gate": "mapped"},
        {"private_experts": ()},
        {"public_experts": ()},
        {"private_experts": ("cross", "cross", "field"), "mappings": ("cos",)},
        {"public_experts": ("field", "dnn"), "private_experts": ("dnn",)},
    ],
    ids=str,
)
def test_contributions_and_bias_are_the_logit(table, whole, tower_hidden, experts):
    X, y = table
    model = DEPHNMultiTaskClassifier(
        **{**whole, **experts}, tower_hidden=tower_hidden, dtype="float64"
    ).fit(X, y)
    result = expert_contributions(model, X)
    assert result.contributions.shape == (300, 2, len(result.expert_names))
    total = result.contributions.sum(axis=-1) + result.bias
    assert_allclose(total, _logits(model, X), atol=1e-6, rtol=0)


@pytest.mark.parametrize("sharing", ["public-dnn", "private-dnn", "all-public"])
def test_contributions_of_mt_phn_are_the_logit_too(table, small, sharing):
    model = MTPHNClassifier(**small, sharing=sharing, dtype="float64").fit(*table)
    result = expert_contributions(model, table[0])
    assert len(result.expert_names) == result.contributions.shape[2]
    total = result.contributions.sum(axis=-1) + result.bias
    assert_allclose(total, _logits(model, table[0]), atol=1e-6, rtol=0)


def test_single_precision_adds_up_to_its_own_rounding(fitted, table):
    result = expert_contributions(fitted, table[0])
    total = result.contributions.sum(axis=-1) + result.bias
    assert_allclose(total, _logits(fitted, table[0]), atol=1e-5, rtol=0)


def test_classes_of_a_multi_class_task_each_have_contributions(mixed, table):
    X = table[0]
    result = expert_contributions(mixed, X)
    assert result.output_names == (
        "click",
        "city=Graz",
        "city=Lima",
        "city=Oslo",
        "city=Rome",
    )
    total = result.contributions.sum(axis=-1) + result.bias
    exp = np.exp(total[:, 1:])
    city = exp / exp.sum(axis=1, keepdims=True)
    assert_allclose(mixed.predict_proba(X)[1], city, atol=1e-6)


def test_linear_contribution_is_what_the_logit_loses_without_the_expert(mixed, table):
    X = table[0]
    result = expert_contributions(mixed, X)
    names = list(result.expert_names)
    before = result.contributions.sum(axis=-1) + result.bias
    closed = copy.deepcopy(mixed)
    with torch.no_grad():
        closed.net_.module_.gating.values[:, 3] = 0
    after = expert_contributions(closed, X)
    after = after.contributions.sum(axis=-1) + after.bias
    k = names.index("cross0 sin")
    assert k == 3
    assert_allclose(before - after, result.contributions[:, :, k], atol=1e-9)


def test_private_experts_contribute_to_their_own_task(mixed, table):
    X = table[0]
    result = expert_contributions(mixed, X)
    changed = copy.deepcopy(mixed)
    with torch.no_grad():
        _, of_field_experts = changed.net_.module_.towers.first.private
        of_field_experts[0] *= 2  # click's
    twice = expert_contributions(changed, X)
    k = result.expert_names.index("private field0")
    expected = result.contributions.copy()
    expected[:, 0, k] *= 2
    assert_allclose(twice.contributions, expected, atol=1e-12)


def test_pipeline_is_read_through_its_steps(fitted, table):
    X = table[0]
    reverse = FunctionTransformer(lambda X: X.iloc[::-1])
    through = expert_contributions(make_pipeline(reverse, fitted), X)
    direct = expert_contributions(fitted, X.iloc[::-1])
    assert_array_equal(through.contributions, direct.contributions)


def test_more_rows_than_a_block(fitted, table, monkeypatch):
    expected = expert_contributions(fitted, table[0]).contributions
    monkeypatch.setattr("dephn_sk.inspection._contributions.BLOCK", 128)
    blocks = expert_contributions(fitted, table[0]).contributions
    assert_allclose(blocks, expected, atol=1e-5)


def test_network_without_towers_of_experts_is_refused(table, small):
    small = {k: v for k, v in small.items() if k != "expert_hidden"}
    with pytest.raises(TypeError, match="DNNClassifier does not have"):
        expert_contributions(DNNClassifier(**small).fit(*table), table[0])


def test_shares_are_of_the_absolute_contributions(mixed, table):
    display = ContributionDisplay.from_estimator(mixed, table[0])
    contributions = expert_contributions(mixed, table[0]).contributions
    for task, outputs in enumerate([[0], [1, 2, 3, 4]]):
        size = [
            sum(np.abs(contributions[:, o, k]).mean() for o in outputs)
            for k in range(contributions.shape[2])
        ]
        assert_allclose(display.shares[task], np.array(size) / np.sum(size))
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["click", "city"]
    assert_array_equal(display.image_.get_array(), display.shares)
    assert display.text_[0, 0].get_text() == f"{display.shares[0, 0]:.0%}"


def test_display_is_readable(fitted, table, assert_readable):
    assert_readable(ContributionDisplay.from_estimator(fitted, table[0]).figure_)
