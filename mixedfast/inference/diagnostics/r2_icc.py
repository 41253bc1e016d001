"""Shares of variance: intraclass correlation and the R2 of Nakagawa and Schielzeth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedfast.crossprod.row_moments import row_moments
from mixedfast.estimation.fit import Fit

__all__ = ["ICC", "R2", "by_group", "icc", "icc_by_group", "r2", "variances"]


class ICC(NamedTuple):
    """Intraclass correlation.

    Parameters
    ----------
    adjusted : float
        The share of the random effects in the variance that the fixed effects leave unexplained.
    unadjusted : float
        Their share in all variance.
    """

    adjusted: float
    unadjusted: float


class R2(NamedTuple):
    """Share of the variance explained.

    Parameters
    ----------
    marginal : float
        By the fixed effects.
    conditional : float
        By fixed and random effects.
    """

    marginal: float
    conditional: float


def variances(fit: Fit) -> tuple[float, float, float]:
    """Compute the variances of the fixed part, of the random part and of the residual.

    The variance of the random part is the mean over rows of z'Sigma z, which includes random slopes
    (Johnson 2014, Methods Ecol. Evol. 5, eq. 10). With weights the residual variance is that of a
    row of weight one.
    """
    _, covariance, _ = row_moments(fit.cp)
    beta = fit.solution.beta / fit.cp.scale[-1]
    return float(beta @ covariance @ beta), sum(by_group(fit).values()), fit.sigma**2


def by_group(fit: Fit) -> dict[str, float]:
    """Compute the mean over rows of the variance from the effects of each grouping factor."""
    _, _, zz = row_moments(fit.cp)
    lambdas = fit.covariance.lambdas(fit.theta_internal)
    return {
        group.name: fit.sigma**2 * float(np.sum((block @ block.T) * z))
        for group, block, z in zip(fit.cp.groups, lambdas, zz, strict=True)
    }


def icc(fit: Fit) -> ICC:
    """Compute intraclass correlations.

    Nakagawa, Johnson and Schielzeth (2017), J. R. Soc. Interface 14.
    """
    fixed, random, residual = variances(fit)
    return ICC(random / (random + residual), random / (fixed + random + residual))


def icc_by_group(fit: Fit) -> dict[str, float]:
    """Compute the share of each grouping factor in the variance that the fixed effects leave."""
    each = by_group(fit)
    total = sum(each.values()) + fit.sigma**2
    return {name: value / total for name, value in each.items()}


def r2(fit: Fit) -> R2:
    """Compute marginal and conditional R2.

    Nakagawa and Schielzeth (2013), Methods Ecol. Evol. 4, eq. 26-30; with random slopes: Johnson
    (2014).
    """
    fixed, random, residual = variances(fit)
    total = fixed + random + residual
    return R2(fixed / total, (fixed + random) / total)
