"""Starting values from moments: MINQUE(0), from the cross-products without a factorization.

Rao (1971, J. Multivariate Anal. 1) equates quadratic forms e'Ge of the residuals to their
expectations. With weights at zero variance ratios they need only Z'Z, Z'X and Z'e. On balanced data
the result is that of REML; elsewhere it is unbiased and rough. It is within a factor of two on most
data, where lambda = 1 can be off by hundreds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfast.covariance._theta import (
    root_inside,
    solve_moment_equations,
    solve_normal_equations,
)
from mixedfast.covariance.relative import SMALLEST_DIVISOR, Covariance
from mixedfast.crossprod.blocks import GroupProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._cooccurrence import pairs_moments
from mixedfast.engines._levels import level_moments
from mixedfast.engines.block import BlockEngine
from mixedfast.estimation.local_model import DirectModel
from mixedfast.estimation.newton import minimize
from mixedfast.estimation.pls import LevelMoments, PLSSystem

__all__ = ["evenness", "first_theta", "one_at_a_time", "starting_theta"]

#: Share of the levels of a factor that carry its moments (`evenness`) below which MINQUE(0) is far
#: off. Lecturers of InstEval: 0.09; 5,000 items with Zipf distributed counts: 0.001.
_EVEN = 0.01

#: Predicted decrease of the deviance at which a model with one factor is near enough to start from.
_ONE_FACTOR_TOLERANCE = 1e-3

#: Relative standard deviations at the start are no smaller than this (the deviance is stationary in
#: theta at exactly zero, whatever the data) and no larger than its inverse.
_INSIDE = 0.1


def first_theta(cp: CrossProducts, reml: bool) -> np.ndarray:
    """Choose a start.

    MINQUE(0), or one factor at a time where a few levels carry the moments of a factor.
    """
    uneven = len(cp.groups) > 1 and min(evenness(group) for group in cp.groups) < _EVEN
    return one_at_a_time(cp, reml) if uneven else starting_theta(cp)


def evenness(group: GroupProducts) -> float:
    """Return the share of the levels that carry the moments.

    1 for equal weights, 1/J where one level has all the weight.
    """
    weight = np.einsum("jaa->j", group.A) ** 2
    return float(weight.sum() ** 2 / max((weight**2).sum(), SMALLEST_DIVISOR)) / group.n_levels


def starting_theta(cp: CrossProducts) -> np.ndarray:
    """Estimate theta (internal basis) from moments, every lambda well inside the cone.

    Parameters
    ----------
    cp : CrossProducts
        Of full column rank in X.

    Returns
    -------
    (n_theta,) array
    """
    cov = cp.covariance
    found = solve_normal_equations(cp.xy)
    if found is None:  # y is nearly a combination of the columns of X
        return cov.identity
    _, whiten, beta, norm = found
    residual = norm**2
    # at zero variance ratios Z'V0^-1 is Z', so these are the sums of the system there: v = Z'e, and
    # D D' is the part of Z'Z that X explains
    sums = [
        LevelMoments(*level_moments(g.A, np.ascontiguousarray(g.B), whiten, beta, True, True))
        for g in cp.groups
    ]
    size = cov.n_elements
    equations, right = np.empty((size + 1, size + 1)), np.empty(size + 1)
    right[:-1] = cov.pick([m.vv for m in sums])
    equations[:-1, -1] = equations[-1, :-1] = cov.pick([m.K - m.DD for m in sums])
    equations[:-1, :-1] = cov.pick_pairs(_traces(cp, sums, whiten))
    equations[size, size], right[size] = cp.n - cp.p, residual
    gamma = solve_moment_equations(equations, right, 1e-10)
    sigma2 = max(gamma[size], 0.05 * residual / cp.n)
    if not sigma2 > 0:
        return cov.identity
    return _inside(cov, gamma[:size] / sigma2)


def one_at_a_time(cp: CrossProducts, reml: bool) -> np.ndarray:
    """Estimate theta from models with one grouping factor each.

    Where factors are crossed, a model without the others has their variance in its residual, by
    their mean share of the variance of a row, and finds its own variance as REML does, whatever the
    sizes of the groups; MINQUE(0) gives large groups too much weight. (On a million ratings with
    Zipf distributed counts the start is 1e-2 deviance units off instead of 1e4.)

    Parameters
    ----------
    cp : CrossProducts
        Of full column rank in X, several groups.
    reml : bool

    Returns
    -------
    (n_theta,) array
    """
    cov, lambdas, variances, shares = cp.covariance, [], [], []
    for g, group in enumerate(cp.groups):
        terms = tuple(replace(term, group=0) for term in cov.terms if term.group == g)
        alone = replace(cp, groups=(group,), pairs={}, terms=terms)
        system = PLSSystem(alone, BlockEngine(alone), reml)
        found = minimize(
            system, starting_theta(alone), DirectModel(exact=True), tolerance=_ONE_FACTOR_TOLERANCE
        )
        lambdas.append(alone.covariance.lambdas(found.theta)[0])
        variances.append(system.solution.r2 / system.nu)
        shares.append(
            variances[g] * float(np.sum(group.A.sum(axis=0) * (lambdas[g] @ lambdas[g].T))) / cp.n
        )
    unexplained = [
        variance - sum(shares) + share for variance, share in zip(variances, shares, strict=True)
    ]
    sigma2 = max(float(np.mean(unexplained)), 0.05 * min(variances))
    relative = [
        lam @ lam.T * (variance / sigma2) for lam, variance in zip(lambdas, variances, strict=True)
    ]
    return _inside(cov, cov.elements_of(relative))


def _traces(
    cp: CrossProducts, sums: list[LevelMoments], whiten: np.ndarray
) -> dict[tuple[int, int], np.ndarray]:
    """Compute tr(M G M G'), M = I - X (X'X)^-1 X', (K_g,K_g,K_h,K_h) for every two groups.

    The sum over levels i of g and j of h of (Z_i'MZ_j)[b,c] (Z_i'MZ_j)[a,d]. With E_ij = D_i D_j',
    D = Z'X L^-T and L L' = X'X, the blocks are A_ij - E_ij.
    """
    together = {(g, g): (m.KK, m.KDD) for g, m in enumerate(sums)}
    if cp.pairs:
        D = [
            (g.B[:, :, :-1].reshape(g.n_levels * g.k, cp.p) @ whiten).reshape(g.n_levels, g.k, cp.p)
            for g in cp.groups
        ]
        together |= {
            (g, h): pairs_moments(*pair.arrays, D[g], D[h]) for (g, h), pair in cp.pairs.items()
        }
    return {
        (g, h): AA
        - AE
        - AE.transpose(1, 0, 3, 2)
        + np.einsum("abts,dcts->abcd", sums[g].DxD, sums[h].DxD)
        for (g, h), (AA, AE) in together.items()
    }


def _inside(cov: Covariance, gamma: np.ndarray) -> np.ndarray:
    """Factor estimated relative covariances, given by their elements.

    Eigenvalues are kept away from zero.
    """
    relative = cov.blocks(gamma)
    lambdas = [np.zeros_like(block) for block in relative]
    for term in cov.terms:
        own = cov.term_block(term, relative)
        cov.term_block(term, lambdas)[...] = root_inside(own, _INSIDE**2, _INSIDE**-2)
    return cov.theta_of(lambdas)
