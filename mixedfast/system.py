"""The penalized least squares system: theta -> profiled deviance, gradient, Hessian, beta, conditional modes.

MATH.md sections 3-5, written in the relative covariances ``H_g = lambda_g lambda_g'``. With V0 = I + Z H Z' and
P0 = V0^-1 - V0^-1 X (X'V0^-1 X)^-1 X'V0^-1,

    d(H)        = log|V0| [+ log|X'V0^-1 X|] + nu log r^2 + constant,   r^2 = y'P0 y,   nu = n [- p]
    dd/dH_g     = sum_j (K_jj [- C_j Phi C_j']) - nu sum_j v_j v_j' / r^2,   v_j = Z_j'P0 y
    d2d/dH dH'  = -tr(Q0 G Q0 G') + nu (2 y'P0 G P0 G'P0 y / r^2 - (y'P0 G P0 y)(y'P0 G'P0 y) / r^4)

with the bracketed parts and Q0 = P0 for REML, Q0 = V0^-1 for ML (Bates et al. 2015, JSS 67(1), section 3.4, for d). None
of it divides by lambda, so a zero variance is a point like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mixedfast.crossprod import CrossProducts
from mixedfast.engines import Engine

__all__ = ["PLSSystem", "Solution"]

HessianBlocks = dict[tuple[int, int], np.ndarray]
Pieces = tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]


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
    """

    def __init__(self, cp: CrossProducts, engine: Engine, reml: bool) -> None:
        self.cp = cp
        self.engine = engine
        self.reml = reml
        self.covariance = cp.covariance
        self.nu = cp.n - cp.p if reml else cp.n
        # criterion on the user's scale: y was scaled (r^2), so were the columns of X (log|X'V^-1X|)
        self._constant = (
            -cp.sum_log_weights
            + self.nu * (1.0 + math.log(2.0 * math.pi / self.nu) - 2.0 * math.log(cp.scale[-1]))
            - (2.0 * float(np.log(cp.scale[:-1]).sum()) if reml else 0.0)
        )
        self.solution: Solution
        self.evaluations = 0
        self.rejected = 0

    def solve(self, theta: np.ndarray) -> Solution | None:
        """Factor at theta; None when the system is not numerically positive definite there."""
        self.evaluations += 1
        self.lambdas = self.covariance.lambdas(theta)
        self._parts: Pieces | None = None
        self._traces: HessianBlocks | None = None
        factored = self.engine.factor(self.lambdas)
        if factored is not None:
            solution = self._finish(*factored)
            if solution is not None:
                self.solution = solution
                return solution
        self.rejected += 1
        return None

    def _finish(self, ldL2: float, S: np.ndarray) -> Solution | None:
        p = self.cp.p
        try:
            R = np.linalg.cholesky(S)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(R[p, p]):
            return None
        LX = R[:p, :p]
        r2 = float(R[p, p]) ** 2
        ldRX2 = 2.0 * float(np.log(np.diag(LX)).sum())
        deviance = ldL2 + (ldRX2 if self.reml else 0.0) + self.nu * math.log(r2) + self._constant
        return Solution(deviance, np.linalg.solve(LX.T, R[p, :p]), r2, LX, ldL2, ldRX2)

    # -- derivatives -------------------------------------------------------------------------------------------

    def _pieces(self) -> Pieces:
        """K blocks, D = C_X L_X^-T (so that D D' = C Phi C') and v of each group, at the last theta solved."""
        if self._parts is None:
            K, C = self.engine.project()
            s = self.solution
            whiten = np.linalg.inv(s.LX).T
            p = self.cp.p
            D = [np.matmul(c[:, :, :p], whiten) for c in C]
            v = [c[:, :, p] - np.matmul(c[:, :, :p], s.beta) for c in C]
            self._parts = K, D, v
        return self._parts

    @property
    def v(self) -> list[np.ndarray]:
        """Z_g'P0 y, (J,K) a group: the conditional modes are H_g v."""
        return self._pieces()[2]

    @property
    def D(self) -> list[np.ndarray]:
        """Z_g'V0^-1 X L_X^-T, (J,K,p) a group."""
        return self._pieces()[1]

    def gradient_blocks(self) -> list[np.ndarray]:
        """dd/dH_g, symmetric (K,K) a group."""
        blocks = []
        for K, D, v in zip(*self._pieces(), strict=True):
            G = K.sum(axis=0) - (self.nu / self.solution.r2) * (v.T @ v)
            if self.reml:
                wide = D.transpose(1, 0, 2).reshape(D.shape[1], -1)
                G = G - wide @ wide.T
            blocks.append(G)
        return blocks

    def hessian_blocks(self, exact: bool) -> HessianBlocks:
        """d2d/dH_g dH_h, (K_g,K_g,K_h,K_h) for g <= h.

        Not exact: the average of observed and expected information (Gilmour, Thompson and Cullis 1995,
        Biometrics 51), which needs no traces and tends to the Hessian as the data grow.
        """
        quadratic = self._quadratic_blocks()
        r2, nu = self.solution.r2, self.nu
        vv = [v.T @ v for v in self.v]
        traces = self.trace_blocks() if exact else None
        out = {}
        for (g, h), Q in quadratic.items():
            squares = np.multiply.outer(vv[g], vv[h]) / r2**2
            H = nu * (2.0 * Q / r2 - squares) - traces[g, h] if traces else nu * (Q / r2 - squares)
            H = 0.5 * (H + H.transpose(1, 0, 2, 3))
            out[g, h] = 0.5 * (H + H.transpose(0, 1, 3, 2))
        return out

    def _quadratic_blocks(self) -> HessianBlocks:
        """y'P0 G P0 G'P0 y: sum_ij v_i[a] (Z_i'P0 Z_j)[b,c] v_j[d]."""
        K, D, v = self._pieces()
        cross = [np.einsum("ja,jbs->abs", vg, Dg) for vg, Dg in zip(v, D, strict=True)]
        out = {}
        if len(K) == 1:
            vv = np.einsum("ja,jd->jad", v[0], v[0])
            out[0, 0] = np.tensordot(vv, K[0], (0, 0)).transpose(0, 2, 3, 1)
        else:
            for h in range(len(K)):
                KF = self.engine.times_k([_spread(v[g], K[g].shape[1], g == h, v[h].shape[1]) for g in range(len(K))])
                for g in range(h + 1):
                    kh = v[h].shape[1]
                    out[g, h] = np.einsum("ja,jbr->abr", v[g], KF[g]).reshape(*cross[g].shape[:2], kh, kh)
        return {
            (g, h): Q - np.einsum("abs,dcs->abcd", cross[g], cross[h]) for (g, h), Q in out.items()
        }

    def trace_blocks(self) -> HessianBlocks:
        """tr(Q0 G Q0 G'): sum_ij (Z_i'Q0 Z_j)[b,c] (Z_i'Q0 Z_j)[a,d]; kept until the next theta, for they are dear."""
        if self._traces is None:
            self._traces = self._make_traces()
        return self._traces

    def _make_traces(self) -> HessianBlocks:
        K, D, _ = self._pieces()
        out = self.engine.pair_traces(K)
        if not self.reml:
            return out
        p = self.cp.p
        R = [np.einsum("jat,jbs->abts", d, d) for d in D]
        for h in range(len(K)):
            k_h = K[h].shape[1]
            if len(K) == 1:
                KD = [np.einsum("jbc,jds->jbcds", K[0], D[0])]
            else:
                spread = [_spread_columns(D[g], g == h, k_h, p) for g in range(len(K))]
                KD = [part.reshape(*part.shape[:2], k_h, k_h, p) for part in self.engine.times_k(spread)]
            for g in range(h + 1):
                once = np.einsum("jbcds,jas->abcd", KD[g], D[g])
                both = once + once.transpose(1, 0, 3, 2)
                out[g, h] = out[g, h] - both + np.einsum("abts,dcts->abcd", R[g], R[h])
        return out

    def gradient(self) -> np.ndarray:
        """dd/dtheta at the last theta solved."""
        return self.covariance.gradient(self.lambdas, self.gradient_blocks())

    def hessian(self, exact: bool) -> np.ndarray:
        """d2d/dtheta2 at the last theta solved (see `hessian_blocks`)."""
        return self.covariance.hessian(self.lambdas, self.gradient_blocks(), self.hessian_blocks(exact))


def _spread(v: np.ndarray, k: int, mine: bool, k_h: int) -> np.ndarray:
    """v_j[d] at position c, one column for each (c, d): (J,K,K_h*K_h); zeros for the other groups."""
    out = np.zeros((v.shape[0], k, k_h, k_h))
    if mine:
        for c in range(k):
            out[:, c, c, :] = v
    return out.reshape(v.shape[0], k, k_h * k_h)


def _spread_columns(D: np.ndarray, mine: bool, k_h: int, p: int) -> np.ndarray:
    """D_j[d,:] at position c, one column for each (c, d, s)."""
    J, k, _ = D.shape
    out = np.zeros((J, k, k_h, k_h, p))
    if mine:
        for c in range(k):
            out[:, c, c] = D
    return out.reshape(J, k, k_h * k_h * p)
