"""The block engine: the largest factor eliminated level by level, the rest dense.

With one factor there is no rest and everything is batched k x k work. With several, the Schur
complement S of the largest factor is formed once per theta, *before* it is scaled by lambda: Z'V^-1
Z then comes without a division by lambda, and singular covariances need no special case in the
algebra.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mixedfast.covariance._theta import lower_inverse
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines import _border, _levels
from mixedfast.engines._border import at_once
from mixedfast.engines.dense_cholesky import LARGE, DenseWorkers
from mixedfast.engines.interface import check_structure, shares_random_effects, unsolvable
from mixedfast.engines.layout import Layout, lay_out, spread, spread_edges, times_a
from mixedfast.engines.pair_traces import outer_sum, pair_traces
from mixedfast.engines.threads import is_small, on_one_blas_thread_unless
from mixedfast.engines.turns import Turns, in_turn

__all__ = ["BlockEngine"]

#: Diagonal elements of lambda below this: K is formed directly, because I - M^-1 would lose its
#: digits to cancellation.
_SMALL_LAMBDA = 1e-4
#: Diagonal elements of lambda from this on: K and Z'V0^-1 come from a division by lambda, which
#: makes an error of 1e-16 no larger than 1e-14.
_SAFE_LAMBDA = 1e-2
#: Entries of Q that `posterior_pairs` reads at a time.
_BATCH_ENTRIES = 1_000_000
#: Columns of a dense component from which its inverse takes tens of milliseconds. A rest of small
#: components, as nested factors leave it, costs as much as its components do.
_COSTLY_COLUMNS = 700


class _Half(NamedTuple):
    """Half of a solve: L^-1 Lambda' times rows.

    ``lead`` (J k,r) of the eliminated factor; ``reduced`` (m,r), rows of the rest with the lead
    eliminated, not scaled yet; ``rest`` (m,r), or None after `BlockEngine._invert`, when Q stands
    in the place of the factor.
    """

    lead: np.ndarray
    reduced: np.ndarray
    rest: np.ndarray | None


def _is_small(engine: BlockEngine, *_: Any, **__: Any) -> bool:
    return is_small(engine.cp)


class BlockEngine:
    """An `Engine` with `Traces` for one factor of any size, or several of which one is large.

    Parameters
    ----------
    cp : CrossProducts
    layout : Layout, optional
        Of the same structure, when it is known already.
    """

    name = "block"

    def __init__(self, cp: CrossProducts, layout: Layout | None = None) -> None:
        self.layout = lay_out(cp) if layout is None else layout
        self._border: Any = None
        self.is_costly = False
        self.turns = Turns() if self.layout.rest else None  # without a rest nothing is in place
        if self.layout.rest:
            self.is_costly = self.layout.cubes >= _COSTLY_COLUMNS**3
            arguments = self.layout.border_arguments(cp)
            self._border_values = arguments[2]
            self._border = _border.Border(*arguments)
            self._workers = DenseWorkers() if self.layout.m >= LARGE else None
            self._share = at_once if self._workers is None else self._workers.share_evenly
        self._K_rest: list[np.ndarray] | None = None
        self._H: np.ndarray | None = None
        self._read(cp)
        self._T = np.empty_like(self._A)

    def _read(self, cp: CrossProducts) -> None:
        """Read the blocks of the eliminated factor and the products with [X y]."""
        self.cp, lead = cp, cp.groups[self.layout.lead]
        self._A, self._B = np.ascontiguousarray(lead.A), np.ascontiguousarray(lead.B)
        self._rest_rhs = (
            self.layout.stack([cp.groups[g].B for g in self.layout.rest])
            if self.layout.rest
            else np.empty((0, self._B.shape[2]))
        )

    def take(self, cp: CrossProducts) -> None:
        if not shares_random_effects(cp, self.cp):
            check_structure(cp, self.cp)
            if self._border is not None:
                self._border_values = self.layout.border_values(cp)
                self._border.take(self._border_values, self.layout.rest_values(cp))
        self._read(cp)

    def describe(self) -> dict[str, object]:
        return {
            "engine": self.name,
            "eliminated": self.cp.groups[self.layout.lead].name,
            "dense_columns": int(self.layout.m),
            "components": int(self.layout.n_components),
        }

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def factor(self, lambdas: list[np.ndarray]) -> tuple[float, np.ndarray] | None:
        self._lambdas = lambdas
        self._K_rest = self._H = None
        logdet, status = _levels.levels_factor(self._A, lambdas[self.layout.lead], self._T)
        if status:
            return None
        if self._border is not None:
            packed = _pack([lambdas[g] for g in self.layout.rest])
            large = None if self._workers is None else (LARGE, self._workers.factor)
            more, failed = self._border.factor(self._T, packed, self._share, large)
            if failed:
                return None
            logdet += more
        self._xy_half = self._half(self._B, self._rest_rhs)
        return logdet, self.cp.xy - self._inner(self._xy_half, self._xy_half)

    def _half(self, B: np.ndarray, B_rest: np.ndarray) -> _Half:
        """Compute half of Lambda M^-1 Lambda'B.

        B (J,k,r) of the lead factor and (m,r) of the rest.
        """
        U = _levels.levels_multiply(self._T, B)
        flat = U.reshape(-1, U.shape[2])
        if self._border is None:
            return _Half(flat, B_rest, B_rest)
        reduced = B_rest.copy()
        self._border.eliminate(U, reduced)
        inverted = self._border.has_inverse
        return _Half(flat, reduced, None if inverted else self._border.forward_solve(reduced))

    def _inner(self, left: _Half, right: _Half) -> np.ndarray:
        """Compute (left)'Lambda M^-1 Lambda'(right)."""
        lead = left.lead.T @ right.lead
        if self._border is None:
            return lead
        return lead + self._rest_inner(left.reduced, left.rest, right.reduced, right.rest)

    def _rest_inner(
        self,
        left: np.ndarray,
        left_half: np.ndarray | None,
        right: np.ndarray,
        right_half: np.ndarray | None,
    ) -> np.ndarray:
        """Compute (left)'Q(right) for rows of the rest, from their halves where both are known."""
        if left_half is None or right_half is None:
            return left.T @ self._border.multiply(np.asfortranarray(right), False)
        return left_half.T @ right_half

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def blocks_k(self) -> list[np.ndarray]:
        K_lead = _levels.levels_k(self._A, self._T)
        if self._border is None:
            return [K_lead]
        K_rest = self._invert()
        self._border.subtract_k(self._projected(), K_lead, self._share)
        return self.layout.join(K_lead, K_rest)

    def _projected(self) -> np.ndarray:
        """Compute H of `Border.project`, once per factorization."""
        if self._H is None:
            self._H = self._border.project(self._A, self._T)
        return self._H

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def project(self, weights: np.ndarray | None = None) -> list[np.ndarray]:
        B = self._B if weights is None else np.matmul(self._B, weights)
        if self._border is None:
            return [_levels.levels_project(self._A, self._T, B)]
        return self._apply(
            B, self._xy_half.reduced if weights is None else self._xy_half.reduced @ weights
        )

    def _apply(self, B: np.ndarray, B_rest: np.ndarray) -> list[np.ndarray]:
        """Compute Z'V0^-1(.) from Z'(.); B_rest has the lead factor eliminated already."""
        layout = self.layout
        W = self._times_q(B_rest)
        reduced = self._border.back_substitute(B, np.ascontiguousarray(W))
        if self._can_divide():  # (I - S Q) B = (lambda lambda')^-1 Q B
            inverses = [lower_inverse(self._lambdas[g]) for g in layout.rest]
            rest = [
                (inverse.T @ inverse) @ rows
                for inverse, rows in zip(inverses, layout.unstack(W), strict=True)
            ]
        else:
            rest = layout.unstack(B_rest - self._border.multiply(np.asfortranarray(W), True))
        return layout.join(_levels.levels_project(self._A, self._T, reduced), rest)

    def _can_divide(self) -> bool:
        """Return whether the rest can be divided by every lambda."""
        return all(
            np.abs(self._lambdas[g].diagonal()).min() > _SAFE_LAMBDA for g in self.layout.rest
        )

    def _relative(self) -> dict[int, np.ndarray] | None:
        """Return lambda lambda' of each group of the rest.

        None when one of them cannot be inverted.
        """
        if not self._can_divide():
            return None
        return {g: self._lambdas[g] @ self._lambdas[g].T for g in self.layout.rest}

    def _times_q(self, B_rest: np.ndarray) -> np.ndarray:
        """Compute Q B for rows of the rest, by the factor or, once inverted, by Q itself."""
        if self._border.has_inverse:
            return self._border.multiply(np.asfortranarray(B_rest), False)
        return self._border.solve(B_rest)

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def solve(self, B: list[np.ndarray]) -> list[np.ndarray]:
        own, turned = np.ascontiguousarray(B[self.layout.lead]), self._T.transpose(0, 2, 1)
        U = _levels.levels_multiply(self._T, own)
        if self._border is None:
            return [np.matmul(turned, U)]
        rest = self.layout.stack([B[g] for g in self.layout.rest])
        self._border.eliminate(U, rest)
        b_rest = np.ascontiguousarray(self._times_q(rest))
        b_lead = np.matmul(
            turned, _levels.levels_multiply(self._T, self._border.back_substitute(own, b_rest))
        )
        return self.layout.join(b_lead, self.layout.unstack(b_rest))

    def _invert(self) -> list[np.ndarray]:
        """Invert the dense rest, once per factorization.

        Returns the diagonal blocks of K of each remaining group.
        """
        if self._K_rest is not None:
            return self._K_rest
        layout, border = self.layout, self._border
        if not border.has_factor and self.factor(self._lambdas) is None:  # after an interrupt
            raise unsolvable()
        flat = np.empty(layout.blocks_size)
        large = None if self._workers is None else (LARGE, self._workers.invert)
        border.invert(flat, self._share, large)
        rest = [(g, self._lambdas[g]) for g in layout.rest]
        direct = {g for g, lam in rest if np.abs(lam.diagonal()).min() < _SMALL_LAMBDA}
        border.blocks_k(
            _pack([np.eye(len(lam)) if g in direct else lower_inverse(lam) for g, lam in rest]),
            flat,
        )
        if direct:
            selected = np.zeros(layout.n_rest_levels, dtype=np.uint8)
            for g in direct:
                selected[layout.levels_of(g)] = 1
            border.blocks_k_singular(selected, flat)
        self._K_rest = layout.split_blocks(flat)
        return self._K_rest

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def cross_k(self, v: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        lead, edges = self.layout.lead, spread_edges(self.cp)
        own = v[lead]
        if self._border is None:
            F = spread(own)
            half = _levels.levels_multiply(self._T, _levels.levels_multiply(self._A, F)).reshape(
                -1, edges[1]
            )
            FAF = np.tensordot(F, np.matmul(self._A, F), ((0, 1), (0, 1)))
            return FAF - half.T @ half, np.tensordot(
                self._B, F, ((0, 1), (0, 1))
            ) - self._xy_half.lead.T @ half
        F = self.layout.spread_rest(v, edges)
        U = self._xy_half.lead.reshape(self._B.shape)
        FKF, cross, reduced = self._border.cross(self._A, self._T, self._B, U, own, F, edges[lead])
        cross += self._rest_rhs.T @ F
        right = None if self._border.has_inverse else self._border.forward_solve(reduced)
        explained = self._rest_inner(reduced, right, reduced, right)
        return FKF - explained, cross - self._rest_inner(
            self._xy_half.reduced, self._xy_half.rest, reduced, right
        )

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def times_k(self, F: list[np.ndarray]) -> list[np.ndarray]:
        AF = times_a(self.cp, F)
        B = AF[self.layout.lead]
        if self._border is None:
            return [_levels.levels_project(self._A, self._T, B)]
        B_rest = self.layout.stack([AF[g] for g in self.layout.rest])
        self._border.eliminate(_levels.levels_multiply(self._T, B), B_rest)
        return self._apply(B, B_rest)

    def product_operations(self) -> float:
        return (
            2.0 * float((np.diff(self.layout.start).astype(float) ** 2).sum())
            if self._border is not None
            else 0.0
        )

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def pair_traces(self, K: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        if self._border is None:
            return {(0, 0): outer_sum(K[0])}
        self._invert()
        D = _levels.levels_k(self._A, self._T)
        border = self._border
        return pair_traces(
            self.layout,
            border.dense,
            border.diagonal,
            self._relative(),
            self._projected(),
            D,
            K[self.layout.lead],
            self._workers,
        )

    def trace_operations(self) -> float:
        return 6.0 * self.layout.cubes if self._border is not None else 0.0

    def trace_bytes(self) -> float:
        if self._border is None:
            return 0.0
        # S, Q, R and K of the rest, and W, QW and WR for each pair of columns of the eliminated
        # factor (see `pair_traces`)
        numbers = float((np.diff(self.layout.start).astype(float) ** 2).sum())
        return 8.0 * (4 + 3 * self._A.shape[1] ** 2) * numbers

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def posterior_blocks(self) -> list[np.ndarray]:
        Q = np.matmul(self._T.transpose(0, 2, 1), self._T)
        if self._border is None:
            return [Q]
        self._invert()
        # Q_11 = T'T + (T'T A_1r) Q_rr (A_r1 T'T); subtract_k subtracts, so the sign changes twice
        right = self.layout.border_times(Q, self._border_values)
        minus = -Q
        self._border.subtract_k(right, minus, self._share)
        return self.layout.join(-minus, self.layout.split_blocks(self._border.blocks_q()))

    @on_one_blas_thread_unless(_is_small)
    @in_turn
    def posterior_pairs(self, g: int, h: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        if h == self.layout.lead:
            return self.posterior_pairs(h, g, j, i).transpose(0, 2, 1)
        self._invert()
        columns = self.layout.columns_of(h)[j]
        if g != self.layout.lead:
            return self._q_rest(self.layout.columns_of(g)[i], columns)
        # Q_1r = -T'T A_1r Q_rr, and a row of A_1r has few columns
        Q = np.matmul(self._T.transpose(0, 2, 1), self._T)
        ptr, cols = self.layout.border
        right = self.layout.border_times(Q, self._border_values)
        out = np.zeros((len(i), right.shape[1], columns.shape[1]))
        width = ptr[i + 1] - ptr[i]
        for part in _batches(width, _BATCH_ENTRIES):
            pair = np.repeat(part, width[part])
            first = np.cumsum(width[part]) - width[part]
            entry = np.repeat(ptr[i[part]] - first, width[part]) + np.arange(len(pair))
            products = right[entry][:, :, None] * self._q_rest(cols[entry][:, None], columns[pair])
            filled = width[part] > 0
            out[part[filled]] = -np.add.reduceat(products, first[filled])
        return out

    def _q_rest(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Read Q between rows (m,a) and columns (m,b) of the rest, (m,a,b).

        Zero between components.
        """
        start = self.layout.start
        size = np.diff(start)
        offset = np.concatenate([[0], np.cumsum(size**2)])
        component = np.searchsorted(start, rows[:, 0], side="right") - 1
        together = (columns[:, 0] >= start[component]) & (columns[:, 0] < start[component + 1])
        shape = (*rows.shape, columns.shape[1])
        low = np.maximum(rows[:, :, None], columns[:, None, :])
        high = np.minimum(rows[:, :, None], columns[:, None, :])
        base, width = start[component][:, None, None], size[component][:, None, None]
        at = offset[component][:, None, None] + (low - base) + (high - base) * width
        found = self._border.dense[np.where(together[:, None, None], at, 0)]
        return np.where(np.broadcast_to(together[:, None, None], shape), found, 0.0)


def _pack(blocks: list[np.ndarray]) -> np.ndarray:
    """Pack one block per remaining group, as Border reads them."""
    return np.concatenate([block.ravel() for block in blocks])


def _batches(sizes: np.ndarray, limit: int) -> Iterator[np.ndarray]:
    """Cut positions into parts in order, so that the sizes of a part sum to about the limit."""
    total = np.cumsum(sizes)
    if not len(total):
        return
    edges = np.searchsorted(total, np.arange(limit, total[-1] + limit, limit), side="left") + 1
    first = 0
    for last in np.minimum(edges, len(sizes)):
        if last > first:
            yield np.arange(first, last)
        first = last
