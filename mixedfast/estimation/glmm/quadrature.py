"""Adaptive Gauss-Hermite quadrature for one grouping factor with one random effect.

With nodes x_r and weights w_r of N(0, 1), the mode u_j of level j, M_j its curvature, s_j =
M_j^-1/2 and F_j(u) = sum of the log likelihoods of the level - u^2 / 2:

    -2 log L = sum_j { log M_j - 2 log sum_r w_r exp[ F_j(u_j + s_j x_r) + x_r^2 / 2 ] }

(Pinheiro and Chao 2006, J. Comput. Graph. Stat. 15; Liu and Pierce 1994, Biometrika 81). One node
is Laplace's approximation. The gradient is exact: modes and curvatures move with the parameters.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfast.engines.interface import Engine
from mixedfast.errors import NotDefinedError
from mixedfast.estimation.glmm.dispersion import ExtraSlopes, constant_of, extra_slopes
from mixedfast.estimation.glmm.families import Family, FamilyRows
from mixedfast.estimation.glmm.laplace import GLMMSystem
from mixedfast.estimation.glmm.responses import Response
from mixedfast.estimation.glmm.rows import GLMMRows

__all__ = ["QuadratureSystem"]


class QuadratureSystem(GLMMSystem):
    """A `GLMMSystem` whose deviance is by adaptive Gauss-Hermite quadrature.

    Parameters
    ----------
    rows : GLMMRows
        With one grouping factor and one random effect.
    response, family, engine, curvature
        As for `GLMMSystem`; the curvature scales the nodes.
    n_agq : int
        Number of nodes.

    Raises
    ------
    NotDefinedError
        For another structure of random effects.
    """

    def __init__(
        self,
        rows: GLMMRows,
        response: Response,
        family: Family,
        engine: Engine,
        curvature: str,
        n_agq: int,
    ) -> None:
        groups = rows.cp.groups
        if len(groups) != 1 or groups[0].k != 1:
            raise NotDefinedError(
                f"n_agq={n_agq}: quadrature is for one grouping factor with one random effect, "
                "such as (1 | g); use n_agq=1, Laplace's approximation"
            )
        super().__init__(rows, response, family, engine, curvature)
        self.n_agq = n_agq
        nodes, weights = np.polynomial.hermite_e.hermegauss(n_agq)
        self._nodes = nodes
        self._log_weights = np.log(weights / weights.sum()) + 0.5 * nodes**2

    def value(self, x: np.ndarray) -> float:
        if not math.isfinite(super().value(x)):
            return math.inf
        self._lambda = float(self.lambdas[0][0, 0])
        self._u = self._lambda * self.modes.e[0][:, 0]
        self._M = 1.0 + self._lambda**2 * self._by_level(self._squares * self.weights_now)
        terms = np.empty((len(self._nodes), len(self._u)))
        for r in range(len(self._nodes)):
            terms[r] = self._log_weights[r] + self._level_values(r)
        top = terms.max(axis=0)
        shares = np.exp(terms - top)
        total = shares.sum(axis=0)
        self._shares = shares / total
        constant = constant_of(self.family, self.extra, self.response)
        self.deviance = float((np.log(self._M) - 2.0 * (top + np.log(total))).sum())
        self.deviance -= 2.0 * constant
        if math.isfinite(self.deviance):
            return self.deviance
        self.rejected += 1
        return math.inf

    @property
    def weights_now(self) -> np.ndarray:
        """Weights of the rows at the modes, of the chosen curvature."""
        return self.weights(self.curvature)

    @property
    def _z(self) -> np.ndarray | float:
        Z = self.rows.Z[0]
        return 1.0 if Z is None else Z[:, 0]

    @property
    def _squares(self) -> np.ndarray:
        return np.broadcast_to(np.square(self._z), (self.rows.n,))

    def _by_level(self, values: np.ndarray) -> np.ndarray:
        """Sum over the rows of each level, (J,)."""
        return np.bincount(self.rows.levels[0].codes, values, minlength=len(self._u))

    def _at_node(self, r: int) -> tuple[np.ndarray, np.ndarray, FamilyRows]:
        """Evaluate the family at node r: the effects (J,), the linear predictors, the rows."""
        u = self._u + self._nodes[r] / np.sqrt(self._M)
        move = (self._lambda * (u - self._u))[self.rows.levels[0].codes]
        eta = self.modes.eta + self._z * move
        return u, eta, self.family.rows(eta, self.rows.y, self.rows.size, self.extra)

    def _level_values(self, r: int) -> np.ndarray:
        """Compute F_j at node r, (J,)."""
        u, _, now = self._at_node(r)
        values = self._by_level(now.l) - 0.5 * u * u
        return np.where(np.isfinite(values), values, -np.inf)

    def _make_gradient(self) -> np.ndarray:
        lam, M, u = self._lambda, self._M, self._u
        codes, z = self.rows.levels[0].codes, self._z
        now = self.modes.rows
        scores = np.zeros(self.rows.n)
        of_mode, of_scale = np.zeros_like(u), np.sqrt(M)
        of_theta = 0.0
        of_extra = np.zeros(len(self.extra))
        for r, node in enumerate(self._nodes):
            share = self._shares[r]
            at, eta, rows = self._at_node(r)
            s = np.where(share[codes] > 0.0, rows.s, 0.0)
            Zs = self._by_level(z * s)
            slope = lam * Zs - at  # dF/du
            scores += share[codes] * s
            of_mode += share * slope
            of_scale += share * slope * node
            of_theta += float(share @ (Zs * at))
            if len(self.extra):
                l = self._slopes(eta, rows).l  # noqa: E741
                of_extra += np.where(share[codes] > 0.0, l, 0.0) @ share[codes]
        c = now.weight_slopes(self.curvature) * lam**2 * self._squares
        of_M = -0.5 * of_scale / M**1.5
        MH = 1.0 + lam**2 * self._by_level(self._squares * now.h)
        through = (of_mode + of_M * lam * self._by_level(c * z)) / MH
        of_eta = scores + of_M[codes] * c - through[codes] * lam * now.h * z
        of_theta += float(
            of_M
            @ (
                u * self._by_level(c * z)
                + 2.0 * lam * self._by_level(self._squares * self.weights_now)
            )
        )
        Hzz = self._by_level(self._squares * now.h)
        of_theta += float(through @ (self.modes.e[0][:, 0] - lam * Hzz * u))
        if len(self.extra):
            own = self._slopes(self.modes.eta, now)
            of_extra += lam * (own.s * z) @ through[codes]
            of_extra += lam**2 * (own.w * self._squares) @ of_M[codes]
        if lam != 0.0:
            self._blocks = [np.array([[-of_theta / lam]])]
        else:  # the limit: e and h are those of the model without random effects
            e = self.modes.e[0][:, 0]
            self._blocks = [np.array([[Hzz.sum() - e @ e]])]
        theta = self.covariance.gradient(self.lambdas, self._blocks)
        return np.concatenate([theta, -2.0 * self.rows.X.T @ of_eta, -2.0 * of_extra])

    def _slopes(self, eta: np.ndarray, now: FamilyRows) -> ExtraSlopes:
        """Compute the derivatives of the rows in the parameters of the family."""
        data = self.rows
        return extra_slopes(self.family, self.extra, eta, data.y, data.size, now, self.curvature)
