"""Rows that do not train leave no trace in what is learned before the first step.

Those set aside for early stopping, those of weight zero, and those of a validation set:
whatever they are, encoder, bin edges, base rates, class weights, statistics and the
initial network are the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training import FitPlan

N_ROWS = 200


def make_table(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "shop": rng.choice(list("abcdef"), N_ROWS),
            "tags": rng.choice(["x|y", "y", "z|x", ""], N_ROWS),
            "count": rng.integers(0, 4, N_ROWS),
            "price": rng.gamma(2.0, size=N_ROWS),
            "when": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 10**6, N_ROWS), unit="s"),
        }
    )
    y = pd.DataFrame(
        {
            "click": pd.Categorical(rng.integers(0, 2, N_ROWS), categories=[0, 1]),
            "kind": pd.Categorical(
                rng.choice(list("pqr"), N_ROWS), categories=list("pqr")
            ),
        }
    )
    return X, y


def make_model(**changes: Any) -> DEPHNMultiTaskClassifier:
    options: dict[str, Any] = {
        "embedding_dim": 4,
        "n_bins": 8,
        "class_weight": "balanced",
        "early_stopping": True,
        "validation_fraction": 0.25,
        "batch_size": 32,
        "random_state": 0,
        "encoder": FieldEncoder(
            delimiters={"tags": "|"},
            min_frequency=2,
            missing_category=True,
            scaling="standard",
            target_statistics=["shop"],
        ),
    }
    return DEPHNMultiTaskClassifier(**{**options, **changes})


# ------------------------------------------------------------- what the rows may be


def extreme_numbers(X: pd.DataFrame, y: pd.DataFrame, rows: Any) -> Any:
    X.loc[rows, "price"] = np.resize([1e30, -1e30, 1e-300], len(rows))
    X.loc[rows, "count"] = 10**9
    return X, y


def flipped_labels(X: pd.DataFrame, y: pd.DataFrame, rows: Any) -> Any:
    y.loc[rows, "click"] = 1 - y.loc[rows, "click"].astype(int)
    y.loc[rows, "kind"] = "r"
    return X, y


def missing_labels(X: pd.DataFrame, y: pd.DataFrame, rows: Any) -> Any:
    y.loc[rows, ["click", "kind"]] = None
    return X, y


def new_categories(X: pd.DataFrame, y: pd.DataFrame, rows: Any) -> Any:
    X.loc[rows, "shop"] = [f"new{i // 3}" for i in range(len(rows))]
    X.loc[rows, "tags"] = "n|m|n"
    return X, y


def known_categories_moved(X: pd.DataFrame, y: pd.DataFrame, rows: Any) -> Any:
    X.loc[rows, "shop"] = "a"
    X.loc[rows, "tags"] = "z|z|z"
    return X, y


def other_dates(X: pd.DataFrame, y: pd.DataFrame, rows: Any) -> Any:
    X.loc[rows, "when"] = pd.Timestamp("1971-07-01")
    return X, y


def missing_values(X: pd.DataFrame, y: pd.DataFrame, rows: Any) -> Any:
    X["count"] = X["count"].astype(float)
    X.loc[rows, ["price", "count"]] = np.nan
    X.loc[rows, ["shop", "tags"]] = None
    X.loc[rows, "when"] = pd.NaT
    return X, y


CHANGES = [
    extreme_numbers,
    flipped_labels,
    missing_labels,
    new_categories,
    known_categories_moved,
    other_dates,
    missing_values,
]
every_change = pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)


def table(change: Any = None, rows: Any = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table, with some rows changed."""
    X, y = make_table()
    X["count"] = X["count"].astype(float)
    return (X, y) if change is None else change(X, y, rows)


# --------------------------------------------------------------------- what is learned


def plan_of(model: Any, X: Any, y: Any, **how: Any) -> FitPlan:
    return FitPlan.of(model, X, y, epochs=1, **how)


def trained_on(plan: FitPlan) -> list[np.ndarray]:
    """All that the rows that train have become."""
    (batch,) = plan.train.batches(plan.train.n_rows)
    parts = [batch.inputs["codes"], batch.inputs["numbers"]]
    for bag in batch.inputs.get("bags", ()):
        parts += bag[:2]
    return [part.numpy() for part in (*parts, batch.labels, batch.weights)]


