"""Blocks of Z'WZ and Z'W[X y] by level of one grouping factor, and by pair of levels of two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._stored import are_within, stored
from mixedfast.crossprod.scaling import GroupScaling, check_unit_upper

__all__ = ["GroupProducts", "PairProducts", "check_pairs_and_terms"]


def _check_group(fields: Any) -> Iterator[str]:
    if len(fields.names) != len(fields.shift):
        yield f"a GroupProducts has {len(fields.shift)} columns and {len(fields.names)} names"
    yield from check_unit_upper("GroupProducts", fields)


@stored(
    "GroupProducts",
    arrays={
        "levels": "labels J",
        "A": "finite J K K",
        "B": "finite J K p+1",
        "shift": "finite K",
        "scale": "positive K",
        "sums": "finite J p+1",
        "mix": "finite K K",
    },
    relations=_check_group,
)
@dataclass(frozen=True, eq=False)
class GroupProducts:
    """Cross-products of one grouping factor, all terms on it side by side.

    Parameters
    ----------
    name : str
    levels : (J,) array of labels
    names : tuple of str, length K
        Names of the columns of Z.
    A : (J, K, K) array
        Z_j'WZ_j, with the columns ``(z - shift) * scale``, times ``mix`` where there is one.
    B : (J, K, p+1) array
        Z_j'W[X y].
    shift, scale, mix
        See `GroupScaling`.
    sums : (J, 1+p) array or None
        1'W[1 X] of each level where no column of Z_j is the constant. Design-based degrees of
        freedom need them to know what varies within levels.
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
    def scaling(self) -> GroupScaling:
        """Shifts and scales of the columns of Z."""
        return GroupScaling(self.shift, self.scale, self.mix)

    @property
    def n_levels(self) -> int:
        return self.A.shape[0]

    @property
    def k(self) -> int:
        return self.A.shape[1]


def check_pairs_and_terms(name: str, fields: Any, sizes: list[tuple[int, int]]) -> Iterator[str]:
    """Yield each fault of the pairs and terms of groups with (levels, columns) `sizes`."""
    if len(fields.pairs) != len(sizes) * (len(sizes) - 1) // 2:
        yield f"a {name} has {len(sizes)} groups and {len(fields.pairs)} pairs of them"
    for (g, h), pair in fields.pairs.items():
        if not g < h < len(sizes) or (len(pair.indptr) - 1, *pair.data.shape[1:]) != (
            *sizes[g],
            sizes[h][1],
        ):
            yield f"the pair {g}, {h} of a {name} is of other groups"
        elif not are_within(pair.indices, sizes[h][0]):
            yield f"indices of the pair {g}, {h} of a {name} do not lie from 0 to {sizes[h][0] - 1}"
    for term in fields.terms:
        if not (
            term.group < len(sizes) and term.k > 0 and term.start + term.k <= sizes[term.group][1]
        ):
            yield f"a term of a {name} lies outside of its group"


def _check_pair(fields: Any) -> Iterator[str]:
    ends = fields.indptr
    if (
        not len(ends)
        or ends[0] != 0
        or ends[-1] != len(fields.indices)
        or bool((np.diff(ends.astype(np.int64)) < 0).any())
    ):
        yield f"indptr of a PairProducts does not increase from 0 to {len(fields.indices)}"


@stored(
    "PairProducts",
    arrays={"indptr": "places J+1", "indices": "places z", "data": "finite z K k"},
    relations=_check_pair,
)
@dataclass(frozen=True, eq=False)
class PairProducts:
    """Cross-products Z_g'WZ_h of two grouping factors as block CSR.

    Parameters
    ----------
    indptr : (J_g+1,) array
    indices : (nnz,) array
        The level of h of each block.
    data : (nnz, K_g, K_h) array
        One block per pair of levels that occur together.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray

    @classmethod
    def of_blocks(
        cls, rows: np.ndarray, columns: np.ndarray, data: np.ndarray, n_rows: int
    ) -> PairProducts:
        """Make CSR of blocks (nnz,K_g,K_h) that are sorted by the level of g, then of h."""
        ends = np.cumsum(np.bincount(rows, minlength=n_rows))
        indptr = np.append(0, ends).astype(np.int64)
        return cls(indptr, columns.astype(np.int32), np.ascontiguousarray(data))

    @property
    def rows(self) -> np.ndarray:
        """The level of g of each block, (nnz,) int64; ``indices`` has its level of h."""
        return np.repeat(np.arange(len(self.indptr) - 1, dtype=np.int64), np.diff(self.indptr))

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three arrays, contiguous and of the types that kernels read."""
        return (
            np.ascontiguousarray(self.indptr, dtype=np.int64),
            np.ascontiguousarray(self.indices, dtype=np.int32),
            np.ascontiguousarray(self.data),
        )
