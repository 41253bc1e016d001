"""Ordinary and weighted least squares: the regression that a mixed model is compared with, in the same words.

Small data, one dense QR; nothing here is on the road of the mixed model, but tables and tests are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixedfast.design.build import build, check_whole
from mixedfast.errors import FormulaError
from mixedfast.estimation.least_squares import least_squares
from mixedfast.formula.parser import parse
from mixedfast.results.base import Call
from mixedfast.results.ols.result import FStatistic, OLSResult, RSquared

__all__ = ["FStatistic", "OLSResult", "RSquared", "lm"]


def lm(
    formula: str,
    data: Any,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
) -> OLSResult:
    """Fit a linear regression by least squares.

    Parameters
    ----------
    formula : str
        ``"y ~ x + f"``, without random terms.
    data : pandas or polars DataFrame, pyarrow Table or dict of arrays
    weights : str or array, shape (n,), optional
        A column's name, or one number a row. Precision weights: the variance of a row's error is sigma squared over
        its weight.
    offset : str or array, shape (n,), optional
        Subtracted from the response before fitting, added to fitted values.
    contrasts : dict, optional
        Categorical column to contrast: ``"sum"``, ``"helmert"``, ``"poly"``, a matrix.
    na_action : {"omit", "raise"}
        What to do with rows that miss a value in any variable used.

    Returns
    -------
    OLSResult

    Raises
    ------
    FormulaError
        When the formula cannot be read or has a random term.
    DataError
        When the data cannot be used, or leave no residual degree of freedom.

    Examples
    --------
    >>> print(lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]}).summary())
    Linear model fit by least squares
    Formula: y ~ x
    <BLANKLINE>
    Residuals:
      Min    1Q Median   3Q  Max
    -0.30 -0.15   0.00 0.15 0.30
    <BLANKLINE>
    Coefficients:
              Estimate Std. Error t value Pr(>|t|)
    Intercept   0.9000     0.2646   3.402   0.0766 .
    x           1.4000     0.1414   9.899   0.0101 *
    ---
    Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    <BLANKLINE>
    Residual standard error: 0.3162 on 2 degrees of freedom
    Multiple R-squared: 0.98, Adjusted R-squared: 0.97
    F-statistic: 98 on 1 and 2 DF, p-value: 0.01005
    """
    given = dict(locals())
    spec = parse(formula, require_random=False)
    if spec.random:
        raise FormulaError(f"the random term {spec.random[0]} is not for mf.lm: use mf.lmer")
    design = build(spec, data, weights, offset, contrasts, na_action)
    check_whole(design)
    result = OLSResult(least_squares(design), design)
    result._call = Call(lm, given)
    return result
