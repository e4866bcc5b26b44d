"""The virtual gradient's functions: where fitted tasks lie on them, what they gain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import combinations, cycle, product
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..nn._virtual_gradient import COEFFICIENTS, COMBINATIONS
from ._drawing import COLORS, FONT, MARKERS, SEQUENTIAL, color_bar, draw_legend, panels
from ._fitted import final_estimator
from ._gate_values import gate_values
from ._label_similarity import similarity_of_labels

RESOLUTION = 101


@dataclass(eq=False, repr=False)
class CoefficientDisplay:
    r"""The eight coefficients :math:`\gamma(x, y)`, and where pairs of tasks lie.

    Figure 4 of the paper: x is the similarity of the labels of two tasks, y the
    difference of their gates, :math:`\min(1, |G^t_{kp} - G^j_{kp}|)`.

    Parameters
    ----------
    similarity : array-like of shape (n_pairs,), default=()
        Label similarity of each pair of tasks; NaN where undefined, where the
        coefficient is 1 and no point is drawn.
    difference : array-like of shape (n_pairs, n_branches), default=()
        Differences of the two tasks' gates.
    pair_names : sequence of str of length n_pairs, default=()
    function : str or callable, default=None
        The function that was used; if it is one of the eight, its title is bold.

    Attributes
    ----------
    surfaces : dict of str to ndarray of shape (101, 101)
        For each function its values on a grid of x (columns) and y (rows) over [0, 1].
    axes_ : ndarray of Axes of shape (4, 2)
    images_ : dict of str to AxesImage
    points_ : dict of str to list of PathCollection
        For each function, the points of each pair.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import CoefficientDisplay
    >>> display = CoefficientDisplay()
    >>> display.surfaces["additive-sqrt"][0, [0, 50, 100]]
    array([2.        , 1.41421356, 0.        ])
    """

    similarity: ArrayLike = ()
    difference: ArrayLike = ()
    _: KW_ONLY
    pair_names: Sequence[str] = ()
    function: str | None = None

    @property
    def surfaces(self) -> dict[str, NDArray]:
        x = torch.linspace(0, 1, RESOLUTION, dtype=torch.float64)
        y, x = torch.meshgrid(x, x, indexing="ij")
        return {name: gamma(x, y).numpy() for name, gamma in COEFFICIENTS.items()}

    @classmethod
    def from_estimator(
        cls, estimator: Any, y: Any, *, X: Any = None, ax: Any = None, **kwargs: Any
    ) -> CoefficientDisplay:
        """Draw where the pairs of tasks of a fitted estimator lie.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted: DEPHN, MT-PHN or MMoE. A Pipeline or search ends with the estimator.
        y : DataFrame or array-like of shape (n_samples, n_tasks)
            Labels, over all of which the similarity is measured.
        X : DataFrame or array-like of shape (n_samples, n_features), default=None
            For mapped gates, which are then averaged over these rows.
        ax : Axes or array-like of 8 Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        CoefficientDisplay
        """
        final, gates = final_estimator(estimator), gate_values(estimator, X)
        tasks, network = final.tasks_, final.network_
        similarity = similarity_of_labels(tasks, y, network.wants_label_similarity)
        pairs = list(combinations(range(len(tasks.names)), 2))
        return cls(
            [similarity[j, t] for j, t in pairs],
            [np.abs(gates[j] - gates[t]).clip(max=1) for j, t in pairs],
            pair_names=[", ".join(pair) for pair in combinations(tasks.names, 2)],
            function=network.virtual_gradient,
        ).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **imshow_kwargs: Any) -> CoefficientDisplay:
        """Draw the surfaces and the points.

        Parameters
        ----------
        ax : Axes or array-like of 8 Axes, default=None
            Where to draw; one Axes is divided. None makes a figure.
        **imshow_kwargs : dict
            For ``Axes.imshow``.

        Returns
        -------
        CoefficientDisplay
        """
        # a column of panels for each combination of similarity and difference
        surfaces, n_columns = self.surfaces, len(COMBINATIONS)
        n_rows = len(surfaces) // n_columns
        self.axes_ = panels(ax, n_rows, n_columns, sharex=True, sharey=True)
        self.figure_ = self.axes_[0, 0].figure
        settings: dict[str, Any] = {"cmap": SEQUENTIAL, "vmin": 0, "vmax": 2}
        settings |= {"origin": "lower", "extent": (0, 1, 0, 1), "aspect": "auto"}
        settings |= imshow_kwargs
        self.images_, self.points_ = {}, {}
        for panel, name in zip(self.axes_.T.flat, surfaces, strict=True):
            weight = "bold" if name == self.function else "normal"
            panel.set_title(name, fontsize="x-small", fontweight=weight)
            self.images_[name] = panel.imshow(surfaces[name], **settings)
            self.points_[name] = self._draw_points(panel)
        for panel in self.axes_[-1]:
            panel.set_xlabel("label similarity", fontsize=FONT)
        for panel in self.axes_[:, 0]:
            panel.set_ylabel("gate difference", fontsize="x-small")
        all_axes = self.axes_.ravel().tolist()
        color_bar(self.images_[name], all_axes, "coefficient", shrink=0.5, pad=0.02)
        draw_legend(self.axes_[-1, 0], ax, n_columns=2)
        return self

    def _draw_points(self, panel: Any) -> list[Any]:
        style = {"s": 14, "edgecolors": "white", "linewidths": 0.5, "clip_on": False}
        looks, drawn = zip(cycle(MARKERS), cycle(COLORS[1:]), strict=False), []
        points = map(np.asarray, (self.similarity, self.difference))
        for x, y, pair in zip(*points, self.pair_names, strict=True):
            style["marker"], style["color"] = next(looks)
            style["label"] = f"{pair} (undefined)" if np.isnan(x) else pair
            drawn.append(panel.scatter(np.full(len(y), x), y, zorder=3, **style))
        return drawn


@dataclass(eq=False, repr=False)
class CoefficientGainDisplay:
    """What each coefficient function gains over another model, for each task.

    Figure 5 of the paper, from the rows of a benchmark.

    Parameters
    ----------
    gains : array-like of shape (n_seeds, n_functions, n_tasks)
        Difference of scores within a seed.
    function_names : sequence of str of length n_functions
    task_names : sequence of str of length n_tasks
    reference : str, default="the reference"
        The other model.
    score_name : str, default="score"

    Attributes
    ----------
    ax_ : Axes
    containers_ : list of ErrorbarContainer
        For each task, the means over seeds with their standard errors.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import CoefficientGainDisplay
    >>> rows = [
    ...     {"model": "MMoE", "seed": 0, "task": "click", "roc_auc": 0.5},
    ...     {"model": "additive-cos", "seed": 0, "task": "click", "roc_auc": 0.75},
    ... ]
    >>> CoefficientGainDisplay.from_records(rows, reference="MMoE").gains
    array([[[0.25]]])
    """

    gains: ArrayLike
    _: KW_ONLY
    function_names: Sequence[str]
    task_names: Sequence[str]
    reference: str = "the reference"
    score_name: str = "score"

    @classmethod
    def from_records(
        cls,
        records: Iterable[Mapping[str, Any]],
        *,
        reference: str = "MMoE",
        score_name: str = "roc_auc",
        ax: Any = None,
        **errorbar_kwargs: Any,
    ) -> CoefficientGainDisplay:
        """Draw the rows of a benchmark.

        Parameters
        ----------
        records : iterable of dict
            Each with the keys ``"model"`` (the name of a coefficient function, or the
            reference), ``"seed"``, ``"task"``, and the score. Every model needs a row
            for each seed and task.
        reference : str, default="MMoE"
            The model to compare with.
        score_name : str, default="roc_auc"
            Key of the score; greater is better.
        ax : Axes, default=None
            Where to draw. None makes a figure.
        **errorbar_kwargs : dict
            For ``Axes.errorbar``.

        Returns
        -------
        CoefficientGainDisplay
        """
        scores = {(r["model"], r["seed"], r["task"]): r[score_name] for r in records}
        models, seeds, tasks = (
            list(dict.fromkeys(names)) for names in zip(*scores, strict=True)
        )
        if reference not in models:
            raise ValueError(
                f"No record has model={reference!r}, the reference; there are {models}."
            )
        for model, seed, task in product(models, seeds, tasks):
            if (model, seed, task) not in scores:
                raise ValueError(
                    f"There is no record of model={model!r}, seed={seed!r}, "
                    f"task={task!r}: gains are differences within a seed."
                )
        by_model = [[[scores[m, s, t] for t in tasks] for s in seeds] for m in models]
        table = np.array(by_model).swapaxes(0, 1)
        old = models.index(reference)
        return cls(
            np.delete(table, old, axis=1) - table[:, [old]],
            function_names=models[:old] + models[old + 1 :],
            task_names=tasks,
            reference=reference,
            score_name=score_name,
        ).plot(ax=ax, **errorbar_kwargs)

    def plot(self, ax: Any = None, **errorbar_kwargs: Any) -> CoefficientGainDisplay:
        """Draw the mean gains with their standard errors over seeds.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None makes a figure.
        **errorbar_kwargs : dict
            For ``Axes.errorbar``.

        Returns
        -------
        CoefficientGainDisplay
        """
        gains = np.asarray(self.gains)
        n_seeds, n_functions, n_tasks = gains.shape
        mean = gains.mean(axis=0)
        error = gains.std(axis=0, ddof=1) / np.sqrt(n_seeds) if n_seeds > 1 else None
        self.ax_ = panels(ax, 1, height=0.8 + 0.12 * n_functions * (n_tasks + 1))[0, 0]
        self.figure_ = self.ax_.figure
        self.ax_.axvline(0, color="gray", linewidth=0.8)
        self.containers_ = []
        for task, name in enumerate(self.task_names):
            offset = (task - (n_tasks - 1) / 2) / (n_tasks + 1)
            style: dict[str, Any] = {"linestyle": "none", "markersize": 4}
            style |= {"marker": MARKERS[task % len(MARKERS)], "label": name}
            style |= errorbar_kwargs
            xerr = None if error is None else error[:, task]
            y = np.arange(n_functions) + offset
            bars = self.ax_.errorbar(mean[:, task], y, xerr=xerr, **style)
            self.containers_.append(bars)
        self.ax_.set_yticks(range(n_functions), self.function_names, fontsize=FONT)
        self.ax_.invert_yaxis()
        label = f"gain in {self.score_name} over {self.reference}"
        self.ax_.set_xlabel(label, fontsize=FONT)
        self.ax_.locator_params(axis="x", nbins=5)
        draw_legend(self.ax_, ax)
        return self
