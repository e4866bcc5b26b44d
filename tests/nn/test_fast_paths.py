"""What is computed in blocks, with gradients of its own, is the plain equation."""

from __future__ import annotations

import copy

import pytest
import torch
from _naive import randomize
from torch.autograd import gradcheck
from torch.testing import assert_close

from dephn_sk.nn import (
    CrossInteraction,
    FieldAttention,
    FieldInteraction,
    FieldSelection,
    SoftSelectionGate,
    _row_blocks,
)
from dephn_sk.nn._table import take_rows

N_EXPERTS, N_FIELDS, DIM = 2, 3, 4
BATCHES = [1, 2, 37]


@pytest.fixture(params=["one block", "many blocks"], autouse=True)
def blocks(request, monkeypatch):
    """A cache that holds every batch, or so small a one that 16 rows do not fit."""
    monkeypatch.setattr(_row_blocks, "CACHE", 2**18 if request.param[0] == "o" else 1)


def plain_attention(attention, fields):
    batch, n_fields, dim = fields.shape
    heads = (fields @ attention.projections).reshape(
        batch, n_fields, 3, attention.n_heads, -1
    )
    query, key, value = heads.permute(2, 0, 3, 1, 4)
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).reshape(batch, n_fields, dim) @ attention.output


def plain_cross(experts, fields):
    x = x0 = fields.flatten(-2).expand(experts.n_experts, -1, -1)
    for layer in experts.layers:
        x = layer(x0, x)
    return x


def plain_field(experts, fields):
    batch, _, dim = fields.shape[-3:]
    v0 = fields.expand(experts.n_experts, -1, -1, -1).transpose(1, 2).flatten(2)
    v = v0
    for layer in experts.layers:
        v = layer(v0, v)
    v = v.unflatten(2, (batch, dim)).transpose(1, 2)
    return v.flatten(2)


def plain_selection(selection, fields):
    attended = plain_attention(selection.attention[0], fields)
    values = [gate.logit.sigmoid() for gate in selection.gates]
    public, *private = (g * attended + (1 - g) * fields for g in values)
    return public, private


SHARED, OWN = (N_FIELDS, DIM), (N_EXPERTS, N_FIELDS, DIM)
CASES = {
    "attention, 1 head": (lambda: FieldAttention(DIM, 1), plain_attention, SHARED),
    "attention, 2 heads": (lambda: FieldAttention(DIM, 2), plain_attention, SHARED),
    "attention, 4 heads": (lambda: FieldAttention(DIM, 4), plain_attention, SHARED),
    "selection": (
        lambda: FieldSelection(N_FIELDS, DIM, [4, 2]),
        plain_selection,
        SHARED,
    ),
}
for _n_layers in (1, 3):
    for _shape in (SHARED, OWN):
        _where = f"{_n_layers} layers, {'shared' if _shape is SHARED else 'own'} fields"
        CASES[f"field, {_where}"] = (
            lambda n=_n_layers: FieldInteraction(N_EXPERTS, N_FIELDS, DIM, n_layers=n),
            plain_field,
            _shape,
        )
        for _rank in (None, 2):
            for _residual in (True, False):
                CASES[f"cross, {_where}, rank {_rank}, residual {_residual}"] = (
                    lambda n=_n_layers, r=_rank, link=_residual: CrossInteraction(
                        N_EXPERTS, N_FIELDS, DIM, n_layers=n, rank=r, residual=link
                    ),
                    plain_cross,
                    _shape,
                )


def make_fields(shape, batch, dtype, scale=1.0):
    generator = torch.Generator().manual_seed(1)
    fields = scale * torch.randn(
        (*shape[:-2], batch, *shape[-2:]), generator=generator, dtype=torch.float64
    )
    return fields.to(dtype).requires_grad_()


def tensors(output):
    if isinstance(output, torch.Tensor):
        return [output]
    return [output[0], *output[1]]


