"""Kinds of task: loss, start, prediction, score, storing, and a kind from outside."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_softmax
from sklearn.metrics import roc_auc_score

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.storage._plain import flatten, restore
from dephn_sk.tasks import KINDS, Binary, Fraction, MultiClass, Tasks, combine


def binary(name="click"):
    return Binary(name, np.array([0, 1]))


def multi(n_classes=3, name="kind"):
    return MultiClass(name, np.arange(n_classes))


def mixed(*tasks):
    return Tasks(tasks, single=False)


# ------------------------------------------------------------ loss


def naive_loss(task, logits, values):
    """Label by label, in float64."""
    losses = []
    for z, y in zip(logits, values, strict=True):
        if task.n_outputs == 1:
            p = expit(z[0])
            losses.append(-np.log(p) if y == 1 else -np.log1p(-p))
        else:
            losses.append(-log_softmax(z)[int(y)])
    return np.array(losses)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(
    "task", [binary(), multi(3), multi(7)], ids=lambda t: t.n_levels
)
def test_the_loss_is_the_log_loss_of_each_label(task, batch):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(batch, task.n_outputs))
    values = rng.integers(0, task.n_levels, batch).astype(float)
    loss = task.loss(torch.from_numpy(logits), torch.from_numpy(values))
    assert loss.shape == (batch,)
    assert_allclose(loss.numpy(), naive_loss(task, logits, values), rtol=1e-12)


@pytest.mark.parametrize("task", [binary(), multi(3)], ids=lambda t: t.n_levels)
def test_the_loss_is_elementwise_over_leading_axes(task):
    logits = torch.randn(4, 2, task.n_outputs, dtype=torch.float64)
    values = torch.randint(0, task.n_levels, (4, 2)).double()
    loss = task.loss(logits, values)
    assert loss.shape == (4, 2)
    for i in range(4):
        for j in range(2):
            assert loss[i, j] == task.loss(logits[i, j, None], values[i, j, None])[0]


@pytest.mark.parametrize("task", [binary(), multi(3)], ids=lambda t: t.n_levels)
def test_the_gradients_of_the_loss(task):
    logits = torch.randn(3, task.n_outputs, dtype=torch.float64, requires_grad=True)
    values = torch.arange(3).remainder(task.n_levels).double()
    assert torch.autograd.gradcheck(lambda z: task.loss(z, values), logits)


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize(
    "tasks",
    [
        [binary("a")],
        [binary("a"), binary("b"), binary("c")],
        [binary("a"), multi(3), multi(3), binary("b"), multi(4)],
    ],
    ids=len,
)
def test_the_loss_of_all_tasks_is_that_of_each(tasks, batch):
    tasks = mixed(*tasks)
    logits = torch.randn(batch, sum(tasks.n_outputs))
    values = torch.stack([torch.randint(0, n, (batch,)) for n in tasks.n_levels], 1)
    loss = tasks.loss(logits, values.float())
    parts = logits.split(tasks.n_outputs, 1)
    for t, (task, part) in enumerate(zip(tasks.tasks, parts, strict=True)):
        assert torch.equal(loss[:, t], task.loss(part, values[:, t].float()))


def test_binary_tasks_are_one_call_of_torch():
    tasks = mixed(binary("a"), binary("b"))
    logits, values = torch.randn(5, 2), torch.randint(0, 2, (5, 2)).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, values, reduction="none"
    )
    assert torch.equal(tasks.loss(logits, values), expected)
    assert len(tasks.groups) == 1


def test_neighbours_of_one_kind_and_size_are_a_group():
    a, b, c = binary("a"), multi(3, "b"), multi(3, "c")
    d, e = multi(4, "d"), binary("e")
    groups = mixed(a, b, c, d, e).groups
    assert groups == [
        (slice(0, 1), slice(0, 1), a),
        (slice(1, 3), slice(1, 7), b),
        (slice(3, 4), slice(7, 11), d),
        (slice(4, 5), slice(11, 12), e),
    ]


# ------------------------------------------------------------ start, predict, score


def test_the_start_predicts_the_weighted_rates():
    rng = np.random.default_rng(0)
    y = np.column_stack([rng.random(50) < 0.2, rng.integers(0, 3, 50)]).astype(float)
    y[rng.random(y.shape) < 0.3] = np.nan
    tasks = Tasks.learn(y)
    labels = tasks.read(y)
    weights = combine(labels, tasks, rng.random((50, 1)), None)
    start = tasks.start(labels, weights)
    prediction = tasks.predict(start[None])
    for t, n_classes in enumerate([2, 3]):
        mass = [weights[y[:, t] == k, t].sum() for k in range(n_classes)]
        assert_allclose(prediction[t][0], np.array(mass) / sum(mass))
    assert tasks.rates(start) == (pytest.approx(prediction[0][0, 1]), None)


@pytest.mark.parametrize("task", [binary(), multi(3)], ids=lambda t: t.n_levels)
def test_a_class_without_a_row_starts_from_a_finite_logit(task):
    start = task.start(np.zeros(5), np.ones(5))
    assert np.isfinite(start).all()
    assert task.predict(start[None])[0, 0] > 0.999


def test_scores_are_auc_and_accuracy_of_the_rows_that_count():
    rng = np.random.default_rng(0)
    tasks = mixed(binary(), multi(3))
    logits = rng.normal(size=(60, 4))
    values = np.column_stack([rng.integers(0, 2, 60), rng.integers(0, 3, 60)])
    weights = rng.random((60, 2)) * (rng.random((60, 2)) < 0.7)
    auc, accuracy = tasks.score(tasks.predict(logits), values, weights)
    rows = weights[:, 0] > 0
    expected = roc_auc_score(
        values[rows, 0], logits[rows, 0], sample_weight=weights[rows, 0]
    )
    assert_allclose(auc, expected)
    hit = logits[:, 1:].argmax(axis=1) == values[:, 1]
    assert_allclose(accuracy, np.average(hit, weights=weights[:, 1]))


def test_scores_are_nan_where_they_are_undefined():
    tasks = mixed(binary("a"), binary("b"), multi(3))
    values = np.array([[0, 1, 0], [1, 1, 2]])
    logits = np.random.default_rng(0).normal(size=(2, 5))
    scores = tasks.score(
        tasks.predict(logits), values, np.array([[1, 1, 0], [1, 1, 0]])
    )
    assert_array_equal(np.isnan(scores), [False, True, True])
    assert np.isnan(tasks.score(tasks.predict(logits * np.nan), values)[0])


def test_a_task_alone_is_scored_by_its_accuracy():
    tasks = Tasks((binary(),), single=True)
    scores = tasks.score(
        tasks.predict(np.array([[2.0], [1.0], [-1.0]])), np.array([[1], [0], [0]])
    )
    assert_allclose(scores, [2 / 3])


def test_labels_fit_in_a_byte_where_classes_are_few():
    assert mixed(binary(), multi(256)).label_dtype("float32") == np.uint8
    assert mixed(binary(), multi(257)).label_dtype("float32") == np.float32
    assert mixed(Fraction("a", np.arange(2)), multi(3)).label_dtype("f8") == np.float64


# ------------------------------------------------------------ fractions


def test_fractions_are_taken_as_they_are_where_they_are_asked_for():
    y = pd.DataFrame(
        {"share": [0.5, 1.0, None], "bought": [0, 1, 1], "kind": list("abc")}
    )
    tasks = Tasks.learn(y, kinds=(Fraction, *KINDS))
    assert [type(task) for task in tasks.tasks] == [Fraction, Fraction, MultiClass]
    assert_array_equal(tasks.read(y).filled()[:, :2], [[0.5, 0], [1, 1], [np.nan, 1]])
    assert tasks.read(y).rate_names[:2] == ("share_rate", "bought_rate")
    with pytest.raises(ValueError, match=r"'share'.*continuous"):
        Tasks.learn(y)


@pytest.mark.parametrize("label", ["much", np.inf])
def test_a_fraction_that_is_no_number_is_named(label):
    tasks = Tasks.learn([[0.5, 0], [1.0, 1]], kinds=(Fraction, *KINDS))
    with pytest.raises(ValueError, match=f"'task0' has the label .*{label}"):
        tasks.read([[label, 1], [0.5, 0]])


# ------------------------------------------------------------ storing


CLASSES = {
    "text": np.array(["no", "yes", "maybe"]),
    "text objects": np.array(["no", "yes", "äöü"], dtype=object),
    "bytes": np.array([b"no", b"yes"]),
    "bool": np.array([False, True]),
    "ints": np.array([-1, 1, 2**60, 2**60 + 1]),
    "small ints": np.array([0, 1], dtype=np.int8),
    "unsigned": np.array([0, 2**64 - 1], dtype=np.uint64),
    "floats": np.array([0.0, 2.0]),
    "float32": np.array([0.0, 1.0], dtype=np.float32),
    "dates": np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ns]"),
}


def stored(state):
    """Written as JSON and arrays without objects, and read again."""
    tree, arrays = flatten(state)
    return restore(json.loads(json.dumps(tree)), arrays)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("single", [False, True])
def test_tasks_are_the_same_from_their_state(kind, single):
    y = pd.Series(np.tile(CLASSES[kind], 30), name="click")
    y = y if single else pd.DataFrame({"click": y, "kind": np.arange(len(y)) % 3})
    tasks = Tasks.learn(y)
    again = Tasks.from_state(stored(tasks.state()))
    assert again.single == tasks.single == single
    assert again.names == tasks.names
    for task, other in zip(tasks.tasks, again.tasks, strict=True):
        assert type(task) is type(other)
        assert task.classes.dtype == other.classes.dtype
        assert task.classes.tolist() == other.classes.tolist()
        assert task.n_outputs == other.n_outputs
    assert_array_equal(again.read(y).values, tasks.read(y).values)


@pytest.mark.parametrize(
    "classes", [["a\0", "b"], [2**70, 2**80], [(1,), (2,)]], ids=repr
)
def test_classes_of_any_kind_come_back(classes):
    labels = np.empty(2, dtype=object)
    labels[:] = classes
    state = mixed(Binary("click", labels), multi()).state()
    assert Tasks.from_state(stored(state)).tasks[0].classes.tolist() == classes


@pytest.mark.parametrize(
    "change",
    [
        {"single": True},
        {"0.name": "kind"},
        {"0.name": None},
        {"0.classes": np.array([[0, 1]])},
        {"0.classes": np.array([0, 1, 2])},
        {"0.classes": [0, 1]},
        {"1.classes": np.array([0, 1])},
    ],
    ids=str,
)
def test_a_state_that_no_tasks_have_is_refused(change):
    state = mixed(binary(), multi()).state()
    with pytest.raises(ValueError, match="cannot"):
        Tasks.from_state(state | change)


def test_an_unknown_kind_is_refused_by_name():
    state = mixed(binary(), multi()).state()
    state["1.kind"] = "Ordinal"
    with pytest.raises(ValueError, match="'kind' is of the kind 'Ordinal'"):
        Tasks.from_state(state)


def test_tasks_are_pickled():
    tasks = pickle.loads(pickle.dumps(mixed(binary(), multi())))
    assert tasks.names == ("click", "kind")


# ------------------------------------------------------------ a kind from outside


class Brier(Binary):
    """Two classes, learned by the square of what is missing of the label."""

    @classmethod
    def learn(cls, column, classes=None, single=False):
        return super().learn(column, classes, single) if column.name == "buy" else None

    def loss(self, logits, values):
        return (logits.squeeze(-1).sigmoid() - values) ** 2


@pytest.fixture
def brier():
    KINDS.insert(0, Brier)
    yield Brier
    KINDS.remove(Brier)


def test_a_kind_from_outside_is_learned_stored_and_lost_as_it_says(brier):
    y = pd.DataFrame({"click": [0, 1, 1], "buy": [1, 0, 1], "kind": [2, 1, 0]})
    tasks = Tasks.learn(y)
    assert [type(task) for task in tasks.tasks] == [Binary, Brier, MultiClass]
    assert [outputs for _, outputs, _ in tasks.groups] == [
        slice(0, 1),
        slice(1, 2),
        slice(2, 5),
    ]
    logits = torch.zeros(3, 5)
    loss = tasks.loss(logits, torch.from_numpy(tasks.read(y).values).float())
    assert_allclose(loss[:, 1], 0.25)
    assert_allclose(loss[:, 0], np.log(2), rtol=1e-6)
    assert isinstance(Tasks.from_state(stored(tasks.state())).tasks[1], Brier)


def test_an_estimator_learns_a_kind_from_outside(brier):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    click = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
    y = pd.DataFrame({"click": click, "buy": (X[:, 1] > 0).astype(int)})
    model = DEPHNMultiTaskClassifier(
        public_experts=("dnn",),
        private_experts=(),
        expert_hidden=(8,),
        max_epochs=5,
        random_state=0,
    ).fit(X, y)
    first = model.net_.history[0, "train_task_loss"]
    assert first[0] > 0.5  # log loss of a coin is 0.69, its Brier score 0.25
    assert first[1] < 0.3
    assert model.score(X, y) > 0.7
