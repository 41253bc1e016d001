"""The rank of [X Z] from cross-products.

Nested factors are eliminated group by group; crossed ones need a dense matrix.

The cross-products are positive semidefinite, so eliminating the columns of a factor (a Schur
complement with a pseudo-inverse) leaves a matrix whose rank is the rank still to be counted.
Dividing by a small eigenvalue lambda magnifies rounding to epsilon / lambda. This error is carried
along, and a remaining direction counts only if it is larger.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import NotDefinedError

__all__ = ["MEMORY_LIMIT", "NOISE_MARGIN", "RANK_TOLERANCE", "design_rank", "is_nested"]

#: A direction counts towards the rank when more than this fraction of its sum of squares remains
#: after the elimination of others. Sums of squares have 16 digits, so a column that is independent
#: in 1e-5 of its length is detected.
RANK_TOLERANCE = 1e-10
#: The remainder must also exceed the expected rounding error times this: sums over rows lose more
#: than the last bit.
NOISE_MARGIN = 16.0
#: Bytes that the dense matrix of crossed factors may take.
MEMORY_LIMIT = 2**30


def is_nested(cp: CrossProducts, fine: int, coarse: int) -> bool:
    """Check whether each level of factor `fine` occurs with one level of `coarse` only.

    Factors are in the order of the cross-products, ``fine < coarse``.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("strength ~ (1 | batch/cask)", mf.load_dataset("pastes"))
    >>> is_nested(cp, 0, 1)
    True
    """
    return bool((np.diff(cp.pairs[fine, coarse].indptr) == 1).all())


def design_rank(cp: CrossProducts, sizes: tuple[int, ...]) -> int:
    """Compute the rank of [X Z] with the first ``sizes[g]`` columns of each grouping factor g.

    Parameters
    ----------
    cp : CrossProducts
    sizes : tuple of int
        One per grouping factor, 0 to leave it out.

    Returns
    -------
    int

    Raises
    ------
    NotDefinedError
        When crossed factors need a dense matrix of more than `MEMORY_LIMIT` bytes.

    Examples
    --------
    >>> import mixedfast as mf
    >>> formula = "diameter ~ (1 | plate) + (1 | sample)"
    >>> cp = mf.crossproducts(formula, mf.load_dataset("penicillin"))
    >>> [g.n_levels for g in cp.groups], design_rank(cp, (1, 1))
    ([24, 6], 29)
    """
    used = [g for g, size in enumerate(sizes) if size]
    nested = all(is_nested(cp, fine, coarse) for fine, coarse in pairwise(used))
    return _rank_nested(cp, used, sizes) if nested else _rank_crossed(cp, used, sizes)


def _rank_nested(cp: CrossProducts, used: list[int], sizes: tuple[int, ...]) -> int:
    """Compute the rank for nested factors, eliminating the innermost groups first.

    The products of the outer factors keep one block per group. ``carry`` (J, a, a+p) is the change
    of the products of a columns, those of this and the outer factors, with one another and with X,
    by the eliminations so far, summed over the groups inside each level; ``noise`` (J, a) is the
    rounding in its diagonal.
    """
    left, left_noise = cp.xy[:-1, :-1].copy(), np.zeros(cp.p)
    width = sum(sizes[g] for g in used)
    carry, noise = np.zeros((1, width, width + cp.p)), np.zeros((1, width))
    rank = 0
    for step, g in enumerate(used):
        k, outer = sizes[g], used[step + 1 :]
        A = cp.groups[g].A[:, :k, :k]
        beside = [cp.pairs[g, h].data[:, :k, : sizes[h]] for h in outer]
        right = np.concatenate([*beside, cp.groups[g].B[:, :k, : cp.p]], axis=2) + carry[:, :k, k:]
        root, loss = _inverse_root(A + carry[:, :k, :k], np.einsum("jkk->jk", A), noise[:, :k])
        rank += int(np.count_nonzero(loss))
        W = root @ right
        lost = np.einsum("jk,jkr->jr", loss, W**2)
        width -= k
        onto_x = W[:, :, width:].reshape(-1, cp.p)
        left -= onto_x.T @ onto_x
        left_noise += lost[:, width:].sum(axis=0)
        if outer:
            parents, J = cp.pairs[g, outer[0]].indices, cp.groups[outer[0]].n_levels
            carry = _sum_by(carry[:, k:, k:] - W[:, :, :width].swapaxes(1, 2) @ W, parents, J)
            noise = _sum_by(noise[:, k:] + lost[:, :width], parents, J)
    return rank + _rank_psd(left, np.diag(cp.xy)[:-1], left_noise)


def _sum_by(values: np.ndarray, codes: np.ndarray, n: int) -> np.ndarray:
    """Sum over the first axis by code; every code 0..n-1 occurs."""
    order = np.argsort(codes, kind="stable")
    return np.add.reduceat(values[order], np.searchsorted(codes[order], np.arange(n)), axis=0)


def _rank_crossed(cp: CrossProducts, used: list[int], sizes: tuple[int, ...]) -> int:
    """Compute the rank for crossed factors.

    The factor with most levels is eliminated; the rest is one dense matrix.
    """
    from scipy import sparse

    first, *rest = used
    edges = np.cumsum([0, *(cp.groups[h].n_levels * sizes[h] for h in rest), cp.p])
    needed = 3 * 8 * int(edges[-1]) ** 2  # the matrix, its scaled copy, and a product
    if needed > MEMORY_LIMIT:
        raise NotDefinedError(
            f"containment: for the crossed factors {', '.join(cp.groups[h].name for h in used)} "
            f"the rank of [X Z] needs a dense matrix of {edges[-1]} columns ({needed / 2**30:.3g} "
            f"GiB; the limit is {MEMORY_LIMIT / 2**30:.3g}): use satterthwaite"
        )
    k, J = sizes[first], cp.groups[first].n_levels
    A = cp.groups[first].A[:, :k, :k]
    root, loss = _inverse_root(A, np.einsum("jkk->jk", A), np.zeros((1, k)))
    roots = sparse.bsr_matrix((root, np.arange(J), np.arange(J + 1)), shape=(J * k, J * k))
    beside = [_pair_matrix(cp, first, h, sizes) for h in rest]
    beside.append(sparse.csr_matrix(cp.groups[first].B[:, :k, : cp.p].reshape(J * k, cp.p)))
    W = (roots @ sparse.hstack(beside, format="csr")).tocsr()
    left = _gram(cp, rest, sizes, edges)
    size = np.diag(left).copy()
    left -= (W.T @ W).toarray()
    return int(np.count_nonzero(loss)) + _rank_psd(left, size, W.multiply(W).T @ loss.ravel())


def _gram(
    cp: CrossProducts, used: list[int], sizes: tuple[int, ...], edges: np.ndarray
) -> np.ndarray:
    """Compute the upper triangle of [Z X]'W[Z X] of some groups, dense."""
    from scipy import sparse

    G = np.zeros((edges[-1], edges[-1]))
    spans = [slice(a, b) for a, b in pairwise(edges)]
    G[spans[-1], spans[-1]] = cp.xy[:-1, :-1]
    for at, g in enumerate(used):
        k, J = sizes[g], cp.groups[g].n_levels
        own = sparse.bsr_matrix(
            (np.ascontiguousarray(cp.groups[g].A[:, :k, :k]), np.arange(J), np.arange(J + 1))
        )
        G[spans[at], spans[at]] = own.toarray()
        G[spans[at], spans[-1]] = cp.groups[g].B[:, :k, : cp.p].reshape(J * k, cp.p)
        for beside, h in enumerate(used[at + 1 :], at + 1):
            G[spans[at], spans[beside]] = _pair_matrix(cp, g, h, sizes).toarray()
    return G


