"""Similarity of labels some of which are numbers, against loops over the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dephn_sk.nn import label_similarity

N_CLASSES = [0, 2, 0, 3, 4]  # numbers, two classes, numbers, three, four


def make_labels(n=50, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=n)
    y = np.column_stack(
        [
            1e3 + hidden + rng.normal(size=n),
            hidden + rng.normal(size=n) > 0,
            np.exp(hidden),
            np.digitize(hidden + rng.normal(size=n), [-0.5, 0.5]),
            rng.integers(0, 4, n),
        ]
    )
    y[rng.random(y.shape) < 0.2] = np.nan
    return y, rng.random(y.shape)


def naive(y, weights, n_classes):
    n_tasks = len(n_classes)
    found = np.full((n_tasks, n_tasks), np.nan)
    for j in range(n_tasks):
        for t in range(n_tasks):
            known = ~np.isnan(y[:, j]) & ~np.isnan(y[:, t])
            a, b = y[known, j], y[known, t]
            w = np.sqrt(weights[known, j] * weights[known, t])
            if n_classes[j] and n_classes[t]:
                continue  # tests of classes compare these
            if max(n_classes[j], n_classes[t]) <= 2:
                a, b = a - np.average(a, weights=w), b - np.average(b, weights=w)
                cross = np.average(a * b, weights=w)
                spread = np.average(a * a, weights=w) * np.average(b * b, weights=w)
                found[j, t] = abs(cross) / np.sqrt(spread)
                continue
            number, group = (b, a) if n_classes[j] else (a, b)
            mean = np.average(number, weights=w)
            between = 0.0
            for k in np.unique(group):
                rows = group == k
                own = np.average(number[rows], weights=w[rows])
                between += w[rows].sum() * (own - mean) ** 2
            found[j, t] = np.sqrt(between / np.sum(w * (number - mean) ** 2))
    np.fill_diagonal(found, 1)
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["pearson", "cosine"])
def test_pairs_with_numbers_are_the_naive_ones(kind, weighted):
    y, weights = make_labels()
    weights = weights if weighted else np.ones(y.shape)
    found = label_similarity(
        torch.from_numpy(y),
        kind,
        weights=torch.from_numpy(weights) if weighted else None,
        n_classes=N_CLASSES,
    ).numpy()
    expected = naive(y, weights, N_CLASSES)
    known = ~np.isnan(expected)
    assert_allclose(found[known], expected[known], rtol=1e-9)
    assert_allclose(found, found.T, rtol=1e-12)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
def test_pairs_of_classes_are_as_without_numbers(kind):
    y = torch.from_numpy(make_labels()[0])
    found = label_similarity(y, kind, n_classes=N_CLASSES)
    classes = [1, 3, 4]
    alone = label_similarity(y[:, classes], kind, n_classes=[2, 3, 4])
    assert torch.equal(found[classes][:, classes], alone)


def test_for_two_classes_ratio_and_correlation_are_one():
    y = torch.from_numpy(make_labels()[0][:, :2])
    two = label_similarity(y, n_classes=[0, 2])[0, 1]
    three = label_similarity(y, n_classes=[0, 3])[0, 1]  # the third class has no row
    assert_allclose(two, three, rtol=1e-9)


def test_units_of_numbers_do_not_matter():
    y = torch.from_numpy(make_labels()[0])
    other = y.clone()
    other[:, 0] = 1e6 * other[:, 0] - 3e9
    one = label_similarity(y, n_classes=N_CLASSES)
    assert_allclose(one, label_similarity(other, n_classes=N_CLASSES), rtol=1e-7)


def test_what_is_constant_or_alone_is_undefined():
    y = torch.tensor([[2.5, 1.0, 0, 7], [2.5, 3.0, 1, torch.nan], [2.5, 2.0, 2, 5]])
    found = label_similarity(y, n_classes=[0, 0, 3, 0])
    assert found[0, 1:].isnan().all()
    assert not found[1, 2].isnan()
    one = label_similarity(y[:1], n_classes=[0, 0, 3, 0])
    assert one.isnan().sum() == 12
    assert (one.diagonal() == 1).all()
