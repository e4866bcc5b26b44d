"""How the displays draw: sizes, colors, panels, matrices. matplotlib is optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH = 3.5  # inches, a column of a paper
FONT = "small"
# Okabe and Ito's colors without the yellow, which white paper swallows
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
DIVERGING, SEQUENTIAL = "PuOr_r", "cividis"
LEGEND = "dephn_sk legend"
MOST_VALUES = 8  # columns of a matrix whose values can be printed at that width
MOST_SLANTED = 10  # columns whose names can


def pyplot() -> Any:
    """matplotlib.pyplot, or an error that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            "Drawing needs matplotlib: pip install 'dephn-sk[plot]'."
        ) from None
    return plt


def panels(
    ax: Any,
    n_rows: int,
    n_columns: int = 1,
    *,
    height: float = 1.4,
    width: float = WIDTH,
    **share: Any,
) -> NDArray:
    """Axes of shape (n_rows, n_columns): new, inside of one, or those given."""
    plt = pyplot()
    if ax is None:
        _, axes = plt.subplots(
            n_rows,
            n_columns,
            squeeze=False,
            figsize=(width, height * n_rows + 0.4),
            layout="constrained",
            **share,
        )
    elif not isinstance(ax, plt.Axes):
        axes = np.asarray(ax, dtype=object)
        if axes.size != n_rows * n_columns:
            raise ValueError(
                f"ax must be one Axes or {n_rows * n_columns} of them, got {axes.size}."
            )
        return axes.reshape(n_rows, n_columns)
    elif n_rows * n_columns == 1:
        return np.array([[ax]], dtype=object)
    else:
        ax.set_axis_off()
        grid = ax.get_subplotspec().subgridspec(n_rows, n_columns)
        axes = grid.subplots(squeeze=False, **share)
    for panel in axes.flat:
        panel.tick_params(labelsize=FONT)
        panel.set_prop_cycle(color=COLORS)
        panel.spines[["top", "right"]].set_visible(False)
    return axes


def matrix_width(n_columns: int) -> float:
    """Inches that a matrix needs for its columns' names not to touch."""
    return max(WIDTH, 1.8 + 0.13 * n_columns)


def count_epochs(ax: Any) -> None:
    """Whole numbers on an axis of epochs."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def mark_epoch(ax: Any, epoch: int | None, color: str = "gray") -> None:
    """A dotted line at the epoch whose weights were kept."""
    if epoch is not None:
        ax.axvline(epoch, color=color, linewidth=0.8, linestyle=":", label="kept")


def line_style(i: int) -> str:
    """Of the i-th line of a panel, so that lines of one color differ."""
    return ("-", "--", ":", "-.")[i // len(COLORS) % 4]


def draw_legend(panel: Any, ax: Any, n_columns: int = 3) -> None:
    """A legend under the figure where the figure is ours, otherwise in the panel."""
    figure = panel.figure
    style = {"fontsize": "x-small", "frameon": False}
    ours = [legend for legend in figure.legends if legend.get_gid() == LEGEND]
    if ax is not None and not ours:
        panel.legend(**style)
        return
    for legend in ours:  # of what was drawn before into the same axes
        legend.remove()
    entries: dict[str, Any] = {}
    for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
        entries.setdefault(label, handle)
    figure.legend(
        entries.values(),
        entries,
        loc="outside lower center",
        ncols=n_columns,
        **style,
    ).set_gid(LEGEND)


def draw_matrix(
    ax: Any,
    values: ArrayLike,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    label: str,
    values_format: str = ".2f",
    include_values: bool | None = None,
    **imshow_kwargs: Any,
) -> tuple[Any, Any, NDArray | None]:
    """A matrix with its names: the image, its color bar and the printed values."""
    values = np.asarray(values)
    n_rows, n_columns = values.shape
    image = ax.imshow(values, **{"aspect": "auto", **imshow_kwargs})
    slanted = n_columns <= MOST_SLANTED
    ax.set_xticks(
        range(n_columns),
        column_names,
        rotation=45 if slanted else 90,
        ha="right" if slanted else "center",
        va="center" if slanted else "top",
        rotation_mode="anchor" if slanted else "default",
        fontsize=FONT,
    )
    ax.set_yticks(range(n_rows), row_names, fontsize=FONT)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.03)
    bar.set_label(label, fontsize=FONT)
    bar.ax.tick_params(labelsize=FONT)
    if include_values is None:
        include_values = n_columns <= MOST_VALUES
    if not include_values:
        return image, bar, None
    text = np.empty(values.shape, dtype=object)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        text[row, column] = ax.text(
            column,
            row,
            "n/a" if np.isnan(value) else format(value, values_format),
            ha="center",
            va="center",
            fontsize="x-small",
            color=_ink(image, float(value)),
        )
    return image, bar, text


def around_zero(values: ArrayLike) -> dict[str, Any]:
    """Color settings that put the middle of a diverging map at 0."""
    most = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    return {"cmap": DIVERGING, "vmin": -most, "vmax": most}


def _ink(image: Any, value: float) -> str:
    """Black or white, what reads better on the value's color."""
    if np.isnan(value):
        return "black"
    red, green, blue, _ = image.cmap(image.norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
