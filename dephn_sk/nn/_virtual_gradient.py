r"""Virtual gradient: gates learn at a rate that the labels' similarity decides.

[DEPHN] section III-D, eq. 7 to 9 and figure 4. In the backward pass alone, the
gradient that reaches the gate :math:`G^t_{kp}` is multiplied by
:math:`\prod_{j \ne t} \gamma_{jt}`, where :math:`\gamma` is a function of the
label similarity of tasks :math:`j` and :math:`t` and of the difference of their
gates.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ._choice import check_choice

Coefficient = Callable[[Tensor, Tensor], Tensor]

COMBINATIONS: dict[str, Coefficient] = {
    # of label similarity x and gate difference y, both in [0, 1];
    # zero where figure 4 has its valley
    "multiplicative": lambda x, y: 2 * x * y - 1,
    "additive": lambda x, y: x + y - 1,
}
DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {
    # from that valley, all into [0, 2]; cos(pi (x + y)) + 1 = 1 - cos(pi (x + y - 1))
    "cos": lambda d: 1 - torch.cos(math.pi * d),
    "abs": lambda d: 2 * d.abs(),
    "square": lambda d: 2 * d.square(),
    # DEVIATION[DEPHN eq. 9]: printed without the absolute value that figure 4 shows
    "sqrt": lambda d: 2 * d.abs().sqrt(),
}


def _compose(combination: Coefficient, distance: Callable[[Tensor], Tensor]) -> Any:
    return lambda x, y: distance(combination(x, y))


COEFFICIENTS: dict[str, Coefficient] = {
    f"{c}-{d}": _compose(COMBINATIONS[c], DISTANCES[d])
    for c in COMBINATIONS
    for d in DISTANCES
}
SIMILARITIES = ("pearson", "cosine")
REDUCTIONS = ("product", "mean")


def label_similarity(
    y: Tensor,
    kind: str = "pearson",
    *,
    weights: Tensor | None = None,
    n_classes: Sequence[int] | None = None,
) -> Tensor:
    r"""Absolute similarity of the labels of each pair of tasks, :math:`\phi(Y_j, Y_t)`.

    Rows where either label is missing do not count for that pair.

    Parameters
    ----------
    y : Tensor of shape (batch, n_tasks)
        Labels: 0 or 1, class indices for a multi-class task, numbers for a regression,
        NaN where missing.
    kind : {"pearson", "cosine"}, default="pearson"
        Similarity of two binary tasks. A pair with a multi-class task is always
        compared by Cramér's V, which for two binary tasks is the absolute Pearson
        correlation; numbers by the absolute Pearson correlation with each other and
        with 0 and 1, which is then called point-biserial [1]_, and by the correlation
        ratio with several classes [2]_, which for two is that correlation, too.
    weights : Tensor of shape (batch,) or (batch, n_tasks), default=None
        Sample weights. Where two tasks weigh a row differently, the pair weighs it
        by the geometric mean.
    n_classes : sequence of int of length n_tasks, default=None
        Number of classes of each task, 0 for numbers; None means that all are binary.

    Returns
    -------
    Tensor of shape (n_tasks, n_tasks)
        In [0, 1], with a diagonal of 1 and NaN for each pair whose similarity is
        undefined: one of the labels is constant over the rows where both are
        known, or there are fewer than two such rows.

    Notes
    -----
    DEVIATION[DEPHN section III-D]: the paper has binary tasks alone, and Pearson's or
    the cosine similarity; the other pairs are ours.

    References
    ----------
    .. [1] Tate, "Correlation Between a Discrete and a Continuous Variable.
       Point-Biserial Correlation", Annals of Mathematical Statistics 1954.
    .. [2] Fisher, "Statistical Methods for Research Workers", 1925, chapter VIII.

    Examples
    --------
    >>> y = torch.tensor([[0., 0.], [1., 1.], [0., 1.], [1., torch.nan]])
    >>> label_similarity(y)
    tensor([[1.0000, 0.5000],
            [0.5000, 1.0000]])
    """
    check_choice("kind", kind, SIMILARITIES)
    observed = ~y.isnan()
    root = observed.double()  # of the weights: a pair's weight is a product of two
    if weights is not None:
        root = root * weights.double().sqrt().reshape(len(y), -1)
    labels = torch.where(observed, y, 0.0).double()
    if n_classes is None or min(n_classes) > 0:
        similarity = _class_similarity(labels, root, kind, n_classes)
    else:
        similarity = _with_numbers(labels, root, kind, tuple(n_classes))
    return similarity.fill_diagonal_(1.0).to(y.dtype)


def _class_similarity(
    labels: Tensor, root: Tensor, kind: str, n_classes: Sequence[int] | None
) -> Tensor:
    """Of tasks that all have classes."""
    if n_classes is None or max(n_classes) <= 2:
        return _binary_similarity(labels, root, kind)
    task_of, level, binary = _levels(tuple(n_classes), labels.device)
    similarity = _cramers_v(labels, root, task_of, level)
    similarity[binary[:, None], binary] = _binary_similarity(
        labels[:, binary], root[:, binary], kind
    )
    return similarity


def _with_numbers(
    labels: Tensor, root: Tensor, kind: str, n_classes: tuple[int, ...]
) -> Tensor:
    """Of tasks some of which are numbers."""
    numeric, classes = _numbers_and_classes(n_classes, labels.device)
    # the mean is no part of a correlation, and takes digits from sums of squares
    weight = root.square()
    means = (labels * weight).sum(0) / weight.sum(0).clamp_min(1e-300)
    centered = torch.where(numeric, labels - means, labels)
    similarity = _correlation(centered, root)
    if len(classes):
        of_classes = _class_similarity(
            labels[:, classes], root[:, classes], kind, [n for n in n_classes if n]
        )
        similarity[classes[:, None], classes] = of_classes
    for t, n in enumerate(n_classes):
        if n > 2:
            ratio = _correlation_ratio(centered, root, t, n)
            for pairs in (similarity[t], similarity[:, t]):
                pairs.copy_(torch.where(numeric, ratio, pairs))
    return similarity


def _correlation(labels: Tensor, root: Tensor) -> Tensor:
    """Absolute Pearson correlation, from sums over the rows both tasks know."""
    total = root.T @ root
    weighted = labels * root
    sums, squares = weighted.T @ root, (weighted * labels).T @ root
    variance = total * squares - sums.square()
    # rounding aside, a label is constant where its variance is nothing of its square
    variance = torch.where(variance > 1e-12 * total * squares, variance, torch.nan)
    cross = total * (weighted.T @ weighted) - sums * sums.T
    return (cross / (variance * variance.T).sqrt()).abs().clamp(max=1.0)


def _correlation_ratio(labels: Tensor, root: Tensor, t: int, n_classes: int) -> Tensor:
    """Of numbers, (n_tasks,), with the classes of task t."""
    levels = torch.arange(n_classes, device=labels.device)
    indicator = (labels[:, t : t + 1] == levels).double()
    weight = root * root[:, t : t + 1]  # of each row, for each pair with t
    masses, sums = indicator.T @ weight, indicator.T @ (labels * weight)
    total, mean = masses.sum(0), sums.sum(0) / masses.sum(0)
    spread = (labels.square() * weight).sum(0) - total * mean.square()
    between = torch.where(masses > 0, sums.square() / masses, 0.0).sum(0)
    between = between - total * mean.square()
    spread = torch.where(spread > 1e-12 * total * mean.square(), spread, torch.nan)
    several = (masses > 0).sum(0) > 1
    squared = torch.where(several, between / spread, torch.nan)
    return squared.clamp(0.0, 1.0).sqrt()


def _binary_similarity(labels: Tensor, root: Tensor, kind: str) -> Tensor:
    """Pearson or cosine of 0/1 labels, from sums over the rows both tasks know."""
    positive = labels * root
    total = root.T @ root
    together = positive.T @ positive
    alone = positive.T @ root  # [j, t]: positives of j where t is known
    # a 0/1 label is its own square
    variance = total * alone - alone.square()
    variance = torch.where(variance > 1e-12 * total.square(), variance, torch.nan)
    if kind == "pearson":
        cross = total * together - alone * alone.T
        similarity = cross / (variance * variance.T).sqrt()
    else:
        defined = (variance * variance.T) > 0
        cosine = together / (alone * alone.T).sqrt()
        similarity = torch.where(defined, cosine, torch.nan)
    return similarity.abs().clamp(max=1.0)


@lru_cache
def _levels(n_classes: tuple[int, ...], device: torch.device) -> tuple[Tensor, ...]:
    """Task and class of each level of all tasks, and which tasks are binary.

    Made once, since a tensor made of Python numbers waits for the device.
    """
    tasks = [t for t, k in enumerate(n_classes) for _ in range(k)]
    classes = [c for k in n_classes for c in range(k)]
    binary = [t for t, k in enumerate(n_classes) if k <= 2]
    return tuple(torch.tensor(x).long().to(device) for x in (tasks, classes, binary))


@lru_cache
def _numbers_and_classes(
    n_classes: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which tasks are numbers, (n_tasks,), and the places of those with classes."""
    numeric = torch.tensor([not n for n in n_classes])
    return numeric.to(device), (~numeric).nonzero().squeeze(1).to(device)


