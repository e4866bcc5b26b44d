"""Kinds of regression: a number of each row, under the loss that suits it.

A kind learns the scale of its labels from the rows that train, and divides its loss by
twice what the best constant costs. So each regression begins at a loss of about one
half, which is the entropy of a binary task with a rate of 20 %, and none drowns the
others. Predictions come back in the units of the labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.metrics import r2_score
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    logsigmoid,
    softplus,
)

from .._suggest import did_you_mean
from ._kinds import RAREST, Binary, MultiClass, Task
from ._labels import Column, Columns
from ._scores import SquareSums, Sums

Learn = Callable[[Column, "NDArray | None", bool], "Task | None"]

LEAST_DEVIATION = 0.1  # of a lognormal, in deviations of all; [ZILN] has 3e-4
ONE = math.log(math.expm1(1.0))  # softplus of it is 1


@dataclass(frozen=True, eq=False)
class RegressionTask(Task):
    """A task whose labels are numbers.

    Attributes
    ----------
    name : str
    center, scale : float
        A label of `y` is learned as ``(y - center) / scale``.
    unit : float
        What the loss is divided by.
    """

    classes = np.empty(0)
    n_outputs, n_levels = 1, 0
    undefined = "it needs two rows"
    statistic = "mean"
    # what users call it, and what it takes
    kind: ClassVar[str]
    domain: ClassVar[str] = "finite numbers"

    name: str
    center: float = 0.0
    scale: float = 1.0
    unit: float = 1.0

    @classmethod
    def learn(
        cls, column: Column, classes: NDArray | None = None, single: bool = False
    ) -> Task | None:
        task = cls(column.name)
        task.read(column)
        return task

    @property
    def shown(self) -> str:
        return self.kind

    def read(self, column: Column, unseen: float | None = None) -> NDArray[np.float64]:
        """The numbers; one that is none, or that the loss does not take, is an error.

        `unseen` has no meaning here: every number has a place.
        """
        known = column.known
        try:
            if known.dtype.kind not in "biufO":
                raise TypeError
            values = known.astype(np.float64)
        except (TypeError, ValueError):
            # times, which are no numbers either, turn into such in a list
            numbers = [_number(one) for one in known.tolist()]
            self._refuse(column, 0 if all(numbers) else numbers.index(False))
        wrong = np.flatnonzero(~(np.isfinite(values) & self._takes(values)))
        if len(wrong):
            self._refuse(column, wrong[0])
        return values

    def _refuse(self, column: Column, place: int) -> None:
        value, row = column.known[place], column.row_of(place)
        if isinstance(value, complex | np.complexfloating):
            raise ValueError(
                f"Task {self.name!r}: Complex data not supported, such as {value} in "
                f"row {row}."
            )
        if isinstance(value, np.datetime64 | np.timedelta64):
            raise ValueError(
                f"Task {self.name!r} holds the time {value!s} in row {row}, but "
                f"{self.shown!r} takes {self.domain}. Give it in a unit, such as "
                "seconds."
            )
        infinite = _number(value) and math.isinf(value)
        raise ValueError(
            f"Task {self.name!r} {'contains infinity: ' if infinite else ''}"
            f"holds {getattr(value, 'item', lambda: value)()!r} in row {row}, but "
            f"{self.shown!r} takes {self.domain}."
        )

    def _takes(self, values: NDArray) -> NDArray[np.bool_]:
        """Which finite numbers are in the domain."""
        return np.ones(len(values), dtype=bool)

    # ------------------------------------------------------------ scale

    def fitted(self, values: NDArray, weights: NDArray) -> Self:
        center, scale = self._scale(values, weights)
        new = replace(self, center=center, scale=scale, unit=1.0)
        scaled = torch.from_numpy(new.scaled(values))
        constant = torch.from_numpy(new.start(values, weights)).expand(len(values), -1)
        cost = np.average(new.loss(constant, scaled).numpy(), weights=weights)
        # labels that are all alike cost nothing
        return replace(new, unit=2 * float(cost) if cost > 1e-12 else 1.0)

    def _scale(self, values: NDArray, weights: NDArray) -> tuple[float, float]:
        """Center and scale of the labels."""
        raise NotImplementedError

    def scaled(self, values: NDArray) -> NDArray[np.float64]:
        return (values - self.center) / self.scale

    def unscaled(self, values: NDArray) -> NDArray[np.float64]:
        return values * self.scale + self.center

    def start(self, values: NDArray, weights: NDArray) -> NDArray[np.float64]:
        return np.zeros(1)

    # ------------------------------------------------------------ predictions

    def joins(self, other: Task) -> bool:
        return False  # each has a scale of its own

    def predict(self, logits: NDArray) -> NDArray[np.float64]:
        """In the units of the labels, (n_samples, 1)."""
        return self.unscaled(logits)

    def decode(self, prediction: NDArray) -> NDArray:
        return prediction[:, 0]

    def score(self, values: NDArray, prediction: NDArray, weights: NDArray) -> float:
        """R², weighted."""
        if len(values) < 2:
            return np.nan
        return float(r2_score(values, prediction[:, 0], sample_weight=weights))

    def sums(self, alone: bool = False) -> Sums:
        return SquareSums()

    # ------------------------------------------------------------ storing

    def state(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Task:
        own = {k: v for k, v in state.items() if k != "kind"}
        numbers = [v for k, v in own.items() if k != "name"]
        right = type(own.get("name")) is str and all(
            type(v) is float and math.isfinite(v) for v in numbers
        )
        if not right or own.keys() != {one.name for one in fields(cls)}:
            raise ValueError(f"Task {own.get('name')!r} cannot be scaled by {own}.")
        new = cls(**own)
        if min(new.scale, new.unit) <= 0:
            raise ValueError(f"Task {new.name!r} cannot have a scale of 0.")
        return new


class Squared(RegressionTask):
    r"""Squared error, of labels in deviations from their mean.

    .. math:: \ell = \frac{1}{2} (z - v)^2, \quad v = (y - \bar y) / s_y

    Its prediction is the mean. Rows of a heavy tail decide it: amounts are better
    learned as ``"gamma"``, ``"poisson"`` or ``"zero-inflated-lognormal"``.

    Examples
    --------
    >>> Squared("watch").loss(torch.zeros(1, 1), torch.tensor([2.0]))
    tensor([2.])
    """

    kind = "squared"

    def _scale(self, values: NDArray, weights: NDArray) -> tuple[float, float]:
        if (values == values[0]).all():
            return float(values[0]), 1.0
        largest = np.abs(values).max()  # squares of the quotients do not overflow
        parts = values / largest
        mean = np.average(parts, weights=weights)
        deviation = math.sqrt(np.average((parts - mean) ** 2, weights=weights))
        return float(mean * largest), float(deviation * largest) or 1.0

    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        return (logits.squeeze(-1) - values).square() / (2 * self.unit)


@dataclass(frozen=True, eq=False)
class Quantile(RegressionTask):
    r"""Pinball loss of a quantile, given as ``"quantile(0.9)"`` [1]_.

    .. math:: \ell = \max(q (v - z), (q - 1) (v - z)) / u

    Labels are centered at that quantile of all, and scaled by their mean absolute
    deviation from it, on which rows of a heavy tail weigh less than on the standard
    deviation.

    References
    ----------
    .. [1] Koenker, Bassett, "Regression Quantiles", Econometrica 1978.

    Examples
    --------
    >>> Quantile("watch", q=0.75).loss(torch.zeros(2, 1), torch.tensor([2.0, -2.0]))
    tensor([1.5000, 0.5000])
    """

    kind = "quantile"

    q: float = 0.5

    @classmethod
    def at(
        cls,
        q: float,
        column: Column,
        classes: NDArray | None = None,
        single: bool = False,
    ) -> Task:
        """The task of a column at a level."""
        task = cls(column.name, q=q)
        task.read(column)
        return task

    @property
    def shown(self) -> str:
        return f"quantile({self.q:g})"

    def _scale(self, values: NDArray, weights: NDArray) -> tuple[float, float]:
        order = np.argsort(values)
        mass = np.cumsum(weights[order])
        # the first value with a share of q at or below it; rounding aside
        place = np.searchsorted(mass, self.q * mass[-1] * (1 - 1e-12))
        center = float(values[order[min(place, len(order) - 1)]])
        deviation = np.average(np.abs(values - center), weights=weights)
        return center, float(deviation) or 1.0

    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        missing = values - logits.squeeze(-1)
        return torch.maximum(self.q * missing, (self.q - 1) * missing) / self.unit

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Task:
        task = super().from_state(state)
        if not 0 < state["q"] < 1:
            raise ValueError(f"Task {task.name!r} cannot have the level {state['q']}.")
        return task


class Absolute(Quantile):
    """Absolute error, whose prediction is the median: the pinball loss at one half.

    Examples
    --------
    >>> Absolute("watch").loss(torch.zeros(1, 1), torch.tensor([2.0]))
    tensor([1.])
    """

    kind = "absolute"
    shown = "absolute"


class LogLink(RegressionTask):
    """What kinds share whose logit is the logarithm of a mean, in means of all."""

    def _scale(self, values: NDArray, weights: NDArray) -> tuple[float, float]:
        largest = np.abs(values).max()
        mean = np.average(values / (largest or 1), weights=weights) * largest
        return 0.0, float(mean) or 1.0

    def comparable(self, values: Tensor) -> Tensor:
        # a tail of few large amounts would be all that means and correlations see
        return values.log1p()

    def start(self, values: NDArray, weights: NDArray) -> NDArray[np.float64]:
        mean = np.average(values / self.scale, weights=weights)
        return np.log(np.array([max(float(mean), RAREST)]))

    def predict(self, logits: NDArray) -> NDArray[np.float64]:
        return np.exp(logits) * self.scale

    def pool(self, logits: Tensor) -> Tensor:
        """The logarithm of the mean of the members' means."""
        return logits.logsumexp(0) - math.log(len(logits))


