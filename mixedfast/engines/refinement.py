"""Iterative refinement of [X y]'V0^-1[X y] where random effects make up nearly all of y.

The residuals of a solution come from products of the residuals themselves (see
`mixedfast.crossprod.residual_products`), which have all their digits. The error that remains in a
solution enters the result by its square.
"""

from __future__ import annotations

import numpy as np

from mixedfast.crossprod.residual_products import ResidualProducts, add_fixed_part
from mixedfast.engines.interface import Engine, traces_of
from mixedfast.engines.layout import times_a

__all__ = ["Refined"]

#: Corrections of the solution of the engine. One squares its relative error; the second removes the
#: rounding of the first.
_CORRECTIONS = 2
#: Size of lambda from which K = H^-1 - H^-1 Q H^-1 loses no digit in that direction; below, A - A Q
#: A loses none.
_LARGE = 1.0
#: Size of lambda (columns of Z of order one) below which U comes from Z'E in that direction, from B
#: elsewhere.
_WEAK = 1e-4


class Refined:
    """An engine with products of residuals for refinement.

    Parameters
    ----------
    engine : Engine
    remainder : ResidualProducts
    """

    def __init__(self, engine: Engine, remainder: ResidualProducts) -> None:
        self.engine = engine
        self.remainder = remainder
        gamma = remainder.gamma
        # Z'[X, y - X gamma], where X gamma is the larger part of y
        self._B = [add_fixed_part(group.B, -gamma) for group in engine.cp.groups]

    def square(self, lambdas: list[np.ndarray]) -> np.ndarray:
        """Compute [X, y - X gamma]'V0^-1 [X, y - X gamma], (p+1,p+1).

        The engine has factored at these lambdas.
        """
        directions = [_directions(lam) for lam in lambdas]
        B = self._B
        b, ze = [np.zeros_like(part) for part in B], [np.zeros_like(part) for part in B]
        for _ in range(1 + _CORRECTIONS):
            b = [old + more for old, more in zip(b, self.engine.solve(B), strict=True)]
            u = [
                inverse @ part + weak @ z
                for (inverse, weak, _), part, z in zip(directions, b, ze, strict=True)
            ]
            b = [lam @ part for lam, part in zip(lambdas, u, strict=True)]
            ee, ze = self._rest(b)
            B = [
                strong @ z - inverse.T @ part
                for (inverse, _, strong), z, part in zip(directions, ze, u, strict=True)
            ]
        # Z'V0^-1[X y] is Z'E, and lambda' Z'E = U, of which U is the more accurate
        self._C = [
            z + inverse.T @ (part - lam.T @ z)
            for (inverse, _, _), z, part, lam in zip(directions, ze, u, lambdas, strict=True)
        ]
        self._lambdas = lambdas
        return ee + sum(_over_levels(part, part) for part in u)

    def _rest(self, b: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Compute E'E (p+1,p+1) and Z'E (J,K,p+1) of each group.

        E = [X, y - X gamma] - Z b
        """
        known = self.remainder
        f = [part - delta for part, delta in zip(b, known.delta, strict=True)]
        ze = [
            zw - product for zw, product in zip(known.zw, times_a(self.engine.cp, f), strict=True)
        ]
        # W'W - f'Z'W - E'Z f, each as small as the result
        ee = known.ww - sum(
            _over_levels(part, zw) + _over_levels(z, part)
            for part, zw, z in zip(f, known.zw, ze, strict=True)
        )
        return 0.5 * (ee + ee.T), ze

    def blocks_k(self) -> list[np.ndarray]:
        """Compute the blocks of `Traces.blocks_k` at the lambdas of the last `square`."""
        K = traces_of(self.engine).blocks_k()
        Q = self.engine.posterior_blocks()
        for g, lam in enumerate(self._lambdas):
            P, size, _ = np.linalg.svd(lam)
            large = P[:, size > _LARGE]
            inverse = (large / size[size > _LARGE] ** 2) @ large.T
            onto = large @ large.T
            K[g] = K[g] + onto @ (inverse - inverse @ Q[g] @ inverse - K[g]) @ onto
        return K

    def project(self, weights: np.ndarray | None = None) -> list[np.ndarray]:
        """Compute the projections of `Engine.project` at the lambdas of the last `square`."""
        C = [add_fixed_part(c, self.remainder.gamma) for c in self._C]
        return C if weights is None else [c @ weights for c in C]


def _over_levels(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum left'right over the levels and columns of a group, (J,K,r) and (J,K,s) to (r,s)."""
    return np.tensordot(left, right, ((0, 1), (0, 1)))


def _directions(lam: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split a lambda into strong and weak directions.

    Its inverse in strong directions, lambda' in weak ones, and the projection on the strong, (K,K)
    each.
    """
    P, size, Qt = np.linalg.svd(lam)
    strong = size > _WEAK
    kept = P[:, strong]
    inverse = (Qt[strong].T / size[strong]) @ kept.T
    return inverse, (Qt[~strong].T * size[~strong]) @ P[:, ~strong].T, kept @ kept.T
