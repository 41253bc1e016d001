"""Laplace's approximation of the deviance of a generalized linear mixed model, and its gradient.

    d(theta, beta) = -2 sum l_i(eta_i) + |u|^2 + log|M|,    M = Lambda'Z'W_c Z Lambda + I

at the conditional modes u, with expected weights W_c as in lme4 and MixedModels.jl, or with
observed ones (Laplace's method proper). Its gradient is exact (Skaug and Fournier 2006, CSDA 51,
for the adjoint). With leverages a_i = z_i'Lambda M^-1 Lambda'z_i, c_i = a_i dw_i/deta and the solve
at observed weights t = Z Lambda M_H^-1 Lambda'Z'c,

    dd/dbeta = X'(c - 2 s - H t),
    dd/dpsi  = sum_i ( a_i dw_i/dpsi + t_i ds_i/dpsi - 2 dl_i/dpsi ) for parameters of the family,
    dd/dH_g  = sum_j [ K_jj - e_j e_j' + (k_j e_j' + e_j k_j') / 2 ],
    e = Z's,   k = Z'(c - H t),   K = Z'V0^-1 Z with V0^-1 = W_c - W_c Z Lambda M^-1 Lambda'Z'W_c

in the relative covariances H_g = lambda_g lambda_g' (here Sigma = H). Nothing is divided by lambda,
so a zero variance is a point like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.interface import Engine, traces_of
from mixedfast.estimation.boundary import find_escape
from mixedfast.estimation.criterion import Derivatives, Escape
from mixedfast.estimation.glmm.dispersion import (
    ExtraSlopes,
    constant_of,
    extra_slopes,
    first_extra,
)
from mixedfast.estimation.glmm.families import Family
from mixedfast.estimation.glmm.modes import Modes, ModeSearch
from mixedfast.estimation.glmm.responses import Response
from mixedfast.estimation.glmm.rows import GLMMRows

__all__ = ["GLMMSystem"]


class GLMMSystem:
    """The mutable workspace of a fit; a `Criterion` of (theta, beta, extra), internal basis.

    Everything but `value` refers to the point that was evaluated last.

    Parameters
    ----------
    rows : GLMMRows
    response : Response
    family : Family
    engine : Engine
    curvature : {"expected", "observed"}
        The weights of the log determinant.
    """

    lower = None
    n_agq = 1

    def __init__(
        self,
        rows: GLMMRows,
        response: Response,
        family: Family,
        engine: Engine,
        curvature: str,
    ) -> None:
        self.rows, self.response, self.family, self.engine = rows, response, family, engine
        self.curvature = curvature
        self.covariance = rows.cp.covariance
        self.modes_at = ModeSearch(rows, engine)
        groups = rows.cp.groups
        self.term_effects = [groups[term.group].n_levels * term.k for term in rows.cp.terms]
        self.evaluations = self.rejected = 0
        self.on_evaluation: Callable[[int], Any] | None = None
        self.theta: np.ndarray
        self.beta: np.ndarray
        self.extra: np.ndarray
        self.lambdas: list[np.ndarray]
        self.modes: Modes
        self.logdet: float
        self.deviance: float
        self._K: list[np.ndarray] | None = None
        self._blocks: list[np.ndarray] | None = None
        self._gradient: np.ndarray | None = None
        self._holds: str = ""

    @property
    def n_theta(self) -> int:
        """Number of covariance parameters."""
        return self.covariance.n_theta

    # -- values -----------------------------------------------------------------------------------

    def value(self, x: np.ndarray) -> float:
        """Find the modes at x and return the deviance; infinite where there are none.

        x = (theta, beta, extra)
        """
        self.evaluations += 1
        if self.on_evaluation is not None:
            self.on_evaluation(1)
        self._K = self._blocks = self._gradient = None
        self._holds = ""
        self.x = np.array(x, dtype=float)
        m, p = self.n_theta, self.rows.cp.p
        self.theta, self.beta, self.extra = self.x[:m], self.x[m : m + p], self.x[m + p :]
        self.lambdas = self.covariance.lambdas(self.theta)
        fixed = self.rows.fixed(self.beta)
        found = self.modes_at.find(self.family, self.lambdas, fixed, self.extra)
        if found is not None:
            self.modes = found
            logdet = self._factor(self.curvature)
            if logdet is not None:
                self.logdet = logdet
                constant = constant_of(self.family, self.extra, self.response)
                loglik = found.loglik + constant
                self.deviance = -2.0 * loglik + found.penalty + logdet
                if math.isfinite(self.deviance):
                    return self.deviance
        self.rejected += 1
        return math.inf

    def weights(self, curvature: str) -> np.ndarray:
        """Return the weights of the rows at the modes."""
        return self.modes.rows.weights(curvature)

    def _factor(self, curvature: str) -> float | None:
        """Factor M at the modes with expected or observed weights; return log|M| or None."""
        name = "expected" if self.family.is_canonical else curvature
        if self._holds == name:
            return self.logdet
        self.engine.take(self.rows.products(self.weights(name)))
        found = self.engine.factor(self.lambdas)
        self._holds = name if found is not None else ""
        return None if found is None else found[0]

    # -- derivatives ------------------------------------------------------------------------------

    @property
    def K(self) -> list[np.ndarray]:
        """Diagonal blocks of Z'V0^-1 Z of each group, (J,K,K)."""
        if self._K is None:
            self._factor(self.curvature)
            self._K = traces_of(self.engine).blocks_k()
        return self._K

    def _pair_blocks(self) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        """Generate the blocks of Lambda M^-1 Lambda' between levels that occur together."""
        for (g, h), pair in self.rows.cp.pairs.items():
            yield (
                (g, h),
                self.engine.posterior_pairs(g, h, pair.rows, pair.indices.astype(np.int64)),
            )

    def leverages(self) -> np.ndarray:
        """Compute z_i'Lambda M^-1 Lambda'z_i of every row, (n,)."""
        self._factor(self.curvature)
        return self.rows.quadratic(self.engine.posterior_blocks(), self._pair_blocks())

    def full_gradient(self) -> np.ndarray:
        """Compute the gradient in (theta, beta, extra)."""
        if self._gradient is None:
            self._gradient = self._make_gradient()
        return self._gradient

    def _make_gradient(self) -> np.ndarray:
        now, data = self.modes.rows, self.rows
        K = self.K
        leverages = self.leverages()
        c = leverages * now.weight_slopes(self.curvature)
        Zc = data.by_level(c)
        self._factor("observed")
        solved = self.engine.solve([own[:, :, None] for own in Zc])
        t = data.random([np.ascontiguousarray(own[:, :, 0]) for own in solved])
        left = c - now.h * t
        self._blocks = []
        for own, e, k in zip(K, self.modes.e, data.by_level(left), strict=True):
            cross = k.T @ e
            self._blocks.append(own.sum(axis=0) - e.T @ e + 0.5 * (cross + cross.T))
        of_beta = data.X.T @ (left - 2.0 * now.s)
        of_theta = self.covariance.gradient(self.lambdas, self._blocks)
        slopes = self._extra_slopes()
        of_extra = slopes.w @ leverages + slopes.s @ t - 2.0 * slopes.l.sum(axis=1)
        return np.concatenate([of_theta, of_beta, of_extra])

    def _extra_slopes(self) -> ExtraSlopes:
        """Compute the derivatives of the rows in the parameters of the family."""
        now, data = self.modes, self.rows
        return extra_slopes(
            self.family, self.extra, now.eta, data.y, data.size, now.rows, self.curvature
        )

    def gradient_blocks(self) -> list[np.ndarray]:
        """Compute dd/dH_g, symmetric (K,K) per group."""
        self.full_gradient()
        assert self._blocks is not None  # the gradient makes them
        return self._blocks

    def precision_sums(self) -> list[np.ndarray]:
        """Sum Z_j'V0^-1 Z_j over the levels of each group, (K,K)."""
        return [own.sum(axis=0) for own in self.K]

    def gradient(self) -> np.ndarray:
        """Compute dd/dtheta, (m,)."""
        return self.full_gradient()[: self.n_theta]

    def hessian_blocks(self) -> dict[tuple[int, int], np.ndarray]:
        """Approximate d2d/dH_g dH_g: sum_j K_j[b,c] K_j[a,d], what is expected of one factor."""
        return {
            (g, g): np.einsum("jbc,jad->abcd", own, own, optimize=True)
            for g, own in enumerate(self.K)
        }

    def first_hessian(self) -> np.ndarray:
        """Approximate the Hessian in (theta, beta, extra): information, without the cross parts.

        For theta as `hessian_blocks`, for beta 2 X'V0^-1 X, for the parameters of the family the
        products of scores.
        """
        m, p = self.n_theta, len(self.beta)
        out = np.zeros((len(self.x), len(self.x)))
        for block in self.hessian_blocks().items():
            (g, _), second = block
            G = [np.zeros((size, size)) for size in self.covariance.sizes]
            zero = {
                (i, j): np.zeros((a, a, b, b))
                for j, b in enumerate(self.covariance.sizes)
                for i, a in enumerate(self.covariance.sizes[: j + 1])
            }
            zero[g, g] = second
            out[:m, :m] += self.covariance.hessian(self.lambdas, G, zero)
        scores = self._extra_slopes().l
        out[m + p :, m + p :] = 2.0 * scores @ scores.T
        out[m : m + p, m : m + p] = 2.0 * self.information()
        return out

    def information(self) -> np.ndarray:
        """Compute X'V0^-1 X at the modes, the information of beta given theta, (p,p)."""
        data = self.rows
        cp = data.products(self.weights(self.curvature), np.zeros(data.n))
        self.engine.take(cp)
        found = self.engine.factor(self.lambdas)
        self._holds = "expected" if self.family.is_canonical else self.curvature
        assert found is not None  # the same matrix was factored for the deviance
        return found[1][:-1, :-1]

    # -- the search -------------------------------------------------------------------------------

    def derivatives(self, exact: bool) -> Derivatives:
        """Return the gradient and the approximate Hessian; an exact one takes `hessian`."""
        return Derivatives(self.full_gradient(), self.first_hessian())

    @property
    def is_interior(self) -> bool:
        """Whether no covariance is near singular."""
        return not any(self.covariance.singular_terms(self.theta))

    def escape(self) -> Escape:
        """Find the larger decrease off the boundary or along the scale of a term."""
        found = find_escape(self)
        return Escape(found.decrease, np.concatenate([found.target, self.x[self.n_theta :]]))

    @property
    def safe_start(self) -> np.ndarray:
        """Every lambda the identity, beta zero, and parameters of the family without predictors."""
        return np.concatenate(
            [
                self.covariance.identity,
                np.zeros(self.rows.cp.p),
                first_extra(self.family, self.rows.y, self.rows.size),
            ]
        )

    @property
    def cp(self) -> CrossProducts:
        return self.rows.cp
