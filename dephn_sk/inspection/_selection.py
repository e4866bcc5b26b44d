"""How much attention each structure of experts mixes into each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.utils import Bunch

from .._compat import StrOptions, validate_params
from ._drawing import around
from ._fitted import final_estimator, vector_names
from ._matrix import Matrix, MatrixDisplay


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
    final = final_estimator(estimator)
    logits = final.network_.selection_logits
    if logits is None:
        raise ValueError(
            f"{type(final).__name__} was fitted without soft "
            "selection, so that there are no gates to show. Use selection='soft'."
        )
    parameters = logits.detach().cpu().numpy()
    return Bunch(
        gates=expit(parameters),
        parameters=parameters,
        structure_names=final.network_.structure_names(final.tasks_.names),
        field_names=vector_names(estimator),
    )


@dataclass(eq=False, repr=False)
class SelectionDisplay(MatrixDisplay):
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

    values: ArrayLike
    _: KW_ONLY
    field_names: Sequence[str]
    structure_names: Sequence[str]
    scale: str = "gate"

    @classmethod
    @validate_params({"scale": [StrOptions({"gate", "parameter"})]})
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
        return cls(
            values.mean(axis=-1).T,
            field_names=selection.field_names,
            structure_names=selection.structure_names,
            scale=scale,
        ).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool | None = False,
        **imshow_kwargs: Any,
    ) -> Self:
        """Draw the matrix of gates.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None makes a figure.
        include_values : bool, default=False
            Whether values are printed; None: where there is room for them.
        **imshow_kwargs : dict
            For ``Axes.imshow``.

        Returns
        -------
        SelectionDisplay
        """
        return super().plot(ax, include_values=include_values, **imshow_kwargs)

    def _matrix(self) -> Matrix:
        label, middle = "parameter of gate", 0.0
        if self.scale == "gate":
            label, middle = "share of attention", 0.5
        names = self.field_names, self.structure_names
        height, colors = 1.0 + 0.2 * len(self.field_names), around(self.values, middle)
        return Matrix(self.values, *names, label, height, colors)
