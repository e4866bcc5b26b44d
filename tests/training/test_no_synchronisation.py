"""Between the first and the last step of an epoch, the processor waits for no device.

What a step asks of a device is computed while the next one is prepared. Where a number
is read, that ends: the device idles until it is told what comes next. It all runs on
the processor, and on a device that there is not ("meta", whose tensors hold no values);
``tests/test_cuda.py`` asks torch itself, where there is a GPU.
"""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest
import torch
from _batches import KINDS
from _models import ESTIMATORS
from _waiting import NoWaiting, WouldWait

from dephn_sk import (
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskEstimator,
    DEPHNMultiTaskRegressor,
)
from dephn_sk.nn import Members, _table, use_generator
from dephn_sk.preprocessing import Bag, FieldEncoder, Fields
from dephn_sk.training import ArraySource, FitPlan, Trainer, _source
from dephn_sk.training._evaluation import predict_logits

EXPERTS = ("dnn", "cross", "field")
NETWORKS = {
    **ESTIMATORS,
    "paper": DEPHNMultiTaskClassifier.paper_configuration,
    "experts of all kinds": lambda **options: DEPHNMultiTaskClassifier(
        public_experts=EXPERTS, private_experts=EXPERTS, selection="soft", **options
    ),
    "several networks": lambda **options: DEPHNMultiTaskClassifier(
        n_networks=3, **options
    ),
}
DEVICES = ("cpu", "meta")
# what the processor waits for in a step, and what of
COALESCED = {"_coalesce": 1}  # which rows of a large table a batch touches, once
# which rows are positives and which negatives, and how many pairs there are
PAIRS = {"nonzero": 2, "__int__": 1, "_local_scalar_dense": 1}


@pytest.fixture(autouse=True)
def meta_is_a_device(monkeypatch):
    """Let training run where there are neither autocast nor fused optimizers."""
    autocast = torch.autocast

    class Autocast(autocast):
        def __init__(self, device_type, *args, **options):
            self.nowhere = device_type == "meta"
            if not self.nowhere:
                super().__init__(device_type, *args, **options)

        def __enter__(self):
            return self if self.nowhere else super().__enter__()

        def __exit__(self, *error):
            return None if self.nowhere else super().__exit__(*error)

    monkeypatch.setattr(torch, "autocast", Autocast)
    adam = sys.modules["torch.optim.adam"]
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda *_, **__: 0)


def table(kind):
    """Rows, labels and weights."""
    X, y = KINDS[kind].table()
    return X, y, np.random.default_rng(0).uniform(0.5, 2.0, len(X))


def begun(model, X, y, weights=None):
    """A trainer whose first step is done: caches and moments are made in it."""
    groups = np.arange(len(X)) % 2
    plan = FitPlan.of(model, X, y, weights, epochs=9, groups=groups)
    state, generator = plan.begin(), torch.Generator
    with pytest.MonkeyPatch.context() as patch:  # "meta" has none
        patch.setattr(torch, "Generator", lambda device: generator("cpu"))
        trainer = Trainer(state, plan)
    state.net.module_ = state.network
    use_generator(state.network.train(), trainer._generator)
    batches = trainer._rest_of_epoch(plan.train, 0, plan.pass_steps)
    trainer._step(next(batches))
    return trainer, batches


def waits_of_steps(model, *rows, allowed=()):
    """Calls that were allowed, of the steps after the first one."""
    trainer, batches = begun(model, *rows)
    n_steps = 0
    with NoWaiting(allowed) as waits:
        for batch in batches:
            trainer._step(batch)
            n_steps += 1
    assert n_steps > 1
    return {name: n / n_steps for name, n in waits.counts.items()}


