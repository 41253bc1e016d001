"""`Bootstrap`: the replicates of a parametric bootstrap as tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.data.frames_out import returns_callers_tables
from mixedfast.inference.intervals.bootstrap_intervals import Replicates, bootstrap_limits
from mixedfast.results.tabled import Intervals, interval_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bootstrap"]


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Replicates, Intervals):
    """Replicates of a parametric bootstrap; made by ``m.bootstrap()``.

    ``to_frame()`` has one row per replicate and one column per parameter. ``plot()`` draws a
    histogram of the converged replicates of each parameter, with the estimate and the percentile
    interval.

    Parameters
    ----------
    parameters : tuple of Parameter
    estimates : (P,) array
        Of the fit itself.
    replicates : (n_done, P) array
        A correlation is NaN in replicates where one of its variances is zero.
    requested : int
        Replicates requested.
    n_singular : int
        Converged replicates with a singular covariance matrix.
    converged : (n_done,) bool array
        Rows of replicates that did not converge are kept; NaN where the search failed outright.
    scores : (n_done, s) array or None
        Sufficient statistics of the score at the fitted parameters, for the acceleration of BCa
        intervals.
    library : {"pandas", "polars", "pyarrow"}
        The data-frame library of the tables.
    """

    library: str = "pandas"

    @property
    def _names(self) -> Sequence[str]:
        return self.names

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self.replicates, columns=self.names).rename_axis(index="replicate")

    @returns_callers_tables
    def confint(self, level: float = 0.95, type: str = "percentile") -> pd.DataFrame:
        """Return confidence intervals from the converged replicates.

        Parameters
        ----------
        level : float
        type : {"percentile", "basic", "bca"}
            Quantiles of the replicates; the same reflected at the estimate and limited to the
            parameter's bounds; bias-corrected and accelerated (Efron 1987, JASA 82).

        Returns
        -------
        DataFrame
            Index: parameters; columns ``conf_low, conf_high``. NaN where no replicate has a value.

        Raises
        ------
        ArgumentError
            For an unknown type or level.

        Notes
        -----
        The acceleration of BCa is a sixth of the skewness of the score in the least favourable
        direction, Efron's definition for parametric models. That score is the regression of the
        replicates' estimates on their scores at the fitted parameters.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.bootstrap(200, seed=1).confint(type="bca").columns.tolist()
        ['conf_low', 'conf_high']
        """
        return interval_table(bootstrap_limits(self, level, type), self.names)

    def _limits(self, level: float) -> np.ndarray:
        return bootstrap_limits(self, level)

    def _draw(self, level: float, ax: Any) -> np.ndarray:
        from mixedfast.report.plots import plot_bootstrap

        return plot_bootstrap(self, level, ax)

    def __repr__(self) -> str:
        done = (
            f"{self.n_done} replicates"
            if self.n_done == self.requested
            else f"{self.n_done} of {self.requested} replicates"
        )
        return f"<Bootstrap {done}; {self.n_singular} singular; {self.n_failed} failed>"
