"""`Fit`: the frozen optimum of a linear mixed model, and the searches that lead to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._progress import Show, bar
from mixedfast._stored import stored
from mixedfast.covariance.relative import Covariance
from mixedfast.crossprod.collinearity import independent_columns
from mixedfast.crossprod.identifiability import check_fixed_part
from mixedfast.crossprod.residual_products import ResidualProducts
from mixedfast.crossprod.subset import keep_columns
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.choose import choose
from mixedfast.engines.interface import Engine
from mixedfast.engines.krylov.engine import KrylovEngine
from mixedfast.engines.threads import is_small, on_one_blas_thread_unless
from mixedfast.errors import DataError, NotIdentifiedError
from mixedfast.estimation.local_model import NeighbourModel, choose_model
from mixedfast.estimation.monte_carlo import MonteCarlo, ProbedSearch, monte_carlo
from mixedfast.estimation.newton import (
    COSTLY_TOLERANCE,
    NEIGHBOUR_TOLERANCE,
    REMAINING_TOLERANCE,
    Optimum,
)
from mixedfast.estimation.pls import PLSSystem, Solution, total
from mixedfast.estimation.several_optima import best_optimum, may_have_several_optima
from mixedfast.estimation.small_search import (
    ZERO_TOLERANCE,
    EngineSearch,
    Search,
    SmallSearch,
    small_system,
)
from mixedfast.estimation.starting_values import first_theta
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE, newton_step

__all__ = [
    "Fit",
    "canonical",
    "fit_crossproducts",
    "internal_theta",
    "settle",
    "solve_at",
    "unproven",
]

#: Operations up to which the exact Hessian of crossed models is computed, some twenty seconds of
#: dense work. The 1,128 lecturers of InstEval take 9e9.
EXACT_OPERATIONS = 2e11
#: Largest theta that may be given; beyond, its products with scales of columns overflow.
LARGEST_THETA = 1e100
#: Largest theta in the basis of scaled columns that a saved file may hold. The square of its
#: product with a scale must not overflow.
LARGEST_INTERNAL = 1e120
#: Rows are read once more where rounding in their sums may move the criterion by this much
#: (deviance units) ...
RESOLUTION = 1e-7
#: ... and the residual share of y'y is below this: only large tables meet the first condition
#: without the second, and errors of many rows cancel.
SMALL_SHARE = 1e-5
#: Error of sums over rows, and of eliminating one factor from another, in units in the last place
#: of the subtracted numbers.
ELIMINATION = 16.0
#: Message of a fit that is not called converged because rounding is larger than the certificate.
ROUNDING = "rounding hides the optimum"


@dataclass(frozen=True, eq=False)
class Curvature:
    """The certificate of a fit, evaluated at the estimates.

    In theta (internal basis): gradient (m,), Hessian (m,m) or, where not ``exact``, average
    information. In units of the deviance: the decrease that a quadratic model predicts,
    ``decrement``, and the decrease from leaving the boundary or changing the scale of a term.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    exact: bool
    decrement: float
    boundary_decrement: float


def _check_fit(fields: Any) -> Iterator[str]:
    m = sum(term.structure.size for term in fields.cp.terms)
    if len(fields.theta_internal) != m or (
        fields.optimum is not None and len(fields.optimum.theta) != m
    ):
        yield f"theta of a Fit has {len(fields.theta_internal)} numbers, and its model {m}"
    if bool((np.abs(fields.theta_internal) > LARGEST_INTERNAL).any()):
        yield f"theta of a Fit is more than {LARGEST_INTERNAL:g}"
    if len(fields.solution.beta) != fields.cp.p:
        yield f"a Fit has {len(fields.solution.beta)} coefficients, and its model {fields.cp.p}"
    left = fields.remainder
    if left is not None and [part.shape for part in left.delta] != [
        group.B.shape for group in fields.cp.groups
    ]:
        yield "the remainder of a Fit is of another model"


