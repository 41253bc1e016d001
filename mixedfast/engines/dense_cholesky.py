"""Cholesky factor and inverse of one large dense matrix on a few threads.

The order of the steps whose kernels are in `mixedfast.engines._blocked_cholesky`.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from mixedfast.engines import _blocked_cholesky
from mixedfast.engines.threads import Workers

__all__ = ["LARGE", "DenseWorkers"]

#: Order from which a factorization is shared among threads; below, LAPACK on one thread is as fast.
LARGE = 512


def _blocks(n: int) -> list[tuple[int, int]]:
    """List first column and width of the blocks.

    They are wide enough for BLAS, and narrow enough that one thread alone has little to do.
    """
    b = 128 if n < 3000 else 256
    return [(k, min(b, n - k)) for k in range(0, n, b)]


def _even(first: int, last: int, parts: int) -> list[int]:
    """Cut first .. last into equal parts; return their edges."""
    return [first + (last - first) * i // parts for i in range(parts + 1)]


def _triangle(first: int, last: int, parts: int) -> list[int]:
    """Cut the columns of a lower triangle into parts of equally many numbers."""
    size = last - first
    return [last - round(size * math.sqrt(1.0 - i / parts)) for i in range(parts + 1)]


class DenseWorkers(Workers):
    """Threads for dense linear algebra.

    They factor and invert lower triangles of ``n x n`` squares at ``a[at]`` (column-major) in
    place, and multiply matrices.
    """

    def factor(self, a: np.ndarray, at: int, n: int) -> int:
        """Compute the Cholesky factor.

        Returns 0, or the column (counted from 1) where the matrix is not positive definite.
        """
        for k, b in _blocks(n):
            failed = _blocked_cholesky.factor_block(a, at, n, k, b)
            if failed:
                return k + failed
            end = k + b
            self.share(
                partial(_blocked_cholesky.factor_panel, a, at, n, k, b), _even(end, n, self.count)
            )
            self.share(
                partial(_blocked_cholesky.update_trailing, a, at, n, k, b),
                _triangle(end, n, self.count),
            )
        return 0

    def invert(self, a: np.ndarray, at: int, n: int) -> int:
        """Compute the inverse of L L' from L.

        Returns 0, or the column (counted from 1) where L has a zero on its diagonal.
        """
        for k, b in reversed(_blocks(n)):
            end = k + b
            self.share(
                partial(_blocked_cholesky.multiply_panel, a, at, n, k, b), _even(k, end, self.count)
            )
            self.share(
                partial(_blocked_cholesky.invert_panel, a, at, n, k, b), _even(end, n, self.count)
            )
            failed = _blocked_cholesky.invert_block(a, at, n, k, b)
            if failed:
                return k + failed
        for k, b in _blocks(n):
            self.share(
                partial(_blocked_cholesky.square_row, a, at, n, k, b), _even(0, k, self.count)
            )
            _blocked_cholesky.square_block(a, at, n, k, b)
        return 0

    def times(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Multiply (m,n) by (n,r)."""
        out = np.empty((len(left), right.shape[1]))

        def rows(first: int, last: int) -> None:
            np.matmul(left[first:last], right, out=out[first:last])

        self.share(rows, _even(0, len(left), self.count))
        return out
