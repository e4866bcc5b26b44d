"""Every parameter of every estimator is found in the place where it acts.

``ROWS`` has a row for each parameter: a probe of a fit that has been planned and begun,
and what it must find there for each of several values. A parameter that nothing reads
finds the same under all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

from dephn_sk import (
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskEstimator,
    DEPHNMultiTaskRegressor,
    MultiTaskClassifier,
    baselines,
)
from dephn_sk._compat import StrOptions
from dephn_sk.nn import Dropout, InputGates, PlainNumbers, TaskGates, use_generator
from dephn_sk.nn._dephn import EXPERTS
from dephn_sk.nn._mapping import MAPPINGS
from dephn_sk.nn._numeric_embedding import NUMERIC_EMBEDDINGS
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.tasks import Times
from dephn_sk.training import FitPlan, Trainer
from dephn_sk.training._label_parameters import LabelParameters
from dephn_sk.training._parameters import FREE, TrainingParameters

BASELINES = [getattr(baselines, n) for n in baselines.__all__ if "Classifier" in n]
ESTIMATORS = [DEPHNMultiTaskClassifier, *BASELINES]

rng = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "color": rng.choice(list("abc"), 60),
        "code": rng.integers(0, 5, 60),
        "size": rng.normal(size=60),
    }
)
CLICK, BUY, LIKE = np.arange(60) < 20, *rng.integers(0, 2, (2, 60))
# steps of a funnel, each of which needs the one before
Y = pd.DataFrame({"click": CLICK, "buy": CLICK & BUY, "like": CLICK & BUY & LIKE})
Y = Y.astype(int)
# of the last 20 rows, which are a day old, positives have come at once
TIMES = Times(np.repeat([0.0, 9.0], [40, 20]), np.zeros(60), 10.0)
GROUPS = np.arange(60) % 3

SMALL: dict[str, Any] = {"embedding_dim": 4, "random_state": 0, "device": "cpu"}
# a configuration in which every parameter acts
ACTIVE: dict[str, dict[str, Any]] = {
    "DEPHNMultiTaskClassifier": {
        "public_experts": ("dnn",),
        "private_experts": ("cross", "field"),
        "selection": "soft",
    },
}


class Begun:
    """A fit that has been planned and begun."""

    def __init__(self, cls: type, before: Any = None, **params: Any) -> None:
        options = {**SMALL, **ACTIVE.get(cls.__name__, {}), **params}
        self.model = cls(**options) if before is None else before.set_params(**params)
        fitted = before._fitted if before is not None else None
        # of columns that are all numbers, none needs be categorical
        plain = options.get("categorical_features", "") is None
        table = X[["code", "size"]] if plain else X
        timed = {"times": TIMES} if options.get("label_window") else {}
        paired = {"groups": GROUPS} if "pairwise" in str(options.get("loss")) else {}
        given = {"epochs": 1, "before": fitted, **timed, **paired}
        self.plan = FitPlan.of(self.model, table, Y, **given)
        self.state = self.plan.begin()
        self.net, self.network = self.state.net, self.state.network

    @property
    def one(self) -> Any:
        """The network, or that of the first task."""
        return getattr(self.network, "networks", [self.network])[0]

    @property
    def embedding(self) -> Any:
        return next(iter(self.network.tables()))

    @property
    def experts(self) -> dict[str, Any]:
        """The experts of DEPHN, public and private, by kind."""
        parts = self.network.interaction
        public = dict(zip(parts.public_kinds, parts.public, strict=True))
        return public | dict(zip(parts.private_kinds, parts.private, strict=True))

    def fit(self, times: int = 1) -> Any:
        for _ in range(times):
            self.model.fit(X, Y)
        return self.model

    def watched(self, look: Callable[[], Any]) -> Any:
        """What is seen from within a fit, and from within a prediction."""
        seen = []
        forward = type(self.network).forward

        def spy(*args: Any, **kwargs: Any) -> Any:
            seen.append(look())
            return forward(*args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(self.network), "forward", spy)
            fitted = self.model.set_params(max_epochs=1).fit(X, Y)
            n_training = len(seen)
            fitted.predict_proba(X)
        assert len(seen) > n_training > 0
        return set(seen)


@dataclass(frozen=True)
class Row:
    """What a probe must find for each value of a parameter, given some others."""

    probe: Callable[[Begun], Any]
    values: list[tuple[Any, Any]]
    given: dict[str, Any] = field(default_factory=dict)


def row(probe: Callable[[Begun], Any], *values: tuple[Any, Any], **given: Any) -> Row:
    return Row(probe, list(values), given)


def as_given(probe: Callable[[Begun], Any], *values: Any, **given: Any) -> Row:
    """A row of values that are found as they were given."""
    return Row(probe, [(value, value) for value in values], given)


def widths(layers: Any) -> tuple[int, ...]:
    return tuple(layer.bias.shape[-1] for layer in layers)


def tower_widths(seen: Begun) -> tuple[int, ...]:
    towers = seen.network.towers
    return widths([towers.first, *towers.deeper])[:-1]


def dropouts(seen: Begun) -> set[float]:
    """Rates of all dropout but that of the fields."""
    fields = {part for table in seen.network.tables() for part in table.modules()}
    parts = set(seen.network.modules()) - fields
    return {part.p for part in parts if isinstance(part, Dropout)}


def adam(seen: Begun, setting: str) -> float:
    (value,) = {group[setting] for group in seen.net.rules_["adam"].param_groups}
    return value


def task_weights(seen: Begun) -> Any:
    criterion = seen.net.criterion_
    if criterion.uncertainty is not None:
        groups = seen.net.rules_["adam"].param_groups
        assert any(p is criterion.uncertainty for g in groups for p in g["params"])
        return "trained"
    return None if criterion.task_weights is None else criterion.task_weights.tolist()


def weight_of_clicks(seen: Begun) -> float:
    """Of the second class of the first task, in units of that of the first class."""
    weights = seen.plan.train.weights
    if weights is None:
        return 1.0
    click = seen.plan.train.labels[:, 0] == 1
    return round((weights[click, 0].mean() / weights[~click, 0].mean()).item(), 5)


def losses(seen: Begun) -> list[Any] | None:
    """Of each task at a logit of 1 and a label of 1, and its share of pairs."""
    given = seen.net.criterion_.losses
    one = torch.ones(1, 1), torch.ones(1)
    found = [(round(own.function(*one).item(), 4), own.pairs) for own in given or ()]
    assert (seen.plan.train.groups is not None) == any(pairs for _, pairs in found)
    return found or None


def mean_weights(seen: Begun) -> list[float] | None:
    """Of each task, of rows that are old and of rows that are a day old."""
    weights = seen.plan.train.weights
    if weights is None:
        return None
    parts = weights[:40].mean(0), weights[40:].mean(0)
    return [round((new / old).item(), 3) for old, new in zip(*parts, strict=True)]


def negative_log(logits: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """A loss of the user's."""
    return torch.nn.functional.softplus((1 - 2 * values) * logits) * 2


