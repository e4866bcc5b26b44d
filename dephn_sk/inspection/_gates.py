"""How much of each expert each task takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._compat import StrOptions, validate_params
from ._drawing import COLORS, TaskPanels, around, draw_legend, mark_epochs
from ._fitted import final_estimator, recorded
from ._gate_values import expert_utilization, gates_by_member
from ._matrix import Matrix, MatrixDisplay


@dataclass(eq=False, repr=False)
class GateDisplay(MatrixDisplay, TaskPanels):
    """Gate values: a row for each task, a column for each branch.

    A branch is a public expert under a mapping; for MMoE it is an expert.

    Parameters
    ----------
    gates : array-like of shape (n_tasks, n_branches)
    task_names : sequence of str of length n_tasks
    branch_names : sequence of str of length n_branches
    history : array-like of shape (n_epochs, n_tasks, n_branches), default=None
        The gates after each epoch; mapped gates have none.
    best_epoch : int, default=None
        Epoch, counted from 1, whose gates were kept.
    spread : array-like of shape (n_tasks, n_branches), default=None
        Standard deviation of the gates over the networks, where there are several;
        printed beside the values.

    Attributes
    ----------
    ax_ : Axes
        Of the matrix.
    image_ : AxesImage
    colorbar_ : Colorbar
    text_ : ndarray of Text of shape (n_tasks, n_branches), or None
        Printed values.
    axes_, lines_ : ndarray of shape (n_tasks,) and (n_tasks, n_branches)
        Panels and lines of the history.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import GateDisplay
    >>> display = GateDisplay(
    ...     [[0.9, 0.1], [0.2, 0.7]],
    ...     task_names=["click", "buy"],
    ...     branch_names=["dnn0 raw", "dnn0 sin"],
    ... ).plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['click', 'buy']
    """

    gates: ArrayLike
    _: KW_ONLY
    task_names: Sequence[str]
    branch_names: Sequence[str]
    history: ArrayLike | None = None
    best_epoch: int | None = None
    spread: ArrayLike | None = None

    @classmethod
    @validate_params({"kind": [StrOptions({"values", "history"})]})
    def from_estimator(
        cls,
        estimator: Any,
        *,
        X: Any = None,
        kind: str = "values",
        ax: Any = None,
        **kwargs: Any,
    ) -> GateDisplay:
        """Draw the gates of a fitted estimator, and warn where they collapse.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted: DEPHN, MT-PHN or MMoE. A Pipeline or search ends with the estimator.
        X : DataFrame or array-like of shape (n_samples, n_features), default=None
            The rows over which mapped gates are averaged; trainable ones need none.
        kind : {"values", "history"}, default="values"
            A matrix of the gates, or lines over epochs.
        ax : Axes, default=None
            Where to draw. None makes a figure.
        **kwargs : dict
            For :meth:`plot` or :meth:`plot_history`.

        Returns
        -------
        GateDisplay
        """
        expert_utilization(estimator, X)
        final, gates = final_estimator(estimator), gates_by_member(estimator, X)
        display = cls(
            gates.mean(axis=0),
            task_names=final.tasks_.names,
            branch_names=list(final.network_.branch_names),
            history=recorded(estimator, "gates"),
            best_epoch=final.kept_epoch_,
            spread=gates.std(axis=0, ddof=1) if len(gates) > 1 else None,
        )
        draw = display.plot if kind == "values" else display.plot_history
        return draw(ax=ax, **kwargs)

    def _matrix(self) -> Matrix:
        height, colors = 1.2 + 0.3 * len(self.task_names), around(self.gates)
        names = self.task_names, self.branch_names
        own = (self.gates, *names, "gate", height, colors)
        return Matrix(*own, spread=self.spread)

    def plot_history(self, ax: Any = None, **line_kwargs: Any) -> GateDisplay:
        """Draw the gates over epochs, a panel for each task.

        Parameters
        ----------
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **line_kwargs : dict
            For ``Axes.plot``.

        Returns
        -------
        GateDisplay
        """
        if self.history is None:
            raise ValueError("There is no history; only trainable gates have one.")
        history = np.asarray(self.history)
        epochs = np.arange(1, len(history) + 1)
        self._open_panels(ax, "epoch", "gate", sharex=True, sharey=True)
        self.lines_ = np.empty(history.shape[1:], dtype=object)
        for task, panel in enumerate(self.axes_):
            for branch, gates in enumerate(history[:, task].T):
                # lines of one color differ in their dashes
                dashes = ("-", "--", ":", "-.")[branch // len(COLORS) % 4]
                (self.lines_[task, branch],) = panel.plot(
                    epochs, gates, **{"linestyle": dashes, **line_kwargs}
                )
            mark_epochs(panel, self.best_epoch)
        for line, name in zip(self.lines_[-1], self.branch_names, strict=True):
            line.set_label(name)
        draw_legend(self.axes_[-1], ax)
        return self
