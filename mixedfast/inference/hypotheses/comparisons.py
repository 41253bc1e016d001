"""Pairwise comparisons of means: p values and critical values that allow for their number."""

from __future__ import annotations

import numpy as np

from mixedfast.inference.distributions import t_quantile

__all__ = ["ADJUSTMENTS", "adjusted_p_values", "critical_values"]

ADJUSTMENTS = ("tukey", "holm", "bonferroni", "sidak", "none")


def adjusted_p_values(
    statistic: np.ndarray, df: np.ndarray, n_means: int, adjust: str
) -> np.ndarray:
    """Compute p values of all pairwise differences of a family of means.

    Comparisons that cannot be estimated (NaN) count, as they do for Tukey's method, the intervals
    and emmeans.

    Parameters
    ----------
    statistic, df : (n_means (n_means - 1) / 2,) arrays
    n_means : int
    adjust : one of ADJUSTMENTS
    """
    from scipy.stats import t as student

    if adjust == "tukey" and n_means > 2:  # for two means the studentized range is t itself
        from mixedfast.inference import studentized_range  # SciPy's polynomials are slow to import

        return studentized_range.sf(np.abs(statistic) * np.sqrt(2.0), n_means, df)
    p_value = np.asarray(2.0 * student.sf(np.abs(statistic), df))
    count = len(p_value)
    if adjust == "bonferroni":
        return np.minimum(p_value * count, 1.0)
    if adjust == "sidak":
        return np.asarray(-np.expm1(count * np.log1p(-p_value)))
    if adjust == "holm":
        order = np.argsort(p_value)  # NaN last
        out = np.empty(count)
        out[order] = np.minimum(
            np.maximum.accumulate(p_value[order] * np.arange(count, 0, -1)), 1.0
        )
        return out
    return p_value


def critical_values(level: float, df: np.ndarray, n_means: int, adjust: str) -> np.ndarray:
    """Compute the half width of simultaneous intervals of pairwise differences, in standard errors.

    Holm's stepwise p values have no intervals; those of Bonferroni take their place.
    """
    count = n_means * (n_means - 1) // 2
    if adjust == "tukey" and n_means > 2:
        from mixedfast.inference import studentized_range

        return studentized_range.isf(1.0 - level, n_means, df) / np.sqrt(2.0)
    tail = 1.0 - level
    if adjust in ("bonferroni", "holm"):
        tail /= count
    elif adjust == "sidak":
        tail = -np.expm1(np.log1p(-tail) / count)
    return t_quantile(1.0 - 0.5 * tail, df)
