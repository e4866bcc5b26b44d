"""A picture of how new rows differ from those of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ._drawing import FONT, panels
from ._drift import drift_table


@dataclass(eq=False, repr=False)
class DriftDisplay:
    """Stability index of each column beside its threshold.

    Parameters
    ----------
    psi : sequence of float
        Of each column; NaN where there is none.
    threshold : sequence of float
        Above which a column has changed.
    column_names : sequence of str
    words : sequence of str, default=()
        What to do, shown by ``print(display)``.

    Attributes
    ----------
    ax_ : Axes
    bars_ : BarContainer
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import DriftDisplay
    >>> DriftDisplay([0.3, 0.01], [0.02, 0.02], column_names=["city", "age"])
    city  0.3000  above 0.0200
    age   0.0100  below 0.0200
    """

    psi: Sequence[float]
    threshold: Sequence[float]
    _: KW_ONLY
    column_names: Sequence[str]
    words: Sequence[str] = ()

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X_new: Any,
        X_ref: Any = None,
        *,
        alpha: float = 0.01,
        ax: Any = None,
        **kwargs: Any,
    ) -> DriftDisplay:
        """Draw how new rows differ from those of training.

        Parameters
        ----------
        estimator : estimator
            See :func:`drift_table`.
        X_new : DataFrame or array-like of shape (n_samples, n_features)
        X_ref : DataFrame or array-like of shape (n_reference, n_features), default=None
        alpha : float, default=0.01
            The chance of any false alarm.
        ax : Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        DriftDisplay
        """
        found = drift_table(estimator, X_new, X_ref, alpha=alpha)
        columns = [list(found.columns[n]) for n in ("psi", "psi_threshold", "column")]
        display = cls(
            columns[0], columns[1], column_names=columns[2], words=found.words
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self, ax: Any = None, *, n_columns: int = 20, **bar_kwargs: Any
    ) -> DriftDisplay:
        """Draw a bar for each column, those that changed most first.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None makes a figure.
        n_columns : int, default=20
            Most bars.
        **bar_kwargs : dict
            For ``Axes.barh``.

        Returns
        -------
        DriftDisplay
        """
        shown = self._ranked()[:n_columns][::-1]
        psi, limit = np.asarray(self.psi, float), np.asarray(self.threshold, float)
        height = max(1.4, 0.18 * len(shown))
        self.ax_ = panels(ax, 1, height=height)[0, 0]
        self.figure_ = self.ax_.figure
        places, names = np.arange(len(shown)), [self.column_names[i] for i in shown]
        self.bars_ = self.ax_.barh(places, psi[shown], **bar_kwargs)
        self.ax_.plot(limit[shown], places, "k|", label="more than chance")
        self.ax_.set_yticks(places, names)
        self.ax_.set_xlabel("population stability index", fontsize=FONT)
        self.ax_.legend(fontsize="x-small", frameon=False)
        return self

    def _ranked(self) -> list[int]:
        psi = np.asarray(self.psi, dtype=float)
        known = np.flatnonzero(~np.isnan(psi))
        return known[np.argsort(-psi[known], kind="stable")].tolist()

    def __repr__(self) -> str:
        shown = self._ranked()
        width = max((len(self.column_names[i]) for i in shown), default=0)
        lines = []
        for i in shown:
            psi, limit = self.psi[i], self.threshold[i]
            side = "above" if psi > limit else "below"
            name = self.column_names[i].ljust(width)
            lines.append(f"{name}  {psi:.4f}  {side} {limit:.4f}")
        return "\n".join([*lines, *self.words])
