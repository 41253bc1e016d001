"""Estimates of a mixed model, and the convergence of the search for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import check_flag
from mixedfast.data.frames_out import returns_callers_tables
from mixedfast.errors import ArgumentError, ConvergenceWarning, SingularFitWarning, warn
from mixedfast.estimation.fit_rows import NO_RESIDUALS
from mixedfast.estimation.monte_carlo import TARGET
from mixedfast.estimation.newton import Optimum
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE
from mixedfast.inference.ddf.cluster_robust import KINDS
from mixedfast.inference.ddf.flat_directions import flat_directions, rest_on_flat
from mixedfast.inference.ddf.kenward_roger import kenward_roger
from mixedfast.inference.ddf.trace_methods import KenwardRoger
from mixedfast.inference.diagnostics.convergence import Convergence, convergence
from mixedfast.inference.diagnostics.repca import components
from mixedfast.results import tables
from mixedfast.results.fixed_effects import FixedPart
from mixedfast.results.robust import robust_covariance

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.estimation.fit import Fit

__all__ = ["Estimates"]


class Estimates(FixedPart):
    """The estimates of a mixed model."""

    _fit: Fit

    @property
    def reml(self) -> bool:
        """Whether the fit is by REML."""
        return self._fit.reml

    @property
    def n_groups(self) -> dict[str, int]:
        """Levels of each grouping factor."""
        return {g.name: g.n_levels for g in self._fit.cp.groups}

    # -- estimates ---------------------------------------------------------------------------------

    @property
    def theta(self) -> np.ndarray:
        """Free elements of the relative covariance factors, in the order of lme4, (m,)."""
        return self._fit.theta.copy()

    @returns_callers_tables
    def vcov(
        self, ddf: str | KenwardRoger | None = None, cluster: str | None = None
    ) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects.

        Parameters
        ----------
        ddf : {None, "kenward-roger", "CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}
            Or a `mixedfast.KenwardRoger`. With "kenward-roger" the small-sample adjusted matrix of
            Kenward and Roger (1997); with "CR0" to "CR3" cluster-robust matrices, named as in
            clubSandwich (Bell and McCaffrey 2002; Pustejovsky and Tipton 2018). Prior weights are
            part of the working covariance: rows are multiplied by the roots of their weights.
        cluster : str, optional
            Clusters of a cluster-robust matrix, as for `coef_table`.

        Returns
        -------
        DataFrame, (p, p)
            NaN where an element rests on a variance that is not identified.

        Raises
        ------
        ArgumentError
            For anything else as `ddf`.
        NotDefinedError
            When clusters do not hold whole groups, or there are too few.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.vcov("kenward-roger").round(2)
                   Intercept  Days
        Intercept      46.57 -1.45
        Days           -1.45  2.39
        """
        if isinstance(ddf, str) and ddf in KINDS:
            values = robust_covariance(self, ddf, cluster).vcov(self._fit)
            return self._coefficient_matrix(values)
        if cluster is not None:
            raise ArgumentError(f'cluster={cluster!r} needs a kind: vcov("CR2")')
        how = ddf if isinstance(ddf, KenwardRoger) else None
        if how is None and ddf not in (None, "kenward-roger"):
            raise ArgumentError(
                f'vcov({ddf!r}): choose None, "kenward-roger", mixedfast.KenwardRoger() or one of '
                f"{', '.join(KINDS)}"
            )
        adjusted = ddf is not None
        values = kenward_roger(self._fit, how).vcov if adjusted else self._fit.vcov
        unknown = rest_on_flat(self._fit, np.eye(len(values)))
        return self._coefficient_matrix(np.where(unknown, np.nan, values))

    @returns_callers_tables
    def vcov_joint(self) -> pd.DataFrame:
        """Compute the covariance of the fixed effects and of the relative variances, (p+r, p+r).

        Relative variances are variances over sigma^2. From the observed information, in closed
        form. Rows and columns: the identifiable coefficients, then the variances and covariances in
        the order of `varcorr`. NaN where a variance is estimated as zero.

        Returns
        -------
        DataFrame, (p+r, p+r)

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.vcov_joint().columns.tolist()
        ['Intercept', 'Days', 'var_Intercept|Subject']
        """
        return tables.joint_vcov(self._fit)

    @property
    def df_model(self) -> int:
        """Number of parameters: fixed effects, theta and sigma."""
        return self._fit.cp.p + len(self._fit.theta) + 1

    @property
    @returns_callers_tables
    def varcorr(self) -> pd.DataFrame:
        """Variances, standard deviations and correlations of the random effects.

        Columns ``group, name1, name2, variance, sd, corr``: one row per variance; a row with
        ``name2`` holds a covariance (in ``variance``) and a correlation; last row ``Residual``.
        """
        import pandas as pd

        rows: list[tuple[str, str, str | None, float, float, float]] = []
        cp = self._fit.cp
        for term, group, H in zip(cp.terms, cp.term_groups, self._fit.relative, strict=True):
            names = cp.groups[term.group].names[term.start : term.start + term.k]
            cov = self._fit.sigma**2 * H
            sd = np.sqrt(np.diag(cov))
            rows += [(group, names[i], None, cov[i, i], sd[i], np.nan) for i in range(term.k)]
            if term.correlated:
                for j in range(term.k):
                    for i in range(j + 1, term.k):
                        product = sd[i] * sd[j]
                        corr = cov[i, j] / product if product > 0 else np.nan
                        rows.append((group, names[j], names[i], cov[i, j], np.nan, corr))
        rows.append(("Residual", "", None, self.sigma**2, self.sigma, np.nan))
        return pd.DataFrame(rows, columns=["group", "name1", "name2", "variance", "sd", "corr"])

    @returns_callers_tables
    def varcorr_se(self) -> pd.DataFrame:
        """Compute standard errors of the rows of `varcorr`.

        By the delta method on the observed information. Variance components have skewed
        likelihoods: for intervals prefer ``confint("profile")`` or ``confint("boot")``.

        Returns
        -------
        DataFrame
            ``group, name1, name2, variance_se, sd_se, corr_se``; NaN where a variance is estimated
            as zero.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.varcorr_se()[["name1", "sd_se"]].round(3).values.tolist()[:2]
        [['Intercept', 5.836], ['Days', 1.248]]
        """
        return tables.varcorr_errors(self._fit)

    @returns_callers_tables
    def ranef(self, cond_var: bool = False) -> dict[str, Any]:
        """Return the conditional modes (BLUPs) of the random effects.

        Parameters
        ----------
        cond_var : bool
            Return their conditional variances given beta too.

        Returns
        -------
        dict
            Grouping factor -> frame (levels as index); with `cond_var`, (frame, array (levels, k,
            k)).

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.ranef()["Subject"].head(2).round(2)
                 Intercept  Days
        Subject
        308           2.26  9.20
        309         -40.40 -8.62
        >>> modes, variance = m.ranef(cond_var=True)["Subject"]
        >>> variance.shape
        (18, 2, 2)
        """
        import pandas as pd

        check_flag("cond_var", cond_var)
        out: dict[str, Any] = {}
        for g, group in enumerate(self._fit.cp.groups):
            frame = pd.DataFrame(
                self._fit.modes[g],
                index=pd.Index(group.levels, name=group.name),
                columns=list(group.names),
            )
            out[group.name] = (frame, self._fit.posterior[g].copy()) if cond_var else frame
        return out

    @returns_callers_tables
    def coef(self) -> dict[str, pd.DataFrame]:
        """Return the coefficients of each group: fixed effects plus conditional modes.

        Returns
        -------
        dict
            Grouping factor -> table, levels as index, one column per coefficient.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.coef()["Subject"].head(2).round(2)
                 Intercept   Days
        Subject
        308         253.66  19.67
        309         211.01   1.85
        """
        import pandas as pd

        out = {}
        for name, modes in self._in_pandas().ranef().items():
            fixed = self.params
            columns = list(dict.fromkeys([*fixed.index, *modes.columns]))
            start = np.array([fixed[c] if c in fixed.index else 0.0 for c in columns])
            frame = pd.DataFrame(
                np.tile(start, (len(modes), 1)), index=modes.index, columns=columns
            )
            for column in modes.columns.unique():
                frame[column] += modes.loc[:, modes.columns == column].sum(axis=1)
            out[name] = frame
        return out

    @returns_callers_tables
    def rePCA(self) -> dict[str, pd.DataFrame]:
        """Compute principal components of the random effects of each grouping factor, as in lme4.

        Returns
        -------
        dict
            Grouping factor -> table, one row per component (index ``component``): ``sd`` relative
            to sigma, ``proportion`` of the variance, ``cumulative``, and the loading of each random
            effect. The number of components without variance is that of the directions in which the
            groups do not differ.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.rePCA()["Subject"].round(3)
                      sd  proportion  cumulative  Intercept   Days
        component
        PC1        0.967       0.946       0.946      1.000  0.017
        PC2        0.231       0.054       1.000     -0.017  1.000
        """
        import pandas as pd

        out = {}
        for found in components(self._fit):
            index = pd.Index([f"PC{i + 1}" for i in range(len(found.sd))], name="component")
            numbers = np.column_stack(
                [found.sd, found.proportion, np.cumsum(found.proportion), found.rotation.T]
            )
            out[found.group] = pd.DataFrame(
                numbers, index, ["sd", "proportion", "cumulative", *found.names]
            )
        return out

    # -- convergence -------------------------------------------------------------------------------

    @property
    def is_singular(self) -> bool:
        """Whether an estimated covariance matrix of random effects is singular."""
        return any(self._fit.singular_terms)

    @property
    def converged(self) -> bool:
        """Whether the optimum carries its certificate (see `optimization`) and is unique.

        False where the data do not identify a variance (`not_identified`): the criterion then has
        the same value at many other estimates.
        """
        best = self._fit.optimum
        return (best is None or best.converged) and not self.not_identified

    @property
    def not_identified(self) -> tuple[str, ...]:
        """Variances that no data of this design identify, one sentence each; empty if all are.

        Standard errors and tests that depend on them are NaN.
        """
        return tuple(map(str, flat_directions(self._fit)))

    @property
    def engine(self) -> str:
        """The factorization used: "block", "cholmod" or "krylov"."""
        return str(self._fit.engine["engine"])

    @cached_property
    def optimization(self) -> dict[str, Any]:
        """Convergence in numbers: evaluations, certificate, log of the search.

        ``decrement`` and ``boundary_decrement`` are the decreases of the deviance that a quadratic
        model at the estimates predicts: in the interior, and by leaving the boundary or changing
        the scale of a term. ``gradient`` and ``min_hessian_eigenvalue`` are in theta, for columns
        of Z scaled to order one. ``hessian`` says whether they and the decrement use the exact
        Hessian, or average information for crossed models so large that the Hessian would take
        minutes. All of these are computed at the estimates at the first access. ``converged`` uses
        the values of the search itself, which on large crossed models predicts the last decrease
        from the step before (``log`` has the predicted decrease of every step).
        ``monte_carlo`` is None, but for ``engine="krylov"``: ``ratio``, the largest Monte-Carlo
        standard error of a theta as a share of its statistical standard error; ``expected_loss``,
        by how much the deviance is then expected to be above its minimum; ``deviance_se``, the
        Monte-Carlo standard error of the deviance itself; and ``probes``, zero where the traces
        are exact. ``not_identified`` lists the variances along which the criterion is flat for
        every response.
        """
        best = self._fit.optimum
        if best is None:
            return {"message": "theta was given", "engine": dict(self._fit.engine)}
        curvature = self._fit.curvature()
        return {
            "message": best.message,
            "evaluations": best.evaluations,
            "rejected": best.rejected,
            "iterations": best.iterations,
            "gradient": curvature.gradient,
            "max_gradient": float(np.abs(curvature.gradient).max()),
            "not_identified": self.not_identified,
            "min_hessian_eigenvalue": float(np.linalg.eigvalsh(curvature.hessian)[0]),
            "hessian": "exact" if curvature.exact else "average information",
            "decrement": curvature.decrement,
            "boundary_decrement": curvature.boundary_decrement,
            "engine": dict(self._fit.engine),
            "monte_carlo": self._monte_carlo(),
            "log": best.log,
        }

    def _monte_carlo(self) -> dict[str, float] | None:
        """Return the Monte-Carlo error of theta and of the deviance; None where there is none."""
        error = self._fit.monte_carlo()
        if error is None:
            return None
        return {
            "ratio": error.largest,
            "expected_loss": error.loss,
            "deviance_se": error.criterion,
            "probes": error.probes,
        }

    def convergence(self) -> Convergence:
        """Describe convergence, and the meaning of a singular fit: ``print(m.convergence())``.

        Returns
        -------
        Convergence
            Its ``str()`` is the text.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.convergence().converged, m.convergence().singular
        (True, ())
        """
        return convergence(self._fit)

    def _why_not_converged(self, found: Optimum) -> str:
        """Explain in a sentence why the search did not converge, and what to do."""
        fit = self._fit
        if found.message == NO_RESIDUALS:
            return (
                "the residual variance runs to zero: fixed and random effects together reproduce "
                "the response, so there is no finite estimate. Simplify the model."
            )
        if fit.resolution > CERTIFICATE_TOLERANCE:
            remedy = (
                " Fit the rows with mf.lmer (in memory, from files or from an engine): it reads "
                "them again and then has enough digits."
            )
            return (
                "the random effects are so much larger than the residuals, or one value of a "
                "covariate so much larger than all others, that sums of 16 digits determine the "
                f"deviance only to {fit.resolution:.1g}. Coefficients and large variances are "
                "accurate; small variances are approximate." + (remedy if fit.needs_rows else "")
            )
        if fit.out_of_digits:
            return (
                "the residuals are so small compared with the random effects (a standard deviation "
                f"{np.abs(fit.theta).max():.0e} times theirs) that sums of 16 digits do not "
                "determine the optimum. Coefficients and large variances are accurate; small "
                "variances are approximate."
            )
        still = max(found.decrement, found.boundary_decrement)
        return (
            f"the deviance could still fall by about {still:.2g}. The estimates may be inaccurate: "
            "try other starting values (start=), rescale covariates or simplify the random part."
        )

    def _warn(self) -> None:
        """Warn of a search without convergence and of a singular fit; called once per fit."""
        best = self._fit.optimum
        if best is not None and not best.converged:
            warn(f"{best.message}: {self._why_not_converged(best)}", ConvergenceWarning)
        error = self._fit.monte_carlo()
        if error is not None and not error.meets_target:
            warn(
                f"the Monte-Carlo error of theta is {error.largest:.1e} of its standard error "
                f"after {error.probes} probes, more than {TARGET:.0e}; the deviance is expected to "
                f"be {error.loss:.1e} above its minimum. Where memory allows, engine='block' or "
                "engine='cholmod' has no such error.",
                ConvergenceWarning,
            )
        if self.not_identified:
            warn(
                f"{'; '.join(self.not_identified)}. The estimates of these variances are one of "
                "many that fit equally well, and standard errors and tests that depend on them are "
                "NaN. Leave out a random term or a fixed effect.",
                ConvergenceWarning,
            )
        if self.is_singular:
            terms, groups = self._fit.covariance.terms, self._fit.cp.groups
            bad = sorted(
                {
                    groups[t.group].name
                    for t, s in zip(terms, self._fit.singular_terms, strict=True)
                    if s
                }
            )
            warn(
                "singular fit: the estimated covariance of the random effects of "
                f"{', '.join(bad)} has a zero variance or a correlation of one. The fit is valid; "
                "a simpler random part would fit equally well.",
                SingularFitWarning,
            )
