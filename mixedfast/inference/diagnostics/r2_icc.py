"""Shares of variance: intraclass correlation and the R2 of Nakagawa and Schielzeth, from cross-products."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedfast.crossprod.row_moments import row_moments
from mixedfast.estimation.fit import Fit

__all__ = ["ICC", "R2", "by_group", "icc", "r2", "variances"]


class ICC(NamedTuple):
    """Intraclass correlation: the random effects' share of the variance the fixed effects leave, and of all variance."""

    adjusted: float
    unadjusted: float


class R2(NamedTuple):
    """Variance explained by the fixed effects alone, and together with the random effects."""

    marginal: float
    conditional: float


def variances(fit: Fit) -> tuple[float, float, float]:
    """Variance of the fixed part, mean variance of the random part over rows, residual variance.

    The random part counts the mean over rows of z'Sigma z, which gives random slopes their due (Johnson 2014, Methods
    Ecol. Evol. 5, eq. 10). With weights the residual variance is that of a row of weight one.
    """
    _, covariance, _ = row_moments(fit.cp)
    beta = fit.solution.beta / fit.cp.scale[-1]
    return float(beta @ covariance @ beta), sum(by_group(fit).values()), fit.sigma**2


def by_group(fit: Fit) -> dict[str, float]:
    """Mean over rows of the variance that each grouping factor's effects give the response."""
    _, _, zz = row_moments(fit.cp)
    lambdas = fit.covariance.lambdas(fit.theta_internal)
    return {
        group.name: fit.sigma**2 * float(np.sum((block @ block.T) * z))
        for group, block, z in zip(fit.cp.groups, lambdas, zz, strict=True)
    }


def icc(fit: Fit) -> ICC:
    """Intraclass correlations (Nakagawa, Johnson and Schielzeth 2017, J. R. Soc. Interface 14)."""
    fixed, random, residual = variances(fit)
    return ICC(random / (random + residual), random / (fixed + random + residual))


def r2(fit: Fit) -> R2:
    """Marginal and conditional R2 (Nakagawa and Schielzeth 2013, Methods Ecol. Evol. 4, eq. 26-30; slopes: Johnson 2014)."""
    fixed, random, residual = variances(fit)
    total = fixed + random + residual
    return R2(fixed / total, (fixed + random) / total)
