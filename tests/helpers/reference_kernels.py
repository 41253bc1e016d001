"""NumPy versions of the compiled kernels, short and slow, for comparison in tests.

Names and signatures are those of the Cython modules of the package (``_sums``, ``_cooccurrence``,
``_levels``, ``_border``, ``_theta`` and the others). The deviance of a whole model by dense algebra
is in ``reference_model.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = [
    "Border",
    "ColumnPool",
    "all_finite",
    "classify_columns",
    "column_sizes",
    "connected_components",
    "crossprod",
    "factorize_integers",
    "level_moments",
    "levels_factor",
    "levels_k",
    "levels_multiply",
    "levels_project",
    "lower_inverse",
    "lower_roots",
    "newton_steps",
    "pair_products",
    "pairs_moments",
    "pairs_multiply",
    "product_of",
    "root_inside",
    "sample_moments",
    "second_derivative",
    "select_sums",
    "solve_moment_equations",
    "solve_normal_equations",
    "theta_gradient",
    "theta_hessian",
    "unique_integers",
]

Array = np.ndarray


# -- what a column holds ---------------------------------------------------------------------------


def all_finite(values: Array) -> bool:
    """Whether no number is infinite or NaN."""
    return bool(np.isfinite(values).all())


def factorize_integers(values: Array, low: int, size: int) -> tuple[Array, Array]:
    """Return numbers for the integers low .. low + size - 1 that occur, in order; others get -1."""
    used = unique_integers(values, low, size)
    place = {v: i for i, v in enumerate(used.tolist())}
    return np.array([place.get(v, -1) for v in values.tolist()], dtype=np.int32), used


def unique_integers(values: Array, low: int, size: int) -> Array:
    """Return the integers low .. low + size - 1 that occur, in order."""
    return np.array(sorted({v for v in values.tolist() if low <= v < low + size}), dtype=np.int64)


# -- columns and their products --------------------------------------------------------------------


class ColumnPool:
    """Return columns as numbers.

    The product of the factors, shifted, scaled, times the root of the weight.
    """

    def __init__(
        self,
        columns: Sequence[tuple[Sequence[Any], float, float]],
        n: int,
        sqrt_weights: Array | None = None,
    ) -> None:
        self.n, self.size = n, len(columns)
        weights = np.ones(n) if sqrt_weights is None else sqrt_weights
        self.values = [
            (product_of(factors, n) - shift) * scale * weights for factors, shift, scale in columns
        ]

    def evaluate(self, column: int, rows: Array | None = None) -> Array:
        values = self.values[column]
        return values.copy() if rows is None else values[rows]


def product_of(factors: Iterable[Any], n: int) -> Array:
    out = np.ones(n)
    for factor in factors:
        out = out * (factor.values if factor.table is None else factor.table[factor.values])
    return out


def crossprod(
    pool: ColumnPool,
    first: int,
    last: int,
    gram: Array,
    groups: Sequence[tuple[Any, Any, Array, Array]],
) -> tuple[Array, list[Array]]:
    """Return cross-products over rows first..last.

    Of the columns in `gram`, and by level of each group or each cell of several factors.
    """
    columns = np.array([pool.values[c][first:last] for c in gram]).reshape(len(gram), last - first)
    totals = []
    for codes, n_levels, left, right in groups:
        if isinstance(codes, tuple):
            codes, n_levels = np.ravel_multi_index(codes, n_levels), int(np.prod(n_levels))
        total = np.zeros((n_levels, len(left), len(right)))
        for row in range(first, last):
            z = [pool.values[c][row] for c in left]
            total[codes[row]] += np.outer(z, [pool.values[c][row] for c in right])
        totals.append(total)
    return columns @ columns.T, totals


def select_sums(parts: Sequence[Array], first_row: int, end_row: int, columns: Array) -> Array:
    """Return some rows and columns of the sums of one group, added up over `parts`."""
    total: Array = np.sum(parts, axis=0)
    return total[:, first_row:end_row, columns]


def pair_products(
    left: Array,
    n_left: int,
    right: Array,
    n_right: int,
    pool: ColumnPool,
    k_left: int,
    k_right: int,
) -> tuple[Array, Array, Array]:
    """Z_left'W Z_right as block CSR, a dictionary of pairs put in order."""
    blocks: dict[tuple[int, int], Array] = {}
    for row, pair in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        z = [column[row] for column in pool.values]
        blocks[pair] = blocks.get(pair, 0.0) + np.outer(z[:k_left], z[k_left:])
    ordered = sorted(blocks)
    indptr = np.searchsorted([pair[0] for pair in ordered], np.arange(n_left + 1))
    indices = np.array([pair[1] for pair in ordered], dtype=np.int32)
    return (
        indptr,
        indices,
        np.array([blocks[pair] for pair in ordered]).reshape(-1, k_left, k_right),
    )


