"""From which probability on a task is best predicted, by its goal."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._suggest import did_you_mean
from ..metrics._tasks import iter_tasks


def check_names(given: Any, binary: Any, all_names: Any, parameter: str) -> None:
    """Raise where a name is no task of two classes."""
    for name in given:
        if name not in all_names:
            raise ValueError(
                f"{parameter} names the task {name!r}; the tasks are "
                f"{list(all_names)}." + did_you_mean(str(name), all_names)
            )
        if name not in binary:
            raise ValueError(
                f"{parameter} names the task {name!r}, which has not two classes; only "
                f"{list(binary)} have a threshold. Leave it out."
            )


class Goal:
    """What a threshold of each task shall make large."""

    def __init__(self, beta: Any, costs: Any, gains: Any) -> None:
        for parameter, given in (("costs", costs), ("gains", gains)):
            if given is not None and not isinstance(given, Mapping):
                raise TypeError(
                    f"{parameter} is {given!r}; give a dict by task, such as "
                    "{'buy': (1, 20)}."
                )
        self.beta, self.costs, self.gains = beta, dict(costs or {}), dict(gains or {})
        if both := sorted(self.costs.keys() & self.gains.keys()):
            raise ValueError(
                f"Task {both[0]!r} is in costs and in gains. Give one of them."
            )

    def check(self, binary: Any, all_names: Any) -> None:
        """Raise where a name is no task of two classes, or a value no goal."""
        for parameter in ("beta", "costs", "gains"):
            given = getattr(self, parameter)
            if isinstance(given, Mapping):
                check_names(given, binary, all_names, parameter)
        for name in binary:
            self.of(name)

    def of(self, name: str) -> NDArray | float:
        """The gain of each class (row) predicted as each (column), or beta."""
        if name in self.costs:
            pair = _numbers("costs", name, self.costs[name], (2,))
            if (pair < 0).any() or not pair.any():
                raise ValueError(
                    f"costs of task {name!r} are {self.costs[name]!r}; give what a "
                    "false positive and a false negative cost, of at least 0 each and "
                    "not both 0."
                )
            return np.array([[0.0, -pair[0]], [-pair[1], 0.0]])
        if name in self.gains:
            return _numbers("gains", name, self.gains[name], (2, 2))
        beta = self.beta.get(name, 1.0) if isinstance(self.beta, Mapping) else self.beta
        if not (isinstance(beta, Real) and 0 < float(beta) < np.inf):
            raise ValueError(
                f"beta of task {name!r} is {beta!r}; it must be a number above 0: how "
                "many times as much recall counts as precision."
            )
        return float(beta)


def _numbers(parameter: str, name: str, given: Any, shape: tuple) -> NDArray:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(
            f"{parameter} of task {name!r} is {given!r}; it must hold finite numbers, "
            f"of shape {shape}."
        )
    return values


def best_threshold(
    name: str, positive: NDArray, prob: NDArray, weight: NDArray, goal: Any
) -> float:
    """The threshold that makes the goal largest on these rows; of several the highest.

    It lies in the middle between the least probability that is acted on and the next.
    Rows of minus infinity are never acted on.
    """
    if not (positive.any() if isinstance(goal, float) else len(positive)):
        what = "observed row of its second class" if len(positive) else "observed row"
        raise ValueError(
            f"The threshold of task {name!r} cannot be found: there is no {what}. Give "
            "rows that have one, or costs or gains."
        )
    values, place = np.unique(-prob, return_inverse=True)  # the most probable first
    acted = np.array(
        [np.bincount(place, weight * own) for own in (~positive, positive)]
    )
    # weight of false and of true positives, where none is acted on, one value, ...
    fp, tp = np.cumsum(np.pad(acted, ((0, 0), (1, 0))), axis=1)
    fn, tn = tp[-1] - tp, fp[-1] - fp
    if isinstance(goal, float):
        square = goal**2
        reached = (1 + square) * tp / (tp[-1] * square + tp + fp)
    else:
        reached = goal[0, 0] * tn + goal[0, 1] * fp + goal[1, 0] * fn + goal[1, 1] * tp
    reached = reached[: 1 + np.count_nonzero(values < np.inf)]
    # sums in another order differ by rounding
    close = 1e-12 * np.abs(reached).max()
    best = int(np.argmax(reached >= reached.max() - close))
    if best == 0:
        return np.inf
    least, below = -values[best - 1], -values[best] if best < len(values) else 0.0
    below = max(below, 0.0)
    middle = (least + below) / 2
    return float(middle if middle > below or least == 0 else least)


def best_thresholds(
    y_true: Any,
    y_prob: Any,
    *,
    beta: float | Mapping[str, float] = 1.0,
    costs: Mapping[str, Any] | None = None,
    gains: Mapping[str, Any] | None = None,
    classes: Any = None,
    sample_weight: Any = None,
) -> dict[str, float]:
    r"""Find the threshold of each task of two classes on given predictions.

    Every threshold that makes a difference is tried. Where costs or gains of a task are
    given, the one of the largest gain is best, otherwise that of the largest

    .. math:: F_\beta = \frac{(1 + \beta^2) \, \mathrm{TP}}
              {(1 + \beta^2) \, \mathrm{TP} + \beta^2 \, \mathrm{FN} + \mathrm{FP}}

    on the rows in which the task is observed.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_tasks)
        Labels. NaN, None or pd.NA is *not observed*. Frames name the tasks.
    y_prob : array-like or list of arrays
        Probabilities, in every form that :func:`~dephn_sk.metrics.task_roc_auc` takes;
        of rows that the model was not trained on. Tasks of more than two classes are
        left out.
    beta : float or dict of str to float, default=1.0
        How many times as much recall counts as precision; of all tasks, or by name, and
        1 for the others.
    costs : dict of str to (float, float), default=None
        By task, what a false positive and a false negative cost.
    gains : dict of str to array-like of shape (2, 2), default=None
        By task, what a row of the first or second class (rows) brings that is predicted
        as the first or the second (columns), such as
        ``{"buy": [[0, -0.1], [0, 20]]}``.
    classes : array-like or list of arrays, default=None
        An estimator's ``classes_``, as in :func:`~dephn_sk.metrics.task_roc_auc`.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
            default=None

    Returns
    -------
    dict of str to float
        By task. Infinity where it is best never to act.

    Raises
    ------
    ValueError
        Where a task has no observed row, or, for an F-score, none of its second class;
        for names and values that make no sense. The message names the task.

    See Also
    --------
    tune_thresholds : Asks the model itself.

    Examples
    --------
    >>> from dephn_sk.model_selection import best_thresholds
    >>> best_thresholds([0, 0, 1, None, 1], [0.1, 0.3, 0.4, 0.6, 0.8])
    {'task0': 0.35}
    >>> prob = [0.1, 0.2, 0.3, 0.8]
    >>> best_thresholds([0, 1, 0, 1], prob, costs={"task0": (10, 1)})
    {'task0': 0.55}
    """
    tasks = list(iter_tasks(y_true, y_prob, classes, sample_weight))
    goal = Goal(beta, costs, gains)
    binary = [task.name for task in tasks if task.is_binary]
    goal.check(binary, [task.name for task in tasks])
    found = {}
    for task in tasks:
        if task.is_binary:
            task.check_classes()
            task.check_probabilities()
            weight = np.ones(len(task.codes)) if task.weight is None else task.weight
            given = task.codes == 1, task.prob, weight, goal.of(task.name)
            found[task.name] = best_threshold(task.name, *given)
    return found