def early_stopping(seen: Begun) -> tuple[bool, bool]:
    return seen.plan.valid is not None, seen.state.stopping is not None


def devices(seen: Begun) -> str:
    found = {p.device.type for p in seen.network.parameters()}
    found |= {batch.labels.device.type for batch in seen.plan.train.batches(64)}
    (name,) = found | {seen.net.device}
    return name


def dtypes(seen: Begun) -> str:
    (batch,) = seen.plan.train.batches(64)
    floats = [batch.labels, batch.inputs["numbers"], seen.net.criterion_.task_weights]
    (dtype,) = {tensor.dtype for tensor in (*seen.network.parameters(), *floats)}
    return str(dtype).removeprefix("torch.")


def scaled_by(seen: Begun) -> tuple[Any, bool]:
    return (
        seen.plan.learned.encoder.min_frequency,
        seen.plan.learned.encoder is not seen.model.encoder,
    )


THREADS = torch.get_num_threads()
FOLDER = TemporaryDirectory()
AUTO_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

COMMON = {
    "embedding_dim": as_given(lambda s: s.embedding.table.shape[1], 4, 6),
    "numeric_embedding": row(
        lambda s: s.embedding.numeric_vectors,
        ("linear", ("linear",)),
        ("bins", ("bins",)),
        ("piecewise-linear", ("piecewise-linear",)),
        ("periodic", ("periodic",)),
        ("linear+periodic", ("linear+periodic",)),
        ("bins|linear", ("bins", "linear")),
        ("auto", ("linear+bins+piecewise-linear",)),
    ),
    "n_bins": row(
        lambda s: (
            len(s.plan.learned.edges[1]) - 1,
            len(s.embedding.numeric.bins) // 2,
        ),
        *[(4, (4, 4)), (7, (7, 7))],
        numeric_embedding="bins",
        categorical_features=["color"],
    ),
    "embedding_dropout": as_given(lambda s: s.embedding.dropout.p, 0.0, 0.25),
    "unseen_rate": row(
        lambda s: {table.unseen.p for table in s.network.tables()},
        *[(0.0, {0.0}), (0.125, {0.125})],
    ),
    "dropout": row(dropouts, (0.125, {0.125}), (0.375, {0.375})),
    "n_networks": row(
        lambda s: s.network.n_members, (1, 1), (2, 2), (5, 5), ("auto", 1)
    ),
    "conditions": row(
        lambda s: s.plan.learned.tasks.conditions,
        (None, ()),
        ({}, ()),
        ({"buy": "click"}, (None, 0, None)),
        ({"like": "buy", "buy": "click"}, (None, 0, 1)),
    ),
    "on_violation": as_given(
        lambda s: s.plan.learned.tasks.on_violation,
        *["raise", "warn"],
        conditions={"buy": "click"},
    ),
    "task_weights": row(
        task_weights,
        (None, None),
        ([1.0, 2.0, 0.0], [1.0, 2.0, 0.0]),
        ({"buy": 3.0}, [1.0, 3.0, 1.0]),
        ("uncertainty", "trained"),
    ),
    "class_weight": row(
        weight_of_clicks,
        (None, 1.0),
        ("balanced", 2.0),
        ({"click": {1: 3.0}}, 3.0),
        ([{0: 4.0}, None, "balanced"], 0.25),
    ),
    "loss": row(
        losses,
        (None, None),
        ("log_loss", [(0.3133, 0.0)] * 3),
        ("focal", [(0.0227, 0.0)] * 3),
        (("focal", 1.0), [(0.0842, 0.0)] * 3),
        ("pairwise", [(0.3133, 0.5)] * 3),
        ({"buy": negative_log}, [(0.3133, 0.0), (0.6265, 0.0), (0.3133, 0.0)]),
        ({"buy": ("pairwise", 0.25)}, [(0.3133, 0.0), (0.3133, 0.25), (0.3133, 0.0)]),
    ),
    "label_smoothing": row(
        lambda s: [one.smoothing for one in s.net.criterion_.losses or ()],
        (0.0, []),
        (0.125, [0.125] * 3),
        ({"buy": 0.25}, [0.0, 0.25, 0.0]),
    ),
    "label_window": row(
        mean_weights,
        (None, None),
        (3.0, [0.0, 0.0, 0.0]),
        ({"buy": 3.0}, [1.0, 0.0, 1.0]),
        (0.5, None),
    ),
    "on_open_window": row(
        mean_weights,
        *[("mask", [0.0, 0.0, 0.0]), ("weigh", None)],
        label_window=3.0,
    ),
    "max_epochs": row(
        lambda s: (s.model.fit(X, Y).n_iter_, s.model.net_.max_epochs),
        *[(1, (1, 1)), (2, (2, 2)), ("auto", (20, 20))],
        early_stopping=False,
    ),
    "batch_size": row(
        lambda s: (s.plan.batch_size, s.net.batch_size),
        *[(7, (7, 7)), ("auto", (64, 64))],
    ),
    "learning_rate": as_given(lambda s: adam(s, "lr"), 0.01, 0.5),
    "weight_decay": as_given(lambda s: adam(s, "weight_decay"), 0.0, 0.25),
    "weight_averaging": row(
        lambda s: None if s.state.average is None else s.state.average.decay,
        *[(0.0, None), (0.5, 0.5), (0.75, 0.75)],
    ),
    "early_stopping": row(
        early_stopping,
        (True, (True, True)),
        (False, (False,) * 2),
        ("auto", (False,) * 2),
    ),
    "monitor": row(
        lambda s: (s.plan.monitor, s.state.stopping.lower_is_better),
        ("loss", (("loss", None), True)),
        ("score", (("score", None), False)),
        (("loss", "buy"), (("loss", 1), True)),
        (("score", "click"), (("score", 0), False)),
        early_stopping=True,
    ),
    "validation_fraction": row(
        lambda s: (s.plan.train.n_rows, s.plan.valid.n_rows),
        *[(0.1, (54, 6)), (0.25, (45, 15)), (0.11, (53, 7))],
        early_stopping=True,
    ),
    "validate_every": row(
        lambda s: s.plan.steps,
        *[(None, 7), (2, 2), (9, 7)],
        early_stopping=True,
        batch_size=8,
    ),
    "n_epochs_no_change": row(
        lambda s: s.state.stopping.patience,
        *[(2, 2), (9, 9), ("auto", 300)],  # an epoch of the few rows is one step
        early_stopping=True,
    ),
    "warm_start": row(
        lambda s: s.fit(times=2).n_iter_, (False, 1), (True, 2), max_epochs=1
    ),
    "callbacks": row(
        lambda s: [name for name, _ in s.net.callbacks_][1:-1],
        (None, []),
        ([("mine", Callback()), Callback], ["mine", "callback1"]),
    ),
    "device": row(devices, ("cpu", "cpu"), ("meta", "meta"), ("auto", AUTO_DEVICE)),
    "dtype": as_given(dtypes, "float32", "float64", task_weights=[1.0, 2.0, 3.0]),
    "precision": row(
        lambda s: (
            s.plan.learned.template.precision,
            s.watched(lambda: torch.is_autocast_enabled("cpu")),
        ),
        ("full", ("full", {False})),
        ("bf16", ("bf16", {True})),
        ("tf32", ("tf32", {False})),
    ),
    "compile": as_given(
        lambda s: Trainer(s.state, s.plan)._compiled is not None, False, True
    ),
    "n_threads": row(
        lambda s: s.watched(torch.get_num_threads),
        *[(THREADS + 1, {THREADS + 1}), (None, {THREADS}), ("auto", {1})],
    ),
    "random_state": row(
        lambda s: (s.plan.seed, s.state.seed),
        *[(3, (3, 3)), (5, (5, 5))],
        (np.random.RandomState(0), (np.random.RandomState(0).randint(2**31 - 1),) * 2),
    ),
    "verbose": row(lambda s: s.net.verbose, (0, 0), (1, 0), (2, 1)),
    "categorical_features": row(
        lambda s: len(s.plan.learned.encoder.cardinalities_),
        *[
            ("from_dtype", 1),
            (["color", "code"], 2),
            ([0, 1], 2),
            ([True] * 3, 3),
            (None, 0),
        ],
    ),
    "target_statistics": row(
        lambda s: (
            s.plan.learned.encoder.target_statistics,
            s.plan.learned.encoder.min_frequency,
        ),
        *[("auto", ("auto", "auto")), (None, (None, None))],
    ),
    "encoder": row(
        scaled_by, (None, ("auto", True)), (FieldEncoder(min_frequency=3), (3, True))
    ),
    "memory": row(
        lambda s: [one.unlink() for one in Path(FOLDER.name).rglob("output.pkl")],
        *[(None, []), (FOLDER.name, [None])],
    ),
}
DEEP = {  # feed-forward layers of a network for each task
    "hidden": as_given(lambda s: widths(s.one.deep.layers), (8, 4), (5,)),
    "n_layers": row(
        lambda s: widths(s.one.deep.layers), (1, (8, 4)), (3, (8, 4, 4)), hidden=(8, 4)
    ),
}


