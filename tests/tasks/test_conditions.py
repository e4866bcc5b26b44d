"""Conditions between tasks: labels, losses and probabilities of a funnel."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit

from dephn_sk.storage._plain import flatten, restore
from dephn_sk.tasks import Binary, Tasks, combine, made_up

NAN = np.nan
FORESTS = {
    "a pair": (None, 0),
    "a chain of four": (None, 0, 1, 2),
    "a chain backwards": (1, 2, 3, None),
    "a star": (None, 0, 0, 0),
    "two trees": (None, 0, None, 2, 2),
    "a tree of depth four": (None, 0, 0, 1, 1, 3),
    "one alone": (None, None, 1),
}


def tasks_of(conditions, **options):
    names = "abcdefgh"[: len(conditions)]
    tasks = tuple(Binary(name, np.array([0, 1])) for name in names)
    given = {names[t]: names[p] for t, p in enumerate(conditions) if p is not None}
    return Tasks(tasks, single=False).under(given, **options)


def frame(**columns):
    return pd.DataFrame({name: np.array(v, float) for name, v in columns.items()})


FUNNEL = {"buy": "click", "refund": "buy"}


def funnel(y, **options):
    names = {t: c for t, c in FUNNEL.items() if t in y and c in y}
    return Tasks.learn(y).under(names, **options)


# ------------------------------------------------------------ naive, in float64


def naive_probabilities(logits, conditions):
    """[ESMM] eq. 1, row by row and task by task."""
    found = np.empty(logits.shape)
    for i, row in enumerate(logits):
        for t in range(len(row)):
            p, step = 1.0, t
            while step is not None:
                p *= 1 / (1 + np.exp(-row[step]))
                step = conditions[step]
            found[i, t] = p
    return found


def naive_loss(logits, values, conditions):
    """[ESMM] eq. 3: cross-entropy of the products."""
    p = naive_probabilities(logits, conditions)
    return -(values * np.log(p) + (1 - values) * np.log(1 - p))


def consistent(conditions, n_rows, rng):
    """Labels of a funnel."""
    values = rng.integers(0, 2, (n_rows, len(conditions))).astype(float)
    for _ in conditions:
        for t, condition in enumerate(conditions):
            if condition is not None:
                values[:, t] *= values[:, condition]
    return values


@pytest.mark.parametrize("batch", [1, 50])
@pytest.mark.parametrize("name", FORESTS)
def test_the_loss_is_the_cross_entropy_of_the_products(name, batch):
    conditions, rng = FORESTS[name], np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(batch, len(conditions)))
    values = consistent(conditions, batch, rng)
    loss = tasks_of(conditions).loss(torch.tensor(logits), torch.tensor(values))
    assert_allclose(loss, naive_loss(logits, values, conditions), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", FORESTS)
def test_gradients_are_those_of_finite_differences(name):
    conditions, rng = FORESTS[name], np.random.default_rng(1)
    tasks = tasks_of(conditions)
    values = torch.tensor(consistent(conditions, 6, rng))
    logits = torch.tensor(rng.normal(scale=3, size=values.shape), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: tasks.loss(z, values), logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FORESTS)
def test_loss_and_gradient_are_finite_at_any_logit(name, dtype):
    conditions = FORESTS[name]
    tasks, n = tasks_of(conditions), len(conditions)
    extremes = torch.tensor([-1e30, -1e4, -69.0, 0.0, 69.0, 1e4, 1e30], dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(extremes), (400, n), generator=generator)
    logits = extremes[drawn].requires_grad_()
    for label in (0.0, 1.0):
        loss = tasks.loss(logits, torch.full((400, n), label, dtype=dtype))
        assert loss.isfinite().all()
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert gradient.isfinite().all()
        assert gradient.abs().max() <= n  # each of at most n terms


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_of_1e_30_lose_nothing(dtype):
    rare = float(np.log(1e-15))
    logits = torch.tensor([[rare, rare]], dtype=dtype, requires_grad=True)
    tasks = tasks_of((None, 0))
    yes = tasks.loss(logits, torch.ones(1, 2, dtype=dtype))[0, 1]
    assert yes.item() == pytest.approx(30 * np.log(10), rel=1e-6)
    (gradient,) = torch.autograd.grad(yes, logits)
    assert_allclose(gradient, [[-1, -1]], rtol=1e-6)
    no = tasks.loss(logits, torch.zeros(1, 2, dtype=dtype))[0, 1]
    assert no.item() == pytest.approx(1e-30, rel=1e-4)
    # and at the other end, 1 - p of the order of 1e-15
    sure = torch.full((1, 2), -rare, dtype=dtype)
    no = tasks.loss(sure, torch.zeros(1, 2, dtype=dtype))[0, 1]
    assert no.item() == pytest.approx(-np.log(2e-15), rel=1e-6)


def test_tasks_without_conditions_are_what_they_were():
    tasks, free = tasks_of((None, 0)), Tasks(tasks_of((None, 0)).tasks, single=False)
    assert free.under(None) is free.under({}) is not tasks
    assert free.under(None).conditions == ()
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    values = torch.ones(40, 2)
    assert torch.equal(
        tasks.loss(logits, values)[:, 0], free.loss(logits, values)[:, 0]
    )
    assert "conditions" not in free.state()


# ------------------------------------------------------------ probabilities


@pytest.mark.parametrize("name", FORESTS)
def test_a_task_is_never_more_probable_than_its_condition(name):
    conditions, rng = FORESTS[name], np.random.default_rng(2)
    n_rows = 1_000_000 // len(FORESTS)
    weights = rng.normal(
        scale=rng.uniform(0, 30, len(conditions)), size=(4, len(conditions))
    )
    rows = rng.normal(size=(n_rows, 4))
    logits = (rows @ weights).astype(np.float32)
    found = tasks_of(conditions).predict(logits)
    for t, condition in enumerate(conditions):
        if condition is None:
            continue
        for dtype in (np.float64, np.float32):
            above, below = (found[i][:, 1].astype(dtype) for i in (condition, t))
            assert (below <= above).all()
        # and no label that is predicted contradicts the funnel
        above, below = (found[i].argmax(1) for i in (condition, t))
        assert (below <= above).all()


@pytest.mark.parametrize("name", FORESTS)
def test_probabilities_are_the_products_and_back(name):
    conditions, rng = FORESTS[name], np.random.default_rng(3)
    tasks, logits = (
        tasks_of(conditions),
        rng.normal(scale=4, size=(60, len(conditions))),
    )
    found, given = tasks.predict(logits), tasks.predict(logits, given=True)
    wanted = naive_probabilities(logits, conditions)
    for t, both in enumerate(found):
        assert_allclose(both[:, 1], wanted[:, t], rtol=1e-12)
        assert_allclose(both.sum(axis=1), 1, rtol=1e-12)
        assert_array_equal(given[t][:, 1], expit(logits[:, t]))
    for again, own in zip(tasks.conditional(found), given, strict=True):
        assert_allclose(again, own, atol=1e-9)


def test_what_an_impossible_condition_conditions_is_impossible():
    tasks = tasks_of((None, 0))
    never = [np.array([[1.0, 0.0]])] * 2
    assert_array_equal(tasks.conditional(never)[1], [[1.0, 0.0]])


@pytest.mark.parametrize("name", FORESTS)
def test_pooled_logits_are_those_of_the_mean_of_marginal_probabilities(name):
    conditions, rng = FORESTS[name], np.random.default_rng(4)
    tasks, each = (
        tasks_of(conditions),
        rng.normal(scale=5, size=(3, 40, len(conditions))),
    )
    pooled = tasks.pool(torch.tensor(each)).numpy()
    found = np.column_stack([p[:, 1] for p in tasks.predict(pooled)])
    wanted = np.mean([naive_probabilities(z, conditions) for z in each], axis=0)
    assert_allclose(found, wanted, rtol=1e-10)
    extreme = tasks.pool(torch.full((2, 1, len(conditions)), -80.0))
    assert extreme.isfinite().all()


def test_a_task_of_more_classes_may_stand_between():
    y = pd.DataFrame({"a": [0, 1, 1, 1], "kind": list("xyzx"), "b": [0, 1, 0, 1]})
    tasks = Tasks.learn(y).under({"b": "a"})
    logits = np.random.default_rng(5).normal(size=(4, 5))
    _, _, b = tasks.predict(logits)
    assert_allclose(b[:, 1], expit(logits[:, 0]) * expit(logits[:, 4]))
    values = torch.tensor(tasks.read(y).values)
    loss = tasks.loss(torch.tensor(logits), values)
    free = Tasks.learn(y).loss(torch.tensor(logits), values)
    assert torch.equal(loss[:, :2], free[:, :2])
    assert_allclose(loss[:, 2], -np.log(b[np.arange(4), y["b"]]))


# ------------------------------------------------------------ labels


def test_the_entire_space_has_a_zero_wherever_the_condition_did_not_happen():
    y = frame(
        click=[0, 0, 1, 1, 1, NAN, NAN],
        buy=[NAN, 0, 0, NAN, 1, 1, 0],
        refund=[NAN, NAN, NAN, NAN, NAN, 0, 0],
    )
    tasks = funnel(y)
    entire = tasks.entire_space(tasks.read(y)).filled()
    wanted = [
        *([0, 0, 0], [0, 0, 0], [1, 0, 0], [1, NAN, NAN], [1, 1, NAN]),
        *([NAN, 1, 0], [NAN, 0, 0]),
    ]
    assert_array_equal(entire, wanted)
    # as given, for whoever judges
    assert_array_equal(tasks.read(y).filled(), y)


def test_statistics_see_a_task_where_its_condition_happened():
    y = frame(click=[0, 1, 1, NAN], buy=[0, 0, 1, 1])
    tasks = funnel(y)
    given = tasks.given_conditions(tasks.entire_space(tasks.read(y))).filled()
    assert_array_equal(given, [[0, NAN], [1, 0], [1, 1], [NAN, NAN]])


def test_starts_are_conditional_rates_and_rates_marginal_ones():
    rng = np.random.default_rng(6)
    y = consistent((None, 0, 1), 500, rng)
    y = frame(click=y[:, 0], buy=y[:, 1], refund=y[:, 2])
    tasks = funnel(y)
    labels = tasks.entire_space(tasks.read(y))
    start = tasks.start(labels, combine(labels, tasks, None, None))
    click, buy = y["click"] == 1, y["buy"] == 1
    wanted = [click.mean(), y["buy"][click].mean(), y["refund"][buy].mean()]
    assert_allclose(start, logit(wanted), rtol=1e-9)
    assert_allclose(tasks.rates(start), y.mean(), rtol=1e-9)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (
            frame(click=[1, 0, 0], buy=[1, 0, 1], refund=[0, 0, 0]),
            r"Row 2 has the label 1.0 of the task 'buy', but 0.0 of its condition "
            "'click'",
        ),
        (  # the purchase between them is not observed
            frame(click=[1, 0, 1], buy=[1, NAN, 0], refund=[0, 1, 0]),
            r"Row 1 has the label 1.0 of the task 'refund', but 0.0 of its condition "
            "'click'",
        ),
    ],
)
def test_labels_that_contradict_the_funnel_are_named(y, said):
    with pytest.raises(ValueError, match=said):
        funnel(y).read(y)
    with pytest.warns(UserWarning, match=said) as caught:
        labels = funnel(y, on_violation="warn").read(y)
    assert len(caught) == 1
    wanted = y.mask((y == 1) & y.shift(axis=1).isin([0, NAN]) & [False, True, True])
    assert_array_equal(labels.filled(), wanted)


def test_the_row_of_a_violation_is_that_of_the_y_that_was_given():
    y = frame(click=[1, 0], buy=[1, 1])
    with pytest.raises(ValueError, match=r"Row 17 "):
        funnel(y).read(y, rows=np.array([3, 17]))


def test_classes_are_named_as_they_were_given():
    y = pd.DataFrame({"click": ["no", "yes", "no"], "buy": ["-", "paid", "paid"]})
    with pytest.raises(ValueError, match=r"label 'paid' of the task 'buy', but 'no'"):
        funnel(y).read(y)


def test_known_labels_speak_for_those_missing_where_the_condition_happened():
    y = frame(click=[0] * 4 + [1] * 4, buy=[NAN] * 4 + [NAN, NAN, 0, 1])
    tasks = funnel(y)
    labels = tasks.entire_space(tasks.read(y))
    weights = combine(labels, tasks, None, None)
    weights = made_up(weights, labels, tasks, (labels, None))
    assert weights[:, 1].tolist() == [1] * 4 + [0, 0, 2, 2]
    assert tasks.rates(tasks.start(labels, weights)) == pytest.approx((0.5, 0.25))
    by_row = np.array([[1.0, 1.0]] * 4 + [[1, 3], [1, 1], [1, 1], [1, 1]])
    weights = combine(labels, tasks, by_row, None)
    weights = made_up(weights, labels, tasks, (labels, by_row))
    assert weights[:, 1].tolist() == [1] * 4 + [0, 0, 3, 3]


# ------------------------------------------------------------ refused, stored

SEVERAL = pd.DataFrame(
    {"click": [0, 1, 1], "buy": [0, 0, 1], "refund": [0, 0, 1], "kind": list("xyz")}
)


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"buys": "click"}, "conditions names the task 'buys'.*Did you mean 'buy'"),
        ({"buy": "clik"}, r"conditions\['buy'\] names the task 'clik'.*'click'"),
        ({"buy": 3}, r"conditions\['buy'\] names the task 3"),
        ({"buy": ["click"]}, r"conditions\['buy'\] names the task \['click'\]"),
        ({"buy": "buy"}, "conditions makes the task 'buy' its own condition"),
        (
            {"buy": "refund", "refund": "click", "click": "buy"},
            "cycle: 'click' given 'buy' given 'refund' given 'click'",
        ),
        ({"kind": "click"}, r"conditions\['kind'\] concerns .*'kind'.* 3 classes"),
        ({"buy": "kind"}, r"conditions\['buy'\] concerns .*'kind'.* 3 classes"),
    ],
)
def test_conditions_that_are_no_forest_are_refused_by_name(conditions, said):
    with pytest.raises(ValueError, match=said):
        Tasks.learn(SEVERAL).under(conditions)


def test_a_y_of_one_column_has_no_conditions():
    with pytest.raises(ValueError, match=r"conditions={'buy': 'click'} needs a y of"):
        Tasks.learn([0, 1]).under({"buy": "click"})


def test_tasks_of_a_state_have_their_conditions():
    tasks = tasks_of((None, 0, 1), on_violation="warn")
    tree, arrays = flatten(tasks.state())
    again = Tasks.from_state(restore(json.loads(json.dumps(tree)), arrays))
    assert again.conditions == (None, 0, 1)
    assert again.on_violation == "warn"


@pytest.mark.parametrize(
    "change",
    [
        {"conditions": [None, 1]},
        {"conditions": [1, 0]},
        {"conditions": [None, 7]},
        {"conditions": [None, -1]},
        {"conditions": [None]},
        {"conditions": [None, True]},
        {"conditions": "no"},
        {"on_violation": "nothing"},
    ],
)
def test_a_state_of_no_forest_is_refused(change):
    with pytest.raises(ValueError):
        Tasks.from_state({**tasks_of((None, 0)).state(), **change})
