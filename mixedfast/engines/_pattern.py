"""Sparsity patterns of lower triangles: checks and permutations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


def index_vector(name: str, values: ArrayLike) -> Indices:
    """Copy a vector of integers to int64; a ValueError names anything else."""
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be a vector of integers, not {array.dtype} of shape {array.shape}"
        )
    return np.array(array, dtype=np.int64)


def check_permutation(perm: Indices, n: int) -> None:
    """Raise ValueError unless `perm` holds each of 0 .. n - 1 once."""
    if perm.shape[0] != n or not np.array_equal(np.sort(perm), np.arange(n)):
        raise ValueError(f"perm must hold each of 0 .. {n - 1} once")


def check_lower_triangle(n: int, indptr: Indices, indices: Indices) -> None:
    """Raise ValueError unless these are the compressed columns of a lower triangle.

    Rows of a column ascend and the first is the diagonal, so that nothing is above it.
    """
    count = indices.shape[0]
    if indptr.shape[0] != n + 1:
        raise ValueError(f"indptr must have n + 1 = {n + 1} elements, not {indptr.shape[0]}")
    if indptr[0] != 0 or indptr[-1] != count:
        raise ValueError(
            f"indptr must run from 0 to len(indices) = {count}, not {indptr[0]} to {indptr[-1]}"
        )
    sizes = np.diff(indptr)
    if (sizes < 0).any():
        raise ValueError(f"indptr decreases at column {np.argmax(sizes < 0)}")
    out_of_range = (indices < 0) | (indices >= n)
    if out_of_range.any():
        raise ValueError(
            f"indices has row {indices[np.argmax(out_of_range)]}, which is not in 0 .. {n - 1}"
        )
    no_diagonal = sizes == 0
    no_diagonal[~no_diagonal] = indices[indptr[:-1][~no_diagonal]] != np.flatnonzero(~no_diagonal)
    if no_diagonal.any():
        column = np.argmax(no_diagonal)
        raise ValueError(
            f"column {column} must begin with its diagonal entry and hold the lower triangle only"
        )
    unsorted = np.diff(indices) <= 0
    unsorted[indptr[1:-1] - 1] = False  # from one column to the next rows may go down
    if unsorted.any():
        column = np.searchsorted(indptr, np.argmax(unsorted), side="right") - 1
        raise ValueError(f"the rows of column {column} are not sorted, or one is there twice")


def permuted_entries(indptr: Indices, indices: Indices, perm: Indices) -> tuple[Indices, Indices]:
    """Rows and columns of the entries of the lower triangle of P A Pᵀ, in the order of A's entries.

    Row k of P A Pᵀ is row ``perm[k]`` of A.
    """
    n = perm.shape[0]
    place = np.empty(n, np.int64)
    place[perm] = np.arange(n)
    rows = place[indices]
    columns = np.repeat(place, np.diff(indptr))
    return np.maximum(rows, columns), np.minimum(rows, columns)


def compress(n: int, rows: Indices, columns: Indices) -> tuple[Indices, Indices, Indices]:
    """Compressed columns of the entries (rows, columns), which are all different.

    Returns
    -------
    indptr : (n + 1,) int64
    indices : (m,) int64
        Ascending in each column.
    places : (m,) int64
        Where each entry went.
    """
    from scipy.sparse import coo_array

    numbered = coo_array((np.arange(rows.shape[0]), (rows, columns)), shape=(n, n))
    by_column = numbered.tocsr().tocsc()  # rows first, so that the columns come out sorted
    places = np.empty(rows.shape[0], np.int64)
    places[by_column.data] = np.arange(rows.shape[0])
    return by_column.indptr.astype(np.int64), by_column.indices.astype(np.int64), places
