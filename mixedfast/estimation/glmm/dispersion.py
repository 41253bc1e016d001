"""Parameters of a family beside the coefficients: dispersion, kappa, thresholds.

They are on a scale without bounds: the logarithm of the dispersion phi (Gamma, inverse Gaussian) or
of kappa (negative binomial), or the first threshold and the logarithms of the increments
(cumulative). They are estimated jointly with the others, by maximum likelihood.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedfast.estimation.glmm._families import negative_binomial_slopes
from mixedfast.estimation.glmm.cumulative import (
    cumulative_rows,
    first_parameters,
    parameter_slopes,
)
from mixedfast.estimation.glmm.families import Family, FamilyRows
from mixedfast.estimation.glmm.responses import Response

__all__ = ["ExtraSlopes", "constant_of", "extra_slopes", "first_extra", "refined_extra"]

#: First values of the dispersion and of kappa, from moments, stay in this range.
_FIRST_RANGE = 1e-3, 1e3


class ExtraSlopes(NamedTuple):
    """Derivatives in the r parameters at fixed eta, (r, n) each.

    Of the log likelihood with all its terms, of s, and of the weights of the log determinant.
    """

    l: np.ndarray  # noqa: E741
    s: np.ndarray
    w: np.ndarray


def first_extra(family: Family, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Choose first values without predictors, (r,)."""
    if family.name == "cumulative":
        return first_parameters(family.link, y, size)
    if family.name not in ("Gamma", "inverse_gaussian", "nbinom2"):
        return np.zeros(0)
    mu = np.full(len(y), np.average(y, weights=size))
    return refined_extra(family, np.zeros(1), mu, y, size)


def refined_extra(
    family: Family, extra: np.ndarray, mu: np.ndarray, y: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Estimate phi or kappa by moments about given means; thresholds stay as they are."""
    if family.name == "nbinom2":
        beyond = float(size @ ((y - mu) ** 2 - mu))
        found = float(size @ mu**2) / max(beyond, 1e-300)
    elif family.name in ("Gamma", "inverse_gaussian"):
        found = float(size @ ((y - mu) ** 2 / family.variance(mu, extra)) / size.sum())
    else:
        return extra
    return np.log(np.clip([found], *_FIRST_RANGE))


def constant_of(family: Family, extra: np.ndarray, response: Response) -> float:
    """Sum the terms of the log likelihood that do not depend on eta."""
    from scipy.special import gammaln

    y, size = response.y, response.size
    if family.name == "Gamma":
        nu = np.exp(-extra[0])
        each = nu * np.log(nu) - gammaln(nu) + (nu - 1.0) * np.log(y)
    elif family.name == "inverse_gaussian":
        each = -0.5 * (np.log(2.0 * np.pi) + extra[0] + 3.0 * np.log(y))
    elif family.name == "nbinom2":
        kappa = np.exp(extra[0])
        each = gammaln(y + kappa) - gammaln(kappa) - gammaln(y + 1.0)
    else:
        return response.constant
    return float(size @ each)


def extra_slopes(
    family: Family,
    extra: np.ndarray,
    eta: np.ndarray,
    y: np.ndarray,
    size: np.ndarray,
    now: FamilyRows,
    curvature: str,
) -> ExtraSlopes:
    """Compute the derivatives in the parameters of the family.

    Parameters
    ----------
    family : Family
    extra : (r,) array
    eta, y, size : (n,) arrays
    now : FamilyRows
        At eta.
    curvature : {"expected", "observed"}
        Which weights.
    """
    weights = now.weights(curvature)
    if family.name == "cumulative":
        return _of_thresholds(family, extra, eta, y, size)
    if family.name == "nbinom2":
        return _of_kappa(family, float(np.exp(extra[0])), eta, y, size, curvature)
    if family.name == "Gamma":
        from scipy.special import digamma

        nu = np.exp(-extra[0])
        constant = -nu * (np.log(nu) + 1.0 - digamma(nu) + np.log(y))
    elif family.name == "inverse_gaussian":
        constant = np.full(len(y), -0.5)
    else:
        none = np.zeros((0, len(eta)))
        return ExtraSlopes(none, none, none)
    return ExtraSlopes((size * constant - now.l)[None], -now.s[None], -weights[None])


def _of_kappa(
    family: Family,
    kappa: float,
    eta: np.ndarray,
    y: np.ndarray,
    size: np.ndarray,
    curvature: str,
) -> ExtraSlopes:
    """Compute the derivatives in log kappa."""
    from scipy.special import digamma

    dl, ds, dw, dh = negative_binomial_slopes(family.link, eta, y, size, kappa)
    constant = size * kappa * (digamma(y + kappa) - digamma(kappa))
    return ExtraSlopes(
        (dl + constant)[None], ds[None], (dw if curvature == "expected" else dh)[None]
    )


def _of_thresholds(
    family: Family, extra: np.ndarray, eta: np.ndarray, y: np.ndarray, size: np.ndarray
) -> ExtraSlopes:
    """Compute the derivatives in the parameters of the thresholds."""
    rows = cumulative_rows(family.link, eta, y, size, extra)
    slopes = parameter_slopes(extra)
    r, n = len(extra), len(y)
    above = np.vstack([np.zeros((1, r)), slopes, np.zeros((1, r))])  # of -inf, thresholds, inf
    at = y.astype(np.int64)
    of_a, of_b = above[at].T, above[at + 1].T
    parts = ((rows.l_a, rows.l_b), (rows.s_a, rows.s_b), (rows.h_a, rows.h_b))
    found = [
        np.where(of_a != 0.0, of_a * a, 0.0) + np.where(of_b != 0.0, of_b * b, 0.0)
        for a, b in parts
    ]
    assert found[0].shape == (r, n)
    return ExtraSlopes(*found)
