"""The Schur complement of the largest factor as a product with vectors.

With T_j = chol(lambda'A_jj lambda + I) for the levels j of the eliminated factor l and
W = T^-1 lambda'A_lr, the rest r of the random effects has

    S = I + Lambda_r'(A_rr - W'W) Lambda_r,    (M^-1)_rr = S^-1

D = C C' is the part of S within levels, and F = C^-1 S C^-T = I - E. E is zero within levels. With
G = Lambda_r C^-T,

    F z = C^-1 C^-T z + G'(A_rr G z - W'W G z),    Lambda_r S^-1 Lambda_r' = G F^-1 G'

so that no lambda is inverted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.layout import Layout

__all__ = ["SchurOperator", "SparseProducts"]


class SparseProducts:
    """The products Z'WZ between the eliminated factor and the rest, and within the rest.

    Parameters
    ----------
    cp : CrossProducts
    layout : Layout
    """

    def __init__(self, cp: CrossProducts, layout: Layout) -> None:
        self.layout = layout
        self.A = np.ascontiguousarray(cp.groups[layout.lead].A)
        self.values = layout.border_values(cp)
        self.within = layout.rest_matrix(cp)
        self.rest = [cp.groups[g].A for g in layout.rest]


class SchurOperator:
    """F = C^-1 S C^-T at some lambdas.

    Attributes
    ----------
    half : (J,k,k) array
        T_j^-1 lambda' of the eliminated factor.
    log_det_lead, log_det_blocks : float
        Sum of log|T_j T_j'|, and log|D|.
    roots : list of (J,k,k) arrays
        C of the levels of each group of the rest.
    G : (m,m) sparse array
        Lambda_r C^-T.
    W : (J k,m) sparse array
    products : int
        Products with F so far, counted by column.
    """

    def __init__(self, data: SparseProducts, lambdas: list[np.ndarray]) -> None:
        layout = self.layout = data.layout
        lam, k = lambdas[layout.lead], layout.k[layout.lead]
        self.lambdas = lambdas
        T = np.linalg.cholesky(lam.T @ data.A @ lam + np.eye(k))
        self.inverse_root = np.linalg.inv(T)
        self.half = self.inverse_root @ lam.T
        self.log_det_lead = 2.0 * float(np.log(np.diagonal(T, 0, 1, 2)).sum())
        self._values = layout.border_times(self.half, data.values)
        self.W = self._as_sparse(self._values)
        self._W_turned = self.W.T.tocsr()
        self._within = data.within
        self.roots, self.scaled = [], []
        self.log_det_blocks = 0.0
        for g, A in zip(layout.rest, data.rest, strict=True):
            left = A - self._explained(g)
            D = lambdas[g].T @ left @ lambdas[g] + np.eye(layout.k[g])
            C = np.linalg.cholesky(D)
            self.log_det_blocks += 2.0 * float(np.log(np.diagonal(C, 0, 1, 2)).sum())
            self.roots.append(C)
            self.scaled.append(np.linalg.inv(C).transpose(0, 2, 1))  # C^-T
        self.G_blocks = [
            lambdas[g] @ inverse for g, inverse in zip(layout.rest, self.scaled, strict=True)
        ]
        self.G = self._block_diagonal(self.G_blocks)
        self._G_turned = self.G.T.tocsr()
        self._identity = self._block_diagonal(
            [inverse.transpose(0, 2, 1) @ inverse for inverse in self.scaled]
        )
        self.products = 0

    def _as_sparse(self, values: np.ndarray) -> Any:
        """Build a matrix (J k, m) on the pattern of A_lr from its values (nnz,k)."""
        from scipy.sparse import bsr_array, csr_array

        ptr, cols = self.layout.border
        shape = ((len(ptr) - 1) * values.shape[1], self.layout.m)
        if values.shape[1] == 1:
            return csr_array((values[:, 0], cols, ptr), shape=shape)
        return bsr_array((values[:, :, None], cols, ptr), shape=shape).tocsr()

    def _explained(self, g: int) -> np.ndarray:
        """Compute the blocks (J,k,k) of W'W within the levels of a group of the rest."""
        J, k = self.layout.n_levels[g], self.layout.k[g]
        place, level = self._entries(g)
        out = np.empty((J, k, k))
        for a in range(k):
            for b in range(a + 1):
                product = np.einsum("ic,ic->i", self._values[place + a], self._values[place + b])
                out[:, a, b] = out[:, b, a] = np.bincount(level, product, J)
        return out

    def _entries(self, g: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the entries of A_lr in the first column of a level of g, and these levels.

        The other columns of the level follow, because columns ascend and blocks are whole.
        """
        level_of = np.full(self.layout.m, -1, dtype=np.int64)
        level_of[self.layout.columns_of(g)[:, 0]] = np.arange(self.layout.n_levels[g])
        level = level_of[self.layout.border[1]]
        place = np.flatnonzero(level >= 0)
        return place, level[place]

    def explained_lead(self) -> np.ndarray:
        """Compute the diagonal blocks (J,k,k) of W G G'W'."""
        rows = self.layout.border_rows
        J, k = self.layout.n_levels[self.layout.lead], self.layout.k[self.layout.lead]
        out = np.zeros((J, k, k))
        for g, block in zip(self.layout.rest, self.G_blocks, strict=True):
            place, level = self._entries(g)
            row = rows[place]
            W = np.stack([self._values[place + a] for a in range(self.layout.k[g])], axis=2)
            U = np.matmul(W, block[level])
            for a in range(k):
                for b in range(k):
                    out[:, a, b] += np.bincount(row, np.einsum("ic,ic->i", U[:, a], U[:, b]), J)
        return out

    def _block_diagonal(self, blocks: list[np.ndarray]) -> Any:
        """Build a sparse (m,m) matrix from one (J,k,k) array of blocks per group of the rest."""
        from scipy.sparse import coo_array

        rows, cols, values = [], [], []
        for g, block in zip(self.layout.rest, blocks, strict=True):
            own = self.layout.columns_of(g)
            rows.append(np.broadcast_to(own[:, :, None], block.shape).ravel())
            cols.append(np.broadcast_to(own[:, None, :], block.shape).ravel())
            values.append(block.ravel())
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))
        return coo_array(entries, shape=(self.layout.m, self.layout.m)).tocsr()

    def times(self, Z: np.ndarray) -> np.ndarray:
        """Multiply columns (m,r) by F."""
        self.products += Z.shape[1]
        GZ = self.G @ Z
        inner = self._within @ GZ
        inner -= self._W_turned @ (self.W @ GZ)
        return self._identity @ Z + self._G_turned @ inner

    def to_scaled(self, B: np.ndarray) -> np.ndarray:
        """Multiply columns (m,r) by G'."""
        return self._G_turned @ B

    def eliminated(self, half_B: np.ndarray) -> np.ndarray:
        """Multiply (J,k,r) by W': what the eliminated factor takes from the rest, (m,r)."""
        return self._W_turned @ half_B.reshape(-1, half_B.shape[2])

    def lead_part(self, U: np.ndarray) -> np.ndarray:
        """Multiply columns (m,r) by W, (J,k,r)."""
        J, k = self.layout.n_levels[self.layout.lead], self.layout.k[self.layout.lead]
        return (self.W @ U).reshape(J, k, -1)
