"""How many epochs few rows need, by cross-validation.

A hold-out of few rows says little, and takes a share of them from training.
"""

import contextlib
import warnings
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import EpochProgress, clock, epochs_in_words
from ._keeper import Keeper, begun
from ._parameters import AUTO
from ._plan import MOST_EPOCHS, FitPlan
from ._randomness import seed_of
from ._rows import Rows

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
    plan.tell_columns()  # before the folds, which take the longest
    rows, losses, best = plan.rows, list[float](), plan.epochs
    if rows is None:
        return plan
    folds = list(rows.folds(N_FOLDS, plan.seed))
    with contextlib.ExitStack() as stack:
        told = stack.enter_context(_progress(plan, len(folds)))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # all rows will say what a column is like
        trainers = [
            stack.enter_context(begun(_fold(plan, rows, i, *fold), Keeper()))
            for i, fold in enumerate(folds)
        ]
        runs = [stack.enter_context(contextlib.closing(one.run())) for one in trainers]
        told.begin(0)
        each = (_counted(run, told, plan.train.n_rows) for run in runs)
        for records in zip(*each, strict=True):
            losses.append(float(np.mean([one["valid_loss"] for one in records])))
            best = int(np.argmin(losses)) + 1
            told.end_epoch(losses[-1], losses[best - 1], best, keeps=False)
            if len(losses) - best >= PATIENCE:
                break
        told.keep(_end(told, losses, best))
    learned = plan.learned
    if runs and plan.before is None and learned.template.n_networks == AUTO:
        learned = replace(learned, n_members=N_MEMBERS)
    return replace(plan, learned=learned, epochs=best, rows=None, n_folds=len(runs))


def _fold(
    plan: FitPlan, rows: Rows, fold: int, train: NDArray, valid: NDArray
) -> FitPlan:
    """The plan of a fit to the rows of a fold."""
    rows = rows.divided(train, valid, plan.learned.template.class_weight).scaled()
    return plan.fold(rows, seed_of(plan.seed, "validation", fold) % 2**31)


def _counted(run: Generator[Any], told: EpochProgress, n_rows: int) -> Iterator[Any]:
    """What a run gives, each an epoch of so many rows."""
    for record in run:
        told.add(n_rows)
        yield record


def _progress(plan: FitPlan, n_folds: int) -> EpochProgress:
    """A line that says how far the folds are, which train side by side."""
    shown = plan.learned.template.verbose == 1 and not plan.ranks.rank
    return EpochProgress(
        *(MOST_EPOCHS, n_folds * plan.train.n_rows, shown and n_folds > 0),
        what=f"{n_folds} folds: ",
        watched="mean loss",
        stops=True,
    )


def _end(told: EpochProgress, losses: list[float], best: int) -> str:
    """What the folds have come to, for people."""
    spent = f"{told.what}{epochs_in_words(len(losses))} in {clock(told.passed)}"
    lowest = min(losses, default=0)
    return f"{spent}; the mean loss is lowest in epoch {best}: {lowest:.4f}"