def repeated(part: str) -> Row:
    """`n_layers` of a network that has so many of a part, too."""
    return row(
        lambda s: (widths(s.one.deep.layers), len(getattr(s.one, part))),
        *[(1, ((8, 4), 1)), (3, ((8, 4, 4), 3))],
        hidden=(8, 4),
    )


def layers(of: Callable[[Begun], Any], name: str = "expert_hidden") -> dict[str, Row]:
    """Widths of layers, and `n_layers` that repeats the last of them."""
    return {
        name: as_given(of, (8, 4), (5,)),
        "n_layers": row(of, (1, (8, 4)), (3, (8, 4, 4)), **{name: (8, 4)}),
    }


TOWERS = {"tower_hidden": as_given(tower_widths, (), (3,), (5, 4))}

HETEROGENEOUS = {
    "expert_hidden": as_given(
        lambda s: widths(layer.linear for layer in s.experts["dnn"].layers),
        (8, 4),
        (5,),
    ),
    "n_layers": row(
        lambda s: [len(s.experts[kind].layers) for kind in EXPERTS],
        *[(2, [2, 2, 2]), (3, [3, 3, 3])],
        expert_hidden=(8,),
    ),
    "cross_rank": row(
        lambda s: (
            s.experts["cross"].layers[0].down.shape[2],
            s.experts["cross"].layers[0].up is None,
        ),
        *[(3, (3, False)), (None, (12, True))],
    ),
    "residual": row(
        lambda s: [s.experts[k].layers[0].residual is None for k in ("dnn", "cross")],
        *[(True, [False] * 2), (False, [True] * 2)],
    ),
    "selection": row(
        lambda s: (len(s.network.selection.attention), len(s.network.selection.gates)),
        ("soft", (1, 3)),
        ("soft-private-attention", (3, 3)),
        ("attention", (1, 0)),
        (None, (0, 0)),
    ),
    "n_heads": as_given(lambda s: s.network.selection.attention[0].n_heads, 1, 2, 4),
    **TOWERS,
}

