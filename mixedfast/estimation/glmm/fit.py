"""`GLMMFit`: the frozen optimum of a generalized linear mixed model, and the search for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._progress import Show, bar
from mixedfast._stored import stored
from mixedfast.covariance.relative import SINGULAR_TOLERANCE, Covariance
from mixedfast.crossprod.collinearity import independent_columns, well_conditioned
from mixedfast.crossprod.subset import keep_columns
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design
from mixedfast.engines.choose import choose
from mixedfast.engines.interface import Engine
from mixedfast.engines.threads import is_small, on_one_blas_thread_unless
from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.fit import canonical, internal_theta
from mixedfast.estimation.glmm.families import Family
from mixedfast.estimation.glmm.laplace import GLMMSystem
from mixedfast.estimation.glmm.quadrature import QuadratureSystem
from mixedfast.estimation.glmm.quasi_newton import QuasiNewtonModel, hessian_by_differences
from mixedfast.estimation.glmm.responses import Response
from mixedfast.estimation.glmm.rows import rows_of
from mixedfast.estimation.glmm.start import first_point
from mixedfast.estimation.newton import Optimum, minimize
from mixedfast.estimation.small_search import CRITERION_TOLERANCE, ZERO_TOLERANCE
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE, is_no_higher, newton_step

__all__ = ["CURVATURES", "GLMMFit", "among_all_columns", "fit_glmm", "structure_of", "system_of"]

CURVATURES = ("expected", "observed")
#: The search by BFGS ends with the step after a predicted decrease below this, or with one that is
#: expected to leave less than `_REMAINING` (deviance units); one Newton step with the Hessian from
#: differences follows, which squares the error.
_TOLERANCE, _REMAINING = 1e-8, 1e-9
#: Predicted decrease too small for this last step.
_NO_DECREASE = 1e-12


def _check_glmm_fit(fields: Any) -> Iterator[str]:
    cp = fields.cp
    m = sum(term.structure.size for term in cp.terms)
    if len(fields.theta_internal) != m or len(fields.beta_internal) != cp.p:
        yield (
            f"a GLMMFit has {len(fields.theta_internal)} and {len(fields.beta_internal)} "
            f"parameters, and its model {m} and {cp.p}"
        )
    if len(fields.hessian) != m + cp.p + len(fields.extra):
        yield f"the Hessian of a GLMMFit is of {len(fields.hessian)} parameters"
    shapes = [(group.n_levels, group.k) for group in cp.groups]
    if [np.shape(own) for own in fields.modes_internal] != shapes or not all(
        own.dtype == np.float64 for own in fields.modes_internal
    ):
        yield "the modes of a GLMMFit are of another model"
    if [(g.n_levels, g.k) for g in fields.working.groups] != shapes or fields.working.p != cp.p:
        yield "the weighted sums of a GLMMFit are of another model"
    if fields.curvature not in CURVATURES:
        yield f"curvature of a GLMMFit is {fields.curvature!r}"


@stored(
    "GLMMFit",
    arrays={
        "theta_internal": "finite m",
        "beta_internal": "finite p",
        "extra": "finite r",
        "hessian": "real h h",
        "response_sums": "finite s",
    },
    relations=_check_glmm_fit,
)
@dataclass(frozen=True, eq=False)
class GLMMFit:
    """The optimum of a generalized linear mixed model; a `LinearFit` on the scale of the link.

    Parameters
    ----------
    cp : CrossProducts
        Of the identifiable columns of X, unweighted and without a response: names, terms, coding
        and the structure of the design.
    working : CrossProducts
        The same with the weights of the conditional modes.
    family : Family
    curvature : {"expected", "observed"}
        The weights of the log determinant.
    n_agq : int
        Nodes of the quadrature per random effect; 1 for Laplace's approximation.
    theta_internal, beta_internal : (m,) and (p,) arrays
        In the shifted and scaled basis of `cp`.
    extra : (r,) array
        Further parameters of the family.
    deviance : float
        -2 log likelihood, with all constants.
    modes_internal : tuple of (J, K) arrays
        Conditional modes b of each group, internal basis.
    hessian : (m+p+r, m+p+r) array
        Of the deviance at the estimates, internal basis.
    response_sums : (4,) array
        Sums that tell responses apart: of sizes, of y, of y squared, and the constant of the log
        likelihood.
    optimum : Optimum or None
        None when the parameters were given, not searched for.
    engine : dict
        Name and sizes of the factorization.
    """

    cp: CrossProducts
    working: CrossProducts
    family: Family
    curvature: str
    n_agq: int
    theta_internal: np.ndarray
    beta_internal: np.ndarray
    extra: np.ndarray
    deviance: float
    modes_internal: tuple[np.ndarray, ...]
    hessian: np.ndarray
    response_sums: np.ndarray
    optimum: Optimum | None
    engine: dict[str, object]
    engine_wanted: str = "auto"
    _memo: dict[str, Any] = field(default_factory=dict, repr=False)

    #: A generalized linear model has no residual variance of its own.
    sigma = 1.0
    reml = False

    def memo(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, computed once per fit."""
        if name not in self._memo:
            self._memo[name] = make()
        return self._memo[name]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memo": {}}

    @property
    def covariance(self) -> Covariance:
        return self.cp.covariance

    @property
    def lambdas(self) -> list[np.ndarray]:
        """Relative covariance factor of each group, internal basis, (K,K)."""
        return self.covariance.lambdas(self.theta_internal)

    @property
    def _factored(self) -> tuple[Engine, np.ndarray]:
        """An engine with M factored at the weights of the modes, and X'V0^-1 X."""

        def make() -> tuple[Engine, np.ndarray]:
            engine = choose(self.working, self.engine_wanted)
            found = engine.factor(self.lambdas)
            if found is None:
                raise NotIdentifiedError(
                    "the matrix of the random effects is not positive definite"
                )
            return engine, found[1][:-1, :-1]

        return self.memo("factored", make)

    @property
    def solved(self) -> Engine:
        """An engine with M factored at the weights of the modes, to read from."""
        return self._factored[0]

    @property
    def nu(self) -> int:
        """Rows less coefficients."""
        return self.cp.n - self.cp.p

    @cached_property
    def theta(self) -> np.ndarray:
        return self.covariance.to_user(self.theta_internal)

    @cached_property
    def beta(self) -> np.ndarray:
        return self.cp.scaling.to_user_beta(self.beta_internal)

    @cached_property
    def is_free(self) -> np.ndarray:
        """Whether each parameter (theta, beta, extra) is inside its range, (m+p+r,) bool."""
        return _is_free(self.covariance, self.theta_internal, self.cp.p + len(self.extra))

    @cached_property
    def joint_vcov(self) -> np.ndarray:
        """Covariance 2 H^-1 of all parameters, internal basis; zero for those on the boundary.

        NaN where the Hessian of the others is not positive definite.
        """
        out = np.zeros_like(self.hessian)
        free = np.flatnonzero(self.is_free)
        inside = np.ix_(free, free)
        H = self.hessian[inside]
        if np.isfinite(H).all() and (not len(H) or np.linalg.eigvalsh(_scaled(H))[0] > 0.0):
            out[inside] = 2.0 * np.linalg.inv(H)
        else:
            out[inside] = np.nan
        return out

    @property
    def has_curvature(self) -> bool:
        """Whether the Hessian is positive definite, so that there are standard errors."""
        return not bool(np.isnan(self.joint_vcov).any())

    @cached_property
    def vcov_internal(self) -> np.ndarray:
        """Covariance of `beta_internal`, (p,p), with the uncertainty of theta."""
        m, p = len(self.theta_internal), self.cp.p
        return self.joint_vcov[m : m + p, m : m + p]

    @cached_property
    def vcov(self) -> np.ndarray:
        """Covariance of beta, (p,p), with the uncertainty of theta."""
        T = self.cp.scaling.beta_transform()
        return T @ self.vcov_internal @ T.T

    @cached_property
    def vcov_given_theta(self) -> np.ndarray:
        """Covariance of beta if theta were known, (p,p): (X'V0^-1 X)^-1 at the modes."""
        T = self.cp.scaling.beta_transform()
        return T @ np.linalg.inv(self._factored[1]) @ T.T

    @cached_property
    def whitening(self) -> np.ndarray:
        """W (p,p) with ``|x W|^2 = x' V x`` for a row x of the scaled columns."""
        if not self.has_curvature:
            return np.full((self.cp.p, self.cp.p), np.nan)
        return np.linalg.cholesky(self.vcov_internal)

    @cached_property
    def relative(self) -> list[np.ndarray]:
        """Sigma of each term in the user's basis, (k,k)."""
        lambdas = self.covariance.lambdas(self.theta)
        blocks = [self.covariance.term_block(term, lambdas) for term in self.covariance.terms]
        return [block @ block.T for block in blocks]

    @cached_property
    def modes(self) -> list[np.ndarray]:
        """Conditional modes b of each group, (J,K), in the basis of the data."""
        return [
            own @ np.linalg.inv(T).T
            for own, T in zip(self.modes_internal, self.covariance.transforms, strict=True)
        ]

    @cached_property
    def posterior(self) -> list[np.ndarray]:
        """Var(b | y, theta, beta) of each group, (J,K,K): Lambda M^-1 Lambda' at the modes."""
        back = [np.linalg.inv(T) for T in self.covariance.transforms]
        blocks = self.solved.posterior_blocks()
        return [left @ Q @ left.T for Q, left in zip(blocks, back, strict=True)]

    @property
    def singular_terms(self) -> tuple[bool, ...]:
        return self.covariance.singular_terms(self.theta_internal)


