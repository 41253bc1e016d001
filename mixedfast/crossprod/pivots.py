"""Pivots of cross-products: which columns earlier ones leave something of."""

from __future__ import annotations

import numpy as np

from mixedfast.crossprod import _pivots
from mixedfast.crossprod._pivots import CLEAR, COLLINEAR, HIDDEN, NOT_COUNTED

__all__ = ["CLEAR", "COLLINEAR", "HIDDEN", "NOT_COUNTED", "Elimination", "classify_columns"]


class Elimination:
    """Elimination of columns from their products, one after another, in order.

    What the columns eliminated leave of later columns is subtracted for blocks of columns at once,
    as in a blocked Cholesky factorization.

    Parameters
    ----------
    products : (k, k) array
        Symmetric.
    """

    BLOCK = 64

    def __init__(self, products: np.ndarray) -> None:
        self._left = products.copy()
        self._rows = np.empty((self.BLOCK, len(products)))
        self._pivots = np.empty(self.BLOCK)
        self._n = 0  # columns eliminated in this block
        self._start = 0

    def pivot(self, j: int) -> float:
        """Return the sum of squares of column j that earlier columns leave."""
        if j - self._start >= self.BLOCK:
            rows = self._rows[: self._n, j:]
            self._left[j:, j:] -= rows.T @ (rows / self._pivots[: self._n, None])
            self._n, self._start = 0, j
        above = self._rows[: self._n, j]
        return float(self._left[j, j] - above @ (above / self._pivots[: self._n]))

    def eliminate(self, j: int) -> None:
        """Subtract column j from the later columns."""
        weights = self._rows[: self._n, j] / self._pivots[: self._n]
        row = self._left[j, j:] - weights @ self._rows[: self._n, j:]
        self._rows[self._n, j:], self._pivots[self._n] = row, row[0]
        self._n += 1


def classify_columns(
    products: np.ndarray, low: np.ndarray, high: np.ndarray, counted: np.ndarray | None = None
) -> np.ndarray:
    """Classify columns from their products (k, k) by elimination in their order.

    Parameters
    ----------
    products : (k, k) array
    low, high : (k,) arrays
        A pivot that is not above `low` is hidden, one not above `high` nearly collinear.
    counted : (k,) bool array, optional
        A clear column without a mark is not counted, and not eliminated.

    Returns
    -------
    (k,) int array
        HIDDEN, COLLINEAR, CLEAR or NOT_COUNTED.
    """
    if len(products) <= Elimination.BLOCK:
        return _pivots.classify_columns(products, low, high, counted)
    left, kinds = Elimination(products), np.full(len(products), HIDDEN)
    for j in range(len(products)):
        pivot = left.pivot(j)
        if not pivot > low[j]:
            continue
        kinds[j] = CLEAR if pivot > high[j] else COLLINEAR
        if kinds[j] == CLEAR and counted is not None and not counted[j]:
            kinds[j] = NOT_COUNTED
        else:
            left.eliminate(j)
    return kinds
