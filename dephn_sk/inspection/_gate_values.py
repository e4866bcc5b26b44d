"""Gates as numbers, and a warning where they collapse."""

from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._compat import Interval, validate_params, warn
from ._fitted import final_estimator, own_network, source_of

BLOCK = 4096
COLLAPSE = 0.9


def gate_values(estimator: Any, X: Any = None) -> NDArray:
    """The gates of each task: those that are trained, or the mean of mapped ones.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted: DEPHN, MT-PHN or MMoE. A Pipeline or search ends with the estimator.
    X : DataFrame or array-like of shape (n_samples, n_features), default=None
        The rows over which mapped gates are averaged. Trainable gates are the same for
        every row and need none.

    Returns
    -------
    ndarray of shape (n_tasks, n_branches)
        A branch is an expert under a mapping; for MMoE, an expert. Of several networks,
        the mean.

    Examples
    --------
    >>> from dephn_sk.baselines import MMoEClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import gate_values
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = MMoEClassifier(max_epochs=1, random_state=0).fit(log.data, log.target)
    >>> gate_values(model, log.data).sum(axis=1).round(3)
    array([1., 1., 1.])
    """
    return gates_by_member(estimator, X).mean(axis=0)


def gates_by_member(estimator: Any, X: Any = None) -> NDArray:
    """The same of each of `n_networks`, (n_members, n_tasks, n_branches)."""
    final = final_estimator(estimator)
    if not final.network_.branch_names:
        raise TypeError(f"This {type(final).__name__} has no gates on shared experts.")
    known = [(m.gates, m) for m in own_network(estimator).members]
    trained = [gates.numpy(force=True) for gates, _ in known if gates is not None]
    if trained:
        return np.stack(trained)
    if X is None:
        raise ValueError(
            "The gates are mapped from the input, and differ from row to row. Give X, "
            "the rows over which to average them."
        )
    source = source_of(estimator, X)
    total: Any = 0.0
    with torch.no_grad():
        for batch in source.batches(BLOCK):
            by_row = [member.mapped_gates(**batch.inputs) for _, member in known]
            total = total + torch.stack(by_row).cpu().double().sum(1)
    return (total / source.n_rows).numpy()


@validate_params({"threshold": [Interval(Real, 0, 1, closed="right")]})
def expert_utilization(
    estimator: Any, X: Any = None, *, threshold: float = COLLAPSE
) -> Bunch:
    """Share of each shared expert in the absolute gates of each task.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted: DEPHN, MT-PHN or MMoE. A Pipeline or search ends with the estimator.
    X : DataFrame or array-like of shape (n_samples, n_features), default=None
        For mapped gates; see :func:`gate_values`.
    threshold : float in (0, 1], default=0.9
        A larger share of one expert out of several is a collapse.

    Returns
    -------
    Bunch
        utilization : ndarray of shape (n_tasks, n_experts)
            The rows sum to 1; the mappings of an expert are taken together.
        task_names : tuple of str
            The rows.
        expert_names : tuple of str
            The columns.

    Warns
    -----
    UserWarning
        Where a task's gates collapse on one expert.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import expert_utilization
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> result = expert_utilization(model.fit(log.data, log.target))
    >>> result.utilization.shape, result.expert_names
    ((3, 3), ('dnn0', 'cross0', 'field0'))
    """
    gates = np.abs(gate_values(estimator, X))
    final = final_estimator(estimator)
    task_names = final.tasks_.names
    experts = [name.split()[0] for name in final.network_.branch_names]
    names = tuple(dict.fromkeys(experts))
    sizes = [gates[:, [e == name for e in experts]].sum(axis=1) for name in names]
    used = shares_of(np.column_stack(sizes))
    collapsed = [
        f"{task!r} on {names[shares.argmax()]!r} ({shares.max():.0%})"
        for task, shares in zip(task_names, used, strict=True)
        if len(names) > 1 and shares.max() > threshold
    ]
    if collapsed:
        warn(
            f"Gates collapsed on one expert: {', '.join(collapsed)}. The other experts "
            "are hardly used; try another random_state, fewer experts, or a lower "
            "learning rate of the gates.",
        )
    return Bunch(utilization=used, task_names=task_names, expert_names=names)


def shares_of(sizes: NDArray) -> NDArray:
    """Rows divided by their sums; rows of zeros stay."""
    total = sizes.sum(axis=1, keepdims=True)
    return sizes / np.where(total > 0, total, 1.0)
