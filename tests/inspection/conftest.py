"""A small table with every kind of field, and estimators fitted on it."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dephn_sk import DEPHNMultiTaskClassifier

plt.switch_backend("Agg")

SMALL = {
    "embedding_dim": 4,
    "expert_hidden": (6, 5),
    "n_bins": 4,
    "batch_size": 100,
    "max_epochs": 2,
    "n_threads": 1,
    "random_state": 0,
}
WHOLE = {**SMALL, "private_experts": ("cross", "field"), "selection": "soft"}


def make_table(n_rows=300, seed=0):
    """Categories, numbers, dates and lists; two binary tasks with missing labels."""
    rng = np.random.default_rng(seed)
    city = rng.integers(4, size=n_rows)
    age = rng.normal(size=n_rows)
    X = pd.DataFrame(
        {
            "city": np.array(["Oslo", "Rome", "Lima", "Graz"])[city],
            "age": np.where(rng.random(n_rows) < 0.1, np.nan, age),
            "day": pd.Timestamp("2026-01-01")
            + pd.to_timedelta(rng.integers(60, size=n_rows), unit="D"),
            "tags": [
                list(rng.choice(list("abc"), size=k))
                for k in rng.integers(3, size=n_rows)
            ],
            "user": pd.Categorical(rng.integers(9, size=n_rows)),
        }
    )
    logit = city - 1.5 + age
    y = pd.DataFrame(
        {
            "click": (logit + rng.logistic(size=n_rows) > 0).astype(float),
            "buy": (logit + rng.logistic(size=n_rows) > 1).astype(float),
        }
    )
    y.loc[rng.random(n_rows) < 0.2, "buy"] = np.nan
    return X, y


@pytest.fixture(scope="session")
def small():
    """Parameters of an estimator that is fitted at once."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def whole():
    """The same, of DEPHN with private experts and soft selection."""
    return dict(WHOLE)


@pytest.fixture(scope="session")
def table():
    return make_table()


@pytest.fixture(scope="session")
def fitted(table):
    """With hidden towers and rows set aside."""
    return DEPHNMultiTaskClassifier(
        **{**WHOLE, "max_epochs": 4}, early_stopping=True, learning_rate=1e-2
    ).fit(*table)


@pytest.fixture(scope="session")
def mapped(table):
    return DEPHNMultiTaskClassifier(**WHOLE, gate="mapped", dtype="float64").fit(*table)


@pytest.fixture(scope="session")
def mixed(table):
    """A binary and a multi-class task, linear towers."""
    X, y = table
    y = pd.DataFrame({"click": y["click"], "city": X["city"]})
    model = DEPHNMultiTaskClassifier(**WHOLE, tower_hidden=(), dtype="float64")
    with pytest.warns(UserWarning, match="hold the labels"):
        return model.fit(X, y)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def assert_readable():
    """A check that no text of a figure lies on another one or leaves the figure."""

    def check(figure):
        renderer = figure.canvas.get_renderer()
        figure.draw(renderer)
        canvas = figure.bbox.padded(2)
        texts = [t for legend in figure.legends for t in legend.get_texts()]
        for ax in figure.axes:
            legend = ax.get_legend()
            texts += [] if legend is None else legend.get_texts()
            texts += [ax.xaxis.label, ax.yaxis.label, ax.title, *ax.texts]
            texts += [ax._left_title]
            x_labels = _tick_labels(ax.xaxis)
            texts += _tick_labels(ax.yaxis)
            texts += [t for t in x_labels if t.get_rotation() % 90 == 0]
            _check_slanted([t for t in x_labels if t.get_rotation() % 90])
        texts = [t for t in texts if t.get_visible() and t.get_text().strip()]
        boxes = [t.get_window_extent(renderer) for t in texts]
        for text, box in zip(texts, boxes, strict=True):
            assert canvas.x0 <= box.x0, text
            assert box.x1 <= canvas.x1, text
            assert canvas.y0 <= box.y0, text
            assert box.y1 <= canvas.y1, text
        for (i, a), (j, b) in combinations(enumerate(boxes), 2):
            overlap = (
                min(a.x1, b.x1) - max(a.x0, b.x0),
                min(a.y1, b.y1) - max(a.y0, b.y0),
            )
            assert min(overlap) < 1, (texts[i], texts[j])

    return check


def _tick_labels(axis):
    """Labels that are drawn: those of ticks within the view."""
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_major_ticks()
    return [
        t.label1 for t in ticks if low <= t.get_loc() <= high and t.label1.get_text()
    ]


def _check_slanted(labels):
    """Slanted lines of text are further apart than they are high."""
    ends = [t.get_transform().transform(t.get_position())[0] for t in labels]
    for label, gap in zip(labels, np.diff(ends), strict=False):
        height = label.get_fontsize() * label.figure.dpi / 72
        angle = np.deg2rad(label.get_rotation())
        assert abs(gap * np.sin(angle)) >= height, label