@stored("Fit", arrays={"theta_internal": "finite m"}, relations=_check_fit)
@dataclass(frozen=True, eq=False)
class Fit:
    """The optimum of a linear mixed model (or the model at a given theta).

    Parameters
    ----------
    cp : CrossProducts
        Of the identifiable columns of X.
    reml : bool
    theta_internal : (m,) array
        theta in the shifted and scaled basis of `cp`.
    solution : Solution
    optimum : Optimum or None
        None when theta was given, not searched for.
    engine : dict
        Name and sizes of the factorization.
    remainder : ResidualProducts or None
        Products of residuals near the optimum, where sums over the rows have too few digits.
    """

    cp: CrossProducts
    reml: bool
    theta_internal: np.ndarray
    solution: Solution
    optimum: Optimum | None
    engine: dict[str, object]
    engine_wanted: str = "auto"
    remainder: ResidualProducts | None = None
    _memo: dict[str, Any] = field(default_factory=dict, repr=False)

    def memo(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, computed once per fit."""
        if name not in self._memo:
            self._memo[name] = make()
        return self._memo[name]

    @property
    def system(self) -> PLSSystem:
        """The system solved at the optimum, to read from.

        Searches have their own (`new_system`).
        """

        def solved() -> PLSSystem:
            system = self.new_system()
            system.solve_again(self.theta_internal)
            return system

        return self.memo("system", solved)

    def new_system(self, reml: bool | None = None, cp: CrossProducts | None = None) -> PLSSystem:
        """Make a private workspace for these cross-products, or for others of the same shape."""
        data = self.cp if cp is None else cp
        own = self.remainder if cp is None else None
        engine = choose(data, self.engine_wanted)
        if isinstance(engine, KrylovEngine):
            engine.use(*(int(str(self.engine[name])) for name in ("probes", "directions")))
        return PLSSystem(data, engine, self.reml if reml is None else reml, own)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memo": {}}

    @property
    def covariance(self) -> Covariance:
        return self.cp.covariance

    def curvature(self) -> Curvature:
        """Evaluate the certificate at the estimates, once per fit.

        The Hessian is exact where that takes seconds at most.
        """

        def make() -> Curvature:
            system, exact = self.system, _can_be_exact(self.system)
            gradient, hessian = system.derivatives(exact)
            return Curvature(
                gradient,
                hessian,
                exact,
                newton_step(gradient, hessian)[1],
                system.escape().decrease,
            )

        return self.memo("curvature", make)

    def monte_carlo(self) -> MonteCarlo | None:
        """Estimate the Monte-Carlo error of theta, once per fit; None where there is none."""
        if self.engine["engine"] != KrylovEngine.name:
            return None
        return self.memo("monte_carlo", lambda: monte_carlo(self.system))

    @property
    def nu(self) -> int:
        """Divisor of the residual sum of squares: n - p (REML) or n (ML)."""
        return self.cp.n - self.cp.p if self.reml else self.cp.n

    @property
    def share(self) -> float:
        """Residual sum of squares as a share of what it was computed from.

        The sums of squares of y and of X beta.
        """
        squares, beta = self._squares
        return float(self.solution.r2 / (squares[-1] + squares[:-1] @ beta**2))

    @property
    def _squares(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squares (p+1,) that residuals are differences of, and coefficients (p,).

        Of the columns of X and of y.
        """
        if self.remainder is None:
            return np.diag(self.cp.xy), self.solution.beta
        return np.diag(self.remainder.ww), self.solution.beta - self.remainder.gamma

    @property
    def hidden_x(self) -> float:
        """Factor by which rounding of the sums of squares of X grows in log|X'V0^-1X|.

        0 under ML, which does not use that. Random effects may make up nearly all of a column, as
        where one value is 99999999; the rest determines its coefficient.
        """
        return float(self._squares[0][:-1] @ (self.whitening**2).sum(axis=1)) if self.reml else 0.0

    @property
    def needs_rows(self) -> bool:
        """Whether sums have too few digits for the residuals of y or of X.

        The rows have them, when they are read once more.
        """
        eps = ELIMINATION * float(np.finfo(float).eps)
        return eps * self.hidden_x >= RESOLUTION or (
            self.share <= SMALL_SHARE and eps * self.nu >= RESOLUTION * self.share
        )

    @property
    def resolution(self) -> float:
        """Error of the criterion from rounding (deviance units).

        r^2 and X'V0^-1X are differences of sums with 16 digits, whose errors cancel where they are
        many. So are the pivots of M, where the effects of one factor compensate those of another,
        or one effect of a level another: 1 / (M^-1)_ii remains of an element M_ii. There a few
        errors of elimination add up.
        """

        def make() -> float:
            eps, hidden = np.finfo(float).eps, self._pivots
            if ELIMINATION * hidden > RESOLUTION / eps:  # a bound; compute the sum itself
                hidden = self._lost_pivots()
            return float(eps * ELIMINATION * (self.nu / self.share + hidden + self.hidden_x))

        return self.memo("resolution", make)

    @property
    def _pivots(self) -> float:
        """Sum of the diagonal elements of M.

        Elimination of one factor from another subtracts from them; the pivots remain.
        """
        H = [lam @ lam.T for lam in self.covariance.lambdas(self.theta_internal)]
        return sum(
            float(np.sum(total(group.A) * h)) for group, h in zip(self.cp.groups, H, strict=True)
        )

    def _lost_pivots(self) -> float:
        """Sum M_ii (M^-1)_ii over random effects.

        With several factors, over the part that each takes from the others.
        """
        if len(self.cp.groups) > 1:
            Q = self.system.engine.posterior_blocks()
            return sum(
                float(np.sum(group.A * part)) for group, part in zip(self.cp.groups, Q, strict=True)
            )
        (lam,) = self.covariance.lambdas(self.theta_internal)
        M = lam.T @ self.cp.groups[0].A @ lam + np.eye(len(lam))
        return float(np.einsum("jaa,jaa->", M, np.linalg.inv(M)))

    @property
    def out_of_digits(self) -> bool:
        """Whether cancellation may exceed the certificate.

        Random effects are then very large relative to the residuals, here or at an earlier point of
        the search.
        """
        several = self.remainder is not None and len(self.cp.groups) > 1
        return (
            several
            and float(np.finfo(float).eps) * ELIMINATION * self._pivots > CERTIFICATE_TOLERANCE
        )

    @cached_property
    def theta(self) -> np.ndarray:
        return self.covariance.to_user(self.theta_internal)

    @cached_property
    def beta(self) -> np.ndarray:
        return self.cp.scaling.to_user_beta(self.solution.beta)

    @property
    def sigma(self) -> float:
        return math.sqrt(self.solution.r2 / self.nu) / float(self.cp.scale[-1])

    @cached_property
    def vcov(self) -> np.ndarray:
        """Covariance of beta, (p,p): sigma^2 (X'V0^-1 X)^-1."""
        half = self.cp.scaling.beta_transform() @ np.linalg.inv(self.solution.LX).T * self.sigma
        return half @ half.T

    @property
    def beta_internal(self) -> np.ndarray:
        """Coefficients of the shifted and scaled columns of X, in units of the response, (p,)."""
        return self.solution.beta / self.cp.scale[-1]

    @property
    def whitening(self) -> np.ndarray:
        """W = L_X^-T, (p,p): ``|x W|^2 = x' Phi x`` for a row x of the scaled columns."""
        return np.linalg.inv(self.solution.LX).T

    @property
    def deviance(self) -> float:
        return self.solution.deviance

    @cached_property
    def relative(self) -> list[np.ndarray]:
        """H of each term in the user's basis, (k,k): Sigma = sigma^2 H."""
        lambdas = self.covariance.lambdas(self.theta)
        blocks = [self.covariance.term_block(term, lambdas) for term in self.covariance.terms]
        return [block @ block.T for block in blocks]

    @cached_property
    def _back(self) -> list[np.ndarray]:
        """T^-1 of each group: b_user = T^-1 b_internal."""
        return [np.linalg.inv(T) for T in self.covariance.transforms]

    @cached_property
    def modes(self) -> list[np.ndarray]:
        """Conditional modes b of each group, (J,K), in the basis and units of the data.

        b = H Z'V0^-1 (y - X beta)
        """
        lambdas = self.covariance.lambdas(self.theta_internal)
        return [
            v @ (block @ block.T) @ back.T / self.cp.scale[-1]
            for v, block, back in zip(self.system.v, lambdas, self._back, strict=True)
        ]

    @cached_property
    def posterior(self) -> list[np.ndarray]:
        """Var(b | y, beta) of each group, (J,K,K)."""
        return [
            self.sigma**2 * (back @ Q @ back.T)
            for Q, back in zip(self.system.engine.posterior_blocks(), self._back, strict=True)
        ]

    @property
    def singular_terms(self) -> tuple[bool, ...]:
        return self.covariance.singular_terms(self.theta_internal)


# engines do the same; once around the search costs less
@on_one_blas_thread_unless(lambda cp, *_, **__: is_small(cp))
def fit_crossproducts(
    cp: CrossProducts,
    reml: bool = True,
    start: np.ndarray | None = None,
    engine: str = "auto",
    progress: Show = False,
    remainder: ResidualProducts | None = None,
    neighbour: NeighbourModel | None = None,
) -> Fit:
    """Fit a model from its cross-products.

    Parameters
    ----------
    cp : CrossProducts
    reml : bool
    start : (m,) array, optional
        theta to start from, in the user's basis.
    engine : {"auto", "block", "cholmod", "krylov"}
    progress : {"auto", True, False}
        Show a bar that counts evaluations.
    remainder : ResidualProducts, optional
        From an earlier fit of the same cross-products.
    neighbour : NeighbourModel, optional
        Of a fit of nearly the same rows, whose theta is the start.

    Returns
    -------
    Fit

    Raises
    ------
    NotIdentifiedError
        When the columns of X reproduce y, or there are more of them than rows.
    """
    if not isinstance(reml, (bool, np.bool_)):
        raise DataError(
            f"REML={reml!r}: True for restricted maximum likelihood, False for maximum likelihood"
        )
    cp = keep_columns(cp, independent_columns(cp))
    check_fixed_part(cp)
    chosen = choose(cp, engine)
    first = first_theta(cp, reml) if start is None else internal_theta(cp, start, "start")
    several = neighbour is None and may_have_several_optima(cp)
    fit = None
    if engine == "auto" and remainder is None and neighbour is None:
        fit = _small_fit(cp, reml, first, several, chosen, progress)
    if fit is None:
        fit = _engine_fit(cp, reml, first, several, chosen, engine, progress, remainder, neighbour)
    return (
        unproven(fit, ROUNDING)
        if fit.optimum is not None
        and fit.optimum.converged
        and fit.resolution > CERTIFICATE_TOLERANCE
        else fit
    )


def _small_fit(
    cp: CrossProducts,
    reml: bool,
    first: np.ndarray,
    several: bool,
    engine: Engine,
    progress: Show,
) -> Fit | None:
    """Fit a small model by compiled code.

    None for a model that is not small, and where sums have few digits left or the search did not
    converge: an engine can read rows again, and has other derivatives.
    """
    small = small_system(cp, reml)
    if small is None:
        return None
    search = SmallSearch(cp, reml, small, REMAINING_TOLERANCE)
    has_digits = partial(_has_digits, search, None)
    with bar(None, "fitting", progress, " evaluations") as advance:
        optimum = best_optimum(search, search.minimize(first, True), several, has_digits)
        advance(optimum.evaluations)
    theta = settle(search, canonical(cp.covariance, optimum.theta), optimum.deviance)
    optimum = replace(optimum, theta=theta)
    fit = Fit(cp, reml, theta, search.solution, optimum, engine.describe())
    lost = float(np.finfo(float).eps) * ELIMINATION * fit._pivots
    return fit if optimum.converged and lost < RESOLUTION and not fit.needs_rows else None


def _engine_fit(
    cp: CrossProducts,
    reml: bool,
    first: np.ndarray,
    several: bool,
    engine: Engine,
    wanted: str,
    progress: Show,
    remainder: ResidualProducts | None,
    neighbour: NeighbourModel | None,
) -> Fit:
    """Fit a model by searches on an engine."""
    system = PLSSystem(cp, engine, reml, remainder)
    probed = isinstance(engine, KrylovEngine)
    search = (ProbedSearch if probed else EngineSearch)(system, _remaining(engine, neighbour))
    with bar(None, "fitting", progress, " evaluations") as system.on_evaluation:
        model = neighbour or choose_model(system, exact=len(cp.groups) == 1)
        has_digits = partial(_has_digits, search, remainder)
        optimum = search.by_model(first, model)
        if not probed:
            optimum = best_optimum(search, optimum, several, has_digits)
        if not optimum.converged and not optimum.exact_hessian and _can_be_exact(system):
            optimum = optimum.then(search.exactly(optimum.theta))
        theta = settle(search, canonical(cp.covariance, optimum.theta), optimum.deviance)
    system.on_evaluation = None
    optimum = replace(optimum, theta=theta)
    fit = Fit(cp, reml, theta, system.solution, optimum, engine.describe(), wanted, remainder)
    fit.memo("system", lambda: system)
    return fit


def unproven(fit: Fit, message: str) -> Fit:
    """Return the same fit, not called converged."""
    if fit.optimum is None:
        return fit
    return replace(fit, optimum=replace(fit.optimum, converged=False, message=message))


def _can_be_exact(system: PLSSystem) -> bool:
    """Return whether the traces of the exact Hessian take seconds at most."""
    return len(system.cp.groups) == 1 or system.traces.trace_operations() <= EXACT_OPERATIONS


def _has_digits(search: Search, remainder: ResidualProducts | None, found: Optimum) -> bool:
    """Return whether rounding leaves the criterion enough digits where a search ended."""
    there = Fit(
        search.cp, search.reml, found.theta, search.solution, found, {}, remainder=remainder
    )
    return there.resolution < RESOLUTION


def _remaining(engine: Engine, neighbour: NeighbourModel | None) -> float:
    """Return the decrease that a search may leave."""
    if neighbour is not None:
        return NEIGHBOUR_TOLERANCE
    return COSTLY_TOLERANCE if engine.is_costly else REMAINING_TOLERANCE


def settle(system: PLSSystem | Search, theta: np.ndarray, deviance: float) -> np.ndarray:
    """Set elements of theta that are zero but for rounding to zero.

    The system is left solved there.
    """
    flat = np.where(np.abs(theta) < ZERO_TOLERANCE, 0.0, theta)
    if np.array_equal(flat, system.theta):
        return flat
    solution = system.solve(flat)
    if solution is not None and solution.deviance <= deviance + 1e-12 * abs(deviance):
        return flat
    system.solve_again(theta)
    return theta


def internal_theta(cp: CrossProducts, theta: np.ndarray, name: str) -> np.ndarray:
    """Check a theta in the basis of the user and transform it to the internal one."""
    values = np.asarray(theta)
    size = cp.covariance.n_theta
    if values.shape != (size,) or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError(
            f"{name} must be {size} finite numbers for these random terms, not {values.tolist()}"
        )
    if (np.abs(values) > LARGEST_THETA).any():
        raise DataError(
            f"{name} holds a standard deviation more than {LARGEST_THETA:g} times sigma: "
            f"{values.tolist()}"
        )
    return cp.covariance.to_internal(values)


def canonical(cov: Covariance, theta: np.ndarray) -> np.ndarray:
    """Return theta of the same covariances without negative diagonal elements of lambda."""
    lambdas = cov.lambdas(theta)
    for block in lambdas:
        block *= np.where(np.diag(block) < 0, -1.0, 1.0)
    return cov.theta_of(lambdas)


def solve_at(cp: CrossProducts, theta: np.ndarray, reml: bool = True, engine: str = "auto") -> Fit:
    """Fit a model at a given theta (in the basis of the user), without a search.

    Raises
    ------
    NotIdentifiedError
        When the system is not positive definite there.
    """
    cp = keep_columns(cp, independent_columns(cp))
    system = PLSSystem(cp, choose(cp, engine), reml)
    internal = internal_theta(cp, theta, "theta")
    solution = system.solve(internal)
    if solution is None:
        raise NotIdentifiedError(
            f"the model is not positive definite at theta = {np.asarray(theta).tolist()}"
        )
    fit = Fit(cp, reml, internal, solution, None, system.engine.describe(), engine)
    fit.memo("system", lambda: system)
    return fit
