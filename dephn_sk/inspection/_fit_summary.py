"""What a fitted estimator is, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from html import escape
from typing import Any

import numpy as np

from ..preprocessing._text_table import as_html, as_text
from ._fitted import final_estimator


@dataclass(eq=False, repr=False)
class FitSummary:
    """The tasks, fields, size and training of a fitted estimator, as text and HTML.

    Parameters
    ----------
    name : str
        Of the estimator's class.
    tasks : sequence of (str, sequence or str, float or None, float or None)
        For each task: name; classes, or the kind of number; rate of the second class;
        validation score.
    n_fields : dict of str to int
        Number of fields of each kind.
    n_parameters : int
        Numbers that were trained.
    n_epochs : int
    best_epoch : int, default=None
        Epoch, counted from 1, whose weights were kept; None is the last.
    conditions : dict of str to str, default=None
        From tasks to those without which they cannot happen.

    Examples
    --------
    >>> from dephn_sk.inspection import FitSummary
    >>> FitSummary(
    ...     "DEPHNMultiTaskClassifier",
    ...     [("click", [0, 1], 0.2, 0.81), ("color", ["red", "sky", "tan"], None, 0.5)],
    ...     n_fields={"category": 7, "number": 5},
    ...     n_parameters=45210,
    ...     n_epochs=9,
    ...     best_epoch=6,
    ... )
    DEPHNMultiTaskClassifier, fitted: 12 fields (7 category, 5 number), 45,210
    parameters, 9 epochs, epoch 6 kept
    task   classes  rate   score
    click        2  20.0%  0.8100
    color        3         0.5000
    """

    name: str
    tasks: Sequence[tuple[str, Any, float | None, float | None]]
    _: KW_ONLY
    n_fields: Mapping[str, int]
    n_parameters: int
    n_epochs: int
    best_epoch: int | None = None
    conditions: Mapping[str, str] | None = None

    @classmethod
    def from_estimator(cls, estimator: Any) -> FitSummary:
        """Summarize a fitted estimator.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted; a Pipeline or search ends with the estimator.

        Returns
        -------
        FitSummary
        """
        final = final_estimator(estimator)
        tasks, history = final.tasks_, final.net_.history
        kept = history[(final.kept_epoch_ or len(history)) - 1]
        scores = kept.get("valid_task_score", [None] * len(tasks.names))
        kinds = [kind for _, kind, *_ in final.encoder_.report_.rows]
        return cls(
            type(final).__name__,
            [*zip(tasks.names, tasks.shown, final.task_rates_, scores, strict=True)],
            n_fields={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
            n_parameters=sum(p.numel() for p in final.network_.parameters()),
            n_epochs=len(history),
            best_epoch=final.kept_epoch_,
            conditions=tasks.condition_names,
        )

    def _head(self) -> str:
        total = sum(self.n_fields.values())
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.n_fields.items())
        kept = "" if self.best_epoch is None else f", epoch {self.best_epoch} kept"
        return (
            f"{self.name}, fitted: {total} fields ({kinds}), {self.n_parameters:,} "
            f"parameters, {self.n_epochs} epochs{kept}"
        )

    def _cells(self) -> list[list[str]]:
        rows = [
            [name, _kind(classes), _given(rate, ".1%"), _given(score, ".4f")]
            for name, classes, rate, score in self.tasks
        ]
        table = [["task", "classes", "rate", "score"], *rows]
        if self.conditions:
            given = self.conditions
            last = ["given", *(given.get(name, "") for name, *_ in self.tasks)]
            table = [[*row, one] for row, one in zip(table, last, strict=True)]
        return table

    def __repr__(self) -> str:
        return f"{self._head()}\n{as_text(self._cells(), numbers={1})}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._head())}</p>{as_html(self._cells())}"


def _kind(classes: Any) -> str:
    return classes if isinstance(classes, str) else str(len(classes))


def _given(value: float | None, form: str) -> str:
    return "" if value is None or np.isnan(value) else format(value, form)
