"""How alike the tasks' labels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike, NDArray

from .._compat import StrOptions, validate_params
from ..nn import label_similarity
from ..tasks import Tasks
from ._drawing import SEQUENTIAL
from ._fitted import final_estimator
from ._matrix import Matrix, MatrixDisplay


def similarity_of_labels(tasks: Tasks, y: Any, kind: str | None) -> NDArray:
    """Similarity of each pair of tasks, (n_tasks, n_tasks), over the rows of y.

    Where a network asks for no kind, None, it is Pearson's.
    """
    read = tasks.entire_space(tasks.read(y))
    scaled = torch.from_numpy(tasks.scaled(read.filled()))
    labels = tasks.comparable(scaled)
    return label_similarity(labels, kind or "pearson", n_classes=tasks.n_levels).numpy()


@dataclass(eq=False, repr=False)
class LabelSimilarityDisplay(MatrixDisplay):
    """Absolute similarity of the labels of each pair of tasks.

    What the virtual gradient reads of each batch, over a whole table. See
    :func:`~dephn_sk.nn.label_similarity`.

    Parameters
    ----------
    similarity : array-like of shape (n_tasks, n_tasks)
        In [0, 1]; NaN where it is undefined.
    task_names : sequence of str of length n_tasks

    Attributes
    ----------
    ax_ : Axes
    image_ : AxesImage
    colorbar_ : Colorbar
    text_ : ndarray of Text of shape (n_tasks, n_tasks), or None
        Printed values.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import LabelSimilarityDisplay
    >>> log = make_behavior_log(1000, random_state=0)
    >>> LabelSimilarityDisplay.from_labels(log.target).similarity.shape
    (3, 3)
    """

    similarity: ArrayLike
    _: KW_ONLY
    task_names: Sequence[str]

    @classmethod
    @validate_params({"kind": [StrOptions({"pearson", "cosine"})]})
    def from_labels(
        cls, y: Any, *, kind: str = "pearson", ax: Any = None, **kwargs: Any
    ) -> LabelSimilarityDisplay:
        """Draw the similarity of labels.

        Parameters
        ----------
        y : DataFrame or array-like of shape (n_samples, n_tasks)
            Labels. NaN is not observed: the row does not count for that task's pairs.
        kind : {"pearson", "cosine"}, default="pearson"
            Of two binary tasks; a pair with a multi-class task is compared by
            Cramér's V.
        ax : Axes, default=None
            Where to draw. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        LabelSimilarityDisplay
        """
        tasks = Tasks.learn(y)
        similarity = similarity_of_labels(tasks, y, kind)
        return cls(similarity, task_names=tasks.names).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: Any, y: Any, *, ax: Any = None, **kwargs: Any
    ) -> LabelSimilarityDisplay:
        """Draw the similarity of labels as an estimator measures it.

        By Pearson's correlation where it measures none.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted; a Pipeline or search ends with the estimator.
        y : DataFrame or array-like of shape (n_samples, n_tasks)
            Labels of the estimator's tasks; NaN is not observed.
        ax : Axes, default=None
            Where to draw. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        LabelSimilarityDisplay
        """
        final = final_estimator(estimator)
        kind = final.network_.wants_label_similarity
        similarity = similarity_of_labels(final.tasks_, y, kind)
        return cls(similarity, task_names=final.tasks_.names).plot(ax=ax, **kwargs)

    def _matrix(self) -> Matrix:
        names, colors = self.task_names, {"cmap": SEQUENTIAL, "vmin": 0, "vmax": 1}
        height = 1.2 + 0.3 * len(names)
        return Matrix(self.similarity, names, names, "label similarity", height, colors)
