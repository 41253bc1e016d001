"""`OLSResult`: a fitted regression in the words of `mixedfast.LMMResult`, as far as a model without groups has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mixedfast._validation import check_flag, check_path
from mixedfast.data.frames_out import beside, in_callers_library
from mixedfast.estimation.least_squares import least_squares
from mixedfast.inference.ddf.methods import DDF
from mixedfast.inference.distributions import f_tail
from mixedfast.inference.prediction.row_arguments import response_values
from mixedfast.results.ols.base import without_groups
from mixedfast.results.ols.hypothesis_tests import OLSTests
from mixedfast.results.ols.row_methods import OLSRows

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd

    from mixedfast.report.page import Page
    from mixedfast.report.plots.regression import RegressionPlots

__all__ = ["FStatistic", "OLSResult", "RSquared"]


class FStatistic(NamedTuple):
    """The F test of all coefficients but the intercept: value, degrees of freedom and p-value."""

    value: float
    df1: int
    df2: int
    p: float


class RSquared(NamedTuple):
    """The share of the response's variance that the model explains, and the same with variances divided by their df."""

    r2: float
    adjusted: float


class OLSResult(OLSTests, OLSRows):
    """A fitted linear regression; made by `mixedfast.lm`.

    Names and calls are those of `mixedfast.LMMResult`; what needs groups is not there, and ``reml`` is False.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lm("math ~ ses", mf.load_dataset("hsb"))
    >>> m
    <OLSResult math ~ ses; 7185 rows; sigma 6.4155>
    >>> m.params.round(3).to_dict(), round(m.r2().r2, 3)
    ({'Intercept': 12.747, 'ses': 3.184}, 0.13)
    """

    reml = False
    #: Levels of each grouping factor: there are none.
    n_groups: Mapping[str, int] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"<OLSResult {self.formula}; {self.nobs} rows; sigma {self.sigma:.4f}>"

    # -- estimates -----------------------------------------------------------------------------------------

    @property
    def df_model(self) -> int:
        """Number of parameters: coefficients and sigma."""
        return self._least.cp.p + 1

    def r2(self) -> RSquared:
        """R squared and adjusted R squared; about zero when there is no intercept.

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
        fit = self._least
        share = fit.explained / (fit.explained + fit.rss)
        return RSquared(share, 1 - (1 - share) * (self.nobs - fit.has_intercept) / self.df_resid)

    @property
    def fstatistic(self) -> FStatistic:
        """The F test of all coefficients but the intercept; NaN where there are none."""
        fit = self._least
        df = fit.cp.p - fit.has_intercept
        value = fit.explained / df / fit.sigma**2 if df else float("nan")
        return FStatistic(
            value, df, self.df_resid, f_tail(value, df, self.df_resid) if df else float("nan")
        )

    @in_callers_library
    def vcov(self, ddf: DDF | None = None) -> pd.DataFrame:
        """Covariance matrix of the estimated coefficients.

        Parameters
        ----------
        ddf : str, optional
            As for a mixed model. Kenward and Roger's adjustment is zero here.

        Returns
        -------
        DataFrame, (p, p)

        Raises
        ------
        NotDefinedError
            For a method that needs groups.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).vcov().round(2)
                   Intercept  Days
        Intercept      43.69 -6.90
        Days           -6.90  1.53
        """
        import pandas as pd

        without_groups(ddf or "residual")
        names = list(self._least.cp.x_names)
        return pd.DataFrame(self._least.vcov, index=names, columns=names)

    # -- again ---------------------------------------------------------------------------------------------

    def refit(self, y: Any) -> Self:
        """The same model on another response for the same rows.

        Parameters
        ----------
        y : (n,) array or series
            One number for each row used, or for each row of the data.

        Returns
        -------
        OLSResult
            A new one.

        Raises
        ------
        DataError
            When there are not as many values as rows, or some are missing or infinite.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy"))
        >>> m.refit(2 * m._design.y).params.round(2).to_dict()
        {'Intercept': 502.81, 'Days': 20.93}
        """
        design = self._rows("refit")
        other = replace(design, y=response_values(y, design))
        made = type(self)(least_squares(other), other)
        made.library = self.library
        return made

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> Self:
        """Fit again with some things changed, everything else as in the call that made this result.

        Parameters
        ----------
        formula : str, optional
            May use R's dots: ``". ~ . + x"``.
        data : data frame or mapping of arrays, optional
            Another table.
        **changes
            Other arguments of the call: ``weights``, ``offset``, ``contrasts``, ``na_action``.

        Returns
        -------
        OLSResult
            A new one.

        Raises
        ------
        DataError
            When rows are needed and the result has none: give `data`.
        FormulaError, TypeError
            When the formula cannot be read, or there is no such argument.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).update(". ~ . + I(Days ** 2)").formula
        'Reaction ~ Days + I(Days ** 2)'
        """
        made = self._again("lm", formula, data, changes)
        made.library = self.library if data is None else made.library
        return made

    # -- shown ---------------------------------------------------------------------------------------------

    def _whole(self) -> OLSResult:
        return self._in_pandas()

    def summary(self, ddf: DDF = "residual") -> Page:
        """The page R's lm prints; ``str()`` gives text, a notebook shows HTML.

        Parameters
        ----------
        ddf : str
            As for `coef_table`.

        Returns
        -------
        Page
            With ``to_markdown()`` and ``to_latex()``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> print(str(mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).summary()).splitlines()[-1])
        F-statistic: 71.46 on 1 and 178 DF, p-value: 9.894e-15
        """
        from mixedfast.report.text import ols_page

        return ols_page(self._whole(), without_groups(ddf))

    def to_html(
        self,
        path: str | PathLike[str] | None = None,
        title: str | None = None,
        ddf: str = "residual",
        pictures: bool = True,
    ) -> str | None:
        """A report in one HTML file that loads nothing: the page, intervals, and pictures of the residuals.

        Parameters
        ----------
        path : str or path, optional
            Where to write it. Without one, the HTML is returned.
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
            For a df method that needs groups.

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
        page = regression_html(self._whole(), title, without_groups(ddf), pictures)
        if target is None:
            return page
        target.write_text(page, encoding="utf-8")
        return None

    @property
    def plot(self) -> RegressionPlots:
        """Pictures, drawn with matplotlib (``pip install 'mixedfast[plots]'``): ``m.plot.residuals()`` and others.

        ``residuals``, ``residuals_by_group`` (of any column) and ``qq`` draw; ``m.plot.data(name)`` gives the numbers.
        """
        from mixedfast.report.plots.regression import RegressionPlots

        return RegressionPlots(self)

    @in_callers_library
    def tidy(
        self, conf_int: bool = False, level: float = 0.95, ddf: DDF = "residual"
    ) -> pd.DataFrame:
        """One row a coefficient, as broom's ``tidy``.

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
            ``effect, term, estimate, std_error, df, statistic, p_value`` and, if asked for, ``conf_low, conf_high``.

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
        return fixed_rows(self._whole(), conf_int, level, ddf)

    @in_callers_library
    def glance(self) -> pd.DataFrame:
        """One row a model: what one compares models by.

        Returns
        -------
        DataFrame
            ``nobs, sigma, loglik, aic, bic, criterion, reml, df_model, df_residual, r2, r2_adjusted, f_value, p_value``;
            ``df_residual`` is n - p.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).glance().round(3)[["nobs", "sigma", "r2", "f_value"]]
           nobs   sigma     r2  f_value
        0   180  47.715  0.286   71.464
        """
        from mixedfast.report.tidy import ols_glance

        return ols_glance(self._whole())

    @in_callers_library
    def augment(self, data: Any = None) -> pd.DataFrame:
        """One row a row of the data used, with what the model says of it.

        Parameters
        ----------
        data : data frame, optional
            The table the model was fitted to: all its columns are kept. Without it, the variables of the model.

        Returns
        -------
        DataFrame
            The variables and ``.fitted``, ``.resid``, ``.hat``, ``.cooksd``, and ``.offset`` and ``.weights`` if there are any.

        Raises
        ------
        DataError
            When the result holds no rows, or `data` are not those of the fit.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).augment().columns.tolist()
        ['Reaction', 'Days', '.fitted', '.resid', '.hat', '.cooksd']
        """
        from mixedfast.report.tidy import model_frame, row_columns

        view = self._whole()
        if data is None:
            return model_frame(view).assign(**row_columns(view))
        design = self._rows("augment")
        return beside(data, design.kept_rows, row_columns(view), of=design.n + design.n_dropped)
