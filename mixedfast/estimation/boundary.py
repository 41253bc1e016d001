"""Ways down that the Hessian in theta does not show.

They lead off the boundary, or along the scale of a term. theta enters a model only through
``H = lambda lambda'``. Where a column of lambda is zero, the criterion is stationary in theta
whatever its slope in H; and far from any optimum (a ratio of variances past 1e8, say) the Hessian
is rounding and may call a slope level. Both are stated as decreases of the deviance.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np

from mixedfast.covariance.relative import SMALLEST_DIVISOR, Covariance, lower_root
from mixedfast.estimation.criterion import Escape

__all__ = ["CovarianceCriterion", "find_escape", "off_boundary", "scale_decrease"]

#: A term is rescaled by no more than these powers of e at once.
_LONGEST_RESCALING = (-4.0, 2.0)


class CovarianceCriterion(Protocol):
    """A criterion of relative covariances, at the theta it was last evaluated at."""

    covariance: Covariance
    theta: np.ndarray
    lambdas: list[np.ndarray]
    #: Random effects of each term.
    term_effects: list[int]

    def gradient(self) -> np.ndarray:
        """Return the gradient in theta, (m,)."""

    def gradient_blocks(self) -> list[np.ndarray]:
        """Return the derivative in H of each group, symmetric (K,K)."""

    def hessian_blocks(self) -> dict[tuple[int, int], np.ndarray]:
        """Return second derivatives in H_g and H_h, (K_g,K_g,K_h,K_h) for g <= h.

        They may be approximate.
        """


def find_escape(criterion: CovarianceCriterion) -> Escape:
    """Find the larger of the decreases off the boundary and along the scale of a term."""
    escapes = off_boundary(criterion), scale_decrease(criterion)
    return max(escapes, key=lambda escape: escape.decrease)


def scale_decrease(criterion: CovarianceCriterion) -> Escape:
    """Find the decrease from multiplying all parameters of a term by one number.

    The curvature of the deviance in the logarithm of the scale of a term is at most about twice the
    number of its effects.
    """
    cov, theta = criterion.covariance, criterion.theta
    slopes = theta * criterion.gradient()
    best = Escape(0.0, theta)
    for (first, end), effects in zip(pairwise(cov.edges), criterion.term_effects, strict=True):
        own = slice(first, end)
        slope, curvature = float(slopes[own].sum()), 2.0 * effects
        decrease = 0.5 * slope**2 / curvature
        if decrease > best.decrease:
            target = theta.copy()
            target[own] *= np.exp(np.clip(-8.0 * slope / curvature, *_LONGEST_RESCALING))
            best = Escape(decrease, target)
    return best


def off_boundary(criterion: CovarianceCriterion) -> Escape:
    """Find the decrease from adding variance t vv' to a singular term.

    At a stationary theta, dd/dH lambda = 0; a negative eigenvalue of dd/dH (restricted to each
    term) is then a way down that starts at the boundary.
    """
    cov, theta, lambdas = criterion.covariance, criterion.theta, criterion.lambdas
    best = Escape(0.0, theta)
    singular = cov.singular_terms(theta)
    if not any(singular):
        return best
    G, H = criterion.gradient_blocks(), None
    for term, is_singular in zip(cov.terms, singular, strict=True):
        if not is_singular:
            continue
        own = slice(term.start, term.start + term.k)
        g = G[term.group][own, own]
        H = H or criterion.hessian_blocks()
        h = H[term.group, term.group][own, own, own, own]
        scale = 1.0 / np.sqrt(
            np.maximum(np.sqrt(np.abs(np.einsum("aaaa->a", h))), SMALLEST_DIVISOR)
        )
        for v in term.structure.descent_directions(g, scale):
            slope = min(float(v @ g @ v), 0.0)  # rounding may turn the sign of a slope near zero
            curvature = float(np.einsum("abcd,a,b,c,d->", h, v, v, v, v))
            curvature = max(curvature, SMALLEST_DIVISOR)
            decrease = 0.5 * slope**2 / curvature
            if decrease > best.decrease:
                moved = [block.copy() for block in lambdas]
                root = np.column_stack(
                    [moved[term.group][own, own], np.sqrt(-slope / curvature) * v]
                )
                moved[term.group][own, own] = lower_root(root)
                best = Escape(decrease, cov.theta_of(moved))
    return best
