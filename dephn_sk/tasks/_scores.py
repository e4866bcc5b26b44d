"""Scores of more rows than memory holds: of what can be summed up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ._tasks import Tasks

KEPT_ROWS = 2**20  # so many are scored as they are
_BINS = 2**16  # of probabilities, with about as many of the first rows each


class Scores:
    """The score of each task, of rows that come in parts.

    Up to `KEPT_ROWS` of them are kept, and scored exactly. Of more, sums are, and pairs
    in one of 2**16 bins of probabilities count one half for an AUC.

    Parameters
    ----------
    tasks : Tasks
    """

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self._kept: list[tuple[Sequence[NDArray], NDArray, NDArray | None]] = []
        self._sums: list[Sums] | None = None
        self._n_rows = 0

    def add(
        self,
        predictions: Sequence[NDArray],
        values: NDArray,
        weights: NDArray | None = None,
    ) -> None:
        """Take in rows, as :meth:`Tasks.score` has them."""
        self._kept.append((predictions, values, weights))
        self._n_rows += len(values)
        if self._n_rows > KEPT_ROWS and (self._sums or len(self._kept) > 1):
            self._sum_up()

    def values(self) -> list[float]:
        """NaN where a score is undefined."""
        if self._sums is None and self._kept:
            return self.tasks.score(*_joined(self._kept))
        return [one.value() for one in self._sums or ()]

    def _sum_up(self) -> None:
        tasks, single = self.tasks.tasks, self.tasks.single
        self._sums = self._sums or [task.sums(alone=single) for task in tasks]
        predictions, values, weights = _joined(self._kept)
        self._kept = []
        for t, sums in enumerate(self._sums):
            own = predictions[t], values[:, t]
            if weights is None:
                sums.add(*own, np.ones(len(values)))
            else:
                rows = weights[:, t] > 0
                weight = weights[rows, t].astype(np.float64)
                sums.add(own[0][rows], own[1][rows], weight)


def _joined(parts: list[Any]) -> tuple[Any, ...]:
    """The rows of all parts together."""
    if len(parts) == 1:
        return tuple(parts[0])
    predictions, values, weights = zip(*parts, strict=True)
    by_task = [np.concatenate(own) for own in zip(*predictions, strict=True)]
    whole = None if weights[0] is None else np.concatenate(weights)
    return by_task, np.concatenate(values), whole


class Sums(ABC):
    """Sums over rows from which a score is computed."""

    @abstractmethod
    def add(self, prediction: NDArray, values: NDArray, weights: NDArray) -> None:
        """Take in rows, whose weights are above 0."""

    @abstractmethod
    def value(self) -> float:
        """The score of all rows; NaN where it is undefined."""


class RightSums(Sums):
    """Of the share of rows whose most probable class is the right one.

    >>> sums = RightSums()
    >>> for probabilities in ([[0.9, 0.1]], [[0.2, 0.8], [0.3, 0.7]]):
    ...     values = np.zeros(len(probabilities))
    ...     sums.add(np.array(probabilities), values, np.ones(len(values)))
    >>> round(sums.value(), 3)
    0.333
    """

    def __init__(self) -> None:
        self.right = self.all = 0.0

    def add(self, prediction: NDArray, values: NDArray, weights: NDArray) -> None:
        self.right += float(weights[prediction.argmax(axis=1) == values].sum())
        self.all += float(weights.sum())

    def value(self) -> float:
        return self.right / self.all if self.all else np.nan


class RankSums(Sums):
    """Of the area under the ROC curve: weights of both classes, by probability.

    The first rows, which are many, decide the bins: each distinct probability is one,
    or neighbours share one.

    >>> sums = RankSums()
    >>> for probability, positive in (([0.2, 0.1, 0.3], [0, 1, 1]), ([0.2], [0])):
    ...     both = np.column_stack([1 - np.array(probability), probability])
    ...     sums.add(both, np.array(positive), np.ones(len(positive)))
    >>> sums.value()
    0.5
    """

    def __init__(self) -> None:
        self.edges: NDArray | None = None
        self.weights = np.zeros((2, 1))
        self.undefined = False

    def add(self, prediction: NDArray, values: NDArray, weights: NDArray) -> None:
        p = prediction[:, -1]
        if np.isnan(p).any():
            self.undefined = True
            return
        if self.edges is None:
            inner = np.sort(p)[:: max(1, len(p) // _BINS)] if len(p) > _BINS else p
            self.edges = np.unique(inner)
            self.weights = np.zeros((2, len(self.edges) + 1))
        bins = np.searchsorted(self.edges, p, side="right")
        np.add.at(self.weights, ((values == 1).astype(np.int64), bins), weights)

    def value(self) -> float:
        wrong, right = self.weights
        pairs = wrong.sum() * right.sum()
        if self.undefined or not pairs:
            return np.nan
        return float(right @ (wrong.cumsum() - wrong / 2) / pairs)


class SquareSums(Sums):
    """Of R².

    >>> sums = SquareSums()
    >>> for prediction, values in (([1.0, 2.0], [1.0, 2.0]), ([3.0], [6.0])):
    ...     sums.add(np.array([prediction]).T, np.array(values), np.ones(len(values)))
    >>> round(sums.value(), 3)
    0.357
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.weight = self.mean = self.total = self.left = 0.0

    def add(self, prediction: NDArray, values: NDArray, weights: NDArray) -> None:
        if not len(values):
            return
        weight = float(weights.sum())
        mean = float(np.average(values, weights=weights))
        self.left += float(weights @ (values - prediction[:, 0]) ** 2)
        # the squares around the mean of all rows: Chan, Golub and LeVeque, 1979
        apart = self.weight * weight / (self.weight + weight) * (mean - self.mean) ** 2
        self.total += float(weights @ (values - mean) ** 2) + apart
        self.weight += weight
        self.mean += (mean - self.mean) * weight / self.weight
        self.n_rows += len(values)

    def value(self) -> float:
        if self.n_rows < 2:
            return np.nan
        if not self.total:  # as scikit-learn's r2_score has it
            return 0.0 if self.left else 1.0
        return 1 - self.left / self.total
