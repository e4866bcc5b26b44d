"""docs/engines/on_ray.py, on two workers of Ray."""

import pytest


@pytest.fixture(scope="module")
def folder(run_example):
    return run_example("on_ray", "ray")


def test_two_workers_fit_one_model(folder, assert_fitted_together):
    assert_fitted_together(folder / "log", folder)


def test_actors_give_what_predict_proba_gives(folder, assert_scored):
    assert_scored(folder / "log", folder / "model-0.zip", folder / "predictions")
