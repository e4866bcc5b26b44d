"""Few rows: as many epochs as a cross-validation finds, and no row set aside."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from _logs import assert_same_learned, make_log
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.training import FitPlan
from dephn_sk.training._cross_validation import (
    N_FOLDS,
    N_MEMBERS,
    PATIENCE,
    cross_validated,
)
from dephn_sk.training._randomness import seed_of
from dephn_sk.training._rows import CROSS_VALIDATED

X, Y = make_log(300)
GROUPS = np.repeat(np.arange(60), 5)
SMALL = {
    "embedding_dim": 4,
    "n_bins": 8,
    "learning_rate": 0.02,
    "numeric_embedding": "linear",
    "n_threads": 1,
    "random_state": 3,
}


def make_model(**changes):
    return DEPHNMultiTaskClassifier(**{**SMALL, **changes})


def plan_of(model, **given):
    return FitPlan.of(model, X, Y, epochs=model.max_epochs, **given)


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_epochs_are_those_of_the_lowest_mean_loss_of_fits_to_the_folds(groups):
    plan = plan_of(make_model(), groups=groups)
    losses = []
    for i, (train, valid) in enumerate(plan.rows.folds(N_FOLDS, plan.seed)):
        seed = seed_of(plan.seed, "validation", i) % 2**31
        apart = make_model(
            **{"random_state": seed, "early_stopping": False},
            **{"max_epochs": 60, "batch_size": plan.batch_size},
        )
        watched = {"X_val": X.iloc[valid], "y_val": Y.iloc[valid]}
        apart.fit(X.iloc[train], Y.iloc[train], **watched)
        losses.append(apart.net_.history[:, "valid_loss"])
    mean = np.mean(losses, axis=0)
    until = next(
        n for n in range(1, 61) if n - np.argmin(mean[:n]) > PATIENCE or n == 60
    )
    assert cross_validated(plan).epochs == np.argmin(mean[:until]) + 1 < 60


def test_then_all_rows_train_for_as_many_epochs():
    found = make_model().fit(X, Y)
    assert 1 < found.n_iter_ < 60
    told = {"max_epochs": found.n_iter_, "early_stopping": False}
    assert_same_learned(found, make_model(**told, n_networks=N_MEMBERS).fit(X, Y))


def members_of(model, *rows, **given):
    return model.fit(*rows or (X, Y), **given).network_.n_members


def test_few_rows_are_learned_by_several_networks():
    with pytest.warns(ConvergenceWarning, match="max_epochs=1"):
        watched = members_of(make_model(early_stopping=True, max_epochs=1))
    assert members_of(make_model()) == N_MEMBERS
    assert members_of(make_model(max_epochs=1)) == watched == 1  # no folds, no members
    assert members_of(make_model(n_networks=1)) == 1  # as it is asked for
    assert members_of(make_model(n_networks=2)) == 2
    assert make_model().partial_fit(X, Y).network_.n_members == 1


def test_a_fold_is_of_one_network_unless_more_are_asked_for():
    rows = next(plan_of(make_model()).rows.folds(N_FOLDS, 0))
    for given, n in (("auto", 1), (2, 2)):
        plan = plan_of(make_model(n_networks=given))
        own = plan.rows.divided(*rows, None).scaled()
        assert plan.fold(own, 0).begin().network.n_members == n


def test_where_rows_cannot_be_divided_there_is_one_network():
    model = make_model(learning_rate=1e-3)
    assert members_of(model, groups=np.zeros(len(X))) == 1


def test_members_go_on_as_many_as_they_are():
    model = make_model(warm_start=True, max_epochs="auto").fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert members_of(model) == N_MEMBERS
    assert again.partial_fit(X, Y).network_.n_members == N_MEMBERS


def test_verbose_says_how_many_networks_there_are(capsys):
    make_model(verbose=1).fit(X, Y)
    assert "the best of 5 folds; 5 networks" in capsys.readouterr().out


def test_groups_are_kept_whole_and_each_row_validates_once():
    seen = np.zeros(len(X), dtype=int)
    for train, valid in plan_of(make_model(), groups=GROUPS).rows.folds(N_FOLDS, 0):
        assert not set(GROUPS[train]) & set(GROUPS[valid])
        seen[valid] += 1
    assert np.all(seen == 1)


def test_one_group_cannot_be_divided():
    plan = plan_of(make_model(), groups=np.zeros(len(X)))
    assert cross_validated(plan).epochs == 20


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({"max_epochs": 7}, {}),
        ({"early_stopping": False}, {}),
        ({"early_stopping": True}, {}),
        ({}, {"validation": (X, Y)}),
    ],
)
def test_whoever_says_how_training_ends_gets_no_folds(changes, given):
    assert plan_of(make_model(**changes), **given).rows is None


@pytest.mark.parametrize("n_rows", [CROSS_VALIDATED.start, CROSS_VALIDATED.stop])
def test_how_few_rows_are_few(n_rows):
    few = np.arange(n_rows) % len(X)
    below = few[:-1], Y.iloc[few[:-1]]
    for rows, labels in (below, (few, Y.iloc[few])):
        plan = FitPlan.of(make_model(), X.iloc[rows], labels, epochs="auto")
        assert (plan.rows is not None) == (len(rows) in CROSS_VALIDATED)
        assert (plan.valid is not None) == (len(rows) >= CROSS_VALIDATED.stop)


class Counting(Callback):
    n_begun = 0

    def on_train_begin(self, net, **kwargs):
        Counting.n_begun += 1


def test_callbacks_hear_of_the_fit_to_all_rows_alone(capsys):
    make_model(callbacks=[Counting()]).fit(X, Y)
    assert Counting.n_begun == 1
    assert capsys.readouterr().out == ""


def test_a_limit_that_ends_training_is_a_warning():
    model = make_model(max_epochs=2, early_stopping=True, learning_rate=1e-4)
    with pytest.warns(ConvergenceWarning, match="max_epochs=2 ended .*Raise"):
        model.fit(X, Y)


def test_patience_has_as_many_epochs_as_300_steps(recwarn):
    plan = plan_of(make_model(early_stopping=True, batch_size=10, max_epochs=60))
    assert plan.train.n_rows == 270 and plan.patience == 12
    fitted = make_model(early_stopping=True, batch_size=10, max_epochs=60).fit(X, Y)
    losses = fitted.net_.history[:, "valid_loss"]
    assert len(losses) - (np.argmin(losses) + 1) == 12
    assert not any(one.category is ConvergenceWarning for one in recwarn)
