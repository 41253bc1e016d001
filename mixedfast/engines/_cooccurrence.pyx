"""Products with co-occurrence blocks (block CSR), and the connected components of levels.

The loops are in csrc/mf_cooccurrence.c. Here shapes and indices are checked and the GIL is
released. Every function has a NumPy twin of the same name in
``tests/helpers/reference_kernels.py``.
"""

from libc.stdint cimport int32_t, int64_t

import numpy as np

cdef extern from "mf_cooccurrence.h" nogil:
    ctypedef struct mf_pairs:
        int64_t n_left
        int32_t k_left, k_right
        const int64_t *indptr
        const int32_t *indices
        const double *data
    void mf_pairs_multiply(
        const mf_pairs *pairs, int32_t r, const double *F_left, const double *F_right,
        double *left_out, double *right_out)
    void mf_pairs_moments(
        const mf_pairs *pairs, int32_t p, const double *D_left, const double *D_right, double *AA,
        double *AE, double *work)
    void mf_join_components(
        int64_t n_left, const int64_t *indptr, const int32_t *indices, int64_t base_left,
        int64_t base_right, int64_t *parent)
    int64_t mf_label_components(int64_t n, int64_t *parent)


cdef int check_pattern(
    const int64_t[::1] indptr, const int32_t[::1] indices, int64_t n_left, int64_t n_right,
) except -1:
    """Raise IndexError for a pattern that points outside itself: the kernels trust it."""
    cdef int64_t i
    cdef bint good = (
        indptr.shape[0] == n_left + 1 and indptr[0] == 0 and indptr[n_left] == indices.shape[0])
    if good:
        for i in range(n_left):
            good &= indptr[i] <= indptr[i + 1]
        for i in range(indices.shape[0]):
            good &= 0 <= indices[i] < n_right
    if not good:
        raise IndexError(
            f"a pattern of {n_left} by {n_right} levels does not fit its indptr and indices")
    return 0


cdef bint same_shape(const double[:, :, ::1] a, const double[:, :, ::1] b):
    return a.shape[0] == b.shape[0] and a.shape[1] == b.shape[1] and a.shape[2] == b.shape[2]


def pairs_multiply(
    const int64_t[::1] indptr, const int32_t[::1] indices, const double[:, :, ::1] data,
    const double[:, :, ::1] F_left, const double[:, :, ::1] F_right, double[:, :, ::1] left_out,
    double[:, :, ::1] right_out,
):
    """Add A F_right to left_out and A'F_left to right_out; all are (levels, columns of Z, r)."""
    cdef mf_pairs pairs
    cdef int32_t r = F_left.shape[2]
    if (F_right.shape[2] != r or F_left.shape[1] != data.shape[1]
            or F_right.shape[1] != data.shape[2]):
        raise ValueError("pairs_multiply: data (nnz,K,k), F_left (J,K,r), F_right (j,k,r)")
    if not (same_shape(F_left, left_out) and same_shape(F_right, right_out)):
        raise ValueError("pairs_multiply: left_out and right_out as F_left and F_right")
    if data.shape[0] != indices.shape[0]:
        raise ValueError("pairs_multiply: data has one block per index")
    check_pattern(indptr, indices, F_left.shape[0], F_right.shape[0])
    if data.shape[0] == 0 or r == 0 or data.shape[1] == 0 or data.shape[2] == 0:
        return
    pairs.n_left, pairs.k_left, pairs.k_right = F_left.shape[0], data.shape[1], data.shape[2]
    pairs.indptr, pairs.indices, pairs.data = &indptr[0], &indices[0], &data[0, 0, 0]
    with nogil:
        mf_pairs_multiply(
            &pairs, r, &F_left[0, 0, 0], &F_right[0, 0, 0], &left_out[0, 0, 0],
            &right_out[0, 0, 0])


def pairs_moments(
    const int64_t[::1] indptr, const int32_t[::1] indices, const double[:, :, ::1] data,
    const double[:, :, ::1] D_left, const double[:, :, ::1] D_right,
):
    """Sum over all pairs of levels, for the equations of MINQUE(0).

    Returns
    -------
    sum_ij A_ij[b,c] A_ij[a,d] (K,K,k,k), sum_ij A_ij[b,c] (D_i D_j')[a,d] (K,K,k,k)
        For D_left (J,K,p) and D_right (j,k,p).
    """
    cdef mf_pairs pairs
    cdef int32_t kl = data.shape[1], kr = data.shape[2], p = D_left.shape[2]
    if (D_right.shape[2] != p or D_left.shape[1] != kl or D_right.shape[1] != kr
            or data.shape[0] != indices.shape[0]):
        raise ValueError("pairs_moments: data (nnz,K,k), D_left (J,K,p), D_right (j,k,p)")
    check_pattern(indptr, indices, D_left.shape[0], D_right.shape[0])
    AA, AE = np.zeros((kl, kl, kr, kr)), np.zeros((kl, kl, kr, kr))
    cdef double[:, :, :, ::1] AA_ = AA, AE_ = AE
    cdef double[::1] work = np.empty(kl * kr + 2 * kl * kl * kr * kr)
    if data.shape[0] and kl and kr:
        pairs.n_left, pairs.k_left, pairs.k_right = D_left.shape[0], kl, kr
        pairs.indptr, pairs.indices, pairs.data = &indptr[0], &indices[0], &data[0, 0, 0]
        with nogil:
            mf_pairs_moments(
                &pairs, p, &D_left[0, 0, 0] if p else NULL, &D_right[0, 0, 0] if p else NULL,
                &AA_[0, 0, 0, 0], &AE_[0, 0, 0, 0], &work[0])
    return AA, AE


def connected_components(sizes, pairs):
    """Find the connected components of the levels of some factors, joined where they share a row.

    Parameters
    ----------
    sizes : sequence of int
        Levels of each factor.
    pairs : sequence of (g, h, indptr, indices)
        The levels of factor h that each level of factor g occurs with.

    Returns
    -------
    labels (sum of sizes,) int64
        The component of each level, factor after factor, numbered in the order of first members.
    count : int
    """
    cdef const int64_t[::1] indptr
    cdef const int32_t[::1] indices
    cdef int64_t left, right, n_left, count
    edges = np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))])
    labels = np.arange(edges[len(edges) - 1])
    cdef int64_t[::1] parent = labels
    if parent.shape[0] == 0:
        return labels, 0
    for g, h, indptr, indices in pairs:
        left, right, n_left = edges[g], edges[h], sizes[g]
        check_pattern(indptr, indices, n_left, sizes[h])
        if indices.shape[0]:
            with nogil:
                mf_join_components(n_left, &indptr[0], &indices[0], left, right, &parent[0])
    with nogil:
        count = mf_label_components(parent.shape[0], &parent[0])
    return labels, count
