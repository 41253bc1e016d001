"""`OLSResult`: a fitted regression, with the methods of `LMMResult` that need no groups."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._stored import stored
from mixedfast._validation import check_choice, check_flag, check_path
from mixedfast.data.frames_out import returns_callers_tables
from mixedfast.errors import ArgumentError
from mixedfast.estimation.least_squares import LeastSquares, least_squares
from mixedfast.inference.ddf.cluster_robust import KINDS
from mixedfast.inference.ddf.methods import DDF, without_groups
from mixedfast.inference.hypotheses.regression import (
    FStatistic,
    RSquared,
    overall_f,
    r_squared,
)
from mixedfast.results import tables
from mixedfast.results.display import Display, written
from mixedfast.results.fixed_effects import STORED_FIELDS
from mixedfast.results.hypothesis_tests import HypothesisTests
from mixedfast.results.refit import Refit
from mixedfast.results.robust import df_method_with, robust_covariance
from mixedfast.results.row_methods import RowMethods

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design.types import Design
    from mixedfast.report.page import Page
    from mixedfast.report.plots.regression import RegressionPlots

__all__ = ["OLSResult"]


@stored("OLSResult", fields=({"fit": "LeastSquares", **STORED_FIELDS},), whole=True)
class OLSResult(Refit, HypothesisTests, RowMethods, Display):
    """A fitted linear regression; made by `mixedfast.lm`.

    Names and calls are those of `mixedfast.LMMResult`. Methods that need groups are absent, and
    ``reml`` is False.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lm("math ~ ses", mf.load_dataset("hsb"))
    >>> m
    <OLSResult math ~ ses; 7185 rows; sigma 6.4155>
    >>> m.params.round(3).to_dict(), round(m.r2().r2, 3)
    ({'Intercept': 12.747, 'ses': 3.184}, 0.13)
    """

    _fit: LeastSquares
    _function = "lm"
    _instead = MappingProxyType({"predict without newdata": "give newdata="})
    reml = False
    #: Levels of each grouping factor: there are none.
    n_groups: Mapping[str, int] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"<OLSResult {self.formula}; {self.nobs} rows; sigma {self.sigma:.4f}>"

    def _fit_response(self, design: Design) -> LeastSquares:
        return least_squares(design)

    @property
    def df_model(self) -> int:
        """Number of parameters: coefficients and sigma."""
        return self._fit.cp.p + 1

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom, n - p."""
        return self._fit.nu

    @property
    def fstatistic(self) -> FStatistic:
        """The F test of all coefficients but the intercept; NaN where there are none."""
        return overall_f(self._fit)

    def r2(self) -> RSquared:
        """Compute R squared and adjusted R squared; about zero when there is no intercept.

        Returns
        -------
        RSquared
            ``r2`` and ``adjusted``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> round(mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).r2().adjusted, 4)
        0.2825
        """
        return r_squared(self._fit)

    @returns_callers_tables
    def vcov(self, ddf: DDF | None = None, cluster: str | None = None) -> pd.DataFrame:
        """Return the covariance matrix of the estimated coefficients.

        Parameters
        ----------
        ddf : str, optional
            As for a mixed model: "CR0" to "CR3" are cluster-robust matrices. Kenward and Roger's
            adjustment is zero here.
        cluster : str, optional
            The clusters of a cluster-robust matrix: a column of the data.

        Returns
        -------
        DataFrame, (p, p)

        Raises
        ------
        NotDefinedError
            For a method that counts groups.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).vcov().round(2)
                   Intercept  Days
        Intercept      43.69 -6.90
        Days           -6.90  1.53
        """
        if isinstance(ddf, str) and ddf in KINDS:
            values = robust_covariance(self, ddf, cluster).vcov(self._fit)
            return self._coefficient_matrix(values)
        if cluster is not None:
            raise ArgumentError(
                f'cluster={cluster!r} needs a cluster-robust matrix: vcov("CR2", ...)'
            )
        if ddf is not None:
            without_groups(ddf)
        return self._coefficient_matrix(self._fit.vcov)

    @returns_callers_tables
    def anova(
        self,
        type: str = "I",
        ddf: DDF = "residual",
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> pd.DataFrame:
        """Compute the analysis of variance.

        Parameters
        ----------
        type : {"I", "II", "III"}
            Each term after those before it, as in ``anova`` of a linear model in R; or by
            containment, or marginal.
        ddf : str
            As for `coef_table`.
        vcov, cluster : str, optional
            As for `coef_table`.

        Returns
        -------
        DataFrame, terms and ``Residuals`` as index
            ``df, sum_sq, mean_sq, f_value, p_value``; the last two are NaN for the residuals. A
            table of type I leaves out terms without an identifiable column.

        Raises
        ------
        NotDefinedError
            For an unknown type, or a df method that counts groups.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.anova()["sum_sq"].round(6).to_dict()
        {'x': 9.8, 'Residuals': 0.2}
        """
        method = df_method_with(self, ddf, vcov, cluster, "residual")
        return tables.regression_anova(self._fit, type, method)

    @returns_callers_tables
    def confint(
        self,
        method: str = "wald",
        level: float = 0.95,
        ddf: DDF = "residual",
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> pd.DataFrame:
        """Compute confidence intervals of the coefficients, exact for normal errors.

        Parameters
        ----------
        method : {"wald"}
        level : float
        ddf : str
            As for `coef_table`.
        vcov, cluster : str, optional
            As for `coef_table`.

        Returns
        -------
        DataFrame
            Coefficients as index; columns ``conf_low, conf_high``.

        Raises
        ------
        ArgumentError
            For another method, or a level that is not between 0 and 1.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).confint().round(1)
                   conf_low  conf_high
        term
        Intercept     238.4      264.4
        Days            8.0       12.9
        """
        check_choice("method", method, ("wald",))
        tests = df_method_with(self, ddf, vcov, cluster, "residual")
        return tables.wald_intervals(self._fit, level, tests)

    def predict(
        self,
        newdata: Any = None,
        interval: str | None = None,
        level: float = 0.95,
        se: bool = False,
        weights: Any = None,
        ddf: DDF = "residual",
        offset: Any = None,
    ) -> Any:
        """Predict the response, for the rows used or for new ones.

        Parameters
        ----------
        newdata : data frame or dict of arrays, optional
            Default: the rows used. The response need not be there.
        interval : {None, "confidence", "prediction"}
            Limits for the mean, or for a new observation.
        level : float
            Of the interval.
        se : bool
            Return a table with standard errors even without an interval.
        weights : str or (n,) array, optional
            Of the new observations of a prediction interval: their variance is sigma^2 / weight.
            Default: the column of the fit's weights, for the rows used their own weights; 1 for a
            fit without weights.
        ddf : str
            As for `coef_table`.
        offset : str or (n,) array, optional
            Of the new rows. Default: the column of the fit's offset; needed when that was an array.

        Returns
        -------
        (n,) array, or table
            With `interval` or `se` a table ``fit, se`` and, with `interval`, ``lower, upper``. NaN
            for a row with a missing predictor.

        Raises
        ------
        ArgumentError
            For an unknown interval or level.
        DataError
            For a missing column, or a level of a factor that is not in the fit.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.predict({"x": [4.0, None]}).round(6)
        array([6.5, nan])
        >>> m.predict({"x": [4.0]}, interval="prediction").round(2)
           fit    se  lower  upper
        0  6.5  0.39   4.35   8.65
        """
        return self._predict(newdata, True, False, interval, level, se, weights, ddf, offset)

    def simulate(
        self,
        n: int = 1,
        seed: int | None = None,
        newdata: Any = None,
        weights: Any = None,
        offset: Any = None,
    ) -> np.ndarray:
        """Draw responses from the fitted model, for the rows used or for new ones.

        Parameters
        ----------
        n : int
            Draws.
        seed : int, optional
            The same seed gives the same numbers, and the first draws of a longer run are those of a
            shorter one.
        newdata : data frame or dict of arrays, optional
            Default: the rows used.
        weights : str or (rows,) array, optional
            Of the new rows: their variance is sigma^2 / weight. Default: the column of
            the fit's weights; 1 for a fit without weights.
        offset : str or (rows,) array, optional
            Of the new rows. Default: the column of the fit's offset; needed when that was an array.

        Returns
        -------
        (rows, n) array
            NaN for new rows with a missing value.

        Raises
        ------
        ArgumentError, DataError
            As for `LMMResult.simulate`.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).simulate(3, seed=1).shape
        (180, 3)
        """
        return self._simulate(n, seed, True, newdata, False, weights, offset)

    # -- display -----------------------------------------------------------------------------------

    def _measures(self) -> dict[str, float]:
        r2, f = self.r2(), self.fstatistic
        return {
            "df_residual": self.df_resid,
            "r2": r2.r2,
            "r2_adjusted": r2.adjusted,
            "f_value": f.value,
            "p_value": f.p,
        }

    def summary(
        self, ddf: DDF = "residual", vcov: str | None = None, cluster: str | None = None
    ) -> Page:
        """Summarize the fit on a page like that of ``lm`` in R.

        Parameters
        ----------
        ddf : str
            As for `coef_table`.
        vcov, cluster : str, optional
            As for `coef_table`.

        Returns
        -------
        Page
            ``str()`` gives text, a notebook shows HTML, ``to_markdown()`` and ``to_latex()`` the
            rest.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy"))
        >>> print(str(m.summary()).splitlines()[-1])
        F-statistic: 71.46 on 1 and 178 DF, p-value: 9.894e-15
        """
        from mixedfast.report.text import ols_page

        tests = df_method_with(self, ddf, vcov, cluster, "residual")
        return ols_page(self._in_pandas(), without_groups(tests))

    def to_html(
        self,
        path: str | PathLike[str] | None = None,
        title: str | None = None,
        ddf: DDF = "residual",
        pictures: bool = True,
    ) -> str | None:
        """Write a report to one HTML file: the summary, intervals, pictures of the residuals.

        The file loads nothing from elsewhere.

        Parameters
        ----------
        path : str or path, optional
            The file. Without one, the HTML is returned.
        title : str, optional
            The formula by default.
        ddf : str
            As for `coef_table`.
        pictures : bool
            Draw them (with matplotlib; without it the report says that there are none).

        Returns
        -------
        str or None

        Raises
        ------
        NotDefinedError
            For a df method that counts groups.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy"))
        >>> "<h1>Sleep</h1>" in m.to_html(title="Sleep", pictures=False)
        True
        """
        from mixedfast.report.html import regression_html

        check_flag("pictures", pictures)
        target = None if path is None else check_path("to_html", path)
        return written(
            regression_html(self._in_pandas(), title, without_groups(ddf), pictures), target
        )

    @property
    def plot(self) -> RegressionPlots:
        """Pictures, drawn with matplotlib: ``m.plot.residuals()`` and others.

        ``residuals``, ``residuals_by_group`` (of any column) and ``qq`` draw;
        ``m.plot.data(name)`` gives the numbers.
        """
        from mixedfast.report.plots.regression import RegressionPlots

        return RegressionPlots(self._of_used_rows())

    @returns_callers_tables
    def tidy(
        self, conf_int: bool = False, level: float = 0.95, ddf: DDF = "residual"
    ) -> pd.DataFrame:
        """Return one row per coefficient, as ``tidy`` of broom in R.

        Parameters
        ----------
        conf_int : bool
            Add ``conf_low`` and ``conf_high``.
        level : float
        ddf : str
            As for `coef_table`.

        Returns
        -------
        DataFrame
            ``effect, term, estimate, std_error, df, statistic, p_value`` and, with `conf_int`,
            ``conf_low, conf_high``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).tidy().round(2)
          effect       term  estimate  std_error     df  statistic  p_value
        0  fixed  Intercept    251.41       6.61  178.0      38.03      0.0
        1  fixed       Days     10.47       1.24  178.0       8.45      0.0
        """
        from mixedfast.report.tidy import fixed_rows

        check_flag("conf_int", conf_int)
        return fixed_rows(self._in_pandas(), conf_int, level, ddf)
