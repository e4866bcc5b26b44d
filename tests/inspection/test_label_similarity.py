import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.inspection import LabelSimilarityDisplay


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    a = rng.integers(2, size=200).astype(float)
    b = np.where(rng.random(200) < 0.8, a, 1 - a)
    b[:50] = np.nan
    c = 1 - a
    return pd.DataFrame({"a": a, "b": b, "c": c})


def test_similarity_is_the_absolute_correlation_of_rows_that_both_know(labels):
    display = LabelSimilarityDisplay.from_labels(labels)
    for j, first in enumerate(labels):
        for t, second in enumerate(labels):
            both = labels[[first, second]].dropna().to_numpy()
            expected = abs(np.corrcoef(both.T)[0, 1])
            assert display.similarity[j, t] == pytest.approx(expected)
    assert display.task_names == ("a", "b", "c")


def test_labels_may_be_words(labels):
    words = labels.replace({0.0: "no", 1.0: "yes"}).astype(object)
    assert_allclose(
        LabelSimilarityDisplay.from_labels(words).similarity,
        LabelSimilarityDisplay.from_labels(labels).similarity,
    )


def test_cosine_is_the_cosine(labels):
    display = LabelSimilarityDisplay.from_labels(labels[["a", "b"]], kind="cosine")
    a, b = labels[["a", "b"]].dropna().to_numpy().T
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    assert display.similarity[0, 1] == pytest.approx(expected)


def test_estimator_says_which_similarity(table, small):
    X, y = table
    model = DEPHNMultiTaskClassifier(**small, label_similarity="cosine").fit(X, y)
    assert_array_equal(
        LabelSimilarityDisplay.from_estimator(model, y).similarity,
        LabelSimilarityDisplay.from_labels(y, kind="cosine").similarity,
    )


def test_undefined_similarity_is_printed_as_such(labels):
    never_both = labels.assign(a=labels["a"].where(labels["b"].isna()))
    display = LabelSimilarityDisplay.from_labels(never_both)
    assert np.isnan(display.similarity[0, 1])
    assert display.text_[0, 1].get_text() == "n/a"


def test_unknown_kind_is_named(labels):
    with pytest.raises(ValueError, match=r"'kind'.*'spearman'"):
        LabelSimilarityDisplay.from_labels(labels, kind="spearman")


def test_seven_tasks_are_readable(assert_readable):
    names = ["read_comment", "like", "click_avatar", "forward", "follow", "pay", "a"]
    display = LabelSimilarityDisplay(np.full((7, 7), 0.88), task_names=names).plot()
    assert_readable(display.figure_)
