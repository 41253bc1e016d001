"""Leverage and Cook's distance of single rows."""

from __future__ import annotations

import numpy as np

from mixedfast.design.types import Design
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.prediction.henderson import relative_variance
from mixedfast.inference.prediction.row_tiles import rows_of_design

__all__ = ["cooks_distance", "free_share", "leverage"]

#: A leverage as near to 1 is 1 but for rounding (1e-15 for a row with a dummy of its own): the row
#: determines its fitted value, and what is divided by 1 - leverage is not defined.
_WHOLE = 1e-11


def free_share(hat: np.ndarray) -> np.ndarray:
    """Return 1 - leverage, (n,); NaN for rows that determine their fitted value."""
    return np.where(1.0 - hat > _WHOLE, 1.0 - hat, np.nan)


def leverage(fit: LinearFit, design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Compute the diagonal of the conditional hat matrix.

    In two parts, (n,) each: from beta, and from b given beta.

    H = [X Z] C^-1 [X Z]'W, C the matrix of Henderson's equations; its trace is the effective number
    of parameters.
    """
    of_beta, of_b = relative_variance(fit, rows_of_design(fit.cp, design))
    if design.weights is not None:
        of_beta *= design.weights
        of_b *= design.weights
    return of_beta, of_b


def cooks_distance(fit: LinearFit, residuals: np.ndarray, hat: np.ndarray) -> np.ndarray:
    """Compute Cook's distance of every row at fixed theta, (n,): (r / (1 - h))^2 h / (sigma^2 p).

    Cook (1977), Technometrics 19. NaN for a row of leverage 1.

    Parameters
    ----------
    fit : LinearFit
    residuals : (n,) array
        Pearson residuals.
    hat : (n,) array
        Leverage.
    """
    return (residuals / free_share(hat)) ** 2 * hat / (fit.sigma**2 * fit.cp.p)