def learned(plan: FitPlan) -> dict[str, Any]:
    """All that a fit knows before its first step."""
    encoder = plan.learned.encoder
    everything = {
        name: getattr(encoder, name)
        for name in dir(type(encoder)) + list(vars(encoder))
        if name.endswith("_") and not name.startswith("_")
    }
    del everything["report_"], everything["vocabulary_"]
    everything["report"] = repr(encoder.report_)
    everything |= {f"vocabulary {k}": v for k, v in encoder.vocabulary_.items()}
    # what is learned of a column shows in how a table of all its values is read
    probe = pd.concat([table()[0], table(new_categories, range(30))[0]])
    fields = encoder.encode(probe.reset_index(drop=True))
    everything |= {"codes": fields.codes, "numbers": fields.numbers}
    everything |= {f"bag {i}": bag.members for i, bag in enumerate(fields.bags)}
    everything |= {f"edges {i}": edges for i, edges in enumerate(plan.learned.edges)}
    everything |= {f"trained {i}": part for i, part in enumerate(trained_on(plan))}
    everything |= {"start": plan.learned.start, "classes": plan.learned.tasks.n_outputs}
    return everything | plan.begin().network.state_dict()


def assert_same(a: FitPlan, b: FitPlan) -> None:
    one, other = learned(a), learned(b)
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other[name]), name
        else:
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def aside(plan: FitPlan) -> np.ndarray:
    return plan.valid.rows.numpy()


# ------------------------------------------------------------------------ the tests


@every_change
@pytest.mark.parametrize("numeric_embedding", ["auto", "bins"])
def test_rows_set_aside_leave_no_trace(change, numeric_embedding):
    model = make_model(numeric_embedding=numeric_embedding)
    plan = plan_of(model, *table())
    rows = aside(plan)
    assert len(rows) == N_ROWS / 4
    other = plan_of(model, *table(change, rows))
    np.testing.assert_array_equal(aside(other), rows)
    assert_same(plan, other)


@every_change
def test_groups_set_aside_leave_no_trace(change):
    model, groups = make_model(), np.arange(N_ROWS) // 5
    plan = plan_of(model, *table(), groups=groups)
    rows = aside(plan)
    assert len(rows) == N_ROWS / 4
    assert not set(groups[rows]) & set(np.delete(groups, rows))
    assert_same(plan, plan_of(model, *table(change, rows), groups=groups))


@every_change
def test_weighted_rows_set_aside_leave_no_trace(change):
    """Nor do their weights."""
    model = make_model()
    weight = np.random.default_rng(3).integers(1, 4, (N_ROWS, 2)).astype(float)
    plan = plan_of(model, *table(), sample_weight=weight)
    rows = aside(plan)
    weight[rows] = 7.0
    assert_same(plan, plan_of(model, *table(change, rows), sample_weight=weight))


def silent(rows: Any) -> np.ndarray:
    weight = np.ones(N_ROWS)
    weight[rows] = 0
    return weight


@every_change
@pytest.mark.parametrize("early_stopping", [True, False])
def test_rows_of_weight_zero_leave_no_trace(change, early_stopping):
    model, rows = make_model(early_stopping=early_stopping), np.arange(10, 25)
    plan = plan_of(model, *table(), sample_weight=silent(rows))
    other = plan_of(model, *table(change, rows), sample_weight=silent(rows))
    assert_same(plan, other)
    if early_stopping:
        np.testing.assert_array_equal(aside(plan), aside(other))
        assert plan.valid.n_rows == np.ceil((N_ROWS - 15) / 4)


@every_change
def test_rows_of_weight_zero_do_not_grow_a_table(change):
    model = make_model(encoder=FieldEncoder(delimiters={"tags": "|"}))
    before = model.partial_fit(*table())._fitted
    rows = np.arange(10, 25)
    X, y = table(change, rows)
    left = np.delete(np.arange(N_ROWS), rows)
    plan = plan_of(model, X, y, before=before, grows=True, sample_weight=silent(rows))
    without = plan_of(
        *(model, X.iloc[left].reset_index(drop=True), y.iloc[left]),
        before=before,
        grows=True,
    )
    assert_same(without, plan)