def make(cls, device, **options):
    given = {"max_epochs": 1, "batch_size": 3, "random_state": 0, "device": device}
    model = cls(**given, **options)
    if "conditions" in model.get_params():
        model.set_params(conditions=options.get("conditions", {}))
    return model


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_waits_for_nothing(name, device):
    assert not waits_of_steps(make(NETWORKS[name], device), *table("missing label"))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["multi-class task", "one task"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gate": "mapped", "gate_optimizer": "adam"},
        {"task_weights": "uncertainty", "label_similarity": "cosine"},
        {"weight_averaging": 0.0, "class_weight": "balanced"},
        {"numeric_embedding": "linear+bins|piecewise-linear+periodic"},
        {"loss": "focal", "label_smoothing": 0.1},
        {"precision": "bf16", "n_networks": 2},
        {"virtual_gradient": None, "tower_hidden": (4,)},
    ],
    ids=str,
)
def test_nor_does_it_whatever_is_asked_for(options, kind, device):
    if options.get("precision") == "bf16" and device == "meta":
        pytest.skip("there is no autocast")
    model = make(DEPHNMultiTaskClassifier, device, **options)
    assert not waits_of_steps(model, *table(kind))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "kind", ["squared", "quantile(0.9)", "poisson", "gamma", "zero-inflated-lognormal"]
)
def test_nor_does_it_for_numbers(kind, device):
    X, _ = KINDS["plain"].table()
    y = np.random.default_rng(0).gamma(1.0, size=(len(X), 2))
    model = make(DEPHNMultiTaskRegressor, device, loss=kind)
    assert not waits_of_steps(model, X, y)


@pytest.mark.parametrize("device", DEVICES)
def test_nor_does_it_for_numbers_beside_classes(device):
    X, y = KINDS["multi-class task"].table()
    y = y.assign(number=np.random.default_rng(0).normal(size=len(X)))
    model = make(DEPHNMultiTaskEstimator, device)
    assert not waits_of_steps(model, X, y)


@pytest.mark.parametrize("device", DEVICES)
def test_nor_does_it_for_tasks_under_conditions(device):
    X, y = KINDS["plain"].table()
    y = y.assign(**{"task b": y["task b"] * y["task a"]})
    conditions = {"task b": "task a"}
    model = make(DEPHNMultiTaskClassifier, device, conditions=conditions)
    assert not waits_of_steps(model, X, y)


