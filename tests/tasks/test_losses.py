"""Losses of classification tasks: their equations, one row and one pair at a time."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from dephn_sk.tasks import Tasks, check_losses, read_losses
from dephn_sk.tasks._losses import PAIR_SHARE, focal, of_pairs
from dephn_sk.training import MultiTaskLoss

Y = np.array([[0, 0], [1, 1], [1, 2]])
TASKS = Tasks.learn(Y)  # a binary task and one of three classes
BINARY, MULTI = TASKS.tasks


def softmax(z):
    e = [math.exp(v) for v in z]
    return [v / sum(e) for v in e]


def naive_label(logits, label, gamma):
    """-(1 - p)^gamma log p of one label."""
    z = [float(v) for v in logits]
    if len(z) == 1:
        p = 1 / (1 + math.exp(-z[0]))
        p = p if label == 1 else 1 - p
    else:
        p = softmax(z)[int(label)]
    return -((1 - p) ** gamma) * math.log(p)


def naive_pairs(logits, values, weights, groups):
    """Each positive against the mean of its group's negatives, in two loops."""
    total = 0.0
    for i in range(len(logits)):
        loss = mass = 0.0
        for j in range(len(logits)):
            if values[i] == 1 and values[j] == 0 and groups[i] == groups[j]:
                w = float(weights[j])
                loss += w * math.log1p(math.exp(-float(logits[i] - logits[j])))
                mass += w
        if mass:
            total += float(weights[i]) * loss / mass
    return total / len(logits)


def drawn(n, seed=0):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (n, 4)))
    labels = torch.from_numpy(
        np.column_stack([rng.integers(0, 2, n), rng.integers(0, 3, n)]).astype(float)
    )
    weights = torch.from_numpy(rng.integers(0, 3, (n, 2)).astype(float))
    return logits, labels, weights, torch.from_numpy(rng.integers(0, 3, n))


def multi_task_loss(loss, smoothing=0.0, tasks=TASKS):
    return MultiTaskLoss(tasks, losses=read_losses(loss, smoothing, tasks))


# ------------------------------------------------------------------------- focal


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_is_its_equation_for_two_classes_and_more(gamma, n):
    logits, labels, weights, _ = drawn(n)
    found = multi_task_loss(("focal", gamma))(logits, labels, weights)
    expected = torch.zeros(2, dtype=torch.float64)
    for i, t in product(range(n), range(2)):
        own = logits[i, :1] if t == 0 else logits[i, 1:]
        expected[t] += weights[i, t] * naive_label(own, labels[i, t], gamma) / n
    assert_close(found, expected)


def test_focal_of_gamma_0_is_cross_entropy_and_the_default_is_2():
    logits, labels, weights, _ = drawn(7)
    plain = MultiTaskLoss(TASKS)(logits, labels, weights)
    assert_close(multi_task_loss(("focal", 0))(logits, labels, weights), plain)
    two = multi_task_loss(("focal", 2.0))(logits, labels, weights)
    assert torch.equal(multi_task_loss("focal")(logits, labels, weights), two)
    assert (two < plain).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_and_its_gradient_are_finite_however_far_a_margin_lies(gamma):
    for dtype in (torch.float32, torch.float64):
        margins = torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4], dtype=dtype)
        margins.requires_grad_()
        losses = focal(margins, gamma)
        losses.sum().backward()
        assert losses.isfinite().all()
        assert margins.grad.isfinite().all()
        assert (margins.grad <= 0).all()
        assert losses[0] == 1e4


def test_the_focal_loss_of_rows_that_are_right_falls_faster_than_cross_entropy():
    margins = torch.tensor([0.0, 3.0], dtype=torch.float64)
    share = focal(margins, 2.0) / focal(margins, 0.0)
    assert_close(share, (1 - margins.sigmoid()) ** 2)


# ------------------------------------------------------------------------- smoothing


@pytest.mark.parametrize("n", [1, 9])
def test_smoothing_is_cross_entropy_with_mixed_targets(n):
    logits, labels, weights, _ = drawn(n)
    s = {"task0": 0.1, "task1": 0.3}
    found = multi_task_loss(None, s)(logits, labels, weights)
    expected = torch.zeros(2, dtype=torch.float64)
    for i in range(n):
        p = 1 / (1 + math.exp(-float(logits[i, 0])))
        target = 0.9 * float(labels[i, 0]) + 0.05
        loss = -target * math.log(p) - (1 - target) * math.log(1 - p)
        expected[0] += weights[i, 0] * loss / n
        for k, p in enumerate(softmax(logits[i, 1:])):
            target = 0.7 * (labels[i, 1] == k) + 0.1
            expected[1] -= weights[i, 1] * target * math.log(p) / n
    assert_close(found, expected)


