"""DEPHNMultiTaskClassifier: it trains and predicts on every kind of data."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
import random
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from _batches import KINDS, make_kind
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score, roc_auc_score
from skorch.callbacks import Callback, LRScheduler
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.nn import InputGates, TaskGates
from dephn_sk.training import _compiled

TINY = {  # nothing here shall move with the defaults, which are tuned
    "embedding_dim": 4,
    "n_bins": 4,
    "embedding_dropout": 0.0,
    "unseen_rate": 0.0,
    "dropout": 0.0,
    "n_heads": 2,
    "gate_learning_rate": 0.1,
    "learning_rate": 1e-3,
    "batch_size": 1024,
    "expert_hidden": (6, 4),
    "n_layers": 2,
    "cross_rank": 2,
    "tower_hidden": (4,),
    "max_epochs": 2,
    "random_state": 0,
}


def make_model(**options):
    return DEPHNMultiTaskClassifier(**{**TINY, **options})


def make_data(n_rows=60, n_tasks=2, seed=0):
    """Labels that a category and a number decide, more or less."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "city": rng.choice(["Oslo", "Rome", "Bern"], n_rows),
            "age": rng.normal(size=n_rows),
            "plan": rng.choice(["a", "b"], n_rows),
        }
    )
    signal = (X["city"] == "Oslo") + X["age"]
    y = {
        f"y{t}": (signal + 0.3 * rng.normal(size=n_rows) > 0.3) for t in range(n_tasks)
    }
    return X, pd.DataFrame(y).astype(int)


def as_list(probabilities):
    return probabilities if isinstance(probabilities, list) else [probabilities]


@pytest.fixture(scope="module")
def fitted():
    """A model of two binary tasks, with its table and labels."""
    X, y = make_data()
    return make_model(max_epochs=30, learning_rate=0.02).fit(X, y), X, y


# -------------------------------------------------------------------- kinds of data


MODELS = {
    "tiny": make_model,
    "default": DEPHNMultiTaskClassifier,
    "paper": DEPHNMultiTaskClassifier.paper_configuration,
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("configuration", MODELS)
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_every_kind_of_data_trains_and_predicts(name, configuration, gate):
    kind = KINDS[name]
    X, y = kind.table()
    model = MODELS[configuration](max_epochs=2, random_state=0, gate=gate).fit(X, y)
    assert np.isfinite(model.net_.history[:, "train_loss"]).all()
    if gate == "trainable":
        assert np.isfinite(model.gate_values_).all()
    n_rows, n_tasks = kind.labels.shape
    predicted = model.predict(X)
    assert predicted.shape == ((n_rows,) if n_tasks == 1 else (n_rows, n_tasks))
    for t, column in enumerate(predicted.reshape(n_rows, -1).T):
        assert set(column) <= set(model.tasks_.classes[t])
    logarithms = as_list(model.predict_log_proba(X))
    for p, log_p in zip(as_list(model.predict_proba(X)), logarithms, strict=True):
        assert np.isfinite(p).all()
        assert ((p > 0) & (p <= 1)).all()
        assert_array_equal(log_p, np.log(p))


@pytest.mark.parametrize("name", KINDS)
def test_loss_decreases_from_epoch_to_epoch(name):
    X, y = KINDS[name].table()
    model = make_model(max_epochs=8, gate_learning_rate=0.01)
    losses = np.array(model.fit(X, y).net_.history[:, "train_loss"])
    assert losses[-1] < losses[0] or losses[0] < 1e-5  # constant labels: known at once


@pytest.mark.parametrize("name", ["plain", "missing number", "one categorical field"])
def test_what_fit_has_not_seen_is_predicted(name):
    X, y = KINDS[name].table()
    model = make_model().fit(X, y)
    for column in X:
        new = X.iloc[:2].copy()
        new[column] = ["zebra", None] if column.startswith("c") else [1e9, np.nan]
        p = model.predict_proba(new)
        assert np.isfinite(p).all()
        if column.startswith("c"):
            other = new.assign(**{column: ["yak", "zebra"]})
            assert_array_equal(model.predict_proba(other), p)


@pytest.mark.parametrize("labels", [[0, 0, 0], [7, 7, 7], ["no", "no", "no"]])
def test_a_constant_label_is_what_is_predicted(labels):
    X = pd.DataFrame({"c": list("aab")})
    model = make_model().fit(X, labels)
    assert model.predict(X).tolist() == labels
    assert model.classes_.tolist() == labels[:1]
    assert model.predict_proba(X).tolist() == [[1.0]] * 3


def test_a_single_row_is_predicted_like_all_of_them(fitted):
    model, X, _ = fitted
    p = model.predict_proba(X)
    for row in (0, 7, 59):
        assert_allclose(model.predict_proba(X.iloc[[row]]), p[[row]], atol=1e-7)
    order = np.random.default_rng(0).permutation(len(X))
    assert_allclose(model.predict_proba(X.iloc[order]), p[order], atol=1e-7)


@pytest.mark.parametrize("configuration", MODELS)
def test_a_row_of_many_blocks_is_predicted_as_it_is_alone(configuration):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 12))
    y = X[:, :2] > 0
    model = MODELS[configuration](max_epochs=1, random_state=0).fit(X[:64], y[:64])
    p = model.predict_proba(X)
    for row in (0, 63, 64, 1000, 4095, 4096, 4999):
        assert_allclose(model.predict_proba(X[[row]]), p[[row]], atol=1e-7)


