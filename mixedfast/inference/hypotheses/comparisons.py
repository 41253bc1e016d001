"""Several comparisons at once: p values and critical values that allow for their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mixedfast.inference.distributions import f_quantile, f_tails, t_quantile, t_tails

if TYPE_CHECKING:
    from mixedfast.inference.largest_t import LargestT

__all__ = ["ADJUSTMENTS", "Adjusted", "adjusted"]

ADJUSTMENTS = (
    "tukey",
    "dunnett",
    "mvt",
    "scheffe",
    "holm",
    "fdr",
    "bonferroni",
    "sidak",
    "none",
)


class Adjusted(NamedTuple):
    """Adjusted p values, half widths of intervals in standard errors, and errors of the p values.

    Arrays (c,), NaN where the statistic is. The error is the standard error of quasi-Monte Carlo,
    zero where p values are computed exactly.
    """

    p_value: np.ndarray
    critical: np.ndarray
    error: np.ndarray


def adjusted(
    statistic: np.ndarray,
    df: np.ndarray,
    adjust: str,
    level: float,
    n_means: int,
    rank: int,
    largest: LargestT | None,
) -> Adjusted:
    """Adjust the tests of a family of contrasts.

    Contrasts that cannot be estimated (NaN) count, as they do for Tukey's method, the intervals
    and emmeans.

    Parameters
    ----------
    statistic, df : (c,) arrays
    adjust : one of ADJUSTMENTS
        The stepwise p values of Holm and of Benjamini and Hochberg ("fdr") have no intervals; those
        of Bonferroni take their place.
    level : float
        Of simultaneous intervals.
    n_means : int
        For "tukey": the contrasts are all differences of so many means.
    rank : int
        For "scheffe": the number of linearly independent contrasts.
    largest : LargestT or None
        For "dunnett" and "mvt"; None when no contrast can be estimated.
    """
    zero = np.zeros(len(statistic))
    if adjust in ("dunnett", "mvt"):
        if largest is None:
            return Adjusted(*np.full((3, len(statistic)), np.nan))
        p_value = largest.sf(statistic, df)
        return Adjusted(p_value, largest.isf(1.0 - level, df), largest.error(statistic, df))
    if adjust == "tukey" and n_means > 2:  # for two means the studentized range is t itself
        # the first fit of a process does without SciPy's special functions
        from mixedfast.inference import studentized_range

        p_value = studentized_range.sf(np.abs(statistic) * np.sqrt(2.0), n_means, df)
        return Adjusted(
            p_value, studentized_range.isf(1.0 - level, n_means, df) / np.sqrt(2.0), zero
        )
    if adjust == "scheffe":
        rank = max(rank, 1)  # zero when no contrast can be estimated
        p_value = f_tails(statistic**2 / rank, rank, df)
        return Adjusted(p_value, np.sqrt(rank * f_quantile(1.0 - level, rank, df)), zero)
    p_value, count, tail = t_tails(statistic, df), len(statistic), 1.0 - level
    if adjust == "sidak":
        tail = -np.expm1(np.log1p(-tail) / count)
    elif adjust in ("bonferroni", "holm", "fdr"):
        tail /= count
    critical = t_quantile(1.0 - 0.5 * tail, df)
    return Adjusted(_of_each(p_value, adjust), critical, zero)


def _of_each(p_value: np.ndarray, adjust: str) -> np.ndarray:
    """Adjust p values that were computed one by one."""
    count = len(p_value)
    if adjust == "bonferroni":
        return np.minimum(p_value * count, 1.0)
    if adjust == "sidak":
        return np.asarray(-np.expm1(count * np.log1p(-p_value)))
    if adjust in ("holm", "fdr"):
        order = np.argsort(p_value)  # NaN last
        out = np.empty(count)
        if adjust == "holm":
            steps = np.maximum.accumulate(p_value[order] * np.arange(count, 0, -1))
        else:
            ratios = p_value[order] * count / np.arange(1, count + 1)
            ratios = np.where(np.isnan(ratios), np.inf, ratios)
            steps = np.minimum.accumulate(ratios[::-1])[::-1]
            steps = np.where(np.isnan(p_value[order]), np.nan, steps)
        out[order] = np.minimum(steps, 1.0)
        return out
    return p_value