def pairs_multiply(
    indptr: Array,
    indices: Array,
    data: Array,
    F_left: Array,
    F_right: Array,
    left_out: Array,
    right_out: Array,
) -> None:
    """left_out += A F_right and right_out += A'F_left, in place."""
    for j, (lo, hi) in enumerate(pairwise(indptr)):
        for i in range(lo, hi):
            left_out[j] += data[i] @ F_right[indices[i]]
            right_out[indices[i]] += data[i].T @ F_left[j]


def pairs_moments(
    indptr: Array, indices: Array, data: Array, D_left: Array, D_right: Array
) -> tuple[Array, Array]:
    """sum_ij A_ij[b,c] A_ij[a,d] and sum_ij A_ij[b,c] (D_i D_j')[a,d]."""
    E = np.repeat(D_left, np.diff(indptr), axis=0) @ D_right[indices].transpose(0, 2, 1)
    return np.einsum("nbc,nad->abcd", data, data), np.einsum("nbc,nad->abcd", data, E)


def connected_components(
    sizes: Sequence[int], pairs: Sequence[tuple[int, int, Array, Array]]
) -> tuple[Array, int]:
    """Return the connected component of each level, numbered by first members.

    Labels are pulled down until they agree.
    """
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    labels = np.arange(edges[-1])
    links = [
        (edges[g] + j, edges[h] + indices[i])
        for g, h, indptr, indices in pairs
        for j in range(sizes[g])
        for i in range(indptr[j], indptr[j + 1])
    ]
    changed = True
    while changed:
        before = labels.copy()
        for a, b in links:
            labels[a] = labels[b] = min(labels[a], labels[b])
        changed = not np.array_equal(before, labels)
    found, numbered = np.unique(labels, return_inverse=True)
    return numbered, len(found)


# -- one grouping factor ---------------------------------------------------------------------------


def levels_factor(A: Array, lambda_: Array, T: Array) -> tuple[float, int]:
    """Compute T_j = L_j^-1 lambda' in place.

    Returns (log-determinant, 0), or 1 + the first level that is not positive definite.
    """
    logdet = 0.0
    for j, block in enumerate(A):
        try:
            L = np.linalg.cholesky(lambda_.T @ block @ lambda_ + np.eye(len(lambda_)))
        except np.linalg.LinAlgError:
            return logdet, j + 1
        T[j] = np.linalg.solve(L, lambda_.T)
        logdet += 2.0 * float(np.log(np.diag(L)).sum())
    return logdet, 0


def levels_multiply(T: Array, B: Array) -> Array:
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


def level_moments(
    K: Array | None, C: Array, W: Array, beta: Array, pairs: bool, fixed: bool
) -> tuple[Array, ...]:
    """Return the sums over levels of which derivatives are made (see mf_moments.h)."""
    p = len(beta)
    D, v = C[:, :, :p] @ W, C[:, :, p] - C[:, :, :p] @ beta
    E = D @ D.transpose(0, 2, 1)
    empty = np.zeros((0, 0, 0, 0))
    return (
        v,
        np.zeros((0, 0)) if K is None else K.sum(axis=0),
        np.einsum("ja,jb->ab", v, v),
        E.sum(axis=0),
        empty if K is None else np.einsum("ja,jbc,jd->abcd", v, K, v),
        np.einsum("ja,jbs->abs", v, D),
        np.einsum("jbc,jad->abcd", K, K) if K is not None and pairs else empty,
        np.einsum("jbc,jad->abcd", K, E) if K is not None and fixed else empty,
        np.einsum("jat,jbs->abts", D, D) if fixed else empty,
    )


