"""Kinds of task: all that differs between two classes, several, and kinds to come."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.special import expit, logit, softmax
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    logsigmoid,
)

from ._labels import Column
from ._ranking import roc_auc
from ._scores import RankSums, RightSums, Sums

RAREST = 1e-6  # rate that a class without a row starts from


class Task(ABC):
    """One task: how its labels become numbers, are learned, predicted and judged.

    A further kind of task is one subclass, and one entry in :data:`KINDS`.

    Attributes
    ----------
    name : str
    classes : ndarray
        Sorted classes, the second of two the positive one; empty where there are none.
    n_outputs : int
        Number of logits.
    n_levels : int
        Number of values that similarities of labels tell apart; 0 for numbers.
    """

    name: str
    classes: NDArray
    n_outputs: int
    n_levels: int
    # what a score lacks where it is undefined, and what target statistics are called
    undefined: ClassVar[str] = "it needs rows, and two classes in them"
    statistic: ClassVar[str] = "rate"

    @classmethod
    @abstractmethod
    def learn(
        cls, column: Column, classes: NDArray | None = None, single: bool = False
    ) -> Task | None:
        """The task of a column of y, None where this is another kind's.

        `classes` are those that were announced; `single` says that y has no other
        column.
        """

    @abstractmethod
    def read(self, column: Column, unseen: float | None = None) -> NDArray[np.float64]:
        """Numbers of the observed labels; an unknown one is an error, or `unseen`."""

    def fitted(self, values: NDArray, weights: NDArray) -> Self:
        """The task with a scale that is learned from labels of rows that train."""
        return self

    def scaled(self, values: NDArray) -> NDArray:
        """Labels as the loss takes them."""
        return values

    def unscaled(self, values: NDArray) -> NDArray:
        """The labels that :meth:`scaled` has made these of."""
        return values

    def comparable(self, values: Tensor) -> Tensor:
        """Of scaled labels, numbers whose means and correlations say something."""
        return values

    @abstractmethod
    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        """Loss of each label; of a regression, of labels that are scaled.

        Shape: ``logits (..., n_outputs)``, ``values (...)`` -> ``(...)``
        """

    def joins(self, other: Task) -> bool:
        """Whether one call of :meth:`loss` may serve both."""
        return type(self) is type(other) and self.n_outputs == other.n_outputs

    @abstractmethod
    def start(self, values: NDArray, weights: NDArray) -> NDArray[np.float64]:
        """Logits of what is right for most rows, (n_outputs,)."""

    def rate(self, start: NDArray) -> float | None:
        """The rate of the positive class that the logits stand for, if there is one."""
        return None

    @abstractmethod
    def predict(self, logits: NDArray) -> NDArray[np.float64]:
        """Predictions of logits of shape (n_samples, n_outputs)."""

    def pool(self, logits: Tensor) -> Tensor:
        """Logits of what several networks predict together.

        Here of the mean of their logits, which is right where predictions are linear in
        them.

        Shape: ``logits (n_networks, ..., n_outputs)`` -> ``(..., n_outputs)``
        """
        return logits.mean(0)

    @abstractmethod
    def score(self, values: NDArray, prediction: NDArray, weights: NDArray) -> float:
        """How good predictions are, greater is better; NaN where it is undefined."""

    def score_alone(
        self, values: NDArray, prediction: NDArray, weights: NDArray
    ) -> float:
        """The same for a y of this task alone, as scikit-learn judges one."""
        return self.score(values, prediction, weights)

    @abstractmethod
    def sums(self, alone: bool = False) -> Sums:
        """What adds up the same score, of rows that come in parts."""

    @abstractmethod
    def decode(self, prediction: NDArray) -> NDArray:
        """Predicted labels, as they were given."""

    @property
    def shown(self) -> Any:
        """What summaries say of the labels: the classes, or the kind of number."""
        return self.classes

    @property
    def outputs(self) -> tuple[str, ...]:
        """A name for each logit: that of the task, or of the task and the class."""
        several = tuple(f"{self.name}={one}" for one in self.classes)
        return (self.name,) if self.n_outputs == 1 else several

    @property
    def rate_labels(self) -> tuple[str, ...]:
        """What tells the rates of the task's labels apart; one empty text for one."""
        return ("",)

    def label_dtype(self, float_dtype: DTypeLike) -> np.dtype:
        """The smallest dtype that holds every value."""
        return np.dtype(float_dtype)

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All of it as arrays and scalars of JSON."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> Task:
        """The task of a :meth:`state`."""


