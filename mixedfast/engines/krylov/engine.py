"""The krylov engine: crossed factors that are too large for a dense rest.

The largest factor is eliminated level by level; the equations of the rest are solved by conjugate
gradients, to many digits. Only log|M| and the sums of diagonal blocks of M^-1 are estimated, from a
few random probes with the slow directions taken out exactly. Estimates of the fixed effects, their
standard errors and the conditional modes at a given theta therefore have no Monte-Carlo error.
"""

from __future__ import annotations

import numpy as np

from mixedfast._memo import cached_property
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.interface import check_structure, shares_random_effects
from mixedfast.engines.krylov.conjugate_gradients import solve
from mixedfast.engines.krylov.probes import (
    Estimates,
    estimate,
    ritz_directions,
    signs,
    slow_directions,
)
from mixedfast.engines.krylov.system import SchurOperator, SparseProducts
from mixedfast.engines.layout import lay_out, spread, spread_edges, times_a
from mixedfast.engines.pair_traces import columns_bytes, pair_traces_by_columns, shared_columns
from mixedfast.engines.threads import on_one_blas_thread
from mixedfast.engines.turns import Turns, in_turn

__all__ = ["KrylovEngine"]

#: Norm of the residuals of exact solves, relative to the right-hand side.
SOLVE_TOLERANCE = 1e-12
#: Random probes unless more are requested, and the seed that draws them.
PROBES, SEED = 16, 20
#: Diagonal elements of lambda from which K comes from a division by lambda. Below, K is a
#: difference of products, and its trace has no control variate.
SMALL_LAMBDA = 1e-3
#: Steps of conjugate gradients that estimates of costs take as usual.
_USUAL_STEPS = 20.0
#: Columns that `solve` takes at a time.
COLUMNS = 64


