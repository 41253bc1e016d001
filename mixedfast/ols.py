"""Ordinary and weighted least squares, with the tables of R's lm.

The regression that a mixed model is compared with. Small data, one dense QR; nothing here is on the
road of the mixed model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.columns import matrix
from mixedfast.design import Design, Recipe, build
from mixedfast.errors import DataError, FormulaError
from mixedfast.formula import parse
from mixedfast.giveback import in_callers_library
from mixedfast.newdata import apply

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.report.page import Page

__all__ = ["FStatistic", "OLSResult", "lm"]

#: A column whose part outside the span of those before it is shorter than this share of it is left out.
_RANK_TOLERANCE = 1e-7


@dataclass(frozen=True)
class FStatistic:
    """The F test of all coefficients but the intercept: value, degrees of freedom and p-value."""

    value: float
    df1: int
    df2: int
    p: float


@dataclass(frozen=True, eq=False)
class _Solution:
    """Least squares in numbers: p columns kept of all.

    ``kept`` (p,) places of the columns kept, ``beta`` (p,), ``unscaled`` (p, p) = (X'WX)^-1,
    ``effects`` (p,) the response along the orthonormal columns of Q, ``fitted`` (n,) without offset.
    """

    kept: list[int]
    beta: np.ndarray
    unscaled: np.ndarray
    effects: np.ndarray
    fitted: np.ndarray


@dataclass(frozen=True, eq=False)
class OLSResult:
    """A fitted linear regression; made by `lm`.

    Parameters
    ----------
    formula : str
    params, bse : Series, shape (number of columns of X,)
        Estimates and standard errors; NaN where a column is a linear combination of those before it.
    covariance : DataFrame, shape (p, p)
        Of the estimated coefficients only.
    sigma : float
        Residual standard error.
    nobs, df_resid, n_dropped : int
    r2, r2_adj : float
    fstatistic : FStatistic
    resid, fitted : ndarray, shape (n,)
        On the scale of the response; rows with missing values are not in them.
    weights : ndarray, shape (n,), or None
    loglik, aic, bic : float
        Counting the residual variance as a parameter.
    dropped_columns : tuple of str
    sequential : tuple of (str, int, float)
        Term, degrees of freedom and sum of squares, each term after those before it.
    recipe : Recipe
        Codes new data as the old were.
    library : {"pandas", "polars", "pyarrow"}
        What tables are given as: what the data came in as.
    """

    formula: str
    response: str
    params: pd.Series
    bse: pd.Series
    covariance: pd.DataFrame
    sigma: float
    nobs: int
    df_resid: int
    n_dropped: int
    r2: float
    r2_adj: float
    fstatistic: FStatistic
    resid: np.ndarray
    fitted: np.ndarray
    weights: np.ndarray | None
    loglik: float
    aic: float
    bic: float
    dropped_columns: tuple[str, ...]
    sequential: tuple[tuple[str, int, float], ...]
    recipe: Recipe
    library: str = "pandas"

    @in_callers_library
    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the estimated coefficients, shape (p, p)."""
        return self.covariance.copy()

    @in_callers_library
    def coef_table(self, level: float = 0.95) -> pd.DataFrame:
        """Estimates with t tests and confidence intervals.

        Parameters
        ----------
        level : float
            Of the confidence intervals, between 0 and 1.

        Returns
        -------
        DataFrame, coefficients as index
            ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``; NaN for columns left out.

        Raises
        ------
        DataError
            When `level` is not between 0 and 1.

        Examples
        --------
        >>> m = lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.coef_table().round(3)[["estimate", "std_error", "p_value"]]
                   estimate  std_error  p_value
        Intercept       0.9      0.265    0.077
        x               1.4      0.141    0.010
        """
        import pandas as pd
        from scipy.special import stdtr, stdtrit

        if not 0 < level < 1:
            raise DataError(f"level is a share between 0 and 1, not {level!r}")
        statistic = self.params / self.bse
        reach = stdtrit(self.df_resid, (1 + level) / 2) * self.bse
        return pd.DataFrame(
            {
                "estimate": self.params,
                "std_error": self.bse,
                "df": self.params.where(self.params.isna(), float(self.df_resid)),
                "statistic": statistic,
                "p_value": 2 * stdtr(self.df_resid, -statistic.abs()),
                "conf_low": self.params - reach,
                "conf_high": self.params + reach,
            }
        )

    @in_callers_library
    def anova(self) -> pd.DataFrame:
        """Sequential analysis of variance: each term after those before it.

        Returns
        -------
        DataFrame, terms and ``Residuals`` as index
            ``df, sum_sq, mean_sq, f_value, p_value``; the last two are NaN for the residuals. Terms none of
            whose columns could be estimated are not in it.

        Examples
        --------
        >>> m = lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.anova()["sum_sq"].round(6).to_dict()
        {'x': 9.8, 'Residuals': 0.2}
        """
        import pandas as pd
        from scipy.special import fdtrc

        variance = self.sigma**2
        rows = [
            (df, ss, ss / df, ss / df / variance, fdtrc(df, self.df_resid, ss / df / variance))
            for _, df, ss in self.sequential
        ]
        rows.append((self.df_resid, variance * self.df_resid, variance, np.nan, np.nan))
        index = [*(name for name, _, _ in self.sequential), "Residuals"]
        return pd.DataFrame(rows, index=index, columns=["df", "sum_sq", "mean_sq", "f_value", "p_value"])

    def predict(self, newdata: Any = None) -> np.ndarray:
        """Fitted values, or expected responses for new data.

        Parameters
        ----------
        newdata : data frame or dict of arrays, optional

        Returns
        -------
        ndarray, shape (n,)
            One value a row; NaN for a row with a missing predictor.

        Raises
        ------
        DataError
            For a missing column, or a level of a factor that the fit never saw.

        Examples
        --------
        >>> m = lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.predict({"x": [4.0, None]}).round(6)
        array([6.5, nan])
        """
        from mixedfast.frames import as_table

        if newdata is None:
            return self.fitted.copy()
        table = as_table(newdata)
        new = apply(self.recipe, table)
        expected = matrix(new.x, new.n) @ self.params.dropna().to_numpy()
        if new.offset is not None:
            expected += new.offset
        out = np.full(table.n, np.nan)
        out[slice(None) if new.kept_rows is None else new.kept_rows] = expected
        return out

    def summary(self) -> Page:
        """The page R's lm prints; ``str()`` gives text, a notebook shows HTML."""
        from mixedfast.report.text import ols_page

        return ols_page(replace(self, library="pandas"))


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
    weights, offset : str or array, shape (n,), optional
        A column's name, or one number a row. Weights are precision weights: the variance of a row's
        error is sigma squared over its weight.
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
    spec = parse(formula, require_random=False)
    if spec.random:
        raise FormulaError(f"the random term {spec.random[0]} is not for mf.lm: use mf.lmer")
    design = build(spec, data, weights, offset, contrasts, na_action)
    return _result(design, _solve(design))


def _solve(design: Design) -> _Solution:
    """Least squares by QR of the weighted columns that can be estimated."""
    from scipy.linalg import solve_triangular

    x = matrix(design.x, design.n)
    y = design.y if design.offset is None else design.y - design.offset
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    weighted = x * root[:, None]
    q, r = np.linalg.qr(weighted)
    kept = _independent(r)
    if len(kept) < x.shape[1]:
        q, r = np.linalg.qr(weighted[:, kept])
    effects = q.T @ (root * y)
    beta = solve_triangular(r, effects)
    r_inverse = solve_triangular(r, np.eye(len(kept)))
    return _Solution(kept, beta, r_inverse @ r_inverse.T, effects, x[:, kept] @ beta)


def _independent(r: np.ndarray) -> list[int]:
    """Places of the columns that are no linear combination of columns before them.

    `r` is the triangular factor of all columns; the columns of a matrix and of its R have the same
    lengths and angles, so the rows are not needed any more. One column is judged at a time, because
    after a dependent column the rest of R no longer tells.
    """
    kept: list[int] = []
    for place in range(r.shape[1]):
        diagonal = np.diag(np.linalg.qr(r[:, [*kept, place]], mode="r"))
        length = np.linalg.norm(r[:, place])
        is_new = len(diagonal) == len(kept) + 1 and abs(diagonal[-1]) > _RANK_TOLERANCE * length
        kept += [place] if is_new else []
    return kept


def _result(design: Design, solution: _Solution) -> OLSResult:
    """Everything a result tells, from the design and its solution."""
    import pandas as pd

    names = design.all_x_names
    kept_names = [names[i] for i in solution.kept]
    df_resid = design.n - len(solution.kept)
    if df_resid < 1:
        raise DataError(
            f"{design.n} rows for {len(solution.kept)} coefficients leave none to estimate the error variance"
        )
    fitted = solution.fitted if design.offset is None else solution.fitted + design.offset
    resid = design.y - fitted
    w = np.ones(design.n) if design.weights is None else design.weights
    rss = float(w @ resid**2)
    variance = rss / df_resid
    explained = _explained(solution, w, design.has_intercept)
    r2 = explained / (explained + rss)
    df_model = len(solution.kept) - design.has_intercept
    loglik = 0.5 * (np.log(w).sum() - design.n * (np.log(2 * np.pi * rss / design.n) + 1))
    n_parameters = len(solution.kept) + 1
    covariance = variance * solution.unscaled
    return OLSResult(
        formula=design.spec.formula,
        response=design.response_name,
        params=pd.Series(solution.beta, index=kept_names).reindex(names),
        bse=pd.Series(np.sqrt(np.diag(covariance)), index=kept_names).reindex(names),
        covariance=pd.DataFrame(covariance, index=kept_names, columns=kept_names),
        sigma=float(np.sqrt(variance)),
        nobs=design.n,
        df_resid=df_resid,
        n_dropped=design.n_dropped,
        r2=r2,
        r2_adj=1 - (1 - r2) * (design.n - design.has_intercept) / df_resid,
        fstatistic=_overall_test(explained, df_model, variance, df_resid),
        resid=resid,
        fitted=fitted,
        weights=design.weights,
        loglik=float(loglik),
        aic=float(2 * n_parameters - 2 * loglik),
        bic=float(np.log(design.n) * n_parameters - 2 * loglik),
        dropped_columns=tuple(name for name in names if name not in kept_names),
        sequential=tuple(_sequential(design, solution)),
        recipe=design.keep_columns(solution.kept).recipe,
        library=design.library,
    )


def _explained(solution: _Solution, w: np.ndarray, has_intercept: bool) -> float:
    """The model's sum of squares, around the mean when there is an intercept."""
    center = np.average(solution.fitted, weights=w) if has_intercept else 0.0
    return float(w @ (solution.fitted - center) ** 2)


def _overall_test(explained: float, df_model: int, variance: float, df_resid: int) -> FStatistic:
    from scipy.special import fdtrc

    if df_model == 0:
        return FStatistic(float("nan"), 0, df_resid, float("nan"))
    value = explained / df_model / variance
    return FStatistic(value, df_model, df_resid, float(fdtrc(df_model, df_resid, value)))


def _sequential(design: Design, solution: _Solution) -> Sequence[tuple[str, int, float]]:
    """Term, degrees of freedom and sum of squares of the terms with a column kept, the intercept apart."""
    place = {column: i for i, column in enumerate(solution.kept)}
    rows = []
    for term in design.fixed_terms:
        owned = [place[column] for column in term.columns if column in place]
        if owned and design.x[term.columns[0]] != ():
            rows.append((term.name, len(owned), float(np.sum(solution.effects[owned] ** 2))))
    return rows
