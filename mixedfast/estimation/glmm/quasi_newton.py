"""A quadratic model of a criterion whose Hessian is learned from its gradients (BFGS).

The update of Broyden, Fletcher, Goldfarb and Shanno (Nocedal and Wright 2006, section 6.1) starts
from an approximate Hessian of the criterion. Near the optimum the Hessian comes from differences of
the exact gradient.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixedfast.estimation.criterion import Criterion
from mixedfast.estimation.local_model import HessianKind, QuadraticStep
from mixedfast.estimation.steps import newton_step

__all__ = ["GradientCriterion", "QuasiNewtonModel", "hessian_by_differences"]

#: Share of ``s'B s`` that ``s'y`` must reach: the update then stays positive definite, and a change
#: of sign of the curvature along the step is not learned.
_CURVED = 1e-3
#: Steps of differences, in units of the change that lowers a quadratic model by one half: the
#: truncation of a central difference is then about 1e-7, and so is rounding in the gradient.
_STEP = 2e-3
#: Largest decrease predicted after which the rate of two steps shows convergence.
_CONVERGING = 1e-4


class GradientCriterion(Criterion, Protocol):
    """A criterion with an exact gradient and a first guess of its Hessian."""

    def full_gradient(self) -> np.ndarray:
        """Return the gradient at the point of the last evaluation, (m,)."""

    def first_hessian(self) -> np.ndarray:
        """Approximate the Hessian there, positive semidefinite, (m,m)."""


class QuasiNewtonModel:
    """A `LocalModel` by BFGS.

    Parameters
    ----------
    hessian : (m,m) array, optional
        The Hessian to start from; default: `GradientCriterion.first_hessian`.
    """

    kind: HessianKind = "quasi-Newton"
    certifies_ahead = True

    def __init__(self, hessian: np.ndarray | None = None) -> None:
        self._B = hessian
        self._given = hessian is not None
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._refined = False
        self._differences = False

    def at(self, criterion: GradientCriterion, x: np.ndarray, before: float) -> QuadraticStep:
        gradient = criterion.full_gradient()
        if self._refined:
            self._refined, self._last, self._differences = False, None, True
            self._B = hessian_by_differences(criterion, x, criterion.first_hessian())
        elif not np.isfinite(before) and not self._given:
            self._B, self._last = criterion.first_hessian(), None
        elif self._last is not None:
            self._update(x - self._last[0], gradient - self._last[1])
        assert self._B is not None  # one of the branches has made it
        self._last = x.copy(), gradient.copy()
        step, decrease = newton_step(gradient, self._B)
        remaining = np.inf
        if 0.0 < decrease < before and decrease < _CONVERGING and before < np.inf:
            # superlinear convergence: the rate falls from step to step
            remaining = decrease * decrease / before
        return QuadraticStep(gradient, self._B, step, decrease, remaining)

    def refine(self) -> bool:
        if self._differences or self._refined:
            return False
        self._refined = True
        return True

    def _update(self, s: np.ndarray, y: np.ndarray) -> None:
        assert self._B is not None
        Bs = self._B @ s
        sBs, sy = float(s @ Bs), float(s @ y)
        if sBs > 0.0 and sy > _CURVED * sBs:
            self._B = self._B + np.outer(y, y) / sy - np.outer(Bs, Bs) / sBs


def hessian_by_differences(
    criterion: GradientCriterion, x: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Compute the Hessian by central differences of the exact gradient.

    Parameters
    ----------
    criterion : GradientCriterion
        Evaluated at x again afterwards.
    x : (m,) array
    scale : (m,m) array
        An approximate Hessian: its diagonal sets the steps.

    Returns
    -------
    (m,m) array
        Symmetric.
    """
    m = len(x)
    H = np.empty((m, m))
    size = np.diag(scale)
    for i in range(m):
        width = _STEP * np.sqrt(2.0 / size[i]) if size[i] > 0.0 else _STEP
        ends = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[i] += sign * width
            if not np.isfinite(criterion.value(moved)):
                criterion.value(x)
                return np.full((m, m), np.nan)
            ends.append(criterion.full_gradient())
        H[i] = (ends[0] - ends[1]) / (2.0 * width)
    criterion.value(x)
    return 0.5 * (H + H.T)
