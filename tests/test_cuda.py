"""On a GPU: the same numbers, no waiting within a step, and models that come back."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from _batches import KINDS
from _models import ESTIMATORS
from _naive import randomize
from numpy.testing import assert_allclose
from skorch.callbacks import Callback
from torch.testing import assert_close

from dephn_sk import (
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskEstimator,
    DEPHNMultiTaskRegressor,
)
from dephn_sk.nn import (
    DEPHN,
    FieldEmbedding,
    Members,
    NumericEmbedding,
    _table,
    coefficient,
    label_similarity,
    use_generator,
)
from dephn_sk.preprocessing import FieldEncoder, Fields
from dephn_sk.training import ArraySource, FitPlan, MultiTaskLoss, Trainer, _source

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CLOSE = {"atol": 1e-9, "rtol": 1e-9}
TINY = {
    "embedding_dim": 4,
    "n_bins": 4,
    "expert_hidden": (6, 4),
    "n_layers": 2,
    "embedding_dropout": 0.0,
    "unseen_rate": 0.0,
    "dropout": 0.0,
    "max_epochs": 1,
    "random_state": 0,
}


def as_list(probabilities):
    return probabilities if isinstance(probabilities, list) else [probabilities]


def make_network(kind, **options):
    numeric = None
    if n_numeric := kind.numbers.shape[1]:
        edges = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        numeric = NumericEmbedding([edges] * n_numeric, dim=4)
    embedding = FieldEmbedding(kind.cardinalities, dim=4, numeric=numeric)
    options = {"expert_hidden": (6, 4), **options}
    return randomize(DEPHN(embedding, kind.n_outputs, **options), std=0.4)


def step(network, kind, device):
    """Logits, losses and gradients of one training step."""
    codes, numbers, labels = (part.to(device) for part in kind.tensors())
    similarity = label_similarity(labels, n_classes=kind.n_classes)
    logits = network(codes, numbers, label_similarity=similarity)
    known = (~labels.isnan()).double()
    losses = MultiTaskLoss(kind.tasks)(logits, labels.nan_to_num(), known)
    parameters = list(network.parameters())
    grads = torch.autograd.grad(losses.sum(), parameters, allow_unused=True)
    grads = [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(parameters, grads, strict=True)
    ]
    return [similarity, logits, losses, *grads]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
@pytest.mark.parametrize("tower_hidden", [(), (4,)])
def test_a_networks_step_equals_that_of_the_cpu(name, gate, tower_hidden):
    network = make_network(KINDS[name], gate=gate, tower_hidden=tower_hidden)
    on_gpu = copy.deepcopy(network).cuda()
    cpu, gpu = step(network, KINDS[name], "cpu"), step(on_gpu, KINDS[name], "cuda")
    for one, other in zip(gpu, cpu, strict=True):
        assert one.is_cuda
        assert_close(one.cpu(), other, equal_nan=True, **CLOSE)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_classes", [[2, 2, 2], [2, 3, 4]])
@pytest.mark.parametrize("weighted", [False, True])
def test_label_similarity_and_coefficient_equal_those_of_the_cpu(
    kind, n_classes, weighted
):
    generator = torch.Generator().manual_seed(0)
    y = torch.stack(
        [torch.randint(n, (50,), generator=generator) for n in n_classes], 1
    ).double()
    y[torch.rand(y.shape, generator=generator) < 0.3] = torch.nan
    weights = torch.rand(50, generator=generator).double() if weighted else None
    gates = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    results = []
    for device in ("cpu", "cuda"):
        own = None if weights is None else weights.to(device)
        similarity = label_similarity(
            y.to(device), kind, weights=own, n_classes=n_classes
        )
        results.append((similarity, coefficient(gates.to(device), similarity)))
    for one, other in zip(*results, strict=True):
        assert_close(other.cpu(), one, equal_nan=True, atol=1e-7, rtol=1e-9)


@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
@pytest.mark.parametrize("weighted", [False, True])
def test_multi_valued_fields_equal_those_of_the_cpu(mode, weighted):
    if mode == "max" and weighted:
        pytest.skip("max takes no weights")
    embedding = FieldEmbedding([4], 3, bag_cardinalities=[5], bag_mode=mode).double()
    codes = torch.tensor([[1], [2], [3]])
    weights = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64) if weighted else None
    bag = Members(torch.tensor([1, 4, 2]), torch.tensor([0, 2, 2, 3]), weights)
    on_gpu = Members(*(None if part is None else part.cuda() for part in bag))
    expected = embedding(codes, bags=[bag])
    fields = copy.deepcopy(embedding).cuda()(codes.cuda(), bags=[on_gpu])
    assert_close(fields.cpu(), expected, **CLOSE)


# ---------------------------------------------------------------------- estimator


def make_model(paper=False, **options):
    options = {**TINY, **options}
    if paper:
        return DEPHNMultiTaskClassifier.paper_configuration(**options)
    return DEPHNMultiTaskClassifier(**options)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_a_training_step_and_predictions_equal_those_of_the_cpu(name, paper, gate):
    X, y = KINDS[name].table()
    cpu, gpu = (
        make_model(paper, gate=gate, dtype="float64", device=device).fit(X, y)
        for device in ("cpu", "cuda")
    )
    parameters = zip(
        gpu.network_.state_dict().items(),
        cpu.network_.state_dict().values(),
        strict=True,
    )
    for (parameter, one), other in parameters:
        assert one.is_cuda, parameter
        assert_close(one.cpu(), other, **CLOSE)
    pairs = zip(
        as_list(gpu.predict_proba(X)), as_list(cpu.predict_proba(X)), strict=True
    )
    for one, other in pairs:
        assert isinstance(one, np.ndarray)
        assert_allclose(one, other, atol=1e-9, rtol=1e-9)


def test_auto_takes_the_gpu():
    model = make_model().fit(*KINDS["plain"].table())
    assert torch.device(model.net_.device).type == "cuda"
    assert next(model.network_.parameters()).is_cuda


def test_the_initial_values_do_not_depend_on_the_device():
    X, y = KINDS["plain"].table()
    rates = {"learning_rate": 1e-30, "gate_learning_rate": 0.0, "weight_decay": 0.0}
    cpu, gpu = (make_model(device=d, **rates).fit(X, y) for d in ("cpu", "cuda"))
    for one, other in zip(
        gpu.network_.parameters(), cpu.network_.parameters(), strict=True
    ):
        assert torch.equal(one.cpu(), other)


def test_global_generators_of_the_gpu_are_not_moved():
    state = torch.cuda.get_rng_state()
    options = {"dropout": 0.2, "embedding_dropout": 0.2, "unseen_rate": 0.2}
    make_model(**options).fit(*KINDS["plain"].table())
    assert torch.equal(torch.cuda.get_rng_state(), state)


def test_a_copy_predicts_the_same_on_the_gpu():
    X, y = KINDS["plain"].table()
    model = make_model().fit(X, y)
    same = pickle.loads(pickle.dumps(model))
    assert torch.device(same.net_.device).type == "cuda"
    np.testing.assert_array_equal(same.predict_proba(X), model.predict_proba(X))


SCRIPT = """
import pickle, sys, warnings
sys.path[:0] = {path!r}
import numpy as np, torch
assert not torch.cuda.is_available()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # skorch says that it moves to the CPU
    with open(sys.argv[1], "rb") as file:
        model, X, expected = pickle.load(file)