def _is_free(covariance: Covariance, theta: np.ndarray, more: int) -> np.ndarray:
    """Return whether each parameter is inside its range, with `more` that have no bounds.

    Elements of a column of lambda whose diagonal is zero are on the boundary if they are zero.
    """
    held = []
    for block in covariance.lambdas(theta):
        small = np.abs(block) < SINGULAR_TOLERANCE
        held.append((small & np.diag(small)[None, :]).astype(float))
    return np.concatenate([covariance.elements_of(held) == 0.0, np.ones(more, dtype=bool)])


def _scaled(H: np.ndarray) -> np.ndarray:
    """Scale a Hessian to a unit diagonal, as far as that is positive."""
    size = np.sqrt(np.maximum(np.diag(H), np.finfo(float).tiny))
    return H / np.outer(size, size)


# -- the search ------------------------------------------------------------------------------------


def structure_of(design: Design, threads: int | None = None) -> CrossProducts:
    """Sum the unweighted cross-products of a design without its response.

    They have the names and the structure of the model, and the scaling of its columns.

    Parameters
    ----------
    design : Design
    threads : int, optional
    """
    bare = replace(design, y=np.zeros(design.n), weights=None, offset=None)
    cp = well_conditioned(bare, threads)
    cp = keep_columns(cp, independent_columns(cp))
    return replace(cp, meta=replace(cp.meta, weighted=design.weights is not None))


