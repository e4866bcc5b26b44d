"""Towers, [DEPHN] eq. 4 and 5 unfolded."""

from __future__ import annotations

import pytest
import torch
from _naive import randomize, tower
from torch.testing import assert_close

from dephn_sk.nn import TaskTowers

N_BRANCHES, WIDTH, PRIVATE = 4, 3, [(2, 5), (1, 2)]


def make_inputs(batch, n_tasks, mapped, private=PRIVATE):
    def randn(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    generator = torch.Generator().manual_seed(1)
    branches = randn(batch, N_BRANCHES, WIDTH)
    gates = randn(*([batch] if mapped else []), n_tasks, N_BRANCHES)
    return branches, gates, [randn(n_tasks * n, batch, w) for n, w in private]


def naive_logits(towers, n_outputs, branches, gates, private, sizes=PRIVATE):
    rows = []
    for i, row in enumerate(branches):
        logits = []
        for t, k in enumerate(n_outputs):
            own = [
                list(outputs[t * n : (t + 1) * n, i])
                for outputs, (n, _) in zip(private, sizes, strict=True)
            ]
            values = gates[t] if gates.dim() == 2 else gates[i, t]
            logits.append(tower(towers, t, k, row, values, own))
        rows.append(torch.cat(logits))
    return torch.stack(rows)


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("n_outputs", [[1], [1, 1, 1], [1, 3, 4], [5]])
def test_towers_are_the_equations(batch, hidden, mapped, n_outputs):
    towers = randomize(
        TaskTowers(n_outputs, N_BRANCHES, WIDTH, private=PRIVATE, hidden=hidden)
    )
    inputs = make_inputs(batch, len(n_outputs), mapped)
    logits = towers(*inputs)
    assert logits.shape == (batch, sum(n_outputs))
    assert_close(logits, naive_logits(towers, n_outputs, *inputs))


def test_linear_tower_is_eq_4_plus_eq_5():
    n_tasks, (n, width) = 2, (2, 5)
    towers = randomize(TaskTowers([1, 1], N_BRANCHES, WIDTH, private=[(n, width)]))
    branches, gates, (private,) = make_inputs(3, n_tasks, False, [(n, width)])
    logits = towers(branches, gates, [private])
    for i in range(3):
        for t in range(n_tasks):
            public = sum(
                towers.first.public[b, :, t, 0] @ (gates[t, b] * branches[i, b])
                for b in range(N_BRANCHES)
            )
            own = sum(
                towers.first.private[0][t * n + k, :, 0] @ private[t * n + k, i]
                for k in range(n)
            )
            assert_close(logits[i, t], public + own + towers.first.bias[t, 0, 0])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("hidden", [(), (4,)])
def test_the_gates_gradient_is_that_of_the_loop(mapped, hidden):
    towers = randomize(
        TaskTowers([1, 3], N_BRANCHES, WIDTH, private=PRIVATE, hidden=hidden)
    )
    branches, gates, private = make_inputs(7, 2, mapped)
    gates.requires_grad_()
    upstream = torch.randn(7, 4, dtype=torch.float64)
    for inputs in (branches, gates):
        inputs.requires_grad_()
        (fast,) = torch.autograd.grad(
            towers(branches, gates, private), inputs, upstream
        )
        naive = naive_logits(towers, [1, 3], branches, gates, private)
        (slow,) = torch.autograd.grad(naive, inputs, upstream)
        assert_close(fast, slow)


def test_a_task_does_not_feel_the_gates_of_another():
    towers = randomize(TaskTowers([1, 1], N_BRANCHES, WIDTH, private=PRIVATE))
    branches, gates, private = make_inputs(7, 2, False)
    before = towers(branches, gates, private)
    gates[1] += 1
    after = towers(branches, gates, private)
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.isclose(after[:, 1], before[:, 1]).any()


@pytest.mark.parametrize("hidden", [(), (4,)])
@pytest.mark.parametrize("n_outputs", [[1, 1], [1, 3], [2, 4, 1]])
def test_base_rates_are_the_logits_where_all_else_is_zero(hidden, n_outputs):
    towers = TaskTowers(n_outputs, N_BRANCHES, WIDTH, hidden=hidden).double()
    rates = torch.arange(1.0, sum(n_outputs) + 1, dtype=torch.float64)
    towers.start_from(rates)
    branches, gates, _ = make_inputs(2, len(n_outputs), False)
    zero = torch.zeros_like(branches)
    if not hidden:
        assert torch.equal(towers(zero, gates, []), rates.expand(2, -1))
    else:
        towers.first.bias.data.zero_()
        assert torch.equal(towers(zero, gates, []), rates.expand(2, -1))


def test_hidden_tower_shares_each_unit_by_its_chord():
    """Against the rule spelled out for every row, unit and expert."""
    torch.manual_seed(0)
    towers = TaskTowers([1], n_branches=3, width=2, hidden=(4,)).double()
    torch.nn.init.normal_(towers.first.bias)
    parts = torch.randn(1, 5, 3, 4, dtype=torch.float64)
    contributions, bias = (t.detach().numpy() for t in towers.carry(parts))

    def act(x):
        return x if x > 0 else 0.01 * x

    weight = towers.deeper[0].weight.detach().numpy()[:, 0, 0]
    b = towers.first.bias.detach().numpy()[0, 0]
    for row in range(5):
        for k in range(3):
            expected = 0.0
            for unit in range(4):
                part = parts[0, row, :, unit].numpy()
                full = part.sum()
                slope = (act(b[unit] + full) - act(b[unit])) / full
                expected += weight[unit] * slope * part[k]
            assert contributions[row, 0, k] == pytest.approx(expected)
    head = towers.deeper[0].bias.detach().numpy()[0, 0]
    without = sum(weight[unit] * act(b[unit]) for unit in range(4)) + head
    assert bias[0] == pytest.approx(without)


@pytest.mark.parametrize("bias", [-1.0, 0.0, 1.0])
def test_experts_that_cancel_leave_finite_contributions(bias):
    towers = TaskTowers([1], n_branches=2, width=1, hidden=(1,)).double()
    torch.nn.init.constant_(towers.first.bias, bias)
    parts = torch.tensor([1.0, -1.0], dtype=torch.float64).reshape(1, 1, 2, 1)
    contributions, _ = towers.carry(parts)
    assert contributions.isfinite().all()
    assert contributions.sum() == 0