def test_dropout_does_not_act_in_prediction():
    X, y = make_data()
    options = {"dropout": 0.5, "embedding_dropout": 0.5, "unseen_rate": 0.5}
    model = make_model(**options).fit(X, y)
    assert_array_equal(model.predict_proba(X), model.predict_proba(X))


def test_each_epoch_has_an_order_of_its_own():
    class Order(Callback):
        def on_train_begin(self, net, X=None, y=None, **kwargs):
            self.seen_ = []

        def on_batch_begin(self, net, batch=None, **kwargs):
            self.seen_.append(batch.inputs["numbers"][:, 0].tolist())

    X, y = make_data()
    model = make_model(callbacks=[("order", Order())]).fit(X, y)
    first, second = dict(model.net_.callbacks_)["order"].seen_
    assert first != second
    assert sorted(first) == sorted(second)


def test_a_numpy_table_gives_the_same_as_the_frame():
    X, y = make_data()
    frame, array = (
        make_model().fit(table, y).predict_proba(table)
        for table in (X, X.to_numpy(dtype=object))
    )
    assert_array_equal(array, frame)


# --------------------------------------------------------------- shapes and labels


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1],
        [-1, 1],
        [3.0, 7.0],
        ["no", "yes"],
        [False, True],
        [0, 1, 2],
        list("abcd"),
    ],
    ids=str,
)
def test_labels_of_one_task_come_back_as_they_were_given(labels):
    X, _ = make_data(30)
    y = np.array(labels)[np.arange(30) % len(labels)]
    model = make_model().fit(X, y)
    assert_array_equal(model.classes_, labels)
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype
    p = model.predict_proba(X)
    assert p.shape == (30, len(labels))
    assert_allclose(p.sum(1), 1)
    assert_array_equal(predicted, model.classes_[p.argmax(1)])
    z = model.decision_function(X)
    assert z.shape == ((30,) if len(labels) == 2 else (30, len(labels)))
    winner = (z > 0).astype(int) if len(labels) == 2 else z.argmax(1)
    assert_array_equal(model.classes_[winner], predicted)


def test_several_binary_tasks_give_the_probability_of_their_second_class(fitted):
    model, X, y = fitted
    p = model.predict_proba(X)
    assert p.shape == (60, 2)
    assert_array_equal(model.predict(X), (p > 0.5).astype(int))
    assert_array_equal(model.classes_, [[0, 1], [0, 1]])
    assert model.task_names_ == ("y0", "y1")
    assert not hasattr(model, "decision_function")
    # the tasks depend on the inputs: the second class is the one that is likely there
    assert roc_auc_score(y["y0"], p[:, 0]) > 0.7


