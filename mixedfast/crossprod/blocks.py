"""Blocks of Z'WZ and Z'W[X y] by level of one grouping factor, and by pair of levels of two."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._stored import are_within, stored
from mixedfast.crossprod.scaling import GroupScaling, check_unit_upper

__all__ = ["GroupProducts", "PairProducts", "check_pairs_and_terms", "check_products"]

#: Sums of squares of scaled columns are of the order of the number of rows or the sum of weights.
#: From this on products of four of them overflow.
_LARGEST = 1e75
#: Rounding of products, relative to sums of squares and rows: far more than sums over rows lose.
_ROUNDING = 1e-6


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


def check_products(name: str, fields: Any) -> Iterator[str]:
    """Yield each product of two columns that their sums of squares exclude.

    x'Wz is at most the root of x'Wx z'Wz (Cauchy and Schwarz), and products are symmetric.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        xy = float(np.trace(fields.xy))
        squares = [float(np.einsum("jaa->", group.A)) for group in fields.groups]
    if not all(0.0 <= square + _ROUNDING * fields.n < _LARGEST for square in (xy, *squares)):
        yield f"a sum of squares of a {name} is negative or too large"
        return
    slack = _ROUNDING * (fields.n + max(xy, *squares, 0.0))
    parts = [("[X y]", fields.xy[None], xy)]
    for group, square in zip(fields.groups, squares, strict=True):
        parts.append((f"the columns of {group.name}", group.A, square))
        if np.abs(group.B).max(initial=0.0) > math.sqrt(max(square * xy, 0.0)) + slack:
            yield f"a product of {group.name} and [X y] of a {name} is larger than possible"
    for columns, block, square in parts:
        if np.abs(block).max(initial=0.0) > square + slack:
            yield f"a product of {columns} of a {name} is larger than possible"
        elif np.diagonal(block, 0, 1, 2).min(initial=0.0) < -slack:
            yield f"a sum of squares of {columns} of a {name} is negative"
        elif np.abs(block - block.transpose(0, 2, 1)).max(initial=0.0) > slack:
            yield f"the products of {columns} of a {name} are not symmetric"
    for (g, h), pair in fields.pairs.items():
        largest = math.sqrt(max(squares[g] * squares[h], 0.0))
        if np.abs(pair.data).max(initial=0.0) > largest + slack:
            yield f"a product of the pair {g}, {h} of a {name} is larger than possible"


def _check_pair(fields: Any) -> Iterator[str]:
    ends = fields.indptr
    if (
        not len(ends)
        or ends[0] != 0
        or ends[-1] != len(fields.indices)
        or bool((np.diff(ends.astype(np.int64)) < 0).any())
    ):
        yield f"indptr of a PairProducts does not increase from 0 to {len(fields.indices)}"
        return
    same_row = np.ones(len(fields.indices), dtype=bool)
    same_row[ends[:-1][ends[:-1] < len(same_row)].astype(np.int64)] = False
    if bool((np.diff(fields.indices.astype(np.int64), prepend=-1)[same_row] <= 0).any()):
        yield "indices of a PairProducts do not ascend within a row"


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
