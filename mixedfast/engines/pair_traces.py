"""Traces over all pairs of levels for second derivatives.

    sum_ij K_ij[b,c] K_ij[a,d],   K = Z'V0^-1 Z

K is dense between crossed factors, and as large as the eliminated factor squared, so it is never
formed there. With h = Z_1'V_1^-1 Z_r (sparse), S the dense rest before scaling and
Q = lambda M^-1 lambda' of the rest,

    K_1r = h R,   K_rr = S R,   R = I - Q S,   K_11 = D - h Q h'      (D block diagonal)

and every sum is a trace of products of matrices of the size of the rest. Where H = lambda lambda'
is invertible, R = Q H^-1 and K_rr = H^-1 - H^-1 R, and the only large product left is Q h'h.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.crossprod.blocks import GroupProducts
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines._cooccurrence import connected_components
from mixedfast.engines.layout import Layout
from mixedfast.engines.stochastic_traces import Multiply

if TYPE_CHECKING:
    from mixedfast.engines.dense_cholesky import DenseWorkers

__all__ = ["columns_bytes", "outer_sum", "pair_traces", "pair_traces_by_columns", "shared_columns"]

PairTraces = dict[tuple[int, int], np.ndarray]


def outer_sum(blocks: np.ndarray) -> np.ndarray:
    """Sum M_j[b,c] M_j[a,d] over j, [a,b,c,d], by one matrix product."""
    flat = blocks.reshape(blocks.shape[0], -1)
    rows, columns = blocks.shape[1:]
    return (flat.T @ flat).reshape(rows, columns, rows, columns).transpose(2, 0, 1, 3)


def symmetric_matrix(
    layout: Layout, dense: np.ndarray, diagonal: np.ndarray | None, upper: bool
) -> Any:
    """Build S of the rest (upper triangles, its diagonal apart) or Q (lower) as one matrix.

    Dense for one component, else block diagonal and sparse.
    """
    size = np.diff(layout.start)
    if layout.n_components == 1:
        square = dense.reshape(
            layout.m, layout.m
        )  # column-major storage read in C order: the triangles change sides
        half = np.tril(square, -1) if upper else np.triu(square, 1)
        return half + half.T + np.diag(np.diag(square) if diagonal is None else diagonal)
    from scipy.sparse import csr_array

    component = np.repeat(np.arange(layout.n_components), size**2)
    offset = np.concatenate([[0], np.cumsum(size**2)])
    inside = np.arange(offset[-1]) - offset[component]
    column, row = inside // size[component], inside % size[component]
    keep = (row < column) if upper else (row > column)
    rows, columns, values = row[keep], column[keep], dense[keep]
    base = layout.start[component[keep]]
    own = np.arange(layout.m)
    on_diagonal = dense[row == column] if diagonal is None else diagonal
    return csr_array(
        (
            np.concatenate([values, values, on_diagonal]),
            (
                np.concatenate([base + rows, base + columns, own]),
                np.concatenate([base + columns, base + rows, own]),
            ),
        ),
        shape=(layout.m, layout.m),
    )


def _transposed_dot(X: Any, Y: Any) -> float:
    """Compute tr(X Y) without the product."""
    product = X.T * Y if isinstance(X, np.ndarray) else X.T.multiply(Y)
    return float(product.sum())


def _column_dots(layout: Layout, g: int, X: Any, Y: Any) -> np.ndarray:
    """Sum X[:,l c]'Y[:,l d] over levels l of g, (K,K)."""
    columns = layout.columns_of(g)
    k = columns.shape[1]
    out = np.empty((k, k))
    for c in range(k):
        for d in range(k):
            left, right = X[:, columns[:, c]], Y[:, columns[:, d]]
            out[c, d] = (
                left * right if isinstance(left, np.ndarray) else left.multiply(right)
            ).sum()
    return out


