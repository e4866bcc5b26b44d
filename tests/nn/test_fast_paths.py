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
    _row_blocks,
)

N_EXPERTS, N_FIELDS, DIM = 2, 3, 4
BATCHES = [1, 2, 37]


@pytest.fixture(params=["one block", "many blocks"], autouse=True)
def blocks(request, monkeypatch):
    """A cache that holds every batch, or so small a one that 16 rows do not fit."""
    monkeypatch.setattr(_row_blocks, "CACHE", 2**18 if request.param[0] == "o" else 1)


SHARED, OWN = (N_FIELDS, DIM), (N_EXPERTS, N_FIELDS, DIM)
CASES = {
    "attention, 1 head": (lambda: FieldAttention(DIM, 1), SHARED),
    "attention, 2 heads": (lambda: FieldAttention(DIM, 2), SHARED),
    "attention, 4 heads": (lambda: FieldAttention(DIM, 4), SHARED),
    "selection of attended fields": (
        lambda: FieldSelection(N_FIELDS, DIM, [4, 2], mode="attention"),
        SHARED,
    ),
    "selection, an attention each": (
        lambda: FieldSelection(N_FIELDS, DIM, [4, 2], mode="soft-private-attention"),
        SHARED,
    ),
    "selection": (
        lambda: FieldSelection(N_FIELDS, DIM, [4, 2]),
        SHARED,
    ),
}
for _n_layers in (1, 3):
    for _shape in (SHARED, OWN):
        _where = f"{_n_layers} layers, {'shared' if _shape is SHARED else 'own'} fields"
        CASES[f"field, {_where}"] = (
            lambda n=_n_layers: FieldInteraction(N_EXPERTS, N_FIELDS, DIM, n_layers=n),
            _shape,
        )
        for _rank in (None, 2):
            for _residual in (True, False):
                CASES[f"cross, {_where}, rank {_rank}, residual {_residual}"] = (
                    lambda n=_n_layers, r=_rank, link=_residual: CrossInteraction(
                        N_EXPERTS, N_FIELDS, DIM, n_layers=n, rank=r, residual=link
                    ),
                    _shape,
                )


class Read(torch.nn.Module):
    """Experts with the weight of whoever reads their outputs."""

    def __init__(self, experts):
        super().__init__()
        self.experts = experts
        self.reader = torch.nn.Parameter(torch.zeros(N_EXPERTS, experts.width, 5))

    def forward(self, fields):
        return self.experts(fields, self.reader)

    def reference(self, fields):
        return torch.bmm(self.experts.reference(fields), self.reader)


for _name in [name for name in CASES if name.startswith(("field", "cross"))]:
    _make, _shape = CASES[_name]
    CASES[f"{_name}, read"] = (lambda make=_make: Read(make()), _shape)


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
        upstream = torch.randn(out.shape, generator=generator)  # float32 holds it
        loss = loss + (out * upstream.to(out.dtype)).sum()
    return [*outputs, *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_the_plain_equations(name, batch, dtype):
    make, shape = CASES[name]
    module = randomize(make()).to(dtype)
    fields = make_fields(shape, batch, dtype)
    leaves = [fields, *module.parameters()]
    fast = values_and_gradients(tensors(module(fields)), leaves)
    slow = values_and_gradients(tensors(module.reference(fields)), leaves)
    for one, other in zip(fast, slow, strict=True):
        assert one.dtype == dtype
        scale = max(1.0, other.detach().abs().max().item())
        close = 1e-5 if dtype == torch.float32 else 1e-12
        assert_close(one / scale, other / scale, rtol=0, atol=close)


STACKS = [name for name in CASES if "3 layers" in name and name.endswith("read")]


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("batch", [1, 4096])
def test_stacks_in_single_precision_are_exact_to_a_millionth(name, batch):
    """Beyond what the plain equation rounds off, too, such as in sums over the rows."""
    make, shape = CASES[name]
    module = randomize(make()).float()
    fields = make_fields(shape, batch, torch.float32)
    found = []
    for function, dtype in (
        (module, torch.float32),
        (module.reference, torch.float32),
        (module.reference, torch.float64),
        (module, torch.float64),
    ):
        module.to(dtype)
        leaves = [fields.detach().to(dtype).requires_grad_(), *module.parameters()]
        results = values_and_gradients(tensors(function(leaves[0])), leaves)
        found.append([result.detach().double() for result in results])
    for fast, plain, exact, double in zip(*found, strict=True):
        scale = exact.abs().max().clamp(min=1.0)
        assert_close(double / scale, exact / scale, rtol=0, atol=1e-12)
        rounded = (plain - exact).abs().max() / scale
        assert (fast - exact).abs().max() / scale <= 1e-6 + 4 * rounded


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name):
    make, shape = CASES[name]
    module = randomize(make())
    names = [key for key, _ in module.named_parameters()]
    fields = make_fields(shape, 18, torch.float64)

    def function(fields, *parameters):
        values = dict(zip(names, parameters, strict=True))
        return tuple(tensors(torch.func.functional_call(module, values, (fields,))))

    assert gradcheck(function, (fields, *module.parameters()), fast_mode=True)


@pytest.mark.parametrize("name", CASES)
def test_the_input_and_the_parameters_are_left_alone(name):
    make, shape = CASES[name]
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
    make, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 37, torch.float64)
    loss = sum(out.square().sum() for out in tensors(module(fields)))
    first, second = (
        torch.autograd.grad(loss, fields, retain_graph=True)[0] for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_of_the_gradient_is_refused(name):
    make, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 2, torch.float64)
    loss = sum(out.square().sum() for out in tensors(module(fields)))
    (gradient,) = torch.autograd.grad(loss, fields, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("name", CASES)
def test_values_without_gradients_are_the_same_to_the_last_bit(name):
    make, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 37, torch.float64)
    with torch.inference_mode():
        alone = tensors(module(fields))
    for one, other in zip(alone, tensors(module(fields)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_no_rows_give_no_rows(name):
    make, shape = CASES[name]
    module = randomize(make())
    fields = make_fields(shape, 0, torch.float64)
    for out in tensors(module(fields)):
        assert out.numel() == 0


@pytest.mark.parametrize("batch", [1, 16, 17, 300, 4096])
def test_blocks_of_rows_are_about_equal_and_hold_each_row_once(batch, monkeypatch):
    monkeypatch.setattr(_row_blocks, "CACHE", 1000)
    rows = torch.arange(batch)
    blocks = [rows[block] for block in _row_blocks.row_blocks(batch, 10, rows)]
    assert torch.equal(torch.cat(blocks), rows)
    heights = [len(block) for block in blocks]
    assert len(set(heights[:-1])) <= 1 and all(n % 16 == 0 for n in heights[:-1])
    assert max(heights) <= 112
