"""Labels whose window is open: masked as NaN, weighed, and less biased than ignored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from _logs import SMALL, assert_same_learned, learned, make_log
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import Pipeline

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_scorer
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.tasks import Times
from dephn_sk.training import FitPlan

WINDOW, UNTIL = 7.0, 20.0


def simulated(n, seed=0):
    """A log of 20 days read on the last: columns, probabilities, what was seen."""
    X, y = make_log(n, seed=seed)
    rng = np.random.default_rng([seed, 1])
    shown = rng.uniform(0, UNTIL, n)
    p = 1 / (1 + np.exp(1.5 - X["size"] - (X["shop"] < "c")))
    delay = WINDOW * rng.beta(0.7, 1.2, n)
    came = (rng.random(n) < p) & (shown + delay <= UNTIL)
    y = y.assign(buy=came.astype(int))
    return (
        X,
        y,
        p.to_numpy(),
        {
            "label_time": shown,
            "label_delay": pd.DataFrame({"buy": np.where(came, delay, np.nan)}),
            "observed_until": UNTIL,
        },
    )


X, Y, P, TIMES = simulated(300)
OPEN = TIMES["label_time"] > UNTIL - WINDOW
BUY = {"label_window": {"buy": WINDOW}}
WEIGH = {**BUY, "on_open_window": "weigh"}
STOPS = {"early_stopping": True, "validation_fraction": 0.3, "n_epochs_no_change": 9}


def make(**options):
    return DEPHNMultiTaskClassifier(**{**SMALL, **options})


@pytest.mark.parametrize("options", [{}, STOPS, {"class_weight": "balanced"}])
def test_a_masked_label_is_one_that_was_not_observed(options):
    masked = make(**BUY, **options).fit(X, Y, **TIMES)
    missing = make(**options).fit(X, Y.assign(buy=Y["buy"].where(~OPEN)))
    assert_same_learned(masked, missing)
    ignored = make(**options).fit(X, Y)
    assert ignored.task_rates_[0] == masked.task_rates_[0]
    assert ignored.task_rates_[1] < masked.task_rates_[1]


def test_what_a_masked_label_is_makes_no_difference():
    other = Y.assign(buy=Y["buy"].where(~OPEN, 1 - Y["buy"]))
    times = {k: v for k, v in TIMES.items() if k != "label_delay"}
    one, two = (make(**BUY, **STOPS).fit(X, y, **times) for y in (Y, other))
    assert_same_learned(one, two)


def test_of_a_single_task_masked_rows_train_nothing():
    y = Y["buy"].to_numpy()
    masked = make(label_window=WINDOW).fit(X, y, **TIMES)
    assert_allclose(masked.task_rates_[0], y[~OPEN].mean())
    other = make(label_window=WINDOW).fit(X, np.where(OPEN, 0, y), **TIMES)
    assert_same_learned(masked, other)


def test_weights_reach_training_validation_and_base_rates():
    model = make(**WEIGH, **STOPS)
    plan = FitPlan.of(model, X, Y, epochs=1, times=Times(*TIMES.values()))
    train = plan.train.rows.numpy()
    delays = plan_rows(model).delays
    factors = delays.factors(plan_rows(model).labels, train, None)
    assert (factors[:, 0] == 1).all()
    lighter = factors[:, 1] < 1
    assert not (lighter & ~(OPEN & (Y["buy"] == 0))).any()
    assert lighter.sum() > 0.9 * (OPEN & (Y["buy"] == 0)).sum()
    for source, rows in (
        (plan.train, train),
        (plan.valid, np.setdiff1d(range(300), train)),
    ):
        w = factors[rows, 1]
        assert_allclose(source.weights[:, 1], w / w.mean(), rtol=1e-5)
    w, y = factors[train, 1], Y["buy"].to_numpy()[train]
    (_, rate) = plan.learned.tasks.rates(plan.learned.start)
    assert_allclose(rate, np.average(y, weights=w))


def plan_rows(model, X=X, Y=Y, times=TIMES, **given):
    from dephn_sk.training._plan import Rows, template_of

    how = {
        "tasks": None,
        "classes": None,
        "groups": None,
        "seed": 0,
        "sets_aside": True,
    }
    return Rows.read(
        template_of(model), X, Y, None, times=Times(*times.values()), **how, **given
    )


def test_held_out_rows_say_nothing_of_delays():
    model = make(**WEIGH, **STOPS)
    plan = FitPlan.of(model, X, Y, epochs=1, times=Times(*TIMES.values()))
    held = np.setdiff1d(np.arange(300), plan.train.rows.numpy())
    y, delay = Y.copy(), TIMES["label_delay"].copy()
    y.loc[held, "buy"] = 0
    delay.loc[held, "buy"] = np.nan
    times = Times(*{**TIMES, "label_delay": delay}.values())
    other = FitPlan.of(model, X, y, epochs=1, times=times)
    assert_array_equal(plan.train.weights, other.train.weights)
    assert_array_equal(plan.learned.start, other.learned.start)


def test_columns_are_told_of_labels_that_can_change_no_more():
    """Statistics of values know neither masked nor weighed labels."""
    encoder = FieldEncoder(target_statistics=["shop"], random_state=0)
    changed = Y.assign(buy=Y["buy"].where(~OPEN, 0))
    late = TIMES["label_delay"].where(~OPEN[:, None])
    for options in (BUY, WEIGH):
        for own in (encoder, None):
            one = make(**options, encoder=own).fit(X, Y, **TIMES)
            two = make(**options, encoder=own)
            two.fit(X, changed, **{**TIMES, "label_delay": late})
            a, b = (m.encoder_.transform(X) for m in (one, two))
            assert_array_equal(np.asarray(a), np.asarray(b))


def test_rows_of_weight_zero_have_no_part_in_delays():
    weights = np.ones(300)
    weights[::3] = 0
    rows = weights > 0
    few = {
        "label_time": TIMES["label_time"][rows],
        "label_delay": TIMES["label_delay"][rows],
        "observed_until": UNTIL,
    }
    for options in (BUY, WEIGH):
        one = make(**options, **STOPS).fit(X, Y, weights, **TIMES)
        other = make(**options, **STOPS).fit(X[rows], Y[rows], **few)
        assert_same_learned(one, other)


def test_a_row_that_cannot_be_has_the_number_that_was_given():
    weights = np.ones(300)
    weights[:7] = 0
    late = {**TIMES, "label_time": TIMES["label_time"].copy()}
    late["label_time"][9] = UNTIL + 1
    with pytest.raises(ValueError, match="'buy' of row 9 has a label_time after"):
        make(**BUY).fit(X, Y, weights, **late)


@pytest.mark.parametrize("options", [BUY, WEIGH])
def test_few_rows_are_cross_validated_and_each_fold_has_its_own_delays(options):
    more = {"max_epochs": "auto", "early_stopping": "auto", "learning_rate": 0.2}
    few = slice(0, 80)
    times = {
        "label_time": TIMES["label_time"][few],
        "label_delay": TIMES["label_delay"][few],
        "observed_until": UNTIL,
    }
    model = make(**options, **more).fit(X[few], Y[few], **times)
    assert 1 <= model.n_iter_ < 60
    if options is BUY:
        missing = Y["buy"].where(~OPEN)
        other = make(**more).fit(X[few], Y.assign(buy=missing)[few])
        assert_same_learned(model, other)


def test_probabilities_are_less_biased_than_where_open_windows_are_ignored():
    bias = {"ignore": [], "mask": [], "weigh": []}
    options = {"max_epochs": 6, "learning_rate": 0.03, "batch_size": 128}
    for seed in range(4):
        X, Y, _, times = simulated(2_500, seed)
        X_new, _, p, _ = simulated(2_500, seed + 100)
        for how in bias:
            window = {} if how == "ignore" else {**BUY, "on_open_window": how}
            model = make(**options, **window)
            model.fit(X, Y, **({} if how == "ignore" else times))
            found = model.predict_proba(X_new)[:, 1]
            bias[how].append(found.mean() - p.mean())
    mean = {how: abs(np.mean(values)) for how, values in bias.items()}
    assert mean["ignore"] > 0.03
    assert mean["mask"] < mean["ignore"] / 2
    assert mean["weigh"] < mean["ignore"] / 2
    assert np.all(np.abs(bias["weigh"]) < np.abs(bias["ignore"]))


def test_delays_work_under_other_losses_with_members_and_go_on():
    options = {**WEIGH, "loss": "focal", "n_networks": 2, "max_epochs": 4}
    whole = make(**options).fit(X, Y, **TIMES)
    pieces = make(**{**options, "max_epochs": 2}, warm_start=True)
    pieces.fit(X, Y, **TIMES).fit(X, Y, **TIMES)
    assert_array_equal(pieces.predict_proba(X), whole.predict_proba(X))


def test_times_are_routed_to_fit():
    folds, scorer = KFold(2), task_scorer("log_loss", task="click")
    with config_context(enable_metadata_routing=True):
        model = make(**WEIGH).set_fit_request(**dict.fromkeys(TIMES, True))
        for one in (model, Pipeline([("net", model)])):
            found = cross_validate(
                one, X, Y, cv=folds, scoring=scorer, params=TIMES, return_estimator=True
            )
            train, _ = next(folds.split(X))
            times = {
                "label_time": TIMES["label_time"][train],
                "label_delay": TIMES["label_delay"].iloc[train],
                "observed_until": UNTIL,
            }
            by_hand = make(**WEIGH).fit(X.iloc[train], Y.iloc[train], **times)
            assert_array_equal(
                found["estimator"][0].predict_proba(X), by_hand.predict_proba(X)
            )


def test_a_checkpoint_tells_times_apart(tmp_path):
    path = tmp_path / "run"
    make(**WEIGH).fit(X, Y, **TIMES, checkpoint=path)
    make(**WEIGH).fit(X, Y, **TIMES, checkpoint=path)
    other = {**TIMES, "label_delay": TIMES["label_delay"] / 2}
    with pytest.raises(ValueError, match="differs: label_time, label_delay or obs"):
        make(**WEIGH).fit(X, Y, **other, checkpoint=path)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_windows_without_times_are_refused_and_leave_all_as_it_was(method):
    model = make(**BUY, warm_start=True).fit(X, Y, **TIMES)
    before = learned(model)
    with pytest.raises(ValueError, match="needs label_time and observed_until of fit"):
        getattr(model, method)(X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, Y, **{**TIMES, "label_time": [1.0, 2.0]})
    assert learned(model) == before
    with pytest.raises(ValueError, match="label_time is given, but label_window=None"):
        make().fit(X, Y, **TIMES)


# ------------------------------------------------------------ on a funnel

FUNNEL = {"conditions": {"buy": "click"}}
CLICK = np.random.default_rng(5).random(300) < 0.6
STEPS = pd.DataFrame({"click": CLICK, "buy": CLICK & (Y["buy"] == 1)}).astype(int)


def test_without_its_condition_a_label_waits_for_nothing():
    """Nobody buys without a click, however lately the row was shown."""
    masked = make(**BUY, **FUNNEL).fit(X, STEPS, **TIMES)
    unknown = STEPS["buy"].where(~(OPEN & CLICK))
    assert_same_learned(masked, make(**FUNNEL).fit(X, STEPS.assign(buy=unknown)))


def test_without_its_condition_a_label_weighs_as_its_condition_does():
    plan = FitPlan.of(make(**WEIGH, **FUNNEL), X, STEPS, epochs=1, times=Times(**TIMES))
    weights = plan.train.weights.numpy()[:, 1]
    zeros = weights[~CLICK[: len(weights)]]
    assert len(weights) == len(CLICK) and len({*zeros.tolist()}) == 1
    pending = weights[CLICK & OPEN & (STEPS["buy"] == 0)]
    assert (pending <= zeros[0]).all() and pending.mean() < 0.8 * zeros[0]


@pytest.mark.parametrize("windows", [{"click": WINDOW}, {"click": WINDOW, "buy": 3.0}])
@pytest.mark.parametrize("how", ["mask", "weigh"])
def test_without_a_click_a_0_of_a_purchase_waits_for_the_click(windows, how):
    n = len(X)
    click = (np.arange(n) % 3 > 0).astype(int)
    buy = np.where(click, Y["buy"], 0)
    given = {**FUNNEL, "label_window": windows, "on_open_window": how}
    times = {**TIMES, "label_delay": np.zeros(n)}
    zeros = pd.DataFrame({"click": click, "buy": buy.astype(float)})
    gaps = zeros.assign(buy=zeros["buy"].where(click == 1))
    one, two = (make(**given).fit(X, y, **times) for y in (zeros, gaps))
    assert_same_learned(one, two)
    if how == "mask":  # of open clicks no purchase is known, be it 0 or 1
        seen = zeros.mask(np.column_stack([OPEN, OPEN]))
        assert_same_learned(one, make(**FUNNEL).fit(X, seen))
