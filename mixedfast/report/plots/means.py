"""The picture of marginal means."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.report.plots.canvas import NewFigure, axes_for, key_above, on_screen
from mixedfast.report.plots.colours import inks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfast.inference.hypotheses.mean_comparisons import MeanPanel

__all__ = ["plot_means"]

#: Width of a panel, height of a mean, and height of the rest of a panel, in inches.
_WIDTH, _ROW, _REST = 3.9, 0.28, 1.1
#: Letters of a line below a panel.
_LINE = 48


def plot_means(
    panels: Sequence[MeanPanel],
    xlabel: str,
    ylabel: str,
    alpha: float,
    ax: Axes | Sequence[Axes] | None,
    new_figure: NewFigure = on_screen,
) -> np.ndarray:
    """Draw the means of each panel with intervals and comparison arrows.

    Parameters
    ----------
    panels : sequence of MeanPanel
    xlabel, ylabel : str
        The second at the left edge only.
    alpha : float
        One minus the level of the intervals.
    ax : Axes, sequence of Axes or None
    new_figure : callable
        (width, height) in inches -> a figure.
    """
    size = (_WIDTH, _REST + _ROW * max(len(panel.labels) for panel in panels))
    axes = axes_for(len(panels), ax, size, new_figure)
    for one, panel in zip(axes, panels, strict=True):
        _draw(one, panel, xlabel, alpha)
    low, high = (f([one.get_xlim()[i] for one in axes]) for i, f in ((0, min), (1, max)))
    for one in axes:
        one.set_xlim(low, high)
    axes[0].set_ylabel(ylabel, parse_math=False)
    if ax is None:
        key_above(axes)
    return axes


def _draw(ax: Axes, panel: MeanPanel, xlabel: str, alpha: float) -> None:
    """Draw one panel."""
    color, place = inks(ax), np.arange(len(panel.labels))
    ax.hlines(
        place,
        panel.low,
        panel.high,
        color=color.soft,
        linewidth=7,
        label=f"{100 * (1 - alpha):g} % interval",
    )
    arrows = np.isfinite(panel.left) | np.isfinite(panel.right)
    for end in (panel.left, panel.right):
        for y, start, stop in zip(place, panel.mean, end, strict=True):
            if np.isfinite(stop):
                ax.annotate(
                    "",
                    (stop, y),
                    (start, y),
                    arrowprops={
                        "arrowstyle": "-|>",
                        "color": color.mark,
                        "shrinkA": 0,
                        "shrinkB": 0,
                        "linewidth": 1.2,
                    },
                )
    if arrows.any():
        label = "arrows apart: significant"
        ax.plot([], [], color=color.mark, marker=">", label=label)
    ax.plot(panel.mean, place, "o", color=color.strong, markersize=5, label="mean", zorder=3)
    ax.set_yticks(place, panel.labels)
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
    ax.set_ylim(len(place) - 0.4, -0.6)
    ax.set_title(panel.title, parse_math=False)
    below = f"arrows do not show the test of {', '.join(panel.contradicted)}"
    note = "\n" + textwrap.fill(below, _LINE) if panel.contradicted else ""
    ax.set_xlabel(xlabel + note, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
