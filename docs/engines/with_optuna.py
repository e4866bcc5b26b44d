"""Search with Optuna in several processes, which meet in one file.

    pip install "dephn-sk[optuna]"
    python with_optuna.py

Each process asks the study what to try next and tells it what came of that, through a
journal in the folder `with_optuna`. Call `work` on as many machines as there are, with
a folder that all of them reach; a search that was interrupted goes on.
"""

import os
from pathlib import Path

import joblib
import optuna
from optuna.storages.journal import JournalFileBackend
from sklearn.model_selection import cross_val_score

from dephn_sk import DEPHNMultiTaskClassifier, suggest_parameters
from dephn_sk.datasets import make_behavior_log
from dephn_sk.model_selection import MultiLabelStratifiedKFold

FOLDER = Path("with_optuna").resolve()


def objective(trial):
    X, y = make_behavior_log(1_000, return_X_y=True, random_state=0)
    model = DEPHNMultiTaskClassifier(max_epochs=2, random_state=0, n_threads=1)
    model.set_params(**suggest_parameters(trial))
    trial.set_user_attr("process", os.getpid())
    return cross_val_score(model, X, y, cv=MultiLabelStratifiedKFold(2)).mean()


def study_of(seed=None):
    """The study that the journal holds, or a new one."""
    journal = JournalFileBackend(str(FOLDER / "journal.log"))
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(journal),
        study_name="behaviors",
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="maximize",
        load_if_exists=True,
    )


def work(seed):
    """What each process does."""
    study_of(seed).optimize(objective, n_trials=3)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    study_of()
    joblib.Parallel(n_jobs=2)(joblib.delayed(work)(seed) for seed in (0, 1))
    study = study_of()
    study.trials_dataframe().to_csv(FOLDER / "trials.csv")
    print(study.best_value, study.best_params)