def _block_dots(layout: Layout, g: int, h: int, K: Any) -> np.ndarray:
    """Sum K_ij[b,c] K_ij[a,d] over levels i of g and j of h, [a,b,c,d]."""
    rows, columns = layout.columns_of(g), layout.columns_of(h)
    k_g, k_h = rows.shape[1], columns.shape[1]
    parts = [[K[rows[:, b]][:, columns[:, c]] for c in range(k_h)] for b in range(k_g)]
    out = np.empty((k_g, k_g, k_h, k_h))
    for a, b, c, d in np.ndindex(out.shape):
        X, Y = parts[b][c], parts[a][d]
        out[a, b, c, d] = (X * Y if isinstance(X, np.ndarray) else X.multiply(Y)).sum()
    return out


#: Cost of a product of two entries of a sparse border, in products of a dense one, which BLAS takes
#: row by row.
_SPARSE_PRODUCT = 150
#: Numbers of a border up to which it may be stored densely.
_DENSE_NUMBERS = 50_000_000


def pair_traces(
    layout: Layout,
    dense: np.ndarray,
    diagonal: np.ndarray,
    relative: dict[int, np.ndarray] | None,
    H: np.ndarray,
    D: np.ndarray,
    K_lead: np.ndarray,
    workers: DenseWorkers | None = None,
) -> PairTraces:
    """Sum K_ij[b,c] K_ij[a,d] over all levels i, j of every two groups g <= h, (K_g,K_g,K_h,K_h).

    Parameters
    ----------
    layout : Layout
    dense, diagonal : arrays of the Border after `invert`
    relative : dict, optional
        lambda lambda' (K,K) of each group of the rest where all are invertible: two large products
        fewer.
    H : (nnz, k) array
        Z_1'V_1^-1 Z_r on the pattern of the border.
    D : (J, k, k) array
        Z_1'V_1^-1 Z_1.
    K_lead : (J, k, k) array
        Diagonal blocks of K of the eliminated factor.
    workers : DenseWorkers, optional
        Threads for the large product.
    """
    from scipy.sparse import csr_array

    lead, k = layout.lead, D.shape[1]
    Q = symmetric_matrix(layout, dense, None, upper=False)
    is_dense = isinstance(Q, np.ndarray)
    if relative is None:
        S = symmetric_matrix(layout, dense, diagonal, upper=True)
        R = (np.eye(layout.m) if is_dense else _sparse_identity(layout.m)) - Q @ S
        K_rest = S @ R
    else:
        inverse = _block_diagonal(layout, {g: np.linalg.inv(part) for g, part in relative.items()})
        R = (inverse @ Q).T
        K_rest = inverse - inverse @ R
    ptr, cols = layout.border
    h = [csr_array((H[:, a], cols, ptr), shape=(len(D), layout.m)) for a in range(k)]
    size, products = len(D) * layout.m, float((np.diff(ptr).astype(float) ** 2).sum())
    if is_dense and size <= _DENSE_NUMBERS and _SPARSE_PRODUCT * products > size * layout.m:
        h = [part.toarray() for part in h]
    W = {}
    for a in range(k):
        for b in range(a + 1):
            product = h[a].T @ h[b]
            W[a, b] = (
                product.toarray() if is_dense and not isinstance(product, np.ndarray) else product
            )
            W[b, a] = W[a, b].T
    out: PairTraces = {}
    QW = {
        at: workers.times(Q, part) if is_dense and workers is not None else Q @ part
        for at, part in W.items()
    }
    N = D - K_lead
    own = outer_sum(K_lead) - outer_sum(N)
    for a, b, c, d in np.ndindex(own.shape):
        own[a, b, c, d] += _transposed_dot(QW[c, d], QW[a, b])
    out[lead, lead] = own
    WR = {(a, b): w @ R if relative is None else (inverse @ QW[b, a]).T for (a, b), w in W.items()}
    for i, g in enumerate(layout.rest):
        block = np.empty((k, k, layout.k[g], layout.k[g]))
        for a in range(k):
            for b in range(k):
                block[a, b] = _column_dots(layout, g, R, WR[b, a])
        out[min(lead, g), max(lead, g)] = block if lead < g else block.transpose(2, 3, 0, 1)
        for other in layout.rest[i:]:
            out[g, other] = _block_dots(layout, g, other, K_rest)
    return out


