"""How a model's random effects are laid out for the block engine: who is eliminated, how the rest falls apart."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast.crossprod.blocks import PairProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._cooccurrence import components, pairs_times
from mixedfast.engines._levels import levels_half

__all__ = ["Layout", "lay_out", "spread", "spread_edges", "times_a"]


class Layout:
    """Orders the levels of all factors but the eliminated one by connected component.

    Attributes
    ----------
    lead : int
        The group eliminated level by level: the one with most random effects.
    rest : list of int
        The other groups.
    m : int
        Scalar columns of the rest.
    n_components : int
        Connected components among the levels of the rest, the lead factor's co-occurrences included.
    """

    def __init__(self, cp: CrossProducts, lead: int) -> None:
        self.cp = cp
        self.lead = lead
        self.rest = [g for g in range(len(cp.groups)) if g != lead]
        if not self.rest:
            self.m, self.n_components = 0, 0
            return
        sizes = [cp.groups[g].n_levels for g in self.rest]
        self._base = dict(
            zip(self.rest, np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist(), strict=True)
        )
        self.n_rest_levels = int(sum(sizes))
        self.component_of_level, self.n_components = self._components()
        # stable: inside a component groups and levels keep their order
        self._sorted = np.argsort(self.component_of_level, kind="stable")
        self._position = np.empty(self.n_rest_levels, dtype=np.int64)
        self._position[self._sorted] = np.arange(self.n_rest_levels)
        self.k_level = np.repeat(
            np.array([cp.groups[g].k for g in self.rest], dtype=np.int32), sizes
        )[self._sorted]
        self.first = np.concatenate([[0], np.cumsum(self.k_level)[:-1]]).astype(np.int64)
        self.m = int(self.k_level.sum())
        self.blocks_size = int((self.k_level.astype(np.int64) ** 2).sum())
        counts = np.bincount(self.component_of_level, minlength=self.n_components)
        self.level_start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.start = np.append(self.first, self.m)[self.level_start].astype(np.int64)
        ends = np.cumsum([cp.groups[g].k ** 2 for g in self.rest])
        self.lambda_at = np.repeat(np.append(0, ends[:-1]), sizes)[self._sorted].astype(np.int64)

    # -- structure -------------------------------------------------------------------------------------------

    def _pair(self, g: int, h: int) -> tuple[PairProducts, bool]:
        """The co-occurrence of two groups, and whether it is stored the other way round."""
        return (self.cp.pairs[g, h], False) if g < h else (self.cp.pairs[h, g], True)

    def _entries(self, g: int, h: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels of g, levels of h and blocks (nnz,K_g,K_h) of Z_g'WZ_h, sorted by level of g then of h."""
        pair, turned = self._pair(g, h)
        if not turned:
            return pair.rows, pair.indices, pair.data
        order = np.argsort(pair.indices, kind="stable")
        return pair.indices[order], pair.rows[order], pair.data[order].transpose(0, 2, 1)

    def _components(self) -> tuple[np.ndarray, int]:
        groups = self.cp.groups
        pairs = [(g, h, *pair.arrays[:2]) for (g, h), pair in self.cp.pairs.items()]
        labels, count = components([group.n_levels for group in groups], pairs)
        edges = [0, *accumulate(group.n_levels for group in groups)]
        first, end = edges[self.lead], edges[self.lead + 1]
        rest = np.delete(labels, slice(first, end))
        # a level of the lead without rows hangs together with nothing: it goes to any component, and has no entries there
        number = np.maximum(np.cumsum(np.bincount(rest, minlength=count) > 0) - 1, 0)
        self.component_of_lead = number[labels[first:end]].astype(np.int32)
        return number[rest], int(number[-1]) + 1

    @property
    def cubes(self) -> float:
        """Columns of the components of the rest to the third power: what dense work on them takes, but for a factor."""
        return float((np.diff(self.start).astype(float) ** 3).sum())

    def columns_of(self, g: int) -> np.ndarray:
        """Scalar columns (J, K) of group g in the rest."""
        return self._columns[g]

    @cached_property
    def _columns(self) -> dict[int, np.ndarray]:
        return {
            g: self.first[self.levels_of(g)][:, None] + np.arange(self.cp.groups[g].k)
            for g in self.rest
        }

    def levels_of(self, g: int) -> np.ndarray:
        """Positions of the levels of g among the sorted levels of the rest."""
        return self._position[self._base[g] + np.arange(self.cp.groups[g].n_levels)]

    @cached_property
    def border(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A_1r by levels of the lead: ptr (J+1,), cols (nnz,), vals (nnz,K), columns ascending."""
        lead = self.cp.groups[self.lead]
        rows, cols, vals = [], [], []
        for h in self.rest:
            level, other, data = self._entries(self.lead, h)
            k_h = data.shape[2]
            rows.append(np.repeat(level, k_h))
            cols.append(self.columns_of(h)[other].ravel())
            vals.append(data.transpose(0, 2, 1).reshape(-1, lead.k))
        row, col, val = np.concatenate(rows), np.concatenate(cols), np.concatenate(vals)
        ptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=lead.n_levels))]).astype(
            np.int64
        )
        if len(self.rest) > 1:
            # each factor's part is in order already, and a stable sort of runs that are in order only merges them
            order = np.argsort(row.astype(np.int64) * self.m + col, kind="stable")
            col, val = col[order], val[order]
        return ptr, col.astype(np.int32), np.ascontiguousarray(val)

    @cached_property
    def rest_entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A_rr on and above the diagonal, as scalar rows, columns (row <= column) and values."""
        rows, cols, vals = [], [], []
        for i, g in enumerate(self.rest):
            own = self.columns_of(g)
            k = own.shape[1]
            rows.append(np.repeat(own, k, axis=1).ravel())
            cols.append(np.tile(own, (1, k)).ravel())
            vals.append(self.cp.groups[g].A.ravel())
            for h in self.rest[i + 1 :]:
                level, other, data = self._entries(g, h)
                left, right = own[level], self.columns_of(h)[other]
                rows.append(np.repeat(left, right.shape[1], axis=1).ravel())
                cols.append(np.tile(right, (1, left.shape[1])).ravel())
                vals.append(data.ravel())
        row, col, val = np.concatenate(rows), np.concatenate(cols), np.concatenate(vals)
        row, col = np.minimum(row, col), np.maximum(row, col)
        # a diagonal block lists both triangles: keep one (the other half of an off-diagonal pair is never listed)
        keys, index = np.unique(row * np.int64(self.m) + col, return_index=True)
        return keys // self.m, keys % self.m, val[index]

    @property
    def border_arguments(self) -> tuple[Any, ...]:
        """What `_blocks.Border` takes."""
        ptr, cols, vals = self.border
        row, col, val = self.rest_entries
        component = np.repeat(np.arange(self.n_components), np.diff(self.start))[col]
        size = np.diff(self.start)
        offset = np.concatenate([[0], np.cumsum(size**2)])
        base_at = (
            offset[component]
            + (row - self.start[component])
            + (col - self.start[component]) * size[component]
        )
        return (
            ptr,
            cols,
            vals,
            self.component_of_lead,
            self.start,
            self.level_start,
            self.first,
            self.k_level,
            self.lambda_at,
            base_at.astype(np.int64),
            np.ascontiguousarray(val),
        )

    # -- moving between one (J,K,r) array a group and stacked (m,r) rows --------------------------------------

    def stack(self, parts: list[np.ndarray]) -> np.ndarray:
        """(J,K,r) of each remaining group -> (m,r)."""
        out = np.empty((self.m, parts[0].shape[2]))
        for g, part in zip(self.rest, parts, strict=True):
            out[self.columns_of(g)] = part
        return out

    def unstack(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows[self.columns_of(g)] for g in self.rest]

    def spread_rest(self, v: list[np.ndarray], edges: list[int]) -> np.ndarray:
        """The rows of the rest in `spread` of all groups side by side, (m, edges[-1])."""
        out = np.zeros((self.m, edges[-1]))
        for g in self.rest:
            columns, k = self.columns_of(g), self.cp.groups[g].k
            for c in range(k):
                out[columns[:, c], edges[g] + c * k : edges[g] + (c + 1) * k] = v[g]
        return out

    def join(self, lead: np.ndarray, rest: list[np.ndarray]) -> list[np.ndarray]:
        """One array a group, in the model's order."""
        parts = list(rest)
        parts.insert(self.lead, lead)
        return parts

    def split_blocks(self, flat: np.ndarray) -> list[np.ndarray]:
        """Diagonal blocks of all remaining levels, one after the other -> (J,K,K) a group."""
        return [flat[places] for places in self._block_places]

    @cached_property
    def _block_places(self) -> list[np.ndarray]:
        """Where each remaining group's diagonal blocks are, (J,K,K)."""
        at = np.concatenate([[0], np.cumsum(self.k_level.astype(np.int64) ** 2)])
        sizes = [(g, self.cp.groups[g].k) for g in self.rest]
        return [
            at[self.levels_of(g)][:, None, None] + np.arange(k * k).reshape(k, k) for g, k in sizes
        ]

    # -- products with A ---------------------------------------------------------------------------------------

    def rest_matrix(self) -> Any:
        """A_rr (m, m), sparse."""
        from scipy.sparse import coo_array

        row, col, val = self.rest_entries
        off = row != col
        entries = (
            np.concatenate([val, val[off]]),
            (np.concatenate([row, col[off]]), np.concatenate([col, row[off]])),
        )
        return coo_array(entries, shape=(self.m, self.m)).tocsr()

    def border_times(self, Q: np.ndarray) -> np.ndarray:
        """Q_j times each column of A_1r, (nnz,K)."""
        ptr, _, vals = self.border
        level = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        return np.ascontiguousarray(np.einsum("iab,ib->ia", Q[level], vals))


def spread_edges(cp: CrossProducts) -> list[int]:
    """Where the columns of each group's `spread` begin and end, when they stand side by side."""
    return [0, *accumulate(group.k**2 for group in cp.groups)]


def spread(v: np.ndarray) -> np.ndarray:
    """v_j[d] at position c, one column for each (c, d): (J,k) -> (J,k,k*k)."""
    J, k = v.shape
    out = np.zeros((J, k, k, k))
    for c in range(k):
        out[:, c, c, :] = v
    return out.reshape(J, k, k * k)


def times_a(cp: CrossProducts, F: list[np.ndarray]) -> list[np.ndarray]:
    """A F = Z'WZ F; F and the answer are one (J,K,r) array a group."""
    F = [np.ascontiguousarray(part) for part in F]
    out = [
        levels_half(np.ascontiguousarray(group.A), part)
        for group, part in zip(cp.groups, F, strict=True)
    ]
    for (g, h), pair in cp.pairs.items():
        pairs_times(*pair.arrays, F[g], F[h], out[g], out[h])
    return out


def lay_out(cp: CrossProducts) -> Layout:
    """Eliminate the factor with most random effects: its part of M is block diagonal and costs next to nothing."""
    lead = int(np.argmax([g.n_levels * g.k for g in cp.groups]))
    return Layout(cp, lead)
