"""Pictures of an ordinary regression: `RegressionPlots`, which its results carry as ``m.plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.errors import NotDefinedError
from mixedfast.report.plots import Plots, data
from mixedfast.report.plots.row_plots import RowPictures

if TYPE_CHECKING:
    from mixedfast.report.plots.row_plots import OnAxes

__all__ = ["RegressionPlots"]


class RegressionPlots(RowPictures):
    """The pictures of a fitted regression: ``residuals``, ``residuals_by_group`` and ``qq``.

    Every method takes ``ax=``: axes to draw on. Without it a new figure is made.

    Parameters
    ----------
    m : OLSResult
    new_figure : callable
        (width, height) in inches -> a matplotlib figure.

    Raises
    ------
    MissingLibraryError
        By every method but `data`, when matplotlib is not installed.
    NotDefinedError
        For the pictures of a mixed model that show its groups.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy"))
    >>> m.plot.residuals_by_group("Subject").get_ylabel()
    'Subject'
    """

    def qq(self, ax: OnAxes = None) -> np.ndarray:
        """Compare the residuals with a normal distribution.

        Parameters
        ----------
        ax : Axes, optional

        Returns
        -------
        ndarray of Axes
            One panel. The band contains 95 % of values, point by point, if they are independent and
            normal.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy"))
        >>> len(m.plot.qq())
        1
        """
        return self._quantiles(
            [("Residuals", "Scaled residual", data.residual_quantiles(self._m))], ax
        )

    def __getattr__(self, name: str) -> Any:
        """Refuse the pictures of a mixed model, and unknown ones."""
        if name in Plots.__dict__ and not name.startswith("_"):
            raise NotDefinedError(
                f"plot.{name}: a linear model has no random effects to draw; it has "
                f"{', '.join(self._DATA)}, and results of mf.lmer have this picture"
            )
        raise AttributeError(
            f"{type(self).__name__!r} has no picture {name!r}: choose from {', '.join(self._DATA)}"
        )