def values_and_gradients(outputs, leaves):
    generator = torch.Generator().manual_seed(2)
    loss = 0.0
    for out in outputs:
        upstream = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        loss = loss + (out * upstream.to(out.dtype)).sum()
    return [*outputs, *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_the_plain_equations(name, batch, dtype):
    make, plain, shape = CASES[name]
    module = randomize(make()).to(dtype)
    fields = make_fields(shape, batch, dtype)
    leaves = [fields, *module.parameters()]
    fast = values_and_gradients(tensors(module(fields)), leaves)
    slow = values_and_gradients(tensors(plain(module, fields)), leaves)
    for one, other in zip(fast, slow, strict=True):
        assert one.dtype == dtype
        scale = max(1.0, other.detach().abs().max().item())
        close = 1e-6 if dtype == torch.float32 else 1e-12
        assert_close(one / scale, other / scale, rtol=0, atol=close)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name):
    make, _, shape = CASES[name]
    module = randomize(make())
    names = [key for key, _ in module.named_parameters()]
    fields = make_fields(shape, 18, torch.float64)

    def function(fields, *parameters):
        values = dict(zip(names, parameters, strict=True))
        return tuple(tensors(torch.func.functional_call(module, values, (fields,))))

    assert gradcheck(function, (fields, *module.parameters()), fast_mode=True)


@pytest.mark.parametrize("name", CASES)
def test_the_input_and_the_parameters_are_left_alone(name):
    make, _, shape = CASES[name]
    module = randomize(make())
    before = copy.deepcopy(module.state_dict())
    fields = make_fields(shape, 37, torch.float64)
    given = fields.detach().clone()
    sum(out.sum() for out in tensors(module(fields))).backward()
    assert torch.equal(fields, given)
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", CASES)
def test_the_second_backward_pass_of_one_graph_gives_the_same(name):
    make, _, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 37, torch.float64)
    loss = sum(out.square().sum() for out in tensors(module(fields)))
    first, second = (
        torch.autograd.grad(loss, fields, retain_graph=True)[0] for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_of_the_gradient_is_refused(name):
    make, _, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 2, torch.float64)
    loss = sum(out.square().sum() for out in tensors(module(fields)))
    (gradient,) = torch.autograd.grad(loss, fields, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("name", CASES)
def test_values_without_gradients_are_the_same_to_the_last_bit(name):
    make, _, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 37, torch.float64)
    with torch.inference_mode():
        alone = tensors(module(fields))
    for one, other in zip(alone, tensors(module(fields)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_no_rows_give_no_rows(name):
    make, _, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 0, torch.float64)
    for out in tensors(module(fields)):
        assert out.numel() == 0


def test_attention_of_huge_scores_is_finite_and_picks_the_highest():
    attention = randomize(FieldAttention(DIM, 1)).float()
    fields = make_fields(SHARED, 37, torch.float32, scale=1e3)
    out = attention(fields)
    assert_close(out, plain_attention(attention, fields), rtol=1e-4, atol=1e-2)
    out.sum().backward()
    assert fields.grad.isfinite().all()


def test_gate_on_an_attention_of_each_expert_is_the_plain_mixture():
    gate = randomize(SoftSelectionGate(N_FIELDS, DIM, N_EXPERTS))
    fields = make_fields(SHARED, 37, torch.float64)
    own = make_fields(OWN, 37, torch.float64)
    leaves = [fields, own, gate.logit]
    value = gate.logit.sigmoid()
    fast = values_and_gradients([gate(fields, own)], leaves)
    slow = values_and_gradients([value * own + (1 - value) * fields], leaves)
    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("shape", [(5,), (5, 2), (0, 2)])
def test_rows_of_a_table_and_their_gradient_are_those_of_an_embedding(shape):
    table = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    rows = torch.randint(0, 7, shape)
    plain = torch.nn.functional.embedding(rows, table)
    upstream = torch.randn_like(plain)
    taken = take_rows(table, rows)
    assert torch.equal(taken, plain)
    assert_close(
        torch.autograd.grad(taken, table, upstream),
        torch.autograd.grad(plain, table, upstream),
    )
