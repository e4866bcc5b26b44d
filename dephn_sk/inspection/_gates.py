"""How much of each expert each task takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._compat import StrOptions, validate_params
from ._drawing import (
    FONT,
    around_zero,
    count_epochs,
    draw_legend,
    draw_matrix,
    line_style,
    mark_epoch,
    matrix_width,
    panels,
)
from ._fitted import kept_epoch, network_of, recorded, tasks_of
from ._gate_values import expert_utilization, gate_values


class GateDisplay:
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

    def __init__(
        self,
        gates: ArrayLike,
        *,
        task_names: Sequence[str],
        branch_names: Sequence[str],
        history: ArrayLike | None = None,
        best_epoch: int | None = None,
    ) -> None:
        self.gates = gates
        self.task_names = task_names
        self.branch_names = branch_names
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    @validate_params(
        {"kind": [StrOptions({"values", "history"})]},
        prefer_skip_nested_validation=True,
    )
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
        display = cls(
            gate_values(estimator, X),
            task_names=tasks_of(estimator).names,
            branch_names=list(network_of(estimator).branch_names),
            history=recorded(estimator, "gates"),
            best_epoch=kept_epoch(estimator),
        )
        draw = display.plot if kind == "values" else display.plot_history
        return draw(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool | None = None,
        **imshow_kwargs: Any,
    ) -> GateDisplay:
        """Draw the matrix of gates.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None makes a figure.
        include_values : bool, default=None
            Whether values are printed; None: where there is room for them.
        **imshow_kwargs : dict
            For ``Axes.imshow``.

        Returns
        -------
        GateDisplay
        """
        height = 1.2 + 0.3 * len(self.task_names)
        width = matrix_width(len(self.branch_names))
        self.ax_ = panels(ax, 1, height=height, width=width)[0, 0]
        self.figure_ = self.ax_.figure
        self.image_, self.colorbar_, self.text_ = draw_matrix(
            self.ax_,
            self.gates,
            self.task_names,
            self.branch_names,
            label="gate",
            include_values=include_values,
            **{**around_zero(self.gates), **imshow_kwargs},
        )
        return self

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
        n_epochs, n_tasks, n_branches = history.shape
        self.axes_ = panels(ax, n_tasks, sharex=True, sharey=True).ravel()
        self.figure_ = self.axes_[0].figure
        self.lines_ = np.empty((n_tasks, n_branches), dtype=object)
        for task, panel in enumerate(self.axes_):
            for branch in range(n_branches):
                (self.lines_[task, branch],) = panel.plot(
                    np.arange(1, n_epochs + 1),
                    history[:, task, branch],
                    **{"linestyle": line_style(branch), **line_kwargs},
                )
            mark_epoch(panel, self.best_epoch)
            panel.set_title(self.task_names[task], loc="left", fontsize=FONT)
            panel.set_ylabel("gate", fontsize=FONT)
            count_epochs(panel)
        for branch, name in enumerate(self.branch_names):
            self.lines_[-1, branch].set_label(name)
        self.axes_[-1].set_xlabel("epoch", fontsize=FONT)
        draw_legend(self.axes_[-1], ax)
        return self
