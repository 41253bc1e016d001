"""Tests of the model: tables, contrasts, marginal means, intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mixedfast._progress import Show
from mixedfast._validation import check_choice, check_level
from mixedfast.data.frames_out import in_callers_library
from mixedfast.errors import ArgumentError
from mixedfast.inference.diagnostics import r2_icc
from mixedfast.inference.diagnostics.r2_icc import ICC, R2
from mixedfast.inference.hypotheses import coef_table
from mixedfast.inference.hypotheses.anova import anova_table, drop1, ranova
from mixedfast.inference.hypotheses.contrasts import contrast
from mixedfast.inference.hypotheses.emmeans import MarginalMeans, emmeans
from mixedfast.inference.intervals.bootstrap import bootstrap
from mixedfast.inference.intervals.profile import profile
from mixedfast.results.base import Fitted
from mixedfast.results.bootstrap import Bootstrap
from mixedfast.results.profile import Profile
from mixedfast.results.tabled import tabled

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.ddf.methods import DDF

__all__ = ["Tests"]


class Tests(Fitted):
    """Tests and intervals: all of them work without rows."""

    @in_callers_library
    def coef_table(self, ddf: DDF = "satterthwaite", level: float = 0.95) -> pd.DataFrame:
        """Fixed effects with standard errors, df, t tests and confidence intervals.

        Parameters
        ----------
        ddf : str or TraceMethod
            How denominator degrees of freedom are found: ``"satterthwaite"``, ``"kenward-roger"``, ``"residual"``, ``"group"``,
            ``"hlm"``, ``"inner-outer"``, ``"between-within"``, ``"containment"`` or ``"asymptotic"``.
        level : float
            Of the confidence intervals.

        Returns
        -------
        DataFrame
            Index ``term``; columns ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``.

        Raises
        ------
        NotDefinedError
            When the method is unknown or not defined for this design.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.coef_table().df.round(2).to_dict()
        {'Intercept': 17.0, 'Days': 17.0}
        """
        return coef_table.coef_table(self._fit, ddf, level)

    @in_callers_library
    def ddf_table(self) -> pd.DataFrame:
        """Every df method side by side: index ``(term, method)``, columns ``df, p_value, note``.

        Where a method is not defined for the design, the numbers are NaN and ``note`` says why.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.ddf_table().df["Days"].round(1).iloc[:3].to_dict()
        {'satterthwaite': 17.0, 'kenward-roger': 17.0, 'residual': 178.0}
        """
        return coef_table.ddf_table(self._fit)

    @in_callers_library
    def anova(self, type: str = "III", ddf: DDF = "satterthwaite") -> pd.DataFrame:
        """F tests of the terms of the fixed part.

        Parameters
        ----------
        type : {"I", "II", "III"}
            Sequential, by containment, or marginal sums of squares; type III does not depend on the contrasts used to fit.
        ddf : str or TraceMethod
            As for `coef_table`.

        Returns
        -------
        DataFrame
            Index ``term``; columns ``sum_sq, mean_sq, num_df, den_df, f_value, p_value``.

        Raises
        ------
        NotDefinedError
            For an unknown type, or a df method that is unknown or not defined for this design.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
        >>> m.anova().round(2)[["num_df", "den_df", "f_value"]]
                 num_df   den_df  f_value
        term
        ses         1.0  6803.61   495.80
        sex         1.0  6830.42    51.30
        ses:sex     1.0  7173.55     2.53
        """
        return anova_table(self._fit, type, ddf)

    @in_callers_library
    def ranova(self) -> pd.DataFrame:
        """Likelihood-ratio tests of the random terms, each dropped or reduced in turn.

        Returns
        -------
        DataFrame
            A row a term, the whole model first.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.ranova().round(2)[["npar", "chisq", "df"]]
                                  npar  chisq   df
        term
        <none>                       6    NaN  NaN
        Days in (Days | Subject)     4  42.84  2.0
        """
        return ranova(self._fit)

    @in_callers_library
    def drop1(self, ddf: DDF = "satterthwaite") -> pd.DataFrame:
        """F tests of the fixed terms that may be dropped (no higher-order term contains them).

        Parameters
        ----------
        ddf : str or TraceMethod
            As for `coef_table`.

        Returns
        -------
        DataFrame
            Columns as those of `anova`.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
        >>> m.drop1().index.tolist()
        ['ses:sex']
        """
        return drop1(self._fit, ddf)

    @in_callers_library
    def confint(
        self,
        method: str = "wald",
        level: float = 0.95,
        ddf: DDF = "satterthwaite",
        n: int = 1000,
        seed: int | None = None,
        progress: Show = "auto",
    ) -> pd.DataFrame:
        """Confidence intervals.

        Parameters
        ----------
        method : {"wald", "profile", "boot"}
            Wald intervals of the fixed effects; profile likelihood or percentile bootstrap intervals of all parameters.
        level : float
        ddf : str or TraceMethod
            For Wald intervals.
        n : int
            Replicates of the bootstrap.
        seed : int, optional
            Of the bootstrap.
        progress : {"auto", True, False}
            Show a bar while profiles are walked or replicates fitted.

        Returns
        -------
        DataFrame
            Parameters as index; columns ``conf_low, conf_high``.

        Raises
        ------
        ArgumentError
            For an unknown method or level.
        KeyboardInterrupt
            When interrupted: intervals from a part of the replicates are only given by `bootstrap`.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.confint().round(2)
                   conf_low  conf_high
        term
        Intercept    237.01     265.80
        Days           7.21      13.73
        >>> m.confint("profile").round(2).loc["sigma"].tolist()
        [22.9, 28.86]
        """
        if not isinstance(method, str):
            raise ArgumentError(
                f"confint(method={method!r}): the level goes by name, confint(level={method!r})"
            )
        check_choice("method", method, ("wald", "profile", "boot"))
        check_level(level)
        if method == "wald":
            return coef_table.wald_intervals(self._fit, level, ddf)
        if method == "profile":
            return self.profile(max_level=max(level, 0.99), progress=progress).confint(level)
        found = self.bootstrap(n, seed=seed, progress=progress)
        if found.n_done < found.requested:
            raise KeyboardInterrupt
        return found.confint(level)

    def profile(
        self,
        parameters: str | Sequence[str] | None = None,
        max_level: float = 0.99,
        progress: Show = "auto",
    ) -> Profile:
        """Likelihood profiles of standard deviations, correlations and coefficients (of the ML criterion, as lme4).

        Parameters
        ----------
        parameters : str or sequence of str, optional
            Names as in the index of ``confint("profile")``; all by default.
        max_level : float
            The largest confidence level that its intervals will be asked for.
        progress : {"auto", True, False}
            Show a bar, which counts parameters.

        Returns
        -------
        Profile
            With ``confint()``, ``to_frame()`` and ``plot()``.

        Raises
        ------
        ArgumentError
            For an unknown parameter or level.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.profile(["Days"]).confint(0.9).round(2)
              conf_low  conf_high
        Days       7.9      13.03
        """
        return tabled(Profile, profile(self._fit, parameters, max_level, progress), self.library)

    @in_callers_library
    def contrast(
        self,
        L: Any,
        rhs: Any = 0,
        ddf: DDF = "satterthwaite",
        joint: bool = False,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Test linear combinations of the fixed effects.

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
        NotIdentifiedError
            For a coefficient that the data do not determine.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.contrast("Days = 10").p_value.round(3).tolist()
        [0.766]
        """
        return contrast(self._fit, L, rhs, ddf, joint, level)

    def emmeans(
        self,
        specs: Any,
        ddf: DDF = "satterthwaite",
        at: Any = None,
        by: Any = None,
        level: float = 0.95,
        weights: str = "equal",
        offset: float | None = None,
    ) -> MarginalMeans:
        """Estimated marginal means: predictions on a grid of the factors, averaged over the others.

        The grid is that of R's emmeans: factors at all levels, covariates at their means, those with two values only at both.

        Parameters
        ----------
        specs : str or list of str
            Factors of the table: ``"recipe"``, ``["recipe", "temperature"]`` or ``"recipe | temperature"``.
        ddf, level
            As for `coef_table`.
        at : dict, optional
            Values of covariates (or levels of factors) to use instead of their means (or all levels); several values of a
            covariate that is not asked for are averaged over.
        by : str or list of str, optional
            Variables that comparisons stay within.
        weights : {"equal", "proportional"}
            How cells are averaged over the other factors: evenly, or by how many rows they hold.
        offset : float, optional
            Added in the place of the model's offset, which otherwise is held at its mean.

        Returns
        -------
        MarginalMeans
            With ``to_frame()``, ``pairs(adjust=)`` and ``joint()``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses + sector * sex + (1 | school)", mf.load_dataset("hsb"))
        >>> m.emmeans("sector | sex").pairs(adjust="holm").round(2)[["contrast", "sex", "estimate"]]
                    contrast     sex  estimate
        0  Catholic - Public  Female      2.19
        1  Catholic - Public    Male      2.01
        """
        found = emmeans(
            self._fit,
            specs,
            at=at,
            by=by,
            ddf=ddf,
            level=level,
            weights=weights,
            offset=offset,
            design=self._design,
        )
        return replace(found, library=self.library)

    def bootstrap(
        self,
        n: int = 1000,
        seed: int | None = None,
        progress: Show = "auto",
        threads: int | None = None,
    ) -> Bootstrap:
        """Parametric bootstrap in cross-product space: a replicate's cost does not depend on the number of rows.

        Parameters
        ----------
        n : int
            Replicates.
        seed : int, optional
            The same seed gives the same replicates whatever the number of threads.
        progress : {"auto", True, False}
            Show a bar. Ctrl-C keeps the replicates that are done.
        threads : int, optional
            Default: as many as there are cores, where that helps.

        Returns
        -------
        Bootstrap
            With ``confint(type=)``, ``to_frame()`` and ``plot()``.

        Raises
        ------
        ArgumentError
            For `n` below 1 or a negative seed.
        NotDefinedError
            When crossed factors are too large to draw from without rows.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> found = m.bootstrap(500, seed=1)
        >>> found.n_done, found.confint().index.tolist()
        (500, ['sd_Intercept|Batch', 'sigma', 'Intercept'])
        """
        found = bootstrap(self._fit, n, seed=seed, progress=progress, threads=threads)
        return tabled(Bootstrap, found, self.library)

    def icc(self) -> ICC:
        """Intraclass correlation: adjusted (of what fixed effects leave) and unadjusted (of everything).

        Returns
        -------
        ICC
            ``adjusted`` and ``unadjusted``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
        >>> round(m.icc().adjusted, 3)
        0.109
        """
        return r2_icc.icc(self._fit)

    def r2(self) -> R2:
        """Nakagawa's marginal and conditional R2, random slopes after Johnson (2014).

        Returns
        -------
        R2
            ``marginal`` (fixed effects alone) and ``conditional`` (with random effects).

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
        >>> round(m.r2().marginal, 3), round(m.r2().conditional, 3)
        (0.086, 0.186)
        """
        return r2_icc.r2(self._fit)
