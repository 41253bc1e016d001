"""Selected inverses from CHOLMOD's factors, for `mixedfast.engines._cholmod`."""

from libc.stdint cimport int64_t

from mixedfast.engines._cholmod cimport cholmod_factor


cdef class SelectedInverse:
    cdef const cholmod_factor *factor     # belongs to the Factor that made this
    cdef bint is_supernodal
    cdef double[::1] values               # the inverse on the pattern of L, in the layout of L
    cdef double[::1] work
    cdef int64_t[::1] index
    cdef int64_t[::1] places              # entry k of the answer is values[places[k]]
    cdef int64_t[::1] owner               # the supernode of each column

    # 0, or s + 1 when the diagonal block of supernode s is singular
    cdef int64_t compute(self, double[:] out) noexcept nogil


# For the entries (rows, columns) of the lower triangle of the factor's matrix. OverflowError: a supernode
# has more rows than BLAS can count.
cdef SelectedInverse selected_inverse_of(const cholmod_factor *factor, bint is_supernodal, rows, columns)
