"""docs/engines/with_optuna.py, two processes of Optuna around one journal."""

import pytest
from sklearn.model_selection import cross_val_score

from dephn_sk import DEPHNMultiTaskClassifier, suggest_parameters
from dephn_sk.datasets import make_behavior_log
from dephn_sk.model_selection import MultiLabelStratifiedKFold

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def trials(run_example):
    return pd.read_csv(run_example("with_optuna", "optuna") / "trials.csv")


class Trial:
    """Suggests what was suggested."""

    def __init__(self, row):
        self.row = row

    def suggest_float(self, name, *args, **options):
        return float(self.row[f"params_{name}"])

    def suggest_categorical(self, name, choices):
        (chosen,) = {str(self.row[f"params_{name}"])} & set(choices)
        return chosen


def test_two_processes_share_a_study(trials):
    assert sorted(trials["number"]) == list(range(6))
    assert set(trials["state"]) == {"COMPLETE"}
    assert trials["user_attrs_process"].nunique() == 2
    # they suggest apart from each other
    assert trials["params_learning_rate"].nunique() == 6


def test_the_best_of_a_study_scores_so_in_one_process(trials):
    best = trials.loc[trials["value"].idxmax()]
    X, y = make_behavior_log(1_000, return_X_y=True, random_state=0)
    model = DEPHNMultiTaskClassifier(max_epochs=2, random_state=0, n_threads=1)
    model.set_params(**suggest_parameters(Trial(best)))
    scores = cross_val_score(model, X, y, cv=MultiLabelStratifiedKFold(2))
    assert scores.mean() == pytest.approx(best["value"])
