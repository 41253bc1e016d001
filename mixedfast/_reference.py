"""What the fast code must agree with: a NumPy twin of every kernel, and a whole model by dense algebra.

The twins have the names and signatures of ``_kernels``, ``_pairs`` and ``_blocks``; they are short and slow. `DenseModel` forms
the n x n covariance matrix and uses the textbook formulas; it shares no code with the rest of the package.
Nothing in the package calls this module; the tests do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = [
    "Border", "ColumnPool", "DenseModel", "DenseSolution", "KenwardRoger", "all_finite", "components", "crossprod",
    "dense_model", "levels_factor", "levels_half", "levels_k", "levels_project", "number", "pairs", "pairs_moments", "pairs_times",
    "picked",
]  # fmt: skip

Array = np.ndarray


# -- what a column holds ---------------------------------------------------------------------------------


def all_finite(values: Array) -> bool:
    """Whether no number is infinite or NaN."""
    return bool(np.isfinite(values).all())


def number(values: Array, low: int, size: int) -> tuple[Array, Array]:
    """Number the integers low .. low + size - 1 that occur, in order; -1 for others."""
    used = sorted({v for v in values.tolist() if low <= v < low + size})
    place = {v: i for i, v in enumerate(used)}
    codes = np.array([place.get(v, -1) for v in values.tolist()], dtype=np.int32)
    return codes, np.array(used, dtype=np.int64)


# -- columns and their products --------------------------------------------------------------------------


class ColumnPool:
    """Columns as numbers: each the product of its factors, shifted, scaled, times the root of the weight."""

    def __init__(
        self, columns: Sequence[tuple[Sequence[Any], float, float]], n: int, sqrt_weights: Array | None = None
    ) -> None:
        self.n, self.size = n, len(columns)
        weights = np.ones(n) if sqrt_weights is None else sqrt_weights
        self.values = [(_product(factors, n) - shift) * scale * weights for factors, shift, scale in columns]

    def evaluate(self, column: int, rows: Array | None = None) -> Array:
        values = self.values[column]
        return values.copy() if rows is None else values[rows]


def _product(factors: Iterable[Any], n: int) -> Array:
    out = np.ones(n)
    for factor in factors:
        out = out * (factor.values if factor.table is None else factor.table[factor.values])
    return out


def crossprod(
    pool: ColumnPool, first: int, last: int, gram: Array, groups: Sequence[tuple[Array, int, Array, Array]]
) -> tuple[Array, list[Array]]:
    """Cross-products over rows first..last: of the columns in `gram`, and by level of each group."""
    columns = np.array([pool.values[c][first:last] for c in gram]).reshape(len(gram), last - first)
    totals = []
    for codes, n_levels, left, right in groups:
        total = np.zeros((n_levels, len(left), len(right)))
        for row in range(first, last):
            z = [pool.values[c][row] for c in left]
            total[codes[row]] += np.outer(z, [pool.values[c][row] for c in right])
        totals.append(total)
    return columns @ columns.T, totals


def picked(parts: Sequence[Array], first_row: int, end_row: int, columns: Array) -> Array:
    """Some rows and columns of the sums of one group, added up over `parts`."""
    total: Array = np.sum(parts, axis=0)
    return total[:, first_row:end_row, columns]


def pairs(
    left: Array, n_left: int, right: Array, n_right: int, pool: ColumnPool, k_left: int, k_right: int
) -> tuple[Array, Array, Array]:
    """Z_left'W Z_right as block CSR, a dictionary of pairs put in order."""
    blocks: dict[tuple[int, int], Array] = {}
    for row, pair in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        z = [column[row] for column in pool.values]
        blocks[pair] = blocks.get(pair, 0.0) + np.outer(z[:k_left], z[k_left:])
    ordered = sorted(blocks)
    indptr = np.searchsorted([pair[0] for pair in ordered], np.arange(n_left + 1))
    indices = np.array([pair[1] for pair in ordered], dtype=np.int32)
    return indptr, indices, np.array([blocks[pair] for pair in ordered]).reshape(-1, k_left, k_right)


