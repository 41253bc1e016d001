"""The penalized least squares system at a theta.

Profiled deviance, gradient, Hessian, beta and conditional modes. The formulas of docs/maths.md in
the relative covariances ``H_g = lambda_g lambda_g'``. With V0 = I + Z H Z' and P0 = V0^-1 - V0^-1 X
(X'V0^-1 X)^-1 X'V0^-1,

    d(H)        = log|V0| [+ log|X'V0^-1 X|] + nu log r^2 + constant,   r^2 = y'P0 y,   nu = n [- p]
    dd/dH_g     = sum_j (K_jj [- C_j Phi C_j']) - nu sum_j v_j v_j' / r^2,   v_j = Z_j'P0 y
    d2d/dH dH'  = -tr(Q0 G Q0 G') + nu (2 y'P0 G P0 G'P0 y / r^2 - (y'P0 G P0 y)(y'P0 G'P0 y) / r^4)

with the bracketed parts and Q0 = P0 for REML, Q0 = V0^-1 for ML (Bates et al. 2015, JSS 67(1),
section 3.4, for d). Nothing is divided by lambda, so a zero variance is a point like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._stored import stored
from mixedfast.covariance._theta import second_derivative, solve_normal_equations
from mixedfast.crossprod.residual_products import ResidualProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._levels import level_moments
from mixedfast.engines.interface import Engine, Traces, traces_of, unsolvable
from mixedfast.engines.layout import spread, spread_edges
from mixedfast.engines.refinement import Refined
from mixedfast.engines.stochastic_traces import Probed, probed
from mixedfast.estimation.boundary import find_escape
from mixedfast.estimation.criterion import Derivatives, Escape

__all__ = [
    "HessianBlocks",
    "LevelMoments",
    "PLSSystem",
    "Solution",
    "deviance_constant",
    "symmetrized",
    "total",
]

HessianBlocks = dict[tuple[int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class LevelMoments:
    """Sums over the levels j of one group, in the notation above.

    D = C_X L_X^-T, and ``x[a,b]`` is an element of x. ``v`` (J,K) itself; sums ``K`` (K,K); ``vv``
    v[a] v[b]; ``DD`` (D D')[a,b]; ``vKv`` v[a] K[b,c] v[d]; ``vD`` v[a] D[b,s]. For traces (else
    empty) ``KK`` K[b,c] K[a,d] of the only group, ``KDD`` K[b,c] (D D')[a,d] and ``DxD`` D[a,t]
    D[b,s].
    """

    v: np.ndarray
    K: np.ndarray
    vv: np.ndarray
    DD: np.ndarray
    vKv: np.ndarray
    vD: np.ndarray
    KK: np.ndarray
    KDD: np.ndarray
    DxD: np.ndarray


def _check_solution(fields: Any) -> Iterator[str]:
    numbers = (fields.deviance, fields.r2, fields.ldL2, fields.ldRX2)
    if not all(map(math.isfinite, numbers)) or fields.r2 <= 0.0:
        yield "the criterion of a Solution is not finite, or its sum of squares is not positive"
    if bool((fields.LX.diagonal() <= 0.0).any()) or bool(np.triu(fields.LX, 1).any()):
        yield "LX of a Solution is not a lower triangle with a positive diagonal"


@stored("Solution", arrays={"beta": "finite p", "LX": "finite p p"}, relations=_check_solution)
@dataclass(frozen=True, eq=False)
class Solution:
    """The solved system at one theta, internal basis.

    ``beta`` (p,), ``r2`` the penalized residual sum of squares, ``LX`` (p,p) lower Cholesky factor
    of X'V0^-1 X, ``ldL2`` = log|M|, ``ldRX2`` = log|X'V0^-1 X|, ``deviance`` the criterion on the
    user's scale.
    """

    deviance: float
    beta: np.ndarray
    r2: float
    LX: np.ndarray
    ldL2: float
    ldRX2: float


def deviance_constant(cp: CrossProducts, reml: bool) -> float:
    """Return the part of the deviance that does not depend on theta.

    It brings the criterion to the scale of the data: y was scaled, and the columns of X.
    """
    nu = cp.n - cp.p if reml else cp.n
    return float(
        -cp.sum_log_weights
        + nu * (1.0 + math.log(2.0 * math.pi / nu) - 2.0 * math.log(cp.scale[-1]))
        - (2.0 * float(np.log(cp.scale[:-1]).sum()) if reml else 0.0)
    )


class PLSSystem:
    """The mutable workspace of a fit; a `Criterion` of theta.

    Everything but `solve` and `value` refers to the theta that was last solved.

    Parameters
    ----------
    cp : CrossProducts
        Of full column rank in X.
    engine : Engine
    reml : bool
    remainder : ResidualProducts, optional
        Products of residuals of the same rows, where sums over the rows have too few digits.
    columns : (q+1, p+1) array, optional
        The columns of `cp` as combinations ``[X y] columns`` of those that the engine has, such as
        a model with a coefficient fixed.
    """

    def __init__(
        self,
        cp: CrossProducts,
        engine: Engine,
        reml: bool,
        remainder: ResidualProducts | None = None,
        columns: np.ndarray | None = None,
    ) -> None:
        self.cp = cp
        self.engine = engine
        self.reml = reml
        self.columns = columns
        self._refined = None if remainder is None else Refined(engine, remainder)
        self.covariance = cp.covariance
        self.nu = cp.n - cp.p if reml else cp.n
        self.term_effects = [cp.groups[term.group].n_levels * term.k for term in cp.terms]
        self._constant = deviance_constant(cp, reml)
        self.solution: Solution
        #: [X y]'V0^-1[X y] of the columns of the engine at the last theta solved.
        self.products: np.ndarray
        #: L_X^-T at the last theta solved, (p,p) upper triangular: C_X L_X^-T L_X^-1 C_X' = C_X Phi
        #: C_X'.
        self.whiten: np.ndarray
        self.lower = None
        self.evaluations = 0
        self.rejected = 0
        self.on_evaluation: Callable[[int], Any] | None = None
        self._K: list[np.ndarray] | None = None
        self._C: list[np.ndarray] | None = None
        self._moments: list[LevelMoments] | None = None
        self._moments_exact = False
        self._pairs: HessianBlocks | None = None
        self._corrections: HessianBlocks | None = None
        self._quadratic: HessianBlocks | None = None

    def value(self, x: np.ndarray) -> float:
        """Solve at theta = x and return the deviance.

        Infinite when the system is not positive definite there.
        """
        solution = self.solve(x)
        return math.inf if solution is None else solution.deviance

    def solve(self, theta: np.ndarray) -> Solution | None:
        """Factor and solve at theta.

        None when the system is not numerically positive definite there.
        """
        self.evaluations += 1
        self.theta = theta
        self.lambdas = self.covariance.lambdas(theta)
        self._K = self._C = self._moments = self._pairs = self._corrections = self._quadratic = None
        factored = self.engine.factor(self.lambdas)
        if self.on_evaluation is not None:
            self.on_evaluation(1)
        if factored is not None:
            logdet, self.products = factored
            if self._refined is not None:
                self.products = self._refined.square(self.lambdas)
            solution = self._finish(logdet, self._combined_products())
            if solution is not None:
                self.solution = solution
                return solution
        self.rejected += 1
        return None

    def solve_again(self, theta: np.ndarray) -> Solution:
        """Factor and solve at a theta where the system was positive definite before.

        Raises
        ------
        NotIdentifiedError
            When it is not, as with sums from a file that was changed.
        """
        solution = self.solve(theta)
        if solution is None:
            raise unsolvable()
        return solution

    def _combined_products(self) -> np.ndarray:
        """Combine [X y]'V0^-1[X y] to that of the columns of the model, (p+1,p+1)."""
        if self.columns is None:
            return self.products
        return self.columns.T @ self.products @ self.columns

    def _project(self, weights: np.ndarray | None = None) -> list[np.ndarray]:
        """Compute Z'V0^-1[X y], or that times weights, for the columns of the model."""
        if self.columns is not None:
            weights = self.columns if weights is None else self.columns @ weights
        return (self._refined or self.engine).project(weights)

    def _finish(self, ldL2: float, S: np.ndarray) -> Solution | None:
        """Solve for the fixed effects from log|M| and S = [X y]'V0^-1[X y]."""
        found = solve_normal_equations(S)
        if found is None:
            return None
        LX, self.whiten, beta, residual = found
        if self._refined is not None:
            beta = beta + self._refined.remainder.gamma
        ldRX2 = 2.0 * float(np.log(LX.diagonal()).sum())
        deviance = (
            ldL2
            + (ldRX2 if self.reml else 0.0)
            + 2.0 * self.nu * math.log(residual)
            + self._constant
        )
        return Solution(deviance, beta, residual**2, LX, ldL2, ldRX2)

    @cached_property
    def traces(self) -> Traces:
        """Products and traces of Z'V0^-1 Z that derivatives need."""
        return traces_of(self.engine)

    # -- the search -------------------------------------------------------------------------------

    @property
    def is_interior(self) -> bool:
        """Whether no covariance is near singular, so that there is no boundary to leave."""
        return not any(self.covariance.singular_terms(self.theta))

    def escape(self) -> Escape:
        """Find the larger decrease off the boundary or along the scale of a term."""
        return find_escape(self)

    @property
    def safe_start(self) -> np.ndarray:
        """theta with every lambda the identity."""
        return self.covariance.identity

    # -- derivatives ------------------------------------------------------------------------------

    @property
    def K(self) -> list[np.ndarray]:
        """Diagonal blocks of Z'V0^-1 Z of each group, (J,K,K)."""
        if self._K is None:
            self._K = (self._refined or self.traces).blocks_k()
        return self._K

    @property
    def C(self) -> list[np.ndarray]:
        """Z'V0^-1[X y] of each group, (J,K,p+1)."""
        if self._C is None:
            self._C = self._project()
        return self._C

    @property
    def D(self) -> list[np.ndarray]:
        """C_X L_X^-T = Z_g'V0^-1 X L_X^-T of each group, (J,K,p): D D' = C Phi C'."""
        return [np.matmul(c[:, :, : self.cp.p], self.whiten) for c in self.C]

    @property
    def v(self) -> list[np.ndarray]:
        """Z_g'P0 y of each group, (J,K): the conditional modes are H_g v."""
        return [sums.v for sums in self.moments()]

    def moments(self, exact: bool = False) -> list[LevelMoments]:
        """Compute sums over the levels of each group; `exact` adds those that only traces need."""
        if self._moments is None or (exact and not self._moments_exact):
            self._moments = self._make_moments(exact)
            self._moments_exact = exact
        return self._moments

    def _make_moments(self, exact: bool) -> list[LevelMoments]:
        beta = self.solution.beta
        if len(self.cp.groups) > 1 and not self.reml and not exact:  # only the residual matters
            residual = self._project(np.append(-beta, 1.0)[:, None])
            return [
                LevelMoments(*level_moments(None, c, np.empty((0, 0)), np.empty(0), False, False))
                for c in residual
            ]
        C = [np.ascontiguousarray(c) for c in self.C]
        # with several groups the engine sums over the pairs of levels
        K = self.K if len(C) == 1 else [None] * len(C)
        return [
            LevelMoments(*level_moments(k, c, self.whiten, beta, exact, exact))
            for k, c in zip(K, C, strict=True)
        ]

    def precision_sums(self) -> list[np.ndarray]:
        """Sum Z_j'V0^-1 Z_j over the levels of each group, (K,K)."""
        sums = self.moments()
        return [sums[0].K] if len(sums) == 1 else [total(blocks) for blocks in self.K]

    def trace_sums(self) -> list[np.ndarray]:
        """Sum Z_j'Q0 Z_j over the levels of each group, (K,K)."""
        K = self.precision_sums()
        return [k - m.DD for k, m in zip(K, self.moments(), strict=True)] if self.reml else K

    def gradient_blocks(self, traces: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Compute dd/dH_g, symmetric (K,K) per group; `traces` replace `trace_sums`."""
        share = self.nu / self.solution.r2
        sums = self.trace_sums() if traces is None else traces
        return [trace - share * m.vv for trace, m in zip(sums, self.moments(), strict=True)]

    def hessian_blocks(self, traces: HessianBlocks | None = None) -> HessianBlocks:
        """Compute d2d/dH_g dH_h, (K_g,K_g,K_h,K_h) for g <= h.

        From tr(Q0 G Q0 G') (see `trace_blocks`). Without traces: the average of observed and
        expected information (Gilmour, Thompson and Cullis 1995, Biometrics 51), which needs no
        traces and tends to the Hessian as the data grow.
        """
        vv = [m.vv for m in self.moments()]
        r2, nu = self.solution.r2, self.nu
        return {
            (g, h): second_derivative(Q, vv[g], vv[h], traces[g, h] if traces else None, nu, r2)
            for (g, h), Q in self.quadratic_blocks().items()
        }

    def quadratic_blocks(self) -> HessianBlocks:
        """Compute y'P0 G P0 G'P0 y: sum_ij v_i[a] (Z_i'P0 Z_j)[b,c] v_j[d].

        The sums are kept until the next theta.
        """
        if self._quadratic is None:
            self._quadratic = self._make_quadratic()
        return self._quadratic

    def _make_quadratic(self) -> HessianBlocks:
        sums = self.moments()
        if len(sums) == 1:
            return {(0, 0): sums[0].vKv - _turned_dots(sums[0].vD, sums[0].vD)}
        sizes, width = [group.k for group in self.cp.groups], spread_edges(self.cp)
        FKF, cross = self.traces.cross_k([m.v for m in sums])
        if self.columns is not None:
            cross = self.columns.T @ cross
        if self._refined is not None:
            parts = [
                np.tensordot(c, spread(m.v), ((0, 1), (0, 1)))
                for c, m in zip(self.C, sums, strict=True)
            ]
            cross = np.concatenate(parts, axis=1)
        half = np.linalg.solve(self.solution.LX, cross[:-1])
        FPF = FKF - half.T @ half
        out = {}
        for h, k_h in enumerate(sizes):
            for g in range(h + 1):
                block = FPF[width[g] : width[g + 1], width[h] : width[h + 1]]
                # columns (b,a) of g: v_i[a] at b
                out[g, h] = block.reshape(sizes[g], sizes[g], k_h, k_h).transpose(1, 0, 2, 3)
        return out

    def times_q0(self, F: list[np.ndarray]) -> list[np.ndarray]:
        """Multiply one (J,K,r) array F per group by Z'Q0 Z."""
        KF = self.traces.times_k(F)
        if not self.reml:
            return KF
        DF = sum(np.tensordot(d, f, ((0, 1), (0, 1))) for d, f in zip(self.D, F, strict=True))
        return [kf - np.matmul(d, DF) for kf, d in zip(KF, self.D, strict=True)]

    def pair_traces(self) -> HessianBlocks:
        """Sum (Z_i'V0^-1 Z_j)[b,c] (Z_i'V0^-1 Z_j)[a,d] over all i, j.

        This is costly, so the sums are kept until the next theta.
        """
        if self._pairs is None:
            one_factor = len(self.cp.groups) == 1
            self._pairs = (
                {(0, 0): self.moments(exact=True)[0].KK}
                if one_factor
                else self.traces.pair_traces(self.K)
            )
        return self._pairs

    def trace_blocks(self, pairs: HessianBlocks | None = None) -> HessianBlocks:
        """Compute tr(Q0 G Q0 G'): sum_ij (Z_i'Q0 Z_j)[b,c] (Z_i'Q0 Z_j)[a,d].

        `pairs` replace `pair_traces`, such as estimates of them.
        """
        pairs = self.pair_traces() if pairs is None else pairs
        if not self.reml:
            return pairs
        if self._corrections is None:
            self._corrections = self._make_corrections()
        return {key: part - self._corrections[key] for key, part in pairs.items()}

    def _make_corrections(self) -> HessianBlocks:
        """Compute the part of the traces that the estimation of beta takes away."""
        sums, p = self.moments(exact=True), self.cp.p
        out = {}
        for h in range(len(sums)):
            if len(sums) == 1:
                once = {0: sums[0].KDD}
            else:
                k_h = self.cp.groups[h].k
                D = self.D
                spread = [_spread_columns(D[g], g == h, k_h, p) for g in range(len(sums))]
                KD = [
                    part.reshape(*part.shape[:2], k_h, k_h, p)
                    for part in self.traces.times_k(spread)
                ]
                once = {g: np.einsum("jbcds,jas->abcd", KD[g], D[g]) for g in range(h + 1)}
            for g, part in once.items():
                out[g, h] = (
                    part + part.transpose(1, 0, 3, 2) - _turned_dots(sums[g].DxD, sums[h].DxD)
                )
        return out

    def gradient(self) -> np.ndarray:
        """Compute dd/dtheta, (m,)."""
        return self.covariance.gradient(self.lambdas, self.gradient_blocks())

    def hessian(self, exact: bool) -> np.ndarray:
        """Compute d2d/dtheta2 (m,m), or the average information (see `hessian_blocks`)."""
        return self.derivatives(exact).hessian

    def derivatives(self, exact: bool) -> Derivatives:
        """Compute gradient and Hessian, with each sum over the levels made once."""
        # the Hessian first: its traces need all of the moments
        second = self.hessian_blocks(self.trace_blocks() if exact else None)
        return self._in_theta(self.gradient_blocks(), second)

    def _in_theta(self, first: list[np.ndarray], second: HessianBlocks) -> Derivatives:
        """Transform derivatives in the H_g to derivatives in theta."""
        return Derivatives(
            self.covariance.gradient(self.lambdas, first),
            self.covariance.hessian(self.lambdas, first, second),
        )

    def probe(self, probes: int, few_levels: int) -> Probed:
        """Estimate `trace_sums` and `trace_blocks` from each random probe.

        Exact for factors of few levels.
        """
        return probed(self.times_q0, self.cp.groups, probes, few_levels, batches=probes, seed=0)

    def stochastic_derivatives(self, traces: Probed) -> Derivatives:
        """Compute the gradient with estimated traces, and the average information."""
        sums = [part[0] for part in traces.mean().sums]
        return self._in_theta(self.gradient_blocks(sums), self.hessian_blocks())

    def stochastic_hessian(self, traces: Probed) -> tuple[Derivatives, np.ndarray]:
        """Compute the exact gradient and the Hessian with estimated traces.

        Also returns the deviations (probes,m,m) of the Hessian from each probe alone, or one zero
        matrix where the traces are exact.
        """
        mean = {key: part.mean(axis=0) for key, part in traces.pairs.items()}
        derivatives = self._in_theta(self.gradient_blocks(), self.hessian_blocks(mean))
        no_gradient = [np.zeros((size, size)) for size in self.covariance.sizes]
        deviations = []
        for i in range(max(map(len, traces.pairs.values()))):
            differences = symmetrized(
                {key: part[i % len(part)] - mean[key] for key, part in traces.pairs.items()}
            )
            deviations.append(self.covariance.hessian(self.lambdas, no_gradient, differences))
        return derivatives, np.array(deviations)


def total(blocks: np.ndarray) -> np.ndarray:
    """Sum (J,K,K) blocks; a product is faster than a sum over the first of three axes."""
    J, k, _ = blocks.shape
    return (np.ones(J) @ blocks.reshape(J, -1)).reshape(k, k)


def _turned_dots(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Sum X[a,b,...] Y[d,c,...] over all further indices, [a,b,c,d]."""
    k, r = len(X), len(Y)
    return (X.reshape(k * k, -1) @ Y.reshape(r * r, -1).T).reshape(k, k, r, r).transpose(0, 1, 3, 2)


def _spread_columns(D: np.ndarray, is_own: bool, k_h: int, p: int) -> np.ndarray:
    """Spread D_j[d,:] to position c, one column for each (c, d, s); zeros for another group."""
    J, k, _ = D.shape
    out = np.zeros((J, k, k_h, k_h, p))
    if is_own:
        for c in range(k):
            out[:, c, c] = D
    return out.reshape(J, k, k_h * k_h * p)


def symmetrized(blocks: HessianBlocks) -> HessianBlocks:
    """Symmetrize each [a,b,c,d] in a and b, and in c and d."""
    halves = {key: 0.5 * (H + H.transpose(1, 0, 2, 3)) for key, H in blocks.items()}
    return {key: 0.5 * (H + H.transpose(0, 1, 3, 2)) for key, H in halves.items()}
