"""How the loss of each task fell while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._compat import StrOptions, validate_params
from ._drawing import FONT, count_epochs, draw_legend, mark_epoch, panels
from ._fitted import kept_epoch, recorded, tasks_of


class TrainingCurveDisplay:
    """Loss and score of each task over epochs, on training and validation rows.

    Figure 6 of the paper, which compares two kinds of gates: draw a second estimator
    into the ``axes_`` of the first.

    Parameters
    ----------
    train_loss : array-like of shape (n_epochs, n_tasks)
        Mean loss of each task in each epoch, measured while it trained.
    valid_loss : array-like of shape (n_epochs, n_tasks), default=None
        Loss on rows set aside, after the epoch; None where there are none.
    valid_score : array-like of shape (n_epochs, n_tasks), default=None
        A score on the rows set aside.
    task_names : sequence of str of length n_tasks
    best_epoch : int, default=None
        Epoch, counted from 1, whose weights were kept.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_tasks,)
        A panel for each task.
    lines_ : ndarray of Line2D of shape (n_tasks, n_curves)
        Training before validation.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay([[0.5], [0.25]], task_names=["click"])
    >>> display.plot().lines_[0, 0].get_ydata()
    array([0.5 , 0.25])
    """

    def __init__(
        self,
        train_loss: ArrayLike,
        *,
        valid_loss: ArrayLike | None = None,
        valid_score: ArrayLike | None = None,
        task_names: Sequence[str],
        best_epoch: int | None = None,
    ) -> None:
        self.train_loss = train_loss
        self.valid_loss = valid_loss
        self.valid_score = valid_score
        self.task_names = task_names
        self.best_epoch = best_epoch

    @classmethod
    @validate_params(
        {"metric": [StrOptions({"loss", "score"})]},
        prefer_skip_nested_validation=True,
    )
    def from_estimator(
        cls,
        estimator: Any,
        *,
        metric: str = "loss",
        name: str | None = None,
        ax: Any = None,
        **line_kwargs: Any,
    ) -> TrainingCurveDisplay:
        """Draw what a fitted estimator recorded.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted; a Pipeline or search ends with the estimator.
        metric : {"loss", "score"}, default="loss"
            What to draw; see :meth:`plot`.
        name : str, default=None
            Of the estimator, for the legend.
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **line_kwargs : dict
            For ``Axes.plot``.

        Returns
        -------
        TrainingCurveDisplay
        """
        display = cls(
            cast(NDArray, recorded(estimator, "train_task_loss")),
            valid_loss=recorded(estimator, "valid_task_loss"),
            valid_score=recorded(estimator, "valid_task_score"),
            task_names=tasks_of(estimator).names,
            best_epoch=kept_epoch(estimator),
        )
        return display.plot(ax=ax, metric=metric, name=name, **line_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        metric: str = "loss",
        name: str | None = None,
        **line_kwargs: Any,
    ) -> TrainingCurveDisplay:
        """Draw the curves, a panel for each task.

        Parameters
        ----------
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        metric : {"loss", "score"}, default="loss"
            ``"loss"``: dashed on training rows, solid on validation rows. ``"score"``:
            on validation rows, the only ones where it is measured.
        name : str, default=None
            Of the estimator, for the legend.
        **line_kwargs : dict
            For ``Axes.plot``.

        Returns
        -------
        TrainingCurveDisplay
        """
        parts = [("validation", self.valid_score, "-")]
        if metric == "loss":
            parts = [
                ("train", self.train_loss, "--"),
                ("validation", self.valid_loss, "-"),
            ]
        curves = [(r, np.asarray(v), s) for r, v, s in parts if v is not None]
        if not curves:
            raise ValueError(
                "No score was recorded: it is measured on rows set aside, with "
                "early_stopping=True."
            )
        n_tasks = len(self.task_names)
        self.axes_ = panels(ax, n_tasks, sharex=True).ravel()
        self.figure_ = self.axes_[0].figure
        self.lines_ = np.empty((n_tasks, len(curves)), dtype=object)
        for task, panel in enumerate(self.axes_):
            color: dict[str, Any] = {}
            for c, (rows, values, style) in enumerate(curves):
                (line,) = panel.plot(
                    np.arange(1, len(values) + 1),
                    values[:, task],
                    **{
                        "linestyle": style,
                        "marker": "o" if len(values) == 1 else None,
                        "label": rows if name is None else f"{name}, {rows}",
                        **color,
                        **line_kwargs,
                    },
                )
                color = {"color": line.get_color()}
                self.lines_[task, c] = line
            mark_epoch(panel, self.best_epoch, **color)
            panel.set_title(self.task_names[task], loc="left", fontsize=FONT)
            panel.set_ylabel(metric, fontsize=FONT)
            count_epochs(panel)
        self.axes_[-1].set_xlabel("epoch", fontsize=FONT)
        draw_legend(self.axes_[0], ax, n_columns=2)
        return self
