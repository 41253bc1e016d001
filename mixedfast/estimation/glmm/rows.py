"""The rows of a generalized linear mixed model in memory, and weighted sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mixedfast.crossprod.blocks import PairProducts
from mixedfast.crossprod.pool import pool_of
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design
from mixedfast.estimation.glmm._effects import (
    Cells,
    effects_add,
    effects_cross,
    effects_quadratic,
    effects_sum,
)
from mixedfast.estimation.glmm.responses import Response

__all__ = ["GLMMRows", "rows_of"]


@dataclass(frozen=True, eq=False)
class GLMMRows:
    """Response, X and Z of all rows, sorted by the factor with most random effects.

    Sums over the rows of a level then read consecutive memory.

    Parameters
    ----------
    cp : CrossProducts
        Unweighted, of the same rows: names, structure and scaling.
    y, size : (n,) arrays
        See `Response`.
    offset : (n,) array or None
    X : (n, p) array
        Internal basis, Fortran order.
    Z : list of (n, K) arrays or None
        Of each grouping factor, internal basis; None for the constant alone.
    levels : list of Cells
        The level of each row, by grouping factor.
    pairs : dict (g, h) -> Cells
        The place of the pair of levels of each row in ``cp.pairs[g, h]``.
    order : (n,) int array
        The place of each sorted row in the data.
    """

    cp: CrossProducts
    y: np.ndarray
    size: np.ndarray
    offset: np.ndarray | None
    X: np.ndarray
    Z: list[np.ndarray | None]
    levels: list[Cells]
    pairs: dict[tuple[int, int], Cells]
    order: np.ndarray

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    def fixed(self, beta: np.ndarray) -> np.ndarray:
        """Compute X beta + offset, (n,)."""
        eta = self.X @ beta
        return eta if self.offset is None else eta + self.offset

    def random(self, b: list[np.ndarray]) -> np.ndarray:
        """Compute Z b, (n,), from one (J,K) array per group."""
        out = np.zeros(self.n)
        for level, Z, own in zip(self.levels, self.Z, b, strict=True):
            effects_add(level, Z, own, out)
        return out

    def by_level(self, r: np.ndarray) -> list[np.ndarray]:
        """Compute Z'r, one (J,K) array per group."""
        return [effects_sum(level, Z, r) for level, Z in zip(self.levels, self.Z, strict=True)]

    def quadratic(
        self, blocks: list[np.ndarray], pairs: Iterator[tuple[tuple[int, int], np.ndarray]]
    ) -> np.ndarray:
        """Compute z_i'Q z_i of every row, (n,).

        Parameters
        ----------
        blocks : list of (J,K,K) arrays
            Diagonal blocks of Q.
        pairs : iterator of ((g, h), (nnz,K_g,K_h) array)
            Blocks of Q between the pairs of levels that occur together.
        """
        out = np.zeros(self.n)
        for level, Z, own in zip(self.levels, self.Z, blocks, strict=True):
            effects_quadratic(level, Z, Z, np.ascontiguousarray(own), 1.0, out)
        for (g, h), Q in pairs:
            effects_quadratic(
                self.pairs[g, h], self.Z[g], self.Z[h], np.ascontiguousarray(Q), 2.0, out
            )
        return out

    def products(self, w: np.ndarray, r: np.ndarray | None = None) -> CrossProducts:
        """Sum cross-products with the weights of this moment.

        Parameters
        ----------
        w : (n,) array
        r : (n,) array, optional
            A response. Without it the products with X and y are one column of zeros, as
            conditional modes need none.

        Returns
        -------
        CrossProducts
            Z'WZ and, with `r`, [X r]'W[X r] and Z'W[X r].
        """
        cp, p = self.cp, self.cp.p
        xy = np.zeros((1, 1) if r is None else (p + 1, p + 1))
        if r is not None:
            WX = self.X * w[:, None]
            xy[:p, :p] = self.X.T @ WX
            xy[:p, p] = xy[p, :p] = WX.T @ r
            xy[p, p] = (w * r) @ r
        groups = []
        for group, level, Z in zip(cp.groups, self.levels, self.Z, strict=True):
            A = effects_cross(level, Z, Z, w)
            B = np.zeros((group.n_levels, group.k, len(xy)))
            if r is not None:
                for j in range(p):
                    B[:, :, j] = effects_sum(level, Z, WX[:, j])
                B[:, :, p] = effects_sum(level, Z, w * r)
            groups.append(replace(group, A=A, B=B))
        pairs = {
            (g, h): PairProducts(
                pair.indptr, pair.indices, effects_cross(self.pairs[g, h], self.Z[g], self.Z[h], w)
            )
            for (g, h), pair in cp.pairs.items()
        }
        return replace(cp, xy=xy, groups=tuple(groups), pairs=pairs)


def rows_of(design: Design, response: Response, cp: CrossProducts) -> GLMMRows:
    """Take the rows of a design into memory.

    Parameters
    ----------
    design : Design
        With all columns of X.
    response : Response
    cp : CrossProducts
        Of the linearly independent columns of X.
    """
    lead = int(np.argmax([group.n_levels * group.k for group in cp.groups]))
    pool = pool_of(design.keep_columns(cp.kept.tolist()), cp.scaling)
    order = np.argsort(pool.groups[lead][0], kind="stable")
    kernel = pool.kernel(weighted=False)

    def column(place: int) -> np.ndarray:
        return kernel.evaluate(int(place))[order]

    X = np.empty((design.n, cp.p), order="F")
    for j, place in enumerate(pool.xy[:-1]):
        X[:, j] = column(place)
    Z: list[np.ndarray | None] = []
    for places in pool.z:
        if len(places) == 1 and pool.columns[places[0]] == ((), 0.0, 1.0):
            Z.append(None)
        else:
            Z.append(np.column_stack([column(place) for place in places]))
    levels = [Cells(codes[order], n_levels) for codes, n_levels in pool.groups]
    pairs = {
        (g, h): _pair_cells(levels[g], levels[h], cp.pairs[g, h])
        for g, h in combinations(range(len(levels)), 2)
    }
    return GLMMRows(
        cp,
        response.y[order],
        response.size[order],
        None if design.offset is None else design.offset[order],
        X,
        Z,
        levels,
        pairs,
        order,
    )


def _pair_cells(left: Cells, right: Cells, pair: PairProducts) -> Cells:
    """Find the place of the pair of levels of each row among the pairs that occur."""
    width = np.int64(right.count)
    together = pair.rows * width + pair.indices  # ascending
    wanted = left.codes * width + right.codes
    return Cells(np.searchsorted(together, wanted).astype(np.int32), len(together))
