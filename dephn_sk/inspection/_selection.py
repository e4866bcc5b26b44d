"""How much attention each structure of experts mixes into each field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils import Bunch

from .._compat import StrOptions, validate_params
from ._drawing import DIVERGING, draw_matrix, matrix_width, panels
from ._fitted import final_estimator, network_of, tasks_of, vector_names


def selection_gates(estimator: Any) -> Bunch:
    r"""The trained gates of soft selection, one for each structure of experts.

    A structure reads :math:`G \odot E_{SA} + (1 - G) \odot E`: a gate of 1 takes the
    attended field, a gate of 0 the raw one.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted with soft selection; a Pipeline or search ends with the estimator.

    Returns
    -------
    Bunch
        gates : ndarray of shape (n_structures, n_fields, embedding_dim)
            In (0, 1), ½ before training.
        parameters : ndarray of shape (n_structures, n_fields, embedding_dim)
            Their logits, which figure 3a of the paper shows.
        structure_names : tuple of str
            ``"public"``, then each task's private experts, such as ``"click cross0"``.
        field_names : tuple of str
            The fields. A number with several vectors has as many names.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import selection_gates
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(
    ...     private_experts=("cross", "field"),
    ...     selection="soft",
    ...     max_epochs=1,
    ...     random_state=0,
    ... )
    >>> selection = selection_gates(model.fit(log.data, log.target))
    >>> selection.gates.shape
    (7, 12, 8)
    >>> selection.structure_names[:3]
    ('public', 'click cross0', 'like cross0')
    """
    network = network_of(estimator)
    logits = network.selection_logits
    if logits is None:
        raise ValueError(
            f"{type(final_estimator(estimator)).__name__} was fitted without soft "
            "selection, so that there are no gates to show. Use selection='soft'."
        )
    parameters = logits.detach().cpu().numpy()
    return Bunch(
        gates=expit(parameters),
        parameters=parameters,
        structure_names=network.structure_names(tasks_of(estimator).names),
        field_names=vector_names(estimator),
    )


class SelectionDisplay:
    """Gates of soft selection: a row for each field, a column for each structure.

    Figure 3a of the paper. See :func:`selection_gates`.

    Parameters
    ----------
    values : array-like of shape (n_fields, n_structures)
        Gates, or their parameters, averaged over the entries of a field.
    field_names : sequence of str of length n_fields
    structure_names : sequence of str of length n_structures
    scale : {"gate", "parameter"}, default="gate"
        What the values are: gates in (0, 1), whose middle is ½, or their logits.

    Attributes
    ----------
    ax_ : Axes
    image_ : AxesImage
    colorbar_ : Colorbar
    text_ : ndarray of Text of shape (n_fields, n_structures), or None
        Printed values.
    figure_ : Figure

    Examples
    --------
    >>> from dephn_sk.inspection import SelectionDisplay
    >>> display = SelectionDisplay(
    ...     [[0.5], [0.7]], field_names=["user", "item"], structure_names=["public"]
    ... ).plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['user', 'item']
    """

    def __init__(
        self,
        values: ArrayLike,
        *,
        field_names: Sequence[str],
        structure_names: Sequence[str],
        scale: str = "gate",
    ) -> None:
        self.values = values
        self.field_names = field_names
        self.structure_names = structure_names
        self.scale = scale

    @classmethod
    @validate_params(
        {"scale": [StrOptions({"gate", "parameter"})]},
        prefer_skip_nested_validation=True,
    )
    def from_estimator(
        cls, estimator: Any, *, scale: str = "gate", ax: Any = None, **kwargs: Any
    ) -> SelectionDisplay:
        """Draw the gates of a fitted estimator.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted with soft selection; a Pipeline or search ends with the estimator.
        scale : {"gate", "parameter"}, default="gate"
            Gates, or their logits, as in the paper's figure.
        ax : Axes, default=None
            Where to draw. None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        SelectionDisplay
        """
        selection = selection_gates(estimator)
        values = selection.gates if scale == "gate" else selection.parameters
        display = cls(
            values.mean(axis=-1).T,
            field_names=selection.field_names,
            structure_names=selection.structure_names,
            scale=scale,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool = False,
        **imshow_kwargs: Any,
    ) -> SelectionDisplay:
        """Draw the matrix of gates.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None makes a figure.
        include_values : bool, default=False
            Whether values are printed.
        **imshow_kwargs : dict
            For ``Axes.imshow``.

        Returns
        -------
        SelectionDisplay
        """
        values: NDArray = np.asarray(self.values)
        middle = 0.5 if self.scale == "gate" else 0.0
        most = float(np.abs(values - middle).max()) or 0.5
        height = 1.0 + 0.2 * len(values)
        width = matrix_width(len(self.structure_names))
        self.ax_ = panels(ax, 1, height=height, width=width)[0, 0]
        self.figure_ = self.ax_.figure
        self.image_, self.colorbar_, self.text_ = draw_matrix(
            self.ax_,
            values,
            self.field_names,
            self.structure_names,
            label="share of attention" if self.scale == "gate" else "parameter of gate",
            include_values=include_values,
            **{
                "cmap": DIVERGING,
                "vmin": middle - most,
                "vmax": middle + most,
                **imshow_kwargs,
            },
        )
        return self