def test_some_multi_class_task_gives_a_list():
    X, y = make_data()
    y["kind"] = np.arange(60) % 3
    model = make_model().fit(X, y)
    p = model.predict_proba(X)
    assert [q.shape for q in p] == [(60, 2), (60, 2), (60, 3)]
    for q in p:
        assert_allclose(q.sum(1), 1)
    assert [c.tolist() for c in model.classes_] == [[0, 1], [0, 1], [0, 1, 2]]
    assert model.predict(X).shape == (60, 3)
    assert not hasattr(model, "decision_function")


def test_tasks_of_an_array_are_numbered():
    X, y = make_data()
    model = make_model().fit(X, y.to_numpy())
    assert model.task_names_ == ("task0", "task1")
    assert_array_equal(model.predict_proba(X), make_model().fit(X, y).predict_proba(X))


def test_score_is_the_mean_auc_over_observed_labels():
    X, y = make_data()
    y = y.astype(float).mask(np.random.default_rng(0).random(y.shape) < 0.2)
    model = make_model().fit(X, y)
    p = model.predict_proba(X)
    aucs = [
        roc_auc_score(y.iloc[k, t], p[k, t])
        for t in range(2)
        for k in [np.flatnonzero(y.iloc[:, t].notna())]
    ]
    assert_allclose(model.score(X, y), np.mean(aucs))


def test_score_of_one_task_is_the_accuracy():
    X, y = make_data()
    model = make_model().fit(X, y["y0"])
    assert model.score(X, y["y0"]) == accuracy_score(y["y0"], model.predict(X))


# ------------------------------------------------------------------------- weights


@pytest.mark.parametrize("name", ["plain", "missing label", "multi-class task"])
def test_integer_weights_are_repeated_rows(name):
    X, y = KINDS[name].table()
    weights = np.array([2, 1, 0, 3, 1, 1, 2])
    options = {"dtype": "float64", "max_epochs": 4}
    rows = np.repeat(np.arange(7), weights)
    weighted = make_model(**options).fit(X, y, weights)
    repeated = make_model(**options).fit(X.iloc[rows], y.iloc[rows])
    pairs = zip(
        as_list(weighted.predict_proba(X)),
        as_list(repeated.predict_proba(X)),
        strict=True,
    )
    for one, other in pairs:
        assert_allclose(one, other, rtol=1e-7)


def test_a_weight_of_zero_for_a_task_is_a_missing_label():
    X, y = KINDS["missing label"].table()
    X = X[["c0", "c1"]]  # the scale of a number would feel the weights
    missing = make_model(dtype="float64").fit(X, y)
    weights = y.notna().to_numpy().astype(float)
    zero = make_model(dtype="float64").fit(X, y.fillna(1.0), weights)
    assert_allclose(zero.predict_proba(X), missing.predict_proba(X), rtol=1e-12)


def test_a_label_of_weight_zero_is_not_felt():
    X, y = make_data()
    weights = np.ones(y.shape)
    weights[:5, 1] = 0
    other = y.copy()
    other.iloc[:5, 1] = 1 - other.iloc[:5, 1]
    first, second = (make_model().fit(X, labels, weights) for labels in (y, other))
    assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_class_weight_balanced_raises_the_probability_of_the_rare_class():
    X, y = make_data()
    y["y0"] = (np.arange(60) < 6).astype(int)
    plain, balanced = (
        make_model(class_weight=w).fit(X, y).predict_proba(X)[:, 0].mean()
        for w in (None, "balanced")
    )
    assert plain < 0.2
    assert 0.4 < balanced < 0.6


def test_class_weight_of_one_task_by_name_leaves_the_others_start_alone():
    X, y = make_data()
    named = make_model(class_weight={"y1": {0: 1.0, 1: 3.0}}).fit(X, y)
    listed = make_model(class_weight=[None, {1: 3.0}]).fit(X, y)
    assert_array_equal(named.predict_proba(X), listed.predict_proba(X))
    plain = make_model().fit(X, y)
    difference = (named.predict_proba(X) - plain.predict_proba(X)).mean(0)
    assert difference[1] > 0.1 > abs(difference[0])