class Poisson(LogLink):
    r"""Poisson deviance, for counts and amounts that may be zero [1]_.

    .. math:: \ell = (v \log (v / e^z) - v + e^z) / u, \quad v = y / \bar y

    Right for any label of at least zero whose mean is what is asked for.

    References
    ----------
    .. [1] McCullagh, Nelder, "Generalized Linear Models", 1989, chapter 6.

    Examples
    --------
    >>> Poisson("watch").loss(torch.zeros(1, 1), torch.tensor([0.0]))
    tensor([1.])
    """

    kind, domain = "poisson", "finite numbers of at least 0"

    def _takes(self, values: NDArray) -> NDArray[np.bool_]:
        return values >= 0

    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        z = logits.squeeze(-1)
        saturated = torch.xlogy(values, values) - values
        return (z.exp() - values * z + saturated) / self.unit


class Gamma(LogLink):
    r"""Gamma deviance, for amounts above zero: errors count by their ratio [1]_.

    .. math:: \ell = (v / e^z - 1 - \log (v / e^z)) / u, \quad v = y / \bar y

    References
    ----------
    .. [1] McCullagh, Nelder, "Generalized Linear Models", 1989, chapter 8.

    Examples
    --------
    >>> Gamma("watch").loss(torch.zeros(1, 1), torch.tensor([1.0]))
    tensor([0.])
    """

    kind, domain = "gamma", "finite numbers above 0"

    def _takes(self, values: NDArray) -> NDArray[np.bool_]:
        return values > 0

    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        # 0 stands for a label that was not observed, and has a weight of 0
        ratio = values.clamp_min(torch.finfo(values.dtype).tiny).log()
        ratio = ratio - logits.squeeze(-1)
        return (ratio.expm1() - ratio) / self.unit