class ClassTask(Task):
    """What the kinds of classification share; a value is the index of a class."""

    fewest_classes: ClassVar[int] = 1
    most_classes: ClassVar[float] = np.inf

    def __init__(self, name: str, classes: NDArray) -> None:
        self.name = name
        self.classes = classes

    @classmethod
    def learn(
        cls, column: Column, classes: NDArray | None = None, single: bool = False
    ) -> Task | None:
        if classes is None:
            classes = learned_classes(column, single)
        takes = cls.fewest_classes <= len(classes) <= cls.most_classes
        return cls(column.name, classes) if takes else None

    def read(self, column: Column, unseen: float | None = None) -> NDArray[np.float64]:
        values = column.positions(self.classes).astype(np.float64)
        new = values < 0
        if unseen is not None:
            values[new] = unseen
        elif new.any():
            raise ValueError(
                f"Task {self.name!r} has the label {column.known[new].tolist()[0]!r}, "
                f"which was not seen in fit; its classes are {self.classes.tolist()}."
            )
        return values

    @abstractmethod
    def margins(self, logits: Tensor, values: Tensor) -> Tensor:
        """Log-odds of each label's own class, against all others together.

        Shape: ``logits (..., n_outputs)``, ``values (...)`` -> ``(...)``
        """

    def _masses(self, values: NDArray, weights: NDArray) -> NDArray:
        """Share of each class, none quite 0 or 1."""
        mass = np.bincount(values.astype(np.intp), weights, minlength=self.n_levels)
        return (mass / mass.sum()).clip(RAREST, 1 - RAREST)

    def score(self, values: NDArray, prediction: NDArray, weights: NDArray) -> float:
        """Weighted share of rows whose most probable class is the right one."""
        sums = RightSums()
        sums.add(prediction, values, weights)
        return sums.value()

    def sums(self, alone: bool = False) -> Sums:
        return RightSums()

    def decode(self, prediction: NDArray) -> NDArray:
        return self.classes[prediction.argmax(axis=1)]

    def label_dtype(self, float_dtype: DTypeLike) -> np.dtype:
        return np.dtype(np.uint8 if self.n_levels <= 2**8 else float_dtype)

    def state(self) -> dict[str, Any]:
        return {"name": self.name, "classes": self.classes}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Task:
        name, classes = state["name"], state["classes"]
        right = type(name) is str and type(classes) is np.ndarray and classes.ndim == 1
        if not right or not cls.fewest_classes <= len(classes) <= cls.most_classes:
            raise ValueError(f"Task {name!r} cannot have the classes {classes!r}.")
        return cls(name, classes)


class Binary(ClassTask):
    r"""Two classes, one logit :math:`z`, the log-odds of the second class.

    .. math:: \ell = -y \log \sigma(z) - (1 - y) \log (1 - \sigma(z))

    Examples
    --------
    >>> import torch
    >>> Binary("click", np.array([0, 1])).loss(torch.zeros(1, 1), torch.ones(1))
    tensor([0.6931])
    """

    n_outputs, n_levels = 1, 2
    most_classes = 2  # a y of one column may have one class

    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(
            logits.squeeze(-1), values, reduction="none"
        )

    def margins(self, logits: Tensor, values: Tensor) -> Tensor:
        return (2 * values - 1) * logits.squeeze(-1)

    def start(self, values: NDArray, weights: NDArray) -> NDArray[np.float64]:
        return logit(self._masses(values, weights)[1:])

    def rate(self, start: NDArray) -> float | None:
        return float(expit(start[0]))

    def pool(self, logits: Tensor) -> Tensor:
        # log p - log (1 - p) of the mean p, neither of which rounds to 0 or 1
        return logsigmoid(logits).logsumexp(0) - logsigmoid(-logits).logsumexp(0)

    def predict(self, logits: NDArray) -> NDArray[np.float64]:
        if len(self.classes) == 1:
            return np.ones(logits.shape)
        return np.hstack([expit(-logits), expit(logits)])

    def score(self, values: NDArray, prediction: NDArray, weights: NDArray) -> float:
        return roc_auc(values == 1, prediction[:, -1], weights)

    def score_alone(
        self, values: NDArray, prediction: NDArray, weights: NDArray
    ) -> float:
        return super().score(values, prediction, weights)

    def sums(self, alone: bool = False) -> Sums:
        return RightSums() if alone else RankSums()


