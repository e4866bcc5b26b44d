"""Tasks that can only happen where another did: a forest, as of click, like and buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import Tensor
from torch.nn.functional import logsigmoid

from .._compat import warn
from ._kinds import RAREST, Binary, Task
from ._labels import Labels

# the index of each task's condition, None where it has none
Conditions = tuple[int | None, ...]
# (task, its condition), each after that of its condition
Pairs = Sequence[tuple[int, int]]
ON_VIOLATION = ("raise", "warn")


def check_conditions(conditions: Conditions, tasks: Sequence[Task]) -> None:
    """Raise where conditions are no forest over tasks of two classes."""
    for t, parent in enumerate(conditions):
        for one in () if parent is None else (t, parent):
            task = tasks[one]
            if not isinstance(task, Binary):
                what = f"has {len(task.classes)} classes"
                if not task.n_levels:
                    what = f"is of numbers, {task.shown!r}"
                raise ValueError(
                    f"conditions[{tasks[t].name!r}] concerns the task {task.name!r}, "
                    f"which {what}; conditions are between tasks of two classes. Leave "
                    "it out."
                )
    for t in range(len(conditions)):
        path = [t]
        while (parent := conditions[path[-1]]) is not None and parent not in path:
            path.append(parent)
        if parent is None:
            continue
        ring = [tasks[one].name for one in path[path.index(parent) :]]
        if len(ring) == 1:
            raise ValueError(
                f"conditions makes the task {ring[0]!r} its own condition. Name "
                "another task, or leave it out."
            )
        raise ValueError(
            f"conditions has a cycle: {' given '.join(map(repr, [*ring, ring[0]]))}. "
            "One of these tasks must have no condition."
        )


def pairs_of(conditions: Conditions) -> list[tuple[int, int]]:
    """Each conditioned task and its condition, roots first.

    >>> pairs_of((2, 0, None))
    [(0, 2), (1, 0)]
    """
    known = {t for t, parent in enumerate(conditions) if parent is None}
    pairs: list[tuple[int, int]] = []
    while len(known) < len(conditions):
        for t, parent in enumerate(conditions):
            if t not in known and parent in known:
                pairs.append((t, parent))
                known.add(t)
    return pairs


# ------------------------------------------------------------ labels


def entire_space(labels: Labels, pairs: Pairs) -> Labels:
    """With 0 for each task whose condition is known not to have happened."""
    values, observed = labels.values.copy(), labels.observed.copy()
    for task, condition in pairs:
        failed = observed[:, condition] & (values[:, condition] == 0)
        values[failed, task], observed[failed, task] = 0, True
    return replace(labels, values=values, observed=observed)


def happened(entire: Labels, pairs: Pairs) -> NDArray[np.bool_]:
    """Where a task has no condition, or one that is known to have happened."""
    return _conditions_are(1, entire, pairs, otherwise=True)


def failed(entire: Labels, pairs: Pairs) -> NDArray[np.bool_]:
    """Where a task's condition is known not to have happened."""
    return _conditions_are(0, entire, pairs, otherwise=False)


def _conditions_are(
    value: int, entire: Labels, pairs: Pairs, *, otherwise: bool
) -> NDArray[np.bool_]:
    """Where the label of each task's condition is known to be this."""
    known = np.full(entire.observed.shape, otherwise)
    for task, condition in pairs:
        same = entire.values[:, condition] == value
        known[:, task] = entire.observed[:, condition] & same
    return known


def without_violations(
    labels: Labels,
    pairs: Pairs,
    tasks: Sequence[Task],
    on_violation: str,
    rows: NDArray | None = None,
) -> Labels:
    """The labels, if none says that a task happened without its condition.

    Under ``on_violation="warn"``, such a label is not observed. `rows` are the numbers
    of the rows where they were given, for the message.
    """
    entire = entire_space(labels, pairs)
    wrong = failed(entire, pairs) & labels.observed & (labels.values == 1)
    if not wrong.any():
        return labels
    row, t = (int(i) for i in np.argwhere(wrong)[0])
    above, number = dict(pairs)[t], row if rows is None else int(rows[row])
    # the nearest condition whose label was given, and not concluded
    while not labels.observed[row, above] or labels.values[row, above] != 0:
        above = dict(pairs)[above]
    (_, yes), (no, _) = tasks[t].classes.tolist(), tasks[above].classes.tolist()
    said = (
        f"Row {number} has the label {yes!r} of the task {tasks[t].name!r}, but {no!r} "
        f"of its condition {tasks[above].name!r}"
    )
    if on_violation == "raise":
        raise ValueError(
            f"{said}: without the one there cannot be the other. Correct the labels "
            "or `conditions`, or take such labels for not observed with "
            "on_violation='warn'."
        )
    warn(
        f"{said}; {wrong.any(axis=1).sum()} of {len(labels)} rows have such labels, "
        "which count as not observed.",
    )
    return replace(
        labels,
        values=np.where(wrong, 0, labels.values),
        observed=labels.observed & ~wrong,
    )


