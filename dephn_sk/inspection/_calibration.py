"""Whether a predicted probability of 10 % comes true in 10 % of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..metrics._per_task import reliability
from ..metrics._tasks import iter_tasks
from ._drawing import TaskPanels, draw_legend
from ._fitted import check_classes, task_classifier


@dataclass(eq=False, repr=False)
class CalibrationDisplay(TaskPanels):
    """Reliability curve of each task.

    As scikit-learn's display of that name, for several tasks with missing labels. A
    multi-class task shows how often its most probable class is right.

    Parameters
    ----------
    prob_true : list of n_tasks arrays of shape (n_bins,)
        Observed share of positives in each bin.
    prob_pred : list of n_tasks arrays of shape (n_bins,)
        Mean predicted probability in each bin.
    task_names : sequence of str of length n_tasks

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_tasks,)
        A panel for each task.
    lines_ : ndarray of Line2D of shape (n_tasks,)
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import CalibrationDisplay
    >>> display = CalibrationDisplay.from_predictions(
    ...     [0, 1, 1, 1, None], [0.25, 0.25, 0.75, 0.75, 0.5], n_bins=2
    ... )
    >>> display.lines_[0].get_xydata()
    array([[0.25, 0.5 ],
           [0.75, 1.  ]])
    """

    prob_true: Sequence[ArrayLike]
    prob_pred: Sequence[ArrayLike]
    _: KW_ONLY
    task_names: Sequence[str]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> CalibrationDisplay:
        """Draw how calibrated a fitted estimator is.

        Parameters
        ----------
        estimator : estimator, TaskCalibrator, Pipeline or search
            Fitted.
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
            NaN is a label that was not observed.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None
        n_bins : int, default=10
            Bins of equally many rows.
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        CalibrationDisplay
        """
        final = task_classifier(estimator)
        check_classes(estimator, cls.__name__)
        return cls.from_predictions(
            y,
            estimator.predict_proba(X),
            classes=final.classes_,
            task_names=final.task_names_,
            sample_weight=sample_weight,
            n_bins=n_bins,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_prob: Any,
        *,
        classes: Any = None,
        task_names: Sequence[str] | None = None,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> CalibrationDisplay:
        """Draw how calibrated given probabilities are.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
            Labels. NaN, None or pd.NA is not observed.
        y_prob : array-like or list of arrays
            Probabilities, in every form that :func:`~dephn_sk.metrics.task_roc_auc`
            takes.
        classes : array-like or list of arrays, default=None
            As there.
        task_names : sequence of str of length n_tasks, default=None
            None is the columns of `y_true`, or ``"task0"``, ``"task1"``, …
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None
        n_bins : int, default=10
            Bins of equally many rows. Equal probabilities share a bin.
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        CalibrationDisplay
        """
        tasks = list(iter_tasks(y_true, y_prob, classes, sample_weight))
        curves = [reliability(task, n_bins) for task in tasks]
        true, predicted, _ = zip(*curves, strict=True)
        names = task_names or [task.name for task in tasks]
        return cls(true, predicted, task_names=names).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, **line_kwargs: Any
    ) -> CalibrationDisplay:
        """Draw the curves, a panel for each task.

        Parameters
        ----------
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        name : str, default=None
            Of the estimator, for the legend.
        **line_kwargs : dict
            For ``Axes.plot``.

        Returns
        -------
        CalibrationDisplay
        """
        self._open_panels(ax, "predicted", "observed", height=1.7)
        self.lines_ = np.empty(len(self.axes_), dtype=object)
        for task, panel in enumerate(self.axes_):
            panel.axline((0, 0), slope=1, color="gray", linewidth=0.8)
            (self.lines_[task],) = panel.plot(
                self.prob_pred[task],
                self.prob_true[task],
                **{"marker": "o", "markersize": 3, "label": name, **line_kwargs},
            )
        draw_legend(self.axes_[0], ax)
        return self
