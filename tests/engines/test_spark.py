"""docs/engines/on_spark.py, on two processes of Spark."""

import shutil

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java")


@pytest.fixture(scope="module")
def folder(run_example):
    return run_example("on_spark", "pyspark")


def test_two_processes_fit_one_model(folder, assert_fitted_together):
    assert_fitted_together(folder / "log.parquet", folder)


def test_tasks_of_spark_give_what_predict_proba_gives(folder, assert_scored):
    log, model = folder / "log.parquet", folder / "model-0.zip"
    assert_scored(log, model, folder / "predictions")