def pairs_times(
    indptr: Array, indices: Array, data: Array, F_left: Array, F_right: Array, left_out: Array, right_out: Array
) -> None:
    """left_out += A F_right and right_out += A'F_left, in place."""
    for j, (lo, hi) in enumerate(pairwise(indptr)):
        for i in range(lo, hi):
            left_out[j] += data[i] @ F_right[indices[i]]
            right_out[indices[i]] += data[i].T @ F_left[j]


def pairs_moments(indptr: Array, indices: Array, data: Array, D_left: Array, D_right: Array) -> tuple[Array, Array]:
    """sum_ij A_ij[b,c] A_ij[a,d] and sum_ij A_ij[b,c] (D_i D_j')[a,d]."""
    E = np.repeat(D_left, np.diff(indptr), axis=0) @ D_right[indices].transpose(0, 2, 1)
    return np.einsum("nbc,nad->abcd", data, data), np.einsum("nbc,nad->abcd", data, E)


def components(sizes: Sequence[int], pairs: Sequence[tuple[int, int, Array, Array]]) -> tuple[Array, int]:
    """The connected component of each level, numbered by first members: labels pulled down until they agree."""
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    labels = np.arange(edges[-1])
    links = [
        (edges[g] + j, edges[h] + indices[i])
        for g, h, indptr, indices in pairs for j in range(sizes[g]) for i in range(indptr[j], indptr[j + 1])
    ]  # fmt: skip
    changed = True
    while changed:
        before = labels.copy()
        for a, b in links:
            labels[a] = labels[b] = min(labels[a], labels[b])
        changed = not np.array_equal(before, labels)
    found, numbered = np.unique(labels, return_inverse=True)
    return numbered, len(found)


# -- one grouping factor ---------------------------------------------------------------------------------


def levels_factor(A: Array, lambda_: Array, T: Array) -> tuple[float, int]:
    """T_j = L_j^-1 lambda' in place; (log-determinant, 0), or 1 + the first level not positive definite."""
    logdet = 0.0
    for j, block in enumerate(A):
        try:
            L = np.linalg.cholesky(lambda_.T @ block @ lambda_ + np.eye(len(lambda_)))
        except np.linalg.LinAlgError:
            return logdet, j + 1
        T[j] = np.linalg.solve(L, lambda_.T)
        logdet += 2.0 * float(np.log(np.diag(L)).sum())
    return logdet, 0


def levels_half(T: Array, B: Array) -> Array:
    """U_j = T_j B_j."""
    out: Array = T @ B
    return out


def levels_project(A: Array, T: Array, B: Array) -> Array:
    """C_j = B_j - A_j T_j'T_j B_j."""
    out: Array = B - A @ T.transpose(0, 2, 1) @ T @ B
    return out


def levels_k(A: Array, T: Array) -> Array:
    """D_j = A_j - A_j T_j'T_j A_j."""
    out: Array = A - A @ T.transpose(0, 2, 1) @ T @ A
    return out


def moments(
    K: Array, C: Array, W: Array, beta: Array, pairs: bool, fixed: bool
) -> tuple[Array, ...]:
    """Sums over levels that derivatives are made of (see moments.h)."""
    p = len(beta)
    D, v = C[:, :, :p] @ W, C[:, :, p] - C[:, :, :p] @ beta
    E = D @ D.transpose(0, 2, 1)
    empty = np.zeros((0, 0, 0, 0))
    return (
        v,
        K.sum(axis=0),
        np.einsum("ja,jb->ab", v, v),
        E.sum(axis=0),
        np.einsum("ja,jbc,jd->abcd", v, K, v),
        np.einsum("ja,jbs->abs", v, D),
        np.einsum("jbc,jad->abcd", K, K) if pairs else empty,
        np.einsum("jbc,jad->abcd", K, E) if fixed else empty,
        np.einsum("jat,jbs->abts", D, D) if fixed else empty,
    )


# -- several grouping factors ----------------------------------------------------------------------------