# -- several grouping factors ----------------------------------------------------------------------


class Border:
    """The dense remainder as whole m x m matrices: components are blocks of zeros between them."""

    def __init__(
        self,
        ptr: Array,
        cols: Array,
        vals: Array,
        component: Array,
        start: Array,
        level_start: Array,
        first: Array,
        k_level: Array,
        lambda_at: Array,
        base_at: Array,
        base: Array,
    ) -> None:
        self.m, self.n_components = int(start[-1]), len(start) - 1
        self.start, self.cols = start, cols
        self.level = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        self.A_1r = np.zeros((len(ptr) - 1, vals.shape[1], self.m))
        self.base_at = base_at
        self.take(vals, base)
        self.levels = [
            (int(at), int(k), int(place))
            for at, k, place in zip(first, k_level, lambda_at, strict=True)
        ]

    def take(self, vals: Array, base: Array) -> None:
        """Take other values on the same patterns."""
        self.A_1r[self.level, :, self.cols] = vals
        start, sizes = self.start, np.diff(self.start)
        offset = np.concatenate([[0], np.cumsum(sizes**2)])
        upper = np.zeros((self.m, self.m))
        for at, value in zip(self.base_at, base, strict=True):
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

    def forward_solve(self, rows: Array) -> Array:
        """L^-1 lambda' rows."""
        return np.linalg.solve(np.linalg.cholesky(self.M), self.Lambda.T @ rows)

    def solve(self, rows: Array) -> Array:
        """Q rows."""
        out: Array = self.Lambda @ np.linalg.solve(self.M, self.Lambda.T @ rows)
        return out

    def invert(self, blocks: Array) -> None:
        """Diagonal blocks of the inverse; keeps Q = lambda (.)^-1 lambda'."""
        inverse = np.linalg.inv(self.M)
        self.Q = self.Lambda @ inverse @ self.Lambda.T
        blocks[...] = self._diagonal_blocks(inverse)

    def _diagonal_blocks(self, matrix: Array) -> Array:
        return np.concatenate(
            [matrix[at : at + k, at : at + k].ravel() for at, k, _ in self.levels]
        )

    def blocks_k(self, back: Array, blocks: Array) -> None:
        """Diagonal blocks of back'(I - (.)^-1) back from those of the inverse, in place."""
        at = 0
        for _, k, place in self.levels:
            own, side = (
                blocks[at : at + k * k].reshape(k, k),
                back[place : place + k * k].reshape(k, k),
            )
            own[...] = side.T @ (np.eye(k) - own) @ side
            at += k * k

    def blocks_q(self) -> Array:
        """Diagonal blocks of Q, one after the other."""
        return self._diagonal_blocks(self.Q)

    def blocks_k_singular(self, wanted: Array, blocks: Array) -> None:
        """Diagonal blocks of S - S Q S for the levels wanted."""
        mine = np.repeat(wanted.astype(bool), [k * k for _, k, _ in self.levels])
        blocks[mine] = self._diagonal_blocks(self.S - self.S @ self.Q @ self.S)[mine]

    def multiply(self, X: Array, upper: bool) -> Array:
        """S X (upper) or Q X."""
        out: Array = (self.S if upper else self.Q) @ X
        return out

    def back_substitute(self, B: Array, W: Array) -> Array:
        """B - A_1r W."""
        out: Array = B - self.A_1r @ W
        return out

    def project(self, A: Array, T: Array) -> Array:
        """H (nnz,k) = (I - A T'T) A_1r on the pattern of A_1r."""
        out: Array = (self.A_1r - A @ T.transpose(0, 2, 1) @ T @ self.A_1r)[
            self.level, :, self.cols
        ]
        return out

    def cross(
        self, A: Array, T: Array, B: Array, U: Array, v: Array, F: Array, own: int
    ) -> tuple[Array, Array, Array]:
        """Return F'(A - A_.1 T'T A_1.)F and (B - A_.1 T'U)'F of the eliminated factor alone.

        The rows of the first factor's remainder come with them.
        """
        (J, k), width = v.shape, F.shape[1]
        wide = np.zeros((J, k, width))
        wide[:, :, own : own + k * k] = np.einsum("ac,jd->jacd", np.eye(k), v).reshape(J, k, k * k)
        AF = A @ wide + self.A_1r @ F
        rest = self.A_rr @ F + np.einsum("jam,jas->ms", self.A_1r, wide)
        TAF = T @ AF
        FKF = np.einsum("jas,jat->st", wide, AF) + F.T @ rest - np.einsum("jas,jat->st", TAF, TAF)
        rest -= np.einsum("jam,jas->ms", self.TA, TAF)
        return FKF, np.einsum("jar,jas->rs", B, wide) - np.einsum("jar,jas->rs", U, TAF), rest

    def subtract_k(self, H: Array, K: Array) -> None:
        """K_j -= H_j Q H_j', in place."""
        wide = np.zeros_like(self.A_1r)
        wide[self.level, :, self.cols] = H
        K -= wide @ self.Q @ wide.transpose(0, 2, 1)


