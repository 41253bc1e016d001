"""Rubin's rules: one answer from the fits of several plausible values or imputations.

Rubin (1987); Barnard and Rubin (1999, Biometrika 86): df with a finite df of the complete data;
Li, Raghunathan and Rubin (1991, JASA 86) with Reiter (2007, Biometrika 94): D1; Li, Meng,
Raghunathan and Rubin (1991, Statistica Sinica 1): D2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedfast.inference.distributions import f_tail

__all__ = ["JointTest", "Pool", "d1", "d2", "rubin"]


class Pool(NamedTuple):
    """Pooled estimates of k parameters.

    Parameters
    ----------
    estimate, std_error, df : (k,) arrays
    riv : (k,) array
        Increase of the variance by the differences between the fits, relative to the mean variance.
    fmi : (k,) array
        Fraction of missing information.
    """

    estimate: np.ndarray
    std_error: np.ndarray
    df: np.ndarray
    riv: np.ndarray
    fmi: np.ndarray


class JointTest(NamedTuple):
    """An F test of pooled estimates, with the relative increase of the variance."""

    f_value: float
    num_df: float
    den_df: float
    p_value: float
    riv: float


def rubin(Q: np.ndarray, U: np.ndarray, dfcom: np.ndarray | float = np.inf) -> Pool:
    """Pool m estimates of each of k parameters.

    Parameters
    ----------
    Q, U : (m, k) arrays
        Estimates and their variances.
    dfcom : float or (k,) array
        Df of the complete data; infinite for Rubin's rule of 1987.

    Examples
    --------
    >>> found = rubin(np.array([[1.0], [2.0], [3.0]]), np.ones((3, 1)))
    >>> round(float(found.std_error[0]), 4), round(float(found.df[0]), 4)
    (1.5275, 6.125)
    """
    m = len(Q)
    within, between = U.mean(axis=0), (1.0 + 1.0 / m) * Q.var(axis=0, ddof=1)
    total = within + between
    with np.errstate(divide="ignore", invalid="ignore"):
        share = between / total
        old = (m - 1) / share**2
        observed = (dfcom + 1.0) / (dfcom + 3.0) * dfcom * (1.0 - share)
        df = np.where(np.isinf(dfcom), old, 1.0 / (1.0 / old + 1.0 / observed))
        riv = between / within
        fmi = (riv + 2.0 / (df + 3.0)) / (1.0 + riv)
    return Pool(Q.mean(axis=0), np.sqrt(total), df, riv, fmi)


def d1(Q: np.ndarray, U: np.ndarray, dfcom: float = np.inf) -> JointTest:
    """Test that k parameters are zero, from estimates Q (m, k) and covariances U (m, k, k)."""
    m, k = Q.shape
    mean, within = Q.mean(axis=0), U.mean(axis=0)
    B = np.cov(Q.T, ddof=1).reshape(k, k)
    r = (1.0 + 1.0 / m) * float(np.trace(np.linalg.solve(within, B))) / k
    F = float(mean @ np.linalg.solve(within, mean)) / (k * (1.0 + r))
    df = _d1_df(k, k * (m - 1), r, dfcom)
    return JointTest(F, k, df, f_tail(F, k, df), r)


def _d1_df(k: int, t: float, r: float, dfcom: float) -> float:
    """Compute the denominator df of D1 (and of D3)."""
    if r == 0.0:
        return dfcom
    if np.isfinite(dfcom) and t > 4:
        a = r * t / (t - 2.0)
        v = (dfcom + 1.0) / (dfcom + 3.0) * dfcom
        c1, c2 = v - 2.0 * (1.0 + a), v - 4.0 * (1.0 + a)
        z = 1.0 / c2 + (
            a**2 * c1 / ((1.0 + a) ** 2 * c2)
            + 8.0 * a**2 * c1 / ((1.0 + a) * c2**2)
            + 4.0 * a**2 / ((1.0 + a) * c2)
            + 4.0 * a**2 / (c1 * c2)
            + 16.0 * a**2 * c1 / c2**3
            + 8.0 * a**2 / c2**2
        ) / (t - 4.0)
        return 4.0 + 1.0 / z
    if t > 4:
        return float(4.0 + (t - 4.0) * (1.0 + (1.0 - 2.0 / t) / r) ** 2)
    return float(t * (1.0 + 1.0 / k) * (1.0 + 1.0 / r) ** 2 / 2.0)


def d2(chisq: np.ndarray, k: int) -> JointTest:
    """Test k parameters from the m chi-square statistics of the fits, (m,)."""
    m = len(chisq)
    r = (1.0 + 1.0 / m) * float(np.sqrt(chisq).var(ddof=1))
    F = max(0.0, (float(chisq.mean()) / k - r * (m + 1) / (m - 1)) / (1.0 + r))
    df = np.inf if r == 0.0 else k ** (-3.0 / m) * (m - 1) * (1.0 + 1.0 / r) ** 2
    return JointTest(F, k, float(df), f_tail(F, k, float(df)), r)
