"""Who keeps a fit while it runs; training itself knows no file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ._plan import FitPlan
from ._ranks import NONE, Ranks
from ._rows import Rows
from ._state import TrainingState
from ._threads import own_modes, threads
from ._trainer import Trainer


class Keeper:
    """Is told how a fit goes on; this one keeps nothing of it.

    Attributes
    ----------
    seed : int or None
        That the fit is to have where its `random_state` is None.
    ranks : Ranks
        The processes that fit together.
    after_step : callable or None
        Looks at a state within an epoch; None does not.
    """

    seed: int | None = None
    ranks: Ranks = NONE
    after_step: Callable[[TrainingState], Any] | None = None

    def see_rows(self, rows: Rows, groups: Any) -> None:
        """Look at what was given, before it becomes a plan."""

    def see_plan(self, plan: FitPlan) -> FitPlan:
        """Look at the plan before anything trains, and give it or another one."""
        return plan

    def begin(self, plan: FitPlan) -> TrainingState:
        """The state that training begins from, or is to be resumed from."""
        return plan.begin()

    def after_epoch(self, trainer: Trainer) -> None:
        """Look at training between epochs, once callbacks have heard of the last."""


@contextlib.contextmanager
def begun(plan: FitPlan, keeper: Keeper) -> Iterator[Trainer]:
    """A trainer of the state that its keeper begins from, and its threads."""
    state = keeper.begin(plan)
    with threads(plan.learned.template.n_threads, plan.work(state.network)):
        yield Trainer(state, plan)


@contextlib.contextmanager
def fitting(n_threads: int | str | None) -> Iterator[Ranks]:
    """The processes of a fit, its threads, and modes of its own."""
    with Ranks.here() as ranks, threads(n_threads), own_modes():
        yield ranks