def test_a_task_weight_of_zero_leaves_the_tasks_gates_where_they_were():
    X, y = make_data()
    start = make_model(gate_learning_rate=0.0).fit(X, y).gate_values_
    moved = make_model(task_weights={"y1": 0.0}).fit(X, y).gate_values_ != start
    assert moved.any(1).tolist() == [True, False]


# ------------------------------------------------------------------------- options


def multi_task_loss(logits, values):
    """Cross-entropy, a logit or as many as classes."""
    if logits.dim() == 1:
        return binary_cross_entropy_with_logits(logits, values, reduction="none")
    return cross_entropy(logits, values, reduction="none")


OPTIONS = {
    "numeric_embedding": [
        "auto",
        "linear",
        "bins",
        "piecewise-linear",
        "periodic",
        "linear+periodic",
        "bins+piecewise-linear",
        "bins|piecewise-linear|linear",
    ],
    "public_experts": [("dnn",), ("cross",), ("field",), ("field", "dnn", "cross"), ()],
    "private_experts": [("dnn",), ("cross",), ("field",), ("cross", "field") * 2, ()],
    "expert_hidden": [(3,), (6, 5, 4, 3), [6, 4]],
    "n_layers": [1, 3],
    "cross_rank": [None, 1, 100],
    "residual": [True, False],
    "selection": ["soft", "soft-private-attention", "attention", None],
    "n_heads": [1, 2, 4],
    "mappings": [("raw",), ("sin",), ("cos", "square", "tanh"), ("raw", torch.relu)],
    "gate": ["trainable", "mapped"],
    "virtual_gradient": [
        "additive-cos",
        "additive-abs",
        "additive-square",
        "additive-sqrt",
        "multiplicative-cos",
        "multiplicative-abs",
        "multiplicative-square",
        "multiplicative-sqrt",
        torch.maximum,
        None,
    ],
    "label_similarity": ["pearson", "cosine"],
    "coefficient_reduction": ["product", "mean"],
    "gate_optimizer": ["sgd", "adam"],
    "gate_learning_rate": [0.0, 1.0],
    "tower_hidden": [(), (3,), (4, 3), [5]],
    "embedding_dropout": [0.5],
    "unseen_rate": [0.5],
    "dropout": [0.5],
    "n_networks": [2, "auto"],
    "conditions": [None, {}],
    "on_violation": ["raise", "warn"],
    "task_weights": ["uncertainty", {"task b": 2.0}, [1, 0, 2.5], None],
    "loss": [
        "log_loss",
        "focal",
        ("focal", 0.5),
        {"task b": "focal"},
        multi_task_loss,
        None,
    ],
    "label_smoothing": [0.1, {"task a": 0.2}],
    "on_open_window": ["mask", "weigh"],  # without a window neither does anything
    "class_weight": ["balanced", {"task a": "balanced"}, [{0: 2.0}, None, "balanced"]],
    "batch_size": [1, 3, 7, "auto"],
    "max_epochs": [2, "auto"],
    "n_epochs_no_change": [1, "auto"],
    "validate_every": [None, 2],
    "weight_decay": [0.0, 0.1],
    "early_stopping": [True, False, "auto"],
    "monitor": ["loss", "score", ("loss", "task b"), ("score", "task a")],
    "warm_start": [True, False],
    "dtype": ["float32", "float64"],
    "precision": ["full", "tf32", "bf16"],
    "device": ["auto", "cpu"],
    "compile": [False, True],
    "n_threads": [1, "auto", None],
    "categorical_features": [
        "from_dtype",
        ["c0", "c1"],
        [0, 1],
        [True, True, False, False],
    ],
    "target_statistics": ["auto", None],
    "memory": [joblib.Memory(None, verbose=0), None],  # paths: test_encoder_memory
}


@pytest.mark.parametrize(
    ("parameter", "value"), [(p, v) for p, values in OPTIONS.items() for v in values]
)
@pytest.mark.parametrize("name", ["plain", "multi-class task"])
def test_every_documented_option_trains_and_predicts(
    name, parameter, value, monkeypatch
):
    # a backend of torch that traces, and compiles nothing
    monkeypatch.setattr(_compiled, "how", lambda device: {"backend": "aot_eager"})
    X, y = KINDS[name].table()
    others = {"private_experts": ("cross",)} if value == () else {}
    options = {"max_epochs": 1, **others, parameter: value}
    model = make_model(**options).fit(X, y)
    for p in as_list(model.predict_proba(X)):
        assert np.isfinite(p).all()