np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-9, rtol=1e-9)
print("the same")
"""


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
@pytest.mark.parametrize("options", [{}, {"task_weights": "uncertainty"}])
def test_a_model_fitted_on_the_gpu_predicts_on_a_machine_without(
    tmp_path, gate, options
):
    X, y = KINDS["plain"].table()
    model = make_model(gate=gate, dtype="float64", device="cuda", **options).fit(X, y)
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps((model, X, model.predict_proba(X))))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=sys.path), str(path)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the same"


def assert_waits_for_nothing(model, X, y):
    """Train some steps in which torch raises where the processor would wait."""
    plan = FitPlan.of(model, X, y, epochs=1)
    trainer = Trainer(plan.begin(), plan)
    use_generator(trainer.state.network.train(), trainer._generator)
    batches = plan.train.batches(3, seed=0, epoch=9)
    first = next(batches)  # an epoch's order is moved to the device once
    trainer._step(first)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for batch in (first, *batches):
            trainer._step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gate": "mapped", "gate_optimizer": "adam"},
        {"dropout": 0.2, "embedding_dropout": 0.2, "unseen_rate": 0.2},
        {"task_weights": "uncertainty", "label_similarity": "cosine"},
        {"weight_averaging": 0.9, "selection": "soft"},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_a_training_step_waits_for_nothing(name, paper, resident, options, monkeypatch):
    monkeypatch.setattr(_source, "fits", lambda n_bytes, device: resident)
    model = make_model(paper, device="cuda", **options)
    assert_waits_for_nothing(model, *KINDS[name].table())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_step_of_each_network_waits_for_nothing(name):
    options = {"max_epochs": 1, "random_state": 0, "device": "cuda"}
    model = ESTIMATORS[name](**options)
    if "conditions" in model.get_params():
        model.set_params(conditions={})
    assert_waits_for_nothing(model, *KINDS["missing label"].table())


@pytest.mark.parametrize("loss", ["squared", "quantile(0.9)", "poisson", "gamma"])
def test_a_step_over_numbers_waits_for_nothing(loss):
    X, _ = KINDS["plain"].table()
    y = np.random.default_rng(0).gamma(1.0, size=(len(X), 2))
    model = DEPHNMultiTaskRegressor(max_epochs=1, random_state=0, device="cuda")
    assert_waits_for_nothing(model.set_params(loss=loss), X, y)


def test_a_step_over_numbers_beside_classes_waits_for_nothing():
    X, y = KINDS["multi-class task"].table()
    y = y.assign(number=np.random.default_rng(0).normal(size=len(X)))
    model = DEPHNMultiTaskEstimator(max_epochs=1, random_state=0, device="cuda")
    assert_waits_for_nothing(model, X, y)


def make_lists(n_rows=12):
    pd = pytest.importorskip("pandas")
    lists = [[f"tag{j}" for j in range(i % 4)] for i in range(n_rows)]
    X = pd.DataFrame({"tags": lists, "city": ["a", "b", "c"] * (n_rows // 3)})
    weights = [[1.0 + j for j in range(i % 4)] for i in range(n_rows)]
    y = np.array([[0, 1], [1, 0], [1, 1]] * (n_rows // 3))
    return X, X.assign(weights=pd.Series(weights)), y


@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_over_multi_valued_fields_waits_for_nothing(mode, weighted):
    if mode == "max" and weighted:
        pytest.skip("max takes no weights")
    X, with_weights, y = make_lists()
    encoder = FieldEncoder(
        bag_mode=mode, bag_weights={"tags": "weights"} if weighted else None
    )
    X = with_weights if weighted else X
    assert_waits_for_nothing(make_model(device="cuda", encoder=encoder), X, y)


def test_blocks_that_are_predicted_wait_for_nothing():
    X, _, y = make_lists()
    fitted = make_model(device="cuda").fit(X, y)._fitted
    source = fitted.learned.source(fitted.encode(X), "cuda")
    try:
        torch.cuda.set_sync_debug_mode("error")
        with torch.inference_mode():
            logits = [fitted.network(**inputs) for inputs, *_ in source.batches(5)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [len(one) for one in logits] == [5, 5, 2]


# ----------------------------------------------------------------- graphs of a network

COMPILED = {"batch_size": 3, "dropout": 0.2, "embedding_dropout": 0.2}


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("name", ["missing label", "multi-class task"])
def test_a_graph_trains_as_the_network_does(name, paper):
    """A warning would say that it could not be compiled."""
    X, y = KINDS[name].table()
    options = {**COMPILED, "dtype": "float64", "device": "cuda", "max_epochs": 4}
    plain, model = (
        make_model(paper, compile=on, **options).fit(X, y) for on in (False, True)
    )
    for one, other in zip(
        model.network_.parameters(), plain.network_.parameters(), strict=True
    ):
        assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_a_step_of_a_graph_waits_for_nothing():
    model = make_model(device="cuda", compile=True, **COMPILED)
    assert_waits_for_nothing(model, *KINDS["missing label"].table())


# ------------------------------------------------------ data that the GPU cannot hold


@pytest.mark.parametrize("name", KINDS)
def test_batches_that_are_sent_train_as_those_that_are_there(name, monkeypatch):
    X, y = KINDS[name].table()
    models = []
    for resident in (True, False):
        monkeypatch.setattr(
            _source, "fits", lambda n_bytes, device, answer=resident: answer
        )
        model = make_model(dtype="float64", batch_size=3, max_epochs=3, device="cuda")
        models.append(model.fit(X, y))
    there, sent = models
    for one, other in zip(
        sent.network_.parameters(), there.network_.parameters(), strict=True
    ):
        assert_close(one, other, **CLOSE)
    pairs = zip(
        as_list(sent.predict_proba(X)), as_list(there.predict_proba(X)), strict=True
    )
    for one, other in pairs:
        assert_allclose(one, other, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("shuffled", [{}, {"seed": 0}])
def test_many_large_batches_arrive_as_they_were_sent(shuffled, monkeypatch):
    rng = np.random.default_rng(0)
    fields = Fields(
        rng.integers(0, 1000, (100_000, 20), dtype=np.int32),
        rng.normal(size=(100_000, 5)).astype(np.float32),
    )
    labels = rng.integers(0, 2, (100_000, 2), dtype=np.uint8)
    expected = ArraySource(fields, labels).batches(4096, **shuffled)
    monkeypatch.setattr(_source, "fits", lambda n_bytes, device: False)
    source = ArraySource(fields, labels, device="cuda")
    assert source.home.type == "cpu"
    work = torch.randn(2000, 2000, device="cuda")
    for sent, batch in zip(source.batches(4096, **shuffled), expected, strict=True):
        for _ in range(5):  # the device is behind the processor
            work = work @ work / 2000
        for one, other in (
            (sent.inputs["codes"], batch.inputs["codes"]),
            (sent.inputs["numbers"], batch.inputs["numbers"]),
            (sent.labels, batch.labels),
        ):
            assert one.is_cuda
            assert torch.equal(one.cpu(), other)


def test_the_rows_of_training_and_validation_lie_on_the_gpu_once():
    X, y = KINDS["plain"].table()
    seen = []

    class Sources(Callback):
        def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            seen.extend([dataset_train, dataset_valid])

    make_model(device="cuda", early_stopping=True, callbacks=[Sources()]).fit(X, y)
    train, valid = seen
    assert train.codes.data_ptr() == valid.codes.data_ptr()


# -------------------------------------------------------- large tables and precision


def test_a_large_table_trains_as_on_the_cpu(monkeypatch):
    monkeypatch.setattr(_table, "SPARSE_ROWS", 1)
    X, y = KINDS["plain"].table()
    cpu, gpu = (
        make_model(dtype="float64", max_epochs=3, device=device).fit(X, y)
        for device in ("cpu", "cuda")
    )
    for one, other in zip(
        gpu.network_.parameters(), cpu.network_.parameters(), strict=True
    ):
        assert_close(one.cpu(), other, **CLOSE)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("paper", [False, True])
def test_lower_precision_is_close_and_leaves_torch_as_it_was(precision, paper):
    X, y = KINDS["plain"].table()
    before = torch.get_float32_matmul_precision()
    options = {"device": "cuda", "max_epochs": 3}
    full = make_model(paper, **options).fit(X, y)
    low = make_model(paper, precision=precision, **options).fit(X, y)
    assert_allclose(low.predict_proba(X), full.predict_proba(X), atol=0.02)
    assert torch.get_float32_matmul_precision() == before
    assert not torch.is_autocast_enabled("cuda")