def test_validation_watches_the_loss_without_smoothing_and_pairs():
    logits, labels, weights, groups = drawn(9)
    loss = multi_task_loss({"task0": "pairwise", "task1": "focal"}, 0.2)
    given = logits, labels, weights, groups
    plain = multi_task_loss({"task1": "focal"})(*given)
    assert not torch.allclose(loss(*given), plain)
    assert torch.equal(loss.eval()(*given[:3]), plain)


def test_without_any_loss_the_tasks_have_their_own():
    assert read_losses(None, 0.0, TASKS) is None
    assert read_losses({}, {}, TASKS) is None
    assert read_losses({"task0": None}, {"task1": 0}, TASKS) is None


# ------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_the_loss_of_pairs_is_that_of_two_loops(n, weighted):
    for seed in range(5):
        logits, labels, weights, groups = drawn(n, seed)
        given = weights[:, 0] if weighted else None
        found = of_pairs(logits[:, 0], labels[:, 0], given, groups)
        used = weights[:, 0] if weighted else torch.ones(n)
        expected = naive_pairs(logits[:, 0], labels[:, 0], used, groups)
        assert_close(found.item(), expected)


def test_a_batch_without_a_pair_has_a_loss_of_zero_and_a_gradient():
    logits, labels, _, groups = drawn(1)
    logits.requires_grad_()
    loss = multi_task_loss({"task0": ("pairwise", 1.0)})
    losses = loss(logits, labels, None, groups)
    assert losses[0] == 0
    losses.sum().backward()
    assert logits.grad[0, 0] == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mixture_is_shares_of_cross_entropy_and_of_pairs(weighted):
    logits, labels, weights, groups = drawn(30)
    weights = weights if weighted else None
    given = logits, labels, weights, groups
    plain = MultiTaskLoss(TASKS)(logits, labels, weights)
    pairs = of_pairs(
        logits[:, 0], labels[:, 0], None if weights is None else weights[:, 0], groups
    )
    found = multi_task_loss({"task0": ("pairwise", 0.3)})(*given)
    assert_close(found, torch.stack([0.7 * plain[0] + 0.3 * pairs, plain[1]]))
    half = multi_task_loss({"task0": "pairwise"})(*given)
    assert_close(half[0], (1 - PAIR_SHARE) * plain[0] + PAIR_SHARE * pairs)


def test_pairs_are_of_the_rows_of_one_member():
    logits, labels, weights, groups = (x.unflatten(0, (2, 15)) for x in drawn(30))
    loss = multi_task_loss({"task0": "pairwise"})
    for w in (weights, None):
        each = [
            loss(logits[m], labels[m], None if w is None else w[m], groups[m])
            for m in range(2)
        ]
        assert_close(loss(logits, labels, w, groups), torch.stack(each).mean(0))


