"""How the loss of each task fell while training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._compat import StrOptions, validate_params
from ._drawing import TaskPanels, draw_legend, mark_epochs
from ._fitted import final_estimator, recorded


@dataclass(eq=False, repr=False)
class TrainingCurveDisplay(TaskPanels):
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

    train_loss: ArrayLike
    _: KW_ONLY
    valid_loss: ArrayLike | None = None
    valid_score: ArrayLike | None = None
    task_names: Sequence[str]
    best_epoch: int | None = None

    @classmethod
    @validate_params({"metric": [StrOptions({"loss", "score"})]})
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
        final = final_estimator(estimator)
        return cls(
            recorded(final, "train_task_loss"),
            valid_loss=recorded(final, "valid_task_loss"),
            valid_score=recorded(final, "valid_task_score"),
            task_names=final.tasks_.names,
            best_epoch=final.kept_epoch_,
        ).plot(ax=ax, metric=metric, name=name, **line_kwargs)

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
        train, valid = None, self.valid_score
        if metric == "loss":
            train, valid = self.train_loss, self.valid_loss
        parts = [("train", train, "--"), ("validation", valid, "-")]
        curves = [(r, np.asarray(v), s) for r, v, s in parts if v is not None]
        if not curves:
            raise ValueError(
                "No score was recorded: it is measured on rows set aside, with "
                "early_stopping=True."
            )
        self._open_panels(ax, "epoch", metric, sharex=True)
        self.lines_ = np.empty((len(self.axes_), len(curves)), dtype=object)
        for task, panel in enumerate(self.axes_):
            style = dict(line_kwargs)
            for c, (rows, values, dashes) in enumerate(curves):
                label = rows if name is None else f"{name}, {rows}"
                marker = "o" if len(values) == 1 else None
                own = {"linestyle": dashes, "marker": marker, "label": label}
                epochs = np.arange(1, len(values) + 1)
                (line,) = panel.plot(epochs, values[:, task], **(own | style))
                style["color"] = line.get_color()  # of all curves of the panel
                self.lines_[task, c] = line
            mark_epochs(panel, self.best_epoch, style["color"])
        draw_legend(self.axes_[0], ax, n_columns=2)
        return self