def test_the_table_above_holds_every_string_of_the_constraints():
    for name, constraints in DEPHNMultiTaskClassifier._parameter_constraints.items():
        for constraint in constraints:
            for option in getattr(constraint, "options", ()):
                assert option in OPTIONS.get(name, ()), f"{name}={option!r}"


def test_gates_are_what_the_parameter_says():
    X, y = make_data()
    kinds = {"trainable": TaskGates, "mapped": InputGates}
    for gate, kind in kinds.items():
        model = make_model(gate=gate).fit(X, y)
        assert isinstance(model.net_.module_.gating, kind)
        assert hasattr(model, "gate_values_") == (gate == "trainable")


@pytest.mark.parametrize(
    ("public", "private"),
    [
        (("dnn", "cross", "field"), ()),
        (("cross", "field"), ("dnn",)),
        (("dnn",), ("cross", "field")),
    ],
)
def test_each_row_of_table_1_is_two_arguments_away(public, private):
    X, y = make_data()
    model = make_model(public_experts=public, private_experts=private).fit(X, y)
    interaction = model.net_.module_.interaction
    assert tuple(interaction.public_kinds) == public
    assert tuple(interaction.private_kinds) == private
    assert model.gate_values_.shape == (2, len(public) * 2)
    named = [f"{kind}0 {m}" for kind in public for m in ("raw", "sin")]
    assert model.branch_names_ == named


def test_branches_are_named_in_the_order_of_the_gates():
    X, y = make_data()
    public = ("dnn", "cross", "dnn")
    model = make_model(public_experts=public, mappings=("raw", torch.relu)).fit(X, y)
    experts = ["dnn0", "dnn1", "cross0"]
    assert model.branch_names_ == [f"{e} {m}" for e in experts for m in ("raw", "relu")]
    assert model.gate_values_.shape == (2, 6)


def test_paper_configuration_is_the_papers_network():
    X, y = make_data()
    model = DEPHNMultiTaskClassifier.paper_configuration(max_epochs=1, random_state=0)
    network = model.fit(X, y).net_.module_
    assert network.embedding.table.shape == (4 + 3, 16)
    (dnn,), (cross, field) = network.interaction.public, network.interaction.private
    shapes = [tuple(layer.linear.weight.shape) for layer in dnn.layers]
    assert shapes == [(48, 3, 128), (128, 3, 64), (64, 3, 64)]
    assert [tuple(layer.down.shape) for layer in cross.layers] == [(2, 48, 48)] * 3
    assert all(layer.up is None for layer in cross.layers)
    assert [tuple(layer.matrix.shape) for layer in field.layers] == [(2, 3, 3)] * 3
    (attention,) = network.selection.attention
    assert attention.n_heads == 2
    logits = [tuple(gate.logit.shape) for gate in network.selection.gates]
    assert logits == [(3, 16), (2, 1, 3, 16), (2, 1, 3, 16)]
    assert network.mapping.names == ("raw", "sin")
    assert network.gating.values.shape == (2, 6)
    assert not len(network.towers.deeper)
    assert model.virtual_gradient == "additive-sqrt"
    assert model.label_similarity == "pearson"
    assert model.coefficient_reduction == "product"
    assert model.gate_optimizer == "sgd"


def test_paper_configuration_takes_changes():
    paper = DEPHNMultiTaskClassifier.paper_configuration().get_params()
    changed = DEPHNMultiTaskClassifier.paper_configuration(dropout=0.1, n_layers=1)
    difference = {k: v for k, v in changed.get_params().items() if v != paper[k]}
    assert difference == {"dropout": 0.1, "n_layers": 1}
    with pytest.raises(TypeError, match="drop_out"):
        DEPHNMultiTaskClassifier.paper_configuration(drop_out=0.1)


