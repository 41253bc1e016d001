"""Blocks of Z'WZ and Z'W[X y]: by level of one grouping factor, and by pair of levels of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast.crossprod.scaling import GroupBasis

__all__ = ["GroupProducts", "PairProducts"]


@dataclass(frozen=True, eq=False)
class GroupProducts:
    """Cross-products of one grouping factor (all terms on it side by side).

    ``A`` (J,K,K) holds Z_j'WZ_j, ``B`` (J,K,p+1) holds Z_j'W[X y], in the basis ``(z - shift) * scale``, times ``mix`` where
    there is one (see `GroupBasis`). Where no column of Z_j is the constant, ``sums`` (J,1+p) holds 1'W[1 X] of each level, for
    rules that ask what varies within levels.
    """

    name: str
    levels: Any
    names: tuple[str, ...]
    A: np.ndarray
    B: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    sums: np.ndarray | None = None
    mix: np.ndarray | None = None

    @property
    def basis(self) -> GroupBasis:
        return GroupBasis(self.shift, self.scale, self.mix)

    @property
    def n_levels(self) -> int:
        return self.A.shape[0]

    @property
    def k(self) -> int:
        return self.A.shape[1]


@dataclass(frozen=True, eq=False)
class PairProducts:
    """Z_g'WZ_h as block CSR: indptr (J_g+1), indices (nnz,) levels of h, data (nnz,K_g,K_h)."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray

    @classmethod
    def of_blocks(
        cls, rows: np.ndarray, columns: np.ndarray, data: np.ndarray, n_rows: int
    ) -> PairProducts:
        """Blocks (nnz,K_g,K_h) at levels of g and of h, sorted by the level of g, then of h."""
        ends = np.cumsum(np.bincount(rows, minlength=n_rows))
        indptr = np.append(0, ends).astype(np.int64)
        return cls(indptr, columns.astype(np.int32), np.ascontiguousarray(data))

    @property
    def rows(self) -> np.ndarray:
        """The level of g of each block, (nnz,) int64, beside its level of h in ``indices``."""
        return np.repeat(np.arange(len(self.indptr) - 1, dtype=np.int64), np.diff(self.indptr))

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All three in the types that kernels read, whoever made them."""
        as_read = np.ascontiguousarray
        return (
            as_read(self.indptr, dtype=np.int64),
            as_read(self.indices, dtype=np.int32),
            as_read(self.data),
        )