def lists(n_rows=12):
    pd = pytest.importorskip("pandas")
    tags = [[f"tag{j}" for j in range(i % 4)] for i in range(n_rows)]
    weights = [[1.0 + j for j in range(i % 4)] for i in range(n_rows)]
    X = pd.DataFrame({"tags": tags, "city": ["a", "b", "c"] * (n_rows // 3)})
    y = np.array([[0, 1], [1, 0], [1, 1]] * (n_rows // 3))
    return X.assign(weights=pd.Series(weights)), y


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("mode", "weighted"),
    [("mean", False), ("mean", True), ("sum", True), ("max", False)],
)
def test_nor_does_it_for_multi_valued_fields(mode, weighted, device):
    X, y = lists()
    X = X if weighted else X.drop(columns="weights")
    encoder = FieldEncoder(
        bag_mode=mode, bag_weights={"tags": "weights"} if weighted else None
    )
    model = make(DEPHNMultiTaskClassifier, device, encoder=encoder)
    assert not waits_of_steps(model, X, y)


# ------------------------------------------------------------------- what has to wait


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_large_table_waits_for_the_rows_of_a_batch_alone(average, monkeypatch):
    monkeypatch.setattr(_table, "SPARSE_ROWS", 1)
    model = make(DEPHNMultiTaskClassifier, "cpu", weight_averaging=average)
    rows = table("missing label")
    with pytest.raises(WouldWait, match="_coalesce"):
        waits_of_steps(model, *rows)
    assert waits_of_steps(model, *rows, allowed=COALESCED) == COALESCED


def test_the_loss_of_pairs_waits_for_the_pairs_of_a_batch():
    model = make(DEPHNMultiTaskClassifier, "cpu", loss={"task a": "pairwise"})
    rows = table("plain")
    with pytest.raises(WouldWait, match="nonzero"):
        waits_of_steps(model, *rows)
    assert waits_of_steps(model, *rows, allowed=PAIRS) == PAIRS


# --------------------------------------------------------- predictions and validation


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_of_predictions_waits_for_nothing(name, monkeypatch):
    """But for the result, once."""
    monkeypatch.setattr("dephn_sk.training._evaluation.PREDICT_BLOCK", 3)
    X, y, _ = table("missing label")
    fitted = make(NETWORKS[name], "cpu").fit(X, y)._fitted
    source = fitted.learned.source(fitted.encode(X), "cpu")
    with NoWaiting({"cpu", "numpy"}) as waits:
        predict_logits(fitted.network, source)
    assert waits.counts == {"cpu": 1, "numpy": 1}


def test_nor_does_one_with_multi_valued_fields(monkeypatch):
    monkeypatch.setattr("dephn_sk.training._evaluation.PREDICT_BLOCK", 3)
    X, y = lists()
    X = X.drop(columns="weights")
    fitted = make(DEPHNMultiTaskClassifier, "cpu").fit(X, y)._fitted
    source = fitted.learned.source(fitted.encode(X), "cpu")
    with NoWaiting({"cpu", "numpy"}) as waits:
        predict_logits(fitted.network, source)
    assert waits.counts == {"cpu": 1, "numpy": 1}


def waits_of_epochs(monkeypatch, batch_size, **options):
    """All calls that wait in the epochs of a fit, and the number of steps."""
    monkeypatch.setattr(Trainer, "_check_finite", lambda trainer: None)
    X, y, weights = table("missing label")
    pd = pytest.importorskip("pandas")
    X, y = pd.concat([X] * 4), pd.concat([y] * 4)
    options = {"max_epochs": 3, **options}
    model = make(DEPHNMultiTaskClassifier, "cpu").set_params(
        batch_size=batch_size, **options
    )
    plan = FitPlan.of(model, X, y, np.tile(weights, 4), epochs=3)
    trainer = Trainer(plan.begin(), plan)
    epochs = trainer.run()
    next(epochs)
    with NoWaiting(None) as waits:
        next(epochs)
    return waits.counts, plan.steps


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_epoch_of_many_steps_waits_as_often_as_one_of_few(
    early_stopping, monkeypatch
):
    (few, n_few), (many, n_many) = (
        waits_of_epochs(monkeypatch, size, early_stopping=early_stopping)
        for size in (14, 2)
    )
    assert n_many > 3 * n_few
    assert few == many
    assert few["item"] > 0  # its loss, at the end


# -------------------------------------------------------------- rows, there and sent


def fields_of_all_kinds(n_rows=10):
    members = np.arange(2 * n_rows)
    bags = (Bag(members, 2 * np.arange(n_rows + 1), members / 4),)
    numbers = np.ones((n_rows, 1), np.float32)
    return Fields(np.ones((n_rows, 2), np.int32), numbers, bags)


@pytest.mark.parametrize("rows", [None, np.array([7, 2, 3, 9, 0])])
@pytest.mark.parametrize("order", [{}, {"seed": 0}], ids=["in order", "shuffled"])
def test_rows_on_a_device_stay_there(order, rows):
    n = 10 if rows is None else len(rows)
    known = {"labels": np.ones((n, 1), np.uint8), "weights": np.ones((n, 1))}
    source = ArraySource(fields_of_all_kinds(), **known, rows=rows, device="meta")
    batches = source.batches(2, **order)
    first = next(batches)  # which brings the order there
    with NoWaiting():
        rest = list(batches)
    assert len(rest) > 1
    for batch in (first, *rest):
        (bag,) = batch.inputs["bags"]
        tensors = [batch.inputs["codes"], batch.inputs["numbers"], *bag, *batch[1:3]]
        assert {one.device.type for one in tensors} == {"meta"}


class Recorded:
    """Stands for a tensor: what is done to it, in turns."""

    device = torch.device("cuda")

    def __init__(self, name, done):
        self.name, self.done = name, done

    def __getattr__(self, method):
        def call(*args, **options):
            self.done.append((self.name, method, args, options))
            return self

        return call


class Stream:
    def __init__(self, done):
        self.done = done

    def record_event(self):
        self.done.append("sent")
        return "event"

    def wait_event(self, event):
        self.done.append(f"waits for {event}")


def test_batches_are_sent_from_pinned_memory_on_a_stream_of_their_own(monkeypatch):
    done = []
    names = ("codes", "numbers", "members", "offsets", "labels")
    parts = {name: Recorded(name, done) for name in names}
    bag = Members(parts["members"], parts["offsets"])
    inputs = {"codes": parts["codes"], "numbers": parts["numbers"], "bags": [bag]}
    batch = _source.Batch(inputs, parts["labels"])
    device, sending, working = torch.device("cuda"), Stream(done), Stream(done)

    @contextlib.contextmanager
    def on(stream):
        assert stream is sending
        done.append("on")
        yield
        done.append("off")

    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: working)
    monkeypatch.setattr(_source, "_sending", lambda device: sending)
    (received,) = _source.sent_ahead(iter([batch]), device)
    assert received.inputs["codes"] is parts["codes"]
    sent = [
        (name, *step)
        for name in names
        for step in (
            ("pin_memory", (), {}),
            ("to", (device,), {"non_blocking": True}),
        )
    ]
    assert done[0] == "on"
    assert done[1 : 1 + len(sent)] == sent
    kept = [(name, "record_stream", (working,), {}) for name in names]
    assert done[1 + len(sent) :] == ["sent", "off", "waits for event", *kept]


# --------------------------------------------------------------- the modes themselves

x = torch.arange(12.0).view(4, 3)
ONES = torch.ones(3, dtype=torch.long)
WAITING = {
    "item": lambda: x[0, 0].item(),
    "float": lambda: float(x[0, 0]),
    "int": lambda: int(x[0, 0]),
    "bool": lambda: bool(x[0, 0]),
    "if": lambda: 1 if x.isnan().any() else 0,
    "range": lambda: range(ONES[0]),
    "in": lambda: 3 in x,
    "format": lambda: f"{x[0, 0]}",
    "tolist": x.tolist,
    "numpy": x.numpy,
    "asarray": lambda: np.asarray(x),
    "cpu": x.cpu,
    "nonzero": x.nonzero,
    "where": lambda: torch.where(x > 0),
    "a mask": lambda: x[x > 0],
    "masked_select": lambda: x.masked_select(x > 0),
    "unique": x.unique,
    "unique rows": lambda: x.unique(dim=0),
    "unique_consecutive": x.unique_consecutive,
    "equal": lambda: torch.equal(x, x),
    "one_hot": lambda: torch.nn.functional.one_hot(ONES),
    "repeat_interleave": lambda: torch.repeat_interleave(ONES),
    "a list of places": lambda: x[:, [0, 1]],
    "numbers of Python": lambda: torch.tensor([1.0, 2.0]),
    "a copy": lambda: x.to("meta"),
    "places elsewhere": lambda: torch.empty(4, device="meta")[ONES],
}
FINE = {
    "where": lambda: torch.where(x > 0, x, 0.0),
    "index": lambda: x[ONES],
    "slice": lambda: x[1:, 0],
    "repeat_interleave": lambda: torch.repeat_interleave(ONES, output_size=3),
    "a copy": lambda: x.to("meta", non_blocking=True),
    "full": lambda: torch.full((3,), 2.0) * 2,
    "shape": lambda: [len(x), x.shape[0], x.numel()],
}


@pytest.mark.parametrize("name", WAITING)
def test_a_call_that_would_wait_raises(name):
    with pytest.raises(WouldWait), NoWaiting():
        WAITING[name]()


@pytest.mark.parametrize("name", FINE)
def test_another_call_does_not(name):
    with NoWaiting():
        FINE[name]()


def test_what_is_allowed_is_counted():
    with NoWaiting({"item", "_local_scalar_dense"}) as waits:
        assert [x[0, 1].item(), x[0, 2].item()] == [1.0, 2.0]
    assert waits.counts["item"] == 2