def test_weights_of_any_scale_give_finite_pairs():
    """A sum of weights that rounding hides leaves no more than one."""
    values, groups = torch.tensor([1.0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    for low in (1e-30, 1e-12):
        weights = torch.tensor([1.0, 1.0, low, 1.0])
        found = of_pairs(torch.zeros(4), values, weights, groups)
        assert_close(found, torch.tensor(math.log(2) / 2), rtol=1e-3, atol=0)


def test_no_pair_is_of_two_groups_or_of_an_unobserved_label():
    logits = torch.tensor([0.0, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    values, weights = torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 1, 0])
    assert of_pairs(logits, values, weights, torch.tensor([0, 1, 0])) == 0
    of_pairs(logits, values, weights, torch.tensor([0, 0, 0])).backward()
    assert logits.grad[2] == 0
    assert_close(logits.grad[0], -logits.grad[1])


def test_pairs_leave_true_log_odds_where_they_are():
    """Both terms are least at the true log-odds, in the mean over labels."""
    z = torch.tensor([-1.5, 0.5, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    groups, p = torch.tensor([0, 0, 0, 1]), z.detach().sigmoid()
    total = torch.zeros((), dtype=torch.float64)
    for labels in product([0.0, 1.0], repeat=4):
        y = torch.tensor(labels, dtype=torch.float64)
        chance = (y * p + (1 - y) * (1 - p)).prod()
        total = total + chance * of_pairs(z, y, None, groups)
    total.backward()
    assert_close(z.grad, torch.zeros_like(z), atol=1e-12, rtol=0)
    # and the focal loss is not: that is why its probabilities need calibration
    one = torch.tensor([-1.5], dtype=torch.float64, requires_grad=True)
    p = one.detach().sigmoid()
    (p * focal(one, 2.0) + (1 - p) * focal(-one, 2.0)).sum().backward()
    assert one.grad.abs() > 1e-2
    assert one.grad < 0  # towards one half


# ------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    "loss",
    [
        "log_loss",
        "focal",
        ("focal", 0.5),
        {"task0": "pairwise"},
        {"task0": ("pairwise", 1.0), "task1": "focal"},
    ],
)
def test_gradients_are_those_of_differences(loss, smoothing, n):
    logits, labels, weights, groups = drawn(n)
    module = multi_task_loss(loss, smoothing)
    for given in (weights, None):
        assert gradcheck(
            lambda z, w=given: module(z, labels, w, groups), logits.requires_grad_()
        )


# ------------------------------------------------------------------------- functions


def test_a_function_of_the_users_gets_one_logit_or_one_for_each_class():
    seen = []

    def mine(logits, values):
        seen.append((tuple(logits.shape), tuple(values.shape), values.dtype))
        return logits.reshape(len(values), -1).sum(1) ** 2 * (1 + values)

    logits, labels, weights, _ = drawn(5)
    found = multi_task_loss(mine)(logits, labels, weights)
    assert seen == [((5,), (5,), torch.float64), ((5, 3), (5,), torch.int64)]
    sums = torch.stack([logits[:, 0], logits[:, 1:].sum(1)], 1)
    assert_close(found, (weights * sums**2 * (1 + labels)).mean(0))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("focl", "task 'task0' is 'focl'.*Did you mean 'focal'"),
        ({"task2": "focal"}, "loss names the task 'task2'.*Did you mean 'task"),
        ({"task1": "pairwise"}, "'task1' is 'pairwise'.*3 classes"),
        (("focal", -1), r"'task0' is \('focal', -1\).*gamma"),
        (("focal", 1, 2), "gamma of 'focal' is a number"),
        (("focal", "2"), "gamma of 'focal' is a number"),
        (("pairwise", 1.5), r"in \[0, 1\]"),
        (("log_loss", 1.0), "'log_loss' has none"),
        ((), r"task 'task0' is \(\)"),
        (3, "task 'task0' is 3"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_by_task_and_value(loss, message):
    with pytest.raises(ValueError, match=message):
        read_losses(loss, 0.0, TASKS)


@pytest.mark.parametrize("share", [1.0, -0.1, "a", math.nan])
def test_a_share_that_cannot_be_smoothed_is_refused(share):
    with pytest.raises(ValueError, match="label_smoothing of task 'task1' is"):
        read_losses(None, {"task1": share}, TASKS)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z, y: z.nothing, "'task0' fails on .*nothing"),
        (lambda z, y: z.sum(), r"'task0' must give .*\(10,\), but gave torch.Size"),
        (lambda z, y: 0.0, "must give a loss for each .* but gave 0.0"),
        (lambda z, y: y, "'task0' does not depend on the logits"),
        (lambda z, y: -(1 - z.sigmoid()).log(), r"loss that is not finite at .*20\.0"),
        (lambda z, y: z.abs().sqrt(), r"gradient that is not finite at .*0\.0"),
    ],
)
def test_a_function_that_does_not_do_is_refused_before_training(function, message):
    losses = read_losses({"task0": function}, 0.0, TASKS)
    with pytest.raises(ValueError, match=message):
        check_losses(losses, "float32")


def test_all_of_our_own_pass_the_check():
    for loss, dtype in product(["log_loss", "focal", ("focal", 0.3)], ("32", "64")):
        check_losses(read_losses(loss, 0.1, TASKS), f"float{dtype}")
    pairs = read_losses({"task0": "pairwise"}, 0.0, TASKS)
    check_losses(pairs, "float32", groups=[0])
    with pytest.raises(ValueError, match=r"'task0' is 'pairwise'.*groups"):
        check_losses(pairs, "float32")
