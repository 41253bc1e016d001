"""The penalized least squares system: theta -> profiled deviance, gradient, Hessian, beta, conditional modes.

The formulas of docs/maths.md, written in the relative covariances ``H_g = lambda_g lambda_g'``. With V0 = I + Z H Z' and
P0 = V0^-1 - V0^-1 X (X'V0^-1 X)^-1 X'V0^-1,

    d(H)        = log|V0| [+ log|X'V0^-1 X|] + nu log r^2 + constant,   r^2 = y'P0 y,   nu = n [- p]
    dd/dH_g     = sum_j (K_jj [- C_j Phi C_j']) - nu sum_j v_j v_j' / r^2,   v_j = Z_j'P0 y
    d2d/dH dH'  = -tr(Q0 G Q0 G') + nu (2 y'P0 G P0 G'P0 y / r^2 - (y'P0 G P0 y)(y'P0 G'P0 y) / r^4)

with the bracketed parts and Q0 = P0 for REML, Q0 = V0^-1 for ML (Bates et al. 2015, JSS 67(1), section 3.4, for d). None
of it divides by lambda, so a zero variance is a point like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._blocks import moments
from mixedfast._theta import solved
from mixedfast.crossprod import CrossProducts
from mixedfast.engines import Engine
from mixedfast.engines.refined import Refined
from mixedfast.remainder import Remainder

__all__ = ["PLSSystem", "Solution"]

HessianBlocks = dict[tuple[int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the levels j of one group, in the notation above: D = C_X L_X^-T, ``x[a,b]`` an element.

    ``v`` (J,K) itself; sums ``K`` (K,K); ``vv`` v[a] v[b]; ``DD`` (D D')[a,b]; ``vKv`` v[a] K[b,c] v[d];
    ``vD`` v[a] D[b,s]. Where traces are wanted (else empty) ``KK`` K[b,c] K[a,d] of the only group, ``KDD``
    K[b,c] (D D')[a,d] and ``DxD`` D[a,t] D[b,s].
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


@dataclass(frozen=True, eq=False)
class Solution:
    """The solved system at one theta, internal basis.

    ``beta`` (p,), ``r2`` the penalized residual sum of squares, ``LX`` (p,p) lower Cholesky factor of X'V0^-1 X,
    ``ldL2`` = log|M|, ``ldRX2`` = log|X'V0^-1 X|, ``deviance`` the criterion on the user's scale.
    """

    deviance: float
    beta: np.ndarray
    r2: float
    LX: np.ndarray
    ldL2: float
    ldRX2: float


class PLSSystem:
    """The one mutable workspace of a fit.

    Parameters
    ----------
    cp : CrossProducts
        Of full column rank in X.
    engine : Engine
    reml : bool
    remainder : Remainder, optional
        Of the same rows, where sums over them have too few digits.
    """

    def __init__(self, cp: CrossProducts, engine: Engine, reml: bool, remainder: Remainder | None = None) -> None:
        self.cp = cp
        self.engine = engine
        self.reml = reml
        self._refined = None if remainder is None else Refined(engine, remainder)
        self.covariance = cp.covariance
        self.nu = cp.n - cp.p if reml else cp.n
        # criterion on the user's scale: y was scaled (r^2), so were the columns of X (log|X'V^-1X|)
        self._constant = (
            -cp.sum_log_weights
            + self.nu * (1.0 + math.log(2.0 * math.pi / self.nu) - 2.0 * math.log(cp.scale[-1]))
            - (2.0 * float(np.log(cp.scale[:-1]).sum()) if reml else 0.0)
        )
        self.solution: Solution
        #: L_X^-T at the last theta solved, (p,p) upper triangular: C_X L_X^-T L_X^-1 C_X' = C_X Phi C_X'.
        self.whiten: np.ndarray
        self.evaluations = 0
        self.rejected = 0
        self.tell: Callable[[int], Any] | None = None  # called after every evaluation
        self._projected: tuple[list[np.ndarray], list[np.ndarray]] | None = None
        self._moments: list[Moments] | None = None
        self._moments_exact = False
        self._traces: HessianBlocks | None = None

    def solve(self, theta: np.ndarray) -> Solution | None:
        """Factor at theta; None when the system is not numerically positive definite there."""
        self.evaluations += 1
        self.lambdas = self.covariance.lambdas(theta)
        self._projected = self._moments = self._traces = None
        factored = self.engine.factor(self.lambdas)
        if self.tell is not None:
            self.tell(1)
        if factored is not None:
            logdet, S = factored
            solution = self._finish(logdet, S if self._refined is None else self._refined.square(self.lambdas))
            if solution is not None:
                self.solution = solution
                return solution
        self.rejected += 1
        return None

    def _finish(self, ldL2: float, S: np.ndarray) -> Solution | None:
        found = solved(S)
        if found is None:
            return None
        LX, self.whiten, beta, residual = found
        if self._refined is not None:
            beta = beta + self._refined.remainder.gamma
        ldRX2 = 2.0 * float(np.log(LX.diagonal()).sum())
        deviance = ldL2 + (ldRX2 if self.reml else 0.0) + 2.0 * self.nu * math.log(residual) + self._constant
        return Solution(deviance, beta, residual**2, LX, ldL2, ldRX2)

    # -- derivatives -------------------------------------------------------------------------------------------

    @property
    def projected(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """K blocks (J,K,K) and C = Z'V0^-1[X y] (J,K,p+1) of each group, at the last theta solved."""
        if self._projected is None:
            self._projected = (self._refined or self.engine).project()
        return self._projected

    @property
    def D(self) -> list[np.ndarray]:
        """C_X L_X^-T = Z_g'V0^-1 X L_X^-T of each group, (J,K,p): D D' = C Phi C'."""
        return [np.matmul(c[:, :, : self.cp.p], self.whiten) for c in self.projected[1]]

    @property
    def v(self) -> list[np.ndarray]:
        """Z_g'P0 y, (J,K) a group: the conditional modes are H_g v."""
        return [sums.v for sums in self.moments()]

    def moments(self, exact: bool = False) -> list[Moments]:
        """Sums over the levels of each group, at the last theta solved; `exact` adds those that only traces need."""
        if self._moments is None or (exact and not self._moments_exact):
            single = exact and len(self.cp.groups) == 1  # of several groups the engine sums the pairs of levels
            whiten = self.whiten
            self._moments = [
                Moments(*moments(k, np.ascontiguousarray(c), whiten, self.solution.beta, single, exact))
                for k, c in zip(*self.projected, strict=True)
            ]
            self._moments_exact = exact
        return self._moments

    def gradient_blocks(self) -> list[np.ndarray]:
        """dd/dH_g, symmetric (K,K) a group."""
        share = self.nu / self.solution.r2
        return [m.K - share * m.vv - m.DD if self.reml else m.K - share * m.vv for m in self.moments()]

    def hessian_blocks(self, exact: bool) -> HessianBlocks:
        """d2d/dH_g dH_h, (K_g,K_g,K_h,K_h) for g <= h.

        Not exact: the average of observed and expected information (Gilmour, Thompson and Cullis 1995,
        Biometrics 51), which needs no traces and tends to the Hessian as the data grow.
        """
        traces = self.trace_blocks() if exact else None
        quadratic = self.quadratic_blocks()
        r2, nu = self.solution.r2, self.nu
        vv = [m.vv for m in self.moments()]
        out = {}
        for (g, h), Q in quadratic.items():
            squares = np.multiply.outer(vv[g], vv[h]) / r2**2
            H = nu * (2.0 * Q / r2 - squares) - traces[g, h] if traces else nu * (Q / r2 - squares)
            H = 0.5 * (H + H.transpose(1, 0, 2, 3))
            out[g, h] = 0.5 * (H + H.transpose(0, 1, 3, 2))
        return out

    def quadratic_blocks(self) -> HessianBlocks:
        """y'P0 G P0 G'P0 y: sum_ij v_i[a] (Z_i'P0 Z_j)[b,c] v_j[d]."""
        sums = self.moments()
        sizes = [group.k for group in self.cp.groups]
        if len(sums) == 1:
            out = {(0, 0): sums[0].vKv}
        else:
            out = {}
            spread = [_spread(m.v, k) for m, k in zip(sums, sizes, strict=True)]
            width = np.cumsum([0, *(k * k for k in sizes)])
            F = [np.zeros((len(m.v), k, width[-1])) for m, k in zip(sums, sizes, strict=True)]
            for h, part in enumerate(spread):
                F[h][:, :, width[h] : width[h + 1]] = part
            FKF = self.engine.cross_k(F)
            for h, k_h in enumerate(sizes):
                for g in range(h + 1):
                    block = FKF[width[g] : width[g + 1], width[h] : width[h + 1]]
                    # columns (b,a) of g: v_i[a] at b
                    out[g, h] = block.reshape(sizes[g], sizes[g], k_h, k_h).transpose(1, 0, 2, 3)
        return {(g, h): Q - np.tensordot(sums[g].vD, sums[h].vD, (2, 2)).transpose(0, 1, 3, 2) for (g, h), Q in out.items()}

    def trace_blocks(self, pairs: HessianBlocks | None = None) -> HessianBlocks:
        """tr(Q0 G Q0 G'): sum_ij (Z_i'Q0 Z_j)[b,c] (Z_i'Q0 Z_j)[a,d]; kept until the next theta, for they are dear.

        `pairs` stand in for the engine's pair traces, such as estimates of them.
        """
        if pairs is not None:
            return self._make_traces(pairs)
        if self._traces is None:
            sums = self.moments(exact=True)
            self._traces = self._make_traces(
                {(0, 0): sums[0].KK} if len(sums) == 1 else self.engine.pair_traces(self.projected[0])
            )
        return self._traces

    def _make_traces(self, pairs: HessianBlocks) -> HessianBlocks:
        sums, out = self.moments(exact=True), dict(pairs)
        if not self.reml:
            return out
        p = self.cp.p
        for h in range(len(sums)):
            if len(sums) == 1:
                once = {0: sums[0].KDD}
            else:
                k_h = self.cp.groups[h].k
                D = self.D
                spread = [_spread_columns(D[g], g == h, k_h, p) for g in range(len(sums))]
                KD = [part.reshape(*part.shape[:2], k_h, k_h, p) for part in self.engine.times_k(spread)]
                once = {g: np.einsum("jbcds,jas->abcd", KD[g], D[g]) for g in range(h + 1)}
            for g, part in once.items():
                both = part + part.transpose(1, 0, 3, 2)
                crossed = np.tensordot(sums[g].DxD, sums[h].DxD, ((2, 3), (2, 3))).transpose(0, 1, 3, 2)
                out[g, h] = out[g, h] - both + crossed
        return out

    def gradient(self) -> np.ndarray:
        """dd/dtheta at the last theta solved."""
        return self.covariance.gradient(self.lambdas, self.gradient_blocks())

    def hessian(self, exact: bool) -> np.ndarray:
        """d2d/dtheta2 at the last theta solved (see `hessian_blocks`)."""
        return self.covariance.hessian(self.lambdas, self.gradient_blocks(), self.hessian_blocks(exact))


def _spread(v: np.ndarray, k: int) -> np.ndarray:
    """v_j[d] at position c, one column for each (c, d): (J,K,K*K)."""
    out = np.zeros((v.shape[0], k, k, k))
    for c in range(k):
        out[:, c, c, :] = v
    return out.reshape(v.shape[0], k, k * k)


def _spread_columns(D: np.ndarray, mine: bool, k_h: int, p: int) -> np.ndarray:
    """D_j[d,:] at position c, one column for each (c, d, s)."""
    J, k, _ = D.shape
    out = np.zeros((J, k, k_h, k_h, p))
    if mine:
        for c in range(k):
            out[:, c, c] = D
    return out.reshape(J, k, k_h * k_h * p)
