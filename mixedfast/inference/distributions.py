"""Tail probabilities and quantiles of t and F by special functions.

These import faster than scipy.stats.
"""

from __future__ import annotations

import numpy as np

__all__ = ["f_tail", "t_quantile", "t_tails"]


def t_tails(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Compute two-sided p values of t statistics; with infinite df of the normal distribution.

    By the incomplete beta function, which is accurate far out in the tails.
    """
    from scipy.special import betainc, ndtr

    finite = np.isfinite(df)
    nu = np.where(finite, df, 1.0)
    tails = betainc(0.5 * nu, 0.5, nu / (nu + statistic**2))
    return np.where(finite, tails, 2.0 * ndtr(-np.abs(statistic)))


def t_quantile(probability: float, df: np.ndarray) -> np.ndarray:
    """Compute quantiles of t distributions; with infinite df of the normal distribution."""
    from scipy.special import ndtri, stdtrit

    finite = np.isfinite(df)
    return np.where(finite, stdtrit(np.where(finite, df, 1.0), probability), ndtri(probability))


def f_tail(F: float, numerator: int, denominator: float) -> float:
    """Compute P(F distribution > F); with an infinite denominator of chi-square over its df."""
    from scipy.special import betainc, chdtrc

    if np.isinf(denominator):
        return float(chdtrc(numerator, numerator * F))
    return float(
        betainc(0.5 * denominator, 0.5 * numerator, denominator / (denominator + numerator * F))
    )
