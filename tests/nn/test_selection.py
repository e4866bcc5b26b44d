"""Soft selection gating, [DEPHN] eq. 1 and [PHN] eq. 4 to 6."""

from __future__ import annotations

import pytest
import torch
from _naive import attended, gated, randomize
from torch.testing import assert_close

from dephn_sk.nn import FieldAttention, FieldSelection, SoftSelectionGate

BATCHES = [1, 2, 7]


def make_fields(batch, n_fields=3, dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, n_fields, dim)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("n_fields", [1, 3])
@pytest.mark.parametrize("n_heads", [1, 2, 4])
@pytest.mark.parametrize("batch", BATCHES)
def test_attention_is_the_equation(batch, n_heads, n_fields):
    attention = randomize(FieldAttention(4, n_heads))
    fields = make_fields(batch, n_fields).requires_grad_()
    naive = torch.stack([attended(attention, row) for row in fields])
    assert_close(attention(fields), naive)
    leaves, upstream = [fields, *attention.parameters()], torch.randn_like(fields)
    slow = torch.autograd.grad(naive, leaves, upstream, allow_unused=n_fields == 1)
    fast = torch.autograd.grad(attention(fields), leaves, upstream)
    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other)


def test_attention_of_large_scores_neither_overflows_nor_vanishes():
    attention, fields = randomize(FieldAttention(4, 1)), 1e3 * make_fields(7)
    query, key, value = (fields @ attention.projections).chunk(3, dim=-1)
    weights = (query @ key.transpose(1, 2) / 2).softmax(-1)  # 2 = sqrt(d_k)
    assert_close(attention(fields), weights @ value @ attention.output)
    attention(fields).sum().backward()
    assert attention.projections.grad.isfinite().all()


def test_attention_of_many_rows_is_computed_as_of_a_few_at_a_time():
    attention, fields = randomize(FieldAttention(4)), make_fields(300, n_fields=50)
    parameters = list(attention.parameters())

    def run(parts):
        out = torch.cat([attention(part) for part in parts])
        return out, torch.autograd.grad(out.square().mean(), parameters)

    at_once, gradients = run([fields])
    in_parts, expected = run(fields.split(17))
    assert_close(at_once, in_parts)
    for one, other in zip(gradients, expected, strict=True):
        assert_close(one, other)


def test_attention_does_not_look_at_other_rows():
    attention, fields = randomize(FieldAttention(4)), make_fields(3)
    other = fields.clone()
    other[1:] += 1
    assert_close(attention(other)[0], attention(fields)[0])


def test_attention_follows_the_fields_when_they_are_permuted():
    attention, fields = randomize(FieldAttention(4)), make_fields(2)
    order = [2, 0, 1]
    assert_close(attention(fields[:, order]), attention(fields)[:, order])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"width 4.*n_heads=3"):
        FieldAttention(4, n_heads=3)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n_gates", [None, 1, 5])
@pytest.mark.parametrize("attentions", ["one", "one for each gate"])
def test_gate_is_the_equation(n_gates, batch, attentions):
    gate = randomize(SoftSelectionGate(3, 4, n_gates))
    fields, e_sa = make_fields(batch), make_fields(batch, seed=1)
    if n_gates and attentions != "one":
        e_sa = torch.stack([e_sa * (k + 1) for k in range(n_gates)])
    leaves = [fields.requires_grad_(), e_sa.requires_grad_(), gate.logit]
    versions = []
    for k in range(n_gates or 1):
        logit = gate.logit if n_gates is None else gate.logit[k, 0]
        own = e_sa[k] if e_sa.dim() == 4 else e_sa
        rows = zip(fields, own, strict=True)
        versions.append(torch.stack([gated(logit, e, a) for e, a in rows]))
    naive = versions[0] if n_gates is None else torch.stack(versions)
    selected = gate(fields, attended=e_sa)
    assert_close(selected, naive)
    upstream = torch.randn_like(selected)
    slow = torch.autograd.grad(naive, leaves, upstream)
    fast = torch.autograd.grad(selected, leaves, upstream)
    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("n_gates", [None, 5])