class Border:
    """The dense remainder as whole m x m matrices: components are blocks of zeros between them."""

    def __init__(
        self, ptr: Array, cols: Array, vals: Array, component: Array, start: Array, level_start: Array,
        first: Array, k_level: Array, lambda_at: Array, base_at: Array, base: Array,
    ) -> None:  # fmt: skip
        self.m, self.n_components = int(start[-1]), len(start) - 1
        self.start, self.cols = start, cols
        self.level = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        self.A_1r = np.zeros((len(ptr) - 1, vals.shape[1], self.m))
        self.A_1r[self.level, :, cols] = vals
        self.levels = [(int(at), int(k), int(place)) for at, k, place in zip(first, k_level, lambda_at, strict=True)]
        sizes = np.diff(start)
        offset = np.concatenate([[0], np.cumsum(sizes**2)])
        upper = np.zeros((self.m, self.m))
        for at, value in zip(base_at, base, strict=True):
            c = int(np.searchsorted(offset, at, side="right")) - 1
            column, row = divmod(int(at - offset[c]), int(sizes[c]))
            upper[start[c] + row, start[c] + column] = value
        self.A_rr = upper + np.triu(upper, 1).T

    def factor(self, T: Array, lambdas: Array) -> tuple[float, int]:
        """S = A_rr - A_r1 T'T A_1r and the Cholesky factor of lambda'S lambda + I."""
        self.TA = np.einsum("jab,jbm->jam", T, self.A_1r)
        self.S = self.A_rr - np.einsum("jam,jan->mn", self.TA, self.TA)
        self.Lambda = np.zeros((self.m, self.m))
        for at, k, place in self.levels:
            self.Lambda[at : at + k, at : at + k] = lambdas[place : place + k * k].reshape(k, k)
        self.M = self.Lambda.T @ self.S @ self.Lambda + np.eye(self.m)
        for c, (a, b) in enumerate(zip(self.start[:-1], self.start[1:], strict=True)):
            if not np.linalg.eigvalsh(self.M[a:b, a:b]).min(initial=1.0) > 0.0:
                return float("nan"), c + 1
        return float(np.linalg.slogdet(self.M)[1]), 0

    def eliminate(self, U: Array, rest: Array) -> None:
        """rest (m,r) -= A_r1 T'U, in place."""
        rest -= np.einsum("jam,jar->mr", self.TA, U)

    def half(self, rows: Array) -> Array:
        """L^-1 lambda' rows."""
        return np.linalg.solve(np.linalg.cholesky(self.M), self.Lambda.T @ rows)

    def invert(self, blocks: Array) -> None:
        """Diagonal blocks of the inverse; keeps Q = lambda (.)^-1 lambda'."""
        inverse = np.linalg.inv(self.M)
        self.Q = self.Lambda @ inverse @ self.Lambda.T
        blocks[...] = self._diagonal_blocks(inverse)

    def _diagonal_blocks(self, matrix: Array) -> Array:
        return np.concatenate([matrix[at : at + k, at : at + k].ravel() for at, k, _ in self.levels])

    def blocks_k(self, back: Array, blocks: Array) -> None:
        """Diagonal blocks of back'(I - (.)^-1) back from those of the inverse, in place."""
        at = 0
        for _, k, place in self.levels:
            own, side = blocks[at : at + k * k].reshape(k, k), back[place : place + k * k].reshape(k, k)
            own[...] = side.T @ (np.eye(k) - own) @ side
            at += k * k

    def blocks_q(self) -> Array:
        """Diagonal blocks of Q, one after the other."""
        return self._diagonal_blocks(self.Q)

    def blocks_singular(self, wanted: Array, blocks: Array) -> None:
        """Diagonal blocks of S - S Q S for the levels wanted."""
        mine = np.repeat(wanted.astype(bool), [k * k for _, k, _ in self.levels])
        blocks[mine] = self._diagonal_blocks(self.S - self.S @ self.Q @ self.S)[mine]

    def times(self, X: Array, upper: bool) -> Array:
        """S X (upper) or Q X."""
        out: Array = (self.S if upper else self.Q) @ X
        return out

    def back(self, B: Array, W: Array) -> Array:
        """B - A_1r W."""
        out: Array = B - self.A_1r @ W
        return out

    def project(self, A: Array, T: Array) -> Array:
        """H (nnz,k) = (I - A T'T) A_1r on the pattern of A_1r."""
        out: Array = (self.A_1r - A @ T.transpose(0, 2, 1) @ T @ self.A_1r)[self.level, :, self.cols]
        return out

    def subtract_k(self, H: Array, K: Array) -> None:
        """K_j -= H_j Q H_j', in place."""
        wide = np.zeros_like(self.A_1r)
        wide[self.level, :, self.cols] = H
        K -= wide @ self.Q @ wide.transpose(0, 2, 1)


