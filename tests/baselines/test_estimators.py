"""What every estimator of `dephn_sk.baselines` keeps to, on a small learnable table."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.metrics import log_loss

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.baselines._single_task import SingleTaskClassifier

CLASSIFIERS = [
    getattr(baselines, name)
    for name in baselines.__all__
    if name.endswith("Classifier")
]
SINGLE = [c for c in CLASSIFIERS if issubclass(c, SingleTaskClassifier)]
SMALL = {
    "embedding_dim": 4,
    "hidden": (16,),
    "expert_hidden": (16,),
    "tower_hidden": (8,),
    "n_layers": 2,
    "n_maps": 3,
    "n_experts": 3,
    "cross_rank": 2,
    "batch_size": 64,
    "learning_rate": 0.03,
    "max_epochs": 8,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "unseen_rate": 0.0,
    "early_stopping": False,
    "dtype": "float64",
    "random_state": 0,
    "conditions": {},  # whatever the labels; ESMM's default is a chain
}


def small(cls, **changes):
    """An instance of a size that trains at once."""
    options = {**SMALL, **changes}
    return cls(**{k: v for k, v in options.items() if k in cls().get_params()})


def make_table(n_rows=200, seed=0):
    """Labels that two categories and a number decide, up to some noise."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "animal": rng.choice(["ape", "bat", "cow"], n_rows),
            "place": rng.choice(["air", "sea"], n_rows),
            "size": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(size=n_rows)),
        }
    )
    bat, sea = X["animal"] == "bat", X["place"] == "sea"
    score = np.column_stack(
        [
            bat * 4 - 2 + X["size"].fillna(0),
            np.where(bat == sea, 2.0, -2.0),
            sea * 4 - 3,
        ]
    )
    y = (score + rng.logistic(scale=0.5, size=score.shape) > 0).astype(float)
    return X, pd.DataFrame(y, columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_common_defaults_are_those_of_dephn(cls):
    ours, theirs = cls().get_params(), DEPHNMultiTaskClassifier().get_params()
    differing = {k for k in ours.keys() & theirs.keys() if ours[k] != theirs[k]}
    assert differing - {"selection"} == {"numeric_embedding"}


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_beats_the_base_rate_on_every_task(cls, table):
    X, y = table
    held_out_X, held_out_y = make_table(seed=1)
    probabilities = small(cls, max_epochs=20).fit(X, y).predict_proba(held_out_X)
    assert probabilities.shape == (200, 3)
    for t, task in enumerate(y.columns):
        rate = np.full(200, y[task].mean())
        labels = held_out_y[task]
        assert log_loss(labels, probabilities[:, t]) < 0.8 * log_loss(labels, rate)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_learns_where_labels_are_missing(cls, table):
    X, y = table
    observed = np.random.default_rng(0).random(y.shape) < 0.7
    model = small(cls, max_epochs=20).fit(X, y.where(observed))
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.score(X, y.mask(observed)) > 0.8  # of the labels it did not see


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_multi_class_tasks_beside_binary_ones(cls, table):
    X, y = table
    y = y.assign(b=np.where(X["animal"] == "bat", "x", X["place"]))
    model = small(cls, max_epochs=20, random_state=4).fit(X, y)
    shapes = [p.shape for p in model.predict_proba(X)]
    assert shapes == [(200, 2), (200, 3), (200, 2)]
    assert (model.predict(X)[:, 1] == y["b"]).mean() > 0.8


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_one_seed_gives_the_same_bytes_and_leaves_global_generators_alone(cls, table):
    X, y = table
    model = small(cls, max_epochs=2, dropout=0.2, unseen_rate=0.1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (clone(model).fit(X, y).predict_proba(X) for _ in range(2))
    assert one.tobytes() == two.tobytes()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_pickle_predicts_the_same(cls, table):
    X, y = table
    model = small(cls, max_epochs=1).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert again.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_one_optimizer_trains_everything(cls, table):
    X, y = table
    net = small(cls, max_epochs=1).fit(X, y).net_
    assert net.rules_.keys() == {"adam"}
    (group,) = net.optimizer_.param_groups
    # the module predicts with averages of what the optimizer moves
    shapes = [p.shape for p in net.module_.parameters()]
    assert [p.shape for p in group["params"]] == shapes


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize("value", [(8, 0), (8.5,)])
def test_bad_width_is_named_with_its_parameter(cls, value, table):
    name = "hidden" if hasattr(cls(), "hidden") else "expert_hidden"
    with pytest.raises(ValueError, match=rf"{name} must hold integers >= 1, got"):
        small(cls, **{name: value}).fit(*table)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_no_width_is_refused(cls, table):
    name = "hidden" if hasattr(cls(), "hidden") else "expert_hidden"
    with pytest.raises(ValueError, match=f"{name} is empty"):
        small(cls, **{name: ()}).fit(*table)


@pytest.mark.parametrize(
    "cls", [c for c in CLASSIFIERS if "tower_hidden" in c().get_params()]
)
def test_linear_towers_are_allowed(cls, table):
    X, y = table
    assert small(cls, tower_hidden=(), max_epochs=1).fit(X, y).score(X, y) > 0.5


# ------------------------------------------------------------ single-task systems


@pytest.mark.parametrize("cls", SINGLE)
def test_several_tasks_are_as_many_fits_of_one_task(cls, table):
    X, y = table
    model = small(cls, max_epochs=2)
    together = model.fit(X, y).predict_proba(X)
    for t, task in enumerate(y.columns):
        alone = clone(model).fit(X, y[task]).predict_proba(X)[:, 1]
        assert_allclose(together[:, t], alone, rtol=1e-9)


@pytest.mark.parametrize("cls", SINGLE)
def test_tasks_share_no_parameter(cls, table):
    networks = small(cls, max_epochs=1).fit(*table).net_.module_.networks
    owned = [{id(p) for p in network.parameters()} for network in networks]
    assert len(owned) == 3
    assert len(set.union(*owned)) == sum(map(len, owned))


# -------------------------------------------------------------------- MT-PHN, SNR


@pytest.mark.parametrize(
    ("sharing", "public", "private"),
    [
        ("public-dnn", {"dnn": 3}, {"cross": 1, "field": 1}),
        ("private-dnn", {"cross": 1, "field": 1}, {"dnn": 3}),
        ("all-public", {"dnn": 3, "cross": 1, "field": 1}, {}),
    ],
)
def test_sharing_is_a_row_of_table_1(sharing, public, private, table):
    X, y = table
    model = small(baselines.MTPHNClassifier, sharing=sharing).fit(X, y)
    network = model.net_.module_
    assert network.interaction.public_kinds == public
    assert network.interaction.private_kinds == private
    assert network.virtual_gradient is None
    assert network.mapping.names == ("raw",)
    assert not hasattr(network.gating, "values")  # mapped from the input
    assert model.score(X, y) > 0.8


def test_heads_of_mt_phn_must_divide_the_embedding(table):
    model = small(baselines.MTPHNClassifier, n_heads=3)
    with pytest.raises(ValueError, match="n_heads=3 does not divide embedding_dim=4"):
        model.fit(*table)


# -------------------------------------------------------------------- ESMM, AITM


def steps(table):
    """Labels of a chain: each task needs the one before."""
    X, y = table
    y = y.assign(b=y["a"] * y["b"])
    return X, y.assign(c=y["b"] * y["c"])


def test_without_conditions_esmm_takes_the_columns_for_a_chain(table):
    X, y = steps(table)
    model = small(baselines.ESMMClassifier, conditions=None).fit(X, y)
    assert model.tasks_.condition_names == {"b": "a", "c": "b"}
    given = small(baselines.ESMMClassifier, conditions={"c": "b", "b": "a"}).fit(X, y)
    assert model.predict_proba(X).tobytes() == given.predict_proba(X).tobytes()
    assert not small(baselines.ESMMClassifier).fit(X, y).tasks_.conditions
    alone = small(baselines.ESMMClassifier, conditions=None).fit(X, y["a"])
    assert not alone.tasks_.conditions


def test_labels_of_no_chain_are_refused_by_esmm_with_what_to_do(table):
    with pytest.raises(ValueError, match=r"of the task 'b', but .* 'a'.*`conditions`"):
        small(baselines.ESMMClassifier, conditions=None).fit(*table)


def test_a_task_that_fits_no_chain_is_refused_by_esmm_as_its_own_doing(table):
    X, y = steps(table)
    y["kind"] = np.arange(len(y)) % 3
    wanted = r"chain, a then b then c then kind,.*'kind'.*\{\} is none"
    with pytest.raises(ValueError, match=wanted):
        small(baselines.ESMMClassifier, conditions=None).fit(X, y)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_every_system_keeps_the_order_of_a_funnel(cls, table):
    X, y = steps(table)
    model = small(cls, conditions={"b": "a", "c": "b"}, max_epochs=3).fit(X, y)
    a, b, c = model.predict_proba(X).T
    assert (b <= a).all()
    assert (c <= b).all()
    given = model.predict_proba_given(X)
    assert_allclose(given.cumprod(axis=1), np.column_stack([a, b, c]))
    assert (given[:, 1] > given[:, 0]).any()  # it is no marginal one


def test_a_dear_calibrator_keeps_steps_of_aitm_in_order(table):
    X, y = steps(table)
    excess = []
    for price in (0.0, 30.0):
        model = small(baselines.AITMClassifier, calibrator_penalty=price).fit(X, y)
        p = model.predict_proba(X)
        excess.append(np.maximum(p[:, 1:] - p[:, :-1], 0).sum())
    assert 10 * excess[1] < excess[0]


def test_price_of_connections_closes_them(table):
    X, y = table
    n_open = []
    for price in (0.0, 1.0):
        model = small(baselines.SNRClassifier, l0_penalty=price).fit(X, y)
        network = model.net_.module_
        routings = [*network.routings, network.to_towers]
        n_open.append(sum(r.n_open().item() for r in routings))
    assert n_open[1] < n_open[0]