# -- one theta -------------------------------------------------------------------------------------


def solve_normal_equations(S: Array) -> tuple[Array, Array, Array, float] | None:
    """Return LX, W = LX^-T, beta and the norm of the residual from [X y]'V0^-1[X y].

    None when it is not positive definite.
    """
    try:
        R = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        return None
    LX = R[:-1, :-1]
    return LX, np.linalg.inv(LX).T, np.linalg.solve(LX.T, R[-1, :-1]), float(R[-1, -1])


def lower_inverse(L: Array) -> Array:
    """L^-1 of a lower triangular L (k,k)."""
    return np.tril(np.linalg.inv(L))


def newton_steps(gradient: Array, hessian: Array, floor: float) -> tuple[Array, Array]:
    """Descent steps and the decreases they predict, from the eigenvalues of |H|."""
    diagonal = np.abs(np.einsum("nii->ni", hessian))
    scale = 1.0 / np.sqrt(np.maximum(diagonal, 1e-300))
    values, vectors = np.linalg.eigh(hessian * scale[:, :, None] * scale[:, None, :])
    size = np.abs(values)
    size = np.maximum(size, floor * np.maximum(size.max(axis=1, keepdims=True), 1e-300))
    along = np.einsum("nij,ni->nj", vectors, scale * gradient)
    steps = -scale * np.einsum("nij,nj->ni", vectors, along / size)
    return steps, 0.5 * (along**2 / size).sum(axis=1)


def _moves(lambda_: Array, places: Array) -> Array:
    """dH/dtheta_i = e_row lambda_column' + lambda_column e_row', (N,m,K,K)."""
    _, rows, columns = places
    half = np.einsum("ia,nbi->niab", np.eye(lambda_.shape[1])[rows], lambda_[:, :, columns])
    return half + half.swapaxes(2, 3)


def theta_gradient(lambda_: Array, G: Array, places: Array, out: Array) -> None:
    """sum G[a,b] (dH/dtheta_i)[a,b], into out (N,n_theta)."""
    out[:, places[0]] = np.einsum("nab,niab->ni", G, _moves(lambda_, places))


def theta_hessian(
    lambda_g: Array,
    lambda_h: Array,
    H: Array,
    G: Array | None,
    places_g: Array,
    places_h: Array,
    out: Array,
) -> None:
    """Add second derivatives in theta into out (N,n_theta,n_theta), and their mirror image.

    sum H[a,b,c,d] (dH_g/dtheta_i)[a,b] (dH_h/dtheta_j)[c,d] [+ sum G[a,b] (d2H_g/dtheta_i
    dtheta_j)[a,b]]
    """
    block = np.einsum(
        "nabcd,niab,njcd->nij", H, _moves(lambda_g, places_g), _moves(lambda_h, places_h)
    )
    if G is not None:
        (_, row, column), (_, other, same) = places_g, places_h
        block += 2.0 * G[:, row[:, None], other] * (column[:, None] == same)
    out[:, places_h[0][:, None], places_g[0]] = block.swapaxes(1, 2)
    out[:, places_g[0][:, None], places_h[0]] = block


