"""What every result says of its fixed part: the coefficients, their covariance, the rows they rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfast.result.base import Fitted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FixedPart"]


class FixedPart(Fitted):
    """Attributes that a mixed model and an ordinary regression have in common."""

    @property
    def formula(self) -> str:
        """The formula as it was given."""
        return self._fit.cp.meta.formula

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self._fit.cp.n

    @property
    def n_dropped(self) -> int:
        """Rows left out for missing values."""
        return self._fit.cp.meta.n_dropped

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """Columns of X that the columns before them determine; their coefficients are NaN."""
        kept = set(self._fit.cp.kept.tolist())
        return tuple(name for i, name in enumerate(self._fit.cp.meta.x_names) if i not in kept)

    @property
    def weights_used(self) -> bool:
        """Whether rows had weights."""
        return self._fit.cp.meta.weighted

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self._fit.sigma

    @property
    def params(self) -> pd.Series:
        """Coefficients (of a mixed model the fixed effects), (p,); NaN for columns that could not be identified."""
        return self._series(self._fit.beta)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params`, (p,)."""
        return self._series(np.sqrt(np.diag(self._fit.vcov)))

    def _series(self, values: np.ndarray) -> pd.Series:
        import pandas as pd

        out = np.full(len(self._fit.cp.meta.x_names), np.nan)
        out[self._fit.cp.kept] = values
        return pd.Series(out, index=list(self._fit.cp.meta.x_names))
