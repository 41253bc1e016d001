"""Tests of a regression by least squares: the overall F test, R squared, analysis of variance."""

from __future__ import annotations

import math
from typing import NamedTuple

from mixedfast.estimation.least_squares import LeastSquares
from mixedfast.inference.ddf.methods import DDF, without_groups
from mixedfast.inference.distributions import f_tail
from mixedfast.inference.hypotheses.anova import term_tests

__all__ = [
    "FStatistic",
    "RSquared",
    "SquaresTest",
    "overall_f",
    "r_squared",
    "regression_anova",
]


class FStatistic(NamedTuple):
    """The F test of all coefficients but the intercept: value, degrees of freedom and p value."""

    value: float
    df1: int
    df2: int
    p: float


class RSquared(NamedTuple):
    """The share of the variance of the response that the model explains, and the adjusted share."""

    r2: float
    adjusted: float


def r_squared(fit: LeastSquares) -> RSquared:
    """Compute R squared and adjusted R squared; about zero when there is no intercept."""
    share = fit.explained / (fit.explained + fit.rss)
    return RSquared(share, 1 - (1 - share) * (fit.cp.n - fit.has_intercept) / fit.nu)


def overall_f(fit: LeastSquares) -> FStatistic:
    """Test all coefficients but the intercept; NaN where there are none."""
    df = fit.cp.p - fit.has_intercept
    if not df:
        return FStatistic(math.nan, 0, fit.nu, math.nan)
    value = fit.explained / df / fit.sigma**2
    return FStatistic(value, df, fit.nu, f_tail(value, df, fit.nu))


class SquaresTest(NamedTuple):
    """The sum of squares of a term with its F test; of the residuals without one."""

    term: str
    df: float
    sum_sq: float
    mean_sq: float
    f_value: float
    p_value: float


def regression_anova(fit: LeastSquares, type: str, ddf: DDF) -> list[SquaresTest]:
    """Test the terms, with the residuals as last row; see ``OLSResult.anova``."""
    known, error = without_groups(ddf), fit.sigma**2
    if str(type) in ("I", "1") and isinstance(known, str):
        den = math.inf if known == "asymptotic" else float(fit.nu)
        tests = [
            SquaresTest(name, df, ss, ss / df, ss / df / error, f_tail(ss / df / error, df, den))
            for name, df, ss in fit.sequential
        ]
    else:
        tests = [
            SquaresTest(
                test.term, test.num_df, test.sum_sq, test.mean_sq, test.f_value, test.p_value
            )
            for test in term_tests(fit, type, known)
        ]
    return [*tests, SquaresTest("Residuals", fit.nu, fit.rss, error, math.nan, math.nan)]
