"""`GLMMResult`: a fitted generalized linear mixed model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._stored import stored
from mixedfast._validation import check_choice, check_count, check_flag, check_level, check_seed
from mixedfast.data.frames import as_table
from mixedfast.data.frames_out import returns_callers_tables
from mixedfast.errors import ArgumentError, ConvergenceWarning, SingularFitWarning, warn
from mixedfast.estimation.glmm.fit import GLMMFit
from mixedfast.estimation.glmm.responses import Response, response_of
from mixedfast.inference.distributions import t_quantile
from mixedfast.inference.prediction.generalized import (
    RESIDUALS,
    average_mean,
    draw,
    residuals,
    simulated_eta,
)
from mixedfast.inference.prediction.henderson import linear_predictor, prior_variance
from mixedfast.inference.prediction.predict import (
    Prediction,
    new_variance,
    predict_new,
    predict_old,
)
from mixedfast.inference.prediction.re_form import chosen_effects
from mixedfast.inference.prediction.row_arguments import offset_of_new, recipe_of
from mixedfast.inference.prediction.row_tiles import rows_of_design
from mixedfast.inference.transformation import Transformation
from mixedfast.results import tables
from mixedfast.results.estimates import Estimates
from mixedfast.results.fixed_effects import STORED_FIELDS
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


@stored("GLMMResult", fields=({"fit": "GLMMFit", **STORED_FIELDS},), whole=True)
class GLMMResult(Estimates, HypothesisTests):
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
    _fit: GLMMFit  # type: ignore[assignment]
    #: Numbers of trials of the rows used.
    _trials: np.ndarray | None = None

    def __repr__(self) -> str:
        groups = ", ".join(f"{name} {count}" for name, count in self.n_groups.items())
        return (
            f"<GLMMResult {self.formula}; {self.family} ({self.link}); {self.nobs} rows; groups: "
            f"{groups}; deviance {self.criterion:.4f}>"
        )

    # -- estimates ---------------------------------------------------------------------------------

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
        """Dispersion of the family: 1 for binomial and Poisson responses."""
        return 1.0

    @property
    def thresholds(self) -> pd.Series:
        """Thresholds of a cumulative model; empty for other families."""
        import pandas as pd

        return pd.Series(dtype=float)

    @property
    def df_model(self) -> int:
        """Number of parameters: fixed effects and theta."""
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
        ratios = {"logit": "odds_ratio", "log": "ratio"}
        return Transformation(self.link, family.mean, family.mean_slope, ratios.get(self.link, ""))

    def coef_table(self, ddf: DDF = "asymptotic", level: float = 0.95) -> pd.DataFrame:
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
        return super().coef_table(ddf, level)

    def contrast(
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
        ratios.
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
    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Return Wald intervals of the coefficients.

        Parameters
        ----------
        level : float

        Returns
        -------
        DataFrame
            ``conf_low, conf_high``, index: coefficients.
        """
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

    def summary(self, ddf: DDF | None = "asymptotic") -> Page:
        """Make the page of the model, in the layout of lme4.

        Parameters
        ----------
        ddf : str or None
            Method of the tests; None leaves them out.
        """
        from mixedfast.report.glmm_text import glmm_page

        return glmm_page(self._in_pandas(), ddf)

    # -- rows --------------------------------------------------------------------------------------

    @cached_property
    def fitted(self) -> np.ndarray:
        """Means at the conditional modes, (n,): probabilities or expected counts."""
        return self._pad(self._fit.family.mean(self._eta))

    @cached_property
    def _eta(self) -> np.ndarray:
        """Linear predictors at the conditional modes, on the rows used."""
        return linear_predictor(self._fit, rows_of_design(self._fit.cp, self._rows("fitted")))

    def _response(self) -> Response:
        """Return the response of the rows used."""
        design = self._rows("resid")
        return response_of(
            self._fit.family, design.response_name, design.y, self._trials, design.weights
        )

    def resid(self, type: str = "deviance", seed: int | None = 0) -> np.ndarray:
        """Return residuals at the conditional modes, (n,).

        Parameters
        ----------
        type : {"deviance", "pearson", "response", "working", "quantile"}
            Signed roots of the contributions to the deviance; in units of the standard deviation;
            observed less expected; the same on the scale of the link; or randomized quantile
            residuals, standard normal under the model (Dunn and Smyth 1996).
        seed : int, optional
            Of the randomized residuals.
        """
        check_choice("type", type, RESIDUALS)
        check_seed(seed)
        data = self._response()
        found = residuals(self._fit.family, self._eta, data.y, data.size, data.observed, type, seed)
        return self._pad(found)

    def predict(
        self,
        newdata: Any = None,
        type: str = "response",
        re: Any = True,
        allow_new_levels: bool = False,
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
    ) -> np.ndarray | pd.DataFrame:
        """Predict means or linear predictors.

        Parameters
        ----------
        newdata : data frame or mapping of arrays, optional
            Default: the rows used.
        type : {"response", "link"}
            Means (probabilities, expected counts), or linear predictors.
        re : bool, str or "average"
            True: at the conditional modes. False: at random effects of zero, the mean of a typical
            group. "average": the mean over the distribution of the random effects, by quadrature,
            as in the population. A formula or name keeps these effects and sets others to zero.
        allow_new_levels : bool
            Whether groups that are not in the fit have effects of zero instead of an error.
        interval : {None, "confidence"}
            Intervals of the linear predictor, from the joint uncertainty of the parameters and the
            modes, transformed to the scale of `type`. Not with ``re="average"``.
        level : float
        offset : str or (rows,) array, optional
            Of the new rows, where that of the fit was an array.

        Returns
        -------
        (rows,) array, or DataFrame
            With an interval: ``fit, se, lower, upper``; ``se`` is on the scale of the link.
        """
        check_choice("type", type, ("response", "link"))
        check_choice("interval", interval, (None, "confidence"))
        check_flag("allow_new_levels", allow_new_levels)
        check_level(level)
        family = self._fit.family
        if isinstance(re, str) and re == "average":
            if interval is not None:
                raise ArgumentError('predict: no interval with re="average"; use re=False')
            return self._average(newdata, type, offset)
        chosen = chosen_effects(self._fit.cp, re)
        found = self._predicted(newdata, chosen, allow_new_levels, interval is not None, offset)
        transform = family.mean if type == "response" else np.asarray
        if found.se is None:
            return transform(found.fit)
        import pandas as pd

        margin = t_quantile(0.5 + 0.5 * level, np.array(np.inf)) * found.se
        ends = found.fit - margin, found.fit + margin
        lower, upper = (transform(np.asarray(end)) for end in ends)
        if type == "response" and self.link == "inverse":
            lower, upper = upper, lower
        return pd.DataFrame(
            {"fit": transform(found.fit), "se": found.se, "lower": lower, "upper": upper}
        )

    def _predicted(
        self, newdata: Any, chosen: list[np.ndarray], new_levels: bool, se: bool, offset: Any
    ) -> Prediction:
        """Predict on the scale of the link."""
        fit = self._fit
        if newdata is None:
            found = predict_old(fit, self._rows("predict without newdata"), chosen, se, False)
            parts = (part if part is None else self._pad(part) for part in (found.fit, found.se))
            return Prediction(*parts)  # type: ignore[arg-type]
        table, recipe = as_table(newdata), recipe_of(fit.cp)
        own = offset_of_new(offset, table, recipe)
        return predict_new(fit, recipe, table, chosen, new_levels, se, False, offset=own)

    def _average(self, newdata: Any, type: str, offset: Any) -> np.ndarray:
        """Predict means over the distribution of the random effects."""
        none = chosen_effects(self._fit.cp, False)
        eta = self._predicted(newdata, none, True, False, offset).fit
        if newdata is None:
            rows = rows_of_design(self._fit.cp, self._rows("predict"))
            variance = self._pad(prior_variance(self._fit, rows))
        else:
            every = chosen_effects(self._fit.cp, True)
            table, recipe = as_table(newdata), recipe_of(self._fit.cp)
            own = offset_of_new(offset, table, recipe)
            variance = new_variance(self._fit, recipe, table, every, own)
        mean = average_mean(self._fit.family, eta, variance)
        return mean if type == "response" else self._fit.family.link_of(mean)

    def simulate(self, n: int = 1, seed: int | None = None, re: str = "new") -> np.ndarray:
        """Draw responses from the fitted model, for the rows used.

        Parameters
        ----------
        n : int
            Draws.
        seed : int, optional
            The same seed gives the same numbers; draw r depends only on the seed and r.
        re : {"new", "kept"}
            New random effects in every draw, or the conditional modes.

        Returns
        -------
        (rows, n) array
            Successes or counts.
        """
        check_count("n", n)
        check_seed(seed)
        check_choice("re", re, ("new", "kept"))
        fit, design = self._fit, self._rows("simulate")
        kept = chosen_effects(fit.cp, re == "kept")
        fixed = rows_of_design(fit.cp, design, kept)
        drawn = rows_of_design(fit.cp, design, [~own for own in kept])
        size = self._response().size
        out = np.empty((design.n, n))
        for r, child in enumerate(np.random.SeedSequence(seed).spawn(n)):
            rng = np.random.default_rng(child)
            out[:, r] = draw(fit.family, simulated_eta(fit, fixed, drawn, rng), size, rng)
        return out

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
