"""`GLMMResult`: a fitted generalized linear mixed model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._stored import stored
from mixedfast._validation import check_choice, check_flag
from mixedfast.data.frames_out import returns_callers_tables
from mixedfast.errors import (
    ArgumentError,
    ConvergenceWarning,
    DataError,
    NotDefinedError,
    SingularFitWarning,
    warn,
)
from mixedfast.estimation.glmm.cumulative import thresholds_of
from mixedfast.estimation.glmm.designs import without_intercept
from mixedfast.estimation.glmm.fit import among_all_columns, fit_glmm, structure_of
from mixedfast.estimation.glmm.responses import response_of
from mixedfast.inference.prediction.henderson import prior_variance
from mixedfast.inference.prediction.row_tiles import rows_of_design
from mixedfast.inference.transformation import Transformation, of_link
from mixedfast.results import tables
from mixedfast.results.fixed_effects import STORED_FIELDS
from mixedfast.results.glmm_rows import GLMMRowMethods
from mixedfast.results.hypothesis_tests import HypothesisTests

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.estimation.newton import Optimum
    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.page import Page
    from mixedfast.results.marginal_means import MarginalMeans

__all__ = ["GLMMResult"]

#: Variance of the latent residual, by link of the binomial family (Nakagawa, Johnson and Schielzeth
#: 2017, J. R. Soc. Interface 14).
_LATENT = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}


#: Name of the constant column.
_CONSTANT = "Intercept"


@stored("GLMMResult", fields=({"fit": "GLMMFit", **STORED_FIELDS},), whole=True)
class GLMMResult(GLMMRowMethods, HypothesisTests):
    """A fitted generalized linear mixed model; made by `mixedfast.glmer`.

    Estimates are on the scale of the link. Pickles and files hold no rows until ``keep_rows`` is
    set to True.

    Examples
    --------
    >>> import mixedfast as mf
    >>> students = mf.load_dataset("hsb")
    >>> students["passed"] = (students["math"] > 12).astype(int)
    >>> g = mf.glmer("passed ~ ses + (1 | school)", students, family="binomial")
    >>> g.params.round(3).to_dict()
    {'Intercept': 0.228, 'ses': 0.749}
    >>> g.tidy(exponentiate=True).round(2)["estimate"].tolist()
    [1.26, 2.12]
    """

    _function = "glmer"

    def __repr__(self) -> str:
        groups = ", ".join(f"{name} {count}" for name, count in self.n_groups.items())
        return (
            f"<GLMMResult {self.formula}; {self.family} ({self.link}); {self.nobs} rows; groups: "
            f"{groups}; deviance {self.criterion:.4f}>"
        )

    # -- estimates ---------------------------------------------------------------------------------

    @property
    def params(self) -> pd.Series:
        """Fixed effects, (p,); NaN for columns that could not be identified."""
        return self._without_constant(super().params)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params`, (p,)."""
        return self._without_constant(super().bse)

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """Columns of X that the columns before them determine; their coefficients are NaN."""
        found = super().dropped_columns
        if not self._fit.family.is_ordered:
            return found
        return tuple(name for name in found if name != _CONSTANT)

    def _without_constant(self, table: Any) -> Any:
        """Leave out the row of the intercept, which a cumulative model does not have."""
        return (
            table.drop(index=_CONSTANT, errors="ignore") if self._fit.family.is_ordered else table
        )

    @property
    def family(self) -> str:
        """Name of the family."""
        return self._fit.family.name

    @property
    def link(self) -> str:
        """Name of the link."""
        return self._fit.family.link

    @property
    def n_agq(self) -> int:
        """Nodes of the quadrature; 1 for Laplace's approximation."""
        return self._fit.n_agq

    @property
    def curvature(self) -> str:
        """The weights of the log determinant: "expected" or "observed"."""
        return self._fit.curvature

    @property
    def dispersion(self) -> float:
        """Parameter of the variance of the family.

        phi of Gamma and inverse Gaussian responses, of variance phi mu^2 and phi mu^3; kappa of
        nbinom2, of variance mu + mu^2 / kappa; 1 for the other families.
        """
        fit = self._fit
        one = len(fit.extra) == 1 and not fit.family.is_ordered
        return float(np.exp(fit.extra[0])) if one else 1.0

    @property
    def thresholds(self) -> pd.Series:
        """Thresholds of a cumulative model, index ``low|high``; empty for other families."""
        import pandas as pd

        family = self._fit.family
        if not family.is_ordered:
            return pd.Series(dtype=float)
        names = [f"{a}|{b}" for a, b in pairwise(family.categories)]
        return pd.Series(thresholds_of(self._fit.extra), index=names)

    @property
    def df_model(self) -> int:
        """Number of parameters: fixed effects, theta, and those of the family."""
        return self._fit.cp.p + len(self._fit.theta) + len(self._fit.extra)

    @returns_callers_tables
    def vcov(self, given: str | None = None) -> pd.DataFrame:  # type: ignore[override]
        """Return the covariance matrix of the fixed effects.

        Parameters
        ----------
        given : {None, "theta"}
            None: from the Hessian of all parameters, so that the uncertainty of theta is included.
            "theta": as if theta were known, lme4's ``use.hessian=FALSE``.

        Returns
        -------
        DataFrame, (p, p)
            NaN where the Hessian is not positive definite.
        """
        check_choice("given", given, (None, "theta"))
        return self._coefficient_matrix(
            self._fit.vcov if given is None else self._fit.vcov_given_theta
        )

    @property
    @returns_callers_tables
    def varcorr(self) -> pd.DataFrame:
        """Variances, standard deviations and correlations of the random effects.

        On the scale of the link; columns as `LMMResult.varcorr`, without a residual.
        """
        whole = super().varcorr
        return whole[whole["group"] != "Residual"]

    @property
    def converged(self) -> bool:
        """Whether the optimum carries its certificate, with a positive definite Hessian."""
        best = self._fit.optimum
        return (best is None or best.converged) and self._fit.has_curvature

    @property
    def not_identified(self) -> tuple[str, ...]:
        """What the data do not identify, in words; empty if all parameters are."""
        if self._fit.has_curvature:
            return ()
        return (
            "the Hessian of the deviance is not positive definite at the estimates: the data do "
            "not determine all parameters, and there are no standard errors",
        )

    @property
    def optimization(self) -> dict[str, Any]:
        """The search and its certificate: what the deviance could still fall by, and the log."""
        best = self._fit.optimum
        if best is None:
            return {"message": "theta was given", "engine": dict(self._fit.engine)}
        free = self._fit.is_free
        inside = best.hessian[np.ix_(free, free)]
        return {
            "message": best.message,
            "evaluations": best.evaluations,
            "iterations": best.iterations,
            "gradient": best.gradient.copy(),
            "hessian": "differences of the exact gradient",
            "min_hessian_eigenvalue": float(np.linalg.eigvalsh(inside)[0]),
            "decrement": best.decrement,
            "boundary_decrement": best.boundary_decrement,
            "engine": dict(self._fit.engine),
            "log": best.log,
        }

    def _why_not_converged(self, found: Optimum) -> str:
        left = max(found.decrement, found.boundary_decrement)
        return f"the deviance could still fall by about {left:.2g}. Try start= or fewer terms"

    def _warn(self) -> None:
        """Warn of a search without convergence, a flat deviance and a singular fit."""
        best = self._fit.optimum
        if best is not None and not best.converged:
            warn(f"{best.message}: {self._why_not_converged(best)}", ConvergenceWarning)
        for sentence in self.not_identified:
            warn(f"{sentence}. Leave out a term.", ConvergenceWarning)
        if self.is_singular:
            warn(
                "singular fit: the estimated covariance of the random effects has a zero variance "
                "or a correlation of one. The fit is valid; a simpler random part would fit "
                "equally well.",
                SingularFitWarning,
            )

    def icc(self) -> float:
        """Return the share of the random effects in the variance of the latent response.

        The latent residual has variance pi^2 / 3 (logit), 1 (probit) or pi^2 / 6 (cloglog).

        Raises
        ------
        ArgumentError
            For other links and families.
        """
        if self.link not in _LATENT:
            raise ArgumentError(
                f"icc: the {self.family} family with the {self.link} link has no latent response"
            )
        rows = rows_of_design(self._fit.cp, self._rows("icc"))
        between = float(prior_variance(self._fit, rows).mean())
        return between / (between + _LATENT[self.link])

    # -- tests -------------------------------------------------------------------------------------

    @property
    def _transformation(self) -> Transformation:
        family = self._fit.family
        counts = family.name == "poisson"
        return of_link(self.link, family.mean, family.mean_slope, counts)

    @returns_callers_tables
    def coef_table(  # type: ignore[override]
        self, ddf: DDF = "asymptotic", level: float = 0.95
    ) -> pd.DataFrame:
        """Return the coefficients with standard errors, z tests and confidence intervals.

        Parameters
        ----------
        ddf : str
            "asymptotic", or a method by the design alone ("inner-outer", "between-within",
            "containment", "hlm", "group").
        level : float

        Returns
        -------
        DataFrame
            As `LMMResult.coef_table`.
        """
        found: pd.DataFrame = self._without_constant(tables.coef_table(self._fit, ddf, level))
        return found

    def contrast(  # type: ignore[override]
        self,
        L: Any,
        rhs: float | Sequence[float] = 0.0,
        ddf: DDF = "asymptotic",
        joint: bool = False,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Test linear combinations of the coefficients; see `LMMResult.contrast`."""
        return super().contrast(L, rhs, ddf, joint, level)

    def emmeans(  # type: ignore[override]
        self, specs: Any, ddf: DDF = "asymptotic", **options: Any
    ) -> MarginalMeans:
        """Compute estimated marginal means on the scale of the link, or ``type="response"``.

        See `LMMResult.emmeans`. Differences of logits become odds ratios, differences of logarithms
        of rates rate ratios.
        """
        return super().emmeans(specs, ddf, **options)

    def emtrends(  # type: ignore[override]
        self, x: str, specs: Any = "1", ddf: DDF = "asymptotic", **options: Any
    ) -> MarginalMeans:
        """Compute slopes on the scale of the link; see `LMMResult.emtrends`."""
        return super().emtrends(x, specs, ddf, **options)

    @returns_callers_tables
    def anova(self, type: str = "III", ddf: DDF = "asymptotic") -> pd.DataFrame:
        """Test the terms of the fixed part by Wald tests.

        Parameters
        ----------
        type : {"I", "II", "III"}
        ddf : str

        Returns
        -------
        DataFrame
            Index term; ``chisq, df, p_value``.
        """
        table = tables.anova_table(self._fit, type, ddf)
        found = table[["num_df"]].rename(columns={"num_df": "df"})
        found.insert(0, "chisq", table["f_value"] * table["num_df"])
        found["p_value"] = table["p_value"]
        return found

    @returns_callers_tables
    def confint(self, method: str = "wald", level: float = 0.95) -> pd.DataFrame:
        """Return Wald intervals of the coefficients.

        Parameters
        ----------
        method : {"wald"}
            From the Hessian of all parameters, so that the uncertainty of theta is included.
        level : float

        Returns
        -------
        DataFrame
            ``conf_low, conf_high``, index: coefficients.
        """
        if method in ("profile", "boot"):
            raise NotDefinedError(
                f"method={method!r} is for linear mixed models: a generalized one has "
                'method="wald"; for a bootstrap, refit(y) to draws of simulate()'
            )
        check_choice("method", method, ("wald",))
        return self.coef_table(level=level)[["conf_low", "conf_high"]]

    @returns_callers_tables
    def tidy(self, exponentiate: bool = False, level: float = 0.95) -> pd.DataFrame:
        """Return the coefficients as a table, as broom (R) does.

        Parameters
        ----------
        exponentiate : bool
            Odds ratios (logit) or rate ratios (log), with intervals; standard errors by the delta
            method.
        level : float

        Returns
        -------
        DataFrame
            ``term, estimate, std_error, statistic, p_value, conf_low, conf_high``.
        """
        check_flag("exponentiate", exponentiate)
        table = self._in_pandas().coef_table(level=level).drop(columns="df").reset_index()
        if exponentiate:
            if self.link not in ("logit", "log"):
                raise ArgumentError(f"exponentiate: the {self.link} link has no ratios")
            for name in ("estimate", "conf_low", "conf_high"):
                table[name] = np.exp(table[name])
            table["std_error"] *= table["estimate"]
        return table

    @returns_callers_tables
    def glance(self) -> pd.DataFrame:
        """Summarize the model in one row.

        Returns
        -------
        DataFrame
            ``nobs, loglik, aic, bic, deviance, df_model, converged, singular``.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "nobs": self.nobs,
                    "loglik": self.loglik,
                    "aic": self.aic,
                    "bic": self.bic,
                    "deviance": self.criterion,
                    "df_model": self.df_model,
                    "converged": self.converged,
                    "singular": self.is_singular,
                }
            ]
        )

    def _measures(self) -> dict[str, float]:
        """Return the further measures of tables: there are none that need no rows."""
        return {}

    def summary(self, ddf: DDF | None = "asymptotic") -> Page:
        """Make the page of the model, in the layout of lme4.

        Parameters
        ----------
        ddf : str or None
            Method of the tests; None leaves them out.
        """
        from mixedfast.report.glmm_text import glmm_page

        return glmm_page(self._in_pandas(), ddf)

    def refit(self, y: Any) -> GLMMResult:
        """Fit the same model to another response, such as one that `simulate` drew.

        Parameters
        ----------
        y : (n,) array
            One value per row used; of a binomial model with trials the successes, of a cumulative
            model the places of the categories, counted from 0.

        Returns
        -------
        GLMMResult

        Raises
        ------
        DataError
            Where `y` has another length, or values that the family does not allow.

        Examples
        --------
        >>> import mixedfast as mf
        >>> students = mf.load_dataset("hsb")
        >>> students["passed"] = (students["math"] > 12).astype(int)
        >>> g = mf.glmer("passed ~ ses + (1 | school)", students, family="binomial")
        >>> g.refit(g.simulate(seed=1)[:, 0]).params.round(1).to_dict()
        {'Intercept': 0.3, 'ses': 0.8}
        """
        design, old = self._rows("refit"), self._fit
        values = np.asarray(y, dtype=float)
        if values.shape != (design.n,):
            raise DataError(f"refit: y has shape {values.shape}, and the fit used {design.n} rows")
        again = replace(design, y=values)
        data = response_of(old.family, design.response_name, values, self._trials, design.weights)
        used = without_intercept(again) if old.family.is_ordered else again
        fit = fit_glmm(
            structure_of(used),
            used,
            data,
            old.family,
            old.curvature,
            old.theta,
            old.engine_wanted,
            n_agq=old.n_agq,
        )
        result = GLMMResult(among_all_columns(fit, used.kept), again)
        result._trials, result._call, result.library = self._trials, self._call, self.library
        result._index, result._padded = self._index, self._padded
        return result

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> GLMMResult:
        """Fit again with some arguments changed, all others as in the call that made this result.

        Parameters
        ----------
        formula : str, optional
            May use dots as in R: ``". ~ . + x"``.
        data : data frame or mapping of arrays, optional
        **changes
            Other arguments of `mixedfast.glmer`.
        """
        return self._repeat_call(formula, data, changes)
