"""Scores of rows that come in parts are those of all rows together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from dephn_sk.tasks import Binary, MultiClass, Scores, Squared, Tasks, _scores

KINDS = {
    "binary": Binary("a", np.array([0, 1])),
    "classes": MultiClass("b", np.array(["x", "y", "z"])),
    "number": Squared("c", 0.0, 1.0, 1.0),
}


def rows(n_rows, seed, weighted):
    """Predictions that say something of the labels, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    values = np.column_stack(
        [
            rng.random(n_rows) < 0.05,
            rng.integers(0, 3, n_rows),
            7 + rng.normal(size=n_rows),
        ]
    ).astype(float)
    p = expit(rng.normal(-4, 1, n_rows) + values[:, 0])
    likely = 3 * rng.random((n_rows, 3)) + (values[:, [1]] == np.arange(3))
    number = values[:, [2]] + rng.normal(size=(n_rows, 1))
    weights = rng.random((n_rows, 3)) * (rng.random((n_rows, 3)) < 0.7)
    return (
        [np.column_stack([1 - p, p]), likely, number],
        values,
        (weights if weighted else None),
    )


def taken(part, where):
    predictions, values, weights = part
    own = None if weights is None else weights[where]
    return [one[where] for one in predictions], values[where], own


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("most", [10_000, 3_000, 500])
def test_parts_have_the_score_of_the_whole(weighted, most, monkeypatch):
    monkeypatch.setattr(_scores, "KEPT_ROWS", most)
    tasks = Tasks(tuple(KINDS.values()), single=False)
    whole, scores = rows(10_000, 0, weighted), Scores(tasks)
    for where in np.array_split(np.arange(10_000), [1, 1_000, 1_000, 4_000, 9_999]):
        scores.add(*taken(whole, where))
    expected = tasks.score(*whole)
    if most == 10_000:
        assert scores.values() == expected
    assert_allclose(scores.values()[1:], expected[1:], rtol=1e-12)
    # a pair of which one half is counted shares one of so many bins
    assert_allclose(scores.values()[0], expected[0], rtol=0, atol=0.1 / most)
    # in which a mistake would be seen
    assert 0.6 < expected[0] < 0.95 and 0.4 < expected[1] < 0.9


def test_all_rows_of_one_part_are_scored_exactly(monkeypatch):
    monkeypatch.setattr(_scores, "KEPT_ROWS", 10)
    tasks = Tasks(tuple(KINDS.values()), single=False)
    scores = Scores(tasks)
    scores.add(*rows(1_000, 0, False))
    assert scores.values() == tasks.score(*rows(1_000, 0, False))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_undefined_is_nan(kind):
    sums = KINDS[kind].sums()
    assert np.isnan(sums.value())
    sums.add(np.ones((0, 3)), np.ones(0), np.ones(0))
    assert np.isnan(sums.value())


def test_an_auc_of_one_class_or_of_no_number_is_nan():
    for p, values in (([0.2, 0.4], [1, 1]), ([0.2, np.nan], [0, 1])):
        sums = KINDS["binary"].sums()
        sums.add(np.column_stack([np.ones(2), p]), np.array(values), np.ones(2))
        assert np.isnan(sums.value())


@pytest.mark.parametrize("deviation", [1.0, 1e-4, 1e-8])
def test_probabilities_are_ranked_however_near_they_are(deviation, monkeypatch):
    """As after the first steps of training, and with ends that are certain."""
    monkeypatch.setattr(_scores, "_BINS", 2_000)
    rng = np.random.default_rng(0)
    positive = rng.random(50_000) < 0.1
    p = expit(-2 + deviation * (rng.normal(size=50_000) + positive))
    p[:2] = 0.0, 1.0
    both, sums = np.column_stack([1 - p, p]), KINDS["binary"].sums()
    for rows in np.array_split(np.arange(50_000), [20_000, 20_001]):
        sums.add(both[rows], positive[rows], np.ones(len(rows)))
    assert len(sums.edges) <= 2_001
    expected = KINDS["binary"].score(positive, both, np.ones(50_000))
    assert_allclose(sums.value(), expected, rtol=0, atol=1e-5)


def test_few_probabilities_are_ranked_exactly():
    rng = np.random.default_rng(0)
    p, positive = rng.integers(0, 9, 3_000) / 8, rng.random(3_000) < 0.3
    both, sums = np.column_stack([1 - p, p]), KINDS["binary"].sums()
    for rows in np.array_split(np.arange(3_000), 3):
        sums.add(both[rows], positive[rows], np.ones(1_000))
    expected = KINDS["binary"].score(positive, both, np.ones(3_000))
    assert_allclose(sums.value(), expected, rtol=1e-12)


def test_a_single_task_is_judged_by_its_accuracy():
    task = KINDS["binary"]
    assert type(task.sums(alone=True)) is _scores.RightSums
    assert type(task.sums()) is _scores.RankSums


@pytest.mark.parametrize("labels", [[2.0, 2.0], [2.0, 2.0, 2.0]])
@pytest.mark.parametrize("predicted", [2.0, 1.0])
def test_r2_of_equal_labels_is_that_of_scikit_learn(labels, predicted):
    labels, sums = np.array(labels), KINDS["number"].sums()
    sums.add(np.full((len(labels), 1), predicted), labels, np.ones(len(labels)))
    prediction, weights = np.full((len(labels), 1), predicted), np.ones(len(labels))
    assert sums.value() == KINDS["number"].score(labels, prediction, weights)


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(_scores, "KEPT_ROWS", 1_000)
    scores = Scores(Tasks(tuple(KINDS.values()), single=False))
    for seed in range(20):
        scores.add(*rows(400, seed, True))
        assert sum(len(values) for _, values, _ in scores._kept) <= 1_000