# ------------------------------------------------------------ logits


def marginal_logits(logits: Tensor, columns: Pairs) -> Tensor:
    r"""From the logits of conditional probabilities, those of marginal ones.

    The loss on the entire space, [ESMM] eq. 1 to 3, is the loss of these. For a task
    :math:`c` under the condition :math:`p`, whose head gives :math:`z_c`,

    .. math::
        \log P(c) &= \log P(p) + \log \sigma(z_c) \\
        \log (1 - P(c)) &= \log \left((1 - P(p)) + P(p)\, \sigma(-z_c)\right)

    and the logit is their difference. No term is computed as a difference from 1, so
    that all are finite and exact where probabilities are far below float's epsilon.

    Shape: ``logits (..., n_logits)`` -> the same; `columns` are pairs of logits

    Examples
    --------
    >>> logits = torch.tensor([[-1000.0, 0.0]], dtype=torch.float64)
    >>> marginal_logits(logits, [(1, 0)])
    tensor([[-1000.0000, -1000.6931]], dtype=torch.float64)
    """
    own = list(logits.unbind(-1))
    yes = {condition: logsigmoid(own[condition]) for _, condition in columns}
    no = {condition: logsigmoid(-own[condition]) for condition in yes}
    for task, condition in columns:
        given, not_given = logsigmoid(own[task]), logsigmoid(-own[task])
        yes[task] = yes[condition] + given  # eq. 1
        no[task] = torch.logaddexp(no[condition], yes[condition] + not_given)
        own[task] = yes[task] - no[task]
    return torch.stack(own, -1)


def pooled_logits(pooled: Tensor, logits: Tensor, columns: Pairs) -> Tensor:
    r"""Conditional logits of what several networks predict together.

    Their marginal probabilities are averaged over networks :math:`m`: the logit is
    :math:`\log \sum_m P_m(p) \sigma(z_{cm}) - \log \sum_m P_m(p) \sigma(-z_{cm})`.

    Shape: ``pooled (batch, n_logits)``, right where there is no condition, and
    ``logits (n_networks, batch, n_logits)`` -> ``(batch, n_logits)``
    """
    own, each = list(pooled.unbind(-1)), logits.unbind(-1)
    yes = {condition: logsigmoid(each[condition]) for _, condition in columns}
    for task, condition in columns:
        not_given = yes[condition] + logsigmoid(-each[task])
        yes[task] = yes[condition] + logsigmoid(each[task])
        own[task] = yes[task].logsumexp(0) - not_given.logsumexp(0)
    return torch.stack(own, -1)


def conditional_start(start: NDArray, columns: Pairs) -> NDArray[np.float64]:
    """Logits of conditional rates, from those of marginal ones."""
    own, rates = start.copy(), expit(start)
    for task, condition in columns:
        share = rates[task] / rates[condition]
        own[task] = logit(np.clip(share, RAREST, 1 - RAREST))
    return own


# ------------------------------------------------------------ probabilities


def marginal(given: Sequence[NDArray], pairs: Pairs) -> list[NDArray]:
    """Probabilities of both classes, from those under the conditions; [ESMM] eq. 1.

    A product with a number of at most 1 is never rounded above the other factor: that
    of a task is at most that of its condition, exactly.

    Examples
    --------
    >>> click, buy = np.array([[0.5, 0.5]]), np.array([[0.75, 0.25]])
    >>> marginal([click, buy], [(1, 0)])[1]
    array([[0.875, 0.125]])
    """
    found = list(given)
    for task, condition in pairs:
        before, own = found[condition], found[task]
        yes = before[:, 1] * own[:, 1]
        found[task] = np.column_stack([before[:, 0] + before[:, 1] * own[:, 0], yes])
    return found


def conditional(found: Sequence[NDArray], pairs: Pairs) -> list[NDArray]:
    """The inverse of :func:`marginal`; [ESMM] eq. 2.

    Where a condition is impossible, so is what it conditions.
    """
    given = list(found)
    for task, condition in pairs:
        before = found[condition][:, 1]
        share = np.divide(
            found[task][:, 1], before, out=np.zeros(len(before)), where=before > 0
        ).clip(max=1)
        given[task] = np.column_stack([1 - share, share])
    return given


def read_conditions(
    conditions: Mapping[Any, Any] | None, tasks: Any
) -> tuple[int | None, ...]:
    """The parameter `conditions` as positions; unknown names are an error."""
    if conditions and tasks.single:
        raise ValueError(
            f"conditions={conditions!r} needs a y of several tasks, but y has one "
            "column. Give the labels of the conditions as columns, too."
        )
    found: list[int | None] = [None] * len(tasks.names)
    for name, condition in (conditions or {}).items():
        t = tasks.position(name, "conditions")
        found[t] = tasks.position(condition, f"conditions[{name!r}]")
    return tuple(found)
