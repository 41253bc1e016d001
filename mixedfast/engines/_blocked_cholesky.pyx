"""Steps of a blocked Cholesky factorization and inverse, cut so that threads of ours can share each of them.

A matrix is the n x n square, column-major, that begins at ``a[at]``; only its lower triangle is read and written. Every function
is one step for the block of columns ``k .. k + b`` on a part ``[first, last)`` of rows or columns, releases the GIL and uses BLAS on
that part alone. `mixedfast.engines.dense_cholesky` puts the steps in order.

The algorithms are the right-looking Cholesky factorization and LAPACK's TRTRI and LAUUM by blocks (Anderson et al. 1999,
LAPACK Users' Guide).
"""

from libc.stdint cimport int64_t
from scipy.linalg.cython_blas cimport dgemm, dsyrk, dtrmm, dtrsm
from scipy.linalg.cython_lapack cimport dlauum, dpotrf, dtrtri

cdef double ONE = 1.0, MINUS_ONE = -1.0


cdef int check(const double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last) except -1:
    # no sum of what was asked for: it may lie past 2^63
    if at < 0 or n < 0 or n >= 1 << 31 or n * n > a.shape[0] or at > a.shape[0] - n * n:
        raise ValueError("the square lies outside the array")
    if not (0 <= k <= n and 0 <= b <= n - k and 0 <= first <= last <= n):
        raise ValueError("a part lies outside the square")
    return 0


def factor_block(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b):
    """Factor the diagonal block; 0, or the column (counted from 1 in the block) that was not positive definite."""
    check(a, at, n, k, b, 0, 0)
    cdef int order = <int>b, ld = <int>n, info = 0
    if b:
        with nogil:
            dpotrf("L", &order, &a[at + k * n + k], &ld, &info)
    return info


def factor_panel(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last):
    """Rows first..last of L's block column k, below its diagonal block: A_ik L_kk^-T."""
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>(last - first), columns = <int>b, ld = <int>n
    if rows and columns:
        with nogil:
            dtrsm("R", "L", "T", "N", &rows, &columns, &ONE, &a[at + k * n + k], &ld, &a[at + k * n + first], &ld)


def update_trailing(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last):
    """Columns first..last of what is right of block column k: minus L_.k L_.k'."""
    check(a, at, n, k, b, first, last)
    cdef int columns = <int>(last - first), inner = <int>b, below = <int>(n - last), ld = <int>n
    if not columns or not inner:
        return
    with nogil:
        dsyrk("L", "N", &columns, &inner, &MINUS_ONE, &a[at + k * n + first], &ld, &ONE, &a[at + first * n + first], &ld)
        if below:
            dgemm("N", "T", &below, &columns, &inner, &MINUS_ONE, &a[at + k * n + last], &ld, &a[at + k * n + first], &ld,
                  &ONE, &a[at + first * n + last], &ld)


def multiply_panel(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last):
    """Columns first..last of L's block column k, below its diagonal block: times the inverse that is already below and right."""
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>(n - k - b), columns = <int>(last - first), ld = <int>n
    if rows and columns:
        with nogil:
            dtrmm("L", "L", "N", "N", &rows, &columns, &ONE, &a[at + (k + b) * n + k + b], &ld, &a[at + first * n + k + b], &ld)


def invert_panel(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last):
    """Rows first..last of the same: times minus the inverse of the diagonal block."""
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>(last - first), columns = <int>b, ld = <int>n
    if rows and columns:
        with nogil:
            dtrsm("R", "L", "N", "N", &rows, &columns, &MINUS_ONE, &a[at + k * n + k], &ld, &a[at + k * n + first], &ld)


def invert_block(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b):
    """The diagonal block: its inverse. Returns 0, or the column (counted from 1 in the block) with a zero on the diagonal."""
    check(a, at, n, k, b, 0, 0)
    cdef int order = <int>b, ld = <int>n, info = 0
    if b:
        with nogil:
            dtrtri("L", "N", &order, &a[at + k * n + k], &ld, &info)
    return info


def square_row(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b, int64_t first, int64_t last):
    """Columns first..last of block row k of L'L, left of the diagonal block; L's rows below are as yet untouched."""
    check(a, at, n, k, b, first, last)
    cdef int rows = <int>b, columns = <int>(last - first), below = <int>(n - k - b), ld = <int>n
    if not rows or not columns:
        return
    with nogil:
        dtrmm("L", "L", "T", "N", &rows, &columns, &ONE, &a[at + k * n + k], &ld, &a[at + first * n + k], &ld)
        if below:
            dgemm("T", "N", &rows, &columns, &below, &ONE, &a[at + k * n + k + b], &ld, &a[at + first * n + k + b], &ld, &ONE,
                  &a[at + first * n + k], &ld)


def square_block(double[::1] a, int64_t at, int64_t n, int64_t k, int64_t b):
    """The diagonal block of the same."""
    check(a, at, n, k, b, 0, 0)
    cdef int order = <int>b, below = <int>(n - k - b), ld = <int>n, info = 0
    if not order:
        return
    with nogil:
        dlauum("L", &order, &a[at + k * n + k], &ld, &info)
        if below:
            dsyrk("L", "T", &order, &below, &ONE, &a[at + k * n + k + b], &ld, &ONE, &a[at + k * n + k], &ld)