# -- a whole model ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DenseSolution:
    """The model at one theta; ``modes`` (J,K) and ``posterior`` (J,K,K) a group."""

    deviance: float
    beta: Array
    sigma: float
    vcov: Array
    modes: list[Array]
    posterior: list[Array]


@dataclass(frozen=True, eq=False)
class KenwardRoger:
    """Phi (p,p), the adjusted matrix ``vcov`` (p,p), P (r,p,p) and W (r,r) of Kenward and Roger (1997)."""

    Phi: Array
    vcov: Array
    P: Array
    W: Array

    def f_test(self, L: Array, difference: Array) -> tuple[float, float]:
        """Scaled F and its denominator df for L (q,p) of full row rank."""
        q, Phi = len(L), self.Phi
        F = float(difference @ np.linalg.solve(L @ self.vcov @ L.T, difference)) / q
        Theta = L.T @ np.linalg.inv(L @ Phi @ L.T) @ L
        parts = [Theta @ Phi @ P @ Phi for P in self.P]
        A1 = sum(w * np.trace(parts[i]) * np.trace(parts[j]) for (i, j), w in np.ndenumerate(self.W))
        A2 = sum(w * np.trace(parts[i] @ parts[j]) for (i, j), w in np.ndenumerate(self.W))
        B = (A1 + 6.0 * A2) / (2.0 * q)
        g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
        c1, c2, c3 = (c / (3.0 * q + 2.0 * (1.0 - g)) for c in (g, q - g, q + 2.0 - g))
        mean = 1.0 / (1.0 - A2 / q)
        variance = (2.0 / q) * (1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))
        rho = variance / (2.0 * mean**2)
        df = 4.0 + (q + 2.0) / (q * rho - 1.0)
        return float(df / (mean * (df - 2.0)) * F), float(df)


