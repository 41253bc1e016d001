"""Steps of a blocked Cholesky factorization and inverse, which threads can share.

A matrix is the n x n square, column-major, that begins at ``a[at]``; only its lower triangle is
read and written. Every function is one step for the block of columns ``k .. k + b - 1``, on a part
``first .. last - 1`` of the rows or columns; it releases the GIL and calls BLAS for that part
alone. `mixedfast.engines.dense_cholesky` puts the steps in order.

Algorithms: the right-looking Cholesky factorization, and TRTRI and LAUUM by blocks (Anderson et al.
1999, LAPACK Users' Guide).
"""

from libc.stdint cimport int64_t
from scipy.linalg.cython_blas cimport dgemm, dsyrk, dtrmm, dtrsm
from scipy.linalg.cython_lapack cimport dlauum, dpotrf, dtrtri

cdef double ONE = 1.0, MINUS_ONE = -1.0


cdef int check(
    const double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last,
) except -1:
    """Raise ValueError for a square outside the array, or a part outside the square."""
    # no sum of two arguments: it may exceed 2^63
    if at < 0 or n < 0 or n >= 1 << 31 or n * n > a.shape[0] or at > a.shape[0] - n * n:
        raise ValueError("the square lies outside the array")
    if not (0 <= k <= n and 0 <= b <= n - k and 0 <= first <= last <= n):
        raise ValueError("a part lies outside the square")
    return 0


def factor_block(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b):
    """Factor the diagonal block.

    Returns 0, or the column (counted from 1 in the block) that is not positive definite.
    """
    check(a, at, n, k, b, 0, 0)
    cdef int order = <int>b, ld = <int>n, info = 0
    if b:
        with nogil:
            dpotrf("L", &order, &a[at + k * n + k], &ld, &info)
    return info


def factor_panel(
    double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last,
):
    """Factor rows first .. last - 1 below the diagonal block: A_ik L_kk^-T."""
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>(last - first), columns = <int>b, ld = <int>n
    cdef int64_t column = at + k * n
    if rows and columns:
        with nogil:
            dtrsm("R", "L", "T", "N", &rows, &columns, &ONE, &a[column + k], &ld,
                  &a[column + first], &ld)


def update_trailing(
    double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last,
):
    """Subtract L_.k L_.k' from the columns first .. last - 1 right of the block."""
    check(a, at, n, k, b, first, last)
    cdef int columns = <int>(last - first), inner = <int>b, below = <int>(n - last), ld = <int>n
    cdef int64_t column = at + k * n, out = at + first * n
    if not columns or not inner:
        return
    with nogil:
        dsyrk("L", "N", &columns, &inner, &MINUS_ONE, &a[column + first], &ld, &ONE,
              &a[out + first], &ld)
        if below:
            dgemm("N", "T", &below, &columns, &inner, &MINUS_ONE, &a[column + last], &ld,
                  &a[column + first], &ld, &ONE, &a[out + last], &ld)


def multiply_panel(
    double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last,
):
    """Multiply columns first .. last - 1, below the block, by the part of L^-1 already computed."""
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>(n - k - b), columns = <int>(last - first), ld = <int>n
    cdef int64_t below = k + b
    if rows and columns:
        with nogil:
            dtrmm("L", "L", "N", "N", &rows, &columns, &ONE, &a[at + below * n + below], &ld,
                  &a[at + first * n + below], &ld)


def invert_panel(
    double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last,
):
    """Multiply rows first .. last - 1, below the block, by minus its inverse."""
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>(last - first), columns = <int>b, ld = <int>n
    cdef int64_t column = at + k * n
    if rows and columns:
        with nogil:
            dtrsm("R", "L", "N", "N", &rows, &columns, &MINUS_ONE, &a[column + k], &ld,
                  &a[column + first], &ld)


def invert_block(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b):
    """Invert the diagonal block.

    Returns 0, or the column (counted from 1 in the block) with a zero on the diagonal.
    """
    check(a, at, n, k, b, 0, 0)
    cdef int order = <int>b, ld = <int>n, info = 0
    if b:
        with nogil:
            dtrtri("L", "N", &order, &a[at + k * n + k], &ld, &info)
    return info


def square_row(
    double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last,
):
    """Compute columns first .. last - 1 of the block row of L'L, left of the diagonal block.

    The rows of L below must not have been squared yet.
    """
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>b, columns = <int>(last - first), below = <int>(n - k - b), ld = <int>n
    cdef int64_t left = at + first * n, column = at + k * n
    if not rows or not columns:
        return
    with nogil:
        dtrmm("L", "L", "T", "N", &rows, &columns, &ONE, &a[column + k], &ld, &a[left + k], &ld)
        if below:
            dgemm("T", "N", &rows, &columns, &below, &ONE, &a[column + k + b], &ld,
                  &a[left + k + b], &ld, &ONE, &a[left + k], &ld)


def square_block(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b):
    """Compute the diagonal block of L'L."""
    check(a, at, n, k, b, 0, 0)
    cdef int order = <int>b, below = <int>(n - k - b), ld = <int>n, info = 0
    cdef int64_t column = at + k * n
    if not order:
        return
    with nogil:
        dlauum("L", &order, &a[column + k], &ld, &info)
        if below:
            dsyrk("L", "T", &order, &below, &ONE, &a[column + k + b], &ld, &ONE, &a[column + k],
                  &ld)
