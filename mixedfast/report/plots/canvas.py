"""Figures, axes and legends of matplotlib, which is imported when the first picture is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mixedfast.errors import DataError, MissingLibraryError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "KEY",
    "LEGEND",
    "LETTER",
    "NewFigure",
    "axes_for",
    "columns_of_key",
    "grid_size",
    "key_above",
    "off_screen",
    "on_screen",
    "style",
]

#: Inches of a letter of a legend, and of its key and gap, at the default size of letters.
LETTER, KEY = 0.06, 0.45
#: Inches beside a legend of a whole figure.
_MARGIN = 0.2
#: The style of legends.
LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": "small",
    "handletextpad": 0.4,
    "columnspacing": 1.2,
}
#: Width and height in inches -> a figure.
NewFigure: TypeAlias = Callable[[float, float], Any]


def on_screen(width: float, height: float) -> Any:
    """Make a figure that notebooks and ``plt.show()`` display."""
    plt = _matplotlib("pyplot")
    return plt.figure(figsize=(width, height), layout="constrained")


def off_screen(width: float, height: float) -> Any:
    """Make a figure for a file, which no window displays."""
    return _matplotlib("figure").Figure(figsize=(width, height), layout="constrained")


def style() -> AbstractContextManager[None]:
    """Set the default style of matplotlib, and names in SVG files that are the same in each run."""
    context: AbstractContextManager[None] = _matplotlib("style").context(
        ["default", {"svg.hashsalt": "mixedfast"}]
    )
    return context


def _matplotlib(part: str) -> Any:
    try:
        return import_module(f"matplotlib.{part}")
    except ModuleNotFoundError as error:
        raise MissingLibraryError("pictures need matplotlib: pip install matplotlib") from error


def grid_size(count: int, most_columns: int = 3) -> tuple[int, int]:
    """Choose rows and columns for `count` panels.

    Examples
    --------
    >>> grid_size(1), grid_size(4), grid_size(7)
    ((1, 1), (2, 2), (3, 3))
    """
    columns = min(count, 2 if count == 4 else most_columns)
    return -(-count // columns), columns


def axes_for(
    count: int, ax: Axes | Sequence[Axes] | None, panel: tuple[float, float], new_figure: NewFigure
) -> np.ndarray:
    """Return axes for `count` panels, (count,): the given ones, or those of a new figure.

    Parameters
    ----------
    count : int
    ax : Axes, sequence of Axes or None
    panel : (float, float)
        Width and height of a panel in inches.
    new_figure : callable
        (width, height) in inches -> a figure.

    Raises
    ------
    DataError
        When axes are given and their number is not `count`.
    MissingLibraryError
        Without matplotlib.
    """
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) != count:
            raise DataError(f"ax= has {len(given)} axes, and this picture has {count} panels")
        return given
    rows, columns = grid_size(count)
    figure = new_figure(panel[0] * columns, panel[1] * rows)
    made = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in made[count:]:
        unused.remove()
    return made[:count]


def key_above(axes: np.ndarray) -> None:
    """Put one legend above all panels of a figure whose lines have the same meaning."""
    for figure in dict.fromkeys(ax.figure for ax in axes):
        known: dict[str, Any] = {}
        for ax in figure.axes:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                known.setdefault(label, handle)
        columns = columns_of_key(list(known), figure.get_figwidth() - _MARGIN)
        figure.legend(
            known.values(), known.keys(), loc="outside upper left", ncols=columns, **LEGEND
        )


def columns_of_key(labels: Sequence[str], room: float) -> int:
    """Compute the number of columns of a legend that fits into `room` inches.

    One column per label if they fit beside each other, else as many as the longest label allows.
    """
    wide = [KEY + LETTER * len(label) for label in labels]
    return len(labels) if sum(wide) <= room else max(int(room // max(wide)), 1)
