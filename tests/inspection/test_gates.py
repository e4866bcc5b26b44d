import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import DNNClassifier, MMoEClassifier
from dephn_sk.inspection import GateDisplay, expert_utilization, gate_values


def _gates_of_each_row(estimator, X):
    """What a forward pass hands to the towers or computes as gates, row by row."""
    seen = []
    gates = estimator.net_.module_.gating
    handle = gates.register_forward_hook(lambda *args: seen.append(args[-1]))
    for row in range(len(X)):
        estimator.predict_proba(X[row : row + 1])
    handle.remove()
    first = [g if g.dim() == 2 else g[0] for g in seen]
    return np.array([g.detach().numpy() for g in first])


def test_trainable_gates_shown_are_the_gates_used(fitted, table):
    display = GateDisplay.from_estimator(fitted)
    for used in _gates_of_each_row(fitted, table[0][:3]):
        assert_array_equal(display.gates, used)
    assert_array_equal(display.image_.get_array(), display.gates)
    assert display.text_[0, 1].get_text() == f"{display.gates[0, 1]:.2f}"


def test_mapped_gates_shown_are_the_mean_of_the_gates_used(mapped, table):
    X = table[0][:20]
    display = GateDisplay.from_estimator(mapped, X=X)
    assert_allclose(display.gates, _gates_of_each_row(mapped, X).mean(axis=0))


def test_gates_of_mmoe_are_shown_for_each_expert(table, small):
    model = MMoEClassifier(**small, n_experts=4).fit(*table)
    display = GateDisplay.from_estimator(model, X=table[0])
    assert np.shape(display.gates) == (2, 4)
    assert display.branch_names == ["expert0", "expert1", "expert2", "expert3"]
    used = []
    handle = model.net_.module_.gating.register_forward_hook(
        lambda module, inputs, out: used.append(out.detach().numpy())
    )
    model.logits_of(model.encoder_.encode(table[0]))
    handle.remove()
    (gates,) = used  # (rows, tasks, experts), rows filled up to a block
    assert_allclose(display.gates, gates[: len(table[0])].mean(axis=0), rtol=1e-4)


def test_mapped_gates_ask_for_rows(mapped):
    with pytest.raises(ValueError, match="Give X"):
        gate_values(mapped)


def test_network_without_gates_is_refused(table, small):
    model = DNNClassifier(**{k: v for k, v in small.items() if k != "expert_hidden"})
    with pytest.raises(TypeError, match="DNNClassifier has no gates"):
        gate_values(model.fit(*table))


def test_network_without_public_experts_has_no_gates(table, whole):
    model = DEPHNMultiTaskClassifier(**whole, public_experts=()).fit(*table)
    with pytest.raises(TypeError, match="no gates on shared experts"):
        GateDisplay.from_estimator(model)


def test_tasks_and_branches_stand_on_the_axes(fitted):
    ax = GateDisplay.from_estimator(fitted).ax_
    assert [t.get_text() for t in ax.get_yticklabels()] == ["click", "buy"]
    assert [t.get_text() for t in ax.get_xticklabels()] == fitted.branch_names_


def test_zero_is_the_middle_of_the_colors():
    display = GateDisplay([[-0.5, 2.0]], task_names="a", branch_names="pq").plot()
    assert display.image_.get_clim() == (-2.0, 2.0)


def test_history_ends_in_the_gates_that_were_kept(fitted):
    display = GateDisplay.from_estimator(fitted, kind="history")
    assert np.shape(display.history) == (fitted.n_iter_, 2, 6)
    assert_allclose(display.history[display.best_epoch - 1], display.gates)
    for task, branch in np.ndindex(2, 6):
        drawn = display.lines_[task, branch].get_ydata()
        assert_array_equal(drawn, display.history[:, task, branch])


def test_mapped_gates_have_no_history(mapped, table):
    with pytest.raises(ValueError, match="only trainable gates"):
        GateDisplay.from_estimator(mapped, X=table[0], kind="history")


def test_utilization_takes_the_mappings_of_an_expert_together(fitted):
    result = expert_utilization(fitted)
    assert result.expert_names == ("dnn0", "cross0", "field0")
    assert result.task_names == ("click", "buy")
    for task, values in enumerate(np.abs(fitted.gate_values_)):
        for k in range(3):
            expected = (values[2 * k] + values[2 * k + 1]) / values.sum()
            assert result.utilization[task, k] == pytest.approx(expected)


@pytest.fixture
def collapsed(table, small):
    model = DEPHNMultiTaskClassifier(**small).fit(*table)
    with torch.no_grad():
        model.net_.module_.gating.values[1] = torch.tensor([0, 0, -3.0, 0, 0, 0.1])
    return model


def test_collapsed_gates_are_warned_of(collapsed):
    with pytest.warns(UserWarning, match=r"collapsed.*'buy' on 'cross0' \(97%\)\. "):
        expert_utilization(collapsed)
    with pytest.warns(UserWarning, match="collapsed"):
        GateDisplay.from_estimator(collapsed)


def test_threshold_says_what_a_collapse_is(collapsed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expert_utilization(collapsed, threshold=0.98)


def test_only_expert_is_no_collapse(table, small):
    model = DEPHNMultiTaskClassifier(**small, public_experts=("dnn",)).fit(*table)
    assert_array_equal(expert_utilization(model).utilization, [[1], [1]])


@pytest.mark.parametrize("n_branches", [2, 8, 12, 18])
def test_any_number_of_branches_is_readable(n_branches, assert_readable):
    rng = np.random.default_rng(0)
    display = GateDisplay(
        rng.normal(size=(5, n_branches)),
        task_names=[f"a long task {t}" for t in range(5)],
        branch_names=[f"field{b} square" for b in range(n_branches)],
        history=rng.normal(size=(30, 5, n_branches)),
        best_epoch=7,
    ).plot()
    assert_readable(display.figure_)
    assert_readable(display.plot_history().figure_)
