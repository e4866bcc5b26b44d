"""scikit-learn's own checks, over every public estimator, with no expected failure."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from importlib.util import find_spec
from unittest import SkipTest

import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)
from sklearn.utils.fixes import parse_version

import dephn_sk
from dephn_sk import (
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskRegressor,
    RegressionTaskView,
    TaskView,
)
from dephn_sk.baselines import DNNClassifier
from dephn_sk.model_selection import ThresholdedClassifier

# All in which a checked estimator differs from the defaults: it is small, takes few but
# long steps, and neither drops entries nor sets rows aside.
CHECKED = {
    "embedding_dim": 4,
    "n_bins": 8,
    "public_experts": ("dnn", "dnn"),
    "expert_hidden": (16,),
    "hidden": (16,),
    "tower_hidden": (8,),
    "n_layers": 1,
    "cross_rank": 2,
    "n_maps": 4,
    "batch_size": 32,
    "max_epochs": 7,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "early_stopping": False,
    "conditions": {},  # ESMM's default is a chain
    # of a mixture: whole numbers may be names of classes
    "tasks": "squared",
}
# It is fitted to what a fitted estimator predicts, and a check gives it none: as for
# scikit-learn's FrozenEstimator, its conventions are tested beside it.
NEEDS_A_FITTED_ESTIMATOR = {"TaskCalibrator"}
# A decision_function of several tasks is absent by contract: scikit-learn gives it a
# meaning for a 1-D y alone.
CANNOT_APPLY = {"check_classifiers_multilabel_output_format_decision_function"}
if not find_spec("pandas"):  # these make series
    CANNOT_APPLY |= {
        "check_sample_weights_pandas_series",
        "check_classifier_data_not_an_array",
    }
WEIGHTS_ARE_REPEATED_ROWS = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}


def public_estimators():
    """Every estimator and transformer that a public module of the library names."""
    modules = ["dephn_sk"]
    for info in pkgutil.walk_packages(dephn_sk.__path__, "dephn_sk."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            modules.append(info.name)
    found = {}
    for module in map(importlib.import_module, modules):
        for name in module.__all__:
            public = getattr(module, name)
            is_estimator = inspect.isclass(public) and issubclass(public, BaseEstimator)
            if is_estimator and not inspect.isabstract(public):
                found[name] = public
    return found


def checked(estimator_class, dtype="float64"):
    """The configuration that is checked."""
    if estimator_class is TaskView:
        return TaskView(checked(DNNClassifier, dtype).set_params(random_state=0), "y")
    if estimator_class is RegressionTaskView:
        inner = checked(DEPHNMultiTaskRegressor, dtype).set_params(random_state=0)
        return RegressionTaskView(inner, "y")
    if estimator_class is ThresholdedClassifier:
        inner = checked(DNNClassifier, dtype).set_params(random_state=0)
        return ThresholdedClassifier(inner)
    estimator = estimator_class()
    changes = {**CHECKED, "dtype": dtype}
    return estimator.set_params(
        **{name: changes[name] for name in estimator.get_params() if name in changes}
    )


def dtypes_of(estimator_class):
    """Baselines differ in their network alone, whose dtype other tests are about."""
    two = estimator_class is DEPHNMultiTaskClassifier
    return ("float64", "float32") if two else ("float64",)


VIEWS = (TaskView, RegressionTaskView)
CLASSES = {
    name: estimator_class
    for name, estimator_class in public_estimators().items()
    if name not in NEEDS_A_FITTED_ESTIMATOR
}
ESTIMATORS = [
    checked(estimator_class, dtype)
    for estimator_class in CLASSES.values()
    for dtype in dtypes_of(estimator_class)
]


# a list, where older releases give a generator, which pytest will not take for long
CHECKS = parametrize_with_checks(ESTIMATORS)


@pytest.mark.parametrize(CHECKS.args[0], [*CHECKS.args[1]], **CHECKS.kwargs)
def test_scikit_learns_check(estimator, check, monkeypatch):
    name = check.func.__name__
    if (
        name in WEIGHTS_ARE_REPEATED_ROWS
        and estimator.get_params().get("dtype") == "float32"
    ):
        # scikit-learn asks for 1e-7, which is more than float32 resolves
        monkeypatch.setattr(
            estimator_checks, "assert_allclose_dense_sparse", assert_close_in_float32
        )
    try:
        check(estimator)
    except SkipTest:
        assert name in CANNOT_APPLY
        raise


def assert_close_in_float32(actual, desired, err_msg):
    atol = 1e-5 if ".decision_function" in err_msg else 1e-6
    assert_allclose(actual, desired, rtol=0, atol=atol, err_msg=err_msg)


def test_no_check_has_gone(capsys):
    checks = [*estimator_checks_generator(checked(DEPHNMultiTaskClassifier))]
    with capsys.disabled():
        print(f"[{len(checks)} checks by scikit-learn {sklearn.__version__}]", end="")
    if parse_version(sklearn.__version__) >= parse_version("1.9"):
        assert len(checks) >= 68


def test_the_checks_that_need_the_array_api_run():
    assert os.environ["SCIPY_ARRAY_API"] == "1"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_tag_excuses_an_estimator_from_a_check(estimator):
    tags = get_tags(estimator)
    assert not tags._skip_test
    assert not tags.no_validation
    assert not tags.non_deterministic
    if is_regressor(estimator):
        assert not tags.regressor_tags.poor_score
    if is_classifier(estimator):
        assert not tags.classifier_tags.poor_score
        assert tags.classifier_tags.multi_class
        assert tags.input_tags.allow_nan
        assert tags.input_tags.sparse


@pytest.mark.parametrize("name", CLASSES)
def test_multi_output_is_claimed_by_all_but_the_view_of_one_task(name):
    if not hasattr(CLASSES[name], "predict"):
        pytest.skip("a transformer has no outputs of y")
    tags = get_tags(checked(CLASSES[name]))
    several = CLASSES[name] not in VIEWS
    assert tags.target_tags.multi_output == several
    if is_classifier(checked(CLASSES[name])):
        assert tags.classifier_tags.multi_label == several


def test_an_estimator_says_what_it_is():
    kinds = {
        name: get_tags(checked(cls)).estimator_type for name, cls in CLASSES.items()
    }
    assert kinds["DEPHNMultiTaskClassifier"] == kinds["TaskView"] == "classifier"
    assert kinds["DEPHNMultiTaskRegressor"] == "regressor"
    assert kinds["RegressionTaskView"] == "regressor"
    assert kinds["DEPHNMultiTaskEstimator"] is None


def test_every_estimator_is_found():
    assert {"DEPHNMultiTaskClassifier", "TaskView", "FieldEncoder"} <= CLASSES.keys()
    baselines = importlib.import_module("dephn_sk.baselines")
    named = {name for name in baselines.__all__ if name.endswith("Classifier")}
    assert named <= CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_checked_differs_from_the_defaults_in_what_is_named_alone(name):
    if CLASSES[name] in (*VIEWS, ThresholdedClassifier):
        pytest.skip("has no defaults")
    params, defaults = checked(CLASSES[name]).get_params(), CLASSES[name]().get_params()
    changed = {key for key in params if params[key] != defaults[key]}
    assert changed <= {*CHECKED, "dtype"}
    assert clone(checked(CLASSES[name])).get_params() == params
