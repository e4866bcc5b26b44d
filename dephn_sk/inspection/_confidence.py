"""How a model's confidence follows the true one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._drawing import TaskPanels, draw_legend
from ._fitted import check_classes, task_classifier


@dataclass(eq=False, repr=False)
class ConfidenceDisplay(TaskPanels):
    """Predicted probability over the true confidence, for each task.

    Figure 7 of the paper: rows sorted by their true confidence, which simulated data
    know. The steeper the curve, the better the model separates positives from
    negatives; draw a second model into the ``axes_`` of the first.

    Parameters
    ----------
    true_confidence : array-like of shape (n_samples, n_tasks)
        True probabilities, log-odds or confidences of any scale; NaN leaves a row out.
    probability : array-like of shape (n_samples, n_tasks)
        Predicted probabilities of the second class.
    task_names : sequence of str of length n_tasks

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_tasks,)
        A panel for each task.
    lines_ : ndarray of Line2D of shape (n_tasks,)
        Means over bins of equally many rows.
    bands_ : ndarray of PolyCollection of shape (n_tasks,)
        From the 10 % to the 90 % quantile of a bin.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import ConfidenceDisplay
    >>> display = ConfidenceDisplay.from_predictions(
    ...     [[-1.0], [1.0], [-1.0], [1.0]],
    ...     [[0.25], [0.75], [0.25], [0.75]],
    ...     task_names=["click"],
    ...     n_bins=2,
    ... )
    >>> display.lines_[0].get_xydata()
    array([[-1.  ,  0.25],
           [ 1.  ,  0.75]])
    """

    true_confidence: ArrayLike
    probability: ArrayLike
    _: KW_ONLY
    task_names: Sequence[str]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        true_confidence: ArrayLike,
        *,
        ax: Any = None,
        **kwargs: Any,
    ) -> ConfidenceDisplay:
        """Draw the predictions of a fitted estimator.

        Parameters
        ----------
        estimator : estimator, TaskCalibrator, Pipeline or search
            Fitted on binary tasks.
        X : DataFrame or array-like of shape (n_samples, n_features)
        true_confidence : array-like of shape (n_samples, n_tasks)
            Such as ``confidences`` of :func:`~dephn_sk.datasets.make_related_tasks` or
            ``probabilities`` of :func:`~dephn_sk.datasets.make_behavior_log`.
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        ConfidenceDisplay
        """
        tasks = task_classifier(estimator).tasks_
        check_classes(estimator, cls.__name__)
        probability = estimator.predict_proba(X)
        if tasks.single:
            probability = probability[:, 1:]
        return cls.from_predictions(
            true_confidence, probability, task_names=tasks.names, ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        true_confidence: ArrayLike,
        probability: ArrayLike,
        *,
        task_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ConfidenceDisplay:
        """Draw given predictions.

        Parameters
        ----------
        true_confidence, probability : array-like of shape (n_samples, n_tasks)
            See the class.
        task_names : sequence of str of length n_tasks, default=None
            None is ``"task0"``, ``"task1"``, …
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        ConfidenceDisplay
        """
        if isinstance(probability, list) and np.ndim(probability[0]) == 2:
            raise ValueError(
                "probability holds an array for each task; ConfidenceDisplay takes "
                "binary tasks, one column of P(second class) for each."
            )
        true = np.column_stack([true_confidence]).astype(float)  # a vector: one column
        given = np.column_stack([probability]).astype(float)
        if true.shape != given.shape:
            raise ValueError(
                f"true_confidence has shape {true.shape}, but the probabilities have "
                f"{given.shape}; give a column for each task."
            )
        if task_names is None:
            task_names = [f"task{t}" for t in range(true.shape[1])]
        return cls(true, given, task_names=task_names).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        n_bins: int = 20,
        name: str | None = None,
        **line_kwargs: Any,
    ) -> ConfidenceDisplay:
        """Draw the curves, a panel for each task.

        Parameters
        ----------
        ax : Axes or array-like of n_tasks Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        n_bins : int, default=20
            Bins of equally many rows, in the order of the true confidence.
        name : str, default=None
            Of the estimator, for the legend.
        **line_kwargs : dict
            For ``Axes.plot``.

        Returns
        -------
        ConfidenceDisplay
        """
        true, given = np.asarray(self.true_confidence), np.asarray(self.probability)
        self._open_panels(ax, "true confidence", "predicted", sharey=True)
        self.lines_, self.bands_ = np.empty((2, len(self.axes_)), dtype=object)
        for task, panel in enumerate(self.axes_):
            x, mean, low, high = _bins(true[:, task], given[:, task], n_bins)
            (line,) = panel.plot(x, mean, **{"label": name, **line_kwargs})
            self.lines_[task] = line
            style = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
            self.bands_[task] = panel.fill_between(x, low, high, **style)
        draw_legend(self.axes_[0], ax)
        return self


def _bins(true: NDArray, given: NDArray, n_bins: int) -> NDArray:
    """Mean true value, and mean and quantiles of the given ones, (4, n_bins)."""
    known = ~np.isnan(true)
    order = np.flatnonzero(known)[np.argsort(true[known], kind="stable")]
    bins = np.array_split(order, min(n_bins, len(order)))
    curves = [
        [true[rows].mean(), given[rows].mean(), *np.quantile(given[rows], (0.1, 0.9))]
        for rows in bins
    ]
    return np.array(curves).T
