"""What takes part in the comparison of accuracy: ours, boosting, and public packages.

Every entry is fitted by ``fit(X, y, X_val, y_val, encoder)`` on raw frames and gives
``predict_proba(X)`` in our estimators' format. The validation part chooses the epoch or
the number of trees. The encoder is the same for all entries, so that target statistics
and rare ids are a gift to everybody.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import loguniform, randint, uniform
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from dephn_sk import DEPHNMultiTaskClassifier, baselines, search_space
from dephn_sk.preprocessing import FieldEncoder

MOST_TREES = 2000
PATIENCE = 50
# ids of more values are read as numbers, which is better on validation data
MANY = 1000


class Network:
    """An estimator of ours, on the raw frame."""

    per_task = False

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y, X_val, y_val, encoder):
        self.estimator.set_params(encoder=encoder, early_stopping=True, n_threads=1)
        self.estimator.fit(X, y, X_val=X_val, y_val=y_val)
        return self

    def predict_proba(self, X):
        return self.estimator.predict_proba(X)


class PerTask:
    """One model for each task, on codes and numbers.

    `fit_one(X, y, X_val, y_val, categorical, seed, parameters)` gives a model;
    `parameters` may be a list, with those of each task.
    """

    per_task = True

    def __init__(self, fit_one, seed, parameters):
        self.fit_one, self.seed, self.parameters = fit_one, seed, parameters

    def fit(self, X, y, X_val, y_val, encoder):
        self.encoder = FieldEncoder() if encoder is None else clone(encoder)
        train = self._frame(self.encoder.fit_encode(X, y))
        valid = self._frame(self.encoder.encode(X_val))
        names = list(self.encoder.categorical_names_)
        parameters = self.parameters
        if not isinstance(parameters, list):
            parameters = [parameters] * y.shape[1]
        self.models = []
        for name, own in zip(y, parameters, strict=True):
            known, known_val = y[name].notna(), y_val[name].notna()
            classes, codes = np.unique(y.loc[known, name], return_inverse=True)
            model = self.fit_one(
                train[known.to_numpy()],
                codes,
                valid[known_val.to_numpy()],
                np.searchsorted(classes, y_val.loc[known_val, name]),
                names,
                self.seed,
                own,
            )
            self.models.append(model)
        return self

    def _frame(self, fields):
        codes = pd.DataFrame(fields.codes, columns=self.encoder.categorical_names_)
        numbers = pd.DataFrame(fields.numbers, columns=self.encoder.numeric_names_)
        return pd.concat([codes, numbers], axis=1)

    def predict_proba(self, X):
        frame = self._frame(self.encoder.encode(X))
        p = [model.predict_proba(frame) for model in self.models]
        if any(task.shape[1] > 2 for task in p):
            return p
        return np.column_stack([task[:, 1] for task in p])


class AllTasks(PerTask):
    """One model for all tasks, which are binary and have no missing label."""

    per_task = False

    def fit(self, X, y, X_val, y_val, encoder):
        self.encoder = FieldEncoder() if encoder is None else clone(encoder)
        self.model = self.fit_one(
            self._frame(self.encoder.fit_encode(X, y)),
            y.astype(int),
            self._frame(self.encoder.encode(X_val)),
            y_val.astype(int),
            list(self.encoder.categorical_names_),
            self.seed,
            self.parameters,
        )
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(self._frame(self.encoder.encode(X)))


class Package:
    """Networks of a public package, in a Python of its own.

    See ``_package.py`` for those of several tasks, ``_pytabkit.py`` for those of one.
    Numbers are standardized, skewed ones on a logarithmic scale. Tasks are binary.
    """

    per_task = False

    def __init__(self, name, seed, parameters):
        self.python = os.environ[python_variable(name)]
        self.settings = {
            **{"embedding_dim": 16, "learning_rate": 1e-3, "weight_decay": 0.0},
            **{"dropout": 0.0, **parameters, "package": name, "seed": seed},
        }
        self.folder = TemporaryDirectory()

    def fit(self, X, y, X_val, y_val, encoder):
        self.encoder = FieldEncoder() if encoder is None else clone(encoder)
        fields = self.encoder.fit_encode(X, y)
        numbers = pd.DataFrame(fields.numbers, columns=self.encoder.numeric_names_)
        self.skewed = numbers.columns[(numbers.min() >= 0) & (numbers.skew() > 2)]
        numbers[self.skewed] = np.log1p(numbers[self.skewed])
        self.mean, self.deviation = numbers.mean(), numbers.std()
        self._write("train", fields, y)
        self._write("validation", self.encoder.encode(X_val), y_val)
        settings = self.settings | {"cardinalities": self.encoder.cardinalities_}
        path = Path(self.folder.name, "settings.json")
        path.write_text(json.dumps(settings, default=lambda value: value.item()))
        self._call("fit")
        return self

    def predict_proba(self, X):
        self._write("rows", self.encoder.encode(X), np.empty((len(X), 0)))
        self._call("predict")
        return np.load(Path(self.folder.name, "probabilities.npy"))

    def _write(self, name, fields, y):
        numbers = pd.DataFrame(fields.numbers, columns=self.encoder.numeric_names_)
        numbers[self.skewed] = np.log1p(numbers[self.skewed].clip(lower=0))
        numbers = ((numbers - self.mean) / self.deviation).fillna(0.0)
        np.savez(
            Path(self.folder.name, f"{name}.npz"),
            codes=fields.codes,
            numbers=numbers.to_numpy(np.float32),
            labels=np.asarray(y, np.float32),
        )

    def _call(self, action):
        own = python_variable(self.settings["package"]) == "PYTABKIT_PYTHON"
        script = Path(__file__).parent / ("_pytabkit.py" if own else "_package.py")
        command = [self.python, str(script), action, self.folder.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)


def python_variable(entry):
    """The environment variable that names the Python of a package."""
    return entry.split()[0].upper().replace("-", "_") + "_PYTHON"


def available(entry):
    """Whether its package has a Python that is named."""
    apart = entry in (*PACKAGES, *SINGLE_TASK)
    return not apart or python_variable(entry) in os.environ


class Logistic(PerTask):
    """Logistic regression of one-hot categories and numbers."""

    def __init__(self, seed, parameters):
        super().__init__(fit_logistic, seed, parameters)

    def _frame(self, fields):
        return super()._frame(fields).fillna(0.0)


def fit_logistic(X, y, X_val, y_val, categorical, seed, parameters):
    from sklearn.compose import make_column_transformer

    one_hot = OneHotEncoder(handle_unknown="ignore")
    table = make_column_transformer((one_hot, categorical), remainder="passthrough")
    return make_pipeline(table, LogisticRegression(max_iter=300, **parameters)).fit(
        X, y
    )


def fit_histogram(X, y, X_val, y_val, categorical, seed, parameters):
    # its categories are limited to 255: ids of more are read as numbers
    small = [name for name in categorical if X[name].max() < 254]
    model = HistGradientBoostingClassifier(
        **{"learning_rate": 0.05, "max_iter": MOST_TREES, **parameters},
        early_stopping=True,
        n_iter_no_change=PATIENCE,
        categorical_features=small,
        random_state=seed,
    )
    return model.fit(X, y, X_val=X_val, y_val=y_val)


def fit_lightgbm(X, y, X_val, y_val, categorical, seed, parameters):
    import lightgbm

    # chosen on KuaiRand's validation part, where its own defaults are worse
    defaults = {
        "min_child_samples": 100,
        "cat_smooth": 50,
        "learning_rate": 0.05,
        "num_leaves": 31,
        "subsample": 0.8,
        "subsample_freq": 1,
        "colsample_bytree": 0.8,
    }
    settings = {"many": MANY, **defaults, **parameters}
    many = settings.pop("many")
    model = lightgbm.LGBMClassifier(
        **settings,
        n_estimators=MOST_TREES,
        n_jobs=1,
        random_state=seed,
        verbose=-1,
    )
    return model.fit(
        X,
        y,
        eval_X=X_val,
        eval_y=y_val,
        eval_metric="multi_logloss" if y.max() > 1 else "binary_logloss",
        categorical_feature=[name for name in categorical if X[name].max() < many],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )


def fit_lightgbm_itself(*data_and_parameters):
    """Its own defaults, every id a category: better without target statistics."""
    *data, parameters = data_and_parameters
    itself = {
        "many": np.inf,
        "min_child_samples": 20,
        "cat_smooth": 10,
        "subsample_freq": 0,
        "colsample_bytree": 1.0,
    }
    return fit_lightgbm(*data, {**itself, **parameters})


def fit_catboost_together(*data, **options):
    return fit_catboost(*data, loss_function="MultiLogloss", **options)


def fit_catboost(X, y, X_val, y_val, categorical, seed, parameters, **options):
    import catboost

    model = catboost.CatBoostClassifier(
        **parameters,
        **options,
        iterations=MOST_TREES,
        early_stopping_rounds=PATIENCE,
        cat_features=categorical,
        random_seed=seed,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    return model.fit(X, y, eval_set=(X_val, y_val))


@dataclass
class Entry:
    """How to make an entry from a seed and parameters, and where to look for them."""

    make: Callable[[int, Any], Any]
    space: dict[str, Any] = field(default_factory=dict)
    n_classes: int | None = None  # of all tasks
    missing_labels: bool = True

    def takes(self, y) -> bool:
        """Whether it can learn such labels."""
        known = self.missing_labels or not y.isna().any(axis=None)
        return known and self.n_classes in (None, y.nunique().max())


def network(cls, **fixed):
    return lambda seed, parameters: Network(
        cls(random_state=seed, **fixed, **parameters)
    )


def per_task(fit_one):
    return lambda seed, parameters: PerTask(fit_one, seed, parameters)


def package(name):
    return lambda seed, parameters: Package(name, seed, parameters)


LIGHTGBM_SPACE = {
    "learning_rate": loguniform(0.02, 0.1),
    "num_leaves": randint(7, 128),
    "min_child_samples": randint(10, 200),
    "colsample_bytree": uniform(0.4, 0.6),
    "reg_lambda": loguniform(1e-3, 100),
    "cat_smooth": loguniform(1, 200),
}
CATBOOST_SPACE = {
    "learning_rate": loguniform(0.03, 0.2),
    "depth": randint(4, 9),
    "l2_leaf_reg": loguniform(1, 30),
    "random_strength": loguniform(0.3, 3),
}
PACKAGE_SPACE = {
    "embedding_dim": [8, 16, 32],
    "learning_rate": loguniform(3e-4, 5e-3),
    "weight_decay": loguniform(1e-7, 1e-4),
    "dropout": uniform(0.0, 0.4),
}
PACKAGES = ("DeepCTR-Torch PLE", "torch-rechub PLE")
SINGLE_TASK = ("pytabkit RealMLP", "pytabkit TabM")  # tuned by their makers
ENTRIES = {
    "DEPHN": Entry(network(DEPHNMultiTaskClassifier), search_space()),
    "DEPHN, three networks": Entry(network(DEPHNMultiTaskClassifier, n_networks=3)),
    "DEPHN, paper": Entry(network(DEPHNMultiTaskClassifier.paper_configuration)),
    "LightGBM per task": Entry(per_task(fit_lightgbm), LIGHTGBM_SPACE),
    "LightGBM per task, ids as categories": Entry(
        per_task(fit_lightgbm_itself), LIGHTGBM_SPACE
    ),
    "CatBoost per task": Entry(per_task(fit_catboost), CATBOOST_SPACE),
    "CatBoost, all tasks": Entry(
        lambda seed, parameters: AllTasks(fit_catboost_together, seed, parameters),
        CATBOOST_SPACE,
        n_classes=2,
        missing_labels=False,
    ),
    "HistGradientBoosting per task": Entry(
        per_task(fit_histogram),
        {
            "learning_rate": loguniform(0.02, 0.1),
            "max_leaf_nodes": randint(7, 128),
            "min_samples_leaf": randint(10, 200),
            "l2_regularization": loguniform(1e-3, 100),
            "max_features": uniform(0.4, 0.6),
        },
    ),
    "logistic regression": Entry(Logistic, {"C": loguniform(1e-3, 10)}),
    **{name: Entry(package(name), PACKAGE_SPACE, n_classes=2) for name in PACKAGES},
    **{name: Entry(package(name), n_classes=2) for name in SINGLE_TASK},
    **{
        name.removesuffix("Classifier"): Entry(network(getattr(baselines, name)))
        for name in baselines.__all__
        if name.endswith("Classifier")
    },
}
