import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.inspection import SelectionDisplay, selection_gates


def test_gates_shown_are_the_gates_used(fitted, table):
    seen = {}
    selection = fitted.net_.module_.selection
    (attention,) = selection.attention
    handles = [
        attention.register_forward_hook(lambda *args: seen.update(attended=args[2])),
        selection.register_forward_hook(
            lambda module, inputs, out: seen.update(fields=inputs[0], selected=out)
        ),
    ]
    fitted.predict_proba(table[0][:3])
    for handle in handles:
        handle.remove()
    fields, attended = (seen[k][:3].numpy() for k in ("fields", "attended"))
    public, private = seen["selected"]
    used = [public, *(one for structure in private for one in structure)]
    gates = selection_gates(fitted).gates
    assert len(gates) == len(used)
    for gate, one in zip(gates, used, strict=True):
        expected = gate * attended + (1 - gate) * fields
        assert_allclose(one[:3].numpy(), expected, atol=1e-6)


def test_each_vector_of_a_number_has_a_gate_and_a_name(table, small):
    model = DEPHNMultiTaskClassifier(
        **{**small, "numeric_embedding": "bins|linear", "selection": "soft"}
    ).fit(*table)
    selection = selection_gates(model)
    assert len(selection.field_names) == selection.gates.shape[1]
    numeric = model.encoder_.numeric_names_
    expected = [f"{n} ({kind})" for kind in ("bins", "linear") for n in numeric]
    assert [n for n in selection.field_names if "(" in n] == expected


def test_structure_of_a_task_moves_that_task_alone(fitted, table):
    X = table[0]
    before = fitted.predict_proba(X)
    names = selection_gates(fitted).structure_names
    assert names == (
        "public",
        "click cross0",
        "buy cross0",
        "click field0",
        "buy field0",
    )
    for structure, gate, index in [
        ("click cross0", 1, 0),
        ("buy cross0", 1, 1),
        ("click field0", 2, 0),
        ("buy field0", 2, 1),
    ]:
        logit = fitted.net_.module_.selection.gates[gate].logit
        kept = logit.detach().clone()
        with torch.no_grad():
            logit[index] += 3
        change = np.abs(fitted.predict_proba(X) - before).max(axis=0)
        with torch.no_grad():
            logit.copy_(kept)
        moved = [
            name for name, c in zip(["click", "buy"], change, strict=True) if c > 0
        ]
        assert moved == [structure.split()[0]]


def test_display_holds_the_means_over_a_field(fitted):
    selection = selection_gates(fitted)
    display = SelectionDisplay.from_estimator(fitted)
    for f, s in np.ndindex(np.shape(display.values)):
        expected = np.mean([float(g) for g in selection.gates[s, f]])
        assert display.values[f, s] == pytest.approx(expected)
    assert_array_equal(display.image_.get_array(), display.values)
    names = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert names == ["city", "user", "age", *names[3:-1], "tags"]
    assert np.mean(display.image_.get_clim()) == pytest.approx(0.5)


def test_parameter_is_the_logit_of_the_gate(fitted):
    selection = selection_gates(fitted)
    assert_allclose(selection.gates, 1 / (1 + np.exp(-selection.parameters)), rtol=1e-6)
    display = SelectionDisplay.from_estimator(fitted, scale="parameter")
    assert np.mean(display.image_.get_clim()) == pytest.approx(0)


@pytest.mark.parametrize("selection", [None, "attention"])
def test_estimator_without_selection_gates_is_refused(table, small, selection):
    model = DEPHNMultiTaskClassifier(**small, selection=selection).fit(*table)
    with pytest.raises(ValueError, match="selection='soft'"):
        selection_gates(model)


def test_attention_of_its_own_for_each_structure_has_gates_too(fitted, table):
    model = clone(fitted).set_params(selection="soft-private-attention").fit(*table)
    assert selection_gates(model).gates.shape == selection_gates(fitted).gates.shape


def test_many_fields_and_structures_are_readable(assert_readable):
    rng = np.random.default_rng(0)
    display = SelectionDisplay(
        rng.random((39, 13)),
        field_names=[f"field {f}" for f in range(39)],
        structure_names=[f"purchase cross{s}" for s in range(13)],
    ).plot()
    assert_readable(display.figure_)
