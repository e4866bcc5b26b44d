"""The tasks of a y: what is learned of it, read from it, and made of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from sklearn.exceptions import DataConversionWarning
from torch import Tensor

from .._compat import warn
from .._suggest import did_you_mean
from . import _conditions as funnel
from ._kinds import KINDS, Fraction, Task
from ._labels import Column, Labels, read_columns
from ._regression import REGRESSIONS, Learn


@dataclass(frozen=True, eq=False)
class Tasks:
    """What `fit` learns of y.

    Attributes
    ----------
    tasks : tuple of Task
    single : bool
        Whether y has one column.
    conditions : tuple of int or None
        The index of each task's condition; empty where no task has one. The logit of a
        conditioned task is that of P(task | its condition).
    on_violation : {"raise", "warn"}
        What labels that contradict the conditions are.

    Examples
    --------
    >>> y = np.array([["no", "a"], ["yes", "b"], ["no", "c"]])
    >>> tasks = Tasks.learn(y)
    >>> [type(task).__name__ for task in tasks.tasks], tasks.n_outputs
    (['Binary', 'MultiClass'], [1, 3])
    >>> tasks.read(y).values.tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]]
    """

    tasks: tuple[Task, ...]
    single: bool
    conditions: funnel.Conditions = ()
    on_violation: str = "raise"

    @classmethod
    def learn(
        cls,
        y: Any,
        classes: Any = None,
        kinds: Sequence[type[Task]] | None = None,
        named: Sequence[Learn | None] | None = None,
    ) -> Tasks:
        """Learn the tasks of a y, with an error that names the task.

        `classes` are all classes of a 1-D y, or a list of those of each task. `kinds`
        are asked in order which of them takes a column; None is :data:`KINDS`. Of a
        column that has a kind in `named`, this is asked alone.
        """
        read = read_columns(y)
        if not len(read):
            raise ValueError("Found array with 0 sample(s) in y; give a row at least.")
        n_tasks = len(read.columns)
        single = n_tasks == 1
        if single and read.ndim == 2:
            warn(
                "A column-vector y was passed when a 1d array was expected: shape "
                f"({len(read)}, 1) is taken as one task.",
                DataConversionWarning,
            )
        announced = [classes] * n_tasks if single or classes is None else classes
        if len(announced) != n_tasks:
            raise ValueError(
                f"classes has {len(announced)} entries, but y has {n_tasks} tasks."
            )
        asked = [one.learn for one in kinds or KINDS]
        each = [[one] if one else asked for one in named or [None] * n_tasks]
        triples = zip(read.columns, announced, each, strict=True)
        return cls(tuple(_learn(a, b, single, c) for a, b, c in triples), single)

    def under(
        self, conditions: Mapping[str, str] | None, on_violation: str = "raise"
    ) -> Tasks:
        """The same tasks, of which some can only happen where another did.

        Examples
        --------
        >>> tasks = Tasks.learn(np.array([[0, 0], [1, 0], [1, 1]]))
        >>> tasks.under({"task1": "task0"}).conditions
        (None, 0)
        """
        found = funnel.read_conditions(conditions, self)
        funnel.check_conditions(found, self.tasks)
        if all(one is None for one in found):
            return self
        return replace(self, conditions=found, on_violation=on_violation)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each task."""
        return tuple(task.name for task in self.tasks)

    @property
    def classes(self) -> tuple[NDArray, ...]:
        """Classes of each task."""
        return tuple(task.classes for task in self.tasks)

    @property
    def condition_names(self) -> dict[str, str]:
        """The condition of each task that has one, by name."""
        return {self.names[t]: self.names[condition] for t, condition in self.pairs}

    @property
    def shown(self) -> tuple[Any, ...]:
        """What summaries say of each: its classes, or the kind of number."""
        return tuple(task.shown for task in self.tasks)

    @property
    def n_outputs(self) -> list[int]:
        """Number of logits of each task."""
        return [task.n_outputs for task in self.tasks]

    @property
    def n_levels(self) -> list[int]:
        """Number of values of each task that similarities of labels tell apart."""
        return [task.n_levels for task in self.tasks]

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the tasks whose labels are numbers, and no classes."""
        return tuple(task.name for task in self.tasks if not task.n_levels)

    @property
    def binary(self) -> bool:
        """Whether every task has two classes."""
        return all(len(classes) == 2 for classes in self.classes)

    @property
    def alike(self) -> bool:
        """Whether one array holds the classes of all tasks without changing them."""
        kinds = {classes.dtype.kind for classes in self.classes}
        return len(kinds) == 1 or kinds <= set("iuf")

    def position(self, name: Any, parameter: str) -> int:
        """Index of a task, or an error that names the parameter."""
        if name not in self.names:
            raise ValueError(
                f"{parameter} names the task {name!r}; the tasks are "
                f"{list(self.names)}." + did_you_mean(name, self.names)
            )
        return self.names.index(name)

    # ------------------------------------------------------------ labels

    def read(
        self, y: Any, unseen: float | None = None, rows: NDArray | None = None
    ) -> Labels:
        """Labels as numbers; one that was not learned is an error, or `unseen`.

        So are labels that contradict the conditions, unless they count as not observed.
        `rows` are the numbers of the rows where they were given.
        """
        if isinstance(y, Labels):
            return y
        read = read_columns(y)
        self.check_names(read.names, read.named)
        if self.single:
            _check_complete(read.columns[0])
        observed = np.column_stack([column.observed for column in read.columns])
        values = np.zeros(observed.shape)
        for t, (task, column) in enumerate(zip(self.tasks, read.columns, strict=True)):
            values[column.observed, t] = task.read(column, unseen)
        rates = []
        for task in self.tasks:
            # the only task goes without its name
            prefix = "" if self.single else f"{task.name}_"
            names = (f"{prefix}{one}{task.statistic}" for one in task.rate_labels)
            rates.append(tuple(names))
        labels = Labels(self.names, values, observed, tuple(rates))
        if not self.conditions:
            return labels
        how = self.tasks, self.on_violation, rows
        return funnel.without_violations(labels, self.pairs, *how)

    def entire_space(self, labels: Labels) -> Labels:
        """Labels as the loss reads them: 0 where the condition did not happen.

        Whatever was given there, or nothing, makes no difference.
        """
        return funnel.entire_space(labels, self.pairs) if self.conditions else labels

    def given_conditions(self, labels: Labels) -> Labels:
        """Labels of the entire space, observed where the condition happened."""
        if not self.conditions:
            return labels
        known = funnel.happened(labels, self.pairs)
        return replace(labels, observed=labels.observed & known)

    def informative(self, labels: Labels) -> NDArray[np.bool_]:
        """Where labels of the entire space say more than that of the condition."""
        return labels.observed & ~funnel.failed(labels, self.pairs)

    def check_names(self, names: Sequence[str], named: bool) -> None:
        """Raise where y has other tasks than were learned."""
        if len(names) != len(self.tasks):
            raise ValueError(
                f"y has {len(names)} tasks, but {len(self.tasks)} were seen in "
                f"fit: {', '.join(self.names)}."
            )
        if not self.single and named and tuple(names) != self.names:
            raise ValueError(
                f"The tasks of y are {list(names)}, but {list(self.names)} were "
                "seen in fit, in that order."
            )

    def fitted(self, labels: Labels, weights: NDArray) -> Tasks:
        """The tasks with the scales of these labels; weights of 0 do not count."""
        each = zip(self.tasks, labels.values.T, weights.T, strict=True)
        new = tuple(one.fitted(v[w > 0], w[w > 0]) for one, v, w in each)
        return self if new == self.tasks else replace(self, tasks=new)

    def scaled(self, values: NDArray) -> NDArray:
        """Labels as losses take them, (n_samples, n_tasks)."""
        return self._each("scaled", values)

    def unscaled(self, values: NDArray) -> NDArray:
        """The labels that :meth:`scaled` has made these of."""
        return self._each("unscaled", values)

    def _each(self, change: str, values: NDArray) -> NDArray:
        if not self.numeric:
            return values
        pairs = zip(self.tasks, values.astype(np.float64).T, strict=True)
        return np.column_stack([getattr(task, change)(own) for task, own in pairs])

    def comparable(self, values: Tensor) -> Tensor:
        """Of scaled labels (..., n_tasks), what similarities and means are of."""
        if not self.numeric:
            return values
        pairs = zip(self.tasks, values.unbind(-1), strict=True)
        return torch.stack([task.comparable(own) for task, own in pairs], -1)

    def compared(self, labels: Labels) -> Labels:
        """The labels that statistics are made of."""
        if not self.numeric:
            return labels
        values = self.comparable(torch.from_numpy(self.scaled(labels.values))).numpy()
        return replace(labels, values=values)

    def label_dtype(self, float_dtype: DTypeLike) -> np.dtype:
        """A byte where it holds all values, the float dtype otherwise."""
        return np.result_type(*(task.label_dtype(float_dtype) for task in self.tasks))

    def decode(self, predictions: Sequence[NDArray]) -> NDArray:
        """Labels of predictions of each task, as they were given."""
        pairs = zip(self.tasks, predictions, strict=True)
        columns = [task.decode(prediction) for task, prediction in pairs]
        if not self.alike:
            columns = [column.astype(object) for column in columns]
        return columns[0] if self.single else np.stack(columns, axis=1)

    # ------------------------------------------------------------ logits

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Each conditioned task and its condition, roots first."""
        return funnel.pairs_of(self.conditions)

    @cached_property
    def _columns(self) -> list[tuple[int, int]]:
        """The logits of these pairs."""
        start = np.cumsum([0, *self.n_outputs]).tolist()
        return [(start[task], start[condition]) for task, condition in self.pairs]

    @cached_property
    def groups(self) -> list[tuple[slice, slice, Task]]:
        """Neighbours that one call of their loss serves: tasks, logits, one of them."""
        neighbours = enumerate(pairwise(self.tasks), 1)
        starts = [0, *(t for t, (one, other) in neighbours if not one.joins(other))]
        logits = np.cumsum([0, *self.n_outputs]).tolist()
        return [
            (slice(start, stop), slice(logits[start], logits[stop]), self.tasks[start])
            for start, stop in pairwise([*starts, len(self.tasks)])
        ]

    def loss(
        self,
        logits: Tensor,
        values: Tensor,
        functions: Sequence[Callable[[Tensor, Tensor], Tensor]] | None = None,
    ) -> Tensor:
        """Loss of each label; of a conditioned task that on the entire space.

        `functions` take the place of the tasks' own losses, one for each.

        Shape: ``logits (batch, sum(n_outputs))``, ``values (batch, n_tasks)`` ->
        ``(batch, n_tasks)``
        """
        if self.conditions:
            logits = funnel.marginal_logits(logits, self._columns)
        if functions is not None:
            each = zip(logits.split(self.n_outputs, 1), values.unbind(1), strict=True)
            pairs = zip(functions, each, strict=True)
            return torch.stack([function(*own) for function, own in pairs], 1)
        losses = []
        for tasks, outputs, task in self.groups:
            own = logits[:, outputs].reshape(len(values), -1, task.n_outputs)
            losses.append(task.loss(own, values[:, tasks]))
        return losses[0] if len(losses) == 1 else torch.cat(losses, 1)

    def pool(self, logits: Tensor) -> Tensor:
        """Logits of what several networks predict together; see :meth:`Task.pool`.

        Shape: ``(n_networks, batch, sum(n_outputs))`` -> ``(batch, sum(n_outputs))``
        """
        if logits.dtype in (torch.bfloat16, torch.float16):
            logits = logits.float()  # of a network that autocast has rounded
        pooled = [
            task.pool(logits[..., outputs].unflatten(-1, (-1, task.n_outputs)))
            for _, outputs, task in self.groups
        ]
        joined = torch.cat([part.flatten(-2) for part in pooled], -1)
        if not self.conditions:
            return joined
        return funnel.pooled_logits(joined, logits, self._columns)

    def start(self, labels: Labels, weights: NDArray) -> NDArray[np.float64]:
        """Logits that every row starts from, (sum(n_outputs),).

        `weights` of shape (n_samples, n_tasks) are 0 where a label is not observed.
        """
        each = zip(self.tasks, labels.values.T, weights.T, strict=True)
        start = np.concatenate([task.start(v[w > 0], w[w > 0]) for task, v, w in each])
        return funnel.conditional_start(start, self._columns)

    def rates(self, start: NDArray) -> tuple[float | None, ...]:
        """The marginal rate of each task that :meth:`start` stands for, if any."""
        rates = [task.rate(part) for task, part in self._split(start)]
        for task, condition in self.pairs:
            rates[task] *= rates[condition]  # type: ignore[operator]
        return tuple(rates)

    def predict(self, logits: NDArray, given: bool = False) -> list[NDArray]:
        """Predictions of each task from logits of shape (n_samples, sum(n_outputs)).

        Marginal ones, or those `given` the tasks' conditions.
        """
        split = self._split(logits.astype(np.float64))
        found = [task.predict(part) for task, part in split]
        return found if given else self.marginal(found)

    def marginal(self, given: Sequence[NDArray]) -> list[NDArray]:
        """Predictions, of those that are given the tasks' conditions."""
        return funnel.marginal(given, self.pairs)

    def conditional(self, predictions: Sequence[NDArray]) -> list[NDArray]:
        """Predictions given the tasks' conditions, of those that are not."""
        return funnel.conditional(predictions, self.pairs)

    def _split(self, logits: NDArray) -> Iterator[tuple[Task, NDArray]]:
        """Each task, and the logits that are its own."""
        parts = np.split(logits, np.cumsum(self.n_outputs)[:-1], axis=-1)
        return zip(self.tasks, parts, strict=True)

    def score(
        self,
        predictions: Sequence[NDArray],
        values: NDArray,
        weights: NDArray | None = None,
    ) -> list[float]:
        """Score of each task, NaN where undefined; rows of weight 0 do not count."""
        scores = []
        for t, task in enumerate(self.tasks):
            judge = task.score_alone if self.single else task.score
            if weights is None:  # without copies: rows that validate may be many
                ones = np.ones(len(values))
                scores.append(judge(values[:, t], predictions[t], ones))
                continue
            rows = weights[:, t] > 0
            weight = weights[rows, t].astype(np.float64)
            scores.append(judge(values[rows, t], predictions[t][rows], weight))
        return scores

    # ------------------------------------------------------------ storing

    def state(self) -> dict[str, Any]:
        """All of it as arrays and scalars of JSON."""
        state: dict[str, Any] = {"single": self.single, "n_tasks": len(self.tasks)}
        for t, task in enumerate(self.tasks):
            state[f"{t}.kind"] = type(task).__name__
            state |= {f"{t}.{key}": value for key, value in task.state().items()}
        if self.conditions:
            state["conditions"] = [*self.conditions]
            state["on_violation"] = self.on_violation
        return state

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Tasks:
        """The tasks of a :meth:`state`."""
        known: list[type[Task]] = [*KINDS, Fraction, *REGRESSIONS]
        kinds = {kind.__name__: kind for kind in known}
        tasks: list[Task] = []
        for t in range(state["n_tasks"]):
            keys = [key for key in state if key.startswith(f"{t}.")]
            own = {key.removeprefix(f"{t}."): state[key] for key in keys}
            if own["kind"] not in kinds:
                raise ValueError(
                    f"Task {own['name']!r} is of the kind {own['kind']!r}; known are "
                    f"{sorted(kinds)}. Add its class to dephn_sk.tasks.KINDS first."
                )
            tasks.append(kinds[own["kind"]].from_state(own))
        single, names = state["single"], [task.name for task in tasks]
        if len({*names}) < len(names) or single is not (len(names) == 1) or not names:
            raise ValueError(f"There cannot be tasks of the names {names}.")
        conditions = _stored_conditions(state.get("conditions", []), tasks)
        on_violation = state.get("on_violation", "raise")
        if on_violation not in funnel.ON_VIOLATION:
            raise ValueError(f"on_violation cannot be {on_violation!r}.")
        return cls(tuple(tasks), single, conditions, on_violation)


