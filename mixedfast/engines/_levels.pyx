"""The levels of one factor: their k x k blocks, and sums over them.

The loops are in csrc/mf_levels.c and csrc/mf_moments.c. Here shapes are checked and the GIL is
released. Every function has a NumPy twin of the same name in
``tests/helpers/reference_kernels.py``.
"""

from libc.stdint cimport int32_t, int64_t

from itertools import accumulate
from math import prod

import numpy as np

cdef extern from "mf_levels.h" nogil:
    int MF_MAX_K
    int64_t mf_levels_factor(
        int64_t n_levels, int32_t k, const double *A, const double *lambda_, double *T,
        double *logdet)
    void mf_levels_multiply(
        int64_t n_levels, int32_t k, int32_t r, const double *T, const double *B, double *U)
    void mf_levels_project(
        int64_t n_levels, int32_t k, int32_t r, const double *A, const double *T, const double *B,
        double *C)
    void mf_levels_k(
        int64_t n_levels, int32_t k, const double *A, const double *T, double *K)

cdef extern from "mf_moments.h" nogil:
    ctypedef struct mf_moments:
        double *K
        double *vv
        double *DD
        double *vKv
        double *vD
        double *KK
        double *KDD
        double *DxD
    int64_t mf_level_moments_work(int32_t k, int32_t p, int with_DxD)
    void mf_level_moments(
        int64_t n_levels, int32_t k, int32_t p, const double *K_blocks, const double *C,
        const double *W, const double *beta, double *v, const mf_moments *sums, double *work)

#: Most columns of Z of one factor.
MAX_K = MF_MAX_K


cdef int check_width(int64_t k) except -1:
    """Raise ValueError for more columns than a kernel has room for on its stack."""
    if k > MF_MAX_K:
        raise ValueError(f"more than {MF_MAX_K} random-effect columns on one factor")
    return 0


def levels_factor(const double[:, :, ::1] A, const double[:, ::1] lambda_, double[:, :, ::1] T):
    """Factor the levels: T_j = L_j^-1 lambda' with L_j L_j' = lambda'A_j lambda + I, into T.

    Returns
    -------
    (float, int)
        The sum of the log-determinants, and 0 or 1 + the first level that is not positive definite.
    """
    cdef int64_t J = A.shape[0], status = 0
    cdef int32_t k = A.shape[1]
    cdef double logdet = 0.0
    if T.shape[0] != J or not (
            A.shape[2] == k == lambda_.shape[0] == lambda_.shape[1] == T.shape[1] == T.shape[2]):
        raise ValueError("levels_factor: A (J,k,k), lambda (k,k), T (J,k,k)")
    check_width(k)
    if J:
        with nogil:
            status = mf_levels_factor(J, k, &A[0, 0, 0], &lambda_[0, 0], &T[0, 0, 0], &logdet)
    return logdet, status


def levels_multiply(const double[:, :, ::1] T, const double[:, :, ::1] B):
    """Return U_j = T_j B_j, (J,k,r)."""
    cdef int64_t J = T.shape[0]
    if B.shape[0] != J or B.shape[1] != T.shape[1] or T.shape[2] != T.shape[1]:
        raise ValueError("levels_multiply: T (J,k,k), B (J,k,r)")
    out = np.empty((J, B.shape[1], B.shape[2]))
    cdef double[:, :, ::1] U = out
    if out.size:
        with nogil:
            mf_levels_multiply(
                J, B.shape[1], B.shape[2], &T[0, 0, 0], &B[0, 0, 0], &U[0, 0, 0])
    return out