ROWS: dict[type, dict[str, Row]] = {
    MultiTaskClassifier: COMMON,
    DEPHNMultiTaskClassifier: {
        **HETEROGENEOUS,
        "public_experts": row(
            lambda s: s.network.interaction.public_kinds,
            (("dnn",), {"dnn": 1}),
            (("cross",), {"cross": 1}),
            (("field",), {"field": 1}),
            (("field", "dnn", "field"), {"field": 2, "dnn": 1}),
            ((), {}),
        ),
        "private_experts": row(
            lambda s: s.network.interaction.private_kinds,
            (("dnn",), {"dnn": 1}),
            (("cross",), {"cross": 1}),
            (("field",), {"field": 1}),
            (("cross", "dnn", "cross"), {"cross": 2, "dnn": 1}),
            ((), {}),
        ),
        "mappings": as_given(
            lambda s: s.network.mapping.mappings,
            *[(name,) for name in MAPPINGS],
            ("raw", torch.relu),
        ),
        "gate": row(
            lambda s: type(s.network.gating),
            *[("trainable", TaskGates), ("mapped", InputGates)],
        ),
        "virtual_gradient": as_given(
            lambda s: s.network.virtual_gradient,
            *[f"additive-{d}" for d in ("cos", "abs", "square", "sqrt")],
            *[f"multiplicative-{d}" for d in ("cos", "abs", "square", "sqrt")],
            *[torch.maximum, None],
        ),
        "label_similarity": as_given(
            lambda s: s.network.wants_label_similarity, "pearson", "cosine"
        ),
        "coefficient_reduction": as_given(
            lambda s: s.network.coefficient_reduction, "product", "mean"
        ),
        "gate_optimizer": row(
            lambda s: {rule: type(o).__name__ for rule, o in s.net.rules_.items()},
            ("sgd", {"adam": "TableAdamW", "sgd": "SGD"}),
            ("adam", {"adam": "TableAdamW"}),
        ),
        "gate_learning_rate": as_given(
            lambda s: s.net.rules_["sgd"].param_groups[0]["lr"], 0.0, 0.5
        ),
    },
    baselines.MTPHNClassifier: {
        **HETEROGENEOUS,
        "sharing": row(
            lambda s: (
                s.network.interaction.public_kinds,
                s.network.interaction.private_kinds,
            ),
            ("public-dnn", ({"dnn": 3}, {"cross": 1, "field": 1})),
            ("private-dnn", ({"cross": 1, "field": 1}, {"dnn": 3})),
            ("all-public", ({"dnn": 3, "cross": 1, "field": 1}, {})),
        ),
        "n_experts": as_given(
            lambda s: s.network.interaction.public_kinds["dnn"], 1, 2, 4
        ),
    },
    baselines.DNNClassifier: DEEP,
    baselines.WideDeepClassifier: DEEP,
    baselines.NFMClassifier: DEEP,
    baselines.DCNClassifier: {**DEEP, "n_layers": repeated("crosses")},
    baselines.FINTClassifier: {**DEEP, "n_layers": repeated("interactions")},
    baselines.XDeepFMClassifier: {
        **DEEP,
        "n_layers": repeated("interactions"),
        "n_maps": as_given(lambda s: s.one.interactions[0].weight.shape[-1], 3, 5),
    },
    baselines.SharedBottomClassifier: {
        **layers(lambda s: widths(s.network.bottom.layers), "hidden"),
        **TOWERS,
    },
    baselines.MMoEClassifier: {
        **layers(lambda s: widths(s.network.experts.layers)),
        **TOWERS,
        "n_experts": row(
            lambda s: (
                s.network.experts.layers[0].bias.shape[0],
                s.network.gating.linear.bias.shape[-1],
            ),
            *[(2, (2, 2)), (5, (5, 5))],
        ),
    },
    baselines.ESMMClassifier: {
        **layers(tower_widths, "hidden"),
        "conditions": row(
            lambda s: s.plan.learned.tasks.conditions,
            *[(None, (None, 0, 1)), ({}, ()), ({"like": "click"}, (None, None, 0))],
        ),
    },
    baselines.AITMClassifier: {
        **layers(lambda s: widths(s.network.bottoms.layers), "hidden"),
        **TOWERS,
        "calibrator_penalty": as_given(
            lambda s: s.network.calibrator_penalty, 0.0, 0.25
        ),
    },
    baselines.PLEClassifier: {
        **layers(lambda s: widths(s.network.levels[0].experts.layers)),
        **TOWERS,
        "n_levels": as_given(lambda s: len(s.network.levels), 1, 3),
        "n_shared_experts": as_given(
            lambda s: int((s.network.levels[0].owner == 3).sum()), 1, 2
        ),
        "n_specific_experts": as_given(
            lambda s: int((s.network.levels[0].owner == 0).sum()), 1, 2
        ),
    },
    baselines.SNRClassifier: {
        **layers(lambda s: widths([*s.network.lowest.layers, *s.network.routings])),
        **TOWERS,
        "n_experts": as_given(lambda s: s.network.lowest.layers[0].bias.shape[0], 2, 5),
        "l0_penalty": row(
            lambda s: (
                s.network.l0_penalty,
                round(
                    s.network.penalty().item() / s.network.to_towers.n_open().item(), 4
                ),
            ),
            *[(0.0, (0.0, 0.0)), (0.25, (0.25, 0.25))],
            expert_hidden=(8,),
        ),
    },
}