@dataclass(frozen=True, eq=False)
class ZeroInflatedLognormal(RegressionTask):
    r"""Amounts that are zero in most rows and have a heavy tail in the others [1]_.

    Three logits: :math:`z`, the log-odds of an amount above zero, and mean
    :math:`\mu` and :math:`\mathrm{softplus}^{-1}` of the deviation :math:`\sigma` of
    its logarithm :math:`v`, which is standardized over the rows above zero.

    .. math::
        \ell = -\log \sigma([y > 0] z - [y = 0] z)
        + [y > 0] \left( \log \sigma + \frac{(v - \mu)^2}{2 \sigma^2} \right)

    The prediction is the mean, :math:`p \exp(m + s \mu + s^2 \sigma^2 / 2)` with the
    mean :math:`m` and deviation :math:`s` of the logarithms. No amount above zero is
    expected to be above the largest that was trained on.

    References
    ----------
    .. [1] Wang, Liu, Miao, "A Deep Probabilistic Model for Customer Lifetime Value
       Prediction", 2019, arXiv:1912.07753.

    Examples
    --------
    >>> task = ZeroInflatedLognormal("revenue")
    >>> task.loss(torch.zeros(1, 3), torch.tensor([0.0]))
    tensor([0.6931])
    """

    kind, domain = "zero-inflated-lognormal", "finite numbers of at least 0"
    n_outputs = 3

    spread: float = 1.0
    top: float = 1.0

    def _takes(self, values: NDArray) -> NDArray[np.bool_]:
        return values >= 0

    def fitted(self, values: NDArray, weights: NDArray) -> Self:
        positive = values > 0
        if not positive.any():
            return replace(self, scale=1.0, spread=1.0, top=1.0)
        logs = Squared(self.name)._scale(np.log(values[positive]), weights[positive])
        return replace(
            self, scale=math.exp(logs[0]), spread=logs[1], top=float(values.max())
        )

    def comparable(self, values: Tensor) -> Tensor:
        return values.log1p()

    def start(self, values: NDArray, weights: NDArray) -> NDArray[np.float64]:
        rate = np.average(values > 0, weights=weights)
        return np.array([logit(np.clip(rate, RAREST, 1 - RAREST)), 0.0, ONE])

    def loss(self, logits: Tensor, values: Tensor) -> Tensor:
        z, mean, deviation = logits.unbind(-1)
        positive = (values > 0).to(values.dtype)
        log = torch.where(values > 0, values, 1.0).log() / self.spread
        deviation = softplus(deviation).clamp_min(LEAST_DEVIATION)
        density = deviation.log() + ((log - mean) / deviation).square() / 2
        bought = binary_cross_entropy_with_logits(z, positive, reduction="none")
        return bought + positive * density

    def predict(self, logits: NDArray) -> NDArray[np.float64]:
        z, mean, deviation = logits.T
        deviation = self.spread * np.logaddexp(0, deviation).clip(LEAST_DEVIATION)
        log_mean = math.log(self.scale) + self.spread * mean + deviation**2 / 2
        return (expit(z) * np.exp(np.minimum(log_mean, math.log(self.top))))[:, None]

    def pool(self, logits: Tensor) -> Tensor:
        """A lognormal of the mean and the variance that the members have together.

        Moments of mixtures as of sums: Fenton, "The Sum of Log-Normal Probability
        Distributions in Scatter Transmission Systems", 1960.
        """
        z, mean, deviation = logits.unbind(-1)
        log_p, log_q = logsigmoid(z).logsumexp(0), logsigmoid(-z).logsumexp(0)
        share = logsigmoid(z) - log_p  # of each member in the rows above zero
        variance = softplus(deviation).clamp_min(LEAST_DEVIATION) * self.spread
        variance = variance.square()
        mean = mean * self.spread
        first = (share + mean + variance / 2).logsumexp(0)
        second = (share + 2 * mean + 2 * variance).logsumexp(0)
        pooled = (second - 2 * first).clamp_min((LEAST_DEVIATION * self.spread) ** 2)
        deviation = pooled.sqrt() / self.spread
        # the inverse of softplus, which does not overflow
        inverse = deviation + torch.log(-torch.expm1(-deviation))
        mean = (first - pooled / 2) / self.spread
        return torch.stack([log_p - log_q, mean, inverse], -1)

    @property
    def outputs(self) -> tuple[str, ...]:
        parts = "above zero", "log mean", "log deviation"
        return tuple(f"{self.name} ({part})" for part in parts)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Task:
        task = super().from_state(state)
        if min(state["spread"], state["top"]) <= 0:
            raise ValueError(f"Task {task.name!r} cannot have a scale of 0.")
        return task