def second_derivative(
    Q: Array, vv_g: Array, vv_h: Array, traces: Array | None, nu: float, r2: float
) -> Array:
    """Return nu (2 Q / r^2 - vv vv / r^4) - T, or nu (Q / r^2 - vv vv / r^4) without T.

    The result is symmetric in each pair of indices.
    """
    squares = np.multiply.outer(vv_g, vv_h) / r2**2
    H = nu * (Q / r2 - squares) if traces is None else nu * (2.0 * Q / r2 - squares) - traces
    half = 0.5 * (H + H.transpose(1, 0, 2, 3))
    return 0.5 * (half + half.transpose(0, 1, 3, 2))


# -- pivots ----------------------------------------------------------------------------------------


def classify_columns(
    products: Array, low: Array, high: Array, counted: Array | None = None
) -> Array:
    """Classify columns: 0 hidden, 1 nearly collinear, 2 clear, 3 clear but not counted.

    From the part of each that the columns eliminated before leave.
    """
    kinds, basis = np.zeros(len(products), dtype=np.int64), []
    for j in range(len(products)):
        own = products[np.ix_(basis, basis)]
        pivot = products[j, j] - (
            products[j, basis] @ np.linalg.solve(own, products[basis, j]) if basis else 0.0
        )
        if not pivot > low[j]:
            continue
        kinds[j] = 2 if pivot > high[j] else 1
        if kinds[j] == 2 and counted is not None and not counted[j]:
            kinds[j] = 3
        else:
            basis.append(j)
    return kinds


# -- starting values -------------------------------------------------------------------------------


def sample_moments(values: Array) -> tuple[float, ...]:
    """Return the largest absolute value, mean, variance and three order statistics."""
    n = len(values)
    places = [n // 4, n // 2, 3 * n // 4]
    quarters = np.sort(values)[places].tolist()
    return (float(np.abs(values).max()), float(values.mean()), float(values.var()), *quarters)


def solve_moment_equations(equations: Array, right: Array, rcond: float) -> Array:
    """Solve least squares of least norm, scaled to a unit diagonal."""
    diagonal = np.diag(equations)
    positive = diagonal > 0.0
    scale = np.where(positive, 1.0 / np.sqrt(np.where(positive, diagonal, 1.0)), 0.0)
    scaled = equations * np.outer(scale, scale)
    return scale * np.linalg.lstsq(scaled, scale * right, rcond=rcond)[0]


def root_inside(block: Array, low: float, high: float) -> Array:
    """Return the lower Cholesky factor of a symmetric block with its eigenvalues clipped."""
    values, vectors = np.linalg.eigh(block)
    return np.linalg.cholesky((vectors * np.clip(values, low, high)) @ vectors.T)


def column_sizes(
    products: Array, ones: Array, shift: Array, intercept: int, tolerance: float
) -> tuple[Array, Array]:
    """Return sums of squares about the mean and about zero."""
    size, total = np.diag(products).copy(), ones @ products
    whole = size + 2.0 * shift * total + shift**2 * float(total @ ones)
    if intercept >= 0:
        own = products[intercept] / np.sqrt(products[intercept, intercept])
        about_mean = np.where(np.arange(len(size)) == intercept, size, size - own**2)
        about_mean[about_mean <= tolerance * size] = np.inf
        size = about_mean
    return size, whole


def lower_roots(roots: Array) -> Array:
    """Return lower triangular L with L L' = root root', by QR; for roots of full rank."""
    R = np.stack([np.linalg.qr(root.T, mode="r") for root in roots])
    return (R * np.sign(np.einsum("nii->ni", R))[:, :, None]).swapaxes(1, 2)
