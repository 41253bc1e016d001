"""`Influence`: estimates without each group as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.data.frames_out import apart, returns_callers_tables
from mixedfast.inference.diagnostics.influence import Deletions, cooks_distances
from mixedfast.results.tabled import Tabled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Influence"]

_STATISTICS = ("rows", "cooks_distance", "converged")

#: Groups in the `repr`.
_SHOWN = 5


@dataclass(frozen=True, eq=False, repr=False)
class Influence(Deletions, Tabled):
    """Estimates without the rows of each level of a factor; made by ``m.influence()``.

    ``to_frame()`` has one row per level: ``rows, cooks_distance, converged``, then every estimate
    without the level.

    Parameters
    ----------
    group : str
        Name of the factor.
    levels : (D,) array
        Labels of the levels left out.
    rows : (D,) int array
        Rows of each level.
    parameters : tuple of Parameter
    whole : (P,) array
        Estimates from all rows.
    without : (D, P) array
        Estimates without each level; NaN where the other rows do not determine them.
    bse : (D, p) array
        Standard errors of the coefficients without each level.
    information : (p, p) array
        Inverse covariance of the coefficients from all rows.
    converged : (D,) bool array
    library : {"pandas", "polars", "pyarrow"}
        The data-frame library of the tables.
    """

    library: str = "pandas"

    @property
    @returns_callers_tables
    def params(self) -> pd.DataFrame:
        """Coefficients without each level."""
        return self._frame(self.without[:, self._is_coefficient], self._names(True))

    @property
    @returns_callers_tables
    def dfbeta(self) -> pd.DataFrame:
        """Coefficients without each level minus those from all rows, as ``dfbeta`` in R."""
        return self._frame(self._change(), self._names(True))

    @property
    @returns_callers_tables
    def dfbetas(self) -> pd.DataFrame:
        """`dfbeta` in standard errors of the fit without the level."""
        return self._frame(self._change() / self.bse, self._names(True))

    @property
    @returns_callers_tables
    def variances(self) -> pd.DataFrame:
        """Standard deviations, correlations and sigma without each level."""
        return self._frame(self.without[:, ~self._is_coefficient], self._names(False))

    @property
    def cooks_distance(self) -> pd.Series:
        """Cook's distance of each level: d' Var(beta)^-1 d / p, d the change of the coefficients.

        Cook (1977), Technometrics 19.         lme4 gives (J - p) / J times this for J groups.
        """
        import pandas as pd

        return pd.Series(
            cooks_distances(self),
            index=pd.Index(self.levels, name=self.group),
            name="cooks_distance",
        )

    def _frame(self, numbers: np.ndarray, columns: Sequence[str]) -> pd.DataFrame:
        """Make a table with one row per level."""
        import pandas as pd

        return pd.DataFrame(
            numbers, index=pd.Index(self.levels, name=self.group), columns=list(columns)
        )

    def _names(self, coefficients: bool) -> list[str]:
        """Return the names of the coefficients, or of the other parameters."""
        return [p.name for p in self.parameters if (p.kind == "beta") == coefficients]

    def _table(self) -> pd.DataFrame:
        names = [p.name for p in self.parameters]
        frame = self._frame(self.without, names)
        numbers = (self.rows, cooks_distances(self), self.converged)
        for place, name in enumerate(apart(_STATISTICS, names)):
            frame.insert(place, name, numbers[place])
        return frame

    def __repr__(self) -> str:
        order = np.argsort(-cooks_distances(self), kind="stable")[:_SHOWN]
        top = self._table().iloc[order]
        return (
            f"<Influence: {len(self.levels)} levels of {self.group} left out in turn; "
            f"the most influential are\n{top}>"
        )
