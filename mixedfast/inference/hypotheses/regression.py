"""Tests of a regression by least squares: the overall F test, R squared, analysis of variance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mixedfast.estimation.least_squares import LeastSquares
from mixedfast.inference.ddf.methods import DDF, without_groups
from mixedfast.inference.distributions import f_tail
from mixedfast.inference.hypotheses.anova import anova_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FStatistic", "RSquared", "overall_f", "r_squared", "regression_anova"]

_COLUMNS = ["df", "sum_sq", "mean_sq", "f_value", "p_value"]


class FStatistic(NamedTuple):
    """The F test of all coefficients but the intercept: value, degrees of freedom and p value."""

    value: float
    df1: int
    df2: int
    p: float


class RSquared(NamedTuple):
    """The share of the response's variance that the model explains, and the share adjusted for the df used."""

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


def regression_anova(fit: LeastSquares, type: str, ddf: DDF) -> pd.DataFrame:
    """Test the terms, with the residuals as last row; see ``OLSResult.anova``."""
    import pandas as pd

    known, error = without_groups(ddf), fit.sigma**2
    if str(type) in ("I", "1"):
        den = math.inf if known == "asymptotic" else float(fit.nu)
        rows = [
            (df, ss, ss / df, ss / df / error, f_tail(ss / df / error, df, den))
            for _, df, ss in fit.sequential
        ]
        table = pd.DataFrame(rows, [name for name, _, _ in fit.sequential], _COLUMNS)
    else:
        table = anova_table(fit, type, known).rename(columns={"num_df": "df"})[_COLUMNS]
    residuals = pd.DataFrame([(fit.nu, fit.rss, error, np.nan, np.nan)], ["Residuals"], _COLUMNS)
    whole = pd.concat([table, residuals]) if len(table) else residuals
    return whole.astype({"df": int} if whole["df"].notna().all() else {}).rename_axis("term")
