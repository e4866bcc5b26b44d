"""Losses of classification tasks: focal, of pairs, smoothed, or one of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from .._suggest import did_you_mean
from ._kinds import ClassTask, Task
from ._tasks import Tasks

LOSSES = ("log_loss", "focal", "pairwise")
FOCAL_GAMMA, PAIR_SHARE = 2.0, 0.5
# logits at which a function of the user's has to be finite, as has its gradient
PROBES = (-20.0, -1.0, 0.0, 1.0, 20.0)


@dataclass(frozen=True)
class TaskLoss:
    r"""The loss that a task is trained on, where it is not the task's own.

    Without smoothing and pairs it is :math:`\ell(z, y)` of the function. Both are of
    training alone; validation watches the function.

    Label smoothing of share :math:`s` over :math:`K` classes [1]_:

    .. math:: (1 - s)\,\ell(z, y) + \frac{s}{K} \sum_k \ell(z, k)

    Pairs of share :math:`\alpha` [2]_ [3]_: the loss of a batch of :math:`B` rows with
    weights :math:`w` is, over positives :math:`i` and the negatives :math:`N_i` of the
    same group,

    .. math:: \frac{1 - \alpha}{B} \sum_i w_i \ell_i + \frac{\alpha}{B} \sum_i w_i
       \frac{\sum_{j \in N_i} w_j (-\log \sigma(z_i - z_j))}{\sum_{j \in N_i} w_j}

    Attributes
    ----------
    task : Task
    function : callable
        From ``logits (batch, n_outputs)`` and ``values (batch,)`` to ``(batch,)``.
    smoothing : float
    pairs : float
        Share of the loss of pairs.

    References
    ----------
    .. [1] Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
       CVPR 2016.
    .. [2] Sculley, "Combined Regression and Ranking", KDD 2010.
    .. [3] Li et al., "Click-through Prediction for Advertising in Twitter Timeline",
       KDD 2015.

    Examples
    --------
    >>> task = Tasks.learn([0, 1]).tasks[0]
    >>> smoothed = TaskLoss(task, task.loss, smoothing=0.2)
    >>> smoothed.trained(torch.tensor([[2.0]]), torch.ones(1))
    tensor([0.3269])
    """

    task: Task
    function: Callable[[Tensor, Tensor], Tensor]
    smoothing: float = 0.0
    pairs: float = 0.0

    def trained(
        self,
        logits: Tensor,
        values: Tensor,
        weights: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> Tensor:
        """Loss of each label, of which that of pairs is an equal share for each.

        Shape: ``logits (batch, n_outputs)``, all else ``(batch,)`` -> ``(batch,)``
        """
        losses = self.function(logits, values)
        if self.smoothing:
            # of the mixture of labels, which for cross-entropy is that of targets
            each = [torch.full_like(values, k) for k in range(self.task.n_levels)]
            even = torch.stack([self.function(logits, k) for k in each]).mean(0)
            losses = (1 - self.smoothing) * losses + self.smoothing * even
        if self.pairs and groups is None:
            raise ValueError(
                f"The loss of task {self.task.name!r} is of pairs; a batch needs the "
                "groups of its rows."
            )
        if not self.pairs or groups is None:
            return losses
        ranked = of_pairs(logits.squeeze(-1), values, weights, groups)
        # the mean of weight times this over the batch is that of the equation
        mass = 1.0 if weights is None else weights.mean().clamp(min=1e-30)
        return (1 - self.pairs) * losses + self.pairs * ranked / mass


def focal(margins: Tensor, gamma: float) -> Tensor:
    r"""Focal loss of the log-odds :math:`m` of each label's own class [1]_.

    .. math:: (1 - p)^\gamma (-\log p), \quad p = \sigma(m)

    ``gamma=0`` is cross-entropy. Finite, with its gradient, for every finite margin.

    References
    ----------
    .. [1] Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection",
       ICCV 2017.

    Examples
    --------
    >>> focal(torch.zeros(1), gamma=2.0)
    tensor([0.1733])
    """
    return (gamma * logsigmoid(-margins)).exp() * -logsigmoid(margins)


def of_pairs(
    logits: Tensor, values: Tensor, weights: Tensor | None, groups: Tensor
) -> Tensor:
    """-log sigmoid(z_i - z_j) of positives i, each in the mean over its group's others.

    The sum over positives by their weights, divided by the number of rows; 0 where no
    group has both. It takes the memory of the pairs, not of all rows squared.

    Shape: all ``(batch,)`` -> ``()``

    Examples
    --------
    >>> values, users = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([4, 4, 9])
    >>> of_pairs(torch.zeros(3), values, None, users)
    tensor(0.2310)
    """
    known = torch.ones_like(logits) if weights is None else weights
    positive = ((values == 1) & (known > 0)).nonzero().squeeze(1)
    negative = ((values != 1) & (known > 0)).nonzero().squeeze(1)
    negative = negative[groups[negative].argsort(stable=True)]
    own, sorted_groups = groups[positive], groups[negative]
    first = torch.searchsorted(sorted_groups, own)
    last = torch.searchsorted(sorted_groups, own, right=True)
    n_pairs = last - first
    n_all = int(n_pairs.sum())  # a device is waited for here, and for both `nonzero`
    if not n_all:
        return logits.new_zeros(())
    repeated = partial(torch.repeat_interleave, repeats=n_pairs, output_size=n_all)
    mass = pad(known[negative].cumsum(0), (1, 0))
    below, higher = repeated(mass[last] - mass[first]), repeated(positive)
    shift = repeated(first - n_pairs.cumsum(0) + n_pairs)
    lower = negative[torch.arange(n_all, device=shift.device) + shift]
    # at most 1, whatever a difference of sums has rounded to
    share = (known[lower] / below).clamp(max=1.0).to(logits.dtype)
    losses = -logsigmoid(logits[higher] - logits[lower])
    return (known[higher] * share * losses).sum() / len(logits)


# ------------------------------------------------------------ from parameters


def read_losses(
    loss: Any, label_smoothing: Any, tasks: Tasks
) -> tuple[TaskLoss, ...] | None:
    """The loss of each task; None where each has its own, and nothing is smoothed.

    Raises
    ------
    ValueError
        It names the task, and what cannot be its loss.
    """
    losses = _of_each(loss, tasks, "loss", None)
    shares = _of_each(label_smoothing, tasks, "label_smoothing", 0.0)
    for name, share in zip(tasks.names, shares, strict=True):
        if not isinstance(share, Real) or not 0 <= float(share) < 1:
            raise ValueError(
                f"label_smoothing of task {name!r} is {share!r}; give a number in "
                "[0, 1)."
            )
    if all(one is None for one in losses) and not any(shares):
        return None
    each = zip(tasks.tasks, losses, shares, strict=True)
    return tuple(_read(task, one, float(share)) for task, one, share in each)


def _of_each(given: Any, tasks: Tasks, parameter: str, default: Any) -> list[Any]:
    """What is given for each task, by name or for all of them."""
    if not isinstance(given, Mapping):
        return [given] * len(tasks.names)
    for name in given:
        tasks.position(name, parameter)
    return [given.get(name, default) for name in tasks.names]


def _read(task: Task, given: Any, smoothing: float) -> TaskLoss:
    """The loss of a task, from a name, a name and a number, or a function."""
    if not isinstance(task, ClassTask):
        if given is None and not smoothing:
            return TaskLoss(task, task.loss)  # its own
        what = "loss" if given is not None else "label_smoothing"
        raise ValueError(
            f"{what} of task {task.name!r} is "
            f"{smoothing if given is None else given!r}, but it is of classes, and the "
            f"labels of the task are numbers, {task.shown!r}. Give {what} as a dict of "
            "tasks that have classes; the loss of a number is its kind in `tasks`."
        )
    if callable(given):
        return TaskLoss(task, _as_task_loss(task, given), smoothing)
    name, *numbers = given if isinstance(given, tuple) and given else (given,)
    name = "log_loss" if name is None else name
    where = f"loss of task {task.name!r} is {given!r}"
    if name not in LOSSES:
        raise ValueError(
            f"{where}; give one of {LOSSES}, ('focal', gamma), ('pairwise', share), or "
            "a function of logits and values." + did_you_mean(name, LOSSES)
        )
    numbers = numbers or [{"focal": FOCAL_GAMMA, "pairwise": PAIR_SHARE}.get(name, 0)]
    most = {"focal": float("inf"), "pairwise": 1}.get(name, 0)
    number = numbers[0]
    right = len(numbers) == 1 and isinstance(number, Real)
    if not right or not 0 <= float(number) <= most:
        raise ValueError(
            f"{where}; gamma of 'focal' is a number >= 0, the share of 'pairwise' one "
            "in [0, 1]; 'log_loss' has none."
        )
    if name == "focal":
        return TaskLoss(task, _focal_of(task, float(number)), smoothing)
    if name == "pairwise" and task.n_outputs > 1:
        raise ValueError(
            f"{where}, but the task has {len(task.classes)} classes; pairs are of a "
            "positive and a negative."
        )
    return TaskLoss(task, task.loss, smoothing, float(number))


def _focal_of(task: ClassTask, gamma: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda logits, values: focal(task.margins(logits, values), gamma)


def _as_task_loss(
    task: Task, function: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """A user's function: one logit without an axis of its own, classes as integers."""
    if task.n_outputs == 1:
        return lambda logits, values: function(logits.squeeze(-1), values)
    return lambda logits, values: function(logits, values.long())


