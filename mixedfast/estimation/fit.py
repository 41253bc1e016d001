"""`Fit`: what the optimum is, frozen, in the units of the user's data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._progress import Show, bar
from mixedfast._stored import stored
from mixedfast.covariance.relative import Covariance, lower_root
from mixedfast.crossprod.collinearity import independent_columns
from mixedfast.crossprod.identifiability import check_fixed_part
from mixedfast.crossprod.residual_products import ResidualProducts
from mixedfast.crossprod.subset import keep_columns
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines import choose
from mixedfast.engines.threads import on_one_blas_thread
from mixedfast.errors import DataError, NotIdentifiedError
from mixedfast.estimation.local_model import Neighbour
from mixedfast.estimation.newton import (
    CERTIFICATE_TOLERANCE,
    DEAR_TOLERANCE,
    FORESEEN_TOLERANCE,
    ITERATION_LIMIT,
    NEIGHBOUR_TOLERANCE,
    Optimum,
    boundary_decrement,
    minimize,
    newton_step,
)
from mixedfast.estimation.pls import PLSSystem, Solution, total
from mixedfast.estimation.starting_values import evenness, first_theta

if TYPE_CHECKING:
    pass

__all__ = ["Fit", "fit_crossproducts", "settle", "solve_at", "unproven"]

#: An element of theta (columns of Z of order one) below this is set to zero when the deviance does not notice. lme4 looks
#: as near to its bounds.
ZERO_TOLERANCE = 1e-5
#: The exact Hessian of crossed models is made up to so many operations, some twenty seconds of dense work. InstEval's
#: 1,128 lecturers take 9e9.
EXACT_OPERATIONS = 2e11
#: A search that ran out of iterations with a standard deviation (columns of Z of order one) below this creeps towards zero.
NEAR_BOUNDARY = 0.1
#: With no more rows than this for each effect of a term with slopes, and half a fixed effect, or where a smaller share of a
#: factor's levels has nearly all rows, one model in three hundred has a lower optimum elsewhere. Such a model is searched
#: again from near zero and from far out, if it has no more random effects than this: it takes milliseconds.
FEW_ROWS, UNEVEN, FEW_EFFECTS = 2.0, 0.25, 1000
_NEAR_ZERO, _FAR_OUT = 0.03, 30.0
#: Two optima that differ by less (deviance units) are one.
CRITERION_TOLERANCE = 1e-7
#: A theta that a user gives is no larger; beyond, its products with scales of columns do not fit a double.
LARGEST_THETA = 1e100
#: Rows are read once more where rounding in their sums may move the criterion by this much (deviance units) ...
RESOLUTION = 1e-7
#: ... and less than this share of y'y is left: only large tables come to the first without the second, and errors of
#: many rows cancel.
SMALL_SHARE = 1e-5
#: Sums over rows, and eliminating one factor from another, err by up to so many units in the last place of what is taken away.
_ELIMINATION = 16.0
#: What keeps a fit from being called converged though no step lowers its criterion.
ROUNDING = "rounding hides the optimum"


@dataclass(frozen=True, eq=False)
class Curvature:
    """The certificate evaluated at a fit.

    In theta (internal basis): (m,) gradient, (m,m) Hessian or, where not ``exact``, average information. In units of the
    deviance: by how much it could fall inside, ``decrement``, and by leaving the boundary or changing the scale of a term.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    exact: bool
    decrement: float
    boundary_decrement: float


