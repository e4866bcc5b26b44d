"""Validation sets, early stopping, going on where training stopped, callbacks."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback, Checkpoint, EpochScoring, LRScheduler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training._evaluation import Validation
from dephn_sk.training._rows import split_rows

SMALL = {
    "embedding_dim": 4,
    "expert_hidden": (8,),
    "n_layers": 1,
    "cross_rank": 2,
    "tower_hidden": (),
    "batch_size": 64,
    "early_stopping": False,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def log():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"color": rng.choice(list("abc"), 300), "size": rng.normal(size=300)}
    )
    click = rng.random(300) < np.where(X["color"] == "a", 0.8, 0.2)
    buy = np.where(click, rng.random(300) < 1 / (1 + np.exp(-2 * X["size"])), np.nan)
    return X, pd.DataFrame({"click": click.astype(float), "buy": buy})


def weights_of(model):
    return [p.detach().clone() for p in model.net_.module_.parameters()]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_warm_start_and_partial_fit_go_on_exactly_where_they_stopped(log, dropout):
    whole = DEPHNMultiTaskClassifier(**SMALL, max_epochs=4, dropout=dropout).fit(*log)
    warm = DEPHNMultiTaskClassifier(
        **SMALL, max_epochs=2, dropout=dropout, warm_start=True
    )
    warm.fit(*log).fit(*log)
    partial = DEPHNMultiTaskClassifier(**SMALL, dropout=dropout)
    for _ in range(4):
        partial.partial_fit(*log)
    for model in (warm, partial):
        assert model.n_iter_ == 4
        for a, b in zip(weights_of(whole), weights_of(model), strict=True):
            assert torch.equal(a, b)


def test_without_warm_start_fit_forgets(log):
    model = DEPHNMultiTaskClassifier(**SMALL, max_epochs=2).fit(*log)
    before = model.predict_proba(log[0])
    np.testing.assert_array_equal(model.fit(*log).predict_proba(log[0]), before)


def test_partial_fit_refuses_a_label_that_was_not_announced(log):
    X, _ = log
    model = DEPHNMultiTaskClassifier(**SMALL)
    model.partial_fit(X, np.arange(300) % 2, classes=[0, 1, 2])
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"label .*3.* not seen in fit"):
        model.partial_fit(X, np.full(300, 3))


def test_partial_fit_takes_the_classes_of_each_task(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(**SMALL)
    model.partial_fit(X, y, classes=[[0, 1], [0, 1, 2]])
    assert [p.shape for p in model.predict_proba(X)] == [(300, 2), (300, 3)]


def test_the_best_epoch_is_restored_also_when_all_epochs_run(log):
    X, y = log
    valid = {"X_val": X[:60], "y_val": y[:60]}
    long = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True},
        max_epochs=30,
        learning_rate=0.05,
        n_epochs_no_change=100,
    ).fit(X[60:], y[60:], **valid)
    losses = long.history_["valid_loss"]
    best = int(losses.argmin()) + 1
    assert best < long.n_iter_ == 30
    short = DEPHNMultiTaskClassifier(**SMALL, max_epochs=best, learning_rate=0.05)
    short.fit(X[60:], y[60:])
    np.testing.assert_array_equal(short.predict_proba(X), long.predict_proba(X))


def test_early_stopping_ends_after_the_patience(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True},
        max_epochs=200,
        learning_rate=0.05,
        n_epochs_no_change=3,
    ).fit(X[60:], y[60:], X_val=X[:60], y_val=y[:60])
    losses = model.history_["valid_loss"]
    assert model.n_iter_ == losses.argmin() + 1 + 3


@pytest.mark.parametrize(
    "monitor", ["loss", "score", ("loss", "buy"), ("score", "buy")]
)
def test_what_is_monitored_is_what_the_history_shows(log, monitor):
    X, y = log
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True}, max_epochs=3, monitor=monitor
    ).fit(X, y)
    history = model.history_
    expected = {
        "loss": history["valid_loss"],
        "score": history[["valid_score_click", "valid_score_buy"]].mean(axis=1),
        ("loss", "buy"): history["valid_loss_buy"],
        ("score", "buy"): history["valid_score_buy"],
    }[monitor]
    np.testing.assert_allclose(model.net_.history[:, "valid_monitor"], expected)


def test_the_history_is_that_of_the_validation_set(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True}, max_epochs=3, n_epochs_no_change=9
    ).fit(X[60:], y[60:], X_val=X[:60], y_val=y[:60])
    row = model.history_.iloc[model.history_["valid_loss"].argmin()]
    p = model.predict_proba(X[:60])
    for t, name in enumerate(y):
        known = y[name][:60].notna()
        label, prob = y[name][:60][known], p[known, t]
        assert row[f"valid_loss_{name}"] == pytest.approx(
            log_loss(label, prob), abs=1e-5
        )
        assert row[f"valid_score_{name}"] == pytest.approx(roc_auc_score(label, prob))


def test_a_history_of_more_rows_than_are_scored_at_once(log, monkeypatch):
    from dephn_sk.tasks import _scores
    from dephn_sk.training import _evaluation

    def history(**weights):
        X, y = log
        model = DEPHNMultiTaskClassifier(
            **{**SMALL, "early_stopping": True, "batch_size": 8}, max_epochs=2
        )
        model.fit(X[60:], y[60:], X_val=X[:60], y_val=y[:60], **weights)
        return model.history_.drop(columns="dur")

    expected = history()
    for module in (_scores, _evaluation):
        monkeypatch.setattr(module, "KEPT_ROWS", 20)
    found = history()
    scores = [name for name in expected if name.startswith("valid_score")]
    pd.testing.assert_frame_equal(
        found.drop(columns=scores), expected.drop(columns=scores)
    )
    # of 140 pairs, one may be too near to be told apart
    np.testing.assert_allclose(found[scores], expected[scores], atol=5e-3)


def test_groups_are_kept_whole(log, monkeypatch):
    X, y = log
    groups = np.repeat(np.arange(30), 10)
    X = X.assign(group=pd.Categorical(groups))
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True}, max_epochs=1, validation_fraction=0.2
    ).fit(X, y, groups=groups)
    # rows set aside do not enter the vocabulary: six groups of thirty are unknown
    assert len(model.encoder_.vocabulary_["group"]) == 24


def test_a_validation_set_must_be_whole_and_of_the_same_tasks(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(**SMALL, max_epochs=1)
    with pytest.raises(ValueError, match="y_val is missing"):
        model.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="tasks of y are"):
        model.fit(X, y, X_val=X, y_val=y.rename(columns={"buy": "like"}))


def test_an_undefined_score_cannot_be_monitored(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True}, monitor=("score", "click")
    )
    with pytest.raises(ValueError, match="none that differ"):
        model.fit(X, y, X_val=X[:1], y_val=y[:1])  # one row, buy not observed


def test_an_unknown_task_cannot_be_monitored(log):
    model = DEPHNMultiTaskClassifier(**SMALL, monitor=("score", "clik"))
    with pytest.raises(ValueError, match=r"monitor names .*Did you mean 'click'"):
        model.fit(*log)


def test_a_pipeline_transforms_the_validation_set(log):
    X, y = log
    options = {**SMALL, "early_stopping": True, "max_epochs": 3}
    with sklearn.config_context(enable_metadata_routing=True):
        model = DEPHNMultiTaskClassifier(**options).set_fit_request(
            X_val=True, y_val=True
        )
        pipeline = Pipeline(
            [("encode", FieldEncoder()), ("model", model)], transform_input=["X_val"]
        ).fit(X[60:], y[60:], X_val=X[:60], y_val=y[:60])
    encoder = FieldEncoder().fit(X[60:])
    by_hand = DEPHNMultiTaskClassifier(**options).fit(
        encoder.transform(X[60:]), y[60:], X_val=encoder.transform(X[:60]), y_val=y[:60]
    )
    np.testing.assert_array_equal(
        pipeline.predict_proba(X), by_hand.predict_proba(encoder.transform(X))
    )


class CountBatches(Callback):
    def __init__(self, name="count"):
        self.name = name

    def on_train_begin(self, net, **kwargs):
        self.batches_ = 0

    def on_batch_end(self, net, training=None, **kwargs):
        self.batches_ += bool(training)


def test_callbacks_hear_each_batch_and_are_not_changed(log):
    given = CountBatches()
    model = DEPHNMultiTaskClassifier(
        **SMALL, max_epochs=2, callbacks=[("count", given)]
    )
    model.fit(*log)
    assert dict(model.net_.callbacks_)["count"].batches_ == 2 * 5
    assert not hasattr(given, "batches_")


def test_a_batch_hook_does_not_change_the_training(log):
    plain = DEPHNMultiTaskClassifier(**SMALL, max_epochs=2).fit(*log)
    heard = DEPHNMultiTaskClassifier(
        **SMALL, max_epochs=2, callbacks=[("count", CountBatches())]
    ).fit(*log)
    for a, b in zip(weights_of(plain), weights_of(heard), strict=True):
        assert torch.equal(a, b)


def test_a_factory_makes_a_callback_that_cannot_be_copied(log):
    model = DEPHNMultiTaskClassifier(
        **SMALL, max_epochs=1, callbacks=[("count", CountBatches)]
    ).fit(*log)
    assert dict(model.net_.callbacks_)["count"].batches_ == 5


def test_parameters_of_callbacks_take_part_in_a_search(log):
    model = DEPHNMultiTaskClassifier(
        **SMALL,
        max_epochs=3,
        callbacks=[("schedule", LRScheduler(policy="StepLR", step_size=1, gamma=0.5))],
    )
    search = GridSearchCV(
        model, {"callbacks__schedule__gamma": [0.1, 1.0]}, cv=KFold(2), refit=True
    ).fit(*log)
    gamma = search.best_params_["callbacks__schedule__gamma"]
    schedule = dict(search.best_estimator_.net_.callbacks_)["schedule"]
    assert schedule.gamma == gamma
    rate = search.best_estimator_.net_.optimizer_.param_groups[0]["lr"]
    assert rate == pytest.approx(2e-3 * gamma**3)


def test_an_unknown_callback_is_named(log):
    with pytest.raises(ValueError, match="names the callback 'speed'"):
        DEPHNMultiTaskClassifier().set_params(callbacks__speed__gamma=1)


@pytest.mark.parametrize(("verbose", "n_lines"), [(1, 3), (True, 3), (2, 4), (7, 4)])
def test_verbose_prints_what_was_decided_and_of_each_epoch(
    log, capsys, verbose, n_lines
):
    DEPHNMultiTaskClassifier(**SMALL, max_epochs=2, verbose=verbose).fit(*log)
    decision, *lines = capsys.readouterr().out.splitlines()
    assert decision.endswith("; 2 epochs")
    assert len(lines) == n_lines
    # skorch's table has a head of two lines
    assert ("train_loss" in lines[0]) == (verbose > 1)


@pytest.mark.parametrize("verbose", [0, False])
def test_without_verbose_nothing_is_printed(log, capsys, verbose):
    DEPHNMultiTaskClassifier(**SMALL, max_epochs=2, verbose=verbose).fit(*log)
    assert capsys.readouterr() == ("", "")


def test_verbose_says_how_long_training_will_be_and_why(log, capsys):
    X, y = log
    few = DEPHNMultiTaskClassifier(verbose=1, random_state=0).fit(X[:200], y[:200])
    said = capsys.readouterr().out
    assert f"200 rows in batches of 64; {few.n_iter_} epochs, the best of 5 f" in said
    options = {"early_stopping": True, "max_epochs": 2, "n_epochs_no_change": 7}
    DEPHNMultiTaskClassifier(**SMALL | options, verbose=1).fit(X, y)
    said = capsys.readouterr().out
    assert "rows validate; 2 epochs at most, ended by 7 without improvement" in said


def test_uncertainty_weights_are_trained(log):
    model = DEPHNMultiTaskClassifier(
        **SMALL, max_epochs=3, learning_rate=0.05, task_weights="uncertainty"
    ).fit(*log)
    learned = model.net_.criterion_.uncertainty.detach()
    assert (learned != 0).all()


def test_a_task_weight_of_zero_leaves_the_task_untrained(log):
    X, y = log
    one = DEPHNMultiTaskClassifier(**SMALL, max_epochs=2, task_weights={"buy": 0})
    other = DEPHNMultiTaskClassifier(**SMALL, max_epochs=2, task_weights=[1, 0])
    np.testing.assert_array_equal(
        one.fit(X, y).predict_proba(X), other.fit(X, y).predict_proba(X)
    )
    tower = one.net_.module_.towers.first.public[:, :, 1].detach()
    start = DEPHNMultiTaskClassifier(
        **{**SMALL, "learning_rate": 1e-12}, max_epochs=1, weight_decay=0
    ).fit(X, y)
    before = start.net_.module_.towers.first.public[:, :, 1].detach()
    torch.testing.assert_close(tower, before, atol=1e-4, rtol=1e-3)


def test_training_that_goes_on_never_ends_worse_than_it_began(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True},
        max_epochs=30,
        learning_rate=0.05,
        warm_start=True,
    )
    valid = {"X_val": X[:60], "y_val": y[:60]}
    best = np.inf
    for _ in range(3):
        model.fit(X[60:], y[60:], **valid)
        p = model.predict_proba(X[:60])
        loss = sum(
            log_loss(y[name][:60][known], p[known, t])
            for t, name in enumerate(y)
            for known in [y[name][:60].notna()]
        )
        assert loss <= best + 1e-6
        best = loss


def test_unwatched_epochs_after_early_stopping_are_kept(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True}, max_epochs=3
    ).fit(X, y)
    before = weights_of(model)
    model.partial_fit(X, y)
    assert not torch.equal(before[0], weights_of(model)[0])


def test_a_fixed_parameter_cannot_change_when_training_goes_on(log):
    model = DEPHNMultiTaskClassifier(
        **SMALL, max_epochs=1, warm_start=True, weight_averaging=0.0
    ).fit(*log)
    with pytest.raises(ValueError, match="embedding_dim=8 differs from 4"):
        model.set_params(embedding_dim=8).fit(*log)
    model.set_params(embedding_dim=4, learning_rate=1e-30, weight_decay=0.0)
    kept = [p for n, p in model.net_.module_.named_parameters() if "gating" not in n]
    before = [p.detach().clone() for p in kept]
    model.fit(*log)
    for a, b in zip(before, kept, strict=True):
        torch.testing.assert_close(a, b.detach())


def test_a_changed_dtype_does_not_touch_a_fitted_model(log):
    model = DEPHNMultiTaskClassifier(**SMALL, max_epochs=1).fit(*log)
    before = model.predict_proba(log[0])
    after = model.set_params(dtype="float64").predict_proba(log[0])
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("sizes", [[60] * 5, [150, 100, 30, *[2] * 10]])
@pytest.mark.parametrize("seed", range(5))
def test_large_groups_leave_room_for_small_ones(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    train, valid = split_rows(len(groups), 0.1, seed, groups)
    assert not set(groups[train]) & set(groups[valid])
    assert len(valid) == 60 if sizes[0] == 60 else 20 <= len(valid) <= 30


def test_what_is_set_aside_depends_on_no_row_but_its_own():
    """A row drawn by its place alone; a group by its name, wherever its rows are."""
    _, valid = split_rows(1000, 0.1, 7)
    assert len(valid) == 100
    _, more = split_rows(1001, 0.1, 7)
    assert set(valid) < set(more)
    assert len(more) == 101
    users = np.array([f"u{i % 83}" for i in range(1000)])
    order = np.random.default_rng(0).permutation(1000)
    kept = [set(g[split_rows(1000, 0.1, 7, g)[1]]) for g in (users, users[order])]
    assert kept[0] == kept[1]
    as_frame = pd.Series(users, dtype="category")
    np.testing.assert_array_equal(
        split_rows(1000, 0.1, 7, users)[1], split_rows(1000, 0.1, 7, as_frame)[1]
    )


def test_an_interruption_reaches_the_user(log):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    model = DEPHNMultiTaskClassifier(**SMALL, callbacks=[("stop", Interrupt())])
    with pytest.raises(KeyboardInterrupt):
        model.fit(*log)


def test_skorchs_scoring_callbacks_are_refused_by_name(log):
    model = DEPHNMultiTaskClassifier(
        **SMALL, callbacks=[("auc", EpochScoring("roc_auc"))]
    )
    with pytest.raises(ValueError, match="'auc', EpochScoring, scores"):
        model.fit(*log)


def test_a_checkpoint_of_skorch_finds_what_it_watches(log, tmp_path):
    checkpoint = Checkpoint(dirname=tmp_path, monitor="valid_loss_best")
    DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True}, max_epochs=2, callbacks=[checkpoint]
    ).fit(*log)
    assert (tmp_path / "params.pt").exists()


def test_a_task_that_only_the_rows_set_aside_know_is_named(log):
    X, y = log
    lone = y.assign(buy=np.nan)
    lone.loc[0, "buy"] = 1.0
    for seed in range(6):
        model = DEPHNMultiTaskClassifier(
            **{**SMALL, "early_stopping": True, "random_state": seed},
            validation_fraction=0.9,
            max_epochs=1,
        )
        try:
            model.fit(X, lone)
        except ValueError as error:
            assert "'buy' has no observed label" in str(error)
            break
    else:
        raise AssertionError("the one label never was among the rows set aside")


def test_the_loss_of_an_unknown_task_cannot_be_monitored(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "early_stopping": True}, monitor=("loss", "buy")
    )
    with pytest.raises(ValueError, match="hold no label"):
        model.fit(X, y, X_val=X, y_val=y.assign(buy=np.nan))


def test_numeric_classes_of_all_tasks_stand_in_one_array(log):
    X, y = log
    y = y.assign(click=y["click"].astype(int))  # buy is float, since it has NaN
    model = DEPHNMultiTaskClassifier(**SMALL, max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(model.classes_, [[0, 1], [0, 1]])
    assert model.predict(X).dtype.kind == "f"


def test_missing_labels_of_one_task_are_an_error_in_every_call(log):
    X, _ = log
    y = np.arange(300) % 2.0
    model = DEPHNMultiTaskClassifier(**SMALL).partial_fit(X, y)
    y[3] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match="classes of 'task0' are"):
        DEPHNMultiTaskClassifier(**SMALL).partial_fit(X, y, classes=[0, 1, np.nan])


def test_a_class_that_fit_has_not_seen_counts_as_wrong(log):
    X, _ = log
    model = DEPHNMultiTaskClassifier(**SMALL, max_epochs=1)
    model.fit(X, np.array(["no", "yes"] * 150, dtype=object))
    right = np.mean(model.predict(X[:100]) == "no")
    y = np.array(["no"] * 100, dtype=object)
    assert model.score(X[:100], y) == pytest.approx(right)
    assert model.score(X[:100], np.array(["perhaps"] * 100, dtype=object)) == 0


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("mappings", (np.sin, "raw")),
        ("mappings", (torch.sum,)),
        ("virtual_gradient", lambda similarity, difference: 1.0),
    ],
)
def test_a_function_that_gives_no_tensor_of_its_shape_is_named(log, parameter, value):
    model = DEPHNMultiTaskClassifier(**SMALL, **{parameter: value})
    if value == (np.sin, "raw"):
        model.set_params(mappings=(lambda x: np.sin(x.numpy()), "raw"))
    with pytest.raises(ValueError, match=parameter):
        model.fit(*log)


def test_epochs_without_validation_rows_have_no_validation_loss(log):
    X, y = log
    model = DEPHNMultiTaskClassifier(**{**SMALL, "early_stopping": True})
    history = model.partial_fit(X, y).set_params(warm_start=True, max_epochs=2)
    history = history.fit(X, y).history_
    assert history["valid_loss"].isna().tolist() == [True, False, False]
    assert history["train_loss"].notna().all()


@pytest.mark.parametrize("sizes", [[5], [2, 3], [1, 1, 3]])
def test_what_validation_sees_is_kept_in_one_piece(sizes):
    values = torch.arange(10.0).reshape(5, 2)
    seen = Validation(SimpleNamespace(n_rows=5), None)
    for part in values.split(sizes):
        seen.add(part.mean(0), part, None, part.double())
    whole, absent, double = seen.parts
    torch.testing.assert_close(seen.total / 5, values.mean(0))
    assert torch.equal(whole, values)
    assert absent is None
    assert torch.equal(double, values.double())