def row_of(cls: type, name: str) -> Row | None:
    tables = (ROWS.get(parent, {}) for parent in cls.__mro__)
    return next((table[name] for table in tables if name in table), None)


WIRES = [(cls, name) for cls in ESTIMATORS for name in cls._parameters]


@pytest.mark.parametrize(("cls", "name"), WIRES)
def test_a_parameter_is_found_where_it_acts(cls, name):
    row = row_of(cls, name)
    assert row is not None, f"{name} has no row"
    found = [found for _, found in row.values]
    assert any(one != found[0] for one in found[1:])
    # what is common to all is looked at under all of its values once
    few = name in COMMON and cls in BASELINES
    for value, found in row.values[: 2 if few else None]:
        assert row.probe(Begun(cls, **{**row.given, name: value})) == found, value


def test_the_penalty_of_aitm_is_left_out_where_outputs_are_conditional():
    seen = Begun(baselines.AITMClassifier, conditions={"buy": "click"})
    assert seen.network.calibrator_penalty == 0
    assert seen.network.penalty() is None


def test_the_table_names_no_parameter_that_is_gone():
    for cls in ESTIMATORS:
        assert set(ROWS.get(cls, ())) | set(COMMON) == set(cls._parameters)


# what a parameter is checked against beside the strings of its constraint
NAMES = {
    "numeric_embedding": NUMERIC_EMBEDDINGS,
    "mappings": [(name,) for name in MAPPINGS],
    "public_experts": [(kind,) for kind in EXPERTS],
    "private_experts": [(kind,) for kind in EXPERTS],
}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_a_row_has_every_option(cls):
    for name, declared in cls._parameters.items():
        values = [value for value, _ in row_of(cls, name).values]
        needed = list(NAMES.get(name, ()))
        for constraint in declared.constraint:
            if isinstance(constraint, StrOptions):
                needed += constraint.options
            elif constraint == "boolean":
                needed += [True, False]
            elif constraint is None:
                needed.append(None)
        for option in needed:
            assert any(type(v) is type(option) and v == option for v in values), name


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_numbers_stay_numbers_where_a_network_reads_flat_rows(cls):
    if cls.reads_vectors:
        with pytest.raises(ValueError, match="numeric_embedding='scalar'"):
            Begun(cls, numeric_embedding="scalar")
    else:
        seen = Begun(cls, numeric_embedding="scalar")
        assert isinstance(seen.embedding.numeric, PlainNumbers)