def among_all_columns(fit: GLMMFit, kept: tuple[int, ...]) -> GLMMFit:
    """Count the columns of X of a fit without intercept among all columns again.

    Parameters
    ----------
    fit : GLMMFit
    kept : tuple of int
        The columns that the design of the fit had.
    """

    def numbered(cp: CrossProducts) -> CrossProducts:
        alias = cp.alias
        if alias is not None:
            alias = np.zeros((cp.p, len(cp.meta.x_names)))
            alias[:, list(kept)] = cp.alias
        assert cp.meta.recipe is not None  # the sums of a design have its recipe
        recipe = replace(cp.meta.recipe, kept=tuple(range(len(cp.meta.x_names))))
        return replace(
            cp,
            kept=np.asarray(kept, dtype=cp.kept.dtype)[cp.kept],
            alias=alias,
            meta=replace(cp.meta, recipe=recipe),
        )

    return replace(fit, cp=numbered(fit.cp), working=numbered(fit.working))


def system_of(
    cp: CrossProducts,
    design: Design,
    response: Response,
    family: Family,
    curvature: str = "expected",
    engine: str = "auto",
    n_agq: int = 1,
) -> GLMMSystem:
    """Make the workspace of a fit.

    Parameters
    ----------
    cp : CrossProducts
        From `structure_of`.
    design : Design
    response : Response
    family : Family
    curvature : {"expected", "observed"}
    engine : {"auto", "block", "cholmod"}
    n_agq : int
        Nodes of the quadrature; 1 for Laplace's approximation.
    """
    rows, chosen = rows_of(design, response, cp), choose(cp, engine)
    if n_agq > 1:
        return QuadratureSystem(rows, response, family, chosen, curvature, n_agq)
    return GLMMSystem(rows, response, family, chosen, curvature)