@dataclass(frozen=True, eq=False)
class DenseModel:
    """A linear mixed model by n x n matrices: V = sigma^2 (W^-1 + sum_g Z_g (I x lambda_g lambda_g') Z_g').

    Parameters
    ----------
    y : (n,) array
        The offset subtracted.
    X : (n, p) array
    Z : tuple of (n, J, K) arrays
        One a grouping factor: row, level, column.
    terms : tuple of (group, start, k, correlated)
        Which columns of which factor a term owns, in theta's order.
    weights : (n,) array
    reml : bool

    Examples
    --------
    >>> Z = np.repeat(np.eye(2), 2, axis=0)[:, :, None]
    >>> model = DenseModel(np.arange(4.0), np.ones((4, 1)), (Z,), ((0, 0, 1, True),), np.ones(4), True)
    >>> model.solve(np.array([1.0])).beta
    array([1.5])
    """

    y: Array
    X: Array
    Z: tuple[Array, ...]
    terms: tuple[tuple[int, int, int, bool], ...]
    weights: Array
    reml: bool

    # theta -> lambda -> V and its derivatives

    @property
    def _places(self) -> list[tuple[int, int, int]]:
        """(group, row, column) of every theta: lambda column by column, or its diagonal."""
        return [
            (group, start + row, start + column)
            for group, start, k, correlated in self.terms
            for column in range(k)
            for row in (range(column, k) if correlated else [column])
        ]

    def lambdas(self, theta: Array) -> list[Array]:
        """lambda (K,K) of each group."""
        out = [np.zeros((z.shape[2],) * 2) for z in self.Z]
        for value, (group, row, column) in zip(theta, self._places, strict=True):
            out[group][row, column] = value
        return out

    def _spread(self, group: int, H: Array) -> Array:
        """Z (I x H) Z', (n,n)."""
        out: Array = np.einsum("ija,ab,ljb->il", self.Z[group], H, self.Z[group], optimize=True)
        return out

    def relative_covariance(self, theta: Array) -> Array:
        """V / sigma^2, (n,n)."""
        V = np.diag(1.0 / self.weights)
        for g, lam in enumerate(self.lambdas(theta)):
            V += self._spread(g, lam @ lam.T)
        return V

    def _derivatives(self, theta: Array, sigma: float) -> tuple[list[Array], dict[tuple[int, int], Array]]:
        """First and second derivatives of V in (theta, sigma)."""
        lambdas, places, m = self.lambdas(theta), self._places, len(theta)
        units = []
        for group, row, column in places:
            unit = np.zeros_like(lambdas[group])
            unit[row, column] = 1.0
            units.append(unit)
        slopes = [
            self._spread(g, unit @ lambdas[g].T + lambdas[g] @ unit.T) for (g, _, _), unit in zip(places, units, strict=True)
        ]
        V0 = self.relative_covariance(theta)
        first = [sigma**2 * slope for slope in slopes] + [2.0 * sigma * V0]
        second = {(m, m): 2.0 * V0}
        for i in range(m):
            second[i, m] = second[m, i] = 2.0 * sigma * slopes[i]
            for j in range(m):
                if places[i][0] == places[j][0]:
                    bend = units[i] @ units[j].T + units[j] @ units[i].T
                    second[i, j] = sigma**2 * self._spread(places[i][0], bend)
                else:
                    second[i, j] = np.zeros_like(V0)
        return first, second

    def _projector(self, V: Array) -> tuple[Array, Array, Array]:
        """V^-1, Phi = (X'V^-1X)^-1 and P = V^-1 - V^-1 X Phi X'V^-1."""
        inverse = np.linalg.inv(V)
        inverse = 0.5 * (inverse + inverse.T)
        Phi = np.linalg.inv(self.X.T @ inverse @ self.X)
        half = inverse @ self.X
        return inverse, Phi, inverse - half @ Phi @ half.T

    # the model at theta

    @property
    def nu(self) -> int:
        return len(self.y) - (self.X.shape[1] if self.reml else 0)

    def solve(self, theta: Array) -> DenseSolution:
        """Profiled criterion, estimates and conditional modes at theta."""
        V0 = self.relative_covariance(theta)
        inverse, Phi, P = self._projector(V0)
        sigma2 = float(self.y @ P @ self.y) / self.nu
        deviance = np.linalg.slogdet(V0)[1] + self.nu * (1.0 + np.log(2.0 * np.pi * sigma2))
        if self.reml:
            deviance -= np.linalg.slogdet(Phi)[1]
        modes, posterior = [], []
        for Z, lam in zip(self.Z, self.lambdas(theta), strict=True):
            H = lam @ lam.T
            K = np.einsum("ija,il,ljb->jab", Z, inverse, Z, optimize=True)
            modes.append(np.einsum("ab,ijb,i->ja", H, Z, P @ self.y, optimize=True))
            posterior.append(sigma2 * (H - H @ K @ H))
        beta = Phi @ self.X.T @ inverse @ self.y
        return DenseSolution(float(deviance), beta, float(np.sqrt(sigma2)), sigma2 * Phi, modes, posterior)

    def gradient(self, theta: Array) -> Array:
        """d deviance / d theta, (m,): at the profiled sigma it is the partial derivative."""
        return self._score(theta, self.solve(theta).sigma)[:-1]

    def hessian(self, theta: Array) -> Array:
        """Second derivatives of the profiled deviance, (m,m)."""
        full = self.information(theta, self.solve(theta).sigma)
        out: Array = full[:-1, :-1] - np.outer(full[:-1, -1], full[-1, :-1]) / full[-1, -1]
        return out

    def _score(self, theta: Array, sigma: float) -> Array:
        first, _ = self._derivatives(theta, sigma)
        inverse, _, P = self._projector(sigma**2 * self.relative_covariance(theta))
        Q, Py = (P if self.reml else inverse), P @ self.y
        return np.array([np.sum(Q * V) - Py @ V @ Py for V in first])

    def information(self, theta: Array, sigma: float) -> Array:
        """Hessian of -2 log L in (theta, sigma), (m+1, m+1)."""
        first, second = self._derivatives(theta, sigma)
        inverse, _, P = self._projector(sigma**2 * self.relative_covariance(theta))
        Q, Py = (P if self.reml else inverse), P @ self.y
        out = np.empty((len(first),) * 2)
        for i, j in np.ndindex(out.shape):
            bend, left, right = second[i, j], first[i], first[j]
            out[i, j] = np.sum(Q * bend) - Py @ bend @ Py - np.sum((Q @ left) * (Q @ right).T)
            out[i, j] += 2.0 * Py @ left @ P @ right @ Py
        return out

    # inference

    def satterthwaite(self, theta: Array, sigma: float, contrast: Array) -> float:
        """nu = 2 f^2 / (g'Ag), f = l'Phi l, g its gradient in (theta, sigma), A twice the inverse Hessian."""
        first, _ = self._derivatives(theta, sigma)
        inverse, Phi, _ = self._projector(sigma**2 * self.relative_covariance(theta))
        direction = inverse @ self.X @ Phi @ contrast
        g = np.array([direction @ V @ direction for V in first])
        f = float(contrast @ Phi @ contrast)
        return float(2.0 * f**2 / (g @ (2.0 * np.linalg.inv(self.information(theta, sigma))) @ g))

    def kenward_roger(self, theta: Array, sigma: float) -> KenwardRoger:
        """Every P_r, Q_rs and T_rs from the n x n derivatives G_r of V in the covariances and sigma^2."""
        G = []
        for group, row, column in self._places:
            E = np.zeros((self.Z[group].shape[2],) * 2)
            E[row, column] = E[column, row] = 1.0
            G.append(self._spread(group, E))
        G.append(np.diag(1.0 / self.weights))
        inverse, Phi, _ = self._projector(sigma**2 * self.relative_covariance(theta))
        VX = inverse @ self.X
        count, p = len(G), self.X.shape[1]
        P = np.array([-VX.T @ g @ VX for g in G])
        information, Q = np.empty((count, count)), np.empty((count, count, p, p))
        for r, s in np.ndindex(count, count):
            Q[r, s] = VX.T @ G[r] @ inverse @ G[s] @ VX
            T = np.trace(inverse @ G[r] @ inverse @ G[s])
            information[r, s] = T - 2.0 * np.trace(Phi @ Q[r, s]) + np.trace(Phi @ P[r] @ Phi @ P[s])
        W = 2.0 * np.linalg.inv(information)
        middle = sum(W[r, s] * (Q[r, s] - P[r] @ Phi @ P[s]) for r, s in np.ndindex(count, count))
        return KenwardRoger(Phi, Phi + 2.0 * Phi @ middle @ Phi, P, W)


def dense_model(design: Any, reml: bool = True) -> DenseModel:
    """The dense model of a `mixedfast.design.Design`, factors in the order their terms appear."""
    names = list(dict.fromkeys(term.group for term in design.terms))
    widths = dict.fromkeys(names, 0)
    columns: dict[str, list[Array]] = {name: [] for name in names}
    terms = []
    for term in design.terms:
        k = len(term.columns)
        terms.append((names.index(term.group), widths[term.group], k, bool(term.correlated)))
        widths[term.group] += k
        columns[term.group] += [_product(column, design.n) for column in term.columns]
    Z = []
    for name in names:
        term = next(t for t in design.terms if t.group == name)
        member = np.equal.outer(term.codes, np.arange(len(term.levels))).astype(float)
        Z.append(member[:, :, None] * np.column_stack(columns[name])[:, None, :])
    y = design.y if design.offset is None else design.y - design.offset
    X = np.array([_product(column, design.n) for column in design.x]).reshape(len(design.x), design.n).T
    weights = np.ones(design.n) if design.weights is None else design.weights
    return DenseModel(y, X, tuple(Z), tuple(terms), weights, reml)