def _check_fit(fields: Any) -> Iterator[str]:
    m = sum(len(term.elements) for term in fields.cp.terms)
    if len(fields.theta_internal) != m or (
        fields.optimum is not None and len(fields.optimum.theta) != m
    ):
        yield f"theta of a Fit has {len(fields.theta_internal)} numbers, and its model {m}"
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
        What the engine says of itself.
    remainder : ResidualProducts or None
        What was left of the rows near the optimum, where sums over them have too few digits.
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
        """What `make` returns, made once a fit."""
        if name not in self._memo:
            self._memo[name] = make()
        return self._memo[name]

    @property
    def system(self) -> PLSSystem:
        """The system solved at the optimum, for reading; searches make their own (`new_system`)."""

        def solved() -> PLSSystem:
            system = self.new_system()
            system.solve(self.theta_internal)
            return system

        return self.memo("system", solved)

    def new_system(self, reml: bool | None = None, cp: CrossProducts | None = None) -> PLSSystem:
        """A private workspace on these cross-products (or others of the same shape)."""
        data = self.cp if cp is None else cp
        own = self.remainder if cp is None else None
        return PLSSystem(
            data, choose(data, self.engine_wanted), self.reml if reml is None else reml, own
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memo": {}}

    @property
    def covariance(self) -> Covariance:
        return self.cp.covariance

    def curvature(self) -> Curvature:
        """At the estimates, made once a fit; the Hessian is exact where that costs no more than Satterthwaite's df do."""

        def make() -> Curvature:
            system, exact = self.system, _can_be_exact(self.system)
            gradient, hessian = system.derivatives(exact)
            return Curvature(
                gradient,
                hessian,
                exact,
                newton_step(gradient, hessian)[1],
                boundary_decrement(system),
            )

        return self.memo("curvature", make)

    @property
    def nu(self) -> int:
        """Divisor of the residual sum of squares: n - p (REML) or n (ML)."""
        return self.cp.n - self.cp.p if self.reml else self.cp.n

    @property
    def share(self) -> float:
        """What part the residual sum of squares is of the sums of squares that it was computed from: of y and of X beta."""
        squares, beta = self._squares
        return float(self.solution.r2 / (squares[-1] + squares[:-1] @ beta**2))

    @property
    def _squares(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squares of the columns of X and of y that others are taken from, (p+1,), and the coefficients (p,) there."""
        if self.remainder is None:
            return np.diag(self.cp.xy), self.solution.beta
        return np.diag(self.remainder.ww), self.solution.beta - self.remainder.gamma

    @property
    def hidden_x(self) -> float:
        """By what the rounding of sums of squares of X is enlarged in log|X'V0^-1X|; 0 under ML, which does not ask for it.

        Effects may make nearly all of a column, as where one value is 99999999: what tells of its coefficient is the rest.
        """
        return (
            float(self._squares[0][:-1] @ (self.system.whiten**2).sum(axis=1)) if self.reml else 0.0
        )

    @property
    def needs_rows(self) -> bool:
        """Whether sums have too few digits for what is left of y or of X, and rows read once more would give them."""
        eps = _ELIMINATION * float(np.finfo(float).eps)
        return eps * self.hidden_x >= RESOLUTION or (
            self.share <= SMALL_SHARE and eps * self.nu >= RESOLUTION * self.share
        )

    @property
    def resolution(self) -> float:
        """What rounding may do to the criterion (deviance units).

        r^2 and X'V0^-1X are differences of sums with 16 digits, whose errors cancel where they are many. So are the pivots of
        M, where the effects of one factor make up for those of another, or one effect of a level for another: of an element
        M_ii, 1 / (M^-1)_ii is left. There a few errors of elimination add up.
        """

        def make() -> float:
            eps, hidden = np.finfo(float).eps, self._pivots
            if _ELIMINATION * hidden > RESOLUTION / eps:  # at most; now in truth
                hidden = self._lost_pivots()
            return float(eps * _ELIMINATION * (self.nu / self.share + hidden + self.hidden_x))

        return self.memo("resolution", make)

    @property
    def _pivots(self) -> float:
        """Sum of M's diagonal elements, of which elimination of one factor from another leaves the pivots."""
        H = [lam @ lam.T for lam in self.covariance.lambdas(self.theta_internal)]
        return sum(
            float(np.sum(total(group.A) * h)) for group, h in zip(self.cp.groups, H, strict=True)
        )

    def _lost_pivots(self) -> float:
        """Sum of M_ii (M^-1)_ii; of several factors, of what each takes from the others."""
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
        """Whether random effects are so large beside the residuals that a search may end for want of digits.

        Rounding may then take more of the pivots than a certificate asks for, here or on the way here.
        """
        several = self.remainder is not None and len(self.cp.groups) > 1
        return (
            several
            and float(np.finfo(float).eps) * _ELIMINATION * self._pivots > CERTIFICATE_TOLERANCE
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
        """Conditional modes b of each group, (J,K), in the user's basis and units: b = H Z'V0^-1 (y - X beta)."""
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


@on_one_blas_thread  # the engine asks for it too; once around all of a search costs less
def fit_crossproducts(
    cp: CrossProducts,
    reml: bool = True,
    start: np.ndarray | None = None,
    engine: str = "auto",
    progress: Show = False,
    remainder: ResidualProducts | None = None,
    neighbour: Neighbour | None = None,
) -> Fit:
    """Fit a model from its cross-products.

    Parameters
    ----------
    cp : CrossProducts
    reml : bool
    start : (m,) array, optional
        theta to start from, in the user's basis.
    engine : {"auto", "block", "cholmod"}
    progress : {"auto", True, False}
        Show a bar that counts evaluations.
    remainder : ResidualProducts, optional
        From an earlier fit of the same cross-products.
    neighbour : Neighbour, optional
        How to look at a model of nearly the same rows as one that is fitted, from whose theta it starts.

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
    system = PLSSystem(cp, choose(cp, engine), reml, remainder)
    first = first_theta(cp, reml) if start is None else _internal_theta(cp, start, "start")
    left = DEAR_TOLERANCE if system.engine.is_costly else FORESEEN_TOLERANCE
    left = left if neighbour is None else NEIGHBOUR_TOLERANCE
    with bar(None, "fitting", progress, " evaluations") as system.tell:
        optimum = minimize(system, first, exact=len(cp.groups) == 1, left=left, outlook=neighbour)
        optimum = _second_look(system, optimum, left)
        if neighbour is None and optimum.converged and _says_little(cp):
            optimum = _elsewhere(system, optimum, left, remainder)
        if not optimum.converged and not optimum.exact_hessian and _can_be_exact(system):
            optimum = optimum.then(minimize(system, optimum.theta, exact=True))
        theta = settle(system, canonical(cp.covariance, optimum.theta), optimum.deviance)
    system.tell = None
    fit = Fit(
        cp,
        reml,
        theta,
        system.solution,
        replace(optimum, theta=theta),
        system.engine.describe(),
        engine,
        remainder,
    )
    fit.memo("system", lambda: system)
    return (
        unproven(fit, ROUNDING)
        if optimum.converged and fit.resolution > CERTIFICATE_TOLERANCE
        else fit
    )


def unproven(fit: Fit, message: str) -> Fit:
    """The same fit, not called converged."""
    return (
        fit
        if fit.optimum is None
        else replace(fit, optimum=replace(fit.optimum, converged=False, message=message))
    )


def _can_be_exact(system: PLSSystem) -> bool:
    """Whether the traces of the exact Hessian can be had in seconds."""
    return len(system.cp.groups) == 1 or system.traces.trace_operations() <= EXACT_OPERATIONS


def _second_look(system: PLSSystem, found: Optimum, left: float) -> Optimum:
    """The better of an optimum on the boundary and of what a search from lambda = I finds.

    On the boundary the likelihood may have another optimum inside, or on another face when two terms can stand in for
    each other. lme4 starts again there too (``restart_edge``). A search that creeps towards the boundary, where theta's
    derivatives vanish, is put there.
    """
    cov = system.covariance
    start = cov.identity if any(cov.singular_terms(found.theta)) else None
    if start is None and found.message == ITERATION_LIMIT:
        start = _on_boundary(cov, found.theta)
    if start is None:
        return found
    other = minimize(system, start, exact=found.exact_hessian, left=left)
    return other if other.deviance < found.deviance - CRITERION_TOLERANCE else found


def _says_little(cp: CrossProducts) -> bool:
    """Whether the likelihood may have several optima, and effects are so few that looking costs next to nothing."""
    slopes = sum(cp.groups[term.group].n_levels * term.k for term in cp.terms if term.k > 1)
    few = cp.n <= FEW_ROWS * (2 * cp.p + slopes)
    effects = sum(group.n_levels * group.k for group in cp.groups)
    return effects <= FEW_EFFECTS and (few or min(map(evenness, cp.groups)) < UNEVEN)


def _elsewhere(
    system: PLSSystem, found: Optimum, left: float, remainder: ResidualProducts | None
) -> Optimum:
    """The lowest of an optimum and of those that searches from near zero and from far out prove.

    Where the residual variance can run to zero the likelihood has no end, and a search from far out ends in rounding: that is
    no optimum.
    """
    for size in (_NEAR_ZERO, _FAR_OUT):
        start = size * system.covariance.identity
        if system.solve(start) is None:
            continue
        other = minimize(system, start, exact=found.exact_hessian, left=left)
        if other.converged and other.deviance < found.deviance - CRITERION_TOLERANCE:
            there = Fit(
                system.cp, system.reml, other.theta, system.solution, other, {}, remainder=remainder
            )
            if there.resolution < RESOLUTION:
                found = other
    return found


def _on_boundary(cov: Covariance, theta: np.ndarray) -> np.ndarray | None:
    """The nearest theta with a singular covariance, in the term that is nearest to one; None when none is near."""
    lambdas = cov.lambdas(theta)
    blocks = [cov.term_block(term, lambdas) for term in cov.terms]
    parts = [np.linalg.svd(block) for block in blocks]
    nearest = int(np.argmin([size[-1] for _, size, _ in parts]))
    U, size, _ = parts[nearest]
    if size[-1] > NEAR_BOUNDARY:
        return None
    size[-1] = 0.0
    blocks[nearest][...] = lower_root(U * size)
    return cov.theta_of(lambdas)


def settle(system: PLSSystem, theta: np.ndarray, deviance: float) -> np.ndarray:
    """theta with what is zero but for rounding set to zero, and the system solved there."""
    flat = np.where(np.abs(theta) < ZERO_TOLERANCE, 0.0, theta)
    if np.array_equal(flat, system.covariance.theta_of(system.lambdas)):
        return flat
    solution = system.solve(flat)
    if solution is not None and solution.deviance <= deviance + 1e-12 * abs(deviance):
        return flat
    system.solve(theta)
    return theta


def _internal_theta(cp: CrossProducts, theta: np.ndarray, name: str) -> np.ndarray:
    """theta of the user's basis, checked, in the internal one."""
    values = np.asarray(theta)
    wanted = cp.covariance.n_theta
    if values.shape != (wanted,) or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError(
            f"{name} must be {wanted} finite numbers for these random terms, not {values.tolist()}"
        )
    if (np.abs(values) > LARGEST_THETA).any():
        raise DataError(
            f"{name} holds a standard deviation more than {LARGEST_THETA:g} times sigma: {values.tolist()}"
        )
    return cp.covariance.to_internal(values)


def canonical(cov: Covariance, theta: np.ndarray) -> np.ndarray:
    """The same covariances with no negative diagonal in lambda."""
    lambdas = cov.lambdas(theta)
    for block in lambdas:
        block *= np.where(np.diag(block) < 0, -1.0, 1.0)
    return cov.theta_of(lambdas)


def solve_at(cp: CrossProducts, theta: np.ndarray, reml: bool = True, engine: str = "auto") -> Fit:
    """The model at a given theta (user's basis): criterion, beta, sigma, modes; nothing is searched for.

    Raises
    ------
    NotIdentifiedError
        When the system is not positive definite there.
    """
    cp = keep_columns(cp, independent_columns(cp))
    system = PLSSystem(cp, choose(cp, engine), reml)
    internal = _internal_theta(cp, theta, "theta")
    solution = system.solve(internal)
    if solution is None:
        raise NotIdentifiedError(
            f"the model is not positive definite at theta = {np.asarray(theta).tolist()}"
        )
    fit = Fit(cp, reml, internal, solution, None, system.engine.describe(), engine)
    fit.memo("system", lambda: system)
    return fit