@on_one_blas_thread_unless(lambda cp, *_, **__: is_small(cp))
def fit_glmm(
    cp: CrossProducts,
    design: Design,
    response: Response,
    family: Family,
    curvature: str = "expected",
    start: np.ndarray | None = None,
    engine: str = "auto",
    progress: Show = False,
    n_agq: int = 1,
) -> GLMMFit:
    """Fit a generalized linear mixed model by Laplace's approximation, or by quadrature.

    Parameters
    ----------
    cp : CrossProducts
        From `structure_of`.
    design : Design
    response : Response
    family : Family
    curvature : {"expected", "observed"}
    start : (m,) array, optional
        theta to start from, in the user's basis.
    engine : {"auto", "block", "cholmod"}
    progress : {"auto", True, False}
        Show a bar that counts evaluations.
    n_agq : int
        Nodes of the quadrature; 1 for Laplace's approximation.

    Returns
    -------
    GLMMFit

    Raises
    ------
    NotIdentifiedError
        When the deviance is not defined at any start.
    """
    system = system_of(cp, design, response, family, curvature, engine, n_agq)
    first = first_point(family, system.rows)
    if start is not None:
        first[: system.n_theta] = internal_theta(cp, start, "start")
    with bar(None, "fitting", progress, " evaluations") as system.on_evaluation:
        optimum = _search(system, first)
        optimum = _search_from_identity(system, optimum)
        x = _settle(system, optimum)
        H = hessian_by_differences(system, x, system.first_hessian())
        x, optimum = _polish(system, replace(optimum, theta=x), H)
    system.on_evaluation = None
    return _frozen(system, x, H, optimum, engine)


def _search(system: GLMMSystem, first: np.ndarray) -> Optimum:
    return minimize(system, first, QuasiNewtonModel(), tolerance=_TOLERANCE, remaining=_REMAINING)


def _search_from_identity(system: GLMMSystem, found: Optimum) -> Optimum:
    """Search again from lambda = I after an optimum on the boundary; return the better one.

    There may be another optimum inside, as for linear mixed models.
    """
    m = system.n_theta
    if not any(system.covariance.singular_terms(found.theta[:m])):
        return found
    start = np.concatenate([system.covariance.identity, found.theta[m:]])
    other = _search(system, start)
    return other if other.deviance < found.deviance - CRITERION_TOLERANCE else found


def _settle(system: GLMMSystem, optimum: Optimum) -> np.ndarray:
    """Make theta canonical and set its elements that are zero but for rounding to zero.

    The system is left evaluated there.
    """
    m = system.n_theta
    theta, rest = canonical(system.covariance, optimum.theta[:m]), optimum.theta[m:]
    flat = np.concatenate([np.where(np.abs(theta) < ZERO_TOLERANCE, 0.0, theta), rest])
    if is_no_higher(system.value(flat), optimum.deviance):
        return flat
    x = np.concatenate([theta, rest])
    system.value(x)
    return x


def _polish(system: GLMMSystem, optimum: Optimum, H: np.ndarray) -> tuple[np.ndarray, Optimum]:
    """Take a Newton step with the Hessian from differences, and evaluate the certificate.

    Parameters on the boundary stay there.
    """
    x = optimum.theta
    free = _is_free(system.covariance, x[: system.n_theta], len(x) - system.n_theta)
    inside = np.ix_(free, free)
    step = np.zeros_like(x)
    value, gradient = system.deviance, system.full_gradient()
    step[free], decrease = newton_step(gradient[free], H[inside])
    if np.isfinite(H).all() and decrease > _NO_DECREASE:
        moved = system.value(x + step)
        if is_no_higher(moved, value):
            x, value = x + step, moved
        else:
            system.value(x)
        gradient = system.full_gradient()
        decrease = newton_step(gradient[free], H[inside])[1]
    escape = system.escape().decrease
    return x, replace(
        optimum,
        theta=x,
        deviance=value,
        gradient=gradient,
        hessian=H,
        decrement=float(decrease),
        boundary_decrement=float(escape),
        foreseen=False,
        converged=bool(max(decrease, escape) < CERTIFICATE_TOLERANCE),
        evaluations=system.evaluations,
        rejected=system.rejected,
        kind="differences",
    )


def _frozen(
    system: GLMMSystem, x: np.ndarray, H: np.ndarray, optimum: Optimum | None, engine: str
) -> GLMMFit:
    """Freeze a system evaluated at x."""
    m, p, data = system.n_theta, system.cp.p, system.response
    weights = system.weights(system.curvature)
    return GLMMFit(
        cp=system.cp,
        working=system.rows.products(weights, np.zeros(len(weights))),
        family=system.family,
        curvature=system.curvature,
        n_agq=system.n_agq,
        theta_internal=x[:m],
        beta_internal=x[m : m + p],
        extra=x[m + p :],
        deviance=system.deviance,
        modes_internal=tuple(system.modes.b),
        hessian=H,
        response_sums=np.array(
            [data.size.sum(), data.y.sum(), data.y @ data.y, data.constant], dtype=float
        ),
        optimum=optimum,
        engine=system.engine.describe(),
        engine_wanted=engine,
    )
