"""Who keeps a fit of several processes: rank 0, for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .. import training
from ..training._rows import Rows
from . import _fingerprint as fingerprint


class KeeperOfRanks(training.Keeper):
    """Lets ranks begin with the same, and rank 0 alone read and write files.

    Parameters
    ----------
    ranks : Ranks
    make : callable
        Gives the keeper of rank 0.
    """

    def __init__(
        self, ranks: training.Ranks, make: Callable[[], training.Keeper]
    ) -> None:
        self.ranks = ranks
        self._own = training.Keeper() if ranks.rank else make()
        self.seed = ranks.first(self._first_seed)
        self._given: dict[str, str] = {}
        self._keeps = ranks.first(lambda: type(self._own) is not training.Keeper)
        if ranks.first(lambda: self._own.after_step is not None):
            self.after_step = self._after_step

    def _first_seed(self) -> int:
        known = self._own.seed
        return training.draw_seed(None) if known is None else known

    def see_rows(self, rows: Rows, groups: Any) -> None:
        self._given = fingerprint.rows_given(rows, groups)
        self._own.see_rows(rows, groups)

    def see_plan(self, plan: training.FitPlan) -> training.FitPlan:
        self.ranks.alike(lambda: self._told(plan))
        self.ranks.on(plan.train.device)
        return replace(plan, ranks=self.ranks)

    def _told(self, plan: training.FitPlan) -> dict[str, str]:
        """What has to be the same on each rank, by the names that users know."""
        learned, device = plan.learned, plan.train.device
        flat = fingerprint.columns_of(learned.encoder)
        following = {
            "the rows of X": fingerprint.sum_of(
                fingerprint.sums_of(plan.train, plan.valid)
            ),
            "the columns of X": "" if flat is None else fingerprint.sum_of_flat(*flat),
            "the rates of y": fingerprint.sum_of([learned.edges, learned.start]),
            "the fit before": str(fingerprint.sum_of_fit(plan.before)),
        }
        return {
            "random_state": f"seed {plan.seed}",
            **fingerprint.parameters(learned.template, device),
            "rows": f"{plan.train.n_rows}",
            **self._given,
            **following,
        }

    def begin(self, plan: training.FitPlan) -> training.TrainingState:
        state = self.ranks.agreed(lambda: self._own.begin(plan))
        found = self.ranks.first(lambda: state.resumed)
        if found is not None and self.ranks.rank:
            state.resume(found)
        return state

    def _after_step(self, state: training.TrainingState) -> None:
        if self._own.after_step is not None:
            self._own.after_step(state)

    def after_epoch(self, trainer: training.Trainer) -> None:
        if self._keeps:
            trainer.gather()
        self._own.after_epoch(trainer)
