"""The cholmod engine: M(theta) as one sparse matrix, for any crossing or nesting.

The pattern of M is that of Z'WZ whatever theta is, so that ordering and symbolic factor are
computed once; a new theta only scales the values and factors again in place. Traces come from the
selected inverse (Takahashi, Fagan and Chen 1973).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import available_cores
from mixedfast.covariance.relative import SMALLEST_DIVISOR, lower_root
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.interface import check_structure, shares_random_effects, unsolvable
from mixedfast.engines.layout import spread, spread_edges
from mixedfast.engines.pair_traces import columns_bytes, pair_traces_by_columns, shared_columns
from mixedfast.engines.threads import on_one_blas_thread, require_room
from mixedfast.engines.turns import Turns, in_turn
from mixedfast.errors import BuildError

__all__ = ["CholmodEngine", "Pattern"]

#: Buffers per core: the threads of CHOLMOD take one each, and BLAS below them another.
_ROOM_OF_CHOLMOD = 2
#: Diagonal elements of lambda from this on: K comes from I - M^-1. Below, lambda is replaced by a
#: small invertible one (see `_extrapolated`).
_SMALL_LAMBDA = 1e-4
#: Variance added to a singular lambda, relative to the largest diagonal of Z'WZ. Results at this
#: and at half of it are extrapolated to zero: truncation is then its square, 1e-10, and
#: cancellation 1e-11.
_ADDED_VARIANCE = 1e-5
#: Numbers that `posterior_pairs` solves for at a time.
_BATCH_NUMBERS = 4_000_000
#: Operations of a factorization from which its selected inverse takes tens of milliseconds.
_COSTLY_FLOPS = 1e8


class Pattern:
    """Lower triangle of Z'WZ in compressed columns, and the places of its blocks; no values.

    Attributes
    ----------
    q : int
    base : (G+1,) first scalar column of each group
    indptr, indices : int64 arrays
    positions : dict of (g, h) to (nnz,K_g,K_h) arrays
        Places of each block of Z_g'WZ_h in the data array, -1 above the diagonal; g >= h, so that
        rows are below columns.
    """

    def __init__(self, cp: CrossProducts) -> None:
        sizes = [g.n_levels * g.k for g in cp.groups]
        self.base = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.q = int(self.base[-1])
        parts = []
        for g, group in enumerate(cp.groups):
            own = self.base[g] + np.arange(sizes[g]).reshape(group.n_levels, group.k)
            parts.append((g, g, own, own))
        for (g, h), pair in cp.pairs.items():
            columns = self.base[g] + pair.rows[:, None] * cp.groups[g].k + np.arange(cp.groups[g].k)
            rows = (
                self.base[h]
                + pair.indices[:, None].astype(np.int64) * cp.groups[h].k
                + np.arange(cp.groups[h].k)
            )
            parts.append((h, g, rows, columns))
        rows_all, columns_all, keeps = [], [], []
        for _, _, rows, columns in parts:
            row = np.broadcast_to(rows[:, :, None], (*rows.shape, columns.shape[1]))
            column = np.broadcast_to(columns[:, None, :], row.shape)
            keep = row >= column
            rows_all.append(row[keep])
            columns_all.append(column[keep])
            keeps.append(keep)
        row, column = np.concatenate(rows_all), np.concatenate(columns_all)
        order = np.lexsort((row, column))
        self.indices = row[order]
        self.indptr = np.concatenate(
            [[0], np.cumsum(np.bincount(column, minlength=self.q))]
        ).astype(np.int64)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        self.positions = {}
        at = 0
        for (g, h, _, _), keep in zip(parts, keeps, strict=True):
            positions = np.full(keep.shape, -1, dtype=np.int64)
            count = int(keep.sum())
            positions[keep] = rank[at : at + count]
            at += count
            self.positions[g, h] = positions

    def symmetric(self, cp: CrossProducts) -> Any:
        """Build Z'WZ itself, SciPy CSR with both triangles."""
        from scipy.sparse import csc_array, tril

        lower = csc_array((self.values(cp), self.indices, self.indptr), shape=(self.q, self.q))
        return (lower + tril(lower, -1).T).tocsr()

    def values(
        self,
        cp: CrossProducts,
        lambdas: list[np.ndarray] | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Compute the data of Z'WZ, or of Lambda'Z'WZ Lambda + I."""
        data = np.empty(len(self.indices)) if out is None else out
        for (g, h), positions in self.positions.items():
            blocks = cp.groups[g].A if g == h else cp.pairs[h, g].data.transpose(0, 2, 1)
            with np.errstate(over="ignore", invalid="ignore"):  # the factorization refuses them
                scaled = blocks if lambdas is None else lambdas[g].T @ blocks @ lambdas[h]
            if lambdas is not None and g == h:
                scaled = scaled + np.eye(len(lambdas[g]))
            keep = positions >= 0
            data[positions[keep]] = scaled[keep]
        return data


class CholmodEngine:
    """An `Engine` with `Traces` for any crossing or nesting.

    Parameters
    ----------
    cp : CrossProducts
    pattern : Pattern, optional
        Of the same structure, when it is known already.
    factor : mixedfast.engines._cholmod.Factor, optional
        Its symbolic analysis.
    """

    name = "cholmod"

    def __init__(
        self, cp: CrossProducts, pattern: Pattern | None = None, factor: Any = None
    ) -> None:
        require_room(1 + _ROOM_OF_CHOLMOD * available_cores())
        self.pattern = Pattern(cp) if pattern is None else pattern
        self._sparse = analyse(self.pattern) if factor is None else factor
        self.turns = Turns()
        self._data = np.empty(len(self.pattern.indices))
        self._factored_at: list[np.ndarray] | None = None
        self.is_costly = self._sparse.flops >= _COSTLY_FLOPS
        self._symmetric: Any = None
        self._read(cp)

    def _read(self, cp: CrossProducts) -> None:
        """Read the products with [X y]."""
        self.cp = cp
        self._B = self._stack([g.B for g in cp.groups])

    def take(self, cp: CrossProducts) -> None:
        if not shares_random_effects(cp, self.cp):
            check_structure(cp, self.cp)
            self._symmetric = None
        self._read(cp)

    @property
    def _zz(self) -> Any:
        """Z'WZ of the cross-products last taken, sparse."""
        if self._symmetric is None:
            self._symmetric = self.pattern.symmetric(self.cp)
        return self._symmetric

    def describe(self) -> dict[str, object]:
        f = self._sparse
        return {
            "engine": self.name,
            "columns": self.pattern.q,
            "ordering": f.ordering,
            "nnz_L": f.nnz_L,
            "flops": f.flops,
            "supernodal": f.is_supernodal,
        }

    # -- one array per group and stacked rows -----------------------------------------------------

    def _stack(self, parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([part.reshape(-1, part.shape[2]) for part in parts])

    def _unstack(self, rows: np.ndarray) -> list[np.ndarray]:
        base = self.pattern.base
        return [
            rows[base[g] : base[g + 1]].reshape(group.n_levels, group.k, -1)
            for g, group in enumerate(self.cp.groups)
        ]

    def _scale(self, rows: np.ndarray, transpose: bool) -> np.ndarray:
        """Multiply stacked rows by Lambda or Lambda'."""
        parts = self._unstack(rows)
        return self._stack(
            [(lam.T if transpose else lam) @ p for lam, p in zip(self._lambdas, parts, strict=True)]
        )

    # -- the interface ----------------------------------------------------------------------------

    @on_one_blas_thread
    @in_turn
    def factor(self, lambdas: list[np.ndarray]) -> tuple[float, np.ndarray] | None:
        self._lambdas = lambdas
        self._inverse_of: list[np.ndarray] | None = None
        self._inverse_data: np.ndarray | None = None  # M^-1 on the pattern of M
        if not self._factorize(lambdas):
            return None
        self._half = self._factor.half_solve(self._scale(self._B, transpose=True))
        return self._factor.logdet(), self.cp.xy - self._half.T @ self._half

    def _factorize(self, lambdas: list[np.ndarray]) -> bool:
        """Factor at some lambdas; return whether M is positive definite there."""
        self._factored_at = None
        if self._sparse.factorize(self.pattern.values(self.cp, lambdas, self._data)):
            return False
        self._factored_at = lambdas
        return True

    @property
    def _factor(self) -> Any:
        """The factor at the lambdas of the last `factor`."""
        if self._factored_at is not self._lambdas:
            self._factorize_again(self._lambdas)  # after an interrupt
        return self._sparse

    def _factorize_again(self, lambdas: list[np.ndarray]) -> None:
        """Factor at lambdas where M is positive definite, as it was at those next to them."""
        if not self._factorize(lambdas):
            raise unsolvable()

    def _apply(self, B: np.ndarray) -> np.ndarray:
        """Compute Z'V0^-1(.) from Z'(.), stacked."""
        solved = self._factor.solve(self._scale(B, transpose=True))
        return B - self._zz @ self._scale(solved, transpose=False)

    def _inverse_blocks(self, factor: Any) -> list[np.ndarray]:
        """Compute the diagonal blocks of M^-1 of each group, (J,K,K).

        M is that of the values last factored.
        """
        data = factor.selected_inverse()
        out: list[Any] = [None] * len(self.cp.groups)
        for (g, h), positions in self.pattern.positions.items():
            if g == h:
                block = np.where(positions >= 0, data[positions], 0.0)
                lower = np.tril(block, -1)
                out[g] = block + lower.transpose(0, 2, 1)
        return out

    @on_one_blas_thread
    @in_turn
    def project(self, weights: np.ndarray | None = None) -> list[np.ndarray]:
        return self._unstack(self._apply(self._B if weights is None else self._B @ weights))

    @on_one_blas_thread
    @in_turn
    def blocks_k(self) -> list[np.ndarray]:
        if self._inverse_of is None:
            self._inverse_of = self._inverse_blocks(self._factor)
        K: list[Any] = [None] * len(self.cp.groups)
        singular = []
        for g, lam in enumerate(self._lambdas):
            if np.abs(np.diag(lam)).min() < _SMALL_LAMBDA:
                singular.append(g)
            else:
                K[g] = _from_inverse(lam, self._inverse_of[g])
        if singular:
            for g, block in zip(singular, self._extrapolated(singular), strict=True):
                K[g] = block
        return K

    def _extrapolated(self, groups: list[int]) -> list[np.ndarray]:
        """Extrapolate K of groups with singular lambdas from lambdas with a small variance added.

        K is linear in the added variance to first order. Two more factorizations, then the factor
        of the true lambdas is restored.
        """
        sizes = (_ADDED_VARIANCE, 0.5 * _ADDED_VARIANCE)
        K = [self._with_variance(groups, size) for size in sizes]
        self._factorize_again(self._lambdas)
        return [2.0 * half - full for full, half in zip(*K, strict=True)]

    def _with_variance(self, groups: list[int], size: float) -> list[np.ndarray]:
        """Compute K of some groups with so much variance added to their lambdas."""
        lambdas = list(self._lambdas)
        for g in groups:
            largest = np.einsum("jaa->ja", self.cp.groups[g].A).max(axis=0)
            lambdas[g] = _plus_variance(lambdas[g], size / np.maximum(largest, SMALLEST_DIVISOR))
        self._factorize_again(lambdas)
        inverse = self._inverse_blocks(self._sparse)
        return [_from_inverse(lambdas[g], inverse[g]) for g in groups]

    @on_one_blas_thread
    @in_turn
    def solve(self, B: list[np.ndarray]) -> list[np.ndarray]:
        solved = self._factor.solve(self._scale(self._stack(B), transpose=True))
        return self._unstack(self._scale(solved, transpose=False))

    @on_one_blas_thread
    @in_turn
    def times_k(self, F: list[np.ndarray]) -> list[np.ndarray]:
        return self._unstack(self._apply(self._zz @ self._stack(F)))

    @on_one_blas_thread
    @in_turn
    def cross_k(self, v: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        base, edges = self.pattern.base, spread_edges(self.cp)
        stacked = np.zeros((base[-1], edges[-1]))
        for g, part in enumerate(v):
            stacked[base[g] : base[g + 1], edges[g] : edges[g + 1]] = spread(part).reshape(
                -1, edges[g + 1] - edges[g]
            )
        AF = self._zz @ stacked
        half = self._factor.half_solve(self._scale(AF, transpose=True))
        return stacked.T @ AF - half.T @ half, self._B.T @ stacked - self._half.T @ half

    @cached_property
    def _shared_columns(self) -> list[np.ndarray]:
        """Column of `pair_traces` for each level; only the structure matters."""
        return shared_columns(self.cp)

    @on_one_blas_thread
    @in_turn
    def pair_traces(self, K: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        return pair_traces_by_columns(self.times_k, self.cp.groups, self._shared_columns)

    def product_operations(self) -> float:
        return 4.0 * self._sparse.nnz_L

    def trace_operations(self) -> float:
        columns = sum(
            group.k * (int(column.max()) + 1)
            for group, column in zip(self.cp.groups, self._shared_columns, strict=True)
        )
        return 4.0 * columns * self._sparse.nnz_L

    def trace_bytes(self) -> float:
        return columns_bytes()

    @on_one_blas_thread
    @in_turn
    def posterior_blocks(self) -> list[np.ndarray]:
        if self._inverse_of is None:
            self._inverse_of = self._inverse_blocks(self._factor)
        return [
            lam @ block @ lam.T for lam, block in zip(self._lambdas, self._inverse_of, strict=True)
        ]

    @on_one_blas_thread
    @in_turn
    def posterior_pairs(self, g: int, h: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        if g > h:
            return self.posterior_pairs(h, g, j, i).transpose(0, 2, 1)
        width = self.cp.groups[h].n_levels
        pair = self.cp.pairs[g, h]
        together = pair.rows * np.int64(width) + pair.indices  # ascending
        requested = i * np.int64(width) + j
        place = np.minimum(np.searchsorted(together, requested), len(together) - 1)
        known = together[place] == requested
        out = np.empty((len(i), self.cp.groups[g].k, self.cp.groups[h].k))
        if known.any():  # levels that occur together: the selected inverse has their blocks
            if self._inverse_data is None:
                self._inverse_data = self._factor.selected_inverse()
            positions = self.pattern.positions[h, g][place[known]]
            blocks = self._inverse_data[positions].transpose(0, 2, 1)
            out[known] = self._lambdas[g] @ blocks @ self._lambdas[h].T
        if not known.all():
            out[~known] = self._solved_pairs(g, h, i[~known], j[~known])
        return out

    def _solved_pairs(self, g: int, h: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Solve for `posterior_pairs` of levels that do not occur together.

        Some distinct levels of h at a time.
        """
        k, base = self.cp.groups[h].k, self.pattern.base
        levels, column = np.unique(j, return_inverse=True)
        out = np.empty((len(i), self.cp.groups[g].k, k))
        step = max(1, _BATCH_NUMBERS // (self.pattern.q * k))
        for first in range(0, len(levels), step):
            part = levels[first : first + step]
            unit = np.zeros((self.pattern.q, len(part), k))
            for a in range(k):
                unit[base[h] + part * k + a, np.arange(len(part)), a] = 1.0
            solved = self._factor.solve(
                self._scale(unit.reshape(self.pattern.q, -1), transpose=True)
            )
            Q = self._unstack(self._scale(solved, transpose=False))[g]
            mine = (column >= first) & (column < first + len(part))
            by_level = Q.reshape(*Q.shape[:2], len(part), k)
            out[mine] = by_level[i[mine], :, column[mine] - first]
        return out


def _plus_variance(lam: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Compute the lower Cholesky factor of lam lam' + diag(variance)."""
    return lower_root(np.hstack([lam, np.diag(np.sqrt(variance))]))


def _from_inverse(lam: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Compute K_jj = lambda^-T (I - (M^-1)_jj) lambda^-1."""
    divisor = np.linalg.inv(lam)
    return divisor.T @ (np.eye(len(lam)) - inverse) @ divisor


def analyse(pattern: Pattern) -> Any:
    """Factor symbolically; AMD and METIS are tried, the cheaper is kept.

    Raises
    ------
    BuildError
        When mixedfast was built without CHOLMOD.
    """
    try:
        from mixedfast.engines import _cholmod
    except ImportError as error:
        raise BuildError(
            "this model needs the sparse engine, but mixedfast was built without CHOLMOD: install "
            "the SuiteSparse headers (Debian and Ubuntu: libsuitesparse-dev) and build mixedfast "
            "again"
        ) from error
    return _cholmod.Factor(pattern.q, pattern.indptr, pattern.indices)