def _pair_matrix(cp: CrossProducts, g: int, h: int, sizes: tuple[int, ...]) -> Any:
    """Return Z_g'WZ_h as a sparse matrix, with the first columns of each."""
    from scipy import sparse

    pair = cp.pairs[g, h]
    shape = (cp.groups[g].n_levels * sizes[g], cp.groups[h].n_levels * sizes[h])
    data = np.ascontiguousarray(pair.data[:, : sizes[g], : sizes[h]])
    return sparse.bsr_matrix((data, pair.indices, pair.indptr), shape=shape)


def _inverse_root(
    blocks: np.ndarray, size: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute R (J,k,k) with R'R the pseudo-inverse of each block, and epsilon / eigenvalue (J,k).

    ``size`` (J,k) is the diagonal before any elimination and ``noise`` (J,k) its rounding error
    since; a direction is zero relative to these. Both results are zero in such directions.
    """
    scale = _inverse_length(size)
    values, vectors = np.linalg.eigh(blocks * scale[:, :, None] * scale[:, None, :])
    counts = values > _tolerance(noise * scale**2)[:, None]
    inverse = np.where(counts, 1.0 / np.where(counts, values, 1.0), 0.0)
    root = np.sqrt(inverse)[:, :, None] * vectors.swapaxes(1, 2) * scale[:, None, :]
    return root, np.finfo(float).eps * inverse


def _rank_psd(G: np.ndarray, size: np.ndarray, noise: np.ndarray) -> int:
    """Compute the rank of a positive semidefinite matrix by pivoted Cholesky.

    Only the upper triangle is read;    ``size`` and ``noise`` (p,) as for `_inverse_root`.
    """
    from scipy.linalg import lapack

    scale = _inverse_length(size)
    tolerance = float(_tolerance(noise * scale**2)) if len(G) else 0.0
    live = np.flatnonzero(
        np.diag(G) * scale**2 > tolerance
    )  # dpstrf does not check its first pivot
    if not len(live):
        return 0
    _, _, rank, _ = lapack.dpstrf((G * scale[:, None] * scale)[np.ix_(live, live)], tol=tolerance)
    return int(rank)


def _inverse_length(size: np.ndarray) -> np.ndarray:
    """Compute 1 / sqrt(size), and 1 where a column is zero."""
    return 1.0 / np.sqrt(np.where(size > 0.0, size, 1.0))


def _tolerance(noise: np.ndarray) -> np.ndarray:
    """Return the relative length below which a direction is zero, per row of ``noise``."""
    return np.maximum(RANK_TOLERANCE, NOISE_MARGIN * noise.max(axis=-1))
