"""A warning points at the line that called the library, however deep it was found."""

from __future__ import annotations

import ast
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier
from dephn_sk.metrics import task_roc_auc
from dephn_sk.preprocessing import FieldEncoder

FEW = {"max_epochs": 1, "early_stopping": False, "random_state": 0, "n_networks": 1}
X = np.column_stack([np.arange(40.0), np.full(40, np.nan)])
y = np.arange(40) % 2


def column_vector():
    DEPHNMultiTaskClassifier(**FEW).fit(X[:, :1], y[:, None])


def empty_column_of_an_encoder():
    FieldEncoder().fit(X)


def empty_column_of_a_transformer():
    FieldEncoder().fit_transform(X)


def empty_column_of_an_estimator():
    MMoEClassifier(**FEW).fit(X, y)


def empty_column_of_a_pipeline():
    make_pipeline(FunctionTransformer(), DEPHNMultiTaskClassifier(**FEW)).fit(X, y)


def limit_of_epochs():
    limited = {"max_epochs": 1, "early_stopping": True, "random_state": 0}
    DEPHNMultiTaskClassifier(**limited, validation_fraction=0.5).fit(X[:, :1], y)


def undefined_score():
    two = np.column_stack([y, 1.0 - y])
    fitted = DEPHNMultiTaskClassifier(**FEW).fit(X[:, :1], two)
    fitted.score(X[:4, :1], np.column_stack([y[:4], np.full(4, np.nan)]))


def undefined_metric():
    task_roc_auc(y[:1], np.full((1, 1), 0.5))


def pickle_of_another_version():
    dumped = pickle.dumps(DEPHNMultiTaskClassifier(**FEW).fit(X[:, :1], y))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dephn_sk, "__version__", "99.0")
        pickle.loads(dumped)


CALLS = [
    *(column_vector, empty_column_of_an_encoder, empty_column_of_a_transformer),
    *(empty_column_of_an_estimator, empty_column_of_a_pipeline, limit_of_epochs),
    *(undefined_score, undefined_metric, pickle_of_another_version),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_warning_points_at_the_caller(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert caught
    first = call.__code__.co_firstlineno
    for one in caught:
        assert one.filename == __file__
        assert first < one.lineno < first + 6


def test_no_module_counts_frames_itself():
    root = Path(dephn_sk.__file__).parent
    found = [
        path.name
        for path in root.rglob("*.py")
        if any(ast.unparse(node) == "warnings.warn" for node in nodes(path))
    ]
    assert found == ["_compat.py"]


def nodes(path):
    """What a file reads of modules."""
    tree = ast.walk(ast.parse(path.read_text()))
    return [node for node in tree if isinstance(node, ast.Attribute)]