def check_losses(
    losses: tuple[TaskLoss, ...] | None, dtype: str, groups: Any = None
) -> None:
    """Raise where a loss fails on a few rows, or has no groups to make pairs of."""
    for one in losses or ():
        if one.pairs and groups is None:
            raise ValueError(
                f"The loss of task {one.task.name!r} is 'pairwise', of pairs within a "
                "group, such as a user: give fit the groups of the rows (partial_fit "
                "takes none)."
            )
        if isinstance(one.task, ClassTask):  # else it is the task's own
            _check_finite(one, getattr(torch, dtype))


def _check_finite(loss: TaskLoss, dtype: torch.dtype) -> None:
    task, n = loss.task, loss.task.n_outputs
    right = torch.tensor([(k, v) for k in range(n) for v in range(task.n_levels)])
    right = right.repeat_interleave(len(PROBES), 0)
    logits = torch.zeros(len(right), n, dtype=dtype)
    probes = torch.tensor(PROBES, dtype=dtype).repeat(len(right) // len(PROBES))
    logits[torch.arange(len(right)), right[:, 0]] = probes
    logits.requires_grad_()
    where = f"The loss of task {task.name!r}"
    try:
        found = loss.function(logits, right[:, 1].to(dtype))
    except Exception as error:
        raise ValueError(
            f"{where} fails on logits and values of {len(right)} rows: {error}"
        ) from error
    if not isinstance(found, Tensor) or found.shape != (len(right),):
        raise ValueError(
            f"{where} must give a loss for each of {len(right)} rows, a tensor of the "
            f"shape ({len(right)},), but gave {getattr(found, 'shape', found)!r}."
        )
    if not found.requires_grad:
        raise ValueError(f"{where} does not depend on the logits: it has no gradient.")
    (slope,) = torch.autograd.grad(found.sum(), logits)
    for what, tensor in (("loss", found.detach()), ("gradient", slope)):
        bad = ~tensor.reshape(len(right), -1).isfinite().all(1)
        if bad.any():
            row = int(bad.nonzero()[0])
            raise ValueError(
                f"{where} has a {what} that is not finite at the logits "
                f"{logits[row].tolist()} and the value {int(right[row, 1])}. Write it "
                "with functions such as torch.nn.functional.logsigmoid, which are "
                "exact at extreme logits."
            )
