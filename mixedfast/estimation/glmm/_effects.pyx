"""Random effects row by row: Z b, and sums over rows by level (csrc/mf_effects.c).

Codes are checked once, by `Cells`. Every function has a NumPy twin of the
same name in ``tests/helpers/reference_families.py``.
"""

from libc.stdint cimport int32_t, int64_t

import numpy as np

cdef extern from "mf_effects.h" nogil:
    void mf_effects_add(
        int64_t n, int32_t k, const int32_t *codes, const double *z, const double *b, double *out)
    void mf_effects_sum(
        int64_t n, int32_t k, const int32_t *codes, const double *z, const double *r, double *out)
    void mf_effects_cross(
        int64_t n, int32_t k, int32_t m, const int32_t *cells, const double *z, const double *y,
        const double *w, double *out)
    void mf_effects_quadratic(
        int64_t n, int32_t k, int32_t m, const int32_t *cells, const double *z, const double *y,
        const double *Q, double scale, double *out)


cdef class Cells:
    """The level of one factor, or the pair of levels of two, of each row.

    Parameters
    ----------
    codes : (n,) int32 array
    count : int
        Number of levels, or of pairs.
    """

    cdef readonly object codes
    cdef readonly int64_t count
    cdef const int32_t[::1] values

    def __init__(self, codes, int64_t count):
        cdef int64_t i
        self.codes = np.array(codes, dtype=np.int32)  # a copy: nobody changes it later
        self.codes.flags.writeable = False
        self.count = count
        self.values = self.codes
        for i in range(self.values.shape[0]):
            if not 0 <= self.values[i] < count:
                raise ValueError(f"codes lie from 0 to {count - 1}")


cdef const double *first(const double[:, ::1] z) noexcept nogil:
    if z is None or z.shape[0] == 0:
        return NULL
    return &z[0, 0]


cdef int32_t width(const double[:, ::1] z, int64_t n) except -1:
    """Return the number of columns of Z; None is the constant."""
    if z is None:
        return 1
    if z.shape[0] != n or z.shape[1] == 0:
        raise ValueError("z is (n,k), or None for the constant")
    return z.shape[1]


def effects_add(
    Cells cells, const double[:, ::1] z, const double[:, ::1] b, double[::1] out,
):
    """Add z_i'b_j to out (n,); b (J,k)."""
    cdef int64_t n = out.shape[0]
    cdef int32_t k = width(z, n)
    if cells.values.shape[0] != n or b.shape[0] != cells.count or b.shape[1] != k:
        raise ValueError("effects_add: codes (n,), z (n,k), b (J,k), out (n,)")
    if n:
        with nogil:
            mf_effects_add(n, k, &cells.values[0], first(z), &b[0, 0], &out[0])


def effects_sum(Cells cells, const double[:, ::1] z, const double[::1] r):
    """Return the sums of r_i z_i by level, (J,k)."""
    cdef int64_t n = r.shape[0]
    cdef int32_t k = width(z, n)
    if cells.values.shape[0] != n:
        raise ValueError("effects_sum: codes (n,), z (n,k), r (n,)")
    result = np.zeros((cells.count, k))
    cdef double[:, ::1] out = result
    if n:
        with nogil:
            mf_effects_sum(n, k, &cells.values[0], first(z), &r[0], &out[0, 0])
    return result


def effects_cross(
    Cells cells, const double[:, ::1] z, const double[:, ::1] y, const double[::1] w,
):
    """Return the sums of w_i z_i y_i' by cell, (C,k,m)."""
    cdef int64_t n = w.shape[0]
    cdef int32_t k = width(z, n), m = width(y, n)
    if cells.values.shape[0] != n:
        raise ValueError("effects_cross: codes (n,), z (n,k), y (n,m), w (n,)")
    result = np.zeros((cells.count, k, m))
    cdef double[:, :, ::1] out = result
    if n:
        with nogil:
            mf_effects_cross(
                n, k, m, &cells.values[0], first(z), first(y), &w[0], &out[0, 0, 0])
    return result


def effects_quadratic(
    Cells cells, const double[:, ::1] z, const double[:, ::1] y, const double[:, :, ::1] Q,
    double scale, double[::1] out,
):
    """Add scale z_i'Q_c y_i to out (n,); Q (C,k,m)."""
    cdef int64_t n = out.shape[0]
    cdef int32_t k = width(z, n), m = width(y, n)
    if cells.values.shape[0] != n or not (
            Q.shape[0] == cells.count and Q.shape[1] == k and Q.shape[2] == m):
        raise ValueError("effects_quadratic: codes (n,), z (n,k), y (n,m), Q (C,k,m), out (n,)")
    if n:
        with nogil:
            mf_effects_quadratic(
                n, k, m, &cells.values[0], first(z), first(y), &Q[0, 0, 0], scale, &out[0])
