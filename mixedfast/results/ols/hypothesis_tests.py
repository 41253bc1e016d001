"""Tests and intervals of a regression: those of a mixed model, with the one df there is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._validation import check_choice
from mixedfast.data.frames_out import in_callers_library
from mixedfast.inference.ddf.methods import DDF
from mixedfast.inference.distributions import f_tail
from mixedfast.inference.hypotheses import coef_table
from mixedfast.inference.hypotheses.anova import anova_table, drop1
from mixedfast.inference.hypotheses.contrasts import contrast
from mixedfast.inference.hypotheses.emmeans import MarginalMeans, emmeans
from mixedfast.results.ols.base import Regression, without_groups

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["OLSTests"]

_ANOVA = ["df", "sum_sq", "mean_sq", "f_value", "p_value"]


class OLSTests(Regression):
    """Tests and intervals: all of them work without rows."""

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
        return coef_table.coef_table(self._fit, without_groups(ddf), level)

    @in_callers_library
    def confint(
        self, method: str = "wald", level: float = 0.95, ddf: DDF = "residual"
    ) -> pd.DataFrame:
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
        return coef_table.wald_intervals(self._fit, level, without_groups(ddf))

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
        return contrast(self._fit, L, rhs, without_groups(ddf), joint, level)

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

        fit, known = self._least, without_groups(ddf)
        error = fit.sigma**2
        if str(type) in ("I", "1"):
            den = float("inf") if known == "asymptotic" else float(fit.nu)
            rows = [
                (df, ss, ss / df, ss / df / error, f_tail(ss / df / error, df, den))
                for _, df, ss in fit.sequential
            ]
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
        return drop1(self._fit, without_groups(ddf))

    def emmeans(
        self,
        specs: Any,
        ddf: DDF = "residual",
        at: Any = None,
        by: Any = None,
        level: float = 0.95,
        weights: str = "equal",
        offset: float | None = None,
    ) -> MarginalMeans:
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
            self._fit,
            specs,
            at=at,
            by=by,
            ddf=without_groups(ddf),
            level=level,
            weights=weights,
            offset=offset,
            design=self._design,
        )
        return replace(found, library=self.library)