class MultiClass(ClassTask):
    r"""Three classes or more, a logit each.

    .. math:: \ell = -\log \mathrm{softmax}(z)_y

    Examples
    --------
    >>> import torch
    >>> task = MultiClass("kind", np.array(["a", "b", "c"]))
    >>> task.loss(torch.zeros(1, 3), torch.ones(1))
    tensor([1.0986])
    """

    fewest_classes = 3

    def __init__(self, name: str, classes: NDArray) -> None:
        super().__init__(name, classes)
        self.n_outputs = self.n_levels = len(classes)

    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        flat = logits.reshape(-1, self.n_outputs)
        losses = cross_entropy(flat, values.reshape(-1).long(), reduction="none")
        return losses.view(values.shape)

    def margins(self, logits: Tensor, values: Tensor) -> Tensor:
        own = values.long().unsqueeze(-1)
        others = logits.scatter(-1, own, -math.inf).logsumexp(-1)
        return logits.gather(-1, own).squeeze(-1) - others

    def start(self, values: NDArray, weights: NDArray) -> NDArray[np.float64]:
        return np.log(self._masses(values, weights))

    def pool(self, logits: Tensor) -> Tensor:
        """The logarithms of the means of probabilities."""
        return logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))

    def predict(self, logits: NDArray) -> NDArray[np.float64]:
        return softmax(logits, axis=1)

    @property
    def shown(self) -> Any:
        """What summaries say of the labels: the classes, or the kind of number."""
        return self.classes

    @property
    def outputs(self) -> tuple[str, ...]:
        """A name for each logit: that of the task, or of the task and the class."""
        several = tuple(f"{self.name}={one}" for one in self.classes)
        return (self.name,) if self.n_outputs == 1 else several

    @property
    def rate_labels(self) -> tuple[str, ...]:
        return tuple(f"{label}_" for label in self.classes)


class Fraction(Binary):
    """Numbers that are taken as they are: 0, 1 and what lies between.

    No kind of :data:`KINDS`: target statistics alone take it.
    """

    @classmethod
    def learn(
        cls, column: Column, classes: NDArray | None = None, single: bool = False
    ) -> Task | None:
        kind = column.known.dtype.kind
        numbers = kind == "f" or (kind in "biu" and set(column.distinct) <= {0, 1})
        return cls(column.name, np.array([0.0, 1.0])) if numbers else None

    def read(self, column: Column, unseen: float | None = None) -> NDArray[np.float64]:
        known = column.known
        bad = known[~np.isfinite(known)] if known.dtype.kind in "biuf" else known
        if len(bad):
            raise ValueError(
                f"Task {self.name!r} has the label {bad[0]!r}, but its labels are "
                "finite numbers."
            )
        return known.astype(np.float64)

    def label_dtype(self, float_dtype: DTypeLike) -> np.dtype:
        return np.dtype(float_dtype)


# asked in this order which takes a column
KINDS: list[type[Task]] = [Binary, MultiClass]


def learned_classes(column: Column, single: bool = False) -> NDArray:
    """The classes of a column, sorted, with an error that names the task."""
    where = "y" if single else f"Task {column.name!r}"
    known = column.known
    if known.dtype.kind == "c":
        raise ValueError(f"{where}: Complex data not supported: {known[0]}.")
    if known.dtype.kind == "f" and np.isinf(known).any():
        raise ValueError(f"{where} contains infinity; give class labels.")
    try:
        classes = column.distinct
    except TypeError:
        types = sorted({type(label).__name__ for label in known.tolist()})
        raise ValueError(
            f"{where} mixes labels of the types {', '.join(types)}, which cannot be "
            "ordered. Convert them to one type."
        ) from None
    if known.dtype.kind not in "biuUS" or 2 * len(classes) > len(known):
        try:
            check_classification_targets(known)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        except TypeError:
            pass  # of bytes, which are as good as text here
    declared = column.declared
    if not single and declared is not None and len(declared) >= 2:
        return np.sort(declared)
    if single or len(classes) > 1:
        return classes
    # a binary task that happens to be constant keeps its two classes
    for pair in ((0, 1), (-1, 1)):
        if classes.dtype.kind in "biuf" and classes[0] in pair:
            return np.array(pair).astype(classes.dtype)
    raise ValueError(
        f"{where} has one class, {classes[0]!r}; a task needs two. Leave it out, or "
        "give it as 0 and 1 or as a categorical column with both classes."
    )
