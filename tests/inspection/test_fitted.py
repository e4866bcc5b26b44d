"""Displays read what a fit left, alone or inside pipelines and searches."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.inspection import (
    CalibrationDisplay,
    CoefficientDisplay,
    ConfidenceDisplay,
    ContributionDisplay,
    FitSummary,
    GateDisplay,
    LabelSimilarityDisplay,
    SelectionDisplay,
    TrainingCurveDisplay,
    expert_contributions,
    expert_utilization,
    field_attributions,
    gate_values,
    permutation_importance,
    selection_gates,
)


def plain(value):
    """Arrays, text and numbers, out of displays, bunches and lists of them."""
    if hasattr(value, "__dict__") and not isinstance(value, np.ndarray):
        value = {k: v for k, v in vars(value).items() if not k.endswith("_")} or value
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


SHOWN = {
    "gates": lambda m, X, y: GateDisplay.from_estimator(m),
    "gate values": lambda m, X, y: gate_values(m),
    "utilization": lambda m, X, y: expert_utilization(m),
    "coefficients": lambda m, X, y: CoefficientDisplay.from_estimator(m, y),
    "similarity": lambda m, X, y: LabelSimilarityDisplay.from_estimator(m, y),
    "curve": lambda m, X, y: TrainingCurveDisplay.from_estimator(m),
    "selection": lambda m, X, y: SelectionDisplay.from_estimator(m),
    "selection gates": lambda m, X, y: selection_gates(m),
    "summary": lambda m, X, y: FitSummary.from_estimator(m),
    "contributions": lambda m, X, y: expert_contributions(m, X),
    "shares": lambda m, X, y: ContributionDisplay.from_estimator(m, X),
    "attributions": lambda m, X, y: field_attributions(m, X[:3]),
    "calibration": lambda m, X, y: CalibrationDisplay.from_estimator(m, X, y),
    "confidence": lambda m, X, y: ConfidenceDisplay.from_estimator(
        m, X, np.arange(2.0 * len(X)).reshape(-1, 2)
    ),
    "importance": lambda m, X, y: permutation_importance(
        m, X, y, n_repeats=1, random_state=0
    ),
}


def assert_same(one, other):
    np.testing.assert_equal(plain(one), plain(other))


@pytest.fixture(scope="module")
def rows(table):
    X, y = table
    return X[:40], y[:40]


@pytest.fixture(scope="module")
def search(table, whole):
    model = DEPHNMultiTaskClassifier(**whole, label_similarity="cosine")
    return GridSearchCV(model, {"dropout": [0.0]}, cv=KFold(2)).fit(*table)


@pytest.fixture(scope="module")
def search_of_pipelines(table, whole):
    steps = make_pipeline(
        FunctionTransformer(), DEPHNMultiTaskClassifier(**whole, dropout=0.0)
    )
    steps.set_params(dephnmultitaskclassifier__label_similarity="cosine")
    return GridSearchCV(steps, {}, cv=KFold(2)).fit(*table)


@pytest.mark.parametrize("name", SHOWN)
def test_a_fitted_search_and_a_pipeline_show_what_their_best_estimator_shows(
    name, search, search_of_pipelines, rows
):
    show = SHOWN[name]
    best = show(search.best_estimator_, *rows)
    for outer in (
        search,
        make_pipeline(search),
        FrozenEstimator(search),
        search_of_pipelines,
        make_pipeline(FunctionTransformer(), FrozenEstimator(search_of_pipelines)),
    ):
        assert_same(show(outer, *rows), best)


@pytest.mark.parametrize("name", SHOWN)
def test_parameters_that_are_set_after_fit_change_no_display(name, table, rows, whole):
    model = DEPHNMultiTaskClassifier(**whole).fit(*table)
    before = SHOWN[name](model, *rows)
    model.set_params(
        numeric_embedding="bins|periodic",
        virtual_gradient=None,
        label_similarity="cosine",
        selection=None,
        gate="mapped",
        public_experts=("field",),
        mappings=("cos",),
        dtype="float64",
        early_stopping=False,
    )
    assert_same(SHOWN[name](model, *rows), before)


def test_labels_may_be_an_arrow_table(fitted, rows):
    pyarrow = pytest.importorskip("pyarrow")
    X, y = rows
    arrow = pyarrow.Table.from_pandas(y, preserve_index=False)
    for name in ("coefficients", "similarity", "calibration"):
        assert_same(SHOWN[name](fitted, X, arrow), SHOWN[name](fitted, X, y))
    assert_array_equal(
        LabelSimilarityDisplay.from_labels(arrow).similarity,
        LabelSimilarityDisplay.from_labels(y).similarity,
    )


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_no_classifier_of_tasks_is_refused_by_name(name, rows):
    other = LogisticRegression().fit([[0], [1]], [0, 1])
    for estimator in (other, make_pipeline(other), FrozenEstimator(other)):
        with pytest.raises(TypeError, match="got LogisticRegression"):
            SHOWN[name](estimator, *rows)
    with pytest.raises(NotFittedError):
        SHOWN[name](DEPHNMultiTaskClassifier(), *rows)


def test_a_search_that_kept_no_estimator_is_refused(table, whole):
    search = GridSearchCV(
        DEPHNMultiTaskClassifier(**whole), {"dropout": [0.0]}, cv=KFold(2), refit=False
    ).fit(*table)
    with pytest.raises(TypeError, match=r"GridSearchCV.*refit"):
        gate_values(search)


def test_a_number_with_several_vectors_has_as_many_names(table, whole):
    options = {**whole, "numeric_embedding": "bins+periodic|linear"}
    model = DEPHNMultiTaskClassifier(**options).fit(*table)
    names = selection_gates(model).field_names
    assert {"age (bins+periodic)", "age (linear)"} < set(names)