# --------------------------------------------------------- what is given anew goes on

# a seed given anew decides nothing: shuffling and dropout go on as they began; and what
# goes on has its encoder already
TAKEN_OVER = sorted(FREE - {"random_state", "memory"})


@pytest.mark.parametrize("name", TAKEN_OVER)
def test_a_parameter_that_is_given_anew_is_taken_over(name):
    row = COMMON[name]
    given = {k: v for k, v in row.given.items() if k in FREE}
    start = {**SMALL, "max_epochs": 1, "early_stopping": True}
    before = DEPHNMultiTaskClassifier(**start).fit(X, Y)
    for value, found in row.values:
        if value == "meta":
            continue  # weights cannot be copied to where nothing is
        model = copy.deepcopy(before)
        options = {"warm_start": True, "early_stopping": "auto", **given, name: value}
        if name in ("max_epochs", "warm_start"):
            model.set_params(**options).fit(X, Y)
            assert model.n_iter_ == (1 + found[0] if name == "max_epochs" else found)
        else:
            assert row.probe(Begun(type(model), model, **options)) == found, value


# ---------------------------------------------------------- options that change a step


def step_of(**options: Any) -> SimpleNamespace:
    """Gradients and loss of the first step."""
    seen = Begun(DEPHNMultiTaskClassifier, batch_size=60, dropout=0.0, **options)
    trainer = Trainer(seen.state, seen.plan)
    use_generator(seen.network.train(), trainer._generator)
    (batch,) = seen.plan.train.batches(60)
    step = trainer._step(batch)
    gates = [p.grad.clone() for p in seen.network.gating.parameters()]
    return SimpleNamespace(gates=gates[0], logits=step["y_pred"], loss=step["loss"])


