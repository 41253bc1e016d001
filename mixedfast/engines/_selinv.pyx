"""Entries of an inverse on the pattern of its matrix, from a factor of CHOLMOD.

Source: Takahashi, Fagan & Chen (1973). The loops are in csrc/mf_selinv.c; here is their workspace.
"""

from libc.limits cimport INT_MAX
from scipy.linalg cimport cython_blas, cython_lapack

import numpy as np

from mixedfast.engines._cholmod cimport block_of, column_of


cdef class SelectedInverse:
    """The values of the inverse, kept between factorizations, and the places of its entries."""

    cdef int64_t compute(self, double[:] out) noexcept nogil:
        cdef const cholmod_factor *factor = self.factor
        cdef mf_selinv_supernodes supernodes
        cdef mf_selinv_blas blas
        cdef int64_t k, failed = 0
        if self.is_supernodal:
            supernodes, blas = _supernodes(factor, &self.owner[0]), _blas()
            failed = mf_selinv_supernodal(
                &supernodes, <double *>factor.x, &self.values[0], &self.work[0], &self.index[0],
                &blas)
        else:
            mf_selinv_simplicial(
                <int64_t>factor.n, <int64_t *>factor.p, <int64_t *>factor.nz, <int64_t *>factor.i,
                <double *>factor.x, &self.values[0], &self.work[0])
        if not failed:
            for k in range(out.shape[0]):
                out[k] = self.values[self.places[k]]
        return failed


cdef SelectedInverse selected_inverse_of(
    const cholmod_factor *factor, bint is_supernodal, rows, columns,
):
    """Prepare the selected inverse: its workspace, and the places of the wanted entries."""
    cdef SelectedInverse made = SelectedInverse.__new__(SelectedInverse)
    cdef int64_t work = 2 * <int64_t>factor.n, index = 0, size = factor.nzmax, s
    cdef mf_selinv_supernodes supernodes
    made.factor, made.is_supernodal = factor, is_supernodal
    if is_supernodal:
        starts = np.asarray(<int64_t[:factor.nsuper + 1]> <int64_t *>factor.super)
        made.owner = np.repeat(np.arange(<int64_t>factor.nsuper), np.diff(starts))
        for s in range(<int64_t>factor.nsuper):
            if block_of(factor, s)[2] > INT_MAX:
                raise OverflowError(f"supernode {s} has more rows than BLAS can count")
        supernodes = _supernodes(factor, &made.owner[0])
        mf_selinv_supernodal_sizes(&supernodes, &work, &index)
        size = factor.xsize
    made.places = np.empty(len(rows), np.int64)
    _locate(made, rows, columns)
    made.work = np.empty(max(work, 1))
    made.index = np.empty(max(index, 1), np.int64)
    made.values = np.empty(size)
    return made


cdef void _locate(
    SelectedInverse made, const int64_t[::1] rows, const int64_t[::1] columns,
) noexcept:
    """Find the place of each entry (row, column) of the lower triangle in the values of L."""
    cdef const cholmod_factor *factor = made.factor
    cdef int64_t k, s = -1, count, place
    cdef int64_t *column_rows
    cdef double *values
    with nogil:
        for k in range(rows.shape[0]):
            if made.is_supernodal:
                s = made.owner[columns[k]]
            column_rows, values, count = column_of(factor, columns[k], s)
            place = values - <double *>factor.x
            made.places[k] = place + _search(column_rows, count, rows[k])


cdef int64_t _search(const int64_t *sorted_values, int64_t count, int64_t value) noexcept nogil:
    """Return the position of a value that is known to occur."""
    cdef int64_t low = 0, high = count - 1, middle
    while low < high:
        middle = (low + high) // 2
        if sorted_values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


cdef mf_selinv_supernodes _supernodes(
    const cholmod_factor *factor, const int64_t *owner,
) noexcept nogil:
    """Return a supernodal factor of CHOLMOD as csrc/mf_selinv.h describes one."""
    cdef mf_selinv_supernodes view
    view.n_super = <int64_t>factor.nsuper
    view.super = <int64_t *>factor.super
    view.pi = <int64_t *>factor.pi
    view.px = <int64_t *>factor.px
    view.rows = <int64_t *>factor.s
    view.owner = owner
    return view


cdef mf_selinv_blas _blas() noexcept nogil:
    """Return the BLAS and LAPACK that SciPy brings."""
    cdef mf_selinv_blas table
    table.dtrsm = cython_blas.dtrsm
    table.dsymm = cython_blas.dsymm
    table.dgemm = cython_blas.dgemm
    table.dpotri = cython_lapack.dpotri
    return table
