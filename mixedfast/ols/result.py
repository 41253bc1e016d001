"""`OLSResult`: a fitted regression in the words of `mixedfast.LMMResult`, as far as a model without groups has them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from mixedfast.arguments import check_choice, check_count, check_level, check_seed
from mixedfast.columns import Column, matrix
from mixedfast.errors import DataError, NotDefinedError
from mixedfast.frames import as_table
from mixedfast.giveback import beside, given_back, in_callers_library
from mixedfast.inference import tables
from mixedfast.inference.anova import anova_table, drop1
from mixedfast.inference.contrasts import contrast
from mixedfast.inference.ddf import DDF, method
from mixedfast.inference.means import MarginalMeans, emmeans
from mixedfast.newdata import apply
from mixedfast.ols.solve import LeastSquares, least_squares
from mixedfast.result.fixed import FixedPart
from mixedfast.rowwise.fitted import RESIDUALS
from mixedfast.rowwise.given import recipe_of, response_values, weights_of_new
from mixedfast.rowwise.predict import INTERVALS, Prediction
from mixedfast.tails import f_tail

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd

    from mixedfast.design import Design
    from mixedfast.fitting import Fit
    from mixedfast.report.page import Page

__all__ = ["FStatistic", "OLSResult", "RSquared"]

#: Methods that give n - p when there are no groups: sigma squared is the only variance, so all of them are exact.
_EXACT = ("residual", "containment", "satterthwaite", "kenward-roger")


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


class OLSResult(FixedPart):
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

    def __init__(self, fit: LeastSquares, design: Design | None = None) -> None:
        super().__init__(cast("Fit", fit), design)  # what a regression is asked for, LeastSquares answers as a Fit does
        self._least = fit

    def __repr__(self) -> str:
        return f"<OLSResult {self.formula}; {self.nobs} rows; sigma {self.sigma:.4f}>"

    # -- estimates -----------------------------------------------------------------------------------------

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom, n - p."""
        return self._least.nu

    @property
    def df_model(self) -> int:
        """Number of parameters: coefficients and sigma."""
        return self._least.cp.p + 1

    @property
    def criterion(self) -> float:
        """Deviance, -2 log likelihood."""
        return self._least.deviance

    @property
    def loglik(self) -> float:
        """Log likelihood at its maximum."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """Akaike's criterion; the residual variance counts as a parameter."""
        return self.criterion + 2.0 * self.df_model

    @property
    def bic(self) -> float:
        """Schwarz's criterion; the residual variance counts as a parameter."""
        return self.criterion + float(np.log(self.nobs)) * self.df_model

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
        return FStatistic(value, df, self.df_resid, f_tail(value, df, self.df_resid) if df else float("nan"))

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

        _same_for_all(ddf or "residual")
        names = list(self._least.cp.x_names)
        return pd.DataFrame(self._least.vcov, index=names, columns=names)

    # -- tests ---------------------------------------------------------------------------------------------

    @in_callers_library
    def coef_table(self, ddf: DDF = "residual", level: float = 0.95) -> pd.DataFrame:
        """Estimates with t tests and confidence intervals.

        Parameters
        ----------
        ddf : str
            ``"residual"``, n - p; Satterthwaite's and Kenward and Roger's are the same here. Or ``"asymptotic"``.
        level : float
            Of the confidence intervals, between 0 and 1.

        Returns
        -------
        DataFrame, coefficients as index
            ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``; NaN for columns left out.

        Raises
        ------
        ArgumentError
            When `level` is not between 0 and 1.
        NotDefinedError
            For a df method that needs groups.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.coef_table().round(3)[["estimate", "std_error", "p_value"]]
                   estimate  std_error  p_value
        term
        Intercept       0.9      0.265    0.077
        x               1.4      0.141    0.010
        """
        return tables.coef_table(self._fit, _same_for_all(ddf), level)

    @in_callers_library
    def confint(self, method: str = "wald", level: float = 0.95, ddf: DDF = "residual") -> pd.DataFrame:
        """Confidence intervals of the coefficients, exact for normal errors.

        Parameters
        ----------
        method : {"wald"}
        level : float
        ddf : str
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
        return tables.wald_intervals(self._fit, level, _same_for_all(ddf))

    @in_callers_library
    def contrast(
        self, L: Any, rhs: Any = 0, ddf: DDF = "residual", joint: bool = False, level: float = 0.95
    ) -> pd.DataFrame:
        """Test linear combinations of the coefficients.

        Parameters
        ----------
        L : array, dict or str, or list of them
            Weights of all coefficients in order; name -> weight; or an equation such as ``"ses = 0"``.
        rhs : float or array
            Values under the null hypothesis.
        ddf, level
            As for `coef_table`.
        joint : bool
            One F test of all rows together instead of one t test a row.

        Returns
        -------
        DataFrame
            A row a combination, columns as `coef_table`; joint: ``num_df, den_df, f_value, p_value``.

        Raises
        ------
        FormulaError
            For an unknown coefficient or an equation that cannot be read.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).contrast("Days = 10").p_value.round(3).tolist()
        [0.706]
        """
        return contrast(self._fit, L, rhs, _same_for_all(ddf), joint, level)

    @in_callers_library
    def anova(self, type: str = "I", ddf: DDF = "residual") -> pd.DataFrame:
        """Analysis of variance.

        Parameters
        ----------
        type : {"I", "II", "III"}
            Each term after those before it, as R's ``anova`` of a linear model; or by containment, or marginal.
        ddf : str
            As for `coef_table`.

        Returns
        -------
        DataFrame, terms and ``Residuals`` as index
            ``df, sum_sq, mean_sq, f_value, p_value``; the last two are NaN for the residuals. Terms none of
            whose columns could be estimated are not in a table of type I.

        Raises
        ------
        NotDefinedError
            For an unknown type, or a df method that needs groups.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.anova()["sum_sq"].round(6).to_dict()
        {'x': 9.8, 'Residuals': 0.2}
        """
        import pandas as pd

        fit, known = self._least, _same_for_all(ddf)
        error = fit.sigma**2
        if str(type) in ("I", "1"):
            den = float("inf") if known == "asymptotic" else float(fit.nu)
            rows = [(df, ss, ss / df, ss / df / error, f_tail(ss / df / error, df, den)) for _, df, ss in fit.sequential]
            table = pd.DataFrame(rows, [name for name, _, _ in fit.sequential], _ANOVA)
        else:
            table = anova_table(self._fit, type, known).rename(columns={"num_df": "df"})[_ANOVA]
        residuals = pd.DataFrame([(fit.nu, fit.rss, error, np.nan, np.nan)], ["Residuals"], _ANOVA)
        whole = pd.concat([table, residuals]) if len(table) else residuals
        return whole.astype({"df": int} if whole["df"].notna().all() else {}).rename_axis("term")

    @in_callers_library
    def drop1(self, ddf: DDF = "residual") -> pd.DataFrame:
        """F tests of the terms that may be dropped (no higher-order term contains them).

        Parameters
        ----------
        ddf : str
            As for `coef_table`.

        Returns
        -------
        DataFrame
            Index ``term``; columns ``sum_sq, mean_sq, num_df, den_df, f_value, p_value``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("math ~ ses * sex", mf.load_dataset("hsb")).drop1().index.tolist()
        ['ses:sex']
        """
        return drop1(self._fit, _same_for_all(ddf))

    def emmeans(self, specs: Any, ddf: DDF = "residual", at: Any = None, by: Any = None, level: float = 0.95,
                weights: str = "equal", offset: float | None = None) -> MarginalMeans:  # fmt: skip
        """Estimated marginal means, as those of a mixed model (see `LMMResult.emmeans`, which tells the arguments).

        Parameters
        ----------
        specs : str or list of str
            Factors of the table.
        ddf, at, by, level, weights, offset
            As for a mixed model.

        Returns
        -------
        MarginalMeans
            With ``to_frame()``, ``pairs(adjust=)`` and ``joint()``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("math ~ ses + sector", mf.load_dataset("hsb"))
        >>> m.emmeans("sector").to_frame().round(2)[["sector", "emmean", "df"]]
             sector  emmean      df
        0  Catholic   13.73  7182.0
        1    Public   11.79  7182.0
        """
        found = emmeans(
            self._fit, specs, at=at, by=by, ddf=_same_for_all(ddf), level=level, weights=weights, offset=offset,
            design=self._design,
        )  # fmt: skip
        return replace(found, library=self.library)

    # -- rows ----------------------------------------------------------------------------------------------

    @cached_property
    def fitted(self) -> np.ndarray:
        """Fitted values of the rows used, offset included, (n,)."""
        design = self._rows("fitted")
        return self._line(design.x, design.n, design.offset)

    def _columns(self, x: tuple[Column, ...], n: int) -> np.ndarray:
        return matrix(tuple(x[j] for j in self._least.cp.kept), n)

    def _line(self, x: tuple[Column, ...], n: int, offset: np.ndarray | None) -> np.ndarray:
        line = self._columns(x, n) @ self._least.beta
        return line if offset is None else line + offset

    def resid(self, type: str = "response") -> np.ndarray:
        """Residuals of the rows used, (n,).

        Parameters
        ----------
        type : {"response", "pearson", "scaled", "standardized"}
            y - fitted; that times sqrt(weight); the latter over sigma; and over sqrt(1 - leverage) too.

        Returns
        -------
        (n,) array

        Raises
        ------
        ArgumentError
            For an unknown type.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).resid("scaled")[:3].round(3)
        array([-0.039, -0.066, -0.451])
        """
        check_choice("type", type, RESIDUALS)
        design = self._rows("resid")
        out = design.y - self.fitted
        if type == "response":
            return out
        out = out if design.weights is None else out * np.sqrt(design.weights)
        if type == "pearson":
            return out
        out = out / self.sigma
        return out if type == "scaled" else out / np.sqrt(1.0 - self.hatvalues())

    def hatvalues(self) -> np.ndarray:
        """Leverage of each row used, (n,): the diagonal of the hat matrix.

        Returns
        -------
        (n,) array
            Their sum is the number of coefficients.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).hatvalues()[:2].round(4)
        array([0.0192, 0.0138])
        """
        design = self._rows("hatvalues")
        h = self._variance(self._columns(design.x, design.n)) / self.sigma**2
        return h if design.weights is None else h * design.weights

    def _variance(self, X: np.ndarray) -> np.ndarray:
        """x'Var(beta)x of every row, (n,)."""
        return np.einsum("ij,jk,ik->i", X, self._least.vcov, X, optimize=True)

    def cooks_distance(self) -> np.ndarray:
        """Cook's distance of each row used, (n,) (Cook 1977, Technometrics 19).

        Returns
        -------
        (n,) array

        Examples
        --------
        >>> import mixedfast as mf
        >>> int(mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).cooks_distance().argmax())
        9
        """
        h = self.hatvalues()
        return (self.resid("pearson") / (1.0 - h)) ** 2 * h / (self.sigma**2 * self._least.cp.p)

    def predict(self, newdata: Any = None, interval: str | None = None, level: float = 0.95, se: bool = False,
                weights: Any = None, ddf: DDF = "residual") -> Any:  # fmt: skip
        """Expected responses, for the rows used or for new ones.

        Parameters
        ----------
        newdata : data frame or dict of arrays, optional
            Default: the rows used. The response need not be there.
        interval : {None, "confidence", "prediction"}
            Limits for the mean, or for a new observation.
        level : float
            Of the interval.
        se : bool
            A table with standard errors even without an interval.
        weights : str or (n,) array, optional
            Of the new observations of a prediction interval: their variance is sigma^2 / weight. Default: 1 (for the rows
            used, their own weights).
        ddf : str
            As for `coef_table`.

        Returns
        -------
        (n,) array, or table
            With `interval` or `se` a table ``fit, se`` and, with `interval`, ``lower, upper``. NaN for a row with a missing
            predictor.

        Raises
        ------
        ArgumentError
            For an unknown interval or level.
        DataError
            For a missing column, or a level of a factor that the fit never saw.

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
        check_choice("interval", interval, INTERVALS)
        check_level(level)
        df = None if _same_for_all(ddf) == "asymptotic" else float(self.df_resid)
        if newdata is None:
            if weights is not None:
                raise DataError("predict(weights=...) are of new rows: the rows used keep their own")
            design = self._rows("predict without newdata")
            found = self._predicted(self._columns(design.x, design.n), self.fitted, design.weights, df)
            index, library = None, self.library
        else:
            table = as_table(newdata)
            given = weights_of_new(weights, table)
            new = apply(recipe_of(self._least.cp), table)
            kept = slice(None) if new.kept_rows is None else new.kept_rows
            line = self._line(new.x, new.n, new.offset)
            some = self._predicted(self._columns(new.x, new.n), line, None if given is None else given[kept], df)
            found = some.among(table.n, kept)
            index, library = getattr(newdata, "index", None), table.library
        if interval is None and not se:
            return found.fit
        return given_back(found.to_frame(interval, level, index).drop(columns="df", errors="ignore"), library)

    def _predicted(self, X: np.ndarray, line: np.ndarray, weights: np.ndarray | None, df: float | None) -> Prediction:
        variance = self._variance(X)
        noise = self.sigma**2 * (1.0 if weights is None else 1.0 / weights)
        return Prediction(
            line.copy(), np.sqrt(variance), np.sqrt(variance + noise), None if df is None else np.full(len(line), df)
        )

    def simulate(self, n: int = 1, seed: int | None = None, newdata: Any = None, weights: Any = None) -> np.ndarray:
        """Draw responses from the fitted model, for the rows used or for new ones.

        Parameters
        ----------
        n : int
            Draws.
        seed : int, optional
            The same seed gives the same numbers, and the first draws of a longer run are those of a shorter one.
        newdata : data frame or dict of arrays, optional
            Default: the rows used.
        weights : str or (rows,) array, optional
            Of the new rows: their variance is sigma^2 / weight. Default: 1.

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
        n = check_count("n", n)
        check_seed(seed)
        if newdata is None:
            if weights is not None:
                raise DataError("simulate(weights=...) are of new rows: the rows used keep their own")
            mean, own = self.fitted, self._rows("simulate without newdata").weights
        else:
            mean, own = self.predict(newdata), weights_of_new(weights, as_table(newdata))
        noise = self.sigma / (1.0 if own is None else np.sqrt(own))
        streams = np.random.SeedSequence(seed).spawn(n)
        drawn = [mean + noise * np.random.default_rng(one).standard_normal(len(mean)) for one in streams]
        return np.column_stack(drawn)

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

        return ols_page(self._whole(), _same_for_all(ddf))

    @in_callers_library
    def tidy(self, conf_int: bool = False, level: float = 0.95, ddf: DDF = "residual") -> pd.DataFrame:
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


_ANOVA = ["df", "sum_sq", "mean_sq", "f_value", "p_value"]


def _same_for_all(ddf: DDF) -> str:
    """The method's name, or "residual" for those that come to the same without groups."""
    name = method(ddf).name
    if name == "asymptotic":
        return name
    if not name.startswith(_EXACT):
        raise NotDefinedError(f"ddf={ddf!r} counts groups, and a linear model has none: take \"residual\" (n - p)")
    return "residual"