def all_differ(tensors: list[torch.Tensor]) -> bool:
    return not any(
        torch.allclose(a, b, rtol=1e-6, atol=0)
        for i, a in enumerate(tensors)
        for b in tensors[:i]
    )


QUIET = {"embedding_dropout": 0.0, "unseen_rate": 0.0}


def test_every_coefficient_scales_the_gates_gradient_in_its_own_way():
    values = [
        value
        for value, _ in row_of(DEPHNMultiTaskClassifier, "virtual_gradient").values
    ]
    steps = [step_of(virtual_gradient=value, **QUIET) for value in values]
    assert all_differ([step.gates for step in steps])
    assert all(torch.equal(step.logits, steps[0].logits) for step in steps)


@pytest.mark.parametrize("gate", ["trainable", "mapped"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("label_similarity", ["pearson", "cosine"]),
        ("coefficient_reduction", ["product", "mean"]),
    ],
)
def test_an_option_of_the_coefficient_changes_the_gates_gradient(name, values, gate):
    steps = [step_of(gate=gate, **{name: value}, **QUIET) for value in values]
    assert all_differ([step.gates for step in steps])
    assert torch.equal(steps[0].logits, steps[1].logits)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mappings", [(name,) for name in MAPPINGS]),
        ("public_experts", [(kind,) for kind in EXPERTS]),
        ("private_experts", [(kind,) for kind in EXPERTS]),
        ("selection", ["soft", "soft-private-attention", "attention", None]),
        ("numeric_embedding", [*NUMERIC_EMBEDDINGS, "auto"]),
        ("gate", ["trainable", "mapped"]),
        ("residual", [True, False]),
        ("n_heads", [1, 2, 4]),
        ("embedding_dropout", [0.0, 0.5]),
        ("unseen_rate", [0.0, 0.5]),
        ("precision", ["full", "bf16"]),
    ],
)
def test_an_option_of_the_network_changes_its_logits(name, values):
    steps = [step_of(**{**QUIET, name: value}) for value in values]
    assert all_differ([step.logits for step in steps])


