"""Row spaces of small matrices: null spaces, echelon forms, and rounding to whole numbers.

Entries of different columns may have different units. Where sizes (n,) are given, entries are
compared after division by the size of their column.
"""

from __future__ import annotations

import numpy as np

__all__ = ["TOLERANCE", "echelon", "left_null", "without_rounding"]

#: Entries below this fraction of the largest are rounding. True entries are ratios of small whole
#: numbers.
TOLERANCE = 1e-9


def without_rounding(matrix: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Replace entries that are zero or whole numbers up to rounding by these numbers.

    Parameters
    ----------
    matrix : (r, n) array
    sizes : (n,) array
        An entry is zero when it is small, over the size of its column, beside the others in its
        row.
    """
    relative = np.abs(matrix) / sizes
    zero = relative <= TOLERANCE * relative.max(axis=1, keepdims=True, initial=0.0)
    whole = np.round(matrix)
    near = np.abs(matrix - whole) <= TOLERANCE * np.abs(whole)
    return np.where(zero, 0.0, np.where(near, whole, matrix))


def left_null(matrix: np.ndarray) -> np.ndarray:
    """Return orthonormal rows r with r matrix = 0."""
    if matrix.shape[1] == 0:
        return np.eye(len(matrix))
    U, s, _ = np.linalg.svd(matrix)
    rank = int((s > TOLERANCE * max(s.max(initial=0.0), 1.0)).sum())
    return U[:, rank:].T


def echelon(rows: np.ndarray, pivots: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Reduce rows to a basis of their space with an identity on as many columns as there are rows.

    Parameters
    ----------
    rows : (r, n) array of full row rank
    pivots : int array
        Columns for the identity, in the order in which they are tried.
    sizes : (n,) array
    """
    rows = rows.copy()
    for i in range(len(rows)):
        for column in pivots:
            at = i + int(np.argmax(np.abs(rows[i:, column])))
            largest = (np.abs(rows[i:]) / sizes).max()
            if np.abs(rows[at, column]) / sizes[column] > np.sqrt(TOLERANCE) * largest:
                rows[[i, at]] = rows[[at, i]]
                rows[i] /= rows[i, column]
                others = np.arange(len(rows)) != i
                rows[others] -= np.outer(rows[others, column], rows[i])
                break
    return without_rounding(rows, sizes)
