"""Layout of the random effects for the block engine.

The eliminated factor, and the components of the rest.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast.crossprod.blocks import PairProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._cooccurrence import connected_components, pairs_multiply
from mixedfast.engines._levels import levels_multiply

__all__ = ["Layout", "dense_zz", "lay_out", "spread", "spread_edges", "times_a"]


class Layout:
    """Order of the levels of all factors but the eliminated one, by connected component.

    A layout knows the structure of cross-products and none of their values: `border_values`,
    `rest_values` and `rest_matrix` read those of any cross-products of this structure.

    Attributes
    ----------
    lead : int
        The group eliminated level by level: the one with most random effects.
    rest : list of int
        The other groups.
    n_levels, k : list of int
        Levels and columns of every group.
    m : int
        Scalar columns of the rest.
    n_components : int
        Connected components among the levels of the rest, co-occurrences through the lead factor
        included.
    """

    def __init__(self, cp: CrossProducts, lead: int) -> None:
        self.lead = lead
        self.rest = [g for g in range(len(cp.groups)) if g != lead]
        self.n_levels = [group.n_levels for group in cp.groups]
        self.k = [group.k for group in cp.groups]
        if not self.rest:
            self.m, self.n_components = 0, 0
            return
        self._patterns = {
            key: PairProducts(pair.indptr, pair.indices, data=np.empty((0, 0, 0)))
            for key, pair in cp.pairs.items()
        }
        sizes = [self.n_levels[g] for g in self.rest]
        self._base = dict(
            zip(self.rest, np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist(), strict=True)
        )
        self.n_rest_levels = int(sum(sizes))
        self.component_of_level, self.n_components = self._components()
        # stable: inside a component groups and levels keep their order
        self._sorted = np.argsort(self.component_of_level, kind="stable")
        self._position = np.empty(self.n_rest_levels, dtype=np.int64)
        self._position[self._sorted] = np.arange(self.n_rest_levels)
        widths = np.array([self.k[g] for g in self.rest], dtype=np.int32)
        self.k_level = np.repeat(widths, sizes)[self._sorted]
        self.first = np.concatenate([[0], np.cumsum(self.k_level)[:-1]]).astype(np.int64)
        self.m = int(self.k_level.sum())
        self.blocks_size = int((self.k_level.astype(np.int64) ** 2).sum())
        counts = np.bincount(self.component_of_level, minlength=self.n_components)
        self.level_start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.start = np.append(self.first, self.m)[self.level_start].astype(np.int64)
        ends = np.cumsum([self.k[g] ** 2 for g in self.rest])
        self.lambda_at = np.repeat(np.append(0, ends[:-1]), sizes)[self._sorted].astype(np.int64)

    # -- structure --------------------------------------------------------------------------------

    def _levels_together(self, g: int, h: int) -> tuple[np.ndarray, np.ndarray]:
        """List the levels of g and of h that occur together, sorted by level of g, then of h."""
        pattern = self._patterns[min(g, h), max(g, h)]
        if g < h:
            return pattern.rows, pattern.indices
        order = self._turned(g, h)
        return pattern.indices[order], pattern.rows[order]

    def _turned(self, g: int, h: int) -> np.ndarray:
        """Order the stored blocks of h and g, h < g, by level of g."""
        return np.argsort(self._patterns[h, g].indices, kind="stable")

    def _blocks(self, cp: CrossProducts, g: int, h: int) -> np.ndarray:
        """Gather the blocks (nnz,K_g,K_h) of Z_g'WZ_h in the order of `_levels_together`."""
        if g < h:
            return cp.pairs[g, h].data
        return cp.pairs[h, g].data[self._turned(g, h)].transpose(0, 2, 1)

    def _components(self) -> tuple[np.ndarray, int]:
        pairs = [(g, h, *pattern.arrays[:2]) for (g, h), pattern in self._patterns.items()]
        labels, count = connected_components(self.n_levels, pairs)
        edges = [0, *accumulate(self.n_levels)]
        first, end = edges[self.lead], edges[self.lead + 1]
        rest = np.delete(labels, slice(first, end))
        # a level of the lead without rows is connected to nothing: any component will do, and it
        # has no entries there
        number = np.maximum(np.cumsum(np.bincount(rest, minlength=count) > 0) - 1, 0)
        self.component_of_lead = number[labels[first:end]].astype(np.int32)
        return number[rest], int(number[-1]) + 1

    @property
    def cubes(self) -> float:
        """Sum of the cubed sizes of the components of the rest.

        The operations of dense work on them, up to a factor.
        """
        return float((np.diff(self.start).astype(float) ** 3).sum())

    def columns_of(self, g: int) -> np.ndarray:
        """Return the scalar columns (J, K) of group g in the rest."""
        return self._columns[g]

    @cached_property
    def _columns(self) -> dict[int, np.ndarray]:
        return {g: self.first[self.levels_of(g)][:, None] + np.arange(self.k[g]) for g in self.rest}

    def levels_of(self, g: int) -> np.ndarray:
        """Return the positions of the levels of g among the sorted levels of the rest."""
        return self._position[self._base[g] + np.arange(self.n_levels[g])]

    @property
    def border(self) -> tuple[np.ndarray, np.ndarray]:
        """Pattern of A_1r by levels of the lead: ptr (J+1,), cols (nnz,), columns ascending."""
        return self._border[:2]

    @cached_property
    def _border(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The pattern, and the order of its entries in a list factor by factor.

        The order is None when the list is in order already.
        """
        rows, cols = [], []
        for h in self.rest:
            level, other = self._levels_together(self.lead, h)
            rows.append(np.repeat(level, self.k[h]))
            cols.append(self.columns_of(h)[other].ravel())
        row, col = np.concatenate(rows), np.concatenate(cols)
        counts = np.bincount(row, minlength=self.n_levels[self.lead])
        ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        if len(self.rest) == 1:
            return ptr, col.astype(np.int32), None
        # each factor's part is in order already, and a stable sort of runs that are in order only
        # merges them
        order = np.argsort(row.astype(np.int64) * self.m + col, kind="stable")
        return ptr, col[order].astype(np.int32), order.astype(np.min_scalar_type(len(order)))

    @property
    def border_rows(self) -> np.ndarray:
        """Level of the lead of each entry of A_1r, (nnz,)."""
        ptr, _ = self.border
        return np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))

    def border_values(self, cp: CrossProducts) -> np.ndarray:
        """Gather the values (nnz,K) of A_1r on the pattern of `border`."""
        parts = [self._blocks(cp, self.lead, h).transpose(0, 2, 1) for h in self.rest]
        values = np.concatenate([part.reshape(-1, self.k[self.lead]) for part in parts])
        order = self._border[2]
        return np.ascontiguousarray(values if order is None else values[order])

    @cached_property
    def rest_entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pattern of A_rr on and above the diagonal.

        Scalar rows, columns (row <= column), and places among the blocks that `rest_values` joins.
        """
        rows, cols = [], []
        for i, g in enumerate(self.rest):
            own = self.columns_of(g)
            k = own.shape[1]
            rows.append(np.repeat(own, k, axis=1).ravel())
            cols.append(np.tile(own, (1, k)).ravel())
            for h in self.rest[i + 1 :]:
                level, other = self._levels_together(g, h)
                left, right = own[level], self.columns_of(h)[other]
                rows.append(np.repeat(left, right.shape[1], axis=1).ravel())
                cols.append(np.tile(right, (1, left.shape[1])).ravel())
        row, col = np.concatenate(rows), np.concatenate(cols)
        row, col = np.minimum(row, col), np.maximum(row, col)
        # a diagonal block lists both triangles: keep one (the other half of an off-diagonal pair is
        # never listed)
        keys, places = np.unique(row * np.int64(self.m) + col, return_index=True)
        return keys // self.m, keys % self.m, places

    def rest_values(self, cp: CrossProducts) -> np.ndarray:
        """Gather the values of A_rr on the pattern of `rest_entries`."""
        parts = []
        for i, g in enumerate(self.rest):
            parts.append(cp.groups[g].A.ravel())
            parts += [self._blocks(cp, g, h).ravel() for h in self.rest[i + 1 :]]
        return np.ascontiguousarray(np.concatenate(parts)[self.rest_entries[2]])

    def border_arguments(self, cp: CrossProducts) -> tuple[Any, ...]:
        """Return the arguments of `mixedfast.engines._border.Border` for some cross-products."""
        ptr, cols = self.border
        row, col, _ = self.rest_entries
        size = np.diff(self.start)
        component = np.repeat(np.arange(self.n_components), size)[col]
        offset = np.concatenate([[0], np.cumsum(size**2)])
        base_at = (
            offset[component]
            + (row - self.start[component])
            + (col - self.start[component]) * size[component]
        )
        return (
            ptr,
            cols,
            self.border_values(cp),
            self.component_of_lead,
            self.start,
            self.level_start,
            self.first,
            self.k_level,
            self.lambda_at,
            base_at.astype(np.int64),
            self.rest_values(cp),
        )

    # -- one (J,K,r) array per group and stacked (m,r) rows ---------------------------------------

    def stack(self, parts: list[np.ndarray]) -> np.ndarray:
        """Stack one (J,K,r) array per remaining group to (m,r)."""
        out = np.empty((self.m, parts[0].shape[2]))
        for g, part in zip(self.rest, parts, strict=True):
            out[self.columns_of(g)] = part
        return out

    def unstack(self, rows: np.ndarray) -> list[np.ndarray]:
        """Split stacked rows (m,r) into one (J,K,r) array per remaining group."""
        return [rows[self.columns_of(g)] for g in self.rest]

    def spread_rest(self, v: list[np.ndarray], edges: list[int]) -> np.ndarray:
        """Spread vectors v (J,K) of the rest, (m, edges[-1]).

        All groups side by side, as in `spread`.
        """
        out = np.zeros((self.m, edges[-1]))
        for g in self.rest:
            columns, k = self.columns_of(g), self.k[g]
            for c in range(k):
                out[columns[:, c], edges[g] + c * k : edges[g] + (c + 1) * k] = v[g]
        return out

    def join(self, lead: np.ndarray, rest: list[np.ndarray]) -> list[np.ndarray]:
        """List one array per group in the order of the model."""
        parts = list(rest)
        parts.insert(self.lead, lead)
        return parts

    def split_blocks(self, flat: np.ndarray) -> list[np.ndarray]:
        """Split the diagonal blocks of all remaining levels to (J,K,K) per group."""
        return [flat[places] for places in self._block_places]

    @cached_property
    def _block_places(self) -> list[np.ndarray]:
        """Places of the diagonal blocks of each remaining group, (J,K,K)."""
        at = np.concatenate([[0], np.cumsum(self.k_level.astype(np.int64) ** 2)])
        sizes = [(g, self.k[g]) for g in self.rest]
        return [
            at[self.levels_of(g)][:, None, None] + np.arange(k * k).reshape(k, k) for g, k in sizes
        ]

    # -- products with A --------------------------------------------------------------------------

    def rest_matrix(self, cp: CrossProducts) -> Any:
        """Build A_rr (m, m), sparse."""
        from scipy.sparse import coo_array

        row, col, _ = self.rest_entries
        val, off = self.rest_values(cp), row != col
        entries = (
            np.concatenate([val, val[off]]),
            (np.concatenate([row, col[off]]), np.concatenate([col, row[off]])),
        )
        return coo_array(entries, shape=(self.m, self.m)).tocsr()

    def border_times(self, Q: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Multiply each column of A_1r, its `border_values` (nnz,K), by Q_j (J,K,K): (nnz,K)."""
        return np.ascontiguousarray(np.einsum("iab,ib->ia", Q[self.border_rows], values))


def spread_edges(cp: CrossProducts) -> list[int]:
    """List the edges of each group's columns in `spread`, all groups side by side."""
    return [0, *accumulate(group.k**2 for group in cp.groups)]


def spread(v: np.ndarray) -> np.ndarray:
    """Spread vectors v (J,k) to v_j[d] at position c, one column for each (c, d): (J,k,k*k)."""
    J, k = v.shape
    out = np.zeros((J, k, k, k))
    for c in range(k):
        out[:, c, c, :] = v
    return out.reshape(J, k, k * k)


def times_a(cp: CrossProducts, F: list[np.ndarray]) -> list[np.ndarray]:
    """Multiply by A: A F = Z'WZ F; F and the result are one (J,K,r) array per group."""
    F = [np.ascontiguousarray(part) for part in F]
    out = [
        levels_multiply(np.ascontiguousarray(group.A), part)
        for group, part in zip(cp.groups, F, strict=True)
    ]
    for (g, h), pair in cp.pairs.items():
        pairs_multiply(*pair.arrays, F[g], F[h], out[g], out[h])
    return out


def dense_zz(cp: CrossProducts) -> tuple[np.ndarray, list[int]]:
    """Build Z'WZ (q,q), and list where each group starts in it."""
    sizes = [group.n_levels * group.k for group in cp.groups]
    base = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
    A = np.zeros((sum(sizes), sum(sizes)))
    for at, group in zip(base, cp.groups, strict=True):
        own = at + np.arange(group.n_levels * group.k).reshape(-1, group.k)
        A[own[:, :, None], own[:, None, :]] = group.A
    for (g, h), pair in cp.pairs.items():
        k_g, k_h = pair.data.shape[1:]
        rows = base[g] + pair.rows[:, None] * k_g + np.arange(k_g)
        columns = base[h] + pair.indices[:, None].astype(np.int64) * k_h + np.arange(k_h)
        A[rows[:, :, None], columns[:, None, :]] = pair.data
        A[columns[:, :, None], rows[:, None, :]] = pair.data.transpose(0, 2, 1)
    return A, base


def lay_out(cp: CrossProducts) -> Layout:
    """Lay out a model with the largest factor eliminated.

    Its part of M is block diagonal and costs next to nothing.
    """
    lead = int(np.argmax([g.n_levels * g.k for g in cp.groups]))
    return Layout(cp, lead)