# ---------------------------------------------------------- kinds of tasks

KINDS = {
    "squared": "Squared",
    "absolute": "Absolute",
    "quantile(0.25)": "Quantile",
    "poisson": "Poisson",
    "gamma": "Gamma",
    "zero-inflated-lognormal": "ZeroInflatedLognormal",
}


def kinds_of(cls: type, **options: Any) -> list[str]:
    plan = FitPlan.of(cls(**options), X, AMOUNTS, epochs=1)
    return [type(task).__name__ for task in plan.learned.tasks.tasks]


# which every kind takes
AMOUNTS = pd.DataFrame({"click": Y["click"] + 1.0, "watch": np.arange(1.0, 61)})


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_is_that_of_all_tasks_or_of_the_one_that_is_named(kind):
    other = "gamma" if kind == "poisson" else "poisson"
    name, its = KINDS[kind], KINDS[other]
    assert kinds_of(DEPHNMultiTaskRegressor, loss=kind) == [name] * 2
    loss = {"watch": kind}
    assert kinds_of(DEPHNMultiTaskRegressor, loss=loss) == ["Squared", name]
    both = {"watch": kind, "click": other}
    assert kinds_of(DEPHNMultiTaskRegressor, loss=both) == [its, name]
    assert kinds_of(DEPHNMultiTaskEstimator, tasks=both) == [its, name]
    both["click"] = "binary"
    assert kinds_of(DEPHNMultiTaskEstimator, tasks=both) == ["Binary", name]


@pytest.mark.parametrize("cls", [DEPHNMultiTaskRegressor, DEPHNMultiTaskEstimator])
def test_all_other_parameters_are_those_of_the_classifier(cls):
    known, own, gone = DEPHNMultiTaskClassifier._parameters, {"tasks"}, set()
    if cls is DEPHNMultiTaskRegressor:  # what is of classes, and a loss of its own
        of_classes = set(LabelParameters._parameters) - set(
            TrainingParameters._parameters
        )
        own, gone = {"loss"}, of_classes | {"class_weight"}
    assert cls._parameters.keys() == (known.keys() - gone) | own
    for name in known.keys() - gone - own:
        assert cls._parameters[name].default == known[name].default
        assert cls._parameters[name].constraint == known[name].constraint
