import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dephn_sk.inspection import CoefficientDisplay, CoefficientGainDisplay

EQUATIONS = {  # as printed in the paper, the square root with its absolute value
    "multiplicative-cos": lambda x, y: np.cos(2 * np.pi * x * y) + 1,
    "multiplicative-abs": lambda x, y: 2 * abs(2 * x * y - 1),
    "multiplicative-square": lambda x, y: 2 * (2 * x * y - 1) ** 2,
    "multiplicative-sqrt": lambda x, y: 2 * abs(2 * x * y - 1) ** 0.5,
    "additive-cos": lambda x, y: np.cos(np.pi * (x + y)) + 1,
    "additive-abs": lambda x, y: 2 * abs(x + y - 1),
    "additive-square": lambda x, y: 2 * (x + y - 1) ** 2,
    "additive-sqrt": lambda x, y: 2 * abs(x + y - 1) ** 0.5,
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_surface_is_the_equation_of_the_paper(name):
    surface = CoefficientDisplay().surfaces[name]
    for row, column in [(0, 0), (0, 100), (100, 0), (100, 100), (30, 50), (73, 11)]:
        expected = EQUATIONS[name](column / 100, row / 100)
        assert surface[row, column] == pytest.approx(expected, abs=1e-6)


def test_every_surface_is_drawn_in_the_panel_of_its_name():
    display = CoefficientDisplay().plot()
    assert display.axes_.shape == (4, 2)
    surfaces = display.surfaces
    titles = {panel.get_title(): panel for panel in display.axes_.flat}
    assert set(titles) == set(EQUATIONS) == set(display.images_)
    for name, panel in titles.items():
        (image,) = panel.get_images()
        assert image is display.images_[name]
        assert_array_equal(image.get_array(), surfaces[name])
        assert image.get_clim() == (0, 2)


def test_points_are_the_fitted_pairs(fitted, table):
    y = table[1]
    display = CoefficientDisplay.from_estimator(fitted, y)
    known = y.dropna()
    correlation = abs(np.corrcoef(known["click"], known["buy"])[0, 1])
    gates = fitted.gate_values_
    difference = np.minimum(1, np.abs(gates[0] - gates[1]))
    (points,) = display.points_["additive-sqrt"]
    x, drawn = points.get_offsets().T
    assert_allclose(x, correlation)
    assert_allclose(drawn, difference)
    assert display.pair_names == ["click, buy"]


def test_function_of_the_fit_is_set_in_bold(fitted, table):
    display = CoefficientDisplay.from_estimator(fitted, table[1])
    bold = [p.get_title() for p in display.axes_.flat if p.title.get_weight() == "bold"]
    assert bold == ["additive-sqrt"]


def test_pair_without_similarity_is_said_to_be_undefined(assert_readable):
    display = CoefficientDisplay(
        [0.5, np.nan], np.full((2, 6), 0.2), pair_names=["a, b", "a, c"]
    ).plot()
    (legend,) = display.figure_.legends
    assert [t.get_text() for t in legend.get_texts()] == ["a, b", "a, c (undefined)"]
    assert_readable(display.figure_)


def test_mapped_gates_lie_at_their_means(mapped, table):
    X, y = table
    display = CoefficientDisplay.from_estimator(mapped, y, X=X)
    assert np.shape(display.difference) == (1, 6)


def _records(gain, seeds=(0, 1, 2)):
    for seed in seeds:
        for t, task in enumerate(["click", "buy"]):
            noise = 0.01 * seed + 0.1 * t
            yield {"model": "MMoE", "seed": seed, "task": task, "roc_auc": 0.5 + noise}
            for k, name in enumerate(EQUATIONS):
                value = 0.5 + noise + gain * (k + seed)
                yield {"model": name, "seed": seed, "task": task, "roc_auc": value}


def test_gain_is_the_difference_within_a_seed(assert_readable):
    display = CoefficientGainDisplay.from_records(_records(0.001))
    for seed, k, task in np.ndindex(3, 8, 2):
        assert display.gains[seed, k, task] == pytest.approx(0.001 * (k + seed))
    points, _, (bars,) = display.containers_[1]
    assert_allclose(points.get_xdata(), 0.001 * (np.arange(8) + 1))
    error = np.std([0.0, 0.001, 0.002], ddof=1) / np.sqrt(3)
    for k, segment in enumerate(bars.get_segments()):
        center = 0.001 * (k + 1)
        assert_allclose(segment[:, 0], [center - error, center + error])
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == list(EQUATIONS)
    assert display.ax_.get_xlabel() == "gain in roc_auc over MMoE"
    assert_readable(display.figure_)


def test_one_seed_has_no_error_bars():
    display = CoefficientGainDisplay.from_records(_records(0.001, seeds=(0,)))
    assert display.containers_[0][2] == ()


def test_missing_record_is_named():
    records = list(_records(0.001))[:-1]
    with pytest.raises(ValueError, match=r"model='additive-sqrt', seed=2, task='buy'"):
        CoefficientGainDisplay.from_records(records)


def test_missing_reference_is_named():
    with pytest.raises(ValueError, match=r"model='PLE', the reference"):
        CoefficientGainDisplay.from_records(_records(0.001), reference="PLE")
