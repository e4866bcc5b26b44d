"""How the displays draw: sizes, colors, panels, legends. matplotlib is optional."""

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
        size = (width, height * n_rows + 0.4)
        figure = plt.figure(figsize=size, layout="constrained")
        axes = figure.subplots(n_rows, n_columns, squeeze=False, **share)
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


class TaskPanels:
    """A display that has a panel for each task."""

    task_names: Sequence[str]

    def _open_panels(self, ax: Any, xlabel: str, ylabel: str, **options: Any) -> None:
        self.axes_ = panels(ax, len(self.task_names), **options).ravel()
        self.figure_ = self.axes_[0].figure
        for panel, name in zip(self.axes_, self.task_names, strict=True):
            panel.set_title(name, loc="left", fontsize=FONT)
            panel.set_ylabel(ylabel, fontsize=FONT)
        self.axes_[-1].set_xlabel(xlabel, fontsize=FONT)


def mark_epochs(panel: Any, kept: int | None, color: str = "gray") -> None:
    """Whole epochs on the axis, and a dotted line at the one that was kept."""
    from matplotlib.ticker import MaxNLocator

    if kept is not None:
        panel.axvline(kept, color=color, linewidth=0.8, linestyle=":", label="kept")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def color_bar(image: Any, ax: Any, label: str, **options: Any) -> Any:
    """The color bar of an image beside its axes."""
    bar = image.figure.colorbar(image, ax=ax, **options)
    bar.set_label(label, fontsize=FONT)
    bar.ax.tick_params(labelsize=FONT)
    return bar


def around(values: ArrayLike, middle: float = 0.0) -> dict[str, Any]:
    """Settings of an image that put the middle of a diverging map at a value."""
    most = float(np.nanmax(np.abs(np.asarray(values) - middle), initial=0)) or 0.5
    return {"cmap": DIVERGING, "vmin": middle - most, "vmax": middle + most}


def draw_legend(panel: Any, ax: Any, n_columns: int = 3) -> None:
    """A legend under the figure where the figure is ours, otherwise in the panel.

    It holds what the panel shows under a name; without any there is no legend.
    """
    handles, labels = panel.get_legend_handles_labels()
    if not labels:
        return
    figure = panel.figure
    style = {"fontsize": "x-small", "frameon": False}
    ours = [legend for legend in figure.legends if legend.get_gid() == LEGEND]
    if ax is not None and not ours:
        panel.legend(**style)
        return
    for legend in ours:  # of what was drawn before into the same axes
        legend.remove()
    entries = {label: handles[labels.index(label)] for label in labels}
    figure.legend(
        entries.values(), entries, loc="outside lower center", ncols=n_columns, **style
    ).set_gid(LEGEND)
