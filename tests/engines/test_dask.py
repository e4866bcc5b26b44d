"""docs/engines/on_dask.py, on two workers of Dask."""

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import dephn_sk
from dephn_sk.model_selection import MultiLabelStratifiedKFold

pd = pytest.importorskip("pandas")
TASKS = ["click", "like", "purchase"]


@pytest.fixture(scope="module")
def folder(run_example):
    return run_example("on_dask", "dask")


@pytest.fixture(scope="module")
def log(folder):
    parts = [pd.read_parquet(folder / f"log-{part}.parquet") for part in (0, 1)]
    return pd.concat(parts, ignore_index=True)


def rows(log):
    return log.drop(columns=["impression", *TASKS]), log[TASKS]


def assert_same_search(path, search):
    found = pd.read_csv(path)
    scores = [name for name in found if name.endswith("_test_score")]
    assert len(scores) == 5  # two folds, their mean, deviation and rank
    for name in scores:
        assert found[name].tolist() == pytest.approx(search.cv_results_[name].tolist())


def test_a_search_finds_what_one_process_finds(folder, log):
    X, y = rows(log)
    model = dephn_sk.load(folder / "model.zip")
    folds = MultiLabelStratifiedKFold(2)
    search = GridSearchCV(clone(model), {"embedding_dim": [4, 16]}, cv=folds).fit(X, y)
    assert_same_search(folder / "search-tasks.csv", search)
    assert model.embedding_dim == search.best_params_["embedding_dim"]
    assert (model.predict_proba(X) == search.predict_proba(X)).all()


def test_a_search_of_a_view_finds_what_one_process_finds(folder, log):
    X, y = rows(log)
    view = dephn_sk.load(folder / "model.zip").task("click")
    search = GridSearchCV(view, {"estimator__dropout": [0.0, 0.5]}, cv=2)
    assert_same_search(folder / "search-click.csv", search.fit(X, y["click"]))


def test_partitions_give_what_predict_proba_gives(folder, log, assert_scored, tmp_path):
    log.to_parquet(tmp_path / "log.parquet")
    model = folder / "model.zip"
    assert_scored(tmp_path / "log.parquet", model, folder / "predictions")
