"""Validation sets, early stopping, going on where training stopped, callbacks."""

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback, LRScheduler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder

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
    with pytest.raises(ValueError, match="one class"):
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
    assert rate == pytest.approx(1e-3 * gamma**3)


def test_an_unknown_callback_is_named(log):
    with pytest.raises(ValueError, match="names the callback 'speed'"):
        DEPHNMultiTaskClassifier().set_params(callbacks__speed__gamma=1)


def test_verbose_prints_a_line_for_each_epoch(log, capsys):
    DEPHNMultiTaskClassifier(**SMALL, max_epochs=2, verbose=1).fit(*log)
    assert len(capsys.readouterr().out.splitlines()) == 4
    DEPHNMultiTaskClassifier(**SMALL, max_epochs=2).fit(*log)
    assert capsys.readouterr().out == ""


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
    tower = one.net_.module_.towers.public[:, :, 1].detach()
    start = DEPHNMultiTaskClassifier(
        **{**SMALL, "learning_rate": 1e-12}, max_epochs=1, weight_decay=0
    ).fit(X, y)
    torch.testing.assert_close(
        tower, start.net_.module_.towers.public[:, :, 1].detach(), atol=1e-4, rtol=1e-3
    )
