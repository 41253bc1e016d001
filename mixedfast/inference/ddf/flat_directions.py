"""Directions of the variance parameters along which the criterion is flat for every response.

V is linear in the variances and covariances gamma of the random effects. The expected information
has the elements tr(P G_m P G_n) / 2 under REML, G_m = dV/dgamma_m, and tr(V^-1 G_m V^-1 G_n) / 2
under ML (Harville 1977, JASA 72(358), section 5). It is a Gram matrix, so a direction d is in its
null space exactly when M G(d) M = 0 with M the projection on the residuals of X (REML) or
when G(d) = 0 (ML). Neither condition depends on gamma or on y: the null space is that at V = I,
where sums over rows give it without solving a system. A variance estimated as zero, or one about
which few groups give little information, is not in the null space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.information import covariance_root

__all__ = ["FlatDirection", "flat_directions", "rest_on_flat"]

#: Eigenvalues of the information at V = I, in units of tr(G_m G_m), up to this are zero: the
#: residuals of X keep a millionth of the random effects. Rounding of the sums leaves 1e-15; one
#: remaining degree of freedom among 1e5 groups leaves 1e-5.
_FLAT = 1e-12
#: Elements of a direction below this share of the largest one are rounding.
_SMALL = 1e-6
#: A variance of an estimate does not change along a direction where its derivative is below this
#: share of the largest derivative possible.
_UNCHANGED = 1e-9
#: Smallest eigenvalue of the Hessian in theta (deviance units, columns of Z of order one) above
#: which no closer look is needed, and the gradient, in units of that curvature and of the smallest
#: diagonal element of lambda, up to which the end of the search counts as stationary.
_CURVED = 1e-3
_INFORMATIVE = ("exact", "average information")
_STATIONARY = 0.01
#: Pairs of levels whose products are formed at a time.
_PAIRS = 1 << 16


@dataclass(frozen=True, eq=False)
class FlatDirection:
    """A change of the covariance matrices that changes the criterion for no response.

    Parameters
    ----------
    terms : tuple of (str, tuple of str)
        Grouping factor, and the effects whose variances or covariances change, by random term.
    by_group : tuple of (K, K) arrays
        The change of the relative covariance matrix of each grouping factor, in the basis of the
        cross-products.
    """

    terms: tuple[tuple[str, tuple[str, ...]], ...]
    by_group: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        written = [f"({' + '.join(names)} | {group})" for group, names in self.terms]
        if len(written) == 1:
            group, names = self.terms[0]
            what = "variance" if len(names) == 1 else "covariance matrix"
            return (
                f"the {what} of {' and '.join(names)} between levels of {group} is not "
                "identified: the fixed effects, or effects that have too few different values, "
                "leave no information about it"
            )
        return (
            f"the variances of {' and '.join(written)} cannot be separated: only a combination of "
            "them is identified"
        )


def flat_directions(fit: Fit) -> tuple[FlatDirection, ...]:
    """Find the directions in which the criterion is flat for every response, memoised.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    tuple of FlatDirection
        Empty where all variances are identified.
    """
    return fit.memo(
        "flat directions",
        lambda: () if _is_curved(fit) else _flat_directions(fit.cp, fit.reml),
    )


def _is_curved(fit: Fit) -> bool:
    """Return whether the Hessian of the search shows already that no direction is flat.

    The exact Hessian, or the average information y'P G P G P y, which is zero along a flat
    direction too. Where lambda is invertible, theta and gamma are smooth functions of each other,
    and along a line theta(t) of constant criterion ``theta' H theta' = -g theta''``: with a
    gradient g near zero H has an eigenvalue near zero.
    """
    best = fit.optimum
    if best is None or best.kind not in _INFORMATIVE:
        return False
    smallest = min(
        float(np.abs(np.diag(lam)).min()) for lam in fit.covariance.lambdas(fit.theta_internal)
    )
    lowest = float(np.linalg.eigvalsh(best.hessian)[0])
    slope = float(np.linalg.norm(best.gradient))
    return lowest > _CURVED and slope < _STATIONARY * lowest * smallest


def rest_on_flat(fit: LinearFit, L: np.ndarray) -> np.ndarray:
    """Return for rows of L (r, p) whether covariances of L beta are not identified, (r, r) bool.

    They are not where ``L Phi X'V^-1 G(d) V^-1 X Phi L'``, their derivative along a flat direction
    d, differs from zero.
    """
    out = np.zeros((len(L), len(L)), dtype=bool)
    found = flat_directions(fit) if isinstance(fit, Fit) else ()
    if not found:
        return out
    assert isinstance(fit, Fit)
    R = [m.DxD for m in fit.system.moments(exact=True)]
    rows = L @ covariance_root(fit)
    length = np.sqrt((rows**2).sum(axis=1))
    for direction in found:
        change = np.zeros(out.shape)
        for d, part in zip(direction.by_group, R, strict=True):
            change += np.einsum("rs,ab,abst,qt->rq", rows, d, part, rows)
        largest = np.outer(length, length) * _size(direction.by_group, fit.cp)
        out |= np.abs(change) > _UNCHANGED * largest
    return out


def _size(by_group: Sequence[np.ndarray], cp: CrossProducts) -> float:
    """Return the size of a change of V, for the mean level of each factor."""
    return sum(
        float(np.sqrt(np.diag(mean := group.A.mean(axis=0))) @ np.abs(d) @ np.sqrt(np.diag(mean)))
        for d, group in zip(by_group, cp.groups, strict=True)
    )


def _flat_directions(cp: CrossProducts, reml: bool) -> tuple[FlatDirection, ...]:
    """Compute `flat_directions`."""
    bases = [_elements(cp, g) for g in range(len(cp.groups))]
    projected, whole = _information(cp, bases, reml)
    unit = np.sqrt(np.diag(whole))
    unit[unit == 0.0] = 1.0  # the covariance of effects that no level has both of
    values, vectors = np.linalg.eigh(projected / np.outer(unit, unit))
    if values[0] > _FLAT:
        return ()
    space = _simplest(vectors[:, values <= _FLAT])
    space[np.abs(space) <= _SMALL * np.abs(space).max(axis=0)] = 0.0
    edges = np.cumsum([0, *map(len, bases)])
    return tuple(
        _direction(
            cp,
            tuple(
                np.einsum("m,mab->ab", d[start:stop], basis)
                for basis, start, stop in zip(bases, edges[:-1], edges[1:], strict=True)
            ),
        )
        for d in (space / unit[:, None]).T
    )


def _elements(cp: CrossProducts, g: int) -> np.ndarray:
    """Return dH/dgamma_m (m, K, K) of a factor for each variance and covariance of its terms."""
    places = [
        (term.start + a, term.start + b)
        for term in cp.terms
        if term.group == g
        for a in range(term.k)
        for b in range(a + 1)
        if term.correlated or a == b
    ]
    out = np.zeros((len(places), cp.groups[g].k, cp.groups[g].k))
    for m, (a, b) in enumerate(places):
        out[m, a, b] += 0.5
        out[m, b, a] += 0.5
    return out


def _simplest(space: np.ndarray) -> np.ndarray:
    """Return a basis of the columns' span, each vector 1 in a pivot where the others are 0."""
    if space.shape[1] < 2:
        return space
    kept: list[int] = []
    rest = space.copy()
    for _ in range(space.shape[1]):
        row = int((rest**2).sum(axis=1).argmax())
        kept.append(row)
        axis = rest[row] / np.linalg.norm(rest[row])
        rest = rest - np.outer(rest @ axis, axis)
    return space @ np.linalg.inv(space[kept])


