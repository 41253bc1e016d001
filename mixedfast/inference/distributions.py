"""Tail probabilities and quantiles of t and F by special functions.

These import faster than scipy.stats.
"""

from __future__ import annotations

import numpy as np

__all__ = ["f_quantile", "f_tail", "f_tails", "t_quantile", "t_tails"]


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
    return float(f_tails(np.asarray(F), numerator, np.asarray(denominator)))


def f_tails(F: np.ndarray, numerator: int, denominator: np.ndarray) -> np.ndarray:
    """Compute tails of F distributions, elementwise; see `f_tail`."""
    from scipy.special import betainc, chdtrc

    finite = np.isfinite(denominator)
    nu = np.where(finite, denominator, 1.0)
    return np.where(
        finite,
        betainc(0.5 * nu, 0.5 * numerator, nu / (nu + numerator * F)),
        chdtrc(numerator, numerator * F),
    )


def f_quantile(probability: float, numerator: int, denominator: np.ndarray) -> np.ndarray:
    """Compute the value of F with probability `probability` above it, elementwise."""
    from scipy.special import betaincinv, chdtri

    finite = np.isfinite(denominator)
    nu = np.where(finite, denominator, 1.0)
    share = betaincinv(0.5 * nu, 0.5 * numerator, probability)
    return np.where(
        finite, nu * (1.0 - share) / (numerator * share), chdtri(numerator, probability) / numerator
    )
