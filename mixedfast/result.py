"""`LMMResult`: a fitted model in the user's words. Methods only orchestrate; numbers happen in the rooms below."""

from __future__ import annotations

import warnings
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast import rowwise
from mixedfast.errors import ConvergenceWarning, DataError, SingularFitWarning
from mixedfast.inference import shares, tables
from mixedfast.inference.anova import anova_table, drop1, ranova
from mixedfast.inference.bootstrap import Bootstrap, bootstrap
from mixedfast.inference.contrasts import contrast
from mixedfast.inference.means import MarginalMeans, emmeans
from mixedfast.inference.profile import Profile, profile
from mixedfast.inference.shares import ICC, R2
from mixedfast.inference.varpar import kenward_roger
from mixedfast.storage import save

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design import Design
    from mixedfast.fitting import Fit
    from mixedfast.report.text import Summary

__all__ = ["LMMResult"]


class LMMResult:
    """A fitted linear mixed model.

    Made by `mixedfast.lmer` (from a table) or `mixedfast.fit` (from cross-products).

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> m.params.round(4).to_dict()
    {'Intercept': 251.4051, 'Days': 10.4673}
    >>> round(m.criterion, 4)
    1743.6283
    """

    def __init__(self, fit: Fit, design: Design | None = None) -> None:
        self._fit = fit
        self._design = design

    # -- the model -----------------------------------------------------------------------------------------

    @property
    def formula(self) -> str:
        return self._fit.cp.meta.formula

    @property
    def reml(self) -> bool:
        return self._fit.reml

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self._fit.cp.n

    @property
    def n_groups(self) -> dict[str, int]:
        """Levels of each grouping factor."""
        return {g.name: g.n_levels for g in self._fit.cp.groups}

    @property
    def n_dropped(self) -> int:
        """Rows left out for missing values."""
        return self._fit.cp.meta.n_dropped

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """Columns of X that the columns before them determine; their coefficients are NaN."""
        kept = set(self._fit.cp.kept.tolist())
        return tuple(name for i, name in enumerate(self._fit.cp.meta.x_names) if i not in kept)

    @property
    def weights_used(self) -> bool:
        return self._fit.cp.meta.weighted

    # -- estimates -----------------------------------------------------------------------------------------

    @property
    def theta(self) -> np.ndarray:
        """Free elements of the relative covariance factors, lme4's order, (m,)."""
        return self._fit.theta.copy()

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self._fit.sigma

    @property
    def params(self) -> pd.Series:
        """Fixed effects; NaN for columns that could not be identified."""
        return self._series(self._fit.beta)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the fixed effects."""
        return self._series(np.sqrt(np.diag(self._fit.vcov)))

    def vcov(self, ddf: str | None = None) -> pd.DataFrame:
        """Covariance matrix of the fixed effects.

        Parameters
        ----------
        ddf : {None, "kenward-roger"}
            With "kenward-roger" the small-sample adjusted matrix of Kenward and Roger (1997).
        """
        import pandas as pd

        if ddf not in (None, "kenward-roger"):
            raise ValueError(f'vcov(ddf={ddf!r}): None or "kenward-roger"')
        names = list(self._fit.cp.x_names)
        matrix = self._fit.vcov if ddf is None else kenward_roger(self._fit).vcov
        return pd.DataFrame(matrix, index=names, columns=names)

    def _series(self, values: np.ndarray) -> pd.Series:
        import pandas as pd

        out = np.full(len(self._fit.cp.meta.x_names), np.nan)
        out[self._fit.cp.kept] = values
        return pd.Series(out, index=list(self._fit.cp.meta.x_names))

    @property
    def criterion(self) -> float:
        """REML criterion, or deviance under ML, at the estimates."""
        return self._fit.deviance

    @property
    def loglik(self) -> float:
        return -0.5 * self._fit.deviance

    @property
    def df_model(self) -> int:
        """Number of parameters: fixed effects, theta and sigma."""
        return self._fit.cp.p + len(self._fit.theta) + 1

    @property
    def aic(self) -> float:
        return self.criterion + 2.0 * self.df_model

    @property
    def bic(self) -> float:
        return self.criterion + float(np.log(self.nobs)) * self.df_model

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances, standard deviations and correlations of the random effects.

        Columns ``group, name1, name2, variance, sd, corr``: one row a variance; a row with ``name2`` holds a covariance
        (in ``variance``) and a correlation; last row ``Residual``.
        """
        import pandas as pd

        rows: list[tuple[str, str, str | None, float, float, float]] = []
        for term, H in zip(self._fit.covariance.terms, self._fit.relative, strict=True):
            group = self._fit.cp.groups[term.group]
            names = group.names[term.start : term.start + term.k]
            cov = self._fit.sigma**2 * H
            sd = np.sqrt(np.diag(cov))
            rows += [(group.name, names[i], None, cov[i, i], sd[i], np.nan) for i in range(term.k)]
            if term.correlated:
                for j in range(term.k):
                    for i in range(j + 1, term.k):
                        product = sd[i] * sd[j]
                        corr = cov[i, j] / product if product > 0 else np.nan
                        rows.append((group.name, names[j], names[i], cov[i, j], np.nan, corr))
        rows.append(("Residual", "", None, self.sigma**2, self.sigma, np.nan))
        return pd.DataFrame(rows, columns=["group", "name1", "name2", "variance", "sd", "corr"])

    def ranef(self, cond_var: bool = False) -> dict[str, Any]:
        """Conditional modes (BLUPs) of the random effects.

        Parameters
        ----------
        cond_var : bool
            Also their conditional variances given beta.

        Returns
        -------
        dict
            Grouping factor -> frame (levels as index); with `cond_var`, (frame, array (levels, k, k)).
        """
        import pandas as pd

        out: dict[str, Any] = {}
        for g, group in enumerate(self._fit.cp.groups):
            frame = pd.DataFrame(
                self._fit.modes[g], index=pd.Index(group.levels, name=group.name), columns=list(group.names)
            )
            out[group.name] = (frame, self._fit.posterior[g].copy()) if cond_var else frame
        return out

    def coef(self) -> dict[str, pd.DataFrame]:
        """Coefficients of each group: fixed effects plus conditional modes."""
        import pandas as pd

        out = {}
        for name, modes in self.ranef().items():
            fixed = self.params
            columns = list(dict.fromkeys([*fixed.index, *modes.columns]))
            start = np.array([fixed[c] if c in fixed.index else 0.0 for c in columns])
            frame = pd.DataFrame(np.tile(start, (len(modes), 1)), index=modes.index, columns=columns)
            for column in modes.columns.unique():
                frame[column] += modes.loc[:, modes.columns == column].sum(axis=1)
            out[name] = frame
        return out

    # -- tests, tables, intervals --------------------------------------------------------------------------

    def coef_table(self, ddf: str = "satterthwaite", level: float = 0.95) -> pd.DataFrame:
        """Fixed effects with standard errors, df, t tests and confidence intervals.

        Parameters
        ----------
        ddf : str
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
        return tables.coef_table(self._fit, ddf, level)

    def ddf_table(self) -> pd.DataFrame:
        """Every df method side by side: index ``(term, method)``, columns ``df, p_value, note``.

        Where a method is not defined for the design, the numbers are NaN and ``note`` says why.
        """
        return tables.ddf_table(self._fit)

    def anova(self, type: str = "III", ddf: str = "satterthwaite") -> pd.DataFrame:
        """F tests of the terms of the fixed part.

        Parameters
        ----------
        type : {"I", "II", "III"}
            Sequential, by containment, or marginal sums of squares; type III does not depend on the contrasts used to fit.
        ddf : str
            As for `coef_table`.

        Returns
        -------
        DataFrame
            Index ``term``; columns ``sum_sq, mean_sq, num_df, den_df, f_value, p_value``.
        """
        return anova_table(self._fit, type, ddf)

    def ranova(self) -> pd.DataFrame:
        """Likelihood-ratio tests of the random terms, each dropped or reduced in turn."""
        return ranova(self._fit)

    def drop1(self, ddf: str = "satterthwaite") -> pd.DataFrame:
        """F tests of the fixed terms that may be dropped (no higher-order term contains them)."""
        return drop1(self._fit, ddf)

    def confint(
        self, method: str = "wald", level: float = 0.95, ddf: str = "satterthwaite", n: int = 1000, seed: int | None = None
    ) -> pd.DataFrame:
        """Confidence intervals.

        Parameters
        ----------
        method : {"wald", "profile", "boot"}
            Wald intervals of the fixed effects; profile likelihood or percentile bootstrap intervals of all parameters.
        level : float
        ddf : str
            For Wald intervals.
        n, seed
            Replicates and seed of the bootstrap.

        Returns
        -------
        DataFrame
            ``conf_low, conf_high``.
        """
        if method == "wald":
            return tables.wald_intervals(self._fit, level, ddf)
        if method == "profile":
            return self.profile().confint(level)
        if method == "boot":
            return self.bootstrap(n, seed=seed).confint(level)
        raise ValueError(f'confint(method={method!r}): "wald", "profile" or "boot"')

    def profile(self, parameters: Any = None) -> Profile:
        """Likelihood profiles of standard deviations, correlations and coefficients (of the ML criterion, as lme4)."""
        return profile(self._fit, parameters)

    def contrast(
        self, L: Any, rhs: Any = 0, ddf: str = "satterthwaite", joint: bool = False, level: float = 0.95
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

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.contrast("Days = 10").p_value.round(3).tolist()
        [0.766]
        """
        return contrast(self._fit, L, rhs, ddf, joint, level)

    def emmeans(self, specs: Any, ddf: str = "satterthwaite", at: Any = None, by: Any = None,
                level: float = 0.95) -> MarginalMeans:  # fmt: skip
        """Estimated marginal means: predictions on a grid of the factors, averaged over the others with equal weight.

        Parameters
        ----------
        specs : str or list of str
            Factors of the table: ``"recipe"``, ``["recipe", "temperature"]`` or ``"recipe | temperature"``.
        ddf, level
            As for `coef_table`.
        at : dict, optional
            Values of covariates (or levels of factors) to use instead of their means (or all levels).
        by : str or list of str, optional
            Factors that comparisons stay within.

        Returns
        -------
        MarginalMeans
            With ``to_frame()`` and ``pairs(adjust=)``.
        """
        return emmeans(self._fit, specs, at=at, by=by, ddf=ddf, level=level, design=self._design)

    def bootstrap(
        self, n: int = 1000, seed: int | None = None, progress: bool = False, threads: int | None = None
    ) -> Bootstrap:
        """Parametric bootstrap in cross-product space: a replicate's cost does not depend on the number of rows.

        Parameters
        ----------
        n : int
            Replicates.
        seed : int, optional
            The same seed gives the same replicates whatever the number of threads.
        progress : bool
            Show a progress bar.
        threads : int, optional
        """
        return bootstrap(self._fit, n, seed=seed, progress=progress, threads=threads)

    def icc(self) -> ICC:
        """Intraclass correlation: adjusted (of what fixed effects leave) and unadjusted (of everything)."""
        return shares.icc(self._fit)

    def r2(self) -> R2:
        """Nakagawa's marginal and conditional R2, random slopes after Johnson (2014)."""
        return shares.r2(self._fit)

    # -- how the fit went ----------------------------------------------------------------------------------

    @property
    def is_singular(self) -> bool:
        """Whether an estimated covariance matrix of random effects is singular."""
        return any(self._fit.singular_terms)

    @property
    def converged(self) -> bool:
        """Whether the optimum carries its certificate (see `optimization`)."""
        return self._fit.optimum is None or self._fit.optimum.converged

    @property
    def engine(self) -> str:
        return str(self._fit.engine["engine"])

    @cached_property
    def optimization(self) -> dict[str, Any]:
        """How the search went: evaluations, certificate, log.

        ``decrement`` and ``boundary_decrement`` say by how much (in deviance) a quadratic model thinks the fit could
        still improve, inside and by leaving the boundary. ``gradient`` and ``min_hessian_eigenvalue`` are in theta, for
        columns of Z scaled to order one.
        """
        best = self._fit.optimum
        if best is None:
            return {"message": "theta was given", "engine": dict(self._fit.engine)}
        return {
            "message": best.message,
            "evaluations": best.evaluations,
            "rejected": best.rejected,
            "iterations": best.iterations,
            "gradient": best.gradient.copy(),
            "max_gradient": float(np.abs(best.gradient).max()),
            "min_hessian_eigenvalue": float(np.linalg.eigvalsh(best.hessian)[0]),
            "hessian": "exact" if best.exact_hessian else "average information",
            "decrement": best.decrement,
            "boundary_decrement": best.boundary_decrement,
            "engine": dict(self._fit.engine),
            "log": best.log,
        }

    def _warn(self) -> None:
        """Say what a user must not overlook; called once, by the doors that fit."""
        best = self._fit.optimum
        if best is not None and not best.converged:
            warnings.warn(
                f"{best.message}: the deviance could still fall by about "
                f"{max(best.decrement, best.boundary_decrement):.2g}. Estimates may be off; try other starting values "
                "(start=), rescale covariates or simplify the random effects.",
                ConvergenceWarning,
                stacklevel=3,
            )
        if self.is_singular:
            terms, groups = self._fit.covariance.terms, self._fit.cp.groups
            bad = sorted({groups[t.group].name for t, s in zip(terms, self._fit.singular_terms, strict=True) if s})
            warnings.warn(
                f"singular fit: the estimated covariance of the random effects of {', '.join(bad)} has a zero variance "
                "or a correlation of one. The fit is valid; a simpler random part would fit as well.",
                SingularFitWarning,
                stacklevel=3,
            )

    # -- rows ----------------------------------------------------------------------------------------------

    def _rows(self, what: str) -> Design:
        if self._design is None:
            raise DataError(f"{what} needs the rows of the data, and this result was made without them")
        return self._design

    @cached_property
    def fitted(self) -> np.ndarray:
        """Fitted values of the rows used, random effects included, (n,)."""
        return rowwise.fitted(self._fit, self._rows("fitted"))

    def resid(self, type: str = "response") -> np.ndarray:
        """Residuals of the rows used, (n,).

        Parameters
        ----------
        type : {"response", "pearson", "scaled", "marginal"}
            y - fitted; times sqrt(weight); the latter over sigma; y - X beta.
        """
        return rowwise.residuals(self._fit, self._rows("resid"), self.fitted, type)

    def summary(self, ddf: str | None = "satterthwaite") -> Summary:
        """The page lme4 users know; ``str()`` is text, notebooks show a table."""
        from mixedfast.report.text import Summary

        return Summary(self, ddf)

    def __repr__(self) -> str:
        kind = "REML" if self.reml else "ML"
        groups = ", ".join(f"{name} {count}" for name, count in self.n_groups.items())
        return f"<LMMResult {self.formula}; {kind}; {self.nobs} rows; groups: {groups}; criterion {self.criterion:.4f}>"

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to a file that `mixedfast.load` reads; no rows go with it unless ``keep_rows`` is set."""
        save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Pickles carry no rows (set ``m.keep_rows = True`` before pickling to carry them)."""
        state = dict(self.__dict__)
        if not getattr(self, "keep_rows", False):
            state["_design"] = None
            state.pop("fitted", None)
        return state

    keep_rows = False