# ----------------------------------------------------------------- reproducibility

RANDOM = {
    "dropout": 0.3,
    "embedding_dropout": 0.2,
    "unseen_rate": 0.2,
    "batch_size": 16,
    "early_stopping": True,
    "validation_fraction": 0.3,
}
SCRIPT = """
import sys
sys.path[:0] = {path!r}
from test_estimator import fingerprint
print(fingerprint())
"""


def fingerprint(**options):
    """A hash of the predictions of a model that uses every source of randomness."""
    X, y = make_data()
    model = make_model(**{**RANDOM, **options}).fit(X, y)
    state = b"".join(
        p.numpy().tobytes() for p in model.net_.module_.state_dict().values()
    )
    return hashlib.sha256(model.predict_proba(X).tobytes() + state).hexdigest()


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(gate):
    assert fingerprint(gate=gate) == fingerprint(gate=gate)
    assert fingerprint(gate=gate) != fingerprint(gate=gate, random_state=1)


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=sys.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == fingerprint()


def test_a_random_state_instance_moves_on():
    first, second = (
        fingerprint(random_state=np.random.RandomState(0)) for _ in range(2)
    )
    assert first == second
    shared = np.random.RandomState(0)
    assert fingerprint(random_state=shared) != fingerprint(random_state=shared)


def test_no_seed_means_another_one_each_time():
    assert fingerprint(random_state=None) != fingerprint(random_state=None)


@pytest.mark.parametrize("random_state", [0, None])
@pytest.mark.parametrize("gate", ["trainable", "mapped"])
def test_global_generators_are_neither_read_nor_moved(random_state, gate):
    X, y = make_data()

    def states():
        return (
            random.getstate(),
            np.random.get_state()[1].tobytes(),
            torch.get_rng_state().numpy().tobytes(),
        )

    def use(seed):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = states()
        model = make_model(**RANDOM, gate=gate, random_state=random_state).fit(X, y)
        p = model.predict_proba(X)
        model.score(X, y)
        assert states() == before
        return p

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        first, second = use(1), use(2)
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
    assert np.array_equal(first, second) == (random_state == 0)


def test_refitting_starts_anew():
    X, y = make_data()
    model = make_model()
    first = model.fit(X, y).predict_proba(X)
    model.fit(X.iloc[:10, :1], y["y0"].iloc[:10])
    assert_array_equal(model.fit(X, y).predict_proba(X), first)


# ------------------------------------------------------- pickle, clone, threads


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
@pytest.mark.parametrize("options", [{}, {**RANDOM, "gate": "mapped"}])
def test_a_copy_predicts_the_same(copied, options):
    X, y = make_data()
    model = make_model(**options).fit(X, y)
    same = copied(model)
    assert_array_equal(same.predict_proba(X), model.predict_proba(X))
    assert same.task_names_ == model.task_names_
    assert same.net_.history == model.net_.history


def test_every_tensor_of_a_pickle_can_be_moved_to_another_device(fitted):
    """Otherwise a model fitted on a GPU does not load where there is none."""
    model, _, _ = fitted
    tensors = []

    class Recorder(pickle.Pickler):
        def reducer_override(self, value):
            if isinstance(value, torch.Tensor):
                tensors.append(tuple(value.shape))
            return NotImplemented

    for name, value in vars(model).items():  # arrays hold them all
        Recorder(io.BytesIO()).dump(value)
        assert not tensors, f"{len(tensors)} tensors in {name}"


def test_a_clone_is_unfitted_and_learns_the_same(fitted):
    model, X, y = fitted
    same = clone(model)
    assert not hasattr(same, "net_")
    assert_array_equal(same.fit(X, y).predict_proba(X), model.predict_proba(X))


def test_fit_leaves_parameters_and_inputs_alone():
    X, y = make_data()
    model = make_model(mappings=["raw", "sin"], task_weights={"y0": 2.0})
    before, X_before, y_before = dict(vars(model)), X.copy(), y.copy()
    model.fit(X, y)
    assert {name: vars(model)[name] for name in before} == before
    pd.testing.assert_frame_equal(X, X_before)
    pd.testing.assert_frame_equal(y, y_before)


