"""Searches from several starting values, where the likelihood may have several optima."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfast.covariance.relative import Covariance, lower_root
from mixedfast.crossprod.types import CrossProducts
from mixedfast.estimation.newton import ITERATION_LIMIT, Optimum
from mixedfast.estimation.small_search import CRITERION_TOLERANCE, Search
from mixedfast.estimation.starting_values import evenness

__all__ = ["best_optimum", "may_have_several_optima"]

#: Standard deviation (columns of Z of order one) below which a search that ran out of iterations is
#: taken to creep to zero.
NEAR_BOUNDARY = 0.1
#: With no more rows than this per effect of a term with slopes, and per half fixed effect, or where
#: a smaller share of the levels of a factor has nearly all rows, one model in three hundred has a
#: lower optimum elsewhere; so has one in a hundred of those with slopes of no more levels than
#: this, or without an intercept for the factor. Such a model is searched again from these multiples
#: of lambda = I, if it has no more random effects than this: it takes milliseconds.
FEW_ROWS, UNEVEN, FEW_LEVELS, FEW_EFFECTS = 2.0, 0.25, 8, 1000
STARTS_ELSEWHERE = (0.01, 0.03, 3.0, 30.0)


def best_optimum(
    search: Search, found: Optimum, several: bool, has_digits: Callable[[Optimum], bool]
) -> Optimum:
    """Search again from other starts; return the lowest optimum.

    Parameters
    ----------
    search : Search
    found : Optimum
        Of the first start.
    several : bool
        Whether the likelihood may have several optima (see `may_have_several_optima`).
    has_digits : callable
        Whether rounding leaves the criterion enough digits at an optimum, the last one found.
    """
    found = _search_from_identity(search, found)
    return _search_elsewhere(search, found, has_digits) if several and found.converged else found


def _search_from_identity(search: Search, found: Optimum) -> Optimum:
    """Search again from lambda = I after an optimum on the boundary; return the better of the two.

    On the boundary the likelihood may have another optimum inside, or on another face when two
    terms can replace each other. lme4 starts again there too (``restart_edge``). A search that
    creeps towards the boundary, where derivatives in theta vanish, is continued on it.
    """
    cov = search.covariance
    start = cov.identity if any(cov.singular_terms(found.theta)) else None
    if start is None and found.message == ITERATION_LIMIT:
        start = _on_boundary(cov, found.theta)
    if start is None:
        return found
    other = search.minimize(start, found.exact_hessian)
    return other if other.deviance < found.deviance - CRITERION_TOLERANCE else found


def may_have_several_optima(cp: CrossProducts) -> bool:
    """Return whether the likelihood of a small model may have several optima.

    The model is so small that searches cost next to nothing.
    """
    if sum(group.n_levels * group.k for group in cp.groups) > FEW_EFFECTS:
        return False
    slopes = sum(cp.groups[term.group].n_levels * term.k for term in cp.terms if term.k > 1)
    return (
        cp.n <= FEW_ROWS * (2 * cp.p + slopes)
        or min(map(evenness, cp.groups)) < UNEVEN
        or any("Intercept" not in group.names for group in cp.groups)
        or any(group.k > 1 and group.n_levels <= FEW_LEVELS for group in cp.groups)
    )


def _search_elsewhere(
    search: Search, found: Optimum, has_digits: Callable[[Optimum], bool]
) -> Optimum:
    """Search again from `STARTS_ELSEWHERE`; return the lowest optimum with a certificate.

    Where the residual variance can run to zero the likelihood has no maximum, and a search from far
    out ends in rounding: that is no optimum.
    """
    for size in STARTS_ELSEWHERE:
        start = size * search.covariance.identity
        if search.solve(start) is None:
            continue
        other = search.minimize(start, found.exact_hessian)
        lower = other.deviance < found.deviance - CRITERION_TOLERANCE
        if other.converged and lower and has_digits(other):
            found = other
    return found


def _on_boundary(cov: Covariance, theta: np.ndarray) -> np.ndarray | None:
    """Find the nearest theta with a singular covariance.

    It is singular in the term that is nearest to one; None when none is near.
    """
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
