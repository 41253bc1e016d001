"""What goes back to the rows: fitted values, residuals."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mixedfast import rowwise
from mixedfast.result.base import Fitted

__all__ = ["RowMethods"]


class RowMethods(Fitted):
    """Methods that read the rows of the data (or new ones)."""

    @cached_property
    def fitted(self) -> np.ndarray:
        """Fitted values of the rows used, random effects included, (n,)."""
        return rowwise.fitted(self._fit, self._rows("fitted"))

    def resid(self, type: str = "response") -> np.ndarray:
        """Residuals of the rows used, (n,).

        Parameters
        ----------
        type : {"response", "pearson", "scaled", "marginal"}
            y - fitted; times sqrt(weight); the latter over sigma; y - X beta.
        """
        return rowwise.residuals(self._fit, self._rows("resid"), self.fitted, type)
