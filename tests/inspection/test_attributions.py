import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from dephn_sk.baselines import DNNClassifier, MMoEClassifier, WideDeepClassifier
from dephn_sk.inspection import field_attributions
from dephn_sk.training import ArraySource


def _logits(estimator, X):
    probability = estimator.predict_proba(X)
    return np.log(probability) - np.log1p(-probability)


def _assert_complete(estimator, X, result):
    explained = _logits(estimator, X) - result.baseline
    error = np.abs(result.attributions.sum(axis=-1) - explained)
    assert (error <= np.maximum(0.01 * np.abs(explained), 1e-3) + 1e-5).all()


@pytest.mark.parametrize("model", ["fitted", "mapped"])
def test_attributions_are_complete_to_one_percent(model, table, request):
    estimator = request.getfixturevalue(model)
    X = table[0][:60]
    result = field_attributions(estimator, X)
    assert result.attributions.shape == (60, 2, len(result.field_names))
    assert result.output_names == ("click", "buy")
    _assert_complete(estimator, X, result)


@pytest.mark.parametrize("kind", ["scalar", "bins|piecewise-linear"])
def test_a_number_is_one_field_however_it_is_embedded(kind, table, small):
    small = {k: v for k, v in small.items() if k in {"max_epochs", "random_state"}}
    estimator = MMoEClassifier(numeric_embedding=kind, **small).fit(*table)
    X = table[0][:20]
    result = field_attributions(estimator, X)
    assert result.attributions.shape[2] == len(result.field_names)
    _assert_complete(estimator, X, result)


@pytest.mark.parametrize("Model", [DNNClassifier, WideDeepClassifier, MMoEClassifier])
def test_networks_with_several_embeddings_are_complete_too(Model, table, small):
    small = {k: v for k, v in small.items() if k != "expert_hidden"}
    estimator = Model(**small).fit(*table)
    X = table[0][:20]
    _assert_complete(estimator, X, field_attributions(estimator, X))


def test_every_class_of_a_task_is_explained(mixed, table):
    X = table[0][:20]
    result = field_attributions(mixed, X)
    assert result.attributions.shape[1] == 1 + 4 == len(result.output_names)
    network, inputs = mixed.network_, ArraySource(mixed.encoder_.encode(X))
    (batch,) = inputs.batches(20)
    with torch.no_grad():
        explained = network.eval()(**batch.inputs).numpy() - result.baseline
    error = np.abs(result.attributions.sum(axis=-1) - explained)
    assert (error <= np.maximum(0.01 * np.abs(explained), 1e-3)).all()


def test_attributions_are_the_integral_of_the_gradient(mapped, table):
    """Against a midpoint sum over the path, written out for one row."""
    X = table[0][:1]
    result = field_attributions(mapped, X, tolerance=1e-4)
    network = mapped.net_.module_
    seen = []
    handle = network.embedding.register_forward_hook(
        lambda *args: seen.append(args[-1])
    )
    mapped.predict_proba(X)
    handle.remove()
    end = seen[0][:1].detach().clone()
    expected = np.zeros((2, end.shape[1]))
    n = 400
    for i in range(n):
        vectors = ((i + 0.5) / n * end).requires_grad_()
        public, private = network.selection(vectors)
        shared, own = network.interaction(public, private)
        gates = network.gating(public.flatten(1))
        logits = network.towers(network.mapping(shared), gates, own)
        for task in range(2):
            (gradient,) = torch.autograd.grad(
                logits[0, task], vectors, retain_graph=True
            )
            expected[task] += (gradient * end)[0].sum(-1).numpy() / n
    assert_allclose(result.attributions[0], expected, atol=1e-3)


def test_row_that_is_the_background_has_nothing_to_explain(fitted, table):
    row = table[0][:1]
    result = field_attributions(fitted, row, background=row)
    assert_array_equal(result.attributions, 0)
    assert_allclose(result.baseline, _logits(fitted, row)[0], rtol=1e-5)


def test_only_fields_that_differ_from_the_background_are_given_credit(fitted, table):
    X = table[0][:2].copy()
    X.loc[1] = X.loc[0]
    X.loc[1, "city"] = next(c for c in ("Oslo", "Rome") if c != X.loc[0, "city"])
    result = field_attributions(fitted, X[1:], background=X[:1])
    credited = {
        name
        for name, value in zip(
            result.field_names, np.abs(result.attributions[0]).max(axis=0), strict=True
        )
        if value > 0
    }
    assert credited == {"city"}


def test_background_is_the_mean_of_the_field_vectors(fitted, table):
    X = table[0][:5]
    several = field_attributions(fitted, X, background=table[0][:40])
    twice = field_attributions(fitted, X, background=table[0].iloc[list(range(40)) * 2])
    assert_allclose(several.attributions, twice.attributions, atol=1e-5)


def test_attributions_of_a_row_do_not_depend_on_other_rows(fitted, table):
    many = field_attributions(fitted, table[0][:30])
    one = field_attributions(fitted, table[0][7:8])
    assert_allclose(one.attributions[0], many.attributions[7], atol=2e-3)


def test_estimator_is_left_as_it_was(fitted, table):
    X = table[0][:50]
    before = fitted.predict_proba(X)
    field_attributions(fitted, X[:3])
    assert_array_equal(fitted.predict_proba(X), before)
    for module in fitted.net_.module_.modules():
        assert not module._forward_hooks
    assert all(p.grad is None for p in fitted.net_.module_.parameters())


def test_tolerance_that_is_not_reached_is_warned_of(fitted, table, monkeypatch):
    module = "dephn_sk.inspection._attributions"
    monkeypatch.setattr(f"{module}.FEWEST_POINTS", 1)
    monkeypatch.setattr(f"{module}.MOST_POINTS", 1)
    with pytest.warns(ConvergenceWarning, match=r"of 50 rows are complete to"):
        field_attributions(fitted, table[0][:50])


@pytest.mark.parametrize("tolerance", [0, 1.0, "fine"])
def test_tolerance_is_a_share(fitted, table, tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        field_attributions(fitted, table[0][:2], tolerance=tolerance)
