"""Pictures of residuals, which any result has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mixedfast.data.frames_out import to_library
from mixedfast.errors import DataError
from mixedfast.report.plots import data, draw
from mixedfast.report.plots.canvas import NewFigure, axes_for, on_screen

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from mixedfast.report.protocols import Model

    OnAxes = Axes | Sequence[Axes] | None

__all__ = ["PANEL", "WIDE", "RowPictures", "height"]

#: Width and height in inches of one panel.
WIDE, PANEL = (6.4, 4.4), (4.6, 4.2)

_RESIDUALS = {
    "response": "Residual",
    "pearson": "Pearson residual",
    "scaled": "Scaled residual",
    "standardized": "Standardized residual",
    "marginal": "Marginal residual",
}


class RowPictures:
    """Pictures of residuals, and the numbers behind any picture.

    Parameters
    ----------
    m : LMMResult or OLSResult
    new_figure : callable
        (width, height) in inches -> a matplotlib figure.
    """

    #: The function that makes the numbers of each picture.
    _DATA: ClassVar[dict[str, Callable[..., pd.DataFrame]]] = {
        "residuals": data.residuals,
        "residuals_by_group": data.residuals_by_group,
        "qq": data.residual_quantiles,
    }

    _m: Model

    def __init__(self, m: Model, new_figure: NewFigure = on_screen) -> None:
        self._library = m.library
        self._m = m._in_pandas()
        self._new_figure = new_figure

    def _axes(self, count: int, ax: OnAxes, panel: tuple[float, float]) -> np.ndarray:
        return axes_for(count, ax, panel, self._new_figure)

    @property
    def _response(self) -> str:
        return self._m._fit.cp.meta.response

    def data(self, picture: str, **options: Any) -> pd.DataFrame:
        """Return all numbers of a picture, in the data-frame library of the data.

        Parameters
        ----------
        picture : str
            The name of the method that draws it.
        **options
            Arguments of the method that choose numbers (``group``, ``type``, ``level``,
            ``profile``, …), not style.

        Returns
        -------
        DataFrame

        Raises
        ------
        ArgumentError
            For an unknown picture.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.plot.data("shrinkage").round(1).head(2)
          level       term    own  shrunken
        0   308  Intercept  244.2     253.7
        1   308       Days   21.8      19.7
        """
        if picture not in self._DATA:
            raise DataError(f"no picture called {picture!r}: choose from {', '.join(self._DATA)}")
        frame: pd.DataFrame = to_library(self._DATA[picture](self._m, **options), self._library)
        return frame

    def residuals(self, type: str = "scaled", ax: OnAxes = None) -> Axes:
        """Draw residuals against fitted values: a trend or a funnel shows a wrong model.

        Parameters
        ----------
        type : str
            As for ``resid``.
        ax : Axes, optional

        Returns
        -------
        Axes
            Above 5,000 rows, hexagons coloured by the number of their rows.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.plot.residuals().get_xlabel()
        'Fitted Reaction'
        """
        frame = data.residuals(self._m, type)
        axes = self._axes(1, ax, WIDE)
        draw.residuals(axes[0], frame, self._response, _RESIDUALS[type])
        return axes[0]

    def residuals_by_group(
        self, group: str | None = None, type: str = "scaled", ax: OnAxes = None
    ) -> Axes:
        """Draw the residuals of each group: all should be centred on zero and about equally wide.

        Parameters
        ----------
        group : str, optional
            A grouping factor or another column of the data; by default the grouping factor with
            most levels.
        type : str
            As for ``resid``.
        ax : Axes, optional

        Returns
        -------
        Axes

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.plot.residuals_by_group("Subject").get_ylabel()
        'Subject'
        """
        name = data.group_name(self._m, None) if group is None else group
        frame = data.residuals_by_group(self._m, name, type)
        axes = self._axes(1, ax, (WIDE[0], height(len(frame))))
        draw.residuals_by_group(axes[0], frame, name, _RESIDUALS[type])
        return axes[0]

    def _quantiles(self, panels: list[tuple[str, str, pd.DataFrame]], ax: OnAxes) -> np.ndarray:
        """Draw one panel for each (title, unit, table of quantiles)."""
        axes = self._axes(len(panels), ax, PANEL)
        for one, (title, unit, frame) in zip(axes, panels, strict=True):
            draw.qq(one, frame, title, unit)
        return axes


def height(labelled: int) -> float:
    """Compute the height in inches of an axis with so many names, or with too many to name."""
    return max(PANEL[1], 1.2 + 0.17 * labelled) if labelled <= draw.LABELLED else PANEL[1] + 0.8
