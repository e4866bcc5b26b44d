"""How many epochs few rows need, by cross-validation.

A hold-out of few rows says little, and takes a share of them from training.
"""

import contextlib
import warnings
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._parameters import AUTO
from ._plan import FitPlan
from ._randomness import seed_of
from ._rows import Rows
from ._trainer import Trainer

N_FOLDS = 5
PATIENCE = 8  # epochs without a lower mean loss
# trained on all rows, in less time than the folds have taken
N_MEMBERS = 5


def cross_validated(plan: FitPlan) -> FitPlan:
    """The plan with as many epochs as are best over the folds of its rows.

    One that does not hold few rows is given back as it is. The folds train side by
    side, an epoch at a time, until the mean of their losses no longer falls; then all
    rows may be trained on for as many epochs as had the lowest, by several networks
    where nobody has said how many.
    """
    rows, losses = plan.rows, list[float]()
    if rows is None:
        return plan
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # all rows will say what a column is like
        runs = [
            stack.enter_context(contextlib.closing(_run(plan, rows, i, *fold)))
            for i, fold in enumerate(rows.folds(N_FOLDS, plan.seed))
        ]
        for records in zip(*runs, strict=True):
            losses.append(float(np.mean([one["valid_loss"] for one in records])))
            if len(losses) - np.argmin(losses) > PATIENCE:
                break
    best = int(np.argmin(losses)) + 1 if losses else plan.epochs
    learned = plan.learned
    if runs and plan.before is None and learned.template.n_networks == AUTO:
        learned = replace(learned, n_members=N_MEMBERS)
    return replace(plan, learned=learned, epochs=best, rows=None, n_folds=len(runs))


def _run(
    plan: FitPlan, rows: Rows, fold: int, train: NDArray, valid: NDArray
) -> Generator[dict[str, Any]]:
    """The records of a fit to the rows of a fold."""
    rows = rows.divided(train, valid, plan.learned.template.class_weight).scaled()
    own = plan.fold(rows, seed_of(plan.seed, "validation", fold) % 2**31)
    return Trainer(own.begin(), own).run()