def _stored_conditions(found: Any, tasks: Sequence[Task]) -> funnel.Conditions:
    """Those of a state, or an error."""
    if type(found) is not list or len(found) not in (0, len(tasks)):
        raise ValueError(f"The conditions of {len(tasks)} tasks cannot be {found!r}.")
    for one in found:
        if one is not None and not (type(one) is int and 0 <= one < len(tasks)):
            raise ValueError(f"There is no task {one!r} to be a condition.")
    funnel.check_conditions(tuple(found), tasks)
    return tuple(found)


def _learn(column: Column, classes: Any, single: bool, kinds: Sequence[Learn]) -> Task:
    """The task of a column: the first kind that takes it."""
    if classes is not None:
        classes = _announced(classes, column.name, single)
    elif single:
        _check_complete(column)
    elif not len(column.known):
        raise ValueError(
            f"Task {column.name!r} has no observed label: all are missing. Leave the "
            "task out."
        )
    for learn in kinds:
        if task := learn(column, classes, single):
            return task
    tried = [getattr(one, "__self__", one).__name__ for one in kinds]
    raise ValueError(
        f"Task {column.name!r} is of no known kind: {tried} do not take its labels."
    )


def _check_complete(column: Column) -> None:
    """Raise where a label of a y of one column is missing."""
    if not column.observed.all():
        raise ValueError(
            f"Input y contains NaN in {(~column.observed).sum()} of {len(column)} rows."
            " A label that was not observed needs a y of several tasks, of shape "
            "(n_samples, n_tasks)."
        )


def _announced(classes: Any, name: str, single: bool) -> NDArray:
    """Sorted classes that were announced for a task."""
    (column,) = read_columns(classes, "classes").columns
    distinct = column.distinct
    if not column.observed.all() or len(distinct) < 2 - single:
        raise ValueError(
            f"classes of {name!r} are {list(classes)}; give "
            f"{'one' if single else 'two'} or more, and none missing."
        )
    return distinct
