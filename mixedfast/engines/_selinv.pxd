"""Selected inverses from CHOLMOD's factors, for `mixedfast.engines._cholmod`."""

from libc.stdint cimport int64_t

from mixedfast.engines._cholmod cimport cholmod_factor


cdef extern from "mf_selinv.h" nogil:
    ctypedef struct mf_selinv_blas:
        void (*dtrsm)(
            char *, char *, char *, char *, int *, int *, double *, double *, int *, double *,
            int *) noexcept nogil
        void (*dsymm)(
            char *, char *, int *, int *, double *, double *, int *, double *, int *, double *,
            double *, int *) noexcept nogil
        void (*dgemm)(
            char *, char *, int *, int *, int *, double *, double *, int *, double *, int *,
            double *, double *, int *) noexcept nogil
        void (*dpotri)(char *, int *, double *, int *, int *) noexcept nogil
    ctypedef struct mf_selinv_supernodes:
        int64_t n_super
        const int64_t *super
        const int64_t *pi
        const int64_t *px
        const int64_t *rows
        const int64_t *owner
    void mf_selinv_simplicial(
        int64_t n, const int64_t *p, const int64_t *nz, const int64_t *row, const double *l,
        double *z, double *work)
    void mf_selinv_supernodal_sizes(
        const mf_selinv_supernodes *sn, int64_t *work, int64_t *index)
    int64_t mf_selinv_supernodal(
        const mf_selinv_supernodes *sn, const double *l, double *z, double *work, int64_t *index,
        const mf_selinv_blas *blas)


cdef class SelectedInverse:
    cdef const cholmod_factor *factor     # belongs to the Factor that made this object
    cdef bint is_supernodal
    cdef double[::1] values               # the inverse on the pattern of L, laid out as L
    cdef double[::1] work
    cdef int64_t[::1] index
    cdef int64_t[::1] places              # entry k of the result is values[places[k]]
    cdef int64_t[::1] owner               # the supernode of each column

    # 0, or s + 1 when the diagonal block of supernode s is singular
    cdef int64_t compute(self, double[:] out) noexcept nogil


# Prepare for the entries (rows, columns) of the lower triangle of the factor's matrix.
# OverflowError: a supernode has more rows than BLAS can count.
cdef SelectedInverse selected_inverse_of(
    const cholmod_factor *factor, bint is_supernodal, rows, columns)
