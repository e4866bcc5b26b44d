"""Metrics of several tasks: scikit-learn's on complete labels, masks, scorers."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import __version__ as sklearn_version
from sklearn import config_context
from sklearn import metrics as sk
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from dephn_sk.metrics import (
    gauc,
    mean_task_score,
    task_accuracy,
    task_average_precision,
    task_brier,
    task_calibration_error,
    task_log_loss,
    task_roc_auc,
    task_scorer,
    task_scorers,
    uauc,
)
from dephn_sk.tasks._ranking import roc_auc

PER_TASK = [
    task_roc_auc,
    task_average_precision,
    task_log_loss,
    task_brier,
    task_calibration_error,
    task_accuracy,
]


def _calibration_error(y, prob, sample_weight=None, n_bins=10):
    """A slow loop over rows of distinct probability."""
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    order = np.argsort(prob)
    middle = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    error = 0.0
    for b in range(n_bins):
        gap = 0.0
        for i, m in zip(order, middle, strict=True):
            if b / n_bins <= m < (b + 1) / n_bins:
                gap += weight[i] * (y[i] - prob[i])
        error += abs(gap) / weight.sum()
    return error


SCIKIT_LEARN = {
    task_roc_auc: sk.roc_auc_score,
    task_average_precision: sk.average_precision_score,
    task_log_loss: sk.log_loss,
    task_brier: sk.brier_score_loss,
    task_calibration_error: _calibration_error,
    task_accuracy: lambda y, p, **kw: sk.accuracy_score(y, p > 0.5, **kw),
}


def _binary_tasks(n_samples=200, n_tasks=3, missing=0.3, seed=0):
    rng = np.random.default_rng(seed)
    prob = rng.random((n_samples, n_tasks))
    y = (rng.random((n_samples, n_tasks)) < prob**2).astype(float)
    y[rng.random(y.shape) < missing] = np.nan
    return y, prob


def _multiclass(n_samples=90, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    prob = rng.dirichlet(np.ones(n_classes), n_samples)
    return rng.integers(n_classes, size=n_samples), prob


@pytest.mark.parametrize("weighted", [None, "row", "row and task"])
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("metric", PER_TASK)
def test_binary_tasks_equal_scikit_learn_on_the_observed_rows(
    metric, missing, weighted
):
    y, prob = _binary_tasks(missing=missing)
    shape = {None: None, "row": len(y), "row and task": y.shape}[weighted]
    weight = None if shape is None else np.random.default_rng(1).random(shape)
    expected = []
    for t in range(y.shape[1]):
        rows = ~np.isnan(y[:, t])
        kwargs = {}
        if weight is not None:
            column = weight if weight.ndim == 1 else weight[:, t]
            kwargs["sample_weight"] = column[rows]
        expected.append(SCIKIT_LEARN[metric](y[rows, t], prob[rows, t], **kwargs))
    values = metric(y, prob, sample_weight=weight)
    assert values.shape == (3,)
    assert_allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_multiclass_tasks_equal_scikit_learn(weighted):
    y, prob = _multiclass()
    weight = np.random.default_rng(1).random(len(y)) if weighted else None
    kwargs = {"sample_weight": weight}
    one_vs_rest = [
        sk.average_precision_score(y == k, prob[:, k], **kwargs) for k in range(3)
    ]
    brier = np.average(((np.eye(3)[y] - prob) ** 2).sum(axis=1), weights=weight)
    expected = {
        task_roc_auc: sk.roc_auc_score(y, prob, multi_class="ovr", **kwargs),
        task_average_precision: np.mean(one_vs_rest),
        task_log_loss: sk.log_loss(y, prob, **kwargs),
        task_brier: brier,
        task_accuracy: sk.accuracy_score(y, prob.argmax(axis=1), **kwargs),
        task_calibration_error: _calibration_error(
            prob.argmax(axis=1) == y, prob.max(axis=1), **kwargs
        ),
    }
    for metric, value in expected.items():
        assert_allclose(metric(y, prob, **kwargs), [value], rtol=0, atol=1e-12)


def test_roc_auc_counts_ties_half():
    y = np.array([0, 1, 0, 1, 1, 0])
    prob = np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.1])
    assert_allclose(task_roc_auc(y, prob), sk.roc_auc_score(y, prob), atol=1e-12)


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_log_loss_clips_as_scikit_learn_does(prob):
    y, prob = np.array([0, 1]), np.array([prob, prob])
    assert_allclose(task_log_loss(y, prob), sk.log_loss(y, prob), rtol=1e-12)


def test_scikit_learn_log_loss_is_wrong_on_several_tasks():
    y, prob = _binary_tasks(missing=0)
    with pytest.warns(UserWarning, match="do not sum to one"):
        theirs = sk.log_loss(y.astype(int), prob)
    positives_only = -(y * np.log(prob)).sum(axis=1).mean()
    assert_allclose(theirs, positives_only)
    assert abs(task_log_loss(y, prob).mean() - theirs) > 0.1


@pytest.mark.parametrize("metric", PER_TASK)
def test_weights_equal_repeated_rows(metric):
    y, prob = _binary_tasks(n_samples=60)
    weight = np.random.default_rng(3).integers(0, 4, size=len(y))
    repeated = np.repeat(np.arange(len(y)), weight)
    assert_allclose(
        metric(y, prob, sample_weight=weight),
        metric(y[repeated], prob[repeated]),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("metric", PER_TASK)
def test_order_of_rows_does_not_matter(metric):
    y, prob = _binary_tasks()
    prob = prob.round(1)  # ties
    order = np.random.default_rng(0).permutation(len(y))
    assert_allclose(metric(y, prob), metric(y[order], prob[order]), atol=1e-12)


def test_calibration_error_of_calibrated_bins_is_zero():
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    prob = np.repeat([0.25, 0.75], 4)
    assert_allclose(task_calibration_error(y, prob, n_bins=2), 0)
    assert_allclose(task_calibration_error(y, prob - 0.1, n_bins=2), 0.1)


def _forms(y):
    """The same 2-D binary y, in each form it may come in."""
    names = ["click", "like", "buy"]
    words = np.where(np.isnan(y), None, np.where(y == 1, "yes", "no"))
    words_frame = pd.DataFrame(words, columns=names)
    nullable = pd.DataFrame(y, columns=names).astype("Int64")
    return {
        "array": y,
        "list": y.tolist(),
        "list of words": words.tolist(),
        "list of words and nan": [[w or np.nan for w in row] for row in words],
        "object array of words": words,
        "object array of pd.NA": nullable.to_numpy(dtype=object),
        "pandas": pd.DataFrame(y, columns=names),
        "pandas Int64": nullable,
        "pandas boolean": nullable.astype("boolean"),
        "pandas words": words_frame,
        "pandas string": words_frame.astype("string"),
        "pandas category": words_frame.astype("category"),
        "pandas mixed": nullable.assign(like=words[:, 1]),
        "polars": pl.from_pandas(nullable),
        "polars boolean": pl.from_pandas(nullable.astype("boolean")),
        "polars words": pl.DataFrame(words, schema=names, orient="row"),
        "minus one": np.where(np.isnan(y), np.nan, 2 * y - 1),
        "three and seven": np.where(np.isnan(y), np.nan, 4 * y + 3),
    }


@pytest.mark.parametrize("metric", PER_TASK)
@pytest.mark.parametrize("form", _forms(np.array([[0.0, 1.0, np.nan]])))
def test_every_form_of_y_gives_the_same(form, metric):
    y, prob = _binary_tasks(n_samples=40)
    assert_array_equal(metric(_forms(y)[form], prob), metric(y, prob))


@pytest.mark.parametrize("metric", PER_TASK)
def test_every_form_of_y_prob_gives_the_same(metric):
    y, prob = _binary_tasks()
    pairs = [np.column_stack([1 - p, p]) for p in prob.T]
    expected = metric(y, prob)
    assert_array_equal(metric(y, pairs), expected)
    assert_array_equal(metric(y, pd.DataFrame(prob)), expected)
    for one in (prob[:, 0], prob[:, [0]], pairs[0], [pairs[0]]):
        assert_array_equal(metric(y[:, 0], one), expected[:1])
        assert_array_equal(metric(y[:, [0]], one), expected[:1])


@pytest.mark.parametrize("metric", PER_TASK)
def test_classes_name_the_second_class_positive(metric):
    y, prob = _binary_tasks(missing=0)
    words = np.where(y == 1, "a", "b")  # the sorted order is the other one
    expected = metric(y, prob)
    assert_array_equal(metric(words, prob, classes=["b", "a"]), expected)
    per_task = np.array([["b", "a"]] * 3)
    assert_array_equal(metric(words, prob, classes=per_task), expected)
    assert_array_equal(metric(words, prob, classes=list(per_task)), expected)


def test_tasks_of_different_kinds_in_one_call():
    y_multi, prob_multi = _multiclass()
    y, prob = _binary_tasks(n_samples=90, n_tasks=1)
    both = pd.DataFrame({"buy": y[:, 0], "stars": np.array(["x", "y", "z"])[y_multi]})
    pair = np.column_stack([1 - prob[:, 0], prob[:, 0]])
    classes = [np.array([0, 1]), np.array(["x", "y", "z"])]
    for metric in PER_TASK:
        values = metric(both, [pair, prob_multi], classes=classes)
        assert_allclose(values[0], metric(y, prob)[0])
        assert_allclose(values[1], metric(y_multi, prob_multi)[0])
    auc, accuracy = task_roc_auc(y, prob)[0], task_accuracy(y_multi, prob_multi)[0]
    score = mean_task_score(both, [pair, prob_multi], classes=classes)
    assert_allclose(score, (auc + accuracy) / 2)


@pytest.mark.parametrize("metric", [task_roc_auc, task_average_precision])
@pytest.mark.parametrize("only", [0.0, 1.0, np.nan])
def test_ranking_is_nan_with_a_warning_where_one_class_is_observed(metric, only):
    y, prob = _binary_tasks()
    y = pd.DataFrame(y, columns=["click", "like", "buy"]).assign(like=only)
    with pytest.warns(UndefinedMetricWarning, match="'like'"):
        values = metric(y, prob)
    assert_array_equal(np.isnan(values), [False, True, False])
    with pytest.warns(UndefinedMetricWarning, match="'like'"):
        score = mean_task_score(y, prob)
    assert_allclose(score, task_roc_auc(y[["click", "buy"]], prob[:, [0, 2]]).mean())


@pytest.mark.parametrize("metric", [task_log_loss, task_brier, task_accuracy])
def test_one_observed_class_is_no_obstacle_to_a_loss(metric):
    assert_allclose(metric([1, 1, None], [0.9, 0.9, 0.2]), metric([1], [0.9]))
    assert_allclose(metric(["b"], [0.9], classes=["a", "b"]), metric([1], [0.9]))


@pytest.mark.parametrize("metric", PER_TASK)
def test_a_task_without_observed_rows_is_nan(metric):
    with pytest.warns(UndefinedMetricWarning, match="'task0'"):
        assert np.isnan(metric([[np.nan]] * 3, [[0.1]] * 3)).all()


def test_mean_score_is_nan_where_no_task_has_one():
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(mean_task_score(np.ones((4, 2)), np.ones((4, 2)) / 2))


def test_unobserved_rows_may_hold_any_probability_and_unweighted_rows_too():
    y, prob = np.array([0, 1, np.nan, 1]), np.array([0.1, 0.8, np.nan, np.nan])
    weight = np.array([1, 1, 1, 0])
    assert_allclose(task_roc_auc(y, prob, sample_weight=weight), 1)


def test_multiclass_leaves_an_unobserved_class_out_of_the_ranking_with_a_warning():
    y, prob = _multiclass()
    y[y == 2] = 0
    expected = np.mean([sk.roc_auc_score(y == k, prob[:, k]) for k in range(2)])
    with pytest.warns(UndefinedMetricWarning, match=r"leaves out the classes \[2\]"):
        assert_allclose(task_roc_auc(y, prob, classes=range(3)), expected)


def test_accuracy_counts_a_class_never_seen_as_wrong_and_the_others_raise():
    y, prob = np.array([0, 1, 2, 9]), np.eye(3)[[0, 1, 2, 0]]
    assert_allclose(task_accuracy(y, prob, classes=[0, 1, 2]), 0.75)
    with pytest.raises(ValueError, match="'task0' has observed labels that are none"):
        task_log_loss(y, prob, classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("y", "prob", "kwargs", "match"),
    [
        ([0, 1], [0.1, 0.2, 0.3], {}, "'task0' has 3 rows, y_true has 2"),
        ([[0, 1]], [[0.1, 0.2, 0.3]], {}, "y_true has 2 tasks"),
        ([[0, 1]], [[[0.1, 0.9]]], {}, "a list for 1 tasks"),
        ([[[0]]], [0.1], {}, "y_true must have the shape"),
        ([0, 1, 2], [0.1, 0.2, 0.3], {}, "3 observed labels .* 2 classes"),
        (["a", "a"], [0.1, 0.2], {}, "pass `classes`"),
        ([1, "a"], [0.1, 0.2], {}, "several types"),
        ([0, 1], [0.1, 0.2], {"classes": ["no", "yes"]}, "such as 0"),
        ([0, 1], [0.1, 0.2], {"classes": [0, 1, 2]}, "3 classes, but 2"),
        ([[0, 1]], [[0.1, 0.2]], {"classes": [[0, 1]]}, "classes of 1 tasks"),
        ([0, 1], [0.1, np.nan], {}, "'task0' holds NaN"),
        ([0, 1], [0.1, np.inf], {}, "'task0' holds NaN"),
        ([0, 1], [0.1, 1.5], {}, "holds 1.5"),
        ([0, 1], [0.1, 0.2], {"sample_weight": [1]}, r"shape \(1,\)"),
        ([0, 1], [0.1, 0.2], {"sample_weight": [1, -2]}, "row 1 is -2.0"),
        ([0, 1], [0.1, 0.2], {"sample_weight": [1, np.nan]}, "row 1 is nan"),
    ],
)
def test_bad_input_is_named(y, prob, kwargs, match):
    with pytest.raises(ValueError, match=match):
        task_log_loss(y, prob, **kwargs)


@pytest.mark.parametrize("n_bins", [0, 2.5, "ten"])
def test_calibration_error_names_a_bad_number_of_bins(n_bins):
    with pytest.raises(ValueError, match="n_bins"):
        task_calibration_error([0, 1], [0.1, 0.2], n_bins=n_bins)


def _user_auc(y, prob, users, weight, weighted_mean):
    """A loop over users."""
    values, sizes = [], []
    for user in np.unique(users):
        rows = (users == user) & ~np.isnan(y)
        if len(np.unique(y[rows])) == 2:
            values.append(
                sk.roc_auc_score(y[rows], prob[rows], sample_weight=weight[rows])
            )
            sizes.append(weight[rows].sum())
    return np.average(values, weights=sizes if weighted_mean else None)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_gauc_and_uauc_equal_a_loop_over_users(ties, weighted):
    y, prob = _binary_tasks(n_samples=300)
    prob = prob.round(1) if ties else prob
    rng = np.random.default_rng(5)
    users = rng.integers(40, size=len(y))
    weight = rng.random(y.shape) if weighted else np.ones(y.shape)
    given = weight if weighted else None
    for metric, weighted_mean in [(gauc, True), (uauc, False)]:
        expected = [
            _user_auc(y[:, t], prob[:, t], users, weight[:, t], weighted_mean)
            for t in range(3)
        ]
        values = metric(y, prob, users, sample_weight=given)
        assert_allclose(values, expected, rtol=0, atol=1e-12)


def test_one_group_gives_the_roc_auc():
    y, prob = _binary_tasks()
    users = np.zeros(len(y))
    for metric in (gauc, uauc):
        assert_allclose(metric(y, prob, users), task_roc_auc(y, prob), atol=1e-14)


def test_groups_of_any_kind_give_the_same():
    y, prob = _binary_tasks()
    users = np.random.default_rng(0).integers(20, size=len(y))
    words = np.array([f"u{u}" for u in users])
    expected = gauc(y, prob, users)
    for groups in (
        users - 10,
        words,
        words.tolist(),
        pd.Series(words, dtype="category"),
        pl.Series(words),
        pd.DataFrame({"user": users}),
    ):
        assert_array_equal(gauc(y, prob, groups), expected)


def test_users_with_one_class_do_not_count():
    y, prob = np.array([0, 1, 1, 1]), np.array([0.2, 0.1, 0.9, 0.8])
    for metric in (gauc, uauc):
        assert_allclose(metric(y, prob, ["a", "a", "b", "b"]), 0)
        with pytest.warns(UndefinedMetricWarning, match="'task0'"):
            assert np.isnan(metric(y, prob, [1, 2, 3, 4])).all()


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (None, "groups is missing: .*enable_metadata_routing"),
        ([1, 2], "expected"),
        ([1, None, 2], "missing in 1 rows, first in row 1"),
    ],
)
def test_missing_groups_are_named(groups, match):
    for metric in (gauc, uauc):
        with pytest.raises(ValueError, match=match):
            metric([0, 1, 1], [0.1, 0.2, 0.3], groups)


def test_gauc_of_a_multiclass_task_is_refused():
    y, prob = _multiclass()
    with pytest.raises(ValueError, match="'task0' has 3 classes"):
        gauc(y, prob, np.zeros(len(y)))


class _Tasks(ClassifierMixin, BaseEstimator):
    """Probabilities are the columns of X, names and classes those of y."""

    def fit(self, X, y, sample_weight=None):
        labels = y.to_pandas() if isinstance(y, pl.DataFrame) else pd.DataFrame(y)
        self.task_names_ = [str(c) for c in labels.columns]
        self.classes_ = [np.unique(labels[c].dropna()) for c in labels.columns]
        return self

    def predict_proba(self, X):
        X = np.asarray(X)[:, : len(self.task_names_)]
        if all(len(c) == 2 for c in self.classes_):
            self.classes_ = np.array(self.classes_)
            return X
        return [
            np.column_stack([1 - p, *[p / (len(c) - 1)] * (len(c) - 1)])
            for p, c in zip(X.T, self.classes_, strict=True)
        ]


NAMES = ["click", "like", "buy"]


def _frame(**kwargs):
    y, prob = _binary_tasks(**kwargs)
    return prob, pd.DataFrame(y, columns=NAMES)


LOSSES = {
    "log_loss": task_log_loss,
    "brier": task_brier,
    "calibration_error": task_calibration_error,
}
GAINS = {
    "roc_auc": task_roc_auc,
    "average_precision": task_average_precision,
    "accuracy": task_accuracy,
    "score": task_roc_auc,
}


@pytest.mark.parametrize("name", [*LOSSES, *GAINS])
def test_scorer_is_the_metric_with_a_sign(name):
    X, y = _frame()
    estimator = _Tasks().fit(X, y)
    sign = -1 if name in LOSSES else 1
    metric = (LOSSES | GAINS)[name]
    expected = sign * metric(y, X)
    assert_allclose(task_scorer(name)(estimator, X, y), expected.mean())
    if name != "score":
        assert_allclose(task_scorer(metric)(estimator, X, y), expected.mean())
    for t, task in enumerate(NAMES):
        assert_allclose(task_scorer(name, task)(estimator, X, y), expected[t])
    weight = np.random.default_rng(0).random(y.shape)
    weighted = task_scorer(name, "like")(estimator, X, y, sample_weight=weight)
    assert_allclose(weighted, sign * metric(y, X, sample_weight=weight)[1])


@pytest.mark.parametrize("metric", [gauc, uauc])
def test_scorer_of_groups(metric):
    X, y = _frame()
    users = pd.Series(np.arange(len(y)) % 20)
    estimator = _Tasks().fit(X, y)
    scorer = task_scorer(metric.__name__, "buy")
    expected = metric(y, X, users)[2]
    assert_allclose(scorer(estimator, X, y, groups=users), expected)
    with pytest.raises(ValueError, match="groups is missing"):
        scorer(estimator, X, y)


def test_scorer_of_a_callable_sees_each_task_s_observed_rows():
    X, y = _frame()
    words = y.replace({0: "no", 1: "yes"}).astype(object)
    estimator = _Tasks().fit(X, words)
    weight = np.random.default_rng(0).random(len(y))
    theirs = task_scorer(sk.brier_score_loss, greater_is_better=False)
    for w in (None, weight):
        assert_allclose(
            theirs(estimator, X, words, sample_weight=w),
            task_scorer("brier")(estimator, X, words, sample_weight=w),
        )
    by_group = task_scorer(lambda y, p, groups: float(len(groups) == len(y)))
    assert by_group(estimator, X, words, groups=np.zeros(len(y))) == 1
    second = task_scorer(lambda y, p: len(y), "like")
    assert second(estimator, X, words) == y["like"].notna().sum()


def test_scorer_keeps_its_parameters_through_clone_pickle_and_repr():
    scorer = task_scorer("calibration_error", task="like", n_bins=3)
    assert repr(scorer) == "task_scorer('calibration_error', task='like', n_bins=3)"
    X, y = _frame()
    estimator = _Tasks().fit(X, y)
    expected = scorer(estimator, X, y)
    assert expected == -task_calibration_error(y, X, n_bins=3)[1]
    for twin in (clone(scorer), pickle.loads(pickle.dumps(scorer))):
        assert repr(twin) == repr(scorer)
        assert twin(estimator, X, y) == expected
    loss = task_scorer(sk.brier_score_loss, greater_is_better=False)
    assert repr(loss) == "task_scorer(brier_score_loss, greater_is_better=False)"


def test_unknown_task_and_metric_are_named():
    X, y = _frame()
    estimator = _Tasks().fit(X, y)
    with pytest.raises(ValueError, match=r"'clicks'.*Did you mean 'click'\?"):
        task_scorer("roc_auc", "clicks")(estimator, X, y)
    with pytest.raises(ValueError, match=r"'metric' parameter .* 'auc' instead"):
        task_scorer("auc")
    with pytest.raises(TypeError, match="got the string 'click'"):
        task_scorers("roc_auc", "click")


def test_tasks_in_another_order_than_fitted_are_refused():
    X, y = _frame()
    estimator = _Tasks().fit(X, y)
    with pytest.raises(ValueError, match="in this order"):
        task_scorer("roc_auc")(estimator, X, y[NAMES[::-1]])
    with pytest.raises(ValueError, match="y has 2 tasks"):
        task_scorer("roc_auc")(estimator, X, y[["click", "like"]])


def test_the_estimator_s_task_names_go_with_an_unnamed_y():
    X, y = _frame()
    estimator = _Tasks().fit(X, y)
    for wrapped in (
        make_pipeline("passthrough", estimator),
        FrozenEstimator(estimator),
        GridSearchCV(_Tasks(), {}, scoring=task_scorer("roc_auc"), cv=KFold(2)).fit(
            X, y
        ),
    ):
        value = task_scorer("roc_auc", "like")(wrapped, X, y.to_numpy())
        assert_allclose(value, task_roc_auc(y, X)[1])
    with pytest.warns(UndefinedMetricWarning, match="'like'"):
        task_scorer("roc_auc", "like")(estimator, X, y.assign(like=0).to_numpy())


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, np.asarray])
def test_scorers_in_cross_validate_with_missing_labels(frame):
    X, y = _frame()
    given = pl.from_pandas(y.astype("Int64")) if frame is pl.DataFrame else frame(y)
    names = NAMES if frame is not np.asarray else ["0", "1", "2"]
    scoring = (
        task_scorers("roc_auc", names)
        | task_scorers("log_loss", names)
        | {"mean": task_scorer("roc_auc")}
    )
    cv = KFold(3)
    results = cross_validate(
        _Tasks(), X, given, scoring=scoring, cv=cv, error_score="raise"
    )
    for i, (_, test) in enumerate(cv.split(X)):
        auc = task_roc_auc(y.iloc[test], X[test])
        loss = task_log_loss(y.iloc[test], X[test])
        assert_allclose(results["test_mean"][i], auc.mean())
        for t, name in enumerate(names):
            assert_allclose(results[f"test_roc_auc_{name}"][i], auc[t])
            assert_allclose(results[f"test_log_loss_{name}"][i], -loss[t])


def _classifiers():
    trees = {"n_estimators": 4, "max_depth": 3, "random_state": 0}
    logistic = LogisticRegression()
    return [
        RandomForestClassifier(**trees),
        KNeighborsClassifier(),
        MultiOutputClassifier(logistic),
        ClassifierChain(logistic),
        OneVsRestClassifier(logistic),
        MLPClassifier((3,), max_iter=20, random_state=0),
        make_pipeline(StandardScaler(), RandomForestClassifier(**trees)),
    ]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", _classifiers(), ids=lambda e: type(e).__name__)
def test_scorers_take_scikit_learn_s_own_multioutput_classifiers(estimator):
    X, y = make_multilabel_classification(
        n_samples=120, n_classes=3, n_labels=1, random_state=0
    )
    estimator.fit(X, y)
    prob = estimator.predict_proba(X)
    if isinstance(prob, list):
        prob = np.column_stack([p[:, 1] for p in prob])
    for t in range(3):
        assert_allclose(
            task_scorer("log_loss", f"task{t}")(estimator, X, y),
            -sk.log_loss(y[:, t], prob[:, t]),
        )
    expected = sk.roc_auc_score(y, prob, average="macro")
    assert_allclose(task_scorer("roc_auc")(estimator, X, y), expected)


def test_grid_search_over_a_multioutput_classifier_with_multiclass_tasks():
    X, y = make_multilabel_classification(n_samples=120, n_classes=2, random_state=0)
    y = pd.DataFrame(
        {"buy": np.where(y[:, 0], "yes", "no"), "stars": y.sum(axis=1).astype(str)}
    )
    forest = RandomForestClassifier(n_estimators=5, random_state=0)
    scoring = task_scorers("score", y.columns) | {"mean": task_scorer("score")}
    search = GridSearchCV(
        make_pipeline("passthrough", forest),
        {"randomforestclassifier__max_depth": [1, 3]},
        scoring=scoring,
        refit="mean",
        cv=3,
        error_score="raise",
    ).fit(X, y)
    results = search.cv_results_
    assert_allclose(
        results["mean_test_mean"],
        (results["mean_test_score_buy"] + results["mean_test_score_stars"]) / 2,
    )
    assert results["mean_test_mean"].argmax() == search.best_index_
    proba = search.predict_proba(X)
    expected = [
        sk.roc_auc_score(y["buy"], proba[0][:, 1]),
        sk.accuracy_score(y["stars"], search.predict(X)[:, 1]),
    ]
    assert_allclose(search.score(X, y), np.mean(expected))


def test_scorer_of_one_dimensional_labels():
    X, y = make_multilabel_classification(n_classes=1, random_state=0)
    y = np.where(y[:, 0], "yes", "no")
    estimator = LogisticRegression().fit(X, y)
    expected = sk.get_scorer("neg_log_loss")(estimator, X, y)
    assert_allclose(task_scorer("log_loss")(estimator, X, y), expected)
    assert_allclose(task_scorer("log_loss", "task0")(estimator, X, y), expected)


def test_groups_are_routed_by_default_and_weights_on_request():
    X, y = _frame()
    users = np.arange(len(y)) % 20
    weight = np.random.default_rng(0).random(y.shape)
    cv = GroupKFold(2)
    with config_context(enable_metadata_routing=True):
        weighted = task_scorer("log_loss").set_score_request(sample_weight=True)
        by_user = task_scorer("gauc").set_score_request(sample_weight=False)
        scoring = {"gauc": by_user, "loss": weighted}
        estimator = _Tasks().set_fit_request(sample_weight=False)
        results = cross_validate(
            estimator,
            X,
            y,
            scoring=scoring,
            cv=cv,
            params={"groups": users, "sample_weight": weight},
            error_score="raise",
        )
        search = GridSearchCV(estimator, {}, scoring=task_scorer("uauc"), cv=cv)
        search.fit(X, y, groups=users)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            cross_validate(
                estimator,
                X,
                y,
                scoring=task_scorer("log_loss"),
                cv=KFold(2),
                params={"sample_weight": weight},
            )
        twin = clone(weighted)
        assert_allclose(
            twin(_Tasks().fit(X, y), X, y, sample_weight=weight),
            -task_log_loss(y, X, sample_weight=weight).mean(),
        )
    for i, (_, test) in enumerate(cv.split(X, groups=users)):
        part = y.iloc[test], X[test]
        assert_allclose(results["test_gauc"][i], gauc(*part, users[test]).mean())
        loss = task_log_loss(*part, sample_weight=weight[test]).mean()
        assert_allclose(results["test_loss"][i], -loss)
        uauc_of_fold = search.cv_results_[f"split{i}_test_score"][0]
        assert_allclose(uauc_of_fold, uauc(*part, users[test]).mean())


def test_groups_may_be_routed_under_another_name():
    X, y = _frame()
    users, sessions = np.arange(len(y)) % 20, np.arange(len(y)) % 7
    with config_context(enable_metadata_routing=True):
        results = cross_validate(
            _Tasks(),
            X,
            y,
            scoring=task_scorer("gauc").set_score_request(groups="user"),
            cv=GroupKFold(2),
            params={"groups": sessions, "user": users},
            error_score="raise",
        )
    for i, (_, test) in enumerate(GroupKFold(2).split(X, groups=sessions)):
        expected = gauc(y.iloc[test], X[test], users[test]).mean()
        assert_allclose(results["test_score"][i], expected)


@pytest.mark.skipif(
    parse_version(sklearn_version) < parse_version("1.7"),
    reason="scikit-learn 1.6 passes weights to fit alone",
)
def test_weights_reach_every_scorer_of_a_search_without_metadata_routing():
    X, y = _frame()
    weight = np.random.default_rng(0).random(len(y))
    search = GridSearchCV(
        _Tasks(), {}, scoring=task_scorers("log_loss", NAMES), refit=False, cv=KFold(2)
    ).fit(X, y, sample_weight=weight)
    expected = np.mean(
        [
            task_log_loss(y.iloc[rows], X[rows], sample_weight=weight[rows])
            for _, rows in KFold(2).split(X)
        ],
        axis=0,
    )
    for t, name in enumerate(NAMES):
        mean = search.cv_results_[f"mean_test_log_loss_{name}"][0]
        assert_allclose(mean, -expected[t])


@pytest.mark.parametrize("n_rows", [1, 2, 3, 10, 1_000])
@pytest.mark.parametrize("n_scores", [1, 3, 50, 10**9])
@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_auc_is_the_share_of_pairs_in_order(n_rows, n_scores, weight):
    """Whether rows are counted or weighed; NaN where a class is missing."""
    rng = np.random.default_rng(n_rows + n_scores)
    positive = rng.random(n_rows) < 0.4
    score = rng.integers(0, n_scores, n_rows).astype(np.float32) / 7
    above = np.subtract.outer(score[positive], score[~positive])
    wanted = np.mean((above > 0) + (above == 0) / 2) if above.size else np.nan
    for given in (None, np.full(n_rows, weight)):
        assert_allclose(roc_auc(positive, score, given), wanted, rtol=1e-12)
