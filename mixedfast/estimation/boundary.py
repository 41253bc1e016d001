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
LONGEST_RESCALING = (-4.0, 2.0)
#: A slope off the boundary is a difference of sums as large as ``tr(Z'V0^-1 Z)``. It counts as zero
#: up to this share of them: a factor that is in both parts of the model leaves 1e-14.
ROUNDING = 1e-12
#: Largest variance to add to a singular term, over the variance with which V0 determines the effect
#: of a mean level. The quadratic model leads to less than one half where levels are alike; its
#: curvature may be negative.
LARGEST_VARIANCE = 100.0


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

    def precision_sums(self) -> list[np.ndarray]:
        """Return the sum of Z_j'V0^-1 Z_j over the levels j of each group, (K,K)."""

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
            target[own] *= np.exp(np.clip(-8.0 * slope / curvature, *LONGEST_RESCALING))
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
    G, H, precision = criterion.gradient_blocks(), None, criterion.precision_sums()
    for term, is_singular, effects in zip(cov.terms, singular, criterion.term_effects, strict=True):
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
            slope = float(v @ g @ v)
            size = float(v @ precision[term.group][own, own] @ v)
            if slope >= -ROUNDING * size:
                continue
            longest = LARGEST_VARIANCE * effects / (term.k * size)
            curvature = float(np.einsum("abcd,a,b,c,d->", h, v, v, v, v))
            curvature = max(curvature, -slope / longest)
            decrease = 0.5 * slope**2 / curvature
            if decrease > best.decrease:
                moved = [block.copy() for block in lambdas]
                root = np.column_stack(
                    [moved[term.group][own, own], np.sqrt(-slope / curvature) * v]
                )
                moved[term.group][own, own] = lower_root(root)
                best = Escape(decrease, cov.theta_of(moved))
    return best
