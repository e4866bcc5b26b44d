"""Delayed labels: the estimate of delays, and weights, from one row at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dephn_sk.tasks import Tasks, Times
from dephn_sk.tasks._delays import share_within


def naive_share(delays, waited, elapsed):
    """The product over delays that are longer, one positive at a time."""
    share = 1.0
    for u in sorted(set(delays)):
        if u > elapsed:
            n = sum(d == u for d in delays)
            at_risk = sum(d <= u <= w for d, w in zip(delays, waited, strict=True))
            share *= 1 - n / at_risk
    return share if len(delays) else 0.0


def simulated(n, seed=0, window=7.0, drift=False):
    """Rows, what became of them, and what was seen of it on day 30."""
    rng = np.random.default_rng(seed)
    shown = rng.uniform(14, 30, n)
    rate = np.where(shown > 23, 0.5, 0.2) if drift else np.full(n, 0.3)
    delay = window * rng.beta(0.7, 1.5, n)  # within the window, most of them early
    true = rng.random(n) < rate
    seen = true & (shown + delay <= 30)
    return shown, delay, true.astype(float), seen.astype(float)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_the_share_of_positives_is_the_product_over_longer_delays(n):
    rng = np.random.default_rng(0)
    for _ in range(5):
        waited = rng.integers(1, 8, n).astype(float)
        delays = np.floor(waited * rng.random(n))  # with ties
        elapsed = np.linspace(-1, 8, 19)
        found = share_within(delays, waited, elapsed)
        expected = [naive_share(delays, waited, e) for e in elapsed]
        assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_the_share_without_cut_off_delays_is_that_of_the_sample():
    delays = np.random.default_rng(0).integers(0, 9, 50).astype(float)
    elapsed = np.arange(-1, 10) + 0.5
    found = share_within(delays, np.full(50, 9.0), elapsed)
    assert_allclose(found, (delays <= elapsed[:, None]).mean(1), atol=1e-12)


@pytest.mark.parametrize("drift", [False, True])
def test_the_share_is_found_behind_the_cut_whatever_the_rate_does(drift):
    shown, delay, _, seen = simulated(60_000, drift=drift)
    waited = np.minimum(30 - shown, 7.0)
    came, elapsed = seen == 1, np.linspace(0.5, 6.5, 7)
    truth = (delay <= elapsed[:, None]).mean(1)
    found = share_within(delay[came], waited[came], elapsed)
    naive = (delay[came] <= elapsed[:, None]).mean(1)
    assert_allclose(found, truth, atol=0.01)
    assert np.abs(naive - truth).max() > 0.02  # what came is quicker than what comes


def read(shown, delay, seen, how="weigh", window=7.0, y=None, until=30.0):
    tasks = Tasks.learn(np.column_stack([seen, 1 - seen]) if y is None else y)
    labels = tasks.read(np.column_stack([seen, 1 - seen]) if y is None else y)
    times = Times(shown, np.where(seen == 1, delay, np.nan), until)
    return times.read({"task0": window}, how, labels, tasks), labels


def test_weights_are_the_equation_row_by_row():
    shown, delay, _, seen = simulated(80)
    delays, labels = read(shown, delay, seen)
    rng = np.random.default_rng(1)
    given, rows = rng.integers(0, 3, (80, 1)).astype(float), np.arange(5, 80)
    found = delays.factors(labels, rows, given)
    assert (found[:, 1] == 1).all()  # a task without a window
    e = np.minimum(30 - shown, 7.0)
    counts = [i for i in rows if given[i, 0] > 0]
    came = [i for i in counts if seen[i] == 1]
    share = [
        1.0 if e[i] >= 7 else naive_share(delay[came], e[came], e[i]) for i in range(80)
    ]
    rate = sum(given[i, 0] * seen[i] for i in counts)
    rate /= sum(given[i, 0] * share[i] for i in counts)
    for i in range(80):
        zero = share[i] * (1 - rate) / (1 - rate * share[i])
        expected = float(share[i] > 0) if seen[i] == 1 else zero
        assert_allclose(found[i, 0], expected, rtol=1e-9)
    assert (found[e >= 7] == 1).all()
    assert found[(e < 7) & (seen == 0), 0].max() <= 1


def test_one_row_and_no_positive_give_weights_that_are_finite():
    shown, seen = np.array([0.0, 29.0]), np.array([0.0, 0.0])
    y = np.array([[0, 1], [0, 0]])
    delays, labels = read(shown, shown, seen, y=y)
    assert delays.factors(labels, np.arange(2), None).tolist() == [[1, 1], [0, 1]]
    delays, labels = read(shown[:1], shown[:1], seen[:1], y=y[:1])
    assert delays.factors(labels, np.arange(1), None).tolist() == [[1, 1]]


def rates(shown, delay, seen):
    """The rate from all rows as they are, under masks, and under weights."""
    masked = read(shown, delay, seen, "mask")[0]
    weighed, labels = read(shown, delay, seen)
    closed = ~masked.open[:, 0]
    weights = weighed.factors(labels, np.arange(len(seen)), None)[:, 0]
    return seen.mean(), seen[closed].mean(), np.average(seen, weights=weights)


def test_masks_and_weights_are_less_biased_than_ignoring_what_is_open():
    found = np.array(
        [rates(*np.array(simulated(4_000, s))[[0, 1, 3]]) for s in range(20)]
    )
    bias = np.abs(found.mean(0) - 0.3)
    assert bias[0] > 0.03
    assert bias[1] < bias[0] / 10
    assert bias[2] < bias[0] / 10
    # and each single estimate is nearer, too; weights use more rows than masks do
    error = np.abs(found - 0.3)
    assert (error[:, 1:] < error[:, :1]).all()
    assert found[:, 2].std() < found[:, 1].std()


def test_masked_labels_are_those_that_may_still_change():
    shown = np.array([0.0, 22.9, 23.0, 23.1, 29.0])
    seen = np.array([1.0, 0, 0, 1, 0])
    delays, labels = read(shown, np.full(5, 1.0), seen, "mask")
    closed = delays.closed(labels)
    assert closed.observed.tolist() == [
        *[[True, True]] * 3,
        *[[False, True]] * 2,
    ]
    assert closed.values[3, 0] == 0
    assert labels.values[3, 0] == 1


# ------------------------------------------------------------------ how times are given

ZERO = datetime(2024, 2, 28)
SHOWN = np.array([0.0, 1.25, 5.0, 6.5])
SEEN = np.array([0.0, 1, 1, 0])
DELAY = np.array([np.nan, 0.5, 1.0, np.nan])


def dates(days):
    return [None if np.isnan(d) else ZERO + timedelta(days=d) for d in days]


def spans(days):
    return [None if np.isnan(d) else timedelta(days=d) for d in days]


frame = pd.DataFrame({"task0": SHOWN, "task1": SHOWN})
GIVEN = {
    "numbers": (SHOWN, DELAY, 7.0),
    "lists": (SHOWN.tolist(), DELAY.tolist(), 7),
    "columns": (np.column_stack([SHOWN, SHOWN]), np.column_stack([DELAY] * 2), 7.0),
    "frames by name": (frame[["task1", "task0"]], pd.DataFrame({"task0": DELAY}), 7.0),
    "datetimes": (dates(SHOWN), spans(DELAY), ZERO + timedelta(days=7)),
    "numpy": (
        np.array(dates(SHOWN), "M8[us]"),
        np.array(spans(DELAY), "m8[s]"),
        np.datetime64("2024-03-06"),
    ),
    "pandas": (
        pd.Series(pd.to_datetime(dates(SHOWN)), name="shown_at"),
        pd.Series(pd.to_timedelta(spans(DELAY)), name="delay"),
        pd.Timestamp("2024-03-06"),
    ),
    "with a zone": (
        pd.Series(pd.to_datetime(dates(SHOWN)))
        .dt.tz_localize("UTC")
        .dt.tz_convert("Asia/Tokyo"),
        pd.Series(pd.to_timedelta(spans(DELAY))),
        datetime(2024, 3, 6, tzinfo=UTC),
    ),
    "a text": (dates(SHOWN), DELAY, "2024-03-06"),
    "a day": (dates(SHOWN), DELAY, date(2024, 3, 6)),
}


@pytest.mark.parametrize("name", GIVEN)
def test_times_are_read_alike_from_whatever_holds_them(name):
    y = np.column_stack([SEEN, 1 - SEEN])
    tasks = Tasks.learn(y)
    delays = Times(*GIVEN[name]).read({"task0": 3}, "weigh", tasks.read(y), tasks)
    assert delays.windows.tolist() == [3, np.inf]
    assert_allclose(delays.waited[:, 0], [3, 3, 2, 0.5], atol=1e-9)
    assert_array_equal(delays.waited[:, 1], np.inf)
    assert_allclose(delays.delays[:, 0], DELAY, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_time": None}, "needs label_time of fit"),
        ({"observed_until": None}, "needs observed_until of fit"),
        ({"label_time": None, "observed_until": None}, "label_time and observed_until"),
        ({"label_delay": None}, "'weigh' needs label_delay"),
        ({"windows": None}, "label_time is given, but label_window=None"),
        ({"windows": {"task2": 1}}, "label_window names the task 'task2'"),
        (
            {"windows": {"task1": 1}},
            "label_window names task 'task1', which has 3 classes",
        ),
        ({"windows": 3.0}, "task 'task1', which has 3 classes"),
        ({"windows": {"task0": -1}}, "label_window of task 'task0' is -1"),
        ({"windows": {"task0": 7.5}}, "'task0' has no label whose window of 7.5"),
        ({"label_time": SHOWN[:2]}, r"label_time has the shape \(2,\)"),
        (
            {"label_time": pd.DataFrame({"a": SHOWN, "b": SHOWN})},
            "no column for task 'task0'",
        ),
        ({"label_time": SHOWN + 1}, "'task0' of row 3 has a label_time after"),
        ({"label_time": [0, None, 5, 6]}, "row 1 has a label, but no label_time"),
        ({"label_time": ["a", "b", "c", "d"]}, "label_time holds 'a'"),
        ({"label_delay": DELAY * np.nan}, "row 1 is positive, but has no label_delay"),
        ({"label_delay": -DELAY}, "row 1 has a negative label_delay"),
        (
            {"label_delay": 3 * DELAY},
            "row 2 is positive, but its label_delay is longer",
        ),
        ({"observed_until": "soon"}, "observed_until holds 'soon'"),
    ],
)
def test_times_that_cannot_be_are_refused_by_name(change, message):
    y = np.column_stack([SEEN, [0, 1, 2, 0]])
    tasks = Tasks.learn(y)
    given = {"label_time": SHOWN, "label_delay": DELAY, "observed_until": 7.0} | change
    windows = given.pop("windows", {"task0": 3})
    with pytest.raises(ValueError, match=message):
        Times(**given).read(windows, "weigh", tasks.read(y), tasks)


@pytest.mark.parametrize("windows", [3, {"task0": 3, "task1": 2.0}])
def test_one_column_of_times_serves_all_tasks(windows):
    y = np.column_stack([SEEN, SEEN])
    tasks = Tasks.learn(y)
    named = pd.DataFrame({"shown_at": SHOWN})
    each = [windows] * 2 if windows == 3 else list(windows.values())
    for times in (SHOWN, SHOWN[:, None], named, pd.Series(SHOWN, name="task1")):
        delays = Times(times, DELAY, 7.0).read(windows, "weigh", tasks.read(y), tasks)
        assert_allclose(delays.waited, np.minimum((7 - SHOWN)[:, None], each))
        assert_array_equal(delays.delays, np.column_stack([DELAY, DELAY]))


def test_what_is_not_observed_needs_no_time():
    y = np.column_stack([[np.nan, 1, 1, 0], SEEN])
    tasks = Tasks.learn(y)
    times = Times([np.nan, 1.25, 5.0, 2.0], DELAY, 7.0)
    delays = times.read({"task0": 3}, "weigh", tasks.read(y), tasks)
    assert delays.open[:, 0].tolist() == [True, False, True, False]
