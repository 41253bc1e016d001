"""Tests of coefficients of any result: tables, contrasts, marginal means. They need no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixedfast._validation import check_kind
from mixedfast.data.frames_out import returns_callers_tables
from mixedfast.inference.hypotheses.emmeans import emmeans
from mixedfast.results import tables
from mixedfast.results.fixed_effects import FixedPart
from mixedfast.results.marginal_means import MarginalMeans
from mixedfast.results.robust import df_method_with
from mixedfast.results.tabled import tabled

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.inference.transformation import Transformation

__all__ = ["HypothesisTests"]


class HypothesisTests(FixedPart):
    """Tests and intervals of the coefficients."""

    @property
    def _transformation(self) -> Transformation | None:
        """The link of a generalized model; None for that of the response in the formula."""
        return None

    @returns_callers_tables
    def coef_table(
        self,
        ddf: DDF = "satterthwaite",
        level: float = 0.95,
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> pd.DataFrame:
        """Return the coefficients with standard errors, df, t tests and confidence intervals.

        Parameters
        ----------
        ddf : str or TraceMethod
            Method of the denominator degrees of freedom: ``"satterthwaite"``, ``"kenward-roger"``,
            ``"residual"``, ``"group"``, ``"hlm"``, ``"inner-outer"``, ``"between-within"``,
            ``"containment"`` or ``"asymptotic"``. In a regression without groups those of
            Satterthwaite, Kenward and Roger and "containment" are the residual df, n - p, and the
            methods that count groups are refused.
        level : float
            Of the confidence intervals, between 0 and 1.
        vcov : {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}, optional
            Standard errors that stay valid when the variances and correlations of the model are
            wrong, from the differences between clusters. "CR2" with its Satterthwaite df is
            accurate for few clusters too. Joint tests are HTZ of Pustejovsky and Tipton (2018).
        cluster : str, optional
            The clusters of `vcov`: a grouping factor, or a column of the data whose clusters hold
            whole groups. Default: the grouping factor with the fewest levels.

        Returns
        -------
        DataFrame
            Index ``term``; columns ``estimate, std_error, df, statistic, p_value, conf_low,
            conf_high``; NaN for columns that could not be identified.

        Raises
        ------
        ArgumentError
            When `level` is not between 0 and 1.
        NotDefinedError
            When the method is unknown or not defined for this design.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.coef_table().df.round(2).to_dict()
        {'Intercept': 17.0, 'Days': 17.0}
        >>> m.coef_table(vcov="CR2", cluster="Subject").std_error.round(3).to_dict()
        {'Intercept': 6.825, 'Days': 1.546}
        """
        return tables.coef_table(self._fit, df_method_with(self, ddf, vcov, cluster), level)

    @returns_callers_tables
    def drop1(
        self, ddf: DDF = "satterthwaite", vcov: str | None = None, cluster: str | None = None
    ) -> pd.DataFrame:
        """Test the terms that may be dropped: those that no higher-order term contains.

        Parameters
        ----------
        ddf : str or TraceMethod
            As for `coef_table`; for terms with several columns see `anova`.
        vcov, cluster
            As for `coef_table`.

        Returns
        -------
        DataFrame
            Index ``term``; columns ``sum_sq, mean_sq, num_df, den_df, f_value, p_value``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
        >>> m.drop1().index.tolist()
        ['ses:sex']
        """
        return tables.drop1(self._fit, df_method_with(self, ddf, vcov, cluster))

    @returns_callers_tables
    def contrast(
        self,
        L: Any,
        rhs: Any = 0,
        ddf: DDF = "satterthwaite",
        joint: bool = False,
        level: float = 0.95,
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> pd.DataFrame:
        """Test linear combinations of the coefficients.

        Parameters
        ----------
        L : array, dict or str, or list of them
            Weights of all coefficients in order; name -> weight; or an equation such as ``"ses =
            0"``.
        rhs : float or array
            Values under the null hypothesis.
        ddf, level
            As for `coef_table`.
        joint : bool
            One F test of all rows together instead of one t test per row. F does not depend on
            how the hypothesis is written; Satterthwaite's df do, unless `ddf` is
            ``mixedfast.Satterthwaite(joint="invariant")``.
        vcov, cluster
            As for `coef_table`.

        Returns
        -------
        DataFrame
            One row per combination, columns as of `coef_table`; if `joint`: ``num_df, den_df,
            f_value, p_value``.

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
        method = df_method_with(self, ddf, vcov, cluster)
        return tables.contrast(self._fit, L, rhs, method, joint, level)

    def emmeans(
        self,
        specs: Any,
        ddf: DDF = "satterthwaite",
        at: Any = None,
        by: Any = None,
        level: float = 0.95,
        weights: str = "equal",
        offset: float | None = None,
        type: str = "link",
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> MarginalMeans:
        """Compute estimated marginal means: predictions on a grid, averaged over the other factors.

        The grid is that of emmeans in R: factors at all levels, covariates at their means, a
        covariate with two values only at both.

        Parameters
        ----------
        specs : str or list of str
            Factors of the table: ``"recipe"``, ``["recipe", "temperature"]`` or
            ``"recipe | temperature"``; ``"1"`` for the mean over everything. A factor nested in
            others appears with them, at the combinations that exist.
        ddf, level
            As for `coef_table`.
        at : dict, optional
            Values of covariates (or levels of factors) to use instead of their means (or all
            levels). Several values of a covariate that is not in `specs` are averaged over.
        by : str or list of str, optional
            Variables that comparisons stay within.
        weights : {"equal", "proportional", "outer", "cells", "flat"}
            Weights in averages over the other factors: equal; numbers of rows of the combinations
            of these factors, of each of them by itself ("outer"), or of the cells themselves
            ("cells"); equal for all cells that have rows, and zero for the others ("flat").
        offset : float, optional
            Added in the place of the model's offset, which otherwise is held at its mean.
        type : {"link", "response"}
            The scale of a model of a transformed response, such as ``log(y)``: that of the model,
            or that of y. Standard errors on the scale of y follow by the delta method, intervals
            are transformed, and differences of logarithms become ratios.
        vcov, cluster
            As for `coef_table`.

        Returns
        -------
        MarginalMeans
            With ``to_frame()``, ``contrast()``, ``pairs()``, ``joint()``, ``letters()``, ``plot()``
            and ``summary()``.

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
            ddf=df_method_with(self, ddf, vcov, cluster),
            level=level,
            weights=weights,
            offset=offset,
            design=self._design,
            type=type,
            transformation=self._transformation,
        )
        return tabled(MarginalMeans, found, self.library)

    def emtrends(
        self,
        x: str,
        specs: Any = "1",
        ddf: DDF = "satterthwaite",
        at: Any = None,
        by: Any = None,
        level: float = 0.95,
        weights: str = "equal",
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> MarginalMeans:
        """Compute the slopes of a covariate at the levels of factors, averaged over the others.

        Parameters
        ----------
        x : str
            The covariate, a column of numbers; the formula may transform it.
        specs : str or list of str
            As for `emmeans`: ``"treat"`` for the slope in each treatment.
        ddf, at, by, level, weights, vcov, cluster
            As for `emmeans`. A slope that depends on `x` itself, as under ``poly(x, 2)``, is taken
            at the mean of `x`, or at the values ``at={x: [...]}`` with `x` in `specs`.

        Returns
        -------
        MarginalMeans
            Slopes in the column ``trend``; ``pairs()`` and ``contrast()`` compare them.

        Raises
        ------
        ArgumentError
            When `x` holds categories.

        Notes
        -----
        Exact where `x` enters the formula by its name only. Otherwise a central difference over
        five points, whose relative error is about 1e-11.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses * sector + (1 | school)", mf.load_dataset("hsb"))
        >>> slopes = m.emtrends("ses", "sector")
        >>> slopes.to_frame().round(2)[["sector", "trend", "std_error"]]
             sector  trend  std_error
        0  Catholic   1.64       0.16
        1    Public   2.95       0.14
        >>> slopes.pairs().round(2)[["contrast", "estimate", "std_error"]]
                    contrast  estimate  std_error
        0  Catholic - Public     -1.31       0.21
        """
        check_kind("x", x, str, "the name of a covariate")
        found = emmeans(
            self._fit,
            specs,
            at=at,
            by=by,
            ddf=df_method_with(self, ddf, vcov, cluster),
            level=level,
            weights=weights,
            design=self._design,
            transformation=self._transformation,
            trend_of=x,
        )
        return tabled(MarginalMeans, found, self.library)