#: Numbers that `pair_traces_by_columns` holds at a time.
_BATCH_NUMBERS = 4_000_000


def columns_bytes() -> float:
    """Estimate the memory of `pair_traces_by_columns`.

    A batch, and the copies that a solve makes of it.
    """
    return 8.0 * 6.0 * _BATCH_NUMBERS


def shared_columns(cp: CrossProducts) -> list[np.ndarray]:
    """Assign a shared column to each level of each factor, (J,) per group.

    Levels are numbered within their connected component. K is zero between components, so levels
    of one factor with the same number can share a column.
    """
    sizes = [group.n_levels for group in cp.groups]
    labels, _ = connected_components(
        sizes, [(g, h, pair.indptr, pair.indices) for (g, h), pair in cp.pairs.items()]
    )
    ends = [0, *accumulate(sizes)]
    out = []
    for start, stop in pairwise(ends):
        own = labels[start:stop]
        order = np.argsort(own, kind="stable")
        counts = np.bincount(own)
        place = np.empty(len(own), dtype=np.int64)
        place[order] = np.arange(len(own)) - (np.cumsum(counts) - counts)[own[order]]
        out.append(place)
    return out


def pair_traces_by_columns(
    multiply: Multiply, groups: Sequence[GroupProducts], columns: list[np.ndarray]
) -> PairTraces:
    """Sum K_ij[b,c] K_ij[a,d] as `pair_traces` does, from columns of K, some at a time.

    Nested factors cost as many solves as the largest component has random effects, crossed ones a
    solve per random effect.

    Parameters
    ----------
    multiply : callable
        Multiplies by K.
    groups : sequence of GroupProducts
    columns : list of (J,) arrays
        `shared_columns`.
    """
    q = sum(g.n_levels * g.k for g in groups)
    out: PairTraces = {}
    for h, (group, column) in enumerate(zip(groups, columns, strict=True)):
        for g in range(h + 1):
            out[g, h] = np.zeros((groups[g].k,) * 2 + (group.k,) * 2)
        count = int(column.max()) + 1
        step = max(1, _BATCH_NUMBERS // (q * group.k))
        for first in range(0, count, step):
            width = min(step, count - first)
            levels = np.flatnonzero((column >= first) & (column < first + width))
            unit = np.zeros((group.n_levels, group.k, width, group.k))
            for c in range(group.k):
                unit[levels, c, column[levels] - first, c] = 1.0
            F = [np.zeros((other.n_levels, other.k, width * group.k)) for other in groups]
            F[h] = unit.reshape(group.n_levels, group.k, -1)
            for g, part in enumerate(multiply(F)[: h + 1]):
                K = part.reshape(*part.shape[:2], width, group.k)
                out[g, h] += np.einsum("ibjc,iajd->abcd", K, K, optimize=True)
    return out


def _block_diagonal(layout: Layout, blocks: dict[int, np.ndarray]) -> Any:
    """Build the sparse (m,m) matrix with the block of its group for each level of the rest."""
    from scipy.sparse import csr_array

    rows, columns, values = [], [], []
    for g, block in blocks.items():
        own = layout.columns_of(g)
        shape = (*own.shape, own.shape[1])
        rows.append(np.broadcast_to(own[:, :, None], shape).ravel())
        columns.append(np.broadcast_to(own[:, None, :], shape).ravel())
        values.append(np.broadcast_to(block, shape).ravel())
    return csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(layout.m, layout.m),
    )


def _sparse_identity(m: int) -> Any:
    from scipy.sparse import dia_array

    return dia_array((np.ones((1, m)), [0]), shape=(m, m))