def _direction(cp: CrossProducts, by_group: tuple[np.ndarray, ...]) -> FlatDirection:
    """Name the terms that a change of the covariance matrices concerns."""
    terms = []
    for t, term in enumerate(cp.terms):
        inside = slice(term.start, term.start + term.k)
        # in the columns of the data, where a shift adds no change of other effects
        back = np.linalg.inv(cp.covariance.transforms[term.group][inside, inside])
        own = by_group[term.group][inside, inside]
        largest = np.abs(back) @ np.abs(own) @ np.abs(back.T)
        changed = (np.abs(back @ own @ back.T) > _SMALL * largest).any(axis=0)
        if np.any(own):
            names = cp.groups[term.group].names[inside]
            terms.append(
                (cp.term_groups[t], tuple(n for n, c in zip(names, changed, strict=True) if c))
            )
    return FlatDirection(tuple(terms), by_group)


def _information(
    cp: CrossProducts, bases: list[np.ndarray], reml: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Compute tr(M G_m M G_n) and tr(G_m G_n), sigma^2 left out.

    The residual variance needs no row: only random effects as many as rows could take its place,
    and such terms are refused.
    """
    fixed = None
    if reml and cp.p:
        half = np.linalg.inv(np.linalg.cholesky(cp.xy[:-1, :-1])).T
        fixed = [group.B[:, :, :-1] @ half for group in cp.groups]
    edges = np.cumsum([0, *map(len, bases)])
    projected, whole = np.empty((2, edges[-1], edges[-1]))
    for g in range(len(bases)):
        for h in range(g, len(bases)):
            own, other = slice(*edges[g : g + 2]), slice(*edges[h : h + 2])
            plain, both = _traces(cp, fixed, g, h)
            for out, T in ((whole, plain), (projected, both)):
                part = _flat(bases[g]) @ _flat_pairs(T) @ _flat(bases[h]).T
                out[own, other] = part
                out[other, own] = part.T
    return projected, whole


def _flat(blocks: np.ndarray) -> np.ndarray:
    """Reshape (n, K, L) to (n, K L)."""
    return blocks.reshape(len(blocks), -1)


def _flat_pairs(T: np.ndarray) -> np.ndarray:
    """Reorder sums of K[b,c] K[a,d] from (b, c, a, d) to (a b, c d)."""
    return T.transpose(2, 0, 1, 3).reshape(T.shape[0] ** 2, -1)


def _traces(
    cp: CrossProducts, fixed: list[np.ndarray] | None, g: int, h: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum A_ij[b,c] A_ij[a,d], and the same of A - BB' with B = `fixed`, over levels i and j."""
    if g == h:
        A, left, right = cp.groups[g].A, None, None
    else:
        pair = cp.pairs[g, h]
        A, left, right = pair.data, pair.rows, pair.indices
    shape = (*A.shape[1:], *A.shape[1:])
    plain = (_flat(A).T @ _flat(A)).reshape(shape)
    if fixed is None:
        return plain, plain
    # over all levels, then the difference where they occur together
    R = [_outer(fixed[f]) for f in (g, h)]
    both = np.einsum("bast,cdst->bcad", *R)
    for start in range(0, len(A), _PAIRS):
        part = slice(start, start + _PAIRS)
        B = fixed[g][part if left is None else left[part]]
        C = fixed[h][part if right is None else right[part]]
        of_fixed = B @ C.transpose(0, 2, 1)
        rest = _flat(A[part] - of_fixed)
        both += (rest.T @ rest - _flat(of_fixed).T @ _flat(of_fixed)).reshape(shape)
    return plain, both


def _outer(B: np.ndarray) -> np.ndarray:
    """Sum B_i[b,s] B_i[a,t] over levels i, (K, K, p, p)."""
    _, K, p = B.shape
    return (_flat(B).T @ _flat(B)).reshape(K, p, K, p).transpose(0, 2, 1, 3)