def _cramers_v(labels: Tensor, root: Tensor, task_of: Tensor, level: Tensor) -> Tensor:
    """Cramér's V of class indices, from one contingency table of all tasks."""
    n_tasks = labels.shape[1]
    indicator = (labels[:, task_of] == level) * root[:, task_of]
    member = (task_of[:, None] == torch.arange(n_tasks, device=task_of.device)).double()

    table = indicator.T @ indicator
    margin = indicator.T @ root  # [a, t]: weight of level a where task t is known
    total = root.T @ root
    rows, columns = margin[:, task_of], margin[:, task_of].T
    expected = rows * columns / total[task_of][:, task_of]
    cell = torch.where(expected > 0, (table - expected).square() / expected, 0.0)
    chi_square = member.T @ cell @ member
    levels = member.T @ (margin > 0).double()
    freedom = torch.minimum(levels, levels.T) - 1
    squared = chi_square / (total * freedom)
    return torch.where(freedom > 0, squared, torch.nan).clamp(max=1.0).sqrt()


@torch.no_grad()
def coefficient(
    gates: Tensor,
    similarity: Tensor,
    function: str | Coefficient = "additive-sqrt",
    *,
    reduction: str = "product",
) -> Tensor:
    r"""How much faster or slower each gate learns, :math:`\prod_{j \ne t} \gamma_{jt}`.

    [DEPHN] eq. 8 and 9. Each :math:`\gamma_{jt}` is a function of
    :math:`x = \phi(Y_j, Y_t)` and :math:`y = \min(1, |G^t_{kp} - G^j_{kp}|)` and
    lies in [0, 2]; it is 1 where the similarity is undefined.

    .. note::
       DEVIATION[DEPHN eq. 8]: ``reduction="mean"``, the estimator's default, puts
       the mean of :math:`\gamma_{jt}` in the place of their product, under which the
       gates of many tasks are thrown away or stand still. Two tasks know no difference.

    Parameters
    ----------
    gates : Tensor of shape (n_tasks, ...)
        Gate values of each task.
    similarity : Tensor of shape (n_tasks, n_tasks)
        From :func:`label_similarity`; NaN is undefined.
    function : str or callable, default="additive-sqrt"
        ``"multiplicative-"`` or ``"additive-"`` followed by ``"cos"``, ``"abs"``,
        ``"square"`` or ``"sqrt"``; or a callable
        ``(similarity, difference) -> coefficient`` on tensors of one shape.
    reduction : {"product", "mean"}, default="product"
        Over the other tasks. The product, which is the paper's, reaches up to
        :math:`2^{T-1}`; the mean lies in [0, 2] for any number of tasks.

    Returns
    -------
    Tensor of the shape of `gates`
        One task alone gives 1.

    Examples
    --------
    >>> gates = torch.tensor([[0.5], [0.5]])
    >>> coefficient(gates, torch.tensor([[1.0, 0.75], [0.75, 1.0]]))
    tensor([[1.],
            [1.]])
    """
    check_choice("reduction", reduction, REDUCTIONS)
    if isinstance(function, str):
        check_choice("function (if not callable)", function, sorted(COEFFICIENTS))
        function = COEFFICIENTS[function]
    n_tasks = len(gates)
    if n_tasks == 1:
        return torch.ones_like(gates)
    difference = (gates.unsqueeze(1) - gates.unsqueeze(0)).abs().clamp(max=1.0)
    pairs = similarity.to(gates).reshape(n_tasks, n_tasks, *[1] * (gates.dim() - 1))
    gamma = function(pairs.expand_as(difference), difference)
    self = torch.eye(n_tasks, dtype=torch.bool, device=gates.device).view(pairs.shape)
    gamma = gamma.masked_fill(pairs.isnan(), 1.0)
    if reduction == "product":
        return gamma.masked_fill(self, 1.0).prod(0)
    return gamma.masked_fill(self, 0.0).sum(0) / (n_tasks - 1)


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, coefficient: Tensor) -> Tensor:
        ctx.save_for_backward(coefficient)
        return gates.view_as(gates)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (coefficient,) = ctx.saved_tensors
        return gradient * coefficient, None


def scale_gradient(gates: Tensor, coefficient: Tensor) -> Tensor:
    r"""The gates unchanged, with their gradient multiplied by a coefficient.

    [DEPHN] eq. 8.

    .. note::
       DEVIATION[DEPHN eq. 8]: the paper multiplies by the coefficient and divides by
       its frozen copy, which is undefined at a coefficient of 0. Scaling the gradient
       in the backward pass is the same rule, exact at 0 as well, and does not change
       the forward value by one bit.

    Parameters
    ----------
    gates : Tensor
    coefficient : Tensor
        Of a shape that broadcasts to that of `gates`. It gets no gradient.

    Returns
    -------
    Tensor of the shape of `gates`

    Examples
    --------
    >>> gates = torch.ones(2, requires_grad=True)
    >>> scale_gradient(gates, torch.tensor([0.0, 2.0])).sum().backward()
    >>> gates.grad
    tensor([0., 2.])
    """
    return _ScaleGradient.apply(gates, coefficient)