def test_gate_of_many_rows_is_computed_as_of_a_few_at_a_time(n_gates):
    gate = randomize(SoftSelectionGate(3, 4, n_gates))
    fields, e_sa = make_fields(12_000), make_fields(12_000, seed=1)

    def run(size):
        parts = zip(fields.split(size), e_sa.split(size), strict=True)
        out = torch.cat([gate(e, attended=a) for e, a in parts], dim=-3)
        return out, torch.autograd.grad(out.square().mean(), gate.logit)[0]

    for one, other in zip(run(12_000), run(999), strict=True):
        assert_close(one, other)


def test_gate_starts_at_one_half_and_is_no_function_of_the_input():
    gate = SoftSelectionGate(3, 4).double()
    fields, e_sa = make_fields(7), make_fields(7, seed=1)
    assert_close(gate(fields, attended=e_sa), (fields + e_sa) / 2)
    assert gate.logit.shape == (3, 4)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n_gates", [None, 2])
def test_closed_gate_returns_the_raw_fields(n_gates, batch):
    gate, fields = SoftSelectionGate(3, 4, n_gates).double(), make_fields(batch)
    torch.nn.init.constant_(gate.logit, -torch.inf)
    selected = gate(fields, attended=make_fields(batch, seed=1))
    assert torch.equal(selected, fields.expand_as(selected))


@pytest.mark.parametrize("batch", BATCHES)
def test_open_gate_returns_the_attended_fields(batch):
    gate, e_sa = SoftSelectionGate(3, 4).double(), make_fields(batch, seed=1)
    torch.nn.init.constant_(gate.logit, torch.inf)
    assert torch.equal(gate(make_fields(batch), attended=e_sa), e_sa)


# ------------------------------------------------------------------ FieldSelection


def as_experts(private, n_experts, fields):
    """The version of each expert, whether or not they share one."""
    return private.expand(n_experts, *fields.shape)


def test_soft_is_one_attention_and_a_gate_for_each_expert():
    selection = randomize(FieldSelection(3, 4, [6, 2], mode="soft"))
    fields = make_fields(2)
    assert len(selection.attention) == 1
    e_sa = selection.attention[0](fields)
    public, private = selection(fields)
    assert_close(public, gated(selection.gates[0].logit, fields, e_sa))
    for gates, n, given in zip(selection.gates[1:], [6, 2], private, strict=True):
        assert gates.logit.shape[0] == n
        for expert, version in enumerate(as_experts(given, n, fields)):
            assert_close(version, gated(gates.logit[expert, 0], fields, e_sa))


def test_soft_private_attention_is_an_attention_for_each_structure():
    selection = randomize(FieldSelection(3, 4, [6, 2], mode="soft-private-attention"))
    fields = make_fields(2)
    assert len(selection.attention) == 3
    public, private = selection(fields)
    e_sa = [attend(fields) for attend in selection.attention]
    assert not torch.isclose(e_sa[0], e_sa[1]).any()
    assert_close(public, gated(selection.gates[0].logit, fields, e_sa[0]))
    for s, (n, given) in enumerate(zip([6, 2], private, strict=True), start=1):
        for expert, version in enumerate(as_experts(given, n, fields)):
            logit = selection.gates[s].logit[expert, 0]
            assert_close(version, gated(logit, fields, e_sa[s]))


@pytest.mark.parametrize("mode", ["attention", None])
def test_without_gates_all_structures_read_the_same(mode):
    selection = randomize(FieldSelection(3, 4, [6, 2], mode=mode))
    fields = make_fields(2)
    expected = fields if mode is None else selection.attention[0](fields)
    public, private = selection(fields)
    assert torch.equal(public, expected)
    for n, given in zip([6, 2], private, strict=True):
        assert torch.equal(as_experts(given, n, fields), expected.expand(n, -1, -1, -1))
    assert len(list(selection.parameters())) == (0 if mode is None else 2)


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match=r"mode .* got 'sotf'"):
        FieldSelection(3, 4, mode="sotf")
