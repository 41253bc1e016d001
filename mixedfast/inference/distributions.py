"""Tail probabilities and quantiles of t and F, by SciPy's special functions (the import of scipy.stats is spared)."""

from __future__ import annotations

import numpy as np

__all__ = ["f_tail", "t_quantile", "t_tails"]


def t_tails(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p values of t statistics; infinite df are the normal distribution.

    By the incomplete beta function, which keeps its digits far out in the tails.
    """
    from scipy.special import betainc, ndtr

    finite = np.isfinite(df)
    nu = np.where(finite, df, 1.0)
    tails = betainc(0.5 * nu, 0.5, nu / (nu + statistic**2))
    return np.where(finite, tails, 2.0 * ndtr(-np.abs(statistic)))


def t_quantile(probability: float, df: np.ndarray) -> np.ndarray:
    """Quantiles of t distributions; infinite df are the normal distribution."""
    from scipy.special import ndtri, stdtrit

    finite = np.isfinite(df)
    return np.where(finite, stdtrit(np.where(finite, df, 1.0), probability), ndtri(probability))


def f_tail(F: float, numerator: int, denominator: float) -> float:
    """P(F distribution > F); an infinite denominator is chi-square over its df."""
    from scipy.special import betainc, chdtrc

    if np.isinf(denominator):
        return float(chdtrc(numerator, numerator * F))
    return float(
        betainc(0.5 * denominator, 0.5 * numerator, denominator / (denominator + numerator * F))
    )
