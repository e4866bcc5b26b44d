"""Stratified splits of several tasks: partition, rates, scikit-learn's contract."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    check_cv,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_scorer
from dephn_sk.model_selection import (
    MultiLabelStratifiedKFold,
    MultiLabelStratifiedShuffleSplit,
    cross_val_predict,
)

SPLITTERS = [
    MultiLabelStratifiedKFold(3),
    MultiLabelStratifiedKFold(4, shuffle=True, random_state=0),
    MultiLabelStratifiedShuffleSplit(3, test_size=0.2, random_state=0),
    MultiLabelStratifiedShuffleSplit(2, test_size=0.3, train_size=0.5, random_state=0),
]


def _labels(n_samples=300, missing=0.2, seed=0):
    """Correlated tasks, of which the last ones are rare."""
    rng = np.random.default_rng(seed)
    rates = np.array([0.4, 0.2, 0.05, 0.03])
    y = (
        rng.random((n_samples, 4)) < rates * rng.exponential(size=(n_samples, 1))
    ) * 1.0
    y[rng.random(y.shape) < missing] = np.nan
    return y


def _forms(y):
    names = [f"task {i}" for i in range(y.shape[1])]
    nullable = pd.DataFrame(y, columns=names).astype("Int64")
    words = np.where(np.isnan(y), None, np.where(y == 1, "yes", "no"))
    return {
        "list": y.tolist(),
        "pandas": pd.DataFrame(y, columns=names),
        "pandas Int64": nullable,
        "pandas category": pd.DataFrame(words, columns=names).astype("category"),
        "polars": pl.from_pandas(nullable),
        "polars words": pl.DataFrame(words, schema=names, orient="row"),
        "words": words,
        "words with NaN": np.where(np.isnan(y), np.nan, words),
    }


def _counts(y, rows):
    """Rows of every label of every task, the missing one too."""
    return [
        np.isnan(column).sum() if np.isnan(label) else (column == label).sum()
        for column, all_ in zip(y[rows].T, y.T, strict=True)
        for label in np.unique(all_)
    ]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_splits", [2, 3, 7])
@pytest.mark.parametrize("n_samples", [20, 101])
def test_folds_partition_the_rows_and_differ_by_at_most_one(
    n_samples, n_splits, shuffle
):
    y = _labels(n_samples)
    splitter = MultiLabelStratifiedKFold(n_splits, shuffle=shuffle)
    splits = list(splitter.split(y, y))
    assert len(splits) == splitter.get_n_splits() == n_splits
    assert_array_equal(
        np.sort(np.concatenate([test for _, test in splits])), np.arange(n_samples)
    )
    for train, test in splits:
        assert_array_equal(np.sort(np.r_[train, test]), np.arange(n_samples))
    assert np.ptp([len(test) for _, test in splits]) <= 1


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_spread_evenly_over_the_folds(seed, shuffle):
    y = _labels(seed=seed)
    random_state = seed if shuffle else None
    ours = MultiLabelStratifiedKFold(5, shuffle=shuffle, random_state=random_state)
    theirs = KFold(5, shuffle=True, random_state=seed)
    spread = {}
    for splitter in (ours, theirs):
        counts = np.array([_counts(y, test) for _, test in splitter.split(y, y)])
        spread[splitter] = np.ptp(counts, axis=0)
    assert spread[ours].max() <= 4
    assert spread[ours].mean() < spread[theirs].mean() / 3


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("missing", [0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_every_fold_has_a_positive_where_there_are_as_many_as_folds(
    seed, missing, shuffle
):
    rng = np.random.default_rng(seed)
    y = np.zeros((200, 4))
    for task, n_positive in enumerate([5, 6, 8, 40]):
        y[rng.choice(200, n_positive, replace=False), task] = 1
    y[(rng.random(y.shape) < missing) & (y == 0)] = np.nan
    splitter = MultiLabelStratifiedKFold(5, shuffle=shuffle)
    for _, test in splitter.split(y, y):
        assert (np.nansum(y[test], axis=0) >= 1).all()


def test_rows_of_the_same_labels_are_spread_evenly():
    y = _labels(missing=0)
    whole = np.unique(y, axis=0, return_counts=True)
    for _, test in MultiLabelStratifiedKFold(4).split(y, y):
        for labels, count in zip(*whole, strict=True):
            assert (y[test] == labels).all(axis=1).sum() >= count // 4


def _iterative_stratification(y, n_splits):
    """A loop over rows; the fold of each."""
    n_samples = len(y)
    having = {
        (task, label): set(np.flatnonzero(y[:, task] == label))
        for task in range(y.shape[1])
        for label in np.unique(y[:, task])
    }
    frequency = {key: len(rows) for key, rows in having.items()}
    missing = {key: [n / n_splits] * n_splits for key, n in frequency.items()}
    room = [len(part) for part in np.array_split(np.arange(n_samples), n_splits)]
    fold = np.full(n_samples, -1)
    while (fold < 0).any():
        rarest = min((k for k in having if having[k]), key=lambda k: len(having[k]))
        for row in sorted(having[rarest], key=lambda row: tuple(y[row])):
            labels = sorted(enumerate(y[row]), key=frequency.get)
            ranked = [
                (missing[rarest][f], *(missing[key][f] for key in labels), room[f])
                for f in range(n_splits)
                if room[f] > 0
            ]
            open_folds = [f for f in range(n_splits) if room[f] > 0]
            fold[row] = open_folds[ranked.index(max(ranked))]
            room[fold[row]] -= 1
            for key in labels:
                missing[key][fold[row]] -= 1
                having[key].discard(row)
    return fold


@pytest.mark.parametrize("seed", range(5))
def test_it_is_iterative_stratification_where_few_rows_share_their_labels(seed):
    y = np.random.default_rng(seed).integers(3, size=(60, 4))
    y = np.column_stack([pd.factorize(column)[0] for column in y.T])  # settles ties
    assert np.unique(y, axis=0, return_counts=True)[1].max() < 5
    expected = _iterative_stratification(y, 5)
    for f, (_, test) in enumerate(MultiLabelStratifiedKFold(5).split(y, y)):
        assert sorted(y[test].tolist()) == sorted(y[expected == f].tolist())


def test_one_task_is_as_balanced_as_in_stratified_kfold():
    y = np.random.default_rng(0).choice(["a", "b", "c"], p=[0.7, 0.25, 0.05], size=200)
    for splitter in (MultiLabelStratifiedKFold(5), StratifiedKFold(5)):
        for label in "abc":
            counts = [(y[test] == label).sum() for _, test in splitter.split(y, y)]
            assert np.ptp(counts) <= 1


def test_without_shuffling_earlier_rows_go_to_earlier_folds():
    y = np.zeros((12, 2))
    tests = [test for _, test in MultiLabelStratifiedKFold(3).split(y, y)]
    assert_array_equal(np.concatenate(tests), np.arange(12))


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
@pytest.mark.parametrize("form", _forms(np.zeros((1, 1))))
def test_every_form_of_y_is_split_alike(form, splitter):
    y = _labels(100)
    for ours, given in zip(
        splitter.split(y, y), splitter.split(y, _forms(y)[form]), strict=True
    ):
        assert_array_equal(np.concatenate(ours), np.concatenate(given))


def test_shuffle_split_has_the_sizes_and_the_rates_asked_for():
    y = _labels()
    splitter = MultiLabelStratifiedShuffleSplit(
        4, test_size=90, train_size=0.5, random_state=0
    )
    splits = list(splitter.split(y, y))
    assert len(splits) == splitter.get_n_splits() == 4
    everything = np.array(_counts(y, slice(None)))
    for train, test in splits:
        assert len(train) == 150
        assert len(test) == 90
        assert len(np.intersect1d(train, test)) == 0
        assert np.abs(_counts(y, train) - everything * 0.5).max() <= 4
        assert np.abs(_counts(y, test) - everything * 0.3).max() <= 4
    assert set(splits[0][1]) != set(splits[1][1])


@pytest.mark.parametrize("kind", ["kfold", "shuffle split"])
def test_random_state_decides_the_split(kind):
    y = _labels()

    def split(seed):
        if kind == "kfold":
            splitter = MultiLabelStratifiedKFold(3, shuffle=True, random_state=seed)
        else:
            splitter = MultiLabelStratifiedShuffleSplit(3, random_state=seed)
        first, again = (list(splitter.split(y, y)) for _ in range(2))
        for (_, a), (_, b) in zip(first, again, strict=True):
            assert_array_equal(a, b)
        return first[0][1]

    before = np.random.get_state()[1].copy()
    assert not np.array_equal(np.sort(split(0)), np.sort(split(1)))
    assert_array_equal(np.random.get_state()[1], before)


def test_bad_parameters_and_input_are_named():
    y = _labels(20)
    with pytest.raises(ValueError, match="random_state has no effect"):
        MultiLabelStratifiedKFold(3, random_state=0)
    with pytest.raises(ValueError, match="n_splits=1"):
        MultiLabelStratifiedKFold(1)
    with pytest.raises(ValueError, match="n_splits=21"):
        next(MultiLabelStratifiedKFold(21).split(y, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(MultiLabelStratifiedKFold(2).split(y[:-1], y))
    with pytest.raises(ValueError, match=r"test_size=1\.5"):
        next(MultiLabelStratifiedShuffleSplit(test_size=1.5).split(y, y))
    for splitter in SPLITTERS:
        with pytest.raises(ValueError, match="y is needed"):
            next(splitter.split(y, None))
        with pytest.warns(UserWarning, match="groups parameter is ignored"):
            next(splitter.split(y, y, groups=np.arange(20)))


def test_repr_shows_the_parameters():
    assert repr(SPLITTERS[0]) == (
        "MultiLabelStratifiedKFold(n_splits=3, random_state=None, shuffle=False)"
    )
    assert check_cv(SPLITTERS[0]) is SPLITTERS[0]


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_splitters_drive_cross_validation_and_searches(splitter, routing):
    X, y = make_multilabel_classification(n_samples=80, n_classes=2, random_state=0)
    forest = RandomForestClassifier(n_estimators=3, random_state=0)
    scorer = task_scorer("roc_auc")
    with config_context(enable_metadata_routing=routing):
        scores = cross_validate(
            forest, X, y, cv=splitter, scoring=scorer, error_score="raise"
        )
        search = GridSearchCV(
            forest, {"max_depth": [2]}, cv=splitter, scoring=scorer
        ).fit(X, pd.DataFrame(y))
    assert scores["test_score"].shape == (splitter.get_n_splits(),)
    assert search.n_splits_ == splitter.get_n_splits()
    assert np.isfinite(search.best_score_)


# ------------------------------------------------------------- out-of-fold predictions


def _log(n=300):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=n), "city": rng.choice(list("abc"), n)})
    click = (X["x"] + rng.normal(size=n) > 0).astype(int)
    buy = (rng.random(n) < 0.4).astype(float)
    return X, pd.DataFrame({"click": click, "buy": np.where(click, buy, np.nan)})


def _model(**parameters):
    return DEPHNMultiTaskClassifier(
        max_epochs=1, early_stopping=False, random_state=0, **parameters
    )


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True, random_state=1), 3, None])
def test_each_row_is_predicted_by_the_fit_that_has_not_seen_it(cv):
    X, y = _log()
    found = cross_val_predict(_model(), X, y, cv=cv)
    assert found.shape == (300, 2) and np.isfinite(found).all()
    splitter = MultiLabelStratifiedKFold(cv or 5) if cv in (3, None) else cv
    for train, test in splitter.split(X, y):
        fold = _model().fit(X.iloc[train], y.iloc[train])
        assert_array_equal(found[test], fold.predict_proba(X.iloc[test]))


def test_missing_labels_are_no_class():
    X, y = _log()
    labels = cross_val_predict(_model(), X, y, cv=2, method="predict")
    assert set(np.unique(labels)) <= {0, 1}
    flipped = y.assign(buy=y["buy"].fillna(0))
    other = cross_val_predict(_model(), X, flipped, cv=2)
    assert (other != cross_val_predict(_model(), X, y, cv=2)).any()


@pytest.mark.parametrize("library", ["numpy", "polars", "pipeline", "processes"])
def test_of_any_table_and_around_the_estimator(library):
    X, y = _log()
    want = cross_val_predict(_model(), X, y, cv=2)
    model, n_jobs = _model(), None
    if library == "numpy":
        y = y.to_numpy()
    elif library == "polars":
        X, y = pl.from_pandas(X), pl.from_pandas(y)
    elif library == "pipeline":
        model = make_pipeline(FunctionTransformer(), model)
    else:
        n_jobs = 2
    assert_array_equal(cross_val_predict(model, X, y, cv=2, n_jobs=n_jobs), want)


def test_weights_are_divided_with_the_rows():
    X, y = _log()
    weight = np.random.default_rng(0).uniform(0.1, 5, len(X))
    found = cross_val_predict(_model(), X, y, cv=2, params={"sample_weight": weight})
    ((train, test), _) = MultiLabelStratifiedKFold(2).split(X, y)
    fold = _model().fit(X.iloc[train], y.iloc[train], sample_weight=weight[train])
    assert_array_equal(found[test], fold.predict_proba(X.iloc[test]))


def test_a_class_that_the_other_folds_lack_has_no_probability():
    X, y = _log()
    kind = pd.Series(np.arange(300) % 2).mask(np.arange(300) >= 200, 2)
    y = y.assign(kind=kind)
    click, buy, of_kind = cross_val_predict(_model(), X, y, cv=KFold(3))
    assert click.shape == buy.shape == (300, 2)
    assert_array_equal(of_kind[200:, 2], 0)
    assert (of_kind[:200, 2] > 0).all()
    logs = cross_val_predict(_model(), X, y, cv=KFold(3), method="predict_log_proba")
    assert_array_equal(
        logs[2], np.log(of_kind, where=of_kind > 0, out=-np.inf + 0 * of_kind)
    )


@pytest.mark.parametrize("cv", [TimeSeriesSplit(3), ShuffleSplit(3, random_state=0)])
def test_a_splitter_that_is_no_partition_is_refused(cv):
    with pytest.raises(ValueError, match="does not put every row in one test fold"):
        cross_val_predict(_model(), *_log(), cv=cv)