# by the names that users give them
REGRESSIONS: list[type[RegressionTask]] = [
    *(Squared, Absolute, Quantile, Poisson, Gamma, ZeroInflatedLognormal),
]
CLASS_KINDS: dict[str, Learn] = {
    "binary": Binary.learn,
    "multi-class": MultiClass.learn,
}


def kind_of(name: Any, parameter: str, *, classes: bool = False) -> Learn:
    """What learns a task of a named kind; ``"quantile(q)"`` has a level.

    With `classes`, the kinds of classification are known, too.

    >>> kind_of("quantile(0.9)", "loss").args
    (0.9,)
    """
    known: dict[str, Learn] = {
        one.kind: one.learn for one in REGRESSIONS if one is not Quantile
    }
    known |= CLASS_KINDS if classes else {}
    if isinstance(name, str) and name in known:
        return known[name]
    if isinstance(name, str) and name.startswith("quantile(") and name[-1] == ")":
        try:
            q = float(name[len("quantile(") : -1])
        except ValueError:
            q = math.nan
        if 0 < q < 1:
            return partial(Quantile.at, q)
    raise ValueError(
        f"{parameter} has the kind {name!r}; the kinds are "
        f"{[*known, 'quantile(q)']}, with q between 0 and 1."
        + did_you_mean(name, [*known, "quantile(0.5)"])
    )