@every_change
@pytest.mark.parametrize("early_stopping", [True, False])
def test_rows_of_weight_zero_are_as_if_they_were_not_there(change, early_stopping):
    model, rows = make_model(early_stopping=early_stopping), np.arange(10, 25)
    X, y = table()
    left = np.delete(np.arange(N_ROWS), rows)
    without = plan_of(model, X.iloc[left].reset_index(drop=True), y.iloc[left])
    assert_same(
        without, plan_of(model, *table(change, rows), sample_weight=silent(rows))
    )


def test_groups_of_rows_of_weight_zero_are_not_drawn():
    """They neither fill the share of rows set aside, nor move which groups are."""
    model, groups = make_model(), np.arange(N_ROWS) // 5
    rows = np.arange(100)
    X, y = table()
    plan = plan_of(model, X, y, groups=groups, sample_weight=silent(rows))
    others = groups.copy()
    others[rows] = np.arange(100) % 3 + 100
    assert_same(plan, plan_of(model, X, y, groups=others, sample_weight=silent(rows)))
    without = plan_of(
        model, X[100:].reset_index(drop=True), y[100:], groups=groups[100:]
    )
    np.testing.assert_array_equal(aside(plan), aside(without))
    assert plan.valid.n_rows == 25


def test_classes_of_rows_of_weight_zero_are_not_learned():
    X, _ = table()
    y = np.array(["no", "yes"] * (N_ROWS // 2), dtype=object)
    weight = silent(np.arange(6))
    plan = plan_of(make_model(), X, y, sample_weight=weight)
    y[:6] = "perhaps"
    other = plan_of(make_model(), X, y, sample_weight=weight)
    assert other.learned.tasks.tasks[0].classes.tolist() == ["no", "yes"]
    assert_same(plan, other)


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_a_validation_set_leaves_no_trace(change):
    X, y = table()
    given = table(change, range(N_ROWS // 2))
    plan = plan_of(make_model(), X, y, validation=given)
    assert plan.train.n_rows == plan.valid.n_rows == N_ROWS
    assert_same(plan, plan_of(make_model(early_stopping=False), X, y))


# ---------------------------------------------------------------- rates and weights


@pytest.mark.parametrize("weighted", [False, True])
def test_the_start_is_the_rate_of_the_rows_that_train(weighted):
    X, y = table()
    y = y["click"].astype(int)
    weight = np.random.default_rng(0).uniform(0, 9, N_ROWS) if weighted else None
    plan = plan_of(make_model(class_weight=None), X, y, sample_weight=weight)
    rows = np.delete(np.arange(N_ROWS), aside(plan))
    of_rows = None if weight is None else weight[rows]
    rate = np.average(y[rows], weights=of_rows)
    np.testing.assert_allclose(plan.learned.start, np.log(rate / (1 - rate)), rtol=1e-6)
    assert rate != np.average(y, weights=weight)


def weights_by_class(source: Any) -> np.ndarray:
    """Weight of each class of a task, in units of the first one's."""
    (batch,) = source.batches(source.n_rows)
    labels = batch.labels[:, 0].numpy()
    weights = np.ones(len(labels))
    if batch.weights is not None:  # None stands for ones
        weights = batch.weights[:, 0].numpy()
    factors = np.array([weights[labels == c].mean() for c in np.unique(labels)])
    return factors / factors[0]


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0}])
def test_a_validation_set_is_weighed_as_the_rows_that_train(class_weight):
    X, _ = table()
    y = (np.arange(N_ROWS) % 5 == 0).astype(int)
    y_val = (np.arange(N_ROWS) % 2 == 0).astype(int)
    model = make_model(class_weight=class_weight, early_stopping=True)
    plan = plan_of(model, X, y, validation=(X, y_val))
    factor = 4.0 if class_weight == "balanced" else 5.0
    for source in (plan.train, plan.valid):
        np.testing.assert_allclose(weights_by_class(source), [1, factor], rtol=1e-5)


def test_rows_set_aside_are_weighed_as_the_rows_that_train():
    X, y = table()
    y = y["click"].astype(int)
    plan = plan_of(make_model(), X, y)
    rate = np.delete(y.to_numpy(), aside(plan)).mean()
    for source in (plan.train, plan.valid):
        np.testing.assert_allclose(
            weights_by_class(source), [1, (1 - rate) / rate], rtol=1e-5
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_classes_weigh_the_same(weighted):
    weight = np.random.default_rng(0).uniform(0, 9, (N_ROWS, 2)) if weighted else None
    plan = plan_of(make_model(), *table(), sample_weight=weight)
    (batch,) = plan.train.batches(N_ROWS)
    for t, n_classes in enumerate([2, 3]):
        masses = np.bincount(batch.labels[:, t].int(), batch.weights[:, t])
        np.testing.assert_allclose(masses, masses.sum() / n_classes, rtol=1e-5)


# -------------------------------------------------------------------- bins and numbers


@pytest.mark.parametrize("heavy", ["low", "high"])
def test_bins_hold_as_much_weight_each(heavy):
    X, y = table()
    price = X["price"].to_numpy()
    weight = np.where((price > np.median(price)) == (heavy == "high"), 20.0, 1.0)
    model = make_model(early_stopping=False, numeric_embedding="bins", encoder=None)
    plan = plan_of(model, X[["price"]], y, sample_weight=weight)
    numbers = trained_on(plan)[1][:, 0]
    bins = np.searchsorted(plan.learned.edges[0][1:-1], numbers, side="right")
    mass = np.bincount(bins, weight)
    assert len(mass) == 8
    np.testing.assert_allclose(mass, weight.sum() / 8, atol=2 * weight.max())


def test_edges_of_a_row_of_weight_three_are_those_of_three_rows():
    X, y = table()
    weight = np.random.default_rng(1).integers(1, 5, N_ROWS)
    again = np.repeat(np.arange(N_ROWS), weight)
    model = make_model(early_stopping=False, numeric_embedding="bins", encoder=None)
    X = X[["price", "count"]]
    weighted = plan_of(model, X, y, sample_weight=weight)
    repeated = plan_of(model, X.iloc[again].reset_index(drop=True), y.iloc[again])
    for a, b in zip(weighted.learned.edges, repeated.learned.edges, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_edges_are_numbers_that_rows_hold(dtype):
    """So that a row whose number equals an edge is in the bin that begins there.

    In float64 they lie below that number, by less than arithmetic elsewhere rounds.
    """
    plan = plan_of(make_model(dtype=dtype, numeric_embedding="bins"), *table())
    numbers = trained_on(plan)[1]
    assert numbers.dtype == dtype
    for column, edges in zip(numbers.T, plan.learned.edges, strict=True):
        assert edges.dtype == dtype
        above = np.sort(column)[np.searchsorted(np.sort(column), edges[:-1])]
        lower = 1e-12 * np.maximum(np.abs(above), 1) if dtype == "float64" else 0
        assert np.all(above - edges[:-1] <= lower)


def test_auto_bins_discrete_numbers_alone():
    X, y = table()
    X = X[["price", "count"]]
    edges = {
        kind: [
            len(e) - 1
            for e in plan_of(
                make_model(numeric_embedding=kind, encoder=None), X, y
            ).learned.edges
        ]
        for kind in ("auto", "bins")
    }
    assert edges["bins"][0] == 8 > edges["auto"][0] == 1
    assert edges["auto"][1] == edges["bins"][1] > 1


# ------------------------------------------------------------- cross-fitted statistics


def test_statistics_of_a_row_set_aside_come_from_the_rows_that_train():
    """As those of a row that comes later, and not as those of another fold."""
    X, y = table()
    plan = plan_of(make_model(), X, y)
    rows = aside(plan)
    (batch,) = plan.valid.batches(len(rows))
    later = plan.learned.encoder.encode(X.iloc[rows].reset_index(drop=True))
    np.testing.assert_array_equal(batch.inputs["numbers"], later.numbers)
    (batch,) = plan.train.batches(N_ROWS)
    trained = plan.learned.encoder.encode(X.drop(index=rows).reset_index(drop=True))
    assert not np.array_equal(batch.inputs["numbers"], trained.numbers)


def test_the_seed_decides_the_folds_of_an_encoder_without_one():
    def statistics(encoder_seed: int | None = None, **changes: Any) -> list[float]:
        model = make_model(early_stopping=False, **changes)
        model.encoder.set_params(random_state=encoder_seed)
        return trained_on(plan_of(model, *table()))[1].tolist()

    first = statistics()
    assert statistics() == first != statistics(random_state=1)
    assert statistics(5) == statistics(5, random_state=1) != first