class KrylovEngine:
    """An `Engine` with `Traces` for several large factors; its traces are estimates.

    Parameters
    ----------
    cp : CrossProducts
        Of two or more grouping factors.
    probes : int
        Random vectors; unit vectors, which are exact, where the rest has no more columns.
    """

    name = "krylov"
    is_costly = True

    def __init__(self, cp: CrossProducts, probes: int = PROBES) -> None:
        self.layout = lay_out(cp)
        self.probes = probes
        self.turns = Turns()
        self.use(probes, 0)
        self._data = SparseProducts(cp, self.layout)
        self._read(cp)

    def _read(self, cp: CrossProducts) -> None:
        """Read the products with [X y]."""
        self.cp = cp
        self._B = [group.B for group in cp.groups]

    def take(self, cp: CrossProducts) -> None:
        if not shares_random_effects(cp, self.cp):
            check_structure(cp, self.cp)
            self._data = SparseProducts(cp, self.layout)
        self._read(cp)

    def use(self, probes: int, directions: int) -> None:
        """Use so many probes, and take out so many slow directions more than the constants.

        The directions are found at the lambdas of the next `factor`.
        """
        self.probes = probes
        self._signs = signs(self.layout.m, probes, SEED)
        self._wanted = directions if directions < self.layout.m // 4 else 0
        self._more = np.empty((self.layout.m, 0))

    @property
    def directions(self) -> int:
        """Slow directions taken out beside the constants."""
        return self._wanted

    @property
    def is_exact(self) -> bool:
        """Whether unit vectors take the place of random probes."""
        return self._signs is None

    def describe(self) -> dict[str, object]:
        return {
            "engine": self.name,
            "eliminated": self.cp.groups[self.layout.lead].name,
            "columns": int(self.layout.m),
            "probes": self.probes,
            "directions": self.directions,
        }

    @on_one_blas_thread
    @in_turn
    def factor(self, lambdas: list[np.ndarray]) -> tuple[float, np.ndarray] | None:
        try:
            self._operator = SchurOperator(self._data, lambdas)
        except np.linalg.LinAlgError:
            return None
        self._lambdas = lambdas
        self._estimates: Estimates | None = None
        self._modes = self._solve(self._B)
        explained = _inner(self._B, self._modes)
        xy = self.cp.xy - 0.5 * (explained + explained.T)
        return float(self.log_determinants().mean()), xy

    def log_determinants(self) -> np.ndarray:
        """Estimate log|M| from each probe, (probes,)."""
        operator = self._operator
        found: np.ndarray = (
            operator.log_det_lead + operator.log_det_blocks + self.estimates().log_det
        )
        return found

    def estimates(self) -> Estimates:
        """Return what the probes give at the last lambdas."""
        if self._estimates is None:
            if self._more.shape[1] < self._wanted and not self.is_exact:
                self._more = ritz_directions(self._operator, self._wanted, SEED)
            V = slow_directions(self._operator, self._more)
            self._estimates = estimate(self._operator, V, self._signs)
        return self._estimates

    def _solve(self, B: list[np.ndarray]) -> list[np.ndarray]:
        """Compute Lambda M^-1 Lambda' B, one (J,K,r) array per group."""
        operator, layout = self._operator, self.layout
        half = np.matmul(operator.half, B[layout.lead])
        rest = layout.stack([B[g] for g in layout.rest]) - operator.eliminated(half)
        scaled = operator.to_scaled(rest)
        parts = [
            solve(operator.times, scaled[:, first : first + COLUMNS], SOLVE_TOLERANCE).x
            for first in range(0, scaled.shape[1], COLUMNS)
        ]
        solved = operator.G @ np.concatenate(parts, axis=1)
        lead = np.matmul(operator.half.transpose(0, 2, 1), half - operator.lead_part(solved))
        return layout.join(lead, layout.unstack(solved))

    def _is_small(self, g: int) -> bool:
        return bool(np.abs(self._lambdas[g].diagonal()).min() < SMALL_LAMBDA)

    def _from_modes(self, B: list[np.ndarray], modes: list[np.ndarray]) -> list[np.ndarray]:
        """Compute Z'V0^-1(.) from Z'(.) and Lambda M^-1 Lambda' times it."""
        small = [self._is_small(g) for g in range(len(B))]
        left = times_a(self.cp, modes) if any(small) else B
        out = []
        for g, (b, u) in enumerate(zip(B, modes, strict=True)):
            if small[g]:
                out.append(b - left[g])
            else:
                inverse = np.linalg.inv(self._lambdas[g])
                out.append(np.matmul(inverse.T @ inverse, u))
        return out

    @on_one_blas_thread
    @in_turn
    def solve(self, B: list[np.ndarray]) -> list[np.ndarray]:
        return self._solve(B)

    @on_one_blas_thread
    @in_turn
    def project(self, weights: np.ndarray | None = None) -> list[np.ndarray]:
        C = self._from_modes(self._B, self._modes)
        return C if weights is None else [np.matmul(part, weights) for part in C]

    @on_one_blas_thread
    @in_turn
    def times_k(self, F: list[np.ndarray]) -> list[np.ndarray]:
        AF = times_a(self.cp, F)
        return self._from_modes(AF, self._solve(AF))

    @on_one_blas_thread
    @in_turn
    def cross_k(self, v: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        edges = spread_edges(self.cp)
        F = []
        for g, group in enumerate(self.cp.groups):
            own = np.zeros((group.n_levels, group.k, edges[-1]))
            own[:, :, edges[g] : edges[g + 1]] = spread(v[g])
            F.append(own)
        AF = times_a(self.cp, F)
        KF = self._from_modes(AF, self._solve(AF))
        C = self._from_modes(self._B, self._modes)
        FKF = _inner(F, KF)
        return 0.5 * (FKF + FKF.T), _inner(C, F)

    # -- estimates --------------------------------------------------------------------------------

    @on_one_blas_thread
    @in_turn
    def blocks_k(self) -> list[np.ndarray]:
        """Estimate the diagonal blocks of K; their sums are the means of `trace_estimates`."""
        found = []
        for g, block in enumerate(self.estimates().blocks):
            if self._is_small(g):
                each = self._products_at(g)
                found.append(each.mean(axis=0))
            else:
                inverse = np.linalg.inv(self._lambdas[g])
                found.append(inverse.T @ (np.eye(len(inverse)) - block) @ inverse)
        return found

    def trace_estimates(self) -> list[np.ndarray]:
        """Estimate sum_j K_jj of each group from each probe, (probes,K,K)."""
        out = []
        for g, each in enumerate(self.estimates().sums):
            if self._is_small(g):
                out.append(self._products_at(g).sum(axis=1))
            else:
                inverse = np.linalg.inv(self._lambdas[g])
                count = self.layout.n_levels[g] * np.eye(len(inverse))
                out.append(inverse.T @ (count - each) @ inverse)
        return out

    def _products_at(self, g: int) -> np.ndarray:
        """Estimate the blocks of K of a group with a small lambda, (probes,J,K,K).

        z_j (K z)_j' with random signs z; exact with unit vectors.
        """
        J, k = self.layout.n_levels[g], self.layout.k[g]
        exact = self.probes >= J
        z: np.ndarray = np.eye(J)
        if not exact:
            z = np.random.default_rng([SEED, g]).integers(0, 2, (J, self.probes)) * 2.0 - 1.0
        count = z.shape[1]
        sizes = zip(self.layout.n_levels, self.layout.k, strict=True)
        F = [np.zeros((levels, own, k * count)) for levels, own in sizes]
        for b in range(k):
            F[g][:, b, b * count : (b + 1) * count] = z
        AF = times_a(self.cp, F)
        Kz = self._from_modes(AF, self._solve(AF))[g].reshape(J, k, k, count)
        each = np.einsum("js,jabs->sjab", z, Kz)
        each = 0.5 * (each + each.transpose(0, 1, 3, 2))
        return each.sum(axis=0, keepdims=True) if exact else each

    @on_one_blas_thread
    @in_turn
    def posterior_blocks(self) -> list[np.ndarray]:
        return [
            lam @ block @ lam.T
            for lam, block in zip(self._lambdas, self.estimates().blocks, strict=True)
        ]

    @on_one_blas_thread
    @in_turn
    def posterior_pairs(self, g: int, h: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        columns, place = np.unique(j, return_inverse=True)
        k = self.layout.k[h]
        out = np.empty((len(i), self.layout.k[g], k))
        for first in range(0, len(columns), COLUMNS):
            own = columns[first : first + COLUMNS]
            B = [
                np.zeros((n, size, len(own) * k))
                for n, size in zip(self.layout.n_levels, self.layout.k, strict=True)
            ]
            for a in range(k):
                B[h][own, a, np.arange(len(own)) * k + a] = 1.0
            solved = self._solve(B)[g].reshape(self.layout.n_levels[g], -1, len(own), k)
            inside = (place >= first) & (place < first + len(own))
            out[inside] = solved[i[inside], :, place[inside] - first]
        return out

    @cached_property
    def _shared_columns(self) -> list[np.ndarray]:
        """Column of `pair_traces` for each level; only the structure matters."""
        return shared_columns(self.cp)

    @on_one_blas_thread
    @in_turn
    def pair_traces(self, K: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        return pair_traces_by_columns(self.times_k, self.cp.groups, self._shared_columns)

    def product_operations(self) -> float:
        entries = len(self.layout.border[1]) * self.layout.k[self.layout.lead]
        return 4.0 * _USUAL_STEPS * float(entries)

    def trace_operations(self) -> float:
        return self.product_operations() * float(sum(len(g.A) * g.k for g in self.cp.groups))

    def trace_bytes(self) -> float:
        return columns_bytes()


def _inner(X: list[np.ndarray], Y: list[np.ndarray]) -> np.ndarray:
    """Compute X'Y of one (J,K,.) array per group."""
    parts = [np.tensordot(x, y, ((0, 1), (0, 1))) for x, y in zip(X, Y, strict=True)]
    return np.asarray(np.sum(parts, axis=0))
