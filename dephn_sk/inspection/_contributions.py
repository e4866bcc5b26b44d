"""What each expert adds to each logit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch
from torch import Tensor
from torch.nn.functional import leaky_relu

from ..nn import TaskTowers
from ._drawing import SEQUENTIAL, draw_matrix, matrix_width, panels
from ._fitted import final_estimator
from ._gate_values import branch_names
from ._network import encoded, output_names, own_network, recording

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

    Parameters
    ----------
    estimator : DEPHNMultiTaskClassifier, MTPHNClassifier or Pipeline
        Fitted; a Pipeline ends with the classifier.
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
            such as ``"private cross0"``.

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
    ('dnn2 sin', 'private cross0', 'private field0')
    """
    final = final_estimator(estimator)
    network = own_network(final)
    towers = getattr(network, "towers", None)
    if not isinstance(towers, TaskTowers):
        raise TypeError(
            "expert_contributions reads the towers of a DEPHN network, which "
            f"{type(final).__name__} does not have."
        )
    exact = copy.deepcopy(towers).cpu().double()
    blocks = []
    with torch.no_grad(), recording(towers) as seen:
        for batch in encoded(estimator, X).batches(BLOCK):
            network(**batch.inputs)
            (branches, gates, private), _ = seen.pop()
            branches, gates, *private = (
                x.cpu().double() for x in (branches, gates, *private)
            )
            parts = _tower_input(exact, branches, gates, private)
            contributions, bias = _through(exact, parts)
            blocks.append(contributions.numpy())
    return Bunch(
        contributions=np.concatenate(blocks),
        bias=bias.numpy(),
        output_names=output_names(final),
        expert_names=(*branch_names(final), *_private_names(network)),
    )


def _tower_input(
    towers: TaskTowers, branches: Tensor, gates: Tensor, private: Sequence[Tensor]
) -> Tensor:
    """Experts' parts of the first layer, (n_tasks, batch, n_experts, out)."""
    by_row = gates.unsqueeze(0) if gates.dim() == 2 else gates
    gated = (
        by_row.transpose(0, 1).unsqueeze(-1) * branches
    )  # task, batch, branch, width
    parts = [torch.einsum("tbkw,kwto->tbko", gated, towers.public)]
    for weight, experts in zip(towers.private, private, strict=True):
        own = torch.bmm(experts, weight).unflatten(0, (towers.n_tasks, -1))
        parts.append(own.transpose(1, 2))
    return torch.cat(parts, dim=2)


def _through(towers: TaskTowers, parts: Tensor) -> tuple[Tensor, Tensor]:
    """The parts carried to the logits, (batch, n_outputs, n_experts), and the bias."""
    _, batch, n_experts, _ = parts.shape
    without, total = towers.bias, towers.bias + parts.sum(2)
    for layer in towers.deeper:
        parts = parts * _chord(without, total).unsqueeze(2)
        flat = parts.flatten(1, 2)
        linear = layer(flat) - layer(torch.zeros_like(flat[:, :1]))
        parts = linear.unflatten(1, (batch, n_experts))
        without, total = layer(leaky_relu(without)), layer(leaky_relu(total))
    contributions = parts.permute(1, 0, 3, 2).flatten(1, 2)[:, towers.outputs]
    return contributions, without.flatten()[towers.outputs]


def _chord(a: Tensor, b: Tensor) -> Tensor:
    """Slope of the activation's chord from a to b."""
    # on one side of the kink the chord is the line itself, and nothing cancels
    slope = torch.where(b > 0, 1.0, leaky_relu(torch.ones_like(b).neg()).neg())
    across = a * b < 0
    chord = (leaky_relu(b) - leaky_relu(a)) / torch.where(across, b - a, 1.0)
    return torch.where(across, chord, torch.where(b == 0, slope.new_ones(()), slope))


def _private_names(network: Any) -> list[str]:
    kinds = network.interaction.private_kinds
    return [f"private {kind}{i}" for kind, n in kinds.items() for i in range(n)]


class ContributionDisplay:
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

    def __init__(
        self,
        shares: ArrayLike,
        *,
        task_names: Sequence[str],
        expert_names: Sequence[str],
    ) -> None:
        self.shares = shares
        self.task_names = task_names
        self.expert_names = expert_names

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Any = None, **kwargs: Any
    ) -> ContributionDisplay:
        """Draw the mean over rows of the experts' absolute contributions.

        Parameters
        ----------
        estimator : DEPHNMultiTaskClassifier, MTPHNClassifier or Pipeline
            Fitted; a Pipeline ends with the classifier.
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
        final = final_estimator(estimator)
        result = expert_contributions(estimator, X)
        size = np.abs(result.contributions).mean(axis=0)
        starts = np.cumsum([0, *final.tasks_.n_outputs[:-1]])
        display = cls(
            _shares(np.add.reduceat(size, starts, axis=0)),
            task_names=final.task_names_,
            expert_names=result.expert_names,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool | None = None,
        **imshow_kwargs: Any,
    ) -> ContributionDisplay:
        """Draw the matrix of shares.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None makes a figure.
        include_values : bool, default=None
            Whether values are printed; None: where there is room for them.
        **imshow_kwargs : dict
            For ``Axes.imshow``.

        Returns
        -------
        ContributionDisplay
        """
        height = 1.4 + 0.3 * len(self.task_names)
        width = matrix_width(len(self.expert_names))
        self.ax_ = panels(ax, 1, height=height, width=width)[0, 0]
        self.figure_ = self.ax_.figure
        self.image_, self.colorbar_, self.text_ = draw_matrix(
            self.ax_,
            self.shares,
            self.task_names,
            self.expert_names,
            label="share of contributions",
            values_format=".0%",
            include_values=include_values,
            **{"cmap": SEQUENTIAL, "vmin": 0, **imshow_kwargs},
        )
        return self


def _shares(size: NDArray) -> NDArray:
    """Rows divided by their sums; rows of zeros stay."""
    total = size.sum(axis=1, keepdims=True)
    return size / np.where(total > 0, total, 1.0)