def levels_project(const double[:, :, ::1] A, const double[:, :, ::1] T, const double[:, :, ::1] B):
    """Return C_j = B_j - A_j T_j'T_j B_j, (J,k,r)."""
    cdef int64_t J = T.shape[0]
    if not (A.shape[0] == B.shape[0] == J
            and A.shape[1] == A.shape[2] == T.shape[1] == T.shape[2] == B.shape[1]):
        raise ValueError("levels_project: A (J,k,k), T (J,k,k), B (J,k,r)")
    check_width(A.shape[1])
    out = np.empty((J, B.shape[1], B.shape[2]))
    cdef double[:, :, ::1] C = out
    if out.size:
        with nogil:
            mf_levels_project(
                J, B.shape[1], B.shape[2], &A[0, 0, 0], &T[0, 0, 0], &B[0, 0, 0], &C[0, 0, 0])
    return out


def levels_k(const double[:, :, ::1] A, const double[:, :, ::1] T):
    """Return K_j = A_j - A_j T_j'T_j A_j, (J,k,k)."""
    cdef int64_t J = T.shape[0]
    if A.shape[0] != J or not (A.shape[1] == A.shape[2] == T.shape[1] == T.shape[2]):
        raise ValueError("levels_k: A (J,k,k), T (J,k,k)")
    check_width(A.shape[1])
    out = np.empty((J, A.shape[1], A.shape[1]))
    cdef double[:, :, ::1] K = out
    if out.size:
        with nogil:
            mf_levels_k(J, A.shape[1], &A[0, 0, 0], &T[0, 0, 0], &K[0, 0, 0])
    return out


def level_moments(
    K, const double[:, :, ::1] C, const double[:, ::1] W, const double[::1] beta, bint pairs,
    bint fixed,
):
    """Sum over levels what derivatives of the deviance are made of (csrc/mf_moments.h).

    Parameters
    ----------
    K : (J,k,k) or None
        Without it the sums that K is part of are empty.
    C (J,k,p+1), W (p,p) upper triangular, beta (p,)
    pairs, fixed : bool
        Whether KK, and whether KDD and DxD, are wanted; otherwise they are empty.

    Returns
    -------
    v, K, vv, DD, vKv, vD, KK, KDD, DxD
    """
    cdef int64_t J = C.shape[0]
    cdef int32_t k = C.shape[1], p = beta.shape[0]
    cdef const double[:, :, ::1] blocks = K
    cdef bint with_k = K is not None
    if with_k and (blocks.shape[0] != J or blocks.shape[1] != k or blocks.shape[2] != k):
        raise ValueError("level_moments: K (J,k,k), C (J,k,p+1)")
    if C.shape[2] != p + 1 or W.shape[0] != p or W.shape[1] != p:
        raise ValueError("level_moments: C (J,k,p+1), W (p,p), beta (p,)")
    check_width(k)
    square, fourth, none = (k, k), (k, k, k, k), (0, 0, 0, 0)
    shapes = [
        (J, k),
        square if with_k else (0, 0),
        square,
        square,
        fourth if with_k else none,
        (k, k, p),
        fourth if with_k and pairs else none,
        fourth if with_k and fixed else none,
        (k, k, p, p) if fixed else none,
    ]
    # one array for all: NumPy takes as long to make one as the sums over a few levels take
    edges = [0, *accumulate([prod(shape) for shape in shapes])]
    all_of_them = np.zeros(edges[9])
    out = tuple([all_of_them[edges[i]:edges[i + 1]].reshape(shapes[i]) for i in range(9)])
    cdef mf_moments sums
    cdef double[::1] numbers, work
    cdef double *at[9]
    cdef int i
    if J == 0 or k == 0:
        return out
    numbers, work = all_of_them, np.empty(mf_level_moments_work(k, p, fixed))
    for i in range(9):
        at[i] = &numbers[<int64_t>edges[i]] if edges[i] < edges[i + 1] else NULL
    sums.K, sums.vv, sums.DD, sums.vKv, sums.vD = at[1], at[2], at[3], at[4], at[5]
    sums.KK, sums.KDD, sums.DxD = at[6], at[7], at[8]
    with nogil:
        mf_level_moments(
            J, k, p, &blocks[0, 0, 0] if with_k else NULL, &C[0, 0, 0], &W[0, 0] if p else NULL,
            &beta[0] if p else NULL, at[0], &sums, &work[0])
    return out