def test_read_only_arrays_train_and_predict():
    X = np.random.default_rng(0).normal(size=(12, 2))
    y = (X > 0).astype(float)
    weights = np.arange(1.0, 13)
    before = make_model().fit(X, y, weights).predict_proba(X)
    for array in (X, y, weights):
        array.flags.writeable = False
    assert_array_equal(make_model().fit(X, y, weights).predict_proba(X), before)


def test_the_number_of_threads_is_restored():
    class Threads(Callback):
        def on_epoch_end(self, net, **kwargs):
            self.seen_ = torch.get_num_threads()

    class Failure(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("in the midst of training")

    X, y = make_data()
    predicting = []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        model = make_model(n_threads=1, callbacks=[("threads", Threads())]).fit(X, y)
        assert dict(model.net_.callbacks_)["threads"].seen_ == 1
        assert torch.get_num_threads() == 2
        model.net_.module_.register_forward_hook(
            lambda *_: predicting.append(torch.get_num_threads())
        )
        model.predict(X)
        assert predicting == [1]
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="in the midst"):
            make_model(n_threads=1, callbacks=[Failure()]).fit(X, y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------ callbacks and history


class Batches(Callback):
    """Counts what it hears."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.heard_ = {"begin": [], "end": []}

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.heard_["begin"].append((training, len(batch.labels)))

    def on_batch_end(self, net, batch=None, training=None, loss=None, **kwargs):
        assert float(loss) > 0
        self.heard_["end"].append((training, len(batch.labels)))


def test_a_callback_hears_each_batch():
    X, y = make_data()
    given = Batches()
    model = make_model(
        callbacks=[("batches", given)],
        batch_size=20,
        early_stopping=True,
        validation_fraction=0.1,
        n_epochs_no_change=9,
    ).fit(X, y)
    own = dict(model.net_.callbacks_)["batches"]
    epoch = [(True, 20), (True, 20), (True, 14), (False, 6)]
    assert own.heard_ == {"begin": epoch * 2, "end": epoch * 2}
    assert own is not given
    assert not hasattr(given, "heard_")
    sizes = model.net_.history[0, "batches", :3, "train_batch_size"]
    assert sizes == [20, 20, 14]


def test_a_listening_callback_changes_nothing():
    X, y = make_data()
    options = {"batch_size": 16, "dropout": 0.2}
    quiet = make_model(**options).fit(X, y)
    heard = make_model(**options, callbacks=[Batches()]).fit(X, y)
    assert_array_equal(heard.predict_proba(X), quiet.predict_proba(X))
    loss = quiet.net_.history[:, "train_loss"]
    assert heard.net_.history[:, "train_loss"] == loss


def test_callbacks_given_are_not_changed():
    X, y = make_data()
    scheduler = LRScheduler("StepLR", step_size=1)
    before = pickle.dumps(scheduler.get_params())
    callbacks = [scheduler, ("batches", Batches())]
    model = make_model(callbacks=callbacks)
    model.fit(X, y)
    assert model.callbacks is callbacks
    assert callbacks[0] is scheduler
    assert pickle.dumps(scheduler.get_params()) == before
    assert not hasattr(scheduler, "lr_scheduler_")


@pytest.mark.parametrize("factory", [Batches, lambda: Batches()])
def test_a_callback_may_be_given_as_what_makes_it(factory):
    X, y = make_data()
    model = make_model(callbacks=[factory, ("again", factory)]).fit(X, y)
    heard = [cb for _, cb in model.net_.callbacks_ if isinstance(cb, Batches)]
    assert len(heard) == 2
    assert all(cb.heard_["end"] for cb in heard)


def test_on_grad_computed_hears_the_gradients():
    class Gradients(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            self.names_ = {n for n, p in named_parameters if p.grad is not None}

    X, y = make_data()
    model = make_model(callbacks=[("gradients", Gradients())]).fit(X, y)
    names = dict(model.net_.callbacks_)["gradients"].names_
    assert "gating.values" in names
    assert "embedding.table" in names


def test_history_holds_the_losses_of_each_epoch_and_task():
    X, y = make_data()
    model = make_model(early_stopping=True, n_epochs_no_change=9, max_epochs=3)
    history = model.fit(X, y).net_.history
    assert model.n_iter_ == len(history) == 3
    for part in ("train", "valid"):
        per_task = history[:, f"{part}_task_loss"]
        assert [len(losses) for losses in per_task] == [2] * 3
        assert_allclose(history[:, f"{part}_loss"], np.sum(per_task, axis=1), rtol=1e-6)
    quiet = make_model().fit(X, y).net_.history
    assert "valid_loss" not in quiet[-1]


def test_the_recorded_loss_is_the_mean_over_all_rows():
    X, y = make_data()
    rates = {"learning_rate": 1e-30, "gate_learning_rate": 0.0, "weight_decay": 0.0}
    model = make_model(dtype="float64", batch_size=16, **rates).fit(X, y)
    p = model.predict_proba(X)
    likelihood = np.where(y == 1, p, 1 - p)
    expected = -np.log(likelihood).mean(0)
    assert_allclose(model.net_.history[-1, "train_task_loss"], expected)


class Weights(Callback):
    """Keeps the parameters after each epoch."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.states_ = []

    def on_epoch_end(self, net, **kwargs):
        self.states_.append(copy.deepcopy(net.module_.state_dict()))


def test_early_stopping_restores_the_weights_of_the_best_epoch():
    X, y = make_data()
    y["y1"] = np.random.default_rng(3).integers(0, 2, 60)  # noise: soon overfitted
    model = make_model(
        callbacks=[("weights", Weights())],
        early_stopping=True,
        validation_fraction=0.3,
        n_epochs_no_change=3,
        max_epochs=60,
        learning_rate=0.02,
        random_state=3,
    ).fit(X, y)
    losses = model.net_.history[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert 0 < best == len(losses) - 1 - 3 < 56
    states = dict(model.net_.callbacks_)["weights"].states_
    for name, value in model.net_.module_.state_dict().items():
        assert torch.equal(value, states[best][name]), name


def test_auto_early_stopping_starts_above_two_thousand_rows():
    X = np.arange(2_001.0)[:, None]
    y = (X[:, 0] % 2).astype(int)
    options = {"max_epochs": 1, "public_experts": ("dnn",), "private_experts": ()}
    for n, stopping in ((2_000, False), (2_001, True)):
        history = make_model(**options).fit(X[:n], y[:n]).net_.history
        assert ("valid_loss" in history[-1]) == stopping


def test_nothing_is_printed_unless_asked_for(capsys):
    X, y = make_data()
    make_model(early_stopping=True, n_epochs_no_change=1, max_epochs=5).fit(X, y)
    assert capsys.readouterr() == ("", "")
    make_model(verbose=2).fit(X, y)
    printed = capsys.readouterr().out
    assert "train_loss" in printed
    assert len(printed.splitlines()) == 5


def test_one_row_more_than_a_batch_is_a_batch_of_one():
    X, y = make_kind(n_rows=7).table()
    model = make_model(batch_size=3, callbacks=[("batches", Batches())]).fit(X, y)
    heard = dict(model.net_.callbacks_)["batches"].heard_["end"]
    assert [n for _, n in heard] == [3, 3, 1] * 2


@pytest.mark.parametrize(
    ("n_rows", "early_stopping", "expected"),
    [
        (100, True, 64),
        (64 * 512 - 1, True, 256),
        (64 * 512, True, 512),
        (64 * 512, False, 512),
        (64 * 4096, True, 1024),
    ],
)
def test_auto_batches_are_small_for_few_rows(n_rows, early_stopping, expected):
    X = np.arange(float(n_rows))[:, None]
    y = (X[:, 0] % 2).astype(int)
    model = make_model(
        batch_size="auto",
        max_epochs=1,
        early_stopping=early_stopping,
        public_experts=("dnn",),
        private_experts=(),
    ).fit(X, y, X_val=X[:10], y_val=y[:10])
    assert model.net_.batch_size == expected
    assert make_model(batch_size=7).fit(X[:20], y[:20]).net_.batch_size == 7