def kinds_of(
    given: Any, columns: Columns, parameter: str, *, classes: bool = False
) -> list[Learn | None]:
    """What learns each column of a y; None where nothing is said of it.

    `given` is a kind for all, or a mapping from names of tasks.
    """
    if not isinstance(given, Mapping):
        one = None if given is None else kind_of(given, parameter, classes=classes)
        return [one] * len(columns.columns)
    found = {
        name: kind_of(kind, f"{parameter} of {name!r}", classes=classes)
        for name, kind in given.items()
    }
    for name in found:
        if name not in columns.names:
            raise ValueError(
                f"{parameter} names the task {name!r}; the tasks are "
                f"{list(columns.names)}." + did_you_mean(name, columns.names)
            )
    return [found.get(name) for name in columns.names]


def class_task(
    column: Column, classes: NDArray | None = None, single: bool = False
) -> Task | None:
    """A task of two classes, or of more."""
    two = Binary.learn(column, classes, single)
    return two or MultiClass.learn(column, classes, single)


def inferred(column: Column) -> Learn | None:
    """The kind of a column whose values leave no doubt of it.

    Text, booleans and categories are classes, and so are 0 and 1; numbers with
    fractions are numbers. Other whole numbers are counts, amounts, or names of classes.
    """
    known = column.known
    if known.dtype.kind not in "iuf" or column.declared is not None:
        return class_task
    if np.isin(known, (0, 1)).all():
        return class_task
    return Squared.learn if (known != np.floor(known)).any() else None


def _number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str | bytes)
