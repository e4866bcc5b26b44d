"""Displays that are one matrix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ._drawing import FONT, WIDTH, color_bar, panels

MOST_VALUES = 8  # columns of a matrix whose values can be printed in a paper's column
MOST_SLANTED = 10  # columns whose names can


@dataclass
class Matrix:
    """What is drawn: values, names, and how to color them."""

    values: ArrayLike
    row_names: Sequence[str]
    column_names: Sequence[str]
    label: str
    height: float
    colors: dict[str, Any]  # for Axes.imshow
    value_format: str = ".2f"
    spread: ArrayLike | None = None  # of each value, printed below it


class MatrixDisplay(ABC):
    """What draws a matrix with its names, its color bar and its values."""

    @abstractmethod
    def _matrix(self) -> Matrix:
        """What to draw."""

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool | None = None,
        **imshow_kwargs: Any,
    ) -> Self:
        """Draw the matrix.

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
        display
            This one.
        """
        matrix = self._matrix()
        values, n_columns = np.asarray(matrix.values), len(matrix.column_names)
        # as wide as the columns' names need to be not to touch
        width = max(WIDTH, 1.8 + 0.13 * n_columns)
        self.ax_ = ax = panels(ax, 1, height=matrix.height, width=width)[0, 0]
        self.figure_ = ax.figure
        self.image_ = ax.imshow(
            values, **{"aspect": "auto", **matrix.colors, **imshow_kwargs}
        )
        ax.set_yticks(range(len(values)), matrix.row_names, fontsize=FONT)
        ax.set_xticks(range(n_columns), matrix.column_names, fontsize=FONT, rotation=90)
        if n_columns <= MOST_SLANTED:
            for name in ax.get_xticklabels():
                name.set(rotation=45, ha="right", va="center", rotation_mode="anchor")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        self.colorbar_ = color_bar(self.image_, ax, matrix.label, pad=0.03)
        self.text_ = None
        if include_values is None:
            include_values = n_columns <= MOST_VALUES
        if include_values:
            self.text_ = np.empty(values.shape, dtype=object)
            style = {"ha": "center", "va": "center", "fontsize": "x-small"}
            for (row, column), value in np.ndenumerate(values):
                word = "n/a" if np.isnan(value) else format(value, matrix.value_format)
                if matrix.spread is not None:
                    spread = np.asarray(matrix.spread)[row, column]
                    word += f"\n±{spread:{matrix.value_format}}"
                style["color"] = _ink(self.image_, value)
                self.text_[row, column] = ax.text(column, row, word, **style)
        return self


def _ink(image: Any, value: float) -> str:
    """Black or white, what reads better on the value's color."""
    if np.isnan(value):
        return "black"
    red, green, blue, _ = image.cmap(image.norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
