"""Categories that come later: tables grow, and what was learned stays."""

import numpy as np
import pandas as pd
import torch

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import WideDeepClassifier
from dephn_sk.nn import FieldEmbedding
from dephn_sk.preprocessing import FieldEncoder

SMALL = {
    "embedding_dim": 4,
    "expert_hidden": (8,),
    "n_layers": 1,
    "tower_hidden": (),
    "batch_size": 64,
    "random_state": 0,
}


def make_log(values, seed=0, n_rows=200):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "user": rng.choice(values, n_rows),
            "city": rng.choice(["Oslo", "Rome"], n_rows),
            "age": rng.normal(size=n_rows),
        }
    )
    y = pd.DataFrame(
        {"click": (X["user"] == values[0]).astype(int), "buy": X["age"] > 0}
    )
    return X, y


def test_rows_of_old_codes_move_to_their_new_places():
    embedding = FieldEmbedding([3, 2], 4, bag_cardinalities=[5], tables=[0, 1, 0])
    old, offsets = embedding.table.detach().clone(), embedding.offsets.clone()
    positions = embedding.grow([6, 4], [7])
    assert embedding.table.shape == (7 + 4, 4)
    torch.testing.assert_close(embedding.table[positions], old)
    for before, after, size in zip(offsets, embedding.offsets, [3, 2, 5], strict=True):
        torch.testing.assert_close(
            embedding.table[after : after + size], old[before : before + size]
        )


def test_growth_alone_changes_no_prediction_and_no_moment():
    X, y = make_log(["u1", "u2"])
    model = DEPHNMultiTaskClassifier(**SMALL).partial_fit(X, y)
    before = model.predict_proba(X)
    state = model._fitted.state
    table, moments = state.network.embedding.table, state.net.optimizer_.state
    old = moments[table]["exp_avg"].clone()
    users, *others = model.encoder_.cardinalities_
    state.grow((users + 1, *others), ())
    grown = state.network.embedding.table
    positions = torch.arange(len(table))
    positions[3:] += 1  # the cities' rows follow the users'
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert len(grown) == len(table) + 1
    torch.testing.assert_close(grown[positions], table)
    torch.testing.assert_close(moments[grown]["exp_avg"][positions], old)
    assert (moments[grown]["exp_avg"][3] == 0).all()


def test_a_category_that_comes_later_is_learned():
    X, y = make_log(["u1", "u2"])
    later_X, later_y = make_log(["u3", "u2"], seed=1)
    model = DEPHNMultiTaskClassifier(**SMALL, learning_rate=0.02)
    for _ in range(5):
        model.partial_fit(X, y)
    assert "u3" not in model.encoder_.vocabulary_["user"]
    for _ in range(15):
        model.partial_fit(later_X, later_y)
    assert model.encoder_.vocabulary_["user"].tolist() == ["u1", "u2", "u3"]
    click = model.predict_proba(later_X)[:, 0]
    new = (later_X["user"] == "u3").to_numpy()
    assert click[new].min() > 0.5 > click[~new].max()


def test_new_categories_do_not_change_what_others_learn_first():
    """The first epoch after growth equals one without it where no new row is read."""
    X, y = make_log(["u1", "u2"])
    grown = DEPHNMultiTaskClassifier(**SMALL).partial_fit(X, y)
    users, *others = grown.encoder_.cardinalities_
    grown._fitted.state.grow((users + 1, *others), ())
    plain = DEPHNMultiTaskClassifier(**SMALL).partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_array_equal(
        grown.partial_fit(X, y).predict_proba(X), plain.predict_proba(X)
    )


def test_every_table_of_a_baseline_grows():
    X, y = make_log(["u1", "u2"])
    model = WideDeepClassifier(hidden=(8,), n_layers=1, random_state=0)
    model.partial_fit(X, y).partial_fit(*make_log(["u3", "u4"], seed=1))
    assert np.isfinite(model.predict_proba(X)).all()
    sizes = {len(m.table) for m in model.net_.module_.modules() if hasattr(m, "table")}
    assert sizes == {sum(model.encoder_.cardinalities_)}


def test_multi_valued_fields_are_pooled_as_the_encoder_says():
    X = pd.DataFrame({"tags": ["a|b", "b", "", "a|a|c"] * 10, "more": ["a|b"] * 40})
    y = [0, 1] * 20
    encoder = FieldEncoder(
        delimiters={"tags": "|", "more": "|"}, bag_mode={"tags": "sum", "more": "max"}
    )
    inside = DEPHNMultiTaskClassifier(**SMALL, max_epochs=2, encoder=encoder).fit(X, y)
    assert inside.net_.module_.embedding.bag_modes == ("sum", "max")
    encoded = encoder.fit_transform(X)
    outside = DEPHNMultiTaskClassifier(**SMALL, max_epochs=2).fit(encoded, y)
    np.testing.assert_array_equal(
        inside.predict_proba(X), outside.predict_proba(encoded)
    )


def test_an_encoder_inside_cross_fits_its_target_statistics():
    X, y = make_log([f"u{i}" for i in range(40)])
    # quantiles do not mind that the encoder outside is scaled once more
    options = {**SMALL, "max_epochs": 2, "numeric_embedding": "bins+piecewise-linear"}
    encoder = FieldEncoder(target_statistics=["user"], random_state=0)
    inside = DEPHNMultiTaskClassifier(**options, encoder=encoder).fit(X, y)
    encoded = encoder.fit_transform(X, y)
    outside = DEPHNMultiTaskClassifier(**options).fit(encoded, y)
    np.testing.assert_allclose(
        inside.predict_proba(X), outside.predict_proba(encoder.transform(X)), atol=1e-4
    )


def test_a_later_batch_may_hold_no_label_of_a_task():
    X, y = make_log(["u1", "u2"])
    model = DEPHNMultiTaskClassifier(**SMALL).partial_fit(X, y)
    tower = model.net_.module_.towers.first.public.detach().clone()
    model.partial_fit(X, y.astype(float).assign(buy=np.nan))
    moved = model.net_.module_.towers.first.public.detach() - tower
    assert (moved[:, :, 0] != 0).any()
    # AdamW's momentum and decay alone still move the other task a little
    assert moved[:, :, 1].abs().max() <= moved[:, :, 0].abs().max()
