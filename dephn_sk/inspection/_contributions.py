"""What each expert adds to each logit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from ._drawing import SEQUENTIAL
from ._fitted import final_estimator, output_names, own_network, source_of
from ._gate_values import shares_of
from ._matrix import Matrix, MatrixDisplay

BLOCK = 1024  # rows: the parts of a hidden tower are as many as experts times its width


def expert_contributions(estimator: Any, X: Any) -> Bunch:
    r"""Signed contribution of each expert to each logit, for every row.

    A logit is the sum of a bias and of what the experts add: each public expert under
    each mapping, and each private expert of the task. With linear towers that is eq. 4
    and 5 of the paper,

    .. math::
        \mathrm{logit}_t = b_t + \sum_{k,p} W^t_{kp} G^t_{kp} f_p(e_k)
        + \sum_{k'} W^t_{k'} e^t_{k'} .

    A hidden tower is no sum over experts. There a unit passes on, of each expert's
    part of its argument, the fraction that it passes on of their sum: the slope of its
    activation's chord between the argument without any expert and the argument with
    all of them (the rescale rule of DeepLIFT [1]_). So contributions and bias add up to
    the logit for towers of any depth; the bias is the logit of a tower that no expert
    says anything to.

    Under `conditions`, the logit is that of the task given its condition.

    Parameters
    ----------
    estimator : DEPHNMultiTaskClassifier, MTPHNClassifier, Pipeline or search
        Fitted; a Pipeline or search ends with the classifier.
    X : DataFrame or array-like of shape (n_samples, n_features)

    Returns
    -------
    Bunch
        contributions : ndarray of shape (n_samples, n_outputs, n_experts)
            In logits.
        bias : ndarray of shape (n_outputs,)
            In logits, the same for every row.
        output_names : tuple of str
            The tasks; for a multi-class task, ``"task=class"`` for each class.
        expert_names : tuple of str
            Public experts under mappings, such as ``"dnn0 sin"``, then private ones,
            such as ``"private cross0"``. With several networks, their means, and
            ``"pooling"``: what the logit of the mean probability has beyond the mean of
            the logits.

    References
    ----------
    .. [1] Shrikumar, Greenside, Kundaje, "Learning Important Features Through
       Propagating Activation Differences", ICML 2017.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import expert_contributions
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(
    ...     private_experts=("cross", "field"),
    ...     tower_hidden=(),
    ...     max_epochs=1,
    ...     random_state=0,
    ... )
    >>> result = expert_contributions(model.fit(log.data, log.target), log.data)
    >>> result.contributions.shape
    (500, 3, 8)
    >>> result.expert_names[-3:]
    ('field0 sin', 'private cross0', 'private field0')
    """
    network = own_network(estimator)
    if not network.expert_names:
        raise TypeError(
            "expert_contributions reads the towers of a DEPHN network, which "
            f"{type(final_estimator(estimator)).__name__} does not have."
        )
    blocks = []
    with torch.no_grad():
        for batch in source_of(estimator, X).batches(BLOCK):
            contributions, bias = network.contributions(**batch.inputs)
            blocks.append(contributions.numpy())
    return Bunch(
        contributions=np.concatenate(blocks),
        bias=bias.numpy(),
        output_names=output_names(estimator),
        expert_names=network.expert_names,
    )


@dataclass(eq=False, repr=False)
class ContributionDisplay(MatrixDisplay):
    """Share of each expert in the absolute contributions to each task's logit.

    Figure 3b of the paper. See :func:`expert_contributions`.

    Parameters
    ----------
    shares : array-like of shape (n_tasks, n_experts)
        The rows sum to 1.
    task_names : sequence of str of length n_tasks
    expert_names : sequence of str of length n_experts

    Attributes
    ----------
    ax_ : Axes
    image_ : AxesImage
    colorbar_ : Colorbar
    text_ : ndarray of Text of shape (n_tasks, n_experts), or None
        Printed values.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import ContributionDisplay
    >>> display = ContributionDisplay(
    ...     [[0.75, 0.25]],
    ...     task_names=["click"],
    ...     expert_names=["dnn0 raw", "private cross0"],
    ... ).plot()
    >>> display.text_[0, 0].get_text()
    '75%'
    """

    shares: ArrayLike
    _: KW_ONLY
    task_names: Sequence[str]
    expert_names: Sequence[str]

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Any = None, **kwargs: Any
    ) -> ContributionDisplay:
        """Draw the mean over rows of the experts' absolute contributions.

        Parameters
        ----------
        estimator : DEPHNMultiTaskClassifier, MTPHNClassifier, Pipeline or search
            Fitted; a Pipeline or search ends with the classifier.
        X : DataFrame or array-like of shape (n_samples, n_features)
        ax : Axes, default=None
            Where to draw. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        ContributionDisplay
            A multi-class task's contributions are summed over its classes' logits.
        """
        tasks = final_estimator(estimator).tasks_
        result = expert_contributions(estimator, X)
        size = np.abs(result.contributions).mean(axis=0)
        starts = np.cumsum([0, *tasks.n_outputs[:-1]])
        return cls(
            shares_of(np.add.reduceat(size, starts, axis=0)),
            task_names=tasks.names,
            expert_names=result.expert_names,
        ).plot(ax=ax, **kwargs)

    def _matrix(self) -> Matrix:
        names, label = (self.task_names, self.expert_names), "share of contributions"
        height = 1.4 + 0.3 * len(self.task_names)
        colors = {"cmap": SEQUENTIAL, "vmin": 0}
        return Matrix(self.shares, *names, label, height, colors, ".0%")
