"""The structures of the heterogeneous interaction layer, expert by expert."""

from __future__ import annotations

import pytest
import torch
from _naive import cross, dnn, field, randomize
from torch.testing import assert_close

from dephn_sk.nn import (
    CrossInteraction,
    CrossLayer,
    DNNExpert,
    DNNLayer,
    FieldInteraction,
    FieldLayer,
)

BATCHES = [1, 2, 7]
N_EXPERTS, N_FIELDS, DIM = 2, 3, 2


def make_fields(batch, shared, n_fields=N_FIELDS):
    shape = (batch, n_fields, DIM)
    if not shared:
        shape = (N_EXPERTS, *shape)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def assert_is(naive, experts, fields):
    """Experts and their gradients equal the naive ones, row by row."""
    randomize(experts)
    fields.requires_grad_()
    rows = fields if fields.dim() == 4 else fields.expand(N_EXPERTS, -1, -1, -1)
    expected = torch.stack(
        [
            torch.stack([naive(experts, k, row) for row in own])
            for k, own in enumerate(rows)
        ]
    )
    out = experts(fields)
    assert out.shape == (N_EXPERTS, fields.shape[-3], experts.width)
    assert_close(out, expected)
    leaves = {"fields": fields, **dict(experts.named_parameters())}
    upstream = torch.randn_like(out)
    slow = torch.autograd.grad(expected, list(leaves.values()), upstream)
    fast = torch.autograd.grad(out, list(leaves.values()), upstream)
    for name, one, other in zip(leaves, fast, slow, strict=True):
        assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("hidden", "n_layers"), [((5, 4), 3), ((4,), 1), ((6, 6), 2), ((3, 4, 5), 2)]
)
def test_dnn_expert_is_the_equation(batch, shared, residual, hidden, n_layers):
    experts = DNNExpert(
        N_EXPERTS, N_FIELDS, DIM, hidden=hidden, n_layers=n_layers, residual=residual
    )
    assert len(experts.layers) == max(len(hidden), n_layers)
    assert_is(dnn, experts, make_fields(batch, shared))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("rank", [None, 1, 3])
@pytest.mark.parametrize("n_layers", [1, 3])
def test_cross_interaction_is_the_unfolded_equation(
    batch, shared, residual, rank, n_layers
):
    experts = CrossInteraction(
        N_EXPERTS, N_FIELDS, DIM, n_layers=n_layers, rank=rank, residual=residual
    )
    assert_is(cross, experts, make_fields(batch, shared))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("n_fields", [1, 3])
def test_field_interaction_is_the_equation(batch, shared, n_layers, n_fields):
    experts = FieldInteraction(N_EXPERTS, n_fields, DIM, n_layers=n_layers)
    assert_is(field, experts, make_fields(batch, shared, n_fields))


@pytest.mark.parametrize("rank", [None, 2])
def test_cross_layer_is_the_equation(rank):
    layer = randomize(CrossLayer(1, width=3, rank=rank))
    x0, x = torch.randn(2, 1, 5, 3, dtype=torch.float64)
    down, up = layer.down[0], layer.up
    omega = (down if rank is None else down @ up[0]).T
    w, b, r = layer.vector[0, :, 0], layer.bias[0, 0], layer.residual[0, 0]
    rows = zip(x0[0], x[0], strict=True)
    expected = [a * (omega @ v) + a * (w @ v) + b + r * v for a, v in rows]
    assert_close(layer(x0, x)[0], torch.stack(expected))


def test_field_layer_is_the_equation():
    layer = randomize(FieldLayer(1, n_fields=3))
    v0, v = torch.randn(2, 1, 3, 4, dtype=torch.float64)
    omega, w = layer.matrix[0], layer.vector[0, :, 0]
    expected = v0[0] * (omega @ v[0]) + w[:, None] * v[0]
    assert_close(layer(v0, v)[0], expected)


def test_low_rank_cross_equals_the_full_one_of_the_same_matrix():
    low, full = (
        randomize(CrossInteraction(N_EXPERTS, N_FIELDS, DIM, rank=rank))
        for rank in (2, None)
    )
    for a, b in zip(low.layers, full.layers, strict=True):
        b.down.data = a.down.data @ a.up.data
        for name in ("vector", "bias", "residual"):
            getattr(b, name).data = getattr(a, name).data
    fields = make_fields(7, shared=True)
    assert_close(low(fields), full(fields))


@pytest.mark.parametrize("kind", ["dnn", "cross"])
def test_residual_links_start_at_one(kind):
    layers = {
        "dnn": DNNLayer(2, 4, 4),
        "cross": CrossLayer(2, 4),
    }
    residual = layers[kind].residual
    assert torch.equal(residual, torch.ones_like(residual))
    assert residual.requires_grad


def test_field_scale_starts_at_one():
    vector = FieldLayer(2, 3).vector
    assert torch.equal(vector, torch.ones_like(vector))


def test_dnn_layer_projects_the_link_where_the_width_changes_alone():
    assert DNNLayer(2, 4, 4).projection is None
    assert DNNLayer(2, 4, 3).projection is not None
    assert DNNLayer(2, 4, 3, residual=False).projection is None


STRUCTURES = {
    "dnn": lambda n: DNNExpert(n, N_FIELDS, DIM, hidden=(4,), n_layers=2),
    "cross": lambda n: CrossInteraction(n, N_FIELDS, DIM),
    "low-rank cross": lambda n: CrossInteraction(n, N_FIELDS, DIM, rank=2),
    "field": lambda n: FieldInteraction(n, N_FIELDS, DIM),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_experts_do_not_feel_each_other(name):
    experts, fields = randomize(STRUCTURES[name](2)), make_fields(5, shared=False)
    other = fields.clone()
    other[1] += 1
    before, after = experts(fields), experts(other)
    assert_close(after[0], before[0])
    assert not torch.isclose(after[1], before[1]).all()


@pytest.mark.parametrize("name", STRUCTURES)
def test_rows_do_not_feel_each_other(name):
    experts, fields = randomize(STRUCTURES[name](2)), make_fields(5, shared=True)
    other = fields.clone()
    other[1:] += 1
    assert_close(experts(other)[:, 0], experts(fields)[:, 0])


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("shared", [True, False])
def test_many_rows_are_computed_as_a_few_at_a_time(name, shared):
    experts, fields = randomize(STRUCTURES[name](2)), make_fields(8000, shared)
    parameters = list(experts.parameters())

    def run(parts):
        out = torch.cat([experts(part) for part in parts], dim=1)
        return out, torch.autograd.grad(out.square().mean(), parameters)

    at_once, gradients = run([fields])
    in_parts, expected = run(fields.split(999, dim=-3))
    assert_close(at_once, in_parts)
    for one, other in zip(gradients, expected, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("name", STRUCTURES)
def test_fields_that_are_no_contiguous_tensor(name):
    experts, fields = randomize(STRUCTURES[name](2)), make_fields(5, shared=False)
    strided = fields.transpose(1, 3).contiguous().transpose(1, 3)
    assert not strided.is_contiguous()
    strided.requires_grad_()
    fields.requires_grad_()
    assert_close(experts(strided), experts(fields))
    pairs = [
        torch.autograd.grad(experts(x).sin().sum(), x)[0] for x in (strided, fields)
    ]
    assert_close(*pairs)
