"""How a model's random effects are laid out for the block engine: who is eliminated, how the rest falls apart."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from mixedfast.crossprod import CrossProducts, PairProducts

__all__ = ["Layout", "lay_out"]

#: Numbers of the border below which plain arrays are quicker than sparse matrices, for what these cost to make.
_SMALL = 20_000


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
        self._base = dict(zip(self.rest, np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist(), strict=True))
        self.n_rest_levels = int(sum(sizes))
        group_of = np.repeat(self.rest, sizes)
        self.component_of_level, self.n_components = self._components()
        # stable: inside a component groups and levels keep their order
        self._sorted = np.argsort(self.component_of_level, kind="stable")
        self._position = np.empty(self.n_rest_levels, dtype=np.int64)
        self._position[self._sorted] = np.arange(self.n_rest_levels)
        self.k_level = np.array([cp.groups[g].k for g in group_of], dtype=np.int32)[self._sorted]
        self.first = np.concatenate([[0], np.cumsum(self.k_level)[:-1]]).astype(np.int64)
        self.m = int(self.k_level.sum())
        self.blocks_size = int((self.k_level.astype(np.int64) ** 2).sum())
        counts = np.bincount(self.component_of_level, minlength=self.n_components)
        self.level_start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.start = np.append(self.first, self.m)[self.level_start].astype(np.int64)
        at = np.concatenate([[0], np.cumsum([cp.groups[g].k ** 2 for g in self.rest])[:-1]])
        where = dict(zip(self.rest, at.tolist(), strict=True))
        self.lambda_at = np.array([where[g] for g in group_of], dtype=np.int64)[self._sorted]

    # -- structure -------------------------------------------------------------------------------------------

    def _pair(self, g: int, h: int) -> tuple[PairProducts, bool]:
        """The co-occurrence of two groups, and whether it is stored the other way round."""
        return (self.cp.pairs[g, h], False) if g < h else (self.cp.pairs[h, g], True)

    def _entries(self, g: int, h: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels of g, levels of h and blocks (nnz,K_g,K_h) of Z_g'WZ_h, sorted by level of g then of h."""
        pair, turned = self._pair(g, h)
        rows = np.repeat(np.arange(len(pair.indptr) - 1), np.diff(pair.indptr))
        if not turned:
            return rows, pair.indices, pair.data
        order = np.argsort(pair.indices, kind="stable")
        return pair.indices[order], rows[order], pair.data[order].transpose(0, 2, 1)

    def _components(self) -> tuple[np.ndarray, int]:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n_lead = self.cp.groups[self.lead].n_levels
        left, right = [], []
        for h in self.rest:
            rows, columns, _ = self._entries(self.lead, h)
            left.append(rows)
            right.append(n_lead + self._base[h] + columns)
        for i, g in enumerate(self.rest):
            for h in self.rest[i + 1 :]:
                rows, columns, _ = self._entries(g, h)
                left.append(n_lead + self._base[g] + rows)
                right.append(n_lead + self._base[h] + columns)
        edges = (np.concatenate(left), np.concatenate(right))
        size = n_lead + self.n_rest_levels
        graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(size, size))
        count, labels = connected_components(graph, directed=False)
        self.component_of_lead = labels[:n_lead].astype(np.int32)
        return labels[n_lead:], int(count)

    def columns_of(self, g: int) -> np.ndarray:
        """Scalar columns (J, K) of group g in the rest."""
        return self._columns[g]

    @cached_property
    def _columns(self) -> dict[int, np.ndarray]:
        return {g: self.first[self.levels_of(g)][:, None] + np.arange(self.cp.groups[g].k) for g in self.rest}

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
        # each factor's part is in order already, and a stable sort of runs that are in order only merges them
        order = np.argsort(row.astype(np.int64) * self.m + col, kind="stable")
        ptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=lead.n_levels))]).astype(np.int64)
        return ptr, col[order].astype(np.int32), np.ascontiguousarray(val[order])

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
        base_at = offset[component] + (row - self.start[component]) + (col - self.start[component]) * size[component]
        return (
            ptr, cols, vals, self.component_of_lead, self.start, self.level_start, self.first, self.k_level,
            self.lambda_at, base_at.astype(np.int64), np.ascontiguousarray(val),
        )  # fmt: skip

    # -- moving between one (J,K,r) array a group and stacked (m,r) rows --------------------------------------

    def stack(self, parts: list[np.ndarray]) -> np.ndarray:
        """(J,K,r) of each remaining group -> (m,r)."""
        out = np.empty((self.m, parts[0].shape[2]))
        for g, part in zip(self.rest, parts, strict=True):
            out[self.columns_of(g)] = part
        return out

    def unstack(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows[self.columns_of(g)] for g in self.rest]

    def join(self, lead: np.ndarray, rest: list[np.ndarray]) -> list[np.ndarray]:
        """One array a group, in the model's order."""
        parts = list(rest)
        parts.insert(self.lead, lead)
        return parts

    def split_blocks(self, flat: np.ndarray) -> list[np.ndarray]:
        """Diagonal blocks of all remaining levels, one after the other -> (J,K,K) a group."""
        at = np.concatenate([[0], np.cumsum(self.k_level.astype(np.int64) ** 2)])
        out = []
        for g in self.rest:
            k = self.cp.groups[g].k
            start = at[self.levels_of(g)]
            out.append(flat[start[:, None] + np.arange(k * k)].reshape(-1, k, k))
        return out

    def pack_lambdas(self, lambdas: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.ascontiguousarray(lambdas[g]).ravel() for g in self.rest])

    def scale_rows(self, rows: np.ndarray, lambdas: list[np.ndarray], transpose: bool) -> np.ndarray:
        """lambda (or lambda') times each level's rows, (m,r)."""
        out = np.empty_like(rows)
        for g in self.rest:
            columns = self.columns_of(g)
            side = lambdas[g].T if transpose else lambdas[g]
            out[columns] = side @ rows[columns]
        return out

    # -- products with A ---------------------------------------------------------------------------------------

    @cached_property
    def sparse(self) -> tuple[Any, Any, Any]:
        """A_1r (q_1, m), its transpose and A_rr (m, m): SciPy sparse matrices, or arrays where they are small."""
        from scipy.sparse import coo_array, csr_array

        ptr, cols, vals = self.border
        k = vals.shape[1]
        level = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        rows = (level[:, None] * k + np.arange(k)).ravel()
        if k * (len(ptr) - 1) * self.m <= _SMALL:
            border, rest = np.zeros((k * (len(ptr) - 1), self.m)), np.zeros((self.m, self.m))
            border[rows, np.repeat(cols, k)] = vals.ravel()
            row, col, val = self.rest_entries
            rest[row, col] = rest[col, row] = val
            return border, border.T, rest
        A_1r = csr_array((vals.ravel(), (rows, np.repeat(cols, k))), shape=(k * (len(ptr) - 1), self.m))
        row, col, val = self.rest_entries
        upper = coo_array((val, (row, col)), shape=(self.m, self.m)).tocsr()
        strict = coo_array((val[row != col], (col[row != col], row[row != col])), shape=(self.m, self.m)).tocsr()
        return A_1r, A_1r.T.tocsr(), upper + strict

    def times_a(self, F: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """A F: the lead's part (J,K,r) and the rest's (m,r), for one (J,K,r) array a group."""
        A_1r, A_r1, A_rr = self.sparse
        lead = np.ascontiguousarray(F[self.lead])
        rest = self.stack([F[g] for g in self.rest])
        flat = lead.reshape(-1, lead.shape[2])
        B = np.matmul(self.cp.groups[self.lead].A, lead) + (A_1r @ rest).reshape(lead.shape)
        return np.ascontiguousarray(B), np.ascontiguousarray(A_r1 @ flat + A_rr @ rest)

    def border_times(self, Q: np.ndarray) -> np.ndarray:
        """Q_j times each column of A_1r, (nnz,K)."""
        ptr, _, vals = self.border
        level = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        return np.ascontiguousarray(np.einsum("iab,ib->ia", Q[level], vals))


def lay_out(cp: CrossProducts) -> Layout:
    """Eliminate the factor with most random effects: its part of M is block diagonal and costs next to nothing."""
    lead = int(np.argmax([g.n_levels * g.k for g in cp.groups]))
    return Layout(cp, lead)
