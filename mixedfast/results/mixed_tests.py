"""Tests and intervals of a mixed model: analysis of variance, profiles, bootstrap, ICC and R2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from mixedfast._progress import Show
from mixedfast._validation import check_choice, check_level
from mixedfast.data.frames_out import returns_callers_tables
from mixedfast.errors import ArgumentError
from mixedfast.inference.diagnostics import r2_icc
from mixedfast.inference.diagnostics.r2_icc import ICC, R2
from mixedfast.inference.intervals.bootstrap import bootstrap
from mixedfast.inference.intervals.profile import profile
from mixedfast.results import tables
from mixedfast.results.bootstrap import Bootstrap
from mixedfast.results.hypothesis_tests import HypothesisTests
from mixedfast.results.profile import Profile
from mixedfast.results.robust import df_method_with
from mixedfast.results.tabled import tabled

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.estimation.fit import Fit
    from mixedfast.inference.ddf.methods import DDF

__all__ = ["MixedTests"]


class MixedTests(HypothesisTests):
    """Tests and intervals that a mixed model adds. None of them needs rows."""

    _fit: Fit

    @returns_callers_tables
    def ddf_table(self) -> pd.DataFrame:
        """Compare all df methods: index ``(term, method)``, columns ``df, p_value, note``.

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
        return tables.ddf_table(self._fit)

    @returns_callers_tables
    def anova(
        self,
        type: str = "III",
        ddf: DDF = "satterthwaite",
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> pd.DataFrame:
        """Test the terms of the fixed part by F tests.

        Parameters
        ----------
        type : {"I", "II", "III"}
            Sums of squares: sequential, by containment, or marginal. F and its numerator df do not
            depend on the contrasts of the fit.
        ddf : str or TraceMethod
            As for `coef_table`. Satterthwaite's df of a term with several columns depend on the
            contrasts in types I and II, and may differ between types that test the same
            hypothesis; ``mixedfast.Satterthwaite(joint="invariant")`` gives one number.
        vcov, cluster
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
        return tables.anova_table(self._fit, type, df_method_with(self, ddf, vcov, cluster))

    @returns_callers_tables
    def ranova(self) -> pd.DataFrame:
        """Test the random terms by likelihood ratios, each dropped or reduced in turn.

        Returns
        -------
        DataFrame
            One row per term, the whole model first.

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
        return tables.ranova(self._fit)

    @returns_callers_tables
    def confint(
        self,
        method: str = "wald",
        level: float = 0.95,
        ddf: DDF = "satterthwaite",
        n: int = 1000,
        seed: int | None = None,
        progress: Show = "auto",
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> pd.DataFrame:
        """Compute confidence intervals.

        Parameters
        ----------
        method : {"wald", "profile", "boot"}
            Wald intervals of the fixed effects; profile likelihood or percentile bootstrap
            intervals of all parameters.
        level : float
        ddf : str or TraceMethod
            For Wald intervals.
        n : int
            Replicates of the bootstrap.
        seed : int, optional
            Of the bootstrap.
        progress : {"auto", True, False}
            Show a bar while profiles are computed or replicates fitted.
        vcov, cluster
            Of Wald intervals, as for `coef_table`.

        Returns
        -------
        DataFrame
            Parameters as index; columns ``conf_low, conf_high``.

        Raises
        ------
        ArgumentError
            For an unknown method or level.
        KeyboardInterrupt
            When interrupted. Intervals from only some of the replicates are given by `bootstrap`.

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
                f"confint(method={method!r}): give the level by name, confint(level={method!r})"
            )
        check_choice("method", method, ("wald", "profile", "boot"))
        check_level(level)
        if method == "wald":
            return tables.wald_intervals(self._fit, level, df_method_with(self, ddf, vcov, cluster))
        if vcov is not None or cluster is not None:
            raise ArgumentError(f'confint(method={method!r}): vcov= and cluster= need "wald"')
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
        """Profile the likelihood of standard deviations, correlations and coefficients.

        The criterion is the deviance of maximum likelihood, as in lme4.

        Parameters
        ----------
        parameters : str or sequence of str, optional
            Names as in the index of ``confint("profile")``; all by default.
        max_level : float
            The largest confidence level of the intervals that the profile must allow.
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

    def bootstrap(
        self,
        n: int = 1000,
        seed: int | None = None,
        progress: Show = "auto",
        threads: int | None = None,
    ) -> Bootstrap:
        """Run a parametric bootstrap on cross-products; its cost does not grow with the rows.

        Parameters
        ----------
        n : int
            Replicates.
        seed : int, optional
            The same seed gives the same replicates with any number of threads.
        progress : {"auto", True, False}
            Show a bar. Ctrl-C keeps the replicates that are done.
        threads : int, optional
            Default: the number of cores, where that helps.

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

    @overload
    def icc(self, by: None = ...) -> ICC: ...
    @overload
    def icc(self, by: str) -> pd.Series: ...
    def icc(self, by: str | None = None) -> ICC | pd.Series:
        """Compute the intraclass correlation: adjusted (for the fixed effects) and unadjusted.

        Parameters
        ----------
        by : {None, "group"}
            With "group" the share of each grouping factor in the variance that the fixed effects
            leave.

        Returns
        -------
        ICC or Series
            ``adjusted``, the share of the variance that the fixed effects leave, and
            ``unadjusted``, the share of all variance; by group a series that adds up to
            ``adjusted``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
        >>> round(m.icc().adjusted, 3)
        0.109
        """
        check_choice("by", by, (None, "group"))
        if by is None:
            return r2_icc.icc(self._fit)
        import pandas as pd

        return pd.Series(r2_icc.icc_by_group(self._fit), name="icc")

    def r2(self) -> R2:
        """Compute Nakagawa's marginal and conditional R2, with random slopes after Johnson (2014).

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
