"""Cross-products of one model in every subset of the rows, from one pass.

Each grouping factor is numbered anew within the subsets, and the subsets are one more grouping
factor, whose columns are those of [X y]. All subsets have the shifts and scales of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mixedfast.crossprod import _sums
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.pool import pool_of
from mixedfast.crossprod.row_sums import row_sums
from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.categories import factorize
from mixedfast.design.types import Design

__all__ = ["SubsetSums", "sums_by_subset"]

#: Least share of its sum of squares that earlier columns may leave of a column of [X y], or of a
#: random term. With less, the columns may depend on each other, or the shift of all rows may be so
#: far from a subset that its sums lose more than four of 16 digits.
_CLEAR = 1e-4


@dataclass(frozen=True, eq=False)
class SubsetSums:
    """Cross-products of S subsets, and which of them are a model as that of all rows.

    Parameters
    ----------
    whole : CrossProducts
        Of all rows, without sums by pairs of levels.
    n : (S,) int array
        Rows of each subset.
    xy : (S, p+1, p+1) array
    A, B : list of (J, K, K) and (J, K, p+1) arrays
        Of each grouping factor, its levels within subsets one after another.
    edges : list of (S+1,) int arrays
        The first level of each subset.
    levels : list of (J,) int arrays
        The code of each level among all rows.
    pairs : dict (g, h) -> PairProducts
    log_weights : (S,) array
    clear : (S,) bool array
        Whether the columns are clearly independent in the subset, its levels are enough, and the
        order of the factors by their levels is that of all rows.
    """

    whole: CrossProducts
    n: np.ndarray
    xy: np.ndarray
    A: list[np.ndarray]
    B: list[np.ndarray]
    edges: list[np.ndarray]
    levels: list[np.ndarray]
    pairs: dict[tuple[int, int], PairProducts]
    log_weights: np.ndarray
    clear: np.ndarray

    def products(self, s: int) -> CrossProducts:
        """Return the cross-products of a subset."""
        cp, groups = self.whole, []
        ranges = [(int(edges[s]), int(edges[s + 1])) for edges in self.edges]
        for group, A, B, levels, (start, stop) in zip(
            cp.groups, self.A, self.B, self.levels, ranges, strict=True
        ):
            own = group.levels[levels[start:stop]]
            sums = A[start:stop], B[start:stop]
            groups.append(
                GroupProducts(group.name, own, group.names, *sums, group.shift, group.scale)
            )
        made = CrossProducts(
            n=int(self.n[s]),
            xy=self.xy[s],
            shift=cp.shift,
            scale=cp.scale,
            groups=tuple(groups),
            pairs={
                (g, h): _rows_of(pair, ranges[g], ranges[h]) for (g, h), pair in self.pairs.items()
            },
            terms=cp.terms,
            x_names=cp.x_names,
            kept=cp.kept,
            constant=cp.constant,
            sum_log_weights=float(self.log_weights[s]),
            meta=cp.meta,
        )
        vars(made)["covariance"] = cp.covariance  # the same for all; made once
        return made


def _rows_of(pair: PairProducts, rows: tuple[int, int], columns: tuple[int, int]) -> PairProducts:
    """Take the blocks of one subset."""
    ends = pair.indptr[rows[0] : rows[1] + 1]
    inside = slice(int(ends[0]), int(ends[-1]))
    indices = pair.indices[inside] - np.int32(columns[0])
    return PairProducts(ends - ends[0], indices, pair.data[inside])


def sums_by_subset(
    design: Design, subset: np.ndarray, n_subsets: int, threads: int | None = None
) -> SubsetSums:
    """Sum the cross-products of every subset of the rows.

    Parameters
    ----------
    design : Design
    subset : (n,) int32 array
        The subset of each row, 0 .. n_subsets - 1.
    n_subsets : int
        Each has rows.
    threads : int, optional
    """
    cp = assemble(design, threads)
    pool = pool_of(design, cp.scaling)
    columns, z = pool.at(pool.xy), [pool.at(places) for places in pool.z]
    sizes = [n_levels for _, n_levels in pool.groups]
    numbered = [
        factorize(subset * np.int64(size) + codes)
        for (codes, _), size in zip(pool.groups, sizes, strict=True)
    ]
    grouped = [
        (own.codes, len(own.levels), columns_of_z)
        for own, columns_of_z in zip(numbered, z, strict=True)
    ]
    rows = row_sums(
        columns, [(subset, n_subsets, columns), *grouped], design.n, pool.sqrt_weights, threads
    )
    (xy, _), *sums = rows.products()[1]
    edges = [
        np.searchsorted(own.levels, size * np.arange(n_subsets + 1))
        for own, size in zip(numbered, sizes, strict=True)
    ]
    pairs = {
        (g, h): PairProducts(
            *_sums.pair_products(
                *grouped[g][:2], *grouped[h][:2], pool.kernel([*z[g], *z[h]]), len(z[g]), len(z[h])
            )
        )
        for g, h in combinations(range(len(z)), 2)
    }
    n = np.bincount(subset, minlength=n_subsets)
    logs = None if design.weights is None else np.log(design.weights)
    return SubsetSums(
        whole=cp,
        n=n,
        xy=xy,
        A=[A for A, _ in sums],
        B=[B for _, B in sums],
        edges=edges,
        levels=[own.levels % size for own, size in zip(numbered, sizes, strict=True)],
        pairs=pairs,
        log_weights=np.zeros(n_subsets)
        if logs is None
        else np.bincount(subset, logs, minlength=n_subsets),
        clear=_clear(cp, n, xy, [A for A, _ in sums], edges),
    )


def _clear(
    cp: CrossProducts,
    n: np.ndarray,
    xy: np.ndarray,
    A: Sequence[np.ndarray],
    edges: Sequence[np.ndarray],
) -> np.ndarray:
    """Find the subsets whose model is certainly identified, with the factors in the same order."""
    clear = (n > cp.p + 1) & _independent(xy)
    counts = [np.diff(own) for own in edges]
    for g, (own, first) in enumerate(zip(A, edges, strict=True)):
        total = np.add.reduceat(own, first[:-1], axis=0)
        for term in cp.terms:
            if term.group != g:
                continue
            inside = slice(term.start, term.start + term.k)
            clear &= (counts[g] >= 2) & (term.k * counts[g] < n)
            clear &= _independent(total[:, inside, inside])
            if term.k > 1:
                if cp.groups[g].names[term.start] != "Intercept":
                    return np.zeros(len(n), dtype=bool)
                clear &= _varying(own[:, inside, inside], first)
        if g:  # factors with as many levels may group the rows alike
            clear &= counts[g - 1] > counts[g]
    return clear


def _independent(products: np.ndarray) -> np.ndarray:
    """Return whether the columns of each (S, c, c) square are clearly independent, (S,) bool."""
    left, size = products.copy(), np.einsum("saa->sa", products)
    clear = (size > 0.0).all(axis=1)
    for j in range(products.shape[1]):
        pivot = left[:, j, j]
        clear &= pivot > _CLEAR * size[:, j]
        row = left[:, j] / np.where(clear, pivot, 1.0)[:, None]
        left -= left[:, :, j, None] * row[:, None]
    return clear


def _varying(A: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return whether each slope beside an intercept varies within the levels of each subset."""
    within = np.einsum("jaa->ja", A)[:, 1:] - A[:, 0, 1:] ** 2 / A[:, :1, 0]
    total = np.einsum("jaa->ja", A)[:, 1:]
    sums = [np.add.reduceat(part, first[:-1], axis=0) for part in (within, total)]
    return np.asarray((sums[0] > _CLEAR * sums[1]).all(axis=1))
