"""Starting values from moments: MINQUE(0), one look at the cross-products and no factorization.

Rao (1971, J. Multivariate Anal. 1) chooses quadratic forms e'Ge of the residuals and equates them to their expectations.
With weights at zero variance ratios these need only Z'Z, Z'X and Z'e. On balanced data the answer is REML's own; elsewhere it
is unbiased and rough, which is what a Newton method wants of a start: it is within a factor of two on most data, where
lambda = 1 can be off by hundreds.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mixedfast.covariance._theta import solve_normal_equations
from mixedfast.covariance.relative import Covariance
from mixedfast.crossprod.blocks import GroupProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._cooccurrence import pairs_moments
from mixedfast.engines._levels import level_moments
from mixedfast.engines.block import BlockEngine
from mixedfast.estimation.newton import minimize
from mixedfast.estimation.pls import Moments, PLSSystem

__all__ = ["evenness", "first_theta", "one_at_a_time", "starting_theta"]

#: Where a smaller share of a factor's levels carries its moments, MINQUE(0) is far off. InstEval's lecturers: 0.09; 5,000 items
#: with Zipf's degrees: 0.001.
_EVEN = 0.01

#: Promised fall of the deviance at which a model with one factor is near enough to start from.
_ALONE = 1e-3

#: The start is kept inside: relative standard deviations no smaller than this (a start at exactly zero is a
#: stationary point of the deviance in theta, whatever the data say) and no larger than its inverse.
_INSIDE = 0.1


def first_theta(cp: CrossProducts, reml: bool) -> np.ndarray:
    """Where a search begins: MINQUE(0), or one factor at a time where a few levels would carry a factor's moments."""
    uneven = len(cp.groups) > 1 and min(evenness(group) for group in cp.groups) < _EVEN
    return one_at_a_time(cp, reml) if uneven else starting_theta(cp)


def evenness(group: GroupProducts) -> float:
    """Share of the levels that carry the moments: 1 where all weigh the same, 1/J where one has all the weight."""
    weight = np.einsum("jaa->j", group.A) ** 2
    return float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300)) / group.n_levels


def starting_theta(cp: CrossProducts) -> np.ndarray:
    """theta (internal basis) from moments, every lambda well inside the cone.

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
    if found is None:  # y is all but a combination of X's columns
        return cov.identity
    _, whiten, beta, norm = found
    residual = norm**2
    # at zero variance ratios Z'V0^-1 is Z', so these are the sums of the system there: v = Z'e, D D' what X takes of Z'Z
    sums = [
        Moments(*level_moments(g.A, np.ascontiguousarray(g.B), whiten, beta, True, True))
        for g in cp.groups
    ]
    size = cov.n_theta
    equations, right = np.empty((size + 1, size + 1)), np.empty(size + 1)
    right[:-1] = cov.pick([m.vv for m in sums])
    equations[:-1, -1] = equations[-1, :-1] = cov.pick([m.K - m.DD for m in sums])
    equations[:-1, :-1] = cov.pick_pairs(_traces(cp, sums, whiten))
    equations[size, size], right[size] = cp.n - cp.p, residual
    of_squares = np.diag(equations)  # where rounding turns the sign there is nothing to go by
    scale = np.where(
        of_squares > 0.0, 1.0 / np.sqrt(np.where(of_squares > 0.0, of_squares, 1.0)), 0.0
    )
    gamma = (
        scale * np.linalg.lstsq(equations * np.outer(scale, scale), scale * right, rcond=1e-10)[0]
    )
    sigma2 = max(gamma[size], 0.05 * residual / cp.n)
    if not sigma2 > 0:
        return cov.identity
    return _inside(cov, gamma[:size] / sigma2)


def one_at_a_time(cp: CrossProducts, reml: bool) -> np.ndarray:
    """theta from models with one grouping factor each.

    Where factors are crossed, a model that leaves the others out sees their variance in its residual, by their mean share of
    a row's variance, and finds its own variance as REML does, whatever the sizes of the groups; MINQUE(0) trusts large groups
    too much. (On a million ratings with Zipf's degrees the start is 1e-2 deviance units off instead of 1e4.)

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
        found = minimize(system, starting_theta(alone), exact=True, enough=_ALONE)
        lambdas.append(alone.covariance.lambdas(found.theta)[0])
        variances.append(system.solution.r2 / system.nu)
        shares.append(
            variances[g] * float(np.sum(group.A.sum(axis=0) * (lambdas[g] @ lambdas[g].T))) / cp.n
        )
    left = [
        variance - sum(shares) + share for variance, share in zip(variances, shares, strict=True)
    ]
    sigma2 = max(float(np.mean(left)), 0.05 * min(variances))
    moved = [
        lam * np.sqrt(variance / sigma2) for lam, variance in zip(lambdas, variances, strict=True)
    ]
    relative = [lam @ lam.T for lam in moved]
    return _inside(cov, cov.theta_of(relative))


def _traces(
    cp: CrossProducts, sums: list[Moments], whiten: np.ndarray
) -> dict[tuple[int, int], np.ndarray]:
    """tr(M G M G'), M = I - X (X'X)^-1 X': the sum over levels i of g and j of h of (Z_i'MZ_j)[b,c] (Z_i'MZ_j)[a,d].

    (K_g,K_g,K_h,K_h) for every two groups; with E_ij = D_i D_j', D = Z'X L^-T and L L' = X'X, the blocks are A_ij - E_ij.
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
    """The lambdas of the estimated relative covariances (their free elements, as theta), eigenvalues kept away from zero."""
    relative = [block + np.tril(block, -1).T for block in cov.lambdas(gamma)]
    lambdas = [np.zeros_like(block) for block in relative]
    for term in cov.terms:
        block, found = cov.term_block(term, relative), cov.term_block(term, lambdas)
        if term.k == 1:
            found[0, 0] = math.sqrt(min(max(float(block[0, 0]), _INSIDE**2), _INSIDE**-2))
            continue
        values, vectors = np.linalg.eigh(block)
        values = np.minimum(np.maximum(values, _INSIDE**2), _INSIDE**-2)
        found[...] = np.linalg.cholesky((vectors * values) @ vectors.T)
    return cov.theta_of(lambdas)
